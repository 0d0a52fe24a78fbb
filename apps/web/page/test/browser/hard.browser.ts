// The page where it is hard: hostile names and texts, floods, phones, the keyboard alone, and what axe finds.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { isPossible, log, say, screenshot, World } from "./world.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe.skipIf(!isPossible)("the page where it is hard", () => {
  let world: World;

  beforeAll(async () => {
    world = await World.start();
  });
  afterEach(async () => {
    await world.clear();
    expect(world.complaints.splice(0)).toEqual([]);
  });
  afterAll(() => world?.stop());

  const HOSTILE = [
    "__proto__",
    "constructor",
    "<img src=x onerror=document.title='owned'>",
    "<script>document.title='owned'</script>",
    "javascript:alert(1)",
    "\u202egnp.exe\u202c and \u2066more\u2069",
    "\x1b[2J\x07\x00bell",
    "a".repeat(65_536),
    "\n".repeat(500),
    "👨‍👩‍👧‍👦 🏳️‍🌈 👩🏽‍🚀 🇩🇪",
    "مرحبا بالعالم! שלום עולם (1, 2)",
    "Z̸̨̛̖̲̗͓".repeat(200),
    "https://example.org/a.png",
  ];

  test("hostile texts are plain text, and nothing breaks", async () => {
    const page = await world.enter("ann", "#__proto__");
    const bot = await world.client("__proto__");
    const channel = await bot.join("#__proto__");
    for (const text of HOSTILE) await channel.send(text);
    await channel.send("the end");
    const heard = log(page, "#__proto__");
    await heard.getByText("the end").waitFor();
    const texts = await heard.locator(".text").allTextContents();
    for (const text of HOSTILE.slice(0, 5)) expect(texts).toContain(text);
    await heard.getByText("\\u{202e}gnp.exe\\u{202c} and \\u{2066}more\\u{2069}").waitFor();
    await heard.getByText("\\x1b[2J\\x07\\x00bell").waitFor();
    expect(await heard.locator("img, script").count()).toBe(0);
    expect(await page.title()).toBe("#__proto__ · darkchat");
    expect(await heard.getByRole("link").getAttribute("rel")).toBe("noopener noreferrer nofollow");
    await heard.getByRole("button", { name: "show image" }).waitFor();
    await heard.getByRole("button", { name: "Show all (65,536 bytes)" }).click();
    const longest = await heard
      .locator(".text")
      .evaluateAll((all) => Math.max(...all.map((one) => one.textContent?.length ?? 0)));
    expect(longest).toBe(65_536);
    await screenshot(page, "hostile");
    await say(page, "still usable");
    await heard.getByText("still usable").waitFor();
  });

  test("hostile names stay on their line, and behind them the mark", async () => {
    const page = await world.enter("ann");
    const names = [
      "__proto__",
      "<b>bob</b>",
      "bob~k7q2m9xa",
      "مرحبا",
      "שלום",
      "👨‍👩".replace("\u200d", ""),
      "W".repeat(48),
    ];
    for (const name of names) {
      const bot = await world.client(name);
      await (await bot.join("#general")).send(`I am ${name}`);
    }
    const articles = log(page).getByRole("article");
    await expect.poll(() => articles.count()).toBe(names.length);
    for (const [at, name] of names.entries()) {
      const header = articles.nth(at).locator("header");
      expect(await header.textContent()).toMatch(/~[a-z2-7]{8}$/);
      expect(await header.locator("bdi").textContent()).toBe(name);
    }
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    // However long the name, the mark is in sight, in the log and in the list.
    const hidden = await page.evaluate(
      () =>
        [...document.querySelectorAll(".log, .members")].flatMap((box) =>
          [...box.querySelectorAll(".mark")].filter(
            (mark) => mark.getBoundingClientRect().right > box.getBoundingClientRect().right - 4,
          ),
        ).length,
    );
    expect(hidden).toBe(0);
    await screenshot(page, "names");
  });

  test("a thousand messages a second keep the page usable, and memory bounded", async () => {
    const page = await world.enter("ann", "#flood");
    const bots = await Promise.all([1, 2, 3, 4].map((number) => world.client(`bot${number}`)));
    const channels = await Promise.all(bots.map((bot) => bot.join("#flood")));
    const SECONDS = 8;
    let sent = 0;
    const flood = (async () => {
      const start = performance.now();
      const open: Promise<unknown>[] = [];
      while (performance.now() - start < SECONDS * 1_000) {
        const due = Math.floor(performance.now() - start);
        for (; sent < due; sent++) {
          const sending = channels[sent % channels.length]?.send(`message ${sent} of a flood`);
          if (sending !== undefined) open.push(sending.catch(() => {}));
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await Promise.all(open);
      await channels[0]?.send("the end of the flood");
    })();
    await log(page, "#flood")
      .getByText(/message \d+ of a flood/)
      .first()
      .waitFor();
    const field = page.getByRole("textbox", { name: "Message" });
    await field.focus();
    // The time from a key to the next frame, in the page itself.
    await page.evaluate(() => {
      const delays: number[] = [];
      Object.assign(globalThis, { delays });
      addEventListener("keydown", (event) =>
        requestAnimationFrame(() => delays.push(performance.now() - event.timeStamp)),
      );
    });
    for (const letter of "typing while it pours, and it pours a lot") {
      await field.press(letter === " " ? "Space" : letter);
      await page.waitForTimeout(50);
    }
    const delays = await page.evaluate(() =>
      (globalThis as unknown as { delays: number[] }).delays.sort((a, b) => a - b),
    );
    await screenshot(page, "flood");
    await flood;
    await log(page, "#flood").getByText("the end of the flood").waitFor();
    const median = delays[Math.floor(delays.length / 2)] ?? Number.NaN;
    const slow = delays[Math.floor(delays.length * 0.95)] ?? Number.NaN;
    process.stdout.write(
      `flood: ${sent} sent, key to frame ${median.toFixed(0)} ms, 95 % ${slow.toFixed(0)} ms\n`,
    );
    expect(await field.inputValue()).toBe("typing while it pours, and it pours a lot");
    expect(await log(page, "#flood").getByRole("article").count()).toBeLessThanOrEqual(200);
    // What is in use, and not what nobody has collected yet.
    const debug = await page.context().newCDPSession(page);
    await debug.send("HeapProfiler.collectGarbage");
    const { usedSize } = await debug.send("Runtime.getHeapUsage");
    expect(usedSize).toBeLessThan(100 * 1024 * 1024);
    await page.keyboard.press("Enter");
    await log(page, "#flood").getByText("typing while it pours").waitFor();
  });

  test("a phone: one column, drawers, and nothing wider than the screen", async () => {
    const context = await world.window({
      viewport: { width: 390, height: 780 },
      hasTouch: true,
      isMobile: true,
      colorScheme: "dark",
    });
    const welcome = await world.open(context);
    await welcome.getByLabel("Your name").waitFor();
    await screenshot(welcome, "phone-welcome");
    await welcome.close();
    const page = await world.enter("ann", "#general", context);
    const bot = await world.client("bob");
    const channel = await bot.join("#general");
    await channel.send("hello, phone");
    await channel.send("a second line of the same person");
    await say(page, "hello from a small screen");
    await log(page).getByText("hello, phone").waitFor();
    await screenshot(page, "phone");
    expect(await page.getByRole("list", { name: "Channels", exact: true }).count()).toBe(0);
    await page.getByRole("button", { name: "Show the channel list" }).click();
    await page.getByRole("list", { name: "Channels", exact: true }).waitFor();
    await page.locator("[data-region=channels] button:focus").waitFor();
    await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
    await screenshot(page, "phone-channels");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Show who is here" }).click();
    await page.getByRole("list", { name: "Members", exact: true }).getByText(/^bob$/).waitFor();
    await page.getByRole("button", { name: "Close the drawer" }).click({ position: { x: 10, y: 400 } });
    await expect.poll(() => page.getByRole("list", { name: "Members", exact: true }).count()).toBe(0);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  });

  test("by the keyboard alone", async () => {
    const page = await world.open();
    await page.getByLabel("Your name").and(page.locator(":focus")).waitFor();
    await page.keyboard.type("ann");
    await page.keyboard.press("Enter");
    await page.getByText("1 person here").waitFor();
    const field = page.getByRole("textbox", { name: "Message" }).and(page.locator(":focus"));
    await field.waitFor();
    await page.keyboard.type("typed at once");
    await page.keyboard.press("Enter");
    await log(page).getByText("typed at once").waitFor();
    await page.keyboard.type("/jo");
    await page.keyboard.press("Tab");
    await page.keyboard.type("#ops");
    await page.keyboard.press("Enter");
    await log(page, "#ops").waitFor();
    await field.waitFor();
    const region = (): Promise<string | undefined> =>
      page.evaluate(() => document.activeElement?.closest<HTMLElement>("[data-region]")?.dataset.region);
    expect(await region()).toBe("composer");
    const seen = [];
    for (let count = 0; count < 4; count++) {
      await page.keyboard.press("F6");
      seen.push(await region());
    }
    expect(seen).toEqual(["members", "channels", "timeline", "composer"]);
    await page.keyboard.press("F6");
    await page.keyboard.press("F6");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("F6");
    // Wherever one was: a channel is chosen, and the focus is where one writes.
    await page.getByRole("button", { name: /^#general/ }).focus();
    await page.keyboard.press("Enter");
    await log(page).waitFor();
    await field.waitFor();
  });

  test("forced colours, zoom to 200 % and reduced motion are kept to", async () => {
    // A page that is zoomed has half as many pixels of its own, each of which takes four of the screen.
    const zoomed = { viewport: { width: 600, height: 380 }, deviceScaleFactor: 2 };
    const kinds = [
      ["forced", { forcedColors: "active" }],
      ["zoomed", { ...zoomed, reducedMotion: "reduce" }],
    ] as const;
    for (const [kind, options] of kinds) {
      const context = await world.window(options);
      const welcome = await world.open(context);
      await welcome.getByLabel("Your name").waitFor();
      await screenshot(welcome, `${kind}-welcome`);
      await welcome.close();
      const page = await world.enter("ann", "#general", context);
      const bot = await world.client("bob");
      await (await bot.join("#general")).send("ann: see https://example.org/a.png");
      await log(page).getByText("ann: see").waitFor();
      await say(page, "/join #ops");
      await log(page, "#ops").waitFor();
      await say(page, "a line of my own");
      await log(page, "#ops").getByText("a line of my own").waitFor();
      await (await bot.join("#ops")).send("and another");
      await log(page, "#ops").getByText("and another").waitFor();
      await screenshot(page, kind);
      expect(await violations(page)).toEqual([]);
      const fits = await page.evaluate(() => {
        const composer = document.querySelector("[data-region=composer]")?.getBoundingClientRect();
        const text = document.querySelector(".log")?.getBoundingClientRect();
        return {
          across: document.documentElement.scrollWidth <= innerWidth,
          composer: (composer?.bottom ?? Number.POSITIVE_INFINITY) <= innerHeight,
          // At least three lines of a conversation are to be seen above it.
          log: (text?.height ?? 0) >= 120,
        };
      });
      expect(fits).toEqual({ across: true, composer: true, log: true });
      if (kind === "zoomed") {
        await page.getByRole("button", { name: "Show the channel list" }).click();
        const moves = await page.evaluate(() => document.getAnimations().length);
        expect(moves).toBe(0);
        await screenshot(page, "zoomed-channels");
      }
      await page.getByRole("button", { name: /settings/ }).click();
      await page.getByRole("dialog").waitFor();
      await screenshot(page, `${kind}-settings`);
    }
  });

  test("axe finds nothing, in light and in dark", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      const context = await world.window({ colorScheme });
      const welcome = await world.open(context);
      await welcome.getByLabel("Your name").waitFor();
      expect(await violations(welcome)).toEqual([]);
      await welcome.close();
      const page = await world.enter("ann", "#general", context);
      const bot = await world.client("bob");
      const channel = await bot.join("#general");
      for (const text of [
        "good morning",
        "is the build green?",
        "see https://example.org/a.png",
        "ann: yes",
      ]) {
        await channel.send(text);
      }
      await say(page, "let me look");
      await say(page, "it is");
      await log(page).getByText("ann: yes").waitFor();
      await log(page).getByText("it is", { exact: true }).waitFor();
      expect(await violations(page)).toEqual([]);
      await screenshot(page, `chat-${colorScheme}`);
      await page.getByRole("textbox", { name: "Message" }).fill("/");
      expect(await violations(page)).toEqual([]);
      await screenshot(page, `commands-${colorScheme}`);
      await page.getByRole("textbox", { name: "Message" }).fill("");
      await page.getByRole("button", { name: /settings/ }).click();
      await page.getByRole("dialog").waitFor();
      expect(await violations(page)).toEqual([]);
      await screenshot(page, `settings-${colorScheme}`);
    }
  });
});

/** What axe has to say; it runs through the debugger, which the page's policy does not bind. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<{
          violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
        }>;
      };
    };
    const found = await axe.run();
    return found.violations.flatMap(({ id, impact, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${impact} ${id}: ${html} ${failureSummary}`),
    );
  });
}
