// One conversation: its lines, who is in it, what is unread, and what of ours is not sent yet. All of it is bounded.

import { type Signal, signal } from "@preact/signals";
import type { DirectMessage, Member, Message, Missed } from "darkchat-sdk";
import { recallList, remember } from "../browser/memory.ts";
import { errorText } from "./errors.ts";
import { type Fate, type Line, missedText, newKey, type Spoken, spoken, weightOf } from "./line.ts";
import { Pace } from "./pace.ts";

/** Lines that are kept, and about how many bytes they may take in memory. */
const LINES = 1_000;
const WEIGHT = 4 << 20;
/** Messages of ours that wait or failed. */
const UNSENT = 100;

/** What kind of conversation it is. */
export type Kind = "channel" | "private" | "direct";

/** Where messages go. */
export interface Outlet {
  send(text: string): Promise<void>;
  members(): Member[];
  leave(): Promise<void>;
}

/** Who we are in a conversation. */
export interface Self {
  readonly id: string;
  readonly name: string;
  readonly mentions: (text: string) => boolean;
}

/** One channel or person, as this page knows it. */
export class Conversation {
  /** `#general`, the key of a person, or a number for a private channel. */
  readonly id: string;
  readonly kind: Kind;
  /** `#general` for channels, what a person calls themselves for direct ones. */
  readonly title: Signal<string>;
  /** What leads others into a private channel, and what brings us back: secrets. */
  invite: string | undefined;
  saved: string | undefined;
  /** Goes up whenever lines or members changed, at most ten times a second. */
  readonly shown = signal(0);
  readonly unread = signal(0);
  readonly mentions = signal(0);
  readonly state = signal<"joining" | "joined" | "failed">("joining");
  /** What the user has typed and not sent. */
  draft = "";
  /** The first line that was not seen when the user came back. */
  seenUntil: number | undefined;
  readonly #self: () => Self;
  readonly #lines: Line[] = [];
  readonly #pace: Pace;
  #weight = 0;
  #outlet: Outlet | undefined;
  #isRead = false;
  #newUnread = 0;
  #newMentions = 0;

  constructor(id: string, kind: Kind, self: () => Self, title = id) {
    this.id = id;
    this.title = signal(title);
    this.kind = kind;
    this.#self = self;
    this.#pace = new Pace(() => this.#show());
    for (const text of recallList("tab", `unsent:${id}`).slice(0, UNSENT)) {
      this.#mine(text, { is: "failed", why: "the page was closed before it was sent" });
    }
  }

  /** The lines, oldest first. Read `shown` to hear of changes. */
  get lines(): readonly Line[] {
    return this.#lines;
  }

  /** Who is known to be there, without us. */
  members(): Member[] {
    return this.#outlet?.members() ?? [];
  }

  get outlet(): Outlet | undefined {
    return this.#outlet;
  }

  /** From now on messages go here; what waited goes first. */
  open(outlet: Outlet): void {
    this.#outlet = outlet;
    this.state.value = "joined";
    this.flush();
    this.touch();
  }

  /** There is nowhere to send to, until it is opened again. */
  close(state: "joining" | "failed"): void {
    this.#outlet = undefined;
    this.state.value = state;
    this.touch();
  }

  /** Something arrived. */
  hear(item: Message | DirectMessage | Missed): void {
    if (item.type === "missed") return this.say(missedText(item));
    const self = this.#self();
    const line = spoken(item, self.id, self.mentions);
    if (item.type === "direct" && !line.isMine) this.title.value = item.name;
    this.#add(line);
    if (this.#isRead || line.isMine) return;
    this.seenUntil ??= line.key;
    this.#newUnread += 1;
    if (line.mentionsMe || this.kind === "direct") this.#newMentions += 1;
  }

  /** The page has something to say here. */
  say(text: string): void {
    this.#add({ is: "notice", key: newKey(), text, time: new Date() });
  }

  /** Sends a text, or keeps it until it can be sent. `false` if too much waits already. */
  send(text: string, isConnected: boolean): boolean {
    if (this.#unsent().length >= UNSENT) return false;
    const line = this.#mine(text, { is: "waiting" });
    if (isConnected) void this.#send(line);
    this.#keepUnsent();
    return true;
  }

  /** Sends what waits for a connection. */
  flush(): void {
    for (const line of this.#unsent()) if (line.fate?.is === "waiting") void this.#send(line);
  }

  /** Sends a failed message again, at the end. */
  retry(line: Spoken, isConnected: boolean): void {
    this.discard(line);
    this.send(line.text, isConnected);
  }

  /** Whether we have written here: what the user began is not put away for a stranger's sake. */
  get isOurs(): boolean {
    return this.#isRead || this.#lines.some((line) => line.is === "spoken" && line.isMine);
  }

  /** Forgets a message that was not sent. */
  discard(line: Spoken): void {
    const at = this.#lines.findIndex(({ key }) => key === line.key);
    if (at >= 0) this.#weight -= weightOf(line);
    if (at >= 0) this.#lines.splice(at, 1);
    this.#keepUnsent();
    this.touch();
  }

  /** Whether the user sees this conversation now. */
  set isRead(isRead: boolean) {
    if (this.#isRead && !isRead) this.seenUntil = undefined;
    this.#isRead = isRead;
    if (!isRead) return;
    this.#newUnread = 0;
    this.#newMentions = 0;
    this.unread.value = 0;
    this.mentions.value = 0;
  }

  /** Something changed that is to be shown. */
  touch(): void {
    this.#pace.touch();
  }

  #show(): void {
    this.unread.value += this.#newUnread;
    this.mentions.value += this.#newMentions;
    this.#newUnread = 0;
    this.#newMentions = 0;
    this.shown.value += 1;
  }

  #mine(text: string, fate: Fate): Spoken {
    const { id, name } = this.#self();
    const line: Spoken = {
      is: "spoken",
      key: newKey(),
      from: id,
      name,
      time: new Date(),
      text,
      isData: false,
      isMine: true,
      mentionsMe: false,
      fate,
    };
    this.#add(line);
    return line;
  }

  async #send(line: Spoken): Promise<void> {
    const outlet = this.#outlet;
    if (outlet === undefined) return;
    this.#fate(line, { is: "sending" });
    try {
      await outlet.send(line.text);
      this.#fate(line, { is: "sent" });
    } catch (error) {
      this.#fate(line, { is: "failed", why: errorText(error) });
    }
    this.#keepUnsent();
  }

  #fate(line: Spoken, fate: Fate): void {
    const at = this.#lines.findIndex(({ key }) => key === line.key);
    if (at >= 0) this.#lines[at] = { ...line, fate };
    this.touch();
  }

  #unsent(): Spoken[] {
    const isUnsent = (line: Line): line is Spoken =>
      line.is === "spoken" && line.fate !== undefined && line.fate.is !== "sent";
    return this.#lines.filter(isUnsent);
  }

  #keepUnsent(): void {
    const texts = this.#unsent().map(({ text }) => text);
    // A sealed conversation leaves nothing readable behind, not even in the tab's own memory.
    if (this.kind !== "channel") return;
    remember("tab", `unsent:${this.id}`, texts.length === 0 ? undefined : JSON.stringify(texts));
  }

  #add(line: Line): void {
    this.#lines.push(line);
    this.#weight += weightOf(line);
    while (this.#lines.length > 1 && (this.#lines.length > LINES || this.#weight > WEIGHT)) {
      // What is not sent yet is the user's own and stays; there are few of them.
      const at = this.#lines.findIndex((one) => one.is === "notice" || (one.fate?.is ?? "sent") === "sent");
      if (at < 0 || at === this.#lines.length - 1) break;
      const [gone] = this.#lines.splice(at, 1);
      if (gone !== undefined) this.#weight -= weightOf(gone);
    }
    this.touch();
  }
}
