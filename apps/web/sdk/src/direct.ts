// Conversations with one person, and the inbox where they arrive.

import { type Bytes, EMPTY, hex, unhex } from "./bytes.ts";
import type { Suite } from "./crypto/suite.ts";
import type { Directs } from "./direct/directs.ts";
import { ChatError } from "./error.ts";
import { safetyDigest, safetyDigits } from "./hash.ts";
import { contentOf, type DirectMessage, type Missed, payloadOf, type SendOptions } from "./message.ts";
import { Queue } from "./queue.ts";
import { claimedName } from "./text/name.ts";
import { MAX_DM_BODY } from "./wire/limits.ts";
import { DM, type DmContent } from "./wire/messages.ts";

/** Messages that wait for the first reader. */
const UNREAD = 1_024;

/** A conversation with one person, end to end encrypted. */
export interface Direct {
  /** Their key, `u...`. */
  readonly peer: string;
  /** The 30 digits that are the same on both sides if nobody stands in between: compare them by another way. */
  safetyNumber(): Promise<string>;
  /** What those digits are of, 32 bytes: for `safetyWords` of `darkchat-sdk/words`, or a picture. */
  safetyDigest(): Promise<Uint8Array>;
  /**
   * Sends text or bytes, at most 57,344 bytes. `received` says that a device of theirs has acknowledged it; `false`,
   * that none did after three tries, so it may have arrived all the same.
   * @throws ChatError `not-here`, `too-large`, `refused`, `timeout` (no session could be made), `closed`.
   */
  send(data: string | Uint8Array, options?: SendOptions): Promise<{ id: string; received: boolean }>;
}

/** The public face of a conversation. */
export class DirectConversation implements Direct {
  readonly peer: string;
  readonly #suite: Suite;
  readonly #me: Bytes;
  readonly #directs: Directs;

  constructor(suite: Suite, me: Bytes, directs: Directs, peer: string) {
    this.#suite = suite;
    this.#me = me;
    this.#directs = directs;
    this.peer = peer;
  }

  async safetyNumber(): Promise<string> {
    return safetyDigits(await this.safetyDigest());
  }

  async safetyDigest(): Promise<Uint8Array> {
    return safetyDigest(this.#suite, this.#me, await this.#key());
  }

  async send(
    data: string | Uint8Array,
    options: SendOptions = {},
  ): Promise<{ id: string; received: boolean }> {
    const { isText, content, contentType, headers } = payloadOf(data, options);
    if (content.length > MAX_DM_BODY) {
      throw new ChatError("too-large", `${content.length} of at most ${MAX_DM_BODY} bytes`);
    }
    const replyTo = options.replyTo === undefined ? EMPTY : unhex(options.replyTo);
    if (replyTo === undefined || (replyTo.length !== 0 && replyTo.length !== 16)) {
      throw new ChatError("refused", "not the id of a direct message");
    }
    if (this.#directs.isBlocked(this.peer)) throw new ChatError("refused", "that key is blocked here");
    const kind = isText ? DM.TEXT : DM.DATA;
    const sent = await this.#directs.send(await this.#key(), {
      kind,
      body: content,
      contentType,
      headers,
      replyTo,
    });
    return { id: hex(sent.id), received: sent.received };
  }

  #key(): Promise<Bytes> {
    return this.#directs.key(this.peer);
  }
}

/** Where direct messages arrive. */
export class Inbox {
  readonly #queues = new Set<Queue<DirectMessage | Missed>>();
  #unread: (DirectMessage | Missed)[] = [];
  #isClosed = false;

  /** Another reader; the first one also gets what came before. */
  open(signal: AbortSignal | undefined): AsyncIterable<DirectMessage | Missed> {
    const lost = (count: number): Missed => ({
      type: "missed",
      channel: "",
      private: true,
      from: null,
      count,
      cause: "slow",
    });
    const queue: Queue<DirectMessage | Missed> = new Queue<DirectMessage | Missed>(lost, () =>
      this.#queues.delete(queue),
    );
    for (const item of this.#unread.splice(0)) queue.push(item);
    if (this.#isClosed || signal?.aborted) {
      queue.end();
      return queue;
    }
    this.#queues.add(queue);
    signal?.addEventListener("abort", () => {
      this.#queues.delete(queue);
      queue.end();
    });
    return queue;
  }

  /** A content came. */
  take(about: { from: string; peer: string; device: Bytes }, content: DmContent): void {
    const shown = contentOf(
      { ...content, content: content.body, isText: content.kind === DM.TEXT },
      {
        id: hex(content.id),
        from: about.from,
        name: claimedName(content.name),
        timeMs: content.timeMs,
        replyTo: hex(content.replyTo),
      },
    );
    if (shown === undefined) return;
    const message: DirectMessage = { type: "direct", ...shown, peer: about.peer, device: hex(about.device) };
    for (const queue of this.#queues) queue.push(message);
    if (this.#queues.size === 0) {
      this.#unread.push(message);
      if (this.#unread.length > UNREAD) this.#unread.shift();
    }
  }

  /** Nothing more comes. */
  close(): void {
    this.#isClosed = true;
    for (const queue of this.#queues) queue.end();
  }
}
