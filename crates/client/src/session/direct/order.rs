//! The order in which the contents of one session are shown: that of their numbers. Source: `docs/protocol.md`,
//! sections 7.5 and 13.1 (G2).

use darkchat_proto::{DirectHead, DmContent, Time};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a missing number is waited for (REORDER_WAIT).
const WAIT: Duration = Duration::from_millis(500);
/// Chains of the other side that still lack something.
const CHAINS: usize = 8;
/// Numbers that may still come: as many as the ratchet keeps keys for.
const MISSING: usize = 1_024;
/// Contents that wait for those before them.
const HELD: usize = 64;

/// A place in a session: which chain of the other side's, and which number in it.
pub(super) type Place = (u64, u32);

/// Which numbers came, and what waits for those that did not.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The other side's chains, the newest last.
    chains: Vec<([u8; 32], u64)>,
    /// The place after the furthest that came.
    next: Place,
    /// Places before `next` that may still come, each with when that was noticed.
    missing: BTreeMap<Place, Time>,
    held: BTreeMap<Place, Held>,
}

/// A content that waits for those before it.
struct Held(DmContent);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(content) = self;
        write!(f, "Held({:?})", content.id)
    }
}

impl Order {
    /// Notes that a packet with this head opened; `newest` is the key of the other side's newest chain. Gives its
    /// place, or `None` if something after it was shown.
    pub(super) fn arrive(&mut self, now: Time, head: &DirectHead, newest: &[u8; 32]) -> Option<Place> {
        let known = self.chains.iter().find(|(dh, _)| *dh == head.dh).map(|(_, chain)| *chain);
        let chain = match known {
            Some(chain) => chain,
            None if head.dh == *newest => self.turn(now, head),
            None => return None,
        };
        let place = (chain, head.number);
        if place < self.next {
            return self.missing.remove(&place).map(|_| place);
        }
        self.miss(now, self.next, head.number);
        self.next = (chain, head.number.saturating_add(1));
        Some(place)
    }

    /// The other side has a new chain; the one before it had `previous` messages.
    fn turn(&mut self, now: Time, head: &DirectHead) -> u64 {
        let chain = match self.chains.last() {
            None => 0,
            Some((_, last)) => last.saturating_add(1),
        };
        if chain > 0 {
            self.miss(now, self.next, head.previous);
        }
        self.chains.push((head.dh, chain));
        if self.chains.len() > CHAINS {
            self.chains.remove(0);
        }
        self.next = (chain, 0);
        chain
    }

    /// Notes the numbers up to `to` as missing; the ratchet has allowed the jump.
    fn miss(&mut self, now: Time, (chain, from): Place, to: u32) {
        self.missing.extend((from..to).map(|number| ((chain, number), now)));
        while self.missing.len() > MISSING {
            self.missing.pop_first();
        }
    }

    /// Takes a content at its place.
    pub(super) fn hold(&mut self, place: Place, content: DmContent) {
        self.held.insert(place, Held(content));
    }

    /// What can be shown now, in order: what lacks nothing before it, or lacks it for long enough.
    pub(super) fn release(&mut self, now: Time) -> Vec<DmContent> {
        let mut shown = Vec::new();
        while let Some(place) = self.held.first_key_value().map(|(place, _)| *place) {
            let is_waiting = self.waits_until(&place).is_some_and(|until| until > now);
            if is_waiting && self.held.len() <= HELD {
                break;
            }
            self.missing = self.missing.split_off(&place);
            shown.extend(self.held.pop_first().map(|(_, Held(content))| content));
        }
        shown
    }

    /// Until when what stands at this place waits for those before it.
    fn waits_until(&self, place: &Place) -> Option<Time> {
        self.missing.range(..place).map(|(_, since)| *since + WAIT).max()
    }

    /// When [`release`](Self::release) has something to give without another packet.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.waits_until(self.held.first_key_value()?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::{ContentId, DirectId};

    /// Receives a packet of a chain; gives what is shown, by number.
    fn receive(order: &mut Order, ms: u64, (chain, number): (u8, u32), previous: u32) -> Vec<(u8, u8)> {
        let head = DirectHead { session: DirectId::new([0; 8]), dh: [chain; 32], previous, number };
        let newest = order.chains.last().map_or(chain, |(dh, _)| dh[0].max(chain));
        let now = Time::from_millis(ms);
        if let Some(place) = order.arrive(now, &head, &[newest; 32]) {
            let id = ContentId::new([
                chain,
                u8::try_from(number).unwrap(),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ]);
            order.hold(place, DmContent::text(id, 0, ""));
        }
        shown(order, ms)
    }

    fn shown(order: &mut Order, ms: u64) -> Vec<(u8, u8)> {
        let released = order.release(Time::from_millis(ms));
        released.iter().map(|content| (content.id.as_bytes()[0], content.id.as_bytes()[1])).collect()
    }

    #[test]
    fn what_comes_in_order_is_shown_at_once_also_across_turns() {
        let mut order = Order::default();
        assert_eq!(receive(&mut order, 0, (1, 0), 0), [(1, 0)]);
        assert_eq!(receive(&mut order, 0, (1, 1), 0), [(1, 1)]);
        assert_eq!(receive(&mut order, 0, (2, 0), 2), [(2, 0)]);
        assert_eq!(order.deadline(), None);
    }

    #[test]
    fn what_overtook_waits_and_what_comes_after_half_a_second_is_not_shown() {
        let mut order = Order::default();
        assert_eq!(receive(&mut order, 0, (1, 2), 0), []);
        assert_eq!(receive(&mut order, 10, (1, 0), 0), [(1, 0)]);
        assert_eq!(receive(&mut order, 20, (1, 1), 0), [(1, 1), (1, 2)]);
        assert_eq!(receive(&mut order, 30, (1, 4), 0), []);
        assert_eq!(order.deadline(), Some(Time::from_millis(530)));
        assert_eq!(shown(&mut order, 529), []);
        assert_eq!(shown(&mut order, 530), [(1, 4)]);
        assert_eq!(receive(&mut order, 531, (1, 3), 0), [], "its turn is over");
    }

    #[test]
    fn the_end_of_a_chain_is_waited_for_before_the_next_one_is_shown() {
        let mut order = Order::default();
        assert_eq!(receive(&mut order, 0, (1, 0), 0), [(1, 0)]);
        assert_eq!(receive(&mut order, 0, (2, 0), 2), []);
        assert_eq!(receive(&mut order, 1, (1, 1), 0), [(1, 1), (2, 0)]);
    }

    #[test]
    fn a_number_that_nothing_was_shown_after_is_not_late_and_holds_up_nothing_for_long() {
        let mut order = Order::default();
        let head = |number| DirectHead { session: DirectId::new([0; 8]), dh: [1; 32], previous: 0, number };
        assert!(order.arrive(Time::ZERO, &head(1), &[1; 32]).is_some(), "without a content to show");
        assert_eq!(receive(&mut order, 5_000, (1, 0), 0), [(1, 0)]);
        assert!(order.arrive(Time::from_millis(5_000), &head(3), &[1; 32]).is_some());
        assert_eq!(receive(&mut order, 9_000, (1, 4), 0), [(1, 4)], "number 2 was waited for long ago");
    }

    #[test]
    fn a_chain_that_is_not_known_any_more_is_late_and_no_new_one() {
        let mut order = Order::default();
        for chain in 1..=10 {
            receive(&mut order, 0, (chain, 1), 2);
        }
        assert_eq!(order.chains.len(), CHAINS);
        assert_eq!(receive(&mut order, 1, (1, 0), 0), []);
        assert_eq!(order.chains.len(), CHAINS);
    }

    #[test]
    fn what_waits_and_what_is_missing_is_bounded() {
        let mut order = Order::default();
        for number in 0..70 {
            receive(&mut order, 0, (1, 2 * number + 1), 0);
        }
        assert!(order.held.len() <= HELD, "{}", order.held.len());
        for chain in 2..20 {
            receive(&mut order, 1_000, (chain, 200), 0);
        }
        assert!(order.missing.len() <= MISSING);
    }
}
