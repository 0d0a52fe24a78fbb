// What we have heard from whom: contents are shown once, and a new device is worth a word. Source: docs/protocol.md, 7.5, 7.8.

import { Seen } from "../session/seen.ts";

/** Ids of one user that are remembered, and for how long in milliseconds. */
const IDS = 1_024;
const MS = 600_000;
/** Users of whom anything is remembered. */
const USERS = 1_024;
/** Devices of one user that are remembered. */
const DEVICES = 64;

/** Ids of contents, and devices, by user. */
export class Memory {
  readonly #contents = new Map<string, Seen>();
  readonly #devices = new Map<string, Set<string>>();

  /** Whether this content of theirs was seen. */
  knows(user: string, id: string, now: number): boolean {
    return this.#contents.get(user)?.has(id, now) === true;
  }

  /** Whether this content of theirs was not seen yet; it is, from now on. */
  isNewContent(user: string, id: string, now: number): boolean {
    const seen = use(this.#contents, user, () => new Seen(IDS, MS, now));
    if (seen.has(id, now)) return false;
    seen.enter(id, now);
    return true;
  }

  /** Whether this device is not the first one of theirs, and was not known yet; it is, from now on. */
  isNewDevice(user: string, device: string): boolean {
    const devices = use(this.#devices, user, () => new Set<string>());
    const isNew = !devices.has(device) && devices.size > 0;
    if (devices.size < DEVICES) devices.add(device);
    return isNew;
  }
}

/** The value of a name, made if it is missing; who was used longest ago goes. */
function use<T>(map: Map<string, T>, name: string, make: () => T): T {
  const value = map.get(name) ?? make();
  map.delete(name);
  map.set(name, value);
  for (const [oldest] of map) {
    if (map.size <= USERS) break;
    map.delete(oldest);
  }
  return value;
}
