// Name, appearance, key, and what this page is.

import { useSignal } from "@preact/signals";
import { TextError } from "darkchat-sdk";
import type { JSX, TargetedInputEvent, TargetedSubmitEvent } from "preact";
import { useEffect } from "preact/hooks";
import { pageHash, saveFile } from "../browser/file.ts";
import { knownServers, takeKey } from "../browser/keys.ts";
import { serverUrl } from "../browser/place.ts";
import { chooseTheme, THEMES, theme } from "../browser/theme.ts";
import { hurry, ownId, ownName, quit, recovery, rename, restart } from "../chat/chat.ts";
import { reach } from "../chat/reach.ts";
import { Dialog } from "./Dialog.tsx";
import { Copied, closeDialog } from "./Open.tsx";

/** The settings. */
export function Settings(): JSX.Element {
  return (
    <Dialog title="Settings" onClose={closeDialog}>
      <OwnName />
      <fieldset class="themes">
        <legend>Appearance</legend>
        {THEMES.map((one) => (
          <label key={one}>
            <input
              type="radio"
              name="theme"
              checked={theme.value === one}
              onChange={() => chooseTheme(one)}
            />{" "}
            {one}
          </label>
        ))}
      </fieldset>
      <OwnKey />
      <About />
      <p class="buttons">
        <button type="button" onClick={() => void quit()}>
          Leave all channels
        </button>
      </p>
    </Dialog>
  );
}

function OwnName(): JSX.Element {
  const problem = useSignal("");
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    try {
      rename(String(new FormData(event.currentTarget).get("name")));
      closeDialog();
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      problem.value = `Not changed: ${error.message}.`;
    }
  };
  return (
    <form onSubmit={submit}>
      <label for="settings-name">Your name</label>
      <div class="row">
        <input
          id="settings-name"
          name="name"
          defaultValue={ownName.value}
          autocomplete="nickname"
          spellcheck={false}
        />
        <button type="submit">Change</button>
      </div>
      <p class="problem" role="alert">
        {problem}
      </p>
    </form>
  );
}

function OwnKey(): JSX.Element {
  const problem = useSignal("");
  const secret = recovery.value;
  const take = async (event: TargetedInputEvent<HTMLInputElement>): Promise<void> => {
    const file = event.currentTarget.files?.[0];
    if (file === undefined) return;
    try {
      await takeKey(await file.slice(0, 1_024).text());
      closeDialog();
      await restart();
    } catch (error) {
      problem.value =
        error instanceof TextError ? `Not taken: ${error.message}.` : "This browser could not keep the key.";
    }
  };
  return (
    <section>
      <h3>Your key</h3>
      <Copied text={ownId.value} />
      {secret === undefined ? (
        <p class="small">It is locked away in this browser, where no script can read it again.</p>
      ) : (
        <p class="buttons">
          <button type="button" onClick={() => saveFile("darkchat-recovery.txt", secret)}>
            Save the recovery file
          </button>
        </p>
      )}
      <label for="settings-recovery">Use the key of a recovery file instead</label>
      <input
        id="settings-recovery"
        type="file"
        accept=".txt,.key,text/plain"
        onInput={(event) => void take(event)}
      />
      <p class="problem" role="alert">
        {problem}
      </p>
    </section>
  );
}

function About(): JSX.Element {
  const hash = useSignal<string | undefined>(undefined);
  useEffect(() => {
    void pageHash().then((found) => {
      hash.value = found ?? "not known here";
    });
  }, []);
  const state = reach.value;
  const forget = (): void => {
    knownServers.forget(serverUrl().href);
    closeDialog();
    hurry();
  };
  return (
    <section>
      <h3>This page</h3>
      <p class="small">
        It came from the server you are connected to, which could serve another one tomorrow. SHA-256 of its
        files:
      </p>
      <p class="key">
        <code>{hash.value ?? "…"}</code>
      </p>
      {state.is === "connected" && (
        <>
          <p class="small">The server's key, remembered at first contact:</p>
          <p class="key">
            <code>{state.server}</code>
          </p>
        </>
      )}
      {state.is === "closed" && (
        <p class="buttons">
          <button type="button" onClick={forget}>
            Forget this server's key and connect
          </button>
        </p>
      )}
    </section>
  );
}
