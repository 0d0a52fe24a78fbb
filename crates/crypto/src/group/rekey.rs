//! The change of a private channel's secret: who is not told, reads nothing any more.

use super::{Group, Steps, check_sizes, random};
use crate::kdf::Secret;
use crate::verify::Verified;
use crate::{SignRequest, sign};
use bytes::Bytes;
use darkchat_proto::{
    ChannelId, ChannelSecret, DecodeError, Invite, Rekey, Signature, Signed, UserId, members_hash,
};
use rand_core::CryptoRng;
use std::collections::BTreeSet;
use std::fmt;

/// Why a signed rekey was not taken up. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RekeyError {
    /// It replaces another channel than this one.
    #[error("rekey of another channel")]
    OtherChannel,
    /// Whoever signed it is no administrator of this channel.
    #[error("rekey by somebody who is no administrator")]
    NotAdmin,
    /// It does not lead to a later generation of this network's channel, with an id of its own.
    #[error("rekey to another generation or network")]
    OtherGeneration,
    /// Its lists contradict each other or the hash beside them, or are too long.
    #[error("rekey with inconsistent member lists")]
    Members,
    /// Its secret is too old, or of a time that no clock of ours reaches.
    #[error("rekey with a secret that is too old")]
    TooOld,
}

/// A change of secret that waits for the administrator's signature.
#[must_use]
pub struct RekeyDraft {
    body: Bytes,
    request: SignRequest,
}

impl fmt::Debug for RekeyDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body: _, request: _ } = self;
        f.write_str("RekeyDraft(..)")
    }
}

impl RekeyDraft {
    /// What it says. It holds the next secret.
    ///
    /// # Errors
    /// None that can happen: it was made from a rekey.
    pub fn rekey(&self) -> Result<Rekey, DecodeError> {
        Rekey::decode(self.body.clone())
    }

    /// What the administrator signs. Its bytes hold the next secret.
    #[must_use]
    pub const fn request(&self) -> &SignRequest {
        &self.request
    }

    /// The rekey for the members that remain.
    #[must_use]
    pub fn finish(self, sig: Signature) -> Signed {
        Signed { body: self.body, sig }
    }
}

/// The most generations that one rekey may lead on: as many as one partition of a network may bring about before another
/// one hears of it. More would use up the numbers.
pub const MAX_LEAP: u32 = 64;

/// Whether the first of two generations of one channel is written to rather than the other: the later one, and of two
/// equally late the one whose channel id is smaller as bytes. Everybody who knows both finds the same.
#[must_use]
pub fn precedes(one: &Group, other: &Group) -> bool {
    let rank = |group: &Group| (std::cmp::Reverse(group.generation), *group.channel.as_bytes());
    rank(one) < rank(other)
}

impl Group {
    /// The next generation without `removed`, from `now_ms` on, as `admin` proposes it: `members` is the list of those
    /// who remain, or `None` where everybody with the invitation is one. `name` and `servers` go into its invitation.
    /// Takes 64 bytes of randomness.
    ///
    /// # Errors
    /// [`RekeyError`] for what every receiver would refuse.
    #[expect(clippy::too_many_arguments, reason = "what a rekey says, each in a type of its own")]
    pub fn rekey(
        &self,
        admin: UserId,
        members: Option<&[UserId]>,
        removed: &[UserId],
        reason: &str,
        (name, servers): (&str, &[String]),
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, RekeyDraft), RekeyError> {
        let secret: Secret = random(rng);
        let next = Invite {
            network: self.network.clone(),
            channel: ChannelId::new(*random(rng)),
            generation: self.generation.checked_add(1).ok_or(RekeyError::OtherGeneration)?,
            step: 0,
            secret: ChannelSecret::new(*secret),
            start_ms: now_ms,
            admins: self.admins.iter().copied().filter(|admin| !removed.contains(admin)).collect(),
            servers: servers.to_vec(),
            name: name.to_owned(),
            members_hash: members.map(|list| members_hash(&self.network, list)),
        };
        let rekey = Rekey {
            admin,
            old_channel: self.channel,
            next,
            members: members.unwrap_or_default().to_vec(),
            removed: removed.to_vec(),
            reason: reason.to_owned(),
        };
        let group = self.accept(&rekey, now_ms)?;
        Ok((group, self.draft(&rekey)))
    }

    /// The same next generation for the members of another branch: two rekeys at once have left two generations, this
    /// is one of them, and `rekey` leads on from the other. Whoever knows only this one then finds the way as well.
    ///
    /// # Errors
    /// [`RekeyError`] for what every receiver would refuse; [`RekeyError::NotAdmin`] if this branch has removed `admin`.
    pub fn rekey_into(&self, rekey: &Rekey, now_ms: u64) -> Result<RekeyDraft, RekeyError> {
        let rekey = Rekey { old_channel: self.channel, ..rekey.clone() };
        self.accept(&rekey, now_ms)?;
        Ok(self.draft(&rekey))
    }

    fn draft(&self, rekey: &Rekey) -> RekeyDraft {
        let body = rekey.encode();
        let request = sign::rekey(&self.network, &body);
        RekeyDraft { body, request }
    }

    /// The next generation, as a verified rekey describes it. This one stays, to read what is still on its way.
    ///
    /// # Errors
    /// [`RekeyError`].
    pub fn successor(&self, rekey: &Verified<Rekey>, now_ms: u64) -> Result<Self, RekeyError> {
        self.accept(rekey, now_ms)
    }

    fn accept(&self, rekey: &Rekey, now_ms: u64) -> Result<Self, RekeyError> {
        let Rekey { admin, old_channel, next, members, removed, reason: _ } = rekey;
        if *old_channel != self.channel {
            return Err(RekeyError::OtherChannel);
        }
        if !self.admins.contains(admin) {
            return Err(RekeyError::NotAdmin);
        }
        let leap = next.generation.checked_sub(self.generation);
        let is_later = leap.is_some_and(|leap| (1..=MAX_LEAP).contains(&leap));
        if !is_later || next.network != self.network || next.channel == self.channel {
            return Err(RekeyError::OtherGeneration);
        }
        let listed: BTreeSet<UserId> = members.iter().copied().collect();
        let is_consistent = match next.members_hash {
            Some(hash) => hash == members_hash(&self.network, members) && listed.len() == members.len(),
            None => members.is_empty(),
        };
        let is_apart = removed.iter().all(|user| !listed.contains(user) && !next.admins.contains(user));
        if !is_consistent || !is_apart || check_sizes(&next.admins, Some(members)).is_err() {
            return Err(RekeyError::Members);
        }
        let secret = zeroize::Zeroizing::new(*next.secret.as_bytes());
        let mut group = Self {
            network: self.network.clone(),
            channel: next.channel,
            generation: next.generation,
            admins: next.admins.clone(),
            members: next.members_hash.map(|_| listed),
            members_hash: next.members_hash,
            steps: Steps::new(next.step, secret, next.start_ms),
        };
        group.advance(now_ms).map_err(|_| RekeyError::TooOld)?;
        Ok(group)
    }
}
