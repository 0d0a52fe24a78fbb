// The messages of one conversation, newest at the end.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Conversation } from "../chat/conversation.ts";
import type { Line } from "../chat/line.ts";
import { counted, dayOf } from "../text/format.ts";
import { LineView } from "./Line.tsx";
import { titleText } from "./Name.tsx";

/** Lines that are in the document while the newest are shown; scrolling up brings the rest. */
const RECENT = 200;
/** So near to the end counts as at the end, in pixels. */
const NEAR = 48;
/** Within it, messages of one person stand together, in milliseconds. */
const TOGETHER_MS = 5 * 60_000;

/** The log. It follows new messages unless the user has scrolled up. */
export function Timeline({ conversation }: { conversation: Conversation }): JSX.Element {
  const log = useRef<HTMLDivElement>(null);
  const isAtEnd = useSignal(true);
  const seen = useRef(0);
  const scrolled = useRef(true);
  conversation.shown.value;
  const isDirect = conversation.kind === "direct";
  const { lines } = conversation;
  const last = lines.at(-1)?.key ?? 0;
  if (isAtEnd.value) seen.current = last;
  const shown = isAtEnd.value ? lines.slice(-RECENT) : lines;
  const newer = isAtEnd.value
    ? 0
    : lines.filter((line) => line.is === "spoken" && line.key > seen.current).length;
  const toEnd = (): void => {
    const element = log.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
  };
  useLayoutEffect(() => {
    if (scrolled.current) toEnd();
  });
  useEffect(() => {
    const element = log.current;
    if (element === null) return;
    const resized = new ResizeObserver(() => scrolled.current && toEnd());
    resized.observe(element);
    return () => resized.disconnect();
  }, []);
  const moved = (): void => {
    const element = log.current;
    if (element === null) return;
    scrolled.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
    isAtEnd.value = scrolled.current;
  };
  return (
    <section class="timeline" data-region="timeline" aria-label="Conversation">
      <div
        ref={log}
        class="log"
        role="log"
        aria-label={`Messages ${isDirect ? "with" : "in"} ${titleText(conversation)}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be in reach of the keyboard.
        tabIndex={0}
        data-first
        onScroll={moved}
      >
        {lines.length === 0 && (
          <p class="empty">
            {isDirect
              ? "Nothing here yet. Only this person can read what you write, and it arrives while they are online."
              : "Nothing here yet. Servers store nothing: a channel begins when you come."}
          </p>
        )}
        {shown.map((line, at) => (
          <LineView
            key={line.key}
            line={line}
            day={dayBetween(shown[at - 1], line)}
            follows={follows(shown[at - 1], line)}
            isFirstNew={line.key === conversation.seenUntil}
            conversation={conversation}
          />
        ))}
      </div>
      {!isAtEnd.value && (
        <button
          type="button"
          class="latest"
          onClick={() => {
            scrolled.current = true;
            isAtEnd.value = true;
            toEnd();
          }}
        >
          {newer === 0 ? "To the latest" : counted(newer, "new message")}
          <span aria-hidden="true"> ↓</span>
        </button>
      )}
    </section>
  );
}

function dayBetween(before: Line | undefined, line: Line): string | undefined {
  const day = dayOf(line.time);
  if (before === undefined) return day === dayOf(new Date()) ? undefined : day;
  return dayOf(before.time) === day ? undefined : day;
}

/** Whether a message goes on where the one before ended: same person, same name, shortly after. */
function follows(before: Line | undefined, line: Line): boolean {
  if (before?.is !== "spoken" || line.is !== "spoken") return false;
  const isSame = before.from === line.from && before.name === line.name;
  const apart = line.time.getTime() - before.time.getTime();
  return isSame && apart < TOGETHER_MS && apart > -TOGETHER_MS;
}
