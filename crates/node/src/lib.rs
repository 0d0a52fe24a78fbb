//! Everything that a darkchat server knows and decides, without IO.
#![warn(clippy::indexing_slicing)]

mod config;
mod event;
mod input;
mod interest;
mod limits;
mod map;
mod output;
mod seen;

pub use config::Config;
pub use event::Event;
pub use input::{Accept, Check, Input, Received};
pub use limits::Profile;
pub use output::{Output, SendClass};

use darkchat_proto::{ServerId, Time};

/// A link: the driver counts them up and never uses one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct LinkId(pub u64);

/// A dial that the node asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct DialId(pub u64);

/// A signature that the node asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct SignId(pub u64);

/// Everything that a server knows and decides. No sockets, no clock, no randomness of its own.
#[derive(Debug)]
pub struct Node {}

impl Node {
    /// Knows its public identity only; signatures are asked for as outputs.
    #[must_use]
    pub fn new(_identity: ServerId, _config: Config, _seed: [u8; 32]) -> Self {
        Self {}
    }

    /// Tells the node what happened at `now`. Never fails, never blocks.
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
}
