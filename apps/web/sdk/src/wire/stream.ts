// Frames cut out of, and put into, the run of bytes that records carry. Source: docs/protocol.md, sections 3.3 and 4.2.

import { type Bytes, concat, EMPTY } from "../bytes.ts";
import { malformed, tooLarge } from "./code.ts";
import { MAX_FRAME, MAX_PREFIX } from "./limits.ts";

/** Cuts frames out of plaintext as it comes; holds at most one frame that is not whole yet. */
export class FrameStream {
  #rest: Bytes = EMPTY;

  /**
   * Takes more plaintext and gives the frames that are whole now, without their prefixes.
   * @throws WireError where a length is 0, too long or too large; the link is then over.
   */
  push(plain: Bytes): Bytes[] {
    let bytes = this.#rest.length === 0 ? plain : concat(this.#rest, plain);
    const frames: Bytes[] = [];
    for (;;) {
      const prefix = readPrefix(bytes);
      if (prefix === undefined || bytes.length < prefix.at + prefix.length) break;
      const end = prefix.at + prefix.length;
      frames.push(bytes.slice(prefix.at, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes.slice();
    return frames;
  }

  /** Whether no frame is cut off here: a link may end now without loss. */
  get isBetweenFrames(): boolean {
    return this.#rest.length === 0;
  }
}

function readPrefix(bytes: Uint8Array): { length: number; at: number } | undefined {
  let length = 0;
  for (let at = 0; at < MAX_PREFIX; at++) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    length |= (byte & 0x7f) << (7 * at);
    if (byte < 0x80) {
      if (length === 0) malformed("a frame of no bytes");
      if (length > MAX_FRAME) tooLarge("frame", length, MAX_FRAME);
      return { length, at: at + 1 };
    }
  }
  return malformed("a length of more than three bytes");
}

/** A frame behind its length. */
export function withPrefix(frame: Uint8Array): Bytes {
  const prefix: number[] = [];
  let rest = frame.length;
  while (rest > 0x7f) {
    prefix.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  prefix.push(rest);
  return concat(new Uint8Array(prefix), frame);
}
