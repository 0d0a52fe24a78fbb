//! The table of links, and what they all hold together.

use super::Link;
use crate::LinkId;
use std::collections::BTreeMap;

/// Where a link stands in the table; never given again while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Slot(usize);

/// All links by place and by id. A link is changed in here alone, so that the sum is always that of the links.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<(LinkId, Link)>>,
    free: Vec<usize>,
    by_id: BTreeMap<LinkId, Slot>,
    /// What all links hold beside the frames that they share, in bytes.
    held: usize,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_id: BTreeMap::new(), held: 0 }
    }

    /// Takes a link in; `None` if the id is taken.
    pub(super) fn insert(&mut self, id: LinkId, link: Link) -> Option<Slot> {
        if self.by_id.contains_key(&id) {
            return None;
        }
        self.held = self.held.saturating_add(link.weight());
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some((id, link)),
            None => self.slots.push(Some((id, link))),
        }
        self.by_id.insert(id, Slot(slot));
        Some(Slot(slot))
    }

    /// Frees the place of a link.
    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let slot = self.by_id.remove(&id)?;
        let (_, link) = self.slots.get_mut(slot.0)?.take()?;
        self.free.push(slot.0);
        self.held = self.held.saturating_sub(link.weight());
        Some(link)
    }

    /// Changes the link at a place, and with it what all links hold.
    pub(super) fn change<T>(&mut self, slot: Slot, change: impl FnOnce(LinkId, &mut Link) -> T) -> Option<T> {
        let (id, link) = self.slots.get_mut(slot.0)?.as_mut()?;
        let before = link.weight();
        let changed = change(*id, link);
        self.held = self.held.saturating_sub(before).saturating_add(link.weight());
        Some(changed)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn slot(&self, id: LinkId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Link> {
        self.slots.get(slot.0)?.as_ref().map(|(_, link)| link)
    }

    /// All links, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.by_id.iter().filter_map(|(id, slot)| Some((*id, self.get(*slot)?)))
    }

    /// All places that are taken, in their order.
    pub(super) fn places(&self) -> impl Iterator<Item = (Slot, &Link)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| Some((Slot(slot), &place.as_ref()?.1)))
    }

    /// What all links hold beside the frames that they share, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.held
    }
}
