// The packets of direct messages, as servers carry them. Source: docs/protocol.md, section 7.3.
//
//   INIT  01 | key_id 4   | noise ...
//   RESP  02 | init_ref 8 | noise ...
//   MSG   03 | sid 8 | dh 32 | pn 4 | n 4 | ciphertext and tag ...
//              `--------- header, 48 ---'

import { type Bytes, concat, readU32be, u32be } from "../bytes.ts";
import { malformed, tooLarge } from "./code.ts";
import { MAX_PACKET } from "./limits.ts";

const INIT = 1;
const RESP = 2;
const MSG = 3;
const HEADER = 48;

/** The numbers in front of a sealed message; `bytes` is their encoding, which the seal covers. */
export interface DirectHead {
  readonly sid: Bytes;
  readonly dh: Bytes;
  readonly pn: number;
  readonly n: number;
}

/** A packet from device to device. */
export type Packet =
  | { is: "init"; keyId: Bytes; noise: Bytes }
  | { is: "resp"; initRef: Bytes; noise: Bytes }
  | { is: "msg"; head: DirectHead; sealed: Bytes };

/** The 48 bytes of a header. */
export function encodeHead({ sid, dh, pn, n }: DirectHead): Bytes {
  return concat(sid, dh, u32be(pn), u32be(n));
}

/** The bytes of a packet. */
export function encodePacket(packet: Packet): Bytes {
  if (packet.is === "init") return concat(Uint8Array.of(INIT), packet.keyId, packet.noise);
  if (packet.is === "resp") return concat(Uint8Array.of(RESP), packet.initRef, packet.noise);
  return concat(Uint8Array.of(MSG), encodeHead(packet.head), packet.sealed);
}

/**
 * Cuts a packet into its parts.
 * @throws WireError for another first byte, or a packet that ends within its fixed part.
 */
export function decodePacket(bytes: Bytes): Packet {
  if (bytes.length > MAX_PACKET) tooLarge("packet", bytes.length, MAX_PACKET);
  const rest = bytes.subarray(1);
  const need = (length: number): void => {
    if (rest.length < length) malformed("a packet that is cut off");
  };
  switch (bytes[0]) {
    case INIT:
      need(4);
      return { is: "init", keyId: rest.slice(0, 4), noise: rest.slice(4) };
    case RESP:
      need(8);
      return { is: "resp", initRef: rest.slice(0, 8), noise: rest.slice(8) };
    case MSG: {
      need(HEADER);
      const head = {
        sid: rest.slice(0, 8),
        dh: rest.slice(8, 40),
        pn: readU32be(rest, 40),
        n: readU32be(rest, 44),
      };
      return { is: "msg", head, sealed: rest.slice(HEADER) };
    }
    default:
      return malformed("a packet of no known kind");
  }
}
