// The beginning of a long message.

/** More characters, or more lines, are folded away until somebody asks for them. */
const LENGTH = 2_000;
const LINES = 20;

/** The beginning of a text that is too long to be shown at once, or nothing if it is not. */
export function beginningOf(text: string): string | undefined {
  let end = text.length > LENGTH ? LENGTH : text.length;
  let at = -1;
  for (let line = 0; line < LINES; line++) {
    at = text.indexOf("\n", at + 1);
    if (at < 0 || at >= end) break;
  }
  if (at >= 0 && at < end) end = at;
  if (end === text.length) return undefined;
  // No character is cut in two, nor a family of emoji that joiners hold together.
  while (end > 0 && (text[end - 1] === JOINER || CONTINUES.test(text.slice(end, end + 2)))) end -= 1;
  return text.slice(0, end);
}

const JOINER = "\u200d";
const CONTINUES = /^(?:\p{M}|\p{Cs}|\p{Emoji_Modifier}|\u200d)/u;
