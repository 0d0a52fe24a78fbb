//! The number that two people compare to know that they have each other's keys. Source: `docs/protocol.md`, section 7.9.

use crate::{UserId, hash};
use std::fmt;

/// Groups of digits in a safety number: 30 digits are about 100 bits, and can be read aloud.
const GROUPS: usize = 6;

/// 30 digits that follow from two users' keys, the same for both of them.
///
/// Two people read it to each other over a way that no server controls; if it is equal, nobody stands between.
///
/// ```
/// use darkchat_proto::{SafetyNumber, UserId};
/// let (alice, bob) = (UserId::new([1; 32]), UserId::new([2; 32]));
/// let number = SafetyNumber::of(&alice, &bob);
/// assert_eq!(number, SafetyNumber::of(&bob, &alice));
/// assert_eq!(number.to_string().len(), 35, "six groups of five digits, with spaces between");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SafetyNumber([u32; GROUPS]);

impl SafetyNumber {
    /// The number of these two users, in either order.
    #[must_use]
    pub fn of(one: &UserId, other: &UserId) -> Self {
        let (smaller, larger) = if one <= other { (one, other) } else { (other, one) };
        let digest = hash::plain(&[b"dchat/1/safety\0", smaller.as_bytes(), larger.as_bytes()]);
        let mut groups = [0; GROUPS];
        for (group, bytes) in groups.iter_mut().zip(digest.as_chunks::<5>().0) {
            let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            *group = u32::try_from(number % 100_000).unwrap_or(0);
        }
        Self(groups)
    }
}

impl fmt::Display for SafetyNumber {
    /// Six groups of five digits: `14827 33267 18308 85814 12750 81354`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.0.map(|group| format!("{group:05}"));
        f.pad(&groups.join(" "))
    }
}
