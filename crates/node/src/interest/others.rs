//! The interest of the other servers: the newest shard wins, and every table has its bound.

use super::{MAX_TAGS_PER_SERVER, MAX_TAGS_TOTAL, SHARD_RATE, shard_digest};
use bytes::Bytes;
use darkchat_proto::{InterestShard, RouterId, Tag, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the shards of a former cut count beside those of a new one that the budget lets through at once.
const FORMER: Duration = Duration::from_secs(5);
/// How long the interest of a server without a way to it is kept: it may come back as it was.
const UNREACHABLE: Duration = Duration::from_secs(600);
/// What a `Signed` shard takes beside its tags, in bytes, with room for fields of later versions.
const SHARD_ROOM: usize = 256;

/// What became of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShardOutcome {
    /// It is newer than what was held, and held now.
    Newer,
    /// It, or a newer one, was held already.
    Older,
    /// We have no record of that server with the same epoch.
    NoRecord,
    /// It is under our own key.
    Own,
    /// It has too many tags, for its server or for all, or more bytes than its tags need.
    Full,
}

/// The shards of all servers but ourselves.
#[derive(Debug)]
pub(super) struct Others {
    servers: BTreeMap<RouterId, Other>,
    /// Every (tag, server) that counts: the servers of a tag stand together, in ascending order.
    index: BTreeSet<(Tag, RouterId)>,
    /// The cost of all cuts.
    total: usize,
    refused: u64,
    timers: BTreeSet<(Time, RouterId, Timer)>,
}

/// What is to go at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Former,
    Unreachable,
}

#[derive(Debug)]
struct Other {
    epoch: u64,
    cut: Cut,
    /// The cut before, and until when it counts.
    former: Option<(Time, Cut)>,
    /// When it is dropped, if there is no way to it until then.
    drop_at: Option<Time>,
}

/// The tags of a server, cut into 2 to the power of `bits` shards.
#[derive(Debug)]
struct Cut {
    bits: u32,
    /// The greatest number of its shards.
    newest: u64,
    shards: BTreeMap<u32, Held>,
    cost: usize,
    digest: u64,
}

#[derive(Debug)]
struct Held {
    seq: u64,
    tags: Vec<Tag>,
    signed: Bytes,
}

/// Where a shard belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Into the cut that is in force.
    Current,
    /// Into the one before.
    Former,
    /// It begins another cut.
    Next,
}

/// An empty shard takes memory too.
fn cost(tags: &[Tag]) -> usize {
    tags.len().max(1)
}

impl Cut {
    const fn new(bits: u32) -> Self {
        Self { bits, newest: 0, shards: BTreeMap::new(), cost: 0, digest: 0 }
    }

    fn is_newer(&self, shard: &InterestShard) -> bool {
        self.shards.get(&shard.shard).is_none_or(|held| held.seq < shard.seq)
    }

    fn holds(&self, tag: Tag) -> bool {
        let shard = self.shards.get(&InterestShard::of_tag(tag, self.bits));
        shard.is_some_and(|held| held.tags.binary_search(&tag).is_ok())
    }

    fn cost_with(&self, shard: &InterestShard) -> usize {
        let replaced = self.shards.get(&shard.shard).map_or(0, |held| cost(&held.tags));
        self.cost.saturating_sub(replaced).saturating_add(cost(&shard.tags))
    }

    /// Puts a shard in; the tags of the one that it replaces.
    fn put(&mut self, shard: InterestShard, signed: Bytes) -> Vec<Tag> {
        self.cost = self.cost_with(&shard);
        self.newest = self.newest.max(shard.seq);
        self.digest ^= shard_digest(shard.shard, shard.epoch, shard.seq);
        let held = Held { seq: shard.seq, tags: shard.tags, signed };
        match self.shards.insert(shard.shard, held) {
            Some(old) => {
                self.digest ^= shard_digest(shard.shard, shard.epoch, old.seq);
                old.tags
            }
            None => Vec::new(),
        }
    }
}

impl Other {
    fn place(&self, shard: &InterestShard) -> Option<Place> {
        if shard.bits == self.cut.bits {
            return self.cut.is_newer(shard).then_some(Place::Current);
        }
        if shard.seq > self.cut.newest {
            return Some(Place::Next);
        }
        let (_, former) = self.former.as_ref()?;
        (former.bits == shard.bits && former.is_newer(shard)).then_some(Place::Former)
    }

    fn holds(&self, tag: Tag) -> bool {
        self.cut.holds(tag) || self.former.as_ref().is_some_and(|(_, former)| former.holds(tag))
    }

    /// The cost of the cut that the shard goes into, before and after.
    fn costs(&self, place: Place, shard: &InterestShard) -> (usize, usize) {
        match (place, &self.former) {
            (Place::Next, _) => (0, cost(&shard.tags)),
            (Place::Former, Some((_, former))) => (former.cost, former.cost_with(shard)),
            _ => (self.cut.cost, self.cut.cost_with(shard)),
        }
    }
}

impl Others {
    pub(super) const fn new() -> Self {
        Self {
            servers: BTreeMap::new(),
            index: BTreeSet::new(),
            total: 0,
            refused: 0,
            timers: BTreeSet::new(),
        }
    }

    pub(super) fn insert(
        &mut self,
        now: Time,
        shard: InterestShard,
        signed: &Bytes,
        epoch: Option<u64>,
    ) -> ShardOutcome {
        if epoch != Some(shard.epoch) {
            return ShardOutcome::NoRecord;
        }
        let router = shard.server.router();
        if self.servers.get(&router).is_some_and(|other| other.epoch != shard.epoch) {
            self.forget(router);
        }
        let (place, (before, after)) = match self.servers.get(&router) {
            None => (Place::Current, (0, cost(&shard.tags))),
            Some(other) => match other.place(&shard) {
                None => return ShardOutcome::Older,
                Some(place) => (place, other.costs(place, &shard)),
            },
        };
        let total = self.total.saturating_sub(before).saturating_add(after);
        let too_long = signed.len() > shard.tags.len().saturating_mul(8).saturating_add(SHARD_ROOM);
        let crowded = after > before && (after > MAX_TAGS_PER_SERVER || total > MAX_TAGS_TOTAL);
        if too_long || crowded {
            self.refused = self.refused.saturating_add(1);
            return ShardOutcome::Full;
        }
        self.total = total;
        self.keep(now, router, place, shard, Bytes::copy_from_slice(signed));
        ShardOutcome::Newer
    }

    fn keep(&mut self, now: Time, router: RouterId, place: Place, shard: InterestShard, signed: Bytes) {
        if place == Place::Next {
            self.begin_cut(now, router, shard.bits);
        }
        let other = self.servers.entry(router).or_insert_with(|| Other {
            epoch: shard.epoch,
            cut: Cut::new(shard.bits),
            former: None,
            drop_at: None,
        });
        self.index.extend(shard.tags.iter().map(|tag| (*tag, router)));
        let cut = match (place, &mut other.former) {
            (Place::Former, Some((_, former))) => former,
            _ => &mut other.cut,
        };
        let outdated = cut.put(shard, signed);
        for tag in outdated {
            if !other.holds(tag) {
                self.index.remove(&(tag, router));
            }
        }
    }

    /// Makes the cut in force the former one.
    fn begin_cut(&mut self, now: Time, router: RouterId, bits: u32) {
        self.drop_former(router);
        let Some(other) = self.servers.get_mut(&router) else { return };
        let cut = std::mem::replace(&mut other.cut, Cut::new(bits));
        // A server sends no more shards than its budget allows: until all have come, the former ones count.
        let late = 1_u64.checked_shl(bits).unwrap_or(u64::MAX).saturating_sub(SHARD_RATE.burst);
        let until = now + FORMER + Duration::from_secs(late.div_ceil(SHARD_RATE.per_s));
        other.former = Some((until, cut));
        self.timers.insert((until, router, Timer::Former));
    }

    fn drop_former(&mut self, router: RouterId) {
        let Some(other) = self.servers.get_mut(&router) else { return };
        let Some((until, former)) = other.former.take() else { return };
        self.timers.remove(&(until, router, Timer::Former));
        self.total = self.total.saturating_sub(former.cost);
        for tag in former.shards.into_values().flat_map(|held| held.tags) {
            if !other.holds(tag) {
                self.index.remove(&(tag, router));
            }
        }
    }

    pub(super) fn forget(&mut self, router: RouterId) {
        self.drop_former(router);
        let Some(other) = self.servers.remove(&router) else { return };
        if let Some(drop_at) = other.drop_at {
            self.timers.remove(&(drop_at, router, Timer::Unreachable));
        }
        self.total = self.total.saturating_sub(other.cut.cost);
        for tag in other.cut.shards.into_values().flat_map(|held| held.tags) {
            self.index.remove(&(tag, router));
        }
    }

    pub(super) fn note_reachable(&mut self, now: Time, mut is_reachable: impl FnMut(RouterId) -> bool) {
        for (router, other) in &mut self.servers {
            match (is_reachable(*router), other.drop_at) {
                (true, Some(drop_at)) => {
                    other.drop_at = None;
                    self.timers.remove(&(drop_at, *router, Timer::Unreachable));
                }
                (false, None) => {
                    let drop_at = now + UNREACHABLE;
                    other.drop_at = Some(drop_at);
                    self.timers.insert((drop_at, *router, Timer::Unreachable));
                }
                _ => {}
            }
        }
    }

    pub(super) fn expire(&mut self, now: Time) {
        while let Some((at, router, timer)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Former => self.drop_former(router),
                Timer::Unreachable => self.forget(router),
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(at, ..)| *at)
    }

    pub(super) fn servers(&self, tag: Tag) -> impl Iterator<Item = RouterId> {
        self.index.range((tag, RouterId(0))..=(tag, RouterId(u64::MAX))).map(|(_, router)| *router)
    }

    pub(super) fn shards(&self, router: RouterId) -> Vec<Bytes> {
        let shards = self.servers.get(&router).map(|other| other.cut.shards.values());
        shards.into_iter().flatten().map(|held| held.signed.clone()).collect()
    }

    pub(super) fn tags_of(&self, router: RouterId) -> usize {
        let shards = self.servers.get(&router).map(|other| other.cut.shards.values());
        shards.into_iter().flatten().map(|held| held.tags.len()).sum()
    }

    pub(super) fn digest(&self, router: RouterId, epoch: u64) -> u64 {
        self.servers.get(&router).filter(|other| other.epoch == epoch).map_or(0, |other| other.cut.digest)
    }

    pub(super) const fn len(&self) -> usize {
        self.total
    }

    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}
