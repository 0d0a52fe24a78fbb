//! Who is linked with whom: the records of all servers, and the way to each. Source: `docs/protocol.md`, 9.2, 9.3, 9.5.

use crate::interest::Interest;
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::limits::MAX_RECORD;
use darkchat_proto::{Have, RecordFlags, RouterId, ServerId, ServerRecord, Signed, Time, Want};
use sha2::{Digest as _, Sha256};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The most servers of a network; at this number unknown ones are refused.
pub(crate) const MAX_SERVERS: usize = 4_096;
/// A record that was not refreshed for so long goes: three refreshes of 600 s were missed.
const EXPIRE: Duration = Duration::from_secs(1_800);
/// How long a server that signed two records of one number is not passed on.
const MUTE: Duration = Duration::from_secs(60);
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
    pub(crate) record: ServerRecord,
    /// The encoded `Signed`, as it came and as it goes on.
    pub(crate) signed: Bytes,
    hash: [u8; 32],
    expires: Time,
    muted_until: Time,
    rank: u64,
}

impl Known {
    fn number(&self) -> (u64, u64) {
        (self.record.epoch, self.record.seq)
    }
}

/// All records, our own among them, and the routes that follow from them.
#[derive(Debug)]
pub(crate) struct Map {
    own: ServerId,
    records: BTreeMap<RouterId, Known>,
    by_expiry: BTreeSet<(Time, RouterId)>,
    /// The servers that we have a link with now, and their ranks.
    links: BTreeMap<RouterId, u64>,
    /// For nobody and for each neighbour avoided so far: destination → next hop. Emptied by every change.
    routes: BTreeMap<Option<RouterId>, BTreeMap<RouterId, RouterId>>,
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
            routes: BTreeMap::new(),
            equivocations: 0,
        }
    }

    /// Takes our own record, newly made. It never expires.
    pub(crate) fn set_own(&mut self, record: ServerRecord, signed: Bytes) {
        let hash = body_hash(&signed);
        let known = Known { record, signed, hash, expires: Time::MAX, muted_until: Time::ZERO, rank: 0 };
        self.records.insert(self.own.router(), known);
    }

    /// Takes a record that came from a peer.
    pub(crate) fn insert(
        &mut self,
        now: Time,
        record: Verified<ServerRecord>,
        signed: &Bytes,
    ) -> RecordOutcome {
        let record = record.into_inner();
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
        let count = self.records.len();
        let has_own = self.records.contains_key(&self.own.router());
        let mut new = Known {
            rank: rank(&self.own, &record.server),
            hash: body_hash(signed),
            signed: Bytes::copy_from_slice(signed),
            record,
            expires: now + EXPIRE,
            muted_until: Time::ZERO,
        };
        let (outcome, outdated) = match self.records.entry(router) {
            Entry::Vacant(_) if count >= MAX_SERVERS.saturating_add(usize::from(has_own)) => {
                return RecordOutcome::Full;
            }
            Entry::Vacant(place) => {
                place.insert(new);
                (RecordOutcome::Newer { forward: true, new_epoch: true }, None)
            }
            Entry::Occupied(mut held) => {
                let old = held.get();
                if old.record.server != new.record.server {
                    return RecordOutcome::Clash;
                }
                if new.number() < old.number() {
                    return RecordOutcome::Older;
                }
                if new.hash == old.hash {
                    return RecordOutcome::Known;
                }
                new.muted_until = old.muted_until;
                let outdated = (old.expires, router);
                if new.number() == old.number() {
                    self.equivocations = self.equivocations.saturating_add(1);
                    held.get_mut().muted_until = now + MUTE;
                    if new.hash > held.get().hash {
                        return RecordOutcome::Equivocal;
                    }
                    new.muted_until = now + MUTE;
                    held.insert(new);
                    (RecordOutcome::Equivocal, Some(outdated))
                } else {
                    let forward = now >= new.muted_until;
                    let new_epoch = new.record.epoch != old.record.epoch;
                    held.insert(new);
                    (RecordOutcome::Newer { forward, new_epoch }, Some(outdated))
                }
            }
        };
        if let Some(outdated) = outdated {
            self.by_expiry.remove(&outdated);
        }
        self.by_expiry.insert((now + EXPIRE, router));
        self.routes.clear();
        outcome
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
        self.links.insert(peer.router(), rank(&self.own, peer));
        self.routes.clear();
    }

    /// The last link with a server is gone.
    pub(crate) fn link_down(&mut self, peer: RouterId) {
        if self.links.remove(&peer).is_some() {
            self.routes.clear();
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
            self.routes.clear();
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
        self.routes(None).keys().copied()
    }

    /// Whether there is a way to a server.
    #[cfg(test)]
    pub(crate) fn is_reachable(&mut self, router: RouterId) -> bool {
        self.routes(None).contains_key(&router)
    }

    /// The neighbour through which frames for `to` go: not `avoid`, from which they came, unless there is no other way.
    pub(crate) fn next_hop(&mut self, to: RouterId, avoid: Option<RouterId>) -> Option<RouterId> {
        let best = self.routes(None).get(&to).copied()?;
        if Some(best) != avoid {
            return Some(best);
        }
        Some(self.routes(avoid).get(&to).copied().unwrap_or(best))
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
        let want = |have: &Have| {
            let held = self.records.get(&have.router);
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

    fn routes(&mut self, avoid: Option<RouterId>) -> &BTreeMap<RouterId, RouterId> {
        if !self.routes.contains_key(&avoid) {
            let found = self.search(avoid);
            self.routes.insert(avoid, found);
        }
        self.routes.entry(avoid).or_default()
    }

    /// Breadth first from ourselves; the first way found to a server is one of the shortest.
    fn search(&self, avoid: Option<RouterId>) -> BTreeMap<RouterId, RouterId> {
        let own = self.own.router();
        let mut routes = BTreeMap::new();
        let mut queue = VecDeque::new();
        let mut links: Vec<(u64, RouterId)> =
            self.links.iter().map(|(router, rank)| (*rank, *router)).collect();
        links.sort_unstable();
        for (_, neighbour) in links {
            if Some(neighbour) != avoid && neighbour != own {
                routes.insert(neighbour, neighbour);
                queue.push_back((neighbour, neighbour));
            }
        }
        while let Some((at, first)) = queue.pop_front() {
            for next in self.onward(at) {
                if next == own || Some(next) == avoid {
                    continue;
                }
                if let Entry::Vacant(place) = routes.entry(next) {
                    place.insert(first);
                    queue.push_back((next, first));
                }
            }
        }
        routes
    }

    /// The servers that `at` carries to, in our private order; none for a leaf.
    fn onward(&self, at: RouterId) -> Vec<RouterId> {
        let Some(from) = self.records.get(&at) else { return Vec::new() };
        if !from.record.flags.contains(RecordFlags::TRANSIT) {
            return Vec::new();
        }
        let both = |router: &RouterId| {
            let other = self.records.get(router)?;
            other.record.neighbours.contains(&at).then_some((other.rank, *router))
        };
        let mut edges: Vec<(u64, RouterId)> = from.record.neighbours.iter().filter_map(both).collect();
        edges.sort_unstable();
        edges.into_iter().map(|(_, router)| router).collect()
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
