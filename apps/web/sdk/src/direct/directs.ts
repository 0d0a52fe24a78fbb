// Direct messages: what goes to whom, over which session, and what came. Source: docs/protocol.md, section 7.

import { type Bytes, compare, concat, EMPTY, equal, hex } from "../bytes.ts";
import { randomBytes } from "../crypto/suite.ts";
import { ChatError } from "../error.ts";
import { Mutex } from "../mutex.ts";
import { Bucket } from "../session/budget.ts";
import { keyText, parseKey } from "../text/key.ts";
import type { Code } from "../wire/code.ts";
import { MAX_ACKS } from "../wire/limits.ts";
import { DM, DmContent, type DmDeliver, SelfCopy } from "../wire/messages.ts";
import { decodePacket, encodePacket, type Packet } from "../wire/packet.ts";
import { pad, unpad } from "../wire/pad.ts";
import { type Bundle, OwnBundles } from "./bundle.ts";
import { Carrier } from "./carrier.ts";
import { hear, initiate } from "./handshake.ts";
import { Lookups } from "./lookup.ts";
import { Memory } from "./memory.ts";
import type { Place } from "./order.ts";
import { Outbox, Outgoing } from "./outbox.ts";
import type { DirectParts } from "./parts.ts";
import { type Established, HALF_OPEN_MS, HALF_OPEN_WAIT_MS, Peer, peerKey } from "./peer.ts";

/** DM_ACK, in milliseconds. */
const ACK_MS = 50;
/** DM_INIT_RETRY, in milliseconds; the last wait is for the answer to the last repeat. */
const INIT_RETRY_MS = [2_000, 4_000, 8_000, 8_000] as const;
/** A lost session is made anew at most so often, in milliseconds. */
const RENEW_MS = 10_000;
/** Devices whose state is kept (DM_SESSIONS in all). */
const PEERS = 1_024;
const HALF_OPEN = 64;
/** INITs that are remembered with their answers, and for how long in milliseconds. */
const INITS = 1_024;
const INIT_MS = 600_000;
/** INITs that are read a second, and at once. */
const INIT_PER_S = 20;
const INIT_BURST = 60;
/** Key texts whose keys are remembered. */
const KEYS = 1_024;
/** Packets that wait to be opened; more wait on the link. */
const OPENING = 64;

/** All direct messages of a client. What touches sessions is done one after the other. */
export class Directs {
  readonly #parts: DirectParts;
  readonly #bundles: OwnBundles;
  readonly #lookups: Lookups;
  readonly #outbox = new Outbox();
  readonly #mutex = new Mutex();
  readonly #peers = new Map<string, Peer>();
  readonly #inits = new Map<string, { answer: Bytes; at: number; peer: Peer }>();
  readonly #initBucket: Bucket;
  readonly #carrier: Carrier;
  readonly #memory = new Memory();
  readonly #keys = new Map<string, Promise<Bytes>>();
  #stopRotation = (): void => {};
  #isClosed = false;
  #opening = 0;
  /** Packets that could not be opened. */
  undecryptable = 0;

  constructor(parts: DirectParts) {
    this.#parts = parts;
    const { suite, clock, session, signer, network, device } = parts;
    this.#bundles = new OwnBundles(suite, signer, network, device);
    this.#lookups = new Lookups(suite, clock, session, network);
    this.#initBucket = new Bucket(INIT_PER_S, INIT_BURST, clock.now());
    this.#carrier = new Carrier(clock, session);
    session.late = (req, code) => this.#lateStatus(req, code);
  }

  /** A session began: others are told where we are, if they may know, and what is unacknowledged goes again. */
  async fresh(isReachable: boolean): Promise<void> {
    this.#lookups.fresh();
    this.#carrier.fresh();
    for (const peer of this.#peers.values()) {
      // The answers would go to where we were.
      peer.pending?.stop();
      peer.pending = undefined;
    }
    if (isReachable) await this.#announce();
    else await this.#mutex.do(() => this.#issue());
    for (const one of this.#outbox.all()) void this.#attempt(one);
  }

  /**
   * The key that a text stands for. Those who ask for the same one get it in the order in which they asked.
   * @throws TextError if it is none.
   */
  key(text: string): Promise<Bytes> {
    const key = this.#keys.get(text) ?? parseKey(this.#parts.suite, "user", text);
    this.#keys.delete(text);
    this.#keys.set(text, key);
    for (const [oldest] of this.#keys) {
      if (this.#keys.size <= KEYS) break;
      this.#keys.delete(oldest);
    }
    return key;
  }

  /** Sends a content to all devices of a user, and a copy to our own others; says whether one has acknowledged it. */
  async send(
    user: Bytes,
    spec: Partial<DmContent> & Pick<DmContent, "kind" | "body">,
  ): Promise<{ id: Bytes; received: boolean }> {
    const content = this.#content(spec);
    const received = this.#post(user, content);
    const isCopied = content.kind === DM.TEXT || content.kind === DM.DATA;
    if (isCopied && !equal(user, this.#parts.signer.publicKey)) {
      const body = SelfCopy.encode({ user, content: DmContent.encode(content) });
      void this.#post(this.#parts.signer.publicKey, this.#content({ kind: DM.SELF_COPY, body })).catch(
        () => {},
      );
    }
    return { id: content.id, received: await received };
  }

  /** Whether the user wants nothing of this key. */
  isBlocked(user: string): boolean {
    return this.#parts.isBlocked(user);
  }

  /** A packet came. The promise, if there is one, asks for a pause: too many are being opened. */
  take(packet: DmDeliver): Promise<void> | undefined {
    const { signer, device } = this.#parts;
    if (!equal(packet.user, signer.publicKey) || !equal(packet.device, device)) return undefined;
    this.#opening += 1;
    const opened = this.#mutex
      .do(() => this.#take(packet))
      .catch(() => {
        this.undecryptable += 1;
      })
      .finally(() => {
        this.#opening -= 1;
      });
    return this.#opening >= OPENING ? opened : undefined;
  }

  /** Nothing more is sent. */
  close(): void {
    this.#isClosed = true;
    this.#stopRotation();
    for (const one of this.#outbox.all()) one.fail(new ChatError("closed", "the client was closed"));
    for (const peer of this.#peers.values()) peer.dropAll();
  }

  async #announce(): Promise<void> {
    const { session, clock } = this.#parts;
    const bundle = await this.#mutex.do(() => this.#issue());
    if (bundle === undefined) return;
    this.#stopRotation();
    this.#stopRotation = clock.after(this.#bundles.dueIn(clock.now()), () => void this.#announce());
    await session.ask({ is: "setBundle", value: { bundle } }, "bundle").catch(() => {});
  }

  /** A bundle for the server at hand. */
  async #issue(): Promise<Bytes | undefined> {
    const { session, clock } = this.#parts;
    if (session.server === undefined || this.#isClosed) return undefined;
    return this.#bundles.issue(session.server, clock.now(), clock.wall());
  }

  #content(spec: Partial<DmContent> & Pick<DmContent, "kind" | "body">): DmContent {
    return {
      id: randomBytes(16),
      timeMs: this.#parts.clock.wall(),
      contentType: "",
      name: this.#parts.name(),
      acks: [],
      headers: new Map(),
      replyTo: EMPTY,
      ...spec,
    };
  }

  #post(user: Bytes, content: DmContent): Promise<boolean> {
    return new Promise<boolean>((resolve, reject) => {
      const one = new Outgoing(this.#parts.clock, user, content, {
        retry: (again) => {
          this.#lookups.forget(user);
          this.#doubt(again);
          void this.#attempt(again);
        },
        repeat: (again) => void this.#attempt(again),
        done: (received) => {
          this.#forget(one);
          resolve(received);
        },
        failed: (error) => {
          this.#forget(one);
          reject(error);
        },
      });
      try {
        this.#outbox.add(one);
        void this.#attempt(one);
      } catch (error) {
        reject(error);
      }
    });
  }

  #forget(one: Outgoing): void {
    this.#outbox.remove(one);
    for (const peer of this.#peers.values()) peer.waiting.delete(one);
  }

  /** One try: whoever is there now gets it. */
  async #attempt(one: Outgoing): Promise<void> {
    one.begin();
    let bundles: Bundle[];
    try {
      bundles = await this.#lookups.find(one.user);
    } catch (error) {
      // Without a session it goes when there is one; any other refusal is final.
      const why = error instanceof ChatError ? error : new ChatError("refused", "the lookup failed");
      if (why.code !== "connect") one.fail(why);
      return;
    }
    const others = bundles.filter((bundle) => !this.#isMe(bundle.user, bundle.device));
    const now = this.#parts.clock.now();
    const isListed = (peer: Peer): boolean => others.some((bundle) => equal(bundle.device, peer.device));
    const present = [...this.#peers.values()].filter(
      (peer) => equal(peer.user, one.user) && peer.isPresent(now) && !isListed(peer),
    );
    if (others.length + present.length === 0)
      return one.fail(new ChatError("not-here", "the recipient is not online", { reason: "NOT_HERE" }));
    // One after the other, so that what was said first is sealed first.
    await this.#mutex.do(async () => {
      for (const there of [...others, ...present]) {
        const peer = there instanceof Peer ? there : await this.#peerOf(there);
        if (one.isOver) return;
        peer.waiting.add(one);
        await this.#flushNow(peer);
      }
    });
  }

  /** It was not acknowledged: what nothing was heard in since then is written to no more. */
  #doubt(one: Outgoing): void {
    const now = this.#parts.clock.now();
    for (const [key, { sid, at }] of one.sent) {
      const peer = this.#peers.get(key);
      if (peer !== undefined) peer.repeatedAt = now;
      const session = peer?.session(sid, now);
      if (peer !== undefined && session !== undefined && peer.heardAt < at) session.isDoubtful = true;
    }
  }

  #isMe(user: Bytes, device: Bytes): boolean {
    return equal(device, this.#parts.device) && equal(user, this.#parts.signer.publicKey);
  }

  async #peerOf(bundle: Bundle): Promise<Peer> {
    const key = peerKey(bundle.user, bundle.device);
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      const id = await keyText(this.#parts.suite, "user", bundle.user);
      peer = this.#peers.get(key) ?? new Peer(bundle.user, bundle.device, id, bundle.server);
    }
    this.#peers.delete(key);
    this.#peers.set(key, peer);
    if (peer.pending !== undefined && peer.bundle !== undefined && !equal(peer.bundle.keyId, bundle.keyId)) {
      // The handshake under way is with a key that the device may not have any more.
      peer.pending.stop();
      peer.pending = undefined;
    }
    peer.bundle = bundle;
    peer.server = bundle.server;
    const now = this.#parts.clock.now();
    for (const [oldest, other] of this.#peers) {
      if (this.#peers.size <= PEERS) break;
      if (other.isIdle(now) || this.#peers.size > 2 * PEERS) {
        other.dropAll();
        this.#peers.delete(oldest);
      }
    }
    return peer;
  }

  /** Sends whatever waits for a device, or begins a session with it. */
  #flush(peer: Peer): Promise<void> {
    return this.#mutex.do(() => this.#flushNow(peer));
  }

  async #flushNow(peer: Peer): Promise<void> {
    const now = this.#parts.clock.now();
    for (const one of [...peer.waiting]) {
      if (peer.writable(now) === undefined) break;
      peer.waiting.delete(one);
      if (!one.isOver) await this.#write(peer, one.content, one);
    }
    if (peer.pending === undefined && !peer.isBeginning(now) && peer.waiting.size > 0)
      await this.#begin(peer);
  }

  /** Seals a content for a device and sends it, with what is to be acknowledged to it. */
  async #write(peer: Peer, content: DmContent, one?: Outgoing): Promise<void> {
    const now = this.#parts.clock.now();
    const session = peer.writable(now);
    if (session === undefined) {
      if (one !== undefined) peer.waiting.add(one);
      return;
    }
    const acks = peer.acks.splice(0, MAX_ACKS);
    const plain = pad(DmContent.encode({ ...content, acks }));
    const { head, sealed } = await session.ratchet.seal(plain);
    session.unansweredSince ??= now;
    void this.#carry(peer, { is: "msg", head, sealed }, one);
  }

  async #begin(peer: Peer): Promise<void> {
    const { suite, clock, network } = this.#parts;
    const own = this.#bundles.latest();
    if (peer.bundle === undefined || own === undefined) return;
    const initiated = await initiate(suite, network, own, peer.bundle, clock.wall());
    peer.pending = { ...initiated, tries: 0, stop: () => {} };
    this.#repeatInit(peer);
  }

  #repeatInit(peer: Peer): void {
    const { pending } = peer;
    if (pending === undefined) return;
    const wait = INIT_RETRY_MS[pending.tries];
    if (wait === undefined || this.#isClosed) {
      peer.pending = undefined;
      this.#giveUp(peer, new ChatError("timeout", "the recipient's device does not answer"));
      return;
    }
    if (pending.tries > 0) peer.repeatedAt = this.#parts.clock.now();
    pending.tries += 1;
    pending.stop = this.#parts.clock.after(wait, () => this.#repeatInit(peer));
    void this.#carry(peer, decodePacket(pending.packet), undefined);
  }

  /** A device cannot be reached: what waits for it alone fails. */
  #giveUp(peer: Peer, error: ChatError): void {
    for (const one of peer.waiting) {
      peer.waiting.delete(one);
      one.gone.add(peer.key);
      const isElsewhere =
        one.sent.size > 0 || [...this.#peers.values()].some((other) => other.waiting.has(one));
      if (!isElsewhere) one.fail(error);
    }
  }

  /** Gives a packet to the server, and sees what becomes of it. */
  async #carry(peer: Peer, packet: Packet, one: Outgoing | undefined): Promise<void> {
    const { user, device, server } = peer;
    const isBegin = packet.is === "init";
    const attempt = peer.isWary(this.#parts.clock.now()) ? 1 : 0;
    const sid = packet.is === "msg" ? packet.head.sid : undefined;
    try {
      const code = await this.#carrier.carry(
        { user, device, server, packet: encodePacket(packet), attempt },
        {
          isBegin,
          about: sid && { peer: peer.key, sid, outgoing: one },
          leaves: () => sid && one?.left(peer.key, sid),
        },
      );
      this.#status(peer, packet, one, code);
    } catch (error) {
      // A lost connection or silence: the next try, or the next session, sends it again.
      if (error instanceof ChatError && !this.#isClosed && error.code === "refused") one?.fail(error);
    }
  }

  #status(peer: Peer, packet: Packet, one: Outgoing | undefined, code: Code): void {
    if (code === "LIMIT" && one !== undefined) {
      peer.repeatedAt = this.#parts.clock.now();
      one.cut();
    }
    // Where a server had no room for it, or nobody knows what became of it, the next try sends it again.
    if (code === "OK" || code === "LIMIT" || code === "TIMEOUT") return;
    if (code === "NO_SESSION" && packet.is === "msg") return this.#lost(peer, packet.head.sid, one);
    if (code === "TOO_LARGE") {
      one?.fail(new ChatError("too-large", "no server carries a packet of that size", { reason: code }));
      return;
    }
    // The device is gone, or where it was is not reachable: who else is there?
    this.#lookups.forget(peer.user);
    if (packet.is === "resp") {
      peer.halfOpen = undefined;
      return;
    }
    peer.dropAll();
    const error = new ChatError("not-here", `the recipient is not online: ${code}`, { reason: code });
    this.#giveUp(peer, error);
    if (one === undefined || one.isOver) return;
    one.gone.add(peer.key);
    if ([...one.sent.keys()].some((key) => !one.gone.has(key))) return;
    if (one.tries < 2) void this.#attempt(one);
    else one.fail(error);
  }

  #lateStatus(req: number, code: Code): void {
    const about = code === "NO_SESSION" ? this.#carrier.late(req) : undefined;
    const peer = about && this.#peers.get(about.peer);
    if (about !== undefined && peer !== undefined) this.#lost(peer, about.sid, about.outgoing);
  }

  /**
   * The device says that it lost the session: what it did not acknowledge goes over a new one, at most once in 10 s.
   * Nobody has signed that, so the session goes on to receive.
   */
  #lost(peer: Peer, sid: Bytes, one: Outgoing | undefined): void {
    const { clock } = this.#parts;
    const session = peer.session(sid, clock.now());
    if (session !== undefined) session.isDoubtful = true;
    const isLost = (other: Outgoing): boolean => {
      const sent = other.sent.get(peer.key);
      return other === one || (sent !== undefined && equal(sent.sid, sid));
    };
    const again = this.#outbox.all().filter((other) => isLost(other) || peer.waiting.delete(other));
    for (const other of again) peer.waiting.add(other);
    const wait = Math.max(0, peer.renewedAt + RENEW_MS - clock.now());
    if (wait > 0) {
      clock.after(wait, () => void this.#flush(peer));
      return;
    }
    peer.renewedAt = clock.now();
    this.#lookups.forget(peer.user);
    void this.#renew(peer);
  }

  async #renew(peer: Peer): Promise<void> {
    const bundles = await this.#lookups.find(peer.user).catch(() => []);
    const bundle = bundles.find(({ device }) => equal(device, peer.device));
    if (bundle === undefined)
      return this.#giveUp(peer, new ChatError("not-here", "the recipient's device is gone"));
    await this.#flush(await this.#peerOf(bundle));
  }

  async #take({ packet: bytes, ref }: DmDeliver): Promise<void> {
    const packet = decodePacket(bytes);
    if (packet.is === "init") return this.#takeInit(packet.keyId, packet.noise);
    if (packet.is === "resp") return this.#takeResp(packet.initRef, packet.noise);
    const now = this.#parts.clock.now();
    for (const peer of this.#peers.values()) {
      const isHalf = peer.halfOpen !== undefined && equal(peer.halfOpen.ratchet.sid, packet.head.sid);
      if (isHalf && (peer.halfOpen?.until ?? 0) <= now) continue;
      const ratchet = isHalf ? peer.halfOpen?.ratchet : peer.session(packet.head.sid, now)?.ratchet;
      if (ratchet === undefined) continue;
      if (this.#parts.isBlocked(peer.id)) return;
      const plain = await ratchet.open(packet.head, packet.sealed, now);
      if (typeof plain === "string") {
        if (plain === "unreadable") this.undecryptable += 1;
        return;
      }
      if (isHalf) {
        peer.halfOpen = undefined;
        peer.establish(ratchet, now);
        this.#known(peer);
      }
      const session = peer.session(packet.head.sid, now);
      if (session !== undefined && ratchet.sentInRow === 0) session.unansweredSince = undefined;
      peer.heardAt = now;
      const place = session?.order.arrive(now, packet.head, ratchet.theirs);
      const content = unpad(plain);
      if (content === undefined || session === undefined) throw new Error("another padding");
      this.#read(peer, session, place, DmContent.decode(content));
      this.#release(peer, session);
      if (peer.waiting.size > 0) void this.#flush(peer);
      return;
    }
    this.#parts.session.send({ is: "dmReject", value: { ref, code: "NO_SESSION" } });
  }

  async #takeInit(keyId: Bytes, noise: Bytes): Promise<void> {
    const { suite, clock, signer, network, device } = this.#parts;
    const now = clock.now();
    const name = hex(noise.subarray(0, 32));
    const before = this.#inits.get(name);
    if (before !== undefined && before.at + INIT_MS > now) {
      before.peer.repeatedAt = now;
      if (before.peer.halfOpen !== undefined) before.peer.halfOpen.asked = now;
      return void this.#carry(before.peer, decodePacket(before.answer), undefined);
    }
    const own = this.#bundles.find(keyId, now);
    if (own === undefined || this.#initBucket.readyAt(1, now) > now) return;
    this.#initBucket.take(1);
    const heard = await hear(suite, network, { user: signer.publicKey, device }, own, noise, clock.wall());
    if (heard === undefined) return;
    const { bundle } = heard;
    const peer = await this.#peerOf(bundle);
    if (this.#parts.isBlocked(peer.id)) return;
    if (peer.pending !== undefined) {
      // Both began: the handshake of the smaller one wins (7.6).
      const ours = concat(signer.publicKey, device);
      if (compare(ours, concat(bundle.user, bundle.device)) < 0) return;
      peer.pending.stop();
      peer.pending = undefined;
    }
    const halfOpen = [...this.#peers.values()].filter((other) => (other.halfOpen?.until ?? 0) > now);
    if (halfOpen.length >= HALF_OPEN) return;
    const { packet, ratchet } = await heard.answer();
    peer.halfOpen = { ratchet, until: now + HALF_OPEN_MS, asked: now };
    clock.after(HALF_OPEN_WAIT_MS, () => void this.#flush(peer));
    this.#inits.set(name, { answer: packet, at: now, peer });
    for (const [oldest, { at }] of this.#inits) {
      if (this.#inits.size <= INITS && at + INIT_MS > now) break;
      this.#inits.delete(oldest);
    }
    void this.#carry(peer, decodePacket(packet), undefined);
  }

  async #takeResp(initRef: Bytes, noise: Bytes): Promise<void> {
    const peer = [...this.#peers.values()].find(
      (one) => one.pending !== undefined && equal(one.pending.initRef, initRef),
    );
    const ratchet = await peer?.pending?.finish(noise);
    if (peer === undefined || ratchet === undefined) return;
    peer.pending?.stop();
    peer.pending = undefined;
    peer.establish(ratchet, this.#parts.clock.now());
    this.#known(peer);
    if ([...peer.waiting].some((one) => !one.isOver)) void this.#flush(peer);
    else await this.#write(peer, this.#content({ kind: DM.CONFIRM, body: EMPTY }));
  }

  /** A device has proven itself: worth a word if we knew its user by another one. */
  #known(peer: Peer): void {
    if (this.#memory.isNewDevice(peer.id, peer.key)) this.#parts.events.device(peer.id, hex(peer.device));
  }

  #read(peer: Peer, session: Established, place: Place | undefined, content: DmContent): void {
    for (const id of content.acks) {
      const one = this.#outbox.find(id);
      if (one !== undefined && equal(one.user, peer.user)) one.acknowledged();
    }
    if (content.kind === DM.ACK || content.kind === DM.TYPING) return;
    const now = this.#parts.clock.now();
    if (this.#memory.knows(peer.id, hex(content.id), now)) {
      peer.repeatedAt = now;
      this.#acknowledge(peer, content.id);
    } else if (place !== undefined) {
      session.order.hold(place, content);
    }
    // Without an acknowledgement it comes again, under a number that has its turn.
  }

  /** Shows what has its turn. */
  #release(peer: Peer, session: Established): void {
    const { clock } = this.#parts;
    const now = clock.now();
    for (const content of session.order.release(now)) this.#deliver(peer, content);
    session.stopWaiting();
    const { deadline } = session.order;
    if (deadline === undefined || this.#isClosed) return;
    session.stopWaiting = clock.after(deadline - now, () => this.#release(peer, session));
  }

  #deliver(peer: Peer, content: DmContent): void {
    this.#acknowledge(peer, content.id);
    if (!this.#isNew(peer.id, content.id) || content.kind === DM.CONFIRM) return;
    const about = { from: peer.id, peer: peer.id, device: peer.device };
    if (content.kind === DM.TEXT || content.kind === DM.DATA) this.#parts.events.content(about, content);
    else if (content.kind === DM.GROUP) this.#parts.events.group(peer.user, content.body);
    else if (content.kind === DM.SELF_COPY) void this.#copy(peer, content.body);
  }

  /** What another device of ours said to somebody. */
  async #copy(peer: Peer, body: Bytes): Promise<void> {
    const { suite, signer, events } = this.#parts;
    if (!equal(peer.user, signer.publicKey)) return;
    try {
      const { user, content } = SelfCopy.decode(body);
      const about = { from: peer.id, peer: await keyText(suite, "user", user), device: peer.device };
      const said = DmContent.decode(content);
      const isShown = said.kind === DM.TEXT || said.kind === DM.DATA;
      if (isShown && this.#isNew(`copy ${about.peer}`, said.id)) events.content(about, said);
    } catch {
      this.undecryptable += 1;
    }
  }

  #isNew(who: string, id: Bytes): boolean {
    return this.#memory.isNewContent(who, hex(id), this.#parts.clock.now());
  }

  /** Within 50 ms, alone or on whatever goes to that device. */
  #acknowledge(peer: Peer, id: Bytes): void {
    peer.acks.push(id);
    if (peer.acks.length > 1) return;
    this.#parts.clock.after(ACK_MS, () => {
      void this.#mutex.do(async () => {
        while (
          peer.acks.length > 0 &&
          peer.writable(this.#parts.clock.now()) !== undefined &&
          !this.#isClosed
        ) {
          await this.#write(peer, this.#content({ kind: DM.ACK, body: EMPTY }));
        }
        peer.acks.length = 0;
      });
    });
  }
}
