// The fallback where WebCrypto is missing, a chunk that is loaded only then. Keys lie in plain memory.

import { gcm } from "@noble/ciphers/aes.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { type Bytes, concat, equal, isZero, own } from "../bytes.ts";
import { isStrictPoint, isStrictSignature } from "./strict.ts";
import { type DhPair, randomBytes, type Suite } from "./suite.ts";

const { Point } = ed25519;

function dhOf(privateKey: Bytes): DhPair {
  return {
    publicKey: own(x25519.getPublicKey(privateKey)),
    async agree(publicKey) {
      const shared = own(x25519.getSharedSecret(privateKey, publicKey));
      if (isZero(shared)) throw new Error("a public key of small order");
      return shared;
    },
  };
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** The equation without the cofactor, compared as bytes: the library's own check multiplies by 8. */
function holds(publicKey: Bytes, message: Bytes, signature: Bytes): boolean {
  const r = signature.subarray(0, 32);
  const a = Point.fromBytes(publicKey);
  const order = Point.Fn.ORDER;
  const k = littleEndian(sha512(concat(r, publicKey, message))) % order;
  const s = littleEndian(signature.subarray(32));
  const sb = s === 0n ? Point.ZERO : Point.BASE.multiplyUnsafe(s);
  const ka = k === 0n ? Point.ZERO : a.multiplyUnsafe(k);
  return equal(sb.subtract(ka).toBytes(), r);
}

/** All primitives in JavaScript. */
export const noble: Suite = {
  name: "noble",
  sha256: async (data) => own(sha256(data)),
  hmac: async (key, data) => own(hmac(sha256, key, data)),
  hkdf: async (salt, secret, info, length) => own(hkdf(sha256, secret, salt, info, length)),
  async aead(bytes) {
    const key = bytes.slice();
    return {
      seal: async (nonce, associated, plain) => own(gcm(key, nonce, associated).encrypt(plain)),
      async open(nonce, associated, sealed) {
        try {
          return own(gcm(key, nonce, associated).decrypt(sealed));
        } catch {
          return undefined;
        }
      },
    };
  },
  newDh: async () => dhOf(randomBytes(32)),
  dhFrom: async (privateKey) => dhOf(privateKey.slice()),
  async signerFrom(seed) {
    const secret = seed.slice();
    const publicKey = own(ed25519.getPublicKey(secret));
    return { publicKey, sign: async (message) => own(ed25519.sign(message, secret)) };
  },
  async verify(publicKey, message, signature) {
    if (!isStrictPoint(publicKey) || !isStrictSignature(signature)) return false;
    try {
      return holds(publicKey, message, signature);
    } catch {
      return false;
    }
  },
};
