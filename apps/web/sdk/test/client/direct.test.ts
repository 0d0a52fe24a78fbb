// Direct messages between clients of the SDK, through a server that may lose, repeat and reorder.

import { describe, expect, test } from "vitest";
import { hex } from "../../src/bytes.ts";
import { noble } from "../../src/crypto/noble.ts";
import { type Client, type DirectMessage, Identity } from "../../src/index.ts";
import { decodePacket } from "../../src/wire/packet.ts";
import { settle, TestClock } from "../clock.ts";
import { TestServer } from "../server.ts";
import { SUITES, suite } from "../support.ts";
import { connect } from "./clients.ts";

/** Collects what arrives. */
function inbox(client: Client): DirectMessage[] {
  const messages: DirectMessage[] = [];
  void (async () => {
    for await (const item of client.inbox()) if (item.type === "direct") messages.push(item);
  })();
  return messages;
}

const texts = (messages: DirectMessage[]): (string | undefined)[] => messages.map(({ text }) => text);

describe.each(SUITES)("$name", (one) => {
  test("two people talk, and each message is acknowledged", async () => {
    const server = await TestServer.start(one);
    const [ann, bob] = [await connect(server, undefined, { name: "ann" }), await connect(server, undefined)];
    const [anns, bobs] = [inbox(ann), inbox(bob)];
    const sent = await ann.direct(bob.id).send("psst", { contentType: "text/plain" });
    expect(sent.received).toBe(true);
    expect(bobs).toMatchObject([
      { id: sent.id, from: ann.id, peer: ann.id, name: "ann", text: "psst", contentType: "text/plain" },
    ]);
    const back = await bob.direct(ann.id).send(new Uint8Array([1, 2]), { replyTo: sent.id });
    expect(back.received).toBe(true);
    expect(anns).toMatchObject([{ from: bob.id, replyTo: sent.id, data: new Uint8Array([1, 2]) }]);
    expect(anns[0]?.text).toBeUndefined();
    expect(await ann.direct(bob.id).safetyNumber()).toBe(await bob.direct(ann.id).safetyNumber());
  });
});

test("many messages arrive in order", async () => {
  const server = await TestServer.start();
  const [ann, bob] = [await connect(server, undefined), await connect(server, undefined)];
  const bobs = inbox(bob);
  const words = Array.from({ length: 20 }, (_, at) => `word ${at}`);
  const sent = await Promise.all(words.map((word) => ann.direct(bob.id).send(word)));
  expect(sent.every(({ received }) => received)).toBe(true);
  expect(texts(bobs)).toEqual(words);
});

test("somebody who is not there is not there", async () => {
  const server = await TestServer.start();
  const ann = await connect(server, undefined);
  const { identity } = await Identity.create(suite);
  await expect(ann.direct(identity.id).send("x")).rejects.toMatchObject({ code: "not-here" });
  expect(() => ann.direct("nobody")).toThrow("not a user key");
  const wrong = identity.id.slice(0, -1) + (identity.id.endsWith("a") ? "b" : "a");
  await expect(ann.direct(wrong).send("x")).rejects.toThrow("not a user key");
  await expect(ann.direct(identity.id).send(new Uint8Array(57_345))).rejects.toMatchObject({
    code: "too-large",
  });
});

test("both may begin at once, and one session comes of it", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  const [anns, bobs] = [inbox(ann), inbox(bob)];
  const sent = [ann.direct(bob.id).send("from ann"), bob.direct(ann.id).send("from bob")];
  await clock.pass(1_000);
  expect(await Promise.all(sent)).toMatchObject([{ received: true }, { received: true }]);
  expect([texts(anns), texts(bobs)]).toEqual([["from bob"], ["from ann"]]);
  const sids = new Set<string>();
  server.fate = ({ packet }) => {
    const parsed = decodePacket(packet);
    if (parsed.is === "msg") sids.add(hex(parsed.head.sid));
    return 1;
  };
  const more = [ann.direct(bob.id).send("2"), bob.direct(ann.id).send("2")];
  await clock.pass(1_000);
  await Promise.all(more);
  expect(sids.size).toBe(1);
});

test("lost packets are sent again, and repeated ones shown once", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  const bobs = inbox(bob);
  let count = 0;
  // Of every three packets the first is lost and the second comes twice.
  server.fate = () => [0, 2, 1][count++ % 3] ?? 1;
  const sent = Promise.all(["a", "b", "c"].map((word) => ann.direct(bob.id).send(word)));
  await clock.pass(31_000);
  expect((await sent).filter(({ received }) => received).length).toBeGreaterThan(0);
  expect(new Set(texts(bobs)).size).toBe(bobs.length);
});

test("without any acknowledgement a message ends as not received, when new sessions fail as well", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  const bobs = inbox(bob);
  const first = ann.direct(bob.id).send("first");
  await clock.pass(100);
  await first;
  const key = server.sessions.values().next().value?.user;
  let lost = 0;
  server.fate = ({ user }) => {
    if (key === undefined || hex(user) !== hex(key)) return 1;
    lost += 1;
    return 0;
  };
  const sent = ann.direct(bob.id).send("into the dark");
  // Nothing was heard in its session since it left, so the next tries begin new ones (7.5).
  await clock.pass(31_000);
  expect(await sent).toMatchObject({ received: false });
  expect(texts(bobs)).toEqual(["first", "into the dark"]);
  // Its acknowledgement, and the answers to four calls.
  expect(lost).toBe(5);
});

test("a message that overtook another is shown after it", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  const bobs = inbox(bob);
  const first = ann.direct(bob.id).send("first");
  await clock.pass(100);
  await first;
  const [, to] = [...server.sessions];
  let held: Parameters<typeof server.fate>[0] | undefined;
  server.fate = (packet) => {
    if (held !== undefined) return 1;
    held = packet;
    return 0;
  };
  const sent = Promise.all(["second", "third", "fourth"].map((word) => ann.direct(bob.id).send(word)));
  await clock.pass(100);
  expect(texts(bobs)).toEqual(["first"]);
  if (held !== undefined) to?.send({ is: "dm", value: held });
  await clock.pass(100);
  expect(await sent).toMatchObject([{ received: true }, { received: true }, { received: true }]);
  expect(texts(bobs)).toEqual(["first", "second", "third", "fourth"]);
});

test("who comes back as another device is found there", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const { identity } = await Identity.create(noble);
  const [ann, before] = [await connect(server, clock), await connect(server, clock, { identity })];
  const first = ann.direct(identity.id).send("before");
  await clock.pass(100);
  expect(await first).toMatchObject({ received: true });
  await before.close();
  const after = await connect(server, clock, { identity });
  const messages = inbox(after);
  const sent = ann.direct(identity.id).send("after");
  await clock.pass(20_000);
  expect(await sent).toMatchObject({ received: true });
  expect(texts(messages)).toEqual(["after"]);
});

test("an unknown session is rejected, and the sender begins anew", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  const bobs = inbox(bob);
  const first = ann.direct(bob.id).send("first");
  await clock.pass(100);
  await first;
  let broken = 0;
  const original = server.fate;
  server.fate = (packet, from) => {
    const parsed = decodePacket(packet.packet);
    if (parsed.is === "msg" && broken === 0) {
      // Another session id: as if the device had forgotten the session.
      broken += 1;
      packet.packet.set(new Uint8Array(8), 1);
    }
    return original(packet, from);
  };
  const sent = ann.direct(bob.id).send("second");
  await clock.pass(2_000);
  expect(await sent).toMatchObject({ received: true });
  expect(texts(bobs)).toEqual(["first", "second"]);
  expect(server.heard).toContain("dmReject");
});

test.each(["LIMIT", "TIMEOUT"] as const)(
  "%s is no word of the recipient: it is tried again",
  async (code) => {
    const server = await TestServer.start(noble);
    const clock = new TestClock();
    const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
    const bobs = inbox(bob);
    let cut = 2;
    server.answer = ({ kind }) =>
      kind.is === "sendDm" && cut-- > 0 ? { is: "dmStatus", value: { code } } : undefined;
    const sent = ann.direct(bob.id).send("in the end");
    await clock.pass(31_000);
    expect(await sent).toMatchObject({ received: true });
    expect(texts(bobs)).toEqual(["in the end"]);
  },
);

test("what some server has no room for goes again after a second, by both ways, and then as without an answer", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  const bobs = inbox(bob);
  const [anns] = [...server.sessions];
  const left: [string, number, number][] = [];
  let cut = 0;
  let begun = 0;
  server.answer = ({ kind }, from) => {
    if (kind.is !== "sendDm" || from !== anns) return undefined;
    left.push([decodePacket(kind.value.packet).is, clock.now() - begun, kind.value.attempt]);
    return cut-- > 0 ? { is: "dmStatus", value: { code: "LIMIT" } } : undefined;
  };
  const say = async (text: string, cuts: number): Promise<unknown> => {
    await clock.pass(100_000);
    [left.length, begun, cut] = [0, clock.now(), cuts];
    const sent = ann.direct(bob.id).send(text);
    await clock.pass(5_000);
    return (await sent).received;
  };
  expect(await say("first", 0)).toBe(true);
  expect(await say("cut once", 1)).toBe(true);
  expect(left).toEqual([
    ["msg", 0, 0],
    ["msg", 1_000, 1],
  ]);
  expect(await say("cut twice", 2)).toBe(true);
  // Nothing was heard in its session since it left, so the last try begins a new one.
  expect(left).toEqual([
    ["msg", 0, 0],
    ["msg", 1_000, 1],
    ["init", 4_000, 1],
    ["msg", 4_000, 1],
  ]);
  expect(texts(bobs)).toEqual(["first", "cut once", "cut twice"]);
});

test("all devices of a user get a message, and the sender's others a copy", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const { identity } = await Identity.create(noble);
  const { identity: mine } = await Identity.create(noble);
  const [desk, phone] = [
    await connect(server, clock, { identity }),
    await connect(server, clock, { identity }),
  ];
  const [here, there] = [
    await connect(server, clock, { identity: mine }),
    await connect(server, clock, { identity: mine }),
  ];
  const [desks, phones, copies] = [inbox(desk), inbox(phone), inbox(there)];
  const devices: string[] = [];
  here.on("device", ({ user }) => devices.push(user));
  const sent = here.direct(identity.id).send("to all");
  await clock.pass(2_000);
  expect(await sent).toMatchObject({ received: true });
  expect([texts(desks), texts(phones)]).toEqual([["to all"], ["to all"]]);
  expect(copies).toMatchObject([{ from: mine.id, peer: identity.id, text: "to all" }]);
  expect(devices).toEqual([identity.id]);
});

test("who begins and hears nothing gives up", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  let inits = 0;
  const attempts: number[] = [];
  server.answer = ({ kind }) => {
    if (kind.is === "sendDm") attempts.push(kind.value.attempt);
    return undefined;
  };
  server.fate = ({ packet }) => {
    inits += decodePacket(packet).is === "init" ? 1 : 0;
    return 0;
  };
  const sent = ann.direct(bob.id).send("x");
  sent.catch(() => {});
  await clock.pass(31_000);
  await expect(sent).rejects.toMatchObject({ code: "timeout" });
  expect([inits, attempts]).toEqual([4, [0, 1, 1, 1]]);
});

test("of a blocked key nothing is shown or answered, in channels neither", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob] = [await connect(server, clock), await connect(server, clock)];
  const [anns, heard] = [inbox(ann), [] as (string | undefined)[]];
  const [annsRoom, bobsRoom] = [await ann.join("#room"), await bob.join("#room")];
  void (async () => {
    for await (const item of annsRoom) if (item.type === "message") heard.push(item.text);
  })();
  const say = async (text: string): Promise<unknown> => {
    const sent = Promise.all([bobsRoom.send(text), bob.direct(ann.id).send(text)]);
    await clock.pass(31_000);
    return sent.then(([, { received }]) => received);
  };
  expect(await say("before")).toBe(true);
  ann.block(bob.id);
  expect(await say("meanwhile")).toBe(false);
  await expect(ann.direct(bob.id).send("x")).rejects.toMatchObject({ code: "refused" });
  expect(() => ann.block("bob")).toThrow("not a user key");
  ann.unblock(bob.id);
  expect(await say("after")).toBe(true);
  expect([texts(anns), heard]).toEqual([
    ["before", "after"],
    ["before", "after"],
  ]);
  expect(ann.stats()).toMatchObject({ ignored: 1 });
});

test("neither that a blocked key came nor what is missing of it is told in a channel", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob, eve] = [
    await connect(server, clock),
    await connect(server, clock),
    await connect(server, clock),
  ];
  ann.block(bob.id);
  const rooms = [await ann.join("#room"), await bob.join("#room"), await eve.join("#room")] as const;
  let isLost = false;
  server.answer = ({ kind }) =>
    isLost && kind.is === "publish" ? { is: "ok", value: { local: 1, servers: 0, spread: true } } : undefined;
  for (const text of ["one", "lost", "three"]) {
    isLost = text === "lost";
    const sent = [rooms[1].send(text), rooms[2].send(text)];
    await clock.pass(1_000);
    await Promise.all(sent);
  }
  await clock.pass(30_000);
  const told: (string | undefined)[] = [];
  for await (const item of rooms[0]) {
    told.push(item.type === "message" ? item.text : item.cause);
    if (told.length === 3) break;
  }
  expect(told).toEqual(["one", "gap", "three"]);
  expect(rooms[0].members().map(({ user }) => user)).toEqual([eve.id]);
  expect(ann.stats()).toMatchObject({ gap: 2 });
});

test("another name is that of the next message", async () => {
  const server = await TestServer.start();
  const [ann, bob] = [await connect(server, undefined, { name: "ann" }), await connect(server, undefined)];
  const bobs = inbox(bob);
  await ann.direct(bob.id).send("one");
  ann.speakAs("dora");
  await ann.direct(bob.id).send("two");
  expect(bobs.map(({ name }) => name)).toEqual(["ann", "dora"]);
});

test("what came before anybody read waits for the first reader", async () => {
  const server = await TestServer.start();
  const [ann, bob] = [await connect(server, undefined), await connect(server, undefined)];
  await ann.direct(bob.id).send("early");
  await settle(10);
  for await (const item of bob.inbox()) {
    expect(item).toMatchObject({ type: "direct", text: "early" });
    break;
  }
  const gone = new AbortController();
  const reading = (async () => {
    for await (const _ of bob.inbox({ signal: gone.signal })) expect.unreachable();
  })();
  gone.abort();
  await reading;
});
