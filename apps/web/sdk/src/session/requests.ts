// Questions to the server that are still open. Source: docs/protocol.md, section 4.2.

import type { Clock } from "../clock.ts";
import type { Kind } from "../wire/frame.ts";

/** How long an answer is waited for, in milliseconds (REQUEST_TIMEOUT). */
export const REQUEST_TIMEOUT_MS = 10_000;
/** Open questions at once. */
export const OUTSTANDING = 256;
/** A number that asked for a packet to be carried is not used again so long: a late status may name it (4.2). */
const DM_REQ_MS = 30_000;

/** What ends a question without an answer: its time is over, or its link is gone. */
export type NoAnswer = { is: "timeout" } | { is: "lost" };

interface Question {
  readonly answer: (kind: Kind | NoAnswer) => void;
  readonly stop: () => void;
}

/** The open questions of a session, by their numbers. */
export class Requests {
  readonly #clock: Clock;
  readonly #open = new Map<number, Question>();
  readonly #resting = new Set<number>();
  readonly #waiting: (() => void)[] = [];
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get hasRoom(): boolean {
    return this.#open.size < OUTSTANDING;
  }

  /** Waits until another question may be asked. */
  async room(): Promise<void> {
    while (!this.hasRoom) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Opens a question; `answer` is called exactly once. With `rests`, its number is not used again for 30 s. */
  ask(answer: (kind: Kind | NoAnswer) => void, rests = false): number {
    do {
      this.#last = (this.#last + 1) % 2 ** 32;
    } while (this.#last === 0 || this.#open.has(this.#last) || this.#resting.has(this.#last));
    const req = this.#last;
    const stop = this.#clock.after(REQUEST_TIMEOUT_MS, () => this.answer(req, { is: "timeout" }));
    this.#open.set(req, { answer, stop });
    if (rests) {
      this.#resting.add(req);
      this.#clock.after(DM_REQ_MS, () => this.#resting.delete(req));
    }
    return req;
  }

  /** Hands an answer to whoever asked under this number; `false` if nobody did. */
  answer(re: number, kind: Kind | NoAnswer): boolean {
    const question = this.#open.get(re);
    if (question === undefined) return false;
    this.#open.delete(re);
    question.stop();
    question.answer(kind);
    this.#waiting.shift()?.();
    return true;
  }

  /** The session is gone, and its answers with it. */
  lose(): void {
    for (const req of [...this.#open.keys()]) this.answer(req, { is: "lost" });
  }
}
