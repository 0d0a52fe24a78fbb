//! What a session's owner can choose.

use darkchat_proto::{Network, ServerAddr, UserName};

/// The choices of a [`Session`](super::Session).
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "plain choices, made with `..Config::default()`")]
pub struct Config {
    /// The network that the servers belong to.
    pub network: Network,
    /// The servers to try, in this order. Without any the session closes at once.
    pub servers: Vec<ServerAddr>,
    /// The name that the user claims in direct messages, and where a channel's join says nothing else, until
    /// [`Input::Rename`](super::Input::Rename).
    pub name: UserName,
    /// Whether a lost link is made again.
    pub reconnect: bool,
    /// Whether the first connection is tried again as well; without it, one round over `servers` is all.
    pub persist: bool,
    /// Whether members of small channels are told that the user is there and leaves (`HERE` and `PART`).
    pub announce: bool,
    /// Whether others can send direct messages to this device from the start; else from when the first one was sent.
    pub reachable: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: Network::default(),
            servers: Vec::new(),
            name: UserName::default(),
            reconnect: true,
            persist: false,
            announce: true,
            reachable: true,
        }
    }
}
