// Private channels between the SDK and the Rust client: invitations, messages and rekeys in both directions.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Client } from "../../src/index.ts";
import { areBuilt, folder, knows, RustClient, startServer } from "./programs.ts";
import { connect, endAll, nextText, reader } from "./support.ts";

afterEach(endAll);

/** A folder with a key in it, and that key. */
async function person(): Promise<{ home: string; key: string }> {
  const home = folder();
  const made = new RustClient(["id", "new", "--json"], home);
  return { home, key: String((await made.line((line) => line.type === "identity")).id) };
}

/** Runs a command of the Rust client to its end, and expects it to succeed. */
async function run(home: string, args: string[], input = ""): Promise<void> {
  const program = new RustClient(args, home, input);
  expect(await program.ended(), program.log).toBe(0);
}

function invited(client: Client): Promise<string> {
  return new Promise((resolve) => client.on("invite", ({ invite }) => resolve(invite)));
}

describe.skipIf(!areBuilt || !knows("recv", "--invite") || !knows("channel", "rekey"))(
  "with the Rust client",
  () => {
    test("a channel made here is entered there, by its link", async () => {
      const server = await startServer();
      const client = await connect(server.ws, { name: "ann" });
      const garden = await client.createPrivate("garden");
      const file = join(folder(), "invitation");
      writeFileSync(file, `${await garden.invite({ page: "https://chat.example/" })}\n`, { mode: 0o600 });
      const at = ["--server", server.tcp, "--ephemeral"];
      const listener = new RustClient([...at, "recv", "--invite", file, "--json"]);
      await listener.line(({ type }) => type === "joined");
      const sent = await garden.send("behind the door");
      expect(await listener.line(({ type }) => type === "message")).toMatchObject({
        id: sent.id,
        from: client.id,
        name: "ann",
        text: "behind the door",
      });
      const read = reader(garden);
      const speaker = new RustClient([...at, "--name", "bob", "send", "--invite", file, "--json", "hello"]);
      const told = await speaker.line(({ type }) => type === "sent");
      expect(await nextText(read)).toMatchObject({ id: told.id, name: "bob", text: "hello", private: true });
    });

    test("a channel made there invites, speaks and changes its secret, and we follow", async () => {
      const server = await startServer();
      const client = await connect(server.ws);
      const { home, key } = await person();
      const at = ["--server", server.tcp];
      const invitation = invited(client);
      await run(home, [...at, "channel", "create", "garden", "--member", client.id]);
      const garden = await client.joinPrivate(await invitation);
      const read = reader(garden);
      expect([garden.name, garden.isAdmin, await garden.admins()]).toEqual(["#garden", false, [key]]);
      await run(home, [...at, "send", "-c", "+garden", "one"]);
      expect((await nextText(read)).text).toBe("one");
      const before = garden.generation;
      await run(home, [...at, "channel", "rekey", "garden"]);
      expect(garden.generation).toBe(before + 1);
      expect(new Set(await garden.list())).toEqual(new Set([key, client.id]));
      await run(home, [...at, "send", "-c", "+garden", "two"]);
      expect((await nextText(read)).text).toBe("two");
      await run(home, [...at, "channel", "remove", "garden", client.id, "--reason", "so it is"]);
      await run(home, [...at, "send", "-c", "+garden", "three"]);
      expect(garden.generation).toBe(before + 1);
    });

    test("a change of ours takes the Rust client along, and leaves out whom it removes", async () => {
      const server = await startServer();
      const client = await connect(server.ws);
      const [bob, eve] = [await person(), await person()];
      const at = ["--server", server.tcp];
      const garden = await client.createPrivate("garden", { members: [bob.key, eve.key] });
      const link = await garden.invite();
      const listen = async ({ home }: { home: string }): Promise<RustClient> => {
        await run(home, [...at, "channel", "join"], link);
        const program = new RustClient([...at, "recv", "-c", "+garden", "--json"], home);
        await program.line(({ type }) => type === "joined");
        return program;
      };
      const [bobs, eves] = [await listen(bob), await listen(eve)];
      await garden.send("all");
      for (const program of [bobs, eves]) {
        expect(await program.line(({ type }) => type === "message")).toMatchObject({ text: "all" });
      }
      expect(await garden.remove([eve.key])).toEqual({ told: [bob.key], away: [] });
      await garden.send("without eve");
      expect(await bobs.line(({ type }) => type === "message")).toMatchObject({ text: "without eve" });
    });
  },
);
