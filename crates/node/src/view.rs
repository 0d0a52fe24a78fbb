//! The network as this server sees it, for the operator. Source: `docs/protocol.md`, sections 9.2 and 9.3.

use crate::Node;
use darkchat_proto::{GossipAddr, RecordFlags, RouterId, ServerId, ServerRecord};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All servers that this one knows of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NetworkMap {
    /// The servers, this one among them, in the order of their router ids.
    pub servers: Vec<MapRow>,
    /// The links that both ends tell of, each counted once.
    pub links: usize,
}

impl NetworkMap {
    /// How many servers there is a way to, this one among them.
    #[must_use]
    pub fn reachable(&self) -> usize {
        self.servers.iter().filter(|row| row.hops.is_some()).count()
    }
}

/// A server as its record and the ways of this one show it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapRow {
    /// Its key.
    pub server: ServerId,
    /// Where it says that it can be dialled.
    pub addrs: Vec<GossipAddr>,
    /// What it says that it is.
    pub flags: RecordFlags,
    /// How many links there are between it and this server: 0 for this one, `None` if there is no way.
    pub hops: Option<u32>,
    /// The neighbour through which its frames go; `None` for this server, and if there is no way.
    pub next: Option<ServerId>,
    /// How many servers it says that it is linked with.
    pub neighbours: usize,
    /// How many tags it wants.
    pub tags: usize,
}

impl Node {
    /// All servers that this one knows of, and the way to each. Ways that are not known yet are looked for, so this
    /// takes as long as the network is large.
    pub fn map(&mut self) -> NetworkMap {
        let own = self.identity.router();
        let hops = self.distances();
        let routers: Vec<RouterId> = self.map.iter().map(|(router, _)| router).collect();
        let mut servers = Vec::with_capacity(routers.len());
        for router in routers {
            let next = self.map.next_hop(router, None).filter(|_| router != own);
            let next = next.and_then(|next| self.server_of(next));
            let Some(known) = self.map.known(router) else { continue };
            let ServerRecord { server, addrs, flags, neighbours, .. } = &*known.record;
            let (addrs, neighbours) = (addrs.clone(), neighbours.len());
            let tags = self.interest.tags_of(router);
            let hops = hops.get(&router).copied();
            servers.push(MapRow { server: *server, addrs, flags: *flags, hops, next, neighbours, tags });
        }
        NetworkMap { servers, links: self.edges() }
    }

    /// The key of a server that the map or a link shows.
    pub(crate) fn server_of(&self, router: RouterId) -> Option<ServerId> {
        if router == self.identity.router() {
            return Some(self.identity);
        }
        let linked = || self.peers.get(self.peers.link_of(router)?).map(|peer| peer.server);
        self.map.known(router).map(|known| known.record.server).or_else(linked)
    }

    /// Breadth first from ourselves, by the rules of 9.3: our own links count, others if both ends tell of them, and
    /// a leaf is only an end.
    pub(crate) fn distances(&self) -> BTreeMap<RouterId, u32> {
        let mut found = BTreeMap::from([(self.identity.router(), 0)]);
        let mut queue = VecDeque::new();
        for (router, _) in self.peers.up() {
            found.insert(router, 1);
            queue.push_back((router, 1_u32));
        }
        while let Some((at, hops)) = queue.pop_front() {
            let Some(known) = self.map.known(at) else { continue };
            if !known.record.flags.contains(RecordFlags::TRANSIT) {
                continue;
            }
            for next in &known.record.neighbours {
                if self.tells_of(*next, at) && !found.contains_key(next) {
                    let further = hops.saturating_add(1);
                    found.insert(*next, further);
                    queue.push_back((*next, further));
                }
            }
        }
        found
    }

    fn tells_of(&self, server: RouterId, other: RouterId) -> bool {
        self.map.known(server).is_some_and(|known| known.record.neighbours.contains(&other))
    }

    fn edges(&self) -> usize {
        let own = self.identity.router();
        let mut edges: BTreeSet<(RouterId, RouterId)> =
            self.peers.up().map(|(router, _)| (own.min(router), own.max(router))).collect();
        for (router, known) in self.map.iter().filter(|(router, _)| *router != own) {
            let others = known.record.neighbours.iter().filter(|other| **other > router && **other != own);
            edges.extend(others.filter(|other| self.tells_of(**other, router)).map(|other| (router, *other)));
        }
        edges.len()
    }
}
