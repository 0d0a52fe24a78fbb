// What goes wrong for an application, by what it can do about it.

import type { Code } from "./wire/code.ts";

/**
 * - `connect`: no server answered; try later.
 * - `wrong-server`: a server proved another key than the one known or named; somebody may listen in.
 * - `version`: the server speaks no protocol version of ours.
 * - `refused`: the server, or a limit, said no; `reason` says why, `retryMs` when to try again.
 * - `not-here`: nobody received it: the person is not online.
 * - `timeout`: no answer in time; it may have been delivered all the same.
 * - `too-large`: over the size that a message may have; nothing was sent.
 * - `closed`: the client was closed, or the channel left.
 */
export type ChatErrorCode =
  | "connect"
  | "wrong-server"
  | "version"
  | "refused"
  | "not-here"
  | "timeout"
  | "too-large"
  | "closed";

/** The one error that the SDK's promises end with. */
export class ChatError extends Error {
  override readonly name = "ChatError";
  readonly code: ChatErrorCode;
  /** The protocol's own word, where a server or a link said one. */
  readonly reason: Code | undefined;
  /** After how many milliseconds the same may succeed, where the server said so. */
  readonly retryMs: number | undefined;

  constructor(
    code: ChatErrorCode,
    message: string,
    { reason, retryMs }: { reason?: Code; retryMs?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.retryMs = retryMs;
  }
}

/** The error for what a server answered. */
export function refusal(what: string, reason: Code, retryMs = 0): ChatError {
  const code =
    reason === "NOT_HERE" || reason === "UNREACHABLE"
      ? "not-here"
      : reason === "TIMEOUT"
        ? "timeout"
        : reason === "TOO_LARGE"
          ? "too-large"
          : "refused";
  return new ChatError(code, `${what}: ${reason}`, { reason, ...(retryMs > 0 ? { retryMs } : {}) });
}
