// What went wrong, in words for the person in front of the page.

import { ChatError, TextError } from "darkchat-sdk";

const REASONS: Readonly<Record<string, string>> = {
  ALREADY: "you are in it already",
  BLOCKED: "the server has blocked this key",
  CONFLICT: "the same key is in use elsewhere in a way that the server does not allow",
  LIMIT: "too much at once",
  RATE_LIMITED: "too fast for the server; wait a moment",
  STALE: "this computer's clock differs too much from the server's",
  TOO_LARGE: "it is too large",
  UNAUTHORIZED: "the server does not let you in",
  VERSION: "the server speaks another version of the protocol",
};

const CODES: Readonly<Record<string, string>> = {
  closed: "the connection was closed",
  connect: "no server answers",
  "not-here": "nobody received it: the person is not online",
  timeout: "no answer came in time; it may have arrived all the same",
  "too-large": "it is too large",
};

/** A few words, without a full stop. */
export function errorText(error: unknown): string {
  if (error instanceof TextError) return error.message;
  if (!(error instanceof ChatError)) return "something went wrong on this page";
  // The message of this one names both keys.
  if (error.code === "wrong-server") return error.message;
  const reason =
    error.reason === undefined ? undefined : Object.entries(REASONS).find(([code]) => code === error.reason);
  const code = Object.entries(CODES).find(([code]) => code === error.code);
  return reason?.[1] ?? code?.[1] ?? error.message;
}
