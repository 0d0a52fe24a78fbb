//! What a connected client has joined, published and been refused. Source: `docs/protocol.md`, sections 5.1 and 5.2.

use crate::limits::{Bucket, ClientBudgets, RATE_WAIT, advice};
use crate::seen::Recent;
use crate::{LinkId, Profile};
use bytes::Bytes;
use darkchat_proto::{Bundle, ChannelId, DeviceId, SessionId, Time, UserId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

/// The most channels of a session.
pub(crate) const MAX_CHANNELS: usize = 16_384;
/// So many refusals for rate in [`REFUSALS_TIME`] end a link.
const REFUSALS: usize = 10;
const REFUSALS_TIME: Duration = Duration::from_secs(60);

/// What a session said of where its device is.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    pub(crate) bundle: Bundle,
    /// The encoded `Signed`, as it came and as it goes on.
    pub(crate) signed: Bytes,
}

/// One client's session.
pub(crate) struct Session {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) id: SessionId,
    pub(crate) channels: BTreeSet<ChannelId>,
    /// What resumes it, once; none if it cannot be resumed.
    pub(crate) token: Option<[u8; 16]>,
    /// The frames of the session that were processed.
    pub(crate) received: u64,
    /// Its last accepted posts.
    pub(crate) recent: Recent,
    /// Its device's bundle, once it was set.
    pub(crate) inbox: Option<Box<Inbox>>,
    /// The packets that it sent and was not answered about.
    pub(crate) unanswered: usize,
    joins: Bucket,
    lookups: Bucket,
    packets: Bucket,
    calls: Bucket,
    /// When it was refused for rate, the last times.
    refusals: VecDeque<Time>,
}

/// What a budget of the node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Go on.
    Go,
    /// Go on, but read no more from this client before that time.
    PauseUntil(Time),
    /// Refuse, with this advice in milliseconds.
    Refuse(u32),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, device, id, channels, received, .. } = self;
        f.debug_struct("Session")
            .field("user", user)
            .field("device", device)
            .field("id", id)
            .field("channels", &channels.len())
            .field("received", received)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(user: UserId, device: DeviceId, id: SessionId, profile: Profile) -> Self {
        let budgets = ClientBudgets::of(profile);
        Self {
            user,
            device,
            id,
            token: None,
            received: 0,
            channels: BTreeSet::new(),
            recent: Recent::default(),
            inbox: None,
            unanswered: 0,
            joins: Bucket::new(budgets.joins),
            lookups: Bucket::new(budgets.lookups),
            packets: Bucket::new(budgets.packets),
            calls: Bucket::new(budgets.calls),
            refusals: VecDeque::new(),
        }
    }

    /// Counts channels joined or left.
    pub(crate) fn pace_joins(&mut self, now: Time, channels: usize) -> Pace {
        let tokens = u64::try_from(channels).unwrap_or(u64::MAX);
        Self::take(now, &mut [(&mut self.joins, tokens)])
    }

    /// Counts a lookup.
    pub(crate) fn pace_lookup(&mut self, now: Time) -> Pace {
        Self::take(now, &mut [(&mut self.lookups, 1)])
    }

    /// Counts a packet; one that begins a handshake counts as such, too.
    pub(crate) fn pace_packet(&mut self, now: Time, is_call: bool) -> Pace {
        let packets = (&mut self.packets, 1);
        // Who has called too much may still talk to those that answered.
        if is_call {
            Self::take(now, &mut [packets, (&mut self.calls, 1)])
        } else {
            Self::take(now, &mut [packets])
        }
    }

    /// Takes from all buckets or from none. What is over by no more than 2 s passes, and then nothing is read meanwhile.
    fn take(now: Time, from: &mut [(&mut Bucket, u64)]) -> Pace {
        let wait = from.iter().map(|(bucket, tokens)| bucket.wait(now, *tokens)).max().unwrap_or_default();
        if wait > RATE_WAIT {
            return Pace::Refuse(advice(wait));
        }
        for (bucket, tokens) in from {
            bucket.take(now, *tokens);
        }
        if wait.is_zero() { Pace::Go } else { Pace::PauseUntil(now + wait) }
    }

    /// Itself, as the one who waits for the answer to a request.
    pub(crate) const fn asking(&self, req: u32) -> Asker {
        Asker { user: self.user, device: self.device, session: self.id, req }
    }

    /// Counts a refusal for rate; whether it is one too many.
    pub(crate) fn refuse_for_rate(&mut self, now: Time) -> bool {
        self.refusals.retain(|at| now.saturating_since(*at) < REFUSALS_TIME);
        self.refusals.push_back(now);
        self.refusals.len() >= REFUSALS
    }
}

/// All sessions: one a link, and one a user's device.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Boxed: a map keeps room for nearly twice what is in it.
    by_link: BTreeMap<LinkId, Box<Session>>,
    by_device: BTreeMap<(UserId, DeviceId), LinkId>,
}

impl Sessions {
    /// Takes a session in; the link of the one that it replaces.
    pub(crate) fn insert(&mut self, link: LinkId, session: Session) -> Option<LinkId> {
        let older = self.by_device.insert((session.user, session.device), link);
        self.by_link.insert(link, Box::new(session));
        older
    }

    /// Ends a session.
    pub(crate) fn remove(&mut self, link: LinkId) -> Option<Session> {
        let session = self.by_link.remove(&link)?;
        let key = (session.user, session.device);
        if self.by_device.get(&key) == Some(&link) {
            self.by_device.remove(&key);
        }
        Some(*session)
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Session> {
        self.by_link.get(&link).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Session> {
        self.by_link.get_mut(&link).map(Box::as_mut)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Session)> {
        self.by_link.iter().map(|(link, session)| (*link, session.as_ref()))
    }

    /// The link of the session of this device of this user.
    pub(crate) fn of_device(&self, user: UserId, device: DeviceId) -> Option<LinkId> {
        self.by_device.get(&(user, device)).copied()
    }

    /// The session that this device of this user has, if it is still that one.
    pub(crate) fn of_asker(&self, asker: &Asker) -> Option<LinkId> {
        let link = self.of_device(asker.user, asker.device)?;
        self.get(link).is_some_and(|session| session.id == asker.session).then_some(link)
    }

    /// The sessions of a user.
    pub(crate) fn of_user(&self, user: UserId) -> impl Iterator<Item = &Session> {
        let (first, last) = (DeviceId::new([0; 16]), DeviceId::new([0xFF; 16]));
        self.by_device.range((user, first)..=(user, last)).filter_map(|(_, link)| self.get(*link))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_link.len()
    }
}

/// Who asked something that takes a while: a session, which may go on with another link meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) session: SessionId,
    pub(crate) req: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(user: u8, device: u8) -> Session {
        let (user, device, id) =
            (UserId::new([user; 32]), DeviceId::new([device; 16]), SessionId::new([1; 16]));
        Session::new(user, device, id, Profile::Public)
    }

    #[test]
    fn one_session_a_device_and_the_newer_one_stays() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.insert(LinkId(1), session(1, 1)), None);
        assert_eq!(sessions.insert(LinkId(2), session(1, 2)), None, "another device");
        assert_eq!(sessions.insert(LinkId(3), session(1, 1)), Some(LinkId(1)));
        sessions.remove(LinkId(1));
        assert_eq!(
            sessions.insert(LinkId(4), session(1, 1)),
            Some(LinkId(3)),
            "the newer one is still known"
        );
    }

    #[test]
    fn joins_over_the_budget_pause_the_reader_and_then_are_refused() {
        let mut session = session(1, 1);
        assert_eq!(session.pace_joins(Time::ZERO, 16_384), Pace::Go);
        assert_eq!(session.pace_joins(Time::ZERO, 500), Pace::PauseUntil(Time::from_millis(1_000)));
        assert_eq!(session.pace_joins(Time::ZERO, 1_024), Pace::Refuse(3_049));
        assert_eq!(
            session.pace_joins(Time::from_millis(1_000), 1_000),
            Pace::PauseUntil(Time::from_millis(3_000))
        );
    }

    #[test]
    fn packets_have_a_budget_and_those_that_call_another_one_beside_it() {
        let mut session = session(1, 1);
        let mut call = |ms| session.pace_packet(Time::from_millis(ms), true);
        for ms in [0, 5_000, 10_000] {
            assert!((0..100).all(|_| call(ms) == Pace::Go));
        }
        assert!((0..15).all(|_| call(15_000) == Pace::Go), "300 and one a second since");
        assert_eq!(call(15_000), Pace::PauseUntil(Time::from_millis(16_000)));
        assert_eq!(call(15_000), Pace::PauseUntil(Time::from_millis(17_000)));
        assert_eq!(call(15_000), Pace::Refuse(3_001));
        let mut packet = || session.pace_packet(Time::from_millis(15_000), false);
        assert!((0..83).all(|_| packet() == Pace::Go), "a refused one took none");
        assert_eq!(packet(), Pace::PauseUntil(Time::from_millis(15_050)));
        let mut look_up = || session.pace_lookup(Time::from_millis(15_000));
        assert!((0..20).all(|_| look_up() == Pace::Go));
        assert_eq!(look_up(), Pace::PauseUntil(Time::from_millis(15_200)));
    }

    #[test]
    fn the_sessions_of_a_user_are_its_own_and_one_that_was_replaced_is_not_answered() {
        let mut sessions = Sessions::default();
        for (link, user, device) in [(1, 1, 0), (2, 1, 0xFF), (3, 2, 0), (4, 0, 0xFF)] {
            sessions.insert(LinkId(link), session(user, device));
        }
        let devices: Vec<DeviceId> =
            sessions.of_user(UserId::new([1; 32])).map(|session| session.device).collect();
        assert_eq!(devices, [DeviceId::new([0; 16]), DeviceId::new([0xFF; 16])]);
        let asker = sessions.get(LinkId(1)).unwrap().asking(7);
        assert_eq!(sessions.of_asker(&asker), Some(LinkId(1)));
        assert_eq!(sessions.of_asker(&Asker { session: SessionId::new([9; 16]), ..asker }), None);
    }

    #[test]
    fn ten_refusals_in_a_minute_are_too_many() {
        let mut session = session(1, 1);
        assert!(!(0..9).any(|second| session.refuse_for_rate(Time::from_millis(second * 1_000))));
        assert!(session.refuse_for_rate(Time::from_millis(9_000)));
        assert!(!session.refuse_for_rate(Time::from_millis(69_000)), "most of them are long ago");
    }
}
