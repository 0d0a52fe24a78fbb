// Whether a message speaks of us.

/** Makes the test for our name and our mark, as whole words, in any case. */
export function mentionOf(name: string, mark: string): (text: string) => boolean {
  const words = [name, mark].filter((word) => word.length > 0).map((word) => word.replace(SPECIAL, "\\$&"));
  const word = new RegExp(`(?<![\\p{L}\\p{N}_])(?:${words.join("|")})(?![\\p{L}\\p{N}_])`, "iu");
  return (text) => word.test(text);
}

const SPECIAL = /[\\^$.*+?()[\]{}|/-]/g;
