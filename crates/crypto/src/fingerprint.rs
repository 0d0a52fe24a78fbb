//! Tells byte strings apart within one process: a keyed hash that is much faster than SHA-256.
//!
//! POLYVAL under a random key, RFC 8452, over the bytes and their length. Two different strings of n blocks collide for at
//! most n of the 2^128 keys, whoever chose them; nobody outside learns a key or a fingerprint, so nobody can choose better
//! than blindly. What leaves the process needs another hash.

use darkchat_proto::Digest16;
use polyval::Polyval;
use polyval::universal_hash::UniversalHash as _;
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Makes fingerprints under one key, which is wiped on drop.
///
/// ```
/// use darkchat_crypto::{Fingerprints, system};
/// let here = Fingerprints::generate(&mut system::rng());
/// assert_eq!(here.of(b"one post"), here.of(b"one post"));
/// assert_ne!(here.of(b"one post"), here.of(b"another"));
/// let elsewhere = Fingerprints::generate(&mut system::rng());
/// assert_ne!(here.of(b"one post"), elsewhere.of(b"one post"));
/// ```
pub struct Fingerprints(Polyval);

impl Fingerprints {
    /// Takes 16 bytes of randomness for a new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 16]);
        rng.fill_bytes(key.as_mut_slice());
        Self(Polyval::new((&*key).into()))
    }

    /// The fingerprint of these bytes.
    #[must_use]
    pub fn of(&self, bytes: &[u8]) -> Digest16 {
        let mut hash = self.0.clone();
        hash.update_padded(bytes);
        // Zeros that pad the last block are no part of the bytes.
        let len = u128::try_from(bytes.len()).unwrap_or(u128::MAX);
        hash.update(&[len.to_le_bytes().into()]);
        Digest16::new(hash.finalize().into())
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprints").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_polyval_of_rfc_8452() {
        // Appendix A: H, X_1 and X_2; the result after both, before a length.
        let bytes = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let key: [u8; 16] = bytes("25629347589242761d31f826ba4b757b").try_into().unwrap();
        let mut hash = Polyval::new(&key.into());
        hash.update_padded(&bytes("4f4f95668c83dfb6401762bb2d01a262d1a24ddd2721d006bbe45f20d3c9f362"));
        assert_eq!(hash.finalize()[..], bytes("f7a3b47b846119fae5b7866cf5e5b77e"));
    }

    #[test]
    fn every_bit_and_every_length_counts() {
        let prints = Fingerprints(Polyval::new(&[7; 16].into()));
        let long = vec![0; 200];
        let of_lengths: std::collections::BTreeSet<_> =
            (0..=200).map(|len| prints.of(&long[..len])).collect();
        assert_eq!(of_lengths.len(), 201);
        for at in 0..200 {
            let mut changed = long.clone();
            changed[at] = 0x80;
            assert_ne!(prints.of(&changed), prints.of(&long), "byte {at}");
        }
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        assert_eq!(format!("{:?}", Fingerprints(Polyval::new(&[7; 16].into()))), "Fingerprints { .. }");
    }
}
