// How people are shown: a name is a claim, so the mark of the key stands beside it, and a picture made of the key.

import { markOf } from "darkchat-sdk";
import type { JSX } from "preact";
import type { Conversation } from "../chat/conversation.ts";
import { cleanName } from "../text/clean.ts";

/** `NAME~MARK`; the name cannot reorder what stands around it. */
export function Name({ user, name }: { user: string; name: string }): JSX.Element {
  return (
    <span class={`name hue${hueOf(user)}`}>
      <bdi>{cleanName(name)}</bdi>
      <span class="mark">~{markOf(user)}</span>
    </span>
  );
}

/** The same as plain text, for labels. */
export function nameText(user: string, name: string): string {
  return `${cleanName(name)}~${markOf(user)}`;
}

/** What a conversation is called, as plain text. */
export function titleText({ kind, id, title }: Conversation): string {
  return kind === "direct" ? nameText(id, title.value) : cleanName(title.value);
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const HUES = 12;

/** The colour comes from the key, never from the name. */
function hueOf(user: string): number {
  return [...user.slice(10, 14)].reduce((sum, letter) => sum + LETTERS.indexOf(letter), 0) % HUES;
}

/** A small mirrored pattern: whoever sees it twice knows it again. */
export function Picture({ user }: { user: string }): JSX.Element {
  return (
    <svg class={`picture hue${hueOf(user)}`} viewBox="0 0 7 7" aria-hidden="true">
      <path d={patternOf(user)} />
    </svg>
  );
}

/** Five by five squares, the right side as the left one: 15 bits of the key. */
function patternOf(user: string): string {
  const bits = [...user.slice(14, 17)].flatMap((letter) => {
    const value = Math.max(0, LETTERS.indexOf(letter));
    return [0, 1, 2, 3, 4].map((bit) => (value >> bit) & 1);
  });
  const squares: string[] = [];
  for (const [at, bit] of bits.entries()) {
    if (bit === 0) continue;
    const [x, y] = [at % 3, Math.floor(at / 3)];
    for (const column of new Set([x, 4 - x])) squares.push(`M${column + 1} ${y + 1}h1v1h-1z`);
  }
  return squares.join("");
}
