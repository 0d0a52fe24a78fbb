// What an application sends and receives.

import { type Bytes, EMPTY, own, textOf, utf8 } from "./bytes.ts";
import { ChatError } from "./error.ts";
import { parseMessageId } from "./text/key.ts";
import { TextError } from "./text/name.ts";
import { MAX_CONTENT_TYPE, MAX_HEADER_BYTES, MAX_HEADERS } from "./wire/limits.ts";
import { ENTRY, type Entry } from "./wire/messages.ts";

/** What every message has. Text from others is data: show it as text, never as markup. */
export interface Content {
  /** Names the message; a reply refers to it. */
  readonly id: string;
  /** The author's key, proven. */
  readonly from: string;
  /** The name that the author claims; proves nothing, and may be empty. */
  readonly name: string;
  /** The author's clock, within 300 s of ours. */
  readonly time: Date;
  /** The text, exactly as sent, where it was sent as text. */
  readonly text?: string;
  /** The bytes, of text too. */
  readonly data: Uint8Array;
  /** The author's word for what the bytes are; may be empty. */
  readonly contentType: string;
  readonly headers: ReadonlyMap<string, Uint8Array>;
  /** The message that this one answers. */
  readonly replyTo?: string;
}

/** A message of a channel. */
export interface Message extends Content {
  readonly type: "message";
  /** With the `#`. */
  readonly channel: string;
  /** Whether it came in a private channel: names of private and public channels may be equal. */
  readonly private: boolean;
}

/** A direct message: sealed for us, by the key in `from`. */
export interface DirectMessage extends Content {
  readonly type: "direct";
  /** The other person of the conversation: `from`, or whom another device of ours wrote to. */
  readonly peer: string;
  /** The sender's device, 32 hexadecimal digits. */
  readonly device: string;
}

/**
 * Something was lost, and this says where: a `gap` in somebody's numbers, a reader or link that was too `slow`, or a
 * `reconnect`, during which anything may have been said.
 */
export interface Missed {
  readonly type: "missed";
  /** With the `#`; empty for direct messages. */
  readonly channel: string;
  /** Whether that is a private channel. */
  readonly private: boolean;
  /** Whose messages; `null` when that is unknown. */
  readonly from: string | null;
  /** How many; `null` when that is unknown. */
  readonly count: number | null;
  readonly cause: "gap" | "slow" | "reconnect";
}

/** What may stand around a content that is sent. */
export interface SendOptions {
  /** A media type of at most 64 bytes. */
  readonly contentType?: string;
  /** At most 16, and 1 KiB of names and values together. */
  readonly headers?: Iterable<readonly [string, Uint8Array]>;
  /** The id of the message that this one answers. */
  readonly replyTo?: string;
}

/** What is sent, in the form that the wire wants: `replyTo` is still a text. */
export interface Payload {
  readonly isText: boolean;
  readonly content: Bytes;
  readonly contentType: string;
  readonly headers: Map<string, Bytes>;
}

/**
 * Checks what somebody wants to send.
 * @throws ChatError `too-large` for headers or a type over their bounds, `refused` for no content at all.
 */
export function payloadOf(data: string | Uint8Array, options: SendOptions): Payload {
  const content = typeof data === "string" ? utf8(data) : new Uint8Array(data);
  const headers = new Map([...(options.headers ?? [])].map(([name, value]) => [name, own(value)]));
  const contentType = options.contentType ?? "";
  const names = [...headers.keys(), contentType].map((name) => utf8(name).length);
  const total = [...headers].reduce((sum, [name, value]) => sum + utf8(name).length + value.length, 0);
  if (
    names.some((length) => length > MAX_CONTENT_TYPE) ||
    total > MAX_HEADER_BYTES ||
    headers.size > MAX_HEADERS
  ) {
    throw new ChatError("too-large", "headers or content type over their bounds");
  }
  return { isText: typeof data === "string", content, contentType, headers };
}

/** The entry of a post. */
export function entryOf(data: string | Uint8Array, options: SendOptions): Entry {
  const { isText, ...rest } = payloadOf(data, options);
  const replyTo = options.replyTo === undefined ? EMPTY : idOf(options.replyTo);
  return { kind: isText ? ENTRY.TEXT : ENTRY.DATA, ...rest, replyTo };
}

function idOf(text: string): Bytes {
  try {
    return parseMessageId(text);
  } catch (error) {
    throw new ChatError("refused", error instanceof TextError ? error.message : "not a message id");
  }
}

/** The common part of what is shown; `undefined` where text is not UTF-8. */
export function contentOf(
  { isText, content, contentType, headers }: Payload,
  about: { id: string; from: string; name: string; timeMs: number; replyTo: string },
): Content | undefined {
  const text = isText ? textOf(content) : undefined;
  if (isText && text === undefined) return undefined;
  const { id, from, name, timeMs, replyTo } = about;
  return {
    id,
    from,
    name,
    time: new Date(Math.min(timeMs, 8.64e15)),
    ...(text === undefined ? {} : { text }),
    data: content,
    contentType,
    headers,
    ...(replyTo === "" ? {} : { replyTo }),
  };
}
