// Names of channels, users and networks, as people type them. Source: docs/protocol.md, sections 2 and 5.5.

import { utf8 } from "../bytes.ts";
import { MAX_CHANNEL_NAME, MAX_NAME, MAX_NETWORK } from "../wire/limits.ts";

/** A text that a person typed and that means nothing; the message says why. */
export class TextError extends Error {
  override readonly name = "TextError";
}

const INVISIBLE = "\\u061c\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060\\u2066-\\u2069\\ufeff";
const NOT_IN_CHANNELS = new RegExp(`[\\p{White_Space}\\p{Cc}\\p{Cs}${INVISIBLE}]`, "u");
const NOT_IN_NAMES = new RegExp(
  `[\\p{Cc}\\p{Cs}${INVISIBLE}\\u00ad\\u180e\\u200c\\u200d\\u2028\\u2029\\u2061-\\u2064\\u206a-\\u206f\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}]`,
  "u",
);

function check(what: string, text: string, max: number, refused: RegExp): string {
  const length = utf8(text).length;
  if (length > max) throw new TextError(`${what} is longer than ${max} bytes: ${length}`);
  const found = refused.exec(text)?.[0].codePointAt(0);
  if (found !== undefined) {
    const code = found.toString(16).toUpperCase().padStart(4, "0");
    throw new TextError(`${what} may not contain the character U+${code}`);
  }
  return text;
}

/**
 * The name of a channel, without the `#`: what was typed, in NFC and lower case.
 * @throws TextError if it is empty, over 64 bytes, or has white space, control or invisible characters.
 */
export function channelName(typed: string): string {
  const bare = typed.startsWith("#") ? typed.slice(1) : typed;
  const name = bare.normalize("NFC").toLowerCase().normalize("NFC");
  if (name === "") throw new TextError("channel name is empty");
  return check("channel name", name, MAX_CHANNEL_NAME, NOT_IN_CHANNELS);
}

/**
 * The name that a user claims, in NFC; may be empty.
 * @throws TextError if it is over 48 bytes, or has control, bidi, zero-width or line-breaking characters.
 */
export function userName(typed: string): string {
  return check("user name", typed.normalize("NFC"), MAX_NAME, NOT_IN_NAMES);
}

/** The name that somebody else claims, or nothing where the claim is not allowed. */
export function claimedName(claim: string): string {
  try {
    return userName(claim);
  } catch {
    return "";
  }
}

/**
 * The name of a network.
 * @throws TextError if it is empty, over 32 bytes or has a zero byte.
 */
export function networkName(typed: string): string {
  if (typed === "") throw new TextError("network name is empty");
  return check("network name", typed, MAX_NETWORK, /[\0\p{Cs}]/u);
}
