//! What members of private channels have to tell each other over direct messages, one after the other.

use super::ChannelId;
use crate::session::Ticket;
use darkchat_proto::{ContentId, UserId};
use std::collections::{BTreeMap, VecDeque};

/// Errands that wait: a rekey for 255 members over two branches, twice.
const WAITING: usize = 1_024;
/// Errands on their way at once: so that people's own words find their turn among them.
const UNDERWAY: usize = 32;

/// Something to tell somebody. Its content is fetched when it goes, so that a long queue holds no copies of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) to: UserId,
    pub(super) what: What,
}

/// What there is to tell. Channels are those of generations; the line is found by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The rekey of ours that leads from `parent` to `channel`.
    Rekey { channel: ChannelId, parent: ChannelId },
    /// The invitation to a generation that our rekey has added somebody to.
    Welcome { channel: ChannelId },
    /// The invitation that the user sends.
    Offer { channel: ChannelId, ticket: Ticket },
    /// What came after this channel?
    Ask { channel: ChannelId },
    /// A rekey, passed on to a member who asked: the one that leads from `parent` to `channel`.
    Pass { channel: ChannelId, parent: ChannelId },
}

/// The errands of all private channels.
#[derive(Debug, Default)]
pub(super) struct Errands {
    waiting: VecDeque<Errand>,
    underway: BTreeMap<ContentId, Errand>,
}

impl Errands {
    /// Adds an errand behind the others. `false` if there is no room; it is there already then, or comes up again.
    pub(super) fn push(&mut self, errand: Errand) -> bool {
        if self.waiting.len() >= WAITING || self.waiting.contains(&errand) {
            return false;
        }
        self.waiting.push_back(errand);
        true
    }

    /// The next errand to run, if one more may be on its way.
    pub(super) fn next(&mut self) -> Option<Errand> {
        if self.underway.len() >= UNDERWAY { None } else { self.waiting.pop_front() }
    }

    /// Puts back what could not go now.
    pub(super) fn put_back(&mut self, errand: Errand) {
        self.waiting.push_front(errand);
    }

    /// An errand is on its way under this id.
    pub(super) fn gone(&mut self, id: ContentId, errand: Errand) {
        self.underway.insert(id, errand);
    }

    /// The errand that this id is the outcome of.
    pub(super) fn done(&mut self, id: &ContentId) -> Option<Errand> {
        self.underway.remove(id)
    }

    /// Whether a rekey to this generation is still to be told in this round.
    pub(super) fn tells(&self, of: &ChannelId) -> bool {
        self.waiting.iter().chain(self.underway.values()).any(|errand| match &errand.what {
            What::Rekey { channel, .. } | What::Welcome { channel } => channel == of,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errands_are_bounded_in_waiting_and_underway_and_none_waits_twice() {
        let mut errands = Errands::default();
        let errand = |number: usize| {
            let mut to = [0; 32];
            to[..8].copy_from_slice(&number.to_be_bytes());
            Errand { to: UserId::new(to), what: What::Ask { channel: ChannelId::new([1; 32]) } }
        };
        assert!(errands.push(errand(0)) && !errands.push(errand(0)));
        assert_eq!((1..2_000).filter(|number| errands.push(errand(*number))).count(), WAITING - 1);
        for number in 0..UNDERWAY {
            let next = errands.next().unwrap();
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            errands.gone(ContentId::new(id), next);
        }
        assert_eq!(errands.next(), None);
        assert_eq!(errands.done(&ContentId::new([0; 16])), Some(errand(0)));
        assert_eq!(errands.next(), Some(errand(UNDERWAY)));
    }
}
