// A small server in memory, with sockets of its own: enough to test the SDK against, and to misbehave on purpose.

import { type Bytes, concat, EMPTY, equal, hex, utf8 } from "../src/bytes.ts";
import { Noise } from "../src/crypto/noise.ts";
import { RecordCipher } from "../src/crypto/record.ts";
import { sign, verify } from "../src/crypto/sign.ts";
import { randomBytes, type Signer, type Suite } from "../src/crypto/suite.ts";
import type { WebSocketClass } from "../src/link/link.ts";
import { Mutex } from "../src/mutex.ts";
import type { Code } from "../src/wire/code.ts";
import { decodeFrame, encodeFrame, type Frame, type Kind } from "../src/wire/frame.ts";
import { Auth, Deliver, type DmDeliver, Hello, HelloReply } from "../src/wire/messages.ts";
import { FrameStream, withPrefix } from "../src/wire/stream.ts";
import { suite as defaultSuite } from "./support.ts";
// Clients load it behind everything else; no test owns the time that takes.
import "../src/group/privates.ts";

/** What becomes of a packet: passed on, lost, or passed on so often. */
export type Fate = (packet: DmDeliver, from: Session) => number;

/** A logged-in client, as the server sees it. */
export interface Session {
  readonly user: Bytes;
  readonly device: Bytes;
  readonly channels: Set<string>;
  bundle: Bytes | undefined;
  send(kind: Kind, re?: number): void;
  /** The connection breaks, without a word. */
  cut(): void;
}

/** The server. Its `WebSocket` class reaches it, whatever the URL. */
export class TestServer {
  readonly suite: Suite;
  readonly sessions = new Set<Session>();
  readonly signer: Signer;
  readonly WebSocket: WebSocketClass;
  /** Frames that came, by their kinds. */
  readonly heard: string[] = [];
  fate: Fate = () => 1;
  /** Answers a frame in place of the server; `undefined` leaves it to the server. */
  answer: (frame: Frame, from: Session) => Kind | undefined = () => undefined;
  /** Whether new connections are taken. */
  isUp = true;
  goodbye: Code | undefined;
  /** The server's clock; 0 says nothing. */
  timeMs = 0;
  readonly #refs = new Map<bigint, { origin: Session; req: number }>();
  #ref = 0n;

  private constructor(suite: Suite, signer: Signer) {
    this.suite = suite;
    this.signer = signer;
    const server = this;
    this.WebSocket = class {
      constructor() {
        // biome-ignore lint/correctness/noConstructorReturn: the socket is the server's end of itself
        return new ServerSocket(server);
      }
    };
  }

  static async start(suite: Suite = defaultSuite): Promise<TestServer> {
    return new TestServer(suite, await suite.signerFrom(randomBytes(32)));
  }

  take(session: Session, frame: Frame): void {
    const { kind, req } = frame;
    this.heard.push(kind.is);
    const instead = this.answer(frame, session);
    const reply = instead ?? this.#reply(kind, session, req);
    if (reply !== undefined && req !== 0) session.send(reply, req);
  }

  #reply(kind: Kind, session: Session, req: number): Kind | undefined {
    const ok = { is: "ok", value: { local: 0, servers: 0, spread: true } } as const;
    switch (kind.is) {
      case "join":
        for (const channel of kind.value.channels) session.channels.add(hex(channel));
        return ok;
      case "leave":
        for (const channel of kind.value.channels) session.channels.delete(hex(channel));
        return ok;
      case "publish": {
        const channel = hex(Deliver.decode(kind.value.deliver).channel);
        const others = [...this.sessions].filter((other) => other !== session && other.channels.has(channel));
        for (const other of others) other.send({ is: "deliver", value: kind.value.deliver });
        return { is: "ok", value: { ...ok.value, local: others.length } };
      }
      case "setBundle":
        session.bundle = kind.value.bundle;
        return ok;
      case "lookup": {
        const found = [...this.sessions].filter((other) => equal(other.user, kind.value.user));
        const bundles = found.flatMap(({ bundle }) => (bundle === undefined ? [] : [bundle]));
        return { is: "found", value: { bundles, complete: true } };
      }
      case "sendDm": {
        const { user, device, packet } = kind.value;
        const to = [...this.sessions].find((other) => equal(other.user, user) && equal(other.device, device));
        if (to === undefined) return { is: "dmStatus", value: { code: "NOT_HERE" } };
        this.#ref += 1n;
        this.#refs.set(this.#ref, { origin: session, req });
        const value = { user, device, packet, ref: this.#ref };
        for (let times = this.fate(value, session); times > 0; times--) to.send({ is: "dm", value });
        return { is: "dmStatus", value: { code: "OK" } };
      }
      case "dmReject": {
        const about = this.#refs.get(kind.value.ref);
        about?.origin.send({ is: "dmStatus", value: { code: "NO_SESSION" } }, about.req);
        return undefined;
      }
      case "ping":
        session.send({ is: "pong", value: { nonce: kind.value.nonce, acked: 0n } });
        return undefined;
      default:
        return undefined;
    }
  }
}

/** The client's end of a connection to the server. */
class ServerSocket {
  binaryType = "";
  readonly bufferedAmount = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  readonly #server: TestServer;
  readonly #units = new Mutex();
  #isClosed = false;
  #step: (unit: Bytes) => Promise<void>;

  constructor(server: TestServer) {
    this.#server = server;
    this.#step = (unit) => this.#hello(unit);
    queueMicrotask(() => {
      if (server.isUp) this.onopen?.();
      else this.end();
    });
  }

  send(unit: Bytes): void {
    const copy = unit.slice();
    void this.#units.do(() => this.#step(copy)).catch(() => this.end());
  }

  close(): void {
    this.end();
  }

  end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    queueMicrotask(() => this.onclose?.());
  }

  #out(unit: Bytes): void {
    if (!this.#isClosed) queueMicrotask(() => this.onmessage?.({ data: unit.slice().buffer }));
  }

  async #hello(unit: Bytes): Promise<void> {
    const { suite, signer } = this.#server;
    const [staticPair, ephemeral] = [await suite.newDh(), await suite.newDh()];
    const prologue = concat(utf8("dchat/1/link\0main\0"), new Uint8Array(32));
    const noise = await Noise.start(suite, {
      pattern: "XX",
      initiator: false,
      prologue,
      staticPair,
      ephemeral,
    });
    Hello.decode(await noise.read(unit));
    const sig = await sign(signer, "main", "link-server", noise.hash, staticPair.publicKey);
    const numbers = {
      maxPayload: 0,
      pingMs: 0,
      timeMs: this.#server.timeMs,
      framesPerS: 10_000,
      bytesPerS: 2 ** 30,
      postsPerS: 2_000,
      entriesPerS: 20_000,
    };
    const server = signer.publicKey;
    this.#out(
      await noise.write(
        HelloReply.encode({ version: 1, versions: [1], features: 0n, server, sig, ...numbers }),
      ),
    );
    const h2 = noise.hash;
    this.#step = async (third) => {
      const auth = Auth.decode(await noise.read(third));
      if (
        !(await verify(suite, auth.identity, auth.sig, "main", "link-client", h2, noise.remoteStatic, server))
      ) {
        throw new Error("the client did not prove its key");
      }
      const [theirs, ours] = await noise.split();
      await this.#up(
        auth.identity,
        auth.device,
        await RecordCipher.start(suite, theirs),
        await RecordCipher.start(suite, ours),
      );
    };
  }

  async #up(user: Bytes, device: Bytes, opener: RecordCipher, sealer: RecordCipher): Promise<void> {
    const server = this.#server;
    const writing = new Mutex();
    const session: Session = {
      user,
      device,
      channels: new Set(),
      bundle: undefined,
      send: (kind, re = 0) => {
        const frame = withPrefix(encodeFrame(kind, { re }));
        void writing.do(async () => this.#out(await sealer.seal(frame)));
      },
      cut: () => {
        server.sessions.delete(session);
        this.end();
      },
    };
    if (server.goodbye !== undefined) {
      session.send({ is: "goodbye", value: { code: server.goodbye, text: "", retryMs: 0, elsewhere: [] } });
      return;
    }
    server.sessions.add(session);
    const value = {
      session: randomBytes(16),
      resumeToken: EMPTY,
      resumeMs: 0,
      observedIp: EMPTY,
      resumed: false,
      received: 0n,
    };
    session.send({ is: "welcome", value });
    const stream = new FrameStream();
    this.#step = async (unit) => {
      const plain = await opener.open(unit);
      if (plain === undefined) throw new Error("a record that does not open");
      for (const bytes of stream.push(plain)) {
        const frame = decodeFrame(bytes);
        if (frame.kind.is === "goodbye") session.cut();
        else server.take(session, frame);
      }
    };
  }
}
