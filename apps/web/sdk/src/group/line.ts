// A private channel from rekey to rekey: which generation is written, and how branches come together.
// Source: docs/protocol.md, section 8.1, "concurrent rekeys".

import { type Bytes, compare, hex } from "../bytes.ts";
import { type Generation, OVERLAP_MS } from "./generation.ts";

/** Users by their keys as hexadecimal text. */
export type Users = Map<string, Bytes>;

/** A generation, and where it came from. */
export interface Link {
  readonly generation: Generation;
  /** The channels that it replaces: several when branches have come together. */
  readonly parents: Set<string>;
  /** Whom its rekeys have removed. */
  readonly removed: Users;
  /** Since when another one has its place, in Unix milliseconds. */
  retiredMs: number | undefined;
}

/** Generations by their channels. */
export type Line<L extends Link> = ReadonlyMap<string, L>;

/** Who is in and who is out when all branches are taken together. */
export interface Merged<L> {
  /** The ends of the branches that still count; the first is written. */
  readonly leaves: L[];
  /** `undefined` where there is no list, or a branch's is not known. */
  readonly members: Users | undefined;
  readonly removed: Users;
  /** Whether the generation that is written says so already. */
  readonly isSettled: boolean;
}

export const users = (keys: Iterable<Bytes>): Users => new Map([...keys].map((key) => [hex(key), key]));

/** Whether the posts of a generation are looked at. */
export function isRead({ retiredMs }: Link, nowMs: number): boolean {
  return retiredMs === undefined || nowMs < retiredMs + OVERLAP_MS;
}

/** Whether a later generation has removed somebody. */
export function isRemoved(line: Line<Link>, user: Bytes, from: Generation): boolean {
  const id = hex(user);
  return [...line.values()].some(
    ({ generation, removed }) => generation.facts.generation > from.facts.generation && removed.has(id),
  );
}

/** All branches together: removing wins over adding. */
export function merged<L extends Link>(line: Line<L>, nowMs: number): Merged<L> {
  const leaves = inOrder(line).filter((link, at) => at === 0 || isRead(link, nowMs));
  const histories = leaves.map((leaf) => history(line, leaf));
  const isCommon = (link: L): boolean => histories.every((one) => one.has(link));
  const before = new Set(
    [...line.values()]
      .filter(isCommon)
      .flatMap(({ generation }) => (generation.facts.members ?? []).map(hex)),
  );
  let members: Users | undefined = new Map();
  const removed: Users = new Map();
  let [hasNewcomers, ofTip]: [boolean, { listed?: Users | undefined; gone: Users }] = [
    false,
    { gone: new Map() },
  ];
  leaves.forEach((leaf, at) => {
    const list = leaf.generation.facts.members;
    const listed = list && users(list);
    const own = [...(histories[at] ?? [])].filter((link) => !isCommon(link));
    const gone: Users = new Map(
      own.flatMap((link) => [...link.removed]).filter(([user]) => listed?.has(user) !== true),
    );
    members = members && listed && new Map([...members, ...listed]);
    if (at === 0) ofTip = { listed, gone };
    // Who came in on another branch knows nothing of what was before it, and finds the way only from there.
    else hasNewcomers ||= [...(listed?.keys() ?? [])].some((user) => !before.has(user));
    for (const [user, key] of gone) removed.set(user, key);
  });
  for (const user of removed.keys()) members?.delete(user);
  const isSettled =
    members && ofTip.listed ? isSame(members, ofTip.listed) && !hasNewcomers : isSame(removed, ofTip.gone);
  return { leaves, members, removed, isSettled };
}

/** What nothing has replaced: the later generation first, of equally late ones that with the smaller channel id. */
function inOrder<L extends Link>(line: Line<L>): L[] {
  const replaced = new Set([...line.values()].flatMap(({ parents }) => [...parents]));
  return [...line]
    .filter(([channel]) => !replaced.has(channel))
    .map(([, link]) => link)
    .sort(({ generation: { facts: one } }, { generation: { facts: other } }) =>
      one.generation === other.generation
        ? compare(one.channel, other.channel)
        : other.generation - one.generation,
    );
}

/** A generation and all before it. */
function history<L extends Link>(line: Line<L>, leaf: L): Set<L> {
  const found = new Set([leaf]);
  // What is added to a set while it is walked is walked as well.
  for (const { parents } of found) {
    for (const parent of parents) {
      const link = line.get(parent);
      if (link !== undefined) found.add(link);
    }
  }
  return found;
}

function isSame(one: Users, other: Users): boolean {
  return one.size === other.size && [...one.keys()].every((user) => other.has(user));
}
