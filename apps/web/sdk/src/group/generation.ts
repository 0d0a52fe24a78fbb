// One generation of a private channel: a secret that moves forward every hour. Source: docs/protocol.md, section 8.1.

import { type Bytes, compare, EMPTY, equal, hex, u64be, utf8 } from "../bytes.ts";
import { randomBytes, type Suite } from "../crypto/suite.ts";
import { membersHash } from "../hash.ts";
import { MAX_ADMINS, MAX_MEMBERS } from "../wire/limits.ts";
import type { Invite, Rekey } from "../wire/messages.ts";

/** GROUP_STEP and the overlap of two steps, in milliseconds. */
export const STEP_MS = 3_600_000;
export const OVERLAP_MS = 300_000;
/** The most steps that are made at once: a year. */
const MAX_JUMP = 8_784;
/** The most generations that one rekey may lead on: more would use up the numbers. */
export const MAX_LEAP = 64;

const STEP = utf8("dchat/1/grp-step");
const KEY = utf8("dchat/1/grp-key");
const ZEROS = new Uint8Array(32);

/** Why a generation cannot be taken up; the message says it. */
export class GroupError extends Error {
  override readonly name = "GroupError";
}

/** What a channel is, beside its secret. */
export interface GroupFacts {
  readonly network: string;
  readonly channel: Bytes;
  readonly generation: number;
  readonly startMs: number;
  readonly admins: readonly Bytes[];
  /** The members where a list exists and is known; `undefined` where anybody with the link may write. */
  readonly members: readonly Bytes[] | undefined;
  /** 32 bytes where a list exists, else none. */
  readonly membersHash: Bytes;
}

/** A generation, as a member has it. */
export class Generation {
  facts: GroupFacts;
  readonly #suite: Suite;
  #step: number;
  #secret: Bytes;

  private constructor(suite: Suite, facts: GroupFacts, step: number, secret: Bytes) {
    this.#suite = suite;
    this.facts = facts;
    this.#step = step;
    this.#secret = secret;
  }

  /** A new channel. With `members`, only they are heard; the admins should be among them. */
  static async create(
    suite: Suite,
    network: string,
    admins: Bytes[],
    members: Bytes[] | undefined,
    nowMs: number,
  ): Promise<Generation> {
    checkSizes(admins, members ?? []);
    const channel = randomBytes(32);
    const facts = { network, channel, generation: 0, startMs: nowMs, admins, members, membersHash: EMPTY };
    const hash = members === undefined ? EMPTY : await hashOf(suite, network, members);
    return new Generation(suite, { ...facts, membersHash: hash }, 0, randomBytes(32));
  }

  /** @throws GroupError for an invitation of another network, or one that is more than a year old. */
  static async ofInvite(
    suite: Suite,
    network: string,
    invite: Invite,
    nowMs: number,
    members?: Bytes[],
  ): Promise<Generation> {
    if (invite.network !== network) throw new GroupError(`the channel is of the network ${invite.network}`);
    if (members !== undefined && !equal(await hashOf(suite, network, members), invite.membersHash)) {
      throw new GroupError("not the member list of the channel");
    }
    const { channel, generation, startMs, admins, membersHash: hash } = invite;
    const facts = { network, channel, generation, startMs, admins, members, membersHash: hash };
    const made = new Generation(suite, facts, invite.step, invite.secret.slice());
    await made.advance(nowMs);
    return made;
  }

  /** Moves on, and wipes what is over: an hour's secret five minutes after the next one began. */
  async advance(nowMs: number): Promise<void> {
    const oldest = this.#at(nowMs - OVERLAP_MS);
    if (oldest - this.#step > MAX_JUMP) throw new GroupError("the secret is more than a year old");
    if (oldest <= this.#step) return;
    const next = await this.#secretOf(oldest);
    // Another call may have come first while this one derived.
    if (next === undefined || oldest <= this.#step) return;
    this.#secret.fill(0);
    this.#secret = next;
    this.#step = oldest;
  }

  /** When `advance` has something to do, in Unix milliseconds. */
  get nextMs(): number {
    return this.facts.startMs + (this.#step + 1) * STEP_MS + OVERLAP_MS;
  }

  /** The step that is written now; a clock that went back brings none back. */
  current(nowMs: number): number {
    return Math.max(this.#at(nowMs), this.#step);
  }

  /** Whether posts of this step are read now. */
  accepts(step: number, nowMs: number): boolean {
    return (
      step >= Math.max(this.#at(nowMs - OVERLAP_MS), this.#step) &&
      step <= Math.max(this.#at(nowMs + OVERLAP_MS), this.#step)
    );
  }

  /** The key of a stream in a step; `undefined` for steps that are over or too far. */
  async key(step: number, stream: bigint): Promise<Bytes | undefined> {
    const secret = await this.#secretOf(step);
    if (secret === undefined) return undefined;
    const key = await this.#suite.hkdf(u64be(stream), secret, KEY, 32);
    secret.fill(0);
    return key;
  }

  /** Whether somebody may write here. */
  isMember(user: Bytes): boolean {
    return this.facts.members?.some((member) => equal(member, user)) ?? true;
  }

  isAdmin(user: Bytes): boolean {
    return this.facts.admins.some((admin) => equal(admin, user));
  }

  /** An invitation that opens the current hour and those after it. */
  async invite(name: string, servers: string[], nowMs: number): Promise<Invite> {
    const step = this.current(nowMs);
    const secret = await this.#secretOf(step);
    if (secret === undefined) throw new GroupError("the secret is too old");
    const { network, channel, generation, startMs, admins, membersHash: hash } = this.facts;
    return {
      network,
      channel,
      generation,
      step,
      secret,
      startMs,
      admins: [...admins],
      servers,
      name,
      membersHash: hash,
    };
  }

  /** Whether only those on a list write here, known to us or not. */
  get isListed(): boolean {
    return this.facts.membersHash.length > 0;
  }

  /** The list of a channel that was entered without it. @throws GroupError if it is not its list. */
  async knowMembers(members: Bytes[]): Promise<void> {
    const { network, membersHash: hash } = this.facts;
    if (!equal(await hashOf(this.#suite, network, members), hash)) {
      throw new GroupError("not the member list of the channel");
    }
    this.facts = { ...this.facts, members };
  }

  /** What the next generation's rekey says: fresh id and secret, without those who are removed. Of `list` or, if it is
   * not given, of our members those remain who are not removed. */
  async rekey(
    admin: Bytes,
    removed: Bytes[],
    reason: string,
    name: string,
    servers: string[],
    nowMs: number,
    list?: readonly Bytes[],
  ): Promise<Rekey> {
    const { network, channel, generation, admins } = this.facts;
    const members = list ?? this.facts.members;
    if (this.isListed && members === undefined) {
      throw new GroupError("the member list of the channel is not known here yet");
    }
    const stays = (user: Bytes): boolean => !removed.some((gone) => equal(gone, user));
    const rest = members?.filter(stays) ?? [];
    const next: Invite = {
      network,
      channel: randomBytes(32),
      generation: generation + 1,
      step: 0,
      secret: randomBytes(32),
      startMs: nowMs,
      admins: admins.filter(stays),
      servers,
      name,
      membersHash: members === undefined ? EMPTY : await hashOf(this.#suite, network, rest),
    };
    const rekey = { admin, oldChannel: channel, next, members: rest, removed, reason };
    await this.successor(rekey, nowMs);
    return rekey;
  }

  /**
   * The next generation, as a rekey whose signature is good describes it.
   * @throws GroupError for whatever section 8.1 refuses.
   */
  async successor(rekey: Rekey, nowMs: number): Promise<Generation> {
    const { network, channel, generation } = this.facts;
    const { next, members, removed } = rekey;
    if (!equal(rekey.oldChannel, channel)) throw new GroupError("rekey of another channel");
    if (!this.isAdmin(rekey.admin)) throw new GroupError("rekey by somebody who is no administrator");
    const leap = next.generation - generation;
    if (leap < 1 || leap > MAX_LEAP || next.network !== network || equal(next.channel, channel)) {
      throw new GroupError("rekey to another generation or network");
    }
    checkSizes(next.admins, members);
    const listed = new Set(members.map(hex));
    const isList = next.membersHash.length > 0;
    const isRight = isList
      ? equal(await hashOf(this.#suite, network, members), next.membersHash)
      : members.length === 0;
    const isApart = removed.every(
      (user) => !listed.has(hex(user)) && !next.admins.some((admin) => equal(admin, user)),
    );
    if (!isRight || listed.size !== members.length || !isApart)
      throw new GroupError("rekey with inconsistent lists");
    return Generation.ofInvite(this.#suite, network, next, nowMs, isList ? members : undefined);
  }

  /** Nothing can be opened any more, and nobody invited. */
  wipe(): void {
    this.#secret.fill(0);
    this.#step = Number.POSITIVE_INFINITY;
  }

  #at(nowMs: number): number {
    return Math.floor(Math.max(0, nowMs - this.facts.startMs) / STEP_MS);
  }

  async #secretOf(step: number): Promise<Bytes | undefined> {
    if (step < this.#step || step - this.#step > MAX_JUMP) return undefined;
    let secret = this.#secret.slice();
    for (let at = this.#step; at < step; at++) {
      const next = await this.#suite.hkdf(ZEROS, secret, STEP, 32);
      secret.fill(0);
      secret = next;
    }
    return secret;
  }
}

function hashOf(suite: Suite, network: string, members: readonly Bytes[]): Promise<Bytes> {
  return membersHash(suite, network, [...members].sort(compare));
}

function checkSizes(admins: readonly Bytes[], members: readonly Bytes[]): void {
  if (admins.length < 1 || admins.length > MAX_ADMINS || members.length > MAX_MEMBERS) {
    throw new GroupError("a private channel has 1 to 8 administrators and at most 256 members");
  }
}
