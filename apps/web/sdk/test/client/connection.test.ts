// Connecting and reconnecting, and servers that do what no server may.

import { describe, expect, test } from "vitest";
import { EMPTY } from "../../src/bytes.ts";
import { noble } from "../../src/crypto/noble.ts";
import type { Suite } from "../../src/crypto/suite.ts";
import type { Client, State } from "../../src/index.ts";
import { targetOf } from "../../src/session/connection.ts";
import { keyText } from "../../src/text/key.ts";
import type { Kind } from "../../src/wire/frame.ts";
import { settle, TestClock } from "../clock.ts";
import { type Session, TestServer } from "../server.ts";
import { suite } from "../support.ts";
import { connect } from "./clients.ts";

function states(client: Client): string[] {
  const names: string[] = [];
  client.on("state", (state: State) => names.push(state.name));
  return names;
}

async function world(): Promise<{ server: TestServer; clock: TestClock; client: Client; session: Session }> {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  const client = await connect(server, clock);
  const [session] = server.sessions;
  if (session === undefined) throw new Error("no session");
  return { server, clock, client, session };
}

describe("reconnecting", () => {
  test("a lost link is made again, and channels are joined anew", async () => {
    const { server, clock, client, session } = await world();
    await client.join("ops");
    const names = states(client);
    session.cut();
    await clock.pass(1_000);
    expect(names).toEqual(["waiting", "connecting", "connected"]);
    expect([...server.sessions][0]?.channels.size).toBe(1);
  });

  test("the waits grow to 30 s and no further, and `reconnect` ends one", async () => {
    const { server, clock, client, session } = await world();
    const waits: number[] = [];
    client.on("state", (state) => {
      if (state.name === "waiting") waits.push(state.retryInMs);
    });
    server.isUp = false;
    session.cut();
    await clock.pass(300_000);
    expect(waits.length).toBeGreaterThan(8);
    for (const [at, wait] of waits.entries()) {
      const middle = Math.min(30_000, 500 * 2 ** at);
      expect(wait).toBeGreaterThanOrEqual(middle / 2);
      expect(wait).toBeLessThanOrEqual(middle * 1.5);
    }
    server.isUp = true;
    client.reconnect();
    await settle();
    expect(client.state.name).toBe("connected");
  });

  test("nothing comes for 75 s: the link is dead", async () => {
    const { server, clock, client } = await world();
    const names = states(client);
    await clock.pass(80_000);
    expect(server.heard).toContain("ping");
    expect(names).not.toContain("waiting");
    for (const session of server.sessions) session.send = () => {};
    await clock.pass(80_000);
    expect(names).toContain("waiting");
  });

  test("after CONFLICT the client stays away", async () => {
    const { clock, client, session } = await world();
    const ops = await client.join("ops");
    session.send({ is: "goodbye", value: { code: "CONFLICT", text: "", retryMs: 0, elsewhere: [] } });
    await clock.pass(60_000);
    expect(client.state).toEqual({ name: "closed", reason: "CONFLICT" });
    await expect(ops.send("x")).rejects.toMatchObject({ code: "closed" });
    for await (const _ of ops) expect.unreachable();
  });

  test("a goodbye may say when, and where else", async () => {
    const { server, clock, client, session } = await world();
    const urls: string[] = [];
    const key = await keyText(noble, "server", server.signer.publicKey);
    const elsewhere = [`ws://${key}@other.example`, "ws://without.key", "tcp://x", "nonsense"];
    client.on("state", (state) =>
      urls.push(state.name === "waiting" ? `waiting ${state.retryInMs >= 5_000}` : state.name),
    );
    session.send({ is: "goodbye", value: { code: "SHUTDOWN", text: "", retryMs: 5_000, elsewhere } });
    await clock.pass(10_000);
    expect(urls).toEqual(["waiting true", "connecting", "connected"]);
  });

  test("without `reconnect` the first loss is the end", async () => {
    const server = await TestServer.start(noble);
    const clock = new TestClock();
    const client = await connect(server, clock, { reconnect: false });
    for (const session of server.sessions) session.cut();
    await clock.pass(1_000);
    expect(client.state.name).toBe("closed");
  });
});

describe("the first connection", () => {
  test("fails with what the server said", async () => {
    const server = await TestServer.start(noble);
    const clock = new TestClock();
    for (const [goodbye, code] of [
      ["BLOCKED", "refused"],
      ["VERSION", "version"],
      ["LIMIT", "refused"],
    ] as const) {
      server.goodbye = goodbye;
      await expect(connect(server, clock)).rejects.toMatchObject({ code, reason: goodbye });
    }
  });

  test("is tried again only where that is wanted", async () => {
    const server = await TestServer.start(noble);
    const clock = new TestClock();
    server.isUp = false;
    await expect(connect(server, clock)).rejects.toMatchObject({ code: "connect" });
    const connecting = connect(server, clock, { persist: true });
    await clock.pass(3_000);
    server.isUp = true;
    await clock.pass(10_000);
    expect((await connecting).state.name).toBe("connected");
  });

  test("can be given up", async () => {
    const server = await TestServer.start(noble);
    server.isUp = false;
    const giving = new AbortController();
    const connecting = connect(server, new TestClock(), { persist: true, signal: giving.signal });
    giving.abort();
    await expect(connecting).rejects.toMatchObject({ code: "closed" });
  });

  test("warns where the key cannot be protected, and when the clocks differ", async () => {
    const server = await TestServer.start(noble);
    const clock = new TestClock();
    server.timeMs = clock.wall() + 120_001;
    const client = await connect(server, clock);
    const warnings: string[] = [];
    client.on("warning", ({ what }) => warnings.push(what));
    await clock.pass(0);
    expect(warnings).toEqual(["unprotected-key", "clock"]);
    expect(client.warnings).toMatchObject([{}, { differenceMs: 120_001 }]);
    expect((await connect(await TestServer.start(), new TestClock(), { suite })).warnings).toEqual([]);
  });

  test("reaches only what a WebSocket reaches", () => {
    expect(targetOf("ws://Chat.Example").url).toBe("ws://chat.example:8546/ws");
    expect(targetOf("wss://chat.example").url).toBe("wss://chat.example:443/ws");
    expect(targetOf(new URL("wss://chat.example/sub/ws")).url).toBe("wss://chat.example/sub/ws");
    for (const wrong of [
      "chat.example",
      "tcp://chat.example",
      "http://chat.example",
      "ws://chat.example/other",
    ]) {
      expect(() => targetOf(wrong)).toThrow();
    }
  });
});

test("a flood of posts is opened a few at a time, and nothing of it is lost", async () => {
  const server = await TestServer.start(noble);
  const clock = new TestClock();
  let [now, most] = [0, 0];
  const slow: Suite = {
    ...noble,
    async verify(...given) {
      now += 1;
      most = Math.max(most, now);
      await settle(1);
      now -= 1;
      return noble.verify(...given);
    },
  };
  const [ann, bob] = [await connect(server, clock), await connect(server, clock, { suite: slow })];
  const [from, to] = [await ann.join("ops"), await bob.join("ops")];
  await settle();
  const posts: Kind[] = [];
  server.answer = ({ kind }) => {
    if (kind.is === "publish") posts.push({ is: "deliver", value: kind.value.deliver });
    return undefined;
  };
  const texts = Array.from({ length: 200 }, (_, at) => String(at));
  for (const text of texts) await from.send(text);
  await settle(50);
  const [, receiver] = server.sessions;
  // Each of them again, all at once, and then something new.
  for (let round = 0; round < 3; round++) for (const post of posts) receiver?.send(post);
  await from.send("end");
  const heard: (string | undefined)[] = [];
  for await (const item of to) {
    if (item.type !== "message") continue;
    heard.push(item.text);
    if (item.text === "end") break;
  }
  expect(heard).toEqual([...texts, "end"]);
  expect(bob.stats().duplicate).toBe(600);
  expect(most).toBeLessThanOrEqual(64);
  expect(most).toBeGreaterThan(8);
});

test("a post of a channel that nobody asked for is shown nowhere, and counted as that", async () => {
  const { server, clock, client } = await world();
  const bob = await connect(server, clock);
  const [ops, cellar] = [await client.join("ops"), await bob.join("cellar")];
  await clock.pass(1_000);
  const [session] = server.sessions;
  server.answer = ({ kind }) => {
    if (kind.is === "publish") session?.send({ is: "deliver", value: kind.value.deliver });
    return undefined;
  };
  await cellar.send("in the cellar");
  await clock.pass(100);
  expect(client.stats()).toMatchObject({ misdirected: 1, ignored: 0, shown: 0 });
  expect(ops.members()).toEqual([]);
});

describe("a server that misbehaves is left", () => {
  const welcome = {
    session: new Uint8Array(16),
    resumeToken: EMPTY,
    resumeMs: 0,
    observedIp: EMPTY,
    resumed: false,
    received: 0n,
  };
  const kinds: Kind[] = [
    { is: "join", value: { channels: [], waitSpread: false } },
    { is: "lookup", value: { user: new Uint8Array(32) } },
    { is: "peer", value: 44 },
    { is: "welcome", value: welcome },
  ];
  test.each(kinds.map((kind) => [kind.is, kind] as const))("%s", async (_, kind) => {
    const { clock, client, session } = await world();
    const names = states(client);
    session.send(kind);
    await clock.pass(100);
    expect(names[0]).toBe("waiting");
  });

  test("and what it may say and we do not know is answered or passed over", async () => {
    const { server, clock, client, session } = await world();
    const names = states(client);
    session.send({ is: "unknown", value: 60 });
    session.send({ is: "deliver", value: new Uint8Array([1, 2, 3]) });
    session.send({ is: "ok", value: { local: 0, servers: 0, spread: false } }, 77);
    session.send({ is: "dmStatus", value: { code: "NO_SESSION" } }, 77);
    session.send({ is: "ping", value: { nonce: 1n, acked: 0n } });
    await clock.pass(100);
    expect([names, server.heard.includes("pong"), client.stats().malformed]).toEqual([[], true, 1]);
  });
});
