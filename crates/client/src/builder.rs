//! How a client is made.

use crate::client::Client;
use crate::error::ConnectError;
use crate::known::KnownServers;
use crate::manual::ManualLogin;
use crate::run;
use crate::run::dial::Dialler;
use crate::session::{Config, Trust};
use darkchat_crypto::{Credentials, Identity, LinkConfig, NetworkSecret, system};
use darkchat_proto::limits::MAX_AGENT;
use darkchat_proto::{DeviceId, Features, Network, ServerAddr, UserId, UserName};
use darkchat_transport::Transport;
use rand_core::Rng as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Messages that wait in one channel for the program to read them.
const RECEIVE_QUEUE: usize = 1_024;

/// The choices of a client; then [`connect`](Self::connect).
///
/// ```
/// use darkchat_client::Client;
/// use darkchat_crypto::Identity;
/// use darkchat_transport::Memory;
///
/// let builder = Client::builder(Identity::generate())
///     .transport(Memory::default())
///     .name("ann".parse()?)
///     .also("mem://second".parse()?)
///     .receive_queue(100);
/// # drop(builder);
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Builder {
    identity: Identity,
    transports: Vec<Arc<dyn Transport>>,
    secret: Option<NetworkSecret>,
    credentials: Credentials,
    known: Option<KnownServers>,
    device: Option<DeviceId>,
    receive_queue: usize,
    trust: Vec<(UserId, Trust)>,
    config: Config,
}

impl Builder {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            transports: Vec::new(),
            secret: None,
            credentials: Credentials {
                agent: concat!("darkchat-client/", env!("CARGO_PKG_VERSION")).to_owned(),
                ..Credentials::default()
            },
            known: None,
            device: None,
            receive_queue: RECEIVE_QUEUE,
            trust: Vec::new(),
            config: Config::default(),
        }
    }

    /// Adds a way to reach servers. An address's scheme picks the transport; the first one that takes it is used.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transports.push(Arc::new(transport));
        self
    }

    /// The name that the user claims in direct messages, and in channels where [`join_as`](Client::join_as) says
    /// nothing else. None by default; [`Client::speak_as`] changes it later.
    pub fn name(mut self, name: UserName) -> Self {
        self.config.name = name;
        self
    }

    /// The network that the servers belong to; `main` by default.
    pub fn network(mut self, network: Network) -> Self {
        self.config.network = network;
        self
    }

    /// The secret of a closed network; open by default.
    pub fn network_secret(mut self, secret: NetworkSecret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// A bearer token, for servers that ask for one. At most 512 bytes; a secret, never printed.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials.token = token.into();
        self
    }

    /// The program's name and version, for the server's log: its first 64 bytes.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        let mut agent = agent.into();
        agent.truncate(agent.floor_char_boundary(MAX_AGENT));
        self.credentials.agent = agent;
        self
    }

    /// The file in which the keys of servers are kept that were met at an address without a key. Without one, such a
    /// server is trusted anew in each process; within it, the same key is always expected.
    pub fn known_servers(mut self, path: impl Into<PathBuf>) -> Self {
        self.known = Some(KnownServers::new(path));
        self
    }

    /// Whether a lost link is made again, and channels are joined again; yes by default.
    pub const fn reconnect(mut self, reconnect: bool) -> Self {
        self.config.reconnect = reconnect;
        self
    }

    /// Whether [`connect`](Self::connect) goes on trying when nobody answers; no by default.
    pub const fn persist(mut self, persist: bool) -> Self {
        self.config.persist = persist;
        self
    }

    /// Whether members of small channels are told that the user is there, and when it leaves; yes by default. A
    /// program that only sends a message may say no: it then costs nobody a notice.
    pub const fn announce(mut self, announce: bool) -> Self {
        self.config.announce = announce;
        self
    }

    /// Whether others can send direct messages to this client from the start; yes by default. Without it they can from
    /// its own first direct message on. What comes is acknowledged to its sender, so a program that does not read its
    /// [`inbox`](Client::inbox) should say no.
    pub const fn reachable(mut self, reachable: bool) -> Self {
        self.config.reachable = reachable;
        self
    }

    /// What the user thinks of a key, from the start: nothing of a blocked one is shown or answered. May be given again,
    /// for at most 4,096 keys; [`Client::trust`] changes it later.
    pub fn trust(mut self, user: UserId, trust: Trust) -> Self {
        self.trust.push((user, trust));
        self
    }

    /// Messages that wait in one channel until the program reads them, at least 1; 1,024 by default, and never more
    /// than 8 MiB. What comes beyond is reported as missed and never stalls the link.
    pub const fn receive_queue(mut self, messages: usize) -> Self {
        self.receive_queue = messages;
        self
    }

    /// The id of this installation; random for each client by default. A server keeps one session a device: of two
    /// clients with one user and one device the older is sent away.
    pub const fn device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// A further server to try, after those given before and after that of [`connect`](Self::connect).
    pub fn also(mut self, server: ServerAddr) -> Self {
        self.config.servers.push(server);
        self
    }

    /// Connects to a server, or to one of those of [`also`](Self::also). `Ok`: the server proved its key and welcomed
    /// ours.
    ///
    /// Needs a Tokio runtime with time enabled, in which the client's tasks then run.
    ///
    /// # Errors
    /// [`ConnectError`] of the last server that was tried; nothing is left running. With
    /// [`persist`](Self::persist), only what another try cannot mend.
    ///
    /// # Cancel safety
    /// Dropping the future ends the dial and leaves nothing running.
    pub async fn connect(mut self, server: ServerAddr) -> Result<Client, ConnectError> {
        self.config.servers.insert(0, server);
        self.start().await
    }

    /// As [`connect`](Self::connect), to the first of these servers that answers.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`ConnectError::NoAddress`] if there is none.
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn connect_any(
        mut self,
        servers: impl IntoIterator<Item = ServerAddr>,
    ) -> Result<Client, ConnectError> {
        let further = std::mem::take(&mut self.config.servers);
        self.config.servers = servers.into_iter().chain(further).collect();
        self.start().await
    }

    /// Connects up to the point where our key is to be shown, and leaves the rest to a person who wants to see it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn manual_login(self, server: ServerAddr) -> Result<ManualLogin, ConnectError> {
        let addr = ServerAddr { addr: server.addr.or_client_port(), key: server.key };
        let (dialler, ..) = self.dialler();
        ManualLogin::connect(dialler, addr).await
    }

    /// What a dial needs, and what is left of the choices.
    fn dialler(self) -> (Dialler, Config, usize) {
        let Self {
            identity,
            transports,
            secret,
            credentials,
            known,
            device,
            receive_queue,
            trust: _,
            config,
        } = self;
        let features = Features::RESUME | Features::SEALED;
        let dialler = Dialler {
            transports,
            link: LinkConfig { network: config.network.clone(), secret, features },
            identity: Arc::new(identity),
            device: device.unwrap_or_else(|| DeviceId::new(random())),
            credentials,
            known,
        };
        (dialler, config, receive_queue)
    }

    async fn start(self) -> Result<Client, ConnectError> {
        if self.config.servers.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let trust = self.trust.clone();
        let (dialler, mut config, receive_queue) = self.dialler();
        for server in &mut config.servers {
            server.addr = server.addr.clone().or_client_port();
        }
        let (client, up) = run::start(dialler, config, trust, receive_queue, random());
        match up.await {
            Ok(result) => result.map(|()| client),
            Err(_) => Err(ConnectError::NoAddress),
        }
    }
}

/// Fresh bytes from the operating system.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    system::rng().fill_bytes(&mut bytes);
    bytes
}
