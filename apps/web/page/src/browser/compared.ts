// Whose number the user has compared, in this browser.

import { signal } from "@preact/signals";
import { recall, remember } from "./memory.ts";

const changed = signal(0);

/** The day on which the number of a person was found to be the same, `2026-11-22`, or nothing. */
export function comparedOn(person: string): string | undefined {
  changed.value;
  return recall("browser", `compared:${person}`);
}

/** The user says that the number is the same, or takes it back. */
export function compare(person: string, isSame: boolean): void {
  remember("browser", `compared:${person}`, isSame ? new Date().toISOString().slice(0, 10) : undefined);
  changed.value += 1;
}
