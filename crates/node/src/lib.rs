//! Everything that a darkchat server knows and decides, without IO.
//!
//! A [`Node`] takes [`Input`]s, which are facts, and gives [`Output`]s, which are wishes. It has no socket, no clock,
//! no thread, and no randomness but a seed, so a run is a list of times and inputs: it can be saved, generated and
//! replayed, and ends the same each time. Whoever drives it
//!
//! 1. tells it the wall clock first of all, and then what happens, as it happens;
//! 2. carries out what it wants, until it wants nothing more;
//! 3. waits for the next thing to happen, or for the one deadline.
//!
//! ```
//! use darkchat_crypto::Authenticated;
//! use darkchat_node::{Accept, Config, Input, LinkId, Node, Output};
//! use darkchat_proto::{DeviceId, Features, Role, ServerId, Time};
//!
//! let mut node = Node::new(ServerId::new([1; 32]), Config::default(), [7; 32]);
//! let alice = Authenticated::unchecked([2; 32], Role::Client, Some(DeviceId::new([3; 16])), Features::NONE);
//! let inputs = [
//!     Input::Wall { unix_ms: 1_700_000_000_000 },                                     // 1
//!     Input::Opened {
//!         link: LinkId(1),
//!         dial: None,
//!         accept: Accept::Clients,
//!         peer: alice,
//!         remote: "mem://alice".parse()?,
//!         observed: [127, 0, 0, 1].into(),
//!         resume: None,
//!     },
//! ];
//! let mut written = 0;
//! for input in inputs {
//!     node.handle(Time::from_millis(5), input);
//!     while let Some(output) = node.poll() {                                           // 2
//!         match output {
//!             Output::Send { links, frames, .. } => written += links.len() * frames.bytes(),
//!             Output::Sign { .. } | Output::Dial { .. } => { /* do it, and give the answer as an input */ }
//!             _ => {}
//!         }
//!     }
//! }
//! assert!(written > 0, "alice is welcome");
//! let wait = node.poll_timeout().ok_or("her link has to be looked after")?;             // 3
//! node.handle(wait, Input::Timeout);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The files: `links` says what happens to links whoever is there, `clients` and `servers` what those two ask for,
//! `router` where a message goes. Each concern is a struct that owns its fields: `link` and `queue` hold what
//! waits, `session` and `channels` who listens, `resume` what outlives a lost link, `map` and `interest` what other
//! servers are and want, `peers` who is linked and when to dial, `neighbours` whom we choose, `book` and `scope` where
//! servers are and which addresses are dialled, `reach` whether others can dial us, `admission` which new servers the
//! map takes, `hop`, `behind` and `limbo` what is kept until it arrived at the next server, `blame` what follows from forgeries,
//! `inbox`, `lookup` and `direct` where users are and how packets reach them; `sync`, `announce`, `retell`, `spread` and `joins` how all servers come to know the same; `trace` and `view` show it
//! to the operator.
//! What they must keep to stands in `docs/protocol.md`, sections 5, 9, 10, 11 and 13.
#![warn(clippy::indexing_slicing)]

mod admission;
mod announce;
mod behind;
mod blame;
mod book;
mod channels;
mod clients;
mod config;
mod context;
mod direct;
mod drain;
mod event;
mod frames;
mod hop;
mod inbox;
mod input;
mod interest;
mod joins;
mod limbo;
mod limits;
mod link;
mod links;
mod lookup;
mod map;
mod neighbours;
mod output;
mod peers;
mod queue;
mod reach;
mod reroute;
mod resume;
mod retell;
mod rng;
mod router;
mod scope;
mod seen;
mod servers;
mod session;
mod spread;
mod stats;
mod sync;
#[cfg(test)]
mod tests;
mod trace;
mod view;
mod weight;

pub use config::{Config, Neighbours};
pub use event::Event;
pub use frames::Frames;
pub use input::{Accept, Check, Input, Received};
pub use limits::{ClientBudgets, Meter, PeerBudgets, Profile, RATE_WAIT, Rate, Verdict, table_limits};
pub use neighbours::dial_limits;
pub use output::{Output, SendClass};
pub use stats::{DroppedFor, RefusedFor, Sizes, Stats};
pub use trace::{Hop, Trace};
pub use view::{MapRow, NetworkMap};

use admission::Admission;
use announce::Announce;
use behind::Behind;
use blame::Blame;
use book::Book;
use channels::Channels;
use context::Context;
use darkchat_proto::{Addr, ChannelId, Have, ServerId, Time, UserId};
use direct::Directs;
use interest::Interest;
use joins::Joins;
use limbo::Limbo;
use link::{About, LinkKind, Links};
use links::Arrival;
use lookup::Lookups;
use map::Map;
use neighbours::Choice;
use peers::{Peer, Peers};
use reach::Reach;
use resume::Away;
use retell::Retell;
use router::Router;
use session::{Session, Sessions};
use spread::Dones;
use std::time::Duration;
use sync::Sync;
use trace::Traces;

/// A link: the driver counts them up and never uses one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct LinkId(pub u64);

/// A dial that the node asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct DialId(pub u64);

/// A signature that the node asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct SignId(pub u64);

/// Signatures that the node asked to have checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct VerifyId(pub u64);

/// A question for the way of a channel's posts, numbered by whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct TraceId(pub u64);

/// Everything that a server knows and decides. No sockets, no clock, no randomness of its own.
///
/// Each concern is a struct that owns its fields; the node only routes inputs to them.
#[derive(Debug)]
pub struct Node {
    identity: ServerId,
    config: Config,
    cx: Context,
    links: Links,
    sessions: Sessions,
    away: Away,
    channels: Channels,
    router: Router,
    map: Map,
    interest: Interest,
    peers: Peers,
    book: Book,
    choice: Choice,
    reach: Reach,
    admission: Admission,
    sync: Sync,
    announce: Announce,
    dones: Dones,
    joins: Joins,
    retell: Retell,
    limbo: Limbo,
    behind: Behind,
    blame: Blame,
    traces: Traces,
    directs: Directs,
    lookups: Lookups,
    draining: bool,
    /// While we leave: when the links with peers end.
    leave_at: Option<Time>,
}

impl Node {
    /// Knows its public identity only; signatures are asked for as outputs.
    #[must_use]
    pub fn new(identity: ServerId, config: Config, seed: [u8; 32]) -> Self {
        Self {
            identity,
            cx: Context::new(seed),
            links: Links::new(config.memory_budget),
            sessions: Sessions::default(),
            away: Away::default(),
            channels: Channels::default(),
            router: Router::default(),
            map: Map::new(identity),
            interest: Interest::new(identity, 0),
            peers: Peers::default(),
            book: Book::new(config.lan),
            choice: Choice::default(),
            reach: Reach::new(&config),
            admission: Admission::default(),
            sync: Sync::default(),
            announce: Announce::default(),
            dones: Dones::default(),
            joins: Joins::default(),
            retell: Retell::default(),
            limbo: Limbo::new(config.limbo_bytes),
            behind: Behind::default(),
            blame: Blame::default(),
            traces: Traces::default(),
            directs: Directs::default(),
            lookups: Lookups::default(),
            draining: false,
            leave_at: None,
            config,
        }
    }

    /// Tells the node what happened at `now`. Never fails, never blocks. A `now` before an earlier one counts as that.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.cx.now = self.cx.now.max(now);
        match input {
            Input::Wall { unix_ms } => self.wall(unix_ms),
            Input::Opened { link, dial, accept, peer, remote, observed, resume } => {
                self.opened(link, Arrival { dial, accept, peer, remote, observed, resume });
            }
            Input::DialFailed { dial, why } => self.dial_failed(dial, why),
            Input::Frame { link, frame } => self.frame(link, frame),
            Input::Flushed { link, bytes } => self.flushed(link, bytes),
            Input::Closed { link, why } => self.closed(link, why),
            Input::Signed { sign, signature } => self.signed(sign, signature),
            Input::Verified { verify, bundles } => self.verified(verify, bundles),
            Input::Timeout => self.timeout(),
            Input::Peer(addr) => self.pin(addr),
            Input::Unpeer(addr) => self.unpin(&addr),
            Input::Disconnect(server) => self.disconnect(&server),
            Input::Trace { trace, channel } => self.trace(trace, channel),
            Input::Found(addr) => self.found(&addr),
            Input::Probed { dial, reachable } => self.probe_over(dial, reachable),
            Input::Drain => self.drain(),
        }
        if self.announce.deadline().is_some_and(|due| due <= self.cx.now) {
            self.announce_due();
        }
        if !self.behind.is_empty() {
            self.look_behind();
        }
        if !self.cx.cut.is_empty() {
            self.answer_cut();
        }
    }

    /// What to do next; `None` when there is nothing left to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.cx.out.pop_front()
    }

    /// When to give [`Input::Timeout`], if nothing else happens before. Later than every time at which one was given.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let interest = if self.announce.is_silent() { None } else { self.interest.deadline() };
        [
            self.links.deadline(),
            self.away.deadline(),
            self.leave_at,
            self.peers.deadline(),
            self.choice.deadline(),
            self.reach.deadline(),
            self.admission.deadline(),
            self.sync.deadline(),
            self.announce.deadline(),
            interest,
            self.map.deadline(),
            self.dones.deadline(),
            self.joins.deadline(),
            self.retell.deadline(),
            self.limbo.deadline(),
            self.behind.deadline(),
            self.blame.deadline(),
            self.traces.deadline(),
            self.directs.deadline(),
            self.lookups.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (queued_bytes, longest_queue) = self.links.sizes();
        let (sent_packets, delivered_packets) = self.directs.sizes();
        let (lookups, lookup_askers, lookup_answers) = self.lookups.sizes();
        let sizes = Sizes {
            clients: self.sessions.len(),
            away: self.away.len(),
            peers: self.peers.len(),
            channels: self.channels.len(),
            memberships: self.channels.memberships(),
            queued_bytes,
            longest_queue,
            seen: self.router.seen.len(),
            servers: self.map.len(),
            tags: self.interest.others_len().saturating_add(self.interest.own_len()),
            pending_done: self.dones.len(),
            waiting_joins: self.joins.len(),
            held_records: self.sync.held_len(),
            pinned: self.peers.pinned_len(),
            limbo_bytes: self.limbo.bytes().saturating_add(self.behind.bytes()),
            traces: self.traces.len(),
            book: self.book.len(),
            turned_away: self.admission.len(),
            paced_dials: self.book.paced_len(),
            sent_packets,
            delivered_packets,
            lookups,
            lookup_askers,
            lookup_answers,
        };
        Stats {
            sizes,
            equivocations: self.map.equivocations(),
            shards_refused: self.interest.refused(),
            seen_early: self.router.seen.early_swaps(),
            ..self.cx.stats.clone()
        }
    }

    /// The servers that we have a link with, by link.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerRow> {
        let row = |(link, peer): (LinkId, &Peer)| {
            self.peers.router_of(link)?;
            let about = &*self.links.get(link)?.about;
            let (addr, since, round_trip) = (about.remote.clone(), about.since, about.round_trip());
            let (server, outbound) = (peer.server, peer.outbound);
            let (queued, pinned) = (self.links.held_by(link), self.peers.pinned_at(link));
            Some(PeerRow { link, server, addr, outbound, since, round_trip, queued, pinned })
        };
        self.peers.iter().filter_map(row).collect()
    }

    /// The users' programs that are connected, by link.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientRow> {
        let row = |(link, session): (LinkId, &Session)| {
            let About { remote: addr, since, .. } =
                &*self.links.get(link).filter(|link| link.kind == LinkKind::Client)?.about;
            let channels = session.channels.len();
            Some(ClientRow { link, user: session.user, addr: addr.clone(), channels, since: *since })
        };
        self.sessions.iter().filter_map(row).collect()
    }

    /// The channels with members here, and how many sessions each has.
    #[must_use]
    pub fn channels(&self) -> Vec<(ChannelId, usize)> {
        self.channels.iter().collect()
    }

    /// What we hold of each server, our own among them, as a `Digest` says it.
    pub fn holdings(&self) -> impl Iterator<Item = Have> {
        self.map.digest(&self.interest)
    }

    /// The servers in the map, ourselves left out.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerId> {
        self.map.iter().map(|(_, known)| known.record.server).filter(|id| *id != self.identity).collect()
    }
}

/// A server that we have a link with, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerRow {
    /// Which link.
    pub link: LinkId,
    /// The proven key.
    pub server: ServerId,
    /// Where it is.
    pub addr: Addr,
    /// Whether we dialled it.
    pub outbound: bool,
    /// Since when the link is up.
    pub since: Time,
    /// The time of a way there and back, smoothed; `None` until it was measured.
    pub round_trip: Option<Duration>,
    /// The bytes that wait for it, here and with the driver.
    pub queued: usize,
    /// Where the operator named it, if a link with it is wanted.
    pub pinned: Option<Addr>,
}

/// A user's program that is connected, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientRow {
    /// Which link.
    pub link: LinkId,
    /// The proven key.
    pub user: UserId,
    /// Where it is.
    pub addr: Addr,
    /// How many channels it has joined.
    pub channels: usize,
    /// Since when the link is up.
    pub since: Time,
}
