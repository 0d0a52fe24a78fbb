//! Joins that wait until every reachable server knows of them. Source: `docs/protocol.md`, sections 5.2 and 9.6.

use crate::LinkId;
use crate::spread::DONE_TIMEOUT;
use darkchat_proto::{InterestShard, Tag, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The most joins that wait; further ones are answered at once, as not spread.
const MAX_WAITING: usize = 8_192;

/// One join that waits.
#[derive(Debug)]
struct Waiting {
    /// The tags that are not settled yet.
    tags: BTreeSet<Tag>,
    /// The servers that know all settled ones.
    servers: Option<u32>,
    /// Whether all settled ones are known everywhere.
    complete: bool,
    until: Time,
}

/// A join whose answer is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) link: LinkId,
    pub(crate) req: u32,
    /// The servers that know all of it.
    pub(crate) servers: u32,
    /// Whether every server that it was sent to does.
    pub(crate) complete: bool,
}

/// Our shards on their way, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    waiting: BTreeMap<(LinkId, u32), Waiting>,
    by_tag: BTreeMap<Tag, BTreeSet<(LinkId, u32)>>,
    by_time: BTreeSet<(Time, LinkId, u32)>,
    /// Shards on their way, by number, with the tags that they say.
    under_way: BTreeMap<u64, Vec<Tag>>,
    /// How many shards on their way say a tag.
    carried: BTreeMap<Tag, usize>,
    /// Tags that every server knows that could be reached, since the last one could.
    confirmed: BTreeMap<Tag, u32>,
    /// Counts the times that another server could be reached.
    generation: u64,
    /// The generation in which each shard on its way was sent.
    sent_in: BTreeMap<u64, u64>,
}

impl Joins {
    /// Whether a tag is known everywhere, and at how many servers.
    pub(crate) fn confirmed(&self, tag: Tag) -> Option<u32> {
        self.confirmed.get(&tag).copied()
    }

    /// Whether a shard that says this tag is on its way.
    pub(crate) fn is_under_way(&self, tag: Tag) -> bool {
        self.carried.contains_key(&tag)
    }

    /// Lets a join wait for these tags; `false` if too many wait already.
    pub(crate) fn wait(&mut self, now: Time, link: LinkId, req: u32, tags: BTreeSet<Tag>) -> bool {
        if self.waiting.len() >= MAX_WAITING || self.waiting.contains_key(&(link, req)) {
            return false;
        }
        let until = now + DONE_TIMEOUT;
        for tag in &tags {
            self.by_tag.entry(*tag).or_default().insert((link, req));
        }
        self.by_time.insert((until, link, req));
        self.waiting.insert((link, req), Waiting { tags, servers: None, complete: true, until });
        true
    }

    /// A shard of ours leaves: what it says is being told, and what it no longer says is not known any more.
    pub(crate) fn sent(&mut self, number: u64, shard: &InterestShard) {
        let first = Tag(u64::from(shard.shard).checked_shl(64_u32.saturating_sub(shard.bits)).unwrap_or(0));
        let in_shard = |tag: &Tag| InterestShard::of_tag(*tag, shard.bits) == shard.shard;
        let void: Vec<Tag> =
            self.confirmed.range(first..).map(|(tag, _)| *tag).take_while(in_shard).collect();
        for tag in void {
            self.confirmed.remove(&tag);
        }
        self.under_way.insert(number, shard.tags.clone());
        self.sent_in.insert(number, self.generation);
        for tag in &shard.tags {
            *self.carried.entry(*tag).or_default() += 1;
        }
    }

    /// A shard of ours is known at `servers`, or will not be; the joins that are settled by it.
    pub(crate) fn settled(&mut self, number: u64, servers: u32, complete: bool) -> Vec<Answer> {
        let Some(tags) = self.under_way.remove(&number) else { return Vec::new() };
        let current = self.sent_in.remove(&number) == Some(self.generation);
        let mut answers = Vec::new();
        for tag in tags {
            if let Some(count) = self.carried.get_mut(&tag) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.carried.remove(&tag);
                }
            }
            if complete && current {
                self.confirmed.insert(tag, servers);
            }
            for key in self.by_tag.remove(&tag).unwrap_or_default() {
                answers.extend(self.settle(key, tag, servers, complete));
            }
        }
        answers
    }

    fn settle(&mut self, key: (LinkId, u32), tag: Tag, servers: u32, complete: bool) -> Option<Answer> {
        let waiting = self.waiting.get_mut(&key)?;
        waiting.tags.remove(&tag);
        waiting.complete &= complete;
        waiting.servers = Some(waiting.servers.map_or(servers, |others| others.min(servers)));
        if !waiting.tags.is_empty() {
            return None;
        }
        let Waiting { servers, complete, .. } = self.end(key)?;
        Some(Answer { link: key.0, req: key.1, servers: servers.unwrap_or_default(), complete })
    }

    fn end(&mut self, key: (LinkId, u32)) -> Option<Waiting> {
        let waiting = self.waiting.remove(&key)?;
        self.by_time.remove(&(waiting.until, key.0, key.1));
        for tag in &waiting.tags {
            if let Some(keys) = self.by_tag.get_mut(tag) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_tag.remove(tag);
                }
            }
        }
        Some(waiting)
    }

    /// Another server can be reached: nothing counts as known everywhere any more.
    pub(crate) fn more_reachable(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.confirmed.clear();
    }

    /// A session is gone, and wants no answers.
    pub(crate) fn forget(&mut self, link: LinkId) {
        let keys: Vec<(LinkId, u32)> =
            self.waiting.range((link, 0)..=(link, u32::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            self.end(key);
        }
    }

    /// A session goes on with another link, and wants its answers there.
    pub(crate) fn rename(&mut self, old: LinkId, link: LinkId) {
        let keys: Vec<(LinkId, u32)> =
            self.waiting.range((old, 0)..=(old, u32::MAX)).map(|(key, _)| *key).collect();
        for (_, req) in keys {
            let Some(waiting) = self.end((old, req)) else { continue };
            for tag in &waiting.tags {
                self.by_tag.entry(*tag).or_default().insert((link, req));
            }
            self.by_time.insert((waiting.until, link, req));
            self.waiting.insert((link, req), waiting);
        }
    }

    /// Joins that waited too long: what is known by then does not count.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some((_, link, req)) = self.by_time.first().copied().filter(|(until, ..)| *until <= now) {
            self.by_time.pop_first();
            if self.end((link, req)).is_some() {
                answers.push(Answer { link, req, servers: 0, complete: false });
            }
        }
        answers
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.by_time.first().map(|(until, ..)| *until)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::ServerId;

    const LINK: LinkId = LinkId(1);

    fn tags(tags: &[u64]) -> BTreeSet<Tag> {
        tags.iter().copied().map(Tag).collect()
    }

    fn shard(tags: &[u64]) -> InterestShard {
        let tags = tags.iter().copied().map(Tag).collect();
        InterestShard { server: ServerId::new([1; 32]), epoch: 1, seq: 1, bits: 0, shard: 0, tags }
    }

    #[test]
    fn a_join_is_settled_when_each_of_its_tags_is() {
        let mut joins = Joins::default();
        assert!(joins.wait(Time::ZERO, LINK, 5, tags(&[1, 2])));
        joins.sent(0, &shard(&[1]));
        joins.sent(1, &shard(&[2, 3]));
        assert_eq!(joins.settled(0, 4, true), []);
        let answer = Answer { link: LINK, req: 5, servers: 3, complete: true };
        assert_eq!(joins.settled(1, 3, true), [answer]);
        assert_eq!((joins.len(), joins.by_tag.len(), joins.by_time.len()), (0, 0, 0));
        assert!(joins.carried.is_empty() && joins.under_way.is_empty() && joins.sent_in.is_empty());
    }

    #[test]
    fn a_tag_is_known_until_its_shard_is_told_anew_or_another_server_appears() {
        let mut joins = Joins::default();
        joins.sent(0, &shard(&[1, 2]));
        assert_eq!(joins.confirmed(Tag(1)), None);
        joins.settled(0, 4, true);
        assert_eq!(joins.confirmed(Tag(1)), Some(4));
        joins.sent(1, &shard(&[2]));
        assert_eq!((joins.confirmed(Tag(1)), joins.confirmed(Tag(2))), (None, None));
        joins.more_reachable();
        joins.settled(1, 4, true);
        assert_eq!(joins.confirmed(Tag(2)), None, "it was sent before the other one appeared");
    }

    #[test]
    fn what_takes_too_long_is_answered_and_who_is_gone_is_not() {
        let mut joins = Joins::default();
        joins.wait(Time::ZERO, LINK, 5, tags(&[1]));
        joins.wait(Time::ZERO, LinkId(2), 5, tags(&[1]));
        joins.forget(LINK);
        assert_eq!(joins.deadline(), Some(Time::ZERO + DONE_TIMEOUT));
        let late = Answer { link: LinkId(2), req: 5, servers: 0, complete: false };
        assert_eq!(joins.expire(Time::ZERO + DONE_TIMEOUT), [late]);
        assert_eq!((joins.len(), joins.by_tag.len(), joins.by_time.len()), (0, 0, 0));
    }

    #[test]
    fn joins_that_wait_are_bounded() {
        let mut joins = Joins::default();
        let taken = (0..10_000).filter(|req| joins.wait(Time::ZERO, LINK, *req, tags(&[1]))).count();
        assert_eq!((taken, joins.len()), (MAX_WAITING, MAX_WAITING));
    }
}
