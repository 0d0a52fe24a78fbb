// How two devices begin: Noise IK over short-lived keys. Source: docs/protocol.md, section 7.3.

import { type Bytes, concat, equal } from "../bytes.ts";
import { Noise } from "../crypto/noise.ts";
import type { DhPair, Suite } from "../crypto/suite.ts";
import { labelIn } from "../hash.ts";
import { InitPayload, RespPayload } from "../wire/messages.ts";
import { encodePacket } from "../wire/packet.ts";
import { type Bundle, openBundle } from "./bundle.ts";
import { Ratchet } from "./ratchet.ts";

/** How far the initiator's clock may be off, in milliseconds. */
const CLOCK_MS = 300_000;

async function prologue(
  suite: Suite,
  network: string,
  user: Bytes,
  device: Bytes,
  body: Bytes,
): Promise<Bytes> {
  return concat(labelIn(network, "dm"), user, device, await suite.sha256(body));
}

/** The first 8 bytes of the hash of an INIT's Noise message, by which its answer names it. */
async function initRefOf(suite: Suite, noise: Bytes): Promise<Bytes> {
  return (await suite.sha256(noise)).slice(0, 8);
}

/** A handshake that waits for its answer. */
export interface Initiated {
  readonly packet: Bytes;
  readonly initRef: Bytes;
  /** The session, from the answer; `undefined` for anything but the answer. */
  finish(noise: Bytes): Promise<Ratchet | undefined>;
}

/** Makes the INIT for a device. `pairs` are for vectors alone. */
export async function initiate(
  suite: Suite,
  network: string,
  own: { signed: Bytes; pair: DhPair },
  peer: Pick<Bundle, "user" | "device" | "dh" | "body" | "keyId">,
  timeMs: number,
  ephemeral?: DhPair,
): Promise<Initiated> {
  const noise = await Noise.start(suite, {
    pattern: "IK",
    initiator: true,
    prologue: await prologue(suite, network, peer.user, peer.device, peer.body),
    staticPair: own.pair,
    ephemeral: ephemeral ?? (await suite.newDh()),
    remote: peer.dh,
  });
  const message = await noise.write(InitPayload.encode({ bundle: own.signed, timeMs, features: 0n }));
  return {
    packet: encodePacket({ is: "init", keyId: peer.keyId, noise: message }),
    initRef: await initRefOf(suite, message),
    async finish(answer) {
      try {
        const { ratchet } = RespPayload.decode(await noise.read(answer));
        return await Ratchet.initiator(suite, { hash: noise.hash, keys: await noise.split() }, ratchet);
      } catch {
        return undefined;
      }
    },
  };
}

/** An INIT that was found good: from whom it is, and how to answer it. */
export interface Heard {
  readonly bundle: Bundle;
  answer(): Promise<{ packet: Bytes; ratchet: Ratchet }>;
}

/** Reads an INIT that names one of our bundles; `undefined` if it proves nothing. */
export async function hear(
  suite: Suite,
  network: string,
  me: { user: Bytes; device: Bytes },
  own: { body: Bytes; pair: DhPair },
  message: Bytes,
  wallMs: number,
): Promise<Heard | undefined> {
  try {
    const noise = await Noise.start(suite, {
      pattern: "IK",
      initiator: false,
      prologue: await prologue(suite, network, me.user, me.device, own.body),
      staticPair: own.pair,
      ephemeral: await suite.newDh(),
    });
    const payload = InitPayload.decode(await noise.read(message));
    const bundle = await openBundle(suite, network, payload.bundle, wallMs);
    if (bundle === undefined || !equal(bundle.dh, noise.remoteStatic)) return undefined;
    if (Math.abs(payload.timeMs - wallMs) > CLOCK_MS) return undefined;
    return {
      bundle,
      async answer() {
        const pair = await suite.newDh();
        const resp = await noise.write(RespPayload.encode({ ratchet: pair.publicKey, features: 0n }));
        const secrets = { hash: noise.hash, keys: await noise.split() };
        const packet = encodePacket({ is: "resp", initRef: await initRefOf(suite, message), noise: resp });
        return { packet, ratchet: await Ratchet.responder(suite, secrets, pair) };
      },
    };
  } catch {
    return undefined;
  }
}
