//! Making, entering and leaving private channels, and following them from generation to generation.

use super::line::Line;
use super::{PRIVATE_CHANNELS, Private, PrivateError, Privates, SavedChannel, telling};
use crate::session::requests::REQUEST_TIMEOUT;
use crate::session::stream::OwnStream;
use crate::session::{Change, Event, Failure, Session, Ticket};
use darkchat_crypto::group::{Group, GroupError, Writer};
use darkchat_proto::limits::{MAX_ADDR_TEXT, MAX_INVITE_SERVERS};
use darkchat_proto::{ChannelId, ChannelName, Invite, Time, UserId, UserName};
use std::collections::BTreeMap;

/// What a private channel is to be.
///
/// ```
/// use darkchat_client::Charter;
/// let by_link = Charter::default();
/// assert!(by_link.members.is_none()); // who has the invitation is in it
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain wishes, made with `..Charter::default()`")]
pub struct Charter {
    /// The members beside the user, at most 255; `None` where everybody with the invitation is one.
    pub members: Option<Vec<UserId>>,
    /// Who may change the secret beside the user, at most 7. Where there is a member list they are on it.
    pub admins: Vec<UserId>,
    /// Where the channel is found, as address texts, at most 4: the invitation says it.
    pub servers: Vec<String>,
}

impl From<GroupError> for PrivateError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::TooOld { .. } => Self::TooOld,
            GroupError::OtherNetwork => Self::OtherNetwork,
            _ => Self::TooManyMembers,
        }
    }
}

impl Private {
    fn new(line: Line, name: ChannelName, as_name: UserName, servers: Vec<String>) -> Self {
        Self {
            name,
            as_name,
            servers,
            line,
            writer: Writer::default(),
            tails: super::Tails::default(),
            asking: telling::Asking::default(),
            merge_at: None,
            tell_at: None,
            answered: BTreeMap::new(),
            is_over: false,
        }
    }
}

impl Session {
    /// The user makes a private channel. With a member list it begins with the user alone, and a rekey adds the others:
    /// so that all of them have the signed list.
    pub(in crate::session) fn create_private(
        &mut self,
        now: Time,
        ticket: Ticket,
        (name, as_name): (ChannelName, Option<UserName>),
        charter: Charter,
    ) {
        let Charter { members, admins, servers } = charter;
        let me = self.user;
        let mut all_admins = vec![me];
        all_admins.extend(admins.into_iter().filter(|admin| *admin != me));
        let first = members.as_ref().map(|_| [me]);
        let wall_ms = self.wall.at(now);
        let list = first.as_ref().map(<[UserId; 1]>::as_slice);
        let group = Group::create(self.network.clone(), all_admins.clone(), list, wall_ms, &mut self.secrets);
        let channel = match group {
            Ok(group) => {
                let channel = group.channel();
                let as_name = as_name.unwrap_or_else(|| self.name.clone());
                let private = Private::new(Line::new(group, wall_ms), name, as_name, short(servers));
                self.begin_private(now, ticket, channel, private).then_some(channel)
            }
            Err(error) => {
                self.not_entered(ticket, ChannelId::new([0; 32]), error.into());
                None
            }
        };
        if let (Some(outer), Some(mut add)) = (channel, members) {
            add.extend(all_admins);
            add.sort_unstable();
            add.dedup();
            add.retain(|user| *user != me);
            let change = Change { add, ..Change::default() };
            if !change.add.is_empty()
                && let Err(why) = self.propose(now, super::NOBODY, outer, &change)
            {
                self.private_gone(outer, Failure::Private(why));
            }
        }
    }

    /// The user enters a private channel by an invitation.
    pub(in crate::session) fn enter_private(
        &mut self,
        now: Time,
        ticket: Ticket,
        (name, as_name): (Option<ChannelName>, Option<UserName>),
        invite: &Invite,
    ) {
        let wall_ms = self.wall.at(now);
        let group = match Group::of_invite(&self.network, invite, wall_ms) {
            Ok(group) => group,
            Err(error) => return self.not_entered(ticket, invite.channel, error.into()),
        };
        let (me, is_listed) = (self.user, group.is_listed());
        let Some(name) = name.or_else(|| invite.name.parse().ok()).or_else(|| "private".parse().ok()) else {
            return self.not_entered(ticket, invite.channel, PrivateError::NotPrivate);
        };
        let as_name = as_name.unwrap_or_else(|| self.name.clone());
        let mut private =
            Private::new(Line::new(group, wall_ms), name, as_name, short(invite.servers.clone()));
        if is_listed {
            // The invitation has no list, and somebody may have changed the secret since it was made.
            private.asking.begin(now, invite.admins.iter().copied().filter(|admin| *admin != me));
        }
        self.begin_private(now, ticket, invite.channel, private);
    }

    /// The user comes back to a private channel.
    pub(in crate::session) fn resume_private(
        &mut self,
        now: Time,
        ticket: Ticket,
        as_name: Option<UserName>,
        saved: SavedChannel,
    ) {
        let wall_ms = self.wall.at(now);
        let (name, servers) = (saved.name.clone(), saved.servers.clone());
        let line = match saved.into_line(&self.network, wall_ms) {
            Ok(line) => line,
            Err(error) => return self.not_entered(ticket, ChannelId::new([0; 32]), error),
        };
        let (outer, me) = (line.tip(), self.user);
        let as_name = as_name.unwrap_or_else(|| self.name.clone());
        let mut private = Private::new(line, name, as_name, servers);
        private.tell_at = Some((now, 0));
        if let Some(tip) = private.line.current().filter(|tip| tip.group.is_listed()) {
            let admins = tip.group.admins().to_vec();
            let members = tip.members().into_iter().flatten();
            let others: Vec<UserId> = admins.into_iter().chain(members).filter(|user| *user != me).collect();
            private.asking.begin(now, others);
        }
        self.begin_private(now, ticket, outer, private);
    }

    /// Whether the channel was begun; else the user was told why not.
    fn begin_private(&mut self, now: Time, ticket: Ticket, outer: ChannelId, private: Private) -> bool {
        let why = if self.connection.is_ended() || self.leave_by.is_some() {
            Some(Failure::Closed)
        } else if private.line.generations.keys().any(|channel| self.private.is_generation(channel)) {
            Some(Failure::AlreadyJoined)
        } else if self.private.channels.len() >= PRIVATE_CHANNELS {
            Some(Failure::Private(PrivateError::TooMany))
        } else if self.channels.is_full() {
            Some(Failure::Full)
        } else {
            None
        };
        if let Some(why) = why {
            self.event(Event::JoinFailed { ticket: Some(ticket), channel: outer, why });
            return false;
        }
        let tip = private.line.tip();
        self.channels.insert(tip, private.name.clone(), Some((ticket, now + REQUEST_TIMEOUT)));
        self.own.insert(tip, OwnStream::sealed(tip, private.as_name.clone()));
        for channel in private.line.generations.keys() {
            self.private.of.insert(*channel, outer);
        }
        self.private.channels.insert(outer, private);
        self.follow(now, outer, tip);
        self.event(Event::Kept { channel: outer });
        true
    }

    fn not_entered(&mut self, ticket: Ticket, channel: ChannelId, why: PrivateError) {
        self.event(Event::JoinFailed { ticket: Some(ticket), channel, why: Failure::Private(why) });
    }

    /// Joins and leaves generations as they begin and end, and takes what waits to be sent along.
    pub(super) fn follow(&mut self, now: Time, outer: ChannelId, before: ChannelId) {
        let wall_ms = self.wall.at(now);
        let Some(private) = self.private.channels.get(&outer) else { return };
        let (read, tip) = (private.line.read(wall_ms), private.line.tip());
        let (name, as_name) = (private.name.clone(), private.as_name.clone());
        for channel in &read {
            if self.channels.get(channel).is_none() && !self.channels.is_full() {
                self.channels.insert(*channel, name.clone(), None);
                self.own.insert(*channel, OwnStream::sealed(*channel, as_name.clone()));
            }
        }
        if tip != before {
            self.own.hand_over(&before, &tip);
            if self.is_joined(&tip) {
                self.members.joined(now, outer, self.announce);
            }
        }
        for channel in self.private.generations(&outer) {
            if !read.contains(&channel) {
                self.leave_quietly(channel);
            }
            let private = self.private.channels.get(&outer);
            let is_known = private.is_some_and(|private| private.line.get(&channel).is_some());
            if !is_known && self.channels.get(&channel).is_none() {
                self.private.of.remove(&channel);
            }
        }
    }

    /// The user leaves a private channel: all of its generations.
    pub(in crate::session) fn leave_private(&mut self, now: Time, ticket: Ticket, outer: ChannelId) {
        let tip = self.private.inner(&outer);
        self.not_come(outer, Failure::NotJoined);
        for channel in self.private.generations(&outer) {
            if channel != tip {
                self.leave_quietly(channel);
            }
        }
        if self.channels.get(&tip).is_some() {
            self.leave_one(now, Some(ticket), tip);
        } else {
            self.private_gone(outer, Failure::NotJoined);
            self.event(Event::Left { ticket, channel: outer });
        }
    }

    /// A generation was left, or not joined: without the one that is written to there is no channel.
    pub(in crate::session) fn generation_gone(&mut self, channel: ChannelId, why: Failure) {
        let Some(outer) = self.private.of.get(&channel).copied() else { return };
        if self.private.is_current(&channel) {
            self.private_gone(outer, why);
        } else if self.private.channels.get(&outer).is_none_or(|private| private.line.get(&channel).is_none())
        {
            self.private.of.remove(&channel);
        }
    }

    /// A generation was not joined whose user still waited for it: there is no channel then, however far its secret has
    /// moved on meanwhile.
    pub(in crate::session) fn entering_failed(&mut self, channel: ChannelId, why: Failure) {
        if let Some(outer) = self.private.of.get(&channel).copied() {
            self.private_gone(outer, why);
        }
    }

    /// Whether the user still waits to come into a private channel.
    pub(super) fn is_entering(&self, outer: &ChannelId) -> bool {
        let waits = |channel: &ChannelId| self.channels.get(channel).is_some_and(|one| one.joining.is_some());
        self.private.generations(outer).iter().any(waits)
    }

    /// The user has come into a private channel: others may hear of what was changed before.
    pub(in crate::session) fn entered(&mut self, now: Time, channel: &ChannelId) {
        let outer = self.private.outer(channel);
        if self.private.channels.get(&outer).is_some_and(|private| private.tell_at.is_none()) {
            self.tell_now(now, &outer);
        }
    }

    /// Who still waits to come into a private channel hears why that is over.
    fn not_come(&mut self, outer: ChannelId, why: Failure) {
        for channel in self.private.generations(&outer) {
            if let Some(ticket) = self.channels.answered(channel) {
                self.event(Event::JoinFailed { ticket: Some(ticket), channel: outer, why });
            }
        }
    }

    /// Forgets a private channel, with its secrets.
    fn private_gone(&mut self, outer: ChannelId, why: Failure) {
        self.not_come(outer, why);
        self.private.channels.remove(&outer);
        self.members.left(outer);
        for channel in self.private.generations(&outer) {
            self.leave_quietly(channel);
            if self.channels.get(&channel).is_none() {
                self.private.of.remove(&channel);
            }
        }
    }

    /// The clock has moved: secrets move on, what is over is left, and what is due is done.
    pub(in crate::session) fn private_time(&mut self, now: Time) {
        let wall_ms = self.wall.at(now);
        let mut moved = Vec::new();
        for (outer, private) in &mut self.private.channels {
            let before = private.line.tip();
            moved.push((*outer, before, private.line.advance(wall_ms)));
        }
        for (outer, before, has_moved) in moved {
            self.follow(now, outer, before);
            if has_moved {
                self.event(Event::Kept { channel: outer });
            }
        }
        self.report_missing(now);
        self.renew(now);
        self.tell(now);
    }

    /// Whether the server relays sealed posts; if not, no private channel can be joined there.
    pub(in crate::session) fn refuse_sealed(&mut self) {
        for channel in self.channels.wanted(Time::ZERO, usize::MAX) {
            if self.private.is_generation(&channel) {
                let code = darkchat_proto::Code::Unsupported;
                self.join_failed(channel, Failure::Refused { code, retry: None });
            }
        }
    }
}

impl Privates {
    /// What is written down of a channel.
    pub(in crate::session) fn saved(&self, outer: &ChannelId) -> Option<SavedChannel> {
        let private = self.channels.get(outer)?;
        Some(SavedChannel::of(&private.name, &private.servers, &private.line))
    }

    /// The names of the channel's streams from now on.
    pub(in crate::session) fn speak(&mut self, outer: &ChannelId, name: &UserName) {
        if let Some(private) = self.channels.get_mut(outer) {
            private.as_name.clone_from(name);
        }
    }
}

/// As many addresses as an invitation holds, and none that is longer than an address can be.
fn short(mut servers: Vec<String>) -> Vec<String> {
    servers.retain(|server| server.len() <= MAX_ADDR_TEXT);
    servers.truncate(MAX_INVITE_SERVERS);
    servers
}
