// Device bundles: whose device is where, and under which short-lived key. Source: docs/protocol.md, section 7.2.

import { type Bytes, equal, isZero } from "../bytes.ts";
import { sign, verify } from "../crypto/sign.ts";
import type { DhPair, Signer, Suite } from "../crypto/suite.ts";
import { DeviceBundle, Signed } from "../wire/messages.ts";

const SUITE = 1;
/** BUNDLE_LIFE, and how far a clock may be off, in milliseconds. */
const LIFE_MS = 24 * 3_600_000;
const CLOCK_MS = 300_000;
/** DH_ROTATE and DH_KEEP. */
const ROTATE_MS = 12 * 3_600_000;
const KEEP_MS = 600_000;
/** Bodies of our own bundles that are kept: one a login, while their key is. */
const BODIES = 64;

/** A bundle whose signature and times were found good. */
export interface Bundle extends DeviceBundle {
  /** The signed bytes, which the handshake covers. */
  readonly body: Bytes;
  /** The first 4 bytes of their hash. */
  readonly keyId: Bytes;
}

/** The first 4 bytes of the hash of a bundle's body, by which an INIT names it. */
export async function keyIdOf(suite: Suite, body: Bytes): Promise<Bytes> {
  return (await suite.sha256(body)).slice(0, 4);
}

/** The bundle in signed bytes, if it is one of `user` that may be used now. */
export async function openBundle(
  suite: Suite,
  network: string,
  bytes: Bytes,
  wallMs: number,
  user?: Bytes,
): Promise<Bundle | undefined> {
  let signed: Signed;
  let bundle: DeviceBundle;
  try {
    signed = Signed.decode(bytes);
    bundle = DeviceBundle.decode(signed.body);
  } catch {
    return undefined;
  }
  const { notBeforeMs, notAfterMs } = bundle;
  const isNow = notBeforeMs - CLOCK_MS <= wallMs && wallMs <= notAfterMs + CLOCK_MS;
  const isShort = notAfterMs >= notBeforeMs && notAfterMs - notBeforeMs <= LIFE_MS;
  const isAsked = user === undefined || equal(bundle.user, user);
  if (bundle.suite !== SUITE || !isNow || !isShort || !isAsked || isZero(bundle.dh)) return undefined;
  if (!(await verify(suite, bundle.user, signed.sig, network, "bundle", signed.body))) return undefined;
  return { ...bundle, body: signed.body, keyId: await keyIdOf(suite, signed.body) };
}

/** Our own short-lived keys and the bundles that named them. */
export class OwnBundles {
  readonly #suite: Suite;
  readonly #signer: Signer;
  readonly #network: string;
  readonly #device: Bytes;
  #current: { pair: DhPair; madeAt: number } | undefined;
  #issued: { keyId: Bytes; body: Bytes; pair: DhPair; until: number }[] = [];
  #latest: { signed: Bytes; body: Bytes; pair: DhPair; server: Bytes } | undefined;

  constructor(suite: Suite, signer: Signer, network: string, device: Bytes) {
    this.#suite = suite;
    this.#signer = signer;
    this.#network = network;
    this.#device = device;
  }

  /** Makes a bundle for this server, with a new key where the old one has served its time. */
  async issue(server: Bytes, now: number, wallMs: number): Promise<Bytes> {
    if (this.#current === undefined || now - this.#current.madeAt >= ROTATE_MS) {
      const old = this.#current?.pair;
      for (const issued of this.#issued)
        if (issued.pair === old) issued.until = Math.min(issued.until, now + KEEP_MS);
      this.#current = { pair: await this.#suite.newDh(), madeAt: now };
    }
    const { pair } = this.#current;
    const body = DeviceBundle.encode({
      suite: SUITE,
      user: this.#signer.publicKey,
      device: this.#device,
      dh: pair.publicKey,
      notBeforeMs: wallMs,
      notAfterMs: wallMs + LIFE_MS,
      server,
      features: 0n,
    });
    const sig = await sign(this.#signer, this.#network, "bundle", body);
    const signed = Signed.encode({ body, sig });
    this.#issued = this.#issued.filter(({ until }) => until > now).slice(-BODIES + 1);
    this.#issued.push({ keyId: await keyIdOf(this.#suite, body), body, pair, until: now + LIFE_MS });
    this.#latest = { signed, body, pair, server };
    return signed;
  }

  /** When the next bundle is due for the sake of its key, or a while later if none was made yet. */
  dueIn(now: number): number {
    return Math.max(0, (this.#current?.madeAt ?? now) + ROTATE_MS - now);
  }

  /** The bundle that we show others at this server. */
  latest(): { signed: Bytes; pair: DhPair } | undefined {
    return this.#latest;
  }

  /** What the bundle of this id was, while its key is kept. */
  find(keyId: Bytes, now: number): { body: Bytes; pair: DhPair } | undefined {
    return this.#issued.find((issued) => issued.until > now && equal(issued.keyId, keyId));
  }
}
