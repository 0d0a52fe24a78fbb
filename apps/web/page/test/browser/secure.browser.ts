// The page over TLS: by darkchatd itself, and on a sub-path behind the proxies that the documentation shows.

import { renameSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Pair, selfSigned } from "../../../sdk/test/interop/programs.ts";
import { freePort, PROXIES, shown } from "./proxies.ts";
import { isPossible, itself, log, say, World } from "./world.ts";

/** Two people talk, on a page that the browser protects. */
async function talk(world: World): Promise<void> {
  const ann = await world.enter("ann");
  expect(await ann.evaluate(() => isSecureContext)).toBe(true);
  expect(await ann.getByText("your key cannot be locked away").count()).toBe(0);
  const bob = await world.enter("bob");
  await say(ann, "hello bob");
  await log(bob).getByText("hello bob").waitFor();
  await say(bob, "hello ann");
  await log(ann).getByText("hello ann").waitFor();
}

describe.skipIf(!isPossible)("the page over TLS of the server", () => {
  let world: World;
  let pair: Pair;
  let next: Pair;

  beforeAll(async () => {
    [pair, next] = [selfSigned(), selfSigned()];
    const flags = ["--tls-cert", pair.cert, "--tls-key", pair.key];
    world = await World.start(flags, { before: itself, certificates: [pair.cert, next.cert] });
  });
  afterEach(async () => {
    await world.clear();
    expect(world.complaints.splice(0)).toEqual([]);
  });
  afterAll(() => world?.stop());

  test("two windows over https and wss", async () => {
    expect(world.front.url).toMatch(/^https:/);
    expect(world.server.ws).toMatch(/^wss:/);
    await talk(world);
  });

  test("a hangup takes a new certificate in, and nobody is disconnected", async () => {
    const port = Number(new URL(world.server.ws).port);
    const page = await world.enter("ann");
    const before = await shown(port, pair);
    renameSync(next.key, pair.key);
    renameSync(next.cert, pair.cert);
    world.server.process.kill("SIGHUP");
    await expect.poll(() => shown(port, pair).catch(() => before)).not.toBe(before);
    const bob = await world.enter("bob");
    await say(bob, "under the new certificate");
    await log(page).getByText("under the new certificate").waitFor();
    expect(await page.getByRole("status").textContent()).toBe("");
  });
});

for (const proxy of PROXIES) {
  describe.skipIf(!isPossible || !proxy.isInstalled)(`the page behind ${proxy.name}`, () => {
    let world: World;

    beforeAll(async () => {
      const pair = selfSigned();
      const port = await freePort();
      // On another port than 443 the origin is not that of the host's name alone.
      world = await World.start(["--origin", `https://localhost:${port}`], {
        before: (ws) => proxy.before(ws, port, pair),
        certificates: [pair.cert],
      });
    });
    afterEach(async () => {
      await world.clear();
      expect(world.complaints.splice(0)).toEqual([]);
    });
    afterAll(() => world?.stop());

    test("two windows on a sub-path", async () => {
      await talk(world);
    });

    test("the address without its last slash leads there", async () => {
      const page = await (await world.window()).newPage();
      await page.goto(world.front.url.slice(0, -1));
      await page.getByLabel("Your name").waitFor();
      expect(page.url()).toBe(world.front.url);
    });
  });
}
