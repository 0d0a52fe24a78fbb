//! A private channel from rekey to rekey: which generations there are, which is written to, and how branches come
//! together. Source: `docs/protocol.md`, section 8.1, "concurrent rekeys".
//!
//! ```text
//!            ┌─▶ left ──┐           the later generation is written to, of equally late ones that with the smaller id;
//! first ─────┤          ├─▶ both    both are read until an administrator has brought them together: who was removed in
//!            └─▶ right ─┘           either is out, who was added in either is in
//! ```

use super::generation::Generation;
use super::{Change, PrivateError};
use bytes::Bytes;
use darkchat_crypto::group::{Group, RekeyDraft, RekeyError, precedes};
use darkchat_crypto::{Verified, VerifyError, verify};
use darkchat_proto::limits::MAX_MEMBERS;
use darkchat_proto::{ChannelId, Network, Rekey, Signed, UserId};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet};

/// Generations of one channel that are remembered: enough for a day on which a member is removed every two hours, in two
/// partitions of the network. Older ones matter to nobody who is here.
pub(super) const GENERATIONS: usize = 24;

/// The generations of one private channel, as one member knows them.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) generations: BTreeMap<ChannelId, Generation>,
    tip: ChannelId,
}

/// What became of a rekey that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// There is another generation now.
    New { channel: ChannelId, by: UserId, removed: Vec<UserId> },
    /// Nothing that was not known.
    Known,
    /// It leads on without us.
    WithoutUs { by: UserId },
}

/// Who is in and who is out when all branches are taken together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Merged {
    /// `None` where everybody with the invitation is a member.
    members: Option<BTreeSet<UserId>>,
    removed: BTreeSet<UserId>,
    /// Whether the generation that is written to says so already.
    is_settled: bool,
}

impl Line {
    /// A channel with one generation.
    pub(super) fn new(group: Group, now_ms: u64) -> Self {
        let tip = group.channel();
        Self { generations: BTreeMap::from([(tip, Generation::new(group, now_ms))]), tip }
    }

    /// A channel as it was written down. `None` without any generation.
    pub(super) fn of(generations: BTreeMap<ChannelId, Generation>, now_ms: u64) -> Option<Self> {
        let tip = *generations.keys().next()?;
        let mut line = Self { generations, tip };
        line.settle(now_ms);
        Some(line)
    }

    /// The generation that is written to, as a channel.
    pub(super) const fn tip(&self) -> ChannelId {
        self.tip
    }

    pub(super) fn get(&self, channel: &ChannelId) -> Option<&Generation> {
        self.generations.get(channel)
    }

    pub(super) fn get_mut(&mut self, channel: &ChannelId) -> Option<&mut Generation> {
        self.generations.get_mut(channel)
    }

    /// The generation that is written to.
    pub(super) fn current(&self) -> Option<&Generation> {
        self.generations.get(&self.tip)
    }

    /// Whether this user may make rekeys.
    pub(super) fn is_admin(&self, user: &UserId) -> bool {
        self.current().is_some_and(|generation| generation.group.admins().contains(user))
    }

    /// The generations whose posts are looked at.
    pub(super) fn read(&self, now_ms: u64) -> BTreeSet<ChannelId> {
        let read = self.generations.iter().filter(|(_, generation)| generation.is_read(now_ms));
        read.map(|(channel, _)| *channel).collect()
    }

    /// Whether a later generation has removed somebody, whose words in an earlier one then count no more.
    pub(super) fn is_removed(&self, user: &UserId, channel: &ChannelId) -> bool {
        let Some(own) = self.generations.get(channel) else { return true };
        let later = |other: &&Generation| other.group.generation() > own.group.generation();
        self.generations.values().filter(later).any(|other| other.removed.contains(user))
    }

    /// Takes up a rekey, of which nothing is believed that its signature does not prove.
    ///
    /// # Errors
    /// [`TakeError`]; nothing has changed.
    pub(super) fn take_up(
        &mut self,
        network: &Network,
        me: &UserId,
        signed: &Signed,
        now_ms: u64,
    ) -> Result<Taken, TakeError> {
        let rekey = verify::rekey(network, signed)?;
        let (parent, channel, by) = (rekey.old_channel, rekey.next.channel, rekey.admin);
        if self.generations.contains_key(&channel) {
            return self.attach(&rekey, signed, now_ms);
        }
        let old = self.generations.get(&parent).ok_or(TakeError::Unknown)?;
        let group = old.group.successor(&rekey, now_ms)?;
        let is_out = group.members().is_some_and(|mut members| !members.any(|member| member == me));
        if is_out || rekey.removed.contains(me) {
            return Ok(Taken::WithoutUs { by });
        }
        if self.generations.len() >= GENERATIONS {
            self.drop_one(&parent)?;
        }
        let mut generation = Generation::new(group, now_ms);
        generation.parents.insert(parent);
        generation.removed = rekey.removed.iter().copied().collect();
        generation.rekeys.insert(parent, owned(signed));
        self.generations.insert(channel, generation);
        self.settle(now_ms);
        Ok(Taken::New { channel, by, removed: rekey.removed.clone() })
    }

    /// A rekey to a generation that is known: another way to it, or the member list of one that was entered by an
    /// invitation.
    fn attach(&mut self, rekey: &Verified<Rekey>, signed: &Signed, now_ms: u64) -> Result<Taken, TakeError> {
        let (parent, channel) = (rekey.old_channel, rekey.next.channel);
        let is_way = match self.generations.get(&parent) {
            // It must be one that a member of that branch would go.
            Some(old) => old.group.successor(rekey, now_ms).map(|_| true)?,
            None => false,
        };
        let Some(generation) = self.generations.get_mut(&channel) else { return Err(TakeError::Unknown) };
        if !generation.group.admins().contains(&rekey.admin) {
            return Err(RekeyError::NotAdmin.into());
        }
        if generation.group.is_listed() && generation.group.members().is_none() {
            generation.group.know_members(&rekey.members).map_err(|_| RekeyError::Members)?;
        }
        if is_way {
            generation.parents.insert(parent);
        }
        generation.removed.extend(rekey.removed.iter().copied());
        generation.rekeys.entry(parent).or_insert_with(|| owned(signed));
        self.settle(now_ms);
        Ok(Taken::Known)
    }

    /// Makes room for another generation: the one that was retired first goes.
    fn drop_one(&mut self, keep: &ChannelId) -> Result<(), TakeError> {
        let retired =
            self.generations.iter().filter(|(channel, _)| *channel != keep && **channel != self.tip);
        let oldest = retired
            .filter_map(|(channel, generation)| Some((generation.retired_ms?, *channel)))
            .min()
            .ok_or(TakeError::Full)?;
        self.generations.remove(&oldest.1);
        Ok(())
    }

    /// After a change: which generation is written to, and which have retired.
    fn settle(&mut self, now_ms: u64) {
        if let Some(first) = self.in_order().first() {
            self.tip = *first;
        }
        let open: Vec<ChannelId> =
            if self.merged(now_ms).is_settled { vec![self.tip] } else { self.leaves(now_ms) };
        for (channel, generation) in &mut self.generations {
            if open.contains(channel) || *channel == self.tip {
                generation.retired_ms = None;
            } else {
                generation.retired_ms.get_or_insert(now_ms);
            }
        }
    }

    /// Generations that nothing has replaced, in the order in which they would be written to.
    fn in_order(&self) -> Vec<ChannelId> {
        let replaced: BTreeSet<&ChannelId> =
            self.generations.values().flat_map(|generation| &generation.parents).collect();
        let mut leaves: Vec<(&ChannelId, &Group)> = self
            .generations
            .iter()
            .filter(|(channel, _)| !replaced.contains(channel))
            .map(|(channel, generation)| (channel, &generation.group))
            .collect();
        leaves.sort_by(|(_, one), (_, other)| precedes(other, one).cmp(&precedes(one, other)));
        leaves.into_iter().map(|(channel, _)| *channel).collect()
    }

    /// The ends of the branches that still count. One that has lost its place to an equal does so for as long as it is
    /// read, so that who was removed there and is taken in again later stays.
    fn leaves(&self, now_ms: u64) -> Vec<ChannelId> {
        let counts =
            |channel: &ChannelId| self.get(channel).is_some_and(|generation| generation.is_read(now_ms));
        self.in_order().into_iter().filter(|channel| *channel == self.tip || counts(channel)).collect()
    }

    /// A generation and all before it.
    fn history(&self, channel: ChannelId) -> BTreeSet<ChannelId> {
        let (mut history, mut open) = (BTreeSet::new(), vec![channel]);
        while let Some(next) = open.pop() {
            let Some(generation) = self.generations.get(&next) else { continue };
            if history.insert(next) {
                open.extend(&generation.parents);
            }
        }
        history
    }

    /// All branches together: removing wins over adding.
    fn merged(&self, now_ms: u64) -> Merged {
        let leaves = self.leaves(now_ms);
        let histories: Vec<_> = leaves.iter().map(|leaf| self.history(*leaf)).collect();
        let common = histories
            .iter()
            .skip(1)
            .fold(histories.first().cloned().unwrap_or_default(), |common, other| &common & other);
        let (mut members, mut removed) = (Some(BTreeSet::new()), BTreeSet::new());
        let (mut of_tip, mut has_newcomers) = ((None, BTreeSet::new()), false);
        let from_before: BTreeSet<UserId> =
            common.iter().filter_map(|channel| self.generations.get(channel)?.members()).flatten().collect();
        for (leaf, history) in leaves.iter().zip(&histories) {
            let Some(end) = self.generations.get(leaf) else { continue };
            let listed = end.members();
            let gone: BTreeSet<UserId> = history
                .difference(&common)
                .filter_map(|channel| self.generations.get(channel))
                .flat_map(|generation| generation.removed.iter().copied())
                .filter(|user| listed.as_ref().is_none_or(|listed| !listed.contains(user)))
                .collect();
            members = match (members, &listed) {
                (Some(all), Some(listed)) => Some(&all | listed),
                _ => None,
            };
            if *leaf != self.tip {
                has_newcomers |= listed.as_ref().is_some_and(|listed| !listed.is_subset(&from_before));
            } else {
                of_tip = (listed, gone.clone());
            }
            removed.extend(gone);
        }
        let members = members.map(|members: BTreeSet<UserId>| &members - &removed);
        // Who came in on another branch knows nothing of what was before it, and finds the way only from there.
        let is_settled = match (&members, &of_tip.0) {
            (Some(members), Some(listed)) => members == listed && !has_newcomers,
            _ => removed == of_tip.1,
        };
        Merged { members, removed, is_settled }
    }

    /// Whether branches are to be brought together.
    pub(super) fn is_split(&self, now_ms: u64) -> bool {
        !self.merged(now_ms).is_settled
    }

    /// The rekeys that carry out a change and bring all branches together: one for each branch, to one generation.
    ///
    /// # Errors
    /// [`PrivateError`]; nothing has changed.
    pub(super) fn propose(
        &self,
        me: UserId,
        change: &Change,
        (name, servers): (&str, &[String]),
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<RekeyDraft>, PrivateError> {
        let current = self.current().ok_or(PrivateError::NotPrivate)?;
        if !current.group.admins().contains(&me) {
            return Err(PrivateError::NotAdmin);
        }
        let Merged { members, mut removed, is_settled: _ } = self.merged(now_ms);
        if change.remove.contains(&me) {
            return Err(PrivateError::OwnKey);
        }
        if members.is_none() && !change.add.is_empty() {
            return Err(if current.group.is_listed() {
                PrivateError::NoList
            } else {
                PrivateError::OpenByLink
            });
        }
        if current.group.is_listed() && members.is_none() {
            return Err(PrivateError::NoList);
        }
        removed.extend(change.remove.iter().copied());
        removed.retain(|user| !change.add.contains(user));
        let members: Option<Vec<UserId>> = members.map(|mut members| {
            members.extend(change.add.iter().copied());
            members.into_iter().filter(|user| !removed.contains(user)).collect()
        });
        let removed: Vec<UserId> = removed.into_iter().collect();
        if members.as_ref().is_some_and(|list| list.len() > MAX_MEMBERS) || removed.len() > MAX_MEMBERS {
            return Err(PrivateError::TooManyMembers);
        }
        let list = members.as_deref();
        let (_, first) =
            current.group.rekey(me, list, &removed, &change.reason, (name, servers), now_ms, rng)?;
        let rekey = first.rekey().map_err(|_| PrivateError::NotPrivate)?;
        let mut drafts = vec![first];
        for leaf in self.leaves(now_ms).into_iter().filter(|leaf| *leaf != self.tip) {
            // A branch that has removed us is not ours to lead on.
            drafts.extend(self.get(&leaf).and_then(|leaf| leaf.group.rekey_into(&rekey, now_ms).ok()));
        }
        Ok(drafts)
    }

    /// What a member who was away is told: all that led on from this generation, and to it, whose signed list has it. Each
    /// rekey stands here as the generation that it leads to and that from which it comes.
    pub(super) fn answer(&self, from: &UserId, channel: &ChannelId) -> Vec<(ChannelId, ChannelId)> {
        let Some(asked) = self.generations.get(channel) else { return Vec::new() };
        let mut later: Vec<&Generation> = self
            .generations
            .values()
            .filter(|other| other.group.generation() >= asked.group.generation() && other.lists(from))
            .collect();
        later.sort_by_key(|generation| generation.group.generation());
        let ways = |one: &Generation| {
            let channel = one.group.channel();
            one.rekeys.keys().map(move |parent| (channel, *parent)).collect::<Vec<_>>()
        };
        later.into_iter().flat_map(ways).collect()
    }

    /// Moves all secrets on and wipes what was kept long enough. Says whether anything moved.
    pub(super) fn advance(&mut self, now_ms: u64) -> bool {
        let before: Vec<(u32, usize)> = self.marks();
        for generation in self.generations.values_mut() {
            // One whose clock cannot be reached any more opens nothing, which is all that is left to do: no moment changes
            // that, but a clock that is set back.
            generation.is_too_old = generation.group.advance(now_ms).is_err();
            generation.forget_rekeys(now_ms);
        }
        self.settle(now_ms);
        for generation in self.generations.values_mut() {
            generation.is_closed = !generation.is_read(now_ms);
        }
        before != self.marks()
    }

    fn marks(&self) -> Vec<(u32, usize)> {
        self.generations.values().map(|one| (one.group.step(), one.rekeys.len())).collect()
    }

    /// When [`advance`](Self::advance) has something to do, in Unix milliseconds.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.generations
            .values()
            .flat_map(|one| [one.next_step_ms(), one.forget_at_ms(), one.read_until_ms()])
            .flatten()
            .min()
    }
}

/// A rekey in a buffer of its own, so that it does not keep the packet that brought it.
fn owned(signed: &Signed) -> Signed {
    Signed { body: Bytes::copy_from_slice(&signed.body), sig: signed.sig }
}

/// Why a rekey was not taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TakeError {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Rekey(#[from] RekeyError),
    #[error("it leads on from a generation that is not known")]
    Unknown,
    #[error("too many generations at once")]
    Full,
}
