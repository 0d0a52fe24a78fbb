// The streams of others: each entry once, in its author's order, holes reported. Source: docs/protocol.md, section 6.3.

import { hex } from "../bytes.ts";
import type { Post } from "./post.ts";
import { Seen } from "./seen.ts";
import { Window } from "./window.ts";

/** Nothing stamped further from our clock is shown (TIME_WINDOW), in milliseconds. */
const TIME_WINDOW_MS = 300_000;
/** How long a missing number is waited for, from the arrival of a post behind it (REORDER_WAIT). */
export const REORDER_WAIT_MS = 500;
/** Streams with state; the least recently used goes. */
const STREAMS = 4_096;
/** A stream of which nothing came for so long is forgotten, in milliseconds. */
const STREAM_IDLE_MS = 20 * 60_000;
/** Posts held back behind holes, over all streams, and their content in bytes. */
const HELD_POSTS = 1_024;
const HELD_BYTES = 4 << 20;
/** CLIENT_SEEN. */
const SEEN_IDS = 65_536;
const SEEN_MS = 600_000;

interface Stream {
  readonly channel: string;
  readonly author: string;
  readonly window: Window;
  /** The number to show next; all below is shown, reported missing, or from before the start. */
  next: bigint;
  used: number;
  /** Posts behind a hole, in the order of their numbers. */
  held: { post: Post; since: number }[];
}

/** What comes out, in order. */
export type Release =
  | { is: "post"; post: Post }
  | { is: "gap"; channel: string; author: string; from: bigint; to: bigint };

/** What became of a post that arrived. */
export type Verdict = "taken" | "duplicate" | "late" | "stale";

/** All streams of others, and the ids seen. Channels are named by their hexadecimal ids, authors by their text. */
export class Order {
  /** In the order of use: the first one was used longest ago. */
  readonly #streams = new Map<string, Stream>();
  readonly #seen: Seen;
  #held = 0;
  #heldBytes = 0;

  constructor(now: number) {
    this.#seen = new Seen(SEEN_IDS, SEEN_MS, now);
  }

  /** Takes a post whose signature is good and whose channel is joined. What is to be shown goes to `out`. */
  receive(now: number, wallMs: number, post: Post, out: Release[]): Verdict {
    if (Math.abs(post.timeMs - wallMs) > TIME_WINDOW_MS) return "stale";
    const id = hex(post.id);
    if (this.#seen.has(id, now)) return "duplicate";
    const [channel, author] = [hex(post.channel), post.from];
    const name = `${channel}.${author}.${post.stream}`;
    const stream = this.#streams.get(name) ?? this.#begin(now, channel, author, post.seq, out);
    const [first, next] = [post.seq, post.seq + BigInt(post.entries.length)];
    if (stream.window.hasAny(first, next)) return "duplicate";
    this.#streams.delete(name);
    this.#streams.set(name, stream);
    stream.used = now;
    stream.window.enter(first, next);
    this.#seen.enter(id, now);
    if (first < stream.next) return "late";
    this.#hold(stream, post, now);
    this.#releaseReady(stream, out);
    while (this.#held > HELD_POSTS || this.#heldBytes > HELD_BYTES) this.#skipOldest(out);
    return "taken";
  }

  /** Gives up waiting where the time is over, and forgets what is over age. */
  expire(now: number, out: Release[]): void {
    for (const [name, stream] of this.#streams) {
      while ((stream.held[0]?.since ?? now) + REORDER_WAIT_MS <= now) this.#skipHole(stream, out);
      if (stream.used + STREAM_IDLE_MS <= now) this.#end(name, stream, out);
    }
  }

  /** When a hole is waited for no longer; `undefined` if there is none. */
  get deadline(): number | undefined {
    if (this.#held === 0) return undefined;
    let earliest = Number.POSITIVE_INFINITY;
    for (const { held } of this.#streams.values()) {
      for (const { since } of held) earliest = Math.min(earliest, since + REORDER_WAIT_MS);
    }
    return earliest;
  }

  /** Forgets a channel's streams: the user left. The ids stay, so nothing is shown again after another join. */
  forget(channel: string): void {
    for (const [name, stream] of this.#streams) {
      if (stream.channel !== channel) continue;
      for (const { post } of stream.held) this.#drop(post);
      this.#streams.delete(name);
    }
  }

  /**
   * A stream of this author ended with this number, as a later stream of theirs says (8.1): what is missing before it
   * is reported.
   */
  endAt(channel: string, author: string, number: bigint, last: bigint, out: Release[]): void {
    const stream = this.#streams.get(`${channel}.${author}.${number}`);
    if (stream === undefined) return;
    while (stream.held.length > 0) this.#skipHole(stream, out);
    if (stream.next <= last) {
      out.push({ is: "gap", channel, author, from: stream.next, to: last });
      stream.next = last + 1n;
    }
  }

  #begin(now: number, channel: string, author: string, first: bigint, out: Release[]): Stream {
    if (this.#streams.size >= STREAMS) {
      const [oldest] = this.#streams;
      if (oldest !== undefined) this.#end(oldest[0], oldest[1], out);
    }
    return { channel, author, window: new Window(first), next: first, used: now, held: [] };
  }

  #hold(stream: Stream, post: Post, since: number): void {
    const at = stream.held.findIndex((held) => held.post.seq > post.seq);
    stream.held.splice(at < 0 ? stream.held.length : at, 0, { post, since });
    this.#held += 1;
    this.#heldBytes += sizeOf(post);
  }

  #drop(post: Post): void {
    this.#held -= 1;
    this.#heldBytes -= sizeOf(post);
  }

  #releaseReady(stream: Stream, out: Release[]): void {
    for (
      let held = stream.held[0];
      held !== undefined && held.post.seq === stream.next;
      held = stream.held[0]
    ) {
      stream.held.shift();
      this.#drop(held.post);
      stream.next = held.post.seq + BigInt(held.post.entries.length);
      out.push({ is: "post", post: held.post });
    }
  }

  #skipHole(stream: Stream, out: Release[]): void {
    const first = stream.held[0]?.post.seq;
    if (first === undefined) return;
    if (first > stream.next) {
      const { channel, author } = stream;
      out.push({ is: "gap", channel, author, from: stream.next, to: first - 1n });
    }
    stream.next = first;
    this.#releaseReady(stream, out);
  }

  #skipOldest(out: Release[]): void {
    let oldest: Stream | undefined;
    for (const stream of this.#streams.values()) {
      if (
        stream.held.length > 0 &&
        (stream.held[0]?.since ?? 0) < (oldest?.held[0]?.since ?? Number.POSITIVE_INFINITY)
      ) {
        oldest = stream;
      }
    }
    if (oldest !== undefined) this.#skipHole(oldest, out);
  }

  #end(name: string, stream: Stream, out: Release[]): void {
    while (stream.held.length > 0) this.#skipHole(stream, out);
    this.#streams.delete(name);
  }
}

function sizeOf(post: Post): number {
  return post.entries.reduce((sum, entry) => sum + entry.content.length, 0);
}
