// What the page remembers as text: for this tab, or for this browser. A browser may refuse both.

/** Where something is remembered: `tab` until it is closed, `browser` for all tabs and later visits. */
export type Place = "tab" | "browser";

const PREFIX = "darkchat:";

function storage(place: Place): Storage | undefined {
  try {
    return place === "tab" ? globalThis.sessionStorage : globalThis.localStorage;
  } catch {
    return undefined;
  }
}

/** What was remembered, or nothing. */
export function recall(place: Place, what: string): string | undefined {
  try {
    return storage(place)?.getItem(PREFIX + what) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Remembers a text, or forgets it where there is none. Where the browser refuses, the page forgets at its end. */
export function remember(place: Place, what: string, text: string | undefined): void {
  try {
    if (text === undefined) storage(place)?.removeItem(PREFIX + what);
    else storage(place)?.setItem(PREFIX + what, text);
  } catch {
    // Full or forbidden: nothing depends on it.
  }
}

/** A list of texts that was remembered as JSON; anything else is an empty one. */
export function recallList(place: Place, what: string): string[] {
  try {
    const list: unknown = JSON.parse(recall(place, what) ?? "[]");
    return Array.isArray(list) ? list.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}
