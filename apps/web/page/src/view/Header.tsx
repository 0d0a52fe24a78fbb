// What stands above a timeline, and the drawers of a narrow page.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { part } from "../chat/chat.ts";
import type { Conversation } from "../chat/conversation.ts";
import { cleanName } from "../text/clean.ts";
import { counted } from "../text/format.ts";
import { focusComposer } from "./focus.ts";

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

/** The channel's name, and how many are here. */
export function Header({ conversation }: { conversation: Conversation }): JSX.Element {
  const isJoined = conversation.state.value === "joined";
  conversation.shown.value;
  const count = conversation.members().length + 1;
  return (
    <header class="header">
      <button
        type="button"
        class="icon narrow"
        aria-label="Show the channel list"
        aria-expanded={drawer.value === "channels"}
        onClick={() => openDrawer("channels")}
      >
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M3 5h14M3 10h14M3 15h9" />
        </svg>
      </button>
      <h1>
        <bdi>{cleanName(conversation.id)}</bdi>
      </h1>
      <p class="here">{isJoined ? `${counted(count, "person", "people")} here` : stateText(conversation)}</p>
      <button
        type="button"
        class="icon"
        aria-label="Leave this channel"
        title="Leave this channel"
        onClick={() => void part(conversation)}
      >
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M8 3H4v14h4M12 6l4 4-4 4M16 10H8" />
        </svg>
      </button>
      <button
        type="button"
        class="icon narrow"
        aria-label="Show who is here"
        aria-expanded={drawer.value === "members"}
        onClick={() => openDrawer("members")}
      >
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M7.5 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2 17c0-3 2.5-4.5 5.5-4.5S13 14 13 17M13 4.3a3 3 0 0 1 0 5.4M15 12.8c2 .6 3 2 3 4.2" />
        </svg>
      </button>
    </header>
  );
}

function stateText(conversation: Conversation): string {
  return conversation.state.value === "joining" ? "joining…" : "not joined";
}
