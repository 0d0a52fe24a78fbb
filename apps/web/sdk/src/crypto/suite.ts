// The few primitives that the protocol needs, whoever provides them. Source: docs/protocol.md, sections 2, 3.2 and 7.4.

import type { Bytes } from "../bytes.ts";
import { webcrypto } from "./webcrypto.ts";

/** An AES-256-GCM key that seals and opens. */
export interface AeadKey {
  /** Ciphertext and tag. A nonce must never be used twice under one key. */
  seal(nonce: Bytes, associated: Bytes, plain: Bytes): Promise<Bytes>;
  /** The plaintext; `undefined` if anything was changed. */
  open(nonce: Bytes, associated: Bytes, sealed: Bytes): Promise<Bytes | undefined>;
}

/** An X25519 key pair whose private half stays inside. */
export interface DhPair {
  readonly publicKey: Bytes;
  /**
   * The shared secret with another public key.
   * @throws Error if it is all zero: the other key is of small order.
   */
  agree(publicKey: Bytes): Promise<Bytes>;
}

/** An Ed25519 key that signs; its private half stays inside. */
export interface Signer {
  readonly publicKey: Bytes;
  sign(message: Bytes): Promise<Bytes>;
}

/** One provider of all primitives. */
export interface Suite {
  /** `webcrypto` keeps private keys where no script can read them; `noble` cannot. */
  readonly name: "webcrypto" | "noble";
  sha256(data: Bytes): Promise<Bytes>;
  hmac(key: Bytes, data: Bytes): Promise<Bytes>;
  /** HKDF-SHA-256. */
  hkdf(salt: Bytes, secret: Bytes, info: Bytes, length: number): Promise<Bytes>;
  aead(key: Bytes): Promise<AeadKey>;
  newDh(): Promise<DhPair>;
  /** The pair of a known private key; for tests and vectors. */
  dhFrom(privateKey: Bytes): Promise<DhPair>;
  /** The signer of a 32-byte seed. The caller wipes the seed. */
  signerFrom(seed: Bytes): Promise<Signer>;
  /** Strict verification (section 2): canonical encodings, no key or R of small order, no cofactor. */
  verify(publicKey: Bytes, message: Bytes, signature: Bytes): Promise<boolean>;
}

/** Random bytes; they need no secure context. */
export function randomBytes(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** A random number from 1 to 2^64 - 1. */
export function randomNumber(): bigint {
  for (;;) {
    const number = new DataView(randomBytes(8).buffer).getBigUint64(0);
    if (number !== 0n) return number;
  }
}

/** Asks WebCrypto whether it has everything; where it has not, loads the fallback, which is a chunk of its own. */
export async function chooseSuite(): Promise<Suite> {
  return (await webcrypto()) ?? (await import("./noble.ts")).noble;
}
