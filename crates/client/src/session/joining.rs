//! Joining and leaving channels, and being in them again after a reconnect.

use super::receiving::entries;
use super::requests::{Asked, REQUEST_TIMEOUT};
use super::stream::{OwnStream, Waiting};
use super::{Event, Failure, Membership, Session, Ticket};
use crate::message::{Cause, Missed};
use bytes::Bytes;
use darkchat_proto::limits::MAX_JOIN;
use darkchat_proto::{
    ChannelId, ChannelName, Code, Done, Entry, EntryKind, Frame, Kind, Refusal, Time, UserName,
};
use std::time::Duration;

/// How long to wait after a refusal for the rate that gives no advice.
pub(super) const RATE_RETRY: Duration = Duration::from_secs(1);

impl Session {
    pub(super) fn join(&mut self, now: Time, ticket: Ticket, name: ChannelName, as_name: Option<UserName>) {
        let id = ChannelId::of(&self.network, &name);
        let deadline = now + REQUEST_TIMEOUT;
        let full = self.channels.is_full();
        let as_name = as_name.unwrap_or_else(|| self.name.clone());
        let why = match self.channels.get_mut(&id) {
            _ if self.connection.is_ended() || self.leave_by.is_some() => Failure::Closed,
            Some(channel) if is_leaving(&channel.membership) && channel.again.is_none() => {
                channel.again = Some((ticket, deadline, as_name));
                return;
            }
            Some(_) => Failure::AlreadyJoined,
            None if full => Failure::Full,
            None => return self.want(id, name, ticket, deadline, as_name),
        };
        self.event(Event::JoinFailed { ticket: Some(ticket), channel: id, why });
    }

    fn want(&mut self, id: ChannelId, name: ChannelName, ticket: Ticket, deadline: Time, as_name: UserName) {
        self.channels.insert(id, name, Some((ticket, deadline)));
        self.own.insert(id, OwnStream::new(id, self.random.non_zero(), as_name));
    }

    pub(super) fn speak(&mut self, id: &ChannelId, name: &UserName) {
        self.private.speak(id, name);
        for channel in self.private.generations(id).iter().chain([id]) {
            if let Some(stream) = self.own.get_mut(channel) {
                stream.name.clone_from(name);
            }
        }
    }

    /// Asks for what is wanted: one question for up to 1,024 channels.
    pub(super) fn ask_joins(&mut self, now: Time) {
        if !self.seals {
            self.refuse_sealed();
        }
        while self.leave_by.is_none() && self.requests.has_room() {
            let channels = self.channels.wanted(now, MAX_JOIN);
            if channels.is_empty() {
                return;
            }
            let req = self.requests.ask(now, Asked::Join(channels.clone()));
            for id in &channels {
                self.channels.set(*id, Membership::Asked(req));
            }
            self.write(now, &Frame::asking(req, Kind::Join { channels, wait_spread: true }));
        }
    }

    /// The server took us into these channels.
    pub(super) fn joined(&mut self, now: Time, req: u32, channels: Vec<ChannelId>, done: Done) {
        for id in channels {
            let Some(channel) =
                self.channels.get_mut(&id).filter(|one| one.membership == Membership::Asked(req))
            else {
                continue;
            };
            let again = std::mem::replace(&mut channel.was_joined, true);
            self.channels.set(id, Membership::Joined);
            let ticket = self.channels.answered(id);
            self.event(Event::Joined { ticket, channel: id, spread: done.spread });
            if ticket.is_some() {
                self.entered(now, &id);
            }
            if again {
                let missed = Missed { from: None, count: None, cause: Cause::Reconnect };
                self.event(Event::Missed { channel: id, missed });
            }
            if let Some(stream) = self.own.get_mut(&id) {
                stream.open = true;
            }
            if self.private.is_current(&id) {
                self.members.joined(now, self.private.outer(&id), self.announce);
            }
            for (post_id, post) in self.early.take(&id) {
                self.post(now, id, post_id, post);
            }
        }
        self.say_here(now);
    }

    /// The server did not take us into these channels.
    pub(super) fn not_joined(&mut self, now: Time, req: u32, channels: Vec<ChannelId>, refusal: &Refusal) {
        let retry = Duration::from_millis(refusal.retry_ms.into());
        let limited = refusal.code == Code::RateLimited;
        if limited {
            self.channels.hold(now + if retry.is_zero() { RATE_RETRY } else { retry });
        }
        for id in channels {
            if self.channels.get(&id).is_none_or(|one| one.membership != Membership::Asked(req)) {
                continue;
            }
            if limited {
                self.channels.set(id, Membership::Wanted);
            } else {
                self.join_failed(
                    id,
                    Failure::Refused { code: refusal.code, retry: Some(retry).filter(|it| !it.is_zero()) },
                );
            }
        }
    }

    /// A channel is lost, or was never reached: whoever waits for something there gets an answer.
    pub(super) fn join_failed(&mut self, id: ChannelId, why: Failure) {
        let ticket = self.channels.answered(id);
        let Some(channel) = self.drop_channel(id, why) else { return };
        match channel.membership {
            Membership::Draining(ticket) | Membership::Leaving(ticket) => {
                if let Some(ticket) = ticket {
                    self.event(Event::Left { ticket, channel: id });
                }
                if let Some((ticket, ..)) = channel.again {
                    self.event(Event::JoinFailed { ticket: Some(ticket), channel: id, why });
                }
            }
            _ => self.event(Event::JoinFailed { ticket, channel: id, why }),
        }
        if ticket.is_some() {
            self.entering_failed(id, why);
        } else {
            self.generation_gone(id, why);
        }
    }

    /// Forgets a channel and all of its state; what it still had to send fails.
    fn drop_channel(&mut self, id: ChannelId, why: Failure) -> Option<super::channels::Channel> {
        for ticket in self.own.remove(&id) {
            self.send_failed(ticket, why);
        }
        self.forget_posts(id);
        if !self.private.is_generation(&id) {
            self.members.left(id);
        }
        self.channels.remove(&id)
    }

    /// Posts of a channel that still wait for their turn are not wanted any more.
    fn forget_posts(&mut self, id: ChannelId) {
        let held = self.order.forget(id);
        let early: Vec<_> = self.early.take(&id);
        let entries = held + early.iter().map(|(_, post)| entries(post)).sum::<u64>();
        self.stats.ignored = self.stats.ignored.saturating_add(entries);
    }

    /// Joins that took too long are given up, and undone at the server.
    pub(super) fn expire_joins(&mut self, now: Time) {
        self.channels.resume(now);
        while let Some(id) = self.channels.expired(now) {
            let asked = self.channels.get(&id).is_some_and(|one| one.membership != Membership::Wanted);
            self.join_failed(id, Failure::TimedOut);
            if asked && self.connection.is_up() {
                self.write(now, &Frame::from(Kind::Leave { channels: vec![id] }));
            }
        }
    }

    pub(super) fn leave(&mut self, now: Time, ticket: Ticket, id: ChannelId) {
        if self.private.is_private(&id) {
            self.leave_private(now, ticket, id);
        } else {
            self.leave_one(now, Some(ticket), id);
        }
    }

    /// Leaves one generation of a private channel, about which nobody is told anything.
    pub(super) fn leave_quietly(&mut self, id: ChannelId) {
        match self.channels.get(&id).map(|channel| channel.membership.clone()) {
            None | Some(Membership::Draining(_) | Membership::Leaving(_)) => {}
            Some(Membership::Wanted) => {
                self.channels.set(id, Membership::Leaving(None));
                self.left(id);
            }
            Some(Membership::Asked(_) | Membership::Joined) => {
                self.forget_posts(id);
                self.channels.set(id, Membership::Draining(None));
            }
        }
    }

    /// Leaves a channel of the server's, which may be one generation of a private channel; nobody may wait for it.
    pub(super) fn leave_one(&mut self, now: Time, ticket: Option<Ticket>, id: ChannelId) {
        match self.channels.get(&id).map(|channel| channel.membership.clone()) {
            None | Some(Membership::Draining(_) | Membership::Leaving(_)) => {
                if let Some(ticket) = ticket {
                    self.event(Event::Left { ticket, channel: id });
                }
            }
            Some(Membership::Wanted) => {
                self.channels.set(id, Membership::Leaving(ticket));
                self.left(id);
            }
            Some(Membership::Asked(_) | Membership::Joined) => {
                if let Some(joining) = self.channels.answered(id) {
                    let why = Failure::NotJoined;
                    self.event(Event::JoinFailed { ticket: Some(joining), channel: id, why });
                }
                self.forget_posts(id);
                // A generation that is left for a later one is not left by the user.
                if self.private.is_current(&id) && self.members.left(self.private.outer(&id)) {
                    self.announce(now, id, EntryKind::Part);
                }
                self.channels.set(id, Membership::Draining(ticket));
            }
        }
    }

    /// Tells the server of the channels whose last posts are out.
    pub(super) fn finish_leaves(&mut self, now: Time) {
        for id in self.channels.draining() {
            let Some(Membership::Draining(ticket)) = self.channels.get(&id).map(|one| one.membership.clone())
            else {
                continue;
            };
            let open = self.own.get_mut(&id).is_some_and(|stream| stream.open);
            if (open && !self.own.is_idle(&id)) || !self.requests.has_room() {
                continue;
            }
            self.channels.set(id, Membership::Leaving(ticket));
            let req = self.requests.ask(now, Asked::Leave(id));
            self.write(now, &Frame::asking(req, Kind::Leave { channels: vec![id] }));
        }
    }

    /// A channel is left for good, unless somebody wants it again.
    pub(super) fn left(&mut self, id: ChannelId) {
        let Some(channel) = self.drop_channel(id, Failure::NotJoined) else { return };
        if let Membership::Draining(Some(ticket)) | Membership::Leaving(Some(ticket)) = channel.membership {
            self.event(Event::Left { ticket, channel: id });
        }
        self.generation_gone(id, Failure::NotJoined);
        if let Some((ticket, deadline, as_name)) = channel.again {
            self.want(id, channel.name, ticket, deadline, as_name);
        }
    }

    /// Says in every channel where it is time that we are there, as far as the budget goes; others get none.
    pub(super) fn say_here(&mut self, now: Time) {
        while let Some(id) = self.members.due(now, &mut self.random) {
            if self.budgets.take_here(now).is_ok() {
                self.announce(now, id, EntryKind::Here);
                self.members.said(id);
            }
        }
    }

    /// Says in every channel where we said that we are there that we go.
    pub(super) fn say_part(&mut self, now: Time) {
        for id in self.channels.ids() {
            let is_current = self.private.is_current(&id);
            if is_current && self.members.left(self.private.outer(&id)) && self.budgets.take_here(now).is_ok()
            {
                self.announce(now, id, EntryKind::Part);
            }
        }
    }

    fn announce(&mut self, now: Time, id: ChannelId, kind: EntryKind) {
        let waiting = Waiting { ticket: None, entry: Entry::new(kind, Bytes::new()), since: now };
        // A full queue has entries that say the same: that we are there.
        let _full = self.own.push(self.private.inner(&id), waiting);
    }
}

const fn is_leaving(membership: &Membership) -> bool {
    matches!(membership, Membership::Draining(_) | Membership::Leaving(_))
}
