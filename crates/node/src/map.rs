//! Who is linked with whom: the records of all servers, and the way to each. Source: `docs/protocol.md`, 9.2, 9.3, 9.5.

mod graph;

use crate::interest::Interest;
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::limits::{MAX_DST, MAX_RECORD};
use darkchat_proto::{Have, RecordFlags, RouterId, ServerId, ServerRecord, Signed, Time, Want};
use graph::{Graph, Ways};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The most servers of a network; at this number unknown ones are refused.
pub(crate) const MAX_SERVERS: usize = 4_096;
/// A record that was not refreshed for so long goes: three refreshes of 1,800 s were missed. Until then it costs a
/// kilobyte and misleads nobody, because its neighbours no longer name its server.
const EXPIRE: Duration = Duration::from_secs(5_400);
/// How long a server that signed two records of one number is not passed on.
const MUTE: Duration = Duration::from_secs(60);
/// The most lists of destinations whose next hops are kept; with [`MAX_DST`] each they take half a megabyte.
const MAX_FOUND: usize = 64;
/// The largest `Signed` that holds a record: the body, the signature, and their keys and lengths with room.
const MAX_SIGNED: usize = MAX_RECORD + 128;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordOutcome {
    /// It is newer than what was held, and held now.
    Newer {
        /// Whether it goes on to the other peers: not while its server is muted.
        forward: bool,
        /// Whether it begins another epoch, or a server that was unknown: shards of an earlier one are void.
        new_epoch: bool,
        /// Whether a neighbour is gone that it named before.
        loses: bool,
    },
    /// It was held already.
    Known,
    /// A newer one is held.
    Older,
    /// Two records of one number: the one with the smaller hash stays, and the server is muted.
    Equivocal,
    /// It is under our own key, and not the one that we made.
    Own {
        /// Whether its epoch is above ours: somebody runs with our key, or did before our clock went back.
        later_epoch: bool,
    },
    /// Another server with the same router id was there first.
    Clash,
    /// The map is full.
    Full,
    /// Much more than a record needs.
    TooLarge,
}

/// A server as the map knows it.
#[derive(Debug)]
pub(crate) struct Known {
    /// What it says of itself.
    pub(crate) record: Arc<ServerRecord>,
    /// The encoded `Signed`, as it came and as it goes on.
    pub(crate) signed: Bytes,
    expires: Time,
    muted_until: Time,
}

impl Known {
    fn number(&self) -> (u64, u64) {
        (self.record.epoch, self.record.seq)
    }
}

/// The neighbours through which a frame goes, each with the destinations behind it, and those that there is no way to.
pub(crate) type NextHops = (BTreeMap<RouterId, Vec<RouterId>>, Vec<RouterId>);

/// Whether links of ours are gone that both ends' records still name. Those that came up and stand in none do not matter.
#[derive(Debug)]
enum Told {
    NotLookedAt,
    All,
    /// Some are: the ways that there would be with them.
    TooMuch(Ways),
}

/// All records, our own among them, and the routes that follow from them.
#[derive(Debug)]
pub(crate) struct Map {
    own: ServerId,
    records: BTreeMap<RouterId, Known>,
    by_expiry: BTreeSet<(Time, RouterId)>,
    /// The servers that we have a link with now, and their ranks in our private order.
    links: BTreeMap<RouterId, u64>,
    /// The same servers and links as numbers; kept with every change.
    graph: Graph,
    /// For nobody and for each neighbour avoided so far. Emptied by every change of the graph or of our links.
    ways: BTreeMap<Option<RouterId>, Ways>,
    /// Whether the others know of the links that we lost, until the next such change.
    told: Told,
    /// What was found for lists of destinations, by whom to avoid. A channel's posts all have the same list. Emptied with
    /// the ways, and when there are many.
    found: BTreeMap<(Option<RouterId>, Box<[RouterId]>), NextHops>,
    /// Counts those changes.
    generation: u64,
    equivocations: u64,
}

impl Map {
    /// The map of a server that knows nobody yet.
    pub(crate) const fn new(own: ServerId) -> Self {
        Self {
            own,
            records: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            links: BTreeMap::new(),
            graph: Graph::new(),
            ways: BTreeMap::new(),
            told: Told::NotLookedAt,
            found: BTreeMap::new(),
            generation: 0,
            equivocations: 0,
        }
    }

    /// Takes our own record, newly made. It never expires.
    pub(crate) fn set_own(&mut self, record: ServerRecord, signed: Bytes) {
        let record = Arc::new(record);
        let known = Known { record, signed, expires: Time::MAX, muted_until: Time::ZERO };
        self.put(self.own.router(), known);
    }

    /// Whether this record was here before, in these bytes: most come once from each neighbour.
    pub(crate) fn holds(&self, record: &ServerRecord, signed: &Bytes) -> bool {
        let known = self.records.get(&record.server.router());
        known.is_some_and(|known| known.number() == (record.epoch, record.seq) && known.signed == *signed)
    }

    /// Takes a record that came from a peer.
    pub(crate) fn insert(
        &mut self,
        now: Time,
        record: Verified<Arc<ServerRecord>>,
        signed: &Bytes,
    ) -> RecordOutcome {
        let router = record.server.router();
        if record.server == self.own {
            return self.judge_own(&record);
        }
        if signed.len() > MAX_SIGNED {
            return RecordOutcome::TooLarge;
        }
        if router == self.own.router() {
            return RecordOutcome::Clash;
        }
        let number = (record.epoch, record.seq);
        let mut muted_until = Time::ZERO;
        let is_full = self.is_full();
        let outcome = match self.records.get_mut(&router) {
            None if is_full => return RecordOutcome::Full,
            None => RecordOutcome::Newer { forward: true, new_epoch: true, loses: false },
            Some(old) if old.record.server != record.server => return RecordOutcome::Clash,
            Some(old) if number < old.number() => return RecordOutcome::Older,
            Some(old) if number == old.number() => {
                let (new_hash, old_hash) = (body_hash(signed), body_hash(&old.signed));
                if new_hash == old_hash {
                    return RecordOutcome::Known;
                }
                self.equivocations = self.equivocations.saturating_add(1);
                muted_until = now + MUTE;
                old.muted_until = muted_until;
                if new_hash > old_hash {
                    return RecordOutcome::Equivocal;
                }
                RecordOutcome::Equivocal
            }
            Some(old) => {
                muted_until = old.muted_until;
                let new_epoch = record.epoch != old.record.epoch;
                let loses = old.record.neighbours.iter().any(|router| !record.neighbours.contains(router));
                RecordOutcome::Newer { forward: now >= muted_until, new_epoch, loses }
            }
        };
        let (record, signed) = (record.into_inner(), signed.clone());
        self.put(router, Known { record, signed, expires: now + EXPIRE, muted_until });
        self.by_expiry.insert((now + EXPIRE, router));
        outcome
    }

    /// Puts a record in, and counts it as a change if its server has other neighbours or other flags now.
    fn put(&mut self, router: RouterId, known: Known) {
        let record = &known.record;
        let is_refresh = self.records.get(&router).is_some_and(|old| {
            old.record.neighbours == record.neighbours && old.record.flags == record.flags
        });
        if !is_refresh {
            self.graph.add(router);
            // Who is about to leave carries nothing more.
            let leaves = record.flags.contains(RecordFlags::DRAINING);
            let transit = record.flags.contains(RecordFlags::TRANSIT) && !leaves;
            self.graph.set(router, transit, &record.neighbours);
            self.changed();
        }
        if let Some(old) = self.records.insert(router, known) {
            self.by_expiry.remove(&(old.expires, router));
        }
    }

    fn changed(&mut self) {
        self.ways.clear();
        self.told = Told::NotLookedAt;
        self.found.clear();
        self.generation = self.generation.wrapping_add(1);
    }

    /// Counts the changes of who is linked with whom; a mere refresh is none.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    fn judge_own(&self, record: &ServerRecord) -> RecordOutcome {
        match self.records.get(&self.own.router()) {
            Some(own) if own.number() == (record.epoch, record.seq) => RecordOutcome::Known,
            Some(own) => RecordOutcome::Own { later_epoch: record.epoch > own.record.epoch },
            None => RecordOutcome::Own { later_epoch: true },
        }
    }

    /// A link with a server is up. Idempotent.
    pub(crate) fn link_up(&mut self, peer: &ServerId) {
        self.graph.add(peer.router());
        if self.links.insert(peer.router(), rank(&self.own, peer)).is_none() {
            self.changed();
        }
    }

    /// The last link with a server is gone.
    pub(crate) fn link_down(&mut self, peer: RouterId) {
        if self.links.remove(&peer).is_some() {
            if !self.records.contains_key(&peer) {
                self.graph.remove(peer, false);
            }
            self.changed();
        }
    }

    /// Whether another server has this one's router id: ourselves, or one that is known.
    pub(crate) fn clashes(&self, server: &ServerId) -> bool {
        let router = server.router();
        let known = self.records.get(&router).map(|known| known.record.server);
        *server != self.own && (router == self.own.router() || known.is_some_and(|known| known != *server))
    }

    /// Removes the records that expired by `now`; whose they were.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<RouterId> {
        let mut gone = Vec::new();
        while let Some((expires, router)) = self.by_expiry.first().copied() {
            if expires > now {
                break;
            }
            self.by_expiry.pop_first();
            self.records.remove(&router);
            self.graph.remove(router, self.links.contains_key(&router));
            self.changed();
            gone.push(router);
        }
        gone
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.by_expiry.first().map(|(expires, _)| *expires)
    }

    /// The record of a server, our own included.
    pub(crate) fn known(&self, router: RouterId) -> Option<&Known> {
        self.records.get(&router)
    }

    /// All servers with a record, our own included, in ascending order of router id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RouterId, &Known)> {
        self.records.iter().map(|(router, known)| (*router, known))
    }

    /// The number of records, our own included.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// How often a server signed two records of one number.
    pub(crate) const fn equivocations(&self) -> u64 {
        self.equivocations
    }

    /// Whether what this server signs is not passed on at present.
    #[cfg(test)]
    pub(crate) fn is_muted(&self, now: Time, router: RouterId) -> bool {
        self.records.get(&router).is_some_and(|known| now < known.muted_until)
    }

    /// The servers that there is a way to, without ourselves, in ascending order of router id.
    pub(crate) fn reachable(&mut self) -> impl Iterator<Item = RouterId> {
        self.find(None);
        let ways = self.ways.get(&None);
        ways.into_iter().flat_map(|ways| self.graph.reached(ways))
    }

    /// Whether there is a way to a server.
    #[cfg(test)]
    pub(crate) fn is_reachable(&mut self, router: RouterId) -> bool {
        self.next_hop(router, None).is_some()
    }

    /// The neighbour through which a frame for `to` goes: not `avoid`, from which it came, unless there is no other way.
    pub(crate) fn next_hop(&mut self, to: RouterId, avoid: Option<RouterId>) -> Option<RouterId> {
        self.next_hops(&[to], avoid).0.pop_first().map(|(next, _)| next)
    }

    /// The neighbours through which a frame goes to these servers, and the ones among them that there is no way to.
    ///
    /// Every destination takes a shortest way; among those, few neighbours take all. `avoid` is the one from which it
    /// came, which gets back only what has no other way.
    pub(crate) fn next_hops(&mut self, dst: &[RouterId], avoid: Option<RouterId>) -> NextHops {
        if !(2..=MAX_DST).contains(&dst.len()) {
            return self.find_hops(dst, avoid);
        }
        let list = (avoid, Box::from(dst));
        if let Some(found) = self.found.get(&list) {
            return found.clone();
        }
        let found = self.find_hops(dst, avoid);
        if self.found.len() >= MAX_FOUND {
            self.found.clear();
        }
        self.found.insert(list, found.clone());
        found
    }

    /// Takes those of these destinations out that are farther than with the lost links that records still name: whoever gets
    /// a frame for one of them may send it straight back. To all others the next server is nearer than we are, by the map of
    /// whoever has the records that we have; so it is not for a frame that avoids a neighbour and takes a longer way.
    pub(crate) fn take_farther(&mut self, dst: &mut Vec<RouterId>) -> Vec<RouterId> {
        self.compare_told();
        let Told::TooMuch(told) = &self.told else { return Vec::new() };
        let Some(ways) = self.ways.get(&None) else { return Vec::new() };
        let is_farther = |to: &RouterId| {
            let (here, there) = (self.graph.distance(ways, *to), self.graph.distance(told, *to));
            here.zip(there).is_some_and(|(here, there)| here > there)
        };
        let (farther, near) = std::mem::take(dst).into_iter().partition(is_farther);
        *dst = near;
        farther
    }

    /// Whether no link of ours is gone that the records still name.
    pub(crate) fn is_told(&mut self) -> bool {
        self.compare_told();
        matches!(self.told, Told::All)
    }

    /// Looks for lost links of ours that the records still name, if that was not done since the last change.
    fn compare_told(&mut self) {
        if !matches!(self.told, Told::NotLookedAt) {
            return;
        }
        let own = self.own.router();
        let names = |one: RouterId, other: RouterId| {
            self.records.get(&one).is_some_and(|known| known.record.neighbours.contains(&other))
        };
        let named = self.records.get(&own).map(|known| Arc::clone(&known.record));
        let named = named.iter().flat_map(|record| record.neighbours.iter().copied());
        let gone: Vec<(u64, RouterId)> = named
            .filter(|router| !self.links.contains_key(router) && names(*router, own))
            .map(|router| (u64::MAX, router))
            .collect();
        if gone.is_empty() {
            self.told = Told::All;
            return;
        }
        self.find(None);
        let links = self.links.iter().map(|(router, rank)| (*rank, *router)).chain(gone);
        self.told = Told::TooMuch(self.graph.search(own, links, None));
    }

    fn find_hops(&mut self, dst: &[RouterId], avoid: Option<RouterId>) -> NextHops {
        self.find(None);
        let mut groups: BTreeMap<RouterId, Vec<RouterId>> = BTreeMap::new();
        let (mut lost, mut back, mut ahead) = (Vec::new(), Vec::new(), Vec::with_capacity(dst.len()));
        if let Some(ways) = self.ways.get(&None) {
            for to in dst {
                match self.graph.leads(ways, *to, avoid) {
                    Some(true) => ahead.push(*to),
                    Some(false) => back.push(*to),
                    None => lost.push(*to),
                }
            }
            self.graph.tree(ways, &ahead, avoid, |next, to| groups.entry(next).or_default().push(to));
        }
        if let Some(neighbour) = avoid.filter(|_| !back.is_empty()) {
            self.find(avoid);
            if let Some(ways) = self.ways.get(&avoid) {
                let (round, no_other): (Vec<_>, Vec<_>) =
                    back.into_iter().partition(|to| self.graph.leads(ways, *to, None).is_some());
                self.graph.tree(ways, &round, None, |next, to| groups.entry(next).or_default().push(to));
                if !no_other.is_empty() {
                    groups.entry(neighbour).or_default().extend(no_other);
                }
            }
        }
        (groups, lost)
    }

    /// What we hold, for a `Digest`: one row a server, our own included, in ascending order of router id.
    pub(crate) fn digest(&self, interest: &Interest) -> impl Iterator<Item = Have> {
        self.iter().map(|(router, known)| Have {
            router,
            epoch: known.record.epoch,
            seq: known.record.seq,
            shards: interest.digest(router, known.record.epoch),
        })
    }

    /// What to pull from a peer that holds `known`.
    pub(crate) fn wants(&self, interest: &Interest, known: &[Have]) -> Vec<Want> {
        // Rows come in ascending order as we hold them ourselves: going along saves a search for each of a thousand.
        let mut ours = self.records.iter().peekable();
        let want = |have: &Have| {
            while ours.next_if(|(router, _)| **router < have.router).is_some() {}
            let here = ours.peek().filter(|(router, _)| **router == have.router).map(|(_, known)| *known);
            let held = here.or_else(|| self.records.get(&have.router));
            let number = held.map(Known::number);
            let record = Some((have.epoch, have.seq)) > number && (held.is_some() || !self.is_full());
            let epoch = held.map(|held| held.record.epoch);
            let is_own = have.router == self.own.router();
            let shards = match epoch {
                Some(epoch) if have.epoch < epoch => false,
                Some(epoch) if have.epoch == epoch => have.shards != interest.digest(have.router, epoch),
                Some(_) => have.shards != 0,
                None => record && have.shards != 0,
            };
            let want = Want { router: have.router, record, shards: shards && !is_own };
            (want.record || want.shards).then_some(want)
        };
        known.iter().filter_map(want).collect()
    }

    fn is_full(&self) -> bool {
        let own = usize::from(self.records.contains_key(&self.own.router()));
        self.records.len().saturating_sub(own) >= MAX_SERVERS
    }

    /// Finds the ways anew, if something changed since.
    fn find(&mut self, avoid: Option<RouterId>) {
        if !self.ways.contains_key(&avoid) {
            let links = self.links.iter().map(|(router, rank)| (*rank, *router));
            let found = self.graph.search(self.own.router(), links, avoid);
            self.ways.insert(avoid, found);
        }
    }
}

/// A fixed private order of neighbours, which spreads load over servers.
fn rank(own: &ServerId, neighbour: &ServerId) -> u64 {
    let hash: [u8; 32] =
        Sha256::new().chain_update(own.as_bytes()).chain_update(neighbour.as_bytes()).finalize().into();
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Over the signed body and not the whole: whoever relays could add bytes around a body, and so blame its author.
fn body_hash(signed: &Bytes) -> [u8; 32] {
    let body = Signed::decode(signed.clone()).map_or_else(|_| signed.clone(), |signed| signed.body);
    Sha256::digest(&body).into()
}

#[cfg(test)]
mod tests;
