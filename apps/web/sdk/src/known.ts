// The keys of servers met before: trusted on first contact, remembered, and a hard error when they change.

/** Remembers which key a server proved, under its address without the key. */
export interface KnownServers {
  load(address: string): Promise<string | undefined>;
  save(address: string, server: string): Promise<void>;
}

/** Remembers as long as the program runs. */
export class MemoryKnownServers implements KnownServers {
  readonly #known = new Map<string, string>();

  load(address: string): Promise<string | undefined> {
    return Promise.resolve(this.#known.get(address));
  }

  save(address: string, server: string): Promise<void> {
    this.#known.set(address, server);
    return Promise.resolve();
  }
}
