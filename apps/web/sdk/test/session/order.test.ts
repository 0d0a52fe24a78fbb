// The streams of others: once, in order, holes reported, and nothing without a bound.

import { describe, expect, test } from "vitest";
import { EMPTY, u64be } from "../../src/bytes.ts";
import { Order, REORDER_WAIT_MS, type Release } from "../../src/session/order.ts";
import type { Post } from "../../src/session/post.ts";
import { Seen } from "../../src/session/seen.ts";
import { Window } from "../../src/session/window.ts";
import { ENTRY } from "../../src/wire/messages.ts";

const WALL = 1_800_000_000_000;
let ids = 0n;

function post(
  seq: bigint,
  { entries = 1, stream = 7n, from = "ann", channel = 1, timeMs = WALL, size = 0, id = ids++ } = {},
): Post {
  const entry = {
    kind: ENTRY.TEXT,
    content: new Uint8Array(size),
    contentType: "",
    headers: new Map(),
    replyTo: EMPTY,
  };
  return {
    id: u64be(id),
    channel: new Uint8Array([channel]),
    author: new Uint8Array(32),
    from,
    stream,
    seq,
    timeMs,
    name: "",
    entries: Array.from({ length: entries }, () => entry),
  };
}

/** What came out, in short. */
function said(out: Release[]): string[] {
  return out.map((release) =>
    release.is === "post" ? `${release.post.seq}` : `gap ${release.from}-${release.to} of ${release.author}`,
  );
}

describe("order", () => {
  test("posts come out in their order, whatever the order in which they came", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    for (const [seq, entries] of [
      [5n, 2],
      [10n, 1],
      [7n, 3],
      [11n, 1],
    ] as const) {
      expect(order.receive(0, WALL, post(seq, { entries }), out)).toBe("taken");
    }
    expect(said(out)).toEqual(["5", "7", "10", "11"]);
    expect(order.deadline).toBeUndefined();
  });

  test("a hole is waited for, then reported, and what comes after that is late", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    order.receive(0, WALL, post(1n), out);
    order.receive(100, WALL, post(4n), out);
    expect(order.deadline).toBe(100 + REORDER_WAIT_MS);
    order.expire(100 + REORDER_WAIT_MS - 1, out);
    expect(said(out)).toEqual(["1"]);
    order.expire(100 + REORDER_WAIT_MS, out);
    expect(said(out)).toEqual(["1", "gap 2-3 of ann", "4"]);
    expect(order.receive(700, WALL, post(2n), out)).toBe("late");
    expect(order.receive(700, WALL, post(5n), out)).toBe("taken");
    expect(said(out).at(-1)).toBe("5");
  });

  test("nothing before the first post of a stream is a gap", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    order.receive(0, WALL, post(100n), out);
    expect(said(out)).toEqual(["100"]);
    expect(order.receive(0, WALL, post(99n), out)).toBe("late");
  });

  test("no number and no id is taken twice, and no post that overlaps", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    const first = post(1n, { entries: 3, id: 999_999n });
    order.receive(0, WALL, first, out);
    expect(order.receive(0, WALL, first, out)).toBe("duplicate");
    expect(order.receive(0, WALL, { ...post(9n), id: first.id }, out)).toBe("duplicate");
    expect(order.receive(0, WALL, post(3n, { entries: 2 }), out)).toBe("duplicate");
    expect(order.receive(0, WALL, post(4n), out)).toBe("taken");
    order.forget("01");
    expect(order.receive(0, WALL, first, out)).toBe("duplicate");
  });

  test("only posts within 300 s of our clock are taken", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    for (const [off, verdict] of [
      [300_000, "taken"],
      [-300_000, "taken"],
      [300_001, "stale"],
      [-300_001, "stale"],
    ] as const) {
      expect(
        order.receive(0, WALL, post(1n, { timeMs: WALL + off, stream: BigInt(off + 400_000) }), out),
      ).toBe(verdict);
    }
  });

  test("streams of different authors and channels do not wait for each other", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    order.receive(0, WALL, post(1n), out);
    order.receive(0, WALL, post(3n), out);
    order.receive(0, WALL, post(1n, { from: "bob" }), out);
    order.receive(0, WALL, post(1n, { channel: 2 }), out);
    expect(said(out)).toEqual(["1", "1", "1"]);
  });

  test("what is held is bounded in number and in bytes: the oldest hole gives way", () => {
    for (const [size, most] of [
      [0, 1_024],
      [65_536, 64],
    ] as const) {
      const [order, out]: [Order, Release[]] = [new Order(0), []];
      order.receive(0, WALL, post(1n), out);
      for (let at = 0; at <= most; at++) order.receive(at, WALL, post(3n + 2n * BigInt(at), { size }), out);
      expect(said(out)).toEqual(["1", "gap 2-2 of ann", "3"]);
    }
  });

  test("streams are bounded: the one used longest ago goes, and what it held comes out", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    order.receive(0, WALL, post(1n, { stream: 1n }), out);
    order.receive(0, WALL, post(3n, { stream: 1n }), out);
    for (let stream = 2n; stream <= 4_097n; stream++) order.receive(1, WALL, post(1n, { stream }), out);
    expect(said(out).slice(-3)).toEqual(["gap 2-2 of ann", "3", "1"]);
  });

  test("a stream that is idle for 20 minutes is forgotten, its ids are not", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    const first = post(5n);
    order.receive(0, WALL, first, out);
    order.expire(1_200_000, out);
    expect(order.receive(1_200_000, WALL, post(3n), out)).toBe("taken");
    expect(said(out)).toEqual(["5", "3"]);
  });

  test("the end that a later stream tells is a gap where something is missing", () => {
    const [order, out]: [Order, Release[]] = [new Order(0), []];
    order.receive(0, WALL, post(1n), out);
    order.endAt("01", "ann", 7n, 4n, out);
    order.endAt("01", "ann", 7n, 4n, out);
    order.endAt("01", "ann", 8n, 9n, out);
    expect(said(out)).toEqual(["1", "gap 2-4 of ann"]);
  });
});

describe("window", () => {
  test("agrees with a plain set, over jumps and repeats", () => {
    const [window, set] = [new Window(1n), new Set<bigint>()];
    let highest = 0n;
    let random = 12_345;
    for (let round = 0; round < 5_000; round++) {
      random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
      const jump = round % 97 === 0 ? 3_000 : 40;
      const first =
        highest > 1_200n ? highest - 1_100n + BigInt(random % (1_100 + jump)) : BigInt(1 + (random % 200));
      const next = first + BigInt(1 + (random % 5));
      const inside = Array.from({ length: Number(next - first) }, (_, at) => first + BigInt(at));
      const isBelow = first + 1_024n <= highest;
      const expected = isBelow || inside.some((number) => set.has(number) && number + 1_024n > highest);
      expect(window.hasAny(first, next), `round ${round}`).toBe(expected);
      if (expected) continue;
      window.enter(first, next);
      for (const number of inside) set.add(number);
      highest = next - 1n > highest ? next - 1n : highest;
    }
  });

  test("numbers near the greatest do not wrap", () => {
    const last = 2n ** 64n - 2n;
    const window = new Window(last);
    window.enter(last, last + 1n);
    expect([window.hasAny(last, last + 1n), window.hasAny(last - 1n, last)]).toEqual([true, false]);
  });
});

describe("seen", () => {
  test("an id is remembered at least as long as promised, and not much longer", () => {
    const seen = new Seen(10, 600, 0);
    seen.enter("a", 0);
    seen.enter("b", 599);
    expect([seen.has("a", 600), seen.has("b", 1_198)]).toEqual([true, true]);
    expect([seen.has("a", 1_200), seen.has("b", 1_800)]).toEqual([false, false]);
  });

  test("the sets are bounded, and say when they swapped for that", () => {
    const seen = new Seen(100, 600_000, 0);
    for (let id = 0; id < 250; id++) seen.enter(String(id), 0);
    expect([seen.has("249", 0), seen.has("120", 0), seen.has("99", 0), seen.early]).toEqual([
      true,
      true,
      false,
      2,
    ]);
  });
});
