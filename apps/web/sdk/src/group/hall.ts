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
import { isRead, isRemoved, type Link, type Merged, merged, type Users, users } from "./line.ts";
import { SealedEnvelope } from "./sealed.ts";

/** How long a rekey that a MOVED entry announced may take before we ask for it, and how long the next one waits, in
 * milliseconds; how many are asked, and how seldom one of them is answered. */
const ASK_MS = 5_000;
const ASKED = 8;
const ANSWER_EVERY_MS = 10_000;
/** Members whose last answer is remembered: as many as there may be. */
const ANSWERED = 256;
/** Who did not acknowledge a rekey is told again after this, then half as often each time, an hour apart at most. */
const TELL_AGAIN_MS = 30_000;
/** How long an administrator waits before it brings branches together, for itself and each one before it in the order
 * of keys: so that one does it, and another if that one is away. */
const MERGE_MS = 3_000;
/** How long those who were told may take to come, as a join may take to spread, and how often we look. */
const ARRIVAL_MS = 3_000;
const LOOK_MS = 50;
/** A secret serves so long while an administrator is there to change it, and up to an hour more, so that of several
 * only one does. */
const WEEK_MS = 7 * 24 * 3_600_000;
const SPREAD_MS = 3_600_000;
/** Generations of one channel that are remembered, for those who were away and to bring branches together. */
const GENERATIONS = 24;

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

interface Chamber extends Link {
  readonly generation: Generation;
  readonly room: Room;
  /** The signed rekeys that lead here, by the channel that they replace. They hold the secret of its beginning. */
  readonly rekeys: Map<string, Signed>;
  /** Who has not acknowledged our rekey yet. */
  untold: Users;
  /** When it came to be known here, in Unix milliseconds. */
  readonly sinceMs: number;
  /** Ends the care for its secret. */
  stop: () => void;
}

const channelOf = ({ generation }: Chamber): Bytes => generation.facts.channel;

/** All generations that are read now, of which one is written. */
export class Hall {
  readonly label: string;
  readonly #parts: HallParts;
  readonly #name: string;
  readonly #claimed: string;
  readonly #servers: string[];
  readonly #mutex = new Mutex();
  /** By their channels. */
  readonly #line = new Map<string, Chamber>();
  readonly #answered = new Map<string, number>();
  readonly #alarms = new Set<() => void>();
  #current: Chamber;
  #isMerging = false;
  #isOver = false;
  #stopWeek = (): void => {};

  private constructor(parts: HallParts, name: string, claimed: string, servers: string[], current: Chamber) {
    this.label = `#${name}`;
    this.#parts = parts;
    this.#name = name;
    this.#claimed = claimed;
    this.#servers = servers;
    this.#current = current;
    this.#line.set(hex(channelOf(current)), current);
  }

  /** Joins a channel in a generation. */
  static async enter(
    parts: HallParts,
    generation: Generation,
    { name, claimed, servers }: { name: string; claimed: string; servers: string[] },
  ): Promise<Hall> {
    let hall: Hall | undefined;
    const watch: Watch = {
      moved: (_author, content) => hall?.moved(generation, content),
      isOut: (author) => hall?.isOut(generation, author) === true,
    };
    const opened = await openChamber(parts, generation, `#${name}`, claimed, watch);
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
    return this.#line.has(hex(channel));
  }

  /** An invitation for the hour at hand. */
  invite(): Promise<Invite> {
    return this.generation.invite(this.#name, this.#servers, this.#parts.clock.wall());
  }

  members(): Member[] {
    return this.room.members.list();
  }

  /** Whether a later generation has removed somebody: their words in an earlier one count no more. */
  isOut(generation: Generation, author: Bytes): boolean {
    return isRemoved(this.#line, author, generation);
  }

  /**
   * Makes the next generation with some members and without others, brings all branches together in it, tells those who
   * remain, and invites those who are new.
   * @throws GroupError when we are no admin, the change would leave none, or there is no list to add to.
   */
  async change(
    removed: Bytes[],
    reason: string,
    added: Bytes[] = [],
  ): Promise<{ told: Bytes[]; away: Bytes[] }> {
    const { made, parents } = await this.#mutex.do(() => this.#propose(removed, reason, added));
    for (const { room } of parents) {
      room.send(plain(ENTRY.MOVED, u32be(made.generation.facts.generation))).catch(() => {});
    }
    const outcome = await this.#tellAll(made, parents, users(added));
    await this.#arrival(outcome.told);
    await this.#invite(added, outcome);
    return outcome;
  }

  /**
   * A rekey came, from whomever: its signature says whose it is. `false` if it leads on from what we do not know.
   * @throws GroupError and others; nothing has changed.
   */
  rekeyed(signed: Signed): Promise<boolean> {
    return this.#mutex.do(async () => {
      const rekey = Rekey.decode(signed.body);
      if (!this.has(rekey.oldChannel) && !this.has(rekey.next.channel)) return false;
      const { suite } = this.#parts;
      const { network } = this.generation.facts;
      if (await verify(suite, rekey.admin, signed.sig, network, "rekey", signed.body))
        await this.#take(signed, rekey);
      return true;
    });
  }

  /** Somebody who was away asks how the channel went on: those on the signed list are told, and nobody too often. */
  async asked(from: Bytes, channel: Bytes): Promise<void> {
    const asked = this.#line.get(hex(channel));
    const now = this.#parts.clock.now();
    const isAgain = (at: number | undefined): boolean => at !== undefined && at + ANSWER_EVERY_MS > now;
    if (asked === undefined || isAgain(this.#answered.get(hex(from)))) return;
    for (const [user, at] of this.#answered) if (!isAgain(at)) this.#answered.delete(user);
    if (this.#answered.size >= ANSWERED) return;
    const rekeys = [...this.#line.values()]
      .filter(({ generation: { facts } }) => {
        const isLater = facts.generation >= asked.generation.facts.generation;
        return isLater && facts.members?.some((member) => equal(member, from)) === true;
      })
      .sort((one, other) => one.generation.facts.generation - other.generation.facts.generation)
      .flatMap((chamber) => [...chamber.rekeys.values()]);
    if (rekeys.length > 0) this.#answered.set(hex(from), now);
    for (const rekey of rekeys) await this.#parts.tell(from, { is: "rekey", rekey }).catch(() => false);
  }

  /** Asks one user about what came after the generation that we have, if they are on its list. */
  async ask(user: Bytes): Promise<void> {
    const { channel, members } = this.generation.facts;
    if (members?.some((member) => equal(member, user))) await this.#parts.tell(user, { is: "ask", channel });
  }

  /** Asks the members what came after the generation that we have: after we were away. */
  askAll(): void {
    void this.#ask(this.generation, []).catch(() => {});
  }

  /** Leaves all generations and forgets their secrets. */
  async leave(): Promise<void> {
    this.#isOver = true;
    this.#stopWeek();
    for (const stop of this.#alarms) stop();
    await Promise.all([...this.#line.values()].map((chamber) => this.#close(chamber)));
  }

  /** A MOVED entry: who does not hear of the rekey by itself asks for it. */
  moved(generation: Generation, content: Bytes): void {
    const leap = content.length === 4 ? readU32be(content, 0) - generation.facts.generation : 0;
    if (leap < 1 || leap > MAX_LEAP || this.#isOver || this.#alarms.size >= ANSWERED) return;
    this.#after(ASK_MS, () => void this.#ask(generation, []));
  }

  /** Asks one after the other, administrators first, until the rekey has come. */
  async #ask(generation: Generation, asked: string[]): Promise<void> {
    const { tell, userKey, signer } = this.#parts;
    const { channel, admins, members } = generation.facts;
    const chamber = this.#line.get(hex(channel));
    const isKnown = [...this.#line.values()].some(({ parents }) => parents.has(hex(channel)));
    if (chamber === undefined || isKnown || this.#isOver || asked.length >= ASKED) return;
    const heard =
      members ?? (await Promise.all(chamber.room.members.list().map(({ user }) => userKey(user))));
    const me = signer.publicKey;
    const next = [...admins, ...heard].find((user) => !equal(user, me) && !asked.includes(hex(user)));
    if (next === undefined) return;
    void tell(next, { is: "ask", channel }).catch(() => false);
    this.#after(ASK_MS, () => void this.#ask(generation, [...asked, hex(next)]));
  }

  /** Wakes once, unless the channel was left. */
  #after(ms: number, wake: () => void): void {
    const stop = this.#parts.clock.after(ms, () => {
      this.#alarms.delete(stop);
      wake();
    });
    this.#alarms.add(stop);
  }

  /** One signed rekey for each branch, which all lead to one generation; they are taken up. */
  async #propose(
    removed: Bytes[],
    reason: string,
    added: Bytes[],
  ): Promise<{ made: Chamber; parents: Chamber[] }> {
    const { signer, clock } = this.#parts;
    const tip = this.#current;
    const me = signer.publicKey;
    if (!tip.generation.isAdmin(me)) throw new GroupError("only an administrator may change the channel");
    if (removed.some((user) => equal(user, me)))
      throw new GroupError("an administrator cannot remove itself");
    const all = this.#merged();
    if (tip.generation.isListed && all.members === undefined) {
      throw new GroupError("the member list of the channel is not known here yet");
    }
    if (added.length > 0 && !tip.generation.isListed)
      throw new GroupError("whoever has the link is a member: invite instead");
    const gone = new Map([...all.removed, ...users(removed)]);
    // Removing wins where branches disagree; an administrator who adds somebody again has seen both.
    for (const user of added) gone.delete(hex(user));
    const list = all.members && [...new Map([...all.members, ...users(added)]).values()];
    const now = clock.wall();
    const rekey = await tip.generation.rekey(
      me,
      [...gone.values()],
      reason,
      this.#name,
      this.#servers,
      now,
      list,
    );
    const parents: Chamber[] = [];
    for (const leaf of all.leaves) {
      // Who was added in one branch knows no other. A branch that has removed us is not ours to lead on.
      const own = { ...rekey, oldChannel: channelOf(leaf) };
      const isOurs = leaf === tip || (await leaf.generation.successor(own, now).then(wiped, () => false));
      if (!isOurs) continue;
      const body = Rekey.encode(own);
      const sig = await sign(signer, tip.generation.facts.network, "rekey", body);
      await this.#take({ body, sig }, own);
      parents.push(leaf);
    }
    const made = this.#line.get(hex(rekey.next.channel));
    if (made === undefined) throw new GroupError("too many generations at once");
    return { made, parents };
  }

  #merged(): Merged<Chamber> {
    return merged(this.#line, this.#parts.clock.wall());
  }

  async #tellAll(made: Chamber, parents: Chamber[], added: Users): Promise<{ told: Bytes[]; away: Bytes[] }> {
    const { signer, userKey } = this.#parts;
    const { members, admins } = made.generation.facts;
    const heard = async (): Promise<Bytes[]> => [
      ...(await Promise.all(
        parents.flatMap(({ room }) => room.members.list().map(({ user }) => userKey(user))),
      )),
      ...admins,
    ];
    const all = users(members ?? (await heard()));
    for (const user of [...made.removed.keys(), ...added.keys(), hex(signer.publicKey)]) all.delete(user);
    made.untold = new Map(all);
    await this.#tell(made);
    this.#tellAgain(made, TELL_AGAIN_MS);
    const away = [...made.untold.values()];
    return { told: [...all.values()].filter((user) => !made.untold.has(hex(user))), away };
  }

  /** Invites those who are new: they come when they agree, and ask then. */
  async #invite(added: Bytes[], outcome: { told: Bytes[]; away: Bytes[] }): Promise<void> {
    const invite = await this.invite();
    const tell = async (user: Bytes): Promise<void> => {
      const isTold = await this.#parts.tell(user, { is: "invite", invite }).catch(() => false);
      (isTold ? outcome.told : outcome.away).push(user);
    };
    await Promise.all(added.map(tell));
  }

  /** Tells our rekeys to those who have not acknowledged them. */
  async #tell(made: Chamber): Promise<void> {
    const tell = async (id: string, user: Bytes): Promise<void> => {
      const all = [...made.rekeys.values()].map((rekey) => this.#parts.tell(user, { is: "rekey", rekey }));
      const isTold = await Promise.all(all).catch(() => [false]);
      if (!isTold.includes(false)) made.untold.delete(id);
    };
    await Promise.all([...made.untold].map(([id, user]) => tell(id, user)));
    this.#forget(made);
  }

  #tellAgain(made: Chamber, ms: number): void {
    if (made.untold.size === 0 || this.#isOver) return;
    this.#after(ms, () => {
      void this.#tell(made).then(() => this.#tellAgain(made, Math.min(2 * ms, STEP_MS)));
    });
  }

  /** A rekey is kept for a step, and by us who made it until all have acknowledged it, a week at most. */
  #forget(chamber: Chamber): void {
    const age = this.#parts.clock.wall() - chamber.sinceMs;
    if (age < (chamber.untold.size > 0 ? WEEK_MS : STEP_MS)) return;
    chamber.rekeys.clear();
    chamber.untold.clear();
  }

  /** Once a week the secret changes, if an administrator is there; not where whoever has the link is a member, as those
   * who are away could not be told. */
  #plan(): void {
    const { clock, signer } = this.#parts;
    const { generation } = this.#current;
    this.#stopWeek();
    if (!generation.isAdmin(signer.publicKey) || !generation.isListed) return;
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

  /** Follows a rekey whose signature is good. */
  async #take(signed: Signed, rekey: Rekey): Promise<void> {
    const { clock, signer } = this.#parts;
    const [parent, channel] = [hex(rekey.oldChannel), hex(rekey.next.channel)];
    const from = this.#line.get(parent);
    const next = await from?.generation.successor(rekey, clock.wall());
    const known = this.#line.get(channel);
    if (known !== undefined) {
      next?.wipe();
      await this.#attach(known, next && parent, signed, rekey);
    } else if (next !== undefined) {
      if (!next.isMember(signer.publicKey) || rekey.removed.some((user) => equal(user, signer.publicKey))) {
        next.wipe();
        throw new GroupError("it leads on without us");
      }
      if (this.#line.size >= GENERATIONS) this.#dropOne(parent);
      const chamber = await this.#open(next);
      if (this.#isOver) return this.#close(chamber);
      chamber.parents.add(parent);
      chamber.rekeys.set(parent, signed);
      for (const [id, user] of users(rekey.removed)) chamber.removed.set(id, user);
      this.#line.set(channel, chamber);
      this.#after(STEP_MS, () => this.#forget(chamber));
      this.#after(WEEK_MS, () => this.#forget(chamber));
    }
    this.#settle();
    this.#planMerge();
  }

  /** A rekey to a generation that is known: another way to it, or the list of one that was entered by an invitation. */
  async #attach(known: Chamber, parent: string | undefined, signed: Signed, rekey: Rekey): Promise<void> {
    if (!known.generation.isAdmin(rekey.admin))
      throw new GroupError("rekey by somebody who is no administrator");
    const { isListed, facts } = known.generation;
    if (isListed && facts.members === undefined) await known.generation.knowMembers(rekey.members);
    if (parent !== undefined) known.parents.add(parent);
    for (const [id, user] of users(rekey.removed)) known.removed.set(id, user);
    const from = hex(rekey.oldChannel);
    if (!known.rekeys.has(from) && known.rekeys.size < GENERATIONS) known.rekeys.set(from, signed);
    this.#after(STEP_MS, () => this.#forget(known));
  }

  /** Makes room for another generation: the one that was retired first goes. */
  #dropOne(keep: string): void {
    const oldest = [...this.#line]
      .filter(([channel, { retiredMs }]) => channel !== keep && retiredMs !== undefined)
      .sort(([, one], [, other]) => (one.retiredMs ?? 0) - (other.retiredMs ?? 0))[0];
    if (oldest === undefined) throw new GroupError("too many generations at once");
    this.#line.delete(oldest[0]);
    void this.#close(oldest[1]);
  }

  /** After a change: which generation is written, and which are read for a while only, for what is on its way. */
  #settle(): void {
    if (this.#isOver) return;
    const { clock, events } = this.#parts;
    const { leaves, isSettled } = this.#merged();
    const tip = leaves[0] ?? this.#current;
    for (const chamber of this.#line.values()) {
      if (chamber === tip || (!isSettled && leaves.includes(chamber))) {
        chamber.retiredMs = undefined;
      } else if (chamber.retiredMs === undefined) {
        chamber.retiredMs = clock.wall();
        this.#after(OVERLAP_MS, () => {
          if (isRead(chamber, clock.wall())) return;
          void this.#close(chamber);
          this.#settle();
        });
      }
    }
    if (tip === this.#current) return;
    this.#current = tip;
    this.#plan();
    events.moved();
  }

  /** Branches are brought together by the first administrator who is there. */
  #planMerge(): void {
    const rank = [...this.generation.facts.admins]
      .sort(compare)
      .findIndex((admin) => equal(admin, this.#parts.signer.publicKey));
    if (this.#isMerging || this.#isOver || rank < 0 || this.#merged().isSettled) return;
    this.#isMerging = true;
    this.#after(MERGE_MS * (rank + 1), () => {
      this.#isMerging = false;
      if (!this.#merged().isSettled) void this.change([], "").catch(() => {});
    });
  }

  #open(generation: Generation): Promise<Chamber> {
    return openChamber(this.#parts, generation, this.label, this.#claimed, {
      moved: (_author, content) => this.moved(generation, content),
      isOut: (author) => this.isOut(generation, author),
    });
  }

  async #close(chamber: Chamber): Promise<void> {
    chamber.stop();
    await this.#parts.rooms.leave(chamber.room);
    chamber.generation.wipe();
  }
}

const wiped = (generation: Generation): boolean => {
  generation.wipe();
  return true;
};

/** What a chamber tells its hall, and asks. */
interface Watch {
  moved(author: Bytes, content: Bytes): void;
  isOut(author: Bytes): boolean;
}

/** Joins the channel of a generation, and keeps its secret moving. */
async function openChamber(
  parts: HallParts,
  generation: Generation,
  label: string,
  name: string,
  watch: Watch,
): Promise<Chamber> {
  const { suite, clock, signer, rooms, events } = parts;
  const envelope = new SealedEnvelope(suite, clock, signer, generation, watch.isOut);
  const { item, member } = events;
  const spec = {
    id: generation.facts.channel,
    label,
    isPrivate: true,
    envelope,
    name,
    events: { item, member, moved: watch.moved },
  };
  const room = await rooms.join(spec);
  const chamber: Chamber = {
    generation,
    room,
    parents: new Set(),
    removed: new Map(),
    rekeys: new Map(),
    untold: new Map(),
    sinceMs: clock.wall(),
    retiredMs: undefined,
    stop: () => {},
  };
  const advance = (): void => {
    chamber.stop = clock.after(Math.max(1_000, generation.nextMs - clock.wall()), () => {
      generation.advance(clock.wall()).then(advance, () => {});
    });
  };
  advance();
  return chamber;
}
