// The page as darkchatd itself serves it, with nothing in between, and the terminal client in the same channel.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { folder, RustClient } from "../../../sdk/test/interop/programs.ts";
import { isPossible, itself, log, say, screenshot, World } from "./world.ts";

describe.skipIf(!isPossible)("the page of the server", () => {
  let world: World;

  beforeAll(async () => {
    world = await World.start([], { before: itself });
  });
  afterEach(async () => {
    await world.clear();
    expect(world.complaints.splice(0)).toEqual([]);
  });
  afterAll(() => world?.stop());

  test("two windows, and nothing else is needed", async () => {
    const ann = await world.enter("ann");
    const bob = await world.enter("bob");
    await say(ann, "hello bob");
    await log(bob).getByText("hello bob").waitFor();
    await say(bob, "hello ann");
    await log(ann).getByText("hello ann").waitFor();
  });

  test("with the terminal client in one channel", async () => {
    const page = await world.enter("ann");
    const heard = new RustClient([
      "--server",
      world.server.tcp,
      "--name",
      "bob",
      "recv",
      "-c",
      "general",
      "-n",
      "1",
      "--json",
    ]);
    await heard.line(({ type }) => type === "joined");
    await say(page, "to the terminal");
    expect(await heard.line(({ type }) => type === "message")).toMatchObject({
      name: "ann",
      text: "to the terminal",
    });
    const bob = new RustClient([
      "--server",
      world.server.tcp,
      "--name",
      "bob",
      "send",
      "-c",
      "general",
      "to the browser",
    ]);
    await log(page).getByText("to the browser").waitFor();
    expect(await bob.ended()).toBe(0);
  });

  test("direct messages with the terminal client, both ways", async () => {
    const page = await world.enter("ann");
    const home = folder();
    const { id } = await new RustClient(["id", "new", "--json"], home).line(
      ({ type }) => type === "identity",
    );
    const server = ["--server", world.server.tcp, "--name", "bob"];
    const heard = new RustClient([...server, "recv", "--dm", "-n", "1", "--json"], home);
    await heard.line(({ type, state }) => type === "state" && state === "connected");
    await say(page, `/msg ${id} psst`);
    const message = await heard.line(({ type }) => type === "direct");
    expect(message).toMatchObject({ name: "ann", text: "psst" });
    const answer = new RustClient([...server, "send", "--to", String(message.from), "heard"], home);
    await page
      .getByRole("log", { name: /^Messages with bob~/ })
      .getByText("heard")
      .waitFor();
    expect(await answer.ended()).toBe(0);
    expect(await page.getByText("Not sent").count()).toBe(0);
  });

  test("a picture for those who have not been there", async () => {
    const page = await world.enter(
      "ann",
      "#general",
      await world.window({ viewport: { width: 1080, height: 600 } }),
    );
    await page.getByRole("button", { name: "Not now" }).click();
    await say(page, "/join #ops");
    await log(page, "#ops").waitFor();
    await page.getByRole("button", { name: /^#general/ }).click();
    const people = ["bob", "carol", "דנה", "eve"];
    const clients = await Promise.all(people.map((name) => world.client(name)));
    const channels = await Promise.all(clients.map((client) => client.join("#general")));
    const [bob, carol, dana, eve] = channels;
    await bob?.send("The server in Lisbon is up. Anyone on it can hear us here.");
    await bob?.send("Map and traces: https://chat.example/map.png");
    await log(page).getByText("Map and traces").waitFor();
    await carol?.send("I am on the one in Oslo, behind NAT. Works.");
    await log(page).getByText("Works.").waitFor();
    await dana?.send("שלום לכולם, שומעים אתכם");
    await log(page).getByText("שומעים אתכם").waitFor();
    await eve?.send("ann: is the release out?");
    await log(page).getByText("is the release out?").waitFor();
    await say(page, "Out since this morning. Nobody owns it, so nobody had to ask.");
    const ops = await clients[0]?.join("#ops");
    await ops?.send("ann: the build is green");
    await expect.poll(() => page.getByRole("button", { name: /^#ops/ }).textContent()).toContain("1 mention");
    await expect.poll(() => page.getByText("sending…").count()).toBe(0);
    await screenshot(page, "picture");
  });
});
