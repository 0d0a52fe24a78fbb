//! Whether others can dial us: neighbours are asked to try, and we try for them. Source: `docs/protocol.md`, 9.5 and 10.4.

use crate::peers::Aim;
use crate::{Config, DialId, LinkId, Node, Output, scope};
use darkchat_proto::limits::MAX_ADDRS;
use darkchat_proto::{Code, Features, Frame, GossipAddr, Kind, ServerAddr, ServerId, Time};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// So many neighbours try each address; one that comes through is enough.
const ASKED: usize = 2;
/// For one neighbour we dial once in this time, whatever it asks: nobody has us dial often.
const PROBE_EVERY: Duration = Duration::from_secs(600);
/// A neighbour is asked again after this time: a little later than it will try again.
const ASK_EVERY: Duration = Duration::from_secs(630);
/// An address that was confirmed is looked at again after this time, spread by a tenth.
const CONFIRM_EVERY: Duration = Duration::from_secs(3_600);
/// The neighbours remembered for whom we dialled: far more than there are at once.
const MAX_PROBED: usize = 512;

/// An address where others may reach us.
#[derive(Debug)]
struct Candidate {
    addr: GossipAddr,
    /// The operator or a listener says so; else a neighbour saw us there.
    given: bool,
    confirmed: bool,
    /// Neighbours asked in this round, and those that did not come through.
    asked: usize,
    failed: usize,
    /// When the next round begins.
    again_at: Time,
}

/// What we know of our own addresses, and the dials that neighbours want.
#[derive(Debug)]
pub(crate) struct Reach {
    candidates: Vec<Candidate>,
    asks: BTreeMap<u32, (LinkId, GossipAddr)>,
    next_req: u32,
    asked: BTreeMap<ServerId, Time>,
    probes: BTreeMap<DialId, (LinkId, u32, GossipAddr)>,
    probed: BTreeMap<ServerId, Time>,
}

impl Reach {
    pub(crate) fn new(config: &Config) -> Self {
        let is_forced = config.dialable == Some(true);
        let usable = |addr: &&GossipAddr| is_forced || scope::permits(addr, config.lan);
        let given = config.addrs.iter().filter(usable).take(MAX_ADDRS);
        Self {
            candidates: given.map(|addr| Candidate::new(*addr, true)).collect(),
            asks: BTreeMap::new(),
            next_req: 0,
            asked: BTreeMap::new(),
            probes: BTreeMap::new(),
            probed: BTreeMap::new(),
        }
    }

    /// The addresses that stand in our record.
    pub(crate) fn addrs(&self, dialable: Option<bool>) -> Vec<GossipAddr> {
        let stands = |candidate: &&Candidate| dialable.unwrap_or(candidate.confirmed);
        self.candidates.iter().filter(stands).map(|candidate| candidate.addr).collect()
    }

    /// When a round begins anew.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let begun = self.candidates.iter().filter(|candidate| candidate.asked > 0);
        begun.map(|candidate| candidate.again_at).min()
    }

    /// A neighbour sees us there. Whether that is news.
    fn observe(&mut self, addr: GossipAddr) -> bool {
        if self.candidates.iter().any(|candidate| candidate.addr == addr) {
            return false;
        }
        if self.candidates.len() >= MAX_ADDRS {
            let oldest = self.candidates.iter().position(|known| !known.given && !known.confirmed);
            let Some(oldest) = oldest else { return false };
            self.candidates.remove(oldest);
        }
        self.candidates.push(Candidate::new(addr, false));
        true
    }

    /// The next address to ask about: the one asked about least.
    fn next_candidate(&mut self) -> Option<&mut Candidate> {
        let open = |candidate: &&mut Candidate| candidate.asked < ASKED;
        self.candidates.iter_mut().filter(open).min_by_key(|candidate| candidate.asked)
    }

    /// The link is gone, and what was asked on it with it.
    pub(crate) fn link_down(&mut self, link: LinkId) {
        self.asks.retain(|_, (on, _)| *on != link);
    }

    /// Whether a probe for this neighbour is due; notes that it is made.
    fn may_probe(&mut self, now: Time, server: ServerId) -> bool {
        self.probed.retain(|_, at| now.saturating_since(*at) < PROBE_EVERY);
        if self.probed.len() >= MAX_PROBED || self.probed.contains_key(&server) {
            return false;
        }
        self.probed.insert(server, now);
        true
    }
}

impl Candidate {
    const fn new(addr: GossipAddr, given: bool) -> Self {
        Self { addr, given, confirmed: false, asked: 0, failed: 0, again_at: Time::ZERO }
    }
}

impl Node {
    /// The welcome on a link that we dialled says where we are seen.
    pub(crate) fn observed(&mut self, ip: IpAddr) {
        let lan = self.config.lan;
        for (carrier, port) in self.config.ports.iter().copied() {
            let addr = GossipAddr { ip: ip.to_canonical(), port, carrier };
            if scope::permits(&addr, lan) && self.reach.observe(addr) && self.config.dialable == Some(true) {
                self.announce.due_at(self.cx.now);
            }
        }
    }

    /// Asks neighbours to dial us, as far as that is due.
    pub(crate) fn ask_due(&mut self) {
        let now = self.cx.now;
        for candidate in &mut self.reach.candidates {
            if candidate.asked > 0 && candidate.again_at <= now {
                (candidate.asked, candidate.failed) = (0, 0);
            }
        }
        self.reach.asked.retain(|_, at| now.saturating_since(*at) < ASK_EVERY);
        if self.config.dialable.is_some() || self.draining || self.peers.is_closed() {
            return;
        }
        while let Some((link, server)) = self.somebody_to_ask() {
            let confirm = self.cx.rng.spread(CONFIRM_EVERY, 10);
            let Some(candidate) = self.reach.next_candidate() else { return };
            if candidate.asked == 0 {
                candidate.again_at = now + if candidate.confirmed { confirm } else { ASK_EVERY };
            }
            candidate.asked = candidate.asked.saturating_add(1);
            let addr = candidate.addr;
            self.reach.asked.insert(server, now);
            self.reach.next_req = self.reach.next_req.checked_add(1).unwrap_or(1);
            let req = self.reach.next_req;
            self.reach.asks.insert(req, (link, addr));
            let ask = Kind::DialBack { addr: Some(addr), reachable: false };
            self.send(link, &Frame::asking(req, ask));
        }
    }

    /// A random neighbour that can try and was not asked lately.
    fn somebody_to_ask(&mut self) -> Option<(LinkId, ServerId)> {
        self.reach.next_candidate()?;
        let can = |link: LinkId| {
            self.links.get(link).is_some_and(|link| link.about.features.contains(Features::DIALBACK))
        };
        let fresh: Vec<(LinkId, ServerId)> = self
            .peers
            .up()
            .filter_map(|(_, link)| Some((link, self.peers.get(link)?.server)))
            .filter(|(link, server)| can(*link) && !self.reach.asked.contains_key(server))
            .collect();
        fresh.get(self.cx.rng.below(fresh.len())).copied()
    }

    /// A neighbour wants to be dialled, or says how it went.
    pub(crate) fn dial_back(&mut self, link: LinkId, req: u32, re: u32, said: (Option<GossipAddr>, bool)) {
        let (addr, reachable) = said;
        if re != 0 {
            self.tried(link, re, reachable);
        } else if req != 0 {
            match self.probe(link, req, addr) {
                Ok(()) => {}
                Err(code) => self.refuse(link, req, code, 0),
            }
        }
    }

    /// Dials the asker where it is seen from, and nowhere else: nobody can point us at another.
    fn probe(&mut self, link: LinkId, req: u32, addr: Option<GossipAddr>) -> Result<(), Code> {
        let about = self.links.get(link).map(|link| &link.about).ok_or(Code::Unsupported)?;
        if !about.features.contains(Features::DIALBACK) {
            return Err(Code::Unsupported);
        }
        let observed = about.observed.to_canonical();
        let is_own = |addr: &GossipAddr| addr.ip.to_canonical() == observed;
        let addr = addr.filter(is_own).filter(|addr| scope::permits(addr, self.config.lan));
        let addr = addr.ok_or(Code::Unauthorized)?;
        let server = self.peers.get(link).ok_or(Code::Unsupported)?.server;
        if !self.reach.may_probe(self.cx.now, server) {
            return Err(Code::RateLimited);
        }
        let dial = self.peers.begin_dial(Aim::Probe).ok_or(Code::RateLimited)?;
        self.reach.probes.insert(dial, (link, req, addr));
        let addr = ServerAddr { addr: addr.to_addr(), key: Some(server) };
        self.cx.out.push_back(Output::Probe { dial, addr });
        Ok(())
    }

    /// A probe is over.
    pub(crate) fn probe_over(&mut self, dial: DialId, reachable: bool) {
        self.peers.failed(self.cx.now, dial, |wait| wait);
        let Some((link, req, addr)) = self.reach.probes.remove(&dial) else { return };
        if self.peers.router_of(link).is_some() {
            self.send(link, &Frame::replying(req, Kind::DialBack { addr: Some(addr), reachable }));
        }
        self.dial_due();
    }

    /// A neighbour has tried to dial us.
    fn tried(&mut self, link: LinkId, re: u32, reachable: bool) {
        let Some((on, addr)) = self.reach.asks.get(&re).copied() else { return };
        if on != link {
            return;
        }
        self.reach.asks.remove(&re);
        let (now, confirm) = (self.cx.now, self.cx.rng.spread(CONFIRM_EVERY, 10));
        let Some(candidate) = self.reach.candidates.iter_mut().find(|known| known.addr == addr) else {
            return;
        };
        let before = candidate.confirmed;
        if reachable {
            candidate.confirmed = true;
        } else {
            candidate.failed = candidate.failed.saturating_add(1);
            candidate.confirmed &= candidate.failed < ASKED;
        }
        if candidate.confirmed != before {
            candidate.again_at = now + if reachable { confirm } else { ASK_EVERY };
            self.announce_now();
        }
    }

    /// A neighbour will not try.
    pub(crate) fn not_tried(&mut self, re: u32) {
        self.reach.asks.remove(&re);
    }
}
