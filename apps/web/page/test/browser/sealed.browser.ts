// Direct messages and private channels, between windows and with the SDK outside of a browser.

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { isPossible, log, say, screenshot, World } from "./world.ts";

describe.skipIf(!isPossible)("sealed conversations", () => {
  let world: World;

  beforeAll(async () => {
    world = await World.start();
  });
  afterEach(async () => {
    await world.clear();
    expect(world.complaints.splice(0)).toEqual([]);
  });
  afterAll(() => world?.stop());

  test("direct messages both ways, and the same number and words on both sides", async () => {
    const ann = await world.enter("ann");
    const bob = await world.enter("bob");
    const member = ann
      .getByRole("list", { name: "Members", exact: true })
      .getByRole("button", { name: /^bob ?~/ });
    await member.click();
    await ann.getByRole("button", { name: "Write directly" }).click();
    await say(ann, "for your eyes only");
    const entry = bob.getByRole("list", { name: "Direct messages" }).getByRole("button", { name: /^ann ?~/ });
    await expect.poll(() => entry.textContent()).toContain("1 unread message");
    await entry.click();
    await bob
      .getByRole("log", { name: /^Messages with ann~/ })
      .getByText("for your eyes only")
      .waitFor();
    await say(bob, "and the answer");
    const annLog = ann.getByRole("log", { name: /^Messages with bob~/ });
    await annLog.getByText("and the answer").waitFor();
    await expect.poll(() => annLog.getByText("sending…").count()).toBe(0);
    expect(await annLog.getByText("Not sent").count()).toBe(0);
    await screenshot(ann, "direct");
    const numbers = [];
    for (const page of [ann, bob]) {
      await page.getByRole("button", { name: "Compare keys" }).click();
      await page.getByText(/^(\d{5} ?){6}$/).waitFor();
      const words = await page.getByRole("dialog").getByRole("listitem").allTextContents();
      expect(words).toHaveLength(8);
      numbers.push([await page.getByText(/^(\d{5} ?){6}$/).textContent(), ...words].join(" "));
    }
    expect(numbers[0]).toBe(numbers[1]);
    await screenshot(ann, "compare");
    await ann.getByRole("button", { name: "They are the same" }).click();
    await ann.getByRole("button", { name: "Close", exact: true }).click();
    await ann.getByText(/End-to-end encrypted, number compared \d{4}-\d\d-\d\d/).waitFor();
  });

  test("with somebody outside of a browser, by a command with a key", async () => {
    const page = await world.enter("ann");
    const bot = await world.client("bot");
    const reader = bot.inbox()[Symbol.asyncIterator]();
    await say(page, `/msg ${bot.id} hello bot`);
    const { value } = await reader.next();
    expect(value).toMatchObject({ type: "direct", text: "hello bot", name: "ann" });
    expect(await bot.direct(value.from).send("hello page")).toMatchObject({ received: true });
    await page
      .getByRole("log", { name: /^Messages with bot~/ })
      .getByText("hello page")
      .waitFor();
  });

  test("whoever is here is meant by their name too, unless two have it", async () => {
    const page = await world.enter("ann");
    const [bot, other] = [await world.client("bot"), await world.client("Bot")];
    const reader = bot.inbox()[Symbol.asyncIterator]();
    await (await bot.join("#general")).send("here");
    await log(page).getByText("here", { exact: true }).waitFor();
    await say(page, "/msg bot by name");
    const { value } = await reader.next();
    expect(value).toMatchObject({ text: "by name", name: "ann" });
    await (await other.join("#general")).send("me too");
    await page.getByRole("button", { name: /^#general/ }).click();
    await log(page).getByText("me too").waitFor();
    await say(page, "/block bot");
    await page.getByText(/bot could be bot~[a-z2-7]{8} or bot~[a-z2-7]{8}/i).waitFor();
    await page.getByRole("textbox", { name: "Message" }).fill("/msg dora hello");
    await page.keyboard.press("Enter");
    await page.getByText("nobody here is called dora").waitFor();
  });

  test("nobody there: it says so, and it can be tried again", async () => {
    const page = await world.enter("ann");
    const bot = await world.client("bot");
    const key = bot.id;
    await bot.close();
    await say(page, `/msg ${key} anybody?`);
    await page.getByText("Not sent: nobody received it: the person is not online.").waitFor();
    await page.getByRole("button", { name: "Try again" }).waitFor();
  });

  test("a private channel by its link, also after a reload", async () => {
    const ann = await world.enter("ann");
    await ann.getByRole("button", { name: "Add another" }).click();
    await ann.getByRole("dialog").getByLabel("Channel", { exact: true }).fill("secret");
    await ann.getByRole("checkbox", { name: "Private: make a new one" }).check();
    await ann.getByRole("button", { name: "Join", exact: true }).click();
    await ann.getByText("Private · 1 person here").waitFor();
    expect(new URL(ann.url()).hash).not.toContain("secret");
    await ann.getByRole("button", { name: "Invite" }).click();
    const code = ann.getByRole("dialog").getByText("#dchat-invite-1:");
    const link = (await code.textContent()) ?? "";
    await screenshot(ann, "invite");
    await ann.getByRole("button", { name: "Close", exact: true }).click();
    expect(link.startsWith(world.front.url)).toBe(true);

    const bob = await world.open(undefined, link.slice(world.front.url.length));
    await bob.getByText(/Private · \d/).waitFor();
    // The secret does not stay in the address.
    expect(bob.url()).not.toContain("dchat-invite");
    await say(bob, "in by the link");
    await log(ann, "#secret").getByText("in by the link").waitFor();
    await screenshot(ann, "private");
    await bob.reload();
    await bob.getByText(/Private · \d/).waitFor();
    await say(ann, "welcome back");
    await log(bob, "#secret").getByText("welcome back").waitFor();
  });

  test("who comes back after a reload learns what was changed meanwhile, and knows the list", async () => {
    const page = await world.enter("ann");
    const key = await ownKey(page);
    const bot = await world.client("bot");
    const channel = await bot.createPrivate("den", { members: [key] });
    await channel.inviteTo(key);
    await page.getByRole("button", { name: "Accept" }).click();
    await page.getByText(/Private · \d/).waitFor();
    await page.goto("about:blank");
    // It would wait for the page's acknowledgement.
    const changed = channel.rekey().catch(() => {});
    await expect.poll(() => channel.generation).toBe(1);
    await page.goBack();
    await page.getByText(/Private · \d/).waitFor();
    // The new secret comes because the page asks for it; what is said before that, it does not hear.
    const heard = log(page, "#den").getByText("with the new secret");
    const hears = async (): Promise<number> => {
      await channel.send("with the new secret");
      return heard.count();
    };
    await expect.poll(hears, { timeout: 15_000, interval: 500 }).toBeGreaterThan(0);
    await channel.leave();
    await changed;
  });

  test("a blocked person is neither heard nor written to, until that is taken back", async () => {
    const page = await world.enter("ann");
    const bot = await world.client("bot");
    const general = await bot.join("#general");
    await general.send("before");
    const member = page
      .getByRole("list", { name: "Members", exact: true })
      .getByRole("button", { name: /^bot ?~/ });
    await member.click();
    await page.getByRole("button", { name: "Block", exact: true }).click();
    await page.getByText(/^Blocked:/).waitFor();
    await screenshot(page, "blocked");
    await page.getByRole("button", { name: "Close", exact: true }).click();
    await general.send("meanwhile");
    await page.reload();
    await page.getByText(/person here|people here/).waitFor();
    await general.send("still meanwhile");
    await say(page, `/unblock ${bot.id}`);
    await general.send("after");
    await log(page).getByText("after", { exact: true }).waitFor();
    expect(await log(page).getByText("meanwhile").count()).toBe(0);
  });

  test("an invitation by direct message is taken up only when the user says so", async () => {
    const page = await world.enter("ann");
    const key = await ownKey(page);
    const bot = await world.client("bot");
    const channel = await bot.createPrivate("den");
    expect(await channel.inviteTo(key)).toEqual({ received: true });
    await page.getByText(/#den is private, and .* invites you\./).waitFor();
    expect(await page.getByRole("list", { name: "Channels", exact: true }).getByText("#den").count()).toBe(0);
    await screenshot(page, "invitation");
    await page.getByRole("button", { name: "Accept" }).click();
    await page.getByText(/Private · \d/).waitFor();
    await channel.send("glad you came");
    await log(page, "#den").getByText("glad you came").waitFor();
  });

  test("who may change a private channel adds a person by a command, and that person is invited", async () => {
    const page = await world.enter("ann");
    const key = await ownKey(page);
    const [bot, carol] = [await world.client("bot"), await world.client("carol")];
    const invited = new Promise<string>((resolve) => carol.on("invite", ({ invite }) => resolve(invite)));
    const channel = await bot.createPrivate("den", { members: [key], admins: [key] });
    await say(page, `/add ${carol.id}`);
    await page.getByText("this is no private channel that you have joined").waitFor();
    await channel.inviteTo(key);
    await page.getByRole("button", { name: "Accept" }).click();
    await page.getByText(/Private · \d/).waitFor();
    // The list comes with the first change: an invitation has its hash alone.
    await channel.rekey();
    await say(page, `/add ${carol.id}`);
    const joined = await carol.joinPrivate(await invited);
    await log(page, "#den").getByText("Added to the list, and the invitation arrived.").waitFor();
    await say(page, "welcome, carol");
    const { value } = await joined[Symbol.asyncIterator]().next();
    expect(value).toMatchObject({ text: "welcome, carol", name: "ann" });
  });
});

/** The key of whoever sits before a page. */
async function ownKey(page: Page): Promise<string> {
  await page.getByRole("list", { name: "Members", exact: true }).getByRole("button").first().click();
  const key = await page.getByRole("dialog").locator("code").textContent();
  await page.getByRole("button", { name: "Close", exact: true }).click();
  return key ?? "";
}
