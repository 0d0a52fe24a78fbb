//! What one turn of the loop sends: copied once for all links that get the same, and handed over once a link.

use crate::LinkId;
use crate::link::Outbox;
use bytes::Bytes;
use darkchat_node::Frames;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes after which a turn ends, so that they leave while the next ones come.
const TURN_BYTES: usize = 64 * 1024;
/// Frames for one link each after which a turn ends: a few milliseconds of handing out.
const TURN_COPIES: usize = 32 * 1024;
/// Lists that are kept for the next turn: as many links as a fan-out often has.
const LISTS: usize = 1024;
/// Pieces that such a list has room for at most.
const LIST_MAX: usize = 16;
/// Bytes from which a body is shared as it is instead of being copied with the rest.
const LONG_BODY: usize = 4 * 1024;

/// The links, and what the turn at hand has for them.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    links: HashMap<LinkId, Slot>,
    /// Heads and short bodies, one behind the other: frames for the same links become one run.
    copied: Vec<u8>,
    /// All bytes of the turn, shared ones too.
    bytes: usize,
    copies: usize,
    /// Links that get something.
    touched: Vec<LinkId>,
    /// Empty lists for their pieces: a link that gets nothing holds none.
    lists: Vec<Vec<Piece>>,
    /// The frames that were added last: links that are behind often get the same ones, each for itself.
    placed: Option<Frames>,
    /// Where each of them is.
    parts: Vec<Part>,
}

/// Where a frame is: its head and a short body, and a long body.
#[derive(Debug)]
struct Part {
    copied: Range<usize>,
    shared: Option<Bytes>,
}

#[derive(Debug)]
struct Slot {
    outbox: Arc<Outbox>,
    pieces: Vec<Piece>,
    is_closing: bool,
}

#[derive(Debug)]
enum Piece {
    Copied(Range<usize>),
    Shared(Bytes),
}

impl Slot {
    /// Adds a range, as part of the one before where they touch.
    fn add(&mut self, range: &Range<usize>) {
        match self.pieces.last_mut() {
            Some(Piece::Copied(last)) if last.end == range.start => last.end = range.end,
            _ => self.pieces.push(Piece::Copied(range.clone())),
        }
    }

    fn is_untouched(&self) -> bool {
        self.pieces.is_empty() && !self.is_closing
    }
}

impl Turn {
    pub(crate) fn insert(&mut self, outbox: Arc<Outbox>) {
        self.links.insert(outbox.link(), Slot { outbox, pieces: Vec::new(), is_closing: false });
    }

    /// Forgets a link; returns what it had written and nobody was told of yet.
    pub(crate) fn remove(&mut self, link: LinkId) -> Option<usize> {
        let slot = self.links.remove(&link)?;
        Some(slot.outbox.take_flushed()).filter(|bytes| *bytes > 0)
    }

    pub(crate) fn has_no_links(&self) -> bool {
        self.links.is_empty()
    }

    pub(crate) fn outbox(&self, link: LinkId) -> Option<&Arc<Outbox>> {
        self.links.get(&link).map(|slot| &slot.outbox)
    }

    /// Whether enough has gathered.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= TURN_BYTES || self.copies >= TURN_COPIES
    }

    /// Adds frames for some links.
    pub(crate) fn send(&mut self, links: &[LinkId], frames: &Frames) {
        let first = self.place(frames);
        let parts = self.parts.get(first..first.saturating_add(frames.count())).unwrap_or_default();
        self.copies = self.copies.saturating_add(links.len().saturating_mul(parts.len()));
        for link in links {
            let Some(slot) = self.links.get_mut(link) else { continue };
            if slot.is_untouched() {
                self.touched.push(*link);
                slot.pieces = self.lists.pop().unwrap_or_default();
            }
            for run in parts.chunk_by(|part, _| part.shared.is_none()) {
                let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
                slot.add(&(first.copied.start..last.copied.end));
                if let Some(body) = &last.shared {
                    slot.pieces.push(Piece::Shared(body.clone()));
                }
            }
        }
    }

    /// Puts the bytes of frames behind the others, unless they are there. Which part is that of the first one.
    fn place(&mut self, frames: &Frames) -> usize {
        if let Some(first) = self.placed.as_ref().and_then(|placed| placed.find(frames)) {
            return first;
        }
        self.parts.clear();
        for (head, body) in frames.iter() {
            let start = self.copied.len();
            self.copied.extend_from_slice(head);
            let is_long = body.len() >= LONG_BODY;
            if !is_long {
                self.copied.extend_from_slice(body);
            }
            self.bytes = self.bytes.saturating_add(head.len()).saturating_add(body.len());
            self.parts.push(Part { copied: start..self.copied.len(), shared: is_long.then(|| body.clone()) });
        }
        self.placed = Some(frames.clone());
        0
    }

    /// Ends a link behind what was added for it.
    pub(crate) fn close(&mut self, link: LinkId) {
        let Some(slot) = self.links.get_mut(&link) else { return };
        if slot.is_untouched() {
            self.touched.push(link);
        }
        slot.is_closing = true;
    }

    /// Ends all links where they are.
    pub(crate) fn cut(&mut self) {
        self.links.drain().for_each(|(_, slot)| slot.outbox.close());
    }

    /// Hands everything over. One allocation of the right size for all links; one lock and one wake-up for each.
    pub(crate) fn leave(&mut self) {
        (self.bytes, self.copies) = (0, 0);
        self.placed = None;
        self.parts.clear();
        if self.touched.is_empty() {
            self.copied.clear();
            return;
        }
        let copied = Bytes::copy_from_slice(&self.copied);
        self.copied.clear();
        for link in self.touched.drain(..) {
            let Some(slot) = self.links.get_mut(&link) else { continue };
            if !slot.pieces.is_empty() {
                slot.outbox.push(slot.pieces.drain(..).map(|piece| match piece {
                    Piece::Copied(range) => copied.slice(range),
                    Piece::Shared(body) => body,
                }));
            }
            // A busy moment leaves few lists behind, and no large ones.
            let list = std::mem::take(&mut slot.pieces);
            if self.lists.len() < LISTS && (1..=LIST_MAX).contains(&list.capacity()) {
                self.lists.push(list);
            }
            if std::mem::take(&mut slot.is_closing) {
                slot.outbox.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(links: u64) -> (Turn, Vec<Arc<Outbox>>) {
        let outboxes: Vec<_> = (0..links).map(|link| Arc::new(Outbox::new(LinkId(link)))).collect();
        let mut turn = Turn::default();
        outboxes.iter().for_each(|outbox| turn.insert(outbox.clone()));
        (turn, outboxes)
    }

    fn frame(head: &'static [u8], body: Bytes) -> Frames {
        Frames::from_iter([(Bytes::from_static(head), body)])
    }

    #[test]
    fn a_link_gets_its_frames_in_order_and_those_of_no_other() {
        let (mut turn, outboxes) = turn(2);
        let long = Bytes::from(vec![b'x'; LONG_BODY]);
        turn.send(&[LinkId(0), LinkId(1)], &frame(b"one ", Bytes::new()));
        turn.send(&[LinkId(1)], &frame(b"two ", Bytes::from_static(b"2 ")));
        turn.send(&[LinkId(0)], &frame(b"three ", long.clone()));
        turn.send(&[LinkId(0), LinkId(7)], &frame(b"four ", Bytes::new()));
        turn.leave();
        assert_eq!(outboxes[0].written(), [&b"one three "[..], &long, b"four "].concat());
        assert_eq!(outboxes[1].written(), b"one two 2 ");
    }

    #[test]
    fn frames_for_the_same_links_become_one_run() {
        let (mut turn, outboxes) = turn(1);
        for _ in 0..100 {
            turn.send(&[LinkId(0)], &frame(b"head", Bytes::from_static(b"body")));
        }
        turn.leave();
        assert_eq!(outboxes[0].runs(), 1);
        assert_eq!(outboxes[0].written().len(), 800);
    }

    #[test]
    fn frames_that_several_links_get_each_for_itself_are_copied_once() {
        let (mut turn, outboxes) = turn(3);
        let long = Bytes::from(vec![b'x'; LONG_BODY]);
        let bodies =
            [Bytes::from_static(b"1 "), Bytes::from_static(b"2 "), long.clone(), Bytes::from_static(b"4 ")];
        let all = Frames::from_iter(bodies.map(|body| (Bytes::from_static(b"head "), body)));
        let mut rest = all.clone();
        turn.send(&[LinkId(0)], &all);
        turn.send(&[LinkId(1)], &all);
        assert_eq!(rest.skip_first(), Some("head 1 ".len()));
        turn.send(&[LinkId(2)], &rest);
        assert_eq!(turn.copied.len(), "head 1 head 2 head head 4 ".len());
        turn.leave();
        let text = [&b"head 1 head 2 head "[..], &long, b"head 4 "].concat();
        assert_eq!((outboxes[0].written(), outboxes[1].written()), (text.clone(), text.clone()));
        assert_eq!(outboxes[2].written(), text["head 1 ".len()..]);
        turn.send(&[LinkId(0)], &all);
        turn.leave();
        assert_eq!(outboxes[0].written(), text, "the next turn has bytes of its own");
    }

    #[test]
    fn a_link_that_got_something_holds_no_list_afterwards() {
        let (mut turn, _outboxes) = turn(2);
        turn.send(&[LinkId(0), LinkId(1)], &frame(b"head", Bytes::new()));
        turn.leave();
        assert!(turn.links.values().all(|slot| slot.pieces.capacity() == 0));
        assert_eq!(turn.lists.len(), 2);
        turn.send(&[LinkId(0)], &frame(b"head", Bytes::new()));
        assert_eq!(turn.lists.len(), 1, "it is used again");
    }

    #[test]
    fn few_lists_are_kept_and_no_large_ones() {
        let links = u64::try_from(LISTS).unwrap() + 5;
        let (mut turn, _outboxes) = turn(links);
        let all: Vec<_> = (0..links).map(LinkId).collect();
        turn.send(&all, &frame(b"head", Bytes::new()));
        turn.leave();
        assert_eq!(turn.lists.len(), LISTS);
        turn.lists.clear();
        let long = Bytes::from(vec![b'x'; LONG_BODY]);
        turn.send(&[LinkId(0)], &Frames::from_iter(vec![(Bytes::new(), long); 2 * LIST_MAX]));
        turn.leave();
        assert!(turn.lists.is_empty());
    }

    #[test]
    fn a_turn_says_when_it_is_full_and_begins_anew() {
        let (mut turn, _outboxes) = turn(1);
        turn.send(&[LinkId(0)], &frame(b"", Bytes::from(vec![0; TURN_BYTES])));
        assert!(turn.is_full());
        turn.leave();
        assert!(!turn.is_full());
    }

    #[test]
    fn a_closed_link_gets_what_came_before_and_nothing_after_it_is_forgotten() {
        let (mut turn, outboxes) = turn(1);
        turn.send(&[LinkId(0)], &frame(b"bye", Bytes::new()));
        turn.close(LinkId(0));
        turn.leave();
        assert!(outboxes[0].is_closing());
        assert_eq!(turn.remove(LinkId(0)), None);
        turn.send(&[LinkId(0)], &frame(b"late", Bytes::new()));
        turn.leave();
        assert_eq!(outboxes[0].written(), b"bye");
    }
}
