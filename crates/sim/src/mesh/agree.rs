//! Whether all servers hold the same of each other, and nothing that is no longer true.

use super::engine::Engine;
use darkchat_node::Node;
use darkchat_proto::{Have, RouterId};
use std::collections::BTreeMap;

impl Engine {
    /// Whether every living server holds the newest record and interest of every other living one, and no living
    /// server names a dead one as its neighbour.
    pub(super) fn agrees(&self) -> bool {
        let living = || self.hosts.iter().filter_map(|host| Some((host.router, host.node.as_deref()?)));
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
