//! Whether all servers hold the same of each other, and nothing that is no longer true.

use super::engine::Engine;
use super::host::Host;
use darkchat_node::Node;
use darkchat_proto::{Have, RouterId};
use std::collections::{BTreeMap, BTreeSet};

fn of_host(host: &Host) -> Option<(RouterId, &Node)> {
    Some((host.router, host.node.as_deref()?))
}

impl Engine {
    /// The living servers that hang together, the most of them; all of them where a split is to heal.
    pub(super) fn joined(&self) -> Vec<usize> {
        if self.mesh.split > 0 {
            return (0..self.mesh.servers).collect();
        }
        let graph = self.graph();
        let living = |host: &usize| self.hosts[*host].node.is_some();
        let mut left: BTreeSet<usize> = (0..self.mesh.servers).filter(living).collect();
        let mut most = Vec::new();
        while let Some(first) = left.pop_first() {
            let (mut part, mut next) = (vec![first], vec![first]);
            while let Some(at) = next.pop() {
                let new: Vec<usize> = graph[at].iter().copied().filter(|other| left.remove(other)).collect();
                part.extend(&new);
                next.extend(new);
            }
            if part.len() > most.len() {
                most = part;
            }
        }
        most
    }

    /// Whether two servers of different halves name each other: a new link does not stand in the records at once.
    fn bridged(&self) -> bool {
        let number: BTreeMap<RouterId, usize> =
            self.hosts.iter().enumerate().map(|(number, host)| (host.router, number)).collect();
        let named = |router: &RouterId| self.newest.get(router).map_or(&[][..], |newest| &newest.neighbours);
        let is_bridge = |one: &RouterId, other: &RouterId| {
            number.get(one).zip(number.get(other)).is_some_and(|(one, other)| self.apart(*one, *other))
                && named(other).contains(one)
        };
        self.newest.keys().any(|one| named(one).iter().any(|other| is_bridge(one, other)))
    }

    /// Whether every living server holds the newest record and interest of every other living one, no living server names
    /// a dead one as its neighbour, and the records of halves that meet again say so. Whoever lost all its neighbours is
    /// left out, unless a split is to heal.
    pub(super) fn agrees(&self) -> bool {
        if self.mesh.split > 0 && !self.bridged() {
            return false;
        }
        let joined = self.joined();
        let living = || joined.iter().filter_map(|host| self.hosts.get(*host)).filter_map(of_host);
        let own = |(router, node): (RouterId, &Node)| {
            node.holdings().find(|have| have.router == router).map(|have| (router, have))
        };
        let truth: BTreeMap<RouterId, Have> = living().filter_map(own).collect();
        let dead: Vec<RouterId> =
            self.hosts.iter().filter(|host| host.crashed).map(|host| host.router).collect();
        for (router, have) in &truth {
            let Some(newest) = self.newest.get(router) else { continue };
            if newest.number != (have.epoch, have.seq)
                || newest.neighbours.iter().any(|router| dead.contains(router))
            {
                return false;
            }
        }
        living().all(|(_, node)| {
            let mut right = 0;
            for have in node.holdings() {
                match truth.get(&have.router) {
                    Some(true_one) if *true_one == have => right += 1,
                    Some(_) => return false,
                    None => {}
                }
            }
            right == truth.len()
        })
    }
}
