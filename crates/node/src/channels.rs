//! Who listens where. Source: `docs/protocol.md`, sections 5.1 and 11.2.

use crate::LinkId;
use crate::link::{Slot, Targets};
use darkchat_proto::{ChannelId, Network, Tag};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The most memberships of a server.
const MAX_MEMBERSHIPS: usize = 2_000_000;
/// The lists without one member that a channel keeps: publishers take turns in busy channels.
const LISTS: usize = 4;

/// One channel with members here.
#[derive(Debug)]
struct Channel {
    id: Arc<ChannelId>,
    tag: Tag,
    /// Ascending by link, so that a member is found by halving.
    members: Vec<(LinkId, Slot)>,
    /// Ready-made lists, for whom they leave out; emptied by every change of the members.
    lists: Vec<(Option<LinkId>, Targets)>,
}

impl Channel {
    fn position(&self, link: LinkId) -> Result<usize, usize> {
        self.members.binary_search_by_key(&link, |(member, _)| *member)
    }

    fn targets(&mut self, except: Option<LinkId>) -> Targets {
        let except = except.filter(|link| self.position(*link).is_ok());
        if let Some((_, list)) = self.lists.iter().find(|(left_out, _)| *left_out == except) {
            return list.clone();
        }
        let others = || self.members.iter().filter(|(link, _)| Some(*link) != except);
        let list = Targets {
            ids: others().map(|(id, _)| *id).collect(),
            slots: others().map(|(_, slot)| *slot).collect(),
        };
        if self.lists.len() >= LISTS {
            self.lists.remove(0);
        }
        self.lists.push((except, list.clone()));
        list
    }
}

/// All channels with members here.
#[derive(Debug)]
pub(crate) struct Channels {
    by_id: BTreeMap<ChannelId, Channel>,
    memberships: usize,
    max: usize,
}

impl Default for Channels {
    fn default() -> Self {
        Self::new(MAX_MEMBERSHIPS)
    }
}

/// What became of a new member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The channel has members beside it.
    Others,
    /// It is the first one; the channel's tag.
    First(Tag),
    /// There is no room, and nothing changed.
    Full,
}

impl Channels {
    /// Room for so many memberships.
    const fn new(max: usize) -> Self {
        Self { by_id: BTreeMap::new(), memberships: 0, max }
    }

    /// Takes a member in.
    pub(crate) fn join(&mut self, network: &Network, id: ChannelId, link: LinkId, slot: Slot) -> Joined {
        if self.memberships >= self.max {
            return Joined::Full;
        }
        let (channel, is_new) = match self.by_id.entry(id) {
            Entry::Occupied(channel) => (channel.into_mut(), false),
            Entry::Vacant(place) => {
                let tag = Tag::of_channel(network, &id);
                let channel = Channel { id: Arc::new(id), tag, members: Vec::new(), lists: Vec::new() };
                (place.insert(channel), true)
            }
        };
        if let Err(position) = channel.position(link) {
            channel.members.insert(position, (link, slot));
            channel.lists.clear();
            self.memberships = self.memberships.saturating_add(1);
        }
        if is_new { Joined::First(channel.tag) } else { Joined::Others }
    }

    /// Lets a member go. The channel's tag, if it was the last one.
    pub(crate) fn leave(&mut self, id: &ChannelId, link: LinkId) -> Option<Tag> {
        let channel = self.by_id.get_mut(id)?;
        let position = channel.position(link).ok()?;
        channel.members.remove(position);
        channel.lists.clear();
        self.memberships = self.memberships.saturating_sub(1);
        if !channel.members.is_empty() {
            return None;
        }
        self.by_id.remove(id).map(|channel| channel.tag)
    }

    /// A member goes on with another link.
    pub(crate) fn rename(&mut self, id: &ChannelId, old: LinkId, link: LinkId, slot: Slot) {
        let Some(channel) = self.by_id.get_mut(id) else { return };
        let Ok(position) = channel.position(old) else { return };
        channel.members.remove(position);
        if let Err(position) = channel.position(link) {
            channel.members.insert(position, (link, slot));
        }
        channel.lists.clear();
    }

    /// The tag of a channel with members here.
    pub(crate) fn tag(&self, id: &ChannelId) -> Option<Tag> {
        self.by_id.get(id).map(|channel| channel.tag)
    }

    /// The members of a channel but one, and the shared id; `None` if it has no members at all.
    ///
    /// The same lists, not only equal ones, until the members change.
    pub(crate) fn targets(
        &mut self,
        id: &ChannelId,
        except: Option<LinkId>,
    ) -> Option<(Targets, Arc<ChannelId>)> {
        let channel = self.by_id.get_mut(id)?;
        Some((channel.targets(except), channel.id.clone()))
    }

    /// Every channel, and how many members it has.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelId, usize)> {
        self.by_id.iter().map(|(id, channel)| (*id, channel.members.len()))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) const fn memberships(&self) -> usize {
        self.memberships
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ChannelId {
        ChannelId::new([number; 32])
    }

    /// Channels with these (channel, link) memberships.
    fn channels(max: usize, members: &[(u8, u64)]) -> Channels {
        let mut channels = Channels::new(max);
        for (channel, link) in members {
            channels.join(&Network::default(), id(*channel), LinkId(*link), Slot::default());
        }
        channels
    }

    #[test]
    fn memberships_are_bounded_and_a_refused_one_changes_nothing() {
        let mut full = channels(3, &[(1, 1), (1, 2), (2, 1)]);
        assert_eq!(full.join(&Network::default(), id(3), LinkId(1), Slot::default()), Joined::Full);
        assert_eq!((full.memberships(), full.len()), (3, 2));
        assert_eq!(full.leave(&id(1), LinkId(2)), None);
        let joined = full.join(&Network::default(), id(3), LinkId(1), Slot::default());
        assert!(matches!(joined, Joined::First(_)));
    }

    #[test]
    fn the_last_one_to_leave_takes_the_channel_along() {
        let mut channels = channels(9, &[(1, 1), (1, 2), (1, 2)]);
        assert_eq!(channels.memberships(), 2);
        assert_eq!(channels.leave(&id(1), LinkId(1)), None);
        assert_eq!(channels.leave(&id(1), LinkId(1)), None, "it was not there any more");
        assert!(channels.leave(&id(1), LinkId(2)).is_some());
        assert_eq!((channels.len(), channels.memberships()), (0, 0));
    }

    #[test]
    fn a_list_is_the_same_one_until_the_members_change() {
        let mut channels = channels(99, &[(1, 1), (1, 2), (1, 3)]);
        let list =
            |channels: &mut Channels, but: u64| channels.targets(&id(1), Some(LinkId(but))).unwrap().0.ids;
        let first = list(&mut channels, 2);
        assert_eq!(*first, [LinkId(1), LinkId(3)]);
        assert!(Arc::ptr_eq(&first, &list(&mut channels, 2)));
        assert_eq!(
            *list(&mut channels, 77),
            [LinkId(1), LinkId(2), LinkId(3)],
            "who is no member is not left out"
        );
        channels.join(&Network::default(), id(1), LinkId(4), Slot::default());
        assert_eq!(*list(&mut channels, 2), [LinkId(1), LinkId(3), LinkId(4)]);
    }

    #[test]
    fn the_lists_that_a_channel_keeps_are_few() {
        let members: Vec<(u8, u64)> = (0..50).map(|link| (1, link)).collect();
        let mut channels = channels(99, &members);
        for link in 0..50 {
            channels.targets(&id(1), Some(LinkId(link)));
        }
        assert_eq!(channels.by_id[&id(1)].lists.len(), LISTS);
    }
}
