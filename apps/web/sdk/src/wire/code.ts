// The codes that say why something was refused or closed. Source: docs/protocol.md, section 4.3.

/** The names of the codes; a name's place is its number. */
export const CODES = [
  "OK",
  "BAD_FRAME",
  "TOO_LARGE",
  "VERSION",
  "BAD_SIGNATURE",
  "UNAUTHORIZED",
  "NOT_JOINED",
  "ALREADY",
  "RATE_LIMITED",
  "LIMIT",
  "NOT_HERE",
  "UNREACHABLE",
  "STALE",
  "DUPLICATE",
  "SLOW_CONSUMER",
  "SHUTDOWN",
  "INTERNAL",
  "UNSUPPORTED",
  "TIMEOUT",
  "CONFLICT",
  "BLOCKED",
  "NO_SESSION",
  "TRUNCATED",
] as const;

/** Why something was refused or closed. `TRUNCATED` is reported locally and never travels. */
export type Code = (typeof CODES)[number];

/** What a peer's number means: a code of a later version is `INTERNAL`, and so is what never travels. */
export function codeOf(number: number): Code {
  const code = CODES[number];
  return code === undefined || code === "TRUNCATED" ? "INTERNAL" : code;
}

/** The number that stands for a code on the wire. */
export function numberOf(code: Code): number {
  return CODES.indexOf(code === "TRUNCATED" ? "INTERNAL" : code);
}

/** Bytes that no honest party sends, and what their sender is told. */
export class WireError extends Error {
  override readonly name = "WireError";
  readonly code: "BAD_FRAME" | "TOO_LARGE";

  constructor(code: "BAD_FRAME" | "TOO_LARGE", message: string) {
    super(message);
    this.code = code;
  }
}

/** Refuses bytes of a wrong form. */
export function malformed(what: string): never {
  throw new WireError("BAD_FRAME", what);
}

/** Refuses what is over a limit of section 4.2. */
export function tooLarge(what: string, length: number, max: number): never {
  throw new WireError("TOO_LARGE", `${what} is too large: ${length} of at most ${max} bytes`);
}
