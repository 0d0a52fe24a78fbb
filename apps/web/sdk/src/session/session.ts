// A session with one server, across the links that resume it. Source: docs/protocol.md, sections 3.5, 4.4, 5.1 and 5.4.

import type { Bytes } from "../bytes.ts";
import { Alarm, type Clock } from "../clock.ts";
import { randomNumber } from "../crypto/suite.ts";
import { ChatError, refusal } from "../error.ts";
import type { Link } from "../link/link.ts";
import { type Code, WireError } from "../wire/code.ts";
import { decodeFrame, encodeFrame, type Frame, type Kind, kindNumber } from "../wire/frame.ts";
import {
  type DmDeliver,
  FEATURES,
  type Goodbye,
  type Notice,
  type Resume,
  type Welcome,
} from "../wire/messages.ts";
import { Budgets, PUBLIC } from "./budget.ts";
import { payloadLimit } from "./own.ts";
import { type NoAnswer, Requests } from "./requests.ts";
import { Resuming } from "./resume.ts";

/** A link on which nothing came for so long is dead (DEAD), in milliseconds. */
const DEAD_MS = 75_000;
/** After so long without sending we ping, unless the server says otherwise (PING). */
const PING_MS = 30_000;
const PING_LEAST_MS = 1_000;
const PING_MOST_MS = 60_000;
/** Frames that wait for the session to be resumed. */
const HELD_FRAMES = 1_024;
/** A pong answers a ping, and a refusal a kind that we do not know: at most so many a second. */
const REPLIES_PER_S = 16;

/** What a session tells. */
export interface SessionEvents {
  /** A session began anew: nothing is joined, no question is open. */
  fresh(welcome: Welcome): void;
  /** The session goes on where it was. */
  resumed(): void;
  /** The session is over; what was open is lost. */
  over(): void;
  /** A promise means: no more for now. */
  deliver(deliver: Bytes): Promise<void> | undefined;
  /** The same. */
  dm(packet: DmDeliver): Promise<void> | undefined;
  notice(notice: Notice): void;
}

/** How a link ended. */
export interface LinkEnd {
  readonly why: Code;
  readonly goodbye: Goodbye | undefined;
  /** Until when the session may be resumed; `undefined` if not at all. */
  readonly resumableUntil: number | undefined;
}

/** The session, up or waiting for another link. */
export class Session {
  readonly requests: Requests;
  readonly #clock: Clock;
  readonly #events: SessionEvents;
  readonly #resuming = new Resuming();
  readonly #alarm: Alarm;
  #link: Link | undefined;
  #phase: "none" | "greeting" | "up" | "held" = "none";
  /** A session waits for a link to go on with, perhaps the one that is greeting. */
  #isHolding = false;
  #held: { kind: Kind; req: number }[] = [];
  #budgets: Budgets;
  #pingMs = PING_MS;
  #heard = 0;
  #sent = 0;
  #replies: { second: number; count: number } = { second: 0, count: 0 };
  #goodbye: Goodbye | undefined;
  #cut: Code | undefined;
  #welcomed: ((error?: ChatError) => void) | undefined;
  #ended: ((end: LinkEnd) => void) | undefined;
  #resumableUntil: number | undefined;

  constructor(clock: Clock, events: SessionEvents) {
    this.#clock = clock;
    this.#events = events;
    this.requests = new Requests(clock);
    this.#alarm = new Alarm(clock, () => this.#tick());
    this.#budgets = new Budgets({ postsPerS: 0, entriesPerS: 0, framesPerS: 0, bytesPerS: 0 }, clock.now());
  }

  get isUp(): boolean {
    return this.#phase === "up";
  }

  get budgets(): Budgets {
    return this.#budgets;
  }

  /** The most content of one post, in bytes, that the server at hand takes. */
  get maxPayload(): number {
    return payloadLimit(this.#link?.reply.maxPayload ?? 0);
  }

  /** How many times larger its budgets are than those of the profile `public`: all stand in one ratio (10.1). */
  get scale(): number {
    return (this.#link?.reply.postsPerS || PUBLIC.posts) / PUBLIC.posts;
  }

  /** The server's key, while a link is up. */
  get server(): Bytes | undefined {
    return this.#link?.server;
  }

  /** What to offer to a server in order to go on with the session there. */
  offer(server: Bytes): Resume | undefined {
    return this.#resuming.offer(this.#clock.now(), server);
  }

  /**
   * Takes a link that has just been made. `up` resolves with its Welcome, `ended` when it is over.
   * @throws ChatError through `up`, when the server sends us away instead.
   */
  attach(link: Link): { up: Promise<void>; ended: Promise<LinkEnd> } {
    this.#link = link;
    this.#phase = "greeting";
    this.#goodbye = undefined;
    this.#cut = undefined;
    this.#heard = this.#sent = this.#clock.now();
    const announced = link.reply.pingMs === 0 ? PING_MS : link.reply.pingMs;
    this.#pingMs = Math.min(PING_MOST_MS, Math.max(PING_LEAST_MS, announced));
    const ended = new Promise<LinkEnd>((resolve) => {
      this.#ended = resolve;
    });
    const up = new Promise<void>((resolve, reject) => {
      this.#welcomed = (error) => (error === undefined ? resolve() : reject(error));
    });
    link.listen({
      frame: (frame) => this.#frame(frame),
      closed: (why) => this.#closed(why),
    });
    return { up, ended };
  }

  /** Sends a frame, or keeps it for the next link of this session. `false` if there is no session. */
  send(kind: Kind, { req = 0, re = 0 } = {}): boolean {
    if (this.#isHolding) {
      if (this.#held.length < HELD_FRAMES && kindNumber(kind) < 20) this.#held.push({ kind, req });
      return true;
    }
    if (this.#phase !== "up") return false;
    const frame = encodeFrame(kind, { req, re });
    if (kindNumber(kind) >= 10 && kindNumber(kind) < 20) this.#resuming.sent(frame);
    if (kind.is !== "publish") this.#budgets.takeFrame(frame.length);
    this.#sent = this.#clock.now();
    this.#link?.send(frame);
    if (kind.is !== "ping" && this.#resuming.wantsPing) this.#ping();
    return true;
  }

  /**
   * Asks, and gives the answer. With `numbered`, which is told the number, that number then rests for 30 s (4.2).
   * @throws ChatError when the answer is an error, does not come, or the session ends.
   */
  async ask(kind: Kind, what: string, numbered?: (req: number) => void): Promise<Kind> {
    await this.requests.room();
    const answer = await new Promise<Kind | NoAnswer>((resolve) => {
      const req = this.requests.ask(resolve, numbered !== undefined);
      numbered?.(req);
      if (!this.send(kind, { req })) this.requests.answer(req, { is: "lost" });
    });
    if (answer.is === "timeout") throw new ChatError("timeout", `${what}: the server did not answer`);
    if (answer.is === "lost") throw new ChatError("connect", `${what}: the connection was lost`);
    if (answer.is === "error") throw refusal(what, answer.value.code, answer.value.retryMs);
    return answer;
  }

  /** Says goodbye and ends; nothing is resumed. */
  leave(code: Code): void {
    if (this.#link !== undefined && this.#phase !== "held") {
      this.#cut ??= code;
      this.#link.send(encodeFrame({ is: "goodbye", value: { code, text: "", retryMs: 0, elsewhere: [] } }));
      this.#link.close();
    }
    this.end();
  }

  /** The session is over, whatever became of its link. */
  end(): void {
    if (this.#phase === "none") return;
    this.#phase = "none";
    this.#isHolding = false;
    this.#resumableUntil = undefined;
    this.#resuming.clear();
    this.#held = [];
    this.#alarm.stop();
    this.requests.lose();
    this.#events.over();
  }

  #frame(bytes: Bytes): Promise<void> | undefined {
    if (this.#cut !== undefined) return undefined;
    this.#heard = this.#clock.now();
    let frame: Frame;
    try {
      frame = decodeFrame(bytes);
    } catch (error) {
      this.leave(error instanceof WireError ? error.code : "INTERNAL");
      return undefined;
    }
    const number = kindNumber(frame.kind);
    const opens = frame.kind.is === "welcome" || frame.kind.is === "goodbye";
    const isForeign = frame.kind.is === "peer" || (frame.kind.is !== "unknown" && number < 20);
    if (isForeign || (this.#phase === "greeting") !== opens) {
      // A goodbye may come at any time; before the Welcome nothing else may, and a second Welcome never.
      if (isForeign || frame.kind.is !== "goodbye") {
        this.leave("BAD_FRAME");
        return undefined;
      }
    }
    if (number >= 20 && number < 30 && !opens) this.#resuming.received();
    const busy = this.#heavy(frame.kind);
    if (busy === undefined) this.#take(frame);
    if (this.#phase === "up" && this.#resuming.wantsPing) this.#ping();
    return busy;
  }

  /** What needs cryptography may ask for a pause. */
  #heavy(kind: Kind): Promise<void> | undefined {
    if (kind.is === "deliver") return this.#events.deliver(kind.value);
    return kind.is === "dm" ? this.#events.dm(kind.value) : undefined;
  }

  #take({ req, re, critical, kind }: Frame): void {
    switch (kind.is) {
      case "welcome":
        return this.#welcome(kind.value);
      case "goodbye":
        this.#goodbye = kind.value;
        this.#cut = kind.value.code;
        this.#link?.close();
        return;
      case "notice":
        return this.#events.notice(kind.value);
      case "ping":
        return this.#reply({ is: "pong", value: { nonce: kind.value.nonce, acked: this.#resuming.tell() } });
      case "pong":
        return this.#resuming.acked(kind.value.acked);
      case "ok":
      case "error":
      case "found":
      case "dmStatus":
        if (!this.requests.answer(re, kind) && kind.is === "dmStatus") this.late?.(re, kind.value.code);
        return;
      case "unknown":
        if (req !== 0 || critical) {
          this.#reply({ is: "error", value: { code: "UNSUPPORTED", text: "", retryMs: 0 } }, req);
        }
        return;
      default:
        return;
    }
  }

  /** Told a `DmStatus` that names no open question: a packet came to a device that lost its session (4.2). */
  late: ((req: number, code: Code) => void) | undefined;

  #reply(kind: Kind, re = 0): void {
    const second = Math.floor(this.#clock.now() / 1_000);
    if (this.#replies.second !== second) this.#replies = { second, count: 0 };
    this.#replies.count += 1;
    if (this.#replies.count <= REPLIES_PER_S) this.send(kind, { re });
  }

  #welcome(welcome: Welcome): void {
    const link = this.#link;
    if (link === undefined) return;
    const isAgreed = (link.features & FEATURES.RESUME) !== 0n;
    const again = welcome.resumed ? this.#resuming.again(welcome.received) : undefined;
    if (welcome.resumed && again === undefined) return this.leave("BAD_FRAME");
    this.#budgets = new Budgets(link.reply, this.#clock.now());
    const held = this.#held;
    this.#held = [];
    if (again === undefined) {
      if (this.#isHolding) {
        this.#resuming.clear();
        this.requests.lose();
        this.#events.over();
      }
      this.#resuming.clear();
    }
    this.#phase = "up";
    this.#isHolding = false;
    this.#resumableUntil = undefined;
    this.#resuming.welcomed(welcome, link.server, isAgreed);
    this.#alarm.stop();
    this.#tick();
    this.#welcomed?.();
    if (again === undefined) return this.#events.fresh(welcome);
    for (const frame of again) {
      this.#resuming.sent(frame);
      link.send(frame);
    }
    for (const { kind, req } of held) this.send(kind, { req });
    this.#events.resumed();
  }

  #closed(told: Code): void {
    const why = this.#cut ?? told;
    const isBroken = this.#cut === undefined && told !== "TIMEOUT";
    const refusedBy = this.#goodbye;
    this.#link = undefined;
    this.#alarm.stop();
    const error =
      refusedBy === undefined
        ? new ChatError("connect", `the connection ended: ${why}`, { reason: why })
        : refusedBy.code === "VERSION"
          ? new ChatError("version", "the server sent us away: VERSION", { reason: "VERSION" })
          : new ChatError("refused", `the server sent us away: ${refusedBy.code}`, {
              reason: refusedBy.code,
              retryMs: refusedBy.retryMs,
            });
    this.#welcomed?.(error);
    let resumableUntil: number | undefined;
    if (this.#phase !== "none") {
      resumableUntil = isBroken ? this.#resuming.lose(this.#clock.now()) : undefined;
      if (resumableUntil === undefined) {
        this.end();
      } else {
        this.#phase = "held";
        this.#isHolding = true;
        this.#resumableUntil = resumableUntil;
        this.#alarm.by(resumableUntil);
      }
    }
    this.#ended?.({ why, goodbye: this.#goodbye, resumableUntil });
  }

  #tick(): void {
    const now = this.#clock.now();
    if (this.#phase === "held") {
      if ((this.#resumableUntil ?? 0) <= now) this.end();
      else this.#alarm.by(this.#resumableUntil ?? now);
      return;
    }
    if (this.#phase !== "up") return;
    if (this.#heard + DEAD_MS <= now) {
      this.#link?.cut("TIMEOUT");
      return;
    }
    if (this.#sent + this.#pingMs <= now) this.#ping();
    this.#alarm.by(Math.min(this.#heard + DEAD_MS, this.#sent + this.#pingMs));
  }

  #ping(): void {
    this.send({ is: "ping", value: { nonce: randomNumber(), acked: this.#resuming.ask() } });
  }
}
