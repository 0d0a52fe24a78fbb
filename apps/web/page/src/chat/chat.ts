// What the user does: enter, join, speak, leave. The one place that holds the client and the conversations.

import { batch, signal } from "@preact/signals";
import {
  type Channel,
  type ChatError,
  type Client,
  channelName,
  type Member,
  markOf,
  TextError,
  userName,
  type Warning,
} from "darkchat-sdk";
import { knownServers, type OwnKey, ownKey } from "../browser/keys.ts";
import { recall, recallList, remember } from "../browser/memory.ts";
import { fragmentOf, serverUrl, showPlace } from "../browser/place.ts";
import { counted } from "../text/format.ts";
import { mentionOf } from "../text/mention.ts";
import { Conversation, type Outlet, type Self } from "./conversation.ts";
import { errorText } from "./errors.ts";
import { connect, follow, reach, tryNow } from "./reach.ts";

/** Channels that one page is in; every one keeps its lines in memory. */
const CONVERSATIONS = 64;

/** Where the user is. */
export const screen = signal<"welcome" | "chat">("welcome");
/** The conversations, in the order in which they were begun. */
export const conversations = signal<readonly Conversation[]>([]);
/** The one that is shown. */
export const current = signal<Conversation | undefined>(undefined);
/** The name that we claim. */
export const ownName = signal("");
/** Our key. */
export const ownId = signal("");
/** A new key's secret, until it is saved or let go of. */
export const recovery = signal<string | undefined>(undefined);
/** What the user should know about; each until it is put away. */
export const warnings = signal<readonly string[]>([]);

let client: Client | undefined;
let key: OwnKey | undefined;
let self: Self = { id: "", name: "", mentions: () => false };
let visit = new AbortController();

/** The name of the last visit. */
export function lastName(): string {
  return recall("tab", "name") ?? recall("browser", "name") ?? "";
}

/** The channels that this tab was in before a reload. */
export function lastChannels(): string[] {
  return recallList("tab", "channels").slice(0, CONVERSATIONS);
}

/**
 * Enters the chat under a name; channels are joined as soon as there is a connection.
 * @throws TextError if the name, or the channel, is none.
 */
export function enter(name: string, channel: string, others: readonly string[] = []): void {
  const claimed = userName(name.trim());
  channelName(channel.trim());
  visit = new AbortController();
  claim(claimed);
  batch(() => {
    for (const other of others) addChannel(other);
    show(addChannel(channel));
    screen.value = "chat";
  });
  void begin(visit.signal);
}

/** Leaves every channel and the server; back to the beginning. */
export async function quit(): Promise<void> {
  visit.abort();
  const leaving = client;
  client = undefined;
  remember("tab", "channels", undefined);
  showPlace("");
  batch(() => {
    for (const one of conversations.value) one.isRead = false;
    conversations.value = [];
    current.value = undefined;
    screen.value = "welcome";
    reach.value = { is: "idle" };
  });
  await leaving?.close();
}

/** Joins a channel, or goes to it. @throws TextError if it is none, or if the page is in too many. */
export function join(channel: string): Conversation {
  const joined = addChannel(channel);
  show(joined);
  if (joined.state.value === "failed") void attach(joined);
  return joined;
}

/** Goes to a conversation. */
export function show(conversation: Conversation | undefined): void {
  batch(() => {
    const before = current.value;
    if (before !== undefined && before !== conversation) before.isRead = false;
    current.value = conversation;
    if (conversation !== undefined) {
      conversation.isRead = !document.hidden;
      showPlace(fragmentOf(conversation.id));
    }
  });
}

/** Leaves a conversation for good. */
export async function part(conversation: Conversation): Promise<void> {
  const rest = conversations.value.filter((one) => one !== conversation);
  batch(() => {
    conversations.value = rest;
    if (current.value === conversation) show(rest.at(-1));
    keepChannels();
  });
  const { outlet } = conversation;
  conversation.close("failed");
  if (rest.length === 0) return quit();
  await outlet?.leave().catch(() => {});
}

/** Sends a text; words for the user if that cannot be. */
export function send(conversation: Conversation, text: string): string | undefined {
  const isTaken = conversation.send(text, isConnected());
  return isTaken ? undefined : "too many messages wait already; try those again first";
}

/** Another name, in every channel, from the next message on. @throws TextError if it is none. */
export function rename(name: string): void {
  const claimed = userName(name.trim());
  claim(claimed);
  for (const one of conversations.value) {
    channels.get(one)?.speakAs(claimed);
    one.touch();
  }
}

/** Whether messages can go out now. */
export function isConnected(): boolean {
  return reach.value.is === "connected";
}

/** Tries to connect now; after a refusal, from the beginning. */
export function hurry(): void {
  if (reach.value.is === "closed") void begin(visit.signal);
  else tryNow(client);
}

/** Whoever looks away reads nothing. */
export function looked(): void {
  if (current.value !== undefined) current.value.isRead = !document.hidden;
}

/** Says goodbye when the page goes away, as far as the browser lets it. */
export function goodbye(): void {
  void client?.close();
}

/** Starts anew with the key that the store has now. */
export async function restart(): Promise<void> {
  const before = client;
  client = undefined;
  key = undefined;
  visit.abort();
  visit = new AbortController();
  for (const one of conversations.value) one.close("joining");
  await before?.close();
  await begin(visit.signal);
}

/** What joins may still be asked of the server: the channel behind each conversation. */
const channels = new WeakMap<Conversation, Channel>();

function claim(name: string): void {
  ownName.value = name;
  remember("tab", "name", name);
  remember("browser", "name", name);
  introduce();
}

function introduce(): void {
  const { id } = key?.identity ?? { id: "" };
  ownId.value = id;
  const name = ownName.value;
  self = { id, name, mentions: mentionOf(name, markOf(id) || " ") };
}

function addChannel(channel: string): Conversation {
  const id = `#${channelName(channel.trim())}`;
  const known = conversations.value.find((one) => one.id === id);
  if (known !== undefined) return known;
  if (conversations.value.length >= CONVERSATIONS) {
    throw new TextError(`this page is in ${CONVERSATIONS} channels already; leave one first`);
  }
  const added = new Conversation(id, "channel", () => self);
  conversations.value = [...conversations.value, added];
  keepChannels();
  if (client !== undefined) void attach(added);
  return added;
}

function keepChannels(): void {
  const names = conversations.value.filter(({ kind }) => kind === "channel").map(({ id }) => id);
  remember("tab", "channels", names.length === 0 ? undefined : JSON.stringify(names));
}

async function begin(signal: AbortSignal): Promise<void> {
  reach.value = { is: "connecting", since: performance.now(), isFirst: true };
  key ??= await ownKey();
  introduce();
  recovery.value = key.recovery;
  if (!key.isKept) warn("This browser does not keep your key: after this visit nobody will know you by it.");
  const options = { identity: key.identity, name: ownName.value, knownServers };
  const connected = await connect(serverUrl(), options, signal);
  if (connected === undefined) return;
  client = connected;
  follow(connected.state);
  connected.on("state", (state) => {
    if (client !== connected) return;
    if (state.name === "closed") return ended(signal);
    follow(state);
    if (state.name === "connected") for (const one of conversations.value) one.flush();
  });
  connected.on("member", ({ channel }) => find(channel)?.touch());
  connected.on("notice", ({ text }) => current.value?.say(`The server says: ${text}`));
  connected.on("warning", (warning) => warn(warningText(warning)));
  for (const one of conversations.value) void attach(one);
}

/** The client gave up; a new one says why, or gets through. */
function ended(signal: AbortSignal): void {
  client = undefined;
  for (const one of conversations.value) one.close("joining");
  if (!signal.aborted) void begin(signal);
}

async function attach(conversation: Conversation): Promise<void> {
  const by = client;
  if (by === undefined || conversation.kind !== "channel") return;
  conversation.state.value = "joining";
  try {
    const channel = await by.join(conversation.id, { name: ownName.value, signal: visit.signal });
    if (client !== by || !conversations.value.includes(conversation))
      return void channel.leave().catch(() => {});
    channels.set(conversation, channel);
    conversation.open(outletOf(channel));
    void listen(conversation, channel);
  } catch (error) {
    if (client !== by) return;
    conversation.close("failed");
    conversation.say(
      `Could not join ${conversation.id}: ${errorText(error as ChatError)}. /join ${conversation.id} tries again.`,
    );
  }
}

async function listen(conversation: Conversation, channel: Channel): Promise<void> {
  for await (const item of channel) conversation.hear(item);
}

function outletOf(channel: Channel): Outlet {
  return {
    send: async (text) => {
      const { local, servers } = await channel.send(text);
      const rest = servers === 0 ? "" : ` and ${counted(servers, "other server")}`;
      return `Taken by the server, for ${counted(local, "other connection")}${rest}`;
    },
    members: () => [...channel.members()].sort(byName),
    leave: () => channel.leave(),
  };
}

function byName(a: Member, b: Member): number {
  return a.name.localeCompare(b.name) || (a.user < b.user ? -1 : 1);
}

function find(id: string): Conversation | undefined {
  return conversations.value.find((one) => one.id === id);
}

/** Warnings that are shown at the same time. */
const WARNINGS = 4;

function warn(text: string): void {
  if (warnings.value.includes(text)) return;
  warnings.value = [...warnings.value, text].slice(-WARNINGS);
}

function warningText(warning: Warning): string {
  if (warning.what === "clock") {
    const minutes = Math.round(Math.abs(warning.differenceMs) / 60_000);
    return `This computer's clock and the server's differ by ${counted(minutes, "minute")}. Messages may be refused.`;
  }
  return "This page came without protection (no https), or the browser is too old: your key cannot be locked away, and somebody on the way could have changed the page.";
}
