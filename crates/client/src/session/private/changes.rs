//! Changes of a private channel's secret: by a wish of the user's, after a week, and to bring branches together.

use super::errands::{Errand, What};
use super::line::{TakeError, Taken};
use super::{ORPHANS, Private, Privates};
use crate::session::stream::Waiting;
use crate::session::{Event, Output, Session, SignId, Ticket};
use bytes::Bytes;
use darkchat_crypto::group::{RekeyDraft, RekeyError};
use darkchat_proto::limits::MAX_TEXT;
use darkchat_proto::{ChannelId, Entry, EntryKind, Signature, Signed, Time, UserId};
use std::time::Duration;

/// A generation is replaced after a week while an administrator is here (8.1): so that what somebody copied once is of
/// use no longer.
const RENEW_MS: u64 = 7 * 86_400_000;
/// How long an administrator waits before it brings branches together, for each administrator before it in the order
/// of keys: so that one does it, and another if that one is away.
const MERGE_WAIT: Duration = Duration::from_secs(3);
/// Rekeys that wait for their signatures. They take no time, so one is the rule.
const PROPOSALS: usize = 64;

/// What is to change in a private channel.
///
/// ```
/// use darkchat_client::Change;
/// let leak = Change { reason: "the link was published".to_owned(), ..Change::default() };
/// assert!(leak.add.is_empty() && leak.remove.is_empty()); // all who are there stay, with a new secret
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain wishes, made with `..Change::default()`")]
pub struct Change {
    /// Who is to be a member from now on.
    pub add: Vec<UserId>,
    /// Who is not.
    pub remove: Vec<UserId>,
    /// Why, for people; at most 200 bytes.
    pub reason: String,
}

/// Why something was not done with a private channel. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// It is a public channel, or one that we are not in.
    #[error("not a private channel that you are in")]
    NotPrivate,
    /// Only its administrators may do that.
    #[error("only an administrator of the channel may do that")]
    NotAdmin,
    /// An administrator cannot remove its own key; leave the channel instead.
    #[error("an administrator cannot remove itself")]
    OwnKey,
    /// Everybody with the invitation is a member: hand on the invitation instead of adding somebody.
    #[error("the channel has no member list: who has the invitation is in it")]
    OpenByLink,
    /// The channel has a member list, and nobody has told it to us yet. Wait until a member is there.
    #[error("the member list of the channel is not known here yet")]
    NoList,
    /// More than 256 members, or that many removed at once.
    #[error("a private channel has at most 256 members")]
    TooManyMembers,
    /// A client is in at most 64 private channels. Leave one.
    #[error("too many private channels, the most is: 64")]
    TooMany,
    /// The invitation or the saved state is more than a year old. Ask for another invitation.
    #[error("the invitation is too old")]
    TooOld,
    /// The channel is of another network than this client.
    #[error("the channel belongs to another network")]
    OtherNetwork,
    /// The wish has more words than fit, or the lists contradict each other.
    #[error("the change makes no sense: its lists contradict each other, or its reason is over 200 bytes")]
    Change,
    /// Others have changed the channel meanwhile. Look, and try again.
    #[error("the channel was changed meanwhile")]
    Outrun,
}

impl From<RekeyError> for PrivateError {
    fn from(error: RekeyError) -> Self {
        match error {
            RekeyError::NotAdmin => Self::NotAdmin,
            RekeyError::TooOld => Self::TooOld,
            RekeyError::OtherChannel | RekeyError::OtherGeneration => Self::Outrun,
            _ => Self::Change,
        }
    }
}

/// Rekeys of ours, one for each branch, that wait for their signatures.
#[derive(Debug)]
pub(super) struct Proposal {
    outer: ChannelId,
    ticket: Option<Ticket>,
    add: Vec<UserId>,
    drafts: Vec<(SignId, RekeyDraft, Option<Signature>)>,
}

impl Privates {
    /// Takes a signature. The proposal that it completes comes out.
    pub(super) fn signed(&mut self, sign: SignId, signature: Signature) -> Option<Proposal> {
        let at =
            self.proposals.iter().position(|proposal| proposal.drafts.iter().any(|(id, ..)| *id == sign))?;
        let proposal = self.proposals.get_mut(at)?;
        for (id, _, place) in &mut proposal.drafts {
            if *id == sign {
                *place = Some(signature);
            }
        }
        let is_whole = proposal.drafts.iter().all(|(.., signature)| signature.is_some());
        if is_whole { self.proposals.remove(at) } else { None }
    }
}

impl Session {
    /// The user wants a change.
    pub(in crate::session) fn change(
        &mut self,
        now: Time,
        ticket: Ticket,
        outer: ChannelId,
        change: &Change,
    ) {
        if let Err(why) = self.propose(now, Some(ticket), outer, change) {
            self.event(Event::ChangeFailed { ticket, why });
        }
    }

    pub(super) fn propose(
        &mut self,
        now: Time,
        ticket: Option<Ticket>,
        outer: ChannelId,
        change: &Change,
    ) -> Result<(), PrivateError> {
        let wall_ms = self.wall.at(now);
        let private = self.private.channels.get(&outer).ok_or(PrivateError::NotPrivate)?;
        if change.reason.len() > MAX_TEXT || self.private.proposals.len() >= PROPOSALS {
            return Err(PrivateError::Change);
        }
        let place = (private.name.as_str(), private.servers.as_slice());
        let drafts = private.line.propose(self.user, change, place, wall_ms, &mut self.secrets)?;
        let mut proposal = Proposal { outer, ticket, add: change.add.clone(), drafts: Vec::new() };
        for draft in drafts {
            let sign = self.signs.next();
            self.outputs.push_back(Output::Sign { sign, request: draft.request().clone() });
            proposal.drafts.push((sign, draft, None));
        }
        self.private.proposals.push_back(proposal);
        Ok(())
    }

    /// A signature came: a rekey that is whole is taken up as anybody's, and told to all whom it concerns.
    pub(in crate::session) fn private_signed(&mut self, now: Time, sign: SignId, signature: Signature) {
        let Some(Proposal { outer, ticket, add, drafts }) = self.private.signed(sign, signature) else {
            return;
        };
        let mut made = None;
        let others = self.others(&outer);
        for (_, draft, signature) in drafts {
            let Some(signature) = signature else { continue };
            let Ok(rekey) = draft.rekey() else { continue };
            let signed = draft.finish(signature);
            let moved = u32::to_be_bytes(rekey.next.generation);
            if self.take_up(now, outer, &signed).is_ok() {
                made = Some(rekey.next.channel);
                self.mark_untold(&outer, (rekey.next.channel, rekey.old_channel), &others, &add);
                self.say_moved(now, rekey.old_channel, moved);
            }
        }
        match (made, ticket) {
            (Some(_), ticket) => {
                // Nobody is told of a channel that may yet not come to be.
                if !self.is_entering(&outer) {
                    self.tell_now(now, &outer);
                }
                self.event(Event::Kept { channel: outer });
                if let Some(ticket) = ticket {
                    self.event(Event::Changed { ticket, channel: outer });
                }
            }
            (None, Some(ticket)) => self.event(Event::ChangeFailed { ticket, why: PrivateError::Outrun }),
            (None, None) => {}
        }
    }

    /// Whom a rekey concerns where there is no member list: who has written here.
    fn others(&self, outer: &ChannelId) -> Vec<UserId> {
        self.private
            .channels
            .get(outer)
            .map_or_else(Vec::new, |private| private.tails.authors().copied().collect())
    }

    fn mark_untold(
        &mut self,
        outer: &ChannelId,
        (channel, parent): (ChannelId, ChannelId),
        others: &[UserId],
        add: &[UserId],
    ) {
        let me = self.user;
        let Some(private) = self.private.channels.get_mut(outer) else { return };
        let before = private.line.get(&parent).and_then(|old| old.members());
        let Some(generation) = private.line.get_mut(&channel) else { return };
        generation.is_teller = true;
        let members: Vec<UserId> =
            generation.members().map_or_else(|| others.to_vec(), |members| members.into_iter().collect());
        for user in members.into_iter().filter(|user| *user != me && !generation.removed.contains(user)) {
            let is_new = add.contains(&user) && before.as_ref().is_none_or(|before| !before.contains(&user));
            if is_new {
                generation.invited.insert(user);
            } else {
                generation.untold.insert((user, parent));
            }
        }
    }

    /// The last entry in a channel that has moved on.
    fn say_moved(&mut self, now: Time, old: ChannelId, generation: [u8; 4]) {
        let entry = Entry::new(EntryKind::Moved, Bytes::copy_from_slice(&generation));
        // A channel that is not joined any more, or a full queue, leaves it out: members are told one by one as well.
        let _left_out = self.own.push(old, Waiting { ticket: None, entry, since: now });
    }

    /// Takes up a rekey in a channel.
    pub(super) fn take_up(&mut self, now: Time, outer: ChannelId, signed: &Signed) -> Result<(), TakeError> {
        let wall_ms = self.wall.at(now);
        let Some(private) = self.private.channels.get_mut(&outer) else { return Err(TakeError::Unknown) };
        let before = private.line.tip();
        match private.line.take_up(&self.network, &self.user, signed, wall_ms)? {
            Taken::Known => {}
            Taken::WithoutUs { by } => {
                private.is_over = true;
                self.event(Event::Excluded { channel: outer, by });
            }
            Taken::New { channel, by, removed } => {
                private.asking.heard();
                let is_current = private.line.tip() == channel;
                self.private.of.insert(channel, outer);
                if is_current {
                    self.event(Event::Rekeyed { channel: outer, by, removed });
                }
            }
        }
        self.follow(now, outer, before);
        self.plan_merge(now, &outer);
        self.event(Event::Kept { channel: outer });
        Ok(())
    }

    /// Somebody brought a rekey: whichever channel it belongs to takes it. One that leads on from what we do not know
    /// waits, and whoever brought it is asked for what is between.
    pub(super) fn rekey_came(&mut self, now: Time, from: UserId, signed: Signed) {
        if !self.adopt(now, &signed) {
            if self.private.orphans.len() >= ORPHANS {
                self.private.orphans.pop_front();
            }
            self.private.orphans.push_back((from, signed));
            self.ask_about(now, from);
            return;
        }
        for _ in 0..self.private.orphans.len() {
            let Some((from, orphan)) = self.private.orphans.pop_front() else { return };
            if !self.adopt(now, &orphan) {
                self.private.orphans.push_back((from, orphan));
            }
        }
    }

    /// Whether a channel knew where the rekey belongs; what it thought of it is another matter.
    fn adopt(&mut self, now: Time, signed: &Signed) -> bool {
        let Ok(rekey) = darkchat_proto::Rekey::decode(signed.body.clone()) else { return true };
        let outer = [rekey.old_channel, rekey.next.channel]
            .iter()
            .find_map(|channel| self.private.of.get(channel).copied());
        let Some(outer) = outer else { return false };
        if let Err(error) = self.take_up(now, outer, signed) {
            tracing::debug!(%error, "a rekey is not taken up");
        }
        true
    }

    /// Branches are brought together by the first administrator who is there.
    fn plan_merge(&mut self, now: Time, outer: &ChannelId) {
        let wall_ms = self.wall.at(now);
        let me = self.user;
        let Some(private) = self.private.channels.get_mut(outer) else { return };
        if !private.line.is_split(wall_ms) {
            private.merge_at = None;
            return;
        }
        private.merge_at =
            private.merge_at.or_else(|| rank(private, &me).map(|rank| now + MERGE_WAIT * (rank + 1)));
    }

    /// What is due: branches that are to be brought together, and secrets that are a week old.
    pub(super) fn renew(&mut self, now: Time) {
        let (wall_ms, me) = (self.wall.at(now), self.user);
        let mut due = Vec::new();
        for (outer, private) in &mut self.private.channels {
            let is_split = private.merge_at.is_some_and(|at| at <= now);
            if is_split {
                private.merge_at = None;
            }
            let is_old = is_old(private, wall_ms) && private.line.is_admin(&me) && !private.is_over;
            if (is_split && private.line.is_split(wall_ms)) || is_old {
                due.push(*outer);
            }
        }
        for outer in due {
            // Whoever cannot do it is not the one to do it.
            let _not_ours = self.propose(now, super::NOBODY, outer, &Change::default());
        }
    }

    /// Asks who brought a rekey what came before it, for every channel that it may belong to.
    fn ask_about(&mut self, now: Time, from: UserId) {
        let asked: Vec<ChannelId> = self
            .private
            .channels
            .values()
            .filter(|private| private.line.current().is_some_and(|tip| tip.lists(&from)))
            .map(|private| private.line.tip())
            .collect();
        for channel in asked {
            self.private.errands.push(Errand { to: from, what: What::Ask { channel } });
        }
        self.run_errands(now);
    }
}

/// The place of an administrator among them.
fn rank(private: &Private, me: &UserId) -> Option<u32> {
    let mut admins = private.line.current()?.group.admins().to_vec();
    admins.sort_unstable();
    admins.iter().position(|admin| admin == me).and_then(|at| u32::try_from(at).ok())
}

/// Whether a generation is due to be replaced. Where everybody with the invitation is a member it is not: those who are
/// away could not be told.
fn is_old(private: &Private, wall_ms: u64) -> bool {
    private
        .line
        .current()
        .is_some_and(|tip| tip.group.is_listed() && wall_ms.saturating_sub(tip.group.start_ms()) >= RENEW_MS)
}
