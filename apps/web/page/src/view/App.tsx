// The whole page.

import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { conversations, current, screen } from "../chat/chat.ts";
import { Bar } from "./Bar.tsx";
import { Channels } from "./Channels.tsx";
import { Composer } from "./Composer.tsx";
import { drawer, Header, openDrawer } from "./Header.tsx";
import { Members } from "./Members.tsx";
import { titleText } from "./Name.tsx";
import { Open } from "./Open.tsx";
import { Timeline } from "./Timeline.tsx";
import { Welcome } from "./Welcome.tsx";

/** Welcome, or the chat. */
export function App(): JSX.Element {
  useSignalEffect(() => {
    document.title = titleOf();
  });
  return screen.value === "welcome" ? <Welcome /> : <Chat />;
}

function Chat(): JSX.Element {
  const conversation = current.value;
  return (
    <div class={`chat drawer-${drawer.value}`}>
      <Channels />
      <main class="talk">
        <Bar />
        {conversation !== undefined && (
          <>
            <Header conversation={conversation} />
            <Timeline key={conversation.id} conversation={conversation} />
            <Composer key={`composer ${conversation.id}`} conversation={conversation} />
          </>
        )}
      </main>
      {conversation !== undefined && <Members conversation={conversation} />}
      {drawer.value !== "none" && (
        <button
          type="button"
          class="shade"
          aria-label="Close the drawer"
          onClick={() => openDrawer("none")}
        />
      )}
      <Open />
    </div>
  );
}

function titleOf(): string {
  const here = current.value;
  if (here === undefined) return "darkchat";
  const unread = conversations.value.reduce((sum, one) => sum + one.unread.value, 0);
  return `${unread === 0 ? "" : `(${unread}) `}${titleText(here)} · darkchat`;
}
