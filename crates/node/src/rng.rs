//! The node's only randomness: SHA-256 over its seed and a counter, so that a seed and the inputs make a run.
//!
//! Block n is SHA-256(`"dchat-node/1/rng" ‖ 0x00 ‖ seed ‖ n as u64 BE`), used from its beginning, eight bytes at a
//! time. Nothing secret hangs on it: it names sessions and routes, spreads waits and picks neighbours.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;

/// A stream of numbers that the seed fixes.
pub(crate) struct Rng {
    seed: [u8; 32],
    next_block: u64,
    /// What is left of the last block.
    left: [u64; 4],
    used: usize,
}

impl Rng {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, next_block: 0, left: [0; 4], used: 4 }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        if self.used >= self.left.len() {
            self.refill();
        }
        let number = self.left.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        number
    }

    fn refill(&mut self) {
        let mut hash = Sha256::new();
        hash.update(b"dchat-node/1/rng\0");
        hash.update(self.seed);
        hash.update(self.next_block.to_be_bytes());
        let block: [u8; 32] = hash.finalize().into();
        let (words, _) = block.as_chunks::<8>();
        for (to, from) in self.left.iter_mut().zip(words) {
            *to = u64::from_be_bytes(*from);
        }
        self.next_block = self.next_block.wrapping_add(1);
        self.used = 0;
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias is below 2^-32 for the small bounds of this crate.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % bound).unwrap_or_default()
    }

    /// 16 bytes, for the name of a session.
    pub(crate) fn next_16(&mut self) -> [u8; 16] {
        (u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())).to_be_bytes()
    }

    /// `span`, up to `percent` shorter or longer.
    pub(crate) fn spread(&mut self, span: Duration, percent: u32) -> Duration {
        let steps = 2 * u64::from(percent) + 1;
        let share = 100 - u64::from(percent.min(100)) + self.next_u64() % steps;
        span.saturating_mul(u32::try_from(share).unwrap_or(100)) / 100
    }
}

impl fmt::Debug for Rng {
    /// Without the seed: who knows it knows what comes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").field("next_block", &self.next_block).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_stream_and_another_seed_is_another() {
        let take = |seed: u8| {
            let mut rng = Rng::new([seed; 32]);
            [0; 9].map(|_: u8| rng.next_u64())
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn a_spread_span_stays_within_its_percentage() {
        let mut rng = Rng::new([7; 32]);
        let spans: Vec<Duration> = (0..1_000).map(|_| rng.spread(Duration::from_secs(100), 20)).collect();
        assert!(spans.iter().all(|span| (80..=120).contains(&span.as_secs())));
        assert!(
            spans.iter().any(|span| span.as_secs() < 85) && spans.iter().any(|span| span.as_secs() > 115)
        );
    }
}
