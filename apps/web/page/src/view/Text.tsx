// A message's text: cleaned, folded when long, with links that nobody follows for the user.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { cleanText } from "../text/clean.ts";
import { beginningOf } from "../text/cut.ts";
import { byteLength, bytes } from "../text/format.ts";
import { isImage, type Run, runsOf } from "../text/links.ts";

/** The text, as text. */
export function Text({ text }: { text: string }): JSX.Element {
  const isWhole = useSignal(false);
  const clean = cleanText(text);
  const beginning = isWhole.value ? undefined : beginningOf(clean);
  return (
    <>
      <p class="text" dir="auto">
        {runsOf(beginning ?? clean).map((run, at) => (
          <Piece key={at} run={run} />
        ))}
        {beginning !== undefined && "…"}
      </p>
      {beginning !== undefined && (
        <button type="button" class="unfold" onClick={() => (isWhole.value = true)}>
          Show all ({bytes(byteLength(text))})
        </button>
      )}
    </>
  );
}

function Piece({ run }: { run: Run }): JSX.Element {
  if (run.is === "plain") return <>{run.text}</>;
  // Letters that only look like others become visible in the form that the network uses.
  const isPlain = run.text.toLowerCase().includes(`//${run.host}`);
  return (
    <>
      <a href={run.href} target="_blank" rel="noopener noreferrer nofollow" referrerpolicy="no-referrer">
        {run.text}
      </a>
      {!isPlain && <span class="host"> ({run.host})</span>}
      {isImage(run.href) && <ImageOf href={run.href} host={run.host} />}
    </>
  );
}

/** An image is fetched only when the user asks for it: its server learns that somebody looks. */
function ImageOf({ href, host }: { href: string; host: string }): JSX.Element {
  const state = useSignal<"link" | "shown" | "broken">("link");
  if (state.value === "broken") return <span class="host"> (this image cannot be shown)</span>;
  if (state.value === "shown") {
    return (
      <img
        src={href}
        alt={`From ${host}`}
        referrerpolicy="no-referrer"
        decoding="async"
        onError={() => (state.value = "broken")}
      />
    );
  }
  return (
    <>
      {" "}
      <button
        type="button"
        class="show"
        title={`${host} will see that you look`}
        onClick={() => (state.value = "shown")}
      >
        show image
      </button>
    </>
  );
}
