// Which of the last 1,024 numbers of a stream were seen. Source: docs/protocol.md, section 6.3.

/** Numbers that a window holds (STREAM_WINDOW). */
export const WINDOW = 1_024n;

/** The highest number seen, and a bitmap of the numbers up to it. */
export class Window {
  #highest: bigint;
  readonly #bits = new Uint8Array(Number(WINDOW) / 8);

  /** A window below whose first number nothing was seen. */
  constructor(first: bigint) {
    this.#highest = first - 1n;
  }

  /** Whether a number of `first` up to, not including, `next` was seen or lies below the window. */
  hasAny(first: bigint, next: bigint): boolean {
    if (first + WINDOW <= this.#highest) return true;
    for (let number = first; number < next && number <= this.#highest; number++) {
      const [byte, bit] = place(number);
      if (((this.#bits[byte] ?? 0) & bit) !== 0) return true;
    }
    return false;
  }

  /** Enters `first` up to, not including, `next`. */
  enter(first: bigint, next: bigint): void {
    for (let number = first; number < next; number++) {
      this.#raise(number);
      const [byte, bit] = place(number);
      this.#bits[byte] = (this.#bits[byte] ?? 0) | bit;
    }
  }

  #raise(number: bigint): void {
    if (number - this.#highest >= WINDOW) {
      this.#bits.fill(0);
    } else {
      for (let passed = this.#highest + 1n; passed <= number; passed++) {
        const [byte, bit] = place(passed);
        this.#bits[byte] = (this.#bits[byte] ?? 0) & ~bit;
      }
    }
    if (number > this.#highest) this.#highest = number;
  }
}

function place(number: bigint): [number, number] {
  const at = Number(number % WINDOW);
  return [at >> 3, 1 << (at & 7)];
}
