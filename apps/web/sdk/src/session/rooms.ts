// All channels of a session: joins, rejoins, and the order of what is heard. Source: docs/protocol.md, sections 5 and 6.

import { type Bytes, hex } from "../bytes.ts";
import { Alarm, type Clock } from "../clock.ts";
import { ChatError, refusal } from "../error.ts";
import { MAX_JOIN } from "../wire/limits.ts";
import { Deliver, NOTICE, type Notice } from "../wire/messages.ts";
import { Order, type Release } from "./order.ts";
import type { Way } from "./own.ts";
import { joinKind, Room, type RoomSpec } from "./room.ts";
import type { Session } from "./session.ts";

/** CHANNELS_PER_SESSION. */
const CHANNELS = 16_384;
/** Posts that are opened at the same time; more wait on the link. */
const OPENING = 64;
/** How long a first join is asked for before it fails, in milliseconds. */
const JOIN_MS = 10_000;
/** How long to wait after `RATE_LIMITED` without advice. */
const RATE_RETRY_MS = 1_000;

/** What became of every entry that arrived (13.2). */
export interface Stats {
  shown: number;
  duplicate: number;
  late: number;
  stale: number;
  bad_signature: number;
  undecryptable: number;
  malformed: number;
  unknown_kind: number;
  misdirected: number;
  ignored: number;
  gap: number;
}

/** The channels. */
export class Rooms {
  readonly me: string;
  readonly announces: boolean;
  /** Whether the user wants nothing of this key. */
  readonly isBlocked: (user: string) => boolean;
  readonly order: Order;
  readonly stats: Stats = {
    shown: 0,
    duplicate: 0,
    late: 0,
    stale: 0,
    bad_signature: 0,
    undecryptable: 0,
    malformed: 0,
    unknown_kind: 0,
    misdirected: 0,
    ignored: 0,
    gap: 0,
  };
  /** Posts that are being opened. */
  opening = 0;
  readonly #clock: Clock;
  readonly #session: Session;
  readonly #rooms = new Map<string, Room>();
  readonly #alarm: Alarm;
  #holdUntil = 0;

  constructor(
    clock: Clock,
    session: Session,
    me: string,
    announces: boolean,
    isBlocked: (user: string) => boolean,
  ) {
    this.#clock = clock;
    this.#session = session;
    this.isBlocked = isBlocked;
    this.me = me;
    this.announces = announces;
    this.order = new Order(clock.now());
    this.#alarm = new Alarm(clock, () => this.#tick());
  }

  /** What a stream of ours needs. */
  way(wakeBy: (at: number) => void): Way {
    const session = this.#session;
    return {
      clock: this.#clock,
      requests: session.requests,
      budgets: () => session.budgets,
      maxPayload: () => session.maxPayload,
      send: (kind, req) => void session.send(kind, { req }),
      wakeBy,
    };
  }

  /** Room for one more `HERE`. */
  takeHere(): boolean {
    return this.#session.budgets.takeHere(this.#clock.now());
  }

  /** Takes a channel in and waits until the server has answered. */
  async join(spec: RoomSpec): Promise<Room> {
    const room = new Room(this, this.#clock, spec);
    if (this.#rooms.has(room.key))
      throw new ChatError("refused", "already in that channel", { reason: "ALREADY" });
    if (this.#rooms.size >= CHANNELS)
      throw new ChatError("refused", "in too many channels", { reason: "LIMIT" });
    this.#rooms.set(room.key, room);
    const joined = room.whenJoined();
    const stop = this.#clock.after(JOIN_MS, () =>
      this.#giveUp(room, new ChatError("timeout", "the server did not answer the join")),
    );
    this.#ask();
    try {
      await joined;
    } finally {
      stop();
    }
    return room;
  }

  /** Sends what waits, leaves, and forgets the channel. */
  async leave(room: Room): Promise<void> {
    if (this.#rooms.get(room.key) !== room) return;
    await room.drain();
    if (this.#rooms.get(room.key) !== room) return;
    this.#giveUp(room, new ChatError("closed", "the channel was left"));
    if (!this.#session.isUp) return;
    const value = { channels: [room.spec.id] };
    await this.#session.ask({ is: "leave", value }, "leave").catch(() => {});
  }

  /** A session began: every channel is joined anew. */
  fresh(): void {
    this.#holdUntil = 0;
    this.#ask();
  }

  resumed(): void {
    for (const room of this.#rooms.values()) room.resumed();
    this.#ask();
  }

  /** The session is over. */
  lost(): void {
    for (const room of this.#rooms.values()) room.lost();
  }

  /** Everything ends. */
  close(error: ChatError): void {
    for (const room of [...this.#rooms.values()]) this.#giveUp(room, error);
    this.#alarm.stop();
  }

  /** Resolves when nothing that was sent waits any more. */
  async drain(): Promise<void> {
    await Promise.all([...this.#rooms.values()].map((room) => room.drain()));
  }

  /** A post came. The promise, if there is one, asks for a pause: too many are being opened. */
  hear(deliver: Bytes): Promise<void> | undefined {
    let channel: Bytes;
    try {
      channel = Deliver.decode(deliver).channel;
    } catch {
      this.stats.malformed += 1;
      return undefined;
    }
    const room = this.#rooms.get(hex(channel));
    if (room === undefined) {
      this.stats.misdirected += 1;
      return undefined;
    }
    room.hear(deliver);
    return this.opening >= OPENING ? room.opened : undefined;
  }

  notice(notice: Notice): void {
    if (notice.kind === NOTICE.DROPPED) this.#rooms.get(hex(notice.channel))?.dropped(notice.count);
  }

  /** Hands out what came free, to the channel that it belongs to. */
  show(releases: Release[]): void {
    for (const release of releases) {
      const key = release.is === "gap" ? release.channel : hex(release.post.channel);
      this.#rooms.get(key)?.release(release);
    }
    const deadline = this.order.deadline;
    if (deadline !== undefined) this.#alarm.by(deadline);
  }

  #giveUp(room: Room, error: ChatError): void {
    if (this.#rooms.get(room.key) === room) this.#rooms.delete(room.key);
    room.refused(error);
  }

  #ask(): void {
    if (!this.#session.isUp) return;
    if (this.#holdUntil > this.#clock.now()) return this.#alarm.by(this.#holdUntil);
    const wanted = [...this.#rooms.values()].filter((room) => room.isWanted).slice(0, MAX_JOIN);
    if (wanted.length === 0) return;
    for (const room of wanted) room.asked();
    void this.#join(wanted);
    this.#ask();
  }

  async #join(rooms: Room[]): Promise<void> {
    try {
      const answer = await this.#session.ask(joinKind(rooms.map(({ spec }) => spec.id)), "join");
      for (const room of rooms) room.welcomed(answer.is === "ok" && answer.value.spread);
    } catch (error) {
      const why = error instanceof ChatError ? error : refusal("join", "INTERNAL");
      if (why.reason === "RATE_LIMITED") {
        this.#holdUntil = this.#clock.now() + (why.retryMs ?? RATE_RETRY_MS);
        this.#alarm.by(this.#holdUntil);
      }
      for (const room of rooms) {
        if (why.code === "refused" && why.reason !== "RATE_LIMITED") this.#giveUp(room, why);
        else room.again();
      }
      if (why.code === "timeout") this.#ask();
    }
  }

  #tick(): void {
    const out: Release[] = [];
    this.order.expire(this.#clock.now(), out);
    this.show(out);
    this.#ask();
  }
}
