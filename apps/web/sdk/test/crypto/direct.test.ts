// Direct messages' handshake and ratchet, against the vectors and against themselves.

import { describe, expect, test } from "vitest";
import { type Bytes, concat, hex, utf8 } from "../../src/bytes.ts";
import type { DhPair, Suite } from "../../src/crypto/suite.ts";
import { keyIdOf, OwnBundles, openBundle } from "../../src/direct/bundle.ts";
import { hear, initiate } from "../../src/direct/handshake.ts";
import { Ratchet } from "../../src/direct/ratchet.ts";
import { decodePacket, encodePacket } from "../../src/wire/packet.ts";
import { pad, unpad } from "../../src/wire/pad.ts";
import { bytesOf, SUITES, vectors } from "../support.ts";

type Fields = Record<string, string>;
interface Step {
  message: string;
  plain: string;
  receiver: "alice" | "bob";
  fresh_ratchet_private_if_dh_step: string;
}
const DRAFT = vectors<{ ids: Fields; dm: Fields & { messages: never; receive_order: never } }>(
  "crypto",
  "dchat1-draft.json",
);
const DM = DRAFT.dm as unknown as Fields;
const MESSAGES = (DRAFT.dm as unknown as { messages: Fields }).messages;
const ORDER = (DRAFT.dm as unknown as { receive_order: Step[] }).receive_order;
const OTHER = vectors<{
  dm: {
    framing: Fields;
    bundle: Fields;
    padding: { length: number; padded: number }[];
    padded_127: string;
    content: Fields;
  };
}>("crypto", "dchat1-messages.json").dm;

const text = (bytes: Bytes | string): string =>
  typeof bytes === "string" ? `<${bytes}>` : new TextDecoder().decode(bytes);

/** Two sides of one fresh session. */
async function pair(suite: Suite): Promise<[Ratchet, Ratchet]> {
  const secrets = {
    hash: new Uint8Array(32).fill(1),
    keys: [new Uint8Array(32), new Uint8Array(32).fill(2)] as const,
  };
  const own = await suite.newDh();
  return [
    await Ratchet.initiator(suite, secrets, own.publicKey),
    await Ratchet.responder(suite, secrets, own),
  ];
}

const send = (from: Ratchet, word: string): ReturnType<Ratchet["seal"]> => from.seal(utf8(word));

describe.each(SUITES)("$name", (suite) => {
  test("the ratchet opens the messages of the draft, in their order", async () => {
    const secrets = {
      hash: bytesOf(DM.handshake_hash),
      keys: [bytesOf(DM.split_k1), bytesOf(DM.split_k2)] as const,
    };
    let fresh = "";
    const newDh = (): Promise<DhPair> => suite.dhFrom(bytesOf(fresh));
    const bobs = await suite.dhFrom(bytesOf(DM.bob_ratchet0_private));
    fresh = DM.alice_ratchet0_private ?? "";
    const alice = await Ratchet.initiator(suite, secrets, bobs.publicKey, newDh);
    const bob = await Ratchet.responder(suite, secrets, bobs, newDh);
    expect([alice.sid, bob.sid].map(hex)).toEqual([DM.session_id, DM.session_id]);
    const a0 = await alice.seal(utf8("a0"));
    expect(hex(encodePacket({ is: "msg", ...a0 })).slice(2)).toBe(MESSAGES.a0);
    for (const step of ORDER) {
      fresh = step.fresh_ratchet_private_if_dh_step;
      const packet = decodePacket(concat(Uint8Array.of(3), bytesOf(MESSAGES[step.message])));
      if (packet.is !== "msg") throw new Error("not a message");
      const receiver = step.receiver === "bob" ? bob : alice;
      expect(text(await receiver.open(packet.head, packet.sealed, 0)), step.message).toBe(step.plain);
      expect(await receiver.open(packet.head, packet.sealed, 0)).not.toBeInstanceOf(Uint8Array);
    }
  });

  test("the bundle of the messages opens, for its user and in its time", async () => {
    const signed = bytesOf(OTHER.bundle.signed);
    const bob = bytesOf(DRAFT.ids.bob);
    const now = 1_800_000_000_000;
    const bundle = await openBundle(suite, "main", signed, now, bob);
    expect(hex(bundle?.keyId ?? new Uint8Array())).toBe(OTHER.bundle.key_id);
    expect(await openBundle(suite, "main", signed, now, bytesOf(DRAFT.ids.alice))).toBeUndefined();
    expect(await openBundle(suite, "other", signed, now, bob)).toBeUndefined();
    expect(await openBundle(suite, "main", signed, now - 300_001, bob)).toBeUndefined();
    expect(await openBundle(suite, "main", signed, now + 2 * 86_400_000, bob)).toBeUndefined();
    expect(await openBundle(suite, "main", signed.slice(1), now, bob)).toBeUndefined();
    expect(hex(await keyIdOf(suite, bytesOf(DM.bob_bundle_body)))).toBe(OTHER.framing.key_id);
  });

  test("two devices begin, and talk both ways in any order", async () => {
    const now = Date.now();
    const side = async (seed: number) => {
      const signer = await suite.signerFrom(new Uint8Array(32).fill(seed));
      const device = new Uint8Array(16).fill(seed);
      const bundles = new OwnBundles(suite, signer, "main", device);
      const signed = await bundles.issue(new Uint8Array(32).fill(9), 0, now);
      const bundle = await openBundle(suite, "main", signed, now);
      const latest = bundles.latest();
      if (bundle === undefined || latest === undefined) throw new Error("no bundle");
      return { user: signer.publicKey, device, bundles, bundle, latest };
    };
    const [alice, bob] = [await side(1), await side(2)];
    const init = await initiate(suite, "main", alice.latest, bob.bundle, now);
    const packet = decodePacket(init.packet);
    if (packet.is !== "init") throw new Error("no INIT");
    const own = bob.bundles.find(packet.keyId, 1);
    if (own === undefined) throw new Error("bob does not know his bundle");
    const heard = await hear(suite, "main", bob, own, packet.noise, now);
    expect(hex(heard?.bundle.user ?? new Uint8Array())).toBe(hex(alice.user));
    expect(await hear(suite, "main", bob, own, packet.noise, now + 300_001)).toBeUndefined();
    expect(await hear(suite, "main", alice, own, packet.noise, now)).toBeUndefined();
    const answer = await heard?.answer();
    const resp = decodePacket(answer?.packet ?? new Uint8Array());
    if (resp.is !== "resp" || answer === undefined) throw new Error("no RESP");
    expect(hex(resp.initRef)).toBe(hex(init.initRef));
    expect(
      await (await initiate(suite, "main", alice.latest, bob.bundle, now)).finish(resp.noise),
    ).toBeUndefined();
    const ratchet = await init.finish(resp.noise);
    if (ratchet === undefined) throw new Error("no session");
    expect([ratchet.canSend, answer.ratchet.canSend]).toEqual([true, false]);
    const [one, two] = [await send(ratchet, "one"), await send(ratchet, "two")];
    expect(text(await answer.ratchet.open(two.head, two.sealed, 0))).toBe("two");
    expect(text(await answer.ratchet.open(one.head, one.sealed, 0))).toBe("one");
    const back = await send(answer.ratchet, "back");
    expect(text(await ratchet.open(back.head, back.sealed, 0))).toBe("back");
  });

  test("a message that does not open changes nothing", async () => {
    const [alice, bob] = await pair(suite);
    const first = await send(alice, "first");
    const forged = first.sealed.slice();
    forged[3] = (forged[3] ?? 0) ^ 1;
    expect(await bob.open(first.head, forged, 0)).toBe("unreadable");
    expect(await bob.open({ ...first.head, dh: new Uint8Array(32) }, first.sealed, 0)).toBe("unreadable");
    expect(await bob.open({ ...first.head, n: 7 }, first.sealed, 0)).toBe("unreadable");
    expect(text(await bob.open(first.head, first.sealed, 0))).toBe("first");
    expect(await bob.open(first.head, first.sealed, 0)).toBe("duplicate");
    const far = { ...(await send(alice, "far")).head, n: 514 };
    expect(await bob.open(far, first.sealed, 0)).toBe("unreadable");
  });

  test("skipped keys are kept for ten minutes", async () => {
    const [alice, bob] = await pair(suite);
    const lost = [await send(alice, "a"), await send(alice, "b")];
    const last = await send(alice, "c");
    expect(text(await bob.open(last.head, last.sealed, 0))).toBe("c");
    const [a, b] = lost;
    if (!a || !b) throw new Error("no messages");
    expect(text(await bob.open(a.head, a.sealed, 599_999))).toBe("a");
    expect(await bob.open(b.head, b.sealed, 600_000)).toBe("duplicate");
  });
});

test("padding has one form", () => {
  for (const { length, padded } of OTHER.padding) {
    const content = new Uint8Array(length).fill(5);
    expect(pad(content).length).toBe(Number(padded));
    expect(unpad(pad(content))).toEqual(content);
  }
  expect(hex(pad(concat(Uint8Array.of(8), new Uint8Array(126))))).toBe(OTHER.padded_127);
  expect(hex(pad(bytesOf(OTHER.content.encoded)))).toBe(OTHER.content.padded);
  for (const wrong of [new Uint8Array(128), new Uint8Array(0), concat(pad(utf8("x")), new Uint8Array(128))]) {
    expect(unpad(wrong)).toBeUndefined();
  }
});
