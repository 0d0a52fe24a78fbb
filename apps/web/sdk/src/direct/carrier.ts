// Packets on their way to the server, in the order in which they were sealed, at the rate that it takes.
// Source: docs/protocol.md, sections 4.2, 7.5 and 10.1.

import type { Bytes } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import { ChatError } from "../error.ts";
import { Mutex } from "../mutex.ts";
import { Bucket } from "../session/budget.ts";
import type { Session } from "../session/session.ts";
import type { Code } from "../wire/code.ts";
import type { SendDm } from "../wire/messages.ts";
import type { Outgoing } from "./outbox.ts";

/** The server takes this many packets a second, and at once, for 20 posts; a client keeps to 90 % of it. */
const PACKETS = [18, 90] as const;
/** Of these, handshakes that begin. */
const BEGINS = [0.9, 9] as const;
/** A late word about a packet comes within this, in milliseconds (4.2). */
const LATE_MS = 30_000;
/** How long to wait after `RATE_LIMITED` without advice, in milliseconds. */
const RATE_RETRY_MS = 1_000;

/** What a packet was about, should the server have a late word about it. */
export interface About {
  readonly peer: string;
  readonly sid: Bytes;
  readonly outgoing: Outgoing | undefined;
}

/** A budget that is waited for in turn: who came first goes first. */
export class Turns {
  readonly #clock: Clock;
  readonly #mutex = new Mutex();
  readonly #rate: readonly [number, number];
  #bucket: Bucket;

  constructor(clock: Clock, rate: readonly [perSecond: number, burst: number]) {
    this.#clock = clock;
    this.#rate = rate;
    this.#bucket = new Bucket(...rate, clock.now());
  }

  /** The budget is full again, and so many times as large. */
  refill(scale: number): void {
    const [perSecond, burst] = this.#rate;
    this.#bucket = new Bucket(perSecond * scale, burst * scale, this.#clock.now());
  }

  /** Resolves when it is one's turn. */
  wait(): Promise<void> {
    return this.#mutex.do(async () => {
      for (let now = this.#clock.now(); ; now = this.#clock.now()) {
        const at = this.#bucket.readyAt(1, now);
        if (at <= now) break;
        await new Promise<void>((resolve) => this.#clock.after(at - now, resolve));
      }
      this.#bucket.take(1);
    });
  }
}

/** Gives packets to the server. */
export class Carrier {
  readonly #clock: Clock;
  readonly #session: Session;
  readonly #packets: Turns;
  readonly #begins: Turns;
  readonly #late = new Map<number, About & { readonly at: number }>();

  constructor(clock: Clock, session: Session) {
    this.#clock = clock;
    this.#session = session;
    this.#packets = new Turns(clock, PACKETS);
    this.#begins = new Turns(clock, BEGINS);
  }

  /** A session began: its budgets are full. */
  fresh(): void {
    this.#packets.refill(this.#session.scale);
    this.#begins.refill(this.#session.scale);
  }

  /**
   * Carries a packet; `leaves` is told when it does. Gives what the server said.
   * @throws ChatError when the server refuses it or does not answer.
   */
  async carry(
    packet: SendDm,
    { isBegin, about, leaves }: { isBegin: boolean; about: About | undefined; leaves: () => void },
  ): Promise<Code> {
    for (;;) {
      if (isBegin) await this.#begins.wait();
      await this.#packets.wait();
      try {
        const answer = await this.#session.ask({ is: "sendDm", value: packet }, "direct message", (req) => {
          if (about !== undefined) this.#expect(req, about);
          leaves();
        });
        return answer.is === "dmStatus" ? answer.value.code : "OK";
      } catch (error) {
        if (!(error instanceof ChatError) || error.reason !== "RATE_LIMITED") throw error;
        await new Promise<void>((resolve) => this.#clock.after(error.retryMs ?? RATE_RETRY_MS, resolve));
      }
    }
  }

  /** What the packet of this number was about, if it left not long ago; told once. */
  late(req: number): About | undefined {
    const about = this.#late.get(req);
    this.#late.delete(req);
    return about;
  }

  #expect(req: number, about: About): void {
    const at = this.#clock.now();
    this.#late.delete(req);
    this.#late.set(req, { ...about, at });
    for (const [oldest, { at: then }] of this.#late) {
      if (then + LATE_MS > at) break;
      this.#late.delete(oldest);
    }
  }
}
