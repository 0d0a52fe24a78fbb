// The records of a link: one key and one counter a direction. Source: docs/protocol.md, section 3.3.

import { type Bytes, EMPTY } from "../bytes.ts";
import { nonceOf } from "./noise.ts";
import type { AeadKey, Suite } from "./suite.ts";

/** Before every record whose number this divides, and not the first one, the key is replaced (REKEY_RECORDS). */
const REKEY_RECORDS = 2n ** 20n;
/** The nonce of a rekey; no record may use it. */
const LAST = 2n ** 64n - 1n;

/** One direction of a link. Records go through it one after the other: await each before the next. */
export class RecordCipher {
  readonly #suite: Suite;
  #key: AeadKey;
  #counter: bigint;

  private constructor(suite: Suite, key: AeadKey, counter: bigint) {
    this.#suite = suite;
    this.#key = key;
    this.#counter = counter;
  }

  /** A direction under this key; `counter` is the number of the next record. */
  static async start(suite: Suite, key: Bytes, counter = 0n): Promise<RecordCipher> {
    return new RecordCipher(suite, await suite.aead(key), counter);
  }

  /** Seals the next record. */
  async seal(plain: Bytes): Promise<Bytes> {
    const nonce = await this.#next();
    const sealed = await this.#key.seal(nonce, EMPTY, plain);
    this.#counter += 1n;
    return sealed;
  }

  /** Opens the next record; `undefined` if it is not the one that was sealed: the link is then over. */
  async open(sealed: Bytes): Promise<Bytes | undefined> {
    const nonce = await this.#next();
    const plain = await this.#key.open(nonce, EMPTY, sealed);
    if (plain !== undefined) this.#counter += 1n;
    return plain;
  }

  async #next(): Promise<Bytes> {
    if (this.#counter >= LAST) throw new Error("a link has no more record numbers");
    if (this.#counter > 0n && this.#counter % REKEY_RECORDS === 0n) {
      const fresh = await this.#key.seal(nonceOf(LAST), EMPTY, new Uint8Array(32));
      this.#key = await this.#suite.aead(fresh.slice(0, 32));
    }
    return nonceOf(this.#counter);
  }
}
