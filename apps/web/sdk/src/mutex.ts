// One thing after the other, where each of them waits for something.

/** Runs tasks in the order in which they were given, one at a time. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  /** Runs `task` when all before it have ended, however they ended. */
  do<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => {});
    return result;
  }
}
