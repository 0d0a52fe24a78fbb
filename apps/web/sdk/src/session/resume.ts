// What of a session outlives a lost link, so that the next one goes on with it. Source: docs/protocol.md, section 5.4.

import { type Bytes, equal } from "../bytes.ts";
import type { Resume, Welcome } from "../wire/messages.ts";

/** Frames without an acknowledgement, in number and bytes. */
const RING_FRAMES = 1_024;
const RING_BYTES = 2 << 20;
/** A ping tells what was processed at least after so many frames, either way. */
const ACK_FRAMES = 64n;
/** And when so many bytes wait for an acknowledgement. */
const ACK_BYTES = 131_072;

/** Counters, and the frames that both ends need to agree on after a lost link. */
export class Resuming {
  #token: { token: Bytes; server: Bytes; spanMs: number } | undefined;
  #received = 0n;
  #told = 0n;
  #ring: Bytes[] = [];
  #bytes = 0;
  /** Our frames before the first one in the ring. */
  #before = 0n;
  #asked = 0n;
  #until: number | undefined;
  #isOffered = false;

  /** A session begins, or goes on, with this token for the next time. */
  welcomed(welcome: Welcome, server: Bytes, isAgreed: boolean): void {
    const isKept = isAgreed && welcome.resumeToken.length > 0 && welcome.resumeMs > 0;
    this.#token = isKept ? { token: welcome.resumeToken, server, spanMs: welcome.resumeMs } : undefined;
    this.#until = undefined;
    this.#isOffered = false;
  }

  /** A frame of the server was processed. */
  received(): void {
    this.#received += 1n;
  }

  /** A frame goes out that the server counts. */
  sent(frame: Bytes): void {
    if (this.#token === undefined) return;
    this.#ring.push(frame);
    this.#bytes += frame.length;
    while (this.#ring.length > RING_FRAMES || this.#bytes > RING_BYTES) this.#forget();
  }

  /** The server has processed so many of our frames. */
  acked(received: bigint): void {
    while (this.#before < received && this.#ring.length > 0) this.#forget();
  }

  /** Whether the server is to hear what was processed, or to say what it has. */
  get wantsPing(): boolean {
    const unasked = this.#count - this.#asked;
    const isFull = unasked >= ACK_FRAMES || (unasked > 0n && this.#bytes >= ACK_BYTES);
    return this.#token !== undefined && (this.#received - this.#told >= ACK_FRAMES || isFull);
  }

  /** What a pong says. */
  tell(): bigint {
    this.#told = this.#received;
    return this.#received;
  }

  /** What a ping says. */
  ask(): bigint {
    this.#asked = this.#count;
    return this.tell();
  }

  /** The link is lost: until when its session may be resumed, if at all. */
  lose(now: number): number | undefined {
    this.#isOffered = false;
    if (this.#token === undefined) return undefined;
    this.#until ??= now + this.#token.spanMs;
    return this.#until > now ? this.#until : undefined;
  }

  /** What to give to this server, if it is the one that keeps our session. */
  offer(now: number, server: Bytes): Resume | undefined {
    const token = this.#token;
    this.#isOffered = token !== undefined && (this.#until ?? 0) > now && equal(token.server, server);
    return token !== undefined && this.#isOffered
      ? { token: token.token, received: this.#received }
      : undefined;
  }

  /** The server goes on and has so many of our frames: those that go again; `undefined` if that cannot be. */
  again(received: bigint): Bytes[] | undefined {
    if (!this.#isOffered || received < this.#before || received > this.#count) return undefined;
    this.acked(received);
    const frames = this.#ring;
    this.#ring = [];
    this.#bytes = 0;
    this.#told = this.#received;
    this.#asked = received;
    return frames;
  }

  /** The session is over. */
  clear(): void {
    this.#token = undefined;
    this.#received = this.#told = this.#before = this.#asked = 0n;
    this.#ring = [];
    this.#bytes = 0;
    this.#until = undefined;
    this.#isOffered = false;
  }

  get #count(): bigint {
    return this.#before + BigInt(this.#ring.length);
  }

  #forget(): void {
    this.#bytes -= this.#ring.shift()?.length ?? 0;
    this.#before += 1n;
  }
}
