//! What came before: contents of a peer, and calls. Source: `docs/protocol.md`, sections 7.3 and 7.5.

use darkchat_proto::Time;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// What is remembered of each peer, of all callers together, and of all who answered our calls.
const CAPACITY: usize = 1_024;
/// For how long: longer than anything is repeated or accepted.
const AGE: Duration = Duration::from_secs(600);

/// The newest ids, each once.
#[derive(Debug)]
pub(super) struct Seen<T> {
    order: VecDeque<(Time, T)>,
    ids: BTreeSet<T>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), ids: BTreeSet::new() }
    }
}

impl<T: Ord + Copy> Seen<T> {
    /// Whether the id came within the last 10 min.
    pub(super) fn has(&mut self, now: Time, id: &T) -> bool {
        self.expire(now);
        self.ids.contains(id)
    }

    /// Remembers an id; the oldest goes when there are too many.
    pub(super) fn enter(&mut self, now: Time, id: T) {
        self.expire(now);
        if self.ids.insert(id) {
            self.order.push_back((now, id));
        }
        if self.order.len() > CAPACITY {
            self.forget();
        }
    }

    fn expire(&mut self, now: Time) {
        while self.order.front().is_some_and(|(at, _)| now.saturating_since(*at) >= AGE) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_are_remembered_for_ten_minutes() {
        let mut seen = Seen::default();
        for id in 0..=CAPACITY {
            seen.enter(Time::ZERO, id);
            seen.enter(Time::ZERO, id);
        }
        assert!(!seen.has(Time::ZERO, &0) && seen.has(Time::ZERO, &1));
        assert_eq!((seen.order.len(), seen.ids.len()), (CAPACITY, CAPACITY));
        assert!(seen.has(Time::from_millis(599_999), &1) && !seen.has(Time::from_millis(600_000), &1));
        assert!(seen.order.is_empty() && seen.ids.is_empty());
    }
}
