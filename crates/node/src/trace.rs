//! By which hops a probe reaches the servers that want a channel, and how soon. Source: `docs/protocol.md`, 9.6, 10.1.

use crate::queue::OURSELVES;
use crate::router::Travelling;
use crate::spread::DONE_TIMEOUT;
use crate::{LinkId, Node, Output, TraceId};
use bytes::Bytes;
use darkchat_proto::limits::{MAX_DST, ROUTE_TTL};
use darkchat_proto::{ChannelId, Class, Code, Features, RouteHead, RouterId, ServerId, Tag, Time, Traced};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most traces of ours under way: an operator asks for one at a time.
pub(crate) const MAX_TRACES: usize = 4;
/// The most servers that one trace asks: one frame to each neighbour, and as many as its budget lets pass at once.
pub(crate) const MAX_ASKED: usize = MAX_DST;
/// The most hops that one trace keeps: those on the way to that many servers, and more would be made up.
pub(crate) const MAX_HOPS: usize = 1_024;

/// How a probe came to the servers that want a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Trace {
    /// The servers that answered, each after the one that the probe came from where that one answered too.
    pub hops: Vec<Hop>,
    /// The servers that want the channel and have not answered: no way leads there, or the probe or its answer was
    /// lost.
    pub missing: Vec<ServerId>,
    /// How many more servers want the channel than one trace asks.
    pub unasked: usize,
}

/// A server that a probe came to. What it says is not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop {
    /// Which.
    pub server: ServerId,
    /// The neighbour that the probe came to it from.
    pub from: ServerId,
    /// How many links the probe had crossed then.
    pub hops: u32,
    /// From the sending of the probe until the answer was here: the way there and the way back.
    pub delay: Duration,
    /// Whether it wants the channel; else it only passed the probe on.
    pub here: bool,
}

/// The traces of ours that are under way.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    pending: BTreeMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    trace: TraceId,
    sent: Time,
    /// The servers that were asked and have not answered.
    waiting: BTreeMap<RouterId, ServerId>,
    found: Trace,
}

impl Traces {
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// When the oldest trace has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.pending.values().map(|pending| pending.sent + DONE_TIMEOUT).min()
    }

    fn expire(&mut self, now: Time) -> impl Iterator<Item = Pending> {
        self.pending.extract_if(.., move |_, pending| pending.sent + DONE_TIMEOUT <= now).map(|(_, old)| old)
    }

    fn note(&mut self, corr: u64, hop: Hop) -> Option<Pending> {
        let pending = self.pending.get_mut(&corr)?;
        let router = hop.server.router();
        let here = hop.here && pending.waiting.remove(&router).is_some();
        let is_known = |old: &Hop| old.server == hop.server && old.from == hop.from;
        if pending.found.hops.len() < MAX_HOPS && !pending.found.hops.iter().any(is_known) {
            pending.found.hops.push(Hop { here, ..hop });
        }
        if pending.waiting.is_empty() { self.pending.remove(&corr) } else { None }
    }
}

impl Node {
    /// Sends a probe after a channel's posts.
    pub(crate) fn trace(&mut self, trace: TraceId, channel: ChannelId) {
        if self.traces.pending.len() >= MAX_TRACES {
            return self.cx.out.push_back(Output::Traced { trace, found: None });
        }
        let tag = Tag::of_channel(&self.config.network, &channel);
        let wanted: Vec<RouterId> = self.interest.servers(tag).collect();
        let mut found = Trace { unasked: wanted.len().saturating_sub(MAX_ASKED), ..Trace::default() };
        let mut waiting = BTreeMap::new();
        for router in wanted.into_iter().take(MAX_ASKED) {
            let Some(server) = self.server_of(router) else { continue };
            match self.map.next_hop(router, None) {
                Some(_) => drop(waiting.insert(router, server)),
                None => found.missing.push(server),
            }
        }
        let (dst, sent) = (waiting.keys().copied().collect(), self.cx.now);
        let pending = Pending { trace, sent, waiting, found };
        if pending.waiting.is_empty() {
            return self.traced(pending);
        }
        let mut head = self.new_head(Class::Trace, dst, false);
        head.corr = self.cx.rng.next_u64();
        self.traces.pending.insert(head.corr, pending);
        self.forward(Travelling { head, payload: Bytes::new(), source: OURSELVES, from: None });
    }

    /// A probe came from a neighbour, and is answered. Whether it goes on.
    pub(crate) fn probed(&mut self, link: LinkId, from: RouterId, head: &RouteHead, payload: &Bytes) -> bool {
        let refused = if payload.is_empty() { Code::RateLimited } else { Code::BadFrame };
        let has_budget = payload.is_empty() && self.peers.pace_probe(self.cx.now, link, head.dst.len());
        if !has_budget {
            self.cx.stats.objects_refused = self.cx.stats.objects_refused.saturating_add(1);
            self.cx.refused(link, refused);
            return false;
        }
        let router = self.identity.router();
        let (ttl, here) = (head.ttl.min(ROUTE_TTL), head.dst.contains(&router));
        let payload = Traced { router, from, ttl, here }.encode();
        let mut answer = self.new_head(Class::TraceRep, vec![head.origin], false);
        answer.corr = head.corr;
        self.forward(Travelling { head: answer, payload, source: link, from: None });
        true
    }

    /// A server answered a probe of ours.
    pub(crate) fn probe_answered(&mut self, head: &RouteHead, payload: Bytes) {
        let traced = Traced::decode(payload).ok().filter(|traced| traced.router == head.origin);
        let Some(Traced { router, from, ttl, here }) = traced else {
            self.cx.stats.objects_refused = self.cx.stats.objects_refused.saturating_add(1);
            return;
        };
        let Some(sent) = self.traces.pending.get(&head.corr).map(|pending| pending.sent) else { return };
        let (Some(server), Some(from)) = (self.server_of(router), self.server_of(from)) else { return };
        let hops = ROUTE_TTL.saturating_sub(ttl).saturating_add(1);
        let delay = self.cx.now.saturating_since(sent);
        if let Some(pending) = self.traces.note(head.corr, Hop { server, from, hops, delay, here }) {
            self.traced(pending);
        }
    }

    /// Ends the traces that have waited long enough.
    pub(crate) fn expire_traces(&mut self) {
        let ended: Vec<Pending> = self.traces.expire(self.cx.now).collect();
        for pending in ended {
            self.traced(pending);
        }
    }

    fn traced(&mut self, pending: Pending) {
        let Pending { trace, waiting, mut found, .. } = pending;
        found.missing.extend(waiting.into_values());
        found.missing.sort_unstable();
        found.hops = from_root(self.identity, found.hops);
        self.cx.out.push_back(Output::Traced { trace, found: Some(Box::new(found)) });
    }

    /// Whether probes and their answers may pass on this link: others would end it, because they do not know them.
    pub(crate) fn can_trace(&self, link: LinkId) -> bool {
        self.links.get(link).is_some_and(|link| link.about.features.contains(Features::TRACE))
    }
}

/// The hops as a tree is read: each before those behind it, and last what hangs on nothing.
fn from_root(root: ServerId, mut hops: Vec<Hop>) -> Vec<Hop> {
    hops.sort_by_key(|hop| std::cmp::Reverse((hop.hops, hop.server)));
    let mut ordered = Vec::with_capacity(hops.len());
    let mut next: Vec<Hop> = hops.extract_if(.., |hop| hop.from == root).collect();
    while let Some(hop) = next.pop() {
        next.extend(hops.extract_if(.., |other| other.from == hop.server));
        ordered.push(hop);
    }
    ordered.extend(hops.into_iter().rev());
    ordered
}
