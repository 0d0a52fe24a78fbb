//! What other servers ask for, and the dials that the operator wants. Source: `docs/protocol.md`, sections 9.5 and 11.3.

use crate::link::{Outcome, Verdict};
use crate::peers::{Aim, Pair, Peer};
use crate::queue::Item;
use crate::{DialId, DroppedFor, Event, LinkId, Node, Output, Received, RefusedFor, router};
use darkchat_proto::{Addr, Code, Done, Features, Frame, Kind, ServerAddr, ServerId, Welcome};

impl Node {
    pub(crate) fn welcome_server(&mut self, link: LinkId) {
        let observed_ip = self.links.get(link).map(|link| link.about.observed);
        self.send(link, &Frame::from(Kind::Welcome(Welcome { observed_ip, ..Welcome::default() })));
    }

    /// A link with a server is up on both ends.
    pub(crate) fn server_up(&mut self, link: LinkId) {
        let Some(pair) = self.peers.set_up(self.cx.now, link, &self.identity) else { return };
        let Some((server, outbound)) = self.peers.get(link).map(|peer| (peer.server, peer.outbound)) else {
            return;
        };
        let Some(addr) = self.links.get(link).map(|link| link.about.remote.clone()) else { return };
        if outbound && pair != Pair::Only && self.peers.is_pinned(link, &server) {
            self.cx.event(Event::AlreadyLinked { addr: addr.clone(), peer: server });
        }
        match pair {
            Pair::Yields => return self.close(link, Code::Conflict),
            Pair::Replaces(older) => self.hand_over(older, link),
            Pair::Only => {}
        }
        if let Some(target) = self.peers.get(link).and_then(|peer| peer.chosen) {
            self.book.linked(self.cx.now, &target);
        }
        self.cx.event(Event::PeerUp { link, peer: server, addr, outbound });
        self.begin_checks(link, server.router());
        if let Verdict::Close(code) = self.links.ping(&mut self.cx, link) {
            return self.close(link, code);
        }
        self.map.link_up(&server);
        self.map_changed();
        self.begin_sync(link);
        self.announce_soon();
        self.look_at_surplus();
        self.ask_due();
    }

    /// What the other side has not counted on the older link goes over the newer one; nothing of it is lost.
    fn hand_over(&mut self, older: LinkId, newer: LinkId) {
        for item in self.links.take_routes(&mut self.cx, older) {
            self.send_item(newer, item);
        }
        self.close(older, Code::Conflict);
    }

    /// A link with a server is gone, or told to go.
    pub(crate) fn server_down(&mut self, link: LinkId, why: Code) {
        let now = self.cx.now;
        let pinned_at = self.peers.pinned_at(link);
        self.peers.redial(now, link, |wait| self.cx.rng.spread(wait, 50));
        let removed = self.peers.remove(link);
        if let Some(addr) = pinned_at.filter(|_| !removed.as_ref().is_some_and(|(peer, _)| peer.was_up)) {
            self.cx.event(Event::DialFailed { addr, why });
        }
        let Some((peer, was_up)) = removed else { return };
        self.end_checks(link);
        self.reach.link_down(link);
        let finished = self.dones.link_down(link);
        if let Some(target) = peer.chosen {
            self.chosen_lost(&target, peer.was_up.then_some(peer.since), why);
        }
        if why == Code::Ok {
            self.leave_alone(&peer.server);
        }
        if was_up {
            self.map.link_down(peer.server.router());
            self.map_changed();
            self.announce_now();
        }
        for finished in finished {
            self.finished(finished);
        }
        if peer.was_up {
            self.cx.event(Event::PeerDown { link, peer: peer.server, why });
        }
    }

    /// A frame from a server.
    pub(crate) fn server_frame(&mut self, link: LinkId, received: Received) {
        if self.peers.awaits_welcome(link) {
            return self.before_welcome(link, received);
        }
        match received {
            Received::Record { record, signed } => self.record(link, record, &signed),
            Received::Shard { shard, signed } => self.shard(link, shard, &signed),
            Received::Route { head, payload, digest, check, channel } => {
                self.route(link, router::Received { head, payload, digest, check, channel });
                self.links.count(&mut self.cx, link);
            }
            Received::Refused { code, .. } => self.server_refused(link, code),
            Received::Other(frame) => self.server_says(link, frame),
            Received::Publish { .. }
            | Received::SealedPublish { .. }
            | Received::SetBundle { .. }
            | Received::Held { .. } => self.close(link, Code::BadFrame),
        }
    }

    /// The one that dialled says nothing before it is welcomed, and hears nothing else.
    fn before_welcome(&mut self, link: LinkId, received: Received) {
        match received {
            Received::Other(Frame { kind: Kind::Welcome(welcome), .. }) => {
                if let Some(ip) = welcome.observed_ip {
                    self.observed(ip);
                }
                self.server_up(link);
            }
            Received::Other(Frame { kind: Kind::Goodbye(goodbye), .. }) => {
                self.close_silently(link, goodbye.code);
            }
            _ => self.close(link, Code::BadFrame),
        }
    }

    /// A check or a meter of the link's task said no.
    fn server_refused(&mut self, link: LinkId, code: Code) {
        match code {
            Code::BadFrame | Code::TooLarge => self.close(link, code),
            Code::BadSignature => {
                self.cx.stats.objects_refused += 1;
                self.cx.refused(link, code);
                self.close(link, code);
            }
            // Only routes are metered: one that is over the budget was read, and so it counts.
            Code::RateLimited => {
                self.links.count(&mut self.cx, link);
                self.cx.stats.refuse(RefusedFor::Rate);
                self.cx.refused(link, code);
            }
            _ => {
                self.cx.stats.objects_refused += 1;
                self.cx.refused(link, code);
            }
        }
    }

    fn server_says(&mut self, link: LinkId, frame: Frame) {
        let Frame { req, re, critical, kind } = frame;
        match kind {
            Kind::Unknown(_) => {
                if req != 0 || critical {
                    self.reply_always(link, req, Code::Unsupported);
                }
            }
            Kind::Goodbye(goodbye) => self.close_silently(link, goodbye.code),
            Kind::Ping { nonce, acked: _ } => {
                self.send(link, &Frame::replying(req, Kind::Pong { nonce, acked: 0 }));
            }
            Kind::Digest { known, more: _ } => {
                self.digest(link, &known);
                self.reply(link, req, Kind::Ok(Done::default()));
            }
            Kind::Pull { want } => {
                self.pull(link, &want);
                self.reply(link, req, Kind::Ok(Done::default()));
            }
            Kind::RouteDone { origin, id } => {
                if let Some(finished) = self.dones.report(link, origin, id) {
                    self.finished(finished);
                }
                self.reply(link, req, Kind::Ok(Done::default()));
            }
            Kind::LinkAck { received } => {
                self.counted(link, received);
                self.reply(link, req, Kind::Ok(Done::default()));
            }
            Kind::Pong { nonce, acked: _ } => self.links.pong(self.cx.now, link, nonce),
            Kind::DialBack { addr, reachable } => self.dial_back(link, req, re, (addr, reachable)),
            Kind::Error(_) => self.not_tried(re),
            Kind::Ok(_) => {}
            Kind::Complaint { seconds } => {
                self.complaint(link, seconds);
                self.reply(link, req, Kind::Ok(Done::default()));
            }
            // A second welcome, what only clients or servers of clients say, and what comes with its proof elsewhere.
            _ => self.close(link, Code::BadFrame),
        }
    }

    /// A neighbour has counted so many of our routes on this link.
    pub(crate) fn counted(&mut self, link: LinkId, received: u64) {
        if let Verdict::Close(code) = self.links.counted(&mut self.cx, link, received) {
            self.close(link, code);
        }
    }

    /// Whether reports about frames may pass on this link.
    pub(crate) fn can_done(&self, link: LinkId) -> bool {
        self.links.get(link).is_some_and(|link| link.about.features.contains(Features::DONE))
    }

    /// Sends an item whose copies are owed already. A link that is to be closed for it is closed.
    pub(crate) fn send_item(&mut self, link: LinkId, item: Item) -> Outcome {
        let copies = item.owed.copies();
        let outcome = self.links.send_item(&mut self.cx, link, item);
        if let Outcome::Close(code) = outcome {
            self.cx.stats.give_up(copies, DroppedFor::SlowConsumer);
            self.close(link, code);
        }
        outcome
    }

    pub(crate) fn pin(&mut self, addr: ServerAddr) {
        let place = addr.addr.clone();
        if self.peers.pin(self.cx.now, addr) {
            if let Some(peer) = self.peers.linked(&place) {
                self.cx.event(Event::AlreadyLinked { addr: place, peer });
            }
            self.dial_due();
        } else {
            let why = match (self.draining, self.peers.is_closed()) {
                (true, _) => Code::Shutdown,
                (false, true) => Code::Conflict,
                (false, false) => Code::Limit,
            };
            self.cx.event(Event::DialFailed { addr: place, why });
        }
    }

    pub(crate) fn unpin(&mut self, addr: &Addr) {
        if let Some(link) = self.peers.unpin(addr) {
            self.close(link, Code::Ok);
        }
    }

    /// Whatever was named where this server is, is named no longer, and the links with it end.
    pub(crate) fn disconnect(&mut self, server: &ServerId) {
        let is_it = |(link, peer): (LinkId, &Peer)| (peer.server == *server).then_some(link);
        let links: Vec<LinkId> = self.peers.iter().filter_map(is_it).collect();
        for link in links {
            if let Some(addr) = self.peers.pinned_at(link) {
                self.peers.unpin(&addr);
            }
            self.close(link, Code::Ok);
        }
    }

    pub(crate) fn dial_failed(&mut self, dial: DialId, why: Code) {
        let now = self.cx.now;
        match self.peers.failed(now, dial, |wait| self.cx.rng.spread(wait, 50)) {
            aim @ Some(Aim::Pinned(_)) if why == Code::Conflict => self.dialled_ourselves(aim),
            Some(Aim::Pinned(addr)) => self.cx.event(Event::DialFailed { addr, why }),
            Some(Aim::Chosen(target)) => self.chosen_failed(&target, why),
            Some(Aim::Probe) | None => {}
        }
        self.dial_due();
    }

    pub(crate) fn dial_due(&mut self) {
        while let Some((dial, addr)) = self.peers.next_dial(self.cx.now) {
            self.cx.out.push_back(Output::Dial { dial, addr, pinned: true });
        }
    }
}
