// Keys, device ids and message ids as text. Source: docs/protocol.md, sections 2 and 6.1.

import { type Bytes, base32, concat, hex, unbase32, unhex } from "../bytes.ts";
import type { Suite } from "../crypto/suite.ts";
import { label } from "../hash.ts";
import { MAX_ENTRIES } from "../wire/limits.ts";
import { TextError } from "./name.ts";

const TYPES = { user: 0xa0, server: 0x90 } as const;

/** Whose key a text stands for. */
export type KeyOwner = keyof typeof TYPES;

/** What every key text looks like; the check in its last letters is another matter. */
const KEY_TEXT = { user: /^u[a-z2-7]{55}$/, server: /^s[a-z2-7]{55}$/ } as const;

async function checked(suite: Suite, owner: KeyOwner, key: Uint8Array): Promise<Bytes> {
  const typed = concat(Uint8Array.of(TYPES[owner]), key);
  const check = (await suite.sha256(concat(label("id"), typed))).subarray(0, 2);
  return concat(typed, check);
}

/** Texts that are kept: every post names its author, and a hash costs a trip to another thread. */
const TEXTS = 1_024;
const texts = new Map<string, string>();

/** The 56 characters of a key. */
export async function keyText(suite: Suite, owner: KeyOwner, key: Uint8Array): Promise<string> {
  const name = owner + String.fromCharCode(...key);
  const known = texts.get(name);
  if (known !== undefined) return known;
  const text = base32(await checked(suite, owner, key));
  const oldest = texts.size >= TEXTS ? texts.keys().next().value : undefined;
  if (oldest !== undefined) texts.delete(oldest);
  texts.set(name, text);
  return text;
}

/** Whether a text has the form of such a key; says nothing about its check. */
export function looksLikeKey(owner: KeyOwner, text: string): boolean {
  return KEY_TEXT[owner].test(text);
}

/**
 * The 32 bytes of a key text.
 * @throws TextError for any other length, letter, type or check.
 */
export async function parseKey(suite: Suite, owner: KeyOwner, text: string): Promise<Bytes> {
  const bytes = looksLikeKey(owner, text) ? unbase32(text) : undefined;
  const key = bytes?.slice(1, 33);
  if (key === undefined || base32(await checked(suite, owner, key)) !== text) {
    throw new TextError(`not a ${owner} key: ${text.slice(0, 64)}`);
  }
  return key;
}

/** The eight characters by which a person tells keys apart at a glance; never accepted as input. */
export function markOf(userText: string): string {
  return userText.slice(1, 9);
}

/** The text of a message id: 17 bytes, of which the last is the entry's index. */
export function messageIdText(id: Uint8Array): string {
  return `${hex(id.subarray(0, 16))}.${id[16] ?? 0}`;
}

/**
 * The 17 bytes of a message id's text.
 * @throws TextError for any other form.
 */
export function parseMessageId(text: string): Bytes {
  const [, post, index] = /^([0-9a-f]{32})\.(0|[1-9][0-9]?)$/.exec(text) ?? [];
  const bytes = post === undefined ? undefined : unhex(post);
  if (bytes === undefined || Number(index) >= MAX_ENTRIES)
    throw new TextError(`not a message id: ${text.slice(0, 64)}`);
  return concat(bytes, Uint8Array.of(Number(index)));
}
