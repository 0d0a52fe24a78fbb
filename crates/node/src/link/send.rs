//! Sending: one output for many links, queues behind windows, and what happens when one is full.

use super::out::Sent;
use super::{Link, LinkKind, Links, QUEUE_AGE, QUEUE_CLIENT_FRAMES, Slot, Verdict, WINDOW_CLIENT};
use crate::context::Context;
use crate::frames::Frames;
use crate::hop::{Hop, Miscounted};
use crate::queue::{Counted, Item, Owed};
use crate::resume::Ring;
use crate::session::MAX_CHANNELS;
use crate::{DroppedFor, Event, LinkId, SendClass};
use darkchat_proto::{Code, Frame, Kind, Notice, Time};
use std::sync::Arc;
use std::time::Duration;

/// What may wait for every client without being dropped, whatever the memory holds, in bytes: as much as is out with the
/// driver. Whoever reads has no more waiting, and whoever does not is cut off after ten seconds anyway.
const SPARED_CLIENT: usize = WINDOW_CLIENT;
/// The link of a client that is given up ends right after what made it necessary.
const GIVEN_UP: Duration = Duration::from_millis(1);

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
    /// It was dropped for want of room, counted, and noted for who sent it.
    Cut,
    /// It was dropped because there is no such link any more, and counted.
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
    /// It was dropped for want of room, counted, and noted for who sent it.
    Cut,
    /// It was dropped because the link is over, and counted.
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
            Outcome::Taken | Outcome::Cut | Outcome::Dropped => Verdict::Fine,
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
        let frame = Frames::one(item.weigh(&self.scales));
        let Some(item) = frame.first() else { return Outcome::Dropped };
        let outcome = match self.offer(cx, self.window(), slot, &frame, item, cx.now + QUEUE_AGE) {
            Offer::Now => {
                if let Some(link) = self.table.get(slot) {
                    cx.send(&link.solo, id, item.class, &frame);
                }
                Outcome::Taken
            }
            Offer::Waits => Outcome::Taken,
            Offer::Cut => Outcome::Cut,
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
        let frame = self.batches.add(&targets.ids, item.weigh(&self.scales));
        let Some(item) = frame.first() else { return 0 };
        let (ages, window) = (cx.now + QUEUE_AGE, self.window());
        for (index, (id, slot)) in targets.ids.iter().zip(targets.slots.iter()).enumerate() {
            let offer = self.offer(cx, window, *slot, &frame, item, ages);
            match (offer, &mut some) {
                (Offer::Now, Some(some)) => some.push(*id),
                (Offer::Now, None) | (_, Some(_)) => {}
                (_, None) => some = Some(targets.ids.iter().take(index).copied().collect()),
            }
            taken = taken.saturating_add(u32::from(matches!(offer, Offer::Now | Offer::Waits)));
        }
        let links = some.map_or_else(|| targets.ids.clone(), Arc::from);
        if !links.is_empty() {
            cx.send(&links, item.source, item.class, &frame);
        }
        self.keep_within_memory(cx);
        taken
    }

    /// Offers a frame to a link; `window` is that of a client, and `ages` is when what waits from now on has waited too long.
    fn offer(
        &mut self,
        cx: &mut Context,
        window: usize,
        slot: Slot,
        frame: &Frames,
        item: &Item,
        ages: Time,
    ) -> Offer {
        let offered = self.table.change(slot, |id, link| {
            let offer = offer_to(cx, window, id, link, frame, item);
            // A neighbour's turn may come long before what waits is too old.
            let has_turn = offer == Offer::Waits && link.kind == LinkKind::Peer;
            (offer, link.wake > ages || has_turn)
        });
        let Some((offer, sleeps)) = offered else {
            cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);
            return Offer::Dropped;
        };
        if sleeps && matches!(offer, Offer::Now | Offer::Waits) {
            self.arm(slot);
        }
        offer
    }

    /// Bytes left for the network: counts what is done with them, and lets the next go.
    #[must_use]
    pub(crate) fn flushed(&mut self, cx: &mut Context, id: LinkId, bytes: usize) -> Verdict {
        let Some(slot) = self.slot(id) else { return Verdict::Fine };
        let verdict = self.go_on(cx, id, slot, |cx, link| {
            count_flushed(cx, link, bytes);
            Verdict::Fine
        });
        if self.table.get(slot).is_some_and(|link| link.kind == LinkKind::Peer) {
            self.arm(slot);
        }
        verdict
    }

    /// Makes room on a link, and lets go out what has room now.
    fn go_on(
        &mut self,
        cx: &mut Context,
        id: LinkId,
        slot: Slot,
        make_room: impl FnOnce(&mut Context, &mut Link) -> Verdict,
    ) -> Verdict {
        let window = self.window();
        let went = self.table.change(slot, |id, link| match make_room(cx, link) {
            Verdict::Fine => {
                let_go(cx, window, id, link);
                let finish = link.about.finish.filter(|_| link.is_done());
                finish.map_or(Verdict::Fine, |(code, _)| Verdict::Close(code))
            }
            close @ Verdict::Close(_) => close,
        });
        match went {
            Some(Verdict::Fine) => self.tell_dropped(cx, id, slot),
            Some(close) => close,
            None => Verdict::Fine,
        }
    }

    /// Changes the hop to another server.
    pub(super) fn change_hop<T>(&mut self, id: LinkId, change: impl FnOnce(&mut Hop) -> T) -> Option<T> {
        self.change(id, |link| link.about.hop.as_deref_mut().map(change)).flatten()
    }

    /// A neighbour has counted so many of our routes.
    #[must_use]
    pub(crate) fn counted(&mut self, cx: &mut Context, id: LinkId, received: u64) -> Verdict {
        let Some(slot) = self.slot(id).filter(|_| self.get(id).is_some_and(|link| link.hop().is_some()))
        else {
            return Verdict::Fine;
        };
        let verdict = self.go_on(cx, id, slot, |cx, link| {
            let counted = link.about.hop.as_mut().map(|hop| hop.count(cx.now, received));
            match counted.unwrap_or_else(|| Ok(Vec::new())) {
                Ok(frames) => frames.iter().flat_map(Frames::items).for_each(|item| cx.stats.done(item.owed)),
                Err(Miscounted) => return Verdict::Close(Code::BadFrame),
            }
            Verdict::Fine
        });
        self.arm(slot);
        verdict
    }

    /// A route of a neighbour was dealt with: counts it, and tells the count if many were counted.
    pub(crate) fn count(&mut self, cx: &mut Context, id: LinkId) {
        let Some(told) = self.change_hop(id, |hop| hop.receive(cx.now)) else { return };
        if let Some(received) = told {
            self.tell(cx, id, received);
        } else if let Some(slot) = self.slot(id) {
            self.arm(slot);
        }
    }

    /// Goes on with what waited for its turn only.
    pub(super) fn resume(&mut self, cx: &mut Context, id: LinkId) -> Verdict {
        let resumes = self.change_hop(id, |hop| hop.resumes(cx.now)).unwrap_or(false);
        match self.slot(id).filter(|_| resumes) {
            Some(slot) => self.go_on(cx, id, slot, |_, _| Verdict::Fine),
            None => Verdict::Fine,
        }
    }

    /// Tells a neighbour how many routes of its were dealt with, if that is due.
    pub(super) fn tell_count(&mut self, cx: &mut Context, id: LinkId) {
        if let Some(received) = self.change_hop(id, |hop| hop.tell_due(cx.now)).flatten() {
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
        self.change_hop(id, |hop| hop.pong(now, nonce));
    }

    /// Tells what was dropped, once there is room again; the end of the episode.
    fn tell_dropped(&mut self, cx: &mut Context, id: LinkId, slot: Slot) -> Verdict {
        loop {
            let next = self.table.change(slot, |_, link| {
                if link.held() > link.max_bytes() / 2 || link.queue.frames() > QUEUE_CLIENT_FRAMES / 2 {
                    return None;
                }
                let untold = link.about.untold.pop_first();
                link.about.slow &= untold.is_some() || !link.queue.is_empty();
                untold
            });
            let Some((channel, count)) = next.flatten() else { return Verdict::Fine };
            let verdict = self.send(cx, id, &Frame::from(Kind::Notice(Notice::Dropped { channel, count })));
            if verdict != Verdict::Fine {
                return verdict;
            }
        }
    }

    /// Drops what waited too long for a peer; a client would be cut off for it.
    pub(super) fn expire(&mut self, cx: &mut Context, id: LinkId) {
        let Some(limit) = cx.now.since_start().checked_sub(QUEUE_AGE).map(Time::new) else { return };
        self.change(id, |link| {
            while let Some(old) = link.queue.expire(limit) {
                old.first().into_iter().for_each(|item| drop_item(cx, id, link, item, DroppedFor::QueueFull));
            }
        });
    }

    /// Makes those give way who take most of the memory, when all together are over their share of it.
    ///
    /// It makes an eighth more room than it must, so that looking for them is rare; and where there was nothing more to
    /// take, it looks again only when as much has come as makes a sixteenth of all.
    fn keep_within_memory(&mut self, cx: &mut Context) {
        if self.held() > self.max_held.max(self.spared) {
            self.make_memory(cx);
        }
    }

    #[cold]
    #[inline(never)]
    fn make_memory(&mut self, cx: &mut Context) {
        let target = self.max_held - self.max_held / 8;
        self.halve_rings(target);
        while self.held() > target {
            let most =
                |of: fn(&Link) -> usize| self.table.places().map(|(_, link)| of(link)).max().unwrap_or(0);
            let (longest, heaviest) = (most(cuttable), most(uncuttable));
            if longest.max(heaviest) == 0 {
                break;
            }
            if heaviest >= longest {
                self.give_up(cx, heaviest - heaviest.div_ceil(8), target);
            } else {
                self.cut(cx, longest - longest.div_ceil(8));
            }
        }
        let held = self.held();
        self.spared = if held > target { held.saturating_add(self.max_held / 16) } else { 0 };
    }

    /// Cuts the queues in which more than `level` bytes may be dropped down to it. Those that are about as long are cut
    /// together, by an eighth at a time: what they share is given back when the last one lets go of it.
    fn cut(&mut self, cx: &mut Context, level: usize) {
        for slot in self.over(level, cuttable) {
            self.table.change(slot, |id, link| {
                while cuttable(link) > level
                    && let Some(cut) =
                        link.queue.cut(SendClass::Channel).or_else(|| link.queue.cut(SendClass::Direct))
                {
                    cut.first().into_iter().for_each(|item| cut_item(cx, id, link, item, DroppedFor::Memory));
                }
            });
        }
    }

    /// Gives up the clients for which more than `level` bytes wait that must not be dropped: they do not read.
    /// No more of them than it takes to come down to the target.
    fn give_up(&mut self, cx: &mut Context, level: usize, target: usize) {
        for slot in self.over(level, uncuttable) {
            if self.held() <= target {
                return;
            }
            self.table.change(slot, |_, link| {
                let waiting = std::mem::take(&mut link.queue).into_items().map(|item| item.owed.copies());
                cx.stats.give_up(waiting.sum(), DroppedFor::SlowConsumer);
                link.ring = Ring::default();
                link.about.finish = Some((Code::SlowConsumer, cx.now + GIVEN_UP));
            });
            self.arm(slot);
        }
    }

    fn over(&self, level: usize, of: fn(&Link) -> usize) -> Vec<Slot> {
        self.table.places().filter(|(_, link)| of(link) > level).map(|(slot, _)| slot).collect()
    }
}

/// What may be dropped of what waits for a link, in bytes.
fn cuttable(link: &Link) -> usize {
    let of = |class| if may_drop(link, class) { link.queue.bytes_of(class) } else { 0 };
    of(SendClass::Channel).saturating_add(of(SendClass::Direct))
}

/// What waits for a client and must not be dropped while its link lives, in bytes, if it is more than may wait for each.
fn uncuttable(link: &Link) -> usize {
    if link.kind != LinkKind::Client {
        return 0;
    }
    let bytes = link.queue.bytes().saturating_sub(cuttable(link));
    if bytes > SPARED_CLIENT { bytes } else { 0 }
}

/// Sends a frame to a link, lets it wait there, or drops it.
#[inline]
fn offer_to(
    cx: &mut Context,
    window: usize,
    id: LinkId,
    link: &mut Link,
    frame: &Frames,
    item: &Item,
) -> Offer {
    let now = cx.now;
    if !link.is_up() && !link.is_away() {
        cx.stats.give_up(item.owed.copies(), DroppedFor::LinkDown);
        return Offer::Dropped;
    }
    if link.takes_now(now, window, item) {
        put_out(now, link, frame, item);
        return Offer::Now;
    }
    wait_or_drop(cx, id, link, frame, item)
}

/// Lets a frame wait that cannot go now, or drops it. It stands apart from what each delivery does.
#[cold]
#[inline(never)]
fn wait_or_drop(cx: &mut Context, id: LinkId, link: &mut Link, frame: &Frames, item: &Item) -> Offer {
    let now = cx.now;
    if !link.fits(item.len()) && !make_room(cx, id, link, item) {
        if !may_drop(link, item.class) {
            return Offer::Full;
        }
        cut_item(cx, id, link, item, DroppedFor::QueueFull);
        return Offer::Cut;
    }
    link.last_sent = now;
    link.queue.push(now, frame);
    Offer::Waits
}

/// Counts a frame as being out with the driver, and keeps it where its session can be resumed.
#[inline]
fn put_out(now: Time, link: &mut Link, frame: &Frames, item: &Item) {
    let bytes = item.len();
    if link.out.bytes == 0 {
        link.last_progress = now;
    }
    link.last_sent = now;
    // Only for a neighbour: a fan-out to clients does not touch what stands apart.
    let (owed, is_route) =
        if link.kind == LinkKind::Peer { spend(now, link, frame, item) } else { (item.owed, false) };
    link.out.push(Sent { at: now, bytes, frames: 1, owed, is_route });
    link.ring.put_out(now, frame, item);
}

/// Counts a frame against the pace of a neighbour, and keeps a route until it is counted. What is then left to be counted
/// when it has left, and whether it is a route.
#[inline(never)]
fn spend(now: Time, link: &mut Link, frame: &Frames, item: &Item) -> (Owed, bool) {
    let Some(hop) = &mut link.about.hop else { return (item.owed, false) };
    hop.spend(now, item.len(), item.destinations);
    if !item.is_route() {
        return (item.owed, false);
    }
    hop.keep(now, frame.clone());
    (Owed::Nothing, true)
}

/// Puts out what the window has room for.
pub(super) fn let_go(cx: &mut Context, window: usize, id: LinkId, link: &mut Link) {
    while let Some(frame) = link.take_next(cx.now, window) {
        let Some(item) = frame.first() else { return };
        put_out(cx.now, link, &frame, item);
        cx.send(&link.solo, id, item.class, &frame);
    }
}

fn count_flushed(cx: &mut Context, link: &mut Link, bytes: usize) {
    link.last_progress = cx.now;
    let (stats, hop, now) = (&mut cx.stats, &mut link.about.hop, cx.now);
    link.out.flush(bytes, |owed, is_route, frames| {
        stats.done_times(owed, frames);
        if is_route && let Some(hop) = hop {
            hop.flush(now);
        }
    });
}

/// Whether frames of a class may be dropped on a link: all that other servers had us pass on is, so that none of them
/// ends a link of ours with a third.
fn may_drop(link: &Link, class: SendClass) -> bool {
    class == SendClass::Channel || (class == SendClass::Direct && link.kind == LinkKind::Peer)
}

/// Makes room in a full queue by cutting what gives way to this frame.
fn make_room(cx: &mut Context, id: LinkId, link: &mut Link, item: &Item) -> bool {
    while !link.fits(item.len()) {
        let cut = gives_way(link, item).and_then(|class| link.queue.cut(class));
        let Some(cut) = cut else { return false };
        cut.first().into_iter().for_each(|item| cut_item(cx, id, link, item, DroppedFor::QueueFull));
    }
    true
}

/// The class of which a frame gives way to this one: the last that is behind its own, and of its own class only a source
/// that has more waiting.
fn gives_way(link: &Link, item: &Item) -> Option<SendClass> {
    let queue = &link.queue;
    let behind = match item.class {
        SendClass::Control => [SendClass::Channel, SendClass::Direct].as_slice(),
        SendClass::Direct => &[SendClass::Channel],
        SendClass::Channel => &[],
    };
    let cuttable = |class: &SendClass| may_drop(link, *class) && queue.bytes_of(*class) > 0;
    let class = item.class;
    let own = || queue.source_bytes(class, item.source).saturating_add(item.len());
    let is_short = || may_drop(link, class) && queue.longest_source(class) > own();
    behind.iter().copied().find(cuttable).or_else(|| is_short().then_some(class))
}

/// Drops a frame for want of room.
fn cut_item(cx: &mut Context, id: LinkId, link: &mut Link, item: &Item, why: DroppedFor) {
    cx.note_cut(item);
    drop_item(cx, id, link, item, why);
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
