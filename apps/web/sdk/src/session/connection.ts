// Which server to dial, and when. Source: docs/protocol.md, section 5.3.

import type { Bytes } from "../bytes.ts";
import { around, type Clock } from "../clock.ts";
import { ChatError } from "../error.ts";
import type { Link } from "../link/link.ts";
import { parseAddress, webSocketUrl } from "../text/addr.ts";
import type { Code } from "../wire/code.ts";
import type { Goodbye } from "../wire/messages.ts";
import type { LinkEnd, Session } from "./session.ts";

/** CLIENT_BACKOFF in milliseconds, and its jitter in percent. */
const BACKOFF_MS = 500;
const BACKOFF_MOST_MS = 30_000;
const JITTER = 50;
/** The longest wait while the session can still be resumed. */
const RESUME_WITHIN_MS = 2_000;
/** A link that was up so long begins with the shortest wait again. */
const STABLE_MS = 60_000;
/** The longest wait that a server may ask for. */
const RETRY_MOST_MS = 300_000;
/** After these the user must decide (5.3). */
const FATAL: readonly Code[] = ["CONFLICT", "BLOCKED", "UNAUTHORIZED", "VERSION"];

/** A server to dial. */
export interface Target {
  /** What the WebSocket is given. */
  readonly url: string;
  /** Under which its key is remembered. */
  readonly label: string;
  /** The key that it must prove, as text. */
  readonly key: string | undefined;
  /** A suggestion of another server's, not the user's own choice. */
  readonly isSuggested: boolean;
}

/**
 * What is happening to the connection. `connected` names the server's key; `waiting` when the next try comes;
 * `closed` why there is none.
 */
export type State =
  | { readonly name: "connecting" }
  | { readonly name: "connected"; readonly server: string }
  | { readonly name: "waiting"; readonly retryInMs: number }
  | { readonly name: "closed"; readonly reason: Code };

/** How a connection reaches the world. */
export interface Reach {
  readonly clock: Clock;
  readonly dial: (target: Target) => Promise<Link>;
  readonly serverText: (server: Bytes) => Promise<string>;
  readonly state: (state: State) => void;
}

/**
 * The target that an address text or a WebSocket URL names. A `URL` is taken as it is; a text is an address of
 * section 2, whose path is `/ws`.
 * @throws TextError for anything that no WebSocket reaches.
 */
export function targetOf(address: string | URL, isSuggested = false): Target {
  if (address instanceof URL) return { url: address.href, label: address.href, key: undefined, isSuggested };
  const parsed = parseAddress(address);
  if (parsed.scheme === "tcp") {
    throw new ChatError(
      "connect",
      `a WebSocket reaches ws:// and wss:// addresses alone: ${address.slice(0, 200)}`,
    );
  }
  const url = webSocketUrl(parsed);
  return { url, label: url, key: parsed.key, isSuggested };
}

/** Dials until it is told to stop. */
export class Connection {
  readonly #reach: Reach;
  readonly #session: Session;
  #targets: Target[];
  #current = 0;
  #failures = 0;
  #retryMs = 0;
  #isFirstRound = true;
  #isStopped = false;
  #wake: (() => void) | undefined;

  constructor(reach: Reach, session: Session, targets: Target[]) {
    this.#reach = reach;
    this.#session = session;
    this.#targets = targets;
  }

  /**
   * Runs until stopped, or until nothing may be tried any more. `first` is called once: when the first session is up,
   * or with the last error when every server was tried in vain.
   */
  async run(
    isPersistent: boolean,
    isReconnecting: boolean,
    first: (error?: ChatError) => void,
  ): Promise<void> {
    let reason: Code = "OK";
    while (!this.#isStopped) {
      const target = this.#targets[this.#current];
      if (target === undefined) break;
      this.#reach.state({ name: "connecting" });
      const began = this.#reach.clock.now();
      const { end, error } = await this.#try(target, first);
      if (this.#isStopped) break;
      reason = end?.why ?? error?.reason ?? "UNREACHABLE";
      if (end !== undefined && this.#reach.clock.now() - began >= STABLE_MS) this.#failures = 0;
      this.#suggestions(end?.goodbye);
      if (FATAL.includes(end?.goodbye?.code ?? error?.reason ?? "OK")) {
        first(error);
        break;
      }
      const resumable = end?.resumableUntil;
      const isNewRound = this.#advance(target, error, end);
      if (this.#targets.length === 0 || (this.#isFirstRound && isNewRound && !isPersistent)) {
        first(error ?? new ChatError("connect", "no server answered"));
        break;
      }
      if (!this.#isFirstRound && !isReconnecting) break;
      if (!this.#isFirstRound || isNewRound) await this.#pause(resumable);
    }
    this.#session.end();
    this.#reach.state({ name: "closed", reason: this.#isStopped ? "OK" : reason });
    first(new ChatError("closed", "the client was closed"));
  }

  /** Tries now instead of when the wait is over. */
  hurry(): void {
    this.#wake?.();
  }

  /** Dials no more. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
  }

  async #try(target: Target, first: () => void): Promise<{ end?: LinkEnd; error?: ChatError }> {
    try {
      const link = await this.#reach.dial(target);
      if (this.#isStopped) {
        link.close();
        return {};
      }
      const { up, ended } = this.#session.attach(link);
      try {
        await up;
      } catch (error) {
        return { end: { ...(await ended), resumableUntil: undefined }, error: asChatError(error) };
      }
      const server = await this.#reach.serverText(link.server);
      this.#isFirstRound = false;
      this.#retryMs = 0;
      if (this.#session.isUp) this.#reach.state({ name: "connected", server });
      first();
      return { end: await ended };
    } catch (error) {
      return { error: asChatError(error) };
    }
  }

  /** Chooses the next target; `true` if all were tried and the round begins anew. */
  #advance(target: Target, error: ChatError | undefined, end: LinkEnd | undefined): boolean {
    const isStruck = error !== undefined && ["wrong-server", "version"].includes(error.code);
    if (isStruck) this.#targets = this.#targets.filter((other) => other !== target);
    else if (error !== undefined || end?.resumableUntil === undefined) this.#current += 1;
    if (this.#current < this.#targets.length) return false;
    this.#current = 0;
    return true;
  }

  #suggestions(goodbye: Goodbye | undefined): void {
    if (goodbye === undefined) return;
    this.#retryMs = Math.min(goodbye.retryMs, RETRY_MOST_MS);
    const kept = this.#targets.filter((target) => !target.isSuggested);
    for (const text of goodbye.elsewhere) {
      try {
        const target = targetOf(text, true);
        if (target.key !== undefined && kept.every((other) => other.url !== target.url)) kept.push(target);
      } catch {
        // A suggestion that cannot be dialled from here is none.
      }
    }
    this.#targets = kept;
    this.#current = Math.min(this.#current, Math.max(0, kept.length - 1));
  }

  async #pause(resumableUntil: number | undefined): Promise<void> {
    const most = resumableUntil === undefined ? BACKOFF_MOST_MS : RESUME_WITHIN_MS;
    const span = Math.min(most, BACKOFF_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    const wait = Math.max(around(span, JITTER), this.#retryMs);
    this.#retryMs = 0;
    this.#reach.state({ name: "waiting", retryInMs: wait });
    await new Promise<void>((resolve) => {
      const cancel = this.#reach.clock.after(wait, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (this.#isStopped) this.#wake();
    });
    this.#wake = undefined;
  }
}

function asChatError(error: unknown): ChatError {
  if (error instanceof ChatError) return error;
  return new ChatError("connect", error instanceof Error ? error.message : "unknown failure");
}
