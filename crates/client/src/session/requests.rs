//! Questions to the server that are still open. Source: `docs/protocol.md`, section 4.2.

use super::direct::Parcel;
use darkchat_proto::{ChannelId, Time, UserId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long an answer is waited for (REQUEST_TIMEOUT).
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Open questions at once (REQUEST_TIMEOUT, outstanding).
const OUTSTANDING: usize = 256;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// To be taken into these channels.
    Join(Vec<ChannelId>),
    /// To be let out of this channel.
    Leave(ChannelId),
    /// To take a post of this channel's stream.
    Publish(ChannelId),
    /// To keep our bundle.
    SetBundle,
    /// Where this user's devices are.
    Lookup(UserId),
    /// To carry a packet.
    Packet(Parcel),
}

impl Asked {
    /// Whether `Ok` is an answer to it.
    pub(super) const fn is_done_or_not(&self) -> bool {
        !matches!(self, Self::Lookup(_) | Self::Packet(_))
    }
}

/// The open questions of one link.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<u32, Asked>,
    /// Deadlines in the order of asking, answered questions among them.
    deadlines: VecDeque<(Time, u32)>,
    last: u32,
}

impl Requests {
    /// Whether another question may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < OUTSTANDING
    }

    /// Opens a question and gives its number: not 0 and not in use.
    pub(super) fn ask(&mut self, now: Time, asked: Asked) -> u32 {
        self.last = self.last.wrapping_add(1);
        while self.last == 0 || self.open.contains_key(&self.last) {
            self.last = self.last.wrapping_add(1);
        }
        self.open.insert(self.last, asked);
        self.deadlines.push_back((now + REQUEST_TIMEOUT, self.last));
        self.last
    }

    /// The question that this number answers, if it is open. It is closed then.
    pub(super) fn answer(&mut self, re: u32) -> Option<Asked> {
        let asked = self.open.remove(&re);
        self.trim();
        asked
    }

    /// As [`answer`](Self::answer), if this is what was asked. A reply of another kind leaves the question open.
    pub(super) fn answer_to(&mut self, re: u32, asked: impl FnOnce(&Asked) -> bool) -> Option<Asked> {
        self.open.get(&re).is_some_and(asked).then(|| self.answer(re))?
    }

    /// A question whose time is over. It is closed then.
    pub(super) fn expired(&mut self, now: Time) -> Option<(u32, Asked)> {
        let (at, req) = *self.deadlines.front()?;
        if at > now {
            return None;
        }
        let asked = self.open.remove(&req);
        self.deadlines.pop_front();
        self.trim();
        asked.map(|asked| (req, asked))
    }

    /// When the oldest open question's time is over.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// Forgets all: the link is gone, and its answers with it.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.deadlines.clear();
    }

    /// Drops answered questions from the front, so that a deadline always stands for an open one; and from
    /// everywhere when they are most, so that one slow answer cannot pile up the others' deadlines.
    fn trim(&mut self) {
        while self.deadlines.front().is_some_and(|(_, req)| !self.open.contains_key(req)) {
            self.deadlines.pop_front();
        }
        if self.deadlines.len() > 2 * OUTSTANDING {
            self.deadlines.retain(|(_, req)| self.open.contains_key(req));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join() -> Asked {
        Asked::Join(Vec::new())
    }

    #[test]
    fn at_most_256_questions_are_open_and_one_slow_answer_piles_up_nothing() {
        let mut requests = Requests::default();
        let slow = requests.ask(Time::ZERO, join());
        for second in 1..100_000 {
            let req = requests.ask(Time::from_millis(second), join());
            assert!(requests.answer(req).is_some());
            assert!(requests.deadlines.len() <= 2 * OUTSTANDING + 1);
        }
        while requests.has_room() {
            requests.ask(Time::from_millis(1), join());
        }
        assert_eq!(requests.open.len(), 256);
        assert!(requests.answer(slow).is_some());
        assert!(requests.answer(slow).is_none(), "one question, one answer");
    }

    #[test]
    fn a_number_is_never_zero_and_never_used_twice_at_once() {
        let mut requests = Requests { last: u32::MAX - 1, ..Requests::default() };
        let numbers = [requests.ask(Time::ZERO, join()), requests.ask(Time::ZERO, join())];
        assert_eq!(numbers, [u32::MAX, 1]);
        requests.last = u32::MAX - 1;
        assert_eq!(requests.ask(Time::ZERO, join()), 2);
    }

    #[test]
    fn a_question_expires_after_ten_seconds_and_an_answered_one_does_not() {
        let mut requests = Requests::default();
        let first = requests.ask(Time::ZERO, join());
        let second = requests.ask(Time::from_millis(1), Asked::Leave(ChannelId::new([1; 32])));
        assert!(requests.answer(first).is_some());
        assert_eq!(requests.deadline(), Some(Time::from_millis(10_001)));
        assert_eq!(requests.expired(Time::from_millis(10_000)), None);
        let expired = requests.expired(Time::from_millis(10_001));
        assert!(expired.is_some_and(|(req, _)| req == second));
        assert_eq!(requests.deadline(), None);
    }
}
