// Text from others, made safe to read: nothing in it hides, reorders or takes the room of what stands beside it.

/** What takes no room, separates lines, or changes direction; the joiners U+200C and U+200D stay. */
const HIDDEN =
  /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\u2028\u2029]|[\u{e0000}-\u{e007f}]/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
/** Half of a character that needs two; a font could not show it, and `encodeURIComponent` throws. */
const LONE = /\p{Cs}/gu;

/**
 * A message's text: a tab is one space, other controls show as `\x1b`, invisible and direction characters as
 * `\u{202e}`. Line feeds stay, because every message stands in a box of its own.
 */
export function cleanText(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replaceAll("\t", " ")
    .replace(CONTROL, (found) => `\\x${(found.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`)
    .replace(HIDDEN, (found) => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`)
    .replace(LONE, "\ufffd");
}

/** A name or a channel, which stands within a line: a line feed shows as `\n`. */
export function cleanName(name: string): string {
  return cleanText(name).replaceAll("\n", "\\n");
}
