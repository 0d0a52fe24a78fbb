// Goes where the fragment of the page's URL leads.

import { TextError } from "darkchat-sdk";
import { wishOf } from "../browser/place.ts";
import { current, enter, join, lastChannels, lastName, screen } from "../chat/chat.ts";

/** Joins what the fragment asks for: at once, without a question. What is no channel is left alone. */
export function follow(): void {
  const wish = wishOf(location.hash);
  if (wish.is === "nothing") return;
  try {
    if (screen.value === "chat") join(wish.name);
    else enter(lastName(), wish.name, lastChannels());
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    current.value?.say(`The address names no channel: ${error.message}`);
  }
}
