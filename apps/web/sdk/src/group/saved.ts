// A private channel as it is written down, so that a program can come back to it: the text of the Rust client.
// Source: docs/security.md, "private channels on disk".
//
//   dchat-channel-1
//   name garden
//   generation BASE64URL(Invite, as of now)
//   since 1800000000000
//   members u... u...        where the list is known

import { compare } from "../bytes.ts";
import { TextError } from "../text/name.ts";
import type { Invite } from "../wire/messages.ts";
import { inviteText, parseInvite, SCHEME } from "./invite.ts";

const HEADER = "dchat-channel-1";

/** What is needed to come back. */
export interface Saved {
  readonly name: string;
  readonly invite: Invite;
  /** The keys of the members, where there is a list that is known. */
  readonly members: string[] | undefined;
}

/** The text to write down. It holds the secret of the present hour and none before it. */
export function savedText({ name, invite, members }: Saved, nowMs: number): string {
  const lines = [
    HEADER,
    `name ${name}`,
    ...invite.servers.map((server) => `server ${server}`),
    `generation ${inviteText(invite).slice(SCHEME.length)}`,
    `since ${nowMs}`,
  ];
  if (members !== undefined) lines.push(`members ${members.join(" ")}`);
  return `${lines.join("\n")}\n`;
}

/**
 * Reads it. Of several generations that which is written counts: the last one that nothing has replaced.
 * @throws TextError for what is no such text.
 */
export function parseSaved(text: string): Saved {
  const [header, ...lines] = text.split("\n");
  let name: string | undefined;
  const all: { invite: Invite; members: string[] | undefined; isRetired: boolean }[] = [];
  for (const line of header === HEADER ? lines : []) {
    const [word, rest] = [line.split(" ", 1)[0], line.slice(line.indexOf(" ") + 1)];
    const last = all.at(-1);
    if (word === "name") name = rest;
    if (word === "generation") {
      all.push({ invite: parseInvite(SCHEME + rest), members: undefined, isRetired: false });
    }
    if (word === "members" && last !== undefined) last.members = rest.split(" ").filter((key) => key !== "");
    // Words of a later version are passed over.
    if (word === "retired" && last !== undefined) last.isRetired = true;
  }
  const [tip] = all
    .filter(({ isRetired }) => !isRetired)
    .sort(
      ({ invite: one }, { invite: other }) =>
        other.generation - one.generation || compare(one.channel, other.channel),
    );
  if (name === undefined || tip === undefined) throw new TextError("not a saved private channel");
  return { name, invite: tip.invite, members: tip.members };
}
