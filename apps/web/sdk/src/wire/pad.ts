// The padding of what is sealed, so that its length tells little. Source: docs/protocol.md, section 7.5.

import { type Bytes, concat } from "../bytes.ts";

const MARK = 0x80;
/** Up to the last of these the next one is taken, then multiples of it, in bytes. */
const STEPS = [128, 256, 512, 1_024, 2_048, 4_096] as const;
const BLOCK = 4_096;

function padded(length: number): number {
  return STEPS.find((step) => length < step) ?? (Math.floor(length / BLOCK) + 1) * BLOCK;
}

/** The content, a byte 0x80 and zeros to the next length allowed. */
export function pad(content: Uint8Array): Bytes {
  const rest = new Uint8Array(padded(content.length) - content.length);
  rest[0] = MARK;
  return concat(content, rest);
}

/** The content of exactly such a padding; `undefined` for any other. */
export function unpad(bytes: Bytes): Bytes | undefined {
  let end = bytes.length - 1;
  while (end >= 0 && bytes[end] === 0) end -= 1;
  if (bytes[end] !== MARK || padded(end) !== bytes.length) return undefined;
  return bytes.subarray(0, end);
}
