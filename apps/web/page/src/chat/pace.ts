// Shows changes at once while they are few, and together when they come fast.

/** Milliseconds between two showings: below what a person notices, above what showing costs. */
const EVERY_MS = 100;

/** Calls `show` soon after something was touched, at most ten times a second. */
export class Pace {
  readonly #show: () => void;
  #shown = Number.NEGATIVE_INFINITY;
  #isDue = false;

  constructor(show: () => void) {
    this.#show = show;
  }

  /** Something changed. */
  touch(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    const wait = Math.max(0, this.#shown + EVERY_MS - performance.now());
    setTimeout(() => {
      this.#isDue = false;
      this.#show();
      this.#shown = performance.now();
    }, wait);
  }
}
