//! The ids of posts seen lately, for streams without state. Source: `docs/protocol.md`, section 6.3.

use darkchat_proto::{PostId, Time};
use std::collections::BTreeSet;
use std::time::Duration;

/// An id is remembered at least so long: a post stamped 300 s ahead stays acceptable for 600 s.
const SWAP_EVERY: Duration = Duration::from_secs(600);
/// Ids in one of the two sets.
const CAPACITY: usize = 65_536;

/// Two sets, swapped by age and, at their bound, by number.
#[derive(Debug, Default)]
pub(super) struct Seen {
    young: BTreeSet<PostId>,
    old: BTreeSet<PostId>,
    swapped: Time,
    early: u64,
}

impl Seen {
    /// Swaps if it is time. Twice if nothing happened for so long that both sets are over age.
    pub(super) fn age(&mut self, now: Time) {
        let passed = now.saturating_since(self.swapped);
        if passed >= SWAP_EVERY {
            self.old = std::mem::take(&mut self.young);
            self.swapped = now;
        }
        if passed >= SWAP_EVERY * 2 {
            self.old.clear();
        }
    }

    /// Whether the id is remembered.
    pub(super) fn has(&self, id: &PostId) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }

    /// Remembers an id.
    pub(super) fn enter(&mut self, now: Time, id: PostId) {
        self.age(now);
        if self.young.len() >= CAPACITY {
            self.old = std::mem::take(&mut self.young);
            self.swapped = now;
            self.early = self.early.saturating_add(1);
        }
        self.young.insert(id);
    }

    /// How often the sets were swapped because they were full.
    pub(super) const fn early(&self) -> u64 {
        self.early
    }

    /// When the next swap by age is due, if anything is remembered.
    pub(super) fn deadline(&self) -> Option<Time> {
        (!self.young.is_empty() || !self.old.is_empty()).then(|| self.swapped + SWAP_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> PostId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        PostId::new(bytes)
    }

    #[test]
    fn an_id_is_remembered_for_600_seconds_and_forgotten_after_1200() {
        let mut seen = Seen::default();
        seen.enter(Time::from_millis(599_000), id(1));
        for (second, known) in [(1_198, true), (1_800, false)] {
            seen.age(Time::from_millis(second * 1_000));
            assert_eq!(seen.has(&id(1)), known, "after {second} s");
        }
        seen.enter(Time::from_millis(1_801_000), id(2));
        seen.age(Time::from_millis(9_000_000));
        assert!(!seen.has(&id(2)), "both sets are over age");
        assert_eq!(seen.deadline(), None);
    }

    #[test]
    fn a_full_set_is_swapped_early_and_counted() {
        let mut seen = Seen::default();
        let all = u32::try_from(CAPACITY).unwrap() * 2 + 1;
        for number in 0..all {
            seen.enter(Time::ZERO, id(number));
        }
        assert_eq!(seen.early(), 2);
        assert!(seen.has(&id(all - 1)) && seen.has(&id(65_536)));
        assert!(!seen.has(&id(0)), "an attacker must push out 131,072 ids");
        assert!(seen.young.len() + seen.old.len() <= 2 * CAPACITY);
    }
}
