// Gives the user a file, and takes the hash of this page.

/** Offers a text as a download. */
export function saveFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  // The browser has taken it over once the click is done; the address may go at the next turn.
  setTimeout(() => URL.revokeObjectURL(url), 0);
}

const OWN = ["index.html", "page.js", "page.css"];

/** The SHA-256 of this page's files one after the other, in hexadecimal; nothing where it cannot be computed. */
export async function pageHash(): Promise<string | undefined> {
  try {
    const files = OWN.map(async (name) => {
      const answer = await fetch(new URL(name === "index.html" ? "." : name, location.href));
      return new Uint8Array(await answer.arrayBuffer());
    });
    const all = new Blob(await Promise.all(files));
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await all.arrayBuffer()));
    return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {
    return undefined;
  }
}
