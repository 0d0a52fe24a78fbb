//! The channels that the user wants to be in. Source: `docs/protocol.md`, section 5.2.

use super::Ticket;
use darkchat_proto::{ChannelId, ChannelName, Time, UserName};
use std::collections::{BTreeMap, BTreeSet};

/// Channels of one session (CHANNELS_PER_SESSION).
pub(crate) const CHANNELS: usize = 16_384;

/// How far a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Membership {
    /// Wanted, and not asked for on this link yet.
    Wanted,
    /// Asked for under this number.
    Asked(u32),
    /// In it.
    Joined,
    /// Left by the user: what was sent before goes out first.
    Draining(Option<Ticket>),
    /// Left by the user, and the server told so.
    Leaving(Option<Ticket>),
}

/// A channel that the user is in, wants to be in, or is leaving.
#[derive(Debug)]
pub(super) struct Channel {
    pub name: ChannelName,
    pub membership: Membership,
    /// Who waits for the first join, and until when.
    pub joining: Option<(Ticket, Time)>,
    /// Whether it was joined before, on an earlier link perhaps.
    pub was_joined: bool,
    /// Who wants it again, under which name, while it is still being left.
    pub again: Option<(Ticket, Time, UserName)>,
}

/// The channels of the session, and those among them with something to do.
#[derive(Debug, Default)]
pub(super) struct Channels {
    all: BTreeMap<ChannelId, Channel>,
    wanted: BTreeSet<ChannelId>,
    draining: BTreeSet<ChannelId>,
    /// Joins that the user waits for, by their deadline.
    joining: BTreeSet<(Time, ChannelId)>,
    /// After a refusal for the rate: when to ask again.
    hold_until: Option<Time>,
}

impl Channels {
    pub(super) fn get(&self, id: &ChannelId) -> Option<&Channel> {
        self.all.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &ChannelId) -> Option<&mut Channel> {
        self.all.get_mut(id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= CHANNELS
    }

    /// A new channel, and who waits for it until when.
    pub(super) fn insert(&mut self, id: ChannelId, name: ChannelName, joining: Option<(Ticket, Time)>) {
        let channel =
            Channel { name, membership: Membership::Wanted, joining, was_joined: false, again: None };
        self.all.insert(id, channel);
        self.wanted.insert(id);
        self.joining.extend(joining.map(|(_, deadline)| (deadline, id)));
    }

    /// Moves a channel on; the sets follow.
    pub(super) fn set(&mut self, id: ChannelId, membership: Membership) {
        let Some(channel) = self.all.get_mut(&id) else { return };
        set_if(&mut self.wanted, id, membership == Membership::Wanted);
        set_if(&mut self.draining, id, matches!(membership, Membership::Draining(_)));
        channel.membership = membership;
    }

    /// Nobody waits for the join any more: it is answered.
    pub(super) fn answered(&mut self, id: ChannelId) -> Option<Ticket> {
        let (ticket, deadline) = self.all.get_mut(&id)?.joining.take()?;
        self.joining.remove(&(deadline, id));
        Some(ticket)
    }

    pub(super) fn remove(&mut self, id: &ChannelId) -> Option<Channel> {
        self.answered(*id);
        self.wanted.remove(id);
        self.draining.remove(id);
        self.all.remove(id)
    }

    pub(super) fn ids(&self) -> Vec<ChannelId> {
        self.all.keys().copied().collect()
    }

    /// Channels to ask for, at most `max`; none while asking is held.
    pub(super) fn wanted(&self, now: Time, max: usize) -> Vec<ChannelId> {
        if self.hold_until.is_some_and(|until| until > now) {
            return Vec::new();
        }
        self.wanted.iter().take(max).copied().collect()
    }

    /// Channels whose last posts are going out.
    pub(super) fn draining(&self) -> Vec<ChannelId> {
        self.draining.iter().copied().collect()
    }

    /// Asks no more before `until`.
    pub(super) const fn hold(&mut self, until: Time) {
        self.hold_until = Some(until);
    }

    /// The next join that nobody waits for any longer.
    pub(super) fn expired(&self, now: Time) -> Option<ChannelId> {
        self.joining.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Ends a hold whose time is over.
    pub(super) fn resume(&mut self, now: Time) {
        self.hold_until = self.hold_until.filter(|until| *until > now);
    }

    /// When a join's time is over, or joins may be asked for again.
    pub(super) fn deadline(&self) -> Option<Time> {
        let hold = if self.wanted.is_empty() { None } else { self.hold_until };
        hold.into_iter().chain(self.joining.first().map(|(at, _)| *at)).min()
    }
}

fn set_if(set: &mut BTreeSet<ChannelId>, id: ChannelId, member: bool) {
    if member {
        set.insert(id);
    } else {
        set.remove(&id);
    }
}
