// The primitives through WebCrypto: private keys stay out of reach of every script, the SDK's own included.

import { type Bytes, concat, EMPTY, isZero, unbase64url } from "../bytes.ts";
import { isStrictPoint, isStrictSignature } from "./strict.ts";
import type { AeadKey, DhPair, Signer, Suite } from "./suite.ts";

const ED25519 = { name: "Ed25519" } as const;
const X25519 = { name: "X25519" } as const;
const AES = { name: "AES-GCM" } as const;
const HMAC = { name: "HMAC", hash: "SHA-256" } as const;
const KEY_BITS = 256;

/** What stands before 32 private bytes in PKCS#8. */
const PKCS8 = {
  Ed25519: new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]),
  X25519: new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20]),
} as const;

/** Keys of authors that are kept imported; importing one costs about as much as a hash. */
const KEPT_KEYS = 256;

/** Imports 32 private bytes, and finds out the public half that belongs to them. */
async function importPrivate(
  name: "Ed25519" | "X25519",
  bytes: Bytes,
): Promise<{ privateKey: CryptoKey; publicKey: Bytes }> {
  const { subtle } = crypto;
  const encoded = concat(PKCS8[name], bytes);
  const usages: KeyUsage[] = name === "Ed25519" ? ["sign"] : ["deriveBits"];
  try {
    // Only an extractable key tells its public half; it is dropped, and the one that stays is not extractable.
    const readable = await subtle.importKey("pkcs8", encoded, { name }, true, usages);
    const { x } = await subtle.exportKey("jwk", readable);
    const privateKey = await subtle.importKey("pkcs8", encoded, { name }, false, usages);
    return { privateKey, publicKey: unbase64url(x ?? "") ?? EMPTY };
  } finally {
    encoded.fill(0);
  }
}

function dhOf(privateKey: CryptoKey, publicKey: Bytes): DhPair {
  return {
    publicKey,
    async agree(other) {
      const imported = await crypto.subtle.importKey("raw", other, X25519, false, []);
      const params = { ...X25519, public: imported };
      const shared = new Uint8Array(await crypto.subtle.deriveBits(params, privateKey, KEY_BITS));
      // WebCrypto refuses this by itself; an old engine may not.
      if (isZero(shared)) throw new Error("a public key of small order");
      return shared;
    },
  };
}

/** The signer of a private key that WebCrypto holds. */
export function signerOf(privateKey: CryptoKey, publicKey: Bytes): Signer {
  return {
    publicKey,
    sign: async (message) => new Uint8Array(await crypto.subtle.sign(ED25519, privateKey, message)),
  };
}

/** Imports a seed so that no script can read it again. */
export function importSeed(seed: Bytes): Promise<{ privateKey: CryptoKey; publicKey: Bytes }> {
  return importPrivate("Ed25519", seed);
}

const authors = new Map<string, CryptoKey>();

async function authorKey(publicKey: Bytes): Promise<CryptoKey> {
  const name = String.fromCharCode(...publicKey);
  let key = authors.get(name);
  if (key === undefined) {
    key = await crypto.subtle.importKey("raw", publicKey, ED25519, false, ["verify"]);
    const oldest = authors.size >= KEPT_KEYS ? authors.keys().next().value : undefined;
    if (oldest !== undefined) authors.delete(oldest);
    authors.set(name, key);
  }
  return key;
}

async function aead(bytes: Bytes): Promise<AeadKey> {
  const { subtle } = crypto;
  const key = await subtle.importKey("raw", bytes, AES, false, ["encrypt", "decrypt"]);
  return {
    async seal(iv, additionalData, plain) {
      return new Uint8Array(await subtle.encrypt({ ...AES, iv, additionalData }, key, plain));
    },
    async open(iv, additionalData, sealed) {
      try {
        return new Uint8Array(await subtle.decrypt({ ...AES, iv, additionalData }, key, sealed));
      } catch {
        return undefined;
      }
    },
  };
}

const suite: Suite = {
  name: "webcrypto",
  async sha256(data) {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  },
  async hmac(key, data) {
    const imported = await crypto.subtle.importKey("raw", key, HMAC, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
  },
  async hkdf(salt, secret, info, length) {
    const imported = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
    const params = { name: "HKDF", hash: "SHA-256", salt, info };
    return new Uint8Array(await crypto.subtle.deriveBits(params, imported, length * 8));
  },
  aead,
  async newDh() {
    const pair = (await crypto.subtle.generateKey(X25519, false, ["deriveBits"])) as CryptoKeyPair;
    return dhOf(pair.privateKey, new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
  },
  async dhFrom(bytes) {
    const { privateKey, publicKey } = await importPrivate("X25519", bytes);
    return dhOf(privateKey, publicKey);
  },
  async signerFrom(seed) {
    const { privateKey, publicKey } = await importSeed(seed);
    return signerOf(privateKey, publicKey);
  },
  async verify(publicKey, message, signature) {
    if (!isStrictPoint(publicKey) || !isStrictSignature(signature)) return false;
    try {
      return await crypto.subtle.verify(ED25519, await authorKey(publicKey), signature, message);
    } catch {
      return false;
    }
  },
};

/** The suite, if this engine and this page have all of it: a page at plain `http:` has none. */
export async function webcrypto(): Promise<Suite | undefined> {
  if (globalThis.crypto?.subtle === undefined) return undefined;
  try {
    const [signer, one, other] = await Promise.all([
      suite.signerFrom(new Uint8Array(32)),
      suite.newDh(),
      suite.newDh(),
    ]);
    await one.agree(other.publicKey);
    const signature = await signer.sign(EMPTY);
    return (await suite.verify(signer.publicKey, EMPTY, signature)) ? suite : undefined;
  } catch {
    return undefined;
  }
}
