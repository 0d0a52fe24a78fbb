// The only form of a signature in the protocol. Source: docs/protocol.md, section 2.

import { type Bytes, concat } from "../bytes.ts";
import { labelIn } from "../hash.ts";
import type { Signer, Suite } from "./suite.ts";

/** What a signature is for; a signature for one use means nothing in another. */
export type SignKind = "link-server" | "link-client" | "msg" | "grp" | "bundle" | "rekey";

/** The bytes that are signed. */
export function signInput(network: string, kind: SignKind, ...data: Uint8Array[]): Bytes {
  return concat(labelIn(network, kind), ...data);
}

/** Signs `data` for one use in one network. */
export function sign(signer: Signer, network: string, kind: SignKind, ...data: Uint8Array[]): Promise<Bytes> {
  return signer.sign(signInput(network, kind, ...data));
}

/** Whether `signature` is that of `publicKey` over `data`, for this use in this network. */
export function verify(
  suite: Suite,
  publicKey: Bytes,
  signature: Bytes,
  network: string,
  kind: SignKind,
  ...data: Uint8Array[]
): Promise<boolean> {
  return suite.verify(publicKey, signInput(network, kind, ...data), signature);
}
