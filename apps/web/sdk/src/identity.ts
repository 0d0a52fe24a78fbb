// Who we are: an Ed25519 key, its text, and its recovery file. Source: docs/protocol.md, section 2.

import { type Bytes, base32, concat, own, unbase32 } from "./bytes.ts";
import { chooseSuite, randomBytes, type Signer, type Suite } from "./crypto/suite.ts";
import { importSeed, signerOf } from "./crypto/webcrypto.ts";
import { keyText } from "./text/key.ts";
import { TextError } from "./text/name.ts";

const SCHEME = "dchat-seed-1:";
const SEED = 32;

/**
 * How an identity is kept. With WebCrypto the private key is a `CryptoKey` that no script can read, and that only
 * IndexedDB can hold; without it, the seed itself.
 */
export type StoredIdentity =
  | { readonly kind: "key"; readonly publicKey: Uint8Array; readonly privateKey: object }
  | { readonly kind: "seed"; readonly seed: Uint8Array };

/** A user's key. Holds no readable secret where WebCrypto is at hand. */
export class Identity {
  /** The key as text, `u...`: how others name this user. */
  readonly id: string;
  /** What a `KeyStore` keeps. */
  readonly stored: StoredIdentity;
  /** @internal */
  readonly signer: Signer;

  private constructor(id: string, stored: StoredIdentity, signer: Signer) {
    this.id = id;
    this.stored = stored;
    this.signer = signer;
  }

  /**
   * Makes a new identity. `recovery` is the only copy of its secret that anybody will ever see: offer it to the user
   * as a file, and then let go of it.
   */
  static async create(suite?: Suite): Promise<{ identity: Identity; recovery: string }> {
    const seed = randomBytes(SEED);
    const recovery = `${SCHEME}${base32(seed)}\n`;
    return { identity: await Identity.#of(seed, suite ?? (await chooseSuite())), recovery };
  }

  /**
   * The identity of a recovery file.
   * @throws TextError for any other text; it does not repeat the text.
   */
  static async recover(text: string, suite?: Suite): Promise<Identity> {
    const trimmed = text.trim();
    const seed = trimmed.startsWith(SCHEME) ? unbase32(trimmed.slice(SCHEME.length)) : undefined;
    if (seed === undefined || seed.length !== SEED)
      throw new TextError(`not a recovery file: it begins with ${SCHEME}`);
    return Identity.#of(seed, suite ?? (await chooseSuite()));
  }

  /**
   * The identity that a `KeyStore` kept.
   * @throws Error if it is a key of WebCrypto and this page has none.
   */
  static async restore(stored: StoredIdentity, suite?: Suite): Promise<Identity> {
    const provider = suite ?? (await chooseSuite());
    if (stored.kind === "seed") return Identity.#of(own(stored.seed).slice(), provider);
    if (provider.name !== "webcrypto") throw new Error("this key needs a secure context: https or localhost");
    const signer = signerOf(stored.privateKey as CryptoKey, own(stored.publicKey));
    return new Identity(await keyText(provider, "user", stored.publicKey), stored, signer);
  }

  static async #of(seed: Bytes, suite: Suite): Promise<Identity> {
    if (suite.name === "webcrypto") {
      const { privateKey, publicKey } = await importSeed(seed);
      seed.fill(0);
      const stored = { kind: "key", publicKey, privateKey } as const;
      return new Identity(await keyText(suite, "user", publicKey), stored, signerOf(privateKey, publicKey));
    }
    const signer = await suite.signerFrom(seed);
    const stored = { kind: "seed", seed: concat(seed) } as const;
    seed.fill(0);
    return new Identity(await keyText(suite, "user", signer.publicKey), stored, signer);
  }

  /** The key's text alone; the secret is in no output. */
  toString(): string {
    return this.id;
  }

  toJSON(): string {
    return this.id;
  }
}
