// A clock that a test moves: nothing waits in real time.

import type { Clock } from "../src/clock.ts";

/**
 * Turns of the event loop until everything is quiet. The fallback's cryptography needs no more than one; that of
 * WebCrypto runs in threads of its own, whose time no test owns.
 */
const TURNS = 3;

/** Lets everything happen that needs no time. */
export async function settle(turns: number = TURNS): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Time that passes when the test says so. */
export class TestClock implements Clock {
  #now = 0;
  #alarms: { at: number; wake: () => void }[] = [];
  /** Where the wall clock stood when this clock stood at 0. */
  wallStart = 1_800_000_000_000;

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.wallStart + this.#now;
  }

  after(ms: number, wake: () => void): () => void {
    const alarm = { at: this.#now + ms, wake };
    this.#alarms.push(alarm);
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm);
    };
  }

  /** Lets so much time pass, one alarm after the other, and everything that follows from each. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#alarms.reduce<{ at: number; wake: () => void } | undefined>(
        (earliest, alarm) => (earliest === undefined || alarm.at < earliest.at ? alarm : earliest),
        undefined,
      );
      if (next === undefined || next.at > until) break;
      this.#alarms = this.#alarms.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
    this.#now = until;
    await settle();
  }
}
