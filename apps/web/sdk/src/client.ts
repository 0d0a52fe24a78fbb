// A user's connection to the network.

import { type Bytes, equal, utf8 } from "./bytes.ts";
import { abortable, type Channel, channelQueue, PublicChannel } from "./channel.ts";
import { type Clock, systemClock } from "./clock.ts";
import { chooseSuite, randomBytes, type Suite } from "./crypto/suite.ts";
import { Directs } from "./direct/directs.ts";
import { type Direct, DirectConversation, Inbox } from "./direct.ts";
import { ChatError } from "./error.ts";
import { Emitter } from "./events.ts";
import type { PrivateChannel, PrivateOptions, Privates } from "./group/privates.ts";
import { channelId, networkSecret } from "./hash.ts";
import { Identity } from "./identity.ts";
import { type KnownServers, MemoryKnownServers } from "./known.ts";
import { dial, type Link, type WebSocketClass } from "./link/link.ts";
import type { DirectMessage, Message, Missed } from "./message.ts";
import type { Queue } from "./queue.ts";
import { Connection, type State, type Target, targetOf } from "./session/connection.ts";
import type { MemberChange } from "./session/members.ts";
import { PublicEnvelope } from "./session/public.ts";
import { Rooms, type Stats } from "./session/rooms.ts";
import { Session } from "./session/session.ts";
import { keyText, looksLikeKey, parseKey } from "./text/key.ts";
import { channelName, networkName, TextError, userName } from "./text/name.ts";
import { MAX_TOKEN } from "./wire/limits.ts";
import { FEATURES, NOTICE, type Notice } from "./wire/messages.ts";

/** The longest that a closing client waits for what it sent, in milliseconds. */
const CLOSE_WITHIN_MS = 5_000;
/** A server's clock that differs more is worth a word, in milliseconds (6.3). */
const CLOCK_OFF_MS = 120_000;
/** Warnings that are kept. */
const WARNINGS = 16;
/** Keys that are blocked: as many people as nobody knows. */
const BLOCKED = 4_096;
const AGENT = "darkchat-sdk/0.1.0";

/** How to connect. Everything has a default. */
export interface ClientOptions {
  /** Who we are; without one, a fresh identity that ends with the client. */
  readonly identity?: Identity;
  /** The name that we claim, at most 48 bytes. */
  readonly name?: string;
  /** The network, `main` if not given. */
  readonly network?: string;
  /** The 32 bytes of a closed network's secret. */
  readonly networkSecret?: Uint8Array;
  /** What a server asks for that admits by token. */
  readonly token?: string;
  /** Remembers the servers' keys; without one they are remembered as long as the client lives. */
  readonly knownServers?: KnownServers;
  /** The class that makes WebSockets, such as that of the package `ws`; `globalThis.WebSocket` if not given. */
  readonly webSocket?: WebSocketClass;
  /** Whether others hear that we are in a channel before we write there; yes if not given. */
  readonly announce?: boolean;
  /** Whether others can find us and write to us directly; yes if not given. */
  readonly reachable?: boolean;
  /** Whether a lost connection is made again; yes if not given. */
  readonly reconnect?: boolean;
  /** Whether the first connection is tried until it stands, instead of once at each server. */
  readonly persist?: boolean;
  /** Ends the wait for the first connection. */
  readonly signal?: AbortSignal;
  /** Provides the cryptography; WebCrypto where there is one, else the fallback. */
  readonly suite?: Suite;
  /** Tells the time; for tests. */
  readonly clock?: Clock;
}

/** Something that a user should see. */
export type Warning =
  /** This page cannot protect the key: it is no secure context, or the browser is too old. */
  | { readonly what: "unprotected-key" }
  /** The server's clock and ours differ by so many milliseconds; messages may be refused as stale. */
  | { readonly what: "clock"; readonly differenceMs: number };

/** What a client tells. */
export interface ClientEvents {
  /** The connection changed. */
  state: State;
  /** Somebody came, left or took another name; `channel` with the `#`. */
  member: MemberChange & { readonly channel: string; readonly private: boolean };
  /** Somebody invites us to a private channel; `joinPrivate(invite)` takes it up, nothing else does. */
  invite: { readonly from: string; readonly name: string; readonly invite: string };
  /** Somebody whom we know wrote from a device that is new to us; 32 hexadecimal digits. */
  device: { readonly user: string; readonly device: string };
  /** The server says something to its users; text, to be shown as text. */
  notice: { readonly text: string };
  /** The server is about to stop; the client goes elsewhere by itself. */
  draining: Record<string, never>;
  warning: Warning;
}

interface Parts {
  readonly suite: Suite;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly network: string;
  readonly secret: Bytes;
  readonly name: string;
  readonly webSocket: WebSocketClass;
}

/** A user, connected. Also an `EventTarget`: its events carry their value in `detail`. */
export class Client extends Emitter<ClientEvents> implements AsyncDisposable {
  /** Our key as text, `u...`. */
  readonly id: string;
  /** Who provides the cryptography. */
  readonly cryptography: Suite["name"];
  readonly #parts: Parts;
  readonly #options: ClientOptions;
  readonly #device = randomBytes(16);
  readonly #known: KnownServers;
  readonly #session: Session;
  readonly #connection: Connection;
  readonly #rooms: Rooms;
  readonly #directs: Directs;
  readonly #blocked = new Set<string>();
  #name: string;
  #privates: Promise<Privates> | undefined;
  readonly #inbox = new Inbox();
  readonly #queues = new Set<Queue<Message | Missed>>();
  #state: State = { name: "connecting" };
  readonly #warnings: Warning[] = [];
  #isStarted = false;
  #isClosed = false;
  #ran: Promise<void> = Promise.resolve();
  #reachable: Promise<void> = Promise.resolve();

  private constructor(parts: Parts, options: ClientOptions, targets: Target[]) {
    super();
    this.#parts = parts;
    this.#options = options;
    this.#name = parts.name;
    this.id = parts.identity.id;
    this.cryptography = parts.suite.name;
    this.#known = options.knownServers ?? new MemoryKnownServers();
    this.#session = new Session(parts.clock, {
      fresh: () => {
        this.#rooms.fresh();
        this.#reachable = this.#directs.fresh(options.reachable ?? true);
      },
      resumed: () => this.#rooms.resumed(),
      over: () => this.#rooms.lost(),
      deliver: (deliver) => this.#rooms.hear(deliver),
      dm: (packet) => this.#directs.take(packet),
      notice: (notice) => this.#notice(notice),
    });
    const isBlocked = (user: string): boolean => this.#blocked.has(user);
    this.#rooms = new Rooms(parts.clock, this.#session, this.id, options.announce ?? true, isBlocked);
    this.#directs = new Directs({
      suite: parts.suite,
      clock: parts.clock,
      session: this.#session,
      signer: parts.identity.signer,
      network: parts.network,
      device: this.#device,
      name: () => this.#name,
      isBlocked,
      events: {
        content: (about, content) => this.#inbox.take(about, content),
        group: (from, body) => void this.#control(from, body),
        device: (user, device) => this.emit("device", { user, device }),
      },
    });
    const reach = {
      clock: parts.clock,
      dial: (target: Target) => this.#dial(target),
      serverText: (server: Bytes) => keyText(parts.suite, "server", server),
      state: (state: State) => this.#changed(state),
    };
    this.#connection = new Connection(reach, this.#session, targets);
  }

  /**
   * Connects to one server, or to the first of several that answers.
   *
   * A text is an address: `ws://[SERVERTEXT@]host[:port]` or `wss://...`. A `URL` object is a WebSocket's URL as it is,
   * whatever its path, for servers behind a proxy.
   * @throws ChatError `connect`, `wrong-server`, `version` or `refused`; TextError for what is no address.
   */
  static async connect(url: string | URL | (string | URL)[], options: ClientOptions = {}): Promise<Client> {
    const targets = (Array.isArray(url) ? url : [url]).map((one) => targetOf(one));
    if (targets.length === 0) throw new ChatError("connect", "no server is named");
    const client = new Client(await partsOf(options), options, targets);
    await abortable(client.#begin(), options.signal, () => void client.close());
    await client.#reachable;
    client.#loadPrivates().catch(() => {});
    // Whoever waits for the client listens to it after this turn; what was to be said before is said then.
    client.#parts.clock.after(0, () => client.#started());
    return client;
  }

  /** What is happening to the connection. */
  get state(): State {
    return this.#state;
  }

  /** What a user should have seen so far. */
  get warnings(): readonly Warning[] {
    return this.#warnings;
  }

  /** What became of the entries that arrived. */
  stats(): Stats {
    return { ...this.#rooms.stats };
  }

  /**
   * Joins a channel; the `#` may be left out. Resolves when the server has taken us in.
   * @throws ChatError `refused` (with reason `ALREADY` where we are in it), `timeout`, `closed`; TextError for a name
   * that is none.
   */
  async join(channel: string, options: { name?: string; signal?: AbortSignal } = {}): Promise<Channel> {
    const name = channelName(channel);
    const claimed = options.name === undefined ? this.#name : userName(options.name);
    this.#mustBeOpen();
    const { suite, identity, network } = this.#parts;
    const id = await channelId(suite, network, name);
    this.#mustBeOpen();
    const label = `#${name}`;
    const queue = channelQueue(label, false);
    const envelope = new PublicEnvelope(suite, identity.signer, network, id);
    const events = {
      item: (item: Message | Missed) => queue.push(item),
      member: (change: MemberChange) => this.emit("member", { ...change, channel: label, private: false }),
      moved: () => {},
    };
    const joining = this.#rooms.join({ id, label, isPrivate: false, envelope, name: claimed, events });
    const undo = (): void => void joining.then((room) => this.#rooms.leave(room)).catch(() => {});
    const room = await abortable(joining, options.signal, undo);
    this.#queues.add(queue);
    return new PublicChannel(this.#rooms, room, queue);
  }

  /**
   * Makes a private channel and joins it. With `members` only they are heard in it; without, whoever has the link.
   * @throws ChatError `refused`, `timeout`, `closed`; TextError for a name or key that is none.
   */
  async createPrivate(name: string, options: PrivateOptions = {}): Promise<PrivateChannel> {
    this.#mustBeOpen();
    return (await this.#loadPrivates()).create(name, options);
  }

  /**
   * Joins the private channel of an invitation, as text or link. `members` is the channel's list, where it has one and
   * we know it.
   * @throws ChatError `refused`, `timeout`, `closed`; TextError for what is no invitation.
   */
  async joinPrivate(
    invite: string,
    options: { name?: string; members?: string[] } = {},
  ): Promise<PrivateChannel> {
    this.#mustBeOpen();
    return (await this.#loadPrivates()).join(invite, options);
  }

  /**
   * Comes back to a private channel that was written down as `PrivateChannel.saved` gives it, and asks its members what
   * was missed.
   * @throws ChatError `refused`, `timeout`, `closed`; TextError for what is no such text.
   */
  async restorePrivate(saved: string, options: { name?: string } = {}): Promise<PrivateChannel> {
    this.#mustBeOpen();
    return (await this.#loadPrivates()).restore(saved, options);
  }

  /** Another name from now on: in direct messages, and in channels that are joined later. @throws TextError */
  speakAs(name: string): void {
    this.#name = userName(name);
  }

  /**
   * From now on nothing of this key is shown or answered, in channels neither, and nothing is sent to it. Kept as long
   * as the client lives.
   * @throws TextError for what has not the form of a key; ChatError `refused` when 4,096 are blocked already.
   */
  block(user: string): void {
    if (!looksLikeKey("user", user)) throw new TextError(`not a user key: ${user.slice(0, 64)}`);
    if (this.#blocked.size >= BLOCKED && !this.#blocked.has(user))
      throw new ChatError("refused", "too many keys are blocked", { reason: "LIMIT" });
    this.#blocked.add(user);
  }

  /** Takes `block` back. */
  unblock(user: string): void {
    this.#blocked.delete(user);
  }

  /**
   * A conversation with one person. Nothing is on the wire until the first message.
   * @throws TextError for what has not the form of a key.
   */
  direct(to: string): Direct {
    if (!looksLikeKey("user", to)) throw new TextError(`not a user key: ${to.slice(0, 64)}`);
    const { suite, identity } = this.#parts;
    return new DirectConversation(suite, identity.signer.publicKey, this.#directs, to);
  }

  /**
   * The direct messages that come, those of other devices of ours included. What came before anybody asked waits for
   * the first one who does, up to a bound. With `signal` the iteration can be ended.
   */
  inbox(options: { signal?: AbortSignal } = {}): AsyncIterable<DirectMessage | Missed> {
    return this.#inbox.open(options.signal);
  }

  /** Tries to connect now, while the state is `waiting`. */
  reconnect(): void {
    this.#connection.hurry();
  }

  /** Sends what waits, at most for 5 s, says goodbye and ends. Does nothing the second time. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      if (this.#session.isUp) await this.#drained();
      this.#connection.stop();
      this.#session.leave("OK");
    }
    await this.#ran;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #begin(): Promise<void> {
    if (this.cryptography === "noble") this.#warn({ what: "unprotected-key" });
    return new Promise((resolve, reject) => {
      const { persist = false, reconnect = true } = this.#options;
      this.#ran = this.#connection.run(persist, reconnect, (error) =>
        error === undefined ? resolve() : reject(error),
      );
    });
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#parts.clock.after(CLOSE_WITHIN_MS, resolve);
      void this.#rooms.drain().then(() => {
        stop();
        resolve();
      });
    });
  }

  async #dial(target: Target): Promise<Link> {
    const { suite, clock, identity, network, secret, webSocket } = this.#parts;
    const link = await dial(suite, clock, webSocket, target.url, {
      network,
      networkSecret: secret,
      signer: identity.signer,
      device: this.#device,
      features: FEATURES.RESUME | FEATURES.SEALED,
      token: this.#options.token ?? "",
      agent: AGENT,
      checkServer: (server) => this.#checkServer(target, server),
      resumeAt: (server) => this.#session.offer(server),
    });
    const { timeMs } = link.reply;
    const differenceMs = timeMs === 0 ? 0 : timeMs - clock.wall();
    if (Math.abs(differenceMs) > CLOCK_OFF_MS) this.#warn({ what: "clock", differenceMs });
    return link;
  }

  /**
   * Private channels, which a page loads behind everything else: once it is connected, so that nobody waits for it, and
   * soon, because the server may have another version of it later.
   */
  #loadPrivates(): Promise<Privates> {
    const { suite, clock, identity, network } = this.#parts;
    this.#privates ??= import("./group/privates.ts").then(({ Privates }) => {
      this.#mustBeOpen();
      return new Privates({
        suite,
        clock,
        signer: identity.signer,
        rooms: this.#rooms,
        network,
        name: () => this.#name,
        directs: this.#directs,
        events: {
          member: (change) => this.emit("member", { ...change, private: true }),
          invite: (from, called, invite) => this.emit("invite", { from, name: called, invite }),
        },
      });
    });
    const loading = this.#privates;
    loading.catch(() => {
      // The next who needs it asks again.
      if (this.#privates === loading) this.#privates = undefined;
    });
    return loading;
  }

  /** A control of a private channel came; one that cannot be read now is asked for again. */
  async #control(from: Bytes, body: Bytes): Promise<void> {
    const privates = await this.#loadPrivates().catch(() => undefined);
    await privates?.group(from, body);
  }

  /** The key that was named, or remembered, or trusted now and remembered. */
  async #checkServer({ label, key }: Target, server: Bytes): Promise<void> {
    const { suite } = this.#parts;
    const proven = await keyText(suite, "server", server);
    const known = key ?? (await this.#known.load(label));
    if (known === undefined) return this.#known.save(label, proven);
    const expected = await parseKey(suite, "server", known).catch(() => undefined);
    if (expected === undefined || !equal(expected, server)) {
      throw new ChatError("wrong-server", `${label} has another key: expected ${known}, got ${proven}`);
    }
  }

  #warn(warning: Warning): void {
    if (this.#warnings.length < WARNINGS) this.#warnings.push(warning);
    if (this.#isStarted) this.emit("warning", warning);
  }

  #started(): void {
    this.#isStarted = true;
    for (const warning of this.#warnings) this.emit("warning", warning);
  }

  #notice(notice: Notice): void {
    if (notice.kind === NOTICE.DRAINING) this.emit("draining", {});
    else if (notice.kind === NOTICE.TEXT) this.emit("notice", { text: notice.text });
    else this.#rooms.notice(notice);
  }

  #changed(state: State): void {
    this.#state = state;
    this.emit("state", state);
    if (state.name !== "closed") return;
    this.#isClosed = true;
    this.#rooms.close(new ChatError("closed", "the client was closed", { reason: state.reason }));
    this.#directs.close();
    this.#inbox.close();
    void this.#privates?.then((privates) => privates.close()).catch(() => {});
    for (const queue of this.#queues) queue.end();
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new ChatError("closed", "the client was closed");
  }
}

async function partsOf(options: ClientOptions): Promise<Parts> {
  const suite = options.suite ?? (await chooseSuite());
  const webSocket = options.webSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
  if (webSocket === undefined)
    throw new ChatError("connect", "no WebSocket here: give one as options.webSocket");
  if (options.networkSecret !== undefined && options.networkSecret.length !== 32) {
    throw new TextError("a network's secret has 32 bytes");
  }
  if (utf8(options.token ?? "").length > MAX_TOKEN) throw new TextError("the token is too long");
  return {
    suite,
    clock: options.clock ?? systemClock,
    identity: options.identity ?? (await Identity.create(suite)).identity,
    network: networkName(options.network ?? "main"),
    secret: await networkSecret(suite, options.networkSecret),
    name: userName(options.name ?? ""),
    webSocket,
  };
}
