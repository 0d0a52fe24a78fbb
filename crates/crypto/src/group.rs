//! Private channels: a secret that moves forward every hour, posts sealed with it and signed inside. Source: `docs/protocol.md`, 8.1.
//!
//! ```text
//! Group::create, Group::of_invite ──▶ Group ── invite, rekey, open
//!                                       └────▶ Writer::write ── Draft: sign this ──▶ a sealed post
//! ```
//!
//! Whoever has the secret of one hour derives those after it and none before, so a stolen device or a new link opens
//! the current hour at most. Only a rekey takes the future away: a new generation, whose secret the removed do not get.

mod keys;
mod post;
mod rekey;

use crate::kdf::Secret;
use bytes::Bytes;
use darkchat_proto::limits::{MAX_ADMINS, MAX_MEMBERS};
use darkchat_proto::{ChannelId, ChannelSecret, DecodeError, Invite, Network, UserId, members_hash};
use keys::Steps;
use rand_core::CryptoRng;
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroizing;

pub use post::{Draft, GroupPost, OpenPostError, WriteError, Writer};
pub use rekey::{MAX_LEAP, RekeyDraft, RekeyError, precedes};

/// The length of a step in milliseconds: GROUP_STEP, an hour.
pub const STEP_MS: u64 = 3_600_000;
/// How long two neighbouring steps are both accepted, in milliseconds: 300 s, as clocks may differ.
pub const OVERLAP_MS: u64 = 300_000;
/// The most steps that are made at once: a year. An invitation that is older is refused.
pub const MAX_JUMP: u32 = 8_784;

/// Why a group was not made or did not move on. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The secret is more than a year old; ask for a new invitation.
    #[error("the secret of the channel is too old: {steps} steps")]
    TooOld {
        /// How many steps would have to be made.
        steps: u64,
    },
    /// The channel is of another network.
    #[error("the channel belongs to another network")]
    OtherNetwork,
    /// Not 1 to 8 administrators, or more than 256 members.
    #[error("a private channel has 1 to 8 administrators and at most 256 members")]
    Size,
    /// The list is not the one that the channel was made with.
    #[error("not the member list of the channel")]
    OtherMembers,
}

/// One generation of a private channel, as a member has it. Its secret is wiped on drop and never printed.
///
/// ```
/// use darkchat_crypto::group::{Group, Writer};
/// use darkchat_crypto::{Identity, system};
/// use darkchat_proto::{Entry, Network};
///
/// let (alice, bob, now_ms) = (Identity::generate(), Identity::generate(), 1_800_000_000_000);
/// let members = [alice.user_id(), bob.user_id()];
/// let mut alices =
///     Group::create(Network::default(), vec![members[0]], Some(&members), now_ms, &mut system::rng())?;
/// let mut bobs = Group::of_invite(&Network::default(), &alices.invite("garden", &[]), now_ms)?;
///
/// let mut writer = Writer::default();
/// let draft =
///     writer.write(&mut alices, members[0], "alice", vec![Entry::text("psst")], now_ms, &mut system::rng())?;
/// let signature = alice.sign(draft.request());
/// let sealed = draft.finish(signature)?;
/// let post = bobs.open(&sealed, now_ms)?;
/// assert_eq!(post.body.entries[0].content, "psst");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Group {
    network: Network,
    channel: ChannelId,
    generation: u32,
    admins: Vec<UserId>,
    members: Option<BTreeSet<UserId>>,
    members_hash: Option<[u8; 32]>,
    steps: Steps,
}

fn random<const N: usize>(rng: &mut impl CryptoRng) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    rng.fill_bytes(bytes.as_mut_slice());
    bytes
}

fn check_sizes(admins: &[UserId], members: Option<&[UserId]>) -> Result<(), GroupError> {
    let is_right =
        (1..=MAX_ADMINS).contains(&admins.len()) && members.is_none_or(|list| list.len() <= MAX_MEMBERS);
    if is_right { Ok(()) } else { Err(GroupError::Size) }
}

impl Group {
    /// A new channel that begins at `now_ms`. With a member list only those on it can write; without one everybody
    /// with the invitation can. Takes 64 bytes of randomness.
    ///
    /// # Errors
    /// [`GroupError::Size`].
    pub fn create(
        network: Network,
        admins: Vec<UserId>,
        members: Option<&[UserId]>,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, GroupError> {
        check_sizes(&admins, members)?;
        let members_hash = members.map(|list| members_hash(&network, list));
        let channel = ChannelId::new(*random(rng));
        let secret: Secret = random(rng);
        Ok(Self {
            network,
            channel,
            generation: 0,
            admins,
            members: members.map(|list| list.iter().copied().collect()),
            members_hash,
            steps: Steps::new(0, secret, now_ms),
        })
    }

    /// The channel of an invitation, moved on to `now_ms`.
    ///
    /// The member list is not in it: [`know_members`](Self::know_members) adds it when it comes.
    ///
    /// # Errors
    /// [`GroupError`]: of another network, or too old.
    pub fn of_invite(network: &Network, invite: &Invite, now_ms: u64) -> Result<Self, GroupError> {
        if invite.network != *network {
            return Err(GroupError::OtherNetwork);
        }
        check_sizes(&invite.admins, None)?;
        let secret = Zeroizing::new(*invite.secret.as_bytes());
        let mut group = Self {
            network: network.clone(),
            channel: invite.channel,
            generation: invite.generation,
            admins: invite.admins.clone(),
            members: None,
            members_hash: invite.members_hash,
            steps: Steps::new(invite.step, secret, invite.start_ms),
        };
        group.advance(now_ms)?;
        Ok(group)
    }

    /// Takes the channel's member list; from then on posts of others are refused.
    ///
    /// # Errors
    /// [`GroupError::OtherMembers`] if it is not the list whose hash the channel has.
    pub fn know_members(&mut self, members: &[UserId]) -> Result<(), GroupError> {
        check_sizes(&self.admins, Some(members))?;
        if self.members_hash != Some(members_hash(&self.network, members)) {
            return Err(GroupError::OtherMembers);
        }
        self.members = Some(members.iter().copied().collect());
        Ok(())
    }

    /// The channel's id in this generation.
    #[must_use]
    pub const fn channel(&self) -> ChannelId {
        self.channel
    }

    /// The generation.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Who may change the secret.
    #[must_use]
    pub fn admins(&self) -> &[UserId] {
        &self.admins
    }

    /// The members in ascending order, where a list exists and is known.
    pub fn members(&self) -> Option<impl Iterator<Item = &UserId>> {
        self.members.as_ref().map(BTreeSet::iter)
    }

    /// Moves on to the steps of `now_ms` and wipes what is over: an hour's secret 5 min after the next began. Opening
    /// and writing do it too; a quiet channel needs a timer ([`next_step_ms`](Self::next_step_ms)).
    ///
    /// # Errors
    /// [`GroupError::TooOld`] after more than a year.
    pub fn advance(&mut self, now_ms: u64) -> Result<(), GroupError> {
        self.steps.advance(now_ms)
    }

    /// The oldest step whose secret is kept.
    #[must_use]
    pub const fn step(&self) -> u32 {
        self.steps.step()
    }

    /// When this generation began, in Unix milliseconds.
    #[must_use]
    pub const fn start_ms(&self) -> u64 {
        self.steps.start_ms()
    }

    /// Whether the channel has a member list, known or not; else everybody with the invitation is a member.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.members_hash.is_some()
    }

    /// When the oldest secret that is kept is to be wiped, in Unix milliseconds.
    #[must_use]
    pub const fn next_step_ms(&self) -> u64 {
        self.steps.next_ms()
    }

    /// The invitation as of the oldest step that is kept, which is the current one but for its first 5 min. `servers`
    /// are at most 4 address texts.
    #[must_use]
    pub fn invite(&self, name: &str, servers: &[String]) -> Invite {
        Invite {
            network: self.network.clone(),
            channel: self.channel,
            generation: self.generation,
            step: self.steps.step(),
            secret: ChannelSecret::new(*self.steps.secret()),
            start_ms: self.steps.start_ms(),
            admins: self.admins.clone(),
            servers: servers.to_vec(),
            name: name.to_owned(),
            members_hash: self.members_hash,
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network: _, channel, generation, admins: _, members: _, members_hash: _, steps } = self;
        f.debug_struct("Group")
            .field("channel", channel)
            .field("generation", generation)
            .field("step", &steps.step())
            .finish_non_exhaustive()
    }
}

/// A body inside a seal that is not what it should be.
fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

/// What a sealed post is before it is one: bytes in one buffer.
fn joined(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

#[cfg(test)]
mod tests;
