//! Frames that go to the same links one behind the other, kept once for all of them.

use crate::LinkId;
use crate::queue::Item;
use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

/// The most frames of one batch.
const BATCH_FRAMES: usize = 64;
/// Bytes after which a batch takes no more frames: who keeps one of them keeps them all.
const BATCH_BYTES: usize = 16 << 10;

/// Places for frames, filled in their order. Whoever names a place names one that is filled.
type Batch = [OnceLock<Item>];

/// Frames that go out one behind the other, shared with all who get them: a clone costs no copy.
#[derive(Clone)]
pub struct Frames {
    batch: Arc<Batch>,
    first: usize,
    end: usize,
}

impl Frames {
    /// One frame that is in no batch with others.
    pub(crate) fn one(item: Item) -> Self {
        Self { batch: Arc::new([OnceLock::from(item)]), first: 0, end: 1 }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.end.saturating_sub(self.first)
    }

    /// In their order: of each the bytes up to the shared part, and the shared part, which may be empty.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.items().map(|item| (&item.head, &item.body))
    }

    /// All of them together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items().map(Item::len).sum()
    }

    /// The place of the first of `part` among these, if all of `part` are the very same frames, one behind the other.
    #[must_use]
    pub fn find(&self, part: &Self) -> Option<usize> {
        let is_part = part.end <= self.end && Arc::ptr_eq(&self.batch, &part.batch);
        part.first.checked_sub(self.first).filter(|_| is_part)
    }

    pub(crate) fn items(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.batch.get(self.first..self.end).unwrap_or_default().iter().filter_map(OnceLock::get)
    }

    pub(crate) fn first(&self) -> Option<&Item> {
        self.get(0)
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Item> {
        let place = self.first.checked_add(place).filter(|place| *place < self.end)?;
        self.batch.get(place)?.get()
    }

    /// Takes others in that stand right behind these; `false`, and nothing changes, if they do not.
    pub(crate) fn append(&mut self, next: &Self) -> bool {
        let follows = self.end == next.first && Arc::ptr_eq(&self.batch, &next.batch);
        if follows {
            self.end = next.end;
        }
        follows
    }

    /// Lets the first one go; its length in bytes.
    pub fn skip_first(&mut self) -> Option<usize> {
        let len = self.first()?.len();
        self.first = self.first.saturating_add(1);
        Some(len)
    }

    /// Takes the first one away from the others.
    pub(crate) fn split_first(&mut self) -> Option<Self> {
        self.first()?;
        let first = Self { end: self.first.saturating_add(1), ..self.clone() };
        self.first = first.end;
        Some(first)
    }

    /// Takes the last one away from the others.
    pub(crate) fn split_last(&mut self) -> Option<Self> {
        let last = self.end.checked_sub(1).filter(|last| *last >= self.first)?;
        let split = Self { first: last, ..self.clone() };
        self.end = last;
        Some(split)
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Frames of heads and bodies, as a driver makes them for what it says itself.
impl FromIterator<(Bytes, Bytes)> for Frames {
    fn from_iter<I: IntoIterator<Item = (Bytes, Bytes)>>(frames: I) -> Self {
        let batch: Arc<Batch> =
            frames.into_iter().map(|(head, body)| OnceLock::from(Item::control(head, body))).collect();
        Self { first: 0, end: batch.len(), batch }
    }
}

/// Puts frames for the same links into batches.
#[derive(Debug, Default)]
pub(crate) struct Batches(Option<Open>);

/// The batch that is being filled, and for whom.
#[derive(Debug)]
struct Open {
    links: Arc<[LinkId]>,
    /// Gone when nobody holds a frame of it any more: nothing is kept here for longer than by those who wait for it.
    batch: Weak<Batch>,
    filled: usize,
    bytes: usize,
}

impl Batches {
    /// Puts a frame behind the last one, if that was for the same links and its batch has room. Batches of busy links
    /// grow, so that a single frame takes no more than its own place.
    pub(crate) fn add(&mut self, links: &Arc<[LinkId]>, item: Item) -> Frames {
        let last = self.0.take().filter(|open| Arc::ptr_eq(&open.links, links));
        let there = last.as_ref().and_then(|open| {
            let batch = open.batch.upgrade()?;
            (open.filled < batch.len() && open.bytes < BATCH_BYTES).then_some(batch)
        });
        let (batch, mut open) = match (there, last) {
            (Some(batch), Some(open)) => (batch, open),
            (_, last) => {
                let places = last.map_or(1, |open| open.filled.saturating_mul(2).clamp(1, BATCH_FRAMES));
                let batch = new(places);
                let open = Open { links: links.clone(), batch: Arc::downgrade(&batch), filled: 0, bytes: 0 };
                (batch, open)
            }
        };
        let first = open.filled;
        open.bytes = open.bytes.saturating_add(item.len());
        open.filled = first.saturating_add(1);
        let is_free = batch.get(first).is_some_and(|place| place.set(item).is_ok());
        debug_assert!(is_free, "a batch has room for one more, and nobody else fills it");
        let frames = Frames { batch, first, end: open.filled };
        self.0 = Some(open);
        frames
    }
}

fn new(places: usize) -> Arc<Batch> {
    (0..places).map(|_| OnceLock::new()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::Scales;
    use bytes::Bytes;

    fn item(len: usize) -> Item {
        Item::control(Bytes::new(), Bytes::from(vec![7; len]))
    }

    fn links(of: &[u64]) -> Arc<[LinkId]> {
        of.iter().copied().map(LinkId).collect()
    }

    /// The numbers of frames that stood together, of so many of this length.
    fn batches(frames: usize, len: usize) -> Vec<usize> {
        let (mut batches, links) = (Batches::default(), links(&[1, 2]));
        let mut found: Vec<Frames> = Vec::new();
        for _ in 0..frames {
            let next = batches.add(&links, item(len));
            if !found.last_mut().is_some_and(|last| last.append(&next)) {
                found.push(next);
            }
        }
        found.iter().map(Frames::count).collect()
    }

    #[test]
    fn a_batch_is_bounded_in_frames_and_bytes_and_grows_with_the_traffic() {
        assert_eq!(batches(1, 10), [1]);
        assert_eq!(batches(200, 10), [1, 2, 4, 8, 16, 32, 64, 64, 9]);
        assert_eq!(batches(5, BATCH_BYTES), [1; 5]);
        assert_eq!(batches(40, 1_024), [1, 2, 4, 8, 16, 9]);
    }

    #[test]
    fn what_nobody_holds_any_more_is_gone_though_its_batch_had_room() {
        let (mut batches, links, scales) = (Batches::default(), links(&[1, 2]), Scales::default());
        let frames: Vec<Frames> = (0..3).map(|_| batches.add(&links, item(100).weigh(&scales))).collect();
        assert!(scales.sum() >= 300);
        drop(frames);
        assert_eq!(scales.sum(), 0);
    }

    #[test]
    fn frames_for_other_links_stand_apart() {
        let (mut batches, [one, two]) = (Batches::default(), [links(&[1]), links(&[2])]);
        batches.add(&one, item(1));
        let mut first = batches.add(&one, item(1));
        let other = batches.add(&two, item(1));
        let again = batches.add(&one, item(1));
        assert!(!first.append(&other) && !first.append(&again));
        assert_eq!((first.count(), other.count(), again.count()), (1, 1, 1));
    }

    #[test]
    fn frames_come_off_both_ends_one_by_one() {
        let (mut batches, links) = (Batches::default(), links(&[1]));
        let mut all: Vec<Frames> = (1..=3).map(|len| batches.add(&links, item(len))).collect();
        let last = all.pop().unwrap();
        let mut pair = all.pop().unwrap();
        assert!(pair.append(&last) && !pair.append(&last), "each once");
        assert_eq!(pair.items().map(Item::len).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((pair.get(1).map(Item::len), pair.bytes()), (Some(3), 5));
        assert_eq!((pair.find(&pair), pair.find(&last), last.find(&pair)), (Some(0), Some(1), None));
        assert_eq!(pair.find(&Frames::one(item(2))), None, "equal is not the same");
        assert_eq!(pair.split_last().and_then(|last| last.first().map(Item::len)), Some(3));
        assert_eq!(pair.split_first().and_then(|first| first.first().map(Item::len)), Some(2));
        assert_eq!((pair.count(), pair.skip_first(), pair.get(0).is_none()), (0, None, true));
        assert!(pair.split_first().is_none() && pair.split_last().is_none());
    }
}
