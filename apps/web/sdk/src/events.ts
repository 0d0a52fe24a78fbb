// Listeners by name, and the DOM's own events for those who want them.

/** An `EventTarget` whose listeners also come as plain functions with a typed value. */
export class Emitter<Events extends object> extends EventTarget {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls `fn` with each event of that name; what is returned stops it. */
  on<K extends keyof Events>(type: K, fn: (event: Events[K]) => void): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    listeners.add(fn);
    return () => {
      listeners.delete(fn);
    };
  }

  /** A listener that throws stops nobody else. */
  protected emit<K extends keyof Events & string>(type: K, event: Events[K]): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        (listener as (event: Events[K]) => void)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    this.dispatchEvent(Object.assign(new Event(type), { detail: event }));
  }
}
