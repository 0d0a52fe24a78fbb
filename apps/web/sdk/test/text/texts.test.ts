// The texts that the Rust crate takes and refuses are those that this one takes and refuses.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { hex } from "../../src/bytes.ts";
import { channelId, labelIn, postId, safetyDigest, safetyDigits } from "../../src/hash.ts";
import { addressText, clientPort, parseAddress } from "../../src/text/addr.ts";
import {
  type KeyOwner,
  keyText,
  markOf,
  messageIdText,
  parseKey,
  parseMessageId,
} from "../../src/text/key.ts";
import { channelName, networkName, TextError, userName } from "../../src/text/name.ts";
import { safetyWords } from "../../src/words.ts";
import { bytesOf, suite, vectors } from "../support.ts";

interface Row {
  typed: string;
  refused?: string;
  [name: string]: string | number | null | undefined;
}
interface Texts {
  addresses: Row[];
  channels: Row[];
  keys: Row[];
  message_ids: Row[];
  user_names: Row[];
  safety_numbers: { one: string; other: string; number: string }[];
  hashes: { networks: { network: string; channel_lobby: string }[]; post_id_of_body_abc: string };
}
const TEXTS = vectors<Texts>("proto", "texts.json");

function words(refused: string): string {
  return refused.replace(/^.*\((.*)\).*$/s, "$1");
}

describe("channel names", () => {
  test.each(TEXTS.channels)("$typed", async (row) => {
    if (row.refused !== undefined) {
      expect(() => channelName(row.typed)).toThrow(row.refused);
      return;
    }
    const name = channelName(row.typed);
    expect(name).toBe(row.name);
    expect(hex(await channelId(suite, "main", name))).toBe(row.channel_id);
  });
});

describe("user names", () => {
  test.each(TEXTS.user_names)("$typed", (row) => {
    if (row.refused === undefined) expect(userName(row.typed)).toBe(row.name);
    else expect(() => userName(row.typed)).toThrow(row.refused);
  });

  test("half a surrogate pair is no name", () => {
    for (const parse of [userName, channelName, networkName])
      expect(() => parse("a\ud800")).toThrow(TextError);
  });
});

describe("keys", () => {
  test.each(TEXTS.keys)("$kind $typed$text", async (row) => {
    const owner = row.kind as KeyOwner;
    if (row.refused !== undefined) {
      await expect(parseKey(suite, owner, row.typed)).rejects.toThrow(TextError);
      return;
    }
    const text = String(row.text);
    expect(await keyText(suite, owner, bytesOf(String(row.key)))).toBe(text);
    expect(hex(await parseKey(suite, owner, text))).toBe(row.key);
    if (owner === "user") expect(markOf(text)).toBe(row.mark);
  });
});

describe("addresses", () => {
  test.each(TEXTS.addresses)("$typed", async (row) => {
    const isOurs = row.refused !== undefined || ["tcp", "ws", "wss"].includes(String(row.scheme));
    const parse = async (): Promise<string> => {
      const address = parseAddress(row.typed);
      if (address.key !== undefined) await parseKey(suite, "server", address.key);
      return addressText(address);
    };
    if (row.refused !== undefined || !isOurs) {
      await expect(parse(), words(row.refused ?? "")).rejects.toThrow(TextError);
      return;
    }
    expect(await parse()).toBe(row.normal);
    const { scheme, host, port, key } = parseAddress(row.typed);
    expect([scheme, host, port ?? null, key ?? null]).toEqual([row.scheme, row.host, row.port, row.key]);
    expect(clientPort(parseAddress(row.typed))).toBe(row.for_clients);
  });
});

describe("message ids", () => {
  test.each(TEXTS.message_ids)("$typed", (row) => {
    if (row.refused !== undefined) {
      expect(() => parseMessageId(row.typed)).toThrow(TextError);
      return;
    }
    expect(hex(parseMessageId(row.typed))).toBe(row.bytes);
    expect(messageIdText(parseMessageId(row.typed))).toBe(row.typed);
  });
});

test("safety numbers are the same on both sides", async () => {
  for (const { one, other, number } of TEXTS.safety_numbers) {
    const keys = await Promise.all([one, other].map((text) => parseKey(suite, "user", text)));
    expect(safetyDigits(await safetyDigest(suite, keys[0] as Uint8Array, keys[1] as Uint8Array))).toBe(
      number,
    );
  }
});

test("the words of a safety number are those of the Rust crate's list, eleven bits each", () => {
  const list = readFileSync(
    new URL("../../../../../crates/proto/src/safety/words.txt", import.meta.url),
    "utf8",
  );
  const all = list.trim().split("\n");
  // Eight numbers of eleven bits are eleven bytes.
  for (let first = 0; first < all.length; first += 8) {
    let bits = 0n;
    for (let at = first; at < first + 8; at++) bits = (bits << 11n) | BigInt(at);
    const digest = new Uint8Array(32);
    for (let at = 10; at >= 0; at--, bits >>= 8n) digest[at] = Number(bits & 0xffn);
    expect(safetyWords(digest)).toEqual(all.slice(first, first + 8));
  }
});

test("hashes carry the network's name", async () => {
  for (const { network, channel_lobby } of TEXTS.hashes.networks) {
    expect(hex(await channelId(suite, network, "lobby"))).toBe(channel_lobby);
  }
  expect(hex(await postId(suite, new TextEncoder().encode("abc")))).toBe(TEXTS.hashes.post_id_of_body_abc);
  expect(new TextDecoder().decode(labelIn("net", "msg"))).toBe("dchat/1/msg\0net\0");
});
