//! What servers dial by their own choice: never beyond the scope, the rate and the budget (S10). Source: section 10.4.

use crate::world::World;
use darkchat_node::{self as node, DialId};
use darkchat_proto::{ServerAddr, Time};
use std::net::IpAddr;
use std::time::Duration;

/// Dials in progress, those that the operator wants among them.
const IN_PROGRESS: usize = 8;
/// How long an address of a stranger, and four of its prefix, are left alone.
const MEMORY: Duration = Duration::from_secs(300);
/// Between two dials to strangers, and between two to one address that is no stranger's, at the least.
const APART: Duration = Duration::from_secs(1);
const BACKOFF: Duration = Duration::from_millis(250);

impl World {
    /// What a node is told of its dials, for the checks.
    pub(crate) fn note_dialled(&mut self, server: usize, input: &node::Input) {
        let host = &mut self.hosts[server];
        match input {
            node::Input::Opened { dial: Some(dial), .. } => {
                let addr = host.dialling.remove(&dial.0);
                host.proven.extend(addr);
            }
            node::Input::DialFailed { dial, .. } | node::Input::Probed { dial, .. } => {
                host.dialling.remove(&dial.0);
            }
            _ => {}
        }
    }

    /// A node dials.
    pub(crate) fn check_dial(&mut self, server: usize, to: &ServerAddr, pinned: bool) {
        let host = &self.hosts[server];
        if host.dialling.len() >= IN_PROGRESS {
            self.broken(&format!("server {server} has more than {IN_PROGRESS} dials in progress"));
        }
        if pinned {
            if !host.peers.contains(to) {
                self.broken(&format!("server {server} takes {to} for one that its operator named"));
            }
            return;
        }
        let ip = self.check_scope(server, to);
        if let Some(there) = crate::actors::host_of(&to.addr).filter(|there| *there < self.hosts.len())
            && to.key == Some(self.hosts[there].id())
        {
            self.hosts[there].was_chosen += 1;
        }
        let now = self.now;
        let host = &mut self.hosts[server];
        let since = |at: &Time| now.saturating_since(*at);
        host.chosen.retain(|(at, _)| since(at) < MEMORY);
        let same = host.chosen.iter().filter(|(_, addr)| *addr == to.addr).map(|(at, _)| since(at)).min();
        let is_stranger = !is_private(ip) && !host.proven.contains(&to.addr);
        let strangers = || {
            let others = host.chosen.iter().filter(|(_, addr)| addr.ip().is_some_and(|ip| !is_private(ip)));
            others.filter(|(_, addr)| !host.proven.contains(addr))
        };
        let of_prefix = strangers().filter(|(_, addr)| prefix(addr.ip()) == prefix(Some(ip))).count();
        let last = strangers().map(|(at, _)| since(at)).min();
        let what = match same {
            Some(_) if is_stranger => Some("a stranger's address twice in five minutes"),
            Some(ago) if ago < BACKOFF => Some("an address again at once"),
            _ if is_stranger && of_prefix >= 4 => Some("a fifth address of one prefix"),
            _ if is_stranger && last.is_some_and(|ago| ago < APART) => Some("two strangers within a second"),
            _ => None,
        };
        host.chosen.push((now, to.addr.clone()));
        host.chose += 1;
        if let Some(what) = what {
            self.broken(&format!("server {server} dials {what}: {to}"));
        }
    }

    fn check_scope(&self, server: usize, to: &ServerAddr) -> IpAddr {
        let host = &self.hosts[server];
        let Some((ip, port)) = to.addr.ip().zip(to.addr.port()).filter(|_| to.key.is_some()) else {
            self.broken(&format!("server {server} dials {to}, which is no address and key"));
        };
        let may_near = host.config.lan || host.found.contains(&to.addr);
        // The address plan of a world and of its strangers: IPv4, private, loopback and public ranges.
        let is_public = matches!(ip, IpAddr::V4(v4) if (20..90).contains(&v4.octets()[0]));
        if (port < 1_024 && port != 443) || !(is_public || (is_private(ip) && may_near)) {
            self.broken(&format!("server {server} dials {to}, which it must not"));
        }
        ip
    }

    /// A node tries for a neighbour whether that can be dialled.
    pub(crate) fn probe(&mut self, server: usize, dial: DialId, to: &ServerAddr) {
        self.check_scope(server, to);
        let is_there = crate::actors::host_of(&to.addr).and_then(|there| {
            let who = crate::Who::Server(there);
            let between = crate::world::pair(crate::Who::Server(server), who);
            let host = self.hosts.get(there)?;
            let is_cut = self.blocked.contains(&between) || self.silent.contains(&between);
            Some(!is_cut && !host.hidden && host.node.is_some() && to.key == Some(host.id()))
        });
        let (life, reachable) = (self.hosts[server].life, is_there == Some(true));
        self.hosts[server].dialling.insert(dial.0, to.addr.clone());
        let latency = self.rng.around(self.latency);
        self.after(latency * 2, crate::world::Event::Probed { server, life, dial, reachable });
    }
}

fn is_private(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_private() || v4.is_loopback())
}

fn prefix(ip: Option<IpAddr>) -> Option<[u8; 3]> {
    if let Some(IpAddr::V4(v4)) = ip { v4.octets().first_chunk().copied() } else { None }
}
