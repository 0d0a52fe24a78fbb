//! Our own interest: who wants what here, how it is cut into shards, and when they are sent.

use super::{MAX_TAGS_PER_SERVER, SHARD_RATE, shard_digest};
use crate::limits::Bucket;
use bytes::Bytes;
use darkchat_proto::limits::{MAX_SHARD_BITS, MAX_SHARD_TAGS};
use darkchat_proto::{InterestShard, ServerId, Tag, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long changes are collected before they are sent.
const COLLECT: Duration = Duration::from_millis(100);
/// How long a tag that nobody wants any more is kept.
const LEAVE_DAMPING: Duration = Duration::from_secs(5);
/// The tags that a shard holds on average when the tags are cut.
const SHARD_AVERAGE: usize = 8;
/// The tags are cut anew when their number has changed by this factor.
const RECUT: usize = 4;

#[derive(Debug)]
pub(super) struct Own {
    server: ServerId,
    epoch: u64,
    /// Counts all our shards.
    seq: u64,
    /// Each tag and the number of reasons for it; 0 while it is about to go.
    tags: BTreeMap<Tag, u64>,
    /// When a tag without reasons goes, in that order.
    leaving: BTreeSet<(Time, Tag)>,
    leaves_at: BTreeMap<Tag, Time>,
    bits: u32,
    /// The number of tags when they were cut, or what a cut is made for at least.
    cut_for: usize,
    /// The shards to send because their tags changed, and those that are issued again without a
    /// change: for a new cut or epoch, or because not everybody is known to have them.
    changed: Dirty,
    reissued: Dirty,
    /// Which of the two comes next: neither can hold up the other.
    reissue_next: bool,
    /// When the first change has been collected long enough, or the budget allows the next shard.
    ready: Option<Time>,
    budget: Bucket,
    /// What is signed, by shard.
    issued: BTreeMap<u32, Issued>,
    digest: u64,
}

#[derive(Debug)]
struct Issued {
    seq: u64,
    tags: Vec<Tag>,
    signed: Bytes,
}

/// Shards that wait to be sent, each once, in the order in which they came.
#[derive(Debug)]
struct Dirty {
    order: VecDeque<u32>,
    members: BTreeSet<u32>,
}

impl Dirty {
    const fn new() -> Self {
        Self { order: VecDeque::new(), members: BTreeSet::new() }
    }

    fn push(&mut self, shard: u32) {
        if self.members.insert(shard) {
            self.order.push_back(shard);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let shard = self.order.pop_front()?;
        self.members.remove(&shard);
        Some(shard)
    }

    fn clear(&mut self) {
        self.order.clear();
        self.members.clear();
    }
}

/// Into how many bits so many tags are cut.
fn bits_for(tags: usize) -> u32 {
    (0..MAX_SHARD_BITS).find(|bits| tags <= SHARD_AVERAGE << bits).unwrap_or(MAX_SHARD_BITS)
}

/// The tags of a shard, in ascending order.
fn shard_tags(tags: &BTreeMap<Tag, u64>, bits: u32, shard: u32) -> impl Iterator<Item = Tag> {
    let below = 64_u32.saturating_sub(bits);
    let first = u64::from(shard).checked_shl(below).unwrap_or(0);
    let last = first | u64::MAX.checked_shr(bits).unwrap_or(0);
    tags.range(Tag(first)..=Tag(last)).map(|(tag, _)| *tag)
}

impl Own {
    pub(super) const fn new(server: ServerId, epoch: u64) -> Self {
        Self {
            server,
            epoch,
            seq: 0,
            tags: BTreeMap::new(),
            leaving: BTreeSet::new(),
            leaves_at: BTreeMap::new(),
            bits: 0,
            cut_for: SHARD_AVERAGE,
            changed: Dirty::new(),
            reissued: Dirty::new(),
            reissue_next: false,
            ready: None,
            budget: Bucket::new(SHARD_RATE),
            issued: BTreeMap::new(),
            digest: 0,
        }
    }

    pub(super) const fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn want(&mut self, now: Time, tag: Tag) -> bool {
        if let Some(reasons) = self.tags.get_mut(&tag) {
            *reasons = reasons.saturating_add(1);
            if let Some(at) = self.leaves_at.remove(&tag) {
                self.leaving.remove(&(at, tag));
            }
            return true;
        }
        if self.tags.len() >= MAX_TAGS_PER_SERVER || !self.shard_has_room(tag) {
            return false;
        }
        self.tags.insert(tag, 1);
        self.touch(now, tag);
        true
    }

    /// Somebody could choose ids whose tags all fall into one shard, which nobody would then take.
    fn shard_has_room(&self, tag: Tag) -> bool {
        let bits = if self.wants_recut() { bits_for(self.tags.len()) } else { self.bits };
        let shard = InterestShard::of_tag(tag, bits);
        self.tags.len() < MAX_SHARD_TAGS || self.count(bits, shard) < MAX_SHARD_TAGS
    }

    /// Whether the number of tags has changed much since they were cut.
    fn wants_recut(&self) -> bool {
        let count = self.tags.len().max(SHARD_AVERAGE);
        count >= self.cut_for.saturating_mul(RECUT) || count.saturating_mul(RECUT) <= self.cut_for
    }

    fn count(&self, bits: u32, shard: u32) -> usize {
        shard_tags(&self.tags, bits, shard).take(MAX_SHARD_TAGS.saturating_add(1)).count()
    }

    pub(super) fn unwant(&mut self, now: Time, tag: Tag) {
        let Some(reasons) = self.tags.get_mut(&tag) else { return };
        if *reasons == 1 {
            let at = now + LEAVE_DAMPING;
            self.leaving.insert((at, tag));
            self.leaves_at.insert(tag, at);
        }
        *reasons = reasons.saturating_sub(1);
    }

    fn touch(&mut self, now: Time, tag: Tag) {
        self.changed.push(InterestShard::of_tag(tag, self.bits));
        self.ready.get_or_insert(now + COLLECT);
    }

    pub(super) fn set_epoch(&mut self, now: Time, epoch: u64) {
        if epoch == self.epoch {
            return;
        }
        self.epoch = epoch;
        self.issued.clear();
        self.digest = 0;
        if self.seq == 0 {
            return;
        }
        // All of them: a shard of the former epoch may be away to be signed.
        for shard in 0..1_u32.checked_shl(self.bits).unwrap_or(1) {
            self.reissued.push(shard);
        }
        self.ready.get_or_insert(now + COLLECT);
    }

    pub(super) fn expire(&mut self, now: Time) {
        while let Some((at, tag)) = self.leaving.first().copied() {
            if at > now {
                break;
            }
            self.leaving.pop_first();
            self.leaves_at.remove(&tag);
            self.tags.remove(&tag);
            self.touch(now, tag);
        }
    }

    pub(super) fn due(&mut self, now: Time) -> Vec<InterestShard> {
        self.expire(now);
        let mut due = Vec::new();
        if self.ready.is_none_or(|ready| ready > now) {
            return due;
        }
        self.recut();
        while !(self.changed.order.is_empty() && self.reissued.order.is_empty()) {
            if !self.budget.try_take(now, 1) {
                self.ready = Some(now + self.budget.wait(now, 1));
                return due;
            }
            let (first, second) = match self.reissue_next {
                true => (&mut self.reissued, &mut self.changed),
                false => (&mut self.changed, &mut self.reissued),
            };
            let shard = first.pop().or_else(|| second.pop());
            self.reissue_next = !self.reissue_next;
            due.extend(shard.map(|shard| self.make(shard)));
        }
        self.ready = None;
        due
    }

    fn make(&mut self, shard: u32) -> InterestShard {
        self.seq = self.seq.saturating_add(1);
        InterestShard {
            server: self.server,
            epoch: self.epoch,
            seq: self.seq,
            bits: self.bits,
            shard,
            tags: shard_tags(&self.tags, self.bits, shard).take(MAX_SHARD_TAGS).collect(),
        }
    }

    /// Cuts the tags anew if their number has changed much; then all shards go out, also empty ones.
    ///
    /// An empty shard says that nothing of an earlier cut of the same bits counts any more.
    fn recut(&mut self) {
        if !self.wants_recut() {
            return;
        }
        let count = self.tags.len().max(SHARD_AVERAGE);
        let bits = bits_for(count);
        let shards = 1_u32.checked_shl(bits).unwrap_or(1);
        let merges_too_much = bits < self.bits
            && self.tags.len() > MAX_SHARD_TAGS
            && (0..shards).any(|shard| self.count(bits, shard) > MAX_SHARD_TAGS);
        self.cut_for = count;
        if merges_too_much || bits == self.bits {
            return;
        }
        let changed: Vec<u32> = self.changed.order.iter().copied().collect();
        let (from, to) = (self.bits, bits);
        self.bits = bits;
        self.issued.clear();
        self.digest = 0;
        self.changed.clear();
        self.reissued.clear();
        for shard in changed {
            // A shard that had changed is now several, or a part of one.
            match to.checked_sub(from) {
                Some(more) => (0..1_u32 << more).for_each(|part| self.changed.push((shard << more) | part)),
                None => self.changed.push(shard >> from.saturating_sub(to)),
            }
        }
        for shard in 0..shards {
            if !self.changed.members.contains(&shard) {
                self.reissued.push(shard);
            }
        }
    }

    pub(super) fn issued(&mut self, shard: &InterestShard, signed: Bytes) {
        let outdated = self.issued.get(&shard.shard).is_some_and(|held| held.seq >= shard.seq);
        if shard.epoch != self.epoch || shard.bits != self.bits || outdated {
            return;
        }
        self.digest ^= shard_digest(shard.shard, shard.epoch, shard.seq);
        let issued = Issued { seq: shard.seq, tags: shard.tags.clone(), signed };
        if let Some(old) = self.issued.insert(shard.shard, issued) {
            self.digest ^= shard_digest(shard.shard, shard.epoch, old.seq);
        }
    }

    pub(super) fn is_announced(&self, tag: Tag) -> bool {
        let shard = InterestShard::of_tag(tag, self.bits);
        self.issued.get(&shard).is_some_and(|issued| issued.tags.binary_search(&tag).is_ok())
    }

    pub(super) fn announce_again(&mut self, now: Time, tag: Tag) {
        if self.is_announced(tag) {
            self.reissued.push(InterestShard::of_tag(tag, self.bits));
            self.ready.get_or_insert(now + COLLECT);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn shards(&self) -> Vec<Bytes> {
        self.issued.values().map(|issued| issued.signed.clone()).collect()
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let leaving = self.leaving.first().map(|(at, _)| *at);
        [leaving, self.ready].into_iter().flatten().min()
    }

    #[cfg(test)]
    pub(super) const fn bits_for_tests(&self) -> u32 {
        self.bits
    }
}
