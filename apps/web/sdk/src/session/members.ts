// Who is in a channel, as far as entries tell. Source: docs/protocol.md, section 6.1, "HERE".

/** How often we say that we are there (HERE_EVERY), in milliseconds, and its jitter in percent. */
export const HERE_EVERY_MS = 120_000;
export const HERE_JITTER = 20;
/** After how long without an entry a member is forgotten (HERE_EXPIRE). */
export const HERE_EXPIRE_MS = 300_000;
/** We say it while we know of so many others at most. */
export const SMALL = 64;
/** Members that are known of one channel. */
const PER_CHANNEL = 256;

/** Somebody in a channel. */
export interface Member {
  /** The key, as text or in whatever form the owner names authors. */
  readonly user: string;
  /** The name that they claim there; may be empty. */
  readonly name: string;
}

/** What became known about a member. */
export interface MemberChange extends Member {
  readonly change: "came" | "renamed" | "left" | "expired";
}

/** The members of one channel. */
export class Members {
  /** In the order in which they were heard: the first one has been silent longest. */
  readonly #members = new Map<string, { name: string; heard: number }>();

  get size(): number {
    return this.#members.size;
  }

  /** All that are known. */
  list(): Member[] {
    return [...this.#members].map(([user, { name }]) => ({ user, name }));
  }

  /** Somebody wrote, whatever it was. */
  heard(now: number, user: string, name: string): MemberChange | undefined {
    const known = this.#members.get(user);
    if (known === undefined && this.#members.size >= PER_CHANNEL) return undefined;
    this.#members.delete(user);
    this.#members.set(user, { name, heard: now });
    if (known === undefined) return { change: "came", user, name };
    return known.name === name ? undefined : { change: "renamed", user, name };
  }

  /** Somebody says that they leave. */
  parted(user: string): MemberChange | undefined {
    const known = this.#members.get(user);
    if (known === undefined) return undefined;
    this.#members.delete(user);
    return { change: "left", user, name: known.name };
  }

  /** Forgets who has been silent for too long. */
  expire(now: number): MemberChange[] {
    const gone: MemberChange[] = [];
    for (const [user, { name, heard }] of this.#members) {
      if (heard + HERE_EXPIRE_MS > now) break;
      this.#members.delete(user);
      gone.push({ change: "expired", user, name });
    }
    return gone;
  }

  /** When `expire` has something to do. */
  get deadline(): number | undefined {
    const [first] = this.#members.values();
    return first === undefined ? undefined : first.heard + HERE_EXPIRE_MS;
  }
}
