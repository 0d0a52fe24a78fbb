//! The only randomness of a world: everything follows from one number.

use std::time::Duration;

/// SplitMix64: small, fast, and good enough to choose faults.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub const fn below(&mut self, end: u64) -> u64 {
        let next = self.next();
        if end == 0 { 0 } else { next % end }
    }

    /// An index below `end`; 0 if there is none.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// Whether something happens that does so `percent` times in a hundred.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.index(from.len())).copied()
    }

    /// A time from `least` to below `most`.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.below(span))
    }

    /// Mostly short, at times long: exponential with this mean, at most eight times it.
    pub fn around(&mut self, mean: Duration) -> Duration {
        let mean = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX);
        // -ln(u) of a uniform u, in sixteenths: the place of the first set bit, and what follows it.
        let bits = self.next() | 1 << 52;
        let (zeros, rest) = (u64::from(bits.leading_zeros()), self.below(16));
        Duration::from_micros(mean.saturating_mul(zeros * 16 + rest).saturating_mul(11) / 256)
            .min(Duration::from_micros(mean * 8))
    }

    /// 32 random bytes.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for chunk in seed.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        seed
    }

    /// So many random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_around_a_mean_are_near_it_on_average_and_never_far_off() {
        let mut rng = Rng::new(1);
        let mean = Duration::from_millis(10);
        let times: Vec<Duration> = (0..10_000).map(|_| rng.around(mean)).collect();
        assert!(times.iter().all(|time| *time <= mean * 8));
        let average = times.iter().sum::<Duration>() / 10_000;
        assert!((mean * 8 / 10..mean * 12 / 10).contains(&average), "{average:?}");
    }

    #[test]
    fn nothing_is_chosen_from_nothing() {
        let mut rng = Rng::new(1);
        assert_eq!((rng.index(0), rng.below(0), rng.pick::<u8>(&[])), (0, 0, None));
        assert_eq!(rng.between(Duration::from_secs(1), Duration::ZERO), Duration::from_secs(1));
    }
}
