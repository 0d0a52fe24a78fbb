//! What an operator can choose, each number with its reason. Source: `docs/protocol.md`, sections 10 and 12.

use crate::Profile;
use darkchat_proto::{Features, GossipAddr, Network};

/// The choices of a node.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "plain choices, made with `..Config::default()`")]
pub struct Config {
    /// The network that the server belongs to.
    pub network: Network,
    /// The limits in force.
    pub profile: Profile,
    /// Where others can dial this server; stands in its record.
    pub addrs: Vec<GossipAddr>,
    /// The features that it offers; stands in its record. What a link can do is what its handshake agreed on.
    pub features: Features,
    /// The most clients at once.
    pub max_clients: usize,
    /// The most peers that come by themselves; those that the operator named are not counted.
    pub max_peers: usize,
    /// The memory that the server may take, in bytes; send queues take at most a quarter.
    pub memory_budget: usize,
    /// What may wait for a destination that was there until just now, in bytes; 0 turns that off.
    pub limbo_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: Network::default(),
            profile: Profile::Public,
            addrs: Vec::new(),
            features: Features::DONE | Features::TRACE,
            max_clients: 10_000,
            max_peers: 32,
            memory_budget: 512 << 20,
            limbo_bytes: 4 << 20,
        }
    }
}
