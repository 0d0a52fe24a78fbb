//! What we may send and what we read of direct messages in a time. Source: `docs/protocol.md`, sections 7.3 and 10.1.

use crate::session::budget::Bucket;
use darkchat_proto::Time;

/// The server takes this many packets, lookups and calls for 20 posts: all profiles stand in one ratio (10.1). A
/// client uses nine tenths of each.
const PUBLIC_POSTS: u64 = 20;
/// Calls of others that are read in a second, and at once: each costs four agreements.
const CALLS_READ: (u64, u64) = (20, 60);

/// The budgets of our packets, calls and lookups, and of the calls that we read.
#[derive(Debug)]
pub(super) struct Rates {
    packets: Bucket,
    calls: Bucket,
    lookups: Bucket,
    read: Bucket,
}

impl Rates {
    /// Full budgets, for a server that takes so many posts a second.
    pub(super) fn new(posts_per_s: u32, now: Time) -> Self {
        let posts = if posts_per_s == 0 { PUBLIC_POSTS } else { posts_per_s.into() };
        let share = |public: u64| posts.saturating_mul(public).saturating_mul(9) / (PUBLIC_POSTS * 10);
        Self {
            packets: Bucket::new(share(20), share(100), now),
            calls: Bucket::new(share(1), share(300), now),
            lookups: Bucket::new(share(5), share(20), now),
            read: Bucket::new(CALLS_READ.0, CALLS_READ.1, now),
        }
    }

    /// Takes the room for a packet, or says when there is some.
    pub(super) fn packet(&mut self, now: Time) -> Result<(), Time> {
        self.packets.take_one(now)
    }

    /// Takes the room for a call, or says when there is some. A call is a packet as well.
    pub(super) fn call(&mut self, now: Time) -> Result<(), Time> {
        let at = self.packets.one_at(now).max(self.calls.one_at(now));
        if at > now {
            return Err(at);
        }
        self.packets.take_one(now).and_then(|()| self.calls.take_one(now))
    }

    /// Takes the room for a lookup, or says when there is some.
    pub(super) fn lookup(&mut self, now: Time) -> Result<(), Time> {
        self.lookups.take_one(now)
    }

    /// Whether another call may be read.
    pub(super) fn reads_call(&mut self, now: Time) -> bool {
        self.read.take_one(now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::limits::MAX_MEMBERS;

    #[test]
    fn a_client_keeps_to_nine_tenths_of_the_servers_budgets_in_every_profile() {
        // Calls are packets: at once there are no more of them.
        for (posts, packets, calls, lookups) in
            [(0, 90, 90, 18), (20, 90, 90, 18), (2_000, 9_000, 9_000, 1_800)]
        {
            let count = |take: fn(&mut Rates) -> bool| {
                let mut rates = Rates::new(posts, Time::ZERO);
                (0..30_000).take_while(|_| take(&mut rates)).count()
            };
            assert_eq!(count(|rates| rates.packet(Time::ZERO).is_ok()), packets);
            assert_eq!(count(|rates| rates.call(Time::ZERO).is_ok()), calls);
            assert_eq!(count(|rates| rates.lookup(Time::ZERO).is_ok()), lookups);
        }
    }

    /// What a rekey asks of the server for each member whom nothing was said to before: a lookup, a call, a message.
    #[test]
    fn in_the_public_profile_all_other_members_of_a_full_channel_are_told_of_a_rekey_within_a_minute() {
        let (mut rates, mut last) = (Rates::new(0, Time::ZERO), Time::ZERO);
        let mut wait = |take: &mut dyn FnMut(Time) -> Result<(), Time>| {
            while let Err(at) = take(last) {
                last = at;
            }
            last
        };
        for _ in 1..MAX_MEMBERS {
            wait(&mut |now| rates.lookup(now));
            wait(&mut |now| rates.call(now));
            wait(&mut |now| rates.packet(now));
        }
        assert!(last <= Time::from_millis(60_000), "{last:?}");
    }

    #[test]
    fn sixty_calls_are_read_at_once_and_twenty_a_second() {
        let mut rates = Rates::new(0, Time::ZERO);
        assert_eq!((0..1_000).filter(|_| rates.reads_call(Time::ZERO)).count(), 60);
        assert_eq!((0..1_000).filter(|_| rates.reads_call(Time::from_millis(1_000))).count(), 20);
    }

    #[test]
    fn what_does_not_fit_says_when_it_will() {
        let mut rates = Rates::new(0, Time::ZERO);
        let (mut now, mut calls) = (Time::ZERO, 0);
        // As fast as packets may go, until the calls of a full channel are used up.
        while now < Time::from_millis(30_000) {
            match rates.call(now) {
                Ok(()) => calls += 1,
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        assert!((270..=300).contains(&calls), "{calls}");
    }
}
