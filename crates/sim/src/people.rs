//! Who comes into a world, and what its people wish.

use crate::actors::{CLIENT_PORT, Host, PEER_PORT, User, host_name, public_name};
use crate::shown::Shown;
use crate::sign::Signer;
use crate::world::{Event, World};
use crate::{Client, Server, Who};
use darkchat_client::session::{self, Session, State};
use darkchat_node::{self as node, Config, Node, TraceId};
use darkchat_proto::{
    Addr, Carrier, ChannelId, ChannelName, DeviceId, Entry, GossipAddr, ServerAddr, Time, UserId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

impl World {
    /// A server with the default configuration.
    pub fn add_server(&mut self) -> Server {
        self.add_server_with(Config::default(), 0)
    }

    /// A server whose clock is `skew_ms` ahead of the world's, or behind it.
    pub fn add_server_with(&mut self, config: Config, skew_ms: i64) -> Server {
        let server = self.hosts.len();
        self.hosts.push(Host {
            signer: Rc::new(Signer::new(self.rng.seed(), self.signing)),
            config: Config { network: self.network.clone(), ..config },
            skew_ms,
            stopped_ms: None,
            node: None,
            life: 0,
            links: BTreeMap::new(),
            next_link: 0,
            unwelcomed: BTreeSet::new(),
            asked: BTreeMap::new(),
            asked_before: BTreeMap::new(),
            timer: None,
            paused_until: Time::ZERO,
            hidden: false,
            swallows: false,
            dialling: BTreeMap::new(),
            chosen: Vec::new(),
            chose: 0,
            was_chosen: 0,
            says_dialable: false,
            proven: BTreeSet::new(),
            found: BTreeSet::new(),
            peers: Vec::new(),
            traced: Vec::new(),
        });
        self.start(server);
        Server(server)
    }

    /// A server on a private network, where all others of it may dial it: they find each other.
    pub fn add_near_server(&mut self) -> Server {
        let addrs = vec![self.place(&host_name(self.hosts.len()))];
        self.add_server_with(Config { addrs, lan: true, ..Config::default() }, 0)
    }

    /// A server with a public address.
    pub fn add_public_server(&mut self) -> Server {
        let addrs = vec![self.place(&public_name(self.hosts.len()))];
        self.add_server_with(Config { addrs, ..Config::default() }, 0)
    }

    /// A server that can dial others and to which only users can connect, though it does not know that.
    pub fn add_hidden_server(&mut self) -> Server {
        let server = self.add_public_server();
        self.hosts[server.0].hidden = true;
        server
    }

    #[expect(clippy::expect_used, reason = "the address plan has IP addresses")]
    fn place(&self, host: &str) -> GossipAddr {
        GossipAddr { ip: host.parse().expect("an address"), port: PEER_PORT, carrier: Carrier::Tcp }
    }

    /// Local discovery shows `one` where `two` is.
    pub fn show(&mut self, one: Server, two: Server) {
        let found = self.peer_addr(two.0);
        self.hosts[one.0].found.insert(found.addr.clone());
        self.tell_server(one.0, node::Input::Found(found), None, &[]);
    }

    /// Starts a server with nothing but its key, its configuration and the operator's wishes.
    pub(crate) fn start(&mut self, server: usize) {
        let seed = self.rng.seed();
        let host = &mut self.hosts[server];
        host.life += 1;
        host.timer = None;
        host.dialling.clear();
        host.unwelcomed.clear();
        host.chosen.clear();
        host.proven.clear();
        host.node = Some(Box::new(Node::new(host.id(), host.config.clone(), seed)));
        let (life, peers) = (host.life, host.peers.clone());
        self.after(Duration::ZERO, Event::Wall { who: Who::Server(server), life });
        self.run_now();
        for peer in peers {
            self.tell_server(server, node::Input::Peer(peer), None, &[]);
        }
    }

    /// `N` servers, each linked with the next.
    pub fn line<const N: usize>(&mut self) -> [Server; N] {
        let servers = std::array::from_fn(|_| self.add_server());
        self.chain(&servers);
        self.run_for(Duration::from_secs(3));
        servers
    }

    /// `N` servers in a ring.
    pub fn ring<const N: usize>(&mut self) -> [Server; N] {
        let servers = std::array::from_fn(|_| self.add_server());
        self.chain(&servers);
        if let ([first, ..], [.., last]) = (&servers[..], &servers[..]) {
            self.link(*last, *first);
        }
        self.run_for(Duration::from_secs(3));
        servers
    }

    /// `N` servers, each linked with every other.
    pub fn mesh<const N: usize>(&mut self) -> [Server; N] {
        let servers: [Server; N] = std::array::from_fn(|_| self.add_server());
        for (index, one) in servers.iter().enumerate() {
            for two in servers.iter().skip(index + 1) {
                self.link(*one, *two);
            }
        }
        self.run_for(Duration::from_secs(3));
        servers
    }

    fn chain(&mut self, servers: &[Server]) {
        for (one, two) in servers.iter().zip(servers.iter().skip(1)) {
            self.link(*one, *two);
        }
    }

    /// The operator of `one` wants a link with `two`, and wants it kept.
    pub fn link(&mut self, one: Server, two: Server) {
        let addr = self.peer_addr(two.0);
        self.hosts[one.0].peers.push(addr.clone());
        self.tell_server(one.0, node::Input::Peer(addr), None, &[]);
    }

    pub(crate) fn peer_addr(&self, server: usize) -> ServerAddr {
        ServerAddr { addr: self.addr(server, PEER_PORT), key: Some(self.hosts[server].id()) }
    }

    /// A user's program that connects to this server.
    pub fn add_client(&mut self, server: Server) -> Client {
        self.add_client_to(&[server])
    }

    /// A user's program that tries these servers in turn.
    pub fn add_client_to(&mut self, servers: &[Server]) -> Client {
        let signer = Rc::new(Signer::new(self.rng.seed(), self.signing));
        self.add_program(signer, servers)
    }

    /// Another program of the same user, on another device.
    pub fn add_device(&mut self, of: Client, server: Server) -> Client {
        let signer = Rc::clone(&self.users[of.0].signer);
        self.add_program(signer, &[server])
    }

    fn add_program(&mut self, signer: Rc<Signer>, servers: &[Server]) -> Client {
        let client = self.users.len();
        let device = DeviceId::new(*self.rng.seed().first_chunk().unwrap_or(&[0; 16]));
        let seed = self.rng.seed();
        let servers = servers.iter().map(|server| self.client_addr(server.0)).collect();
        let config = session::Config {
            servers,
            persist: true,
            reachable: self.signing == crate::Signing::Real,
            ..session::Config::default()
        };
        let user = UserId::new(signer.public());
        self.users.push(User {
            session: Session::new(user, device, config, seed),
            signer,
            device,
            connection: None,
            state: State::Idle,
            next_ticket: 0,
            joined: BTreeMap::new(),
            joined_before: BTreeMap::new(),
            resumed: 0,
            offers: None,
            wanted: BTreeMap::new(),
            wished: BTreeMap::new(),
            sent: 0,
            failed: 0,
            shown: Shown::default(),
            timer: None,
            reads: None,
            reads_again: Time::ZERO,
            disturbed: Time::ZERO,
            up_since: None,
        });
        self.after(Duration::ZERO, Event::Wall { who: Who::Client(client), life: 0 });
        self.run_now();
        self.tell_client(client, session::Input::Connect, &[]);
        Client(client)
    }

    /// Where clients reach a server, with its key.
    #[must_use]
    pub fn address(&self, server: Server) -> ServerAddr {
        self.client_addr(server.0)
    }

    fn client_addr(&self, server: usize) -> ServerAddr {
        ServerAddr { addr: self.addr(server, CLIENT_PORT), key: Some(self.hosts[server].id()) }
    }

    #[expect(clippy::expect_used, reason = "a number and a port make an address")]
    pub(crate) fn addr(&self, server: usize, port: u16) -> Addr {
        Addr::new("tcp", &host_name(server), Some(port)).expect("an address")
    }

    /// The user of this program wants to be in a channel.
    pub fn join(&mut self, client: Client, channel: &str) {
        let (id, channel) = self.channel(channel);
        let user = &mut self.users[client.0];
        user.wanted.insert(id, channel.clone());
        let ticket = user.ticket();
        self.tell_client(client.0, session::Input::Join { ticket, channel, name: None }, &[]);
    }

    /// The user of this program leaves a channel.
    pub fn leave(&mut self, client: Client, channel: &str) {
        let (id, _) = self.channel(channel);
        let user = &mut self.users[client.0];
        user.wanted.remove(&id);
        user.joined.remove(&id);
        user.joined_before.remove(&id);
        user.shown.left(id);
        let ticket = user.ticket();
        self.tell_client(client.0, session::Input::Leave { ticket, channel: id }, &[]);
    }

    /// The user of this program sends a text to a channel.
    pub fn send(&mut self, client: Client, channel: &str, text: &str) {
        let (id, _) = self.channel(channel);
        let user = &mut self.users[client.0];
        *user.wished.entry((id, text.to_owned())).or_default() += 1;
        let ticket = user.ticket();
        self.tell_client(
            client.0,
            session::Input::Send { ticket, channel: id, entry: Entry::text(text) },
            &[],
        );
    }

    /// The user closes the program; it does not come back.
    pub fn close(&mut self, client: Client) {
        self.users[client.0].wanted.clear();
        self.tell_client(client.0, session::Input::Close, &[]);
    }

    /// The operator of a server wants to know by which hops a channel's posts leave; [`traced`](Self::traced) tells.
    pub fn trace(&mut self, server: Server, channel: &str) {
        let (channel, _) = self.channel(channel);
        let trace = TraceId(self.now.since_start().as_millis().try_into().unwrap_or(u64::MAX));
        self.tell_server(server.0, node::Input::Trace { trace, channel }, None, &[]);
    }

    /// The operator stops a server politely.
    pub fn drain(&mut self, server: Server) {
        self.disturb(self.now);
        self.tell_server(server.0, node::Input::Drain, None, &[]);
    }

    #[expect(clippy::expect_used, reason = "a test names a channel that is one")]
    pub(crate) fn channel(&self, name: &str) -> (ChannelId, ChannelName) {
        let name: ChannelName = name.parse().expect("a channel name");
        (ChannelId::of(&self.network, &name), name)
    }
}
