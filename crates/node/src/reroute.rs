//! Frames whose way is gone or has got longer: sent by another one, now, behind our record, or when there is one. Source:
//! section 9.6.

use crate::limbo::Waiting;
use crate::queue::Item;
use crate::router::Travelling;
use crate::{DroppedFor, Node};
use darkchat_proto::{Class, Route, RouterId};

impl Node {
    /// A link is over, and these routes were not counted by the other side.
    ///
    /// They go again once our neighbours know that the link is gone, so that none of them sends a frame back to us.
    pub(crate) fn strand(&mut self, routes: Vec<Item>) {
        if self.draining {
            let copies = routes.iter().map(|item| item.owed.copies()).sum();
            return self.cx.stats.give_up(copies, DroppedFor::Shutdown);
        }
        for item in self.behind.keep(self.cx.now, routes) {
            self.cx.note_cut(&item);
            self.cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);
        }
    }

    /// Sends what waits behind our record as far as it need not wait any longer: what lost links kept when every loss is
    /// told, a message when its destinations are as near as others take them to be, and all when the time is over.
    pub(crate) fn look_behind(&mut self) {
        let (now, generation) = (self.cx.now, self.map.generation());
        if !self.behind.is_to_look(now, generation) {
            return;
        }
        let is_over = self.behind.is_over(now);
        self.behind.look(generation, is_over);
        if is_over || self.map.is_told() {
            for item in self.behind.take_kept() {
                self.send_again(&item);
            }
        }
        for mut travelling in self.behind.take_waiting() {
            let dst = &mut travelling.head.dst;
            let farther = if is_over { Vec::new() } else { self.map.take_farther(dst) };
            let copies = u64::try_from(dst.len()).unwrap_or(u64::MAX);
            if !farther.is_empty() {
                self.behind.wait_on(travelling.to(farther));
            }
            if copies > 0 {
                self.cx.stats.take_back(copies);
                self.forward_now(travelling);
            }
        }
        self.behind.rest();
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

    /// Where links are lost of which no record tells yet, a message may meet itself: it waits for a record that does, for
    /// the destinations which are farther by that. Each waits here once. For how many destinations it does.
    pub(crate) fn await_record(&mut self, travelling: &mut Travelling) -> u32 {
        let is_message = matches!(travelling.head.class, Class::Channel | Class::Dm);
        if !is_message || self.map.is_told() || self.draining {
            return 0;
        }
        let is_in_vain = self.behind.is_in_vain(self.map.generation());
        let farther = if is_in_vain { Vec::new() } else { self.map.take_farther(&mut travelling.head.dst) };
        if farther.is_empty() {
            return 0;
        }
        let servers = u32::try_from(farther.len()).unwrap_or(u32::MAX);
        if let Some(over) = self.behind.wait(self.cx.now, travelling.to(farther)) {
            travelling.head.dst.extend(over.head.dst);
            return 0;
        }
        self.cx.stats.owe(servers.into());
        servers
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
    Route::of_split(&item.head, item.body.clone())
}
