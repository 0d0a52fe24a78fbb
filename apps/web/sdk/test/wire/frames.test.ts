// The encodings that the Rust crate writes and refuses are those that this one writes and refuses.

import { describe, expect, test } from "vitest";
import { type Bytes, concat, hex } from "../../src/bytes.ts";
import { codeOf, WireError } from "../../src/wire/code.ts";
import { readFrame } from "../../src/wire/codec.ts";
import { decodeFrame, encodeFrame, type Frame } from "../../src/wire/frame.ts";
import { FrameStream, withPrefix } from "../../src/wire/stream.ts";
import { bytesOf, vectors } from "../support.ts";
import { MESSAGES, PEER_KINDS } from "./schema.ts";

interface Row {
  hex: string;
  why?: string;
  message?: string;
  means?: string;
  code?: string;
  stream?: string;
  then_zeros?: number;
  fields?: unknown;
}
const FRAMES = vectors<Record<"accepted" | "bodies" | "frames" | "refused", Row[]>>("proto", "frames.json");

const rowBytes = (row: Row): Bytes => concat(bytesOf(row.hex), new Uint8Array(row.then_zeros ?? 0));

/** Decodes as a server would, who knows the kinds between servers too. */
function decodeAll(bytes: Bytes): unknown {
  readFrame(
    bytes,
    () => false,
    (number) => PEER_KINDS[number],
  );
  return decodeFrame(bytes);
}

function decode(name: string, bytes: Bytes): unknown {
  if (name === "Frame") return decodeAll(bytes);
  if (name === "stream") return new FrameStream().push(bytes);
  const message = MESSAGES[name];
  if (message === undefined) throw new Error(`no message ${name}`);
  return message.decode(bytes);
}

/** What a vector's fields say, with the names of the schema: bytes as hexadecimal, numbers as decimal text. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value);
  if (typeof value === "bigint") return String(value);
  if (value instanceof Map) return [...value].map(([key, inner]) => ({ key, value: hex(inner) }));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, inner]) => [
    name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    plain(inner),
  ]);
  return Object.fromEntries(entries.filter(([, inner]) => !isDefault(inner)));
}

const isDefault = (value: unknown): boolean =>
  value === undefined ||
  value === "" ||
  value === 0 ||
  value === "0" ||
  value === false ||
  (Array.isArray(value) && value.length === 0);

describe("frames", () => {
  for (const [at, row] of FRAMES.frames.entries()) {
    test(`frame ${at} decodes, and encodes to the same bytes`, () => {
      const bytes = rowBytes(row);
      const frame = decodeAll(bytes) as Frame;
      if (row.stream !== undefined) {
        expect(hex(withPrefix(bytes))).toBe(row.stream);
        expect(new FrameStream().push(bytesOf(row.stream)).map(hex)).toEqual([row.hex]);
      }
      // What only servers exchange is told apart, and not written by a client.
      if (frame.kind.is !== "peer") expect(hex(encodeFrame(frame.kind, frame))).toBe(row.hex);
      else
        expect(JSON.stringify(row.fields)).toMatch(
          /digest|pull|record|shard|route|link_ack|dial_back|complaint/,
        );
    });
  }

  test("fields have the values that the vectors say", () => {
    const welcome = FRAMES.frames.find((row) => JSON.stringify(row.fields).includes("observed_ip"));
    const frame = decodeFrame(rowBytes(welcome as Row));
    expect(plain(frame.kind.value)).toEqual((welcome as { fields: { welcome: unknown } }).fields.welcome);
  });
});

describe("bodies", () => {
  for (const [at, row] of FRAMES.bodies.entries()) {
    test(`${row.message} ${at} decodes, and encodes to the same bytes`, () => {
      const message = MESSAGES[row.message ?? ""];
      expect(hex(message?.encode(message.decode(rowBytes(row))) ?? new Uint8Array())).toBe(row.hex);
    });
  }

  test("fields have the values that the vectors say, where no enum has a name", () => {
    for (const row of FRAMES.bodies.filter((one) =>
      /Auth|DeviceBundle|InitPayload|Rekey|SelfCopy/.test(one.message ?? ""),
    )) {
      expect(plain(decode(row.message ?? "", rowBytes(row))), row.message).toEqual(asText(row.fields));
    }
  });
});

/** The vectors write moments as decimal text, and this SDK has numbers for them. */
function asText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asText);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      name.endsWith("_ms") ? Number(inner) : asText(inner),
    ]),
  );
}

describe("accepted", () => {
  for (const row of FRAMES.accepted.filter((one) => one.message !== "ServerRecord")) {
    test(row.why ?? "", () => {
      const name = row.message ?? "";
      expect(decode(name, rowBytes(row))).toEqual(decode(name, bytesOf(row.means)));
    });
  }
});

describe("refused", () => {
  for (const row of FRAMES.refused) {
    test(`${row.message}: ${row.why}`, () => {
      let refused: unknown;
      try {
        decode(row.message ?? "", rowBytes(row));
      } catch (error) {
        refused = error;
      }
      expect(refused).toBeInstanceOf(WireError);
      expect((refused as WireError).code).toBe(row.code);
    });
  }
});

test("a message that may stand once is refused when it stands twice, whatever it holds", () => {
  const ping = encodeFrame({ is: "ping", value: { nonce: 1n, acked: 0n } });
  expect(() => decodeFrame(concat(ping, ping))).toThrow(WireError);
});

test("a header may have any name", () => {
  const headers = new Map([["__proto__", new Uint8Array([1])]]);
  const entry = MESSAGES.Entry as unknown as {
    encode(value: unknown): Bytes;
    decode(bytes: Bytes): { headers: Map<string, Bytes> };
  };
  const none = new Uint8Array(0);
  const encoded = entry.encode({ kind: 1, content: none, contentType: "", headers, replyTo: none });
  expect(entry.decode(encoded).headers).toEqual(headers);
});

test("frames come out whole, however the plaintext is cut", () => {
  const frames = FRAMES.frames.map((row) => row.hex);
  const run = concat(...FRAMES.frames.map((row) => withPrefix(bytesOf(row.hex))));
  for (const size of [1, 2, 3, 7, 64, run.length]) {
    const stream = new FrameStream();
    const out: string[] = [];
    for (let at = 0; at < run.length; at += size) out.push(...stream.push(run.slice(at, at + size)).map(hex));
    expect(out).toEqual(frames);
    expect(stream.isBetweenFrames).toBe(true);
  }
});

test("a code that is not known is INTERNAL", () => {
  expect([0, 8, 22, 23, -1].map(codeOf)).toEqual(["OK", "RATE_LIMITED", "INTERNAL", "INTERNAL", "INTERNAL"]);
});
