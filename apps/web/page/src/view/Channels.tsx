// The left column: the channels, and who we are.

import type { JSX } from "preact";
import { saveFile } from "../browser/file.ts";
import { conversations, current, ownId, ownName, recovery, show } from "../chat/chat.ts";
import type { Conversation } from "../chat/conversation.ts";
import { cleanName } from "../text/clean.ts";
import { counted } from "../text/format.ts";
import { openDrawer, Sign } from "./Header.tsx";
import { Logo } from "./Logo.tsx";
import { Name, Picture } from "./Name.tsx";
import { opened } from "./Open.tsx";

/** The channels, a way to more of them, and the user's own corner. */
export function Channels(): JSX.Element {
  const directs = conversations.value.filter(({ kind }) => kind === "direct");
  const channels = conversations.value.filter(({ kind }) => kind !== "direct");
  return (
    <nav class="column channels" data-region="channels" aria-label="Conversations" onKeyDown={closeByEscape}>
      <p class="brand">
        <Logo /> darkchat
      </p>
      <div class="scroll">
        <h2>Channels</h2>
        <List label="Channels" of={channels} />
        <button type="button" class="entry more" onClick={() => (opened.value = { is: "add" })}>
          <span aria-hidden="true">+</span> Add another
        </button>
        {directs.length > 0 && (
          <>
            <h2>Direct messages</h2>
            <List label="Direct messages" of={directs} />
          </>
        )}
      </div>
      <Offer />
      <button type="button" class="entry own" onClick={() => (opened.value = { is: "settings" })}>
        {ownId.value !== "" && <Picture user={ownId.value} />}
        <span class="who">
          {ownId.value === "" ? "…" : <Name user={ownId.value} name={ownName.value} />}
          <small>You · settings</small>
        </span>
      </button>
    </nav>
  );
}

function List({ label, of }: { label: string; of: readonly Conversation[] }): JSX.Element {
  return (
    <ul aria-label={label}>
      {of.map((one) => (
        <li key={one.id}>
          <Entry conversation={one} />
        </li>
      ))}
    </ul>
  );
}

function Entry({ conversation }: { conversation: Conversation }): JSX.Element {
  const isCurrent = current.value === conversation;
  const unread = conversation.unread.value;
  const mentions = conversation.mentions.value;
  const go = (): void => {
    show(conversation);
    openDrawer("none");
  };
  return (
    <button
      type="button"
      class={`entry${unread > 0 ? " unread" : ""}`}
      aria-current={isCurrent ? "true" : undefined}
      onClick={go}
    >
      {conversation.kind === "direct" ? (
        <span class="label">
          <Name user={conversation.id} name={conversation.title.value} />
        </span>
      ) : (
        <bdi class="label">{cleanName(conversation.title.value)}</bdi>
      )}
      {conversation.kind === "private" && (
        <>
          <Sign path="M5 9h10v8H5zM7 9V6a3 3 0 0 1 6 0v3" />
          <span class="unseen"> private</span>
        </>
      )}
      {unread > 0 && (
        <span class={`count${mentions > 0 ? " mentioned" : ""}`}>
          <span aria-hidden="true">{mentions > 0 ? `@${short(mentions)}` : short(unread)}</span>
          <span class="unseen">{` ${counted(unread, "unread message")}${mentions > 0 ? `, ${counted(mentions, "mention")}` : ""}`}</span>
        </span>
      )}
    </button>
  );
}

const short = (count: number): string => (count > 999 ? "999+" : String(count));

/** Offers the recovery file of a new key, once. */
function Offer(): JSX.Element | null {
  const secret = recovery.value;
  if (secret === undefined) return null;
  const save = (): void => {
    saveFile("darkchat-recovery.txt", secret);
    recovery.value = undefined;
  };
  return (
    <section class="offer" aria-label="Recovery file">
      <p>Your new key lives in this browser alone. A recovery file keeps it for you.</p>
      <p class="buttons">
        <button type="button" class="primary" onClick={save}>
          Save the file
        </button>
        <button type="button" onClick={() => (recovery.value = undefined)}>
          Not now
        </button>
      </p>
    </section>
  );
}

/** Escape in a drawer closes it. */
export function closeByEscape(event: KeyboardEvent): void {
  if (event.key === "Escape") openDrawer("none");
}
