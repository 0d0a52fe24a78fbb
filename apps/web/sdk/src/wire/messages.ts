// The messages of the schema that a client sends, receives or seals. Source: docs/protocol.md, section 4.1.

import type { Bytes } from "../bytes.ts";
import { malformed, tooLarge } from "./code.ts";
import {
  bool,
  bytes,
  choice,
  code,
  exact,
  exactOrNone,
  f64,
  headers,
  type Infer,
  type Message,
  manyBytes,
  manyTexts,
  manyU32,
  message,
  messages,
  ms,
  must,
  one,
  text,
  u32,
  u64,
} from "./codec.ts";
import {
  MAX_ACKS,
  MAX_ADDR_TEXT,
  MAX_ADMINS,
  MAX_AGENT,
  MAX_CHANNEL_NAME,
  MAX_CONTENT_TYPE,
  MAX_DELIVER,
  MAX_DM_BODY,
  MAX_ELSEWHERE,
  MAX_ENTRIES,
  MAX_HANDSHAKE_UNIT,
  MAX_INVITE,
  MAX_INVITE_SERVERS,
  MAX_JOIN,
  MAX_MEMBERS,
  MAX_NAME,
  MAX_NETWORK,
  MAX_PACKET,
  MAX_PAYLOAD,
  MAX_SELF_COPY,
  MAX_TEXT,
  MAX_TOKEN,
  MAX_VERSIONS,
  SEALED_MIN,
} from "./limits.ts";

const ID = 32;
const SHORT_ID = 16;
const SIGNATURE = 64;

/** Features of section 4.4; a bit is used only if both ends set it. */
export const FEATURES = { RESUME: 1n, SEALED: 2n } as const;

/** `Role.CLIENT`. */
export const ROLE_CLIENT = 1;

const notZero = (value: bigint): void => {
  if (value === 0n) malformed("a number that is 0");
};

const notUnspecified = (value: number): void => {
  if (value === 0) malformed("a kind that is not said");
};

function known(least: number, most: number): (value: number) => void {
  return (value) => {
    if (value < least || value > most) malformed(`a value that is not known: ${value}`);
  };
}

function upTo(what: string, max: number): (value: Bytes) => void {
  return (value) => {
    if (value.length > max) tooLarge(what, value.length, max);
  };
}

// The handshake's payloads.

const handshake = { max: MAX_HANDSHAKE_UNIT, over: "TOO_LARGE" } as const;

export const Hello = message(
  "Hello",
  { versions: manyU32(1, MAX_VERSIONS), role: choice(2, known(1, 2)), features: f64(3) },
  handshake,
);

export const HelloReply = message(
  "HelloReply",
  {
    version: u32(1),
    versions: manyU32(2, MAX_VERSIONS),
    features: f64(3),
    server: exact(4, ID),
    sig: exactOrNone(5, SIGNATURE),
    maxPayload: u32(7),
    pingMs: u32(8),
    timeMs: ms(9),
    framesPerS: u32(10),
    bytesPerS: u32(11),
    postsPerS: u32(12),
    entriesPerS: u32(13),
  },
  {
    ...handshake,
    check(reply) {
      if (reply.version !== 0 && reply.sig.length === 0) malformed("a version without a signature");
    },
  },
);
export type HelloReply = Infer<typeof HelloReply>;

const Resume = message("Resume", { token: exact(1, SHORT_ID), received: u64(2) });
export type Resume = Infer<typeof Resume>;

export const Auth = message(
  "Auth",
  {
    identity: exact(1, ID),
    sig: exact(2, SIGNATURE),
    device: exactOrNone(3, SHORT_ID),
    token: text(4, MAX_TOKEN),
    agent: text(5, MAX_AGENT),
    resume: one(6, Resume),
  },
  handshake,
);

// Frames.

export const Join = message("Join", { channels: manyBytes(1, MAX_JOIN, ID), waitSpread: bool(2) });
export const Leave = message("Leave", { channels: manyBytes(1, MAX_JOIN, ID) });
export const Publish = message("Publish", { deliver: bytes(1, upTo("Deliver", MAX_DELIVER)) });
export const SetBundle = message("SetBundle", { bundle: bytes(1) });
export const Lookup = message("Lookup", { user: exact(1, ID) });
export const SendDm = message("SendDm", {
  user: exact(1, ID),
  device: exact(2, SHORT_ID),
  server: exact(3, ID),
  packet: bytes(4),
  attempt: u32(5),
});
export type SendDm = Infer<typeof SendDm>;
export const DmReject = message("DmReject", { ref: f64(1), code: code(2) });

export const Welcome = message("Welcome", {
  session: exactOrNone(1, SHORT_ID),
  resumeToken: exactOrNone(2, SHORT_ID),
  resumeMs: u32(3),
  observedIp: bytes(4, (ip) => {
    if (![0, 4, 16].includes(ip.length)) malformed(`an IP address of ${ip.length} bytes`);
  }),
  resumed: bool(5),
  received: u64(6),
});
export type Welcome = Infer<typeof Welcome>;

export const Ok = message("Ok", { local: u32(1), servers: u32(2), spread: bool(3) });
export type Ok = Infer<typeof Ok>;

export const ErrorReply = message("Error", { code: code(1), text: text(2, MAX_TEXT), retryMs: u32(3) });
export type ErrorReply = Infer<typeof ErrorReply>;

export const DmDeliver = message("DmDeliver", {
  user: exact(1, ID),
  device: exact(2, SHORT_ID),
  packet: bytes(3),
  ref: f64(4),
});
export type DmDeliver = Infer<typeof DmDeliver>;

export const LookupResult = message("LookupResult", { bundles: manyBytes(1, 64), complete: bool(2) });
export type LookupResult = Infer<typeof LookupResult>;
export const DmStatus = message("DmStatus", { code: code(1) });

/** `Notice.Kind`. */
export const NOTICE = { DROPPED: 1, DRAINING: 2, TEXT: 3 } as const;

export const Notice = message(
  "Notice",
  { kind: choice(1, notUnspecified), channel: bytes(2), count: u64(3), text: text(4, MAX_TEXT) },
  {
    check(notice) {
      if (notice.kind === NOTICE.DROPPED && notice.channel.length !== ID) malformed("a notice of no channel");
    },
  },
);
export type Notice = Infer<typeof Notice>;

export const Ping = message("Ping", { nonce: f64(1), acked: u64(2) });
export const Pong = message("Pong", { nonce: f64(1), acked: u64(2) });

export const Goodbye = message("Goodbye", {
  code: code(1),
  text: text(2, MAX_TEXT),
  retryMs: u32(3),
  elsewhere: manyTexts(4, MAX_ELSEWHERE, MAX_ADDR_TEXT),
});
export type Goodbye = Infer<typeof Goodbye>;

// What frames carry as they are.

export const Signed = message("Signed", { body: bytes(1), sig: exact(2, SIGNATURE) });
export type Signed = Infer<typeof Signed>;

export const Deliver = message(
  "Deliver",
  { channel: exact(1, ID), envelope: bytes(2), sealed: bytes(3) },
  {
    max: MAX_DELIVER,
    over: "TOO_LARGE",
    check({ envelope, sealed }) {
      if ((envelope.length === 0) === (sealed.length === 0)) malformed("not one of envelope and sealed");
      if (envelope.length > 0) Signed.decode(envelope);
      else checkSealed(sealed);
    },
  },
);

function checkSealed(sealed: Bytes): void {
  if (sealed.length < SEALED_MIN) malformed(`a sealed post of ${sealed.length} bytes`);
  const numbers = new DataView(sealed.buffer, sealed.byteOffset + 8, 16);
  notZero(numbers.getBigUint64(0));
  notZero(numbers.getBigUint64(8));
}

/** `Entry.Kind`. A number of a later version is kept as it is. */
export const ENTRY = { TEXT: 1, DATA: 2, HERE: 3, PART: 4, MOVED: 5 } as const;

export const Entry = message("Entry", {
  kind: choice(1, notUnspecified),
  content: bytes(2),
  contentType: text(3, MAX_CONTENT_TYPE),
  headers: headers(4),
  replyTo: exactOrNone(5, 17),
});
export type Entry = Infer<typeof Entry>;

const GREATEST = 2n ** 64n - 1n;

function checkContent(entries: Entry[]): void {
  const total = entries.reduce((sum, entry) => sum + entry.content.length, 0);
  if (total > MAX_PAYLOAD) tooLarge("content", total, MAX_PAYLOAD);
}

export const ChannelBody = message(
  "ChannelBody",
  {
    author: exact(1, ID),
    channel: exact(2, ID),
    stream: f64(3, notZero),
    seq: u64(4, notZero),
    timeMs: ms(5),
    name: text(6, MAX_NAME),
    entries: messages(7, Entry, MAX_ENTRIES, 1),
  },
  {
    max: MAX_DELIVER,
    over: "TOO_LARGE",
    check({ seq, entries }) {
      if (seq + BigInt(entries.length) > GREATEST) malformed("numbers that would wrap");
      checkContent(entries);
    },
  },
);
export type ChannelBody = Infer<typeof ChannelBody>;

export const GroupBody = message(
  "GroupBody",
  {
    author: exact(1, ID),
    timeMs: ms(2),
    name: text(3, MAX_NAME),
    prevStream: f64(4),
    prevSeq: u64(5),
    entries: messages(6, Entry, MAX_ENTRIES, 1),
  },
  { max: MAX_DELIVER, over: "TOO_LARGE", check: ({ entries }) => checkContent(entries) },
);
export type GroupBody = Infer<typeof GroupBody>;

// Direct messages.

export const DeviceBundle = message("DeviceBundle", {
  suite: u32(1),
  user: exact(2, ID),
  device: exact(3, SHORT_ID),
  dh: exact(4, ID),
  notBeforeMs: ms(5),
  notAfterMs: ms(6),
  server: exact(7, ID),
  features: f64(8),
});
export type DeviceBundle = Infer<typeof DeviceBundle>;

export const InitPayload = message("InitPayload", { bundle: bytes(1), timeMs: ms(2), features: f64(3) });
export const RespPayload = message("RespPayload", { ratchet: exact(1, ID), features: f64(2) });

/** `DmContent.Kind`. A number of a later version is kept as it is. */
export const DM = { TEXT: 1, DATA: 2, ACK: 3, CONFIRM: 4, TYPING: 5, GROUP: 6, SELF_COPY: 7 } as const;

export const DmContent = message(
  "DmContent",
  {
    id: exact(1, SHORT_ID),
    timeMs: ms(2),
    kind: choice(3, notUnspecified),
    body: bytes(4),
    contentType: text(5, MAX_CONTENT_TYPE),
    name: text(6, MAX_NAME),
    acks: manyBytes(7, MAX_ACKS, SHORT_ID),
    headers: headers(8),
    replyTo: exactOrNone(9, SHORT_ID),
  },
  {
    max: MAX_PACKET,
    over: "TOO_LARGE",
    check({ kind, body }) {
      upTo("body", kind === DM.SELF_COPY ? MAX_SELF_COPY : MAX_DM_BODY)(body);
    },
  },
);
export type DmContent = Infer<typeof DmContent>;

export const SelfCopy = message(
  "SelfCopy",
  { user: exact(1, ID), content: bytes(2) },
  { max: MAX_SELF_COPY, over: "TOO_LARGE" },
);

// Private channels.

export const Invite = message(
  "Invite",
  {
    network: text(1, MAX_NETWORK),
    channel: exact(2, ID),
    generation: u32(3),
    step: u32(4),
    secret: exact(5, ID),
    startMs: ms(6),
    admins: manyBytes(7, MAX_ADMINS, ID, 1),
    servers: manyTexts(8, MAX_INVITE_SERVERS, MAX_ADDR_TEXT),
    name: text(9, MAX_CHANNEL_NAME),
    membersHash: exactOrNone(10, ID),
  },
  {
    max: MAX_INVITE,
    over: "TOO_LARGE",
    check({ network }) {
      if (network === "" || network.includes("\0")) malformed("a network that has no name");
    },
  },
);
export type Invite = Infer<typeof Invite>;

export const Rekey = message(
  "Rekey",
  {
    admin: exact(1, ID),
    oldChannel: exact(2, ID),
    next: must(3, Invite),
    members: manyBytes(4, MAX_MEMBERS, ID),
    removed: manyBytes(5, MAX_MEMBERS, ID),
    reason: text(6, MAX_TEXT),
  },
  { max: MAX_DM_BODY, over: "TOO_LARGE" },
);
export type Rekey = Infer<typeof Rekey>;

/** One of the three; the last that stands counts, as in any `oneof`. */
export type GroupControl =
  | { is: "rekey"; rekey: Signed }
  | { is: "ask"; channel: Bytes }
  | { is: "invite"; invite: Invite };

const Controls = message(
  "GroupControl",
  { rekey: bytes(1), ask: bytes(2), invite: one(4, Invite) },
  { max: MAX_DM_BODY, over: "TOO_LARGE" },
);

export const GroupControl: Pick<Message<GroupControl>, "title" | "encode" | "decode"> = {
  title: "GroupControl",
  encode(control) {
    const none = new Uint8Array(0);
    if (control.is === "rekey") {
      return Controls.encode({ rekey: Signed.encode(control.rekey), ask: none, invite: undefined });
    }
    if (control.is === "ask")
      return Controls.encode({ rekey: none, ask: control.channel, invite: undefined });
    return Controls.encode({ rekey: none, ask: none, invite: control.invite });
  },
  decode(encoded) {
    const { rekey, ask, invite } = Controls.decode(encoded);
    if (invite !== undefined) return { is: "invite", invite };
    if (ask.length > 0)
      return ask.length === ID ? { is: "ask", channel: ask } : malformed("a channel of another length");
    if (rekey.length > 0) return { is: "rekey", rekey: Signed.decode(rekey) };
    return malformed("a control without a kind");
  },
};
