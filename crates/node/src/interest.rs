//! Which server wants what: our own tags in shards, and those of all others. Source: `docs/protocol.md`, 9.4 and 9.5.

mod others;
mod own;

pub(crate) use others::ShardOutcome;

use crate::limits::Rate;
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::{InterestShard, RouterId, ServerId, Tag, Time};
use others::Others;
use own::Own;
use sha2::{Digest as _, Sha256};

/// The most tags of one server: 16,384 shards of 8.
pub(crate) const MAX_TAGS_PER_SERVER: usize = 131_072;
/// The most tags of all other servers together; a shard counts as one tag at least.
pub(crate) const MAX_TAGS_TOTAL: usize = 2_000_000;
/// The new shards that a server may send.
const SHARD_RATE: Rate = Rate { per_s: 5, burst: 64 };

/// All interest: ours, and that of the servers in the map.
#[derive(Debug)]
pub(crate) struct Interest {
    own: Own,
    others: Others,
}

impl Interest {
    /// Nobody wants anything yet. `epoch` is that of our record.
    pub(crate) const fn new(own: ServerId, epoch: u64) -> Self {
        Self { own: Own::new(own, epoch), others: Others::new() }
    }

    /// One more reason for us to want a tag. `false`: the server wants too many, and nothing changed.
    #[must_use]
    pub(crate) fn want(&mut self, now: Time, tag: Tag) -> bool {
        self.own.want(now, tag)
    }

    /// One reason less. After the last one the tag is kept for 5 s, so that who comes back costs nothing.
    pub(crate) fn unwant(&mut self, now: Time, tag: Tag) {
        self.own.unwant(now, tag);
    }

    /// Begins another epoch of ours: every shard is issued again.
    pub(crate) fn set_epoch(&mut self, now: Time, epoch: u64) {
        self.own.set_epoch(now, epoch);
    }

    /// The shards of ours to sign and send now; each is answered with [`issued`](Self::issued).
    ///
    /// Changes are collected for 100 ms and sent within the budget; what exceeds it waits and is merged.
    pub(crate) fn due(&mut self, now: Time) -> Vec<InterestShard> {
        self.own.due(now)
    }

    /// A shard of ours is signed, and is what peers pull from now on. An outdated one is ignored.
    pub(crate) fn issued(&mut self, shard: &InterestShard, signed: Bytes) {
        self.own.issued(shard, signed);
    }

    /// Whether the newest shard that could say so is signed and says that we want this tag.
    pub(crate) fn is_announced(&self, tag: Tag) -> bool {
        self.own.is_announced(tag)
    }

    /// The shard that says that we want this tag is to be sent once more, within the budget of all; nothing if none says so.
    pub(crate) fn announce_again(&mut self, now: Time, tag: Tag) {
        self.own.announce_again(now, tag);
    }

    /// The tags that we want, or let go of less than 5 s ago.
    pub(crate) fn own_len(&self) -> usize {
        self.own.len()
    }

    /// Takes a shard that came from a peer. `epoch` is that of its server's record, if there is one.
    pub(crate) fn insert(
        &mut self,
        now: Time,
        shard: Verified<InterestShard>,
        signed: &Bytes,
        epoch: Option<u64>,
    ) -> ShardOutcome {
        if shard.server == self.own.server() {
            return ShardOutcome::Own;
        }
        self.others.insert(now, shard.into_inner(), signed, epoch)
    }

    /// The other servers that want a tag, in ascending order.
    pub(crate) fn servers(&self, tag: Tag) -> impl Iterator<Item = RouterId> {
        self.others.servers(tag)
    }

    /// How many tags a server wants, ours included; those of a former cut are left out.
    pub(crate) fn tags_of(&self, router: RouterId) -> usize {
        if router == self.own.server().router() { self.own.len() } else { self.others.tags_of(router) }
    }

    /// The encoded shards of a server, ours included, for a peer that pulls them; those of a former cut are left out.
    pub(crate) fn shards(&self, router: RouterId) -> Vec<Bytes> {
        if router == self.own.server().router() { self.own.shards() } else { self.others.shards(router) }
    }

    /// The XOR over the shards of a server, ours included, for a `Digest`; 0 if none of that epoch are held.
    pub(crate) fn digest(&self, router: RouterId, epoch: u64) -> u64 {
        if router == self.own.server().router() {
            self.own.digest()
        } else {
            self.others.digest(router, epoch)
        }
    }

    /// Says who can be reached: the interest of a server that could not be reached for 600 s is dropped.
    ///
    /// To be called when the map changed.
    pub(crate) fn note_reachable(&mut self, now: Time, is_reachable: impl FnMut(RouterId) -> bool) {
        self.others.note_reachable(now, is_reachable);
    }

    /// Drops the interest of a server: its record expired, or another epoch of it began.
    pub(crate) fn forget(&mut self, router: RouterId) {
        self.others.forget(router);
    }

    /// Drops what has had its time: call at [`deadline`](Self::deadline), then ask what is [`due`](Self::due).
    pub(crate) fn expire(&mut self, now: Time) {
        self.own.expire(now);
        self.others.expire(now);
    }

    /// When [`expire`](Self::expire) or [`due`](Self::due) has something to do next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.own.deadline(), self.others.deadline()].into_iter().flatten().min()
    }

    /// The tags of all other servers; a shard counts as one tag at least.
    pub(crate) const fn others_len(&self) -> usize {
        self.others.len()
    }

    /// The shards that were refused because there was no room for them.
    pub(crate) const fn refused(&self) -> u64 {
        self.others.refused()
    }
}

/// What a shard adds to the XOR of a `Digest`.
fn shard_digest(shard: u32, epoch: u64, seq: u64) -> u64 {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(shard.to_be_bytes())
        .chain_update(epoch.to_be_bytes())
        .chain_update(seq.to_be_bytes())
        .finalize()
        .into();
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests;
