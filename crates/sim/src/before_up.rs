//! Nothing before `UP` changes what servers share: invariant S16 of the test plan.
//!
//! A node hears of a link when its handshake is complete. For the end that was dialled it is up then; the end that
//! dialled waits for the `Welcome` (protocol 3.5). Whatever comes on such a link meanwhile, and its end too, leaves the
//! map, the interest and the channels as they were, and nothing is sent because of it.

use crate::world::World;
use darkchat_node::{Input, NetworkMap, Node, Received};
use darkchat_proto::{ChannelId, Frame, Have, Kind};

/// What a server holds that others see, or that frames find their way by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    map: NetworkMap,
    holdings: Vec<Have>,
    channels: Vec<(ChannelId, usize)>,
}

impl Shared {
    fn of(node: &mut Node) -> Self {
        Self { map: node.map(), holdings: node.holdings().collect(), channels: node.channels() }
    }
}

impl World {
    /// What the server holds, if it is about to hear something of a link that is not up.
    pub(crate) fn before_up(&mut self, server: usize, node: &mut Node, input: &Input) -> Option<Shared> {
        let waiting = &mut self.hosts[server].unwelcomed;
        let is_before = match input {
            Input::Opened { link, dial: Some(_), peer, .. } if peer.server().is_some() => {
                waiting.insert(*link)
            }
            Input::Frame { link, frame: Received::Other(Frame { kind: Kind::Welcome(_), .. }) } => {
                waiting.remove(link);
                false
            }
            Input::Frame { link, .. } => waiting.contains(link),
            Input::Closed { link, .. } => waiting.remove(link),
            _ => false,
        };
        is_before.then(|| Shared::of(node))
    }

    /// The server has heard it, and sent so many frames.
    pub(crate) fn check_before_up(&mut self, server: usize, node: &mut Node, before: &Shared, sends: usize) {
        let after = Shared::of(node);
        if *before != after {
            self.broken(&format!(
                "a link that is not up changes what server {server} shares: {before:?}, then {after:?}"
            ));
        }
        if sends > 0 {
            self.broken(&format!("a link that is not up has server {server} send {sends} frames"));
        }
        self.check.before_up += 1;
    }

    /// How often a server heard something of a link that was not up, and it was looked whether that changed anything.
    #[must_use]
    pub const fn heard_before_up(&self) -> u64 {
        self.check.before_up
    }
}
