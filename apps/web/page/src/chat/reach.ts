// Reaches the server and says how that goes: the first connection is tried until it stands.

import { signal } from "@preact/signals";
import { ChatError, Client, type ClientOptions, type State } from "darkchat-sdk";
import { errorText } from "./errors.ts";

/** What the connection bar is about. */
export type Reach =
  | { readonly is: "idle" }
  | { readonly is: "connecting"; readonly since: number; readonly isFirst: boolean }
  | { readonly is: "connected"; readonly server: string }
  /** `until` is on the page's own clock, `performance.now()`. */
  | { readonly is: "waiting"; readonly until: number; readonly isFirst: boolean }
  /** It makes no sense to try again without the user. */
  | { readonly is: "closed"; readonly why: string };

/** How the connection is. */
export const reach = signal<Reach>({ is: "idle" });

/** The first wait, and the longest one, in milliseconds. */
const WAIT_MS = 500;
const WAIT_MOST_MS = 30_000;
/** After these codes or reasons the user must decide. */
const FINAL = ["wrong-server", "version", "CONFLICT", "BLOCKED", "UNAUTHORIZED", "VERSION"];

/** Ends a wait; set while one is going on. */
let wake: (() => void) | undefined;

/** Tries now instead of when the wait is over. */
export function tryNow(client: Client | undefined): void {
  wake?.();
  client?.reconnect();
}

/** Connects, however long it takes; nothing if it is given up or makes no sense. */
export async function connect(
  url: URL,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<Client | undefined> {
  for (let failures = 0; !signal.aborted; failures++) {
    reach.value = { is: "connecting", since: performance.now(), isFirst: true };
    try {
      return await Client.connect(url, { ...options, signal });
    } catch (error) {
      if (signal.aborted) break;
      const word = error instanceof ChatError ? (error.reason ?? error.code) : "";
      if (FINAL.includes(word) || (error instanceof ChatError && FINAL.includes(error.code))) {
        reach.value = { is: "closed", why: errorText(error) };
        return undefined;
      }
    }
    const span = Math.min(WAIT_MOST_MS, WAIT_MS * 2 ** Math.min(failures, 16));
    // Many pages that lost one server must not come back at the same moment.
    await pause(span * (0.5 + Math.random()), signal);
  }
  return undefined;
}

/** Follows a connected client. */
export function follow(state: State): void {
  if (state.name === "connecting")
    reach.value = { is: "connecting", since: performance.now(), isFirst: false };
  if (state.name === "connected") reach.value = { is: "connected", server: state.server };
  if (state.name === "waiting") {
    reach.value = { is: "waiting", until: performance.now() + state.retryInMs, isFirst: false };
  }
}

function pause(wait: number, signal: AbortSignal): Promise<void> {
  reach.value = { is: "waiting", until: performance.now() + wait, isFirst: true };
  return new Promise((resolve) => {
    const timer = setTimeout(done, wait);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      wake = undefined;
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
    wake = done;
  });
}
