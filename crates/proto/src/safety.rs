//! The number that two people compare to know that they have each other's keys. Source: `docs/protocol.md`, section 7.9.

use crate::{UserId, hash};
use std::fmt;

/// Groups of digits in a safety number: 30 digits are about 100 bits, and can be read aloud.
const GROUPS: usize = 6;

/// Words of a safety number: eight of 2,048 are 88 bits.
const WORDS: usize = 8;
/// Bits that one word stands for.
const WORD_BITS: u32 = 11;
/// The English words of BIP-39, 2,048 in alphabetical order: they were chosen so that no two sound or begin alike, and
/// people who keep keys know them. A line each.
const LIST: &str = include_str!("safety/words.txt");

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
pub struct SafetyNumber {
    groups: [u32; GROUPS],
    words: [u16; WORDS],
}

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
        // Eight words of eleven bits each are the first eleven bytes.
        let mut bits =
            digest.iter().take(WORDS * 11 / 8).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let mut words = [0; WORDS];
        for word in words.iter_mut().rev() {
            *word = u16::try_from(bits % (1 << WORD_BITS)).unwrap_or(0);
            bits >>= WORD_BITS;
        }
        Self { groups, words }
    }

    /// Eight words that stand for the same value, for those who would rather read words: of the first 88 bits of the
    /// hash, eleven bits each.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.words.map(|at| LIST.lines().nth(at.into()).unwrap_or_default()).into_iter()
    }

    /// Whether a text says this number: the digits, or the words, in any spacing and case.
    ///
    /// ```
    /// use darkchat_proto::{SafetyNumber, UserId};
    /// let number = SafetyNumber::of(&UserId::new([1; 32]), &UserId::new([2; 32]));
    /// assert!(number.is_said_by(&number.to_string().replace(' ', "")));
    /// assert!(number.is_said_by(&number.words().collect::<Vec<_>>().join("  ").to_uppercase()));
    /// assert!(!number.is_said_by(&number.to_string()[..34]) && !number.is_said_by(""));
    /// ```
    #[must_use]
    pub fn is_said_by(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let said: Vec<&str> = text.split_whitespace().collect();
        let digits: String = self.groups.iter().map(|group| format!("{group:05}")).collect();
        said.concat() == digits || self.words().eq(said.iter().copied())
    }
}

impl fmt::Display for SafetyNumber {
    /// Six groups of five digits: `14827 33267 18308 85814 12750 81354`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.groups.map(|group| format!("{group:05}"));
        f.pad(&groups.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_words_are_those_of_bip_39() {
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(LIST));
        assert_eq!(
            hash, "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda",
            "its published hash"
        );
        assert_eq!(LIST.lines().count(), 1 << WORD_BITS);
    }

    #[test]
    fn words_and_digits_follow_from_the_same_hash() {
        let (one, other) = (UserId::new([1; 32]), UserId::new([2; 32]));
        let digest = hash::plain(&[b"dchat/1/safety\0", one.as_bytes(), other.as_bytes()]);
        let bits: String = digest.iter().take(11).map(|byte| format!("{byte:08b}")).collect();
        let expected: Vec<&str> = (0..WORDS)
            .map(|at| u16::from_str_radix(&bits[at * 11..at * 11 + 11], 2).unwrap())
            .map(|at| LIST.lines().nth(at.into()).unwrap())
            .collect();
        let number = SafetyNumber::of(&other, &one);
        assert_eq!(number.words().collect::<Vec<_>>(), expected);
        let mut wrong = expected;
        wrong.swap(0, 7);
        assert!(!number.is_said_by(&wrong.join(" ")));
    }
}
