//! Sending: one output for many links, queues behind windows, and what happens when one is full.

use super::{Link, LinkKind, Links, QUEUE_AGE, QUEUE_CLIENT_FRAMES, Sent, Slot, Verdict};
use crate::context::Context;
use crate::hop::{Hop, Miscounted};
use crate::queue::{Counted, Item, Owed};
use crate::resume::Kept;
use crate::session::MAX_CHANNELS;
use crate::{DroppedFor, Event, LinkId, Output, SendClass};
use darkchat_proto::{Code, Frame, Kind, Notice, Time};
use std::sync::Arc;

/// Who gets a post: the ids as an output names them, and where the links stand.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    pub(crate) ids: Arc<[LinkId]>,
    pub(crate) slots: Arc<[Slot]>,
}

/// What became of a frame that was sent to one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is on its way.
    Taken,
    /// It was dropped, and counted.
    Dropped,
    /// It must not be dropped and has no room: the link is to be closed for this. Its copies are still owed.
    Close(Code),
}

/// The same inside: whether it is to be put out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// It goes out now, by an output that names the link.
    Now,
    /// It waits.
    Waits,
    /// It was dropped, and counted.
    Dropped,
    /// It must not be dropped and has no room.
    Full,
}

impl Links {
    /// Sends a frame that is not a message to one link.
    #[must_use]
    pub(crate) fn send(&mut self, cx: &mut Context, id: LinkId, frame: &Frame) -> Verdict {
        let (head, body) = frame.encode_split();
        let counted = if frame.kind.counts_from_server() { Counted::Yes } else { Counted::No };
        match self.send_item(cx, id, Item { counted, ..Item::control(head, body) }) {
            Outcome::Close(code) => Verdict::Close(code),
            Outcome::Taken | Outcome::Dropped => Verdict::Fine,
        }
    }

    /// Sends to one link. Copies that it is must be owed already.
    #[must_use]
    pub(crate) fn send_item(&mut self, cx: &mut Context, id: LinkId, item: Item) -> Outcome {
        let copies = item.owed.copies();
        let Some(slot) = self.slot(id) else {
            cx.stats.give_up(copies, DroppedFor::LinkDown);
            return Outcome::Dropped;
        };
        let outcome = match self.offer(cx, slot, &item, &mut None) {
            Offer::Now => {
                if let Some((_, link)) = self.at(slot) {
                    let links = link.solo.clone();
                    let Item { head, body, class, .. } = item;
                    cx.out.push_back(Output::Send { links, head, body, class });
                }
                Outcome::Taken
            }
            Offer::Waits => Outcome::Taken,
            Offer::Dropped => Outcome::Dropped,
            Offer::Full => Outcome::Close(Code::SlowConsumer),
        };
        self.keep_within_memory(cx);
        outcome
    }

    /// Sends a channel frame to many links as one output; for how many it is on its way.
    ///
    /// Copies are owed by the caller, one a link. No allocation unless somebody has to wait.
    pub(crate) fn fan_out(&mut self, cx: &mut Context, targets: &Targets, item: Item) -> u32 {
        let mut taken: u32 = 0;
        let mut some: Option<Vec<LinkId>> = None;
        let mut kept: Kept = None;
        for (index, (id, slot)) in targets.ids.iter().zip(targets.slots.iter()).enumerate() {
            let offer = self.offer(cx, *slot, &item, &mut kept);
            match (offer, &mut some) {
                (Offer::Now, Some(some)) => some.push(*id),
                (Offer::Now, None) | (_, Some(_)) => {}
                (_, None) => some = Some(targets.ids.iter().take(index).copied().collect()),
            }
            taken = taken.saturating_add(u32::from(matches!(offer, Offer::Now | Offer::Waits)));
        }
        let links = some.map_or_else(|| targets.ids.clone(), Arc::from);
        if !links.is_empty() {
            let Item { head, body, class, .. } = item;
            cx.out.push_back(Output::Send { links, head, body, class });
        }
        self.keep_within_memory(cx);
        taken
    }

    fn offer(&mut self, cx: &mut Context, slot: Slot, item: &Item, kept: &mut Kept) -> Offer {
        let now = cx.now;
        let Some((id, link)) = self.slots.get_mut(slot.0).and_then(Option::as_mut) else {
            cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);
            return Offer::Dropped;
        };
        if !link.is_up() && !link.is_away() {
            cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);
            return Offer::Dropped;
        }
        let len = item.len();
        if link.takes_now(now, item) {
            let before = link.ring.bytes();
            put_out(now, link, item, kept);
            let after = link.ring.bytes();
            self.held = self.held.saturating_add(len).saturating_sub(before).saturating_add(after);
            if link.wake > now + QUEUE_AGE {
                self.arm(slot);
            }
            return Offer::Now;
        }
        let before = link.held();
        if !link.fits(len) && !make_room(cx, *id, link, item) {
            self.held = self.held.saturating_sub(before).saturating_add(link.held());
            if item.class != SendClass::Channel {
                return Offer::Full;
            }
            drop_item(cx, *id, link, item, DroppedFor::QueueFull);
            return Offer::Dropped;
        }
        link.last_sent = now;
        link.queue.push(now, item.clone());
        self.held = self.held.saturating_sub(before).saturating_add(link.held());
        if link.wake > now + QUEUE_AGE {
            self.arm(slot);
        }
        Offer::Waits
    }

    /// Bytes left for the network: counts what is done with them, and lets the next go.
    #[must_use]
    pub(crate) fn flushed(&mut self, cx: &mut Context, id: LinkId, bytes: usize) -> Verdict {
        let Some(slot) = self.slot(id) else { return Verdict::Fine };
        let Some((_, link)) = self.at(slot) else { return Verdict::Fine };
        let before = link.weight();
        count_flushed(cx, link, bytes);
        let is_peer = link.kind == LinkKind::Peer;
        let verdict = self.go_on(cx, id, slot, before);
        if is_peer {
            self.arm(slot);
        }
        verdict
    }

    /// Lets go out what has room now.
    fn go_on(&mut self, cx: &mut Context, id: LinkId, slot: Slot, before: usize) -> Verdict {
        let Some((_, link)) = self.at(slot) else { return Verdict::Fine };
        let_go(cx, link);
        let (after, finish) = (link.weight(), link.about.finish.filter(|_| link.is_done()));
        self.held = self.held.saturating_sub(before).saturating_add(after);
        match finish {
            Some((code, _)) => Verdict::Close(code),
            None => self.tell_dropped(cx, id, slot),
        }
    }

    pub(super) fn hop_mut(&mut self, id: LinkId) -> Option<&mut Hop> {
        self.get_mut(id)?.about.hop.as_deref_mut()
    }

    /// A neighbour has counted so many of our routes.
    #[must_use]
    pub(crate) fn counted(&mut self, cx: &mut Context, id: LinkId, received: u64) -> Verdict {
        let Some(slot) = self.slot(id) else { return Verdict::Fine };
        let Some((_, link)) = self.at(slot) else { return Verdict::Fine };
        let before = link.weight();
        let Some(hop) = &mut link.about.hop else { return Verdict::Fine };
        match hop.count(cx.now, received) {
            Ok(items) => items.iter().for_each(|item| cx.stats.done(item.owed)),
            Err(Miscounted) => return Verdict::Close(Code::BadFrame),
        }
        self.go_on(cx, id, slot, before)
    }

    /// A route of a neighbour was dealt with: counts it, and tells the count if many were counted.
    pub(crate) fn count(&mut self, cx: &mut Context, id: LinkId) {
        let Some(hop) = self.hop_mut(id) else { return };
        if let Some(received) = hop.receive(cx.now) {
            self.tell(cx, id, received);
        } else if let Some(slot) = self.slot(id) {
            self.arm(slot);
        }
    }

    /// Goes on with what waited for its turn only.
    pub(super) fn resume(&mut self, cx: &mut Context, id: LinkId) -> Verdict {
        let Some(slot) = self.slot(id).filter(|_| self.hop_mut(id).is_some_and(|hop| hop.resumes(cx.now)))
        else {
            return Verdict::Fine;
        };
        let before = self.get(id).map_or(0, Link::weight);
        self.go_on(cx, id, slot, before)
    }

    /// Tells a neighbour how many routes of its were dealt with, if that is due.
    pub(super) fn tell_count(&mut self, cx: &mut Context, id: LinkId) {
        if let Some(received) = self.hop_mut(id).and_then(|hop| hop.tell_due(cx.now)) {
            self.tell(cx, id, received);
        }
    }

    fn tell(&mut self, cx: &mut Context, id: LinkId, received: u64) {
        let (head, body) = Frame::from(Kind::LinkAck { received }).encode_split();
        // Without room for a few bytes the link is closed at the next frame, if it is not by its age.
        _ = self.send_item(cx, id, Item::control(head, body));
    }

    /// A neighbour has answered a ping.
    pub(crate) fn pong(&mut self, now: Time, id: LinkId, nonce: u64) {
        if let Some(hop) = self.hop_mut(id) {
            hop.pong(now, nonce);
        }
    }

    /// Tells what was dropped, once there is room again; the end of the episode.
    fn tell_dropped(&mut self, cx: &mut Context, id: LinkId, slot: Slot) -> Verdict {
        while let Some((_, link)) = self.at(slot) {
            if link.held() > link.max_bytes() / 2 || link.queue.frames() > QUEUE_CLIENT_FRAMES / 2 {
                return Verdict::Fine;
            }
            let Some((channel, count)) = link.about.untold.pop_first() else {
                link.about.slow &= !link.queue.is_empty();
                return Verdict::Fine;
            };
            let verdict = self.send(cx, id, &Frame::from(Kind::Notice(Notice::Dropped { channel, count })));
            if verdict != Verdict::Fine {
                return verdict;
            }
        }
        Verdict::Fine
    }

    /// Drops what waited too long for a peer; a client would be cut off for it.
    pub(super) fn expire(&mut self, cx: &mut Context, id: LinkId) {
        let Some(link) = self.get_mut(id) else { return };
        let before = link.held();
        let Some(limit) = cx.now.since_start().checked_sub(QUEUE_AGE).map(Time::new) else { return };
        while let Some(item) = link.queue.expire(limit) {
            drop_item(cx, id, link, &item, DroppedFor::QueueFull);
        }
        let after = link.held();
        self.held = self.held.saturating_sub(before).saturating_add(after);
    }

    /// Cuts the longest queues when all together are over their share of the memory.
    ///
    /// It cuts an eighth more than it must, so that looking for the longest is rare.
    fn keep_within_memory(&mut self, cx: &mut Context) {
        if self.held <= self.max_held {
            return;
        }
        let target = self.max_held - self.max_held / 8;
        self.halve_rings(target);
        while self.held > target {
            let longest = self.slots.iter_mut().flatten().max_by_key(|(_, link)| link.queue.channel_bytes());
            let Some((id, link)) = longest.filter(|(_, link)| link.queue.channel_bytes() > 0) else { return };
            while let Some(item) = link.queue.cut() {
                self.held = self.held.saturating_sub(item.len());
                drop_item(cx, *id, link, &item, DroppedFor::Memory);
                if self.held <= target {
                    break;
                }
            }
        }
    }
}

/// Counts a frame as being out with the driver, and keeps it where its session can be resumed.
fn put_out(now: Time, link: &mut Link, item: &Item, kept: &mut Kept) {
    let bytes = item.len();
    if link.in_flight == 0 {
        link.last_progress = now;
    }
    link.in_flight = link.in_flight.saturating_add(bytes);
    link.last_sent = now;
    let (mut owed, mut is_route) = (item.owed, false);
    // Only for a neighbour: a fan-out to clients does not touch what stands apart.
    if link.kind == LinkKind::Peer
        && let Some(hop) = &mut link.about.hop
    {
        hop.spend(now, bytes);
        if item.is_route {
            (owed, is_route) = (Owed::Nothing, true);
            hop.keep(now, item.clone());
        }
    }
    link.sent.push_back(Sent { at: now, bytes, owed, is_route });
    link.ring.put_out(now, item, kept);
}

/// Puts out what the window has room for.
pub(super) fn let_go(cx: &mut Context, link: &mut Link) {
    while let Some(item) = link.take_next(cx.now) {
        put_out(cx.now, link, &item, &mut None);
        let links = link.solo.clone();
        let Item { head, body, class, .. } = item;
        cx.out.push_back(Output::Send { links, head, body, class });
    }
}

fn count_flushed(cx: &mut Context, link: &mut Link, bytes: usize) {
    let mut left = bytes.min(link.in_flight);
    link.in_flight = link.in_flight.saturating_sub(left);
    link.last_progress = cx.now;
    while let Some(sent) = link.sent.front_mut() {
        if sent.bytes > left {
            sent.bytes = sent.bytes.saturating_sub(left);
            return;
        }
        left = left.saturating_sub(sent.bytes);
        let (owed, is_route) = (sent.owed, sent.is_route);
        link.sent.pop_front();
        cx.stats.done(owed);
        if is_route && let Some(hop) = &mut link.about.hop {
            hop.flush(cx.now);
        }
    }
}

/// Makes room in a full queue by cutting channel frames: for one that must not be dropped as many as it takes, for
/// another channel frame only those of a source that has more waiting.
fn make_room(cx: &mut Context, id: LinkId, link: &mut Link, item: &Item) -> bool {
    let len = item.len();
    while !link.fits(len) {
        let longest = link.queue.longest_source();
        let may_cut = match item.class {
            SendClass::Control | SendClass::Direct => longest > 0,
            SendClass::Channel => longest > link.queue.source_bytes(item.source).saturating_add(len),
        };
        let Some(cut) = may_cut.then(|| link.queue.cut()).flatten() else { return false };
        drop_item(cx, id, link, &cut, DroppedFor::QueueFull);
    }
    true
}

fn drop_item(cx: &mut Context, id: LinkId, link: &mut Link, item: &Item, why: DroppedFor) {
    let copies = item.owed.copies();
    cx.stats.give_up(copies, why);
    link.about.dropped = link.about.dropped.saturating_add(copies);
    if let Some(channel) = &item.channel
        && (link.about.untold.len() < MAX_CHANNELS || link.about.untold.contains_key(&**channel))
    {
        let count = link.about.untold.entry(**channel).or_default();
        *count = count.saturating_add(1);
    }
    if !link.about.slow {
        link.about.slow = true;
        cx.event(Event::Slow { link: id, dropped: link.about.dropped });
    }
}
