// The right column: who is here, as far as the network tells.

import type { JSX } from "preact";
import { ownId, ownName } from "../chat/chat.ts";
import type { Conversation } from "../chat/conversation.ts";
import { closeByEscape } from "./Channels.tsx";
import { Name, Picture } from "./Name.tsx";
import { opened } from "./Open.tsx";

/** We first, then everybody who was heard of in the last minutes. */
export function Members({ conversation }: { conversation: Conversation }): JSX.Element {
  conversation.shown.value;
  const isDirect = conversation.kind === "direct";
  const members = isDirect
    ? [{ user: conversation.id, name: conversation.title.value }]
    : conversation.members();
  const all = ownId.value === "" ? members : [{ user: ownId.value, name: ownName.value }, ...members];
  return (
    <aside class="column members" data-region="members" aria-label="Who is here" onKeyDown={closeByEscape}>
      <h2>Members</h2>
      <ul class="scroll" aria-label="Members">
        {all.map(({ user, name }) => (
          <li key={user}>
            <button
              type="button"
              class="entry"
              onClick={() => (opened.value = { is: "person", user, name, conversation })}
            >
              <Picture user={user} />
              <span class="who">
                <Name user={user} name={name} />
                {user === ownId.value && <small>you</small>}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </aside>
  );
}
