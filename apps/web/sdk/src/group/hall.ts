// One private channel as its user knows it, across its generations. Source: docs/protocol.md, section 8.1.

import { type Bytes, compare, equal, hex, readU32be, u32be } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import { sign, verify } from "../crypto/sign.ts";
import type { Signer, Suite } from "../crypto/suite.ts";
import type { Message, Missed } from "../message.ts";
import { Mutex } from "../mutex.ts";
import type { Member, MemberChange } from "../session/members.ts";
import { plain, type Room } from "../session/room.ts";
import type { Rooms } from "../session/rooms.ts";
import { keyText } from "../text/key.ts";
import { ENTRY, type GroupControl, type Invite, Rekey, type Signed } from "../wire/messages.ts";
import { type Generation, GroupError, OVERLAP_MS } from "./generation.ts";
import { SealedEnvelope } from "./sealed.ts";

/** How long a rekey that a MOVED entry announced may take before we ask for it, in milliseconds. */
const ASK_MS = 2_000;
/** How long those who were told may take to come, as a join may take to spread, and how often we look. */
const ARRIVAL_MS = 3_000;
const LOOK_MS = 50;
/** A secret serves so long while an administrator is there to change it, and up to an hour more, so that of several
 * only one does. */
const WEEK_MS = 7 * 24 * 3_600_000;
const SPREAD_MS = 3_600_000;
/** Rekeys that are kept to be passed on to members who were away. */
const REKEYS = 16;

/** What a hall needs. */
export interface HallParts {
  readonly suite: Suite;
  readonly clock: Clock;
  readonly signer: Signer;
  readonly rooms: Rooms;
  /** Says something about the channel to one user; the outcome is theirs to know. */
  readonly tell: (user: Bytes, control: GroupControl) => Promise<boolean>;
  readonly userKey: (text: string) => Promise<Bytes>;
  readonly events: {
    item(item: Message | Missed): void;
    member(change: MemberChange): void;
    /** Another generation is written now. */
    moved(): void;
  };
}

interface Chamber {
  readonly generation: Generation;
  readonly room: Room;
  /** Ends the care for its secret. */
  stop: () => void;
}

interface KnownRekey {
  readonly signed: Signed;
  readonly rekey: Rekey;
  readonly hash: Bytes;
}

/** All generations that are read now, of which one is written. */
export class Hall {
  readonly label: string;
  readonly #parts: HallParts;
  readonly #name: string;
  readonly #claimed: string;
  readonly #servers: string[];
  readonly #mutex = new Mutex();
  readonly #old: Chamber[] = [];
  /** By the channel that they replace. */
  readonly #rekeys: KnownRekey[] = [];
  #current: Chamber;
  #isOver = false;
  #stopWeek = (): void => {};

  private constructor(parts: HallParts, name: string, claimed: string, servers: string[], current: Chamber) {
    this.label = `#${name}`;
    this.#parts = parts;
    this.#name = name;
    this.#claimed = claimed;
    this.#servers = servers;
    this.#current = current;
  }

  /** Joins a channel in a generation. */
  static async enter(
    parts: HallParts,
    generation: Generation,
    { name, claimed, servers }: { name: string; claimed: string; servers: string[] },
  ): Promise<Hall> {
    let hall: Hall | undefined;
    const opened = await openChamber(parts, generation, `#${name}`, claimed, (author, content) =>
      hall?.moved(generation, author, content),
    );
    hall = new Hall(parts, name, claimed, servers, opened);
    hall.#plan();
    return hall;
  }

  get generation(): Generation {
    return this.#current.generation;
  }

  /** The room that is written. */
  get room(): Room {
    return this.#current.room;
  }

  /** Whether a channel id is one of its generations. */
  has(channel: Bytes): boolean {
    return this.#chambers().some(({ generation }) => equal(generation.facts.channel, channel));
  }

  /** An invitation for the hour at hand. */
  invite(): Promise<Invite> {
    return this.generation.invite(this.#name, this.#servers, this.#parts.clock.wall());
  }

  members(): Member[] {
    return this.room.members.list();
  }

  /**
   * Makes the next generation without some members, and tells those who remain.
   * @throws GroupError when we are no admin, or the change would leave none.
   */
  async change(removed: Bytes[], reason: string): Promise<{ told: Bytes[]; away: Bytes[] }> {
    const { signer, clock } = this.#parts;
    const before = this.#current;
    const me = signer.publicKey;
    if (!before.generation.isAdmin(me)) throw new GroupError("only an administrator may change the channel");
    const rekey = await before.generation.rekey(me, removed, reason, this.#name, this.#servers, clock.wall());
    const body = Rekey.encode(rekey);
    const sig = await sign(signer, before.generation.facts.network, "rekey", body);
    const signed = { body, sig };
    await this.#mutex.do(() => this.#take(signed, rekey));
    const moved = before.room.send(plain(ENTRY.MOVED, u32be(rekey.next.generation)));
    moved.catch(() => {});
    const outcome = await this.#tellAll(before, signed, removed);
    await this.#arrival(outcome.told);
    return outcome;
  }

  /** A rekey came, from whomever: its signature says whose it is. */
  async rekeyed(signed: Signed): Promise<void> {
    await this.#mutex.do(async () => {
      const rekey = Rekey.decode(signed.body);
      const { suite } = this.#parts;
      const { network } = this.generation.facts;
      if (await verify(suite, rekey.admin, signed.sig, network, "rekey", signed.body))
        await this.#take(signed, rekey);
    });
  }

  /** Somebody who was away asks how the channel went on. */
  async asked(from: Bytes, channel: Bytes): Promise<void> {
    for (const { signed, rekey } of this.#rekeys) {
      if (!equal(rekey.oldChannel, channel)) continue;
      const isListed = rekey.members.some((member) => equal(member, from));
      const isOpen = rekey.next.membersHash.length === 0 && !rekey.removed.some((user) => equal(user, from));
      if (isListed || isOpen) await this.#parts.tell(from, { is: "rekey", rekey: signed }).catch(() => false);
    }
  }

  /** Leaves all generations and forgets their secrets. */
  async leave(): Promise<void> {
    this.#isOver = true;
    this.#stopWeek();
    await Promise.all(this.#chambers().map((chamber) => this.#close(chamber)));
  }

  /** A MOVED entry: who does not hear of the rekey by itself asks for it. */
  moved(generation: Generation, author: Bytes, content: Bytes): void {
    const isNext = content.length === 4 && readU32be(content, 0) === generation.facts.generation + 1;
    if (!isNext || this.#isOver) return;
    const channel = generation.facts.channel;
    this.#parts.clock.after(ASK_MS, () => {
      const isKnown = this.#isOver || this.#rekeys.some(({ rekey }) => equal(rekey.oldChannel, channel));
      if (!isKnown) void this.#parts.tell(author, { is: "ask", channel }).catch(() => false);
    });
  }

  #chambers(): Chamber[] {
    return [this.#current, ...this.#old];
  }

  async #tellAll(
    before: Chamber,
    signed: Signed,
    removed: Bytes[],
  ): Promise<{ told: Bytes[]; away: Bytes[] }> {
    const { signer, userKey } = this.#parts;
    const listed = before.generation.facts.members;
    const heard = await Promise.all(before.room.members.list().map(({ user }) => userKey(user)));
    const all = new Map(
      [...(listed ?? []), ...heard, ...before.generation.facts.admins].map((user) => [hex(user), user]),
    );
    for (const user of [...removed, signer.publicKey]) all.delete(hex(user));
    const [told, away]: [Bytes[], Bytes[]] = [[], []];
    const tell = async (user: Bytes): Promise<void> => {
      const isTold = await this.#parts.tell(user, { is: "rekey", rekey: signed }).catch(() => false);
      (isTold ? told : away).push(user);
    };
    await Promise.all([...all.values()].map(tell));
    return { told, away };
  }

  /** Once a week the secret changes, if an administrator is there. */
  #plan(): void {
    const { clock, signer } = this.#parts;
    const { generation } = this.#current;
    this.#stopWeek();
    if (!generation.isAdmin(signer.publicKey)) return;
    const left = Math.max(0, generation.facts.startMs + WEEK_MS - clock.wall());
    this.#stopWeek = clock.after(left + Math.random() * SPREAD_MS, () => {
      void this.change([], "").catch(() => {});
    });
  }

  /** Waits a while for those who know the way: what is said before they have come, they do not hear. */
  async #arrival(told: Bytes[]): Promise<void> {
    const { suite, clock } = this.#parts;
    const users = await Promise.all(told.map((user) => keyText(suite, "user", user)));
    for (const until = clock.now() + ARRIVAL_MS; clock.now() < until && !this.#isOver; ) {
      const here = new Set(this.room.members.list().map(({ user }) => user));
      if (users.every((user) => here.has(user))) return;
      await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
    }
  }

  /** Follows a rekey whose signature is good. Of two for the same channel the one with the smaller hash is written. */
  async #take(signed: Signed, rekey: Rekey): Promise<void> {
    const { suite, clock } = this.#parts;
    const hash = await suite.sha256(signed.body);
    if (this.#isOver || this.#rekeys.some((known) => equal(known.hash, hash))) return;
    const from = this.#chambers().find(({ generation }) => equal(generation.facts.channel, rekey.oldChannel));
    if (from === undefined) return;
    const next = await from.generation.successor(rekey, clock.wall());
    const rival = this.#rekeys.find((known) => equal(known.rekey.oldChannel, rekey.oldChannel));
    const chamber = await this.#open(next);
    this.#rekeys.push({ signed, rekey, hash });
    if (this.#rekeys.length > REKEYS) this.#rekeys.shift();
    const isSuccessor = rival === undefined || compare(hash, rival.hash) < 0;
    // A branch of an older generation is read; what is written changes only from where we stand.
    const isHere =
      from === this.#current ||
      (rival !== undefined && equal(rival.rekey.next.channel, this.generation.facts.channel));
    if (isSuccessor && isHere) {
      this.#retire(this.#current);
      this.#current = chamber;
      this.#plan();
      this.#parts.events.moved();
    } else {
      this.#retire(chamber);
    }
    if (rival !== undefined) this.#merge(rival, { signed, rekey, hash });
  }

  /** Two admins changed the channel at once: whose change lost makes the one that joins both removals. */
  #merge(one: KnownRekey, other: KnownRekey): void {
    const me = this.#parts.signer.publicKey;
    const loser = compare(one.hash, other.hash) < 0 ? other : one;
    const members = this.generation.facts.members;
    const removed = loser.rekey.removed.filter(
      (user) => members === undefined || members.some((member) => equal(member, user)),
    );
    if (!equal(loser.rekey.admin, me) || removed.length === 0 || !this.generation.isAdmin(me)) return;
    void Promise.resolve()
      .then(() => this.change(removed, loser.rekey.reason))
      .catch(() => {});
  }

  #open(generation: Generation): Promise<Chamber> {
    const moved = (author: Bytes, content: Bytes): void => this.moved(generation, author, content);
    return openChamber(this.#parts, generation, this.label, this.#claimed, moved);
  }

  /** Is read for a while, for what is still on its way. */
  #retire(chamber: Chamber): void {
    this.#old.push(chamber);
    this.#parts.clock.after(OVERLAP_MS, () => {
      const at = this.#old.indexOf(chamber);
      if (at < 0) return;
      this.#old.splice(at, 1);
      void this.#close(chamber);
    });
  }

  async #close(chamber: Chamber): Promise<void> {
    chamber.stop();
    await this.#parts.rooms.leave(chamber.room);
    chamber.generation.wipe();
  }
}

/** Joins the channel of a generation, and keeps its secret moving. */
async function openChamber(
  parts: HallParts,
  generation: Generation,
  label: string,
  name: string,
  moved: (author: Bytes, content: Bytes) => void,
): Promise<Chamber> {
  const { suite, clock, signer, rooms, events } = parts;
  const envelope = new SealedEnvelope(suite, clock, signer, generation);
  const { item, member } = events;
  const spec = {
    id: generation.facts.channel,
    label,
    isPrivate: true,
    envelope,
    name,
    events: { item, member, moved },
  };
  const room = await rooms.join(spec);
  const chamber = { generation, room, stop: () => {} };
  const advance = (): void => {
    chamber.stop = clock.after(Math.max(1_000, generation.nextMs - clock.wall()), () => {
      generation.advance(clock.wall()).then(advance, () => {});
    });
  };
  advance();
  return chamber;
}
