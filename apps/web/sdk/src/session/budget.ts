// Token buckets, with which a client keeps to the rates that its server announces. Source: docs/protocol.md, 6.1, 10.1.

import type { HelloReply } from "../wire/messages.ts";

/** The share of a budget that a client uses: clocks and queues between the two ends differ. */
const CLIENT_SHARE = 0.9;
/** The share of that for `HERE` posts. */
const HERE_SHARE = 0.25;
/** The rates of the profile `public`, for what a server does not announce. */
export const PUBLIC = { posts: 20, entries: 200, frames: 100, bytes: 262_144 } as const;
/** Each burst stands so to its rate (10.1). */
const BURST = { posts: 5, entries: 4, frames: 4, bytes: 4 } as const;

/** A budget that refills at a steady rate up to its burst. */
export class Bucket {
  readonly #perMs: number;
  readonly #burst: number;
  #level: number;
  #filled: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#perMs = Math.max(1, perSecond) / 1_000;
    this.#burst = Math.max(1, burst);
    this.#level = this.#burst;
    this.#filled = now;
  }

  /** When `count` tokens are there. More than the burst is asked for as the burst: it may then go once. */
  readyAt(count: number, now: number): number {
    this.#level = Math.min(this.#burst, this.#level + (now - this.#filled) * this.#perMs);
    this.#filled = now;
    const missing = Math.min(count, this.#burst) - this.#level;
    // What is left after a division must not ask for one more look at the same moment.
    return missing <= 1e-9 ? now : now + Math.max(1, Math.ceil(missing / this.#perMs));
  }

  take(count: number): void {
    this.#level = Math.max(0, this.#level - count);
  }
}

/** What the server takes from us on one link, and our own share for `HERE`. */
export class Budgets {
  readonly #posts: Bucket;
  readonly #entries: Bucket;
  readonly #frames: Bucket;
  readonly #bytes: Bucket;
  readonly #here: Bucket;

  /** Full budgets at the announced rates. */
  constructor(
    reply: Pick<HelloReply, "postsPerS" | "entriesPerS" | "framesPerS" | "bytesPerS">,
    now: number,
  ) {
    const bucket = (announced: number, what: keyof typeof PUBLIC, share = 1): Bucket => {
      const rate = (announced === 0 ? PUBLIC[what] : announced) * CLIENT_SHARE * share;
      return new Bucket(rate, rate * BURST[what], now);
    };
    this.#posts = bucket(reply.postsPerS, "posts");
    this.#entries = bucket(reply.entriesPerS, "entries");
    this.#frames = bucket(reply.framesPerS, "frames");
    this.#bytes = bucket(reply.bytesPerS, "bytes");
    this.#here = bucket(reply.postsPerS, "posts", HERE_SHARE);
  }

  /** When a post of so many entries and bytes may leave. */
  postAt(now: number, entries: number, bytes: number): number {
    return Math.max(
      this.#posts.readyAt(1, now),
      this.#entries.readyAt(entries, now),
      this.frameAt(now, bytes),
    );
  }

  /** When another frame of so many bytes may leave. */
  frameAt(now: number, bytes: number): number {
    return Math.max(this.#frames.readyAt(1, now), this.#bytes.readyAt(bytes, now));
  }

  /** A post leaves. */
  takePost(entries: number, bytes: number): void {
    this.#posts.take(1);
    this.#entries.take(entries);
    this.takeFrame(bytes);
  }

  /** Another frame leaves. */
  takeFrame(bytes: number): void {
    this.#frames.take(1);
    this.#bytes.take(bytes);
  }

  /** Takes a `HERE` out of its share; `false` if there is no room for it now. */
  takeHere(now: number): boolean {
    if (this.#here.readyAt(1, now) > now) return false;
    this.#here.take(1);
    return true;
  }
}
