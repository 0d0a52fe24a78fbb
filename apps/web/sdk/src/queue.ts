// What arrived and was not read yet: bounded, and it says how much was lost.

/** Items that wait for a reader; beyond it new ones are counted instead of kept. */
const QUEUE_ITEMS = 4_096;

/** A queue that one reader reads with `for await`. */
export class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #readers: ((result: IteratorResult<T>) => void)[] = [];
  readonly #lost: (count: number) => T | undefined;
  readonly #onReturn: () => void;
  #missing = 0;
  #isEnded = false;

  /** `lost` makes the item that tells a slow reader how many it missed. */
  constructor(lost: (count: number) => T | undefined, onReturn: () => void = () => {}) {
    this.#lost = lost;
    this.#onReturn = onReturn;
  }

  /** Adds an item, or counts it as missed when the reader is too slow. */
  push(item: T): void {
    if (this.#isEnded) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) reader({ value: item, done: false });
    else if (this.#items.length < QUEUE_ITEMS && this.#missing === 0) this.#items.push(item);
    else this.#missing += 1;
  }

  /** Nothing more comes; what waits may still be read. */
  end(): void {
    this.#isEnded = true;
    for (const reader of this.#readers.splice(0)) reader({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return {
      next: () => this.#next(),
      return: () => {
        this.#onReturn();
        return Promise.resolve({ value: undefined, done: true });
      },
    };
  }

  #next(): Promise<IteratorResult<T>> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve({ value: item, done: false });
    if (this.#missing > 0) {
      const told = this.#lost(this.#missing);
      this.#missing = 0;
      if (told !== undefined) return Promise.resolve({ value: told, done: false });
    }
    if (this.#isEnded) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#readers.push(resolve));
  }
}
