// The double ratchet. Source: docs/protocol.md, section 7.4.

import { type Bytes, concat, EMPTY, equal, hex, utf8 } from "../bytes.ts";
import type { DhPair, Suite } from "../crypto/suite.ts";
import { label } from "../hash.ts";
import { type DirectHead, encodeHead } from "../wire/packet.ts";

/** DM_SKIP: numbers skipped in one step, kept in all, and how long they are kept in milliseconds. */
const SKIP_STEP = 512;
const SKIP_KEPT = 1_024;
const SKIP_MS = 600_000;
/** The last number of a chain is never used. */
const LAST = 2 ** 32 - 1;

const ROOT = utf8("dchat/1/dm-root");
const SID = utf8("dchat/1/dm-sid");
const RK = utf8("dchat/1/dm-rk");
const MK = utf8("dchat/1/dm-mk");
const MESSAGE_KEY = Uint8Array.of(1);
const NEXT_KEY = Uint8Array.of(2);
const ZEROS = new Uint8Array(32);

/** What a handshake leaves behind: the final hash and the two keys of its split. */
export interface Secrets {
  readonly hash: Bytes;
  readonly keys: readonly [Bytes, Bytes];
}

interface State {
  readonly rk: Bytes;
  readonly dhs: DhPair;
  readonly dhr: Bytes | undefined;
  readonly cks: Bytes | undefined;
  readonly ckr: Bytes | undefined;
  readonly ns: number;
  readonly nr: number;
  readonly pn: number;
}

/** Why a message was not opened. Nothing has changed then. */
export type NotOpened = "duplicate" | "unreadable";

/** One session between two devices. Await each call before the next. */
export class Ratchet {
  readonly sid: Bytes;
  /** Messages sent since the other side last took a step. */
  sentInRow = 0;
  readonly #suite: Suite;
  readonly #hash: Bytes;
  readonly #newDh: () => Promise<DhPair>;
  #state: State;
  /** Message keys of numbers that were skipped, oldest first. */
  readonly #skipped = new Map<string, { key: Bytes; at: number }>();

  private constructor(suite: Suite, sid: Bytes, hash: Bytes, state: State, newDh: () => Promise<DhPair>) {
    this.#suite = suite;
    this.sid = sid;
    this.#hash = hash;
    this.#state = state;
    this.#newDh = newDh;
  }

  /** The initiator's side, which may send at once; `remote` is the responder's ratchet key. */
  static async initiator(
    suite: Suite,
    secrets: Secrets,
    remote: Bytes,
    newDh: () => Promise<DhPair> = () => suite.newDh(),
  ): Promise<Ratchet> {
    const { rk: rk0, sid } = await begin(suite, secrets);
    const dhs = await newDh();
    const [rk, cks] = await kdfRoot(suite, rk0, await dhs.agree(remote));
    const state = { rk, dhs, dhr: remote, cks, ckr: undefined, ns: 0, nr: 0, pn: 0 };
    return new Ratchet(suite, sid, secrets.hash, state, newDh);
  }

  /** The responder's side, which can send only after it has received. */
  static async responder(
    suite: Suite,
    secrets: Secrets,
    own: DhPair,
    newDh: () => Promise<DhPair> = () => suite.newDh(),
  ): Promise<Ratchet> {
    const { rk, sid } = await begin(suite, secrets);
    const state = { rk, dhs: own, dhr: undefined, cks: undefined, ckr: undefined, ns: 0, nr: 0, pn: 0 };
    return new Ratchet(suite, sid, secrets.hash, state, newDh);
  }

  /** Whether anything can be sent: a responder must have received first. */
  get canSend(): boolean {
    return this.#state.cks !== undefined && this.#state.ns < LAST;
  }

  /** The key of the other side's newest chain. */
  get theirs(): Bytes | undefined {
    return this.#state.dhr;
  }

  /** Seals a message under the next number. */
  async seal(plain: Bytes): Promise<{ head: DirectHead; sealed: Bytes }> {
    const { cks, dhs, pn, ns } = this.#state;
    if (cks === undefined || ns >= LAST) throw new Error("this session cannot send");
    const [key, next] = await this.#chain(cks);
    const head = { sid: this.sid, dh: dhs.publicKey, pn, n: ns };
    this.#state = { ...this.#state, cks: next, ns: ns + 1 };
    this.sentInRow += 1;
    const [aead, nonce] = await this.#messageKey(key);
    return { head, sealed: await aead.seal(nonce, this.#associated(head), plain) };
  }

  /** Opens a message, in whatever order it came. */
  async open(head: DirectHead, sealed: Bytes, now: number): Promise<Bytes | NotOpened> {
    this.#forgetOld(now);
    const name = nameOf(head.dh, head.n);
    const kept = this.#skipped.get(name);
    if (kept !== undefined) {
      const plain = await this.#tryKey(kept.key, head, sealed);
      if (plain === undefined) return "unreadable";
      this.#skipped.delete(name);
      return plain;
    }
    const isStep = this.#state.dhr === undefined || !equal(head.dh, this.#state.dhr);
    const { nr, ckr } = this.#state;
    const jumpBefore = isStep && ckr !== undefined ? Math.max(0, head.pn - nr) : 0;
    const jump = head.n - (isStep ? 0 : nr);
    if (jump < 0) return "duplicate";
    if (head.n >= LAST || jumpBefore > SKIP_STEP || jump > SKIP_STEP) return "unreadable";
    const skipped: [string, Bytes][] = [];
    let state = this.#state;
    if (isStep) {
      state = await this.#skip(state, head.pn, skipped);
      const stepped = await this.#step(state, head.dh);
      if (stepped === undefined) return "unreadable";
      state = stepped;
    }
    state = await this.#skip(state, head.n, skipped);
    const [key, next] = await this.#chain(state.ckr ?? EMPTY);
    const plain = await this.#tryKey(key, head, sealed);
    if (plain === undefined) return "unreadable";
    this.#state = { ...state, ckr: next, nr: head.n + 1 };
    if (isStep) this.sentInRow = 0;
    for (const [at, skippedKey] of skipped) this.#skipped.set(at, { key: skippedKey, at: now });
    for (const [oldest] of this.#skipped) {
      if (this.#skipped.size <= SKIP_KEPT) break;
      this.#skipped.delete(oldest);
    }
    return plain;
  }

  async #step(state: State, dh: Bytes): Promise<State | undefined> {
    try {
      const [rk1, ckr] = await kdfRoot(this.#suite, state.rk, await state.dhs.agree(dh));
      const dhs = await this.#newDh();
      const [rk, cks] = await kdfRoot(this.#suite, rk1, await dhs.agree(dh));
      return { rk, dhs, dhr: dh, cks, ckr, ns: 0, nr: 0, pn: state.ns };
    } catch {
      // The other side's key is of small order.
      return undefined;
    }
  }

  /** Keeps the message keys up to a number of the receiving chain. */
  async #skip(state: State, until: number, skipped: [string, Bytes][]): Promise<State> {
    let { ckr, nr } = state;
    while (ckr !== undefined && state.dhr !== undefined && nr < until) {
      const [key, next] = await this.#chain(ckr);
      skipped.push([nameOf(state.dhr, nr), key]);
      ckr = next;
      nr += 1;
    }
    return { ...state, ckr, nr };
  }

  async #chain(ck: Bytes): Promise<[Bytes, Bytes]> {
    return [await this.#suite.hmac(ck, MESSAGE_KEY), await this.#suite.hmac(ck, NEXT_KEY)];
  }

  async #messageKey(key: Bytes): Promise<[Awaited<ReturnType<Suite["aead"]>>, Bytes]> {
    const both = await this.#suite.hkdf(ZEROS, key, MK, 44);
    return [await this.#suite.aead(both.slice(0, 32)), both.slice(32)];
  }

  async #tryKey(key: Bytes, head: DirectHead, sealed: Bytes): Promise<Bytes | undefined> {
    const [aead, nonce] = await this.#messageKey(key);
    return aead.open(nonce, this.#associated(head), sealed);
  }

  #associated(head: DirectHead): Bytes {
    return concat(label("dm-msg"), this.#hash, encodeHead(head));
  }

  #forgetOld(now: number): void {
    for (const [name, { at }] of this.#skipped) {
      if (at + SKIP_MS > now) break;
      this.#skipped.delete(name);
    }
  }
}

function nameOf(dh: Bytes, n: number): string {
  return `${hex(dh)}.${n}`;
}

async function begin(suite: Suite, { hash, keys }: Secrets): Promise<{ rk: Bytes; sid: Bytes }> {
  const secret = concat(...keys);
  const [rk, sid] = [await suite.hkdf(hash, secret, ROOT, 32), await suite.hkdf(hash, secret, SID, 8)];
  secret.fill(0);
  return { rk, sid };
}

async function kdfRoot(suite: Suite, rk: Bytes, shared: Bytes): Promise<[Bytes, Bytes]> {
  const both = await suite.hkdf(rk, shared, RK, 64);
  shared.fill(0);
  return [both.slice(0, 32), both.slice(32)];
}
