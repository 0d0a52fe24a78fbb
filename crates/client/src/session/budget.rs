//! Token buckets, with which a client keeps to the rates that its server announces. Source: `docs/protocol.md`,
//! sections 6.1 (rule 5) and 10.1.

use darkchat_proto::{Announced, Time};
use std::time::Duration;

/// The share of a budget that a client uses, in percent: clocks and queues between the two ends differ.
const CLIENT_SHARE: u64 = 90;
/// The share of the posts budget that `HERE` posts may take, in percent of what the client uses.
const HERE_SHARE: u64 = 25;
/// Tokens are counted in thousandths, so that no rounding adds up.
const UNIT: u64 = 1_000;

/// The rates of the profile `public`, for what a server does not announce (10.1).
const PUBLIC: Announced = Announced {
    max_payload: 65_536,
    ping_ms: 30_000,
    time_ms: 0,
    frames_per_s: 100,
    bytes_per_s: 256 << 10,
    posts_per_s: 20,
    entries_per_s: 200,
};

/// A budget that refills at a steady rate up to its burst.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// Tokens a second.
    rate: u64,
    /// Thousandths of a token.
    burst: u64,
    /// Thousandths of a token.
    level: u64,
    filled: Time,
}

impl Bucket {
    pub(super) fn new(rate: u64, burst: u64, now: Time) -> Self {
        let burst = burst.max(1).saturating_mul(UNIT);
        Self { rate: rate.max(1), burst, level: burst, filled: now }
    }

    fn refill(&mut self, now: Time) {
        let passed = u64::try_from(now.saturating_since(self.filled).as_millis()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(passed.saturating_mul(self.rate)).min(self.burst);
        // Whole milliseconds only: what is left of one counts next time.
        self.filled = self.filled + Duration::from_millis(passed);
    }

    /// When `count` tokens are there. More than the burst is asked for as the burst: it may then go once.
    fn ready_at(&self, count: u64) -> Time {
        let missing = count.saturating_mul(UNIT).min(self.burst).saturating_sub(self.level);
        self.filled + Duration::from_millis(missing.div_ceil(self.rate))
    }

    fn take(&mut self, count: u64) {
        self.level = self.level.saturating_sub(count.saturating_mul(UNIT));
    }

    /// When one token is there.
    pub(super) fn one_at(&mut self, now: Time) -> Time {
        self.refill(now);
        self.ready_at(1).max(now)
    }

    /// Takes one token, or says when there is one.
    pub(super) fn take_one(&mut self, now: Time) -> Result<(), Time> {
        let at = self.one_at(now);
        if at > now {
            return Err(at);
        }
        self.take(1);
        Ok(())
    }
}

/// What the server takes from us: posts, their entries, frames and bytes, and our own share for `HERE`.
#[derive(Debug, Clone)]
pub(super) struct Budgets {
    posts: Bucket,
    entries: Bucket,
    frames: Bucket,
    bytes: Bucket,
    here: Bucket,
}

impl Budgets {
    /// Full budgets at the announced rates; each burst stands to its rate as in section 10.1.
    pub(super) fn new(announced: &Announced, now: Time) -> Self {
        let share = |own: u32, public: u32| {
            u64::from(if own == 0 { public } else { own }).saturating_mul(CLIENT_SHARE) / 100
        };
        let bucket = |rate: u64, burst: u64| Bucket::new(rate, rate.saturating_mul(burst), now);
        let posts = share(announced.posts_per_s, PUBLIC.posts_per_s);
        Self {
            posts: bucket(posts, 5),
            entries: bucket(share(announced.entries_per_s, PUBLIC.entries_per_s), 4),
            frames: bucket(share(announced.frames_per_s, PUBLIC.frames_per_s), 4),
            bytes: bucket(share(announced.bytes_per_s, PUBLIC.bytes_per_s), 4),
            here: Bucket::new(
                posts.saturating_mul(HERE_SHARE) / 100,
                posts.saturating_mul(5 * HERE_SHARE) / 100,
                now,
            ),
        }
    }

    /// When a post of so many entries and bytes may leave.
    pub(super) fn post_at(&mut self, now: Time, entries: usize, bytes: usize) -> Time {
        for bucket in [&mut self.posts, &mut self.entries, &mut self.frames, &mut self.bytes] {
            bucket.refill(now);
        }
        let ready = [
            self.posts.ready_at(1),
            self.entries.ready_at(count(entries)),
            self.frames.ready_at(1),
            self.bytes.ready_at(count(bytes)),
        ];
        ready.into_iter().fold(now, Time::max)
    }

    /// When a frame of so many bytes that is no post may leave.
    pub(super) fn frame_at(&mut self, now: Time, bytes: usize) -> Time {
        self.frames.refill(now);
        self.bytes.refill(now);
        now.max(self.frames.ready_at(1)).max(self.bytes.ready_at(count(bytes)))
    }

    /// A post leaves.
    pub(super) fn take_post(&mut self, entries: usize, bytes: usize) {
        self.posts.take(1);
        self.entries.take(count(entries));
        self.frame(bytes);
    }

    /// Another frame leaves.
    pub(super) fn frame(&mut self, bytes: usize) {
        self.frames.take(1);
        self.bytes.take(count(bytes));
    }

    /// Takes a `HERE` out of its share, or says when there is room for it.
    pub(super) fn take_here(&mut self, now: Time) -> Result<(), Time> {
        self.here.take_one(now)
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Posts that leave within `ms` of full budgets, each as soon as it may.
    fn posts_within(announced: &Announced, ms: u64, entries: usize) -> u64 {
        let mut budgets = Budgets::new(announced, Time::ZERO);
        let (mut now, mut sent) = (Time::ZERO, 0);
        loop {
            let at = budgets.post_at(now, entries, 100);
            if at > Time::from_millis(ms) {
                return sent;
            }
            if at <= now {
                budgets.take_post(entries, 100);
                sent += 1;
            }
            now = at;
        }
    }

    #[test]
    fn a_client_sends_nine_tenths_of_what_the_server_takes() {
        let public = Announced::default();
        assert_eq!(posts_within(&public, 0, 1), 90);
        assert_eq!(posts_within(&public, 10_000, 1), 90 + 180);
        assert_eq!(posts_within(&public, 0, 64), 11, "720 entries at once");
        let twice = Announced { posts_per_s: 40, ..public };
        assert_eq!(posts_within(&twice, 0, 1), 180);
    }

    #[test]
    fn bytes_are_kept_to_as_well_and_the_largest_post_always_goes_in_the_end() {
        let tiny = Announced { bytes_per_s: 1_000, ..Announced::default() };
        let mut budgets = Budgets::new(&tiny, Time::ZERO);
        assert_eq!(budgets.post_at(Time::ZERO, 1, 70_000), Time::ZERO);
        budgets.take_post(1, 70_000);
        assert_eq!(budgets.post_at(Time::ZERO, 1, 70_000), Time::from_millis(4_000));
    }

    #[test]
    fn time_that_passes_in_steps_below_a_millisecond_counts_as_well() {
        let mut budgets = Budgets::new(&Announced::default(), Time::ZERO);
        let mut goes = |now| {
            let ready = budgets.post_at(now, 1, 100) <= now;
            if ready {
                budgets.take_post(1, 100);
            }
            ready
        };
        while goes(Time::ZERO) {}
        let steps = (0..20_000).map(|step| Time::new(Duration::from_micros(step * 100)));
        assert_eq!(steps.filter(|now| goes(*now)).count(), 35, "18 a second, for just under two");
    }

    #[test]
    fn here_takes_a_quarter_of_the_posts_at_most() {
        let mut budgets = Budgets::new(&Announced::default(), Time::ZERO);
        let burst = (0..1_000).take_while(|_| budgets.take_here(Time::ZERO).is_ok()).count();
        assert_eq!(burst, 22);
        let later = Time::from_millis(10_000);
        let more = (0..1_000).take_while(|_| budgets.take_here(later).is_ok()).count();
        assert_eq!(more, 22);
        assert!(budgets.take_here(later).is_err_and(|at| at > later));
    }
}
