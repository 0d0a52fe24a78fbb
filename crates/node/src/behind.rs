//! What goes behind our next record: what lost links had not delivered for sure, and messages whose way has got longer by
//! such losses (9.6).

use crate::queue::Item;
use crate::router::Travelling;
use darkchat_proto::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// How long something waits here, from when the first of all began to: twice what a record waits for further losses.
const RECORD_TIME: Duration = Duration::from_millis(100);
/// The most bytes of lost links that wait to be sent by another way: four full rings and their queues.
const MAX_KEPT: usize = 48 << 20;
/// The most bytes of messages that wait, beyond which they go at once: nothing of lost links gives way to them.
const MAX_WAITING: usize = 8 << 20;
/// What an entry takes beside its payload and its destinations, in bytes.
const ENTRY: usize = 128;

/// All of it. What lost links kept was sent before anything that waits for the same destinations came.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    kept: VecDeque<Item>,
    kept_bytes: usize,
    waiting: VecDeque<Travelling>,
    waiting_bytes: usize,
    /// When all goes that is here.
    until: Option<Time>,
    /// The map, by its generation, that was looked at for what may go, if nothing of lost links came since.
    looked: Option<u64>,
    /// The map with which something waited until the end: nothing else waits for that.
    in_vain: Option<u64>,
}

/// What a message takes while it waits, in bytes.
fn size(travelling: &Travelling) -> usize {
    let destinations = size_of_val(travelling.head.dst.as_slice());
    travelling.payload.len().saturating_add(destinations).saturating_add(ENTRY)
}

impl Behind {
    /// Keeps what a lost link had not delivered for sure; whatever there is no room for comes back.
    pub(crate) fn keep(&mut self, now: Time, items: Vec<Item>) -> Vec<Item> {
        let mut over = Vec::new();
        for item in items {
            if self.kept_bytes.saturating_add(item.len()) > MAX_KEPT {
                over.push(item);
                continue;
            }
            self.kept_bytes = self.kept_bytes.saturating_add(item.len());
            self.kept.push_back(item);
            self.until.get_or_insert(now + RECORD_TIME);
            self.looked = None;
        }
        over
    }

    /// Lets a message wait, if there is room; else it comes back.
    pub(crate) fn wait(&mut self, now: Time, travelling: Travelling) -> Option<Travelling> {
        if self.waiting_bytes.saturating_add(size(&travelling)) > MAX_WAITING {
            return Some(travelling);
        }
        self.until.get_or_insert(now + RECORD_TIME);
        self.wait_on(travelling);
        None
    }

    /// Lets a message wait that has waited before.
    pub(crate) fn wait_on(&mut self, travelling: Travelling) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(size(&travelling));
        self.waiting.push_back(travelling);
    }

    /// Whether something here may go that could not before, or its time is over.
    pub(crate) fn is_to_look(&self, now: Time, generation: u64) -> bool {
        !self.is_empty() && (self.looked != Some(generation) || self.is_over(now))
    }

    /// Whether all goes, whatever the records say.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether something has waited in vain with this map.
    pub(crate) fn is_in_vain(&self, generation: u64) -> bool {
        self.in_vain == Some(generation)
    }

    /// The map of this generation is looked at; `is_over` says that all goes.
    pub(crate) const fn look(&mut self, generation: u64, is_over: bool) {
        self.looked = Some(generation);
        if is_over {
            (self.in_vain, self.until) = (Some(generation), None);
        }
    }

    /// Takes what lost links left behind.
    pub(crate) fn take_kept(&mut self) -> VecDeque<Item> {
        self.kept_bytes = 0;
        std::mem::take(&mut self.kept)
    }

    /// Takes the messages that wait.
    pub(crate) fn take_waiting(&mut self) -> VecDeque<Travelling> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// What may go has gone.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.until = None;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.waiting.is_empty()
    }

    pub(crate) const fn deadline(&self) -> Option<Time> {
        self.until
    }

    /// What is here, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.kept_bytes.saturating_add(self.waiting_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::OURSELVES;
    use bytes::Bytes;
    use darkchat_proto::{Class, RouteHead, RouterId};

    fn message(len: usize) -> Travelling {
        let (origin, dst) = (RouterId(1), vec![RouterId(2)]);
        let head = RouteHead { origin, id: 1, ttl: 9, dst, class: Class::Channel, want_done: false, corr: 0 };
        Travelling { head, payload: Bytes::from(vec![0; len]), source: OURSELVES, from: None }
    }

    fn frames(count: usize, len: usize) -> Vec<Item> {
        let body = Bytes::from(vec![0; len]);
        (0..count).map(|_| Item::control(Bytes::new(), body.clone())).collect()
    }

    #[test]
    fn what_lost_links_leave_behind_is_bounded_and_nothing_that_waits_takes_its_room() {
        let mut behind = Behind::default();
        let long = message(1 << 20);
        let waiting = (0..50).filter(|_| behind.wait(Time::ZERO, long.clone()).is_none()).count();
        assert_eq!(waiting, 7, "eight megabytes with what lists take");
        assert_eq!(behind.keep(Time::ZERO, frames(50, 1 << 20)).len(), 2);
        assert!(behind.bytes() <= 56 << 20);
        assert_eq!((behind.take_kept().len(), behind.take_waiting().len()), (48, 7));
        assert_eq!(behind.bytes(), 0);
        let small = (0..100_000).filter(|_| behind.wait(Time::ZERO, message(1)).is_none()).count();
        assert!(small < 70_000, "entries count: {small}");
    }

    #[test]
    fn the_time_of_what_is_here_begins_with_the_first_of_it() {
        let (mut behind, at) = (Behind::default(), Time::from_millis);
        assert_eq!(behind.deadline(), None);
        assert!(behind.wait(at(5), message(1)).is_none());
        assert!(behind.keep(at(50), frames(1, 1)).is_empty());
        assert_eq!(
            (behind.deadline(), behind.is_over(at(104)), behind.is_over(at(105))),
            (Some(at(105)), false, true)
        );
        // All goes, because records say what they should.
        behind.look(1, false);
        assert_eq!((behind.take_kept().len(), behind.take_waiting().len()), (1, 1));
        behind.rest();
        assert_eq!(behind.deadline(), None);
        assert!(behind.wait(at(70), message(1)).is_none());
        assert_eq!(behind.deadline(), Some(at(170)));
        // Some of it stays.
        behind.look(2, false);
        behind.take_waiting().into_iter().for_each(|message| behind.wait_on(message));
        behind.rest();
        assert_eq!(behind.deadline(), Some(at(170)));
        // All goes, because its time is over.
        behind.look(3, true);
        assert_eq!((behind.deadline(), behind.is_in_vain(3), behind.is_in_vain(4)), (None, true, false));
    }

    #[test]
    fn a_map_is_looked_at_once_and_again_when_a_link_is_lost() {
        let mut behind = Behind::default();
        assert!(!behind.is_to_look(Time::ZERO, 1), "nothing is here");
        assert!(behind.wait(Time::ZERO, message(1)).is_none());
        assert!(behind.is_to_look(Time::ZERO, 1));
        behind.look(1, false);
        assert!(behind.wait(Time::ZERO, message(1)).is_none());
        assert!(!behind.is_to_look(Time::ZERO, 1) && behind.is_to_look(Time::ZERO, 2));
        assert!(behind.is_to_look(Time::from_millis(100), 1));
        assert!(behind.keep(Time::ZERO, frames(1, 1)).is_empty());
        assert!(behind.is_to_look(Time::ZERO, 1), "its loss may be told already");
    }
}
