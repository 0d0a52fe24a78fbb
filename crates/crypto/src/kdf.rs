//! The only HMAC and HKDF calls, all with SHA-256 (RFC 2104, RFC 5869). Each use has a label of its own.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// 32 secret bytes, wiped on drop.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// The most bytes that one HKDF gives: 255 blocks of the hash.
const HKDF_MAX: usize = 255 * 32;

/// More output was asked for than HKDF gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// HMAC-SHA-256 over the parts, one after the other.
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Secret {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Fills `out` with HKDF-SHA-256.
pub(crate) fn expand(salt: &[u8], ikm: &[u8], info: &[u8], out: &mut [u8]) -> Result<(), TooMuch> {
    Hkdf::<Sha256>::new(Some(salt), ikm).expand(info, out).map_err(|_| TooMuch)
}

/// `N` bytes of HKDF-SHA-256 whose `info` is a label.
#[expect(clippy::expect_used, reason = "the length is checked when this is compiled")]
pub(crate) fn derive<const N: usize>(salt: &[u8], ikm: &[u8], label: &str) -> Zeroizing<[u8; N]> {
    const { assert!(N <= HKDF_MAX, "HKDF gives at most 255 blocks") };
    let mut out = Zeroizing::new([0; N]);
    expand(salt, ikm, label.as_bytes(), out.as_mut_slice()).expect("the length was checked");
    out
}

/// The Noise specification's HKDF with two outputs (its section 4.3).
pub(crate) fn noise(chaining: &[u8; 32], ikm: &[u8]) -> (Secret, Secret) {
    let temporary = hmac(chaining, &[ikm]);
    let first = hmac(temporary.as_slice(), &[&[1]]);
    let second = hmac(temporary.as_slice(), &[first.as_slice(), &[2]]);
    (first, second)
}
