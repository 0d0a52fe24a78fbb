//! What tests ask a world: what was heard, counted and agreed on.

use crate::actors::{Host, PEER_PORT};
use crate::world::World;
use crate::{Client, Server, millis};
use darkchat_client::session;
use darkchat_node::{DroppedFor, NetworkMap, Stats, Trace};
use darkchat_proto::{Addr, Have, ServerId, Time, UserId};
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    /// What came of the newest trace that a server was asked for and that has ended.
    #[must_use]
    pub fn traced(&self, server: Server) -> Option<&Trace> {
        self.hosts[server.0].traced.last()
    }

    /// The network as a server sees it; none while it is down.
    #[must_use]
    pub fn map(&mut self, server: Server) -> Option<NetworkMap> {
        self.hosts[server.0].node.as_mut().map(|node| node.map())
    }

    /// The key of a program's user.
    #[must_use]
    pub fn user(&self, client: Client) -> UserId {
        self.users[client.0].id()
    }

    /// The key of a server.
    #[must_use]
    pub fn id(&self, server: Server) -> ServerId {
        self.hosts[server.0].id()
    }

    /// How many times a member was shown what it was promised, so that a test knows that something was promised.
    #[must_use]
    pub const fn judged(&self) -> u64 {
        self.check.judged
    }

    /// The counters of a server; none while it is down.
    #[must_use]
    pub fn stats(&self, server: Server) -> Option<Stats> {
        self.hosts[server.0].node.as_ref().map(|node| node.stats())
    }

    /// How many other servers this one has links with.
    #[must_use]
    pub fn neighbours(&self, server: Server) -> usize {
        self.peers_of(server.0).into_iter().collect::<BTreeSet<usize>>().len()
    }

    /// Whether two servers have a link.
    #[must_use]
    pub fn are_linked(&self, one: Server, two: Server) -> bool {
        self.peers_of(one.0).contains(&two.0)
    }

    /// Whether a server says in its record that others can dial it.
    #[must_use]
    pub fn says_dialable(&self, server: Server) -> bool {
        self.hosts[server.0].says_dialable
    }

    /// How often a server dialled by its own choice.
    #[must_use]
    pub fn chose(&self, server: Server) -> usize {
        self.hosts[server.0].chose
    }

    /// How often other servers dialled this one by their own choice.
    #[must_use]
    pub fn dialled(&self, server: Server) -> usize {
        self.hosts[server.0].was_chosen
    }

    /// The counters of a client.
    #[must_use]
    pub fn client_stats(&self, client: Client) -> session::Stats {
        self.users[client.0].session.stats()
    }

    /// How often a client was shown a text.
    #[must_use]
    pub fn heard(&self, client: Client, text: &str) -> usize {
        self.users[client.0].shown.log.iter().filter(|(_, shown)| shown == text).count()
    }

    /// What a client was shown, in order: channel and text.
    pub fn log(&self, client: Client) -> impl Iterator<Item = (&str, &str)> {
        self.users[client.0].shown.log.iter().map(|(channel, text)| (channel.as_str(), text.as_str()))
    }

    /// How often a client was told that it missed something.
    #[must_use]
    pub fn missed(&self, client: Client) -> u64 {
        self.users[client.0].shown.missed.values().sum()
    }

    /// How many entries a client was told of as missing.
    #[must_use]
    pub fn missed_entries(&self, client: Client) -> u64 {
        self.users[client.0].shown.missed_entries
    }

    /// How often a server went on with the session of a client that had lost its link.
    #[must_use]
    pub fn resumed(&self, client: Client) -> u64 {
        self.users[client.0].resumed
    }

    /// The wishes to send of a client that were carried out, and those that were not.
    #[must_use]
    pub fn sent(&self, client: Client) -> (u64, u64) {
        (self.users[client.0].sent, self.users[client.0].failed)
    }

    /// Whether a client is in a channel, as far as its server has told it.
    #[must_use]
    pub fn is_in(&self, client: Client, channel: &str) -> bool {
        let (id, _) = self.channel(channel);
        self.users[client.0].joined.contains_key(&id)
    }

    /// Whether a client's program is connected to a server.
    #[must_use]
    pub fn is_connected(&self, client: Client) -> bool {
        self.users[client.0].up_since.is_some()
    }

    /// A client was shown this text, once.
    pub fn assert_heard(&self, client: Client, text: &str) {
        if self.heard(client, text) != 1 {
            self.broken(&format!(
                "client {} was shown {text:?} {} times",
                client.0,
                self.heard(client, text)
            ));
        }
    }

    /// A client was not shown this text.
    pub fn assert_not_heard(&self, client: Client, text: &str) {
        if self.heard(client, text) != 0 {
            self.broken(&format!("client {} was shown {text:?}", client.0));
        }
    }

    /// How many copies came to servers where nobody is in their channel.
    #[must_use]
    pub fn sent_in_vain(&self) -> u64 {
        let drops =
            self.drops().into_iter().filter_map(|(_, dropped)| dropped.get(&DroppedFor::NoMember).copied());
        drops.sum()
    }

    /// Every server has said since then what it holds of every other, and all hold the same.
    pub fn assert_agree(&self, since: Time) {
        let runs =
            |server: &usize| self.hosts[*server].node.is_some() && !self.hosts[*server].links.is_empty();
        let servers: Vec<usize> = (0..self.hosts.len()).filter(runs).collect();
        for about in &servers {
            let router = self.hosts[*about].id().router();
            let mut first: Option<(usize, Have)> = None;
            for server in &servers {
                let said = self.check.digests.get(server).and_then(|said| said.get(&router));
                let Some((_, have)) = said.filter(|(at, _)| *at >= since) else {
                    self.broken(&format!("server {server} has not said what it holds of server {about}"));
                };
                match &first {
                    None => first = Some((*server, *have)),
                    Some((other, held)) if held != have => self.broken(&format!(
                        "servers {other} and {server} hold different things of {about}: {held:?}, {have:?}"
                    )),
                    Some(_) => {}
                }
            }
        }
    }

    /// Every program that is wanted is connected and in its channels.
    pub fn assert_all_back(&self) {
        for (client, user) in self.users.iter().enumerate() {
            let is_home = user.wanted.keys().all(|channel| user.joined.contains_key(channel));
            let is_back = user.up_since.is_some() && is_home;
            if !(is_back || self.is_closed(client)) {
                self.broken(&format!("client {client} is not back: {:?}", user.state));
            }
        }
    }

    /// Every two servers of which an operator named one to the other have a link.
    pub fn assert_all_linked(&self) {
        for (server, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.node.is_some()) {
            let linked: Vec<Addr> =
                self.peers_of(server).into_iter().map(|peer| self.addr(peer, PEER_PORT)).collect();
            if let Some(peer) = host.peers.iter().find(|peer| !linked.contains(&peer.addr)) {
                self.broken(&format!("server {server} has no link with {peer}"));
            }
        }
    }

    /// Soon no copy waits anywhere: what people announce by themselves is on its way for a moment only.
    pub fn assert_drains(&mut self, within: Duration) {
        let until = self.now + within;
        while let Some((server, stats)) = self.pending() {
            if self.now >= until {
                self.broken(&format!("server {server} keeps copies: {stats:?}"));
            }
            self.run_for(millis(100));
        }
    }

    fn pending(&self) -> Option<(usize, Stats)> {
        let stats = |host: &Host| host.node.as_ref().map(|node| node.stats());
        let all = self.hosts.iter().enumerate().filter_map(|(server, host)| Some((server, stats(host)?)));
        all.into_iter().find(|(_, stats)| stats.pending > 0)
    }
}
