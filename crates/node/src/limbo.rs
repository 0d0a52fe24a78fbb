//! Frames without a way for the moment, for servers that were there until just now (9.6).

use crate::LinkId;
use crate::router::Travelling;
use darkchat_proto::{RouterId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a frame waits for its destination, and how long a destination counts as just lost.
pub(crate) const LIMBO_TIME: Duration = Duration::from_secs(10);
/// What an entry takes beside its payload, in bytes.
const ENTRY: usize = 128;

/// A frame for one destination that has no route.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) to: RouterId,
    pub(crate) until: Time,
    pub(crate) frame: Travelling,
}

impl Waiting {
    fn len(&self) -> usize {
        self.frame.payload.len().saturating_add(ENTRY)
    }
}

/// What waits of one link.
#[derive(Debug, Default)]
struct Source {
    numbers: BTreeSet<u64>,
    bytes: usize,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Limbo {
    /// By the order in which they came, which is that of their end.
    waiting: BTreeMap<u64, Waiting>,
    by_destination: BTreeSet<(RouterId, u64)>,
    by_source: BTreeMap<LinkId, Source>,
    /// The same sources by length, to find the longest.
    by_len: BTreeSet<(usize, LinkId)>,
    next: u64,
    bytes: usize,
    max_bytes: usize,
    /// The servers that cannot be reached since that time, if it is not long ago.
    lost: BTreeMap<RouterId, Time>,
}

impl Limbo {
    /// Room for so many bytes; 0 turns the waiting off.
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            by_destination: BTreeSet::new(),
            by_source: BTreeMap::new(),
            by_len: BTreeSet::new(),
            next: 0,
            bytes: 0,
            max_bytes,
            lost: BTreeMap::new(),
        }
    }

    /// Who could be reached before and cannot be now, and who can be now.
    pub(crate) fn note(
        &mut self,
        now: Time,
        lost: impl Iterator<Item = RouterId>,
        is_here: impl Fn(&RouterId) -> bool,
    ) {
        self.lost.extend(lost.map(|router| (router, now)));
        self.lost.retain(|router, at| now.saturating_since(*at) < LIMBO_TIME && !is_here(router));
    }

    /// Whether a server that cannot be reached could be until just now.
    pub(crate) fn is_just_lost(&self, now: Time, router: RouterId) -> bool {
        self.lost.get(&router).is_some_and(|at| now.saturating_since(*at) < LIMBO_TIME)
    }

    /// Lets a frame wait for its one destination; what there is no room for then, which may be that frame: the newest of
    /// the source that has most waiting, so that a flooder pays for the room that it takes.
    pub(crate) fn wait(&mut self, now: Time, to: RouterId, frame: Travelling) -> Vec<Waiting> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let entry = Waiting { to, until: now + LIMBO_TIME, frame };
        self.bytes = self.bytes.saturating_add(entry.len());
        self.by_destination.insert((to, number));
        self.change_source(entry.frame.source, |source| {
            source.numbers.insert(number);
            source.bytes = source.bytes.saturating_add(entry.len());
        });
        self.waiting.insert(number, entry);
        let mut gone = Vec::new();
        while self.bytes > self.max_bytes {
            let longest = self.by_len.last().and_then(|(_, link)| self.by_source.get(link));
            let Some(newest) = longest.and_then(|source| source.numbers.last().copied()) else { break };
            gone.extend(self.remove(newest));
        }
        gone
    }

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let entry = self.waiting.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(entry.len());
        self.by_destination.remove(&(entry.to, number));
        self.change_source(entry.frame.source, |source| {
            source.numbers.remove(&number);
            source.bytes = source.bytes.saturating_sub(entry.len());
        });
        Some(entry)
    }

    /// Changes what waits of a link, of which nothing is known when nothing waits.
    fn change_source(&mut self, link: LinkId, change: impl FnOnce(&mut Source)) {
        let source = self.by_source.entry(link).or_default();
        self.by_len.remove(&(source.bytes, link));
        change(source);
        if source.numbers.is_empty() {
            self.by_source.remove(&link);
        } else {
            self.by_len.insert((source.bytes, link));
        }
    }

    /// The servers that something waits for.
    pub(crate) fn destinations(&self) -> Vec<RouterId> {
        let mut all: Vec<RouterId> = self.by_destination.iter().map(|(router, _)| *router).collect();
        all.dedup();
        all
    }

    /// Takes what waits for these servers, in the order in which it came: a frame that came for several of them is one
    /// again.
    pub(crate) fn take(&mut self, servers: &[RouterId]) -> Vec<Travelling> {
        let of = |to: &RouterId| self.by_destination.range((*to, 0)..=(*to, u64::MAX));
        let numbers: BTreeSet<u64> = servers.iter().flat_map(of).map(|(_, number)| *number).collect();
        let mut frames: Vec<(Travelling, BTreeSet<RouterId>)> = Vec::new();
        for Waiting { to, frame, .. } in numbers.into_iter().filter_map(|number| self.remove(number)) {
            let joined = frames.last_mut().is_some_and(|(last, dst)| *last == frame && dst.insert(to));
            if !joined {
                frames.push((frame, BTreeSet::from([to])));
            }
        }
        let addressed = |(mut frame, dst): (Travelling, BTreeSet<RouterId>)| {
            frame.head.dst = dst.into_iter().collect();
            frame
        };
        frames.into_iter().map(addressed).collect()
    }

    /// Takes what has waited too long.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<Waiting> {
        let mut gone = Vec::new();
        while let Some((number, entry)) = self.waiting.first_key_value() {
            if entry.until > now {
                break;
            }
            let number = *number;
            gone.extend(self.remove(number));
        }
        gone
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|(_, entry)| entry.until)
    }

    /// What waits, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::OURSELVES;
    use bytes::Bytes;
    use darkchat_proto::{Class, RouteHead};

    fn frame(id: u64, len: usize) -> Travelling {
        let origin = RouterId(1);
        let head =
            RouteHead { origin, id, ttl: 9, dst: vec![], class: Class::Channel, want_done: false, corr: 0 };
        Travelling { head, payload: Bytes::from(vec![0; len]), source: OURSELVES, from: None }
    }

    fn ids(entries: &[Waiting]) -> Vec<u64> {
        entries.iter().map(|entry| entry.frame.head.id).collect()
    }

    /// The frames that leave for these servers, each with where it goes.
    fn taken(limbo: &mut Limbo, servers: &[u64]) -> Vec<(u64, Vec<u64>)> {
        let servers: Vec<RouterId> = servers.iter().map(|server| RouterId(*server)).collect();
        let numbers = |dst: Vec<RouterId>| dst.into_iter().map(|server| server.0).collect();
        limbo.take(&servers).into_iter().map(|frame| (frame.head.id, numbers(frame.head.dst))).collect()
    }

    #[test]
    fn copies_of_a_frame_leave_as_one_and_all_leave_in_order() {
        let mut limbo = Limbo::new(10_000);
        for (id, to, len) in [(1, 3, 5), (1, 2, 5), (1, 4, 5), (2, 2, 5), (1, 2, 5), (1, 2, 5), (1, 3, 6)] {
            limbo.wait(Time::ZERO, RouterId(to), frame(id, len));
        }
        let (twice, another) = ((1, vec![2]), (1, vec![3]));
        assert_eq!(
            taken(&mut limbo, &[2, 3]),
            [(1, vec![2, 3]), (2, vec![2]), twice.clone(), twice, another],
            "a repeat is no copy, nor are other bytes under the same number"
        );
        assert_eq!(taken(&mut limbo, &[4]), [(1, vec![4])]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut limbo = Limbo::new(1_000);
        let gone: Vec<Waiting> =
            (0..9).flat_map(|id| limbo.wait(Time::ZERO, RouterId(id % 2), frame(id, 100))).collect();
        assert_eq!(ids(&gone), [4, 5, 6, 7, 8]);
        assert!(limbo.bytes() <= 1_000);
        assert_eq!(ids(&limbo.wait(Time::ZERO, RouterId(1), frame(77, 2_000))), [77], "it never fits");
        assert_eq!(taken(&mut limbo, &[1]), [(1, vec![1]), (3, vec![1])]);
        assert_eq!(limbo.destinations(), [RouterId(0)]);
        assert_eq!(taken(&mut limbo, &[0]), [(0, vec![0]), (2, vec![0])]);
        assert_eq!((limbo.bytes(), limbo.deadline()), (0, None));
        assert!(limbo.by_source.is_empty() && limbo.by_len.is_empty());
    }

    #[test]
    fn a_source_that_floods_takes_no_room_of_others() {
        let mut limbo = Limbo::new(10_000);
        let of = |source, id| Travelling { source: LinkId(source), ..frame(id, 100) };
        for id in 0..10 {
            assert!(limbo.wait(Time::ZERO, RouterId(1), of(1, id)).is_empty());
        }
        let gone: Vec<Waiting> =
            (100..300).flat_map(|id| limbo.wait(Time::ZERO, RouterId(1), of(2, id))).collect();
        assert!(ids(&gone).iter().all(|id| *id >= 100), "those of the first stay");
        assert_eq!(
            ids(&limbo.wait(Time::ZERO, RouterId(1), of(3, 7))),
            [132],
            "there is room for a third one"
        );
        let left = taken(&mut limbo, &[1]);
        assert_eq!((left.len(), left.iter().filter(|(id, _)| *id < 100).count()), (43, 11));
    }

    #[test]
    fn without_room_nothing_waits() {
        let mut limbo = Limbo::new(0);
        assert_eq!(ids(&limbo.wait(Time::ZERO, RouterId(1), frame(1, 0))), [1]);
    }

    #[test]
    fn what_waited_ten_seconds_goes() {
        let mut limbo = Limbo::new(10_000);
        limbo.wait(Time::ZERO, RouterId(1), frame(1, 10));
        limbo.wait(Time::from_millis(1), RouterId(1), frame(2, 10));
        assert_eq!(limbo.deadline(), Some(Time::ZERO + LIMBO_TIME));
        assert_eq!(ids(&limbo.expire(Time::ZERO + LIMBO_TIME)), [1]);
        assert_eq!(taken(&mut limbo, &[1]), [(2, vec![1])]);
    }

    #[test]
    fn a_server_is_just_lost_for_ten_seconds_or_until_it_is_back() {
        let mut limbo = Limbo::new(1);
        limbo.note(Time::ZERO, [RouterId(1), RouterId(2)].into_iter(), |_| false);
        assert!(limbo.is_just_lost(Time::from_millis(9_999), RouterId(1)));
        assert!(!limbo.is_just_lost(Time::from_millis(10_000), RouterId(1)));
        limbo.note(Time::from_millis(5), std::iter::empty(), |router| *router == RouterId(1));
        assert!(!limbo.is_just_lost(Time::from_millis(5), RouterId(1)));
        assert!(limbo.is_just_lost(Time::from_millis(5), RouterId(2)));
        limbo.note(Time::from_millis(20_000), std::iter::empty(), |_| false);
        assert!(limbo.lost.is_empty());
    }
}
