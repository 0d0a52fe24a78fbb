//! How connections come, carry and go: the drivers' halves of all ends.

use crate::Who;
use crate::actors::{CLIENT_PORT, host_of};
use crate::task::Task;
use crate::wire::{Connection, End, EndState, other};
use crate::world::{Event, World, pair};
use bytes::Bytes;
use darkchat_client::session;
use darkchat_crypto::Authenticated;
use darkchat_node::{self as node, Accept, ClientBudgets, LinkId, Meter};
use darkchat_proto::{Addr, Announced, Code, Features, Frame, FrameStream, Goodbye, Role, ServerAddr, Time};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// When somebody who hears nothing gives up a dial.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a driver that closes tries to write what was sent.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// The longest mean latency of one connection: four hops and back stay below the promise of 2 s.
const MAX_LATENCY: Duration = Duration::from_millis(60);

impl World {
    /// Dials a server for somebody; answered by `Open` or `DialFailed`.
    pub(crate) fn dial(&mut self, who: Who, life: u32, dial: u64, addr: &ServerAddr) {
        let latency = self.rng.around(self.latency).clamp(Duration::from_micros(100), MAX_LATENCY);
        let fail = |why| Event::DialFailed { who, life, dial, why };
        let Some(server) = host_of(&addr.addr).filter(|server| *server < self.hosts.len()) else {
            return self.after(latency, fail(Code::Unreachable));
        };
        let between = pair(who, Who::Server(server));
        if self.silent.contains(&between) || self.hosts[server].paused_until > self.now {
            return self.after(DIAL_TIMEOUT, fail(Code::Timeout));
        }
        let host = &self.hosts[server];
        let is_hidden = host.hidden && !matches!(who, Who::Client(_));
        if self.blocked.contains(&between) || host.node.is_none() || is_hidden {
            return self.after(latency * 2, fail(Code::Unreachable));
        }
        if addr.key.is_some_and(|expected| expected != host.id()) {
            return self.after(latency * 2, fail(Code::Unauthorized));
        }
        let connection = self.connections.len();
        let dialler = End { who, life, number: dial, state: EndState::Opening };
        let is_client = addr.addr.port() == Some(CLIENT_PORT);
        let listener = End {
            who: Who::Server(server),
            life: host.life,
            number: u64::from(is_client),
            state: EndState::Opening,
        };
        self.connections.push(Connection::new(dialler, listener, latency));
        match who {
            Who::Client(client) => self.users[client].connection = Some(connection),
            Who::Hostile(stranger) => self.strangers[stranger].connection = Some(connection),
            Who::Server(_) => {}
        }
        let slow = latency + self.extra(connection);
        self.after(slow * 2, Event::Open { connection, end: 0 });
        self.after(slow * 3, Event::Open { connection, end: 1 });
    }

    fn extra(&self, connection: usize) -> Duration {
        let [one, two] = self.connections[connection].ends.each_ref().map(|end| end.who);
        self.extra.get(&pair(one, two)).copied().unwrap_or_default()
    }

    pub(crate) fn dial_failed(&mut self, who: Who, life: u32, dial: u64, why: Code) {
        match who {
            Who::Server(server) if self.lives(server, life) => {
                let input = node::Input::DialFailed { dial: node::DialId(dial), why };
                self.tell_server(server, input, None, &[]);
            }
            Who::Client(client) => {
                self.users[client].connection = None;
                self.tell_client(
                    client,
                    session::Input::DialFailed { dial: session::DialId(dial), why },
                    &[],
                );
            }
            Who::Hostile(stranger) => self.strangers[stranger].connection = None,
            Who::Server(_) => {}
        }
    }

    /// The handshake is complete at an end.
    pub(crate) fn opened(&mut self, connection: usize, end: usize) {
        let ends = &mut self.connections[connection].ends;
        if ends[end].state != EndState::Opening {
            return;
        }
        ends[end].state = EndState::Open;
        let (who, life, number) = (ends[end].who, ends[end].life, ends[end].number);
        let there = ends[other(end)].who;
        match who {
            Who::Server(server) if self.lives(server, life) => {
                let dial = (end == 0).then_some(node::DialId(number));
                self.open_at_server(server, connection, end, dial, there, number == 1);
            }
            Who::Client(client) => self.open_at_client(client, connection, there),
            Who::Hostile(stranger) => self.strangers[stranger].is_up = true,
            Who::Server(_) => {}
        }
    }

    fn open_at_server(
        &mut self,
        server: usize,
        connection: usize,
        end: usize,
        dial: Option<node::DialId>,
        there: Who,
        to_client_port: bool,
    ) {
        let (identity, device, number) = match there {
            Who::Server(peer) => (self.hosts[peer].signer.public(), None, peer),
            Who::Client(client) => {
                (self.users[client].signer.public(), Some(self.users[client].device), client)
            }
            Who::Hostile(stranger) => {
                let stranger = &self.strangers[stranger];
                (stranger.signer.public(), stranger.device, 0)
            }
        };
        let is_client = device.is_some();
        let role = if is_client { Role::Client } else { Role::Peer };
        let of_peers = Features::DONE | Features::DIALBACK | Features::TRACE;
        let features = if is_client { self.client_features() } else { of_peers };
        let resume = match there {
            Who::Client(client) => self.users[client].offers.take(),
            _ => None,
        };
        let host = &mut self.hosts[server];
        host.next_link += 1;
        let link = LinkId(host.next_link);
        host.links.insert(link, (connection, end));
        let user = is_client.then(|| darkchat_proto::UserId::new(identity));
        let pinned = host.peers.iter().any(|peer| peer.key.is_some_and(|id| *id.as_bytes() == identity));
        let meter =
            if is_client { Meter::client(host.profile()) } else { Meter::peer(host.profile(), pinned) };
        let task = Task::new(self.signing, host.id().router(), user, meter);
        self.tasks.insert((connection, end), task);
        self.connections[connection].ends[end].number = link.0;
        let octets = match there {
            Who::Server(_) => [10, 0, 0, 1],
            Who::Client(_) => [10, 200, 0, 1],
            Who::Hostile(_) => [10, 201, 0, 1],
        };
        let [a, _, _, d] = octets;
        let [high, low] = [number / 250, number % 250].map(|part| u8::try_from(part).unwrap_or(0));
        let ip = match there {
            Who::Server(_) => Ipv4Addr::new(a, high, low, d),
            _ => Ipv4Addr::new(a, octets[1], high, low),
        };
        let own = |peer: usize| self.hosts[peer].config.addrs.first().map(|addr| addr.ip);
        let seen = if let Who::Server(peer) = there { own(peer) } else { None };
        let ip = seen.unwrap_or(IpAddr::V4(ip));
        let remote = Addr::from_socket("tcp", (ip, 40_000).into());
        let input = node::Input::Opened {
            link,
            dial,
            accept: if to_client_port { Accept::Clients } else { Accept::Peers },
            peer: Authenticated::unchecked(identity, role, device, features),
            remote,
            observed: ip,
            resume,
        };
        self.links_changed(server, there);
        self.tell_server(server, input, Some(connection), &[]);
    }

    const fn client_features(&self) -> Features {
        if self.resumes { Features::RESUME } else { Features::NONE }
    }

    fn open_at_client(&mut self, client: usize, connection: usize, there: Who) {
        let Who::Server(server) = there else { return };
        let host = &self.hosts[server];
        let budgets = ClientBudgets::of(host.profile());
        let rate = |per_s: u64| u32::try_from(per_s).unwrap_or(u32::MAX);
        let announced = Announced {
            time_ms: self.wall_ms_at(server),
            frames_per_s: rate(budgets.frames.per_s),
            bytes_per_s: rate(budgets.bytes.per_s),
            posts_per_s: rate(budgets.posts.per_s),
            entries_per_s: rate(budgets.entries.per_s),
            ..Announced::default()
        };
        let dial = session::DialId(self.connections[connection].ends[0].number);
        self.readers.insert((connection, 0), FrameStream::default());
        let server = host.id();
        let input = session::Input::Opened { dial, server, announced, features: self.client_features() };
        self.tell_client(client, input, &[]);
    }

    /// Writes at an end.
    pub(crate) fn write(&mut self, connection: usize, end: usize, run: Bytes) {
        self.look_through(self.connections[connection].ends[end].who, &run);
        self.connections[connection].pipes[end].write(run);
        self.pump(connection, end);
    }

    pub(crate) fn pump(&mut self, connection: usize, end: usize) {
        let extra = self.extra(connection);
        let pumped = self.connections[connection].pump(end, self.now, extra, &mut self.rng);
        for at in pumped.arrivals {
            self.at(at, Event::Arrive { connection, end: other(end) });
        }
        if pumped.report {
            self.after(Duration::ZERO, Event::Flushed { connection, end });
        }
        let wire = &self.connections[connection];
        if matches!(wire.ends[end].state, EndState::Closing(_)) && wire.pipes[end].is_flushed() {
            self.after(Duration::ZERO, Event::CloseNow { connection, end });
        }
    }

    pub(crate) fn flushed(&mut self, connection: usize, end: usize) {
        let wire = &mut self.connections[connection];
        let bytes = wire.pipes[end].take_flushed();
        let (who, number) = (wire.ends[end].who, wire.ends[end].number);
        if bytes == 0 || wire.ends[end].state != EndState::Open {
            return;
        }
        match who {
            Who::Server(server) => {
                let link = LinkId(number);
                self.tell_server(server, node::Input::Flushed { link, bytes }, Some(connection), &[]);
            }
            Who::Client(client) => self.tell_client(client, session::Input::Flushed { bytes }, &[]),
            Who::Hostile(_) => {}
        }
    }

    /// Reads at an end what has arrived there.
    pub(crate) fn arrive(&mut self, connection: usize, end: usize) {
        let wire = &self.connections[connection];
        let (who, state) = (wire.ends[end].who, wire.ends[end].state);
        match state {
            // Waits in the carriage until the handshake is complete.
            EndState::Opening => return self.after(wire.latency, Event::Arrive { connection, end }),
            EndState::Closed => return,
            EndState::Open | EndState::Closing(_) => {}
        }
        if let Some(at) = self.connections[connection].pipes[other(end)].next_arrival()
            && at > self.now
        {
            return self.at(at, Event::Arrive { connection, end });
        }
        match who {
            Who::Server(server) => self.read_at_server(server, connection, end),
            Who::Client(client) => self.read_at_client(client, connection),
            Who::Hostile(stranger) => {
                if self.strangers[stranger].reads {
                    while self.connections[connection].pipes[other(end)].read(self.now).is_some() {}
                }
            }
        }
        self.pump(connection, other(end));
    }

    fn read_at_server(&mut self, server: usize, connection: usize, end: usize) {
        let link = LinkId(self.connections[connection].ends[end].number);
        loop {
            let Some(task) = self.tasks.get_mut(&(connection, end)) else { return };
            if task.wait_until > self.now {
                let at = task.wait_until;
                return self.at(at, Event::Arrive { connection, end });
            }
            let Some(handed) = task.next(self.now) else {
                let wait_until = task.wait_until;
                if wait_until > self.now {
                    return self.at(wait_until, Event::Arrive { connection, end });
                }
                let Some(run) = self.connections[connection].pipes[other(end)].read(self.now) else { return };
                if let Some(task) = self.tasks.get_mut(&(connection, end)) {
                    task.push(self.now, run);
                }
                continue;
            };
            let from = self.connections[connection].ends[other(end)].who;
            self.check_received(server, link, from, &handed.received);
            let input = node::Input::Frame { link, frame: self.swallowed(server, handed.received) };
            self.tell_server(server, input, Some(connection), &handed.bytes);
        }
    }

    fn read_at_client(&mut self, client: usize, connection: usize) {
        loop {
            if self.users[client].reads_again > self.now {
                let at = self.users[client].reads_again;
                return self.at(at, Event::Arrive { connection, end: 0 });
            }
            let Some(run) = self.connections[connection].pipes[1].read(self.now) else { return };
            if let Some(rate) = self.users[client].reads {
                let micros = u64::try_from(run.len()).unwrap_or(0) * 1_000_000 / rate.max(1);
                self.users[client].reads_again = self.now + Duration::from_micros(micros);
            }
            let Some(reader) = self.readers.get_mut(&(connection, 0)) else { return };
            reader.push(run);
            while let Some(reader) = self.readers.get_mut(&(connection, 0)) {
                let frame = match reader.next_frame() {
                    Ok(None) => break,
                    Ok(Some(bytes)) => bytes,
                    Err(_) => self.broken("a server wrote bytes that are no frames"),
                };
                let Ok(decoded) = Frame::decode(frame.clone()) else {
                    self.broken("a server wrote a frame that does not decode");
                };
                let received = self.check_for_client(decoded);
                self.tell_client(client, session::Input::Frame(received), &frame);
            }
        }
    }

    /// A driver closes: what is written, then the goodbye, then the end.
    pub(crate) fn close_end(&mut self, connection: usize, end: usize, goodbye: Option<Goodbye>) {
        if self.connections[connection].ends[end].state != EndState::Open {
            return;
        }
        let why = goodbye.as_ref().map_or(Code::Ok, |goodbye| goodbye.code);
        self.connections[connection].ends[end].state = EndState::Closing(why);
        if let Some(goodbye) = goodbye {
            let (head, _) = Frame::from(darkchat_proto::Kind::Goodbye(goodbye)).encode_split();
            self.connections[connection].pipes[end].write(head);
        }
        self.after(CLOSE_WITHIN, Event::CloseNow { connection, end });
        self.pump(connection, end);
    }

    pub(crate) fn close_now(&mut self, connection: usize, end: usize) {
        let EndState::Closing(why) = self.connections[connection].ends[end].state else { return };
        let seen = self.connections[connection].finish(end, self.now);
        self.at(seen, Event::End { connection, end: other(end), why: Code::Truncated });
        self.ended(connection, end, why);
    }

    /// An end is gone, and its owner is told.
    pub(crate) fn ended(&mut self, connection: usize, end: usize, why: Code) {
        let now = self.now;
        let wire = &mut self.connections[connection];
        let state = wire.ends[end].state;
        let pipe = &wire.pipes[other(end)];
        if state == EndState::Open && !pipe.has_arrived() && pipe.next_arrival().is_some_and(|at| at >= now) {
            // The end of a stream comes after its last byte.
            let at = pipe.next_arrival().unwrap_or(now) + Duration::from_micros(1);
            return self.at(at, Event::End { connection, end, why });
        }
        if state == EndState::Closed {
            return;
        }
        wire.ends[end].state = EndState::Closed;
        wire.over = true;
        let (who, life, number) = (wire.ends[end].who, wire.ends[end].life, wire.ends[end].number);
        let there = wire.ends[other(end)].who;
        self.tasks.remove(&(connection, end));
        self.readers.remove(&(connection, end));
        // Whoever still writes to a place where nobody reads learns of it.
        let latency = self.connections[connection].latency;
        self.after(latency, Event::End { connection, end: other(end), why: Code::Truncated });
        if state == EndState::Opening {
            if end == 0 {
                self.dial_failed(who, life, number, why);
            }
            return;
        }
        match who {
            Who::Server(server) if self.lives(server, life) => {
                let link = LinkId(number);
                self.hosts[server].links.remove(&link);
                let asked = self.hosts[server].asked.remove(&link);
                if let (Who::Client(client), Some(asked)) = (there, asked) {
                    self.hosts[server].asked_before.insert(client, asked);
                }
                self.links_changed(server, there);
                self.tell_server(server, node::Input::Closed { link, why }, Some(connection), &[]);
            }
            Who::Client(client) => {
                self.users[client].connection = None;
                self.tell_client(client, session::Input::Closed { why }, &[]);
            }
            Who::Hostile(stranger) => {
                self.strangers[stranger].connection = None;
                self.strangers[stranger].is_up = false;
            }
            Who::Server(_) => {}
        }
    }

    /// Whether a deadline has come.
    pub(crate) fn is_due(&self, deadline: Option<Time>) -> bool {
        deadline.is_some_and(|at| at <= self.now)
    }
}
