// Speaks up only when something is wrong.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { answer, hurry, invitations, nameOf, warnings } from "../chat/chat.ts";
import { type Reach, reach } from "../chat/reach.ts";
import { cleanName } from "../text/clean.ts";
import { Name } from "./Name.tsx";

/** A connection that takes longer is worth a word, in milliseconds. */
const SLOW_MS = 1_500;
const TICK_MS = 250;

/** The connection, and warnings. Announced when it appears; the countdown is not read out every second. */
export function Bar(): JSX.Element {
  const now = useSignal(performance.now());
  const state = reach.value;
  const isTicking = state.is === "waiting" || state.is === "connecting";
  useEffect(() => {
    if (!isTicking) return;
    now.value = performance.now();
    const timer = setInterval(() => {
      now.value = performance.now();
    }, TICK_MS);
    return () => clearInterval(timer);
  }, [isTicking, state]);
  const words = wordsOf(state, now.value);
  return (
    <div class="bars">
      <div role="status" class={words === undefined ? "" : "bar"}>
        {words !== undefined && (
          <>
            <p>
              {words.what} {words.next !== "" && <span aria-live="off">{words.next}</span>}
            </p>
            {words.canHurry && (
              <button type="button" onClick={hurry}>
                Try now
              </button>
            )}
          </>
        )}
      </div>
      {invitations.value.map((one) => (
        <div class="bar invitation" role="alert" key={one.invite}>
          <p>
            <bdi>{cleanName(one.name)}</bdi> is private, and <Name user={one.from} name={nameOf(one.from)} />{" "}
            invites you.
          </p>
          <span class="buttons">
            <button type="button" onClick={() => answer(one, true)}>
              Accept
            </button>
            <button type="button" onClick={() => answer(one, false)}>
              Refuse
            </button>
          </span>
        </div>
      ))}
      {warnings.value.map((warning) => (
        <div class="bar warning" role="alert" key={warning}>
          <p>{warning}</p>
          <button
            type="button"
            onClick={() => (warnings.value = warnings.value.filter((one) => one !== warning))}
          >
            I see
          </button>
        </div>
      ))}
    </div>
  );
}

function wordsOf(state: Reach, now: number): { what: string; next: string; canHurry: boolean } | undefined {
  if (state.is === "idle" || state.is === "connected") return undefined;
  if (state.is === "closed")
    return { what: `Not connected: ${cleanName(state.why)}.`, next: "", canHurry: true };
  if (state.is === "connecting") {
    if (now - state.since < SLOW_MS) return undefined;
    return {
      what: state.isFirst ? "Connecting…" : "Lost connection. Connecting again…",
      next: "",
      canHurry: false,
    };
  }
  const seconds = Math.max(0, Math.ceil((state.until - now) / 1_000));
  const what = state.isFirst ? "No connection to the server." : "Lost connection.";
  return { what, next: seconds === 0 ? "Trying again." : `Next try in ${seconds} s.`, canHurry: true };
}
