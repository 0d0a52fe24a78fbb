//! Shards of ours that were sent not long ago, to tell them again to whoever missed them.
//!
//! A shard goes to the servers that the map shows (9.4). One that the map shows a moment later was compared with its
//! neighbours before this shard was sent, so nobody would repair it soon; and one behind a link that broke got
//! nothing. The first is told when it appears, the second when its report (9.6) does not come.

use bytes::Bytes;
use darkchat_proto::{InterestShard, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a shard counts as recent: longer than a map takes to settle.
const RECENT: Duration = Duration::from_secs(30);
/// The most recent shards: what the budget of shards lets through in that time, with room.
const MAX_RECENT: usize = 256;
/// How often a shard without a full report is sent again, and after which wait.
const MAX_TRIES: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Told {
    at: Time,
    number: u64,
    tries: u32,
    retry_at: Option<Time>,
    /// Whether only our neighbours got it, because the others do not know of our epoch yet.
    is_held: bool,
    shard: InterestShard,
    signed: Bytes,
}

/// Our recent shards, the newest of each.
#[derive(Debug, Default)]
pub(crate) struct Retell {
    by_shard: BTreeMap<(u32, u32), Told>,
}

impl Retell {
    /// A shard was sent under this number, to everybody unless it `is_held`.
    pub(crate) fn told(
        &mut self,
        now: Time,
        number: u64,
        shard: &InterestShard,
        signed: &Bytes,
        is_held: bool,
    ) {
        let (epoch, bits) = (shard.epoch, shard.bits);
        self.by_shard.retain(|_, told| {
            let same_cut = (told.shard.epoch, told.shard.bits) == (epoch, bits);
            same_cut && now.saturating_since(told.at) < RECENT
        });
        if self.by_shard.len() >= MAX_RECENT {
            let oldest = self.by_shard.iter().min_by_key(|(_, told)| told.at).map(|(key, _)| *key);
            if let Some(key) = oldest {
                self.by_shard.remove(&key);
            }
        }
        let key = (bits, shard.shard);
        let before = self.by_shard.get(&key).filter(|told| told.shard.seq == shard.seq);
        let (at, tries) = before.map_or((now, 0), |told| (told.at, told.tries));
        let (shard, signed) = (shard.clone(), signed.clone());
        self.by_shard.insert(key, Told { at, number, tries, retry_at: None, is_held, shard, signed });
    }

    /// Not everybody reported what was sent under this number: it is due again, a few times.
    pub(crate) fn missed(&mut self, now: Time, number: u64) {
        if let Some(told) = self.by_shard.values_mut().find(|told| told.number == number)
            && told.tries < MAX_TRIES
        {
            told.tries = told.tries.saturating_add(1);
            told.retry_at = Some(now + RETRY_AFTER);
        }
    }

    /// What is due again.
    pub(crate) fn due(&mut self, now: Time) -> Vec<(InterestShard, Bytes)> {
        let due = |told: &&mut Told| told.retry_at.is_some_and(|at| at <= now);
        let again = |told: &mut Told| {
            told.retry_at = None;
            (told.shard.clone(), told.signed.clone())
        };
        self.by_shard.values_mut().filter(due).map(again).collect()
    }

    /// Somebody was not told, because our epoch is not known there yet.
    pub(crate) fn hold(&mut self) {
        self.by_shard.values_mut().for_each(|told| told.is_held = true);
    }

    /// Those that only our neighbours got, as far as we know.
    pub(crate) fn held(&self) -> Vec<(InterestShard, Bytes)> {
        let held = self.by_shard.values().filter(|told| told.is_held);
        held.map(|told| (told.shard.clone(), told.signed.clone())).collect()
    }

    /// All recent ones, for servers that just appeared.
    pub(crate) fn recent(&self, now: Time) -> Vec<Bytes> {
        let recent = |told: &&Told| now.saturating_since(told.at) < RECENT;
        self.by_shard.values().filter(recent).map(|told| told.signed.clone()).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.by_shard.values().filter_map(|told| told.retry_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::ServerId;

    fn shard(number: u32, seq: u64) -> InterestShard {
        InterestShard {
            server: ServerId::new([1; 32]),
            epoch: 1,
            seq,
            bits: 14,
            shard: number,
            tags: Vec::new(),
        }
    }

    #[test]
    fn what_was_missed_is_told_again_three_times_and_no_more() {
        let mut retell = Retell::default();
        let mut now = Time::ZERO;
        retell.told(now, 0, &shard(1, 1), &Bytes::new(), false);
        for number in 0..5 {
            retell.missed(now, number);
            assert!(retell.due(now).is_empty());
            now = now + RETRY_AFTER;
            let due = retell.due(now);
            assert_eq!(due.len(), usize::from(number < 3), "try {number}");
            retell.told(now, number + 1, &shard(1, 1), &Bytes::new(), false);
        }
        assert_eq!(retell.deadline(), None);
    }

    #[test]
    fn recent_shards_are_bounded_in_time_and_number() {
        let mut retell = Retell::default();
        for number in 0..1_000 {
            retell.told(Time::ZERO, number.into(), &shard(number, 1), &Bytes::new(), false);
        }
        assert_eq!(retell.recent(Time::ZERO).len(), MAX_RECENT);
        assert!(retell.recent(Time::ZERO + RECENT).is_empty());
        retell.told(Time::ZERO + RECENT, 9, &shard(1, 2), &Bytes::new(), false);
        assert_eq!(retell.by_shard.len(), 1);
    }
}
