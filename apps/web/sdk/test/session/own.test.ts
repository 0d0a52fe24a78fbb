// Our own streams: coalescing, order, repeats, budgets, and what becomes of what cannot be sent.

import { describe, expect, test } from "vitest";
import { type Bytes, concat, EMPTY, utf8 } from "../../src/bytes.ts";
import { entryOf } from "../../src/message.ts";
import { Bucket, Budgets } from "../../src/session/budget.ts";
import { OwnStream, payloadLimit, type Sent } from "../../src/session/own.ts";
import type { Draft, Envelope } from "../../src/session/post.ts";
import { Requests } from "../../src/session/requests.ts";
import type { Code } from "../../src/wire/code.ts";
import type { Kind } from "../../src/wire/frame.ts";
import { settle, TestClock } from "../clock.ts";

const FAST = { postsPerS: 100_000, entriesPerS: 100_000, framesPerS: 100_000, bytesPerS: 2 ** 40 };

/** A stream with nothing behind it but a list of what it sent. */
class World {
  readonly clock = new TestClock();
  readonly requests = new Requests(this.clock);
  readonly drafts: Draft[] = [];
  readonly sent: { req: number; deliver: Bytes }[] = [];
  readonly stream: OwnStream;
  wantsNew = false;

  constructor(rates = FAST) {
    const budgets = new Budgets(rates, 0);
    const envelope: Envelope = {
      overhead: 300,
      isSealed: false,
      close: async (draft) => {
        this.drafts.push(draft);
        return { deliver: concat(utf8(`${draft.seq}`)), id: new Uint8Array(16).fill(this.drafts.length) };
      },
      open: async () => "ignored",
      wantsNewStream: () => this.wantsNew,
    };
    const send = (kind: Kind, req: number): void => {
      if (kind.is === "publish") this.sent.push({ req, deliver: kind.value.deliver });
    };
    const way = {
      clock: this.clock,
      requests: this.requests,
      budgets: () => budgets,
      maxPayload: () => 65_536,
      send,
      wakeBy: (at: number) => void this.clock.after(at - this.clock.now(), () => this.stream.pump()),
    };
    this.stream = new OwnStream(way, envelope, "ann");
  }

  push(data: string | Uint8Array = "x"): Promise<Sent> {
    const sent = this.stream.push(entryOf(data, {}));
    sent.catch(() => {});
    return sent;
  }

  /** Answers the oldest post that is out. */
  async answer(kind: Kind = { is: "ok", value: { local: 1, servers: 2, spread: false } }): Promise<void> {
    const post = this.sent.shift();
    this.requests.answer(post?.req ?? 0, kind);
    await settle();
  }

  refuse(code: Code, retryMs = 0): Promise<void> {
    return this.answer({ is: "error", value: { code, text: "", retryMs } });
  }

  get counts(): number[] {
    return this.drafts.map(({ entries }) => entries.length);
  }

  get numbers(): string[] {
    return this.sent.map(({ deliver }) => new TextDecoder().decode(deliver));
  }
}

describe("coalescing", () => {
  test("an idle stream sends at once; what follows gathers until the answer", async () => {
    const world = new World();
    world.stream.open();
    const all = [world.push(), world.push(), world.push(), world.push()];
    await settle();
    expect(world.counts).toEqual([1]);
    await world.answer();
    expect(world.counts).toEqual([1, 3]);
    expect(world.drafts.map(({ seq }) => seq)).toEqual([1n, 2n]);
    await world.answer();
    const sent = await Promise.all(all);
    expect(sent.map(({ id }) => [id[0], id[16]])).toEqual([
      [1, 0],
      [2, 0],
      [2, 1],
      [2, 2],
    ]);
    expect(sent[0]).toMatchObject({ local: 1, servers: 2 });
  });

  test("a full post leaves without an answer, and at most 16 are out", async () => {
    const world = new World();
    world.stream.open();
    for (let count = 0; count < 1 + 64 * 20; count++) world.push();
    await settle();
    expect(world.counts).toEqual([1, ...Array(15).fill(64)]);
    await world.answer();
    expect(world.counts.length).toBe(17);
  });

  test("16 KiB of content are a full post, and a larger entry goes alone", async () => {
    const world = new World();
    world.stream.open();
    world.push();
    await settle();
    for (const size of [8_192, 8_192, 100, 20_000, 100]) world.push(new Uint8Array(size));
    await settle();
    expect(world.counts).toEqual([1, 2, 1, 1]);
    expect(world.drafts.map(({ entries }) => entries.map(({ content }) => content.length))).toEqual([
      [1],
      [8_192, 8_192],
      [100],
      [20_000],
    ]);
    for (let answers = 0; answers < 4; answers++) await world.answer();
    expect(world.counts).toEqual([1, 2, 1, 1, 1]);
  });

  test("a private channel's stream changes with the hour", async () => {
    const world = new World();
    world.stream.open();
    world.push();
    await settle();
    await world.answer();
    const before = world.stream.number;
    world.wantsNew = true;
    world.push();
    await settle();
    expect([world.drafts[1]?.seq, world.stream.number === before]).toEqual([1n, false]);
  });
});

describe("answers", () => {
  test("a post over the rate goes again, the same bytes, and nothing overtakes it", async () => {
    const world = new World();
    world.stream.open();
    const first = world.push();
    await settle();
    await world.refuse("RATE_LIMITED", 500);
    world.push("later");
    await world.clock.pass(499);
    expect(world.numbers).toEqual([]);
    await world.clock.pass(1);
    expect(world.numbers).toEqual(["1"]);
    await world.answer();
    expect(world.numbers).toEqual(["2"]);
    expect((await first).local).toBe(1);
  });

  test("after a refusal the repeat waits for the answers of those behind it", async () => {
    const world = new World();
    world.stream.open();
    for (let count = 0; count < 1 + 64 + 64; count++) world.push();
    await settle();
    expect(world.numbers).toEqual(["1", "2", "66"]);
    await world.refuse("RATE_LIMITED", 100);
    await world.clock.pass(100);
    expect(world.numbers).toEqual(["2", "66"]);
    await world.refuse("RATE_LIMITED", 100);
    await world.refuse("RATE_LIMITED", 100);
    await world.clock.pass(100);
    expect(world.numbers).toEqual(["1", "2", "66"]);
  });

  test("any other refusal is told for every entry of the post", async () => {
    const world = new World();
    world.stream.open();
    world.push();
    await settle();
    const two = [world.push(), world.push()];
    await world.answer();
    await world.refuse("STALE", 700);
    for (const one of two)
      await expect(one).rejects.toMatchObject({ code: "refused", reason: "STALE", retryMs: 700 });
  });

  test("a duplicate is a success only when the post went twice", async () => {
    const world = new World();
    world.stream.open();
    const once = world.push();
    await settle();
    await world.refuse("DUPLICATE");
    await expect(once).rejects.toMatchObject({ reason: "DUPLICATE" });
    const twice = world.push();
    await settle();
    world.stream.repeat();
    await world.refuse("DUPLICATE");
    expect(await twice).toMatchObject({ local: 0, servers: 0 });
  });

  test("no answer in 10 s is a timeout", async () => {
    const world = new World();
    world.stream.open();
    const sent = world.push();
    await world.clock.pass(10_000);
    await expect(sent).rejects.toMatchObject({ code: "timeout" });
  });
});

describe("without a session", () => {
  test("what is unanswered goes again in order when the channel is joined anew", async () => {
    const world = new World();
    world.stream.open();
    const all = [world.push(), world.push()];
    await settle();
    world.requests.lose();
    world.stream.close();
    world.sent.length = 0;
    world.push();
    await settle();
    expect(world.numbers).toEqual([]);
    world.stream.open();
    await settle();
    expect(world.numbers).toEqual(["1"]);
    await world.answer();
    await world.answer();
    expect((await Promise.all(all)).length).toBe(2);
  });

  test("nothing waits longer than 10 s for one", async () => {
    const world = new World();
    world.stream.open();
    const out = world.push();
    await settle();
    world.requests.lose();
    world.stream.close();
    const waiting = world.push();
    await world.clock.pass(10_000);
    for (const one of [out, waiting]) await expect(one).rejects.toMatchObject({ code: "timeout" });
    await expect(world.stream.drained()).resolves.toBeUndefined();
  });
});

describe("bounds", () => {
  test("entries, bytes and one content are bounded", async () => {
    const world = new World();
    for (let count = 0; count < 2_048; count++) world.push();
    await expect(world.push()).rejects.toMatchObject({ code: "refused", reason: "LIMIT" });
    const other = new World();
    for (let count = 0; count < 32; count++) other.push(new Uint8Array(65_536));
    await expect(other.push("x")).rejects.toMatchObject({ reason: "LIMIT" });
    await expect(world.push(new Uint8Array(65_537))).rejects.toMatchObject({ code: "too-large" });
    expect(() =>
      entryOf("x", { headers: Array.from({ length: 17 }, (_, at) => [String(at), EMPTY] as const) }),
    ).toThrow("bounds");
    expect(() => entryOf("x", { contentType: "x".repeat(65) })).toThrow("bounds");
    expect([0, 1, 65_535, 65_536, 1e9].map(payloadLimit)).toEqual([65_536, 1, 65_535, 65_536, 65_536]);
  });

  test("posts keep to nine tenths of the announced rate", async () => {
    const world = new World({ ...FAST, postsPerS: 10 });
    world.stream.open();
    let posts = 0;
    const pump = async (): Promise<void> => {
      while (world.sent.length > 0) {
        posts += 1;
        await world.answer();
        world.push();
        await settle();
      }
    };
    world.push();
    await settle();
    await pump();
    expect(posts).toBe(45);
    for (let second = 0; second < 100; second++) {
      await world.clock.pass(100);
      await pump();
    }
    expect(posts).toBeGreaterThan(45 + 85);
    expect(posts).toBeLessThanOrEqual(45 + 90);
  });

  test("a bucket is ready when it says so, whatever the rate", () => {
    for (const rate of [1, 3, 7, 18, 250, 100_000]) {
      const bucket = new Bucket(rate, 5, 0);
      let now = 0;
      for (let count = 0; count < 200; count++) {
        now = bucket.readyAt(1, now);
        expect(bucket.readyAt(1, now)).toBe(now);
        bucket.take(1);
      }
      expect(now).toBeGreaterThanOrEqual(((200 - 5) / rate) * 1_000 - 1);
    }
  });
});
