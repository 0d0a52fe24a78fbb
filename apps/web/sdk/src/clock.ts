// Time, passed in, so that tests own it.

/** What tells time and wakes. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Unix milliseconds, as this machine believes. */
  wall(): number;
  /** Calls `wake` once, after so many milliseconds; what is returned prevents that. */
  after(ms: number, wake: () => void): () => void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, wake) {
    const timer = setTimeout(wake, ms);
    return () => clearTimeout(timer);
  },
};

/** One wake-up that is always the earliest one asked for. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #at = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Wakes at `at` if nothing earlier is set. */
  by(at: number): void {
    if (at >= this.#at) return;
    this.#cancel?.();
    this.#at = at;
    this.#cancel = this.#clock.after(Math.max(0, at - this.#clock.now()), () => {
      this.#at = Number.POSITIVE_INFINITY;
      this.#cancel = undefined;
      this.#ring();
    });
  }

  /** Wakes no more until set again. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#at = Number.POSITIVE_INFINITY;
  }
}

/** `span` milliseconds, up to `percent` more or less. */
export function around(span: number, percent: number, random: () => number = Math.random): number {
  return Math.round(span * (1 + ((random() * 2 - 1) * percent) / 100));
}
