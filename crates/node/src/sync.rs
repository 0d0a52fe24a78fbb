//! Records and shards of other servers: taken, passed on, compared and repaired. Source: sections 9.2, 9.4 and 9.5.

use crate::announce::RECORD_RATE;
use crate::interest::ShardOutcome;
use crate::limits::Bucket;
use crate::map::{MAX_SERVERS, RecordOutcome};
use crate::queue::Item;
use crate::{Event, LinkId, Node};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::limits::MAX_DIGEST;
use darkchat_proto::{Code, Frame, Have, InterestShard, Kind, RouterId, ServerRecord, Time, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// So often a digest goes to one neighbour, spread by a fifth.
const DIGEST_EVERY: Duration = Duration::from_secs(60);
/// What was pulled from one neighbour is offered to the others after this time, all of it at once.
const OFFER_AFTER: Duration = Duration::from_millis(50);
/// Answers to a pull stop while so many bytes wait for the link: a large map must not fill its queue.
const PULL_ROOM: usize = 1 << 20;
/// The map is looked at so long after a change: a thousand records make one look.
const NOTE_AFTER: Duration = Duration::from_millis(100);

/// A record on its way to the other peers, held back by its origin's budget.
#[derive(Debug)]
struct Held {
    /// The link that it came on.
    from: LinkId,
    at: Time,
}

/// What is to be done about records and shards.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    digest_at: Option<Time>,
    /// The servers whose shards were pulled and are to be offered to others.
    offer: BTreeSet<RouterId>,
    offer_at: Option<Time>,
    /// How fast each origin's records are passed on.
    budgets: BTreeMap<RouterId, Bucket>,
    held: BTreeMap<RouterId, Held>,
    note_at: Option<Time>,
    /// The servers that could be reached when we looked last, in ascending order.
    reachable: Vec<RouterId>,
}

impl Sync {
    pub(crate) fn deadline(&self) -> Option<Time> {
        let held = self.held.values().map(|held| held.at).min();
        [self.digest_at, self.offer_at, self.note_at, held].into_iter().flatten().min()
    }

    /// Whether a server could be reached when we looked last.
    pub(crate) fn was_reachable(&self, router: RouterId) -> bool {
        self.reachable.binary_search(&router).is_ok()
    }

    pub(crate) fn held_len(&self) -> usize {
        self.held.len()
    }
}

impl Node {
    /// Begins to compare with a new neighbour.
    pub(crate) fn begin_sync(&mut self, link: LinkId) {
        let rows: Vec<Have> = self.map.digest(&self.interest).collect();
        self.send_digest(link, &rows);
        if self.sync.digest_at.is_none() {
            self.sync.digest_at = Some(self.cx.now + self.cx.rng.spread(DIGEST_EVERY, 20));
        }
    }

    fn send_digest(&mut self, link: LinkId, rows: &[Have]) {
        let mut chunks = rows.chunks(MAX_DIGEST).peekable();
        if chunks.peek().is_none() {
            self.send(link, &Frame::from(Kind::Digest { known: Vec::new(), more: false }));
        }
        while let Some(chunk) = chunks.next() {
            let digest = Kind::Digest { known: chunk.to_vec(), more: chunks.peek().is_some() };
            self.send(link, &Frame::from(digest));
        }
    }

    /// Whether a digest or a pull with so many rows is looked at. One that is not is repaired by a later one.
    fn takes_rows(&mut self, link: LinkId, rows: usize) -> bool {
        let takes = self.peers.get_mut(link).is_some_and(|peer| peer.pace_rows(self.cx.now, rows));
        if !takes {
            self.refuse_object(link, Code::RateLimited);
        }
        takes
    }

    /// A neighbour says what it holds: asks for what is newer there.
    pub(crate) fn digest(&mut self, link: LinkId, known: &[Have]) {
        if !self.takes_rows(link, known.len()) {
            return;
        }
        let want = self.map.wants(&self.interest, known);
        if let Some(peer) = self.peers.get_mut(link) {
            for want in want.iter().filter(|want| want.shards) {
                peer.note_pulled(self.cx.now, want.router);
            }
        }
        for chunk in want.chunks(MAX_DIGEST) {
            self.send(link, &Frame::from(Kind::Pull { want: chunk.to_vec() }));
        }
    }

    /// A neighbour asks for objects. What we do not have is not owed, so that what is owed is bounded by the map.
    pub(crate) fn pull(&mut self, link: LinkId, want: &[Want]) {
        if !self.takes_rows(link, want.len()) {
            return;
        }
        let Some(peer) = self.peers.get_mut(link) else { return };
        for want in want.iter().filter(|want| self.map.known(want.router).is_some()) {
            let owed = peer.owes.entry(want.router).or_insert(Want { record: false, shards: false, ..*want });
            owed.record |= want.record;
            owed.shards |= want.shards;
        }
        self.answer_pull(link);
    }

    /// Sends what a neighbour asked for, as long as there is room on its link.
    pub(crate) fn answer_pull(&mut self, link: LinkId) {
        while self.links.held_by(link) < PULL_ROOM {
            let Some((router, want)) = self.peers.get_mut(link).and_then(|peer| peer.owes.pop_first()) else {
                return;
            };
            if want.record
                && let Some(known) = self.map.known(router)
            {
                let record = Kind::Record(known.signed.clone());
                self.send(link, &Frame::from(record));
            }
            if want.shards {
                for shard in self.interest.shards(router) {
                    self.send(link, &Frame::from(Kind::Shard(shard)));
                }
            }
        }
    }

    /// A record came.
    pub(crate) fn record(&mut self, link: LinkId, record: Verified<Arc<ServerRecord>>, signed: &Bytes) {
        if self.map.holds(&record, signed) {
            return;
        }
        let now = self.cx.now;
        let Some(peer) = self.peers.get_mut(link) else { return };
        if !peer.records.wait(now, 1).is_zero() {
            return self.refuse_object(link, Code::RateLimited);
        }
        let (router, epoch) = (record.server.router(), record.epoch);
        let names_nobody = record.neighbours.is_empty();
        if !self.may_enter(link, &record) {
            return self.refuse_object(link, Code::Limit);
        }
        let is_unknown = self.map.known(router).is_none();
        let Some(peer) = self.peers.get_mut(link) else { return };
        let generation = self.map.generation();
        match self.map.insert(now, record, signed) {
            RecordOutcome::Newer { forward, new_epoch, loses } => {
                peer.records.take(now, 1);
                if new_epoch {
                    self.interest.forget(router);
                }
                if is_unknown {
                    self.entered(link, router);
                }
                self.learn_of(router);
                // Who names nobody cannot be reached by what it says, and others get its next record.
                if forward && !names_nobody {
                    self.pass_on(router, link);
                }
                if self.map.generation() != generation {
                    self.map_changed();
                }
                if loses {
                    self.doubt_neighbours();
                }
            }
            RecordOutcome::Known | RecordOutcome::Older => {}
            RecordOutcome::Own { later_epoch } => {
                if later_epoch {
                    self.own_key_elsewhere(epoch);
                }
            }
            RecordOutcome::Equivocal => {
                peer.records.take(now, 1);
                self.map_changed();
            }
            RecordOutcome::Clash => self.refuse_object(link, Code::Conflict),
            RecordOutcome::Full => self.refuse_object(link, Code::Limit),
            RecordOutcome::TooLarge => self.refuse_object(link, Code::TooLarge),
        }
    }

    fn refuse_object(&mut self, link: LinkId, code: Code) {
        self.cx.stats.objects_refused += 1;
        self.cx.refused(link, code);
    }

    /// Somebody signs with our key and a later epoch: ourselves before our clock went back, or another process.
    fn own_key_elsewhere(&mut self, epoch: u64) {
        if epoch <= self.announce.epoch() {
            return;
        }
        if self.peers.hear_own_key(self.cx.now) {
            self.cx.event(Event::KeyElsewhere);
            self.peers.close();
            let links: Vec<LinkId> = self.peers.iter().map(|(link, _)| link).collect();
            for link in links {
                self.close(link, Code::Conflict);
            }
        } else {
            self.begin_epoch(epoch.saturating_add(1));
            self.announce_due();
        }
    }

    /// Passes the record of a server on, now or when its budget allows: then the one that is newest by then.
    fn pass_on(&mut self, router: RouterId, from: LinkId) {
        let now = self.cx.now;
        if self.sync.held.contains_key(&router) {
            return;
        }
        if self.sync.budgets.len() > MAX_SERVERS {
            self.sync.budgets.clear();
        }
        let bucket = self.sync.budgets.entry(router).or_insert_with(|| Bucket::new(RECORD_RATE));
        let wait = bucket.wait(now, 1);
        bucket.take(now, 1);
        if wait.is_zero() {
            if let Some(signed) = self.map.known(router).map(|known| known.signed.clone()) {
                self.flood_record(&signed, Some(from));
            }
        } else {
            self.sync.held.insert(router, Held { from, at: now + wait });
        }
    }

    /// Sends a record to all peers but the one that it came from.
    pub(crate) fn flood_record(&mut self, signed: &Bytes, except: Option<LinkId>) {
        let (head, body) = Frame::from(Kind::Record(signed.clone())).encode_split();
        let links: Vec<LinkId> =
            self.peers.up().map(|(_, link)| link).filter(|link| Some(*link) != except).collect();
        for link in links {
            self.send_item(link, Item::control(head.clone(), body.clone()));
        }
    }

    /// A shard came, by itself or in a route.
    pub(crate) fn shard(&mut self, link: LinkId, shard: Verified<InterestShard>, signed: &Bytes) {
        let now = self.cx.now;
        let Some(peer) = self.peers.get_mut(link) else { return };
        let router = shard.server.router();
        let pulls = peer.is_pulling(now, router);
        peer.refused_shard = !peer.shard_budget(pulls).wait(now, 1).is_zero();
        if peer.refused_shard {
            return self.refuse_object(link, Code::RateLimited);
        }
        let known = self.map.known(router).filter(|known| known.record.server == shard.server);
        let epoch = known.map(|known| known.record.epoch);
        match self.interest.insert(now, shard, signed, epoch) {
            ShardOutcome::Newer => {
                peer.shard_budget(pulls).take(now, 1);
                if pulls {
                    self.sync.offer.insert(router);
                    self.sync.offer_at.get_or_insert(now + OFFER_AFTER);
                }
            }
            ShardOutcome::Older | ShardOutcome::Own => {}
            ShardOutcome::NoRecord | ShardOutcome::Full => {
                peer.refused_shard = true;
                self.cx.stats.objects_refused += 1;
            }
        }
    }

    /// The map changed; what follows from it is looked at soon.
    pub(crate) fn map_changed(&mut self) {
        self.sync.note_at.get_or_insert(self.cx.now + NOTE_AFTER);
    }

    /// Looks at who can be reached, if the map changed.
    pub(crate) fn note_map(&mut self) {
        if self.sync.note_at.take().is_none() {
            return;
        }
        let reachable: Vec<RouterId> = self.map.reachable().collect();
        let is_here = |router: &RouterId| reachable.binary_search(router).is_ok();
        self.interest.note_reachable(self.cx.now, |router| is_here(&router));
        let before = std::mem::take(&mut self.sync.reachable);
        let was_here = |router: &RouterId| before.binary_search(router).is_ok();
        let new: Vec<RouterId> = reachable.iter().filter(|router| !was_here(router)).copied().collect();
        self.limbo.note(self.cx.now, before.iter().filter(|router| !is_here(router)).copied(), is_here);
        self.sync.reachable = reachable;
        self.try_again();
        if !new.is_empty() {
            self.joins.more_reachable();
            self.tell_new(&new);
        }
    }

    /// Does what is due about records and shards.
    pub(crate) fn sync_due(&mut self) {
        let now = self.cx.now;
        for router in self.map.expire(now) {
            self.interest.forget(router);
            self.left(router);
            self.sync.budgets.remove(&router);
            self.sync.held.remove(&router);
            self.map_changed();
        }
        if self.sync.note_at.is_some_and(|at| at <= now) {
            self.note_map();
        }
        let due: Vec<RouterId> =
            self.sync.held.iter().filter(|(_, held)| held.at <= now).map(|(router, _)| *router).collect();
        for router in due {
            let Some(Held { from, .. }) = self.sync.held.remove(&router) else { continue };
            if let Some(signed) = self.map.known(router).map(|known| known.signed.clone()) {
                self.flood_record(&signed, Some(from));
            }
        }
        if self.sync.offer_at.is_some_and(|at| at <= now) {
            self.offer();
        }
        if self.sync.digest_at.is_some_and(|at| at <= now) {
            self.compare();
        }
    }

    /// Tells all neighbours which shards were pulled, so that who lacks them pulls them too.
    fn offer(&mut self) {
        self.sync.offer_at = None;
        let offer = std::mem::take(&mut self.sync.offer);
        let rows: Vec<Have> =
            self.map.digest(&self.interest).filter(|have| offer.contains(&have.router)).collect();
        let links: Vec<LinkId> = self.peers.up().map(|(_, link)| link).collect();
        for link in links {
            self.send_digest(link, &rows);
        }
    }

    /// Compares with one random neighbour, which repairs whatever was missed.
    fn compare(&mut self) {
        let links: Vec<LinkId> = self.peers.up().map(|(_, link)| link).collect();
        let wait = self.cx.rng.spread(DIGEST_EVERY, 20);
        self.sync.digest_at = (!links.is_empty()).then_some(self.cx.now + wait);
        if let Some(link) = links.get(self.cx.rng.below(links.len())).copied() {
            let rows: Vec<Have> = self.map.digest(&self.interest).collect();
            self.send_digest(link, &rows);
        }
    }
}
