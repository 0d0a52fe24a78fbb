//! Randomness for keys, out of fresh bytes that a driver gives from time to time.
//!
//! What decides without IO has no system randomness. It keeps 32 bytes of state, takes what it needs from them, and
//! mixes in whatever fresh bytes it is given: with the same bytes it is the same run, and whoever knows the state knows
//! what follows only until the next fresh bytes.

use crate::kdf::{Secret, hmac};
use rand_core::{Infallible, TryCryptoRng, TryRng};
use std::fmt;
use zeroize::Zeroizing;

/// What output is made with.
const OUTPUT: [u8; 1] = [1];
/// What the next state is made with.
const NEXT: [u8; 1] = [2];
/// What fresh bytes are mixed in with.
const FRESH: [u8; 1] = [3];

/// A source of keys that is fed from outside. Each use wipes the state before it, so that a later thief of the state
/// does not learn what was given out.
///
/// ```
/// use darkchat_crypto::{Entropy, StaticKey};
/// let (mut one, mut other) = (Entropy::new([7; 32]), Entropy::new([7; 32]));
/// assert_eq!(StaticKey::generate(&mut one).public(), StaticKey::generate(&mut other).public());
/// one.mix(&[1; 32]);
/// assert_ne!(StaticKey::generate(&mut one).public(), StaticKey::generate(&mut other).public());
/// ```
pub struct Entropy(Secret);

impl Entropy {
    /// A source that begins with these bytes. What it gives is as secret as they are, until fresh ones come.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(hmac(seed.as_slice(), &[&FRESH]))
    }

    /// Takes fresh bytes: what is given from now on is as secret as these or as the state before, whichever is more.
    pub fn mix(&mut self, fresh: &[u8; 32]) {
        self.0 = hmac(self.0.as_slice(), &[&FRESH, fresh]);
    }
}

impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for block in out.chunks_mut(32) {
            let bytes = hmac(self.0.as_slice(), &[&OUTPUT]);
            for (to, from) in block.iter_mut().zip(bytes.iter()) {
                *to = *from;
            }
            self.0 = hmac(self.0.as_slice(), &[&NEXT]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Entropy {}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng as _;

    fn take<const N: usize>(entropy: &mut Entropy) -> [u8; N] {
        let mut out = [0; N];
        entropy.fill_bytes(&mut out);
        out
    }

    #[test]
    fn nothing_comes_twice_and_a_long_run_has_no_equal_blocks() {
        let mut entropy = Entropy::new([7; 32]);
        let run: [u8; 96] = take(&mut entropy);
        let next: [u8; 32] = take(&mut entropy);
        let blocks = [&run[..32], &run[32..64], &run[64..], &next];
        for (at, one) in blocks.iter().enumerate() {
            assert!(blocks[..at].iter().all(|other| other != one), "block {at}");
        }
        assert_ne!(entropy.next_u64(), entropy.next_u64());
        assert_ne!(entropy.next_u32(), entropy.next_u32());
        assert_ne!(take::<3>(&mut entropy), [0; 3]);
    }

    #[test]
    fn the_state_is_neither_the_seed_nor_anything_given_out_and_is_never_printed() {
        let mut entropy = Entropy::new([7; 32]);
        assert_ne!(*entropy.0, [7; 32]);
        let given: [u8; 32] = take(&mut entropy);
        assert_ne!(*entropy.0, given);
        assert_eq!(format!("{entropy:?}"), "Entropy { .. }");
    }

    #[test]
    fn fresh_bytes_part_two_sources_that_were_the_same() {
        let same = || Entropy::new([7; 32]);
        let (mut one, mut other) = (same(), same());
        assert_eq!(take::<40>(&mut one), take::<40>(&mut other));
        one.mix(&[1; 32]);
        other.mix(&[2; 32]);
        assert_ne!(take::<32>(&mut one), take::<32>(&mut other));
        let mut unmixed = same();
        let before = *unmixed.0;
        unmixed.mix(&[0; 32]);
        assert_ne!(*unmixed.0, before, "zeros are fresh bytes too");
    }
}
