//! Links with other servers: whom to dial and when, and which of two links stays. Source: sections 9.5 and 10.1.

use crate::book::Target;
use crate::limits::{Bucket, PeerBudgets, Rate};
use crate::{DialId, LinkId, Profile};
use darkchat_proto::{Addr, Code, RouterId, ServerAddr, ServerId, Time, Want};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The most servers that an operator may name: far more than anybody lists.
const MAX_PINNED: usize = 256;
/// Dials in progress at once.
pub(crate) const MAX_DIALS: usize = 8;
/// Of these, so many may be of our own choice: those that the operator wants never wait behind strangers.
pub(crate) const MAX_CHOSEN_DIALS: usize = 6;
/// The first wait before a redial; doubled each time, up to [`MAX_BACKOFF`], and spread by half.
const BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(8);
/// A link that stood for so long ends the doubling: one that comes and goes does not.
const STEADY: Duration = Duration::from_secs(10);
/// What we dialled has this long to welcome us.
const WELCOME_TIME: Duration = Duration::from_secs(5);
/// Our own key, heard so often in [`OWN_KEY_TIME`] with an epoch that is not ours, runs elsewhere.
const OWN_KEY_HEARD: usize = 3;
const OWN_KEY_TIME: Duration = Duration::from_secs(60);
/// All neighbours are asked for a sign of life at most so often.
const DOUBT_EVERY: Duration = Duration::from_secs(1);
/// The origins whose shards one peer is asked for at once.
const MAX_PULLED: usize = 4_096;
/// How long what one peer sends of them counts as the answer.
const PULL_TIME: Duration = Duration::from_secs(5);
/// The origins whose lookups are counted on one link: all servers of a network.
const MAX_ORIGINS: usize = 4_096;

/// The other end of a peer link.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) server: ServerId,
    pub(crate) outbound: bool,
    /// When the link opened.
    pub(crate) since: Time,
    /// Where we dialled it by our own choice.
    pub(crate) chosen: Option<Target>,
    /// Whether it was ever the link with its server.
    pub(crate) was_up: bool,
    /// Until when it must welcome us; `None` once it did, or if it dialled us.
    welcome_by: Option<Time>,
    destinations: Bucket,
    /// Records and shards that were news.
    pub(crate) records: Bucket,
    shards: Bucket,
    /// Shards that it was asked for: those of a whole network that meets another one.
    answers: Bucket,
    /// Rows of digests and pulls.
    rows: Bucket,
    /// Destinations of probes.
    pub(crate) probes: Bucket,
    /// Lookups, by the server that they began at; full ones may be missing.
    lookups: BTreeMap<RouterId, Bucket>,
    lookup_rate: Rate,
    /// What it asked for and has not got yet.
    pub(crate) owes: BTreeMap<RouterId, Want>,
    /// Whose shards it was asked for, and until when they count as the answer.
    pulled: BTreeMap<RouterId, Time>,
    /// Whether the shard that it brought last was refused: the route that brought it is not done then.
    pub(crate) refused_shard: bool,
}

impl Peer {
    /// A peer, not up yet.
    pub(crate) fn new(now: Time, server: ServerId, outbound: bool, profile: Profile) -> Self {
        let budgets = PeerBudgets::of(profile);
        Self {
            server,
            outbound,
            since: now,
            chosen: None,
            was_up: false,
            welcome_by: outbound.then_some(now + WELCOME_TIME),
            destinations: Bucket::new(budgets.destinations),
            records: Bucket::new(budgets.records),
            shards: Bucket::new(budgets.shards),
            answers: Bucket::new(budgets.answers),
            rows: Bucket::new(budgets.rows),
            probes: Bucket::new(budgets.probes),
            lookups: BTreeMap::new(),
            lookup_rate: budgets.lookups,
            owes: BTreeMap::new(),
            pulled: BTreeMap::new(),
            refused_shard: false,
        }
    }

    /// Counts a lookup that began at this server. It shares its budget with none that come on other links: whoever lies
    /// about where a lookup began uses up nobody else's.
    fn pace_lookup(&mut self, now: Time, origin: RouterId) -> bool {
        if self.lookups.len() >= MAX_ORIGINS && !self.lookups.contains_key(&origin) {
            self.lookups.retain(|_, bucket| !bucket.is_full(now));
            if self.lookups.len() >= MAX_ORIGINS {
                return false;
            }
        }
        let rate = self.lookup_rate;
        self.lookups.entry(origin).or_insert_with(|| Bucket::new(rate)).try_take(now, 1)
    }

    /// The budget of a shard, asked for or not.
    pub(crate) const fn shard_budget(&mut self, pulls: bool) -> &mut Bucket {
        if pulls { &mut self.answers } else { &mut self.shards }
    }

    /// Counts what a digest or a pull names, and says whether it is looked at.
    pub(crate) fn pace_rows(&mut self, now: Time, rows: usize) -> bool {
        self.rows.try_take(now, u64::try_from(rows).unwrap_or(u64::MAX).max(1))
    }

    /// Notes that this server's shards were asked for on this link.
    pub(crate) fn note_pulled(&mut self, now: Time, router: RouterId) {
        if self.pulled.len() >= MAX_PULLED {
            self.pulled.clear();
        }
        self.pulled.insert(router, now + PULL_TIME);
    }

    /// Whether a shard of this server that comes now answers what was asked, and was not sent to everybody.
    pub(crate) fn is_pulling(&mut self, now: Time, router: RouterId) -> bool {
        let pulling = self.pulled.get(&router).is_some_and(|until| now < *until);
        if pulling {
            // The rest of it may take its time on a slow link.
            self.pulled.insert(router, now + PULL_TIME);
        } else {
            self.pulled.remove(&router);
        }
        pulling
    }
}

/// How it stands with a server that the operator named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is dialled at that time.
    Due(Time),
    Dialling(DialId),
    /// There is a link with it, since then.
    Linked(LinkId, Time),
}

/// A server that the operator wants a link with.
#[derive(Debug)]
struct Pinned {
    addr: ServerAddr,
    state: State,
    failures: u32,
    /// The key that was proven there last.
    server: Option<ServerId>,
}

/// What a dial is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The operator wants a link with who is there.
    Pinned(Addr),
    /// We chose it ourselves.
    Chosen(Target),
    /// A neighbour wants to know whether it can be dialled.
    Probe,
}

/// How many links with servers there are, by who wanted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// The operator.
    pub(crate) pinned: usize,
    /// We ourselves; dials in progress count.
    pub(crate) chosen: usize,
    /// The other side.
    pub(crate) inbound: usize,
}

impl Counts {
    pub(crate) const fn all(self) -> usize {
        self.pinned.saturating_add(self.chosen).saturating_add(self.inbound)
    }
}

/// All peers, up or not, and all servers that the operator named.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    by_link: BTreeMap<LinkId, Peer>,
    up: BTreeMap<RouterId, LinkId>,
    pinned: BTreeMap<Addr, Pinned>,
    dials: BTreeMap<DialId, Aim>,
    next_dial: u64,
    own_key_heard: VecDeque<Time>,
    /// When all neighbours may be asked for a sign of life again.
    doubt_at: Time,
    /// Peering is over: our key runs elsewhere, or the server stops.
    closed: bool,
}

/// What to do with a link whose server has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// There is no other.
    Only,
    /// The new one stays; the other goes.
    Replaces(LinkId),
    /// The other one stays.
    Yields,
}

impl Peers {
    pub(crate) fn insert(&mut self, link: LinkId, peer: Peer) {
        self.by_link.insert(link, peer);
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Peer> {
        self.by_link.get(&link)
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Peer> {
        self.by_link.get_mut(&link)
    }

    /// The server at the other end of a link that is up.
    pub(crate) fn router_of(&self, link: LinkId) -> Option<RouterId> {
        let router = self.by_link.get(&link)?.server.router();
        (self.up.get(&router) == Some(&link)).then_some(router)
    }

    pub(crate) fn link_of(&self, router: RouterId) -> Option<LinkId> {
        self.up.get(&router).copied()
    }

    /// Whether all neighbours are to be asked for a sign of life, because a link was lost; not again soon after.
    pub(crate) fn doubts(&mut self, now: Time) -> bool {
        let doubts = self.doubt_at <= now;
        if doubts {
            self.doubt_at = now + DOUBT_EVERY;
        }
        doubts
    }

    /// The servers with links that are up, and those links, in the order of their router ids.
    pub(crate) fn up(&self) -> impl Iterator<Item = (RouterId, LinkId)> {
        self.up.iter().map(|(router, link)| (*router, *link))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Peer)> {
        self.by_link.iter().map(|(link, peer)| (*link, peer))
    }

    /// How many links there are, by who wanted them.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (link, peer) in &self.by_link {
            let place = match (self.is_pinned(*link, &peer.server), peer.outbound) {
                (true, _) => &mut counts.pinned,
                (false, true) => &mut counts.chosen,
                (false, false) => &mut counts.inbound,
            };
            *place = place.saturating_add(1);
        }
        counts.chosen = counts.chosen.saturating_add(self.choosing().count());
        counts
    }

    /// Whether the operator wants a link with this server, which is at that link.
    pub(crate) fn is_pinned(&self, link: LinkId, server: &ServerId) -> bool {
        let is_it = |pinned: &Pinned| matches!(pinned.state, State::Linked(other, _) if other == link);
        self.pinned.values().any(|pinned| is_it(pinned) || pinned.is_at(server))
    }

    /// Whether the operator named this server, by its key or by an address where it answered last.
    pub(crate) fn is_named(&self, server: &ServerId) -> bool {
        self.pinned.values().any(|pinned| pinned.is_at(server))
    }

    /// The servers that we chose and are dialling.
    pub(crate) fn choosing(&self) -> impl Iterator<Item = &Target> {
        self.dials.values().filter_map(|aim| if let Aim::Chosen(target) = aim { Some(target) } else { None })
    }

    /// Notes a dial that the operator did not ask for. `None`: too many are in progress.
    pub(crate) fn begin_dial(&mut self, aim: Aim) -> Option<DialId> {
        let chosen = self.dials.values().filter(|aim| !matches!(aim, Aim::Pinned(_))).count();
        if self.closed || chosen >= MAX_CHOSEN_DIALS || self.dials.len() >= MAX_DIALS {
            return None;
        }
        let dial = DialId(self.next_dial);
        self.next_dial = self.next_dial.wrapping_add(1);
        self.dials.insert(dial, aim);
        Some(dial)
    }

    /// Whether a link is up with this server.
    pub(crate) fn has(&self, server: &ServerId) -> bool {
        self.up.contains_key(&server.router()) && !self.clashes(server)
    }

    /// Whether a link is up with another server of the same router id.
    pub(crate) fn clashes(&self, server: &ServerId) -> bool {
        let link = self.up.get(&server.router()).and_then(|link| self.by_link.get(link));
        link.is_some_and(|peer| peer.server != *server)
    }

    /// All links with servers, up or not.
    pub(crate) fn len(&self) -> usize {
        self.by_link.len()
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// No more dials, and no more peers.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.pinned.clear();
        self.dials.clear();
    }

    /// Whether this link still has to be welcomed.
    pub(crate) fn awaits_welcome(&self, link: LinkId) -> bool {
        self.by_link.get(&link).is_some_and(|peer| peer.welcome_by.is_some())
    }

    /// Makes a link the one with its server, or says which one stays.
    ///
    /// Both ends keep the link whose initiator has the smaller key, and of two with one initiator the newer.
    pub(crate) fn set_up(&mut self, now: Time, link: LinkId, own: &ServerId) -> Option<Pair> {
        let peer = self.by_link.get_mut(&link)?;
        peer.welcome_by = None;
        let (server, outbound) = (peer.server, peer.outbound);
        let router = server.router();
        let older = self.up.get(&router).copied().filter(|older| *older != link);
        let older_outbound = older.and_then(|older| self.by_link.get(&older)).map(|peer| peer.outbound);
        let pair = match (older, older_outbound) {
            (Some(older), Some(theirs)) if outbound == theirs || outbound == (*own < server) => {
                Pair::Replaces(older)
            }
            (Some(_), Some(_)) => Pair::Yields,
            _ => Pair::Only,
        };
        if pair == Pair::Yields {
            self.settle_pinned(now, link, older);
        } else {
            self.up.insert(router, link);
            if let Some(peer) = self.by_link.get_mut(&link) {
                peer.was_up = true;
            }
            if let Pair::Replaces(older) = pair {
                self.settle_pinned(now, older, Some(link));
            }
        }
        Some(pair)
    }

    /// Whoever the operator named at one link is at another one now.
    fn settle_pinned(&mut self, now: Time, from: LinkId, to: Option<LinkId>) {
        let Some(to) = to else { return };
        for pinned in self.pinned.values_mut() {
            if matches!(pinned.state, State::Linked(link, _) if link == from) {
                pinned.state = State::Linked(to, now);
            }
        }
    }

    /// A link is gone, or told to go. Its peer, and whether it was the link with that server.
    pub(crate) fn remove(&mut self, link: LinkId) -> Option<(Peer, bool)> {
        let peer = self.by_link.remove(&link)?;
        let router = peer.server.router();
        let was_up = self.up.get(&router) == Some(&link);
        if was_up {
            self.up.remove(&router);
        }
        Some((peer, was_up))
    }

    /// The operator wants a server. `false`: too many are named already.
    pub(crate) fn pin(&mut self, now: Time, addr: ServerAddr) -> bool {
        if self.closed || (self.pinned.len() >= MAX_PINNED && !self.pinned.contains_key(&addr.addr)) {
            return false;
        }
        let state = State::Due(now);
        self.pinned
            .entry(addr.addr.clone())
            .and_modify(|pinned| {
                pinned.addr = addr.clone();
                pinned.failures = 0;
                if matches!(pinned.state, State::Due(_)) {
                    pinned.state = state;
                }
            })
            .or_insert(Pinned { addr, state, failures: 0, server: None });
        true
    }

    /// The server at an address that the operator named, if a link with it is up.
    pub(crate) fn linked(&self, addr: &Addr) -> Option<ServerId> {
        let State::Linked(link, _) = self.pinned.get(addr)?.state else { return None };
        self.router_of(link)?;
        self.by_link.get(&link).map(|peer| peer.server)
    }

    /// Where the operator named the server at this link.
    pub(crate) fn pinned_at(&self, link: LinkId) -> Option<Addr> {
        let is_it = |pinned: &&Pinned| matches!(pinned.state, State::Linked(other, _) if other == link);
        self.pinned.values().find(is_it).map(|pinned| pinned.addr.addr.clone())
    }

    /// The operator wants it no longer; the link with it, if there is one.
    pub(crate) fn unpin(&mut self, addr: &Addr) -> Option<LinkId> {
        let pinned = self.pinned.remove(addr)?;
        self.dials.retain(|_, aim| !matches!(aim, Aim::Pinned(dialled) if dialled == addr));
        if let State::Linked(link, _) = pinned.state { Some(link) } else { None }
    }

    /// The next dial to make, if its time has come.
    pub(crate) fn next_dial(&mut self, now: Time) -> Option<(DialId, ServerAddr)> {
        if self.dials.len() >= MAX_DIALS {
            return None;
        }
        let is_due = |pinned: &&mut Pinned| matches!(pinned.state, State::Due(at) if at <= now);
        let pinned = self.pinned.values_mut().find(is_due)?;
        let dial = DialId(self.next_dial);
        self.next_dial = self.next_dial.wrapping_add(1);
        pinned.state = State::Dialling(dial);
        self.dials.insert(dial, Aim::Pinned(pinned.addr.addr.clone()));
        Some((dial, pinned.addr.clone()))
    }

    /// A dial was answered by a link with that server: what it was for. `None`: nobody wants it any more.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        dial: DialId,
        link: LinkId,
        server: ServerId,
    ) -> Option<Aim> {
        let aim = self.dials.remove(&dial)?;
        if let Aim::Pinned(addr) = &aim {
            let pinned = self.pinned.get_mut(addr)?;
            (pinned.state, pinned.server) = (State::Linked(link, now), Some(server));
        }
        Some(aim)
    }

    /// A dial came to nothing: what it was for.
    pub(crate) fn failed(
        &mut self,
        now: Time,
        dial: DialId,
        spread: impl FnOnce(Duration) -> Duration,
    ) -> Option<Aim> {
        let aim = self.dials.remove(&dial)?;
        if let Aim::Pinned(addr) = &aim
            && let Some(pinned) = self.pinned.get_mut(addr)
        {
            pinned.retry(now, spread);
        }
        Some(aim)
    }

    /// A link that the operator wanted is gone: it is dialled again.
    pub(crate) fn redial(&mut self, now: Time, link: LinkId, spread: impl FnOnce(Duration) -> Duration) {
        let is_it = |pinned: &&mut Pinned| matches!(pinned.state, State::Linked(other, _) if other == link);
        if let Some(pinned) = self.pinned.values_mut().find(is_it) {
            if matches!(pinned.state, State::Linked(_, since) if now.saturating_since(since) >= STEADY) {
                pinned.failures = 0;
            }
            pinned.retry(now, spread);
        }
    }

    /// Forgets the address that a link was dialled at.
    pub(crate) fn forget(&mut self, addr: &Addr) {
        self.pinned.remove(addr);
    }

    /// Our own key was heard with an epoch that is not ours; whether it runs elsewhere.
    pub(crate) fn hear_own_key(&mut self, now: Time) -> bool {
        self.own_key_heard.retain(|at| now.saturating_since(*at) < OWN_KEY_TIME);
        self.own_key_heard.push_back(now);
        self.own_key_heard.len() >= OWN_KEY_HEARD
    }

    /// Takes destinations from a link's budget.
    pub(crate) fn pace_destinations(&mut self, now: Time, link: LinkId, count: usize) -> bool {
        let tokens = u64::try_from(count).unwrap_or(u64::MAX);
        self.by_link.get_mut(&link).is_some_and(|peer| peer.destinations.try_take(now, tokens))
    }

    /// Whether the shard that came last on this link was refused.
    pub(crate) fn refused_shard(&self, link: LinkId) -> bool {
        self.by_link.get(&link).is_some_and(|peer| peer.refused_shard)
    }

    /// Takes a probe's destinations from a link's budget, on credit where only some of the tokens are there: a probe
    /// is not cut, and the next one waits for it.
    pub(crate) fn pace_probe(&mut self, now: Time, link: LinkId, count: usize) -> bool {
        let tokens = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        let Some(peer) = self.by_link.get_mut(&link) else { return false };
        let has_some = peer.probes.wait(now, 1).is_zero();
        if has_some {
            peer.probes.take(now, tokens);
        }
        has_some
    }

    /// Counts a lookup that came on a link and began at this server.
    pub(crate) fn pace_lookup(&mut self, now: Time, link: LinkId, origin: RouterId) -> bool {
        self.by_link.get_mut(&link).is_some_and(|peer| peer.pace_lookup(now, origin))
    }

    /// The links that were not welcomed in time.
    pub(crate) fn unwelcome(&self, now: Time) -> Vec<(LinkId, Code)> {
        let late = |peer: &Peer| peer.welcome_by.is_some_and(|by| by <= now);
        self.by_link.iter().filter(|(_, peer)| late(peer)).map(|(link, _)| (*link, Code::Timeout)).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let free = self.dials.len() < MAX_DIALS;
        let due = self.pinned.values().filter_map(|pinned| match pinned.state {
            State::Due(at) if free => Some(at),
            _ => None,
        });
        let links = self.by_link.values().filter_map(|peer| peer.welcome_by);
        due.chain(links).min()
    }

    pub(crate) fn pinned_len(&self) -> usize {
        self.pinned.len()
    }
}

impl Pinned {
    /// Whether this server is meant, or was there last.
    fn is_at(&self, server: &ServerId) -> bool {
        self.addr.key.or(self.server) == Some(*server)
    }

    fn retry(&mut self, now: Time, spread: impl FnOnce(Duration) -> Duration) {
        let wait = BACKOFF.saturating_mul(1 << self.failures.min(8)).min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Due(now + spread(wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: u16) -> Peers {
        let mut peers = Peers::default();
        for port in 0..count {
            let addr: ServerAddr = format!("192.0.2.1:{}", port + 1).parse().unwrap();
            peers.pin(Time::ZERO, addr);
        }
        peers
    }

    #[test]
    fn at_most_eight_dials_are_in_progress() {
        let mut peers = named(20);
        let dials: Vec<DialId> =
            std::iter::from_fn(|| peers.next_dial(Time::ZERO)).map(|(dial, _)| dial).collect();
        assert_eq!(dials.len(), MAX_DIALS);
        assert_eq!(peers.deadline(), None, "there is nothing to do until one ends");
        peers.failed(Time::ZERO, dials[0], |wait| wait);
        assert_eq!(peers.deadline(), Some(Time::ZERO));
        assert!(peers.next_dial(Time::ZERO).is_some());
    }

    #[test]
    fn waits_double_up_to_eight_seconds_and_a_steady_link_ends_that() {
        let mut peers = named(1);
        let mut now = Time::ZERO;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let (dial, _) = peers.next_dial(now).unwrap();
            peers.failed(now, dial, |wait| wait);
            let due = peers.deadline().unwrap();
            waits.push(due.saturating_since(now).as_millis());
            now = due;
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        for (stood, wait) in [(Duration::from_secs(1), 8_000), (STEADY, 500)] {
            let (dial, _) = peers.next_dial(now).unwrap();
            peers.answered(now, dial, LinkId(1), ServerId::new([1; 32]));
            now = now + stood;
            peers.redial(now, LinkId(1), |wait| wait);
            let due = peers.deadline().unwrap();
            assert_eq!(due.saturating_since(now).as_millis(), wait);
            now = due;
        }
    }

    #[test]
    fn the_origins_that_a_peer_is_asked_for_are_bounded() {
        let mut peer = Peer::new(Time::ZERO, ServerId::new([1; 32]), false, Profile::Public);
        for router in 0..10_000 {
            peer.note_pulled(Time::ZERO, RouterId(router));
            assert!(peer.pulled.len() <= MAX_PULLED && peer.is_pulling(Time::ZERO, RouterId(router)));
        }
        assert!(!peer.is_pulling(Time::ZERO + PULL_TIME, RouterId(9_999)));
    }
}
