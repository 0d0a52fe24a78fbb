// The primitives of both suites against public vectors.

import { describe, expect, test } from "vitest";
import { hex } from "../../src/bytes.ts";
import { bytesOf, SUITES, vectors } from "../support.ts";

interface Case {
  tcId: number;
  result: "valid" | "invalid" | "acceptable";
  [field: string]: string | number | string[];
}
interface Group {
  tests: Case[];
  keySize?: number;
  ivSize?: number;
  tagSize?: number;
  publicKey?: { pk: string };
}

function groups(file: string): Group[] {
  return vectors<{ testGroups: Group[] }>("crypto", file).testGroups;
}

const field = (row: Case, name: string): string => String(row[name]);

describe.each(SUITES)("$name", (suite) => {
  test("Ed25519 verifies as RFC 8032", async () => {
    for (const group of groups("ed25519_test.json")) {
      const key = bytesOf(group.publicKey?.pk);
      for (const row of group.tests) {
        const good = await suite.verify(key, bytesOf(field(row, "msg")), bytesOf(field(row, "sig")));
        expect(good, `case ${row.tcId}`).toBe(row.result === "valid");
      }
    }
  });

  test("X25519 agrees, and refuses keys of small order", async () => {
    for (const group of groups("x25519_test.json")) {
      for (const row of group.tests) {
        const pair = await suite.dhFrom(bytesOf(field(row, "private")));
        const shared = pair.agree(bytesOf(field(row, "public")));
        if (/^0*$/.test(field(row, "shared"))) await expect(shared, `case ${row.tcId}`).rejects.toThrow();
        else expect(hex(await shared), `case ${row.tcId}`).toBe(row.shared);
      }
    }
  });

  test("AES-GCM seals and opens, and opens nothing that was changed", async () => {
    for (const group of groups("aes_gcm_test.json")) {
      if (group.keySize !== 256 || group.ivSize !== 96 || group.tagSize !== 128) continue;
      for (const row of group.tests) {
        const [key, iv, aad] = ["key", "iv", "aad"].map((name) => bytesOf(field(row, name)));
        const sealed = bytesOf(field(row, "ct") + field(row, "tag"));
        const aead = await suite.aead(key as Uint8Array<ArrayBuffer>);
        const [nonce, associated] = [iv as Uint8Array<ArrayBuffer>, aad as Uint8Array<ArrayBuffer>];
        const opened = await aead.open(nonce, associated, sealed);
        if (row.result === "valid") {
          expect(hex(opened ?? new Uint8Array([0])), `case ${row.tcId}`).toBe(row.msg);
          expect(hex(await aead.seal(nonce, associated, bytesOf(field(row, "msg"))))).toBe(hex(sealed));
        } else {
          expect(opened, `case ${row.tcId}`).toBeUndefined();
        }
      }
    }
  });

  test("HKDF derives what RFC 5869 says", async () => {
    for (const group of groups("hkdf_sha256_test.json")) {
      for (const row of group.tests.filter((one) => one.result === "valid" && Number(one.size) <= 1_024)) {
        const [ikm, salt, info] = ["ikm", "salt", "info"].map((name) => bytesOf(field(row, name)));
        const out = suite.hkdf(salt as never, ikm as never, info as never, Number(row.size));
        expect(hex(await out), `case ${row.tcId}`).toBe(row.okm);
      }
    }
  });

  test("HMAC is RFC 2104", async () => {
    for (const group of groups("hmac_sha256_test.json")) {
      for (const row of group.tests.filter((one) => one.result === "valid" && one.key !== "")) {
        const tag = hex(await suite.hmac(bytesOf(field(row, "key")), bytesOf(field(row, "msg"))));
        expect(tag.startsWith(field(row, "tag")), `case ${row.tcId}`).toBe(true);
      }
    }
  });

  test("what a seed signs verifies, and nothing else does", async () => {
    const signer = await suite.signerFrom(new Uint8Array(32).fill(7));
    const message = new Uint8Array([1, 2, 3]);
    const signature = await signer.sign(message);
    expect(await suite.verify(signer.publicKey, message, signature)).toBe(true);
    expect(await suite.verify(signer.publicKey, new Uint8Array([1, 2]), signature)).toBe(false);
    expect(await suite.verify(signer.publicKey, message, signature.slice(1))).toBe(false);
    expect(await suite.verify(new Uint8Array(31), message, signature)).toBe(false);
  });

  test("two fresh pairs agree", async () => {
    const [one, other] = [await suite.newDh(), await suite.newDh()];
    expect(hex(await one.agree(other.publicKey))).toBe(hex(await other.agree(one.publicKey)));
  });
});

test("both suites sign alike", async () => {
  const seed = new Uint8Array(32).fill(9);
  const signatures = SUITES.map(async (suite) => {
    const signer = await suite.signerFrom(seed);
    return [hex(signer.publicKey), hex(await signer.sign(new Uint8Array([5])))];
  });
  const [one, other] = await Promise.all(signatures);
  expect(one).toEqual(other);
});
