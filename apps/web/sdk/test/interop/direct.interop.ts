// Direct messages between the SDK and the Rust client, in both directions, over one server and over two.

import { afterEach, describe, expect, test } from "vitest";
import type { DirectMessage, Missed } from "../../src/index.ts";
import { SUITES } from "../support.ts";
import { areBuilt, folder, knows, RustClient, startServer } from "./programs.ts";
import { connect, endAll, linked, reader } from "./support.ts";

afterEach(endAll);

async function nextDirect(read: () => Promise<DirectMessage | Missed>): Promise<DirectMessage> {
  for (;;) {
    const item = await read();
    if (item.type === "direct") return item;
  }
}

const MESSAGES = 1_000;
/** Programs that send to the SDK at once. */
const SENDERS = 5;
/** How many wait for their acknowledgement together. */
const BATCH = 50;

async function inBatches<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const done: R[] = [];
  for (let at = 0; at < items.length; at += BATCH) {
    done.push(...(await Promise.all(items.slice(at, at + BATCH).map(act))));
  }
  return done;
}

/** Starts a program that waits for direct messages, and gives its key. */
async function waiting(tcp: string, more: string[] = []): Promise<{ program: RustClient; key: string }> {
  const home = folder();
  const made = new RustClient(["id", "new", "--json"], home);
  const key = String((await made.line((line) => line.type === "identity")).id);
  const program = new RustClient(["--server", tcp, "recv", "--dm", "--json", ...more], home);
  await program.line((line) => line.type === "state" && line.state === "connected");
  return { program, key };
}

describe.skipIf(!areBuilt || !knows("send", "--to") || !knows("recv", "--dm"))("with the Rust client", () => {
  test.each(SUITES)("what the SDK says is received and acknowledged, on $name", async (suite) => {
    const server = await startServer();
    const { program, key } = await waiting(server.tcp);
    const client = await connect(server.ws, { suite, name: "ann" });
    for (const text of ["psst", "hëllo \u202e <b>", "x".repeat(57_344)]) {
      const sent = await client.direct(key).send(text);
      expect(sent.received).toBe(true);
      const line = await program.line(({ type }) => type === "direct");
      expect(line).toMatchObject({ id: sent.id, from: client.id, name: "ann", text });
    }
    expect(await client.direct(key).send(new Uint8Array([0, 255]))).toMatchObject({ received: true });
    expect(await program.line(({ type }) => type === "direct")).toMatchObject({ data: "AP8=" });
  });

  test("what the Rust client says is received and acknowledged", async () => {
    const server = await startServer();
    const client = await connect(server.ws);
    const read = reader(client.inbox());
    for (const text of ["psst", "again"]) {
      const args = [
        "--server",
        server.tcp,
        "--ephemeral",
        "--name",
        "bob",
        "send",
        "--to",
        client.id,
        "--json",
        text,
      ];
      const program = new RustClient(args);
      const sent = await program.line(({ type }) => type === "sent");
      expect(sent).toMatchObject({ to: client.id, received: true });
      expect(await nextDirect(read)).toMatchObject({ id: sent.id, name: "bob", text });
      expect(await program.ended()).toBe(0);
    }
  });

  // D19: acknowledgements are messages too, so the ratchet turns at every one of these.
  test("d19: a thousand messages in each direction are opened, in order", { timeout: 120_000 }, async () => {
    const server = await startServer();
    const { program, key } = await waiting(server.tcp, ["-n", String(MESSAGES)]);
    const client = await connect(server.ws, { name: "ann" });
    const texts = Array.from({ length: MESSAGES }, (_, at) => `${at} ${"é".repeat(at % 97)}`);
    const direct = client.direct(key);
    const sending = inBatches(texts, (text) => direct.send(text));
    for (const text of texts) {
      expect(await program.line(({ type }) => type === "direct")).toMatchObject({ from: client.id, text });
    }
    expect((await sending).every(({ received }) => received)).toBe(true);
    expect(await program.ended()).toBe(0);

    // Each of these waits for the acknowledgement of one before it sends the next, so several send side by side.
    const read = reader(client.inbox());
    const args = ["--server", server.tcp, "--ephemeral", "send", "--to", client.id, "--each-line"];
    const shares = Array.from({ length: SENDERS }, (_, sender) =>
      texts.filter((_, at) => at % SENDERS === sender),
    );
    const answers = shares.map((share, sender) => {
      const named = [...args, "--name", `bob${sender}`, "--timeout", "60s"];
      return new RustClient(named, folder(), share.join("\n"));
    });
    const heard = shares.map((): (string | undefined)[] => []);
    for (let count = 0; count < MESSAGES; count++) {
      const { name, text } = await nextDirect(read);
      heard[Number(name.slice(-1))]?.push(text);
    }
    expect(heard).toEqual(shares);
    expect(await Promise.all(answers.map((answer) => answer.ended()))).toEqual(shares.map(() => 0));
  });

  test("a program that was restarted is written to again", async () => {
    const server = await startServer();
    const client = await connect(server.ws);
    const home = folder();
    const made = new RustClient(["id", "new", "--json"], home);
    const key = String((await made.line((line) => line.type === "identity")).id);
    for (const text of ["first", "second"]) {
      const program = new RustClient(["--server", server.tcp, "recv", "--dm", "-n", "1", "--json"], home);
      await program.line((line) => line.type === "state" && line.state === "connected");
      expect(await client.direct(key).send(text)).toMatchObject({ received: true });
      expect(await program.line(({ type }) => type === "direct")).toMatchObject({ text });
      expect(await program.ended()).toBe(0);
    }
  });

  test("over two servers, both ways", async () => {
    const first = await startServer();
    const second = await startServer(["--connect", first.peers]);
    const [client, probe] = [await connect(first.ws), await connect(second.ws)];
    await linked(client, probe);
    const { program, key } = await waiting(second.tcp);
    const read = reader(client.inbox());
    for (;;) {
      // Its presence takes a moment to be known at the other server.
      const sent = await client
        .direct(key)
        .send("from afar")
        .catch(() => undefined);
      if (sent?.received) break;
    }
    expect(await program.line(({ type }) => type === "direct")).toMatchObject({
      text: "from afar",
      from: client.id,
    });
    const back = new RustClient([
      "--server",
      second.tcp,
      "--ephemeral",
      "send",
      "--to",
      client.id,
      "--json",
      "and back",
    ]);
    expect(await back.line(({ type }) => type === "sent")).toMatchObject({ received: true });
    expect((await nextDirect(read)).text).toBe("and back");
  });
});
