// Direct messages and private channels between clients of the SDK, over two real servers that are linked.

import { afterEach, describe, expect, test } from "vitest";
import { type Client, type DirectMessage, Identity } from "../../src/index.ts";
import { SUITES } from "../support.ts";
import { areBuilt, startServer, stop } from "./programs.ts";
import { connect, endAll, linked, nextText, reader, stateOf } from "./support.ts";

afterEach(endAll);

async function twoServers(): Promise<{ urls: [string, string] }> {
  const first = await startServer();
  const second = await startServer(["--connect", first.peers]);
  return { urls: [first.ws, second.ws] };
}

/** A user's presence takes a moment to be known at the other server. */
async function sendUntilHere(
  client: Client,
  to: string,
  text: string,
): Promise<{ id: string; received: boolean }> {
  for (;;) {
    try {
      return await client.direct(to).send(text);
    } catch (error) {
      if ((error as { code?: string }).code !== "not-here") throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function nextDirect(read: () => Promise<DirectMessage | { type: "missed" }>): Promise<DirectMessage> {
  for (;;) {
    const item = await read();
    if (item.type === "direct") return item;
  }
}

describe.skipIf(!areBuilt)("over two servers", () => {
  test.each(SUITES)(
    "people write to each other, and each message is acknowledged, on $name",
    async (suite) => {
      const { urls } = await twoServers();
      const [ann, bob] = [await connect(urls[0], { suite, name: "ann" }), await connect(urls[1], { suite })];
      const [anns, bobs] = [reader(ann.inbox()), reader(bob.inbox())];
      await linked(ann, bob);
      const sent = await sendUntilHere(ann, bob.id, "psst \u202e <b>");
      expect(sent.received).toBe(true);
      expect(await nextDirect(bobs)).toMatchObject({
        id: sent.id,
        from: ann.id,
        name: "ann",
        text: "psst \u202e <b>",
      });
      for (let count = 0; count < 10; count++) {
        expect(await bob.direct(ann.id).send(`reply ${count}`, { replyTo: sent.id })).toMatchObject({
          received: true,
        });
        expect(await nextDirect(anns)).toMatchObject({ text: `reply ${count}`, replyTo: sent.id });
      }
      const large = new Uint8Array(57_344).fill(9);
      expect(await ann.direct(bob.id).send(large)).toMatchObject({ received: true });
      expect(Buffer.compare((await nextDirect(bobs)).data, large)).toBe(0);
    },
  );

  test("two devices of one user get it, at two servers, and a third gets the copy", async () => {
    const { urls } = await twoServers();
    const [{ identity }, { identity: mine }] = [await Identity.create(), await Identity.create()];
    const [desk, phone] = [await connect(urls[0], { identity }), await connect(urls[1], { identity })];
    const [here, there] = [
      await connect(urls[0], { identity: mine }),
      await connect(urls[1], { identity: mine }),
    ];
    await linked(desk, phone);
    const readers = [desk, phone, there].map((client) => reader(client.inbox()));
    // Until the other server knows of the phone, only the desk gets it.
    const seen: Promise<DirectMessage>[] = readers.map((read) => nextDirect(read));
    let isAll = false;
    void Promise.all(seen).then(() => {
      isAll = true;
    });
    while (!isAll) await sendUntilHere(here, identity.id, "to all of you");
    const got = await Promise.all(seen);
    expect(got.map(({ from, peer, text }) => [from, peer, text])).toEqual([
      [mine.id, mine.id, "to all of you"],
      [mine.id, mine.id, "to all of you"],
      [mine.id, identity.id, "to all of you"],
    ]);
  });

  test("nobody is there: not-here, and at once", async () => {
    const { urls } = await twoServers();
    const ann = await connect(urls[0]);
    const { identity } = await Identity.create();
    await expect(ann.direct(identity.id).send("x")).rejects.toMatchObject({ code: "not-here" });
  });

  test("who moves to another server is found there", async () => {
    const first = await startServer();
    const second = await startServer(["--connect", first.peers]);
    const [ann, bob] = [await connect(first.ws), await connect([first.ws, second.ws])];
    const bobs = reader(bob.inbox());
    expect(await sendUntilHere(ann, bob.id, "before")).toMatchObject({ received: true });
    const third = await connect(second.ws);
    await linked(ann, third);
    const lost = stateOf(bob, "waiting");
    await stop(first.process);
    await lost;
    await stateOf(bob, "connected");
    expect(bob.state).toMatchObject({ server: second.id });
    expect(await sendUntilHere(third, bob.id, "after")).toMatchObject({ received: true });
    expect([(await nextDirect(bobs)).text, (await nextDirect(bobs)).text]).toEqual(["before", "after"]);
  });

  test("a private channel by invitation, and without whom it removes", async () => {
    const { urls } = await twoServers();
    const [ann, bob, eve] = [await connect(urls[0]), await connect(urls[1]), await connect(urls[1])];
    await linked(ann, bob);
    const garden = await ann.createPrivate("garden", { members: [bob.id, eve.id] });
    const invited = new Promise<string>((resolve) => bob.on("invite", ({ invite }) => resolve(invite)));
    await sendUntilHere(ann, bob.id, "an invitation follows");
    expect(await garden.inviteTo(bob.id)).toEqual({ received: true });
    const members = (await garden.list()) ?? [];
    const [bobs, eves] = [
      await bob.joinPrivate(await invited, { members }),
      await eve.joinPrivate(await garden.invite()),
    ];
    const [bobReads, eveReads] = [reader(bobs), reader(eves)];
    await garden.send("both of you");
    expect([(await nextText(bobReads)).text, (await nextText(eveReads)).text]).toEqual([
      "both of you",
      "both of you",
    ]);
    expect(await garden.remove([eve.id])).toEqual({ told: [bob.id], away: [] });
    await garden.send("bob alone");
    expect(await nextText(bobReads)).toMatchObject({ text: "bob alone", private: true, channel: "#garden" });
    expect([bobs.generation, eves.generation]).toEqual([1, 0]);
    await bobs.send("here");
    expect((await nextText(reader(garden))).text).toBe("here");
  });
});
