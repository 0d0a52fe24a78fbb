// What the tests share: vectors, both suites, and small texts.

import { readFileSync } from "node:fs";
import { type Bytes, unhex } from "../src/bytes.ts";
import { noble } from "../src/crypto/noble.ts";
import type { Suite } from "../src/crypto/suite.ts";
import { webcrypto } from "../src/crypto/webcrypto.ts";

/** The vectors of the Rust crates, which this implementation shares. */
export function vectors<T>(crate: "crypto" | "proto", file: string): T {
  const path = new URL(`../../../../crates/${crate}/tests/vectors/${file}`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

const found = await webcrypto();
if (found === undefined) throw new Error("this Node has no Ed25519 or X25519 in WebCrypto");

/** Both providers of the primitives; every test of cryptography runs on each. */
export const SUITES: Suite[] = [found, noble];

/** The one that tests take where the provider does not matter. */
export const suite: Suite = found;

/** The bytes of hexadecimal digits. */
export function bytesOf(hex: string | undefined): Bytes {
  const bytes = unhex(hex ?? "");
  if (bytes === undefined) throw new Error(`not hexadecimal: ${hex}`);
  return bytes;
}
