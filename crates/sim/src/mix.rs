//! A hash over everything that happened: equal for equal runs. Not cryptographic, because nobody forges a run.

/// Mixes eight bytes at a time.
#[derive(Debug, Clone)]
pub(crate) struct Mix(u64);

impl Mix {
    pub(crate) const fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    pub(crate) const fn number(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.0 = mixed ^ (mixed >> 29);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.number(u64::from(*byte));
        }
    }

    /// The hash of some bytes alone.
    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut mix = Self::new();
        mix.bytes(bytes);
        mix.hash()
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_every_length_counts() {
        let bytes = [7; 19];
        let hash = Mix::of(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Mix::of(&other), hash, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_ne!(Mix::of(&bytes[..len]), hash);
        }
        assert_ne!(Mix::of(&[0; 3]), Mix::of(&[0; 4]));
    }
}
