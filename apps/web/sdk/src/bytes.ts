// Byte strings: joining, comparing, and their texts.

/** Bytes that nobody shares with another thread, as WebCrypto wants them. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** No bytes. */
export const EMPTY: Bytes = new Uint8Array(0);

/** Joins byte strings into a new one. */
export function concat(...parts: Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Whether two byte strings are equal. Not for secrets: the time that it takes tells where they differ. */
export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** Compares byte strings as the protocol orders them: by their first differing byte. */
export function compare(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at++) {
    const difference = (one[at] ?? 0) - (other[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

/** Whether all bytes are 0, in a time that tells nothing about them. */
export function isZero(bytes: Uint8Array): boolean {
  let any = 0;
  for (const byte of bytes) any |= byte;
  return any === 0;
}

/** The bytes themselves where their memory is theirs alone, else a copy that WebCrypto takes. */
export function own(bytes: Uint8Array): Bytes {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Bytes) : new Uint8Array(bytes);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The UTF-8 bytes of a text. */
export function utf8(text: string): Bytes {
  return own(encoder.encode(text));
}

/** The text of UTF-8 bytes; `undefined` if they are none. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Lower-case hexadecimal digits of bytes. Also the key under which maps hold byte strings. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}

/** The bytes of lower-case hexadecimal digits; `undefined` if the text is anything else. */
export function unhex(text: string): Bytes | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

/** A 32-bit number as four big-endian bytes. */
export function u32be(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** A 64-bit number as eight big-endian bytes. */
export function u64be(value: bigint): Bytes {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** Eight big-endian bytes at `at` as a number. */
export function readU64be(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(at);
}

/** Four big-endian bytes at `at` as a number. */
export function readU32be(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);
}

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** RFC 4648 text without padding, in groups of `bits` bits. */
function toText(bytes: Uint8Array, alphabet: string, bits: number): string {
  let text = "";
  let held = 0;
  let count = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    count += 8;
    while (count >= bits) {
      count -= bits;
      text += alphabet[held >> count];
      held &= (1 << count) - 1;
    }
  }
  return count > 0 ? text + alphabet[held << (bits - count)] : text;
}

/** The bytes of such a text; `undefined` if a letter is foreign, or the rest at the end is not zero bits. */
function fromText(text: string, alphabet: string, bits: number): Bytes | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * bits) / 8));
  let held = 0;
  let count = 0;
  let at = 0;
  for (const letter of text) {
    const value = alphabet.indexOf(letter);
    if (value < 0) return undefined;
    held = (held << bits) | value;
    count += bits;
    if (count >= 8) {
      count -= 8;
      bytes[at++] = held >> count;
      held &= (1 << count) - 1;
    }
  }
  return held === 0 && count < bits ? bytes : undefined;
}

/** Lower-case base32 without padding. */
export function base32(bytes: Uint8Array): string {
  return toText(bytes, BASE32, 5);
}

/** The bytes of lower-case base32 without padding, in its one spelling. */
export function unbase32(text: string): Bytes | undefined {
  return fromText(text, BASE32, 5);
}

/** Base64url without padding. */
export function base64url(bytes: Uint8Array): string {
  return toText(bytes, BASE64URL, 6);
}

/** The bytes of base64url without padding, in its one spelling. */
export function unbase64url(text: string): Bytes | undefined {
  return fromText(text, BASE64URL, 6);
}
