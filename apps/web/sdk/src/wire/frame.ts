// A frame: one plaintext protocol message inside a link's encryption. Source: docs/protocol.md, sections 4.1 to 4.4.

import { type Bytes, concat, EMPTY } from "../bytes.ts";
import { malformed, tooLarge } from "./code.ts";
import {
  bool,
  bytes,
  delimited,
  type Field,
  type Infer,
  type Message,
  one,
  readFrame,
  u32,
} from "./codec.ts";
import { MAX_DELIVER, MAX_FRAME } from "./limits.ts";
import {
  DmDeliver,
  DmReject,
  DmStatus,
  ErrorReply,
  Goodbye,
  Join,
  Leave,
  Lookup,
  LookupResult,
  Notice,
  Ok,
  Ping,
  Pong,
  Publish,
  SendDm,
  SetBundle,
  Welcome,
} from "./messages.ts";

const MESSAGES = {
  join: [10, Join],
  leave: [11, Leave],
  publish: [12, Publish],
  setBundle: [13, SetBundle],
  lookup: [14, Lookup],
  sendDm: [15, SendDm],
  dmReject: [16, DmReject],
  welcome: [20, Welcome],
  ok: [21, Ok],
  error: [22, ErrorReply],
  dm: [24, DmDeliver],
  found: [25, LookupResult],
  dmStatus: [26, DmStatus],
  notice: [27, Notice],
  ping: [30, Ping],
  pong: [31, Pong],
  goodbye: [32, Goodbye],
} as const;

type Messages = typeof MESSAGES;

/** What a frame says. `unknown` is a kind of a later version, by its number; `peer` one that only servers exchange. */
export type Kind =
  | { [K in keyof Messages]: { is: K; value: Infer<Messages[K][1]> } }[keyof Messages]
  | { is: "deliver"; value: Bytes }
  | { is: "peer"; value: number }
  | { is: "unknown"; value: number };

/** A frame: `req` asks for one reply, which repeats it in `re`. */
export interface Frame {
  readonly req: number;
  readonly re: number;
  readonly critical: boolean;
  readonly kind: Kind;
}

const DELIVER = 23;
const PEER_KINDS = [40, 48] as const;

const fields = new Map<number, [string, Field<unknown>]>(
  Object.entries(MESSAGES).map(([name, [number, inner]]) => [
    number,
    [name, one(number, inner as Message<unknown>)],
  ]),
);
fields.set(DELIVER, [
  "deliver",
  bytes(DELIVER, (deliver) => {
    if (deliver.length > MAX_DELIVER) tooLarge("Deliver", deliver.length, MAX_DELIVER);
  }) as Field<unknown>,
]);

const REQ = u32(1);
const RE = u32(2);
const CRITICAL = bool(3);

/**
 * Decodes one frame, without its length prefix.
 * @throws WireError on whatever sections 4.1 and 4.2 refuse.
 */
export function decodeFrame(encoded: Uint8Array): Frame {
  if (encoded.length > MAX_FRAME) tooLarge("frame", encoded.length, MAX_FRAME);
  let [req, re, critical, name] = [0, 0, false, ""];
  const { value, greatest } = readFrame<unknown>(
    encoded,
    (number, wire, step) => {
      if (number === 1) req = REQ.read(step, wire, 0, 0);
      else if (number === 2) re = RE.read(step, wire, 0, 0);
      else if (number === 3) critical = CRITICAL.read(step, wire, false, 0);
      return number <= 3;
    },
    (number) => {
      const entry = fields.get(number);
      name = entry?.[0] ?? name;
      return entry?.[1];
    },
  );
  if (name !== "") return { req, re, critical, kind: { is: name, value } as Kind };
  if (greatest === 0) malformed("a frame without a kind");
  const peer = greatest >= PEER_KINDS[0] && greatest <= PEER_KINDS[1];
  return { req, re, critical, kind: { is: peer ? "peer" : "unknown", value: greatest } };
}

/** Encodes a frame without its length prefix. */
export function encodeFrame(kind: Kind, { req = 0, re = 0, critical = false } = {}): Bytes {
  const head = [REQ.write(req), RE.write(re), CRITICAL.write(critical)];
  if (kind.is === "deliver") return concat(...head, delimited(DELIVER, kind.value));
  if (kind.is === "unknown" || kind.is === "peer") return concat(...head, delimited(kind.value, EMPTY));
  const [number, inner] = MESSAGES[kind.is];
  return concat(...head, delimited(number, (inner as Message<unknown>).encode(kind.value)));
}

/** The field number of a kind, by which a session counts frames (5.4). */
export function kindNumber(kind: Kind): number {
  if (kind.is === "deliver") return DELIVER;
  if (kind.is === "unknown" || kind.is === "peer") return kind.value;
  return MESSAGES[kind.is][0];
}
