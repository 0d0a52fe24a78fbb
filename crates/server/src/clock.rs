//! The two clocks of a server: the time since its start, and the wall's, as data for the node.

use darkchat_proto::Time;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// How often the node is told the wall's time.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// A difference between the two clocks that is a jump, as after sleep or when an operator sets the time.
const JUMP: Duration = Duration::from_secs(1);

/// The time since the server's start. Copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time::new(self.0.elapsed())
    }

    /// The moment of `time`, as near to it as the platform can say.
    pub(crate) fn instant(self, time: Time) -> Instant {
        let far = Duration::from_secs(365 * 24 * 3600);
        self.0 + time.since_start().min(far)
    }
}

/// The wall's time in Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// When the node was last told the wall's time.
#[derive(Debug, Default)]
pub(crate) struct Wall {
    told: Option<(Time, u64)>,
}

impl Wall {
    /// The wall's time, if the node must be told: at first, every 10 s, and after a jump.
    pub(crate) fn due(&mut self, now: Time, unix_ms: u64) -> Option<u64> {
        let is_due = self.told.is_none_or(|(at, told)| {
            let passed = now.saturating_since(at);
            let expected = told.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
            passed >= TELL_EVERY || u128::from(unix_ms.abs_diff(expected)) >= JUMP.as_millis()
        });
        if is_due {
            self.told = Some((now, unix_ms));
        }
        is_due.then_some(unix_ms)
    }

    /// When it is due again without a jump.
    pub(crate) fn next(&self) -> Time {
        self.told.map_or(Time::ZERO, |(at, _)| at + TELL_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_is_told_at_first_every_ten_seconds_and_after_a_jump() {
        let mut wall = Wall::default();
        let at = Time::from_millis;
        assert_eq!(wall.due(at(0), 5_000), Some(5_000));
        assert_eq!(wall.due(at(9_000), 14_000), None);
        assert_eq!(wall.next(), at(10_000));
        assert_eq!(wall.due(at(10_000), 15_000), Some(15_000));
        assert_eq!(wall.due(at(10_500), 3_600_000), Some(3_600_000));
        assert_eq!(wall.due(at(10_600), 100), Some(100));
    }
}
