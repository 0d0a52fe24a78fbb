//! Frames whose way is gone: sent again by another one, or kept for a while until there is one. Source: section 9.6.

use crate::limbo::Waiting;
use crate::queue::{Item, Owed};
use crate::router::{Travelling, item_of};
use crate::{DroppedFor, Node};
use bytes::BytesMut;
use darkchat_proto::limits::MAX_DST;
use darkchat_proto::{Class, Frame, FrameStream, Kind, Route, RouteHead, RouterId};

impl Node {
    /// A link is over, and these routes were not counted by the other side.
    ///
    /// They go again once our neighbours know that the link is gone, so that none of them sends a frame back to us.
    pub(crate) fn strand(&mut self, routes: Vec<Item>) {
        if self.draining {
            let copies = routes.iter().map(|item| item.owed.copies()).sum();
            return self.cx.stats.give_up(copies, DroppedFor::Shutdown);
        }
        for item in self.limbo.strand(routes) {
            self.cx.note_cut(&item);
            self.cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);
        }
    }

    /// Sends what lost links left behind: our record of the loss is on its way, ahead of it.
    pub(crate) fn send_stranded(&mut self) {
        for item in self.limbo.take_stranded() {
            self.send_again(&item);
        }
    }

    /// Sends a frame by the way that there is now. What it is owed for is owed anew.
    fn send_again(&mut self, item: &Item) {
        let Some(Route { mut head, payload }) = route_of(item) else {
            return self.cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);
        };
        self.cx.stats.take_back(item.owed.copies());
        // Whoever asked for a report is told that the first way failed, and asks again.
        head.want_done = false;
        let from = self.peers.router_of(item.source);
        self.forward_now(Travelling { head, payload, source: item.source, from });
    }

    /// Where our links are no longer what our record says of them, a message may meet itself: it waits for the next record
    /// with what the lost links left behind, for the destinations of which that is true. Each waits here once, and while the
    /// map is to be looked at, which ends the waiting in any case. For how many destinations it waits.
    pub(crate) fn await_record(&mut self, travelling: &mut Travelling) -> u32 {
        let is_message = matches!(travelling.head.class, Class::Channel | Class::Dm);
        if !is_message || !self.sync.is_to_look() || self.draining {
            return 0;
        }
        let farther = self.map.take_farther(&mut travelling.head.dst);
        let mut waiting = 0_u32;
        for dst in farther.chunks(MAX_DST) {
            let servers = u32::try_from(dst.len()).unwrap_or(u32::MAX);
            let head = RouteHead { dst: dst.to_vec(), ..travelling.head.clone() };
            let route = Route { head, payload: travelling.payload.clone() };
            let item = item_of(travelling.source, Owed::Servers(servers), route);
            if self.limbo.strand(vec![item]).is_empty() {
                self.cx.stats.owe(servers.into());
                waiting = waiting.saturating_add(servers);
            } else {
                travelling.head.dst.extend(dst);
            }
        }
        waiting
    }

    /// A destination has no route: its frame waits if the destination was there until just now.
    pub(crate) fn without_way(&mut self, to: RouterId, travelling: &Travelling) {
        let class = travelling.head.class;
        self.undeliverable(&travelling.head);
        if !matches!(class, Class::Channel | Class::Dm) {
            return;
        }
        let now = self.cx.now;
        let is_just_lost = self.sync.was_reachable(to) || self.limbo.is_just_lost(now, to);
        if class != Class::Channel || !is_just_lost || self.draining {
            return self.cx.stats.drop_new(1, DroppedFor::NoRoute);
        }
        self.cx.stats.owe(1);
        let gone = self.limbo.wait(now, to, travelling.clone());
        self.give_up(&gone);
    }

    fn give_up(&mut self, gone: &[Waiting]) {
        let copies = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        self.cx.stats.give_up(copies, DroppedFor::LimboExpired);
    }

    /// The map changed: what has a way now goes it.
    pub(crate) fn try_again(&mut self) {
        self.send_stranded();
        let mut here = self.limbo.destinations();
        here.retain(|to| self.map.next_hop(*to, None).is_some());
        for frame in self.limbo.take(&here) {
            self.cx.stats.take_back(u64::try_from(frame.head.dst.len()).unwrap_or(u64::MAX));
            self.forward(frame);
        }
    }

    /// Gives up what has waited for a way too long.
    pub(crate) fn expire_limbo(&mut self) {
        let gone = self.limbo.expire(self.cx.now);
        self.give_up(&gone);
    }
}

/// The route that an item is: it was encoded by us.
pub(crate) fn route_of(item: &Item) -> Option<Route> {
    let mut bytes = BytesMut::with_capacity(item.len());
    bytes.extend_from_slice(&item.head);
    bytes.extend_from_slice(&item.body);
    let mut stream = FrameStream::default();
    stream.push(bytes.freeze());
    match Frame::decode(stream.next_frame().ok()??) {
        Ok(Frame { kind: Kind::Route(route), .. }) => Some(route),
        _ => None,
    }
}
