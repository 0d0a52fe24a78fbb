//! Who listens where. Source: `docs/protocol.md`, sections 5.1 and 11.2.

use crate::LinkId;
use crate::link::{Slot, Targets};
use darkchat_proto::{ChannelId, Network, Tag};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The most memberships of a server.
pub(crate) const MAX_MEMBERSHIPS: usize = 2_000_000;
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
#[derive(Debug, Default)]
pub(crate) struct Channels {
    by_id: BTreeMap<ChannelId, Channel>,
    memberships: usize,
}

impl Channels {
    /// Takes a member in. The channel's tag, if it is the first one; the caller sees to the bounds.
    pub(crate) fn join(&mut self, network: &Network, id: ChannelId, link: LinkId, slot: Slot) -> Option<Tag> {
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
        is_new.then_some(channel.tag)
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
