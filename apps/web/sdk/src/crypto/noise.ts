// Noise XX and IK, one suite: 25519, AESGCM, SHA256. Source: the Noise Protocol Framework, revision 34.

import { type Bytes, concat, EMPTY, utf8 } from "../bytes.ts";
import type { AeadKey, DhPair, Suite } from "./suite.ts";

type Token = "e" | "s" | "ee" | "es" | "se" | "ss";

const PATTERNS: Record<"XX" | "IK", Token[][]> = {
  XX: [["e"], ["e", "ee", "s", "es"], ["s", "se"]],
  IK: [
    ["e", "es", "s", "ss"],
    ["e", "ee", "se"],
  ],
};

const KEY = 32;
const TAG = 16;

/** What an unreadable handshake message ends with. Says nothing about why. */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
}

/** The 12 bytes of a nonce: four zeros and a big-endian counter. */
export function nonceOf(counter: bigint): Bytes {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, counter);
  return nonce;
}

/** What a handshake begins with. */
export interface NoiseStart {
  readonly pattern: "XX" | "IK";
  readonly initiator: boolean;
  readonly prologue: Bytes;
  readonly staticPair: DhPair;
  readonly ephemeral: DhPair;
  /** The responder's static key, which the initiator of IK knows. */
  readonly remote?: Bytes;
}

/** One handshake. Its messages are read and written in turn; an error ends it for good. */
export class Noise {
  readonly #suite: Suite;
  readonly #initiator: boolean;
  readonly #static: DhPair;
  readonly #ephemeral: DhPair;
  readonly #messages: Token[][];
  #remoteStatic: Bytes | undefined;
  #remoteEphemeral: Bytes | undefined;
  #hash: Bytes;
  #chain: Bytes;
  #key: AeadKey | undefined;
  #counter = 0n;

  private constructor(suite: Suite, start: NoiseStart, hash: Bytes) {
    this.#suite = suite;
    this.#initiator = start.initiator;
    this.#static = start.staticPair;
    this.#ephemeral = start.ephemeral;
    this.#remoteStatic = start.remote;
    this.#messages = PATTERNS[start.pattern].slice();
    this.#hash = hash;
    this.#chain = hash;
  }

  /** Begins a handshake. */
  static async start(suite: Suite, start: NoiseStart): Promise<Noise> {
    const name = utf8(`Noise_${start.pattern}_25519_AESGCM_SHA256`);
    const padded = new Uint8Array(KEY);
    padded.set(name.subarray(0, KEY));
    const noise = new Noise(suite, start, name.length <= KEY ? padded : await suite.sha256(name));
    await noise.#mixHash(start.prologue);
    if (start.pattern === "IK") {
      await noise.#mixHash(start.initiator ? (start.remote ?? EMPTY) : start.staticPair.publicKey);
    }
    return noise;
  }

  /** The running handshake hash, which both ends sign. */
  get hash(): Bytes {
    return this.#hash;
  }

  /** The other side's static key, once it was read. */
  get remoteStatic(): Bytes {
    return this.#remoteStatic ?? EMPTY;
  }

  /** Writes the next message. */
  async write(payload: Bytes): Promise<Bytes> {
    const parts: Bytes[] = [];
    for (const token of this.#messages.shift() ?? []) {
      if (token === "e") {
        parts.push(this.#ephemeral.publicKey);
        await this.#mixHash(this.#ephemeral.publicKey);
      } else if (token === "s") {
        parts.push(await this.#seal(this.#static.publicKey));
      } else {
        await this.#mixKey(token);
      }
    }
    parts.push(await this.#seal(payload));
    return concat(...parts);
  }

  /**
   * Reads the next message and gives its payload.
   * @throws HandshakeError for anything that this side's partner did not write.
   */
  async read(message: Bytes): Promise<Bytes> {
    let rest = message;
    const take = (length: number): Bytes => {
      if (rest.length < length) throw new HandshakeError("a message that is cut off");
      const part = rest.slice(0, length);
      rest = rest.subarray(length);
      return part;
    };
    for (const token of this.#messages.shift() ?? []) {
      if (token === "e") {
        this.#remoteEphemeral = take(KEY);
        await this.#mixHash(this.#remoteEphemeral);
      } else if (token === "s") {
        this.#remoteStatic = await this.#open(take(this.#key === undefined ? KEY : KEY + TAG));
      } else {
        await this.#mixKey(token);
      }
    }
    return this.#open(rest.slice());
  }

  /** The two keys after the last message: the initiator's for sending, then the responder's. */
  async split(): Promise<[Bytes, Bytes]> {
    const keys = await this.#suite.hkdf(this.#chain, EMPTY, EMPTY, 2 * KEY);
    return [keys.slice(0, KEY), keys.slice(KEY)];
  }

  async #mixHash(data: Bytes): Promise<void> {
    this.#hash = await this.#suite.sha256(concat(this.#hash, data));
  }

  async #mixKey(token: Token): Promise<void> {
    const [own, other] = this.#pairOf(token);
    let shared: Bytes;
    try {
      shared = await own.agree(other ?? EMPTY);
    } catch {
      throw new HandshakeError("a key that cannot be");
    }
    const keys = await this.#suite.hkdf(this.#chain, shared, EMPTY, 2 * KEY);
    shared.fill(0);
    this.#chain = keys.slice(0, KEY);
    this.#key = await this.#suite.aead(keys.slice(KEY));
    this.#counter = 0n;
  }

  #pairOf(token: Token): [DhPair, Bytes | undefined] {
    if (token === "ee") return [this.#ephemeral, this.#remoteEphemeral];
    if (token === "ss") return [this.#static, this.#remoteStatic];
    const ownEphemeral = (token === "es") === this.#initiator;
    return ownEphemeral ? [this.#ephemeral, this.#remoteStatic] : [this.#static, this.#remoteEphemeral];
  }

  async #seal(plain: Bytes): Promise<Bytes> {
    const sealed =
      this.#key === undefined ? plain : await this.#key.seal(nonceOf(this.#counter++), this.#hash, plain);
    await this.#mixHash(sealed);
    return sealed;
  }

  async #open(sealed: Bytes): Promise<Bytes> {
    const plain =
      this.#key === undefined ? sealed : await this.#key.open(nonceOf(this.#counter++), this.#hash, sealed);
    if (plain === undefined) throw new HandshakeError("a seal that does not open");
    await this.#mixHash(sealed);
    return plain;
  }
}
