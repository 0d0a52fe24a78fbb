// Ids seen lately, in two sets that are swapped by age and by number. Source: docs/protocol.md, section 6.3.

/** Remembers what was seen for at least `everyMs`, and at most twice `capacity` ids. */
export class Seen {
  readonly #capacity: number;
  readonly #everyMs: number;
  #young = new Set<string>();
  #old = new Set<string>();
  #swapped: number;
  /** How often the sets were swapped because one was full, and so remembered less. */
  early = 0;

  constructor(capacity: number, everyMs: number, now: number) {
    this.#capacity = capacity;
    this.#everyMs = everyMs;
    this.#swapped = now;
  }

  /** Whether the id is remembered. */
  has(id: string, now: number): boolean {
    this.#age(now);
    return this.#young.has(id) || this.#old.has(id);
  }

  /** Remembers an id. */
  enter(id: string, now: number): void {
    this.#age(now);
    if (this.#young.size >= this.#capacity) {
      this.#swap(now);
      this.early += 1;
    }
    this.#young.add(id);
  }

  #age(now: number): void {
    const passed = now - this.#swapped;
    if (passed >= this.#everyMs) this.#swap(now);
    if (passed >= 2 * this.#everyMs) this.#old.clear();
  }

  #swap(now: number): void {
    this.#old = this.#young;
    this.#young = new Set();
    this.#swapped = now;
  }
}
