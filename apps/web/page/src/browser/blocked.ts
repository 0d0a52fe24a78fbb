// Whose messages the user does not want, in this browser.

import { signal } from "@preact/signals";
import { recallList, remember } from "./memory.ts";

/** The keys that are blocked. */
export const blocked = signal<readonly string[]>(recallList("browser", "blocked"));

/** Blocks a key, or takes that back. */
export function setBlocked(person: string, isBlocked: boolean): void {
  const others = blocked.value.filter((one) => one !== person);
  blocked.value = isBlocked ? [...others, person] : others;
  remember("browser", "blocked", blocked.value.length === 0 ? undefined : JSON.stringify(blocked.value));
}
