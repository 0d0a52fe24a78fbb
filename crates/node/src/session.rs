//! What a connected client has joined, published and been refused. Source: `docs/protocol.md`, sections 5.1 and 5.2.

use crate::limits::{Bucket, ClientBudgets, RATE_WAIT, advice};
use crate::seen::Recent;
use crate::{LinkId, Profile};
use darkchat_proto::{ChannelId, DeviceId, SessionId, Time, UserId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

/// The most channels of a session.
pub(crate) const MAX_CHANNELS: usize = 16_384;
/// So many refusals for rate in [`REFUSALS_TIME`] end a link.
const REFUSALS: usize = 10;
const REFUSALS_TIME: Duration = Duration::from_secs(60);

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
    joins: Bucket,
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
        let Self { user, device, id, channels, token: _, received, recent: _, joins: _, refusals: _ } = self;
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
        Self {
            user,
            device,
            id,
            token: None,
            received: 0,
            channels: BTreeSet::new(),
            recent: Recent::default(),
            joins: Bucket::new(ClientBudgets::of(profile).joins),
            refusals: VecDeque::new(),
        }
    }

    /// Counts channels joined or left.
    pub(crate) fn pace_joins(&mut self, now: Time, channels: usize) -> Pace {
        let tokens = u64::try_from(channels).unwrap_or(u64::MAX);
        let wait = self.joins.wait(now, tokens);
        if wait > RATE_WAIT {
            return Pace::Refuse(advice(wait));
        }
        self.joins.take(now, tokens);
        if wait.is_zero() { Pace::Go } else { Pace::PauseUntil(now + wait) }
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
    by_link: BTreeMap<LinkId, Session>,
    by_device: BTreeMap<(UserId, DeviceId), LinkId>,
}

impl Sessions {
    /// Takes a session in; the link of the one that it replaces.
    pub(crate) fn insert(&mut self, link: LinkId, session: Session) -> Option<LinkId> {
        let older = self.by_device.insert((session.user, session.device), link);
        self.by_link.insert(link, session);
        older
    }

    /// Ends a session.
    pub(crate) fn remove(&mut self, link: LinkId) -> Option<Session> {
        let session = self.by_link.remove(&link)?;
        let key = (session.user, session.device);
        if self.by_device.get(&key) == Some(&link) {
            self.by_device.remove(&key);
        }
        Some(session)
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Session> {
        self.by_link.get(&link)
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Session> {
        self.by_link.get_mut(&link)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Session)> {
        self.by_link.iter().map(|(link, session)| (*link, session))
    }

    /// The link of the session of this device of this user.
    pub(crate) fn of_device(&self, user: UserId, device: DeviceId) -> Option<LinkId> {
        self.by_device.get(&(user, device)).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_link.len()
    }
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
    fn ten_refusals_in_a_minute_are_too_many() {
        let mut session = session(1, 1);
        assert!(!(0..9).any(|second| session.refuse_for_rate(Time::from_millis(second * 1_000))));
        assert!(session.refuse_for_rate(Time::from_millis(9_000)));
        assert!(!session.refuse_for_rate(Time::from_millis(69_000)), "most of them are long ago");
    }
}
