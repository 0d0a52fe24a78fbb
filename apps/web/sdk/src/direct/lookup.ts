// Where the devices of a user are. Source: docs/protocol.md, sections 7.2 and 9.7.

import { type Bytes, hex } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import type { Suite } from "../crypto/suite.ts";
import type { Session } from "../session/session.ts";
import { type Bundle, openBundle } from "./bundle.ts";
import { Turns } from "./carrier.ts";

/** Devices of a user that are used, newest first (7.2). */
const DEVICES = 8;
/** An answer serves for so long, in milliseconds (7.8): devices come and go. */
const KEEP_MS = 5_000;
/** Answers that are kept. */
const KEPT = 1_024;
/** The server takes this many a second, and at once, for 20 posts (10.1); a client keeps to 90 % of it. */
const LOOKUPS = [4.5, 18] as const;

/** Asks for users, and remembers the answers for a while. */
export class Lookups {
  readonly #suite: Suite;
  readonly #clock: Clock;
  readonly #session: Session;
  readonly #network: string;
  readonly #turns: Turns;
  readonly #kept = new Map<string, { at: number; answer: Promise<Bundle[]> }>();

  constructor(suite: Suite, clock: Clock, session: Session, network: string) {
    this.#suite = suite;
    this.#clock = clock;
    this.#session = session;
    this.#network = network;
    this.#turns = new Turns(clock, LOOKUPS);
  }

  /**
   * The bundles of a user, newest first; none if they are not online.
   * @throws ChatError when the server does not answer or refuses.
   */
  find(user: Bytes): Promise<Bundle[]> {
    const name = hex(user);
    const kept = this.#kept.get(name);
    if (kept !== undefined && kept.at + KEEP_MS > this.#clock.now()) return kept.answer;
    const answer = this.#ask(user);
    this.#kept.delete(name);
    this.#kept.set(name, { at: this.#clock.now(), answer });
    for (const [oldest] of this.#kept) {
      if (this.#kept.size <= KEPT) break;
      this.#kept.delete(oldest);
    }
    answer.then(
      (bundles) => {
        if (bundles.length === 0) this.forget(user);
      },
      () => this.forget(user),
    );
    return answer;
  }

  /** The next question goes to the server again. */
  forget(user: Bytes): void {
    this.#kept.delete(hex(user));
  }

  /** A session began: what came over another one serves no more, and the budget is full. */
  fresh(): void {
    this.#kept.clear();
    this.#turns.refill(this.#session.scale);
  }

  async #ask(user: Bytes): Promise<Bundle[]> {
    await this.#turns.wait();
    const answer = await this.#session.ask({ is: "lookup", value: { user } }, "lookup");
    const found = answer.is === "found" ? answer.value.bundles : [];
    const wall = this.#clock.wall();
    const opened = await Promise.all(
      found.map((one) => openBundle(this.#suite, this.#network, one, wall, user)),
    );
    const newest = new Map<string, Bundle>();
    for (const bundle of opened) {
      if (bundle === undefined) continue;
      const before = newest.get(hex(bundle.device));
      if (before === undefined || before.notBeforeMs < bundle.notBeforeMs)
        newest.set(hex(bundle.device), bundle);
    }
    return [...newest.values()].sort((one, other) => other.notBeforeMs - one.notBeforeMs).slice(0, DEVICES);
  }
}
