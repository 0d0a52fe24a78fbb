//! What goes wrong in a world, because somebody says so.

use crate::actors::PEER_PORT;
use crate::wire::{EndState, Pipe};
use crate::world::{Event, World, pair};
use crate::{Client, Server, Who};
use darkchat_node::{self as node, Received};
use darkchat_proto::{Code, Time};
use std::time::Duration;

impl World {
    /// Cuts all connections of two servers, and lets none come up. Both notice; what was on the way is partly lost.
    pub fn cut(&mut self, one: Server, two: Server) {
        self.block(Who::Server(one.0), Who::Server(two.0));
    }

    /// Lets two servers connect again.
    pub fn mend(&mut self, one: Server, two: Server) {
        self.unblock(Who::Server(one.0), Who::Server(two.0));
    }

    /// Cuts the connections of two servers once; they may come up again at once.
    pub fn snap(&mut self, one: Server, two: Server) {
        self.cut(one, two);
        self.mend(one, two);
    }

    /// Cuts every connection between servers of different groups; clients keep their servers.
    pub fn partition(&mut self, groups: &[&[Server]]) {
        for (index, group) in groups.iter().enumerate() {
            for other in groups.iter().skip(index + 1) {
                for one in *group {
                    for two in *other {
                        self.cut(*one, *two);
                    }
                }
            }
        }
    }

    /// Ends all cuts, silences and delays; everybody may connect to everybody again.
    pub fn heal(&mut self) {
        self.blocked.clear();
        self.extra.clear();
        for (one, two) in std::mem::take(&mut self.silent) {
            self.set_silent(one, two, false);
        }
        self.disturb(self.now);
    }

    /// From now on two servers lose everything between them, and nobody is told.
    pub fn silence(&mut self, one: Server, two: Server) {
        self.silent.insert(pair(Who::Server(one.0), Who::Server(two.0)));
        self.set_silent(Who::Server(one.0), Who::Server(two.0), true);
        self.disturb(self.now);
    }

    /// From now on nothing of `one` arrives at `two`, and nobody is told; no new connection comes up between them.
    pub fn deafen(&mut self, one: Server, two: Server) {
        self.silent.insert(pair(Who::Server(one.0), Who::Server(two.0)));
        for connection in self.between(Who::Server(one.0), Who::Server(two.0)) {
            self.pipe_from(connection, one).silent = true;
        }
        self.disturb(self.now);
    }

    /// From now on this client and its servers lose everything between them, and nobody is told.
    pub fn silence_client(&mut self, client: Client) {
        self.users[client.0].disturbed = Time::MAX;
        for server in 0..self.hosts.len() {
            self.silent.insert(pair(Who::Client(client.0), Who::Server(server)));
            self.set_silent(Who::Client(client.0), Who::Server(server), true);
        }
    }

    fn set_silent(&mut self, one: Who, two: Who, silent: bool) {
        for connection in self.between(one, two) {
            for end in 0..2 {
                let pipe = &mut self.connections[connection].pipes[1 - end];
                pipe.silent = silent;
                if !silent {
                    self.after(Duration::ZERO, Event::Arrive { connection, end });
                }
            }
        }
    }

    /// From now on no server can connect to this one, or all can again; it can still dial.
    pub fn cut_off(&mut self, server: Server, is_cut_off: bool) {
        self.hosts[server.0].hidden = is_cut_off;
    }

    /// From now on a server takes and counts what it is to pass on, and passes nothing on; or it does its duty again.
    pub fn swallow(&mut self, server: Server, swallows: bool) {
        self.hosts[server.0].swallows = swallows;
    }

    /// What is left of what came for a server that swallows: its own part.
    pub(crate) fn swallowed(&mut self, server: usize, mut received: Received) -> Received {
        if self.hosts[server].swallows
            && let Received::Route { head, .. } = &mut received
        {
            let own = self.hosts[server].id().router();
            let all = head.dst.len();
            head.dst.retain(|to| *to == own);
            if head.dst.len() < all {
                self.disturb(self.now);
            }
        }
        received
    }

    /// For so long nothing arrives from `one` at `two`; then all of it does.
    pub fn stall(&mut self, one: Server, two: Server, span: Duration) {
        let until = self.now + span;
        for connection in self.between(Who::Server(one.0), Who::Server(two.0)) {
            let pipe = self.pipe_from(connection, one);
            pipe.stalled_until = pipe.stalled_until.max(until);
        }
        self.disturb(until);
    }

    /// From now on what two servers send each other takes so much longer.
    pub fn delay(&mut self, one: Server, two: Server, extra: Duration) {
        self.extra.insert(pair(Who::Server(one.0), Who::Server(two.0)), extra);
        self.disturb(self.now);
    }

    /// The machine loses its power: its clients and peers are told by their systems, it keeps nothing.
    pub fn crash(&mut self, server: Server) {
        self.disturb(self.now);
        let host = &mut self.hosts[server.0];
        host.node = None;
        host.timer = None;
        host.links.clear();
        host.asked.clear();
        host.asked_before.clear();
        host.paused_until = Time::ZERO;
        for connection in 0..self.connections.len() {
            self.lose_end_of(connection, Who::Server(server.0));
        }
    }

    fn lose_end_of(&mut self, connection: usize, who: Who) {
        let wire = &self.connections[connection];
        if wire.over {
            return;
        }
        let Some(end) = wire.ends.iter().position(|end| end.who == who && end.state != EndState::Closed)
        else {
            return;
        };
        let learns = self.connections[connection].cut(self.now, &mut self.rng);
        let wire = &mut self.connections[connection];
        wire.ends[end].state = EndState::Closed;
        wire.over = true;
        self.tasks.remove(&(connection, end));
        self.readers.remove(&(connection, end));
        self.at(learns[1 - end], Event::End { connection, end: 1 - end, why: Code::Truncated });
    }

    /// Starts a crashed server again, with its key and its configuration and nothing else.
    pub fn restart(&mut self, server: Server) {
        if self.hosts[server.0].node.is_none() {
            self.disturb(self.now);
            self.start(server.0);
        }
    }

    /// Whether a server runs.
    #[must_use]
    pub fn is_up(&self, server: Server) -> bool {
        self.hosts[server.0].node.is_some()
    }

    /// The server's process stands still for so long.
    pub fn pause(&mut self, server: Server, span: Duration) {
        let until = self.now + span;
        let host = &mut self.hosts[server.0];
        host.paused_until = host.paused_until.max(until);
        self.disturb(until);
    }

    /// From now on a server's clock shows the same time.
    pub fn stop_clock(&mut self, server: Server) {
        self.hosts[server.0].stopped_ms = Some(self.wall_ms_at(server.0));
    }

    /// Cuts the connection of a client's program once.
    pub fn cut_client(&mut self, client: Client) {
        self.users[client.0].disturbed = self.now;
        if let Some(connection) = self.users[client.0].connection {
            self.cut_connection(connection);
        }
    }

    /// From now on this program reads so many bytes a second.
    pub fn read_slowly(&mut self, client: Client, bytes_per_second: u64) {
        self.users[client.0].reads = Some(bytes_per_second);
    }

    /// From now on this program reads at once again.
    pub fn read_fast(&mut self, client: Client) {
        let user = &mut self.users[client.0];
        user.reads = None;
        user.reads_again = Time::ZERO;
        user.disturbed = self.now + Duration::from_secs(5);
    }

    /// The operator of `one` no longer wants a link with `two`.
    pub fn unlink(&mut self, one: Server, two: Server) {
        let addr = self.addr(two.0, PEER_PORT);
        self.hosts[one.0].peers.retain(|peer| peer.addr != addr);
        self.disturb(self.now);
        self.tell_server(one.0, node::Input::Unpeer(addr), None, &[]);
    }

    fn block(&mut self, one: Who, two: Who) {
        self.blocked.insert(pair(one, two));
        for connection in self.between(one, two) {
            self.cut_connection(connection);
        }
        self.disturb(self.now);
    }

    fn unblock(&mut self, one: Who, two: Who) {
        self.blocked.remove(&pair(one, two));
        self.disturb(self.now);
    }

    fn between(&self, one: Who, two: Who) -> Vec<usize> {
        let connections = self.connections.iter().enumerate().filter(|(_, connection)| {
            let [a, b] = connection.ends.each_ref().map(|end| end.who);
            !connection.over && pair(a, b) == pair(one, two)
        });
        connections.map(|(index, _)| index).collect()
    }

    /// What this server writes on a connection of its.
    fn pipe_from(&mut self, connection: usize, server: Server) -> &mut Pipe {
        let connection = &mut self.connections[connection];
        let from = usize::from(connection.ends[0].who != Who::Server(server.0));
        &mut connection.pipes[from]
    }

    fn cut_connection(&mut self, connection: usize) {
        if self.connections[connection].over {
            return;
        }
        let [first, second] = self.connections[connection].cut(self.now, &mut self.rng);
        self.at(first, Event::End { connection, end: 0, why: Code::Truncated });
        self.at(second, Event::End { connection, end: 1, why: Code::Truncated });
    }
}
