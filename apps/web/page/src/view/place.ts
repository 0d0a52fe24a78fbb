// Goes where the fragment of the page's URL leads.

import { TextError } from "darkchat-sdk";
import { wishOf } from "../browser/place.ts";
import { canEnterAgain, current, enterAgain, join, screen, write } from "../chat/chat.ts";

/** Joins what the fragment asks for: at once, without a question. What is no channel is left alone. */
export function follow(): void {
  const wish = wishOf(location.hash);
  if (wish.is === "nothing" || (wish.is === "again" && !canEnterAgain())) return;
  const go = (): void => {
    if (wish.is === "channel") join(wish.name);
    if (wish.is === "invite") join(wish.invite);
    if (wish.is === "person") write(wish.key);
  };
  try {
    if (screen.value === "chat") go();
    else enterAgain(go);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    current.value?.say(`The address names no channel: ${error.message}`);
  }
}
