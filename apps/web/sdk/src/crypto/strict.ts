// What strict Ed25519 verification checks beside the equation. Source: docs/protocol.md, section 2.

const P = 2n ** 255n - 19n;
/** The order of the base point. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The y of the points of order 8; those of orders 1, 2 and 4 have 1, -1 and 0. */
const Y8 = 0x5fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;

function number(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at] ?? 0);
  return value;
}

/** Whether 32 bytes are the one encoding of a y that no point of small order has. */
export function isStrictPoint(bytes: Uint8Array): boolean {
  if (bytes.length !== 32) return false;
  const y = number(bytes) & (2n ** 255n - 1n);
  return y < P && ![0n, 1n, P - 1n, Y8, P - Y8].includes(y);
}

/** Whether a signature has 64 bytes, a canonical S, and an R that is no point of small order. */
export function isStrictSignature(signature: Uint8Array): boolean {
  return (
    signature.length === 64 && number(signature.subarray(32)) < L && isStrictPoint(signature.subarray(0, 32))
  );
}
