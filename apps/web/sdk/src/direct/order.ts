// The order in which the contents of one session are shown: that of their numbers. Source: docs/protocol.md, 7.5, G2.

import { type Bytes, equal } from "../bytes.ts";
import type { DmContent } from "../wire/messages.ts";
import type { DirectHead } from "../wire/packet.ts";

/** How long a missing number is waited for (REORDER_WAIT), in milliseconds. */
const WAIT_MS = 500;
/** Chains of the other side that still lack something. */
const CHAINS = 8;
/** Numbers that may still come: as many as the ratchet keeps keys for. */
const MISSING = 1_024;
/** Contents that wait for those before them. */
const HELD = 64;

/** A place in a session: which chain of the other side's, and which number in it. */
export interface Place {
  readonly chain: number;
  readonly n: number;
}

const from = (one: Place, other: Place): number => one.chain - other.chain || one.n - other.n;

/** Which numbers came, and what waits for those that did not. */
export class Order {
  /** The other side's chains, the newest last. */
  readonly #chains: { readonly dh: Bytes; readonly chain: number }[] = [];
  /** The place after the furthest that came. */
  #next: Place = { chain: 0, n: 0 };
  /** Places before `next` that may still come, in order, each with when that was noticed. */
  #missing: (Place & { readonly since: number })[] = [];
  readonly #held: { readonly place: Place; readonly content: DmContent }[] = [];

  /**
   * Notes that a packet with this head opened; `newest` is the key of the other side's newest chain. Gives its place,
   * or `undefined` if something after it was shown.
   */
  arrive(now: number, { dh, pn, n }: DirectHead, newest: Bytes | undefined): Place | undefined {
    let chain = this.#chains.find((one) => equal(one.dh, dh))?.chain;
    if (chain === undefined) {
      if (newest === undefined || !equal(newest, dh)) return undefined;
      chain = this.#turn(now, dh, pn);
    }
    const place = { chain, n };
    if (from(place, this.#next) < 0) {
      const before = this.#missing.length;
      this.#missing = this.#missing.filter((one) => from(one, place) !== 0);
      return this.#missing.length < before ? place : undefined;
    }
    this.#miss(now, n);
    this.#next = { chain, n: n + 1 };
    return place;
  }

  /** Takes a content at its place. */
  hold(place: Place, content: DmContent): void {
    const at = this.#held.findIndex((one) => from(one.place, place) > 0);
    this.#held.splice(at < 0 ? this.#held.length : at, 0, { place, content });
  }

  /** What can be shown now, in order: what lacks nothing before it, or lacks it for long enough. */
  release(now: number): DmContent[] {
    const shown: DmContent[] = [];
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      const { place, content } = first;
      if ((this.deadline ?? now) > now && this.#held.length <= HELD) break;
      this.#missing = this.#missing.filter((one) => from(one, place) > 0);
      this.#held.shift();
      shown.push(content);
    }
    return shown;
  }

  /** When `release` has something to give without another packet. */
  get deadline(): number | undefined {
    const [first] = this.#held;
    const lacking = first && this.#missing.filter((one) => from(one, first.place) < 0).at(-1);
    return lacking && lacking.since + WAIT_MS;
  }

  /** The other side has a new chain; the one before it had `previous` messages. */
  #turn(now: number, dh: Bytes, previous: number): number {
    const last = this.#chains.at(-1)?.chain;
    if (last !== undefined) this.#miss(now, previous);
    const chain = (last ?? -1) + 1;
    this.#chains.push({ dh, chain });
    if (this.#chains.length > CHAINS) this.#chains.shift();
    this.#next = { chain, n: 0 };
    return chain;
  }

  /** Notes the numbers up to `to` as missing; the ratchet has allowed the jump. */
  #miss(now: number, to: number): void {
    const { chain, n: first } = this.#next;
    for (let n = first; n < to; n++) this.#missing.push({ chain, n, since: now });
    this.#missing = this.#missing.slice(-MISSING);
  }
}
