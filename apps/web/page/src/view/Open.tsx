// The dialogs, of which at most one is open.

import { signal, useSignal } from "@preact/signals";
import { TextError } from "darkchat-sdk";
import type { JSX, TargetedSubmitEvent } from "preact";
import { join, ownId } from "../chat/chat.ts";
import { Dialog } from "./Dialog.tsx";
import { openDrawer } from "./Header.tsx";
import { Name, Picture } from "./Name.tsx";
import { Settings } from "./Settings.tsx";

/** What is open above the page. */
export const opened = signal<
  | { readonly is: "nothing" }
  | { readonly is: "add" }
  | { readonly is: "settings" }
  | { readonly is: "person"; readonly user: string; readonly name: string }
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
  if (what.is === "person") return <Person user={what.user} name={what.name} />;
  return null;
}

function Add(): JSX.Element {
  const problem = useSignal("");
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    try {
      join(String(new FormData(event.currentTarget).get("channel")));
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
        <p class="problem" role="alert">
          {problem}
        </p>
        <button type="submit" class="primary">
          Join
        </button>
        <p class="small">Channels need not be made: whoever joins the same name is in the same channel.</p>
      </form>
    </Dialog>
  );
}

function Person({ user, name }: { user: string; name: string }): JSX.Element {
  return (
    <Dialog title={user === ownId.value ? "You" : "Person"} onClose={closeDialog}>
      <p class="person">
        <Picture user={user} /> <Name user={user} name={name} />
      </p>
      <p class="small">The name is a claim. The key is proven by a signature on every message:</p>
      <Key text={user} />
    </Dialog>
  );
}

/** A key that can be read, and taken along where the browser permits it. */
export function Key({ text }: { text: string }): JSX.Element {
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
