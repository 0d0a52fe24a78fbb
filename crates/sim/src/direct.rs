//! Direct messages in a world: who tells whom what, and what must hold of it. Source: `docs/protocol.md`, 7, 11.5 and 13.
//!
//! Links are not encrypted here, so what a connection carries is what the nodes at its ends see. No text that somebody
//! told somebody else may ever stand in it.

use crate::world::World;
use crate::{Client, Who};
use darkchat_client::session::{self, Failure, Ticket};
use darkchat_client::{Content, DirectMessage};
use darkchat_proto::{ContentId, Entry, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// Every text that is told begins so, and nothing else in a world does.
const MARK: &str = "between us: ";

/// Something that somebody told somebody else.
#[derive(Debug)]
struct Told {
    from: UserId,
    to: UserId,
    text: String,
    outcome: Option<Result<(), Failure>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Talks {
    told: BTreeMap<ContentId, Told>,
    tickets: BTreeMap<(usize, Ticket), ContentId>,
    /// Who was shown what.
    shown: BTreeSet<(usize, ContentId)>,
    /// Runs of bytes that were looked through.
    looked: u64,
}

impl World {
    /// The user of this program tells the user of that one something, on all devices.
    pub fn tell(&mut self, from: Client, to: Client, text: &str) {
        let to = self.users[to.0].id();
        self.tell_user(from, to, text);
    }

    /// The same to whoever has a key.
    pub fn tell_user(&mut self, from: Client, to: UserId, text: &str) {
        let id = ContentId::new(*self.rng.seed().first_chunk().unwrap_or(&[0; 16]));
        let text = format!("{MARK}{text}");
        let user = &mut self.users[from.0];
        let (ticket, entry) = (user.ticket(), Entry::text(&text));
        let told = Told { from: user.id(), to, text, outcome: None };
        self.talks.told.insert(id, told);
        self.talks.tickets.insert((from.0, ticket), id);
        self.tell_client(from.0, session::Input::SendDirect { ticket, to, id, entry, reply_to: None }, &[]);
    }

    /// How often a device was shown what somebody told its user, or its user told somebody: once at most, or the world
    /// has ended already.
    #[must_use]
    pub fn was_told(&self, client: Client, text: &str) -> bool {
        let is_it =
            |id: &ContentId| self.talks.told.get(id).is_some_and(|told| told.text[MARK.len()..] == *text);
        self.talks.shown.iter().any(|(who, id)| *who == client.0 && is_it(id))
    }

    /// What became of a text: `None` while that is open.
    #[must_use]
    pub fn told(&self, text: &str) -> Option<Result<(), Failure>> {
        self.talks.told.values().find(|told| told.text[MARK.len()..] == *text)?.outcome
    }

    /// How many texts were told and acknowledged, told in vain, and are open.
    #[must_use]
    pub fn talks(&self) -> (usize, usize, usize) {
        let count = |is_it: fn(&Told) -> bool| self.talks.told.values().filter(|told| is_it(told)).count();
        let (heard, in_vain) =
            (count(|told| told.outcome == Some(Ok(()))), count(|told| matches!(told.outcome, Some(Err(_)))));
        (heard, in_vain, self.talks.told.len() - heard - in_vain)
    }

    /// A session says something about direct messages; `false`: it is about something else.
    pub(crate) fn talk_event(&mut self, client: usize, event: &session::Event) -> bool {
        match event {
            session::Event::Direct(message) => self.shown_direct(client, message),
            session::Event::DirectAcknowledged { ticket, id } => {
                if self.talks.tickets.get(&(client, *ticket)) != Some(id) {
                    self.broken(&format!("client {client} is told of a message that it did not send"));
                }
                self.acknowledged(client, *id);
            }
            session::Event::SendFailed { ticket, why } => {
                let Some(id) = self.talks.tickets.get(&(client, *ticket)).copied() else { return false };
                self.settle(client, id, Err(*why));
            }
            _ => return false,
        }
        true
    }

    /// A device shows a direct message: it is what was said, by whom, to whom, and comes once.
    fn shown_direct(&mut self, client: usize, message: &DirectMessage) {
        let DirectMessage { id, from, to, payload, .. } = message;
        let own = self.users[client].id();
        let Some(told) = self.talks.told.get(id) else {
            self.broken(&format!("client {client} is shown {id:?}, which nobody said"));
        };
        let Content::Text(text) = payload else {
            self.broken(&format!("client {client} is shown {id:?} as something else than a text"));
        };
        if (told.from, told.to, &told.text) != (*from, *to, text) || (*to != own && *from != own) {
            self.broken(&format!("client {client} is shown {id:?} as from {from} to {to}: {text:?}"));
        }
        if !self.talks.shown.insert((client, *id)) {
            self.broken(&format!("client {client} is shown {id:?} twice"));
        }
    }

    /// An acknowledgement means that a device of the receiver's has opened it (13.1 G8).
    fn acknowledged(&mut self, client: usize, id: ContentId) {
        let to = self.talks.told.get(&id).map(|told| told.to);
        let was_shown = |(who, shown): &(usize, ContentId)| *shown == id && Some(self.users[*who].id()) == to;
        if !self.talks.shown.iter().any(was_shown) {
            self.broken(&format!("client {client} is told that {id:?} arrived, which nobody was shown"));
        }
        self.settle(client, id, Ok(()));
    }

    fn settle(&mut self, client: usize, id: ContentId, outcome: Result<(), Failure>) {
        let Some(told) = self.talks.told.get_mut(&id) else { return };
        if told.outcome.replace(outcome).is_some() {
            self.broken(&format!("client {client} is told twice what became of {id:?}"));
        }
    }

    /// No text that was told stands in what a node or a session writes.
    pub(crate) fn look_through(&mut self, who: Who, run: &[u8]) {
        if self.talks.told.is_empty() {
            return;
        }
        self.talks.looked += 1;
        if run.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes()) {
            self.broken(&format!("{who:?} writes what was said between two"));
        }
    }

    /// How many things clients sealed, each under a key and nonce of its own (S14).
    #[must_use]
    pub fn sealed(&self) -> usize {
        self.check.seals.len()
    }

    /// How many runs of bytes were looked through, so that a test knows that somebody looked.
    #[must_use]
    pub const fn looked_through(&self) -> u64 {
        self.talks.looked
    }
}
