//! Which frames were asked to be reported done, and by whom that is still owed. Source: `docs/protocol.md`, section 9.6.

use crate::LinkId;
use darkchat_proto::{RouterId, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long a report is waited for.
pub(crate) const DONE_TIMEOUT: Duration = Duration::from_secs(3);
/// The most frames with reports owed to one neighbour, and the most of our own; further ones are passed on and never
/// reported. Each has its own share: who has many lost takes nothing from the others.
const MAX_PENDING: usize = 1_024;

/// Where a frame went: for how many servers over which links, and whether some got nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hops {
    /// For each frame that left: the link, and the number of its destinations.
    frames: Vec<(LinkId, u32)>,
    /// The destinations whose copies have yet to leave.
    waiting: u32,
    lost: bool,
}

impl Hops {
    pub(crate) fn add(&mut self, link: LinkId, servers: u32) {
        self.frames.push((link, servers));
    }

    /// Some destination gets nothing.
    pub(crate) const fn lose(&mut self) {
        self.lost = true;
    }

    /// So many destinations get it in a moment, and nobody reports that.
    pub(crate) const fn wait(&mut self, servers: u32) {
        self.waiting = self.waiting.saturating_add(servers);
        self.lost |= servers > 0;
    }

    /// The destinations that it is on its way to.
    pub(crate) fn servers(&self) -> u32 {
        self.frames.iter().fold(self.waiting, |sum, (_, servers)| sum.saturating_add(*servers))
    }
}

/// Who is told when all copies of a frame are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The neighbour that the frame came from.
    Neighbour(LinkId),
    /// Ourselves: the frame was a shard of ours, with this number.
    Ours(u64),
}

impl Asker {
    /// The neighbour that asks; `None` if it is us.
    const fn neighbour(self) -> Option<LinkId> {
        match self {
            Self::Neighbour(link) => Some(link),
            Self::Ours(_) => None,
        }
    }
}

/// A frame whose reports are all in, or will not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) asker: Asker,
    pub(crate) origin: RouterId,
    pub(crate) id: u64,
    /// Whether every destination is done.
    pub(crate) complete: bool,
    /// The destinations that are.
    pub(crate) servers: u32,
}

#[derive(Debug)]
struct Pending {
    finished: Finished,
    /// The frames that are not done, each with the number of its destinations.
    waiting: Vec<(LinkId, u32)>,
    until: Time,
}

/// All frames with reports owed.
#[derive(Debug, Default)]
pub(crate) struct Dones {
    pending: BTreeMap<u64, Pending>,
    /// Two frames with one id may take one link, when their destinations were split before us: first in, first out.
    by_frame: BTreeMap<(RouterId, u64, LinkId), VecDeque<u64>>,
    by_time: BTreeSet<(Time, u64)>,
    /// How many are pending for each neighbour, and for ourselves.
    by_asker: BTreeMap<Option<LinkId>, usize>,
    next: u64,
}

impl Dones {
    /// Waits for the reports about a frame; the result at once if there is nothing to wait for.
    pub(crate) fn begin(
        &mut self,
        now: Time,
        asker: Asker,
        (origin, id): (RouterId, u64),
        hops: Hops,
    ) -> Option<Finished> {
        let finished = Finished { asker, origin, id, complete: !hops.lost, servers: 0 };
        let hopeless = hops.lost && matches!(asker, Asker::Neighbour(_));
        if hops.frames.is_empty() || hopeless {
            return Some(finished);
        }
        let pending = self.by_asker.entry(asker.neighbour()).or_default();
        if *pending >= MAX_PENDING {
            return Some(Finished { complete: false, ..finished });
        }
        *pending = pending.saturating_add(1);
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let until = now + DONE_TIMEOUT;
        for (link, _) in &hops.frames {
            self.by_frame.entry((origin, id, *link)).or_default().push_back(number);
        }
        self.by_time.insert((until, number));
        self.pending.insert(number, Pending { finished, waiting: hops.frames, until });
        None
    }

    /// A neighbour reports a frame done; the result if it was the last report.
    pub(crate) fn report(&mut self, link: LinkId, origin: RouterId, id: u64) -> Option<Finished> {
        let key = (origin, id, link);
        let numbers = self.by_frame.get_mut(&key)?;
        let number = numbers.pop_front()?;
        if numbers.is_empty() {
            self.by_frame.remove(&key);
        }
        let pending = self.pending.get_mut(&number)?;
        let place = pending.waiting.iter().position(|(waiting, _)| *waiting == link)?;
        let (_, servers) = pending.waiting.remove(place);
        pending.finished.servers = pending.finished.servers.saturating_add(servers);
        if pending.waiting.is_empty() { self.end(number) } else { None }
    }

    /// A link is gone: what it owes will not come.
    pub(crate) fn link_down(&mut self, link: LinkId) -> Vec<Finished> {
        let owes = |pending: &Pending| pending.waiting.iter().any(|(waiting, _)| *waiting == link);
        let touched: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| owes(pending)).map(|(number, _)| *number).collect();
        let mut finished = Vec::new();
        for number in touched {
            let Some(pending) = self.pending.get_mut(&number) else { continue };
            pending.finished.complete = false;
            let Finished { asker, origin, id, .. } = pending.finished;
            pending.waiting.retain(|(waiting, _)| *waiting != link);
            let ends = pending.waiting.is_empty() || matches!(asker, Asker::Neighbour(_));
            self.by_frame.remove(&(origin, id, link));
            if ends {
                finished.extend(self.end(number));
            }
        }
        finished
    }

    /// Gives up what was waited for too long.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<Finished> {
        let mut finished = Vec::new();
        while let Some((_, number)) = self.by_time.first().copied().filter(|(until, _)| *until <= now) {
            self.by_time.pop_first();
            finished.extend(self.end(number).map(|finished| Finished { complete: false, ..finished }));
        }
        finished
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(until, _)| *until)
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    fn end(&mut self, number: u64) -> Option<Finished> {
        let Pending { finished, waiting, until } = self.pending.remove(&number)?;
        self.by_time.remove(&(until, number));
        let asker = finished.asker.neighbour();
        if let Some(pending) = self.by_asker.get_mut(&asker) {
            *pending = pending.saturating_sub(1);
            if *pending == 0 {
                self.by_asker.remove(&asker);
            }
        }
        for (link, _) in waiting {
            let key = (finished.origin, finished.id, link);
            if let Some(numbers) = self.by_frame.get_mut(&key) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.by_frame.remove(&key);
                }
            }
        }
        Some(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: (RouterId, u64) = (RouterId(9), 77);

    fn hops(frames: &[(u64, u32)]) -> Hops {
        Hops {
            frames: frames.iter().map(|(link, servers)| (LinkId(*link), *servers)).collect(),
            ..Hops::default()
        }
    }

    fn upstream() -> Asker {
        Asker::Neighbour(LinkId(1))
    }

    #[test]
    fn a_frame_that_goes_nowhere_is_done_at_once() {
        let mut dones = Dones::default();
        let finished = dones.begin(Time::ZERO, upstream(), FRAME, Hops::default());
        assert!(finished.is_some_and(|finished| finished.complete));
    }

    #[test]
    fn a_frame_is_done_when_every_copy_is() {
        let mut dones = Dones::default();
        assert_eq!(dones.begin(Time::ZERO, upstream(), FRAME, hops(&[(2, 3), (3, 1)])), None);
        assert_eq!(dones.report(LinkId(2), FRAME.0, FRAME.1), None);
        assert_eq!(dones.report(LinkId(2), FRAME.0, FRAME.1), None, "one report a frame");
        let finished = dones.report(LinkId(3), FRAME.0, FRAME.1).unwrap();
        assert_eq!((finished.complete, finished.servers), (true, 4));
        assert_eq!((dones.len(), dones.by_frame.len(), dones.by_time.len()), (0, 0, 0));
        assert!(dones.by_asker.is_empty());
    }

    #[test]
    fn two_frames_of_one_id_over_one_link_are_two() {
        let mut dones = Dones::default();
        for from in [1, 2] {
            dones.begin(Time::ZERO, Asker::Neighbour(LinkId(from)), FRAME, hops(&[(5, 1)]));
        }
        let askers = [5, 5].map(|link| dones.report(LinkId(link), FRAME.0, FRAME.1).unwrap().asker);
        assert_eq!(askers, [Asker::Neighbour(LinkId(1)), Asker::Neighbour(LinkId(2))]);
    }

    #[test]
    fn a_lost_link_or_three_seconds_end_the_waiting() {
        let mut dones = Dones::default();
        dones.begin(Time::ZERO, Asker::Ours(1), FRAME, hops(&[(2, 3), (3, 1)]));
        assert_eq!(dones.link_down(LinkId(2)), []);
        let last = dones.report(LinkId(3), FRAME.0, FRAME.1).unwrap();
        assert_eq!((last.complete, last.servers), (false, 1));
        dones.begin(Time::ZERO, Asker::Ours(2), FRAME, hops(&[(2, 3)]));
        assert_eq!(dones.deadline(), Some(Time::ZERO + DONE_TIMEOUT));
        assert_eq!(dones.expire(Time::ZERO + DONE_TIMEOUT).len(), 1);
        assert_eq!((dones.len(), dones.by_frame.len(), dones.by_time.len()), (0, 0, 0));
    }

    #[test]
    fn reports_owed_are_bounded_for_each_neighbour_and_none_takes_the_room_of_another() {
        let mut dones = Dones::default();
        for id in 0..20_000 {
            dones.begin(Time::ZERO, upstream(), (RouterId(1), id), hops(&[(2, 1)]));
        }
        assert_eq!(dones.len(), MAX_PENDING);
        for asker in [Asker::Ours(1), Asker::Neighbour(LinkId(3))] {
            assert_eq!(dones.begin(Time::ZERO, asker, FRAME, hops(&[(2, 1)])), None, "{asker:?}");
        }
        for id in 0..20_000 {
            dones.begin(Time::ZERO, Asker::Ours(id), (RouterId(1), id), hops(&[(2, 1)]));
        }
        assert_eq!(dones.len(), 2 * MAX_PENDING + 1);
        assert_eq!(dones.expire(Time::ZERO + DONE_TIMEOUT).len(), 2 * MAX_PENDING + 1);
        assert!(dones.by_asker.is_empty());
        assert_eq!(dones.begin(Time::ZERO, upstream(), FRAME, hops(&[(2, 1)])), None, "there is room again");
    }
}
