// The user's key in this browser: made silently, kept in IndexedDB, and never readable again.

import { Identity, IndexedDbKeyStore, type KnownServers } from "darkchat-sdk";
import { recall, remember } from "./memory.ts";

/** Our key, and how it was come by. */
export interface OwnKey {
  readonly identity: Identity;
  /** The only copy of a new key's secret, for the recovery file; never kept beyond this visit. */
  readonly recovery?: string;
  /** Whether the browser has kept it. */
  readonly isKept: boolean;
}

/** Loads the key, or makes one. Two tabs that open at once agree on one where the browser has locks. */
export async function ownKey(): Promise<OwnKey> {
  const locks = navigator.locks as LockManager | undefined;
  return locks === undefined ? loadOrMake() : locks.request("darkchat:key", loadOrMake);
}

/** Takes the key of a recovery file instead. @throws TextError if it is none. */
export async function takeKey(file: string): Promise<void> {
  await new IndexedDbKeyStore().save(await Identity.recover(file));
}

async function loadOrMake(): Promise<OwnKey> {
  let store: IndexedDbKeyStore | undefined;
  try {
    store = new IndexedDbKeyStore();
    const kept = await store.load();
    if (kept !== undefined) return { identity: kept, isKept: true };
  } catch {
    store = undefined;
  }
  const { identity, recovery } = await Identity.create();
  try {
    if (store === undefined) return { identity, recovery, isKept: false };
    await store.save(identity);
    // Asks the browser not to clear it when space runs short; it may say no.
    void navigator.storage?.persist?.().catch(() => {});
    return { identity, recovery, isKept: true };
  } catch {
    return { identity, recovery, isKept: false };
  }
}

/** The servers' keys, as this browser met them. */
export const knownServers: KnownServers & { forget(address: string): void } = {
  load: (address) => Promise.resolve(recall("browser", `server:${address}`)),
  save: (address, server) => Promise.resolve(remember("browser", `server:${address}`, server)),
  forget: (address) => remember("browser", `server:${address}`, undefined),
};
