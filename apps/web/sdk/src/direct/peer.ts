// One device of somebody's: our sessions with it, and what waits for one. Source: docs/protocol.md, section 7.

import { type Bytes, equal, hex } from "../bytes.ts";
import type { Bundle } from "./bundle.ts";
import type { Initiated } from "./handshake.ts";
import { Order } from "./order.ts";
import type { Outgoing } from "./outbox.ts";
import type { Ratchet } from "./ratchet.ts";

/** DM_SESSIONS per device. */
const SESSIONS = 4;
/** A session that was replaced receives for so long, in milliseconds. */
const REPLACED_MS = 120_000;
/** DM_RENEW: messages and time without an answer, and age. */
const RENEW_MESSAGES = 1_000;
const RENEW_ONE_WAY_MS = 3_600_000;
const RENEW_AGE_MS = 24 * 3_600_000;
/** DM_HALF_OPEN, in milliseconds. */
export const HALF_OPEN_MS = 30_000;
/** How long a handshake of theirs keeps us from beginning one (7.6), in milliseconds. */
export const HALF_OPEN_WAIT_MS = 10_000;
/** How long a device that was heard counts as there, though a lookup does not tell of it (7.8), in milliseconds. */
const PRESENT_MS = 30_000;
/** How long what goes to a device takes two ways after something had to be repeated (10.5), in milliseconds. */
const WARY_MS = 60_000;

/** A session that both sides have proven. */
export interface Established {
  readonly ratchet: Ratchet;
  readonly order: Order;
  readonly since: number;
  /** Nothing more is written to it: the other side is said to have lost it, or does not acknowledge. */
  isDoubtful: boolean;
  /** Ends the wait for what is missing before what came. */
  stopWaiting: () => void;
  /** When the first message went out that the other side has not answered since. */
  unansweredSince: number | undefined;
  replacedAt: number | undefined;
}

/** Names a device in maps. */
export function peerKey(user: Bytes, device: Bytes): string {
  return hex(user) + hex(device);
}

/** A device. */
export class Peer {
  readonly key: string;
  readonly user: Bytes;
  readonly device: Bytes;
  /** The key of its user as text. */
  readonly id: string;
  /** Where it was last. */
  server: Bytes;
  /** The bundle that the next handshake uses. */
  bundle: Bundle | undefined;
  pending: (Initiated & { tries: number; stop: () => void }) | undefined;
  /** A handshake of theirs that we have answered; `asked` is when its INIT came last. */
  halfOpen: { readonly ratchet: Ratchet; readonly until: number; asked: number } | undefined;
  /** When something of it opened last. */
  heardAt = Number.NEGATIVE_INFINITY;
  /** When we or it had to repeat something last. */
  repeatedAt = Number.NEGATIVE_INFINITY;
  /** When we last began because a session was lost. */
  renewedAt = Number.NEGATIVE_INFINITY;
  /** Contents that are to go to it. */
  readonly waiting = new Set<Outgoing>();
  /** Contents of it that wait for their acknowledgement. */
  readonly acks: Bytes[] = [];
  #established: Established[] = [];

  constructor(user: Bytes, device: Bytes, id: string, server: Bytes) {
    this.key = peerKey(user, device);
    this.user = user;
    this.device = device;
    this.id = id;
    this.server = server;
  }

  /** Whether nothing would be lost by forgetting it. */
  isIdle(now: number): boolean {
    const isHalfOpen = this.halfOpen !== undefined && this.halfOpen.until > now;
    return (
      this.#established.length === 0 && this.pending === undefined && !isHalfOpen && this.waiting.size === 0
    );
  }

  /** Whether what goes to it takes two ways: something had to be repeated not long ago (10.5). */
  isWary(now: number): boolean {
    return this.repeatedAt + WARY_MS > now;
  }

  /** Whether a handshake of theirs is so young that ours waits for it. */
  isBeginning(now: number): boolean {
    return this.halfOpen !== undefined && this.halfOpen.asked + HALF_OPEN_WAIT_MS > now;
  }

  /** Whether it is written to though a lookup does not tell of it. */
  isPresent(now: number): boolean {
    return this.heardAt + PRESENT_MS > now && this.writable(now) !== undefined;
  }

  /** A handshake is done: this session is written to from now on. */
  establish(ratchet: Ratchet, now: number): Established {
    for (const session of this.#established) session.replacedAt ??= now;
    const session: Established = {
      ratchet,
      order: new Order(),
      since: now,
      isDoubtful: false,
      stopWaiting: () => {},
      unansweredSince: undefined,
      replacedAt: undefined,
    };
    this.#established = [...this.#established.filter((one) => isOpen(one, now)), session].slice(-SESSIONS);
    return session;
  }

  /** The session that is written to, if there is one that need not be renewed. */
  writable(now: number): Established | undefined {
    const session = this.#established.at(-1);
    if (session === undefined || !session.ratchet.canSend || session.replacedAt !== undefined)
      return undefined;
    if (session.isDoubtful) return undefined;
    const isOneWay = now - (session.unansweredSince ?? now) >= RENEW_ONE_WAY_MS;
    const isWorn =
      session.ratchet.sentInRow >= RENEW_MESSAGES || isOneWay || now - session.since >= RENEW_AGE_MS;
    return isWorn ? undefined : session;
  }

  /** The session of this id, as long as it may still receive. */
  session(sid: Bytes, now: number): Established | undefined {
    return this.#established.find((one) => equal(one.ratchet.sid, sid) && isOpen(one, now));
  }

  /** The device is gone, and its sessions with it. */
  dropAll(): void {
    this.#established = [];
    this.pending?.stop();
    this.pending = undefined;
    this.halfOpen = undefined;
    this.heardAt = Number.NEGATIVE_INFINITY;
  }
}

function isOpen({ replacedAt }: Established, now: number): boolean {
  return replacedAt === undefined || replacedAt + REPLACED_MS > now;
}
