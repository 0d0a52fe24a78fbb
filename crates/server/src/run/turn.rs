//! What one turn of the loop sends: copied once for all links that get the same, and handed over once a link.

use crate::LinkId;
use crate::link::Outbox;
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes after which a turn ends, so that they leave while the next ones come.
const TURN_BYTES: usize = 64 * 1024;
/// Frames for one link each after which a turn ends: a few milliseconds of handing out.
const TURN_COPIES: usize = 32 * 1024;
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

    /// Adds a frame for some links.
    pub(crate) fn send(&mut self, links: &[LinkId], head: &[u8], body: Bytes) {
        let start = self.copied.len();
        self.copied.extend_from_slice(head);
        let shared = if body.len() < LONG_BODY {
            self.copied.extend_from_slice(&body);
            None
        } else {
            Some(body)
        };
        let range = start..self.copied.len();
        self.copies += links.len();
        self.bytes += range.len() + shared.as_ref().map_or(0, Bytes::len);
        for link in links {
            let Some(slot) = self.links.get_mut(link) else { continue };
            if slot.is_untouched() {
                self.touched.push(*link);
            }
            slot.add(&range);
            if let Some(body) = &shared {
                slot.pieces.push(Piece::Shared(body.clone()));
            }
        }
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
            // A busy moment leaves no large list behind on an idle link.
            if slot.pieces.capacity() > 16 {
                slot.pieces = Vec::new();
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

    #[test]
    fn a_link_gets_its_frames_in_order_and_those_of_no_other() {
        let (mut turn, outboxes) = turn(2);
        let long = Bytes::from(vec![b'x'; LONG_BODY]);
        turn.send(&[LinkId(0), LinkId(1)], b"one ", Bytes::new());
        turn.send(&[LinkId(1)], b"two ", Bytes::from_static(b"2 "));
        turn.send(&[LinkId(0)], b"three ", long.clone());
        turn.send(&[LinkId(0), LinkId(7)], b"four ", Bytes::new());
        turn.leave();
        assert_eq!(outboxes[0].written(), [&b"one three "[..], &long, b"four "].concat());
        assert_eq!(outboxes[1].written(), b"one two 2 ");
    }

    #[test]
    fn frames_for_the_same_links_become_one_run() {
        let (mut turn, outboxes) = turn(1);
        for _ in 0..100 {
            turn.send(&[LinkId(0)], b"head", Bytes::from_static(b"body"));
        }
        turn.leave();
        assert_eq!(outboxes[0].runs(), 1);
        assert_eq!(outboxes[0].written().len(), 800);
    }

    #[test]
    fn a_turn_says_when_it_is_full_and_begins_anew() {
        let (mut turn, _outboxes) = turn(1);
        turn.send(&[LinkId(0)], b"", Bytes::from(vec![0; TURN_BYTES]));
        assert!(turn.is_full());
        turn.leave();
        assert!(!turn.is_full());
    }

    #[test]
    fn a_closed_link_gets_what_came_before_and_nothing_after_it_is_forgotten() {
        let (mut turn, outboxes) = turn(1);
        turn.send(&[LinkId(0)], b"bye", Bytes::new());
        turn.close(LinkId(0));
        turn.leave();
        assert!(outboxes[0].is_closing());
        assert_eq!(turn.remove(LinkId(0)), None);
        turn.send(&[LinkId(0)], b"late", Bytes::new());
        turn.leave();
        assert_eq!(outboxes[0].written(), b"bye");
    }
}
