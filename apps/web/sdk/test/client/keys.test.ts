// Identities: what is kept, what comes back, and what nobody may read.

import { IDBFactory } from "fake-indexeddb";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/bytes.ts";
import { chooseSuite } from "../../src/crypto/suite.ts";
import { Identity, IndexedDbKeyStore, MemoryKeyStore, TextError } from "../../src/index.ts";
import { bytesOf, SUITES, vectors } from "../support.ts";

const { ids } = vectors<{ ids: Record<string, string> }>("crypto", "dchat1-draft.json");

describe.each(SUITES)("$name", (suite) => {
  test("a recovery file brings the same identity back", async () => {
    const { identity, recovery } = await Identity.create(suite);
    expect(recovery).toMatch(/^dchat-seed-1:[a-z2-7]{52}\n$/);
    const again = await Identity.recover(recovery, suite);
    expect(again.id).toBe(identity.id);
    const message = utf8("x");
    const signature = await again.signer.sign(message);
    expect(await suite.verify(identity.signer.publicKey, message, signature)).toBe(true);
  });

  test("anything else is no recovery file, and is not repeated", async () => {
    const { recovery } = await Identity.create(suite);
    for (const wrong of [
      "",
      "dchat-seed-1:",
      recovery.slice(0, -5),
      recovery.toUpperCase(),
      `${recovery.trim()}a`,
      recovery.slice(13),
    ]) {
      await expect(Identity.recover(wrong, suite)).rejects.toThrow(TextError);
      await expect(Identity.recover(wrong, suite)).rejects.not.toThrow(/[a-z2-7]{20}/);
    }
  });

  test("the secret is in no output", async () => {
    const { identity, recovery } = await Identity.create(suite);
    const secret = recovery.trim().slice(13);
    expect(`${identity} ${JSON.stringify(identity)}`).not.toContain(secret);
    expect(JSON.stringify(identity)).toBe(`"${identity.id}"`);
  });

  test.each([
    ["memory", () => new MemoryKeyStore()],
    ["IndexedDB", () => new IndexedDbKeyStore(new IDBFactory())],
  ] as const)("%s keeps identities by name", async (_, make) => {
    const store = make();
    const [{ identity }, { identity: other }] = [await Identity.create(suite), await Identity.create(suite)];
    expect(await store.load()).toBeUndefined();
    await store.save(identity);
    await store.save(other, "__proto__");
    expect([(await store.load())?.id, (await store.load("__proto__"))?.id]).toEqual([identity.id, other.id]);
    const loaded = await store.load();
    const signature = await loaded?.signer.sign(utf8("x"));
    expect(await suite.verify(identity.signer.publicKey, utf8("x"), signature ?? new Uint8Array())).toBe(
      true,
    );
    await store.save(other);
    expect((await store.load())?.id).toBe(other.id);
    await store.delete();
    expect(await store.load()).toBeUndefined();
    expect((await store.load("__proto__"))?.id).toBe(other.id);
  });
});

test("with WebCrypto the kept key cannot be read", async () => {
  const suite = await chooseSuite();
  expect(suite.name).toBe("webcrypto");
  const { identity } = await Identity.create(suite);
  if (identity.stored.kind !== "key") throw new Error("a readable key");
  const key = identity.stored.privateKey as CryptoKey;
  expect(key.extractable).toBe(false);
  await expect(crypto.subtle.exportKey("pkcs8", key)).rejects.toThrow();
});

test("the identity of a seed is that of the vectors", async () => {
  const { base32 } = await import("../../src/bytes.ts");
  const identity = await Identity.recover(`dchat-seed-1:${base32(bytesOf(ids.alice_seed))}`);
  expect(identity.id).toBe(ids.alice_text);
});

test("without WebCrypto the fallback is chosen", async () => {
  const real = globalThis.crypto;
  const bare = { getRandomValues: real.getRandomValues.bind(real) };
  Object.defineProperty(globalThis, "crypto", { value: bare, configurable: true });
  try {
    expect((await chooseSuite()).name).toBe("noble");
    expect((await Identity.create()).identity.id).toMatch(/^u/);
  } finally {
    Object.defineProperty(globalThis, "crypto", { value: real, configurable: true });
  }
});
