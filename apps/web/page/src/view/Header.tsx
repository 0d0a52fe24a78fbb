// What stands above a timeline, and the drawers of a narrow page.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { blocked } from "../browser/blocked.ts";
import { comparedOn } from "../browser/compared.ts";
import { part } from "../chat/chat.ts";
import type { Conversation } from "../chat/conversation.ts";
import { counted } from "../text/format.ts";
import { focusComposer } from "./focus.ts";
import { Name, titleText } from "./Name.tsx";
import { opened } from "./Open.tsx";

/** The drawer that is open; on a wide page both columns are always there. */
export const drawer = signal<"none" | "channels" | "members">("none");

/** Opens one drawer, or closes both and goes back to the composer. */
export function openDrawer(which: "none" | "channels" | "members"): void {
  drawer.value = which;
  if (which === "none") return focusComposer();
  requestAnimationFrame(() =>
    document.querySelector<HTMLElement>(`[data-region="${which}"] button`)?.focus(),
  );
}

/** What it is called, who is here, and what can be done about it. */
export function Header({ conversation }: { conversation: Conversation }): JSX.Element {
  const { kind, id } = conversation;
  conversation.shown.value;
  return (
    <header class="header">
      <button
        type="button"
        class="icon narrow"
        aria-label="Show the channel list"
        aria-expanded={drawer.value === "channels"}
        onClick={() => openDrawer("channels")}
      >
        <Sign path="M3 5h14M3 10h14M3 15h9" />
      </button>
      <h1>
        {kind === "direct" ? (
          <Name user={id} name={conversation.title.value} />
        ) : (
          <bdi>{titleText(conversation)}</bdi>
        )}
      </h1>
      <p class="here">{stateText(conversation)}</p>
      {kind === "direct" && (
        <button type="button" class="act" onClick={() => (opened.value = { is: "compare", user: id })}>
          Compare keys
        </button>
      )}
      {kind === "private" && (
        <button type="button" class="act" onClick={() => (opened.value = { is: "invite", conversation })}>
          Invite
        </button>
      )}
      <button
        type="button"
        class="icon"
        aria-label={kind === "direct" ? "Close this conversation" : "Leave this channel"}
        onClick={() => void part(conversation)}
      >
        <Sign path="M8 3H4v14h4M12 6l4 4-4 4M16 10H8" />
      </button>
      <button
        type="button"
        class="icon narrow"
        aria-label="Show who is here"
        aria-expanded={drawer.value === "members"}
        onClick={() => openDrawer("members")}
      >
        <Sign path="M7.5 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2 17c0-3 2.5-4.5 5.5-4.5S13 14 13 17M13 4.3a3 3 0 0 1 0 5.4M15 12.8c2 .6 3 2 3 4.2" />
      </button>
    </header>
  );
}

/** A drawing of a few lines. */
export function Sign({ path }: { path: string }): JSX.Element {
  return (
    <svg viewBox="0 0 20 20" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

function stateText(conversation: Conversation): string {
  const { kind, id, state } = conversation;
  if (state.value !== "joined") return state.value === "joining" ? "joining…" : "not joined";
  if (kind === "direct") {
    if (blocked.value.includes(id)) return "Blocked: nothing is shown or sent";
    const day = comparedOn(id);
    return `End-to-end encrypted${day === undefined ? "" : `, number compared ${day}`}`;
  }
  const here = `${counted(conversation.members().length + 1, "person", "people")} here`;
  return kind === "private" ? `Private · ${here}` : here;
}
