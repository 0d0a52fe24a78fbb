//! What an operator can choose, each number with its reason. Source: `docs/protocol.md`, sections 10 and 12.

use crate::Profile;
use darkchat_proto::{Carrier, Features, GossipAddr, Network, ServerAddr};
use std::time::Duration;

/// The choices of a node.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "plain choices, made with `..Config::default()`")]
pub struct Config {
    /// The network that the server belongs to.
    pub network: Network,
    /// The limits in force.
    pub profile: Profile,
    /// Where others may be able to dial this server.
    pub addrs: Vec<GossipAddr>,
    /// The ports on which it listens at every address of its machine: with the address from which a neighbour sees
    /// it they make further places where it may be dialled.
    pub ports: Vec<(Carrier, u16)>,
    /// Whether others can dial it there. `None`: neighbours are asked to try, and what they confirm stands in its
    /// record.
    pub dialable: Option<bool>,
    /// The features that it offers; stands in its record. What a link can do is what its handshake agreed on.
    pub features: Features,
    /// The most clients at once.
    pub max_clients: usize,
    /// How many other servers it links with; those that the operator named are linked with beyond that.
    pub neighbours: Neighbours,
    /// Whether it carries nothing for others, and so needs fewer neighbours.
    pub leaf: bool,
    /// Whether it links only with servers that the operator of one of both named.
    pub peers_closed: bool,
    /// Whether private and loopback addresses that others name are dialled.
    pub lan: bool,
    /// Where clients may go when the server leaves: at most 4 addresses with keys are told.
    pub elsewhere: Vec<ServerAddr>,
    /// How long a client's session outlives its link, so that it can be resumed; 0 turns that off.
    pub resume: Duration,
    /// The memory that the server may take, in bytes; send queues take at most a quarter.
    pub memory_budget: usize,
    /// What may wait for a destination that was there until just now, in bytes; 0 turns that off.
    pub limbo_bytes: usize,
}

/// How many servers a server links with. Source: `docs/protocol.md`, section 9.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "three numbers, made with `..Neighbours::default()`")]
pub struct Neighbours {
    /// Whoever has no more than this is not let go for number.
    pub min: usize,
    /// Below this more are dialled.
    pub target: usize,
    /// Above this some are let go; half of it is kept for those of our own choice.
    pub max: usize,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { min: 4, target: 8, max: 32 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: Network::default(),
            profile: Profile::Public,
            addrs: Vec::new(),
            ports: Vec::new(),
            dialable: None,
            features: Features::DONE
                | Features::DIALBACK
                | Features::RESUME
                | Features::SEALED
                | Features::TRACE,
            max_clients: 10_000,
            neighbours: Neighbours::default(),
            leaf: false,
            peers_closed: false,
            lan: false,
            elsewhere: Vec::new(),
            resume: Duration::from_secs(10),
            memory_budget: 512 << 20,
            limbo_bytes: 4 << 20,
        }
    }
}
