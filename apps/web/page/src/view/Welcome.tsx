// The first thing that a visitor sees: a name, a channel, and in.

import { useSignal } from "@preact/signals";
import { TextError } from "darkchat-sdk";
import type { JSX, TargetedSubmitEvent } from "preact";
import { enter, lastName } from "../chat/chat.ts";
import { focusComposer } from "./focus.ts";
import { Logo } from "./Logo.tsx";

/** Asks for a name and a channel; nothing else is needed. */
export function Welcome(): JSX.Element {
  const problem = useSignal("");
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    try {
      enter(String(form.get("name")), String(form.get("channel")));
      requestAnimationFrame(focusComposer);
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      problem.value = `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}.`;
    }
  };
  return (
    <main class="welcome">
      <form class="card" onSubmit={submit} aria-describedby="welcome-problem">
        <Logo />
        <h1>darkchat</h1>
        <p class="lead">A chat network that nobody owns.</p>
        <label for="own-name">Your name</label>
        <input
          id="own-name"
          name="name"
          defaultValue={lastName()}
          autocomplete="nickname"
          autofocus
          spellcheck={false}
        />
        <label for="channel">Channel</label>
        <input
          id="channel"
          name="channel"
          defaultValue="#general"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
        <p id="welcome-problem" class="problem" role="alert">
          {problem}
        </p>
        <button type="submit" class="primary">
          Join
        </button>
        <p class="small">
          No account: a key is made in this browser and signs what you write. A public channel can be read by
          the servers that carry it, and by anybody who joins.
        </p>
      </form>
    </main>
  );
}
