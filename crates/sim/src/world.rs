//! The world: who is in it, what happens next, and what its people wish.

use crate::actors::{EPOCH_MS, Host, PEER_PORT, User, host_name};
use crate::check::Check;
use crate::hostile::Stranger;
use crate::rng::Rng;
use crate::shown::Shown;
use crate::sign::Signer;
use crate::task::Task;
use crate::trace::Trace;
use crate::wire::Connection;
use crate::{Client, Server, Signing, Who};
use darkchat_client::session::{self, Session, State};
use darkchat_node::{self as node, Config, Node};
use darkchat_proto::{
    Addr, ChannelId, ChannelName, Code, DeviceId, Entry, FrameStream, Network, PostId, ServerAddr, Signature,
    Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// How often the wall clock is told.
const WALL_EVERY: Duration = Duration::from_secs(10);
/// Steps at one moment after which nobody waits any longer: somebody answers himself.
const MAX_STEPS_AT_ONCE: u64 = 200_000;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// Bytes are there for this end to read.
    Arrive {
        connection: usize,
        end: usize,
    },
    /// Bytes of this end were taken by the network.
    Flushed {
        connection: usize,
        end: usize,
    },
    /// The handshake is complete at this end.
    Open {
        connection: usize,
        end: usize,
    },
    /// This end learns that the connection is gone.
    End {
        connection: usize,
        end: usize,
        why: Code,
    },
    /// A driver that closes waits no longer.
    CloseNow {
        connection: usize,
        end: usize,
    },
    DialFailed {
        who: Who,
        life: u32,
        dial: u64,
        why: Code,
    },
    Timer {
        who: Who,
        life: u32,
    },
    ServerSigned {
        server: usize,
        life: u32,
        sign: node::SignId,
        signature: Signature,
    },
    ClientSigned {
        client: usize,
        sign: session::SignId,
        signature: Signature,
    },
    Wall {
        who: Who,
        life: u32,
    },
    /// A post's time is up: whoever was promised it has it.
    Judge {
        post: PostId,
    },
    /// Two servers have had time to agree on one link.
    Pair {
        servers: [usize; 2],
    },
    /// A stranger does something.
    Mischief {
        stranger: usize,
    },
}

/// Servers, clients and strangers, the connections between them, and the only clock.
///
/// Whatever is called *wish* below takes effect when the world [runs](Self::run_for). A broken promise panics, prints
/// the command that replays it, and the last steps.
#[derive(Debug)]
pub struct World {
    pub(crate) seed: u64,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    next_event: u64,
    steps_at_once: u64,
    pub(crate) signing: Signing,
    pub(crate) network: Network,
    pub(crate) trace: Trace,
    pub(crate) hosts: Vec<Host>,
    pub(crate) users: Vec<User>,
    pub(crate) strangers: Vec<Stranger>,
    pub(crate) connections: Vec<Connection>,
    /// What reads at the ends of servers.
    pub(crate) tasks: BTreeMap<(usize, usize), Task>,
    /// What reads at the ends of clients.
    pub(crate) readers: BTreeMap<(usize, usize), FrameStream>,
    /// Pairs that cannot connect, that lose everything without a word, and that are slower.
    pub(crate) blocked: BTreeSet<(Who, Who)>,
    pub(crate) silent: BTreeSet<(Who, Who)>,
    pub(crate) extra: BTreeMap<(Who, Who), Duration>,
    /// The mean latency of a new connection.
    pub(crate) latency: Duration,
    pub(crate) check: Check,
    replay: &'static str,
}

/// A pair in either order.
pub(crate) fn pair(one: Who, two: Who) -> (Who, Who) {
    (one.min(two), one.max(two))
}

impl World {
    /// An empty world. Signatures are stand-ins.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: Rng::new(seed),
            now: Time::ZERO,
            queue: BTreeMap::new(),
            next_event: 0,
            steps_at_once: 0,
            signing: Signing::StandIn,
            network: Network::default(),
            trace: Trace::new(),
            hosts: Vec::new(),
            users: Vec::new(),
            strangers: Vec::new(),
            connections: Vec::new(),
            tasks: BTreeMap::new(),
            readers: BTreeMap::new(),
            blocked: BTreeSet::new(),
            silent: BTreeSet::new(),
            extra: BTreeMap::new(),
            latency: Duration::from_millis(8),
            check: Check::new(),
            replay: "",
        }
    }

    /// Uses these signatures from now on; said before anybody is added.
    #[must_use]
    pub const fn with_signing(mut self, signing: Signing) -> Self {
        self.signing = signing;
        self
    }

    /// The command that replays this run, printed when a promise is broken.
    #[must_use]
    pub const fn replayed_by(mut self, command: &'static str) -> Self {
        self.replay = command;
        self
    }

    /// Prints every step from now on.
    pub const fn print_trace(&mut self) {
        self.trace.aloud();
    }

    /// The time since the start.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The hash over everything that happened: equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> [u8; 32] {
        self.trace.hash()
    }

    /// How many steps there were.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.trace.steps()
    }

    // ---- who is there

    /// A server with the default configuration.
    pub fn add_server(&mut self) -> Server {
        self.add_server_with(Config::default(), 0)
    }

    /// A server whose clock is `skew_ms` ahead of the world's.
    pub fn add_server_with(&mut self, config: Config, skew_ms: u64) -> Server {
        let server = self.hosts.len();
        self.hosts.push(Host {
            signer: Rc::new(Signer::new(self.rng.seed(), self.signing)),
            config: Config { network: self.network.clone(), ..config },
            skew_ms,
            node: None,
            life: 0,
            links: BTreeMap::new(),
            next_link: 0,
            asked: BTreeMap::new(),
            timer: None,
            paused_until: Time::ZERO,
            peers: Vec::new(),
        });
        self.start(server);
        Server(server)
    }

    /// Starts a server with nothing but its key, its configuration and the operator's wishes.
    pub(crate) fn start(&mut self, server: usize) {
        let seed = self.rng.seed();
        let host = &mut self.hosts[server];
        host.life += 1;
        host.timer = None;
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
        let config = session::Config { servers, persist: true, ..session::Config::default() };
        let user = darkchat_proto::UserId::new(signer.public());
        self.users.push(User {
            session: Session::new(user, device, config, seed),
            signer,
            device,
            connection: None,
            state: State::Idle,
            next_ticket: 0,
            joined: BTreeMap::new(),
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

    fn client_addr(&self, server: usize) -> ServerAddr {
        ServerAddr { addr: self.addr(server, crate::actors::CLIENT_PORT), key: Some(self.hosts[server].id()) }
    }

    #[expect(clippy::expect_used, reason = "a number and a port make an address")]
    pub(crate) fn addr(&self, server: usize, port: u16) -> Addr {
        Addr::new("tcp", &host_name(server), Some(port)).expect("an address")
    }

    // ---- what people wish

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

    // ---- time

    /// Lets the world go on for so long.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.run_until(until);
        self.now = until;
    }

    fn run_now(&mut self) {
        self.run_until(self.now);
    }

    fn run_until(&mut self, until: Time) {
        while let Some(entry) = self.queue.first_entry() {
            let (at, number) = *entry.key();
            if at > until {
                break;
            }
            let event = entry.remove();
            if at > self.now {
                self.now = at;
                self.steps_at_once = 0;
            }
            self.steps_at_once += 1;
            if self.steps_at_once > MAX_STEPS_AT_ONCE {
                self.broken("the world does not get past this moment");
            }
            // A stopped process handles what came meanwhile when it goes on, in order.
            match self.sleeps_until(&event) {
                Some(later) => _ = self.queue.insert((later, number), event),
                None => self.happen(event),
            }
        }
    }

    fn sleeps_until(&self, event: &Event) -> Option<Time> {
        let who = match event {
            Event::Arrive { connection, end }
            | Event::Flushed { connection, end }
            | Event::Open { connection, end }
            | Event::End { connection, end, .. }
            | Event::CloseNow { connection, end } => self.connections.get(*connection)?.ends[*end].who,
            Event::DialFailed { who, .. } | Event::Timer { who, .. } | Event::Wall { who, .. } => *who,
            Event::ServerSigned { server, .. } => Who::Server(*server),
            _ => return None,
        };
        let Who::Server(server) = who else { return None };
        let until = self.hosts.get(server)?.paused_until;
        (until > self.now).then_some(until)
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.next_event += 1;
        self.queue.insert((at.max(self.now), self.next_event), event);
    }

    pub(crate) fn after(&mut self, span: Duration, event: Event) {
        self.at(self.now + span, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { connection, end } => self.arrive(connection, end),
            Event::Flushed { connection, end } => self.flushed(connection, end),
            Event::Open { connection, end } => self.opened(connection, end),
            Event::End { connection, end, why } => self.ended(connection, end, why),
            Event::CloseNow { connection, end } => self.close_now(connection, end),
            Event::DialFailed { who, life, dial, why } => self.dial_failed(who, life, dial, why),
            Event::Timer { who, life } => self.timer(who, life),
            Event::ServerSigned { server, life, sign, signature } => {
                if self.lives(server, life) {
                    self.tell_server(server, node::Input::Signed { sign, signature }, None, &[]);
                }
            }
            Event::ClientSigned { client, sign, signature } => {
                self.tell_client(client, session::Input::Signed { sign, signature }, &[]);
            }
            Event::Wall { who, life } => self.wall(who, life),
            Event::Judge { post } => self.judge(post),
            Event::Pair { servers } => self.judge_pair(servers),
            Event::Mischief { stranger } => self.mischief(stranger),
        }
    }

    pub(crate) fn lives(&self, server: usize, life: u32) -> bool {
        self.hosts.get(server).is_some_and(|host| host.life == life && host.node.is_some())
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        EPOCH_MS + u64::try_from(self.now.since_start().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall(&mut self, who: Who, life: u32) {
        let unix_ms = self.wall_ms();
        match who {
            Who::Server(server) if self.lives(server, life) => {
                let unix_ms = unix_ms + self.hosts[server].skew_ms;
                self.tell_server(server, node::Input::Wall { unix_ms }, None, &[]);
            }
            Who::Client(client) if !self.is_closed(client) => {
                self.tell_client(client, session::Input::Wall { unix_ms }, &[]);
            }
            _ => return,
        }
        self.after(WALL_EVERY, Event::Wall { who, life });
    }

    fn timer(&mut self, who: Who, life: u32) {
        match who {
            Who::Server(server) if self.lives(server, life) => self.server_timer(server),
            Who::Client(client) => self.client_timer(client),
            _ => {}
        }
    }

    // ---- the end of a run

    /// Ends the run: a promise is broken.
    #[expect(clippy::panic, reason = "a test is to fail")]
    pub(crate) fn broken(&self, what: &str) -> ! {
        panic!("at {:?}, seed {}: {what}", self.now, self.seed);
    }
}

impl Drop for World {
    /// Whatever ended a run early, the way back to it is printed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            print_end(self.seed, self.replay, &self.trace);
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failing test explains itself")]
fn print_end(seed: u64, replay: &str, trace: &Trace) {
    eprintln!("--- the last steps of {}:", trace.steps());
    for step in trace.last() {
        eprintln!("{step}");
    }
    if replay.is_empty() {
        eprintln!("--- seed {seed}: this test replays itself");
    } else {
        eprintln!("--- replay it with:\nDARKCHAT_SEED={seed} {replay}");
    }
}
