//! Links: their queues, send windows and signs of life. Source: `docs/protocol.md`, sections 3.5, 10.3 and 11.4.

mod away;
mod out;
mod send;
mod table;

pub(crate) use send::{Outcome, Targets};
pub(crate) use table::Slot;

use crate::context::Context;
use crate::frames::{Batches, Frames};
use crate::hop::{Hop, Pace};
use crate::queue::{Item, Queue};
use crate::resume::{RING_AGE, Ring};
use crate::weight::Scales;
use crate::{DroppedFor, LinkId, Output, SendClass};
use darkchat_proto::{Addr, ChannelId, Code, Features, Frame, Goodbye, Kind, Time};
use out::Out;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use table::Table;

/// What may be out with the driver for a client, in bytes: two full records, so that its task never starves.
const WINDOW_CLIENT: usize = 64 << 10;
/// The same where so much is out with the driver that such windows would take too much of the memory: enough that a record
/// and a system call carry many small frames. The driver's copies are each link's own.
const WINDOW_CLIENT_MIN: usize = 8 << 10;
/// The share of what all links may hold from which on windows are smaller, and that which all of them may then take
/// together, down to that size.
const WINDOWS_FREE: usize = 4;
const WINDOWS_SHARE: usize = 2;
/// The same for a peer.
const WINDOW_PEER: usize = 256 << 10;
/// What may wait for a client, in bytes and in frames, with what is out with the driver.
pub(crate) const QUEUE_CLIENT: usize = 1 << 20;
pub(crate) const QUEUE_CLIENT_FRAMES: usize = 4_096;
/// What may wait for a peer, in bytes and in frames, with what is out with the driver: the bytes in frames of 256. The
/// smallest frames take many times their length in the lists that hold them.
pub(crate) const QUEUE_PEER: usize = 8 << 20;
pub(crate) const QUEUE_PEER_FRAMES: usize = 32_768;
/// How long a frame may wait.
pub(crate) const QUEUE_AGE: Duration = Duration::from_secs(10);
/// What a run of frames takes in the list that holds it, in bytes: lists have up to twice the room that they need.
const RUN: usize = 2 * size_of::<(Time, Frames)>();
/// The share of the memory budget that all queues together may take.
const QUEUES_SHARE: usize = 4;
/// Without having sent anything for so long, a ping goes out.
const PING_CLIENT: Duration = Duration::from_secs(30);
const PING_PEER: Duration = Duration::from_secs(10);
/// Without having heard anything for so long, the link is dead.
const DEAD_CLIENT: Duration = Duration::from_secs(75);
const DEAD_PEER: Duration = Duration::from_secs(30);
/// What was accepted before a drain has this long to leave.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// A user's program.
    Client,
    /// Another server.
    Peer,
    /// A user's program that lost its link at that time and may come back (5.4).
    Away(Time),
    /// Nothing any more: it was told to close, for this reason, and `Closed` has not come yet.
    Closing(Code),
}

/// What is rarely looked at of a link: it stands apart, so that a fan-out touches little memory for each link.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) remote: Addr,
    pub(crate) observed: IpAddr,
    pub(crate) since: Time,
    /// What both ends can do.
    pub(crate) features: Features,
    /// The posts dropped and not yet told, by channel.
    untold: BTreeMap<ChannelId, u64>,
    /// The posts dropped since the link came up.
    dropped: u64,
    /// In an episode of dropping.
    slow: bool,
    /// It closes for this reason when nothing waits any more, at the latest at that time.
    finish: Option<(Code, Time)>,
    /// The hop to another server; clients count nothing.
    hop: Option<Box<Hop>>,
}

impl About {
    /// The round trip to another server, once it was measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.hop.as_deref().and_then(Hop::round_trip)
    }
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) kind: LinkKind,
    pub(crate) about: Box<About>,
    /// The list of this link alone, for frames that nobody else gets.
    solo: Arc<[LinkId]>,
    queue: Queue,
    out: Out,
    /// What went out and is kept for a resume.
    ring: Ring,
    last_sent: Time,
    last_received: Time,
    last_progress: Time,
    /// When the link is to be looked at next; it stands in the list of deadlines.
    wake: Time,
}

impl Link {
    fn hop(&self) -> Option<&Hop> {
        self.about.hop.as_deref()
    }

    /// Whether it may have a hop; a client's has none.
    const fn has_hop(&self) -> bool {
        matches!(self.kind, LinkKind::Peer | LinkKind::Closing(_))
    }

    const fn window(&self, client: usize) -> usize {
        if matches!(self.kind, LinkKind::Peer) { WINDOW_PEER } else { client }
    }

    const fn max_bytes(&self) -> usize {
        if matches!(self.kind, LinkKind::Peer) { QUEUE_PEER } else { QUEUE_CLIENT }
    }

    const fn max_frames(&self) -> usize {
        if matches!(self.kind, LinkKind::Peer) { QUEUE_PEER_FRAMES } else { QUEUE_CLIENT_FRAMES }
    }

    /// What waits here, with the driver and for the neighbour to count it, in bytes.
    fn held(&self) -> usize {
        // A fan-out to clients does not touch what stands apart.
        let kept = if self.has_hop() { self.hop().map_or(0, Hop::held) } else { 0 };
        self.queue.bytes().saturating_add(self.out.bytes).saturating_add(kept)
    }

    /// What it takes of the memory beside the frames, which others may hold too: the driver's copies, and its lists.
    fn weight(&self) -> usize {
        let runs = self.queue.runs().saturating_add(self.ring.runs()).saturating_add(self.out.runs.len());
        self.out.bytes.saturating_add(runs.saturating_mul(RUN))
    }

    fn fits(&self, len: usize) -> bool {
        let frames = self.queue.frames().saturating_add(self.out.frames);
        let few = frames < self.max_frames();
        let has_room = self.held().saturating_add(len) <= self.max_bytes();
        few && has_room && (!self.is_away() || self.fits_away(len))
    }

    /// Whether there is room with the driver, and for a route also among those that are not counted yet and in the pace
    /// of the neighbour. `client` is the window of a client.
    #[inline]
    fn has_window(&mut self, now: Time, client: usize, len: usize, destinations: u16) -> bool {
        let may_go = destinations == 0 || {
            let hop = self.about.hop.as_deref_mut();
            hop.is_none_or(|hop| hop.has_room(len) && hop.may_send(now, len, destinations))
        };
        may_go && (self.out.bytes == 0 || self.out.bytes.saturating_add(len) <= self.window(client))
    }

    /// Whether a frame can go out at once. The window and what a neighbour has not counted are smaller than the queue, so
    /// its bytes need no other check.
    #[inline]
    fn takes_now(&mut self, now: Time, client: usize, item: &Item) -> bool {
        (self.queue.is_empty() || self.goes_past(item))
            && self.has_window(now, client, item.len(), item.destinations)
            && self.out.frames < QUEUE_CLIENT_FRAMES
            && self.is_up()
    }

    /// Whether only routes wait, which what is no route goes past: the other side may wait for our count to count ours.
    #[inline(never)]
    fn goes_past(&self, item: &Item) -> bool {
        let is_past = item.class == SendClass::Control && self.kind == LinkKind::Peer;
        is_past && self.queue.bytes_of(SendClass::Control) == 0
    }

    /// Takes the next frame that waits, if it can go out now.
    fn take_next(&mut self, now: Time, client: usize) -> Option<Frames> {
        let next = self.queue.next()?;
        let (len, destinations) = (next.len(), next.destinations);
        if self.has_window(now, client, len, destinations) { self.queue.pop() } else { None }
    }

    /// Whether nothing waits, and the neighbour has counted all that it was sent.
    fn is_done(&self) -> bool {
        self.queue.is_empty() && self.hop().is_none_or(Hop::is_empty)
    }

    const fn is_up(&self) -> bool {
        !matches!(self.kind, LinkKind::Closing(_) | LinkKind::Away(_))
    }

    const fn ping_after(&self) -> Duration {
        if matches!(self.kind, LinkKind::Peer) { PING_PEER } else { PING_CLIENT }
    }

    /// What the next ping is counted from: a client is asked when we sent it nothing else, a neighbour always, which
    /// measures the round trip.
    fn last_ping(&self) -> Time {
        self.hop().map_or(self.last_sent, Hop::pinged)
    }

    const fn dead_after(&self) -> Duration {
        if matches!(self.kind, LinkKind::Peer) { DEAD_PEER } else { DEAD_CLIENT }
    }

    /// Since when the oldest frame waits, here or with the driver.
    fn oldest(&self) -> Option<Time> {
        self.out.oldest().into_iter().chain(self.queue.oldest()).min()
    }

    /// Since when this link makes its frames wait too long: a client by age, a peer by standing still.
    fn stuck_since(&self) -> Option<Time> {
        match self.kind {
            LinkKind::Client => self.oldest(),
            LinkKind::Peer => (self.out.bytes > 0).then_some(self.last_progress),
            LinkKind::Away(_) | LinkKind::Closing(_) => None,
        }
    }

    /// When a neighbour that was doubted counts as gone, if nothing comes from it until then, and nothing of what waits
    /// for it leaves.
    fn doubt_ends(&self) -> Option<Time> {
        let hop = self.hop()?;
        let since = hop.doubted().filter(|since| self.last_received <= *since)?;
        let progress = if self.out.bytes > 0 { self.last_progress } else { Time::ZERO };
        Some(since.max(progress) + hop.stall())
    }

    /// When the link counts as dead, if the other side does not answer until then.
    fn dead_at(&self) -> Option<Time> {
        [self.hop().and_then(Hop::dead_at), self.doubt_ends()].into_iter().flatten().min()
    }

    fn next_wake(&self) -> Time {
        let aged = if self.kind == LinkKind::Peer { self.queue.oldest_droppable() } else { None };
        let waits = [self.stuck_since(), aged].into_iter().flatten().map(|at| at + QUEUE_AGE);
        let life = [self.last_ping() + self.ping_after(), self.last_received + self.dead_after()];
        let kept = self.ring.oldest().map(|at| at + RING_AGE);
        let hop = self.hop().and_then(Hop::deadline).into_iter().chain(self.doubt_ends()).chain(kept);
        waits.chain(life).chain(hop).chain(self.about.finish.map(|(_, at)| at)).min().unwrap_or(Time::MAX)
    }
}

/// A new link, as it comes up.
#[derive(Debug)]
pub(crate) struct NewLink {
    pub(crate) kind: LinkKind,
    pub(crate) remote: Addr,
    pub(crate) observed: IpAddr,
    pub(crate) features: Features,
    /// How fast a neighbour may be sent something; `None` for a client.
    pub(crate) pace: Option<Pace>,
}

/// What became of a link that was looked at, or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Fine,
    /// It is to be closed.
    Close(Code),
}

/// All links.
#[derive(Debug)]
pub(crate) struct Links {
    table: Table,
    /// Frames for the same links.
    batches: Batches,
    /// What all frames take that somebody holds.
    scales: Scales,
    deadlines: BTreeSet<(Time, LinkId)>,
    /// What all may hold together, in bytes.
    max_held: usize,
    /// What they may hold where they held too much and there was nothing to take; else 0.
    spared: usize,
}

impl Links {
    pub(crate) fn new(memory_budget: usize) -> Self {
        let max_held = memory_budget / QUEUES_SHARE;
        let (table, batches, scales) = (Table::new(), Batches::default(), Scales::default());
        Self { table, batches, scales, deadlines: BTreeSet::new(), max_held, spared: 0 }
    }

    /// Takes a link in; `None` if the id is taken, which a driver must not do.
    pub(crate) fn open(&mut self, now: Time, id: LinkId, new: NewLink) -> Option<Slot> {
        let NewLink { kind, remote, observed, features, pace } = new;
        let about = About {
            remote,
            observed,
            since: now,
            features,
            untold: BTreeMap::new(),
            dropped: 0,
            slow: false,
            finish: None,
            hop: pace.map(|pace| Box::new(Hop::new(now, pace))),
        };
        let link = Link {
            kind,
            about: Box::new(about),
            solo: Arc::from([id]),
            queue: Queue::default(),
            out: Out::default(),
            ring: Ring::default(),
            last_sent: now,
            last_received: now,
            last_progress: now,
            wake: Time::MAX,
        };
        let slot = self.table.insert(id, link)?;
        self.arm(slot);
        Some(slot)
    }

    pub(crate) fn slot(&self, id: LinkId) -> Option<Slot> {
        self.table.slot(id)
    }

    pub(crate) fn get(&self, id: LinkId) -> Option<&Link> {
        self.table.get(self.slot(id)?)
    }

    /// Changes a link, if there is one of this id.
    fn change<T>(&mut self, id: LinkId, change: impl FnOnce(&mut Link) -> T) -> Option<T> {
        self.table.change(self.slot(id)?, |_, link| change(link))
    }

    /// What a link is, if it is up: neither unknown nor closing.
    pub(crate) fn kind(&self, id: LinkId) -> Option<LinkKind> {
        self.get(id).filter(|link| link.is_up()).map(|link| link.kind)
    }

    /// All links, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.table.iter()
    }

    /// A frame came: the link lives. What it is, if it is up, and whether it only waits for its queue to empty.
    pub(crate) fn heard(&mut self, now: Time, id: LinkId) -> Option<(LinkKind, bool)> {
        let heard = |link: &mut Link| {
            link.last_received = now;
            link.is_up().then_some((link.kind, link.about.finish.is_some()))
        };
        self.change(id, heard).flatten()
    }

    /// Looks at the link again when it next has something to do, if that is earlier than what was planned.
    fn arm(&mut self, slot: Slot) {
        let deadlines = &mut self.deadlines;
        self.table.change(slot, |id, link| {
            let wake = link.next_wake();
            if wake < link.wake && link.is_up() {
                deadlines.remove(&(link.wake, id));
                deadlines.insert((wake, id));
                link.wake = wake;
            }
        });
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next link whose time has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<LinkId> {
        let (at, id) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(&(at, id));
        self.change(id, |link| link.wake = Time::MAX);
        Some(id)
    }

    /// Looks at a link whose time has come: pings, drops what waited too long, and says whether it is to be closed.
    pub(crate) fn wake(&mut self, cx: &mut Context, id: LinkId) -> Verdict {
        let Some(link) = self.get(id).filter(|link| link.is_up()) else { return Verdict::Fine };
        let now = cx.now;
        if now.saturating_since(link.last_received) >= link.dead_after() {
            return Verdict::Close(Code::Timeout);
        }
        if let Some((code, at)) = link.about.finish
            && at <= now
        {
            return Verdict::Close(code);
        }
        if link.stuck_since().is_some_and(|since| now.saturating_since(since) >= QUEUE_AGE) {
            return Verdict::Close(Code::SlowConsumer);
        }
        if link.kind == LinkKind::Peer {
            if link.dead_at().is_some_and(|at| at <= now) {
                return Verdict::Close(Code::Timeout);
            }
            self.expire(cx, id);
            self.tell_count(cx, id);
            if self.resume(cx, id) != Verdict::Fine {
                return Verdict::Close(Code::SlowConsumer);
            }
        }
        self.age_ring(now, id);
        let pings =
            self.get(id).is_some_and(|link| now.saturating_since(link.last_ping()) >= link.ping_after());
        let verdict = if pings { self.ping(cx, id) } else { Verdict::Fine };
        if let Some(slot) = self.slot(id) {
            self.arm(slot);
        }
        verdict
    }

    /// Another link fell silent: this one counts as dead too, unless it gives a sign of life soon.
    pub(crate) fn doubt(&mut self, cx: &mut Context, id: LinkId) -> Verdict {
        let asks = self.change_hop(id, |hop| hop.doubt(cx.now)).unwrap_or(false);
        let verdict = if asks { self.ping(cx, id) } else { Verdict::Fine };
        if let Some(slot) = self.slot(id) {
            self.arm(slot);
        }
        verdict
    }

    /// Asks the other side for a sign of life.
    pub(crate) fn ping(&mut self, cx: &mut Context, id: LinkId) -> Verdict {
        let nonce = cx.rng.next_u64();
        self.change_hop(id, |hop| hop.ping(cx.now, nonce));
        self.send(cx, id, &Frame::from(Kind::Ping { nonce, acked: 0 }))
    }

    /// Closes a link: what waits is given up, what is out is written first, then the goodbye.
    pub(crate) fn close(&mut self, cx: &mut Context, id: LinkId, code: Code, goodbye: Option<Goodbye>) {
        if !self.get(id).is_some_and(Link::is_up) {
            return;
        }
        let given_up = given_up_for(code);
        self.change(id, |link| {
            let waiting = std::mem::take(&mut link.queue).into_items();
            cx.stats.give_up(waiting.map(|item| item.owed.copies()).sum(), given_up);
            link.ring = Ring::default();
            link.kind = LinkKind::Closing(code);
            link.about.untold.clear();
        });
        if let Some(wake) = self.get(id).map(|link| link.wake) {
            self.deadlines.remove(&(wake, id));
        }
        cx.out.push_back(Output::Close { link: id, goodbye });
    }

    /// A link is gone; what it was and why, our own reason first.
    pub(crate) fn closed(&mut self, cx: &mut Context, id: LinkId, why: Code) -> Option<(Link, Code)> {
        let mut link = self.take_out(id)?;
        let why = if let LinkKind::Closing(ours) = link.kind { ours } else { why };
        let waiting = std::mem::take(&mut link.queue).into_items().map(|item| item.owed.copies());
        let out = link.out.copies();
        cx.stats.give_up(waiting.sum::<u64>().saturating_add(out), given_up_for(why));
        cx.stats.close(why);
        Some((link, why))
    }

    fn take_out(&mut self, id: LinkId) -> Option<Link> {
        let link = self.table.remove(id)?;
        self.deadlines.remove(&(link.wake, id));
        Some(link)
    }

    /// Closes the link as soon as nothing waits for it any more, and at the latest after a while.
    pub(crate) fn finish(&mut self, cx: &mut Context, id: LinkId, code: Code) -> Verdict {
        let Some(slot) = self.slot(id) else { return Verdict::Fine };
        if self.table.get(slot).is_some_and(Link::is_done) {
            return Verdict::Close(code);
        }
        self.table.change(slot, |_, link| link.about.finish = Some((code, cx.now + DRAIN_TIME)));
        self.arm(slot);
        Verdict::Fine
    }

    /// The routes that a neighbour has not counted, and those that wait for it, in their order: its link is over.
    ///
    /// Their copies are still owed. Nothing else that waits is a copy.
    pub(crate) fn take_routes(&mut self, cx: &mut Context, id: LinkId) -> Vec<Item> {
        let taken = |link: &mut Link| {
            let Some(hop) = &mut link.about.hop else { return Vec::new() };
            let mut routes: Vec<Item> = hop.take().collect();
            cx.stats.resent += u64::try_from(routes.len()).unwrap_or(u64::MAX);
            let waiting = std::mem::take(&mut link.queue).into_items();
            routes.extend(waiting.filter(Item::is_route));
            routes.iter_mut().for_each(|route| route.weight = None);
            routes
        };
        self.change(id, taken).unwrap_or_default()
    }

    /// What waits for a link, here and with the driver, in bytes; without end for one that is not up.
    pub(crate) fn held_by(&self, id: LinkId) -> usize {
        self.get(id).filter(|link| link.is_up()).map_or(usize::MAX, Link::held)
    }

    /// Whether a frame of so many bytes would push nothing else out of the queue of a link.
    pub(crate) fn has_room(&self, id: LinkId, len: usize) -> bool {
        self.get(id).is_some_and(|link| link.is_up() && link.fits(len))
    }

    /// The posts that were dropped on a link since it came up.
    pub(crate) fn dropped(&self, id: LinkId) -> u64 {
        self.get(id).map_or(0, |link| link.about.dropped)
    }

    /// What may be out with the driver for a client: as much as leaves room for all, within bounds. Links that take
    /// nothing do not make it smaller.
    fn window(&self) -> usize {
        if self.table.held() <= self.max_held / WINDOWS_FREE {
            return WINDOW_CLIENT;
        }
        let part = (self.max_held / WINDOWS_SHARE).checked_div(self.table.len());
        part.unwrap_or(WINDOW_CLIENT).clamp(WINDOW_CLIENT_MIN, WINDOW_CLIENT)
    }

    /// What all links take of the memory, in bytes: frames that several hold count once.
    fn held(&self) -> usize {
        self.table.held().saturating_add(self.scales.sum())
    }

    /// All queues together, and the longest, in bytes.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.held(), self.iter().map(|(_, link)| link.held()).max().unwrap_or(0))
    }
}

/// What the copies that a link still has count as, when it ends for this reason.
const fn given_up_for(why: Code) -> DroppedFor {
    match why {
        Code::SlowConsumer => DroppedFor::SlowConsumer,
        Code::Shutdown => DroppedFor::Shutdown,
        _ => DroppedFor::LinkDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Owed;
    use bytes::Bytes;

    #[test]
    fn an_idle_link_takes_less_than_half_a_kilobyte() {
        let size = size_of::<Option<(LinkId, Link)>>() + size_of::<About>();
        assert!(size <= 512, "{size} bytes, of the kilobyte that a session and its maps may take");
    }

    fn new() -> NewLink {
        NewLink {
            kind: LinkKind::Client,
            remote: "mem://x".parse().unwrap(),
            observed: [127, 0, 0, 1].into(),
            features: Features::NONE,
            pace: None,
        }
    }

    #[test]
    fn windows_are_smaller_while_much_is_out_and_not_because_of_idle_links() {
        let (mut links, mut cx) = (Links::new(8 << 20), Context::new([1; 32]));
        let ids: Vec<LinkId> = (0..200).map(LinkId).collect();
        for id in &ids {
            links.open(Time::ZERO, *id, new());
        }
        assert_eq!(links.window(), WINDOW_CLIENT);
        let frame = Item::control(Bytes::new(), Bytes::from(vec![7; 30_000]));
        for id in ids.iter().chain(&ids) {
            assert_eq!(links.send_item(&mut cx, *id, frame.clone()), Outcome::Taken);
        }
        let out = |links: &Links| ids.iter().map(|id| links.get(*id).unwrap().out.bytes).collect::<Vec<_>>();
        assert_eq!(
            (links.window(), out(&links)),
            (WINDOW_CLIENT_MIN, vec![30_000; 200]),
            "one frame goes always"
        );
        for id in &ids[..150] {
            assert_eq!(links.flushed(&mut cx, *id, 30_000), Verdict::Fine);
            assert_eq!(links.flushed(&mut cx, *id, 30_000), Verdict::Fine);
        }
        assert_eq!(links.window(), WINDOW_CLIENT_MIN);
        for id in &ids[150..] {
            assert_eq!(links.flushed(&mut cx, *id, 30_000), Verdict::Fine);
            assert_eq!(links.flushed(&mut cx, *id, 30_000), Verdict::Fine);
        }
        assert_eq!((links.window(), out(&links)), (WINDOW_CLIENT, vec![0; 200]));
    }

    /// Sends so many frames of a class to a link, each of a thousand bytes.
    fn fill(links: &mut Links, cx: &mut Context, id: u64, class: SendClass, frames: usize) -> usize {
        let item = Item { class, owed: Owed::Session, ..Item::control(Bytes::new(), vec![7; 1_000].into()) };
        let took = (0..frames).filter(|_| {
            cx.stats.owe(1);
            links.send_item(cx, LinkId(id), item.clone()) == Outcome::Taken
        });
        took.count()
    }

    #[test]
    fn who_does_not_read_what_must_not_be_dropped_is_given_up_before_others_lose_anything() {
        let (mut links, mut cx) = (Links::new(16 << 20), Context::new([1; 32]));
        for id in 0..20 {
            links.open(Time::ZERO, LinkId(id), new());
        }
        assert_eq!(fill(&mut links, &mut cx, 0, SendClass::Channel, 200), 200);
        for id in 1..20 {
            assert_eq!(fill(&mut links, &mut cx, id, SendClass::Direct, 800), 800, "{id}");
            assert!(links.sizes().0 <= 4 << 20, "{}", links.sizes().0);
        }
        assert!(cx.stats.closes() && !cx.stats.dropped.contains_key(&DroppedFor::Memory), "{:?}", cx.stats);
        let at = Time::ZERO + Duration::from_millis(1);
        let due: Vec<LinkId> = std::iter::from_fn(|| links.pop_due(at)).collect();
        assert!((12..19).contains(&due.len()) && !due.contains(&LinkId(0)), "{due:?}");
        cx.now = at;
        assert!(due.iter().all(|id| links.wake(&mut cx, *id) == Verdict::Close(Code::SlowConsumer)));
    }

    #[test]
    fn what_cannot_be_taken_back_is_not_looked_for_with_every_frame() {
        let (mut links, mut cx) = (Links::new(1 << 20), Context::new([1; 32]));
        for id in 0..100 {
            links.open(Time::ZERO, LinkId(id), new());
            assert_eq!(fill(&mut links, &mut cx, id, SendClass::Direct, 8), 8);
        }
        let (held, spared) = (links.sizes().0, links.spared);
        assert!(held > links.max_held && held <= spared && spared <= held + links.max_held / 16 + 2_000);
        assert_eq!(fill(&mut links, &mut cx, 0, SendClass::Channel, 10), 10, "others go on meanwhile");
        // What was put out is with the driver.
        cx.out.clear();
        for id in 0..100 {
            assert_eq!(links.flushed(&mut cx, LinkId(id), 20_000), Verdict::Fine);
        }
        assert!(links.sizes().0 < links.max_held);
    }

    #[test]
    fn a_place_is_given_again_only_after_its_link_is_gone() {
        let mut links = Links::new(1 << 20);
        let mut cx = Context::new([1; 32]);
        let first = links.open(Time::ZERO, LinkId(1), new());
        assert!(links.open(Time::ZERO, LinkId(1), new()).is_none(), "an id is not used twice");
        let second = links.open(Time::ZERO, LinkId(2), new());
        assert_ne!(first, second);
        assert!(links.closed(&mut cx, LinkId(1), Code::Ok).is_some());
        assert_eq!(links.open(Time::ZERO, LinkId(3), new()), first);
        assert_eq!(links.iter().map(|(id, _)| id).collect::<Vec<_>>(), [LinkId(2), LinkId(3)]);
    }
}
