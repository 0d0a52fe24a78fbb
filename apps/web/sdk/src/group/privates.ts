// All private channels of a client, and what people say about them. Source: docs/protocol.md, section 8.

import { type Bytes, equal } from "../bytes.ts";
import { type Channel, channelQueue, type Sent, sentText } from "../channel.ts";
import type { Directs } from "../direct/directs.ts";
import { ChatError } from "../error.ts";
import { entryOf, type Message, type Missed, type SendOptions } from "../message.ts";
import type { Queue } from "../queue.ts";
import type { Member, MemberChange } from "../session/members.ts";
import { keyText } from "../text/key.ts";
import { channelName, userName } from "../text/name.ts";
import { MAX_INVITE_SERVERS } from "../wire/limits.ts";
import { DM, GroupControl, type Invite, type Signed } from "../wire/messages.ts";
import { Generation, GroupError } from "./generation.ts";
import { Hall, type HallParts } from "./hall.ts";
import { inviteText, parseInvite } from "./invite.ts";
import { parseSaved, savedText } from "./saved.ts";

/** Private channels of one client. */
const CHANNELS = 64;
/** Rekeys that wait because they lead on from a generation that is not known. */
const ORPHANS = 8;

/** Who hears of a change of a private channel by itself, and who was not there to hear it, by their keys. */
export interface Told {
  readonly told: string[];
  readonly away: string[];
}

/** A channel that only its members can read: servers see an id, sizes and times. */
export interface PrivateChannel extends Channel {
  /** How often its secret was changed by hand. */
  readonly generation: number;
  /** Whether we may change it. */
  readonly isAdmin: boolean;
  /** The keys of those who may change it. */
  admins(): Promise<string[]>;
  /** The keys of those who may write, where there is a list that we know; `null` where whoever has the link may. */
  list(): Promise<string[] | null>;
  /**
   * The invitation as it is now, as text, or with `page` as a link that opens it there. Whoever has it reads from the
   * hour at hand on: hand it over where nobody else reads.
   */
  invite(options?: { page?: string }): Promise<string>;
  /**
   * What to write down in order to come back by `Client.restorePrivate`, here or with the Rust client. It holds the
   * secret of the hour at hand.
   */
  saved(): Promise<string>;
  /** Sends the invitation to one person, encrypted. @throws ChatError as `Direct.send` does. */
  inviteTo(user: string): Promise<{ received: boolean }>;
  /**
   * Makes a new secret that the removed do not get; an admin alone may. What they have read stays read. Resolves when
   * those who were told have come, or some seconds later.
   * @throws ChatError `refused`.
   */
  remove(users: string[], reason?: string): Promise<Told>;
  /**
   * Takes these into the list and invites them; an admin alone may, and only where there is a list. The secret changes,
   * so what was said before stays closed to them.
   * @throws ChatError `refused`.
   */
  add(users: string[]): Promise<Told>;
  /** Makes a new secret for everybody, after a link became known. @throws ChatError `refused`. */
  rekey(reason?: string): Promise<Told>;
}

/** How a private channel is made. */
export interface PrivateOptions {
  /** Only these write, and we; anybody with the link, if not given. At most 256. */
  readonly members?: string[];
  /** These may change it, and we. At most 8. */
  readonly admins?: string[];
  /** Addresses of servers where it is, at most 4, for its invitations. */
  readonly servers?: string[];
  /** The name that we claim in it. */
  readonly name?: string;
}

/** What private channels need of the client. */
export interface PrivateParts extends Omit<HallParts, "tell" | "userKey" | "events"> {
  readonly network: string;
  readonly name: () => string;
  readonly directs: Directs;
  readonly events: {
    member(change: MemberChange & { channel: string }): void;
    /** Somebody invites us; we are in it only when we say so. */
    invite(from: string, name: string, invite: string): void;
  };
}

/** The private channels. */
export class Privates {
  readonly #parts: PrivateParts;
  readonly #channels = new Map<Hall, Queue<Message | Missed>>();
  readonly #orphans: Signed[] = [];
  #entering = 0;

  constructor(parts: PrivateParts) {
    this.#parts = parts;
  }

  /** Makes a channel and joins it. */
  async create(typed: string, options: PrivateOptions): Promise<PrivateChannel> {
    const { suite, clock, signer, network, directs } = this.#parts;
    const name = channelName(typed);
    const withMe = async (users: string[]): Promise<Bytes[]> => {
      const keys = await Promise.all(users.map((user) => directs.key(user)));
      return [signer.publicKey, ...keys].filter(
        (key, at, all) => all.findIndex((one) => equal(one, key)) === at,
      );
    };
    const admins = await withMe(options.admins ?? []);
    const members =
      options.members === undefined
        ? undefined
        : await withMe([...options.members, ...(options.admins ?? [])]);
    const servers = (options.servers ?? []).slice(0, MAX_INVITE_SERVERS);
    return this.#enter(name, servers, options.name, () =>
      Generation.create(suite, network, admins, members, clock.wall()),
    );
  }

  /** Joins the channel of an invitation. */
  async join(typed: string, options: { name?: string; members?: string[] }): Promise<PrivateChannel> {
    const { suite, clock, network, directs } = this.#parts;
    const invite = parseInvite(typed);
    const members = options.members && (await Promise.all(options.members.map((user) => directs.key(user))));
    return this.#enter(nameOf(invite), invite.servers, options.name, () =>
      Generation.ofInvite(suite, network, invite, clock.wall(), members),
    );
  }

  /** Comes back to a channel that was written down, and asks its members what was missed. */
  async restore(text: string, options: { name?: string }): Promise<PrivateChannel> {
    const { suite, clock, network, directs } = this.#parts;
    const { name, invite, members } = parseSaved(text);
    const keys = members && (await Promise.all(members.map((user) => directs.key(user))));
    const make = (): Promise<Generation> => Generation.ofInvite(suite, network, invite, clock.wall(), keys);
    return this.#enter(channelName(name), invite.servers, options.name, make, true);
  }

  /** A control came in a direct message. What is wrong with it is nobody's business but its sender's. */
  async group(from: Bytes, body: Bytes): Promise<void> {
    let control: GroupControl;
    try {
      control = GroupControl.decode(body);
    } catch {
      return;
    }
    if (control.is === "invite") {
      const text = inviteText(control.invite);
      if (control.invite.network !== this.#parts.network) return;
      this.#parts.events.invite(
        await keyText(this.#parts.suite, "user", from),
        `#${nameOf(control.invite)}`,
        text,
      );
      return;
    }
    if (control.is === "ask") {
      for (const hall of this.#channels.keys()) await hall.asked(from, control.channel);
    } else if (!(await this.#rekeyed(control.rekey))) {
      this.#orphans.push(control.rekey);
      if (this.#orphans.length > ORPHANS) this.#orphans.shift();
      await Promise.all([...this.#channels.keys()].map((hall) => hall.ask(from).catch(() => {})));
    } else {
      // What waited for this one may lead on from it.
      for (const orphan of this.#orphans.splice(0)) {
        if (!(await this.#rekeyed(orphan))) this.#orphans.push(orphan);
      }
    }
  }

  /** Whether a channel knew where a rekey belongs; what it thought of it is another matter. */
  async #rekeyed(signed: Signed): Promise<boolean> {
    for (const hall of this.#channels.keys()) {
      if (await hall.rekeyed(signed).catch(() => true)) return true;
    }
    return false;
  }

  /** Everything ends. */
  close(): void {
    for (const [hall, queue] of this.#channels) {
      void hall.leave();
      queue.end();
    }
    this.#channels.clear();
  }

  async #enter(
    name: string,
    servers: string[],
    claim: string | undefined,
    make: () => Promise<Generation>,
    wasHere = false,
  ): Promise<PrivateChannel> {
    if (this.#channels.size + this.#entering >= CHANNELS) {
      throw new ChatError("refused", "in too many private channels", { reason: "LIMIT" });
    }
    const claimed = claim === undefined ? this.#parts.name() : userName(claim);
    const queue = channelQueue(`#${name}`, true);
    this.#entering += 1;
    try {
      const generation = await plainly(make());
      if ([...this.#channels.keys()].some((hall) => hall.has(generation.facts.channel))) {
        throw new ChatError("refused", "already in that channel", { reason: "ALREADY" });
      }
      const hall = await Hall.enter(this.#hallParts(name, queue), generation, { name, claimed, servers });
      this.#channels.set(hall, queue);
      // Whoever comes by an invitation learns the list from a rekey that was signed with it.
      if (wasHere || (generation.isListed && generation.facts.members === undefined)) hall.askAll();
      return new PrivateRoom(this.#parts, hall, queue, () => {
        this.#channels.delete(hall);
        queue.end();
      });
    } finally {
      this.#entering -= 1;
    }
  }

  #hallParts(name: string, queue: Queue<Message | Missed>): HallParts {
    const { directs, events } = this.#parts;
    return {
      ...this.#parts,
      tell: async (user, control) => (await tell(directs, user, control)).received,
      userKey: (text) => directs.key(text),
      events: {
        item: (item) => queue.push(item),
        member: (change) => events.member({ ...change, channel: `#${name}` }),
        moved: () => {},
      },
    };
  }
}

function tell(directs: Directs, user: Bytes, control: GroupControl): Promise<{ received: boolean }> {
  return directs.send(user, { kind: DM.GROUP, body: GroupControl.encode(control) });
}

/** The name in an invitation is somebody's text: one that is no channel's name is not shown. */
function nameOf(invite: Invite): string {
  try {
    return channelName(invite.name);
  } catch {
    return "private";
  }
}

async function plainly<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof GroupError) throw new ChatError("refused", error.message);
    throw error;
  }
}

class PrivateRoom implements PrivateChannel {
  readonly name: string;
  readonly #parts: PrivateParts;
  readonly #hall: Hall;
  readonly #queue: Queue<Message | Missed>;
  readonly #left: () => void;

  constructor(parts: PrivateParts, hall: Hall, queue: Queue<Message | Missed>, left: () => void) {
    this.name = hall.label;
    this.#parts = parts;
    this.#hall = hall;
    this.#queue = queue;
    this.#left = left;
  }

  get spread(): boolean {
    return this.#hall.room.spread;
  }

  get generation(): number {
    return this.#hall.generation.facts.generation;
  }

  get isAdmin(): boolean {
    return this.#hall.generation.isAdmin(this.#parts.signer.publicKey);
  }

  admins(): Promise<string[]> {
    return this.#texts(this.#hall.generation.facts.admins);
  }

  async list(): Promise<string[] | null> {
    const { members } = this.#hall.generation.facts;
    return members === undefined ? null : this.#texts(members);
  }

  members(): Member[] {
    return this.#hall.members();
  }

  speakAs(name: string): void {
    this.#hall.room.own.name = userName(name);
  }

  async send(data: string | Uint8Array, options: SendOptions = {}): Promise<Sent> {
    return sentText(await this.#hall.room.send(entryOf(data, options)));
  }

  async invite({ page }: { page?: string } = {}): Promise<string> {
    return inviteText(await plainly(this.#hall.invite()), page);
  }

  async saved(): Promise<string> {
    const [invite, members] = [await plainly(this.#hall.invite()), await this.list()];
    const name = this.name.slice(1);
    return savedText({ name, invite, members: members ?? undefined }, this.#parts.clock.wall());
  }

  async inviteTo(user: string): Promise<{ received: boolean }> {
    const { directs } = this.#parts;
    const invite = await plainly(this.#hall.invite());
    const { received } = await tell(directs, await directs.key(user), { is: "invite", invite });
    return { received };
  }

  remove(users: string[], reason = ""): Promise<Told> {
    return this.#change(users, reason, []);
  }

  add(users: string[]): Promise<Told> {
    return this.#change([], "", users);
  }

  rekey(reason = ""): Promise<Told> {
    return this.remove([], reason);
  }

  async leave(): Promise<void> {
    await this.#hall.leave();
    this.#left();
  }

  [Symbol.asyncIterator](): AsyncIterator<Message | Missed> {
    return this.#queue[Symbol.asyncIterator]();
  }

  async #change(removed: string[], reason: string, added: string[]): Promise<Told> {
    const keys = (users: string[]): Promise<Bytes[]> =>
      Promise.all(users.map((user) => this.#parts.directs.key(user)));
    const { told, away } = await plainly(this.#hall.change(await keys(removed), reason, await keys(added)));
    return { told: await this.#texts(told), away: await this.#texts(away) };
  }

  #texts(keys: readonly Bytes[]): Promise<string[]> {
    return Promise.all(keys.map((key) => keyText(this.#parts.suite, "user", key)));
  }
}
