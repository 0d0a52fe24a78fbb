// One line of a timeline. All of it is text: nothing that others wrote becomes markup.

import { Component, type JSX } from "preact";
import { isConnected } from "../chat/chat.ts";
import type { Conversation } from "../chat/conversation.ts";
import type { Fate, Line, Spoken } from "../chat/line.ts";
import { cleanText } from "../text/clean.ts";
import { clockTime, fullTime } from "../text/format.ts";
import { focusComposer } from "./focus.ts";
import { Name, Picture } from "./Name.tsx";
import { opened } from "./Open.tsx";
import { Text } from "./Text.tsx";

interface Props {
  readonly line: Line;
  /** The day, where another one begins. */
  readonly day: string | undefined;
  /** Whether the one before is of the same person, so that the name need not be seen again. */
  readonly follows: boolean;
  readonly isFirstNew: boolean;
  readonly conversation: Conversation;
}

/** A line is drawn again only when it became another one. */
export class LineView extends Component<Props> {
  override shouldComponentUpdate(next: Props): boolean {
    const { line, day, follows, isFirstNew } = this.props;
    return (
      line !== next.line || day !== next.day || follows !== next.follows || isFirstNew !== next.isFirstNew
    );
  }

  override render({ line, day, follows, isFirstNew, conversation }: Props): JSX.Element {
    return (
      <>
        {day !== undefined && <p class="rule">{day}</p>}
        {isFirstNew && <p class="rule new">New</p>}
        {line.is === "notice" ? (
          <article class="notice">
            <p>{cleanText(line.text)}</p>
          </article>
        ) : (
          <Message
            line={line}
            follows={follows && !isFirstNew && day === undefined}
            conversation={conversation}
          />
        )}
      </>
    );
  }
}

function Message(props: { line: Spoken; follows: boolean; conversation: Conversation }): JSX.Element {
  const { line, follows, conversation } = props;
  const open = (): void => {
    opened.value = { is: "person", user: line.from, name: line.name, conversation };
  };
  const classes = ["line", follows && "follows", line.mentionsMe && "to-me", line.fate?.is ?? ""];
  return (
    <article class={classes.filter(Boolean).join(" ")}>
      {!follows && (
        <button type="button" class="face" tabIndex={-1} aria-hidden="true" onClick={open}>
          <Picture user={line.from} />
        </button>
      )}
      <header class={follows ? "unseen" : ""}>
        <Name user={line.from} name={line.name} />
        {line.isMine && <span class="you"> you</span>}
        {line.mentionsMe && <span class="unseen"> mentions you</span>}
      </header>
      <time dateTime={isoTime(line.time)} title={fullTime(line.time)}>
        {clockTime(line.time)}
      </time>
      {line.isData ? <p class="text data">{line.text}</p> : <Text text={line.text} />}
      {line.fate !== undefined && <FateView line={line} fate={line.fate} conversation={conversation} />}
    </article>
  );
}

function FateView(props: { line: Spoken; fate: Fate; conversation: Conversation }): JSX.Element | null {
  const { line, fate, conversation } = props;
  if (fate.is === "sent") return null;
  if (fate.is === "sending") return <p class="fate">sending…</p>;
  const drop = (): void => {
    conversation.discard(line);
    focusComposer();
  };
  const again = (): void => {
    conversation.retry(line, isConnected());
    focusComposer();
  };
  const isWaiting = fate.is === "waiting";
  return (
    <p class="fate">
      {isWaiting ? "Waits for the connection." : `Not sent: ${fate.why}.`}{" "}
      {!isWaiting && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
      <button type="button" onClick={drop}>
        Discard
      </button>
    </p>
  );
}

/** A time that others claim may be none. */
function isoTime(time: Date): string {
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}
