// Where identities are kept between visits.

import { Identity, type StoredIdentity } from "./identity.ts";

/** Keeps identities under names. */
export interface KeyStore {
  /** The identity of that name, or nothing. */
  load(name?: string): Promise<Identity | undefined>;
  /** Keeps an identity; one of the same name is replaced. */
  save(identity: Identity, name?: string): Promise<void>;
  /** Forgets it for good. */
  delete(name?: string): Promise<void>;
}

const DEFAULT = "default";

/** Keeps identities as long as the program runs. */
export class MemoryKeyStore implements KeyStore {
  readonly #identities = new Map<string, Identity>();

  load(name: string = DEFAULT): Promise<Identity | undefined> {
    return Promise.resolve(this.#identities.get(name));
  }

  save(identity: Identity, name: string = DEFAULT): Promise<void> {
    this.#identities.set(name, identity);
    return Promise.resolve();
  }

  delete(name: string = DEFAULT): Promise<void> {
    this.#identities.delete(name);
    return Promise.resolve();
  }
}

const DATABASE = "darkchat";
const STORE = "identities";

/** Keeps identities in IndexedDB; with WebCrypto their keys can be used from there, and never read. */
export class IndexedDbKeyStore implements KeyStore {
  readonly #factory: IDBFactory;

  /** `factory` is an `IDBFactory` other than the page's own, for tests. */
  constructor(factory: object = globalThis.indexedDB) {
    this.#factory = factory as IDBFactory;
  }

  async load(name: string = DEFAULT): Promise<Identity | undefined> {
    const stored = await this.#do<StoredIdentity | undefined>("readonly", (store) => store.get(name));
    return stored === undefined ? undefined : Identity.restore(stored);
  }

  async save(identity: Identity, name: string = DEFAULT): Promise<void> {
    await this.#do("readwrite", (store) => store.put(identity.stored, name));
  }

  async delete(name: string = DEFAULT): Promise<void> {
    await this.#do("readwrite", (store) => store.delete(name));
  }

  async #do<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    const opening = this.#factory.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const database = await finished<IDBDatabase>(opening);
    try {
      const transaction = database.transaction(STORE, mode);
      const done = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB gave up"));
      });
      const result = await finished<T>(act(transaction.objectStore(STORE)));
      await done;
      return result;
    } finally {
      database.close();
    }
  }
}

function finished<T>(request: IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result as T);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB refused"));
  });
}
