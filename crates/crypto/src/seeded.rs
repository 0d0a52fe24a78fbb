//! Randomness for secrets, all of it from one seed, so that what takes it can be run again.

use crate::kdf::{Secret, derive};
use crate::label::{SEEDED, SEEDED_FRESH};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use std::fmt;
use zeroize::Zeroizing;

/// The bytes that one step gives.
const BLOCK: usize = 32;

/// A generator of secrets: from a seed of 32 secret random bytes, and forgetting each state as it leaves it.
///
/// State machines without IO take their randomness from it: a driver gives the seed, from the operating system, and a
/// simulator gives a number. Who sees the state learns nothing of what was given out before; what is given out tells
/// nothing of the state (HKDF-SHA-256, the first half of each output is the next state).
///
/// ```
/// use darkchat_crypto::SeededRng;
/// use rand_core::Rng as _;
/// let (mut one, mut same) = (SeededRng::new([7; 32]), SeededRng::new([7; 32]));
/// assert_eq!(one.next_u64(), same.next_u64());
/// assert_ne!(one.next_u64(), same.next_u64() ^ 1);
/// assert!(!format!("{one:?}").contains('7'), "the state does not show");
/// ```
pub struct SeededRng {
    state: Secret,
}

impl SeededRng {
    /// A generator of this seed. Two with one seed give the same: for secrets, a seed is used once.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self { state: Zeroizing::new(seed) }
    }

    /// Mixes in fresh bytes: what is given from now on is as secret as they are, or as the state before, whichever is
    /// more. So a thief of the state knows what follows only until the next fresh bytes.
    ///
    /// ```
    /// use darkchat_crypto::{SeededRng, StaticKey};
    /// let (mut one, mut same) = (SeededRng::new([7; 32]), SeededRng::new([7; 32]));
    /// one.mix(&[1; 32]);
    /// assert_ne!(StaticKey::generate(&mut one).public(), StaticKey::generate(&mut same).public());
    /// ```
    pub fn mix(&mut self, fresh: &[u8; 32]) {
        self.state = derive(self.state.as_slice(), fresh, SEEDED_FRESH);
    }

    /// The next block; the state moves on.
    fn block(&mut self) -> Secret {
        let both: Zeroizing<[u8; 2 * BLOCK]> = derive(&[0; 32], self.state.as_slice(), SEEDED);
        let (next, out) = both.split_at(BLOCK);
        self.state.copy_from_slice(next);
        let mut block = Zeroizing::new([0; BLOCK]);
        block.copy_from_slice(out);
        block
    }
}

impl fmt::Debug for SeededRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state: _ } = self;
        f.write_str("SeededRng(..)")
    }
}

impl TryRng for SeededRng {
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
        for chunk in out.chunks_mut(BLOCK) {
            let block = self.block();
            for (byte, random) in chunk.iter_mut().zip(block.iter()) {
                *byte = *random;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng as _;
    use std::collections::BTreeSet;

    #[test]
    fn one_seed_is_one_run_and_no_block_comes_twice() {
        let run = |seed: u8| {
            let mut rng = SeededRng::new([seed; 32]);
            (0..1_000).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        let all: BTreeSet<u64> = (0..4).flat_map(run).collect();
        assert_eq!(all.len(), 4_000);
    }

    #[test]
    fn fresh_bytes_part_generators_that_were_the_same_and_zeros_are_fresh_bytes_too() {
        let after = |fresh: Option<u8>| {
            let mut rng = SeededRng::new([7; 32]);
            let _before = rng.next_u64();
            if let Some(byte) = fresh {
                rng.mix(&[byte; 32]);
            }
            rng.next_u64()
        };
        let all = [after(None), after(Some(0)), after(Some(1))];
        assert_eq!(BTreeSet::from(all).len(), 3);
        assert_eq!(after(Some(1)), all[2]);
    }

    #[test]
    fn long_requests_are_filled_to_their_end() {
        let (mut long, mut short) = ([0; 100], [0; 32]);
        SeededRng::new([3; 32]).fill_bytes(&mut long);
        SeededRng::new([3; 32]).fill_bytes(&mut short);
        assert_eq!(long[..32], short);
        assert!(long.chunks(10).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
        let blocks: BTreeSet<&[u8]> = long.chunks(25).collect();
        assert_eq!(blocks.len(), 4);
    }

    #[test]
    fn a_number_is_the_first_bytes_of_a_block_least_significant_first() {
        let (mut rng, mut same) = (SeededRng::new([3; 32]), SeededRng::new([3; 32]));
        let first = *same.block();
        assert_eq!(rng.next_u32().to_le_bytes(), first[..4]);
        let second = *same.block();
        assert_eq!(rng.next_u64().to_le_bytes(), second[..8]);
        assert_eq!(format!("{rng:?}"), "SeededRng(..)");
    }

    #[test]
    fn what_was_given_out_is_not_in_the_state_that_follows() {
        let mut rng = SeededRng::new([3; 32]);
        let before = *rng.state;
        let given = *rng.block();
        assert_ne!(*rng.state, before);
        assert_ne!(*rng.state, given);
    }
}
