// Finds addresses in a text. Nothing is fetched for them.

/** A run of a text: plain, or an address that may be opened. */
export type Run =
  | { readonly is: "plain"; readonly text: string }
  | { readonly is: "link"; readonly text: string; readonly href: string; readonly host: string };

/** Links of one message that can be opened; a text of thousands stays readable and cheap. */
const LINKS = 50;
/** The longest address that becomes a link, in characters, with what ends its sentence; more is not looked at. */
const LENGTH = 2_000;
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\\]+/gi;
const CLOSING: Readonly<Record<string, string>> = { ")": "(", "]": "[", "}": "{" };
const IMAGE = /\.(?:png|jpe?g|gif|webp|avif)$/i;

/** Cuts a cleaned text into runs, in order; together they are the text. */
export function runsOf(text: string): Run[] {
  const runs: Run[] = [];
  let done = 0;
  let links = 0;
  for (const match of text.matchAll(ADDRESS)) {
    if (links === LINKS) break;
    if (match[0].length > LENGTH) continue;
    const found = trimmed(match[0]);
    const url = urlOf(found);
    if (url === undefined) continue;
    links += 1;
    if (match.index > done) runs.push({ is: "plain", text: text.slice(done, match.index) });
    runs.push({ is: "link", text: found, href: url.href, host: url.host });
    done = match.index + found.length;
  }
  if (done < text.length) runs.push({ is: "plain", text: text.slice(done) });
  return runs;
}

/** Whether an address looks like that of an image that this page may load: only over https. */
export function isImage(href: string): boolean {
  const url = new URL(href);
  return url.protocol === "https:" && IMAGE.test(url.pathname);
}

/** Without what ends the sentence rather than the address. */
function trimmed(address: string): string {
  let end = address.length;
  for (; end > 0; end--) {
    const last = address[end - 1] ?? "";
    const opening = CLOSING[last];
    const isClosing = opening !== undefined && !address.slice(0, end - 1).includes(opening);
    if (!isClosing && !".,;:!?…*_~".includes(last)) break;
  }
  return address.slice(0, end);
}

function urlOf(address: string): URL | undefined {
  if (!URL.canParse(address)) return undefined;
  const url = new URL(address);
  // `https://bank.example@evil.example/` is there to deceive.
  return url.hostname === "" || url.username !== "" || url.password !== "" ? undefined : url;
}
