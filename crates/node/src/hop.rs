//! One hop between two servers, made sure of: both count routes, and the sender keeps what was not counted yet (9.6).

use crate::frames::Frames;
use crate::limits::{Bucket, PeerBudgets, Rate};
use crate::queue::Item;
use darkchat_proto::limits::MAX_FRAME;
use darkchat_proto::{Announced, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// What is kept at most: a window, so that nothing is ever sent that could not be sent again by another way.
const KEPT_FRAMES: usize = 4_096;
const KEPT_BYTES: usize = 4 << 20;
/// A count is told after so many frames, or so long after the first of them.
const TELL_FRAMES: u64 = 64;
const TELL_AFTER: Duration = Duration::from_millis(50);
/// Without a count for what was flushed, a link is dead after eight round trips, within these bounds.
const STALL_TRIPS: u32 = 8;
const MIN_STALL: Duration = Duration::from_secs(2);
const MAX_STALL: Duration = Duration::from_secs(10);
/// How much of a new measure goes into the round trip: an eighth, as in RFC 6298.
const SMOOTHING: u32 = 8;

/// A sender keeps to this share of what the other side takes, in percent, so that nothing is dropped there.
const SHARE: u64 = 90;
/// A burst stands to its rate as in the budgets of a peer: four seconds of frames, and two of bytes and destinations.
const FRAMES_BURST: u64 = 4;
const BYTES_BURST: u64 = 2;
const DESTINATIONS_BURST: u64 = 2;

/// How fast a neighbour may be sent something. Source: section 10.1.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    frames: Bucket,
    bytes: Bucket,
    destinations: Bucket,
}

impl Pace {
    /// What the other side announced; where it said nothing, it is taken to have the same budgets as we.
    pub(crate) fn new(announced: &Announced, own: &PeerBudgets) -> Self {
        let per_s = |announced: u32, own: Rate| if announced == 0 { own.per_s } else { announced.into() };
        let rate = |per_s: u64, burst: u64, least: u64| {
            let per_s = (per_s.saturating_mul(SHARE) / 100).max(1);
            Bucket::new(Rate { per_s, burst: per_s.saturating_mul(burst).max(least) })
        };
        Self {
            frames: rate(per_s(announced.frames_per_s, own.frames), FRAMES_BURST, 1),
            bytes: rate(per_s(announced.bytes_per_s, own.bytes), BYTES_BURST, bytes(MAX_FRAME)),
            // Nobody announces it: the other side is taken to have the same as we.
            destinations: rate(own.destinations.per_s, DESTINATIONS_BURST, 1),
        }
    }

    fn wait(&self, now: Time, len: usize, destinations: u16) -> Duration {
        let wait = self.frames.wait(now, 1).max(self.bytes.wait(now, bytes(len)));
        wait.max(self.destinations.wait(now, destinations.into()))
    }

    fn take(&mut self, now: Time, len: usize, destinations: u16) {
        self.frames.take(now, 1);
        self.bytes.take(now, bytes(len));
        self.destinations.take(now, destinations.into());
    }
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A neighbour counts frames that it was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Miscounted;

/// A frame that is out and not counted yet.
#[derive(Debug)]
struct Kept {
    /// The one that the driver has as well: it takes no more of the memory than that.
    frame: Frames,
    flushed: Option<Time>,
}

impl Kept {
    fn len(&self) -> usize {
        self.frame.bytes()
    }
}

/// Both directions of a peer link.
#[derive(Debug)]
pub(crate) struct Hop {
    /// The routes that came on this link, and how many of them the other side was told.
    received: u64,
    told: u64,
    tell_at: Option<Time>,
    /// The routes that went out and were not counted, oldest first.
    kept: VecDeque<Kept>,
    /// How many went out, left for the network, and were counted by the other side, since the link came up.
    put_out: u64,
    flushed: u64,
    counted: u64,
    /// Of those kept: all bytes, and those that are with the driver no longer.
    bytes: usize,
    flushed_bytes: usize,
    /// When the other side counted something last.
    progress: Time,
    /// The last ping, and when it went out.
    ping: (u64, Time),
    is_answered: bool,
    /// Since when a sign of life is waited for, because another link fell silent.
    doubted: Option<Time>,
    round_trip: Option<Duration>,
    pace: Pace,
    /// When what waits only for its turn may go.
    resumes: Option<Time>,
}

impl Hop {
    pub(crate) const fn new(now: Time, pace: Pace) -> Self {
        Self {
            received: 0,
            told: 0,
            tell_at: None,
            kept: VecDeque::new(),
            put_out: 0,
            flushed: 0,
            counted: 0,
            bytes: 0,
            flushed_bytes: 0,
            progress: now,
            ping: (0, now),
            is_answered: true,
            doubted: None,
            round_trip: None,
            pace,
            resumes: None,
        }
    }

    // ---- what we receive

    /// A route came and was dealt with. What to tell the other side, if it is to be told at once.
    pub(crate) fn receive(&mut self, now: Time) -> Option<u64> {
        self.received = self.received.saturating_add(1);
        if self.received.saturating_sub(self.told) >= TELL_FRAMES {
            return Some(self.tell());
        }
        self.tell_at.get_or_insert(now + TELL_AFTER);
        None
    }

    /// What to tell the other side, if its time has come.
    pub(crate) fn tell_due(&mut self, now: Time) -> Option<u64> {
        self.tell_at.is_some_and(|at| at <= now).then(|| self.tell())
    }

    fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.tell_at = None;
        self.received
    }

    // ---- what we send

    /// Whether one more route of this length may go out.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.kept.is_empty()
            || (self.kept.len() < KEPT_FRAMES && self.bytes.saturating_add(len) <= KEPT_BYTES)
    }

    /// Whether the other side takes one more frame of this length and for so many destinations now; if not, it is tried
    /// again in time.
    pub(crate) fn may_send(&mut self, now: Time, len: usize, destinations: u16) -> bool {
        let wait = self.pace.wait(now, len, destinations);
        self.resumes = (!wait.is_zero()).then(|| now + wait);
        wait.is_zero()
    }

    /// A frame of any kind goes out.
    pub(crate) fn spend(&mut self, now: Time, len: usize, destinations: u16) {
        self.pace.take(now, len, destinations);
    }

    /// Whether something waited for its turn, which has come.
    pub(crate) fn resumes(&mut self, now: Time) -> bool {
        self.resumes.take_if(|at| *at <= now).is_some()
    }

    /// A route goes out.
    pub(crate) fn keep(&mut self, now: Time, frame: Frames) {
        if self.kept.is_empty() {
            self.progress = now;
        }
        self.put_out = self.put_out.saturating_add(1);
        let kept = Kept { frame, flushed: None };
        self.bytes = self.bytes.saturating_add(kept.len());
        self.kept.push_back(kept);
    }

    /// The oldest route that is out with the driver left for the network. The other side may have counted it already.
    pub(crate) fn flush(&mut self, now: Time) {
        let place = self.flushed.checked_sub(self.counted).and_then(|place| usize::try_from(place).ok());
        if let Some(kept) = place.and_then(|place| self.kept.get_mut(place)) {
            kept.flushed = Some(now);
            self.flushed_bytes = self.flushed_bytes.saturating_add(kept.len());
        }
        self.flushed = self.flushed.saturating_add(1);
    }

    /// The other side has counted so many routes since the link came up: they are kept no longer.
    pub(crate) fn count(&mut self, now: Time, received: u64) -> Result<Vec<Frames>, Miscounted> {
        if received > self.put_out {
            return Err(Miscounted);
        }
        let newly = received.saturating_sub(self.counted);
        let newly = usize::try_from(newly).unwrap_or(usize::MAX).min(self.kept.len());
        if newly > 0 {
            self.counted = received;
            self.progress = now;
        }
        let done: Vec<Kept> = self.kept.drain(..newly).collect();
        for kept in &done {
            self.forget(kept);
        }
        Ok(done.into_iter().map(|kept| kept.frame).collect())
    }

    fn forget(&mut self, kept: &Kept) {
        let len = kept.len();
        self.bytes = self.bytes.saturating_sub(len);
        if kept.flushed.is_some() {
            self.flushed_bytes = self.flushed_bytes.saturating_sub(len);
        }
    }

    /// All that was not counted, oldest first: the link is over.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Item> + use<> {
        (self.bytes, self.flushed_bytes) = (0, 0);
        self.counted = self.put_out;
        std::mem::take(&mut self.kept).into_iter().filter_map(|kept| kept.frame.first().cloned())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What is kept and not with the driver any more, in bytes.
    pub(crate) const fn held(&self) -> usize {
        self.flushed_bytes
    }

    // ---- signs of life

    /// A ping goes out.
    pub(crate) const fn ping(&mut self, now: Time, nonce: u64) {
        self.ping = (nonce, now);
        self.is_answered = false;
    }

    /// A pong came.
    pub(crate) fn pong(&mut self, now: Time, nonce: u64) {
        let (asked, at) = self.ping;
        if self.is_answered || asked != nonce {
            return;
        }
        self.is_answered = true;
        self.doubted = None;
        let took = now.saturating_since(at);
        self.round_trip = Some(match self.round_trip {
            Some(before) => (before.saturating_mul(SMOOTHING - 1).saturating_add(took)) / SMOOTHING,
            None => took,
        });
    }

    /// A sign of life is waited for from now on; whether a ping must go out for it.
    pub(crate) fn doubt(&mut self, now: Time) -> bool {
        self.doubted.get_or_insert(now);
        self.is_answered
    }

    /// Since when a sign of life is waited for.
    pub(crate) const fn doubted(&self) -> Option<Time> {
        self.doubted
    }

    /// When a ping went out last.
    pub(crate) const fn pinged(&self) -> Time {
        self.ping.1
    }

    /// The time of a way there and back, smoothed; `None` before the first pong.
    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// When the link counts as dead, if nothing is counted until then.
    ///
    /// The time begins anew with each count: a slow link that carries on is not dead.
    pub(crate) fn dead_at(&self) -> Option<Time> {
        let flushed = self.kept.front()?.flushed?;
        Some(flushed.max(self.progress) + self.stall())
    }

    /// How long the other side may leave unanswered what was sent.
    pub(crate) fn stall(&self) -> Duration {
        let trips = self.round_trip.unwrap_or_default().saturating_mul(STALL_TRIPS);
        trips.clamp(MIN_STALL, MAX_STALL)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.tell_at, self.dead_at(), self.resumes].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use bytes::Bytes;

    const MS: Duration = Duration::from_millis(1);

    fn new_hop() -> Hop {
        Hop::new(Time::ZERO, Pace::new(&Announced::default(), &PeerBudgets::of(Profile::Trusted)))
    }

    fn route(len: usize) -> Frames {
        Frames::one(Item { destinations: 1, ..Item::control(Bytes::new(), Bytes::from(vec![0; len])) })
    }

    #[test]
    fn a_count_is_told_after_64_frames_or_50_milliseconds() {
        let mut hop = new_hop();
        assert!((1..64).all(|_| hop.receive(Time::ZERO).is_none()));
        assert_eq!(hop.receive(Time::ZERO), Some(64));
        assert_eq!(hop.deadline(), None, "there is nothing left to tell");
        assert_eq!(hop.receive(Time::from_millis(7)), None);
        assert_eq!(hop.tell_due(Time::from_millis(56)), None);
        assert_eq!(hop.deadline(), Some(Time::from_millis(57)));
        assert_eq!(hop.tell_due(Time::from_millis(57)), Some(65));
    }

    #[test]
    fn what_was_counted_is_kept_no_longer_and_the_rest_in_order() {
        let mut hop = new_hop();
        for len in 1..=4 {
            hop.keep(Time::ZERO, route(len));
        }
        (0..3).for_each(|_| hop.flush(Time::ZERO));
        assert_eq!(hop.held(), 6);
        let lens = |frames: Vec<Frames>| frames.iter().map(Frames::bytes).collect::<Vec<_>>();
        assert_eq!(hop.count(Time::ZERO, 2).map(lens), Ok(vec![1, 2]));
        assert_eq!(hop.count(Time::ZERO, 1).map(lens), Ok(vec![]), "an older count says nothing new");
        assert_eq!(hop.count(Time::ZERO, 5).map(lens), Err(Miscounted));
        assert_eq!(hop.held(), 3);
        assert_eq!(hop.take().map(|item| item.len()).collect::<Vec<_>>(), [3, 4]);
        assert_eq!((hop.held(), hop.bytes, hop.is_empty()), (0, 0, true));
    }

    #[test]
    fn a_count_may_come_before_the_driver_says_that_it_has_written() {
        let mut hop = new_hop();
        hop.keep(Time::ZERO, route(5));
        hop.keep(Time::ZERO, route(7));
        assert_eq!(hop.count(Time::ZERO, 1).map(|items| items.len()), Ok(1));
        hop.flush(Time::ZERO);
        assert_eq!((hop.held(), hop.dead_at()), (0, None), "the second one is not flushed yet");
        hop.flush(Time::ZERO);
        assert_eq!(hop.held(), 7);
        assert_eq!(hop.count(Time::ZERO, 2).map(|items| items.len()), Ok(1));
        assert_eq!(hop.held(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded_in_frames_and_bytes() {
        let mut hop = new_hop();
        while hop.has_room(1) {
            hop.keep(Time::ZERO, route(1));
        }
        assert_eq!(hop.kept.len(), KEPT_FRAMES);
        let mut hop = new_hop();
        while hop.has_room(60_000) {
            hop.keep(Time::ZERO, route(60_000));
        }
        assert!(hop.bytes <= KEPT_BYTES && hop.bytes > KEPT_BYTES - 60_000);
    }

    #[test]
    fn a_silent_link_is_dead_after_two_seconds_or_eight_round_trips_and_at_most_ten_seconds() {
        for (trip, stall) in [(10, 2_000), (250, 2_000), (500, 4_000), (3_000, 10_000)] {
            let mut hop = new_hop();
            hop.ping(Time::ZERO, 9);
            hop.pong(Time::ZERO + MS * trip, 9);
            hop.keep(Time::ZERO, route(1));
            assert_eq!(hop.dead_at(), None, "it has not left yet");
            hop.flush(Time::from_millis(100));
            assert_eq!(hop.dead_at(), Some(Time::from_millis(100 + stall)), "round trip {trip} ms");
        }
    }

    #[test]
    fn a_link_that_counts_on_is_not_dead_however_slow_it_is() {
        let mut hop = new_hop();
        for second in 0..20 {
            hop.keep(Time::from_millis(second * 1_000), route(1));
            hop.keep(Time::from_millis(second * 1_000), route(1));
            hop.flush(Time::from_millis(second * 1_000));
            hop.flush(Time::from_millis(second * 1_000));
            assert!(hop.count(Time::from_millis(second * 1_000), second).is_ok());
            assert!(
                hop.dead_at().is_some_and(|at| at > Time::from_millis(second * 1_000 + 1_500)),
                "{second}"
            );
        }
    }

    #[test]
    fn round_trips_are_smoothed_and_only_a_ping_of_ours_counts() {
        let mut hop = new_hop();
        hop.pong(Time::from_millis(5), 0);
        assert_eq!(hop.round_trip(), None);
        hop.ping(Time::ZERO, 7);
        hop.pong(Time::from_millis(80), 8);
        hop.pong(Time::from_millis(80), 7);
        hop.pong(Time::from_millis(90), 7);
        assert_eq!(hop.round_trip(), Some(MS * 80));
        hop.ping(Time::from_millis(100), 9);
        hop.pong(Time::from_millis(260), 9);
        assert_eq!(hop.round_trip(), Some(MS * 90));
    }

    #[test]
    fn a_neighbour_is_sent_nine_tenths_of_what_it_announced_or_of_what_we_take() {
        let own = PeerBudgets::of(Profile::Public);
        let announced = Announced { frames_per_s: 100, bytes_per_s: 1_000, ..Announced::default() };
        let mut told = Hop::new(Time::ZERO, Pace::new(&announced, &own));
        let mut sent = 0;
        while told.may_send(Time::ZERO, 1, 1) {
            told.spend(Time::ZERO, 1, 1);
            sent += 1;
        }
        assert_eq!((sent, told.deadline()), (360, told.resumes));
        assert!(!told.resumes(Time::from_millis(11)) && told.resumes(Time::from_millis(12)));
        assert!(
            told.may_send(Time::from_millis(1_000), 1, 1)
                && !told.may_send(Time::from_millis(1_000), 100_000, 1)
        );
        let mut untold = Hop::new(Time::ZERO, Pace::new(&Announced::default(), &own));
        let sent = (0..).take_while(|_| {
            let may = untold.may_send(Time::ZERO, 1, 1);
            untold.spend(Time::ZERO, 1, 1);
            may
        });
        assert_eq!(sent.count(), 18_000);
    }

    #[test]
    fn who_is_sent_routes_for_many_destinations_is_sent_no_more_than_it_takes() {
        let own = PeerBudgets::of(Profile::Public);
        let mut hop = Hop::new(Time::ZERO, Pace::new(&Announced::default(), &own));
        let sent = (0..).take_while(|_| {
            let may = hop.may_send(Time::ZERO, 1, 256);
            hop.spend(Time::ZERO, 1, 256);
            may
        });
        assert_eq!(sent.count(), 360_000 / 256, "two seconds of nine tenths of 200,000");
    }
}
