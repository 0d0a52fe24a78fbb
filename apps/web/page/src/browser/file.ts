// Gives the user a file, and takes the hash of this page.

/** Offers a text as a download. */
export function saveFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  // The browser has taken it over once the click is done; the address may go at the next turn.
  setTimeout(() => URL.revokeObjectURL(url), 0);
}

/** The files that the page is made of, sorted by name. */
const OWN = ["icon.svg", "index.html", "noble.js", "page.css", "page.js", "privates.js", "words.js"];

/** The hash by which servers name this page: of the list that `sha256sum` makes of its files. Nothing where unknown. */
export async function pageHash(): Promise<string | undefined> {
  try {
    const lines = OWN.map(async (name) => {
      const file = await fetch(new URL(name === "index.html" ? "." : name, location.href));
      return `${await sha256(await file.arrayBuffer())}  ${name}\n`;
    });
    return await sha256(new TextEncoder().encode((await Promise.all(lines)).join("")));
  } catch {
    return undefined;
  }
}

async function sha256(bytes: BufferSource): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
