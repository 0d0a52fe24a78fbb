// Where the page is: its server, and what the fragment of its URL asks for. The fragment never reaches a server.

/** What a fragment asks for. */
export type Wish =
  | { readonly is: "channel"; readonly name: string }
  /** A person, by their key. */
  | { readonly is: "person"; readonly key: string }
  /** An invitation to a private channel, with its secret. */
  | { readonly is: "invite"; readonly invite: string }
  /** Whatever this tab was in: what stands in no address. */
  | { readonly is: "again" }
  | { readonly is: "nothing" };

/** The fragment of a page whose conversation has no address. */
export const AGAIN = "#?private";
const INVITE = "dchat-invite-1:";

/** The WebSocket beside this page, whatever the path that a proxy serves it under. */
export function serverUrl(page: string = location.href): URL {
  const url = new URL("ws", page);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  url.search = "";
  return url;
}

/** Whether a text is an invitation, alone or behind a page's address. */
export function isInvite(text: string): boolean {
  return text.includes(INVITE);
}

/** Reads `#ops`, `#?key=u...` and `#dchat-invite-1:...`; what follows a question mark is no part of a name. */
export function wishOf(fragment: string): Wish {
  const bare = fragment.replace(/^#/, "");
  if (bare.startsWith(INVITE)) return { is: "invite", invite: bare };
  const [written = "", parameters = ""] = bare.split("?");
  const key = new URLSearchParams(parameters).get("key");
  if (written === "" && key !== null) return { is: "person", key };
  if (`#${bare}` === AGAIN) return { is: "again" };
  let name = written;
  try {
    name = decodeURIComponent(written);
  } catch {
    // A lone per cent sign was typed as it is.
  }
  return name === "" ? { is: "nothing" } : { is: "channel", name };
}

/** The fragment that joins this channel. */
export function fragmentOf(channel: string): string {
  return `#${encodeURIComponent(channel.replace(/^#/, ""))}`;
}

/** Puts the fragment into the address bar, so that a reload and a copied address lead here again. */
export function showPlace(fragment: string): void {
  history.replaceState(null, "", fragment === "" ? location.pathname + location.search : fragment);
}
