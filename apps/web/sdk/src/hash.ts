// Every hash of the protocol and its label. Source: docs/protocol.md, section 2.

import { type Bytes, compare, concat, utf8 } from "./bytes.ts";
import type { Suite } from "./crypto/suite.ts";

const PREFIX = "dchat/1/";

/** `"dchat/1/" label 0x00`, the beginning of what carries no network name. */
export function label(text: string): Bytes {
  return utf8(`${PREFIX}${text}\0`);
}

/** `"dchat/1/" label 0x00 network 0x00`, the beginning of everything else that is hashed or signed. */
export function labelIn(network: string, text: string): Bytes {
  return utf8(`${PREFIX}${text}\0${network}\0`);
}

/** `H(label, data...)` of section 2. */
function hashIn(suite: Suite, network: string, text: string, ...data: Uint8Array[]): Promise<Bytes> {
  return suite.sha256(concat(labelIn(network, text), ...data));
}

/** The id of a public channel, 32 bytes. `name` is one that `channelName` made. */
export function channelId(suite: Suite, network: string, name: string): Promise<Bytes> {
  return hashIn(suite, network, "channel-id", utf8(name));
}

/** The hash of a private channel's member list, in any order. */
export function membersHash(suite: Suite, network: string, ascending: Uint8Array[]): Promise<Bytes> {
  return hashIn(suite, network, "grp-members", ...ascending);
}

/** The id of a public post, 16 bytes. */
export async function postId(suite: Suite, body: Uint8Array): Promise<Bytes> {
  return (await suite.sha256(concat(label("msg-id"), body))).slice(0, 16);
}

/** The id of a post of a private channel, 16 bytes. */
export async function sealedPostId(suite: Suite, ...signed: Uint8Array[]): Promise<Bytes> {
  return (await suite.sha256(concat(label("grp-id"), ...signed))).slice(0, 16);
}

/** What begins the prologue of a link: the secret of a closed network, hashed, or zeros. */
export async function networkSecret(suite: Suite, secret: Uint8Array | undefined): Promise<Bytes> {
  return secret === undefined ? new Uint8Array(32) : suite.sha256(concat(label("net-secret"), secret));
}

const GROUPS = 6;

/** What two people compare, in whatever form, to know that they have each other's keys (7.9): the same on both sides. */
export function safetyDigest(suite: Suite, one: Uint8Array, other: Uint8Array): Promise<Bytes> {
  return suite.sha256(concat(label("safety"), ...[one, other].sort(compare)));
}

/** The 30 digits of such a digest. */
export function safetyDigits(digest: Uint8Array): string {
  const groups: string[] = [];
  for (let group = 0; group < GROUPS; group++) {
    let number = 0;
    for (const byte of digest.subarray(5 * group, 5 * group + 5)) number = number * 256 + byte;
    groups.push(String(number % 100_000).padStart(5, "0"));
  }
  return groups.join(" ");
}
