// Which generation of a private channel is written, and what branches say together.

import { expect, test } from "vitest";
import { type Bytes, hex, utf8 } from "../../src/bytes.ts";
import { noble } from "../../src/crypto/noble.ts";
import { Generation, OVERLAP_MS } from "../../src/group/generation.ts";
import { isRemoved, type Link, type Merged, merged, users } from "../../src/group/line.ts";

const NOW = 1_800_000_000_000;
const [ann, bob, eve, dan] = ["ann", "bob", "eve", "dan"].map((name) => utf8(name.padEnd(32, "."))) as [
  Bytes,
  Bytes,
  Bytes,
  Bytes,
];

function linkOf(generation: Generation, parents: Generation[], removed: Bytes[]): Link {
  const ids = parents.map(({ facts }) => hex(facts.channel));
  return { generation, parents: new Set(ids), removed: users(removed), retiredMs: undefined };
}

async function after(one: Generation, removed: Bytes[], leap = 1, list?: Bytes[]): Promise<Link> {
  const rekey = await one.rekey(ann, removed, "", "garden", [], NOW, list);
  rekey.next.generation += leap - 1;
  return linkOf(await one.successor(rekey, NOW), [one], removed);
}

const lineOf = (...links: Link[]): Map<string, Link> =>
  new Map(links.map((link) => [hex(link.generation.facts.channel), link]));

const names = (all: Merged<Link>): { members: string[]; removed: string[] } => ({
  members: [...(all.members?.keys() ?? [])].sort(),
  removed: [...all.removed.keys()].sort(),
});

async function first(): Promise<Link> {
  return linkOf(await Generation.create(noble, "main", [ann, bob], [ann, bob, eve, dan], NOW), [], []);
}

test("of equally late generations that with the smaller channel id is written, whatever came first", async () => {
  const root = await first();
  const branches = [await after(root.generation, [eve]), await after(root.generation, [dan])] as const;
  const smaller = branches.map(({ generation }) => hex(generation.facts.channel)).sort()[0];
  for (const [one, other] of [branches, [branches[1], branches[0]]] as const) {
    const all = merged(lineOf(root, one, other), NOW);
    expect(hex(all.leaves[0]?.generation.facts.channel ?? new Uint8Array())).toBe(smaller);
    expect(all.isSettled).toBe(false);
    expect(names(all)).toEqual({ members: [ann, bob].map(hex).sort(), removed: [dan, eve].map(hex).sort() });
  }
});

test("the later generation is written, whatever its channel id", async () => {
  const root = await first();
  for (let times = 0; times < 8; times++) {
    const [late, early] = [await after(root.generation, [eve], 2), await after(root.generation, [dan])];
    expect(merged(lineOf(root, early, late), NOW).leaves).toEqual([late, early]);
  }
});

test("nothing is to be done where the written one says what all say, or where the other is read no more", async () => {
  const root = await first();
  const [one, other] = [await after(root.generation, [eve]), await after(root.generation, [eve])];
  expect(merged(lineOf(root, one, other), NOW).isSettled).toBe(true);
  const [late, early] = [await after(root.generation, [eve], 2), await after(root.generation, [dan])];
  early.retiredMs = NOW;
  expect(merged(lineOf(root, late, early), NOW + OVERLAP_MS - 1).isSettled).toBe(false);
  expect(merged(lineOf(root, late, early), NOW + OVERLAP_MS).isSettled).toBe(true);
});

test("who was added in another branch has to be told of this one, and removing wins", async () => {
  const root = await first();
  const zoe = utf8("zoe".padEnd(32, "."));
  const late = await after(root.generation, [eve], 2, [ann, bob, eve, dan, zoe]);
  const early = await after(root.generation, [], 1, [ann, bob, eve, dan, zoe]);
  const all = merged(lineOf(root, late, early), NOW);
  expect(all.isSettled).toBe(false);
  expect(names(all)).toEqual({
    members: [ann, bob, dan, zoe].map(hex).sort(),
    removed: [hex(eve)],
  });
});

test("who is removed later is not heard in an earlier generation", async () => {
  const root = await first();
  const next = await after(root.generation, [eve]);
  const line = lineOf(root, next);
  expect([eve, dan].map((user) => isRemoved(line, user, root.generation))).toEqual([true, false]);
  expect(isRemoved(line, eve, next.generation)).toBe(false);
});
