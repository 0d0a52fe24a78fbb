//! Where a message goes next: the one place that fans out. Source: `docs/protocol.md`, sections 5.2, 9.6 and 13.2.

use crate::link::Outcome;
use crate::queue::{Counted, Item, Owed};
use crate::seen::Seen;
use crate::spread::Hops;
use crate::{Check, DroppedFor, LinkId, Node, RefusedFor, SendClass};
use bytes::Bytes;
use darkchat_proto::limits::{MAX_DST, ROUTE_TTL};
use darkchat_proto::{
    ChannelId, Class, Code, Digest16, Done, Frame, Kind, Post, Route, RouteHead, RouterId, Tag,
};
use std::collections::BTreeSet;

/// How far a post's clock may be from ours, in milliseconds, either way.
const TIME_WINDOW_MS: u64 = 300_000;

/// What the router remembers.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// The posts that reached the members here.
    pub(crate) seen: Seen,
}

/// A post on its way in from a client.
pub(crate) struct Incoming<'a> {
    pub(crate) req: u32,
    pub(crate) channel: ChannelId,
    /// The proven author and the clock of a public post; a sealed one shows neither.
    pub(crate) post: Option<&'a Post>,
    pub(crate) deliver: Bytes,
    pub(crate) digest: Digest16,
}

/// A route that arrived, or begins here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Travelling {
    pub(crate) head: RouteHead,
    pub(crate) payload: Bytes,
    /// The link that it came on, or the client that it began with.
    pub(crate) source: LinkId,
    /// The neighbour that it came from.
    pub(crate) from: Option<RouterId>,
}

impl Travelling {
    /// The same for these destinations, of which nobody gets a report any more.
    pub(crate) fn to(&self, dst: Vec<RouterId>) -> Self {
        let head = RouteHead { dst, want_done: false, ..self.head };
        Self { head, payload: self.payload.clone(), ..*self }
    }
}

impl Node {
    /// A client publishes: judges the post, fans it out, and answers.
    pub(crate) fn publish(&mut self, link: LinkId, incoming: Incoming<'_>) {
        let Incoming { req, channel, post, deliver, digest } = incoming;
        if let Err(code) = self.judge(link, channel, post, &digest) {
            self.cx.stats.refuse(RefusedFor::of(code));
            self.refuse(link, req, code, 0);
            if code == Code::Unauthorized {
                self.close(link, code);
            }
            return;
        }
        self.cx.stats.accept();
        if let Some(session) = self.sessions.get_mut(link) {
            session.recent.insert(digest);
        }
        let local = self.fan_out(link, &channel, deliver.clone(), digest).unwrap_or_default();
        let servers = match self.channels.tag(&channel) {
            Some(tag) => self.route_channel(link, tag, deliver),
            None => 0,
        };
        self.reply(link, req, Kind::Ok(Done { local, servers, spread: false }));
    }

    /// The checks of 6.2 that are the node's, in their order.
    fn judge(
        &self,
        link: LinkId,
        channel: ChannelId,
        post: Option<&Post>,
        digest: &Digest16,
    ) -> Result<(), Code> {
        let session = self.sessions.get(link).ok_or(Code::Internal)?;
        if post.is_some_and(|post| post.author != session.user) {
            return Err(Code::Unauthorized);
        }
        if !session.channels.contains(&channel) {
            return Err(Code::NotJoined);
        }
        if let Some(post) = post {
            let now_ms = self.cx.wall_ms().ok_or(Code::Stale)?;
            if now_ms.abs_diff(post.time_ms) > TIME_WINDOW_MS {
                return Err(Code::Stale);
            }
        }
        if session.recent.contains(digest) { Err(Code::Duplicate) } else { Ok(()) }
    }

    /// Sends a post to the members here but its publisher: for how many it is on its way. `Err`: to nobody, and why.
    fn fan_out(
        &mut self,
        source: LinkId,
        channel: &ChannelId,
        deliver: Bytes,
        digest: Digest16,
    ) -> Result<u32, DroppedFor> {
        let (targets, channel) = self.channels.targets(channel, Some(source)).ok_or(DroppedFor::NoMember)?;
        if !self.router.seen.insert(self.cx.now, digest) {
            self.cx.stats.drop_new(1, DroppedFor::Duplicate);
            return Ok(0);
        }
        if targets.ids.is_empty() {
            return Ok(0);
        }
        let (head, body) = Frame::from(Kind::Deliver(deliver)).encode_split();
        let class = SendClass::Channel;
        let (owed, channel, counted) = (Owed::Session, Some(channel), Counted::Yes);
        let item = Item { head, body, class, source, owed, channel, destinations: 0, counted, weight: None };
        self.cx.stats.owe(u64::try_from(targets.ids.len()).unwrap_or(u64::MAX));
        Ok(self.links.fan_out(&mut self.cx, &targets, item))
    }

    /// Sends a client's post to the servers that want it: to how many it is on its way.
    fn route_channel(&mut self, source: LinkId, tag: Tag, payload: Bytes) -> u32 {
        let dst: Vec<RouterId> = self.interest.servers(tag).collect();
        if dst.is_empty() {
            return 0;
        }
        let head = self.new_head(Class::Channel, dst, false);
        let hops = self.forward(Travelling { head, payload, source, from: None });
        hops.servers()
    }

    /// The routing fields of a frame that begins here.
    pub(crate) fn new_head(&mut self, class: Class, dst: Vec<RouterId>, want_done: bool) -> RouteHead {
        let id = self.cx.rng.next_u64();
        RouteHead { origin: self.identity.router(), id, ttl: ROUTE_TTL, dst, class, want_done, corr: 0 }
    }

    /// A route came from a peer: hands up what is for us, and passes on the rest.
    pub(crate) fn route(&mut self, link: LinkId, received: Received) {
        let Received { mut head, payload, digest, check, channel } = received;
        let Some(from) = self.peers.router_of(link) else { return };
        let is_message = matches!(head.class, Class::Channel | Class::Dm);
        if !self.peers.pace_destinations(self.cx.now, link, head.dst.len()) {
            if is_message {
                self.cx.stats.refuse(RefusedFor::Rate);
            }
            return self.cx.refused(link, Code::RateLimited);
        }
        if is_message {
            self.cx.stats.accept();
        }
        if head.class == Class::Trace && !self.probed(link, from, &head, &payload) {
            return;
        }
        let mut dst: BTreeSet<RouterId> = head.dst.drain(..).collect();
        let ours = dst.remove(&self.identity.router());
        // Who has it needs no copy, and whoever asks for one wants something else.
        if dst.remove(&from) && is_message {
            self.cx.stats.drop_new(1, DroppedFor::NoRoute);
        }
        if check == Check::Bad {
            let copies = dst.len().saturating_add(usize::from(ours));
            self.cx.stats.drop_new(u64::try_from(copies).unwrap_or(u64::MAX), DroppedFor::BadSignature);
            return self.forged(link);
        }
        if ours {
            self.hand_up(link, &head, channel, payload.clone(), digest);
        }
        let (origin, id, wants) = (head.origin, head.id, head.want_done);
        head.ttl = head.ttl.min(ROUTE_TTL).saturating_sub(1);
        head.dst = dst.into_iter().collect();
        let is_refused = ours && head.class == Class::Shard && self.peers.refused_shard(link);
        let mut hops = Hops::default();
        if head.ttl > 0 || head.dst.is_empty() {
            hops = self.forward(Travelling { head, payload, source: link, from: Some(from) });
        } else {
            let copies = u64::try_from(head.dst.len()).unwrap_or(u64::MAX);
            if is_message {
                self.cx.stats.drop_new(copies, DroppedFor::Ttl);
            }
            self.undeliverable(&head);
            hops.lose();
        }
        if is_refused {
            hops.lose();
        }
        if wants && self.can_done(link) {
            self.passed_on(link, origin, id, hops);
        }
    }

    /// Our own part of a route.
    fn hand_up(
        &mut self,
        link: LinkId,
        head: &RouteHead,
        channel: Option<ChannelId>,
        payload: Bytes,
        digest: Digest16,
    ) {
        match (head.class, channel) {
            (Class::Channel, Some(channel)) => {
                if let Err(why) = self.fan_out(link, &channel, payload, digest) {
                    self.cx.stats.drop_new(1, why);
                }
            }
            (Class::Channel, None) => self.cx.stats.drop_new(1, DroppedFor::Malformed),
            (Class::Dm, _) => self.hand_direct(link, head, payload, digest),
            (Class::DmStatus, _) => self.status_came(head.corr, payload),
            (Class::LookupReq, _) => self.asked_where(link, head, payload),
            (Class::LookupRep, _) => self.told_where(head.corr, payload),
            (Class::TraceRep, _) => self.probe_answered(head, payload),
            _ => {}
        }
    }

    /// Sends a route on, or lets it wait until others know by which way it can go.
    pub(crate) fn forward(&mut self, mut travelling: Travelling) -> Hops {
        let waiting = self.await_record(&mut travelling);
        let mut hops = self.forward_now(travelling);
        hops.wait(waiting);
        hops
    }

    /// Sends a route on, grouped by next hop, with the payload as it came.
    pub(crate) fn forward_now(&mut self, travelling: Travelling) -> Hops {
        let Travelling { mut head, payload, source, from } = travelling;
        let counts = matches!(head.class, Class::Channel | Class::Dm);
        let mut hops = Hops::default();
        let (groups, lost) = self.map.next_hops(&std::mem::take(&mut head.dst), from);
        for to in lost {
            hops.lose();
            self.without_way(to, &Travelling { head: head.clone(), payload: payload.clone(), source, from });
        }
        for (next, dst) in groups {
            for dst in dst.chunks(MAX_DST) {
                let servers = u32::try_from(dst.len()).unwrap_or(u32::MAX);
                let owed = if counts { Owed::Servers(servers) } else { Owed::Nothing };
                // A link may have gone since the way was looked up: for want of room, in this very loop.
                let Some(link) = self.peers.link_of(next) else {
                    hops.lose();
                    self.cx.stats.drop_new(owed.copies(), DroppedFor::NoRoute);
                    self.undeliverable(&head);
                    continue;
                };
                let unsent = RouteHead { dst: Vec::new(), ..head };
                let head = RouteHead { dst: dst.to_vec(), ..head.clone() };
                match self.send_route(link, source, owed, Route { head, payload: payload.clone() }) {
                    Outcome::Taken => hops.add(link, servers),
                    // Who sent it is told of the want of room, if at all.
                    Outcome::Cut if unsent.class == Class::Dm => hops.lose(),
                    Outcome::Cut | Outcome::Dropped | Outcome::Close(_) => {
                        hops.lose();
                        self.undeliverable(&unsent);
                    }
                }
            }
        }
        hops
    }

    /// Gives the whole of something that begins here to one neighbour, which passes it on by the ways that it knows.
    pub(crate) fn forward_through(&mut self, link: LinkId, travelling: Travelling) -> Hops {
        let Travelling { mut head, payload, source, .. } = travelling;
        let mut hops = Hops::default();
        for dst in std::mem::take(&mut head.dst).chunks(MAX_DST) {
            let servers = u32::try_from(dst.len()).unwrap_or(u32::MAX);
            let route =
                Route { head: RouteHead { dst: dst.to_vec(), ..head.clone() }, payload: payload.clone() };
            match self.send_route(link, source, Owed::Nothing, route) {
                Outcome::Taken => hops.add(link, servers),
                Outcome::Cut | Outcome::Dropped | Outcome::Close(_) => hops.lose(),
            }
        }
        hops
    }

    /// Sends an answer back by the neighbour that brought what it answers, for that way carries; else by the map.
    pub(crate) fn answer_by(&mut self, via: Option<LinkId>, answer: Travelling) {
        let Some(link) = via.filter(|link| self.peers.router_of(*link).is_some()) else {
            self.forward(answer);
            return;
        };
        let Travelling { head, payload, source, .. } = answer;
        self.send_route(link, source, Owed::Nothing, Route { head, payload });
    }

    /// Sends a route to a neighbour, if that understands it.
    fn send_route(&mut self, link: LinkId, source: LinkId, owed: Owed, route: Route) -> Outcome {
        if matches!(route.head.class, Class::Trace | Class::TraceRep) && !self.can_trace(link) {
            return Outcome::Dropped;
        }
        self.cx.stats.owe(owed.copies());
        self.send_item(link, item_of(source, owed, route))
    }
}

/// A route as it waits for a link.
fn item_of(source: LinkId, owed: Owed, route: Route) -> Item {
    let class = match route.head.class {
        Class::Channel | Class::Trace | Class::TraceRep => SendClass::Channel,
        // Shards as well: in transit nobody has verified them, and our own are told again if they are lost.
        _ => SendClass::Direct,
    };
    // One that names nobody takes its place among the routes all the same.
    let destinations = u16::try_from(route.head.dst.len()).unwrap_or(u16::MAX).max(1);
    let (head, body) = Frame::from(Kind::Route(route)).encode_split();
    Item { class, source, owed, destinations, ..Item::control(head, body) }
}

/// A `Route` as it came, with what the link's task found.
pub(crate) struct Received {
    pub(crate) head: RouteHead,
    pub(crate) payload: Bytes,
    pub(crate) digest: Digest16,
    pub(crate) check: Check,
    pub(crate) channel: Option<ChannelId>,
}
