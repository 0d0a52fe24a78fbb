//! What of a client's session outlives its link, and how the next link goes on with it. Source: `docs/protocol.md`, 5.4.

use crate::frames::Frames;
use crate::queue::{Counted, Item, OURSELVES, Owed};
use crate::session::Session;
use crate::{Event, LinkId, Node, SendClass};
use darkchat_proto::{Code, Features, Resume, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What a session keeps of frames without an acknowledgement, in bytes; also all that waits while its link is lost.
pub(crate) const RING: usize = 256 << 10;
/// The same in frames: as many as may wait for a client, so that tiny ones cannot take more room than large ones.
const RING_FRAMES: usize = 4_096;
/// How long a frame is kept after it went out first.
pub(crate) const RING_AGE: Duration = Duration::from_secs(10);

/// The frames of one session that went out and are not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    runs: VecDeque<(Time, Frames)>,
    frames: usize,
    bytes: usize,
    /// The frames of the session before the first one here.
    before: u64,
    /// Whether the session can be resumed at all.
    is_on: bool,
}

impl Ring {
    /// Keeps frames from now on; `before` frames of the session were there already.
    pub(crate) const fn start(&mut self, before: u64) {
        self.is_on = true;
        self.before = before;
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many runs all that is kept is.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// All frames of the session that went out.
    fn count(&self) -> u64 {
        self.before.saturating_add(u64::try_from(self.frames).unwrap_or(u64::MAX))
    }

    /// Whether a client that has processed so many frames lacks none but those that are here and not too old.
    pub(crate) fn reaches(&self, now: Time, received: u64) -> bool {
        let is_old = |(at, _): &&(Time, Frames)| now.saturating_since(*at) >= RING_AGE;
        let old = self.runs.iter().take_while(is_old).map(|(_, frames)| frames.count()).sum::<usize>();
        let old = u64::try_from(old).unwrap_or(u64::MAX);
        self.is_on && (self.before.saturating_add(old)..=self.count()).contains(&received)
    }

    /// A frame goes out.
    pub(crate) fn put_out(&mut self, now: Time, frame: &Frames, item: &Item) {
        let at = match item.counted {
            Counted::Yes => now,
            Counted::Again(at) => at,
            Counted::No => return,
        };
        if !self.is_on {
            return;
        }
        self.bytes = self.bytes.saturating_add(item.len());
        self.frames = self.frames.saturating_add(1);
        let behind = self.runs.back_mut().filter(|(last, _)| *last == at);
        if !behind.is_some_and(|(_, frames)| frames.append(frame)) {
            self.runs.push_back((at, frame.clone()));
            self.age(now);
        }
        while self.bytes > RING || self.frames > RING_FRAMES {
            self.forget();
        }
    }

    /// The client has processed so many frames of the session. More than went out is a lie that harms only itself.
    pub(crate) fn acked(&mut self, received: u64) {
        let known = received.min(self.count());
        while self.before < known && self.frames > 0 {
            self.forget();
        }
    }

    /// Forgets what went out too long ago.
    pub(crate) fn age(&mut self, now: Time) {
        while self.runs.front().is_some_and(|(at, _)| now.saturating_since(*at) >= RING_AGE) {
            self.forget();
        }
    }

    /// Takes no more memory than a ring that was never used, if it is empty.
    pub(crate) fn shrink(&mut self) {
        if self.runs.is_empty() {
            self.runs = VecDeque::new();
        }
    }

    /// Forgets the older half: a client that loses its link lacks the newest ones, if any.
    pub(crate) fn halve(&mut self) {
        for _ in 0..self.frames.div_ceil(2) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let Some((_, frames)) = self.runs.front_mut() else { return };
        if let Some(len) = frames.skip_first() {
            self.bytes = self.bytes.saturating_sub(len);
            self.frames = self.frames.saturating_sub(1);
            self.before = self.before.saturating_add(1);
        }
        if frames.count() == 0 {
            self.runs.pop_front();
        }
    }

    pub(crate) fn oldest(&self) -> Option<Time> {
        self.runs.front().map(|(at, _)| *at)
    }

    /// Takes the frames after the first `received` of the session, as they go again, and says what is done with the
    /// copies: of those that went out the last `unflushed` are still owed.
    pub(crate) fn again(&mut self, received: u64, unflushed: usize) -> Again {
        let is_copy = |item: &Item| item.owed == Owed::Session;
        let copies = self.iter().filter(|(_, item)| is_copy(item)).count();
        let mut again = Again { done: unflushed.saturating_sub(copies), ..Again::default() };
        let mut flushed = copies.saturating_sub(unflushed);
        let mut number = self.before;
        for (at, item) in self.iter() {
            number = number.saturating_add(1);
            let mut owed = Owed::Nothing;
            if is_copy(item) {
                let was_flushed = flushed > 0;
                flushed = flushed.saturating_sub(1);
                if number <= received {
                    again.done = again.done.saturating_add(usize::from(!was_flushed));
                } else {
                    again.resent = again.resent.saturating_add(1);
                    owed = if was_flushed { Owed::Nothing } else { Owed::Session };
                }
            }
            if number > received {
                let (class, source, counted) = (SendClass::Control, OURSELVES, Counted::Again(at));
                again.items.push(Item { class, source, owed, counted, ..item.clone() });
            }
        }
        self.runs = VecDeque::new();
        (self.frames, self.bytes) = (0, 0);
        again
    }

    /// The frames that are kept, and when each went out first.
    fn iter(&self) -> impl Iterator<Item = (Time, &Item)> {
        self.runs.iter().flat_map(|(at, frames)| frames.items().map(|item| (*at, item)))
    }
}

/// What a lost link leaves to the next one.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// The frames that the client lacks, in their order.
    pub(crate) items: Vec<Item>,
    /// Copies that it has, though nobody told us that they had left.
    pub(crate) done: usize,
    /// The messages among `items`.
    pub(crate) resent: u64,
}

/// Sessions without a link, and when they end. Many may be lost in one moment, and all of them end or come back.
#[derive(Debug, Default)]
pub(crate) struct Away {
    by_time: BTreeSet<(Time, LinkId)>,
    until: BTreeMap<LinkId, Time>,
}

impl Away {
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(until, _)| *until)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    fn insert(&mut self, link: LinkId, until: Time) {
        self.remove(link);
        self.until.insert(link, until);
        self.by_time.insert((until, link));
    }

    fn remove(&mut self, link: LinkId) {
        if let Some(until) = self.until.remove(&link) {
            self.by_time.remove(&(until, link));
        }
    }

    /// The one that ends first.
    fn first(&self) -> Option<(Time, LinkId)> {
        self.by_time.first().copied()
    }
}

impl Node {
    /// Whether sessions on this link can be resumed.
    pub(crate) fn resumes(&self, link: LinkId) -> bool {
        let features = self.links.get(link).map(|link| link.about.features);
        !self.config.resume.is_zero() && features.is_some_and(|both| both.contains(Features::RESUME))
    }

    /// A link is lost. Keeps its client's session for a while, if that is promised to it.
    pub(crate) fn keep_session(&mut self, link: LinkId, why: Code) -> bool {
        let Some(session) = self.sessions.get(link).filter(|session| session.token.is_some()) else {
            return false;
        };
        let user = session.user;
        if self.draining || !self.links.leave_alone(&mut self.cx, link, why) {
            return false;
        }
        self.away.insert(link, self.cx.now + self.config.resume);
        self.cx.event(Event::ClientDown { link, user, why });
        true
    }

    /// Ends a session whose client did not come back, or came back without it.
    pub(crate) fn end_away(&mut self, link: LinkId) {
        self.away.remove(link);
        if self.links.forget(&mut self.cx, link) {
            self.session_ended(link);
        }
    }

    pub(crate) fn expire_away(&mut self) {
        while let Some((_, link)) = self.away.first().filter(|(at, _)| *at <= self.cx.now) {
            self.end_away(link);
        }
    }

    /// Lets the session go that has been without a link for longest, so that somebody who is there has room.
    pub(crate) fn make_room_for_client(&mut self) {
        if let Some((_, link)) = self.away.first() {
            self.end_away(link);
        }
    }

    /// The link of the session that this client may go on with: its own, by a token that was not used.
    pub(crate) fn resumable(&self, link: LinkId, old: LinkId, resume: &Resume) -> bool {
        let session = self.sessions.get(old);
        self.resumes(link)
            && session.is_some_and(|session| session.token.is_some_and(|token| token == resume.token))
            && self.links.get(old).is_some_and(|old| old.reaches(self.cx.now, resume.received))
    }

    /// A new link goes on with the session of another one, which may still stand.
    pub(crate) fn resume(&mut self, link: LinkId, old: LinkId, received: u64) {
        let Some(mut session) = self.sessions.remove(old) else { return };
        let (user, received_from) = (session.user, session.received);
        session.token = Some(self.cx.rng.next_16());
        let stood = self.links.kind(old).is_some();
        self.away.remove(old);
        self.channels_move(&session, old, link);
        self.joins.rename(old, link);
        self.sessions.insert(link, session);
        if stood {
            self.cx.event(Event::ClientDown { link: old, user, why: Code::Conflict });
        }
        self.welcome_client(link, Some(received_from));
        self.links.go_on_from(&mut self.cx, old, link, received);
        if stood {
            self.close(old, Code::Conflict);
        }
        self.cx.event(Event::ClientUp { link, user });
    }

    fn channels_move(&mut self, session: &Session, old: LinkId, link: LinkId) {
        let Some(slot) = self.links.slot(link) else { return };
        for channel in &session.channels {
            self.channels.rename(channel, old, link, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn copy(len: usize) -> Item {
        let item = Item::control(Bytes::new(), Bytes::from(vec![0; len]));
        Item { owed: Owed::Session, counted: Counted::Yes, ..item }
    }

    fn put_out(ring: &mut Ring, now: Time, item: Item) {
        let frame = Frames::one(item);
        ring.put_out(now, &frame, frame.first().unwrap());
    }

    fn ring(frames: usize, len: usize) -> Ring {
        let mut ring = Ring::default();
        ring.start(0);
        for _ in 0..frames {
            put_out(&mut ring, Time::ZERO, copy(len));
        }
        ring
    }

    #[test]
    fn sessions_without_a_link_end_in_the_order_in_which_they_were_left() {
        let mut away = Away::default();
        let at = Time::from_millis;
        for (link, until) in [(3, 10), (1, 20), (2, 10), (1, 5)] {
            away.insert(LinkId(link), at(until));
        }
        assert_eq!(
            (away.len(), away.first()),
            (3, Some((at(5), LinkId(1)))),
            "one end a session, the newest"
        );
        for link in [1, 9, 2] {
            away.remove(LinkId(link));
        }
        assert_eq!((away.len(), away.first(), away.deadline()), (1, Some((at(10), LinkId(3))), Some(at(10))));
    }

    #[test]
    fn a_ring_keeps_256_kib_and_4096_frames_and_forgets_the_oldest() {
        let large = ring(100, 10_000);
        assert_eq!((large.frames, large.bytes(), large.before), (26, 260_000, 74));
        let many = ring(10_000, 1);
        assert_eq!((many.frames, many.count()), (RING_FRAMES, 10_000));
        let reaches = |received| many.reaches(Time::ZERO, received);
        assert!(reaches(10_000) && reaches(5_904) && !reaches(5_903) && !reaches(10_001));
        assert!(many.reaches(Time::from_millis(10_000), 10_000), "what it has needs no ring");
        assert!(!many.reaches(Time::from_millis(10_000), 9_999), "too old to go again");
    }

    #[test]
    fn what_is_acknowledged_or_ten_seconds_old_goes_and_a_lie_is_not_believed() {
        let mut ring = ring(10, 100);
        ring.acked(4);
        assert_eq!((ring.frames, ring.bytes()), (6, 600));
        ring.acked(u64::MAX);
        assert_eq!((ring.count(), ring.bytes()), (10, 0));
        put_out(&mut ring, Time::from_millis(1), copy(1));
        ring.age(Time::from_millis(10_000));
        assert_eq!(ring.frames, 1);
        ring.age(Time::from_millis(10_001));
        assert_eq!((ring.frames, ring.count()), (0, 11));
    }

    #[test]
    fn what_goes_again_is_what_lacks_and_each_copy_is_accounted_for_once() {
        // Ten went out, four of them were not flushed; the client has eight.
        let again = ring(10, 100).again(8, 4);
        assert_eq!((again.items.len(), again.done, again.resent), (2, 2, 2));
        assert!(again.items.iter().all(|item| item.owed == Owed::Session), "still owed");
        // The client lacks what has left for the network: delivered already, so owed no more.
        let again = ring(10, 100).again(3, 2);
        let owed = again.items.iter().filter(|item| item.owed == Owed::Session).count();
        assert_eq!((again.items.len(), owed, again.done, again.resent), (7, 2, 0, 7));
    }

    #[test]
    fn a_ring_that_nobody_asked_for_takes_nothing() {
        let mut off = Ring::default();
        put_out(&mut off, Time::ZERO, copy(100));
        assert_eq!((off.runs.capacity(), off.bytes(), off.reaches(Time::ZERO, 0)), (0, 0, false));
    }
}
