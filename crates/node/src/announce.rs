//! What this server says of itself: its record and its shards, signed on request. Source: sections 9.2, 9.4 and 9.6.

use crate::joins::Answer;
use crate::limits::{Bucket, Rate};
use crate::queue::OURSELVES;
use crate::router::Travelling;
use crate::spread::{Asker, Finished, Hops};
use crate::{LinkId, Node, Output, SignId};
use bytes::Bytes;
use darkchat_crypto::{SignRequest, sign};
use darkchat_proto::limits::MAX_NEIGHBOURS;
use darkchat_proto::{
    ChannelId, Class, Done, Frame, InterestShard, Kind, RecordFlags, RouterId, ServerRecord, Signature,
    Signed, Tag, Time, VERSION,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A record that nobody waits for is renewed after this time, spread by a tenth. Among a thousand servers a renewal
/// crosses seven thousand links, and that is most of what a quiet network carries.
const REFRESH: Duration = Duration::from_secs(1_800);
/// A new link stands in the record when it stood for so long.
const SETTLE: Duration = Duration::from_secs(1);
/// Losses that follow one another within this time share a record: who loses more neighbours at once than the burst below
/// would otherwise tell of the last a second late. What waits for the record goes after 100 ms without it.
const LOSSES: Duration = Duration::from_millis(50);
/// How fast records of one server may follow each other; ours, and those that we pass on.
pub(crate) const RECORD_RATE: Rate = Rate { per_s: 1, burst: 8 };
/// The most signatures asked for and not given; a driver that never signs must not fill the memory.
const MAX_SIGNING: usize = 20_000;

/// What waits for its signature.
#[derive(Debug)]
enum Signing {
    Record(Box<ServerRecord>, Bytes),
    Shard(Box<InterestShard>, Bytes),
}

/// Our own announcements.
#[derive(Debug)]
pub(crate) struct Announce {
    /// The wall clock at the start, or more than any epoch of ours heard of; 0 until the clock was told.
    epoch: u64,
    seq: u64,
    /// Whether a record of this epoch that names somebody is out: before, nobody but our neighbours has a way to us.
    introduced: bool,
    due: Option<Time>,
    /// The newest record of this epoch, signed or not, and when it was made.
    made: Option<(ServerRecord, Time)>,
    /// When it is renewed though nothing has changed.
    renew_at: Time,
    budget: Bucket,
    signing: BTreeMap<SignId, Signing>,
    next_sign: u64,
    /// Counts the shards that were sent, repeats among them.
    sent_shards: u64,
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            epoch: 0,
            seq: 0,
            introduced: false,
            due: None,
            made: None,
            renew_at: Time::ZERO,
            budget: Bucket::new(RECORD_RATE),
            signing: BTreeMap::new(),
            next_sign: 0,
            sent_shards: 0,
        }
    }
}

impl Announce {
    /// Whether we have told nothing yet, because we do not know the time.
    pub(crate) const fn is_silent(&self) -> bool {
        self.epoch == 0
    }

    /// Our epoch; 0 until the clock was told.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A record is due at that time, or earlier if it was already.
    pub(crate) fn due_at(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.due.filter(|_| !self.is_silent())
    }
}

impl Node {
    /// Begins an epoch: nothing of an earlier one counts any more.
    pub(crate) fn begin_epoch(&mut self, epoch: u64) {
        self.announce.epoch = epoch.max(1);
        self.announce.seq = 0;
        self.announce.introduced = false;
        self.announce.made = None;
        self.interest.set_epoch(self.cx.now, self.announce.epoch);
        self.announce.due_at(self.cx.now);
    }

    /// A link came up and is to stand in our record.
    pub(crate) fn announce_soon(&mut self) {
        self.announce.due_at(self.cx.now + SETTLE);
    }

    /// A link is gone, which everybody must know now, with whatever was lost right before or is lost by the same input.
    pub(crate) fn announce_now(&mut self) {
        let now = self.cx.now;
        let made_at = self.announce.made.as_ref().map(|(_, at)| *at);
        self.announce.due_at(made_at.map_or(now, |made| now.max(made + LOSSES)));
    }

    /// Makes the record that is due, and the shards.
    pub(crate) fn announce_due(&mut self) {
        if self.announce.is_silent() {
            return;
        }
        let now = self.cx.now;
        if self.announce.due.is_some_and(|due| due <= now) {
            self.record_due();
        }
        for (shard, signed) in self.retell.due(now) {
            let through = self.any_neighbour();
            self.send_shard(&shard, signed, through);
        }
        self.interest.expire(now);
        for shard in self.interest.due(now) {
            let body = shard.encode();
            let request = sign::shard(&self.config.network, &body);
            self.ask_to_sign(Signing::Shard(Box::new(shard), body), request);
        }
    }

    /// Makes a record, unless it would say again what the last one says: whoever comes and goes before a record named
    /// them must not make us tell everybody so.
    fn record_due(&mut self) {
        let now = self.cx.now;
        let record = self.next_record();
        let says_more = self.announce.made.as_ref().is_none_or(|(made, _)| !is_repeat(made, &record));
        if !says_more && now < self.announce.renew_at {
            self.announce.due = Some(self.announce.renew_at);
            return;
        }
        let wait = self.announce.budget.wait(now, 1);
        if !wait.is_zero() {
            self.announce.due = Some(now + wait);
            return;
        }
        self.announce.budget.take(now, 1);
        self.announce.renew_at = now + self.cx.rng.spread(REFRESH, 10);
        self.announce.due = Some(self.announce.renew_at);
        self.announce.seq = record.seq;
        self.announce.made = Some((record.clone(), now));
        let body = record.encode();
        let request = sign::record(&self.config.network, &body);
        self.ask_to_sign(Signing::Record(Box::new(record), body), request);
    }

    /// What a record would say now.
    fn next_record(&self) -> ServerRecord {
        let addrs = self.reach.addrs(self.config.dialable);
        let flags = [
            (!addrs.is_empty(), RecordFlags::DIALABLE),
            (!self.config.leaf, RecordFlags::TRANSIT),
            (self.config.peers_closed, RecordFlags::PEERS_CLOSED),
            (self.draining, RecordFlags::DRAINING),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
        ServerRecord {
            server: self.identity,
            epoch: self.announce.epoch,
            seq: self.announce.seq.saturating_add(1),
            issued_ms: self.cx.wall_ms().unwrap_or_default(),
            addrs,
            flags: flags.fold(RecordFlags::default(), |all, (_, flag)| all.with(flag)),
            neighbours: self.peers.up().map(|(router, _)| router).take(MAX_NEIGHBOURS).collect(),
            version: VERSION,
            features: self.config.features,
        }
    }

    fn ask_to_sign(&mut self, what: Signing, request: SignRequest) {
        if self.announce.signing.len() >= MAX_SIGNING {
            self.announce.signing.pop_first();
        }
        let sign = SignId(self.announce.next_sign);
        self.announce.next_sign = self.announce.next_sign.wrapping_add(1);
        self.announce.signing.insert(sign, what);
        self.cx.out.push_back(Output::Sign { sign, request });
    }

    /// A signature came.
    pub(crate) fn signed(&mut self, sign: SignId, sig: Signature) {
        match self.announce.signing.remove(&sign) {
            // It would tell the others of an epoch of which they must not hear any more, or count for the one that began.
            Some(Signing::Record(record, _)) if record.epoch != self.announce.epoch => {}
            Some(Signing::Record(record, body)) => {
                let signed = Signed { body, sig }.encode();
                let newest = self.map.known(self.identity.router());
                let number = |record: &ServerRecord| (record.epoch, record.seq);
                if newest.is_some_and(|known| number(&known.record) >= number(&record)) {
                    return;
                }
                let names_somebody = !record.neighbours.is_empty();
                self.map.set_own(*record, signed.clone());
                self.flood_record(&signed, None);
                if names_somebody {
                    self.introduce();
                }
            }
            Some(Signing::Shard(shard, body)) => {
                let signed = Signed { body, sig }.encode();
                self.interest.issued(&shard, signed.clone());
                self.send_shard(&shard, signed, None);
            }
            None => {}
        }
    }

    /// Our first record of an epoch that names somebody is out, so the others know of the epoch: they get the shards that
    /// only our neighbours had.
    fn introduce(&mut self) {
        if !std::mem::replace(&mut self.announce.introduced, true) {
            for (shard, signed) in self.retell.held() {
                self.send_shard(&shard, signed, None);
            }
        }
    }

    /// Sends a shard of ours to every server that can be reached: the whole of it through one neighbour, or each by its
    /// way. Who does not know of our epoch would refuse it, so before our record is out only neighbours get it.
    fn send_shard(&mut self, shard: &InterestShard, signed: Bytes, through: Option<LinkId>) {
        let number = self.announce.sent_shards;
        self.announce.sent_shards = number.wrapping_add(1);
        let mut dst: Vec<RouterId> = self.map.reachable().collect();
        let all = dst.len();
        if !self.announce.introduced {
            dst.retain(|router| self.peers.link_of(*router).is_some());
        }
        let is_held = dst.len() < all;
        self.retell.told(self.cx.now, number, shard, &signed, is_held);
        if is_held {
            let head = self.new_head(Class::Shard, dst, false);
            self.forward(Travelling { head, payload: signed, source: OURSELVES, from: None });
            return;
        }
        self.joins.sent(number, shard);
        let head = self.new_head(Class::Shard, dst, true);
        let frame = (head.origin, head.id);
        let travelling = Travelling { head, payload: signed, source: OURSELVES, from: None };
        let hops = match through {
            Some(link) => self.forward_through(link, travelling),
            None => self.forward(travelling),
        };
        if let Some(finished) = self.dones.begin(self.cx.now, Asker::Ours(number), frame, hops) {
            self.finished(finished);
        }
    }

    /// A random neighbour. A server on the usual ways that swallows what it says it got would swallow a repeat too.
    fn any_neighbour(&mut self) -> Option<LinkId> {
        let links: Vec<LinkId> = self.peers.up().map(|(_, link)| link).collect();
        links.get(self.cx.rng.below(links.len())).copied()
    }

    /// Tells our recent shards to servers that can be reached since now; before our record is out, to those that are
    /// neighbours, and to the others later.
    pub(crate) fn tell_new(&mut self, new: &[RouterId]) {
        let introduced = self.announce.introduced;
        let knows = |router: &&RouterId| introduced || self.peers.link_of(**router).is_some();
        let dst: Vec<RouterId> = new.iter().filter(knows).copied().collect();
        if dst.len() < new.len() {
            self.retell.hold();
        }
        if dst.is_empty() {
            return;
        }
        for payload in self.retell.recent(self.cx.now) {
            let head = self.new_head(Class::Shard, dst.clone(), false);
            self.forward(Travelling { head, payload, source: OURSELVES, from: None });
        }
    }

    /// A frame that wants a report was passed on.
    pub(crate) fn passed_on(&mut self, link: LinkId, origin: RouterId, id: u64, hops: Hops) {
        let asker = Asker::Neighbour(link);
        if let Some(finished) = self.dones.begin(self.cx.now, asker, (origin, id), hops) {
            self.finished(finished);
        }
    }

    /// All that can be known about a frame is known.
    pub(crate) fn finished(&mut self, finished: Finished) {
        let Finished { asker, origin, id, complete, servers } = finished;
        match asker {
            Asker::Neighbour(link) if complete => {
                if self.peers.router_of(link).is_some() {
                    self.send(link, &Frame::from(Kind::RouteDone { origin, id }));
                }
            }
            Asker::Neighbour(_) => {}
            Asker::Ours(number) => {
                if !complete {
                    self.retell.missed(self.cx.now, number);
                }
                for answer in self.joins.settled(number, servers, complete) {
                    self.answer_join(answer);
                }
            }
        }
    }

    pub(crate) fn answer_join(&mut self, answer: Answer) {
        let Answer { link, req, servers, complete } = answer;
        let reachable = u32::try_from(self.map.reachable().count()).unwrap_or(u32::MAX);
        let spread = complete && servers >= reachable;
        self.reply(link, req, Kind::Ok(Done { local: 0, servers, spread }));
    }

    /// Answers a join when every server that can be reached knows of its channels.
    pub(crate) fn await_spread(&mut self, link: LinkId, req: u32, channels: &[ChannelId]) {
        if req == 0 {
            return;
        }
        self.note_map();
        let reachable = u32::try_from(self.map.reachable().count()).unwrap_or(u32::MAX);
        let tags: BTreeSet<Tag> = channels.iter().filter_map(|channel| self.channels.tag(channel)).collect();
        let known = |tag: &Tag| {
            let servers = self.joins.confirmed(*tag);
            self.interest.is_announced(*tag) && servers.is_some_and(|servers| servers >= reachable)
        };
        let waiting: BTreeSet<Tag> = tags.into_iter().filter(|tag| !known(tag)).collect();
        if reachable == 0 || waiting.is_empty() {
            let done = Done { local: 0, servers: reachable, spread: true };
            return self.reply(link, req, Kind::Ok(done));
        }
        if !self.joins.wait(self.cx.now, link, req, waiting.clone()) {
            return self.reply(link, req, Kind::Ok(Done::default()));
        }
        for tag in waiting {
            // Announced, but before the last server could be reached, or in vain: it is told once more, in its turn.
            if !self.joins.is_under_way(tag) {
                self.interest.announce_again(self.cx.now, tag);
            }
        }
    }

    /// Ends what waited for reports too long.
    pub(crate) fn expire_spread(&mut self) {
        for answer in self.joins.expire(self.cx.now) {
            self.answer_join(answer);
        }
        for finished in self.dones.expire(self.cx.now) {
            self.finished(finished);
        }
    }
}

/// Whether the second of two records of one epoch says nothing but when it was made.
fn is_repeat(made: &ServerRecord, next: &ServerRecord) -> bool {
    let undated = |record: &ServerRecord| ServerRecord { seq: 0, issued_ms: 0, ..record.clone() };
    undated(made) == undated(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Input};
    use darkchat_proto::ServerId;

    #[test]
    fn a_record_that_was_signed_after_its_epoch_introduces_nobody() {
        let mut node = Node::new(ServerId::new([1; 32]), Config::default(), [1; 32]);
        node.handle(Time::ZERO, Input::Wall { unix_ms: 1 });
        let record = ServerRecord {
            server: node.identity,
            epoch: 1,
            seq: 9,
            issued_ms: 1,
            addrs: Vec::new(),
            flags: RecordFlags::default(),
            neighbours: vec![RouterId(5)],
            version: VERSION,
            features: node.config.features,
        };
        for (epoch, introduced) in [(2, false), (1, true)] {
            node.begin_epoch(epoch);
            let request = sign::record(&node.config.network, b"");
            let asked = SignId(node.announce.next_sign);
            node.ask_to_sign(Signing::Record(Box::new(record.clone()), Bytes::new()), request);
            node.handle(Time::ZERO, Input::Signed { sign: asked, signature: Signature::new([9; 64]) });
            assert_eq!(node.announce.introduced, introduced, "epoch {epoch}");
            assert_eq!(node.map.known(node.identity.router()).is_some(), introduced, "epoch {epoch}");
        }
    }

    #[test]
    fn a_driver_that_never_signs_does_not_fill_the_memory() {
        let mut node = Node::new(ServerId::new([1; 32]), Config::default(), [1; 32]);
        node.handle(Time::ZERO, Input::Wall { unix_ms: 1 });
        for number in 0..MAX_SIGNING + 100 {
            let request = sign::record(&node.config.network, b"");
            let shard = InterestShard {
                server: node.identity,
                epoch: 1,
                seq: 1,
                bits: 0,
                shard: 0,
                tags: Vec::new(),
            };
            node.ask_to_sign(Signing::Shard(Box::new(shard), Bytes::new()), request);
            assert!(node.announce.signing.len() <= MAX_SIGNING, "{number}");
        }
    }
}
