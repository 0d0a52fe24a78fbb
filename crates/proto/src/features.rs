//! Feature bits that the two ends of a link agree on. Source: `docs/protocol.md`, section 4.4.

use std::ops::{BitAnd, BitOr};

/// A set of features. A feature is used on a link only if both ends set its bit.
///
/// ```
/// use darkchat_proto::Features;
/// let (ours, theirs) = (Features::RESUME | Features::DONE, Features::DONE | Features::from_bits(1 << 60));
/// assert_eq!(ours & theirs, Features::DONE);
/// assert!((ours & theirs).contains(Features::DONE));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Features(u64);

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);
    /// Sessions can be resumed after a lost link.
    pub const RESUME: Self = Self(1);
    /// Sealed posts of private channels.
    pub const SEALED: Self = Self(1 << 1);
    /// `want_done` is answered by `RouteDone`.
    pub const DONE: Self = Self(1 << 3);
    /// A server dials back on request.
    pub const DIALBACK: Self = Self(1 << 4);
    /// Probes pass, and are answered.
    pub const TRACE: Self = Self(1 << 6);

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitAnd for Features {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_the_bits_of_section_4_4() {
        let features =
            [Features::RESUME, Features::SEALED, Features::DONE, Features::DIALBACK, Features::TRACE];
        assert_eq!(features.map(Features::bits), [1, 2, 8, 16, 64]);
        assert!(Features::NONE.bits() == 0 && Features::RESUME.contains(Features::NONE));
        assert!(!Features::RESUME.contains(Features::RESUME | Features::DONE));
    }
}
