//! The one clock of the client; everything below gets the time from it.

use darkchat_proto::Time;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// How old the session's wall clock may be when something happens.
const WALL_AGE: Duration = Duration::from_secs(1);

/// The one clock of the client.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    wall: Option<Time>,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell's one clock: everything below gets the time from it"
    )]
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), wall: None }
    }

    pub(super) fn now(&self) -> Time {
        Time::new(self.start.elapsed())
    }

    pub(super) fn instant(&self, time: Time) -> Instant {
        // A deadline beyond what the system can count is never.
        self.start.checked_add(time.since_start()).unwrap_or(self.start + Duration::from_secs(86_400 * 365))
    }

    /// The wall clock, if the session's is too old to judge times by.
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell's one clock: everything below gets the time from it"
    )]
    pub(super) fn wall(&mut self, now: Time) -> Option<u64> {
        if self.wall.is_some_and(|at| now.saturating_since(at) < WALL_AGE) {
            return None;
        }
        self.wall = Some(now);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
