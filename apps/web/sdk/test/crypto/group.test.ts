// Private channels' keys, posts, invitations and rekeys, against the vectors and against themselves.

import { describe, expect, test } from "vitest";
import { type Bytes, EMPTY, hex, utf8 } from "../../src/bytes.ts";
import { noble } from "../../src/crypto/noble.ts";
import { Generation, GroupError, STEP_MS } from "../../src/group/generation.ts";
import { inviteText, parseInvite } from "../../src/group/invite.ts";
import { SealedEnvelope } from "../../src/group/sealed.ts";
import { Deliver, ENTRY, type Entry, type Invite } from "../../src/wire/messages.ts";
import { TestClock } from "../clock.ts";
import { bytesOf, SUITES, vectors, suite as webcrypto } from "../support.ts";

type Fields = Record<string, string>;
const DRAFT = vectors<{ ids: Fields; group: Fields }>("crypto", "dchat1-draft.json");
const VECTOR = vectors<{
  group: Fields & { fields: Fields; entries: Fields[]; message_ids: string[] };
}>("crypto", "dchat1-messages.json").group;
const GROUP = DRAFT.group;
const NOW = 1_800_000_000_000;

const entry = (kind: number, content: Bytes, replyTo: Bytes = EMPTY): Entry => ({
  kind,
  content,
  contentType: "",
  headers: new Map(),
  replyTo,
});

function invite(change: Partial<Invite> = {}): Invite {
  return {
    network: "main",
    channel: bytesOf(GROUP.channel_id),
    generation: Number(GROUP.generation),
    step: 0,
    secret: bytesOf(GROUP.secret_g_0),
    startMs: NOW - 2.5 * STEP_MS,
    admins: [bytesOf(DRAFT.ids.alice)],
    servers: [],
    name: "garden",
    membersHash: EMPTY,
    ...change,
  };
}

describe.each(SUITES)("$name", (suite) => {
  test("the secret moves on as the draft says, and gives the key of a stream", async () => {
    const group = await Generation.ofInvite(suite, "main", invite(), NOW);
    expect(group.current(NOW)).toBe(Number(GROUP.step));
    expect(hex((await group.invite("x", [], NOW)).secret)).toBe(GROUP.secret_g_2);
    const key = await group.key(2, BigInt(`0x${GROUP.stream}`));
    expect(hex(key ?? EMPTY)).toBe(GROUP.key);
    expect(await group.key(1, 1n)).toBeUndefined();
  });

  test("the sealed post of the messages opens, and only in its hours", async () => {
    const clock = new TestClock();
    clock.wallStart = Number(VECTOR.fields.time_ms);
    const startMs = clock.wallStart - 2.5 * STEP_MS;
    const group = await Generation.ofInvite(suite, "main", invite({ startMs }), clock.wall());
    const signer = await suite.signerFrom(new Uint8Array(32));
    const envelope = new SealedEnvelope(suite, clock, signer, group);
    const { sealed } = Deliver.decode(bytesOf(VECTOR.deliver));
    const post = await envelope.open(EMPTY, sealed);
    if (typeof post === "string") throw new Error(post);
    expect(hex(post.id)).toBe(VECTOR.post_id);
    expect(post.from).toBe(DRAFT.ids.alice_text);
    expect(post.entries.map(({ content }) => hex(content))).toEqual(
      VECTOR.entries.map(({ content }) => content),
    );
    expect(hex(bytesOf(VECTOR.deliver))).toBe(VECTOR.deliver);
    const changed = sealed.slice();
    changed[40] = (changed[40] ?? 0) ^ 1;
    expect(await envelope.open(EMPTY, changed)).toBe("undecryptable");
    await clock.pass(STEP_MS);
    expect(await envelope.open(EMPTY, sealed)).toBe("undecryptable");
  });

  test("what one member seals another opens, hour after hour", async () => {
    const clock = new TestClock();
    const [ann, bob] = [
      await suite.signerFrom(new Uint8Array(32).fill(1)),
      await suite.signerFrom(new Uint8Array(32).fill(2)),
    ];
    const members = [ann.publicKey, bob.publicKey];
    const anns = await Generation.create(suite, "main", [ann.publicKey], members, clock.wall());
    const bobs = await Generation.ofInvite(
      suite,
      "main",
      await anns.invite("garden", [], clock.wall()),
      clock.wall(),
      members,
    );
    const [from, to] = [
      new SealedEnvelope(suite, clock, ann, anns),
      new SealedEnvelope(suite, clock, bob, bobs),
    ];
    const close = async (stream: bigint, seq: bigint) => {
      const drafted = {
        stream,
        seq,
        timeMs: clock.wall(),
        name: "ann",
        entries: [entry(ENTRY.TEXT, utf8("hi")), entry(ENTRY.TEXT, utf8("you"))],
      };
      const { deliver, id } = await from.close(drafted);
      const post = await to.open(EMPTY, Deliver.decode(deliver).sealed);
      if (typeof post === "string") throw new Error(post);
      expect(hex(post.id)).toBe(hex(id));
      return post;
    };
    expect((await close(7n, 1n)).before).toEqual({ stream: 0n, seq: 0n });
    expect(from.wantsNewStream()).toBe(false);
    await close(7n, 3n);
    await clock.pass(STEP_MS);
    expect(from.wantsNewStream()).toBe(true);
    const later = await close(9n, 1n);
    expect(later.before).toEqual({ stream: 7n, seq: 4n });
    await expect(
      from.close({ stream: 9n, seq: 3n, timeMs: 0, name: "", entries: [entry(ENTRY.TEXT, utf8("x"))] }),
    ).resolves.toBeDefined();
    const eve = await suite.signerFrom(new Uint8Array(32).fill(3));
    const outsider = new SealedEnvelope(suite, clock, eve, anns);
    const junk = await outsider.close({
      stream: 1n,
      seq: 1n,
      timeMs: 0,
      name: "",
      entries: [entry(ENTRY.TEXT, utf8("x"))],
    });
    expect(await to.open(EMPTY, Deliver.decode(junk.deliver).sealed)).toBe("ignored");
  });
});

test("a step is accepted five minutes before and after its hour", async () => {
  const group = await Generation.ofInvite(webcrypto, "main", invite({ startMs: NOW }), NOW);
  const at = (minutes: number): number => NOW + minutes * 60_000;
  const open = (minutes: number): number[] => [0, 1, 2].filter((step) => group.accepts(step, at(minutes)));
  expect([open(30), open(54), open(55), open(60), open(64), open(65)]).toEqual([
    [0],
    [0],
    [0, 1],
    [0, 1],
    [0, 1],
    [1],
  ]);
  await group.advance(at(65));
  expect(open(30)).toEqual([1]);
  expect(group.nextMs).toBe(at(125));
  await expect(group.advance(NOW + 9_000 * STEP_MS)).rejects.toThrow(GroupError);
  await expect(Generation.ofInvite(webcrypto, "other", invite(), NOW)).rejects.toThrow("network");
});

test("invitations pass as text and as links, and damage is found", () => {
  const given = invite({ servers: ["ws://chat.example"] });
  const text = inviteText(given);
  for (const typed of [text, ` ${text}\n`, inviteText(given, "https://chat.example/x?y#old")]) {
    expect(parseInvite(typed)).toEqual(given);
  }
  for (const typed of [
    "",
    "dchat-invite-1:",
    text.slice(0, -3),
    `${text}=`,
    `ftp://a/#${text}`,
    text.replace("-1:", "-2:"),
    `dchat-invite-1:${"A".repeat(6_000)}`,
  ]) {
    expect(() => parseInvite(typed)).toThrow(/^not an invitation/);
  }
});

test("a rekey is taken only from an admin, for a later generation, with lists that agree", async () => {
  const [ann, bob, eve] = ["ann", "bob", "eve"].map((name) => utf8(name.padEnd(32, "."))) as [
    Bytes,
    Bytes,
    Bytes,
  ];
  const group = await Generation.create(noble, "main", [ann, bob], [ann, bob, eve], NOW);
  const rekey = await group.rekey(ann, [eve], "left", "garden", [], NOW);
  const next = await group.successor(rekey, NOW);
  expect([next.facts.generation, next.isMember(eve), next.isMember(bob)]).toEqual([1, false, true]);
  const refused = (change: Partial<typeof rekey>): Promise<unknown> =>
    group.successor({ ...rekey, ...change }, NOW);
  await expect(refused({ admin: eve })).rejects.toThrow("no administrator");
  await expect(refused({ oldChannel: eve })).rejects.toThrow("another channel");
  await expect(refused({ members: [ann] })).rejects.toThrow("inconsistent");
  await expect(refused({ members: [ann, bob, bob] })).rejects.toThrow("inconsistent");
  await expect(refused({ removed: [bob] })).rejects.toThrow("inconsistent");
  // Where branches come together the next generation is later than the one after this.
  const far = await group.successor({ ...rekey, next: { ...rekey.next, generation: 64 } }, NOW);
  expect(far.facts.generation).toBe(64);
  for (const change of [
    { generation: 0 },
    { generation: 65 },
    { network: "other" },
    { channel: group.facts.channel },
  ]) {
    await expect(refused({ next: { ...rekey.next, ...change } })).rejects.toThrow("another generation");
  }
  await expect(refused({ next: { ...rekey.next, membersHash: EMPTY } })).rejects.toThrow("inconsistent");
  await expect(group.rekey(ann, [ann, bob], "", "garden", [], NOW)).rejects.toThrow("administrators");
});
