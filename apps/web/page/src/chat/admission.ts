// Who gets into a private channel by this user's hand. What became of it is said in the channel.

import { type PrivateChannel, TextError } from "darkchat-sdk";
import { privateOf } from "./chat.ts";
import type { Conversation } from "./conversation.ts";
import { errorText } from "./errors.ts";

/** Sends the invitation to a person who is online. @throws TextError if this is no private channel. */
export function invite(user: string, here: Conversation): void {
  const channel = sealed(here);
  void attempt(here, "Not invited", async () => {
    const { received } = await channel.inviteTo(user);
    return received ? "The invitation arrived." : "No acknowledgement of the invitation came.";
  });
}

/** Takes a person into the list, under a new secret, and invites them. @throws TextError as `invite` does. */
export function add(user: string, here: Conversation): void {
  const channel = sealed(here);
  void attempt(here, "Not added", async () => {
    const { away } = await channel.add([user]);
    if (!away.includes(user)) return "Added to the list, and the invitation arrived.";
    return "Added to the list; the invitation did not arrive: send it with /invite once they are here.";
  });
}

function sealed(here: Conversation): PrivateChannel {
  const channel = privateOf(here);
  if (channel === undefined) throw new TextError("this is no private channel that you have joined");
  return channel;
}

async function attempt(here: Conversation, failed: string, act: () => Promise<string>): Promise<void> {
  try {
    here.say(await act());
  } catch (error) {
    here.say(`${failed}: ${errorText(error)}.`);
  }
}
