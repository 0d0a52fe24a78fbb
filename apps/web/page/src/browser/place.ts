// Where the page is: its server, and what the fragment of its URL asks for. The fragment never reaches a server.

/** What a fragment asks for. */
export type Wish = { readonly is: "channel"; readonly name: string } | { readonly is: "nothing" };

/** The WebSocket beside this page, whatever the path that a proxy serves it under. */
export function serverUrl(page: string = location.href): URL {
  const url = new URL("ws", page);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  url.search = "";
  return url;
}

/** Reads `#ops`; a parameter behind a question mark is not part of the name. */
export function wishOf(fragment: string): Wish {
  const [written = ""] = fragment.replace(/^#/, "").split("?");
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
