//! Which servers we choose as neighbours, and how parts of a network find each other. Source: sections 9.5 and 10.4.

use crate::book::Target;
use crate::map::MAX_SERVERS;
use crate::peers::{Aim, MAX_CHOSEN_DIALS, MAX_DIALS};
use crate::scope;
use crate::{Event, LinkId, Node, Output};
use darkchat_proto::{Code, GossipAddr, RouterId, ServerAddr, ServerId, Time};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How often we look at our neighbours, spread by a fifth.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Something new to dial, or a lost neighbour, is looked at after this time, spread by half: others come with it.
const LOOK_SOON: Duration = Duration::from_millis(500);
/// While servers are missing and only the time between two dials keeps us, so long.
const LOOK_PACED: Duration = Duration::from_secs(1);
/// How often a server that cannot be reached is dialled, spread by half.
const HEAL_EVERY: Duration = Duration::from_secs(30);
/// Neighbours of our own choice in one network, so that nobody who owns one can surround us.
const MAX_OF_GROUP: usize = 2;
/// A leaf needs fewer neighbours: nothing passes through it.
const LEAF_TARGET: usize = 4;

/// The limits of dialling by name, for operators.
#[must_use]
pub const fn dial_limits() -> [(&'static str, u64); 5] {
    [
        ("dials", MAX_DIALS as u64),
        ("chosen_dials", MAX_CHOSEN_DIALS as u64),
        ("address_book", MAX_SERVERS as u64),
        ("stranger_dials_per_s", 1),
        ("stranger_dials_of_prefix_per_5min", scope::MAX_OF_PREFIX as u64),
    ]
}

/// When to look, and how often we chose.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    look_at: Option<Time>,
    heal_at: Option<Time>,
    tries: u64,
}

impl Choice {
    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.look_at, self.heal_at].into_iter().flatten().min()
    }

    fn look_by(&mut self, at: Time) {
        self.look_at = Some(self.look_at.map_or(at, |look| look.min(at)));
    }
}

impl Node {
    /// Local discovery found a server.
    pub(crate) fn found(&mut self, found: &ServerAddr) {
        let Some((server, addr)) = found.key.zip(GossipAddr::of(&found.addr)) else { return };
        if server != self.identity && self.book.find(self.cx.now, server, addr) {
            self.look_soon();
        }
    }

    /// A record came that is newer than what was known: its addresses are.
    pub(crate) fn learn_of(&mut self, router: RouterId) {
        let (now, wall_ms) = (self.cx.now, self.cx.wall_ms());
        let known = self.map.known(router);
        if known.is_some_and(|known| self.book.learn(now, wall_ms, &known.record)) {
            self.look_soon();
        }
    }

    fn look_soon(&mut self) {
        let now = self.cx.now;
        if self.choice.heal_at.is_none() {
            self.choice.heal_at = Some(now + self.cx.rng.spread(HEAL_EVERY, 50));
        }
        if self.choice.look_at.is_none() || self.wanted() > 0 {
            let wait = self.cx.rng.spread(LOOK_SOON, 50);
            self.choice.look_by(now + wait);
        }
    }

    /// The links changed: there may be too many now.
    pub(crate) fn look_at_surplus(&mut self) {
        if self.peers.counts().all() > self.config.neighbours.max {
            self.choice.look_by(self.cx.now + LOOK_SOON);
        }
    }

    /// How many more neighbours we want. Of those that chose us only half the target counts.
    fn wanted(&self) -> usize {
        let (counts, target) = (self.peers.counts(), self.target());
        if self.config.peers_closed || counts.all() >= self.config.neighbours.max {
            return 0;
        }
        let counted =
            counts.pinned.saturating_add(counts.chosen).saturating_add(counts.inbound.min(target / 2));
        target.saturating_sub(counted)
    }

    fn target(&self) -> usize {
        let target = self.config.neighbours.target;
        if self.config.leaf { target.min(LEAF_TARGET) } else { target }
    }

    /// Looks at neighbours, and heals, if it is time.
    pub(crate) fn choose_due(&mut self) {
        let now = self.cx.now;
        if self.choice.look_at.is_some_and(|at| at <= now) {
            self.look();
        }
        if self.choice.heal_at.is_some_and(|at| at <= now) {
            self.heal();
        }
    }

    fn look(&mut self) {
        self.choice.look_at = None;
        if self.peers.is_closed() {
            return;
        }
        self.book.expire(self.cx.now);
        self.drop_surplus();
        let mut is_held_back = false;
        let mut is_over = self.wanted() == 0;
        let reachable: BTreeSet<RouterId> =
            if is_over { BTreeSet::new() } else { self.map.reachable().collect() };
        while !is_over {
            let due = self.book.due(self.cx.now, false, |server| self.is_free(server));
            is_held_back = due.is_held_back;
            is_over = match self.choose(due.targets, &reachable) {
                Some(target) => !self.dial_chosen(target) || self.wanted() == 0,
                None => true,
            };
        }
        let needs_more = self.book.len() > 0 || self.peers.counts().all() > self.config.neighbours.max;
        if needs_more {
            let wait = if is_held_back { LOOK_PACED } else { self.cx.rng.spread(LOOK_EVERY, 20) };
            self.choice.look_by(self.cx.now + wait);
        }
    }

    /// Whether there is neither a link nor a dial with this server.
    fn is_free(&self, server: &ServerId) -> bool {
        *server != self.identity
            && !self.blame.is_barred(self.cx.now, server.router())
            && self.peers.link_of(server.router()).is_none()
            && self.peers.iter().all(|(_, peer)| peer.server != *server)
            && self.peers.choosing().all(|target| target.server != *server)
    }

    /// One of these: of every second the unreachable or the farthest, else any that the network knows.
    fn choose(&mut self, mut due: Vec<Target>, reachable: &BTreeSet<RouterId>) -> Option<Target> {
        let groups = self.chosen_groups();
        due.retain(|target| {
            let group = scope::group(target.addr.ip);
            let of_group = groups.iter().filter(|other| **other == group).count();
            scope::is_near(target.addr.ip) || of_group < MAX_OF_GROUP
        });
        self.choice.tries = self.choice.tries.wrapping_add(1);
        let is_known = |target: &Target| reachable.contains(&target.server.router());
        let (mut known, mut unknown): (Vec<Target>, Vec<Target>) = due.into_iter().partition(is_known);
        if self.choice.tries.is_multiple_of(2) && unknown.is_empty() {
            let distances = self.distances();
            let far = |target: &Target| distances.get(&target.server.router()).copied().unwrap_or(u32::MAX);
            let most = known.iter().map(far).max();
            known.retain(|target| Some(far(target)) == most);
        }
        let from_unknown = known.is_empty() || (self.choice.tries.is_multiple_of(2) && !unknown.is_empty());
        self.draw(if from_unknown { &mut unknown } else { &mut known })
    }

    /// One by lot, the more likely the more of its addresses are good.
    fn draw(&mut self, targets: &mut Vec<Target>) -> Option<Target> {
        let weight = |target: &Target| usize::try_from(target.weight).unwrap_or(1).max(1);
        let mut lot = self.cx.rng.below(targets.iter().map(weight).sum());
        let at = targets.iter().position(|target| {
            let is_it = lot < weight(target);
            lot = lot.saturating_sub(weight(target));
            is_it
        });
        at.map(|at| targets.swap_remove(at))
    }

    /// The networks of the neighbours that we chose.
    fn chosen_groups(&self) -> Vec<IpAddr> {
        let linked = self.peers.iter().filter_map(|(_, peer)| peer.chosen.as_ref());
        linked.chain(self.peers.choosing()).map(|target| scope::group(target.addr.ip)).collect()
    }

    /// Whether it could be dialled: not too much is in progress.
    fn dial_chosen(&mut self, target: Target) -> bool {
        let Some(dial) = self.peers.begin_dial(Aim::Chosen(target)) else { return false };
        self.book.dialled(self.cx.now, &target);
        let addr = ServerAddr { addr: target.addr.to_addr(), key: Some(target.server) };
        self.cx.out.push_back(Output::Dial { dial, addr, pinned: false });
        true
    }

    /// Dials one of those that cannot be reached any more, or never could.
    fn heal(&mut self) {
        let now = self.cx.now;
        self.choice.heal_at = (self.book.len() > 0).then_some(now + self.cx.rng.spread(HEAL_EVERY, 50));
        let is_full = self.peers.counts().all() >= self.config.neighbours.max;
        if self.peers.is_closed() || self.config.peers_closed || is_full {
            return;
        }
        let reachable: BTreeSet<RouterId> = self.map.reachable().collect();
        let is_lost = |server: &ServerId| !reachable.contains(&server.router()) && self.is_free(server);
        let mut lost = self.book.due(now, true, is_lost).targets;
        if let Some(target) = self.draw(&mut lost) {
            self.dial_chosen(target);
        }
    }

    /// Lets a random neighbour go that can do without us, if there are too many.
    fn drop_surplus(&mut self) {
        if self.peers.counts().all() > self.config.neighbours.max
            && let Some(link) = self.dispensable(|_| true)
        {
            self.close(link, Code::Limit);
        }
    }

    /// A random neighbour that the operator did not name and that has more than the least number of others.
    fn dispensable(&mut self, wanted: impl Fn(&crate::peers::Peer) -> bool) -> Option<LinkId> {
        let own = self.identity.router();
        let others = |server: &ServerId| {
            let record = self.map.known(server.router()).map(|known| &known.record);
            record.map_or(0, |record| record.neighbours.iter().filter(|router| **router != own).count())
        };
        let links: Vec<LinkId> = self
            .peers
            .iter()
            .filter(|(link, peer)| wanted(peer) && !self.peers.is_pinned(*link, &peer.server))
            .filter(|(_, peer)| others(&peer.server) > self.config.neighbours.min)
            .map(|(link, _)| link)
            .collect();
        links.get(self.cx.rng.below(links.len())).copied()
    }

    /// Whether a server that dialled us may stay: those of our own choice keep half of the places.
    pub(crate) fn admit_inbound(&mut self, server: &ServerId) -> Result<(), Code> {
        if self.peers.is_named(server) || self.peers.has(server) {
            return Ok(());
        }
        if self.config.peers_closed {
            return Err(Code::Unauthorized);
        }
        let (counts, max) = (self.peers.counts(), self.config.neighbours.max);
        if counts.inbound < max.saturating_sub(max / 2) && counts.all() < max {
            return Ok(());
        }
        // A newcomer must come in somewhere: it takes the place of one that can do without us.
        let neighbours = self.map.known(server.router()).map_or(0, |known| known.record.neighbours.len());
        if neighbours >= self.config.neighbours.min {
            return Err(Code::Limit);
        }
        let link = self.dispensable(|peer| !peer.outbound).ok_or(Code::Limit)?;
        self.close(link, Code::Limit);
        Ok(())
    }

    /// A dial of our own choice came to nothing.
    pub(crate) fn chosen_failed(&mut self, target: &Target, why: Code) {
        let now = self.cx.now;
        if why == Code::Conflict {
            return self.book.forget(&target.addr);
        }
        let answered = !matches!(why, Code::Unreachable | Code::Timeout);
        let due = self.book.failed(now, target, answered, |wait| self.cx.rng.spread(wait, 50));
        if let Some(due) = due {
            self.choice.look_by(due.max(now + LOOK_SOON));
        }
    }

    /// A link of our own choice is gone; `up` since when, if it ever was.
    pub(crate) fn chosen_lost(&mut self, target: &Target, up: Option<Time>, why: Code) {
        let now = self.cx.now;
        let spread = |wait| self.cx.rng.spread(wait, 50);
        let due = match (why, up) {
            (Code::Limit, _) => {
                self.book.refused(now, target, spread);
                None
            }
            (_, Some(since)) => self.book.lost(now, target, since, spread),
            (_, None) => self.book.failed(now, target, false, spread),
        };
        if let Some(due) = due {
            self.choice.look_by(due.max(now + LOOK_SOON));
        }
    }

    /// Somebody ended a link on purpose: it is not chosen again for a while.
    pub(crate) fn leave_alone(&mut self, server: &ServerId) {
        self.book.leave_alone(self.cx.now, server);
    }

    /// We dialled ourselves: the address is forgotten wherever it stands.
    pub(crate) fn dialled_ourselves(&mut self, aim: Option<Aim>) {
        match aim {
            Some(Aim::Pinned(addr)) => {
                self.peers.forget(&addr);
                if let Some(addr) = GossipAddr::of(&addr) {
                    self.book.forget(&addr);
                }
                self.cx.event(Event::DialFailed { addr, why: Code::Conflict });
            }
            Some(Aim::Chosen(target)) => self.book.forget(&target.addr),
            Some(Aim::Probe) | None => {}
        }
    }
}
