// The whole schema under its names, for the vectors: what the SDK has, and what only servers exchange.

import { malformed } from "../../src/wire/code.ts";
import type { Field, Message } from "../../src/wire/codec.ts";
import * as codec from "../../src/wire/codec.ts";
import * as client from "../../src/wire/messages.ts";

const { bool, choice, exact, f64, manyF64, message, messages, ms, one, u32, u64 } = codec;

const Addr = message(
  "Addr",
  {
    ip: codec.bytes(1, (ip) => {
      if (ip.length !== 4 && ip.length !== 16) malformed("no IP address");
    }),
    port: u32(2),
    proto: u32(3),
  },
  {
    check({ port, proto }) {
      if (proto === 0 || port > 65_535) malformed("an address without carrier, or an impossible port");
    },
  },
);

const ServerRecord = message(
  "ServerRecord",
  {
    server: exact(1, 32),
    epoch: f64(2),
    seq: u64(3),
    issuedMs: ms(4),
    addrs: messages(5, Addr, 8),
    flags: u32(6),
    neighbours: manyF64(7, 64),
    version: u32(8),
    features: f64(9),
  },
  { max: 2_048, over: "BAD_FRAME" },
);

const InterestShard = message(
  "InterestShard",
  {
    server: exact(1, 32),
    epoch: f64(2),
    seq: u64(3),
    bits: u32(4),
    shard: u32(5),
    tags: manyF64(6, 4_096),
  },
  {
    check({ bits, shard, tags }) {
      if (bits > 14 || shard >= 2 ** bits) malformed("a shard that its bits do not make");
      for (const [at, tag] of tags.entries()) {
        if (at > 0 && (tags[at - 1] ?? 0n) >= tag) malformed("tags that do not ascend");
        if (bits > 0 && tag >> BigInt(64 - bits) !== BigInt(shard)) malformed("a tag of another shard");
      }
    },
  },
);

const Traced = message(
  "Traced",
  { router: f64(1), from: f64(2), ttl: u32(3), here: bool(4) },
  { max: 128, over: "TOO_LARGE" },
);

const Have = message("Have", { router: f64(1), epoch: f64(2), seq: u64(3), shards: f64(4) });
const Want = message("Want", { router: f64(1), record: bool(2), shards: bool(3) });

/** The kinds of frames between servers, by their field numbers. */
export const PEER_KINDS: Record<number, Field<unknown>> = {
  40: one(40, message("Digest", { known: messages(1, Have, 1_024), more: bool(2) })),
  41: one(41, message("Pull", { want: messages(1, Want, 1_024) })),
  44: one(
    44,
    message("Route", {
      origin: f64(1),
      id: f64(2),
      ttl: u32(3),
      dst: manyF64(4, 256),
      class: choice(5, (value) => {
        if (value < 1 || value > 8) malformed("an unknown class");
      }),
      payload: codec.bytes(6),
      wantDone: bool(7),
      corr: f64(8),
    }),
  ),
  47: one(47, message("DialBack", { addr: one(1, Addr), reachable: bool(2) })),
};

/** Messages by their names in the schema. */
export const MESSAGES: Record<string, Pick<Message<never>, "encode" | "decode">> = {
  ...(client as unknown as Record<string, Message<never>>),
  ServerRecord: ServerRecord as Message<never>,
  InterestShard: InterestShard as Message<never>,
  Traced: Traced as Message<never>,
};
