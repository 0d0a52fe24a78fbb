//! The driver of all nodes: one queue of events, links with latency, and turns.

use super::host::{End, Host, Item, NEVER};
use super::link;
use super::traffic::Traffic;
use super::world::{Form, Mesh};
use crate::mix::Mix;
use crate::rng::Rng;
use darkchat_crypto::Authenticated;
use darkchat_node::{
    Accept, Config, DialId, Frames, Input, LinkId, Neighbours, Node, Output, Profile, SendClass,
};
use darkchat_proto::{
    Addr, Class, Code, DeviceId, Features, Frame, Goodbye, Kind, Role, RouterId, ServerAddr, ServerRecord,
    Signed, Time, UserId,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The wall clock at the start, in Unix milliseconds.
const EPOCH_MS: u64 = 1_800_000_000_000;
/// How often the wall clock is told, in nanoseconds.
const WALL_EVERY: u64 = 10 * SECOND;
/// A dial that nobody answers fails after this time.
const DIAL_TIMEOUT: u64 = 5 * SECOND;
/// A server reads all its links at once, so often: what came meanwhile is one turn, as in the real driver.
const TURN: u64 = MILLI;
/// A second and a millisecond, in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MILLI: u64 = 1_000_000;
/// The only installation of every user.
pub(super) const DEVICE: DeviceId = DeviceId::new([1; 16]);
/// Links of clients have numbers from here on; those of peers are their ends.
const CLIENTS: u64 = 1 << 40;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A server starts.
    Start(usize),
    /// Something is there for this server to read.
    Arrive(usize),
    /// The deadline of a node.
    Timer(usize),
    DialFailed(usize, DialId, Code),
    Probed(usize, DialId, bool),
    Wall(usize),
    /// A hostile peer does something.
    Tick(usize),
    /// The script goes on.
    Step(super::script::Step),
}

#[derive(Debug)]
struct Queued(u64, u64, Event);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// The newest record of a server that anybody was sent.
#[derive(Debug, Default)]
pub(super) struct Newest {
    pub(super) number: (u64, u64),
    pub(super) neighbours: Vec<RouterId>,
}

/// All servers and links, and the only clock.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) now: u64,
    pub(super) rng: Rng,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    pub(super) mesh: Mesh,
    pub(super) hosts: Vec<Host>,
    pub(super) ends: Vec<End>,
    by_addr: BTreeMap<Addr, usize>,
    /// The first server of the second half while the halves are apart, and the one that can be dialled all the same.
    pub(super) split: Option<(usize, Option<usize>)>,
    pub(super) trace: Mix,
    records: link::Records,
    pub(super) traffic: Traffic,
    pub(super) newest: BTreeMap<RouterId, Newest>,
    /// Copies of messages that were on links when those ended.
    pub(super) destroyed: u64,
    /// Copies of messages that came to hostile peers.
    pub(super) swallowed: u64,
    /// Frames that came, by what they say.
    pub(super) frames: BTreeMap<&'static str, u64>,
    /// Bytes that left a link and are to be reported.
    flushes: Vec<(LinkId, usize)>,
}

fn time(nanos: u64) -> Time {
    Time::new(Duration::from_nanos(nanos))
}

impl Engine {
    pub(super) fn new(mesh: &Mesh, hosts: Vec<Host>) -> Self {
        let by_addr = hosts.iter().enumerate().map(|(number, host)| (host.address(), number)).collect();
        Self {
            now: 0,
            rng: Rng::new(mesh.seed),
            queue: BinaryHeap::new(),
            queued: 0,
            mesh: mesh.clone(),
            hosts,
            ends: Vec::new(),
            by_addr,
            split: None,
            trace: Mix::new(),
            records: link::Records::default(),
            traffic: Traffic::default(),
            newest: BTreeMap::new(),
            destroyed: 0,
            swallowed: 0,
            frames: BTreeMap::new(),
            flushes: Vec::new(),
        }
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse(Queued(at.max(self.now), self.queued, event)));
    }

    /// A server is no longer where it was.
    pub(super) fn addressed(&mut self, before: &Addr, now: Addr, host: usize) {
        self.by_addr.remove(before);
        self.by_addr.insert(now, host);
    }

    pub(super) fn wall_ms(&self) -> u64 {
        EPOCH_MS + self.now / MILLI
    }

    /// Takes the next event, if it comes before `until`; steps of the script are the caller's.
    pub(super) fn next(&mut self, until: u64) -> Option<Event> {
        if self.queue.peek().is_none_or(|Reverse(queued)| queued.0 > until) {
            self.now = until;
            return None;
        }
        let Reverse(Queued(at, _, event)) = self.queue.pop()?;
        self.now = at;
        Some(event)
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Start(host) => self.start(host),
            Event::Arrive(host) => self.arrive(host),
            Event::Timer(host) => self.timer(host),
            Event::DialFailed(host, dial, why) => self.tell(host, Input::DialFailed { dial, why }),
            Event::Probed(host, dial, reachable) => self.tell(host, Input::Probed { dial, reachable }),
            Event::Wall(host) => {
                let unix_ms = self.wall_ms();
                self.tell(host, Input::Wall { unix_ms });
                self.ping_from_clients(host);
                if self.hosts[host].node.is_some() {
                    self.at(self.now + WALL_EVERY, Event::Wall(host));
                }
            }
            Event::Tick(host) => self.tick(host),
            Event::Step(_) => {}
        }
    }

    fn start(&mut self, host: usize) {
        let Host { id, addr, dialable, .. } = self.hosts[host];
        // What its operators named is all that it links with, unless a split may take all of those from it.
        let target = if self.mesh.split > 0 { self.mesh.degree / 2 } else { 0 };
        let pinned = Neighbours { min: 0, target, max: 64 };
        let (addrs, known, neighbours) = match self.mesh.form {
            Form::Pinned if dialable => (vec![addr], Some(true), pinned),
            Form::Pinned => (Vec::new(), Some(false), pinned),
            // It has to find out whether it can be dialled, and whom to dial.
            Form::Discovery => {
                (vec![addr], None, Neighbours { target: self.mesh.degree, ..Neighbours::default() })
            }
        };
        let config = Config {
            profile: Profile::Public,
            addrs,
            dialable: known,
            features: features(),
            neighbours,
            ..Config::default()
        };
        let seed = self.rng.seed();
        self.hosts[host].node = Some(Box::new(Node::new(id, config, seed)));
        self.happen(Event::Wall(host));
    }

    // ---- turns

    /// Gives a node one input, and carries out what it wants.
    pub(super) fn tell(&mut self, host: usize, input: Input) {
        self.turn(host, |_, node, now| node.handle(now, input));
    }

    fn turn(&mut self, host: usize, act: impl FnOnce(&mut Self, &mut Node, Time)) {
        let Some(mut node) = self.hosts[host].node.take() else { return };
        act(self, &mut node, time(self.now));
        self.carry_out(host, &mut node);
        self.flush(host, &mut node);
        self.arm(host, &node);
        self.hosts[host].node = Some(node);
    }

    fn flush(&mut self, host: usize, node: &mut Node) {
        while !self.flushes.is_empty() {
            for (link, bytes) in std::mem::take(&mut self.flushes) {
                node.handle(time(self.now), Input::Flushed { link, bytes });
            }
            self.carry_out(host, node);
        }
    }

    fn arm(&mut self, host: usize, node: &Node) {
        let Some(deadline) = node.poll_timeout() else { return };
        let at = u64::try_from(deadline.since_start().as_nanos()).unwrap_or(NEVER);
        if at < self.hosts[host].timer {
            self.hosts[host].timer = at;
            self.at(at, Event::Timer(host));
        }
    }

    fn timer(&mut self, host: usize) {
        if self.hosts[host].timer > self.now {
            return;
        }
        self.hosts[host].timer = NEVER;
        self.turn(host, |engine, node, now| {
            if node.poll_timeout().is_some_and(|deadline| deadline <= now) {
                engine.trace.number(engine.now);
                node.handle(now, Input::Timeout);
            }
        });
    }

    /// Lets frames of a node leave on one of its links.
    fn put_out(&mut self, host: usize, link: LinkId, frames: &Frames, class: SendClass) {
        let len = frames.bytes();
        for (head, body) in frames.iter() {
            match link.0.checked_sub(CLIENTS) {
                Some(client) if class == SendClass::Channel => self.traffic.hear(self.now, client, body),
                Some(_) => {}
                None => self.send(end_of(link), Item::Frame(head.clone(), body.clone())),
            }
        }
        if class == SendClass::Control && link.0 < CLIENTS {
            self.hosts[host].control += u64::try_from(len).unwrap_or(0);
        }
        match self.flushes.last_mut() {
            Some((last, bytes)) if *last == link => *bytes += len,
            _ => self.flushes.push((link, len)),
        }
    }

    fn carry_out(&mut self, host: usize, node: &mut Node) {
        while let Some(output) = node.poll() {
            match output {
                Output::Send { links, frames, class } => {
                    for link in links.iter() {
                        self.put_out(host, *link, &frames, class);
                    }
                }
                Output::Sign { sign, .. } => {
                    let signature = self.hosts[host].signature();
                    node.handle(time(self.now), Input::Signed { sign, signature });
                }
                Output::Dial { dial, addr, pinned: _ } => self.dial(host, dial, &addr),
                Output::Probe { dial, addr } => self.probe(host, dial, &addr),
                Output::Close { link, goodbye } => self.close(node, link, goodbye),
                _ => {}
            }
        }
    }

    // ---- links

    /// A new link's latency, the same for a pair each time.
    fn latency(&self, one: usize, two: usize) -> u64 {
        let pair = (one.min(two) * self.hosts.len() + one.max(two)) as u64;
        let mut rng = Rng::new(self.mesh.seed ^ pair.wrapping_mul(0x2545_F491_4F6C_DD1D));
        let (min, max) = (self.mesh.latency_min * MILLI, self.mesh.latency_max * MILLI);
        min + rng.below(max.saturating_sub(min).max(1))
    }

    /// Whether nothing passes between two servers.
    pub(super) fn apart(&self, one: usize, two: usize) -> bool {
        self.split.is_some_and(|(half, _)| (one < half) != (two < half))
    }

    fn dial(&mut self, host: usize, dial: DialId, addr: &ServerAddr) {
        let Some(other) = self.by_addr.get(&addr.addr).copied() else {
            return self.at(self.now + SECOND, Event::DialFailed(host, dial, Code::Unreachable));
        };
        let reachable = self.split.and_then(|(_, reachable)| reachable);
        if !self.hosts[other].dialable || (self.apart(host, other) && reachable != Some(other)) {
            return self.at(self.now + DIAL_TIMEOUT, Event::DialFailed(host, dial, Code::Timeout));
        }
        let latency = self.latency(host, other);
        if self.hosts[other].node.is_none() && other != host {
            return self.at(self.now + 2 * latency, Event::DialFailed(host, dial, Code::Unreachable));
        }
        self.connect(host, other, Some(dial));
    }

    /// Finds out whether a server can be dialled.
    fn probe(&mut self, host: usize, dial: DialId, addr: &ServerAddr) {
        let other = self.by_addr.get(&addr.addr).copied();
        let reachable = other.is_some_and(|other| {
            self.hosts[other].dialable && self.hosts[other].node.is_some() && !self.apart(host, other)
        });
        let wait = other.map_or(DIAL_TIMEOUT, |other| 2 * self.latency(host, other));
        self.at(self.now + wait, Event::Probed(host, dial, reachable));
    }

    /// Makes a connection between two that both run.
    pub(super) fn connect(&mut self, host: usize, other: usize, dial: Option<DialId>) {
        let latency = self.latency(host, other);
        let end = self.ends.len();
        self.ends.push(End::new(host, latency));
        self.ends.push(End::new(other, latency));
        self.hosts[host].ends.push(end);
        self.hosts[other].ends.push(end + 1);
        // Three messages: the one that dialled is done with the second, the other with the third.
        self.put(end, self.now + 2 * latency, Item::Open(dial));
        self.put(end + 1, self.now + 3 * latency, Item::Open(None));
    }

    fn put(&mut self, end: usize, at: u64, item: Item) {
        let End { host, ref mut inbox, .. } = self.ends[end];
        let at = inbox.back().map_or(at, |(last, _)| at.max(*last)).next_multiple_of(TURN);
        inbox.push_back((at, item));
        self.expect(host, at);
    }

    /// A server has something to read then.
    fn expect(&mut self, host: usize, at: u64) {
        if at < self.hosts[host].reads_at {
            self.hosts[host].reads_at = at;
            self.at(at, Event::Arrive(host));
        }
    }

    /// Sends to the other end.
    pub(super) fn send(&mut self, end: usize, item: Item) {
        let End { over, dark, latency, .. } = self.ends[end];
        if over || self.ends[end ^ 1].over || dark {
            self.destroy(&item);
        } else {
            self.put(end ^ 1, self.now + latency, item);
        }
    }

    /// Counts the copies of messages in something that never arrives.
    pub(super) fn destroy(&mut self, item: &Item) {
        if let Item::Frame(head, body) = item
            && let Ok(Frame { kind: Kind::Route(route), .. }) = Frame::decode(link::join(head, body))
            && route.head.class == Class::Channel
        {
            self.destroyed += u64::try_from(route.head.dst.len()).unwrap_or(0);
        }
    }

    /// The node wants a link closed.
    fn close(&mut self, node: &mut Node, link: LinkId, goodbye: Option<Goodbye>) {
        if link.0 < CLIENTS {
            if let Some(goodbye) = goodbye {
                let (head, body) = Frame::from(Kind::Goodbye(goodbye)).encode_split();
                self.send(end_of(link), Item::Frame(head, body));
            }
            self.end(end_of(link));
        }
        node.handle(time(self.now), Input::Closed { link, why: Code::Ok });
    }

    /// An end writes and reads nothing any more; the other end learns of it.
    pub(super) fn end(&mut self, end: usize) {
        if self.ends[end].over {
            return;
        }
        self.trace.number(end as u64);
        self.send(end, Item::End(Code::Truncated));
        self.ends[end].over = true;
        self.ends[end].open = false;
        for (_, item) in std::mem::take(&mut self.ends[end].inbox) {
            self.destroy(&item);
        }
    }

    /// An end whose link was cut: it learns of it at once, and says nothing.
    pub(super) fn sever(&mut self, end: usize) {
        if self.ends[end].over {
            return;
        }
        self.ends[end].dark = true;
        self.put(end, self.now, Item::End(Code::Truncated));
    }

    /// Reads all links of a server in turn.
    fn arrive(&mut self, host: usize) {
        if self.hosts[host].reads_at > self.now {
            return;
        }
        self.hosts[host].reads_at = NEVER;
        if self.hosts[host].node.is_none() && self.hosts[host].stranger.is_none() {
            return;
        }
        let mut ends = std::mem::take(&mut self.hosts[host].ends);
        if self.hosts[host].stranger.is_some() {
            for end in &ends {
                while self.ends[*end].inbox.front().is_some_and(|(at, _)| *at <= self.now) {
                    let Some((_, item)) = self.ends[*end].inbox.pop_front() else { break };
                    self.strange(host, *end, item);
                }
            }
        }
        self.turn(host, |engine, node, now| {
            for end in &ends {
                while engine.ends[*end].inbox.front().is_some_and(|(at, _)| *at <= engine.now) {
                    let Some((_, item)) = engine.ends[*end].inbox.pop_front() else { break };
                    engine.hand(*end, node, now, item);
                    engine.carry_out(host, node);
                }
            }
        });
        ends.retain(|end| !self.ends[*end].over);
        // What the turn itself opened.
        ends.append(&mut self.hosts[host].ends);
        let next = ends.iter().filter_map(|end| Some(self.ends[*end].inbox.front()?.0)).min();
        self.hosts[host].ends = ends;
        if let Some(next) = next {
            self.expect(host, next);
        }
    }

    /// Gives the node what came to an end of its link.
    fn hand(&mut self, end: usize, node: &mut Node, now: Time, item: Item) {
        let link = LinkId(end as u64);
        match item {
            Item::Open(dial) => {
                let other = self.ends[end ^ 1].host;
                self.ends[end].open = true;
                let peer =
                    Authenticated::unchecked(*self.hosts[other].id.as_bytes(), Role::Peer, None, features());
                let accept = Accept::All;
                let (remote, observed) = (self.hosts[other].address(), self.hosts[other].addr.ip);
                node.handle(now, Input::Opened { link, dial, accept, peer, remote, observed, resume: None });
            }
            Item::End(why) => {
                if !self.ends[end].over {
                    self.ends[end].over = true;
                    self.ends[end].open = false;
                    node.handle(now, Input::Closed { link, why });
                }
            }
            Item::Frame(head, body) => {
                self.trace.number(self.now ^ ((end as u64) << 44));
                self.trace.bytes(&head);
                if let Some((frame, hash)) = self.records.repeated(&body) {
                    self.trace.number(hash);
                    *self.frames.entry("record").or_default() += 1;
                    return node.handle(now, Input::Frame { link, frame });
                }
                let hash = Mix::of(&body);
                self.trace.number(hash);
                let Ok(frame) = Frame::decode(link::join(&head, &body)) else {
                    let frame =
                        darkchat_node::Received::Refused { req: 0, code: Code::BadFrame, retry_ms: 0 };
                    return node.handle(now, Input::Frame { link, frame });
                };
                self.note(end, &frame);
                let own = self.hosts[self.ends[end].host].router;
                let is_record = matches!(frame.kind, Kind::Record(_)) && frame.req == 0;
                let (mut first, second) = link::receive(own, frame);
                if is_record {
                    self.records.keep(hash, &body, &mut first);
                }
                node.handle(now, Input::Frame { link, frame: first });
                if let Some(second) = second {
                    node.handle(now, Input::Frame { link, frame: second });
                }
            }
        }
    }

    /// What is counted of a frame that came.
    fn note(&mut self, end: usize, frame: &Frame) {
        *self.frames.entry(name(&frame.kind)).or_default() += 1;
        match &frame.kind {
            Kind::Route(route) if route.head.class == Class::Channel => {
                self.ends[end].crossings += 1;
                self.traffic.crossings += 1;
            }
            Kind::Record(signed) if self.traffic.watches_records => {
                let signed = Signed::decode(signed.clone()).ok();
                let Some(record) = signed.and_then(|signed| ServerRecord::decode(signed.body).ok()) else {
                    return;
                };
                let newest = self.newest.entry(record.server.router()).or_default();
                if newest.number < (record.epoch, record.seq) {
                    *newest = Newest { number: (record.epoch, record.seq), neighbours: record.neighbours };
                }
            }
            _ => {}
        }
    }

    // ---- clients

    /// A client of this server is there.
    pub(super) fn open_client(&mut self, host: usize, client: u64, user: UserId) {
        let peer = Authenticated::unchecked(*user.as_bytes(), Role::Client, Some(DEVICE), Features::NONE);
        let (remote, observed) = (self.hosts[host].address(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (link, accept) = (client_link(client), Accept::All);
        self.tell(host, Input::Opened { link, dial: None, accept, peer, remote, observed, resume: None });
    }
}

pub(super) const fn client_link(client: u64) -> LinkId {
    LinkId(CLIENTS + client)
}

fn end_of(link: LinkId) -> usize {
    usize::try_from(link.0).unwrap_or(usize::MAX)
}

fn features() -> Features {
    Features::DONE | Features::DIALBACK
}

/// What a frame is counted as.
const fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Record(_) => "record",
        Kind::Shard(_) => "shard",
        Kind::Route(route) => match route.head.class {
            Class::Channel => "route_channel",
            Class::Shard => "route_shard",
            _ => "route_direct",
        },
        Kind::LinkAck { .. } => "link_ack",
        Kind::RouteDone { .. } => "route_done",
        Kind::Digest { .. } => "digest",
        Kind::Pull { .. } => "pull",
        Kind::Ping { .. } | Kind::Pong { .. } => "ping",
        _ => "other",
    }
}
