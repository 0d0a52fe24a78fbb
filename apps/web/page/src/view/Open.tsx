// The dialogs, of which at most one is open.

import { signal, useSignal } from "@preact/signals";
import { TextError } from "darkchat-sdk";
import type { JSX, TargetedSubmitEvent } from "preact";
import { useEffect } from "preact/hooks";
import { blocked } from "../browser/blocked.ts";
import { compare, comparedOn } from "../browser/compared.ts";
import { block, createPrivate, join, ownId, privateOf, safetyOf, write } from "../chat/chat.ts";
import type { Conversation } from "../chat/conversation.ts";
import { errorText } from "../chat/errors.ts";
import { cleanName } from "../text/clean.ts";
import { Dialog } from "./Dialog.tsx";
import { openDrawer } from "./Header.tsx";
import { Name, nameText, Picture } from "./Name.tsx";
import { Settings } from "./Settings.tsx";

/** What is open above the page. */
export const opened = signal<
  | { readonly is: "nothing" }
  | { readonly is: "add" }
  | { readonly is: "settings" }
  | {
      readonly is: "person";
      readonly user: string;
      readonly name: string;
      readonly conversation: Conversation;
    }
  | { readonly is: "compare"; readonly user: string }
  | { readonly is: "invite"; readonly conversation: Conversation }
>({ is: "nothing" });

/** Closes whatever is open. */
export function closeDialog(): void {
  opened.value = { is: "nothing" };
  openDrawer("none");
}

/** Whatever is open. */
export function Open(): JSX.Element | null {
  const what = opened.value;
  if (what.is === "add") return <Add />;
  if (what.is === "settings") return <Settings />;
  if (what.is === "person") return <Person {...what} />;
  if (what.is === "compare") return <Compare user={what.user} />;
  if (what.is === "invite") return <Invite conversation={what.conversation} />;
  return null;
}

function Add(): JSX.Element {
  const problem = useSignal("");
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    try {
      const form = new FormData(event.currentTarget);
      const channel = String(form.get("channel"));
      if (form.has("private")) createPrivate(channel);
      else join(channel);
      closeDialog();
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      problem.value = `Not joined: ${error.message}.`;
    }
  };
  return (
    <Dialog title="Another channel" onClose={closeDialog}>
      <form onSubmit={submit}>
        <label for="add-channel">Channel</label>
        <input
          id="add-channel"
          name="channel"
          placeholder="#ops"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          autofocus
        />
        <label class="check">
          <input type="checkbox" name="private" /> Private: make a new one
        </label>
        <p class="problem" role="alert">
          {problem}
        </p>
        <button type="submit" class="primary">
          Join
        </button>
        <p class="small">
          Whoever joins the same name is in the same channel, and its servers can read it. A private channel
          is new, and only who gets its link reads it. An invitation's link can be put in here too.
        </p>
      </form>
    </Dialog>
  );
}

function Person(props: { user: string; name: string; conversation: Conversation }): JSX.Element {
  const { user, name, conversation } = props;
  const isMe = user === ownId.value;
  const channel = privateOf(conversation);
  const isBlocked = blocked.value.includes(user);
  const remove = async (): Promise<void> => {
    closeDialog();
    try {
      await channel?.remove([user]);
      conversation.say(
        `${nameText(user, name)} was removed: what is written from now on is not theirs to read.`,
      );
    } catch (error) {
      conversation.say(`${nameText(user, name)} was not removed: ${errorText(error)}.`);
    }
  };
  return (
    <Dialog title={isMe ? "You" : "Person"} onClose={closeDialog}>
      <p class="person">
        <Picture user={user} /> <Name user={user} name={name} />
      </p>
      <p class="small">The name is a claim. The key is proven by a signature on every message:</p>
      <Copied text={user} />
      {isBlocked && <p class="small">Blocked: nothing that this key says is shown or answered.</p>}
      {!isMe && (
        <p class="buttons">
          <button
            type="button"
            class="primary"
            onClick={() => {
              write(user, name);
              closeDialog();
            }}
          >
            Write directly
          </button>
          <button type="button" onClick={() => (opened.value = { is: "compare", user })}>
            Compare keys
          </button>
          <button type="button" onClick={() => block(user, !isBlocked)}>
            {isBlocked ? "Unblock" : "Block"}
          </button>
          {channel?.isAdmin && (
            <button type="button" onClick={() => void remove()}>
              Remove from {cleanName(conversation.title.value)}
            </button>
          )}
        </p>
      )}
    </Dialog>
  );
}

/** The same on both sides if nobody stands between: to be compared by another way than this one. */
function Compare({ user }: { user: string }): JSX.Element {
  const safety = useSignal<{ number: string; words: readonly string[] } | undefined>(undefined);
  useEffect(() => {
    void safetyOf(user).then(
      (found) => {
        safety.value = found;
      },
      () => {},
    );
  }, [user]);
  const day = comparedOn(user);
  return (
    <Dialog title="Compare keys" onClose={closeDialog}>
      <p class="small">
        Ask the other person, by telephone or face to face, for these digits or words. If they see the same,
        nobody stands between you.
      </p>
      <p class="digits">{safety.value?.number.match(/\d{5}/g)?.join(" ") ?? "…"}</p>
      <ol class="words" aria-label="Safety words">
        {safety.value?.words.map((word, at) => (
          <li key={at}>{word}</li>
        ))}
      </ol>
      <p class="buttons">
        {day === undefined ? (
          <button type="button" class="primary" onClick={() => compare(user, true)}>
            They are the same
          </button>
        ) : (
          <button type="button" onClick={() => compare(user, false)}>
            Compared {day}. Take back
          </button>
        )}
      </p>
    </Dialog>
  );
}

function Invite({ conversation }: { conversation: Conversation }): JSX.Element {
  const channel = privateOf(conversation);
  const link = useSignal("");
  const outcome = useSignal("");
  useEffect(() => {
    const page = location.href.split("#", 1)[0] ?? "";
    void channel?.invite({ page }).then(
      (text) => {
        link.value = text;
      },
      () => {},
    );
  }, [channel]);
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const key = String(new FormData(event.currentTarget).get("key")).trim();
    outcome.value = "Inviting…";
    try {
      const isReceived = (await channel?.inviteTo(key))?.received === true;
      outcome.value = isReceived ? "The invitation arrived." : "No acknowledgement came.";
    } catch (error) {
      outcome.value = `Not invited: ${errorText(error)}.`;
    }
  };
  return (
    <Dialog title="Invite" onClose={closeDialog}>
      <p class="small">
        Whoever has this link reads {cleanName(conversation.title.value)} from now on: hand it over where
        nobody else reads.
      </p>
      {link.value !== "" && <Copied text={link.value} />}
      <form onSubmit={(event) => void submit(event)}>
        <label for="invite-key">Or the key of a person who is online</label>
        <div class="row">
          <input id="invite-key" name="key" placeholder="u…" autocomplete="off" spellcheck={false} />
          <button type="submit">Invite</button>
        </div>
        <p class="small" role="status">
          {outcome}
        </p>
      </form>
    </Dialog>
  );
}

/** A key that can be read, and taken along where the browser permits it. */
export function Copied({ text }: { text: string }): JSX.Element {
  const isCopied = useSignal(false);
  const clipboard = navigator.clipboard as Clipboard | undefined;
  const copy = async (): Promise<void> => {
    await clipboard?.writeText(text);
    isCopied.value = true;
  };
  return (
    <p class="key">
      <code>{text}</code>
      {clipboard !== undefined && (
        <button type="button" onClick={() => void copy().catch(() => {})}>
          {isCopied.value ? "Copied" : "Copy"}
        </button>
      )}
    </p>
  );
}
