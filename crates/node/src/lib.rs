//! Everything that a darkchat server knows and decides, without IO.
#![warn(clippy::indexing_slicing)]

mod config;
mod event;
mod input;
mod interest;
mod limits;
mod map;
mod output;
mod rng;
mod stats;
mod seen;

pub use config::Config;
pub use event::Event;
pub use input::{Accept, Check, Input, Received};
pub use limits::{ClientBudgets, Meter, PeerBudgets, Profile, RATE_WAIT, Rate, Verdict};
pub use output::{Output, SendClass};
pub use stats::{DroppedFor, RefusedFor, Sizes, Stats};

use darkchat_proto::{Addr, ChannelId, ServerId, Time, UserId};

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

    /// The counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// The servers that we have a link with, by link.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerRow> {
        Vec::new()
    }

    /// The users' programs that are connected, by link.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientRow> {
        Vec::new()
    }

    /// The channels with members here, and how many sessions each has.
    #[must_use]
    pub fn channels(&self) -> Vec<(ChannelId, usize)> {
        Vec::new()
    }

    /// The servers in the map, ourselves left out.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerId> {
        Vec::new()
    }
}

/// A server that we have a link with, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerRow {
    /// Which link.
    pub link: LinkId,
    /// The proven key.
    pub server: ServerId,
    /// Where it is.
    pub addr: Addr,
    /// Whether we dialled it.
    pub outbound: bool,
    /// Since when the link is up.
    pub since: Time,
}

/// A user's program that is connected, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientRow {
    /// Which link.
    pub link: LinkId,
    /// The proven key.
    pub user: UserId,
    /// Where it is.
    pub addr: Addr,
    /// How many channels it has joined.
    pub channels: usize,
    /// Since when the link is up.
    pub since: Time,
}
