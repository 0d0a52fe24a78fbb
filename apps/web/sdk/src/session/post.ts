// A post as it is shown, whatever carried it: a public one, or one of a private channel.

import type { Bytes } from "../bytes.ts";
import type { Entry } from "../wire/messages.ts";

/** A post whose signature was found good. */
export interface Post {
  /** 16 bytes. */
  readonly id: Bytes;
  readonly channel: Bytes;
  readonly author: Bytes;
  /** The author's key as text. */
  readonly from: string;
  readonly stream: bigint;
  /** The number of the first entry. */
  readonly seq: bigint;
  readonly timeMs: number;
  /** The name that the author claims. */
  readonly name: string;
  readonly entries: Entry[];
  /** In a private channel: the author's stream before this one, and its last number. */
  readonly before?: { stream: bigint; seq: bigint };
}

/** Why a post was not taken (13.2). */
export type Unfit = "bad_signature" | "undecryptable" | "malformed" | "ignored";

/** What is to be sent: entries with their place in a stream. */
export interface Draft {
  readonly stream: bigint;
  readonly seq: bigint;
  readonly timeMs: number;
  readonly name: string;
  readonly entries: Entry[];
}

/** How the posts of a channel are closed and opened: signed in public, or sealed for members. */
export interface Envelope {
  /** Bytes around the entries of a post, at most. */
  readonly overhead: number;
  /** Whether servers count its posts by size (8.1). */
  readonly isSealed: boolean;
  /** The encoded `Deliver` of a draft, and its post id. */
  close(draft: Draft): Promise<{ deliver: Bytes; id: Bytes }>;
  /** The post in a `Deliver` that came on this channel, or why it is none. */
  open(envelope: Bytes, sealed: Bytes): Promise<Post | Unfit>;
  /** Whether the stream at hand may not be used any more, and another number must be taken (8.1). */
  wantsNewStream(): boolean;
}
