//! Links whose client is away for a moment: what waits for it, and the link that goes on. Source: section 5.4.

use super::send::let_go;
use super::{Link, LinkKind, Links, Slot};
use crate::context::Context;
use crate::queue::{Owed, Queue};
use crate::resume::{RING, Ring};
use crate::{DroppedFor, LinkId};
use darkchat_proto::{ChannelId, Code, Time};
use std::collections::BTreeMap;
use std::time::Duration;

impl Link {
    /// Whether it is only kept for a client that may come back.
    pub(super) const fn is_away(&self) -> bool {
        matches!(self.kind, LinkKind::Away(_))
    }

    /// What it may hold, in frames that wait, while its client is away.
    pub(super) fn fits_away(&self, len: usize) -> bool {
        self.held().saturating_add(self.ring.bytes()).saturating_add(len) <= RING
    }

    /// Whether a client that has processed so many frames can go on from here.
    pub(crate) fn reaches(&self, now: Time, received: u64) -> bool {
        self.ring.reaches(now, received)
    }
}

impl Links {
    /// Keeps frames of this session from now on; `before` were sent on earlier links.
    pub(crate) fn keep_frames(&mut self, id: LinkId, before: u64) {
        self.change(id, |link| link.ring.start(before));
    }

    /// The client has processed so many frames of its session.
    pub(crate) fn acked(&mut self, id: LinkId, received: u64) {
        self.change(id, |link| link.ring.acked(received));
    }

    /// A client's link is lost; what it holds is kept. `false` if there is none, or it ends anyway.
    pub(crate) fn leave_alone(&mut self, cx: &mut Context, id: LinkId, why: Code) -> bool {
        let leaves = |link: &mut Link| {
            let stays = link.kind == LinkKind::Client && link.about.finish.is_none();
            stays.then(|| {
                link.kind = LinkKind::Away(cx.now);
                std::mem::replace(&mut link.wake, Time::MAX)
            })
        };
        let Some(wake) = self.change(id, leaves).flatten() else { return false };
        self.deadlines.remove(&(wake, id));
        cx.stats.close(why);
        true
    }

    /// Whether a link is only kept for a client that may come back.
    pub(crate) fn is_away(&self, id: LinkId) -> bool {
        self.get(id).is_some_and(Link::is_away)
    }

    /// A client did not come back: what was kept is given up.
    pub(crate) fn forget(&mut self, cx: &mut Context, id: LinkId) -> bool {
        if !self.is_away(id) {
            return false;
        }
        let Some(link) = self.take_out(id) else { return false };
        let copies = link.queue.into_items().map(|item| item.owed.copies()).sum::<u64>();
        let out = link.out.copies();
        cx.stats.give_up(copies.saturating_add(out), DroppedFor::LinkDown);
        true
    }

    /// A new link gets all that another one holds for its client, who has processed `received` frames.
    pub(crate) fn go_on_from(&mut self, cx: &mut Context, old: LinkId, new: LinkId, received: u64) {
        let Some(mut left) = self.change(old, |was| Left::take(cx.now, was)) else { return };
        if self.is_away(old) {
            self.take_out(old);
        }
        let again = left.ring.again(received, left.unflushed);
        (0..again.done).for_each(|_| cx.stats.done(Owed::Session));
        cx.stats.resent = cx.stats.resent.saturating_add(again.resent);
        left.queue.shift(left.away);
        left.queue.push_again(cx.now, again.items);
        let Some(slot) = self.slot(new) else { return };
        let window = self.window();
        self.table.change(slot, |id, link| {
            link.ring.start(received);
            link.queue = left.queue;
            link.about.untold = left.untold;
            link.about.dropped = left.dropped;
            link.about.slow = left.slow;
            let_go(cx, window, id, link);
        });
        self.arm(slot);
    }

    /// Forgets what was kept for long enough.
    pub(super) fn age_ring(&mut self, now: Time, id: LinkId) {
        self.change(id, |link| {
            link.ring.age(now);
            link.ring.shrink();
        });
    }

    /// Halves what is kept for resumes, while all together hold more than `target`.
    pub(super) fn halve_rings(&mut self, target: usize) {
        let places: Vec<Slot> = self.table.places().map(|(slot, _)| slot).collect();
        for slot in places {
            if self.held() <= target {
                return;
            }
            self.table.change(slot, |_, link| link.ring.halve());
        }
    }
}

/// What a lost link leaves to the one that goes on with its session.
struct Left {
    ring: Ring,
    queue: Queue,
    /// The messages that went out and nobody told us that they had left.
    unflushed: usize,
    untold: BTreeMap<ChannelId, u64>,
    dropped: u64,
    slow: bool,
    /// How long nobody could read.
    away: Duration,
}

impl Left {
    fn take(now: Time, link: &mut Link) -> Self {
        let out = std::mem::take(&mut link.out);
        let away = match link.kind {
            LinkKind::Away(since) => now.saturating_since(since),
            _ => Duration::ZERO,
        };
        Self {
            ring: std::mem::take(&mut link.ring),
            queue: std::mem::take(&mut link.queue),
            unflushed: usize::try_from(out.copies()).unwrap_or(usize::MAX),
            untold: std::mem::take(&mut link.about.untold),
            dropped: link.about.dropped,
            slow: link.about.slow,
            away,
        }
    }
}
