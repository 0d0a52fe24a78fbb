//! From choices to a running server.

use crate::limits::HANDSHAKE_TIMEOUT_MAX;
use crate::shared::Shared;
use crate::{Accept, Limits, Profile, Server, StartError, accept, run};
use darkchat_crypto::{Identity, NetworkSecret};
use darkchat_node::Config;
use darkchat_proto::{Addr, GossipAddr, Network, ServerAddr};
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
    secret: Option<NetworkSecret>,
    profile: Option<Profile>,
    limits: Option<Limits>,
    handshake_timeout: Option<Duration>,
    advertised: Vec<GossipAddr>,
    dialable: Option<bool>,
    lan: Option<bool>,
    leaf: bool,
    peers_closed: bool,
    elsewhere: Vec<ServerAddr>,
}

impl Builder {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            transports: Vec::new(),
            listen: Vec::new(),
            peers: Vec::new(),
            network: Network::default(),
            secret: None,
            profile: None,
            limits: None,
            handshake_timeout: None,
            advertised: Vec::new(),
            dialable: None,
            lan: None,
            leaf: false,
            peers_closed: false,
            elsewhere: Vec::new(),
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

    /// The secret of a closed network; open unless said. Whoever does not have it, client or server, gets no answer that
    /// opens (`docs/protocol.md`, section 3.2).
    pub fn network_secret(mut self, secret: NetworkSecret) -> Self {
        self.secret = Some(secret);
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

    /// Another place where peers reach this server, as through a forwarded port.
    pub fn advertise(mut self, addr: GossipAddr) -> Self {
        self.advertised.push(addr);
        self
    }

    /// Whether other servers can dial this one. Unless said, neighbours are asked to try.
    pub fn dialable(mut self, dialable: bool) -> Self {
        self.dialable = Some(dialable);
        self
    }

    /// Whether private and loopback addresses are dialled that other servers name. Unless said, they are if every
    /// listener is on this machine's loopback.
    pub fn lan(mut self, lan: bool) -> Self {
        self.lan = Some(lan);
        self
    }

    /// Carries nothing for others, and links with fewer of them.
    pub fn leaf(mut self, leaf: bool) -> Self {
        self.leaf = leaf;
        self
    }

    /// Links only with servers that the operator of one of both named.
    pub fn peers_closed(mut self, closed: bool) -> Self {
        self.peers_closed = closed;
        self
    }

    /// The node's choices, with the listeners that are really bound.
    fn config(&self, limits: &Limits, bound: &[(Addr, Accept)]) -> Config {
        let places = bound.iter().filter(|(_, accept)| matches!(accept, Accept::Peers | Accept::All));
        let places = places.filter_map(|(addr, _)| GossipAddr::of(addr));
        let (everywhere, somewhere): (Vec<_>, Vec<_>) = places.partition(|place| place.ip.is_unspecified());
        Config {
            network: self.network.clone(),
            profile: limits.profile,
            max_clients: limits.max_clients,
            neighbours: limits.neighbours,
            memory_budget: limits.memory_budget,
            resume: limits.resume,
            limbo_bytes: limits.limbo_bytes,
            addrs: self.advertised.iter().copied().chain(somewhere).collect(),
            ports: everywhere.iter().map(|place| (place.carrier, place.port)).collect(),
            dialable: self.dialable,
            lan: self.lan.unwrap_or_else(|| self.is_local()),
            leaf: self.leaf,
            peers_closed: self.peers_closed,
            elsewhere: self.elsewhere.clone(),
            ..Config::default()
        }
    }

    /// Where clients may go when this server leaves. Clients take an address only with a key, and four at most.
    pub fn elsewhere(mut self, addr: ServerAddr) -> Self {
        self.elsewhere.push(addr);
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
        if self.is_local() { Profile::Trusted } else { Profile::Public }
    }

    fn is_local(&self) -> bool {
        !self.listen.is_empty() && self.listen.iter().all(|(addr, _)| addr.is_loopback())
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
        let addrs: Vec<(Addr, Accept)> =
            listeners.iter().map(|(listener, accept)| (listener.addr.clone(), *accept)).collect();
        let limits = self.limits_in_force();
        let config = self.config(&limits, &addrs);
        let (shared, arrivals) =
            Shared::new(self.identity, config, self.secret, self.transports, limits, runtime);
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
