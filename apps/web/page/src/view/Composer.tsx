// Where the user writes.

import { useSignal } from "@preact/signals";
import type { JSX, TargetedInputEvent, TargetedKeyboardEvent } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { send } from "../chat/chat.ts";
import { type Command, matching, run } from "../chat/commands.ts";
import type { Conversation } from "../chat/conversation.ts";
import { DIRECT_MOST, TEXT_MOST, tooLong } from "../chat/line.ts";
import { byteLength, counted } from "../text/format.ts";
import { titleText } from "./Name.tsx";

/** How near to the limit the remaining bytes are shown. */
const NEAR = 2_048;

/** Enter sends, Shift-Enter begins a line, `/` offers commands. */
export function Composer({ conversation }: { conversation: Conversation }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = useSignal(conversation.draft);
  const problem = useSignal("");
  useEffect(() => {
    field.current?.focus({ preventScroll: true });
  }, []);
  const write = (typed: string): void => {
    text.value = typed;
    conversation.draft = typed;
    problem.value = "";
  };
  const submit = (): void => {
    const typed = text.value;
    if (typed.trim() === "") return;
    problem.value = say(conversation, typed) ?? "";
    if (problem.value === "") write("");
    field.current?.focus();
  };
  const offered = offeredFor(text.value);
  const press = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
    const [first] = offered;
    const isOpen = first !== undefined && !text.value.includes(" ");
    if (event.key === "Tab" && !event.shiftKey && isOpen && text.value !== `/${first.name}`) {
      event.preventDefault();
      write(`/${first.name}${first.words === "" ? "" : " "}`);
    }
  };
  return (
    <form
      class="composer"
      data-region="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {offered.length > 0 && (
        <Commands offered={offered} choose={(name) => write(`/${name} `)} after={field} />
      )}
      <div class="row">
        <textarea
          ref={field}
          aria-label="Message"
          aria-describedby="composer-problem"
          placeholder={`Message ${titleText(conversation)}`}
          rows={1}
          value={text}
          onInput={(event: TargetedInputEvent<HTMLTextAreaElement>) => write(event.currentTarget.value)}
          onKeyDown={press}
          enterkeyhint="send"
        />
        <button
          type="submit"
          class="send"
          aria-label="Send"
          title="Send (Enter)"
          disabled={text.value.trim() === ""}
        >
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d="M10 16V4M4.5 9.5 10 4l5.5 5.5" />
          </svg>
        </button>
      </div>
      <p id="composer-problem" class="problem" role="alert">
        {problem.value === "" ? roomLeft(text.value, mostOf(conversation)) : problem}
      </p>
    </form>
  );
}

/** Says it, or does it; words for the user if neither can be. */
function say(conversation: Conversation, typed: string): string | undefined {
  if (typed.startsWith("/") && !typed.startsWith("//")) return sentence(run(typed.trimEnd(), conversation));
  const text = typed.startsWith("//") ? typed.slice(1) : typed;
  return sentence(tooLong(text, mostOf(conversation)) ?? send(conversation, text));
}

function sentence(words: string | undefined): string | undefined {
  return words === undefined ? undefined : `Not sent: ${words}.`;
}

function mostOf({ kind }: Conversation): number {
  return kind === "direct" ? DIRECT_MOST : TEXT_MOST;
}

function roomLeft(text: string, most: number): string {
  // A character has at most three bytes for each of its code units.
  if (text.length * 3 < most - NEAR) return "";
  const left = most - byteLength(text);
  if (left >= NEAR) return "";
  return left >= 0 ? `Room for ${counted(left, "byte")} more` : `${counted(-left, "byte")} too long`;
}

function offeredFor(text: string): Command[] {
  const word = /^\/([^\s/]*)$/.exec(text)?.[1];
  return word === undefined ? [] : matching(word);
}

function Commands(props: {
  offered: Command[];
  choose: (name: string) => void;
  after: { readonly current: HTMLTextAreaElement | null };
}): JSX.Element {
  return (
    <ul class="commands" aria-label="Commands">
      {props.offered.map(({ name, words, does }, at) => (
        <li key={name}>
          <button
            type="button"
            onClick={() => {
              props.choose(name);
              props.after.current?.focus();
            }}
          >
            <b>/{name}</b> {words} <small>{does}</small>
            {at === 0 && <kbd>Tab</kbd>}
          </button>
        </li>
      ))}
    </ul>
  );
}
