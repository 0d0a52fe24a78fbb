//! What a client knows and decides, without IO: the same shape as the server's node.

mod config;
mod input;
mod output;
mod stats;

pub use config::Config;
pub use input::{Input, Received};
pub use output::{Event, Failure, Output, State};
pub use stats::Stats;

use darkchat_proto::{DeviceId, Time, UserId};

/// A dial that the session asked for; also names the link that comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct DialId(pub u64);

/// A signature that the session asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct SignId(pub u64);

/// A wish of the user's: chosen by the driver, repeated by the answer, used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Ticket(pub u64);

/// Everything that a client knows and decides. No sockets, no clock, no randomness of its own, no secret.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// A session of this user on this device. `seed` gives stream numbers and jitter; it need not stay secret.
    #[must_use]
    pub fn new(_user: UserId, _device: DeviceId, _config: Config, _seed: [u8; 32]) -> Self {
        Self {}
    }

    /// Tells the session what happened at `now`. Never fails, never blocks.
    pub fn handle(&mut self, _now: Time, _input: Input) {}

    /// What to do next; `None` when there is nothing left to do.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }

    /// When to give [`Input::Timeout`], if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// What became of the entries that arrived.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
