// What we say to people until they have acknowledged it. Source: docs/protocol.md, section 7.5.

import { type Bytes, hex } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import { ChatError } from "../error.ts";
import type { DmContent } from "../wire/messages.ts";

/** DM_OUTBOX: messages, and their bytes. */
const MESSAGES = 256;
const BYTES = 1 << 20;
/** DM_ACK, RETRY, GIVE_UP in milliseconds: an ack is waited for so long, this often, and never longer. */
const RETRY_MS = 3_000;
const TRIES = 3;
const GIVE_UP_MS = 30_000;
/** A first try for which some server had no room goes again so much later, in milliseconds. */
const REPEAT_MS = 1_000;

/** One content on its way to all devices of a user. */
export class Outgoing {
  readonly user: Bytes;
  readonly content: DmContent;
  /** Devices that a packet with it was given to, each with the session and when. */
  readonly sent = new Map<string, { readonly sid: Bytes; readonly at: number }>();
  /** Devices that are gone. */
  readonly gone = new Set<string>();
  tries = 0;
  isOver = false;
  readonly #clock: Clock;
  readonly #retry: () => void;
  readonly #repeat: () => void;
  readonly #done: (received: boolean) => void;
  readonly #failed: (error: ChatError) => void;
  readonly #stopGivingUp: () => void;
  #hasLeft = false;
  #stopRetry = (): void => {};

  constructor(
    clock: Clock,
    user: Bytes,
    content: DmContent,
    on: {
      retry: (one: Outgoing) => void;
      repeat: (one: Outgoing) => void;
      done: (received: boolean) => void;
      failed: (error: ChatError) => void;
    },
  ) {
    this.#clock = clock;
    this.user = user;
    this.content = content;
    this.#retry = () => on.retry(this);
    this.#repeat = () => on.repeat(this);
    this.#done = on.done;
    this.#failed = on.failed;
    this.#stopGivingUp = clock.after(GIVE_UP_MS, () => this.#giveUp());
  }

  get key(): string {
    return hex(this.content.id);
  }

  /** A device acknowledged it. */
  acknowledged(): void {
    this.#end(() => this.#done(true));
  }

  /** It will not arrive; but what has left may have, whatever silence followed. */
  fail(error: ChatError): void {
    this.#end(() => (this.#hasLeft && error.code === "timeout" ? this.#done(false) : this.#failed(error)));
  }

  /** A packet with it has left for a device: an acknowledgement is due. */
  left(peer: string, sid: Bytes): void {
    const isFirst = this.sent.size === 0 || this.sent.size === this.gone.size;
    this.#hasLeft = true;
    this.sent.set(peer, { sid, at: this.#clock.now() });
    if (!isFirst || this.isOver) return;
    this.#stopRetry();
    this.#stopRetry = this.#clock.after(RETRY_MS, () =>
      this.tries < TRIES ? this.#retry() : this.#giveUp(),
    );
  }

  /** Some server had no room for it. Only the first time that hastens the next try: a server may say so of everything. */
  cut(): void {
    if (this.tries !== 1 || this.isOver) return;
    this.#stopRetry();
    this.#stopRetry = this.#clock.after(REPEAT_MS, () => this.#repeat());
  }

  /** A new try begins: devices are looked for again. */
  begin(): void {
    this.tries += 1;
    this.sent.clear();
    this.gone.clear();
    this.#stopRetry();
  }

  #giveUp(): void {
    this.fail(new ChatError("timeout", "there was no way to the recipient in time"));
  }

  #end(tell: () => void): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#stopRetry();
    this.#stopGivingUp();
    tell();
  }
}

/** All that is on its way. */
export class Outbox {
  readonly #outgoing = new Map<string, Outgoing>();
  #bytes = 0;

  /** @throws ChatError `refused` when too much waits. */
  add(one: Outgoing): void {
    const { length } = one.content.body;
    if (this.#outgoing.size >= MESSAGES || this.#bytes + length > BYTES) {
      const error = new ChatError("refused", "too much waits to be acknowledged", { reason: "LIMIT" });
      one.fail(error);
      throw error;
    }
    this.#outgoing.set(one.key, one);
    this.#bytes += length;
  }

  remove(one: Outgoing): void {
    if (this.#outgoing.delete(one.key)) this.#bytes -= one.content.body.length;
  }

  find(id: Bytes): Outgoing | undefined {
    return this.#outgoing.get(hex(id));
  }

  all(): Outgoing[] {
    return [...this.#outgoing.values()];
  }
}
