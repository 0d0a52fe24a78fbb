//! Token buckets, and the budgets of both profiles, for the node and for the link tasks. Source: `docs/protocol.md`, 10.1.

mod bounds;
mod meter;

pub use bounds::table_limits;
pub use meter::{Meter, Verdict};

use darkchat_proto::Time;
use std::time::Duration;

/// Which set of budgets is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Profile {
    /// For strangers: the numbers of section 10.1.
    #[default]
    Public,
    /// For servers whose listeners are all on loopback, and for pinned peers: a hundred times those numbers.
    Trusted,
    /// For machines where nobody but the operator's own programs speaks, and for measurements: ten thousand times.
    Unmetered,
}

/// How many times the public numbers a profile allows.
const TRUSTED_FACTOR: u64 = 100;
/// The same where a budget must not be what limits: beyond what a machine does, and far from overflowing.
const UNMETERED_FACTOR: u64 = 10_000;

impl Profile {
    const fn factor(self) -> u64 {
        match self {
            Self::Public => 1,
            Self::Trusted => TRUSTED_FACTOR,
            Self::Unmetered => UNMETERED_FACTOR,
        }
    }
}

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two numbers")]
pub struct Rate {
    /// Tokens per second; at least 1.
    pub per_s: u64,
    /// Tokens that a full bucket holds.
    pub burst: u64,
}

impl Rate {
    const fn of(profile: Profile, per_s: u64, burst: u64) -> Self {
        Self { per_s: per_s * profile.factor(), burst: burst * profile.factor() }
    }

    fn time_for(self, tokens: u64) -> Duration {
        let nanos = u128::from(tokens).saturating_mul(1_000_000_000) / u128::from(self.per_s.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The budgets of a client's link. Source: section 10.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientBudgets {
    /// Frames, and records without plaintext; counted by the link's task.
    pub frames: Rate,
    /// Bytes of units; counted by the link's task.
    pub bytes: Rate,
    /// Posts; counted by the link's task.
    pub posts: Rate,
    /// Entries of posts; counted by the link's task.
    pub entries: Rate,
    /// Channels joined or left; counted by the node.
    pub joins: Rate,
    /// Lookups; counted by the node.
    pub lookups: Rate,
    /// Packets of direct messages; counted by the node.
    pub packets: Rate,
    /// Those among them that begin a handshake; counted by the node. At once as many as a change of a full private
    /// channel needs, whose 255 other members are told one by one.
    pub calls: Rate,
}

impl ClientBudgets {
    /// The budgets of a profile.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        Self {
            frames: Rate::of(profile, 100, 400),
            bytes: Rate::of(profile, 256 << 10, 1 << 20),
            posts: Rate::of(profile, 20, 100),
            entries: Rate::of(profile, 200, 800),
            joins: Rate::of(profile, 500, 16_384),
            lookups: Rate::of(profile, 5, 20),
            packets: Rate::of(profile, 20, 100),
            calls: Rate::of(profile, 1, 300),
        }
    }
}

/// The budgets of a peer's link. Source: section 10.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerBudgets {
    /// Frames; counted by the link's task.
    pub frames: Rate,
    /// Bytes of units; counted by the link's task.
    pub bytes: Rate,
    /// Destinations of routes; counted by the node.
    pub destinations: Rate,
    /// Records that were news; counted by the node.
    pub records: Rate,
    /// Interest shards that were news; counted by the node.
    pub shards: Rate,
    /// Those among them that were asked for; counted by the node. At once as many as another half of a network has.
    pub answers: Rate,
    /// Rows of digests and pulls; counted by the node. At once as many as several whole maps have.
    pub rows: Rate,
    /// Destinations of probes; counted by the node.
    pub probes: Rate,
    /// Lookups of one origin; counted by the node.
    pub lookups: Rate,
}

impl PeerBudgets {
    /// The budgets of a profile.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        Self {
            frames: Rate::of(profile, 5_000, 20_000),
            bytes: Rate::of(profile, 16 << 20, 32 << 20),
            destinations: Rate::of(profile, 200_000, 400_000),
            records: Rate::of(profile, 50, 2_000),
            shards: Rate::of(profile, 100, 5_000),
            answers: Rate::of(profile, 200, 40_000),
            rows: Rate::of(profile, 1_000, 65_536),
            probes: Rate::of(profile, 50, 200),
            lookups: Rate::of(profile, 50, 200),
        }
    }
}

/// A frame that is over its budget waits for at most this long, else it is refused.
pub const RATE_WAIT: Duration = Duration::from_secs(2);

/// A token bucket, kept as the time at which it will be full again (GCRA): one number, no refilling.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    full_at: Time,
}

impl Bucket {
    /// A full bucket.
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { rate, full_at: Time::ZERO }
    }

    /// How long until `tokens` are there; zero if they are.
    pub(crate) fn wait(&self, now: Time, tokens: u64) -> Duration {
        let needed = self.full_at.saturating_since(now).saturating_add(self.rate.time_for(tokens));
        needed.saturating_sub(self.rate.time_for(self.rate.burst))
    }

    /// Takes the tokens, on credit where they are not there yet.
    pub(crate) fn take(&mut self, now: Time, tokens: u64) {
        self.full_at = self.full_at.max(now) + self.rate.time_for(tokens);
    }

    /// Whether nothing is missing from it: it is as good as a new one.
    pub(crate) fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }

    /// Takes the tokens if they are there.
    pub(crate) fn try_take(&mut self, now: Time, tokens: u64) -> bool {
        let free = self.wait(now, tokens).is_zero();
        if free {
            self.take(now, tokens);
        }
        free
    }
}

/// A wait as advice on the wire: milliseconds, rounded up, at least 1.
pub(crate) fn advice(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(Rate { per_s: 10, burst: 5 });
        let now = Time::from_millis(1_000);
        assert!((0..5).all(|_| bucket.try_take(now, 1)));
        assert!(!bucket.try_take(now, 1));
        assert_eq!(bucket.wait(now, 1), Duration::from_millis(100));
        assert!(bucket.try_take(now + Duration::from_millis(100), 1));
        assert!(!bucket.try_take(now + Duration::from_millis(100), 1));
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let mut bucket = Bucket::new(Rate { per_s: 10, burst: 5 });
        let later = Time::from_millis(3_600_000);
        assert!(bucket.try_take(later, 5));
        assert!(!bucket.try_take(later, 1));
    }

    #[test]
    fn the_trusted_profile_has_a_hundred_times_the_public_numbers() {
        let (public, trusted) = (ClientBudgets::of(Profile::Public), ClientBudgets::of(Profile::Trusted));
        assert_eq!(trusted.posts.per_s, public.posts.per_s * 100);
        assert_eq!(trusted.posts.burst, public.posts.burst * 100);
        assert_eq!(PeerBudgets::of(Profile::Trusted).destinations.per_s, 20_000_000);
    }

    #[test]
    fn the_unmetered_profile_has_ten_thousand_times_the_public_numbers() {
        let (public, unmetered) = (ClientBudgets::of(Profile::Public), ClientBudgets::of(Profile::Unmetered));
        assert_eq!(unmetered.entries.per_s, public.entries.per_s * 10_000);
    }

    #[test]
    fn numbers_that_would_overflow_saturate() {
        let mut bucket = Bucket::new(Rate { per_s: 1, burst: 1 });
        bucket.take(Time::MAX, u64::MAX);
        assert!(bucket.wait(Time::ZERO, u64::MAX) > RATE_WAIT);
    }
}
