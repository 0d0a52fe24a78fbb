// One channel id on the wire: joining it, hearing it, speaking in it. Source: docs/protocol.md, sections 5.2 and 6.

import { type Bytes, concat, EMPTY, hex } from "../bytes.ts";
import { Alarm, around, type Clock } from "../clock.ts";
import { ChatError } from "../error.ts";
import { contentOf, type Message, type Missed } from "../message.ts";
import { messageIdText } from "../text/key.ts";
import { claimedName } from "../text/name.ts";
import type { Kind } from "../wire/frame.ts";
import { Deliver, ENTRY, type Entry } from "../wire/messages.ts";
import { HERE_EVERY_MS, HERE_JITTER, type MemberChange, Members, SMALL } from "./members.ts";
import type { Release } from "./order.ts";
import { OwnStream, type Sent } from "./own.ts";
import type { Envelope, Post } from "./post.ts";
import type { Rooms } from "./rooms.ts";

/** Posts that come between a join and its answer: their number, and their bytes. */
const EARLY_POSTS = 1_024;
const EARLY_BYTES = 4 << 20;

/** Who hears what happens in a room. */
export interface RoomEvents {
  item(item: Message | Missed): void;
  member(change: MemberChange): void;
  /** A MOVED entry: the channel goes on in this generation (8.1). */
  moved(author: Bytes, content: Bytes): void;
}

/** What a room is. */
export interface RoomSpec {
  readonly id: Bytes;
  /** What messages name it, with the `#`. */
  readonly label: string;
  readonly isPrivate: boolean;
  readonly envelope: Envelope;
  /** The name that we claim there. */
  readonly name: string;
  readonly events: RoomEvents;
}

/** A channel that we are in, or want to be in. */
export class Room {
  readonly key: string;
  readonly spec: RoomSpec;
  readonly members = new Members();
  readonly own: OwnStream;
  readonly #rooms: Rooms;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  #state: "wanted" | "asked" | "joined" | "gone" = "wanted";
  #wasJoined = false;
  #spread = false;
  #hasSaidHere = false;
  #hereAt = Number.POSITIVE_INFINITY;
  #early: Bytes[] = [];
  #earlyBytes = 0;
  /** Posts are opened at the same time and taken in their order. */
  #tail: Promise<void> = Promise.resolve();
  #joined: { done: () => void; failed: (error: ChatError) => void } | undefined;

  constructor(rooms: Rooms, clock: Clock, spec: RoomSpec) {
    this.#rooms = rooms;
    this.#clock = clock;
    this.spec = spec;
    this.key = hex(spec.id);
    this.#alarm = new Alarm(clock, () => this.#tick());
    const way = rooms.way((at) => this.#alarm.by(at));
    this.own = new OwnStream(way, spec.envelope, spec.name);
  }

  get isWanted(): boolean {
    return this.#state === "wanted";
  }

  /** Whether every reachable server knew of our last join when it was answered. */
  get spread(): boolean {
    return this.#spread;
  }

  /** Resolves at the first answer to a join. */
  whenJoined(): Promise<void> {
    return new Promise((done, failed) => {
      this.#joined = { done, failed };
    });
  }

  /** A join goes out. */
  asked(): void {
    this.#state = "asked";
  }

  /** The join is to be asked again. */
  again(): void {
    if (this.#state === "asked") this.#state = "wanted";
  }

  /** The server took us in. */
  welcomed(spread: boolean): void {
    if (this.#state !== "asked") return;
    this.#state = "joined";
    this.#spread = spread;
    if (this.#wasJoined) this.#missed({ from: null, count: null, cause: "reconnect" });
    this.#wasJoined = true;
    this.#joined?.done();
    this.#joined = undefined;
    this.own.open();
    const early = this.#early.splice(0);
    this.#earlyBytes = 0;
    for (const deliver of early) this.hear(deliver);
    if (this.#rooms.announces) this.#hereAt = this.#clock.now();
    this.#tick();
  }

  /** The server does not take us in. */
  refused(error: ChatError): void {
    this.#joined?.failed(error);
    this.#joined = undefined;
    this.close(error);
  }

  /** The session is gone. */
  lost(): void {
    if (this.#state === "gone") return;
    this.#state = "wanted";
    this.#hereAt = Number.POSITIVE_INFINITY;
    this.own.close();
  }

  /** The session goes on over another link. */
  resumed(): void {
    this.own.repeat();
    this.own.pump();
  }

  /** Sends one entry. */
  send(entry: Entry): Promise<Sent> {
    if (this.#state === "gone") return Promise.reject(new ChatError("closed", "the channel was left"));
    return this.own.push(entry);
  }

  /** Says that we leave, if we said that we are there, and waits until all that was sent has its answer. */
  async drain(): Promise<void> {
    if (this.#hasSaidHere && this.#state === "joined") void this.own.push(plain(ENTRY.PART)).catch(() => {});
    this.#hereAt = Number.POSITIVE_INFINITY;
    await this.own.drained();
  }

  /** We are out of it. */
  close(error: ChatError): void {
    this.#state = "gone";
    this.#alarm.stop();
    this.own.end(error);
    this.#rooms.order.forget(this.key);
  }

  /** A `Deliver` for this channel came. */
  hear(deliver: Bytes): void {
    if (this.#state === "asked") {
      if (this.#early.length >= EARLY_POSTS || this.#earlyBytes + deliver.length > EARLY_BYTES) {
        this.#rooms.stats.ignored += 1;
        return;
      }
      this.#early.push(deliver);
      this.#earlyBytes += deliver.length;
      return;
    }
    const { envelope, sealed } = Deliver.decode(deliver);
    const opened = this.spec.envelope.open(envelope, sealed);
    this.#rooms.opening += 1;
    this.#tail = this.#tail.then(async () => {
      const post = await opened.catch(() => "malformed" as const);
      this.#rooms.opening -= 1;
      if (typeof post === "string") this.#rooms.stats[post] += 1;
      else if (this.#state === "joined" || this.#state === "wanted") this.#take(post);
      else this.#rooms.stats.ignored += post.entries.length;
    });
  }

  /** Ends when all posts that came so far are opened and taken. */
  get opened(): Promise<void> {
    return this.#tail;
  }

  /** Shows what is due. */
  release(release: Release): void {
    if (release.is === "gap") {
      const count = release.to - release.from + 1n;
      this.#rooms.stats.gap += Number(count);
      if (this.#rooms.isBlocked(release.author)) return;
      this.#missed({ from: release.author, count: Number(count), cause: "gap" });
      return;
    }
    if (this.#rooms.isBlocked(release.post.from)) this.#passOver(release.post);
    else this.#show(release.post);
  }

  /** The server dropped so many posts that were for us. */
  dropped(count: bigint): void {
    this.#missed({ from: null, count: Number(count), cause: "slow" });
  }

  #take(post: Post): void {
    const { stats, order, me } = this.#rooms;
    if (post.from === me && post.stream === this.own.number) {
      stats.ignored += post.entries.length;
      return;
    }
    const releases: Release[] = [];
    const verdict = order.receive(this.#clock.now(), this.#clock.wall(), post, releases);
    if (verdict !== "taken") stats[verdict] += post.entries.length;
    else if (post.before !== undefined && post.before.stream !== 0n) {
      const ended: Release[] = [];
      order.endAt(this.key, post.from, post.before.stream, post.before.seq, ended);
      releases.unshift(...ended);
    }
    this.#rooms.show(releases);
  }

  /** A post of a blocked key: nothing of it is shown. That a private channel has moved on counts whoever says it. */
  #passOver(post: Post): void {
    for (const entry of post.entries) {
      if (entry.kind === ENTRY.MOVED) this.spec.events.moved(post.author, entry.content);
      else this.#rooms.stats.ignored += 1;
    }
  }

  #show(post: Post): void {
    const { stats } = this.#rooms;
    const name = claimedName(post.name);
    const isMe = post.from === this.#rooms.me;
    if (!isMe) this.#member(this.members.heard(this.#clock.now(), post.from, name));
    for (const [index, entry] of post.entries.entries()) {
      if (entry.kind === ENTRY.TEXT || entry.kind === ENTRY.DATA) {
        const id = messageIdText(concat(post.id, Uint8Array.of(index)));
        const replyTo = entry.replyTo.length === 0 ? "" : messageIdText(entry.replyTo);
        const about = { id, from: post.from, name, timeMs: post.timeMs, replyTo };
        const content = contentOf({ ...entry, isText: entry.kind === ENTRY.TEXT }, about);
        if (content === undefined) {
          stats.malformed += 1;
          continue;
        }
        stats.shown += 1;
        this.spec.events.item({
          type: "message",
          channel: this.spec.label,
          private: this.spec.isPrivate,
          ...content,
        });
      } else if (entry.kind === ENTRY.HERE) {
        stats.shown += 1;
      } else if (entry.kind === ENTRY.PART) {
        stats.shown += 1;
        if (!isMe) this.#member(this.members.parted(post.from));
      } else if (entry.kind === ENTRY.MOVED) {
        stats.shown += 1;
        this.spec.events.moved(post.author, entry.content);
      } else {
        stats.unknown_kind += 1;
      }
    }
    const expiry = this.members.deadline;
    if (expiry !== undefined) this.#alarm.by(expiry);
  }

  #member(change: MemberChange | undefined): void {
    if (change !== undefined) this.spec.events.member(change);
  }

  #missed(about: Pick<Missed, "from" | "count" | "cause">): void {
    this.spec.events.item({
      type: "missed",
      channel: this.spec.label,
      private: this.spec.isPrivate,
      ...about,
    });
  }

  #tick(): void {
    const now = this.#clock.now();
    for (const change of this.members.expire(now)) this.#member(change);
    if (this.#hereAt <= now) {
      this.#hereAt = now + around(HERE_EVERY_MS, HERE_JITTER);
      if (this.members.size <= SMALL && this.#rooms.takeHere()) {
        this.#hasSaidHere = true;
        void this.own.push(plain(ENTRY.HERE)).catch(() => {});
      }
    }
    this.own.pump();
    const next = Math.min(this.#hereAt, this.members.deadline ?? Number.POSITIVE_INFINITY);
    if (next !== Number.POSITIVE_INFINITY) this.#alarm.by(next);
  }
}

/** An entry that only says its kind. */
export function plain(kind: number, content: Bytes = EMPTY): Entry {
  return { kind, content, contentType: "", headers: new Map(), replyTo: EMPTY };
}

/** What a question about channels asks. */
export function joinKind(channels: Bytes[]): Kind {
  return { is: "join", value: { channels, waitSpread: true } };
}
