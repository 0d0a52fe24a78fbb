//! From choices to a running server.

use crate::limits::HANDSHAKE_TIMEOUT_MAX;
use crate::shared::Shared;
use crate::{Accept, Limits, Profile, Server, StartError, accept, run};
use darkchat_crypto::Identity;
use darkchat_proto::{Addr, Network, ServerAddr};
use darkchat_transport::{Listener, Transport};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Choices for a [`Server`]; made by [`Server::builder`].
///
/// ```
/// use darkchat_crypto::Identity;
/// use darkchat_server::{Accept, Profile, Server};
/// use darkchat_transport::Memory;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let server = Server::builder(Identity::generate())
///     .transport(Memory::default())
///     .listen("mem://lobby".parse()?, Accept::Clients)
///     .network("test".parse()?)
///     .profile(Profile::Public)
///     .start()
///     .await?;
/// assert_eq!(server.addrs(), [("mem://lobby".parse()?, Accept::Clients)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    identity: Identity,
    transports: Vec<Arc<dyn Transport>>,
    listen: Vec<(Addr, Accept)>,
    peers: Vec<ServerAddr>,
    network: Network,
    profile: Option<Profile>,
    limits: Option<Limits>,
    handshake_timeout: Option<Duration>,
}

impl Builder {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            transports: Vec::new(),
            listen: Vec::new(),
            peers: Vec::new(),
            network: Network::default(),
            profile: None,
            limits: None,
            handshake_timeout: None,
        }
    }

    /// Adds a way to carry links. Of two that take one scheme the first is used.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transports.push(Arc::new(transport));
        self
    }

    /// Listens there, for links in these roles. Port 0 takes a free port; [`Server::addrs`] tells which.
    pub fn listen(mut self, addr: Addr, accept: Accept) -> Self {
        self.listen.push((addr, accept));
        self
    }

    /// Links with this server and dials it again whenever the link is lost. A `tcp` address without a port means
    /// 30303.
    pub fn peer(mut self, peer: impl Into<ServerAddr>) -> Self {
        self.peers.push(at_peer_port(peer.into()));
        self
    }

    /// The network that the server belongs to; `main` unless said.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The budgets in force. Unless said, they are those for strangers, or a hundred times those if every listener
    /// is on this machine's loopback.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// All limits at once; what [`profile`](Self::profile) and [`handshake_timeout`](Self::handshake_timeout) say
    /// goes before it.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Time from accepting a connection to a link that is up: 5 s unless said, at most 300 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = Some(timeout);
        self
    }

    fn limits_in_force(&self) -> Limits {
        let given = self.limits.as_ref().map(|limits| limits.profile);
        let profile = self.profile.or(given).unwrap_or_else(|| self.profile_by_itself());
        let limits = self.limits.clone().unwrap_or_else(|| Limits::of(profile));
        let handshake_timeout =
            self.handshake_timeout.unwrap_or(limits.handshake_timeout).min(HANDSHAKE_TIMEOUT_MAX);
        Limits { profile, handshake_timeout, ..limits }
    }

    /// Without a listener nobody is known to be near, so nobody is trusted.
    fn profile_by_itself(&self) -> Profile {
        let is_local = !self.listen.is_empty() && self.listen.iter().all(|(addr, _)| addr.is_loopback());
        if is_local { Profile::Trusted } else { Profile::Public }
    }

    /// Binds all listeners and starts.
    ///
    /// The server's tasks run on the Tokio runtime that this is called in. Ok: it accepts links, and dials its
    /// peers.
    ///
    /// # Errors
    /// [`StartError`]: an address could not be bound, no transport takes it, or there is no Tokio runtime. Then none
    /// stays bound and nothing runs.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing bound and nothing running.
    pub async fn start(self) -> Result<Server, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let mut listeners = Vec::with_capacity(self.listen.len());
        for (addr, accept) in &self.listen {
            listeners.push((self.bind(addr).await?, *accept));
        }
        let addrs = listeners.iter().map(|(listener, accept)| (listener.addr.clone(), *accept)).collect();
        let limits = self.limits_in_force();
        let (shared, arrivals) = Shared::new(self.identity, self.network, self.transports, limits, runtime);
        shared.spawn(run::Loop::new(shared.clone(), arrivals, self.peers).run());
        for (listener, accept) in listeners {
            shared.spawn(accept::accept(shared.clone(), listener, accept));
        }
        Ok(Server::new(shared, addrs))
    }

    async fn bind(&self, addr: &Addr) -> Result<Listener, StartError> {
        let transport = self.transports.iter().find(|transport| transport.schemes().contains(&addr.scheme()));
        let transport = transport.ok_or_else(|| StartError::NoTransport { addr: addr.clone() })?;
        transport.listen(addr.clone()).await.map_err(|source| StartError::Bind { addr: addr.clone(), source })
    }
}

/// Where a peer is meant, a missing port is that of peers.
pub(crate) fn at_peer_port(peer: ServerAddr) -> ServerAddr {
    ServerAddr { addr: peer.addr.or_peer_port(), key: peer.key }
}
