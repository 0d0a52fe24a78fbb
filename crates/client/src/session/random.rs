//! The session's randomness: all of it from the seed, so that one seed is one run.

use std::time::Duration;

/// Blackman's and Vigna's xoshiro256**: small and good enough for jitter and stream numbers, which are no secrets.
#[derive(Debug, Clone)]
pub(super) struct Random([u64; 4]);

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        // The generator stands still at zero; any other state will do.
        if state == [0; 4] { Self([0x9E37_79B9_7F4A_7C15, 3, 5, 7]) } else { Self(state) }
    }

    pub(super) fn next(&mut self) -> u64 {
        let Self([a, b, c, d]) = self;
        let out = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        out
    }

    /// A number that is not zero.
    pub(super) fn non_zero(&mut self) -> u64 {
        self.next().max(1)
    }

    /// `span` more or less `percent` of it.
    pub(super) fn around(&mut self, span: Duration, percent: u32) -> Duration {
        let width = span.saturating_mul(percent.saturating_mul(2)) / 100;
        let ms = u64::try_from(width.as_millis()).unwrap_or(u64::MAX);
        let low = span.saturating_sub(width / 2);
        low.saturating_add(Duration::from_millis(self.next() % ms.saturating_add(1).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_percentage_and_reaches_both_halves() {
        let mut random = Random::new([7; 32]);
        let spans: Vec<_> = (0..1_000).map(|_| random.around(Duration::from_secs(1), 50)).collect();
        assert!(spans.iter().all(|span| (500..=1_500).contains(&span.as_millis())));
        assert!(spans.iter().any(|span| span.as_millis() < 700));
        assert!(spans.iter().any(|span| span.as_millis() > 1_300));
    }

    #[test]
    fn one_seed_is_one_run_and_even_no_seed_moves() {
        let run = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(run([3; 32]), run([3; 32]));
        assert_ne!(run([3; 32]), run([4; 32]));
        assert_ne!(run([0; 32])[1], run([0; 32])[2]);
    }
}
