//! What waits for one link: by class, and within a class by turns over the links it came from. Source: section 10.3.

use crate::frames::Frames;
use crate::weight::{Scales, Weight};
use crate::{LinkId, SendClass};
use bytes::Bytes;
use darkchat_proto::limits::{MAX_FRAME, MAX_PREFIX};
use darkchat_proto::{ChannelId, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a source may send in its turn, in bytes: at least the largest frame, so that each turn brings something.
const QUANTUM: usize = MAX_FRAME + MAX_PREFIX;

/// The copies that a frame is (13.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    /// Not a message.
    Nothing,
    /// One, to a session.
    Session,
    /// One for each destination server.
    Servers(u32),
}

impl Owed {
    pub(crate) fn copies(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Session => 1,
            Self::Servers(count) => count.into(),
        }
    }
}

/// A frame on its way to links.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Up to the shared part.
    pub(crate) head: Bytes,
    /// The shared part.
    pub(crate) body: Bytes,
    /// Its class.
    pub(crate) class: SendClass,
    /// The link that it came from; frames of our own have a source of their own.
    pub(crate) source: LinkId,
    /// The copies that it is, for each link.
    pub(crate) owed: Owed,
    /// The channel of a post to sessions, for the notice if it is dropped.
    pub(crate) channel: Option<Arc<ChannelId>>,
    /// How many destinations it names as a `Route`, which the neighbour counts; 0 if it is none.
    pub(crate) destinations: u16,
    /// Whether it is a frame of a client's session.
    pub(crate) counted: Counted,
    /// What it takes of the memory, from when it is sent on.
    pub(crate) weight: Option<Weight>,
}

/// Whether a frame counts in a session that can be resumed (5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    No,
    Yes,
    /// It does, and goes again: it went out first at that time.
    Again(Time),
}

/// The source of what the node says itself; no link has this id.
pub(crate) const OURSELVES: LinkId = LinkId(u64::MAX);

impl Item {
    /// A frame of our own that is not a message.
    pub(crate) const fn control(head: Bytes, body: Bytes) -> Self {
        let (class, source, owed, counted) = (SendClass::Control, OURSELVES, Owed::Nothing, Counted::No);
        Self { head, body, class, source, owed, channel: None, destinations: 0, counted, weight: None }
    }

    /// Whether it is a `Route`.
    pub(crate) const fn is_route(&self) -> bool {
        self.destinations > 0
    }

    /// From now on it counts.
    pub(crate) fn weigh(self, scales: &Scales) -> Self {
        Self { weight: Some(scales.weigh(size_of::<Self>().saturating_add(self.len()))), ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len().saturating_add(self.body.len())
    }
}

/// One source's part of a class.
#[derive(Debug, Default)]
struct Source {
    runs: VecDeque<(Time, Frames)>,
    bytes: usize,
    /// What is left of its turn, in bytes.
    credit: usize,
}

impl Source {
    /// What comes at this place, from the next one on.
    fn len_at(&self, place: usize) -> Option<usize> {
        let (_, first) = self.runs.front()?;
        let item = match place.checked_sub(first.count()) {
            None => first.get(place),
            Some(rest) => self.runs.get(1).and_then(|(_, second)| second.get(rest)),
        };
        item.map(Item::len)
    }

    fn push_back(&mut self, at: Time, frame: &Frames) {
        if let Some((last, frames)) = self.runs.back_mut()
            && *last == at
            && frames.append(frame)
        {
            return;
        }
        self.runs.push_back((at, frame.clone()));
    }

    fn pop_front(&mut self) -> Option<Frames> {
        let (_, frames) = self.runs.front_mut()?;
        if frames.count() > 1 { frames.split_first() } else { self.runs.pop_front().map(|(_, frame)| frame) }
    }

    fn pop_back(&mut self) -> Option<Frames> {
        let (_, frames) = self.runs.back_mut()?;
        if frames.count() > 1 { frames.split_last() } else { self.runs.pop_back().map(|(_, frame)| frame) }
    }
}

/// One class: deficit round robin over its sources.
#[derive(Debug, Default)]
struct Turns {
    sources: BTreeMap<LinkId, Source>,
    order: VecDeque<LinkId>,
    /// The same sources by length, to find the longest; empty where there is only one.
    by_len: BTreeSet<(usize, LinkId)>,
    bytes: usize,
    /// The runs of all sources.
    runs: usize,
}

impl Turns {
    /// Adds a frame of this source, behind its others or before them.
    fn push(&mut self, at: Time, key: LinkId, frame: &Frames, end: End) {
        let len = frame.first().map_or(0, Item::len);
        let source = self.sources.entry(key).or_default();
        if source.runs.is_empty() {
            self.order.push_back(key);
        }
        let (before, runs) = (source.bytes, source.runs.len());
        source.bytes = before.saturating_add(len);
        match end {
            End::Front => source.runs.push_front((at, frame.clone())),
            End::Back => source.push_back(at, frame),
        }
        self.bytes = self.bytes.saturating_add(len);
        self.runs = self.runs.saturating_sub(runs).saturating_add(source.runs.len());
        let after = source.bytes;
        self.sort(key, before, after);
    }

    /// Keeps the sources sorted by length. Most links have one source, which costs nothing.
    fn sort(&mut self, key: LinkId, before: usize, after: usize) {
        if self.sources.len() < 2 {
            self.by_len.clear();
        } else if self.by_len.is_empty() {
            self.by_len.extend(self.sources.iter().map(|(key, source)| (source.bytes, *key)));
        } else {
            self.by_len.remove(&(before, key));
            if self.sources.contains_key(&key) {
                self.by_len.insert((after, key));
            }
        }
    }

    /// The source that has most waiting, and how much, in bytes.
    fn longest(&self) -> Option<(usize, LinkId)> {
        let only = || self.sources.first_key_value().map(|(key, source)| (source.bytes, *key));
        self.by_len.last().copied().or_else(only)
    }

    fn shift(&mut self, by: Duration) {
        for (at, _) in self.sources.values_mut().flat_map(|source| &mut source.runs) {
            *at = *at + by;
        }
    }

    fn next(&self) -> Option<&Item> {
        self.sources.get(self.order.front()?)?.runs.front().and_then(|(_, frames)| frames.first())
    }

    fn pop(&mut self) -> Option<Frames> {
        let key = self.order.front().copied()?;
        let source = self.sources.get_mut(&key)?;
        let len = source.len_at(0).unwrap_or(0);
        if source.credit < len {
            source.credit = source.credit.saturating_add(QUANTUM);
        }
        source.credit = source.credit.saturating_sub(len);
        let next = source.len_at(1);
        let turn_ends = next.is_none_or(|next| next > source.credit);
        let item = self.take(key, End::Front);
        if turn_ends {
            self.order.pop_front();
            if next.is_some() {
                self.order.push_back(key);
            }
        }
        item
    }

    /// Takes from one source, whose turn is left alone; a source without items goes.
    fn take(&mut self, key: LinkId, end: End) -> Option<Frames> {
        let source = self.sources.get_mut(&key)?;
        let runs = source.runs.len();
        let frame = match end {
            End::Front => source.pop_front(),
            End::Back => source.pop_back(),
        }?;
        self.runs = self.runs.saturating_sub(runs).saturating_add(source.runs.len());
        let len = frame.first().map_or(0, Item::len);
        let before = source.bytes;
        source.bytes = before.saturating_sub(len);
        self.bytes = self.bytes.saturating_sub(len);
        let after = source.bytes;
        if source.runs.is_empty() {
            self.sources.remove(&key);
        }
        self.sort(key, before, after);
        Some(frame)
    }

    /// Takes the newest of the longest source: a flooder pays for the room that it takes.
    fn cut(&mut self) -> Option<Frames> {
        let (_, key) = self.longest()?;
        let item = self.take(key, End::Back);
        self.forget_if_empty(key);
        item
    }

    fn forget_if_empty(&mut self, key: LinkId) {
        if !self.sources.contains_key(&key) {
            self.order.retain(|other| *other != key);
        }
    }

    fn oldest(&self) -> Option<Time> {
        self.sources.values().filter_map(|source| source.runs.front()).map(|(at, _)| *at).min()
    }

    /// Takes the oldest if it waited since `before` or longer.
    fn expire(&mut self, before: Time) -> Option<Frames> {
        let old = |(key, source): (&LinkId, &Source)| {
            source.runs.front().is_some_and(|(at, _)| *at <= before).then_some(*key)
        };
        let key = self.sources.iter().find_map(old)?;
        let item = self.take(key, End::Front);
        self.forget_if_empty(key);
        item
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Front,
    Back,
}

/// The three classes.
#[derive(Debug, Default)]
struct Classes {
    control: Turns,
    direct: Turns,
    channel: Turns,
}

impl Classes {
    const fn class(&mut self, class: SendClass) -> &mut Turns {
        match class {
            SendClass::Control => &mut self.control,
            SendClass::Direct => &mut self.direct,
            SendClass::Channel => &mut self.channel,
        }
    }

    const fn of(&self, class: SendClass) -> &Turns {
        match class {
            SendClass::Control => &self.control,
            SendClass::Direct => &self.direct,
            SendClass::Channel => &self.channel,
        }
    }

    fn in_order(&self) -> impl Iterator<Item = &Turns> {
        [&self.control, &self.direct, &self.channel].into_iter()
    }
}

/// Everything that waits for one link. Most links have nothing waiting; they take no memory for it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    bytes: usize,
    frames: usize,
    classes: Option<Box<Classes>>,
}

impl Queue {
    /// Adds one frame.
    pub(crate) fn push(&mut self, at: Time, frame: &Frames) {
        let Some(item) = frame.first() else { return };
        self.bytes = self.bytes.saturating_add(item.len());
        self.frames = self.frames.saturating_add(1);
        self.classes.get_or_insert_default().class(item.class).push(at, item.source, frame, End::Back);
    }

    /// Puts frames of our own before all others, in their order.
    pub(crate) fn push_again(&mut self, at: Time, items: Vec<Item>) {
        for item in items.into_iter().rev() {
            self.bytes = self.bytes.saturating_add(item.len());
            self.frames = self.frames.saturating_add(1);
            let (source, frame) = (item.source, Frames::one(item));
            self.classes.get_or_insert_default().control.push(at, source, &frame, End::Front);
        }
    }

    /// Everything counts as having come so much later: the time in which nobody could read is not held against it.
    pub(crate) fn shift(&mut self, by: Duration) {
        if let Some(all) = &mut self.classes {
            for class in [&mut all.control, &mut all.direct, &mut all.channel] {
                class.shift(by);
            }
        }
    }

    /// The next one to send.
    pub(crate) fn next(&self) -> Option<&Item> {
        self.classes.as_ref()?.in_order().find_map(Turns::next)
    }

    /// The next one to send.
    pub(crate) fn pop(&mut self) -> Option<Frames> {
        self.take(|all| all.control.pop().or_else(|| all.direct.pop()).or_else(|| all.channel.pop()))
    }

    /// Takes a frame of a class out: the newest one of the source that has most waiting.
    pub(crate) fn cut(&mut self, class: SendClass) -> Option<Frames> {
        self.take(|all| all.class(class).cut())
    }

    /// Takes a frame out that may be dropped and waits since `before` or longer.
    pub(crate) fn expire(&mut self, before: Time) -> Option<Frames> {
        self.take(|all| all.channel.expire(before).or_else(|| all.direct.expire(before)))
    }

    fn take(&mut self, from: impl FnOnce(&mut Classes) -> Option<Frames>) -> Option<Frames> {
        let frame = from(self.classes.as_mut()?)?;
        self.bytes = self.bytes.saturating_sub(frame.first().map_or(0, Item::len));
        self.frames = self.frames.saturating_sub(1);
        if self.frames == 0 {
            self.classes = None;
        }
        Some(frame)
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn frames(&self) -> usize {
        self.frames
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// How many runs all that waits is.
    pub(crate) fn runs(&self) -> usize {
        self.classes.as_ref().map_or(0, |all| all.in_order().map(|turns| turns.runs).sum())
    }

    /// Since when the oldest one waits.
    pub(crate) fn oldest(&self) -> Option<Time> {
        self.classes.as_ref()?.in_order().filter_map(Turns::oldest).min()
    }

    /// The same of those that may be dropped.
    pub(crate) fn oldest_droppable(&self) -> Option<Time> {
        let all = self.classes.as_ref()?;
        [&all.direct, &all.channel].into_iter().filter_map(Turns::oldest).min()
    }

    /// What waits in a class, in bytes.
    pub(crate) fn bytes_of(&self, class: SendClass) -> usize {
        self.classes.as_ref().map_or(0, |all| all.of(class).bytes)
    }

    /// All that waits, in the order in which it would go.
    pub(crate) fn into_items(mut self) -> impl Iterator<Item = Item> {
        std::iter::from_fn(move || self.pop()?.first().cloned())
    }

    /// The bytes that the longest source of a class has waiting; whoever has more is cut first.
    pub(crate) fn longest_source(&self, class: SendClass) -> usize {
        let longest = self.classes.as_ref().and_then(|all| all.of(class).longest());
        longest.map_or(0, |(bytes, _)| bytes)
    }

    /// What a source has waiting in a class, in bytes.
    pub(crate) fn source_bytes(&self, class: SendClass, source: LinkId) -> usize {
        let source = self.classes.as_ref().and_then(|all| all.of(class).sources.get(&source));
        source.map_or(0, |source| source.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(class: SendClass, source: u64, len: usize, mark: u8) -> Frames {
        let body = Bytes::from(vec![mark; len]);
        let item = Item::control(Bytes::new(), body);
        Frames::one(Item { class, source: LinkId(source), ..item })
    }

    fn mark(frame: &Frames) -> u8 {
        frame.first().unwrap().body[0]
    }

    fn marks(queue: &mut Queue) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop()).map(|frame| mark(&frame)).collect()
    }

    #[test]
    fn control_goes_before_direct_and_direct_before_channel() {
        let mut queue = Queue::default();
        for (class, mark) in [(SendClass::Channel, 3), (SendClass::Control, 1), (SendClass::Direct, 2)] {
            queue.push(Time::ZERO, &item(class, 1, 10, mark));
        }
        assert_eq!((queue.bytes(), queue.frames()), (30, 3));
        assert_eq!(marks(&mut queue), [1, 2, 3]);
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn one_source_keeps_its_order() {
        let mut queue = Queue::default();
        for mark in 0..200 {
            queue.push(Time::ZERO, &item(SendClass::Channel, 1, 5_000, mark));
        }
        assert_eq!(marks(&mut queue), (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn a_flooding_source_shares_the_way_with_the_others() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.push(Time::ZERO, &item(SendClass::Channel, 1, 60_000, 1));
        }
        for _ in 0..10 {
            queue.push(Time::ZERO, &item(SendClass::Channel, 2, 6_000, 2));
        }
        let first: Vec<u8> = marks(&mut queue).into_iter().take(12).collect();
        assert_eq!(first.iter().filter(|mark| **mark == 2).count(), 10, "{first:?}");
    }

    #[test]
    fn the_longest_source_is_cut_first_and_from_its_end() {
        let mut queue = Queue::default();
        for mark in 0..5 {
            queue.push(Time::ZERO, &item(SendClass::Channel, 1, 100, mark));
        }
        queue.push(Time::ZERO, &item(SendClass::Channel, 2, 100, 9));
        assert_eq!(queue.cut(SendClass::Channel).map(|frame| mark(&frame)), Some(4));
        assert_eq!(queue.cut(SendClass::Channel).map(|frame| mark(&frame)), Some(3));
        assert_eq!(marks(&mut queue), [0, 1, 2, 9]);
        assert!(queue.cut(SendClass::Channel).is_none());
    }

    #[test]
    fn control_frames_do_not_expire() {
        let mut queue = Queue::default();
        queue.push(Time::from_millis(1), &item(SendClass::Control, 1, 1, 1));
        queue.push(Time::from_millis(2), &item(SendClass::Channel, 1, 1, 2));
        queue.push(Time::from_millis(3), &item(SendClass::Channel, 2, 1, 3));
        queue.push(Time::from_millis(2), &item(SendClass::Direct, 1, 1, 4));
        assert_eq!(
            (queue.oldest(), queue.oldest_droppable()),
            (Some(Time::from_millis(1)), Some(Time::from_millis(2)))
        );
        assert_eq!(queue.expire(Time::from_millis(2)).map(|frame| mark(&frame)), Some(2));
        assert_eq!(queue.expire(Time::from_millis(2)).map(|frame| mark(&frame)), Some(4));
        assert!(queue.expire(Time::from_millis(2)).is_none());
        assert_eq!(marks(&mut queue), [1, 3]);
    }
}
