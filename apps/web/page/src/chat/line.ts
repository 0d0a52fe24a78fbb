// What stands in a timeline, line by line.

import type { DirectMessage, Message, Missed } from "darkchat-sdk";
import { byteLength, bytes, counted } from "../text/format.ts";

/** What became of a message of ours. */
export type Fate =
  /** It waits for the connection. */
  | { readonly is: "waiting" }
  | { readonly is: "sending" }
  | { readonly is: "sent" }
  | { readonly is: "failed"; readonly why: string };

/** A message, from anybody. */
export interface Spoken {
  readonly is: "spoken";
  readonly key: number;
  readonly from: string;
  readonly name: string;
  readonly time: Date;
  /** As it was sent, not cleaned. */
  readonly text: string;
  /** Whether it is data, and `text` only says how much. */
  readonly isData: boolean;
  readonly isMine: boolean;
  readonly mentionsMe: boolean;
  /** Of messages that this page sent. */
  readonly fate?: Fate;
}

/** Something that the page, or the server, says. */
export interface Notice {
  readonly is: "notice";
  readonly key: number;
  readonly text: string;
  readonly time: Date;
}

/** One line. Lines never change: another one with the same key takes their place. */
export type Line = Spoken | Notice;

/** About how many bytes a line holds in memory. */
export function weightOf(line: Line): number {
  return AROUND + 2 * line.text.length;
}

const AROUND = 500;

let last = 0;

/** A key that no other line of this page has. */
export function newKey(): number {
  last += 1;
  return last;
}

/** The line of a message that arrived. */
export function spoken(
  message: Message | DirectMessage,
  me: string,
  mentions: (text: string) => boolean,
): Spoken {
  const { from, name, time } = message;
  const text = message.text ?? `(${bytes(message.data.length)})`;
  const isMine = from === me;
  const isData = message.text === undefined;
  return {
    is: "spoken",
    key: newKey(),
    from,
    name,
    time,
    text,
    isData,
    isMine,
    mentionsMe: !isMine && !isData && mentions(text),
  };
}

/** What a gap is called, for a person. */
export function missedText({ count, cause }: Missed): string {
  const what = count === null ? "messages" : counted(count, "message");
  if (cause === "reconnect") return "The connection was lost for a moment; messages may be missing here.";
  const why = cause === "slow" ? "they came faster than they could be taken" : "they were lost on the way";
  return `Missed ${what} here: ${why}.`;
}

/** The longest text that a message may have, in bytes. */
export const TEXT_MOST = 65_536;
/** The same for direct messages. */
export const DIRECT_MOST = 57_344;

/** Why a text cannot be sent, or nothing. */
export function tooLong(text: string, most: number = TEXT_MOST): string | undefined {
  const length = byteLength(text);
  return length > most ? `too long: ${bytes(length)} of at most ${bytes(most)}` : undefined;
}
