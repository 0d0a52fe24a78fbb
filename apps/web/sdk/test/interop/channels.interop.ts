// The SDK and the Rust programs in one channel, over real sockets, in both directions.

import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { ChatError } from "../../src/index.ts";
import { SUITES } from "../support.ts";
import { areBuilt, folder, RustClient, type Server, startServer, stop } from "./programs.ts";
import { connect, endAll, nextText, reader, stateOf } from "./support.ts";

afterEach(endAll);

describe.skipIf(!areBuilt)("with the Rust programs", () => {
  test.each(SUITES)("a channel carries messages both ways, on $name", async (suite) => {
    const server = await startServer();
    const client = await connect(server.ws, { suite, name: "ann" });
    const ops = await client.join("#Ops");
    expect([ops.name, ops.spread]).toEqual(["#ops", true]);

    const listener = new RustClient(["--server", server.tcp, "--ephemeral", "recv", "-c", "ops", "--json"]);
    await listener.line((line) => line.type === "joined");
    const sent = await ops.send("hëllo \u202e <b>", { contentType: "text/plain" });
    expect([sent.local, sent.servers]).toEqual([1, 0]);
    const heard = await listener.line((line) => line.type === "message");
    expect(heard).toMatchObject({ channel: "#ops", from: client.id, name: "ann", text: "hëllo \u202e <b>" });
    expect(heard.id).toBe(sent.id);
    await ops.send(new Uint8Array([0, 255, 1]));
    expect(await listener.line((line) => line.type === "message")).toMatchObject({ data: "AP8B" });

    const read = reader(ops);
    const speaker = new RustClient([
      "--server",
      server.tcp,
      "--ephemeral",
      "--name",
      "bob",
      "send",
      "-c",
      "ops",
      "--json",
      "hi",
    ]);
    const message = await nextText(read);
    const told = await speaker.line((line) => line.type === "sent");
    expect(message).toMatchObject({ channel: "#ops", name: "bob", text: "hi" });
    expect(message.id).toBe(told.id);
    expect(await speaker.ended()).toBe(0);
  });

  test("a burst of lines arrives complete and in order, both ways", async () => {
    const server = await startServer();
    const client = await connect(server.ws);
    const ops = await client.join("ops");
    const count = 500;
    const listener = new RustClient([
      "--server",
      server.tcp,
      "--ephemeral",
      "recv",
      "-c",
      "ops",
      "-n",
      String(count),
      "--json",
    ]);
    await listener.line((line) => line.type === "joined");
    const texts = Array.from({ length: count }, (_, at) => `line ${at}`);
    await Promise.all(texts.map((text) => ops.send(text)));
    for (const text of texts)
      expect((await listener.line((line) => line.type === "message")).text).toBe(text);
    expect(await listener.ended()).toBe(0);

    const read = reader(ops);
    new RustClient(
      ["--server", server.tcp, "--ephemeral", "send", "-c", "ops", "--each-line"],
      folder(),
      texts.join("\n"),
    );
    for (const text of texts) expect((await nextText(read)).text).toBe(text);
    const { gap, duplicate, late, bad_signature } = client.stats();
    expect([gap, duplicate, late, bad_signature]).toEqual([0, 0, 0, 0]);
  });

  test("the largest message passes, and a larger one fails before it is sent", async () => {
    const server = await startServer();
    const [one, other] = [await connect(server.ws), await connect(server.ws)];
    const [from, to] = [await one.join("big"), await other.join("big")];
    const read = reader(to);
    const large = new Uint8Array(65_536).fill(7);
    await from.send(large);
    expect(Buffer.compare((await nextText(read)).data, large)).toBe(0);
    await expect(from.send(new Uint8Array(65_537))).rejects.toMatchObject({ code: "too-large" });
  });

  test("a server that restarts finds its client again, in its channel, and says that something may be missed", async () => {
    const home = folder();
    const key = join(home, "server.key");
    const before = await startServer([], { key });
    const port = Number(new URL(before.ws).port);
    const client = await connect(before.ws);
    const ops = await client.join("ops");
    const read = reader(ops);
    const lost = stateOf(client, "waiting");
    await stop(before.process, "SIGKILL");
    await lost;
    const queued = ops.send("said while away");
    const after = await startServer([], { key, wsPort: port });
    await stateOf(client, "connected");
    expect(after.id).toBe(before.id);
    expect((await queued).servers).toBe(0);
    expect(await read()).toMatchObject({ type: "missed", cause: "reconnect", from: null });
    new RustClient(["--server", after.tcp, "--ephemeral", "send", "-c", "ops", "welcome back"]);
    expect((await nextText(read)).text).toBe("welcome back");
  });

  test("a link that breaks is resumed: nothing is lost, and nothing comes twice", async () => {
    const server = await startServer();
    const sockets: WebSocket[] = [];
    class Kept extends WebSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol);
        sockets.push(this);
      }
    }
    const client = await connect(server.ws, { webSocket: Kept });
    const other = await connect(server.ws);
    const [ops, far] = [await client.join("ops"), await other.join("ops")];
    const [read, readFar] = [reader(ops), reader(far)];
    await ops.send("one");
    const waiting = stateOf(client, "waiting");
    sockets[0]?.terminate();
    await waiting;
    await far.send("meanwhile");
    const sent = ops.send("two");
    await stateOf(client, "connected");
    await sent;
    expect(await read()).toMatchObject({ type: "message", text: "meanwhile" });
    expect([(await nextText(readFar)).text, (await nextText(readFar)).text]).toEqual(["one", "two"]);
    expect(sockets.length).toBe(2);
    await far.send("end");
    expect(await read()).toMatchObject({ type: "message", text: "end" });
    expect(other.stats().duplicate).toBe(0);
  });

  test("messages pass from server to server", async () => {
    const first = await startServer();
    const second = await startServer(["--connect", first.peers]);
    const client = await connect(first.ws);
    const ops = await client.join("ops");
    const read = reader(ops);
    const speak = (): RustClient =>
      new RustClient(["--server", second.tcp, "--ephemeral", "send", "-c", "ops", "--json", "from afar"]);
    // The two servers may still be on their way to each other.
    for (;;) {
      const speaker = speak();
      const told = await speaker.line((line) => line.type === "sent");
      if (Number(told.servers) > 0) break;
    }
    expect((await nextText(read)).text).toBe("from afar");
    const listener = new RustClient(["--server", second.tcp, "--ephemeral", "recv", "-c", "ops", "--json"]);
    await listener.line((line) => line.type === "joined");
    expect(await ops.send("and back")).toMatchObject({ local: 0, servers: 1 });
    expect(await listener.line((line) => line.type === "message")).toMatchObject({ text: "and back" });
  });

  test("a server with another key is refused, named or remembered", async () => {
    const [one, other] = [await startServer(), await startServer()];
    const named = other.ws.replace("ws://", `ws://${one.id}@`);
    await expect(connect(named)).rejects.toMatchObject({ code: "wrong-server" });
    const right = await connect(one.ws.replace("ws://", `ws://${one.id}@`));
    expect(right.state).toEqual({ name: "connected", server: one.id });
    const knownServers = { load: async () => one.id, save: async () => {} };
    await expect(connect(other.ws, { knownServers })).rejects.toThrow(other.id);
  });

  test("what does not answer fails with `connect`, and the next server is tried", async () => {
    const server = await startServer();
    const closed = "ws://127.0.0.1:9/ws";
    await expect(connect(closed)).rejects.toMatchObject({ code: "connect" });
    const client = await connect([closed, server.ws]);
    expect(client.state.name).toBe("connected");
    await expect(connect(server.peers.replace("tcp://", "ws://"))).rejects.toMatchObject({ code: "connect" });
    await expect(connect(server.ws, { network: "other" })).rejects.toMatchObject({ code: "connect" });
    await expect(connect("tcp://127.0.0.1:1")).rejects.toBeInstanceOf(ChatError);
  });

  test("joining twice is refused, leaving ends the iteration, and a closed client does nothing more", async () => {
    const server: Server = await startServer();
    const client = await connect(server.ws);
    const ops = await client.join("ops");
    await expect(client.join("#OPS")).rejects.toMatchObject({ code: "refused", reason: "ALREADY" });
    await ops.leave();
    for await (const _ of ops) expect.unreachable();
    await expect(ops.send("x")).rejects.toMatchObject({ code: "closed" });
    const again = await client.join("ops");
    await again.send("sent before the end");
    await client.close();
    expect(client.state).toEqual({ name: "closed", reason: "OK" });
    await expect(again.send("x")).rejects.toMatchObject({ code: "closed" });
    await expect(client.join("x")).rejects.toMatchObject({ code: "closed" });
  });

  test("members come, take names and go", async () => {
    const server = await startServer();
    const [ann, bob] = [await connect(server.ws, { name: "ann" }), await connect(server.ws, { name: "bob" })];
    const changes: string[] = [];
    const seen = new Promise<void>((resolve) => {
      ann.on("member", ({ change, name, channel }) => {
        changes.push(`${change} ${name} ${channel}`);
        if (change === "left") resolve();
      });
    });
    const lobby = await ann.join("lobby");
    const bobs = await bob.join("lobby");
    await bobs.send("hi");
    expect((await nextText(reader(lobby))).name).toBe("bob");
    expect(lobby.members()).toEqual([{ user: bob.id, name: "bob" }]);
    bobs.speakAs("__proto__");
    await bobs.send("renamed");
    await bobs.leave();
    await seen;
    expect(changes).toEqual(["came bob #lobby", "renamed __proto__ #lobby", "left __proto__ #lobby"]);
    expect(lobby.members()).toEqual([]);
  });
});
