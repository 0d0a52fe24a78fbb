//! What was seen before: bounded memories of digests, for egress and for one session. Source: `docs/protocol.md`, 5.2, 6.3.

use darkchat_proto::{Digest16, Time};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// How long an egress server remembers a post at least: longer than any re-route or second way takes.
pub(crate) const SEEN_AGE: Duration = Duration::from_secs(60);
/// The most digests of one generation: two of them take about 9 MiB.
pub(crate) const SEEN_CAP: usize = 131_072;
/// The posts of a session that its server remembers: more than a client may have unacknowledged.
pub(crate) const SESSION_SEEN: usize = 1_024;

/// Two generations of digests, swapped by age and by number: each is remembered at least one age and at most two.
#[derive(Debug)]
pub(crate) struct Seen {
    young: BTreeSet<Digest16>,
    old: BTreeSet<Digest16>,
    since: Time,
    age: Duration,
    cap: usize,
    early: u64,
}

impl Default for Seen {
    /// The filter of a server against repeated channel posts.
    fn default() -> Self {
        Self::new(SEEN_AGE, SEEN_CAP)
    }
}

impl Seen {
    /// Remembers for `age`, and at most `cap` digests a generation.
    pub(crate) const fn new(age: Duration, cap: usize) -> Self {
        Self { young: BTreeSet::new(), old: BTreeSet::new(), since: Time::ZERO, age, cap, early: 0 }
    }

    /// Remembers `digest`; whether it was new.
    pub(crate) fn insert(&mut self, now: Time, digest: Digest16) -> bool {
        self.age_out(now);
        if self.young.contains(&digest) || self.old.contains(&digest) {
            return false;
        }
        if self.young.len() >= self.cap {
            self.early = self.early.saturating_add(1);
            self.swap(now);
        }
        self.young.insert(digest)
    }

    /// The digests held.
    pub(crate) fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// How often a generation ended because it was full, and not because of its age.
    pub(crate) const fn early_swaps(&self) -> u64 {
        self.early
    }

    fn age_out(&mut self, now: Time) {
        let passed = now.saturating_since(self.since);
        if passed >= self.age.saturating_mul(2) {
            self.young.clear();
        }
        if passed >= self.age {
            self.swap(now);
        }
    }

    fn swap(&mut self, now: Time) {
        self.old = std::mem::take(&mut self.young);
        self.since = now;
    }
}

/// The last posts of one session, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Recent {
    order: VecDeque<Digest16>,
    members: BTreeSet<Digest16>,
    cap: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self::new(SESSION_SEEN)
    }
}

impl Recent {
    /// Remembers the last `cap` digests. Takes no memory before the first.
    pub(crate) const fn new(cap: usize) -> Self {
        Self { order: VecDeque::new(), members: BTreeSet::new(), cap }
    }

    /// Whether `digest` is among the last ones.
    pub(crate) fn contains(&self, digest: &Digest16) -> bool {
        self.members.contains(digest)
    }

    /// Remembers `digest`, and forgets the oldest one for it if there is no room; whether it was new.
    pub(crate) fn insert(&mut self, digest: Digest16) -> bool {
        if !self.members.insert(digest) {
            return false;
        }
        self.order.push_back(digest);
        if self.order.len() > self.cap
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> Digest16 {
        Digest16::new(u128::from(number).to_be_bytes())
    }

    fn secs(secs: u64) -> Time {
        Time::from_millis(secs * 1_000)
    }

    #[test]
    fn a_repeat_is_known_for_at_least_one_age_and_for_less_than_two_and_a_bit() {
        let mut seen = Seen::default();
        assert!(seen.insert(secs(59), digest(1)));
        assert!(!seen.insert(secs(60), digest(1)));
        assert!(!seen.insert(secs(119), digest(1)));
        assert!(seen.insert(secs(120), digest(1)), "two generations later it is forgotten");
    }

    #[test]
    fn a_long_silence_forgets_everything_at_once() {
        let mut seen = Seen::default();
        assert!(seen.insert(secs(1), digest(1)));
        assert!(seen.insert(secs(200), digest(2)));
        assert!(seen.insert(secs(200), digest(1)));
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_full_generation_swaps_early_and_memory_stays_below_two_caps() {
        let mut seen = Seen::default();
        let count = u32::try_from(SEEN_CAP).unwrap() * 3;
        for number in 0..count {
            assert!(seen.insert(secs(1), digest(number)));
            assert!(seen.len() <= 2 * SEEN_CAP);
        }
        assert_eq!(seen.early_swaps(), 2);
        assert!(!seen.insert(secs(1), digest(count - 1)));
        assert!(seen.insert(secs(1), digest(0)), "the oldest generation is gone");
    }

    #[test]
    fn a_session_remembers_its_last_posts_and_no_more() {
        let mut recent = Recent::default();
        for number in 0..=1_024 {
            assert!(recent.insert(digest(number)));
        }
        assert!(!recent.contains(&digest(0)));
        assert!(recent.contains(&digest(1)));
        assert!(!recent.insert(digest(1_024)));
        assert_eq!(recent.order.len(), SESSION_SEEN);
        assert_eq!(recent.members.len(), SESSION_SEEN);
    }
}
