// The page with a real server: from the welcome to messages, over reloads and restarts.

import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { folder, startServer, stop } from "../../../sdk/test/interop/programs.ts";
import { pageSha256 } from "./serve.ts";
import { comeBack, isPossible, log, OPEN_HOST, say, screenshot, World } from "./world.ts";

describe.skipIf(!isPossible)("the page", () => {
  let world: World;
  const key = join(folder(), "server.key");

  beforeAll(async () => {
    world = await World.start([], { key });
  });
  afterEach(async () => {
    await world.clear();
    expect(world.complaints.splice(0)).toEqual([]);
  });
  afterAll(() => world?.stop());

  test("from the welcome to the first message between two windows", async () => {
    const page = await world.open();
    await page.getByLabel("Your name").waitFor();
    expect(await page.getByLabel("Channel", { exact: true }).inputValue()).toBe("#general");
    await screenshot(page, "welcome-light");
    await page.getByLabel("Your name").fill("ann");
    await page.getByRole("button", { name: "Join", exact: true }).click();
    const bob = await world.enter("bob");
    await page.getByText("2 people here").waitFor();
    await say(bob, "hello from bob");
    const heard = log(page).getByRole("article").filter({ hasText: "hello from bob" });
    await heard.waitFor();
    expect(await heard.textContent()).toMatch(/bob~[a-z2-7]{8}/);
    await say(page, "and hello from ann");
    await log(bob).getByText("and hello from ann").waitFor();
    const members = page.getByRole("list", { name: "Members", exact: true }).getByRole("listitem");
    await expect.poll(() => members.count()).toBe(2);
    expect(
      await page.getByRole("list", { name: "Channels", exact: true }).getByRole("listitem").count(),
    ).toBe(1);
    expect(await page.getByRole("status").textContent()).toBe("");
    await screenshot(page, "first-message");
  });

  test("the first message is visible soon after the page is loaded; how soon is printed", async () => {
    const ann = await world.client("ann");
    const general = await ann.join("#fast");
    const page = await world.open(undefined, "#fast");
    const loaded = Date.now();
    await page.getByText("1 person here").waitFor();
    await general.send("quick");
    await log(page, "#fast").getByText("quick").waitFor();
    process.stdout.write(`first message: ${Date.now() - loaded} ms after the page was loaded\n`);
  });

  test("a reload keeps the key, the name and the channels", async () => {
    const page = await world.enter("ann");
    await page.getByRole("textbox", { name: "Message" }).fill("/join ops");
    await page.keyboard.press("Enter");
    await log(page, "#ops").waitFor();
    const own = page.getByRole("list", { name: "Members", exact: true }).getByRole("listitem").first();
    const before = await own.textContent();
    expect(before).toMatch(/^ann~[a-z2-7]{8}you$/);
    await page.reload();
    await log(page, "#ops").waitFor();
    await page.getByText("1 person here").waitFor();
    expect(await own.textContent()).toBe(before);
    expect(
      await page.getByRole("list", { name: "Channels", exact: true }).getByRole("listitem").count(),
    ).toBe(2);
    // The fragment that rejoins stands in the address, and only there.
    expect(new URL(page.url()).hash).toBe("#ops");
  });

  test("two tabs of one browser are one person who sees both", async () => {
    const context = await world.window();
    const first = await world.enter("ann", "#general", context);
    const second = await world.enter("ann", "#general", context);
    await say(first, "from the first tab");
    const heard = log(second).getByRole("article").filter({ hasText: "from the first tab" });
    await heard.waitFor();
    expect(await heard.textContent()).toContain("you");
    expect(await second.getByText("1 person here").count()).toBe(1);
  });

  test("a lost server: a bar, unsent messages that go out later, and the bar is gone", async () => {
    const page = await world.enter("ann");
    const port = Number(new URL(world.server.ws).port);
    await stop(world.server.process);
    await page.getByText(/Lost connection\. Next try in \d+ s\./).waitFor();
    await say(page, "written without a server");
    await log(page).getByText("Waits for the connection.").waitFor();
    await screenshot(page, "lost-connection");
    world.server = await startServer([], { key, wsPort: port });
    await comeBack(page);
    await expect.poll(() => log(page).getByText("Waits for the connection.").count()).toBe(0);
    const bob = await world.enter("bob");
    await say(bob, "back again");
    await log(page).getByText("back again").waitFor();
    expect(await log(page).getByText("Not sent").count()).toBe(0);
  });

  test("what was never sent survives a reload, and can be sent again or discarded", async () => {
    const page = await world.enter("ann");
    const port = Number(new URL(world.server.ws).port);
    await stop(world.server.process);
    await page.getByText(/Lost connection/).waitFor();
    await say(page, "first of two");
    await say(page, "second of two");
    await page.reload();
    await page.getByText(/No connection to the server/).waitFor();
    await log(page).getByText("first of two").waitFor();
    world.server = await startServer([], { key, wsPort: port });
    await comeBack(page);
    await page.getByText("1 person here").waitFor();
    const bob = await world.enter("bob");
    await log(page).getByRole("button", { name: "Discard" }).first().click();
    await expect.poll(() => log(page).getByRole("button", { name: "Try again" }).count()).toBe(1);
    await log(page).getByRole("button", { name: "Try again" }).click();
    await log(bob).getByText("second of two").waitFor();
    expect(await log(page).getByText("first of two").count()).toBe(0);
  });

  test("another key of the server is an error that names both", async () => {
    const page = await world.enter("ann");
    const port = Number(new URL(world.server.ws).port);
    await stop(world.server.process);
    const other = await startServer([], { wsPort: port });
    await page.getByText("has another key").waitFor();
    expect(await page.getByRole("status").textContent()).toContain(other.id);
    await stop(other.process);
    world.server = await startServer([], { key, wsPort: port });
    await comeBack(page);
    await page.getByText("1 person here").waitFor();
  });

  test("unread messages and mentions are counted, and stand behind a line", async () => {
    const page = await world.enter("ann");
    await page.getByRole("textbox", { name: "Message" }).fill("/join #ops");
    await page.keyboard.press("Enter");
    await log(page, "#ops").waitFor();
    const bob = await world.enter("bob");
    await say(bob, "anybody here?");
    await say(bob, "Ann, are you?");
    const entry = page.getByRole("button", { name: /^#general/ });
    await expect.poll(() => entry.textContent()).toContain("2 unread messages, 1 mention");
    expect(await page.title()).toBe("(2) #ops · darkchat");
    await screenshot(page, "unread");
    await entry.click();
    await log(page).getByText("New", { exact: true }).waitFor();
    expect(await page.title()).toBe("#general · darkchat");
    expect(await entry.textContent()).not.toContain("unread");
  });

  test("a name changes, also with a command, and a wrong one says why", async () => {
    const page = await world.enter("ann");
    const bob = await world.enter("bob");
    const field = page.getByRole("textbox", { name: "Message" });
    await field.fill("/nick dora");
    await field.press("Enter");
    await say(page, "with another name");
    await expect
      .poll(() => log(bob).getByRole("article").filter({ hasText: "with another name" }).textContent())
      .toMatch(/dora~/);
    await field.fill("/nick a\u202eb");
    await field.press("Enter");
    await page.getByText("user name may not contain the character U+202E").waitFor();
    await field.fill("/jion #x");
    await field.press("Enter");
    await page.getByText("unknown command /jion; did you mean /join?").waitFor();
  });

  test("the page names itself as servers do: by the hash of the list of its files", async () => {
    const page = await world.enter("ann");
    await page.getByRole("button", { name: /settings/ }).click();
    await page.getByText(pageSha256()).waitFor();
  });

  test("without a secure context it works too, with the fallback, and says what that means", async () => {
    const page = await (await world.window()).newPage();
    await page.goto(`${world.front.url.replace("127.0.0.1", OPEN_HOST)}#general`);
    await page.getByText("1 person here").waitFor();
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
    await page.getByRole("alert").getByText("your key cannot be locked away").waitFor();
    const bob = await world.enter("bob");
    await say(page, "unprotected");
    await log(bob).getByText("unprotected").waitFor();
    await say(bob, "I hear you");
    await log(page).getByText("I hear you").waitFor();
    await screenshot(page, "unprotected");
    await page.reload();
    await page.getByText("1 person here").waitFor();
  });

  test("the recovery file of a new key brings it to another browser", async () => {
    const page = await world.enter("ann");
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save the file" }).click();
    const file = await (await download).path();
    expect(await page.getByRole("button", { name: "Save the file" }).count()).toBe(0);
    const own = (of: typeof page): Promise<string | null> =>
      of.getByRole("list", { name: "Members", exact: true }).getByRole("listitem").first().textContent();
    const before = await own(page);
    const other = await world.enter("ann");
    expect(await own(other)).not.toBe(before);
    await other.getByRole("button", { name: /settings/ }).click();
    await other.getByLabel("Use the key of a recovery file instead").setInputFiles(file);
    await expect.poll(() => own(other)).toBe(before);
    await other.getByText(/person here/).waitFor();
  });
});
