// A link over a WebSocket: units in, frames out, and the reverse. Source: docs/protocol.md, sections 3.1 to 3.5.

import { type Bytes, concat, EMPTY, own } from "../bytes.ts";
import type { Clock } from "../clock.ts";
import type { Suite } from "../crypto/suite.ts";
import { ChatError } from "../error.ts";
import { type Code, WireError } from "../wire/code.ts";
import { MAX_HANDSHAKE_UNIT, MAX_RECORD_PLAIN, MAX_UNIT, RECORD_FILL } from "../wire/limits.ts";
import { FrameStream, withPrefix } from "../wire/stream.ts";
import { LinkHandshake, type LinkStart, type SecureLink, VersionError } from "./handshake.ts";

/** A class like the browser's `WebSocket`; that of the package `ws` is one. */
export type WebSocketClass = new (url: string, protocol: string) => object;

interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  onerror: (() => void) | null;
  send(data: Bytes): void;
  close(code?: number): void;
}

const SUBPROTOCOL = "dchat.1";
/** From dialling to the end of the handshake, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Bytes that the socket may hold unsent before we wait (LINK_WINDOW of a client). */
const LINK_WINDOW = 65_536;
/** How often the socket is asked whether it has room, in milliseconds: it does not say so by itself. */
const WINDOW_POLL_MS = 10;
/** Units that came and are not opened yet, in bytes. A WebSocket cannot be told to wait, so beyond it the link ends. */
const UNOPENED_BYTES = 16 << 20;
/** How long a goodbye may take to leave, in milliseconds (3.5). */
const CLOSE_MS = 1_000;
/** WebSocket close codes of section 3.1. */
const CLOSE = { NORMAL: 1000, UNSUPPORTED: 1003, TOO_BIG: 1009 } as const;

/** Who listens to a link. */
export interface LinkEvents {
  /**
   * One frame, without its length; in order, one call after the other. No more is read until the promise, where there
   * is one, has ended: whoever has much to do says so.
   */
  frame(frame: Bytes): Promise<void> | undefined;
  /** The link is over; called once, last. */
  closed(why: Code): void;
}

/** An open, encrypted link whose server has proven its key. */
export interface Link {
  readonly server: Bytes;
  readonly reply: SecureLink["reply"];
  readonly features: bigint;
  /** Begins to hand out frames. */
  listen(events: LinkEvents): void;
  /** Queues an encoded frame. What is queued in one go leaves in one record. */
  send(frame: Bytes): void;
  /** Sends what is queued, then ends. */
  close(): void;
  /** Ends at once: the server did what no server may, or is silent. */
  cut(why: Code): void;
}

/** Opens the socket; gives its units one by one. */
class Units {
  readonly socket: Socket;
  /** Resolves when units can be sent, or never will be. */
  readonly opened: Promise<void>;
  #waiting: Bytes[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;
  #open: (() => void) | undefined;
  #max = MAX_HANDSHAKE_UNIT;
  ended: Code | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
    socket.onopen = () => this.#open?.();
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = () => this.end("TRUNCATED");
    socket.onerror = () => this.end("TRUNCATED");
  }

  /** The handshake is over: larger units may come. */
  grow(): void {
    this.#max = MAX_UNIT;
  }

  /** The next unit; `undefined` when there are no more. */
  async next(): Promise<Bytes | undefined> {
    while (this.#waiting.length === 0) {
      if (this.ended !== undefined) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const unit = this.#waiting.shift();
    this.#bytes -= unit?.length ?? 0;
    return unit;
  }

  end(why: Code, code: number = CLOSE.NORMAL): void {
    if (this.ended === undefined) {
      this.ended = why;
      this.socket.close(code);
    }
    this.#open?.();
    this.#wake?.();
  }

  #take(data: unknown): void {
    if (this.ended !== undefined) return;
    const unit =
      data instanceof ArrayBuffer ? new Uint8Array(data) : data instanceof Uint8Array ? own(data) : undefined;
    if (unit === undefined) return this.end("BAD_FRAME", CLOSE.UNSUPPORTED);
    this.#bytes += unit.length;
    if (unit.length > this.#max || this.#bytes > UNOPENED_BYTES) return this.end("TOO_LARGE", CLOSE.TOO_BIG);
    this.#waiting.push(unit);
    this.#wake?.();
  }
}

/**
 * Dials a URL and makes the handshake.
 * @throws ChatError `connect` if nothing answers as a server would, `version`, or what `start.checkServer` throws.
 */
export async function dial(
  suite: Suite,
  clock: Clock,
  WebSocket: WebSocketClass,
  url: string,
  start: LinkStart,
): Promise<Link> {
  let socket: Socket;
  try {
    socket = new WebSocket(url, SUBPROTOCOL) as unknown as Socket;
  } catch (error) {
    throw new ChatError(
      "connect",
      `${url} cannot be dialled: ${error instanceof Error ? error.message : "?"}`,
    );
  }
  const units = new Units(socket);
  const stop = clock.after(CONNECT_TIMEOUT_MS, () => units.end("TIMEOUT"));
  try {
    const secure = await greet(suite, units, start);
    units.grow();
    return new SocketLink(clock, units, secure);
  } catch (error) {
    units.end("BAD_FRAME");
    if (error instanceof ChatError) throw error;
    if (error instanceof VersionError) throw new ChatError("version", error.message, { reason: "VERSION" });
    const why = error instanceof Error ? error.message : "?";
    throw new ChatError("connect", `${url} does not answer as a darkchat server: ${why}`);
  } finally {
    stop();
  }
}

async function greet(suite: Suite, units: Units, start: LinkStart): Promise<SecureLink> {
  const handshake = await LinkHandshake.begin(suite, start);
  await units.opened;
  if (units.ended !== undefined) throw new Error("no connection");
  units.socket.send(handshake.message1);
  const message2 = await units.next();
  if (message2 === undefined) throw new Error("the connection was closed");
  const secure = await handshake.answer(message2);
  units.socket.send(secure.message3);
  return secure;
}

class SocketLink implements Link {
  readonly server: Bytes;
  readonly reply: SecureLink["reply"];
  readonly features: bigint;
  readonly #secure: SecureLink;
  readonly #clock: Clock;
  readonly #units: Units;
  readonly #queue: Bytes[] = [];
  #isWriting = false;
  #isClosing = false;

  constructor(clock: Clock, units: Units, secure: SecureLink) {
    this.#clock = clock;
    this.#units = units;
    this.#secure = secure;
    this.server = secure.server;
    this.reply = secure.reply;
    this.features = secure.features;
  }

  listen(events: LinkEvents): void {
    void this.#read(events);
  }

  send(frame: Bytes): void {
    if (this.#isClosing) return;
    this.#queue.push(withPrefix(frame));
    this.#startWriting();
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#clock.after(CLOSE_MS, () => this.#units.end("OK"));
    this.#startWriting();
  }

  cut(why: Code): void {
    this.#isClosing = true;
    this.#units.end(why);
  }

  async #read(events: LinkEvents): Promise<void> {
    const stream = new FrameStream();
    try {
      for (let unit = await this.#units.next(); unit !== undefined; unit = await this.#units.next()) {
        const plain = await this.#secure.opener.open(unit);
        if (plain === undefined) {
          this.cut("BAD_FRAME");
          break;
        }
        for (const frame of stream.push(plain)) {
          const busy = events.frame(frame);
          if (busy !== undefined) await busy;
        }
      }
    } catch (error) {
      this.cut(error instanceof WireError ? error.code : "INTERNAL");
    }
    events.closed(this.#units.ended ?? "TRUNCATED");
  }

  #startWriting(): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    // After the current turn, so that what is sent together leaves together.
    queueMicrotask(() => this.#write().catch(() => this.cut("INTERNAL")));
  }

  async #write(): Promise<void> {
    let rest: Bytes = EMPTY;
    while ((this.#queue.length > 0 || rest.length > 0) && this.#units.ended === undefined) {
      while (this.#units.socket.bufferedAmount > LINK_WINDOW && this.#units.ended === undefined) {
        await new Promise<void>((resolve) => this.#clock.after(WINDOW_POLL_MS, resolve));
      }
      const parts = [rest];
      let length = rest.length;
      while (length < RECORD_FILL && this.#queue.length > 0) {
        const frame = this.#queue.shift() ?? EMPTY;
        if (length > 0 && length + frame.length > RECORD_FILL) {
          this.#queue.unshift(frame);
          break;
        }
        parts.push(frame);
        length += frame.length;
      }
      const plain = concat(...parts);
      const sealed = await this.#secure.sealer.seal(plain.slice(0, MAX_RECORD_PLAIN));
      rest = plain.slice(MAX_RECORD_PLAIN);
      if (this.#units.ended === undefined) this.#units.socket.send(sealed);
    }
    this.#isWriting = false;
    if (this.#isClosing) this.#units.end("OK");
  }
}
