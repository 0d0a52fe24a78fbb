//! A hash over everything that happened: equal for equal runs. Not cryptographic, because nobody forges a run.

/// Mixes eight bytes at a time.
#[derive(Debug, Clone)]
pub(super) struct Trace(u64);

impl Trace {
    pub(super) const fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    pub(super) const fn number(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.0 = mixed ^ (mixed >> 29);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.number(u64::from(*byte));
        }
    }

    /// The hash of some bytes alone.
    pub(super) fn of(bytes: &[u8]) -> u64 {
        let mut trace = Self::new();
        trace.bytes(bytes);
        trace.hash()
    }

    pub(super) const fn hash(&self) -> u64 {
        self.0
    }
}
