// Three servers in a line, and a client of another kind on each: the page, the library, the terminal.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Client, Identity } from "../../../sdk/src/index.ts";
import { folder, RustClient, type Server, startServer } from "../../../sdk/test/interop/programs.ts";
import { linked, nextText, reader } from "../../../sdk/test/interop/support.ts";
import { isPossible, itself, log, say, World } from "./world.ts";

describe.skipIf(!isPossible)("three servers, three kinds of clients", () => {
  let world: World;
  let terminals: Server;
  const clients: Client[] = [];

  beforeAll(async () => {
    const libraries = await startServer();
    world = await World.start(["--connect", libraries.peers], { before: itself });
    terminals = await startServer(["--connect", libraries.peers]);
    clients.push(await connect("lib", libraries), await connect("probe", world.server));
    clients.push(await connect("other probe", terminals));
    const [lib, probe, other] = clients;
    if (lib === undefined || probe === undefined || other === undefined) throw new Error("not connected");
    // The page's server and the terminals' hear each other through the one between them.
    await Promise.all([linked(probe, other), linked(other, lib), linked(lib, probe)]);
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await world?.stop();
  });

  async function connect(name: string, server: Server): Promise<Client> {
    const { identity } = await Identity.create();
    const { WebSocket } = (await import("ws")) as unknown as { WebSocket: never };
    return Client.connect(server.ws, { name, identity, webSocket: WebSocket });
  }

  test("one channel, direct messages in every direction, and a private channel by its invitation", async () => {
    const [lib] = clients;
    if (lib === undefined) throw new Error("not connected");
    const page = await world.enter("ann");
    const lobby = await lib.join("#general");
    const heardByLibrary = reader(lobby);
    const inbox = reader(lib.inbox());
    const home = folder();
    const server = ["--server", terminals.tcp, "--name", "bob"];
    const { id: bob } = await new RustClient(["id", "new", "--json"], home).line(
      ({ type }) => type === "identity",
    );
    const terminal = new RustClient([...server, "recv", "--all", "-c", "general", "--json"], home);
    await terminal.line(({ type }) => type === "joined");
    await terminal.line(({ type, state }) => type === "state" && state === "connected");
    const isChannel = (text: string) => (line: Record<string, unknown>) =>
      line.type === "message" && line.text === text;
    const isDirect = (text: string) => (line: Record<string, unknown>) =>
      line.type === "direct" && line.text === text;

    await say(page, "from the page");
    expect((await nextText(heardByLibrary)).text).toBe("from the page");
    const { from: ann } = await terminal.line(isChannel("from the page"));
    await lobby.send("from the library");
    await log(page).getByText("from the library").waitFor();
    await terminal.line(isChannel("from the library"));
    const said = new RustClient([...server, "--ephemeral", "send", "-c", "general", "from the terminal"]);
    expect(await said.ended()).toBe(0);
    await log(page).getByText("from the terminal").waitFor();
    expect((await nextText(heardByLibrary)).text).toBe("from the terminal");

    const direct = async (to: string, text: string): Promise<void> => {
      const sent = new RustClient([...server, "send", "--to", to, text], home);
      expect(await sent.ended()).toBe(0);
    };
    await say(page, `/msg ${bob} page to terminal`);
    await terminal.line(isDirect("page to terminal"));
    await say(page, `/msg ${lib.id} page to library`);
    expect(await inbox()).toMatchObject({ text: "page to library" });
    await lib.direct(String(bob)).send("library to terminal");
    await terminal.line(isDirect("library to terminal"));
    await lib.direct(String(ann)).send("library to page");
    await page
      .getByRole("button", { name: /^lib ?~/ })
      .first()
      .waitFor();
    await direct(String(ann), "terminal to page");
    await direct(lib.id, "terminal to library");
    expect(await inbox()).toMatchObject({ text: "terminal to library" });
    for (const [name, text] of [
      ["lib", "library to page"],
      ["bob", "terminal to page"],
    ]) {
      const entry = page.getByRole("list", { name: "Direct messages" });
      await entry.getByRole("button", { name: new RegExp(`^${name}`) }).click();
      await page
        .getByRole("log", { name: new RegExp(`^Messages with ${name}`) })
        .getByText(`${text}`)
        .waitFor();
    }

    const den = await lib.createPrivate("den");
    const heardInDen = reader(den);
    const invitation = await den.invite();
    const joined = new RustClient([...server, "channel", "join", "-", "--json"], home, invitation);
    expect(await joined.ended()).toBe(0);
    const listening = new RustClient([...server, "recv", "-c", "+den", "--json"], home);
    await listening.line(({ type }) => type === "joined");
    await say(page, `/join ${invitation}`);
    await page.getByText(/Private · \d/).waitFor();
    await say(page, "sealed on the page");
    await listening.line(isChannel("sealed on the page"));
    expect((await nextText(heardInDen)).text).toBe("sealed on the page");
    await den.send("sealed by the library");
    await log(page, "#den").getByText("sealed by the library").waitFor();
    await listening.line(isChannel("sealed by the library"));
  });
});
