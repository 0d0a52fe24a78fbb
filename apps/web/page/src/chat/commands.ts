// What a line that begins with `/` does: the commands of the terminal client.

import { TextError } from "darkchat-sdk";
import * as admission from "./admission.ts";
import * as chat from "./chat.ts";
import type { Conversation } from "./conversation.ts";
import { type Known, whom } from "./whom.ts";

/** One command. */
export interface Command {
  readonly name: string;
  readonly alias?: string;
  /** What stands behind it, and what it does. */
  readonly words: string;
  readonly does: string;
  run(rest: string, here: Conversation): void;
}

/** All commands, in the order in which help lists them. */
export const COMMANDS: readonly Command[] = [
  { name: "join", words: "#channel", does: "join a channel, or go to it", run: join },
  { name: "part", words: "[#channel]", does: "leave a channel", run: part },
  {
    name: "msg",
    alias: "private",
    words: "WHOM text",
    does: "an encrypted message to one person",
    run: message,
  },
  {
    name: "name",
    alias: "nick",
    words: "NAME",
    does: "another name from now on",
    run: (rest) => chat.rename(rest),
  },
  {
    name: "block",
    words: "WHOM",
    does: "hear nothing more of a person",
    run: (rest, here) => chat.block(person(rest, here), true),
  },
  {
    name: "unblock",
    words: "WHOM",
    does: "take that back",
    run: (rest, here) => chat.block(person(rest, here), false),
  },
  {
    name: "invite",
    words: "WHOM",
    does: "send the invitation to this private channel to a person",
    run: (rest, here) => admission.invite(person(rest, here), here),
  },
  {
    name: "add",
    words: "WHOM",
    does: "take a person into the list of this private channel",
    run: (rest, here) => admission.add(person(rest, here), here),
  },
  { name: "channels", words: "", does: "list the channels you are in", run: (_, here) => list(here) },
  {
    name: "id",
    words: "",
    does: "show your key",
    run: (_, here) => here.say(`Your key: ${chat.ownId.value}`),
  },
  { name: "help", words: "", does: "list the commands", run: (_, here) => help(here) },
  { name: "quit", words: "", does: "leave all channels", run: () => void chat.quit() },
];

/** The commands whose name begins with what was typed, without the slash; cases do not matter. */
export function matching(typed: string): Command[] {
  const word = typed.toLowerCase();
  return COMMANDS.filter(
    ({ name, alias = "" }) => name.startsWith(word) || (word !== "" && alias.startsWith(word)),
  );
}

/** Runs a line that begins with `/`. Words for the user if it cannot be. */
export function run(line: string, here: Conversation): string | undefined {
  const [, word = "", rest = ""] = /^\/(\S*)\s*(.*)$/su.exec(line) ?? [];
  const typed = word.toLowerCase();
  const exact = COMMANDS.find(({ name, alias }) => name === typed || alias === typed);
  const found = exact === undefined ? matching(typed) : [exact];
  const [command] = found;
  if (command === undefined) return `unknown command /${word}; did you mean /${nearest(typed)}?`;
  if (found.length > 1) return `/${word} could be ${found.map(({ name }) => `/${name}`).join(" or ")}`;
  try {
    command.run(rest.trim(), here);
    return undefined;
  } catch (error) {
    if (error instanceof TextError) return error.message;
    throw error;
  }
}

function join(rest: string): void {
  const [channel = "", name] = rest.split(/\s+/);
  if (name !== undefined) chat.rename(name);
  chat.join(channel);
}

function message(rest: string, here: Conversation): void {
  const [, name = "", text = ""] = /^(\S+)\s*(.*)$/su.exec(rest) ?? [];
  const known = knownIn(here);
  const user = whom(name, known);
  const conversation = chat.write(user, known.find((one) => one.user === user)?.name);
  if (text !== "") chat.send(conversation, text);
}

function person(rest: string, here: Conversation): string {
  return whom(rest, knownIn(here));
}

/** Who is here, and with whom there are direct conversations. */
function knownIn(here: Conversation): Known[] {
  const directs = chat.conversations.value.filter(({ kind }) => kind === "direct");
  return [...here.members(), ...directs.map(({ id, title }) => ({ user: id, name: title.value }))];
}

function part(rest: string, here: Conversation): void {
  const wanted =
    rest === ""
      ? here
      : chat.conversations.value.find(({ id }) => id === `#${rest.replace(/^#/, "").toLowerCase()}`);
  if (wanted === undefined) throw new TextError(`you are not in ${rest}`);
  void chat.part(wanted);
}

function list(here: Conversation): void {
  const names = chat.conversations.value.map((one) => `${one === here ? "*" : " "} ${one.title.value}`);
  here.say(`You are in:\n${names.join("\n")}`);
}

function help(here: Conversation): void {
  here.say(
    COMMANDS.map(({ name, words, does }) => `/${name}${words === "" ? "" : ` ${words}`}: ${does}`).join("\n"),
  );
}

function nearest(typed: string): string {
  const names = COMMANDS.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
  const far = (name: string): number => distance(typed.slice(0, 16), name);
  return names.reduce((best, name) => (far(name) < far(best) ? name : best));
}

/** How many letters must be changed, added or removed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const swap = (row[j] ?? 0) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(swap, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
