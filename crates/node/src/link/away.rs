//! Links whose client is away for a moment: what waits for it, and the link that goes on. Source: section 5.4.

use super::send::let_go;
use super::{Link, LinkKind, Links};
use crate::context::Context;
use crate::queue::Owed;
use crate::resume::RING;
use crate::{DroppedFor, LinkId};
use darkchat_proto::{Code, Time};
use std::time::Duration;

impl Link {
    /// Whether it is only kept for a client that may come back.
    pub(super) const fn is_away(&self) -> bool {
        matches!(self.kind, LinkKind::Away(_))
    }

    /// All that it holds: what waits, what is with the driver, and what is kept for a resume.
    pub(super) fn weight(&self) -> usize {
        self.held().saturating_add(self.ring.bytes())
    }

    /// What it may hold, in frames that wait, while its client is away.
    pub(super) fn fits_away(&self, len: usize) -> bool {
        self.weight().saturating_add(len) <= RING
    }

    /// Whether a client that has processed so many frames can go on from here.
    pub(crate) fn reaches(&self, now: Time, received: u64) -> bool {
        self.ring.reaches(now, received)
    }
}

impl Links {
    /// Keeps frames of this session from now on; `before` were sent on earlier links.
    pub(crate) fn keep_frames(&mut self, id: LinkId, before: u64) {
        if let Some(link) = self.get_mut(id) {
            link.ring.start(before);
        }
    }

    /// The client has processed so many frames of its session.
    pub(crate) fn acked(&mut self, id: LinkId, received: u64) {
        let Some(link) = self.get_mut(id) else { return };
        let before = link.ring.bytes();
        link.ring.acked(received);
        let after = link.ring.bytes();
        self.held = self.held.saturating_sub(before).saturating_add(after);
    }

    /// A client's link is lost; what it holds is kept. `false` if there is none, or it ends anyway.
    pub(crate) fn leave_alone(&mut self, cx: &mut Context, id: LinkId, why: Code) -> bool {
        let Some(link) = self.get_mut(id) else { return false };
        if link.kind != LinkKind::Client || link.about.finish.is_some() {
            return false;
        }
        link.kind = LinkKind::Away(cx.now);
        let wake = std::mem::replace(&mut link.wake, Time::MAX);
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
        let out: u64 = link.sent.iter().map(|sent| sent.owed.copies()).sum();
        cx.stats.give_up(copies.saturating_add(out), DroppedFor::LinkDown);
        true
    }

    /// A new link gets all that another one holds for its client, who has processed `received` frames.
    pub(crate) fn go_on_from(&mut self, cx: &mut Context, old: LinkId, new: LinkId, received: u64) {
        let Some(was) = self.get_mut(old) else { return };
        let away = match was.kind {
            LinkKind::Away(since) => cx.now.saturating_since(since),
            _ => Duration::ZERO,
        };
        let before = was.weight();
        let mut ring = std::mem::take(&mut was.ring);
        let mut queue = std::mem::take(&mut was.queue);
        let sent = std::mem::take(&mut was.sent);
        let untold = std::mem::take(&mut was.about.untold);
        let (dropped, slow) = (was.about.dropped, was.about.slow);
        let (after, is_away) = (was.weight(), was.is_away());
        self.held = self.held.saturating_sub(before).saturating_add(after);
        if is_away {
            self.take_out(old);
        }
        let unflushed = sent.iter().filter(|sent| sent.owed == Owed::Session).count();
        let again = ring.again(received, unflushed);
        (0..again.done).for_each(|_| cx.stats.done(Owed::Session));
        cx.stats.resent = cx.stats.resent.saturating_add(again.resent);
        queue.shift(away);
        queue.push_again(cx.now, again.items);
        let Some(slot) = self.slot(new) else { return };
        let Some((_, link)) = self.at(slot) else { return };
        let before = link.weight();
        link.ring.start(received);
        link.queue = queue;
        link.about.untold = untold;
        link.about.dropped = dropped;
        link.about.slow = slow;
        let_go(cx, link);
        let after = link.weight();
        self.held = self.held.saturating_sub(before).saturating_add(after);
        self.arm(slot);
    }

    /// Forgets what was kept for long enough.
    pub(super) fn age_ring(&mut self, now: Time, id: LinkId) {
        let Some(link) = self.get_mut(id) else { return };
        let before = link.ring.bytes();
        link.ring.age(now);
        link.ring.shrink();
        let after = link.ring.bytes();
        self.held = self.held.saturating_sub(before).saturating_add(after);
    }

    /// Halves what is kept for resumes, while all together hold more than `target`.
    pub(super) fn halve_rings(&mut self, target: usize) {
        for (_, link) in self.slots.iter_mut().flatten() {
            if self.held <= target {
                return;
            }
            let before = link.ring.bytes();
            link.ring.halve();
            self.held = self.held.saturating_sub(before).saturating_add(link.ring.bytes());
        }
    }
}
