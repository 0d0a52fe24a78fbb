// A channel that an application has joined.

import { ChatError } from "./error.ts";
import { entryOf, type Message, type Missed, type SendOptions } from "./message.ts";
import { Queue } from "./queue.ts";
import type { Member } from "./session/members.ts";
import type { Sent as RawSent } from "./session/own.ts";
import type { Room } from "./session/room.ts";
import type { Rooms } from "./session/rooms.ts";
import { messageIdText } from "./text/key.ts";
import { userName } from "./text/name.ts";

/** What the server said to a post: taken, and queued for so many sessions of its own and so many other servers. */
export interface Sent {
  readonly id: string;
  readonly local: number;
  readonly servers: number;
}

/**
 * A channel. Read it with `for await`: every message once, in its author's order, and news of what was missed.
 * It survives reconnects until it is left.
 */
export interface Channel extends AsyncIterable<Message | Missed> {
  /** With the `#`. */
  readonly name: string;
  /** Whether every reachable server knew of our join when it was answered. */
  readonly spread: boolean;
  /** Who is known to be there; at most 256, without us. */
  members(): Member[];
  /** The name that we claim from the next message on. @throws TextError if it is not allowed. */
  speakAs(name: string): void;
  /**
   * Sends text or bytes. Resolves when our server has taken it: it may still be lost on the way, and receivers then see
   * a gap.
   * @throws ChatError `too-large`, `refused`, `timeout`, `closed`.
   */
  send(data: string | Uint8Array, options?: SendOptions): Promise<Sent>;
  /** Sends what waits, then leaves. */
  leave(): Promise<void>;
}

/** A queue for what a channel hears. */
export function channelQueue(name: string, isPrivate: boolean): Queue<Message | Missed> {
  return new Queue<Message | Missed>((count) => ({
    type: "missed",
    channel: name,
    private: isPrivate,
    from: null,
    count,
    cause: "slow",
  }));
}

/** The public face of one room. */
export class PublicChannel implements Channel {
  readonly name: string;
  readonly #rooms: Rooms;
  readonly #room: Room;
  readonly #queue: Queue<Message | Missed>;

  constructor(rooms: Rooms, room: Room, queue: Queue<Message | Missed>) {
    this.name = room.spec.label;
    this.#rooms = rooms;
    this.#room = room;
    this.#queue = queue;
  }

  get spread(): boolean {
    return this.#room.spread;
  }

  members(): Member[] {
    return this.#room.members.list();
  }

  speakAs(name: string): void {
    this.#room.own.name = userName(name);
  }

  async send(data: string | Uint8Array, options: SendOptions = {}): Promise<Sent> {
    return sentText(await this.#room.send(entryOf(data, options)));
  }

  async leave(): Promise<void> {
    await this.#rooms.leave(this.#room);
    this.#queue.end();
  }

  [Symbol.asyncIterator](): AsyncIterator<Message | Missed> {
    return this.#queue[Symbol.asyncIterator]();
  }
}

/** The answer to a post, with its id as text. */
export function sentText({ id, local, servers }: RawSent): Sent {
  return { id: messageIdText(id), local, servers };
}

/** Ends a wait when its signal says so. */
export async function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  undo: () => void,
): Promise<T> {
  if (signal === undefined) return promise;
  const gone = (): ChatError => new ChatError("closed", "aborted");
  if (signal.aborted) {
    undo();
    promise.catch(() => {});
    throw gone();
  }
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    const listener = (): void => {
      undo();
      reject(gone());
    };
    signal.addEventListener("abort", listener, { once: true });
    stop = () => signal.removeEventListener("abort", listener);
  });
  try {
    promise.catch(() => {});
    return await Promise.race([promise, aborted]);
  } finally {
    stop();
  }
}
