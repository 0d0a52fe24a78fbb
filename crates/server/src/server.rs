//! The handle: what an embedder holds.

use crate::builder::at_peer_port;
use crate::limits::GRACE;
use crate::shared::{Arrival, Shared};
use crate::{Accept, Builder, Events, Limits, NetworkMap, PeerError, Stats, Trace, TraceError, accept};
use darkchat_crypto::Identity;
use darkchat_node::PeerRow;
use darkchat_proto::{Addr, ChannelId, ServerAddr, ServerId, UserId};
use darkchat_transport::Link;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// A running server. Clones are handles of the same one; when the last is dropped, it ends at once and without a
/// word. [`shutdown`](Self::shutdown) is the polite way.
#[derive(Debug, Clone)]
pub struct Server {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    addrs: Vec<(Addr, Accept)>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        end(&self.shared);
    }
}

/// Stops everything where it is.
fn end(shared: &Shared) {
    shared.stopping.cancel();
    shared.ended.cancel();
    shared.tasks.close();
}

/// Another server that this one is linked with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its proven key.
    pub id: ServerId,
    /// Where it is, as the link shows it.
    pub addr: Addr,
    /// Whether this side dialled.
    pub outbound: bool,
    /// Whether the operator named it, so that the link is kept and dialled again.
    pub pinned: bool,
    /// How long the link has been up.
    pub up: Duration,
    /// The smoothed time of a way there and back; `None` until it was measured.
    pub round_trip: Option<Duration>,
    /// The bytes that wait for it.
    pub queued: usize,
}

/// A user's program that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectedClient {
    /// The user's proven key.
    pub user: UserId,
    /// Where it is, as the link shows it.
    pub addr: Addr,
    /// How many channels it has joined.
    pub channels: usize,
}

impl Server {
    /// Choices first; the identity is the server's key.
    pub fn builder(identity: Identity) -> Builder {
        Builder::new(identity)
    }

    pub(crate) fn new(shared: Arc<Shared>, addrs: Vec<(Addr, Accept)>) -> Self {
        Self { handle: Arc::new(Handle { shared, addrs }) }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// The server's key.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.shared().identity.server_id()
    }

    /// The addresses that are really bound, in the order in which they were asked for.
    #[must_use]
    pub fn addrs(&self) -> Vec<(Addr, Accept)> {
        self.handle.addrs.clone()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared().limits
    }

    /// Links with another server. Ok: linked; the link is kept, and dialled again whenever it is lost.
    ///
    /// A `tcp` address without a port means 30303.
    ///
    /// # Errors
    /// [`PeerError`]. [`AlreadyConnected`](PeerError::AlreadyConnected) means that there is a link, which is kept
    /// from now on; after every other error the address is not dialled again, unless it was kept before.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer and not the wish: the address is dialled until it answers.
    pub async fn connect(&self, peer: ServerAddr) -> Result<ServerId, PeerError> {
        let peer = at_peer_port(peer);
        if self.shared().transport(peer.addr.scheme()).is_none() {
            return Err(PeerError::NoTransport { addr: peer.addr });
        }
        let (answer, answered) = oneshot::channel();
        self.shared().tell(Arrival::Connect { peer, answer }).await;
        answered.await.unwrap_or(Err(PeerError::Stopped))
    }

    /// The servers that this one is linked with.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        let rows = self.shared().node().peers();
        let now = self.shared().clock.now();
        let peer = |row: PeerRow| Peer {
            id: row.server,
            addr: row.addr,
            outbound: row.outbound,
            pinned: row.pinned.is_some(),
            up: now.saturating_since(row.since),
            round_trip: row.round_trip,
            queued: row.queued,
        };
        rows.into_iter().map(peer).collect()
    }

    /// The network as this server sees it: what the records of all servers say, and the way to each.
    #[must_use]
    pub fn map(&self) -> NetworkMap {
        self.shared().node().map()
    }

    /// A discovery found a server, at an address and with the key that it must prove there; without a key it is left
    /// alone. The server is dialled if this one wants more neighbours and may dial there.
    ///
    /// # Cancel safety
    /// Dropping the future before it is done may leave the server unaware.
    pub async fn found(&self, server: ServerAddr) {
        self.shared().tell(Arrival::Found(server)).await;
    }

    /// Ends the links with a server; where the operator named it, it is named no longer. Whether there was a link.
    ///
    /// It does not keep the server away: the other side may dial again, and this one may choose it as a neighbour.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer and not the wish, unless it was not polled.
    pub async fn disconnect(&self, peer: ServerId) -> bool {
        let (answer, answered) = oneshot::channel();
        self.shared().tell(Arrival::Disconnect { peer, answer }).await;
        answered.await.unwrap_or(false)
    }

    /// Sends a probe after a channel's posts: by which hops it reaches the servers that want the channel, and how
    /// long it takes. Answers when all of them have, or after 3 s.
    ///
    /// # Errors
    /// [`TraceError`]: too many at once, or the server has stopped.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer; the probe is under way and counts as such until it ends.
    pub async fn trace(&self, channel: ChannelId) -> Result<Trace, TraceError> {
        let (answer, answered) = oneshot::channel();
        self.shared().tell(Arrival::Trace { channel, answer }).await;
        answered.await.unwrap_or(Err(TraceError::Stopped))
    }

    /// The users' programs that are connected.
    #[must_use]
    pub fn clients(&self) -> Vec<ConnectedClient> {
        let rows = self.shared().node().clients();
        rows.into_iter()
            .map(|row| ConnectedClient { user: row.user, addr: row.addr, channels: row.channels })
            .collect()
    }

    /// The channels with members here, and how many. A server knows channels by their ids only.
    #[must_use]
    pub fn channels(&self) -> Vec<(ChannelId, usize)> {
        self.shared().node().channels()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        Stats {
            node: shared.node().stats(),
            closed_early: shared.closed_early.all(),
            handshakes: shared.gate().handshakes(),
            tasks: shared.tasks.len(),
            events_lost: shared.events_lost.load(Ordering::Relaxed),
        }
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared().listeners.listen()
    }

    /// Serves a link that was made elsewhere: an HTTP upgrade, a pipe, a test. Its handshake begins at once, under
    /// the same limits as those of the listeners. May be called on any thread.
    pub fn serve(&self, link: Link, accept: Accept) {
        accept::admit(self.shared(), link.remote.clone(), accept, std::future::ready(Ok(link)));
    }

    /// Ready once the server has ended: it was [shut down](Self::shutdown), or its loop failed, which is a bug. Whoever
    /// runs a server for others watches this, because nothing else that it holds tells of a failure.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the wait.
    pub async fn ended(&self) {
        self.shared().ended.cancelled().await;
    }

    /// Runs until `stop` is ready, then [shuts down](Self::shutdown) within 1 s.
    ///
    /// # Cancel safety
    /// Dropping the future drops this handle; the server goes on if there are others.
    pub async fn run_until<F: Future>(self, stop: F) {
        tokio::select! {
            _ = stop => {}
            () = self.ended() => {}
        }
        self.shutdown(GRACE).await;
    }

    /// Stops accepting, says goodbye to everybody, and empties queues for at most `grace`.
    ///
    /// Returns when no task of the server is left. Idempotent: a second call waits for the first one's end, or cuts
    /// it short if its own grace is shorter.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a server that has said goodbye and takes nobody new; call it again.
    pub async fn shutdown(&self, grace: Duration) {
        let shared = self.shared();
        if !shared.stopping.is_cancelled() {
            tracing::info!("stopping");
            shared.stopping.cancel();
        }
        let drained = async {
            shared.tell(Arrival::Drain).await;
            // The loop ends when it has no link left.
            shared.ended.cancelled().await;
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::info!("cutting the links that are left");
        }
        end(shared);
        shared.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_goes_to_any_task() {
        fn check<T: Clone + Send + Sync + 'static>() {}
        check::<Server>();
    }
}
