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
import { type Generation, GroupError, MAX_LEAP, OVERLAP_MS, STEP_MS } from "./generation.ts";
import { SealedEnvelope } from "./sealed.ts";

/** How long a rekey that a MOVED entry announced may take before we ask for it, in milliseconds. */
const ASK_MS = 5_000;
/** How long those who were told may take to come, as a join may take to spread, and how often we look. */
const ARRIVAL_MS = 3_000;
const LOOK_MS = 50;
/** A secret serves so long while an administrator is there to change it, and up to an hour more, so that of several
 * only one does. */
const WEEK_MS = 7 * 24 * 3_600_000;
const SPREAD_MS = 3_600_000;
/** Who did not acknowledge a rekey is told again after this, and then half as often each time. */
const TELL_AGAIN_MS = 30_000;
/** How long an administrator waits before it brings branches together, for itself and each one before it in the order
 * of keys: so that one does it, and another if that one is away. */
const MERGE_MS = 3_000;
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
   * Makes the next generation without some members, and tells those who remain: those of another branch as well, who
   * may know no other.
   * @throws GroupError when we are no admin, or the change would leave none.
   */
  async change(removed: Bytes[], reason: string, other?: Bytes): Promise<{ told: Bytes[]; away: Bytes[] }> {
    const { signer, clock } = this.#parts;
    const before = this.#current;
    const me = signer.publicKey;
    if (!before.generation.isAdmin(me)) throw new GroupError("only an administrator may change the channel");
    const rekey = await before.generation.rekey(me, removed, reason, this.#name, this.#servers, clock.wall());
    const network = before.generation.facts.network;
    const signed: Signed[] = [];
    for (const oldChannel of other === undefined ? [rekey.oldChannel] : [rekey.oldChannel, other]) {
      const body = Rekey.encode({ ...rekey, oldChannel });
      signed.push({ body, sig: await sign(signer, network, "rekey", body) });
    }
    for (const one of signed) await this.#mutex.do(() => this.#take(one, Rekey.decode(one.body)));
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

  /** Somebody who was away asks how the channel went on. Only who is on a signed list is told. */
  async asked(from: Bytes, channel: Bytes): Promise<void> {
    let isAfter = false;
    for (const { signed, rekey } of [...this.#rekeys]) {
      isAfter ||= equal(rekey.oldChannel, channel) || equal(rekey.next.channel, channel);
      if (isAfter && rekey.members.some((member) => equal(member, from)))
        await this.#parts.tell(from, { is: "rekey", rekey: signed }).catch(() => false);
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
    const leap = content.length === 4 ? readU32be(content, 0) - generation.facts.generation : 0;
    if (leap < 1 || leap > MAX_LEAP || this.#isOver) return;
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
    signed: Signed[],
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
      const tells = signed.map((rekey) => this.#parts.tell(user, { is: "rekey", rekey }).catch(() => false));
      ((await Promise.all(tells)).every(Boolean) ? told : away).push(user);
    };
    await Promise.all([...all.values()].map(tell));
    this.#tellAgain(away, signed, TELL_AGAIN_MS);
    return { told, away };
  }

  #tellAgain(away: Bytes[], signed: Signed[], ms: number): void {
    // Half as often each time, and so for a week at most.
    if (this.#isOver || away.length === 0 || ms > WEEK_MS / 2) return;
    this.#parts.clock.after(ms, async () => {
      const tells = away.map(async (user) => {
        const all = signed.map((rekey) => this.#parts.tell(user, { is: "rekey", rekey }).catch(() => false));
        return (await Promise.all(all)).every(Boolean);
      });
      const isTold = await Promise.all(tells);
      const left = away.filter((_, at) => !isTold[at]);
      this.#tellAgain(left, signed, 2 * ms);
    });
  }

  /** Once a week the secret changes, if an administrator is there; not where whoever has the link is a member, as those
   * who are away could not be told. */
  #plan(): void {
    const { clock, signer } = this.#parts;
    const { generation } = this.#current;
    this.#stopWeek();
    if (!generation.isAdmin(signer.publicKey) || generation.facts.membersHash.length === 0) return;
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

  /** Follows a rekey whose signature is good. The later generation is written, of equally late ones that with the
   * smaller channel id. */
  async #take(signed: Signed, rekey: Rekey): Promise<void> {
    const { clock } = this.#parts;
    const isThis = (known: KnownRekey): boolean => equal(known.signed.body, signed.body);
    if (this.#isOver || this.#rekeys.some(isThis)) return;
    const from = this.#chambers().find(({ generation }) => equal(generation.facts.channel, rekey.oldChannel));
    if (from === undefined) return;
    const next = await from.generation.successor(rekey, clock.wall());
    const rival = this.#rekeys.find((known) => equal(known.rekey.oldChannel, rekey.oldChannel));
    const known = { signed, rekey };
    for (const { generation } of this.#chambers()) {
      if (generation.facts.generation < next.facts.generation) generation.gone.push(...rekey.removed);
    }
    // Another branch's way to a generation that is known is kept for those who ask.
    const isKnown = this.has(rekey.next.channel);
    const chamber = isKnown ? undefined : await this.#open(next);
    this.#rekeys.push(known);
    if (this.#rekeys.length > REKEYS) this.#rekeys.shift();
    // It holds the secret of a generation's beginning.
    clock.after(STEP_MS, () => {
      const at = this.#rekeys.indexOf(known);
      if (at >= 0) this.#rekeys.splice(at, 1);
    });
    if (chamber === undefined) return;
    const [one, other] = [next.facts, this.generation.facts];
    const ahead = one.generation - other.generation;
    if (ahead > 0 || (ahead === 0 && compare(one.channel, other.channel) < 0)) {
      this.#retire(this.#current);
      this.#current = chamber;
      this.#plan();
      this.#parts.events.moved();
    } else {
      this.#retire(chamber);
    }
    if (rival !== undefined) this.#merge(rival.rekey, rekey);
  }

  /** Two admins changed the channel at once: the first who is there joins both removals. */
  #merge(one: Rekey, other: Rekey): void {
    const me = this.#parts.signer.publicKey;
    const rank = [...this.generation.facts.admins].sort(compare).findIndex((admin) => equal(admin, me));
    if (rank < 0) return;
    this.#parts.clock.after(MERGE_MS * (rank + 1), () => {
      const { channel, members } = this.generation.facts;
      const loser = [one, other].find(({ next }) => !equal(next.channel, channel));
      const isHere = [one, other].some(({ next }) => equal(next.channel, channel));
      const removed = [...one.removed, ...other.removed].filter(
        (user) => members?.some((member) => equal(member, user)) ?? true,
      );
      if (this.#isOver || !isHere || removed.length === 0) return;
      void this.change(removed, "", loser?.next.channel).catch(() => {});
    });
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
