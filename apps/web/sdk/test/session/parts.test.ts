// The small parts of a session: what resumes it, who is in a channel, what is asked, and the reader's queue.

import { describe, expect, test } from "vitest";
import { EMPTY, hex } from "../../src/bytes.ts";
import { Queue } from "../../src/queue.ts";
import { HERE_EXPIRE_MS, Members } from "../../src/session/members.ts";
import { Requests } from "../../src/session/requests.ts";
import { Resuming } from "../../src/session/resume.ts";
import type { Welcome } from "../../src/wire/messages.ts";
import { TestClock } from "../clock.ts";

const SERVER = new Uint8Array(32).fill(1);
const WELCOME: Welcome = {
  session: new Uint8Array(16),
  resumeToken: new Uint8Array(16).fill(7),
  resumeMs: 10_000,
  observedIp: EMPTY,
  resumed: false,
  received: 0n,
};

const frame = (number: number, size = 1): Uint8Array<ArrayBuffer> => new Uint8Array(size).fill(number);

describe("resuming", () => {
  test("what the server lacks goes again, in order", () => {
    const resuming = new Resuming();
    resuming.welcomed(WELCOME, SERVER, true);
    for (let number = 1; number <= 5; number++) resuming.sent(frame(number));
    for (let count = 0; count < 3; count++) resuming.received();
    resuming.acked(2n);
    expect(resuming.lose(1_000)).toBe(11_000);
    expect(resuming.offer(2_000, new Uint8Array(32))).toBeUndefined();
    expect(resuming.offer(2_000, SERVER)).toEqual({ token: WELCOME.resumeToken, received: 3n });
    expect(resuming.again(3n)?.map(hex)).toEqual(["04", "05"]);
  });

  test("an answer that cannot be is none", () => {
    for (const received of [1n, 6n]) {
      const resuming = new Resuming();
      resuming.welcomed(WELCOME, SERVER, true);
      for (let number = 1; number <= 5; number++) resuming.sent(frame(number));
      resuming.acked(2n);
      resuming.lose(0);
      resuming.offer(1, SERVER);
      expect(resuming.again(received)).toBeUndefined();
    }
    const unasked = new Resuming();
    unasked.welcomed(WELCOME, SERVER, true);
    expect(unasked.again(0n)).toBeUndefined();
  });

  test("without a token, or too late, there is nothing to resume", () => {
    const resuming = new Resuming();
    for (const [welcome, isAgreed] of [
      [WELCOME, false],
      [{ ...WELCOME, resumeMs: 0 }, true],
      [{ ...WELCOME, resumeToken: EMPTY }, true],
    ] as const) {
      resuming.welcomed(welcome, SERVER, isAgreed);
      expect(resuming.lose(0)).toBeUndefined();
    }
    resuming.welcomed(WELCOME, SERVER, true);
    resuming.lose(0);
    expect(resuming.offer(10_000, SERVER)).toBeUndefined();
    expect(resuming.lose(10_000)).toBeUndefined();
  });

  test("a ping is due after 64 frames either way, or 128 KiB", () => {
    const resuming = new Resuming();
    resuming.welcomed(WELCOME, SERVER, true);
    for (let count = 0; count < 63; count++) {
      resuming.received();
      resuming.sent(frame(1));
    }
    expect(resuming.wantsPing).toBe(false);
    resuming.received();
    expect(resuming.wantsPing).toBe(true);
    expect(resuming.ask()).toBe(64n);
    expect(resuming.wantsPing).toBe(false);
    resuming.sent(frame(1, 131_072));
    expect(resuming.wantsPing).toBe(true);
  });

  test("the ring is bounded in frames and bytes", () => {
    for (const [size, kept] of [
      [1, 1_024],
      [65_536, 32],
    ] as const) {
      const resuming = new Resuming();
      resuming.welcomed(WELCOME, SERVER, true);
      for (let number = 0; number < 1_100; number++) resuming.sent(frame(1, size));
      resuming.lose(0);
      resuming.offer(1, SERVER);
      expect(resuming.again(BigInt(1_100 - kept))?.length).toBe(kept);
    }
  });
});

describe("members", () => {
  test("they come, take names, leave and expire", () => {
    const members = new Members();
    expect(members.heard(0, "a", "ann")).toMatchObject({ change: "came" });
    expect(members.heard(1, "a", "ann")).toBeUndefined();
    expect(members.heard(2, "a", "anna")).toMatchObject({ change: "renamed", name: "anna" });
    members.heard(3, "__proto__", "constructor");
    expect(members.list()).toEqual([
      { user: "a", name: "anna" },
      { user: "__proto__", name: "constructor" },
    ]);
    expect(members.deadline).toBe(2 + HERE_EXPIRE_MS);
    expect(members.expire(2 + HERE_EXPIRE_MS)).toEqual([{ change: "expired", user: "a", name: "anna" }]);
    expect(members.parted("__proto__")).toMatchObject({ change: "left" });
    expect([members.parted("__proto__"), members.size, members.deadline]).toEqual([undefined, 0, undefined]);
  });

  test("a channel knows at most 256 of them", () => {
    const members = new Members();
    for (let user = 0; user < 300; user++) members.heard(user, String(user), "");
    expect(members.size).toBe(256);
  });
});

describe("requests", () => {
  test("each is answered once: by its answer, by its time, or by the end of the session", async () => {
    const clock = new TestClock();
    const requests = new Requests(clock);
    const answers: string[] = [];
    const ask = (): number => requests.ask((answer) => answers.push(answer.is));
    const [first, second, third] = [ask(), ask(), ask()];
    expect([first, second, third]).toEqual([1, 2, 3]);
    const ok = { is: "ok", value: { local: 0, servers: 0, spread: false } } as const;
    expect([requests.answer(first, ok), requests.answer(first, ok), requests.answer(99, ok)]).toEqual([
      true,
      false,
      false,
    ]);
    await clock.pass(9_999);
    requests.lose();
    ask();
    await clock.pass(10_000);
    expect(answers).toEqual(["ok", "lost", "lost", "timeout"]);
  });

  test("at most 256 are open, and the number of a packet rests for 30 s", async () => {
    const clock = new TestClock();
    const requests = new Requests(clock);
    for (let count = 0; count < 256; count++) requests.ask(() => {}, count === 0);
    expect(requests.hasRoom).toBe(false);
    let isThere = false;
    void requests.room().then(() => {
      isThere = true;
    });
    requests.answer(5, { is: "timeout" });
    await clock.pass(0);
    expect([requests.hasRoom, isThere]).toEqual([true, true]);
  });
});

describe("the queue of a reader", () => {
  const lost = (count: number): string => `lost ${count}`;

  test("gives items in order, and ends", async () => {
    const queue = new Queue<string>(lost);
    queue.push("a");
    queue.push("b");
    const items = queue[Symbol.asyncIterator]();
    const waiting = [items.next(), items.next(), items.next()];
    queue.push("c");
    queue.end();
    queue.push("d");
    expect(await Promise.all(waiting)).toMatchObject([{ value: "a" }, { value: "b" }, { value: "c" }]);
    expect(await items.next()).toMatchObject({ done: true });
  });

  test("is bounded, and says how much a slow reader missed", async () => {
    const queue = new Queue<string>(lost);
    for (let item = 0; item < 5_000; item++) queue.push(String(item));
    const read: string[] = [];
    queue.end();
    for await (const item of queue) read.push(item);
    expect([read.length, read.at(-2), read.at(-1)]).toEqual([4_097, "4095", "lost 904"]);
  });
});
