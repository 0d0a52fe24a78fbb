// What the user does: enter, join, speak, leave. The one place that holds the client and the conversations.

import { batch, signal } from "@preact/signals";
import {
  type Channel,
  ChatError,
  type Client,
  type ClientEvents,
  channelName,
  type Member,
  markOf,
  type PrivateChannel,
  TextError,
  userName,
  type Warning,
} from "darkchat-sdk";
import { blocked, setBlocked } from "../browser/blocked.ts";
import { knownServers, type OwnKey, ownKey } from "../browser/keys.ts";
import { recall, recallList, remember } from "../browser/memory.ts";
import { AGAIN, fragmentOf, isInvite, serverUrl, showPlace } from "../browser/place.ts";
import { counted } from "../text/format.ts";
import { mentionOf } from "../text/mention.ts";
import { Conversation, type Kind, type Outlet, type Self } from "./conversation.ts";
import { errorText } from "./errors.ts";
import { connect, follow, reach, tryNow } from "./reach.ts";
import { isKey } from "./whom.ts";

/** Channels that one page is in, and direct conversations; every one keeps its lines in memory. */
const CONVERSATIONS = 64;
const DIRECTS = 32;
/** Invitations that wait for an answer: anybody may send them. */
const INVITATIONS = 3;

/** Somebody invites us to a private channel. */
export type Invitation = ClientEvents["invite"];

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
/** Invitations that nobody has answered yet. */
export const invitations = signal<readonly Invitation[]>([]);
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

/** What this tab was in before a reload. */
function lastPlaces(): { channels: string[]; directs: string[]; invites: string[] } {
  const [channels = [], directs = [], invites = []] = ["channels", "directs", "invites"].map((what) =>
    recallList("tab", what).slice(0, CONVERSATIONS),
  );
  return { channels, directs, invites };
}

/** Whether there is something to come back to. */
export function canEnterAgain(): boolean {
  return Object.values(lastPlaces()).some((places) => places.length > 0);
}

/**
 * Enters the chat under a name; channels are joined as soon as there is a connection.
 * @throws TextError if the name, or the channel, is none.
 */
export function enter(name: string, channel: string): void {
  const claimed = userName(name.trim());
  if (!isInvite(channel)) channelName(channel.trim());
  start(claimed, () => join(channel));
}

/** Enters again where this tab was before a reload, and goes to where the fragment leads. */
export function enterAgain(go: () => void): void {
  const { channels, directs, invites } = lastPlaces();
  start(lastName(), () => {
    for (const channel of channels) addChannel(channel);
    for (const invite of invites) isInvite(invite) ? addInvite(invite) : addSaved(invite);
    for (const person of directs) addDirect(person, "");
    go();
    if (current.value === undefined) show(conversations.value.at(-1));
  });
}

function start(name: string, go: () => void): void {
  visit = new AbortController();
  claim(name);
  batch(() => {
    go();
    if (conversations.value.length > 0) screen.value = "chat";
  });
  if (screen.value === "chat") void begin(visit.signal);
}

/** Leaves every channel and the server; back to the beginning. */
export async function quit(): Promise<void> {
  visit.abort();
  const leaving = client;
  client = undefined;
  for (const what of ["channels", "directs", "invites"]) remember("tab", what, undefined);
  invitations.value = [];
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

/** Joins a channel, or goes to it; an invitation leads into a private one. @throws TextError if it is none. */
export function join(channel: string): void {
  const joined = isInvite(channel) ? addInvite(channel.trim()) : addChannel(channel);
  show(joined);
  if (joined.state.value === "failed") void attach(joined);
}

/** Makes a private channel. @throws TextError if the name is none. */
export function createPrivate(name: string): void {
  show(add(new Conversation(newPrivate(), "private", () => self, `#${channelName(name.trim())}`)));
}

/** Begins a direct conversation, or goes to it. @throws TextError if that is no key. */
export function write(person: string, name = ""): Conversation {
  const begun = addDirect(person, name);
  show(begun);
  return begun;
}

/** Goes to a conversation. */
export function show(conversation: Conversation | undefined): void {
  batch(() => {
    const before = current.value;
    if (before !== undefined && before !== conversation) before.isRead = false;
    current.value = conversation;
    if (conversation !== undefined) {
      conversation.isRead = !document.hidden;
      showPlace(placeOf(conversation));
    }
  });
}

/** Wants nothing more of a person, or takes that back. @throws TextError if that is no key. */
export function block(person: string, isBlocked: boolean): void {
  if (!isKey(person)) throw new TextError("that is no user's key");
  setBlocked(person, isBlocked);
  if (isBlocked) client?.block(person);
  else client?.unblock(person);
}

/** Leaves a conversation for good. */
export async function part(conversation: Conversation): Promise<void> {
  const rest = conversations.value.filter((one) => one !== conversation);
  batch(() => {
    conversations.value = rest;
    if (current.value === conversation) show(rest.at(-1));
    keepPlaces();
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
  client?.speakAs(claimed);
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
  // What leads back grows old with every change of the channel's secret.
  if (document.hidden) for (const one of conversations.value) void refreshWay(one);
}

/** Says goodbye when the page goes away, as far as the browser lets it. */
export function goodbye(): void {
  const leaving = client;
  // Whoever leaves does not connect again when that client has ended.
  client = undefined;
  void leaving?.close();
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

/** The channel behind a conversation, once it is joined. */
const channels = new WeakMap<Conversation, Channel | PrivateChannel>();

/** The private channel behind a conversation, once it is joined. */
export function privateOf(conversation: Conversation): PrivateChannel | undefined {
  const channel = channels.get(conversation);
  return channel !== undefined && "invite" in channel ? channel : undefined;
}

/** The number that tells whether nobody stands between us and a person, in digits and in words. */
export async function safetyOf(person: string): Promise<{ number: string; words: readonly string[] }> {
  if (client === undefined) throw new ChatError("closed", "there is no connection");
  const direct = client.direct(person);
  const { safetyWords } = await import("darkchat-sdk/words");
  return { number: await direct.safetyNumber(), words: safetyWords(await direct.safetyDigest()) };
}

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
  return find("channel", id) ?? add(new Conversation(id, "channel", () => self));
}

function addInvite(invite: string): Conversation {
  const known = conversations.value.find((one) => one.invite === invite);
  if (known !== undefined) return known;
  const added = new Conversation(newPrivate(), "private", () => self, "#private");
  added.invite = invite;
  return add(added);
}

/** A private channel that this tab was in. */
function addSaved(saved: string): void {
  const added = new Conversation(newPrivate(), "private", () => self, "#private");
  added.saved = saved;
  add(added);
}

function addDirect(person: string, name: string): Conversation {
  const known = find("direct", person);
  if (known !== undefined) return known;
  if (!isKey(person)) throw new TextError("that is no user's key");
  const directs = conversations.value.filter(({ kind }) => kind === "direct");
  if (directs.length >= DIRECTS) {
    // Strangers may make as many keys as they like: the oldest conversation that we took no part in makes room.
    const oldest = directs.find((one) => !one.isOurs);
    if (oldest === undefined) throw new TextError(`there are ${DIRECTS} direct conversations already`);
    conversations.value = conversations.value.filter((one) => one !== oldest);
  }
  return add(new Conversation(person, "direct", () => self, name));
}

function add(added: Conversation): Conversation {
  const others = conversations.value.filter(({ kind }) => kind !== "direct");
  if (added.kind !== "direct" && others.length >= CONVERSATIONS) {
    throw new TextError(`this page is in ${CONVERSATIONS} channels already; leave one first`);
  }
  conversations.value = [...conversations.value, added];
  keepPlaces();
  if (client !== undefined) void attach(added);
  return added;
}

let privates = 0;

function newPrivate(): string {
  privates += 1;
  return `private ${privates}`;
}

function placeOf({ kind, id }: Conversation): string {
  if (kind === "channel") return fragmentOf(id);
  return kind === "direct" ? `#?key=${id}` : AGAIN;
}

function keepPlaces(): void {
  const keep = (what: string, places: (string | undefined)[]): void => {
    const known = places.filter((place) => place !== undefined);
    remember("tab", what, known.length === 0 ? undefined : JSON.stringify(known));
  };
  const of = (kind: Kind): Conversation[] => conversations.value.filter((one) => one.kind === kind);
  keep(
    "channels",
    of("channel").map(({ id }) => id),
  );
  keep(
    "directs",
    of("direct").map(({ id }) => id),
  );
  keep(
    "invites",
    of("private").map(({ invite, saved }) => saved ?? invite),
  );
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
  for (const person of blocked.value) if (isKey(person)) connected.block(person);
  follow(connected.state);
  connected.on("state", (state) => {
    if (client !== connected) return;
    if (state.name === "closed") return ended(signal);
    follow(state);
    if (state.name === "connected") for (const one of conversations.value) one.flush();
  });
  connected.on("member", ({ channel, private: isPrivate }) => {
    for (const one of conversations.value) {
      if (one.kind === (isPrivate ? "private" : "channel") && one.title.value === channel) one.touch();
    }
  });
  connected.on("invite", (invitation) => {
    invitations.value = [...invitations.value, invitation].slice(-INVITATIONS);
  });
  connected.on("device", ({ user }) => {
    find("direct", user)?.say("This person writes from a device that is new to you.");
  });
  void listenDirect(connected);
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
  if (by === undefined) return;
  if (conversation.kind === "direct") return conversation.open(directOutlet(by, conversation.id));
  conversation.state.value = "joining";
  try {
    const channel = await enterChannel(by, conversation);
    if (client !== by || !conversations.value.includes(conversation)) {
      return void channel.leave().catch(() => {});
    }
    channels.set(conversation, channel);
    conversation.title.value = channel.name;
    conversation.open(outletOf(channel));
    void listen(conversation, channel);
    await refreshWay(conversation);
  } catch (error) {
    if (client !== by) return;
    conversation.close("failed");
    const again = conversation.kind === "channel" ? ` /join ${conversation.id} tries again.` : "";
    conversation.say(`Could not join ${conversation.title.value}: ${errorText(error)}.${again}`);
  }
}

function enterChannel(
  by: Client,
  { kind, id, invite, saved, title }: Conversation,
): Promise<Channel | PrivateChannel> {
  const options = { name: ownName.value };
  if (kind === "channel") return by.join(id, { ...options, signal: visit.signal });
  if (saved !== undefined) return by.restorePrivate(saved, options);
  return invite === undefined ? by.createPrivate(title.value, options) : by.joinPrivate(invite, options);
}

/** What leads into a private channel, and what leads back. */
async function refreshWay(conversation: Conversation): Promise<void> {
  const channel = privateOf(conversation);
  if (channel === undefined) return;
  conversation.invite = await channel.invite().catch(() => conversation.invite);
  conversation.saved = await channel.saved().catch(() => conversation.saved);
  keepPlaces();
}

async function listen(conversation: Conversation, channel: Channel): Promise<void> {
  for await (const item of channel) conversation.hear(item);
}

/** Direct messages, of everybody: each goes to the conversation with its person. */
async function listenDirect(by: Client): Promise<void> {
  for await (const item of by.inbox()) {
    if (item.type === "missed") continue;
    try {
      addDirect(item.peer, item.peer === item.from ? item.name : "").hear(item);
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
    }
  }
}

function outletOf(channel: Channel): Outlet {
  return {
    send: async (text) => void (await channel.send(text)),
    members: () => [...channel.members()].sort(byName),
    leave: () => channel.leave(),
  };
}

function directOutlet(by: Client, person: string): Outlet {
  const direct = by.direct(person);
  return {
    send: async (text) => {
      if (!(await direct.send(text)).received) throw new ChatError("timeout", "nobody acknowledged it");
    },
    members: () => [],
    leave: () => Promise.resolve(),
  };
}

function byName(a: Member, b: Member): number {
  return a.name.localeCompare(b.name) || (a.user < b.user ? -1 : 1);
}

function find(kind: Kind, id: string): Conversation | undefined {
  return conversations.value.find((one) => one.kind === kind && one.id === id);
}

/** The name that a person claims, where we have heard of them. */
export function nameOf(person: string): string {
  const heard = conversations.value.flatMap((one) => one.members());
  return find("direct", person)?.title.value ?? heard.find(({ user }) => user === person)?.name ?? "";
}

/** Takes up an invitation, or puts it away. */
export function answer(invitation: Invitation, isWanted: boolean): void {
  invitations.value = invitations.value.filter((one) => one !== invitation);
  if (isWanted) join(invitation.invite);
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
