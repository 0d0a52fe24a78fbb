//! The world: who is in it, what happens next, and what its people wish.

use crate::actors::{EPOCH_MS, Host, User};
use crate::check::Check;
use crate::direct::Talks;
use crate::hostile::Stranger;
use crate::rng::Rng;
use crate::task::Task;
use crate::trace::Trace;
use crate::wire::Connection;
use crate::{Signing, Who};
use darkchat_client::session;
use darkchat_crypto::Verified;
use darkchat_node as node;
use darkchat_proto::{Bundle, Code, FrameStream, Network, PostId, Signature, Time};
use std::collections::{BTreeMap, BTreeSet};
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
    /// A server knows whether a neighbour can be dialled.
    Probed {
        server: usize,
        life: u32,
        dial: node::DialId,
        reachable: bool,
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
    /// A server knows which bundles their users signed.
    ServerVerified {
        server: usize,
        life: u32,
        verify: node::VerifyId,
        bundles: Vec<Option<Verified<Bundle>>>,
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
    /// Whether lost links of clients can be gone on with (5.4).
    pub(crate) resumes: bool,
    /// The mean latency of a new connection.
    pub(crate) latency: Duration,
    pub(crate) check: Check,
    pub(crate) talks: Talks,
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
            resumes: true,
            latency: Duration::from_millis(8),
            check: Check::new(),
            talks: Talks::default(),
            replay: "",
        }
    }

    /// Uses these signatures from now on; said before anybody is added.
    #[must_use]
    pub const fn with_signing(mut self, signing: Signing) -> Self {
        self.signing = signing;
        self
    }

    /// Nobody offers to go on with the session of a lost link.
    #[must_use]
    pub const fn without_resume(mut self) -> Self {
        self.resumes = false;
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
    pub const fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// How many steps there were.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.trace.steps()
    }

    // ---- time

    /// Lets the world go on for so long.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.run_until(until);
        self.now = until;
    }

    pub(crate) fn run_now(&mut self) {
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
            Event::ServerSigned { server, .. }
            | Event::ServerVerified { server, .. }
            | Event::Probed { server, .. } => Who::Server(*server),
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
            Event::Probed { server, life, dial, reachable } => {
                if self.lives(server, life) {
                    self.tell_server(server, node::Input::Probed { dial, reachable }, None, &[]);
                }
            }
            Event::Timer { who, life } => self.timer(who, life),
            Event::ServerSigned { server, life, sign, signature } => {
                if self.lives(server, life) {
                    self.tell_server(server, node::Input::Signed { sign, signature }, None, &[]);
                }
            }
            Event::ServerVerified { server, life, verify, bundles } => {
                if self.lives(server, life) {
                    self.tell_server(server, node::Input::Verified { verify, bundles }, None, &[]);
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

    /// What a server's clock shows.
    pub(crate) fn wall_ms_at(&self, server: usize) -> u64 {
        let host = &self.hosts[server];
        host.stopped_ms.unwrap_or_else(|| self.wall_ms().saturating_add_signed(host.skew_ms))
    }

    fn wall(&mut self, who: Who, life: u32) {
        match who {
            Who::Server(server) if self.lives(server, life) => {
                let unix_ms = self.wall_ms_at(server);
                self.tell_server(server, node::Input::Wall { unix_ms }, None, &[]);
            }
            Who::Client(client) if !self.is_closed(client) => {
                let unix_ms = self.wall_ms();
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
