// Direct messages in their order: packets leave in turn, and what overtook another waits for it.

import { expect, test } from "vitest";
import { Turns } from "../../src/direct/carrier.ts";
import { Order } from "../../src/direct/order.ts";
import { DM, type DmContent } from "../../src/wire/messages.ts";
import { TestClock } from "../clock.ts";

/** Receives a packet of a chain; gives what is shown, as `chain.number`. */
function receive(order: Order, now: number, chain: number, n: number, pn = 0, newest = chain): string[] {
  const dh = new Uint8Array(32).fill(chain);
  const head = { sid: new Uint8Array(8), dh, pn, n };
  const place = order.arrive(now, head, new Uint8Array(32).fill(newest));
  const content = { kind: DM.TEXT, name: `${chain}.${n}` } as DmContent;
  if (place !== undefined) order.hold(place, content);
  return shown(order, now);
}

const shown = (order: Order, now: number): string[] => order.release(now).map(({ name }) => name);

test("what comes in order is shown at once, also across turns", () => {
  const order = new Order();
  expect(receive(order, 0, 1, 0)).toEqual(["1.0"]);
  expect(receive(order, 0, 1, 1)).toEqual(["1.1"]);
  expect(receive(order, 0, 2, 0, 2)).toEqual(["2.0"]);
  expect(order.deadline).toBeUndefined();
});

test("what overtook waits, and what comes after half a second is not shown", () => {
  const order = new Order();
  expect(receive(order, 0, 1, 2)).toEqual([]);
  expect(receive(order, 10, 1, 0)).toEqual(["1.0"]);
  expect(receive(order, 20, 1, 1)).toEqual(["1.1", "1.2"]);
  expect(receive(order, 30, 1, 4)).toEqual([]);
  expect(order.deadline).toBe(530);
  expect(shown(order, 529)).toEqual([]);
  expect(shown(order, 530)).toEqual(["1.4"]);
  expect(receive(order, 531, 1, 3)).toEqual([]);
});

test("the end of a chain is waited for before the next one is shown", () => {
  const order = new Order();
  expect(receive(order, 0, 1, 0)).toEqual(["1.0"]);
  expect(receive(order, 0, 2, 0, 2)).toEqual([]);
  expect(receive(order, 1, 1, 1, 0, 2)).toEqual(["1.1", "2.0"]);
});

test("a chain that is not known any more is late and no new one", () => {
  const order = new Order();
  for (let chain = 1; chain <= 10; chain++) receive(order, 0, chain, 1, 2);
  expect(receive(order, 1, 1, 0, 0, 10)).toEqual([]);
});

test("what waits and what is missing is bounded", () => {
  const order = new Order();
  const seen = [];
  for (let n = 0; n < 70; n++) seen.push(...receive(order, 0, 1, 2 * n + 1));
  expect(seen.length).toBe(70 - 64);
  for (let chain = 2; chain < 20; chain++) receive(order, 1_000, chain, 200);
  // Of the numbers before 19.200 only the last 1,024 may still come.
  expect(receive(order, 1_001, 14, 100, 0, 19)).toEqual([]);
  expect(receive(order, 1_001, 19, 199)).toEqual([]);
  expect(order.deadline).toBe(1_500);
});

test("a budget is waited for in turn, also by those who come when it has just been filled", async () => {
  const clock = new TestClock();
  const turns = new Turns(clock, [10, 2]);
  const order: number[] = [];
  const wait = (who: number): void => void turns.wait().then(() => order.push(who));
  for (let who = 0; who < 5; who++) wait(who);
  for (let who = 5; who < 20; who++) {
    await clock.pass(90);
    wait(who);
  }
  await clock.pass(5_000);
  expect(order).toEqual(Array.from({ length: 20 }, (_, who) => who));
  turns.refill(100);
  const begun = clock.now();
  for (let who = 0; who < 200; who++) wait(who);
  await clock.pass(0);
  expect([order.length, clock.now()]).toEqual([220, begun]);
});
