// Private channels between clients of the SDK: invitations, removal, members who were away, two changes at once.

import { expect, test } from "vitest";
import { hex } from "../../src/bytes.ts";
import { noble } from "../../src/crypto/noble.ts";
import { parseInvite } from "../../src/group/invite.ts";
import type { Channel, Client, Message, Missed } from "../../src/index.ts";
import { keyText } from "../../src/text/key.ts";
import { TestClock } from "../clock.ts";
import { TestServer } from "../server.ts";
import { connect } from "./clients.ts";

function heard(channel: Channel): (Message | Missed)[] {
  const items: (Message | Missed)[] = [];
  void (async () => {
    for await (const item of channel) items.push(item);
  })();
  return items;
}

const texts = (items: (Message | Missed)[]): (string | undefined)[] =>
  items.map((item) => (item.type === "message" ? item.text : `missed: ${item.cause}`));

/** Lets time pass while something is waited for. */
async function during<T>(clock: TestClock, promise: Promise<T>, ms = 1_000): Promise<T> {
  promise.catch(() => {});
  await clock.pass(ms);
  return promise;
}

async function world(): Promise<{ server: TestServer; clock: TestClock; people: [Client, Client, Client] }> {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const [ann, bob, eve] = [
    await connect(server, clock, { name: "ann" }),
    await connect(server, clock),
    await connect(server, clock),
  ];
  return { server, clock, people: [ann, bob, eve] };
}

test("whoever has the link reads and writes, and nobody else reads", async () => {
  const { server, clock, people } = await world();
  const [ann, bob] = people;
  const garden = await ann.createPrivate("#Garden");
  expect([garden.name, garden.generation, garden.isAdmin, await garden.list()]).toEqual([
    "#garden",
    0,
    true,
    null,
  ]);
  const link = await garden.invite({ page: "https://chat.example/#old" });
  expect(link).toMatch(/^https:\/\/chat\.example\/#dchat-invite-1:/);
  const bobs = await bob.joinPrivate(link);
  const items = heard(bobs);
  expect([bobs.isAdmin, await bobs.admins()]).toEqual([false, [ann.id]]);
  const carried: Uint8Array[] = [];
  server.answer = ({ kind }) => {
    if (kind.is === "publish") carried.push(kind.value.deliver);
    return undefined;
  };
  const sent = await during(clock, garden.send("behind the door"));
  expect(items).toMatchObject([
    { id: sent.id, from: ann.id, name: "ann", text: "behind the door", channel: "#garden", private: true },
  ]);
  expect(carried.some((deliver) => new TextDecoder().decode(deliver).includes("behind"))).toBe(false);
  await expect(bob.joinPrivate(link)).rejects.toMatchObject({ reason: "ALREADY" });
  await expect(bobs.rekey()).rejects.toMatchObject({ code: "refused" });
  await bobs.leave();
  await expect(bobs.send("x")).rejects.toMatchObject({ code: "closed" });
});

test("an invitation by direct message is taken up only when its receiver says so", async () => {
  const { clock, people } = await world();
  const [ann, bob] = people;
  const garden = await ann.createPrivate("garden");
  const invites: { from: string; name: string; invite: string }[] = [];
  bob.on("invite", (invite) => invites.push(invite));
  expect(await during(clock, garden.inviteTo(bob.id))).toEqual({ received: true });
  expect(invites).toMatchObject([{ from: ann.id, name: "#garden" }]);
  const items = heard(await bob.joinPrivate(invites[0]?.invite ?? ""));
  await during(clock, garden.send("welcome"));
  expect(texts(items)).toEqual(["welcome"]);
});

test("who is removed reads nothing more, and the others go on", async () => {
  const { clock, people } = await world();
  const [ann, bob, eve] = people;
  const garden = await ann.createPrivate("garden", { members: [bob.id, eve.id] });
  const members = await garden.list();
  expect(members).toEqual([ann.id, bob.id, eve.id]);
  const link = await garden.invite();
  const [bobs, eves] = [await bob.joinPrivate(link, { members: members ?? [] }), await eve.joinPrivate(link)];
  const [bobHeard, eveHeard] = [heard(bobs), heard(eves)];
  await during(clock, garden.send("all"));
  const told = await during(clock, garden.remove([eve.id], "left the house"), 5_000);
  expect(told).toEqual({ told: [bob.id], away: [] });
  await during(clock, garden.send("without eve"), 5_000);
  expect([texts(bobHeard), texts(eveHeard)]).toEqual([["all", "without eve"], ["all"]]);
  expect([garden.generation, bobs.generation, eves.generation]).toEqual([1, 1, 0]);
  expect(await bobs.list()).toEqual([ann.id, bob.id]);
  await during(clock, bobs.send("back"));
  // The old channel is still read for a while, but what somebody says there who is removed is not shown.
  await during(clock, eves.send("am I here?"));
  await clock.pass(300_000);
  await during(clock, eves.send("and now?"));
  expect(texts(bobHeard)).toEqual(["all", "without eve"]);
});

test("a member whom the change did not reach asks for it", async () => {
  const { server, clock, people } = await world();
  const [ann, bob] = people;
  const garden = await ann.createPrivate("garden", { members: [bob.id] });
  const bobs = await bob.joinPrivate(await garden.invite());
  const items = heard(bobs);
  await during(clock, garden.send("one"));
  // Who has no list asks for it, and is still heard of for half a minute.
  await clock.pass(30_000);
  // Nobody is found while the change is told.
  server.answer = ({ kind }) =>
    kind.is === "lookup" ? { is: "found", value: { bundles: [], complete: true } } : undefined;
  expect(await during(clock, garden.rekey("leaked"))).toEqual({ told: [], away: [bob.id] });
  expect(bobs.generation).toBe(0);
  server.answer = () => undefined;
  await clock.pass(7_000);
  expect(bobs.generation).toBe(1);
  // The rekey was signed with the list.
  expect(await bobs.list()).toEqual([ann.id, bob.id]);
  await during(clock, garden.send("two"));
  expect(texts(items)).toEqual(["one", "two"]);
});

test("two admins who change it at once end in one channel, with both removals", async () => {
  const { clock, people } = await world();
  const [ann, bob, eve] = people;
  const zed = people[2];
  const other = await connect(await TestServer.start(noble), clock);
  const garden = await ann.createPrivate("garden", { members: [bob.id, eve.id, other.id], admins: [bob.id] });
  const bobs = await bob.joinPrivate(await garden.invite(), { members: (await garden.list()) ?? [] });
  const [anns, bobHeard] = [heard(garden), heard(bobs)];
  const changes = [garden.remove([zed.id]), bobs.remove([other.id])];
  await clock.pass(40_000);
  await Promise.all(changes);
  expect([garden.generation, bobs.generation]).toEqual([2, 2]);
  expect(await garden.list()).toEqual(await bobs.list());
  expect(new Set(await garden.list())).toEqual(new Set([ann.id, bob.id]));
  await during(clock, garden.send("from ann"));
  await during(clock, bobs.send("from bob"));
  expect([texts(anns), texts(bobHeard)]).toEqual([["from bob"], ["from ann"]]);
});

test("two partitions that change it each come together in one generation, which every branch is told", async () => {
  const { server, clock, people } = await world();
  const [ann, bob, eve] = people;
  const dan = await connect(server, clock);
  const gone = [await connect(await TestServer.start(noble), clock), await connect(server, clock)];
  const members = [bob, eve, dan, ...gone].map(({ id }) => id);
  const garden = await ann.createPrivate("garden", { members, admins: [bob.id] });
  const options = { members: (await garden.list()) ?? [] };
  const link = await garden.invite();
  const bobs = await bob.joinPrivate(link, options);
  const [eves, dans] = [await eve.joinPrivate(link), await dan.joinPrivate(link)];
  // Ann finds nobody but eve, and bob nobody but dan.
  const sides = [ann, eve].map(({ id }) => id);
  const isWithAnn = async (user: Uint8Array): Promise<boolean> =>
    sides.includes(await keyText(noble, "user", user));
  const left = new Set<string>();
  for (const { user } of server.sessions) if (await isWithAnn(user)) left.add(hex(user));
  server.answer = ({ kind }, from) =>
    kind.is === "lookup" && left.has(hex(from.user)) !== left.has(hex(kind.value.user))
      ? { is: "found", value: { bundles: [], complete: true } }
      : undefined;
  const changes = [garden.remove([gone[0]?.id ?? ""]), bobs.remove([gone[1]?.id ?? ""])];
  await clock.pass(10_000);
  await Promise.all(changes);
  const all = [garden, bobs, eves, dans];
  expect(all.map(({ generation }) => generation)).toEqual([1, 1, 1, 1]);
  const lists = await Promise.all(all.map((channel) => channel.list()));
  expect(lists[0]).toEqual(lists[2]);
  expect(lists[1]).toEqual(lists[3]);
  expect(lists[0]).not.toEqual(lists[1]);
  server.answer = () => undefined;
  await clock.pass(60_000);
  expect(new Set(all.map(({ generation }) => generation))).toEqual(new Set([2]));
  const channels = await Promise.all(all.map(async (one) => parseInvite(await one.invite()).channel));
  expect(new Set(channels.map(hex)).size).toBe(1);
  const rest = new Set([ann, bob, eve, dan].map(({ id }) => id));
  for (const one of all) expect(new Set(await one.list())).toEqual(rest);
  const items = heard(dans);
  await during(clock, eves.send("one garden"));
  expect(texts(items)).toContain("one garden");
});

test("where whoever has the link is a member, nobody who asks is answered", async () => {
  const { server, clock, people } = await world();
  const [ann, bob] = people;
  const garden = await ann.createPrivate("garden");
  const bobs = await bob.joinPrivate(await garden.invite());
  heard(garden);
  await during(clock, bobs.send("I am here"));
  server.answer = ({ kind }) =>
    kind.is === "lookup" ? { is: "found", value: { bundles: [], complete: true } } : undefined;
  expect(await during(clock, garden.rekey())).toEqual({ told: [], away: [bob.id] });
  server.answer = () => undefined;
  await clock.pass(15_000);
  expect(bobs.generation).toBe(0);
  // Whoever made it tells it again.
  await clock.pass(20_000);
  expect(bobs.generation).toBe(1);
});

test("who is added is invited, learns the list, and reads what is said from then on", async () => {
  const { clock, people } = await world();
  const [ann, bob, eve] = people;
  const garden = await ann.createPrivate("garden", { members: [bob.id] });
  const bobs = await bob.joinPrivate(await garden.invite(), { members: (await garden.list()) ?? [] });
  const bobHeard = heard(bobs);
  await during(clock, garden.send("before"));
  const invites: string[] = [];
  eve.on("invite", ({ invite }) => invites.push(invite));
  expect(await during(clock, garden.add([eve.id]), 5_000)).toEqual({ told: [bob.id, eve.id], away: [] });
  expect([garden.generation, bobs.generation, invites.length]).toEqual([1, 1, 1]);
  const eves = await eve.joinPrivate(invites[0] ?? "");
  const items = heard(eves);
  await clock.pass(2_000);
  const everybody = new Set([ann.id, bob.id, eve.id]);
  for (const one of [garden, bobs, eves]) expect(new Set(await one.list())).toEqual(everybody);
  await during(clock, eves.send("thank you"));
  await during(clock, garden.send("welcome"));
  expect(texts(items)).toEqual(["welcome"]);
  expect(texts(bobHeard)).toEqual(["before", "thank you", "welcome"]);
  // Somebody who was removed can be taken in again.
  await during(clock, garden.remove([eve.id]), 5_000);
  await during(clock, garden.add([eve.id]), 5_000);
  expect([new Set(await garden.list()), invites.length]).toEqual([everybody, 2]);
  const open = await ann.createPrivate("open");
  await expect(open.add([bob.id])).rejects.toMatchObject({ code: "refused" });
  await expect(bobs.add([bob.id])).rejects.toMatchObject({ code: "refused" });
});

test("who comes back to a channel that was written down asks for what was missed", async () => {
  const { server, clock, people } = await world();
  const [ann, bob, eve] = people;
  const garden = await ann.createPrivate("garden", {
    members: [bob.id, eve.id],
    servers: ["tcp://chat.example:8545"],
  });
  const bobs = await bob.joinPrivate(await garden.invite(), { members: (await garden.list()) ?? [] });
  const saved = await bobs.saved();
  await bobs.leave();
  server.answer = ({ kind }) =>
    kind.is === "lookup" ? { is: "found", value: { bundles: [], complete: true } } : undefined;
  await during(clock, garden.remove([eve.id]), 5_000);
  server.answer = () => undefined;
  const back = await bob.restorePrivate(saved);
  expect([back.name, back.generation, await back.list()]).toEqual(["#garden", 0, await bobs.list()]);
  // Ann tells it again only later: this comes because bob asks.
  await clock.pass(2_000);
  expect([back.generation, await back.list()]).toEqual([1, [ann.id, bob.id]]);
  expect((await back.saved()).split("\n").map((line) => line.split(" ")[0])).toEqual([
    "dchat-channel-1",
    "name",
    "server",
    "generation",
    "since",
    "members",
    "",
  ]);
  for (const wrong of ["", "dchat-channel-1\nname garden\n", saved.replace("channel-1", "channel-2")]) {
    await expect(bob.restorePrivate(wrong)).rejects.toThrow("not a saved private channel");
  }
});

test("an hour later the same people still talk, and an old invitation opens the new hour", async () => {
  const { clock, people } = await world();
  const [ann, bob, eve] = people;
  const garden = await ann.createPrivate("garden");
  const link = await garden.invite();
  const bobs = await bob.joinPrivate(link);
  const items = heard(bobs);
  await during(clock, garden.send("one"));
  await clock.pass(2 * 3_600_000);
  await during(clock, garden.send("two"));
  const eves = heard(await eve.joinPrivate(link));
  await during(clock, garden.send("three"));
  expect(texts(items)).toEqual(["one", "two", "three"]);
  expect(texts(eves)).toEqual(["three"]);
});

test("a secret that is a week old is changed by an administrator who is there", async () => {
  const { server, clock, people } = await world();
  const [ann, bob] = people;
  const garden = await ann.createPrivate("garden", { members: [], admins: [bob.id] });
  const open = await ann.createPrivate("open");
  const link = await garden.invite();
  // A week passes at once, and with it the life of everybody's bundle.
  clock.wallStart += 7 * 24 * 3_600_000;
  for (const session of [...server.sessions]) session.cut();
  await clock.pass(2_000);
  const bobs = await bob.joinPrivate(link, { members: [ann.id, bob.id] });
  const items = heard(garden);
  expect(bobs.generation).toBe(0);
  // Who else is there shows by what they say.
  await during(clock, garden.send("I am here"));
  await clock.pass(3_605_000);
  expect([garden.generation, bobs.generation]).toEqual([1, 1]);
  // Where whoever has the link is a member, those who are away could not be told.
  expect(open.generation).toBe(0);
  await during(clock, bobs.send("with a new secret"));
  expect(texts(items)).toEqual(["missed: reconnect", "with a new secret"]);
});
