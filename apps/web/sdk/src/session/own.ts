// Our own stream in one channel: coalescing, order, repeats. Source: docs/protocol.md, sections 5.2 and 6.1.

import type { Bytes } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import { randomNumber } from "../crypto/suite.ts";
import { ChatError, refusal } from "../error.ts";
import type { Kind } from "../wire/frame.ts";
import { MAX_DELIVER, MAX_ENTRIES, MAX_PAYLOAD, MAX_POST_HEADERS } from "../wire/limits.ts";
import type { Entry, Ok } from "../wire/messages.ts";
import type { Budgets } from "./budget.ts";
import type { Envelope } from "./post.ts";
import { type NoAnswer, REQUEST_TIMEOUT_MS, type Requests } from "./requests.ts";

/** Content that waits is cut into a post here, in bytes (COALESCE). */
const COALESCE_BYTES = 16_384;
/** Posts of a stream without an answer (COALESCE_UNACKED). */
const UNACKED = 16;
/** Entries of a channel that wait or have no answer, and their content in bytes. */
const QUEUED_ENTRIES = 2_048;
const QUEUED_BYTES = 2 << 20;
/** How long to wait after `RATE_LIMITED` without advice, in milliseconds. */
const RATE_RETRY_MS = 1_000;
/** A private channel's stream has at most so many numbers (8.1); a public one keeps to it too. */
const STREAM_NUMBERS = 2n ** 32n;
/** Around an entry and around a header, in bytes, at most. */
const AROUND_ENTRY = 40;
const AROUND_HEADER = 16;

/** What `send` ends with: `id` is 17 bytes. */
export interface Sent {
  readonly id: Bytes;
  readonly local: number;
  readonly servers: number;
}

interface Waiting {
  readonly entry: Entry;
  readonly since: number;
  readonly done: (sent: Sent) => void;
  readonly failed: (error: ChatError) => void;
}

interface OwnPost {
  readonly id: Bytes;
  readonly deliver: Bytes;
  readonly waiting: Waiting[];
  /** 0 while it is not out. */
  req: number;
  times: number;
}

/** What a stream needs of the session. */
export interface Way {
  readonly clock: Clock;
  readonly requests: Requests;
  readonly budgets: () => Budgets;
  readonly maxPayload: () => number;
  /** Sends a frame that asks. */
  readonly send: (kind: Kind, req: number) => void;
  /** Calls `pump` again at this moment at the latest. */
  readonly wakeBy: (at: number) => void;
}

/** One stream of ours. */
export class OwnStream {
  readonly #way: Way;
  readonly #envelope: Envelope;
  readonly #waiting: Waiting[] = [];
  readonly #posts: OwnPost[] = [];
  readonly #idle: (() => void)[] = [];
  #number = randomNumber();
  #next = 1n;
  #entries = 0;
  #bytes = 0;
  #isOpen = false;
  #isClosing = false;
  #holdUntil = 0;
  /** The name that the next posts claim. */
  name: string;

  constructor(way: Way, envelope: Envelope, name: string) {
    this.#way = way;
    this.#envelope = envelope;
    this.name = name;
  }

  /** The stream's number, by which we know our own posts. */
  get number(): bigint {
    return this.#number;
  }

  /** Queues an entry. Resolves when our server has taken it. */
  push(entry: Entry): Promise<Sent> {
    const length = entry.content.length;
    const max = this.#way.maxPayload();
    if (length > max) return Promise.reject(new ChatError("too-large", `${length} of at most ${max} bytes`));
    if (this.#entries >= QUEUED_ENTRIES || this.#bytes + length > QUEUED_BYTES) {
      return Promise.reject(new ChatError("refused", "too much waits to be sent", { reason: "LIMIT" }));
    }
    this.#entries += 1;
    this.#bytes += length;
    return new Promise((done, failed) => {
      this.#waiting.push({ entry, since: this.#way.clock.now(), done, failed });
      this.pump();
    });
  }

  /** The channel is joined: what waits may go. */
  open(): void {
    this.#isOpen = true;
    this.pump();
  }

  /** The session is gone: what has no answer goes again, in order, when the channel is joined anew. */
  close(): void {
    this.#isOpen = false;
    this.#holdUntil = 0;
    for (const post of this.#posts) post.req = 0;
    this.#way.wakeBy(this.#way.clock.now() + REQUEST_TIMEOUT_MS);
  }

  /** The link was replaced by one that resumes: what is out may go twice. */
  repeat(): void {
    for (const post of this.#posts) if (post.req !== 0) post.times += 1;
  }

  /** Ends the stream; whatever waits fails. */
  end(error: ChatError): void {
    this.#isOpen = false;
    for (const waiting of this.#posts.splice(0).flatMap((post) => post.waiting)) this.#fail(waiting, error);
    for (const waiting of this.#waiting.splice(0)) this.#fail(waiting, error);
    this.#settle();
  }

  /** Resolves when nothing waits and nothing is unanswered. */
  drained(): Promise<void> {
    if (this.#entries === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Does whatever may be done now: repeats, cuts, sends, gives up. */
  pump(): void {
    const now = this.#way.clock.now();
    if (!this.#isOpen) return this.#expire(now);
    if (this.#holdUntil > now) return this.#way.wakeBy(this.#holdUntil);
    if (!this.#sendReady(now)) return;
    if (this.#isClosing || this.#posts.length >= UNACKED) return;
    const [count, bytes, isFull] = this.#cuttable();
    if (count === 0 || (this.#posts.length > 0 && !isFull)) return;
    const at = this.#way.budgets().postAt(now, this.#cost(count, bytes), bytes);
    if (at > now) return this.#way.wakeBy(at);
    this.#way.budgets().takePost(this.#cost(count, bytes), bytes);
    void this.#cut(count);
  }

  /** Sends the next post that is not out, unless a later one is still unanswered. `true` if none is left. */
  #sendReady(now: number): boolean {
    for (const [at, post] of this.#posts.entries()) {
      if (post.req !== 0) continue;
      if (this.#posts.slice(at).some((later) => later.req !== 0) || !this.#way.requests.hasRoom) return false;
      if (post.times > 0) {
        const cost = this.#cost(post.waiting.length, post.deliver.length);
        const ready = this.#way.budgets().postAt(now, cost, post.deliver.length);
        if (ready > now) {
          this.#way.wakeBy(ready);
          return false;
        }
        this.#way.budgets().takePost(cost, post.deliver.length);
      }
      post.times += 1;
      post.req = this.#way.requests.ask((answer) => this.#answered(post, answer));
      this.#way.send({ is: "publish", value: { deliver: post.deliver } }, post.req);
    }
    return true;
  }

  /** A post of a private channel costs an entry for each KiB begun (8.1); padding may double a short one. */
  #cost(entries: number, bytes: number): number {
    return this.#envelope.isSealed ? Math.ceil((bytes + Math.min(bytes, 4_096)) / 1_024) : entries;
  }

  /** How many entries make the next post, about how many bytes it has, and whether no more fit. */
  #cuttable(): [number, number, boolean] {
    const most = Math.min(COALESCE_BYTES, this.#way.maxPayload());
    let [count, content, headers, bytes] = [0, 0, 0, this.#envelope.overhead];
    for (const { entry } of this.#waiting) {
      content += entry.content.length;
      headers += entry.headers.size;
      const size = sizeOf(entry);
      const fits = content <= most && bytes + size <= MAX_DELIVER && headers <= MAX_POST_HEADERS;
      if (count > 0 && (!fits || count === MAX_ENTRIES)) return [count, bytes, true];
      count += 1;
      bytes += size;
    }
    return [count, bytes, count === MAX_ENTRIES || content >= most];
  }

  async #cut(count: number): Promise<void> {
    this.#isClosing = true;
    const waiting = this.#waiting.splice(0, count);
    if (this.#envelope.wantsNewStream() || this.#next + BigInt(count) > STREAM_NUMBERS) {
      this.#number = randomNumber();
      this.#next = 1n;
    }
    const seq = this.#next;
    this.#next += BigInt(count);
    try {
      const closed = await this.#envelope.close({
        stream: this.#number,
        seq,
        timeMs: this.#way.clock.wall(),
        name: this.name,
        entries: waiting.map(({ entry }) => entry),
      });
      this.#posts.push({ ...closed, waiting, req: 0, times: 0 });
    } catch (error) {
      const why =
        error instanceof ChatError ? error : new ChatError("refused", "the message cannot be signed");
      for (const one of waiting) this.#fail(one, why);
    }
    this.#isClosing = false;
    this.#settle();
    this.pump();
  }

  #answered(post: OwnPost, answer: Kind | NoAnswer): void {
    if (answer.is === "lost") {
      post.req = 0;
      return;
    }
    if (answer.is === "error" && answer.value.code === "RATE_LIMITED") {
      post.req = 0;
      const wait = answer.value.retryMs === 0 ? RATE_RETRY_MS : answer.value.retryMs;
      this.#holdUntil = Math.max(this.#holdUntil, this.#way.clock.now() + wait);
      return this.pump();
    }
    this.#posts.splice(this.#posts.indexOf(post), 1);
    const isRepeat = answer.is === "error" && answer.value.code === "DUPLICATE" && post.times > 1;
    if (answer.is === "ok") this.#done(post, answer.value);
    else if (isRepeat) this.#done(post, { local: 0, servers: 0, spread: false });
    else {
      const error =
        answer.is === "timeout"
          ? new ChatError("timeout", "the server did not answer")
          : answer.is === "error"
            ? refusal("not sent", answer.value.code, answer.value.retryMs)
            : new ChatError("refused", "the server answered with something else");
      for (const waiting of post.waiting) this.#fail(waiting, error);
    }
    this.#settle();
    this.pump();
  }

  #done(post: OwnPost, { local, servers }: Ok): void {
    for (const [index, waiting] of post.waiting.entries()) {
      const id = new Uint8Array(17);
      id.set(post.id);
      id[16] = index;
      this.#release(waiting);
      waiting.done({ id, local, servers });
    }
  }

  /** Without a session nothing waits longer than a question would. */
  #expire(now: number): void {
    const isOld = ({ since }: Waiting): boolean => since + REQUEST_TIMEOUT_MS <= now;
    const error = new ChatError("timeout", "there was no connection for too long");
    while (this.#posts[0]?.waiting.some(isOld))
      for (const one of this.#posts.shift()?.waiting ?? []) this.#fail(one, error);
    while (this.#waiting[0] !== undefined && isOld(this.#waiting[0])) {
      const one = this.#waiting.shift();
      if (one !== undefined) this.#fail(one, error);
    }
    this.#settle();
    const oldest = this.#posts[0]?.waiting[0] ?? this.#waiting[0];
    if (oldest !== undefined) this.#way.wakeBy(oldest.since + REQUEST_TIMEOUT_MS);
  }

  #fail(waiting: Waiting, error: ChatError): void {
    this.#release(waiting);
    waiting.failed(error);
  }

  #release(waiting: Waiting): void {
    this.#entries -= 1;
    this.#bytes -= waiting.entry.content.length;
  }

  #settle(): void {
    if (this.#entries === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** About as many bytes as an entry takes; never fewer. */
function sizeOf(entry: Entry): number {
  let size = AROUND_ENTRY + entry.content.length + 3 * entry.contentType.length;
  for (const [name, value] of entry.headers) size += AROUND_HEADER + 3 * name.length + value.length;
  return size;
}

/** The most content that a server with this announcement takes in one post. */
export function payloadLimit(announced: number): number {
  return announced > 0 && announced < MAX_PAYLOAD ? announced : MAX_PAYLOAD;
}
