//! Which new servers the map takes: never a long tail that hangs on one stranger. Source: `docs/protocol.md`, 10.5.

use crate::{LinkId, Node};
use darkchat_proto::limits::MAX_DIGEST;
use darkchat_proto::{Frame, Kind, RecordFlags, RouterId, ServerRecord, Time, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Up to so many servers the map takes all: a young network hangs on one server easily.
const SMALL: usize = 256;
/// Above that no server that the operator did not name may be the only way to more than one in so many.
const SHARE: usize = 4;
/// The ways are searched at most so often; between, what was taken is counted to the gate that was found.
const SEARCH_EVERY: Duration = Duration::from_secs(1);
/// The first wait before refused servers are asked for again, doubled up to the second: there may be more ways now.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Through whom the servers of the map are reached.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// The nearest server on every way to this one that the operator did not name; `None` if ways differ or are safe.
    gates: BTreeMap<RouterId, Option<RouterId>>,
    /// How many servers are behind each gate, itself among them.
    behind: BTreeMap<RouterId, usize>,
    /// The neighbour that brought each server first: on it hang those to which no way is known.
    brought: BTreeMap<RouterId, RouterId>,
    searched: Option<Time>,
    /// Servers that were refused and may be admitted later.
    refused: BTreeSet<RouterId>,
    ask_at: Option<Time>,
    waits: u32,
}

impl Admission {
    pub(crate) const fn deadline(&self) -> Option<Time> {
        self.ask_at
    }

    pub(crate) fn len(&self) -> usize {
        self.refused.len()
    }

    /// The one server on which all ways to a new one hang, if there is one.
    fn gate_of(&self, record: &ServerRecord, bringer: Option<RouterId>) -> Option<RouterId> {
        let mut gates = record.neighbours.iter().filter_map(|next| self.gates.get(next));
        // Nobody that it names is known: until more is, it hangs on the neighbour that brought it.
        let Some(first) = gates.next() else { return bringer };
        let first = (*first)?;
        gates.all(|gate| *gate == Some(first)).then_some(first)
    }
}

impl Node {
    /// Whether the map may take a server that it does not know.
    pub(crate) fn may_enter(&mut self, link: LinkId, record: &ServerRecord) -> bool {
        let router = record.server.router();
        let count = self.map.len();
        if count <= SMALL || self.map.known(router).is_some() || record.server == self.identity {
            return true;
        }
        let now = self.cx.now;
        let is_due = |at: Time| now.saturating_since(at) >= SEARCH_EVERY;
        if self.admission.searched.is_none() {
            self.search_gates();
        }
        let mut is_crowded = self.is_crowded(self.gate(link, record), count);
        if is_crowded && self.admission.searched.is_some_and(is_due) {
            self.search_gates();
            is_crowded = self.is_crowded(self.gate(link, record), count);
        }
        if is_crowded {
            self.turn_away(router);
        }
        !is_crowded
    }

    /// The map took a server that it did not know.
    pub(crate) fn entered(&mut self, link: LinkId, router: RouterId) {
        let bringer = self.peers.get(link).map(|peer| peer.server.router());
        self.admission.brought.extend(bringer.map(|bringer| (router, bringer)));
        if self.admission.searched.is_none() {
            return;
        }
        let gate = self.map.known(router).and_then(|known| self.gate(link, &known.record));
        self.admission.gates.insert(router, gate);
        if let Some(gate) = gate {
            let behind = self.admission.behind.entry(gate).or_insert(0);
            *behind = behind.saturating_add(1);
        }
        self.admission.waits = 0;
    }

    /// A server is in the map no longer.
    pub(crate) fn left(&mut self, router: RouterId) {
        self.admission.brought.remove(&router);
        self.admission.gates.remove(&router);
    }

    fn gate(&self, link: LinkId, record: &ServerRecord) -> Option<RouterId> {
        let bringer = self.peers.get(link).filter(|peer| !self.peers.is_pinned(link, &peer.server));
        self.admission.gate_of(record, bringer.map(|peer| peer.server.router()))
    }

    fn is_crowded(&self, gate: Option<RouterId>, count: usize) -> bool {
        let behind = gate.and_then(|gate| self.admission.behind.get(&gate)).copied().unwrap_or_default();
        gate.is_some() && behind.saturating_add(1).saturating_mul(SHARE) > count.saturating_add(1)
    }

    fn turn_away(&mut self, router: RouterId) {
        if self.admission.refused.len() < MAX_DIGEST {
            self.admission.refused.insert(router);
        }
        if self.admission.ask_at.is_none() {
            let wait = ASK_AGAIN.0.saturating_mul(1 << self.admission.waits.min(8)).min(ASK_AGAIN.1);
            self.admission.waits = self.admission.waits.saturating_add(1);
            self.admission.ask_at = Some(self.cx.now + self.cx.rng.spread(wait, 20));
        }
    }

    /// Asks a random neighbour for those that were refused: ways to them may have come up.
    pub(crate) fn ask_refused(&mut self) {
        let now = self.cx.now;
        if self.admission.ask_at.is_none_or(|at| at > now) {
            return;
        }
        self.admission.ask_at = None;
        self.search_gates();
        let refused = std::mem::take(&mut self.admission.refused);
        let links: Vec<LinkId> = self.peers.up().map(|(_, link)| link).collect();
        let Some(link) = links.get(self.cx.rng.below(links.len())).copied() else { return };
        let unknown = refused.into_iter().filter(|router| self.map.known(*router).is_none());
        let want: Vec<Want> = unknown.map(|router| Want { router, record: true, shards: true }).collect();
        if let Some(peer) = self.peers.get_mut(link) {
            want.iter().for_each(|want| peer.note_pulled(now, want.router));
        }
        if !want.is_empty() {
            self.send(link, &Frame::from(Kind::Pull { want }));
        }
    }

    /// Finds the gates: dominators, by Cooper, Harvey and Kennedy, over the servers in the order of their distance.
    fn search_gates(&mut self) {
        let own = self.identity.router();
        let mut order = vec![own];
        let mut index = BTreeMap::from([(own, 0_usize)]);
        // For each server the places of those that carry to it, itself left out.
        let mut ways: Vec<Vec<usize>> = vec![Vec::new()];
        let mut at = 0;
        while let Some(router) = order.get(at).copied() {
            for next in self.carries_to(router) {
                let place = *index.entry(next).or_insert_with(|| {
                    order.push(next);
                    ways.push(Vec::new());
                    order.len().saturating_sub(1)
                });
                if let Some(ways) = ways.get_mut(place).filter(|_| place != 0) {
                    ways.push(at);
                }
            }
            at = at.saturating_add(1);
        }
        let above = dominators(&ways);
        self.admission.gates.clear();
        self.admission.behind.clear();
        for (place, router) in order.iter().enumerate().skip(1) {
            let above = above.get(place).copied().unwrap_or_default();
            let inherited = order.get(above).and_then(|router| self.admission.gates.get(router)).copied();
            let gate = inherited.flatten().or_else(|| (!self.is_named(*router)).then_some(*router));
            self.admission.gates.insert(*router, gate);
            if let Some(gate) = gate {
                let behind = self.admission.behind.entry(gate).or_insert(0);
                *behind = behind.saturating_add(1);
            }
        }
        self.count_unreached(&index);
        self.admission.searched = Some(self.cx.now);
    }

    /// Servers without a way to them hang on the neighbour that brought them.
    fn count_unreached(&mut self, reached: &BTreeMap<RouterId, usize>) {
        let brought = std::mem::take(&mut self.admission.brought);
        for (router, bringer) in &brought {
            if !reached.contains_key(router) && !self.is_named(*bringer) {
                let behind = self.admission.behind.entry(*bringer).or_insert(0);
                *behind = behind.saturating_add(1);
            }
        }
        self.admission.brought = brought;
    }

    /// The servers that this one carries to, by the rules of 9.3.
    fn carries_to(&self, router: RouterId) -> Vec<RouterId> {
        if router == self.identity.router() {
            return self.peers.up().map(|(router, _)| router).collect();
        }
        let Some(from) = self.map.known(router).map(|known| &known.record) else { return Vec::new() };
        if !from.flags.contains(RecordFlags::TRANSIT) {
            return Vec::new();
        }
        let tells = |next: &&RouterId| {
            self.map.known(**next).is_some_and(|known| known.record.neighbours.contains(&router))
        };
        from.neighbours.iter().filter(tells).copied().collect()
    }

    fn is_named(&self, router: RouterId) -> bool {
        let link = self.peers.link_of(router);
        let peer = link.and_then(|link| Some((link, self.peers.get(link)?)));
        peer.is_some_and(|(link, peer)| self.peers.is_pinned(link, &peer.server))
    }
}

/// For each place the last one before it on every way from place 0. Places are in the order of their distance, so it
/// is always a smaller number.
fn dominators(ways: &[Vec<usize>]) -> Vec<usize> {
    let mut above: Vec<Option<usize>> = vec![None; ways.len()];
    if let Some(first) = above.first_mut() {
        *first = Some(0);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for (place, ways) in ways.iter().enumerate().skip(1) {
            let known = |way: &&usize| above.get(**way).copied().flatten().is_some();
            let found = ways.iter().filter(known).copied().reduce(|one, other| meet(&above, one, other));
            if let Some(slot) = above.get_mut(place)
                && *slot != found
            {
                *slot = found;
                changed = true;
            }
        }
    }
    above.into_iter().map(Option::unwrap_or_default).collect()
}

/// The last place that is above both.
fn meet(above: &[Option<usize>], mut one: usize, mut other: usize) -> usize {
    let up = |place: usize| above.get(place).copied().flatten().unwrap_or_default();
    while one != other {
        if one > other {
            one = up(one);
        } else {
            other = up(other);
        }
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dominators_of_a_tail_a_ring_and_a_diamond() {
        // 0-1-2-3, a tail.
        assert_eq!(dominators(&[vec![], vec![0], vec![1], vec![2]]), [0, 0, 1, 2]);
        // 0-1-3-2-0, a ring.
        assert_eq!(dominators(&[vec![], vec![0, 3], vec![0, 3], vec![1, 2]]), [0, 0, 0, 0]);
        // A diamond behind 1, and a tail behind it.
        let ways = [vec![], vec![0, 2, 3], vec![1, 4], vec![1, 4], vec![2, 3, 5], vec![4]];
        assert_eq!(dominators(&ways), [0, 0, 1, 1, 1, 4]);
    }
}
