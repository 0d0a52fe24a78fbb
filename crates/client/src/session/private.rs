//! The private channels of a session: their generations, who is to be told what, and what is written down. Source:
//! `docs/protocol.md`, section 8.
//!
//! ```text
//! Session ─▶ Privates ─▶ Private (one channel as the user knows it) ─▶ Line ─▶ Generation ─▶ crypto's Group
//! ```
//!
//! The user knows a private channel by the id of the generation in which it was made or entered. Servers know the ids of
//! its generations only; each is joined and left as a channel of its own.

mod changes;
mod entering;
mod errands;
mod generation;
mod line;
mod posts;
mod saved;
mod tails;
mod telling;

pub use changes::{Change, PrivateError};
pub use entering::Charter;
pub use saved::{SavedChannel, SavedError};

use super::{Event, Ticket, Wall};
use crate::message::Cause;
use changes::Proposal;
use darkchat_crypto::group::{Draft, WriteError, Writer};
use darkchat_proto::{ChannelId, ChannelName, Entry, Invite, Signed, Time, UserId, UserName};
use errands::Errands;
use line::Line;
use rand_core::CryptoRng;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use tails::Tails;

/// Private channels of one client (GROUP_MEMBERS, channels per client).
const PRIVATE_CHANNELS: usize = 64;
/// Rekeys that lead on from what is not known yet.
const ORPHANS: usize = 8;

/// A private channel, as the user knows it.
#[derive(Debug)]
struct Private {
    name: ChannelName,
    /// The name that the user claims in it.
    as_name: UserName,
    /// Where others find it, as its invitation says.
    servers: Vec<String>,
    line: Line,
    writer: Writer,
    tails: Tails,
    asking: telling::Asking,
    /// When branches are brought together, if we do it.
    merge_at: Option<Time>,
    /// When a rekey of ours is told again, and how often it was.
    tell_at: Option<(Time, u32)>,
    /// Whom we answered last, and when.
    answered: BTreeMap<UserId, Time>,
    /// Whether a rekey has left us out.
    is_over: bool,
}

/// All private channels of the session.
#[derive(Default)]
pub(super) struct Privates {
    channels: BTreeMap<ChannelId, Private>,
    /// The channel, as the user knows it, of each generation.
    of: BTreeMap<ChannelId, ChannelId>,
    errands: Errands,
    proposals: VecDeque<Proposal>,
    orphans: VecDeque<(UserId, Signed)>,
}

impl fmt::Debug for Privates {
    /// Without the rekeys that wait for those before them: each holds a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, of, errands, proposals, orphans } = self;
        f.debug_struct("Privates")
            .field("channels", channels)
            .field("of", of)
            .field("errands", errands)
            .field("proposals", proposals)
            .field("orphans", &orphans.len())
            .finish()
    }
}

impl Privates {
    /// The channel as the user knows it; a public one is its own.
    pub(super) fn outer(&self, channel: &ChannelId) -> ChannelId {
        self.of.get(channel).copied().unwrap_or(*channel)
    }

    /// Whether the channel is a generation of a private one.
    pub(super) fn is_generation(&self, channel: &ChannelId) -> bool {
        self.of.contains_key(channel)
    }

    /// Whether posts of the channel are signed in private, which is so for its name among people too.
    pub(super) fn is_private(&self, outer: &ChannelId) -> bool {
        self.channels.contains_key(outer)
    }

    /// Whether a generation is the one that is written to; a public channel is.
    pub(super) fn is_current(&self, channel: &ChannelId) -> bool {
        let private = self.of.get(channel).and_then(|outer| self.channels.get(outer));
        private.is_none_or(|private| private.line.tip() == *channel)
    }

    /// The channel that is written to for one that the user knows.
    pub(super) fn inner(&self, outer: &ChannelId) -> ChannelId {
        self.channels.get(outer).map_or(*outer, |private| private.line.tip())
    }

    /// The generations of a channel that the user knows.
    pub(super) fn generations(&self, outer: &ChannelId) -> Vec<ChannelId> {
        self.of.iter().filter(|(_, of)| *of == outer).map(|(channel, _)| *channel).collect()
    }

    /// Whether members are being asked for what was missed in a channel.
    pub(super) fn is_asking(&self, outer: &ChannelId) -> bool {
        self.channels.get(outer).is_some_and(|private| private.asking.deadline().is_some())
    }

    /// The invitation to a channel as it is now.
    pub(super) fn invite(&self, outer: &ChannelId) -> Option<Invite> {
        let private = self.channels.get(outer)?;
        Some(private.line.current()?.group.invite(private.name.as_str(), &private.servers))
    }

    /// Writes a post of a generation; it is then to be signed.
    pub(super) fn write(
        &mut self,
        channel: &ChannelId,
        (author, name): (UserId, &UserName),
        entries: Vec<Entry>,
        wall_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Option<Result<Draft, WriteError>> {
        let private = self.of.get(channel).and_then(|outer| self.channels.get_mut(outer))?;
        let group = &mut private.line.get_mut(channel)?.group;
        Some(private.writer.write(group, author, name.as_str(), entries, wall_ms, rng))
    }

    /// What a fact is for the user, who knows a channel under one id: news of generations that are read on, or not yet
    /// written to, are none.
    pub(super) fn outward(&self, event: Event) -> Option<Event> {
        let shown = |channel: &ChannelId| self.is_current(channel);
        Some(match event {
            Event::Joined { ticket: None, channel, .. } if !shown(&channel) => return None,
            Event::JoinFailed { ticket: None, channel, .. } if !shown(&channel) => return None,
            Event::Missed { channel, missed } if missed.cause == Cause::Reconnect && !shown(&channel) => {
                return None;
            }
            Event::Joined { ticket, channel, spread } => {
                Event::Joined { ticket, channel: self.outer(&channel), spread }
            }
            Event::JoinFailed { ticket, channel, why } => {
                Event::JoinFailed { ticket, channel: self.outer(&channel), why }
            }
            Event::Left { ticket, channel } => Event::Left { ticket, channel: self.outer(&channel) },
            Event::Message { channel, message } => Event::Message { channel: self.outer(&channel), message },
            Event::Missed { channel, missed } => Event::Missed { channel: self.outer(&channel), missed },
            other => other,
        })
    }

    /// When something here is to be done.
    pub(super) fn deadline(&self, wall: &Wall) -> Option<Time> {
        let private = self.channels.values().flat_map(|private| {
            let step = private.line.next_ms().map(|ms| wall.time_of(ms));
            let tell = private.tell_at.map(|(at, _)| at);
            [step, private.merge_at, tell, private.asking.deadline(), private.tails.deadline()]
        });
        private.flatten().min()
    }
}

/// Nobody waits for the outcome.
pub(super) const NOBODY: Option<Ticket> = None;

#[cfg(test)]
mod tests;
