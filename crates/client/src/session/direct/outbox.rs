//! What the user wants to say, until its fate is known. Source: `docs/protocol.md`, sections 7.5 and 7.8.

use super::Party;
use super::letter::{Letter, Sender};
use crate::session::own::check_headers;
use crate::session::{Event, Failure, Session, Ticket};
use bytes::Bytes;
use darkchat_proto::limits::MAX_DM_BODY;
use darkchat_proto::{ContentId, DmContent, DmKind, Entry, EntryKind, SelfCopy, Time, UserId};
use rand_core::Rng as _;

/// Contents that wait or that no device has acknowledged (DM_OUTBOX). What private channels say has a box of the same
/// size, and so has what confirms sessions or is for our own devices.
const LETTERS: usize = 256;
/// Their bytes (DM_OUTBOX).
const BYTES: usize = 1 << 20;
/// Contents that one device has acknowledged and others have not. Of more, the oldest are given up for those others: they
/// are delivered, and nobody waits for them.
const ACKNOWLEDGED: usize = 256;
/// Their bytes.
const ACKNOWLEDGED_BYTES: usize = 1 << 20;

impl Session {
    /// The user says something to another.
    pub(in crate::session) fn send_direct(
        &mut self,
        now: Time,
        ticket: Ticket,
        (to, id): (UserId, ContentId),
        entry: Entry,
        reply_to: Option<ContentId>,
    ) {
        let kind = if entry.kind == EntryKind::Text { DmKind::Text } else { DmKind::Data };
        let posted = check_headers(&entry).and_then(|()| {
            let content = DmContent {
                content_type: entry.content_type,
                name: self.name.as_str().to_owned(),
                headers: entry.headers,
                reply_to,
                ..DmContent::new(id, self.wall.at(now), kind, entry.content)
            };
            self.post_letter(now, to, content, Sender::User(ticket))
        });
        if let Err(why) = posted {
            self.send_failed(ticket, why);
        }
    }

    /// Puts a content for all devices of a user into the outbox.
    ///
    /// # Errors
    /// [`Failure`]: `TooLarge`, `Full` or `Closed`; nothing has changed.
    pub(in crate::session) fn post_letter(
        &mut self,
        now: Time,
        to: UserId,
        content: DmContent,
        sender: Sender,
    ) -> Result<(), Failure> {
        let (len, max) = (content.body.len(), content.kind.max_body());
        if self.connection.is_ended() || self.leave_by.is_some() {
            return Err(Failure::Closed);
        }
        if len > max {
            return Err(Failure::TooLarge { len, max });
        }
        self.put(Letter::new(now, to, content, sender), now)
    }

    fn put(&mut self, mut letter: Letter, now: Time) -> Result<(), Failure> {
        let direct = &mut self.direct;
        let others = direct.letters.values().filter(|other| !other.acked && other.has_box_of(&letter));
        let (count, bytes) = others.fold((0_usize, letter.len()), |(count, bytes), other| {
            (count.saturating_add(1), bytes.saturating_add(other.len()))
        });
        if count >= LETTERS || bytes > BYTES {
            return Err(Failure::Full);
        }
        let peer = direct.peer(now, letter.to).ok_or(Failure::Full)?;
        letter.place = peer.letters;
        peer.letters = peer.letters.saturating_add(1);
        direct.last_letter += 1;
        direct.letters.insert(direct.last_letter, letter);
        direct.is_reachable = true;
        direct.stir();
        Ok(())
    }

    /// Says to a device that the session with it stands.
    pub(super) fn confirm(&mut self, now: Time, party: Party) {
        let id = self.content_id();
        let letter = Letter::confirm(now, party.user, party.device, id, self.wall.at(now));
        // Without room the session waits for the first content.
        let _full = self.put(letter, now);
    }

    /// What went to somebody else is for our own other devices as well.
    pub(super) fn copy_to_own(&mut self, now: Time, to: UserId, content: Bytes) {
        if to == self.user {
            return;
        }
        let body = SelfCopy { user: to, content }.encode();
        let content = DmContent::new(self.content_id(), self.wall.at(now), DmKind::SelfCopy, body);
        // Without room our other devices miss it: what was sent goes on all the same.
        let _full = self.post_letter(now, self.user, content, Sender::Nobody);
    }

    pub(in crate::session) fn content_id(&mut self) -> ContentId {
        let mut id = [0; 16];
        self.secrets.fill_bytes(&mut id);
        ContentId::new(id)
    }

    /// Tells whoever sent a letter what became of it.
    pub(super) fn tell_letter(&mut self, now: Time, number: u64, done: Result<(), Failure>) {
        let Some(letter) = self.direct.letters.get(&number) else { return };
        let (sender, to, id) = (letter.sender, letter.to, letter.content.id);
        match (sender, done) {
            (Sender::User(ticket), Ok(())) => self.event(Event::DirectAcknowledged { ticket, id }),
            (Sender::User(ticket), Err(why)) => self.send_failed(ticket, why),
            (Sender::Control, done) => self.control_done(now, id, to, done),
            (Sender::Nobody, _) => {}
        }
    }

    /// Keeps what waits for other devices than the one that acknowledged it within its bounds.
    pub(super) fn bound_acknowledged(&mut self) {
        let letters = &mut self.direct.letters;
        let (mut count, mut bytes) = (0_usize, 0_usize);
        let newest_first = letters.iter().rev().filter(|(_, letter)| letter.acked);
        let kept = newest_first.take_while(|(_, letter)| {
            (count, bytes) = (count.saturating_add(1), bytes.saturating_add(letter.len()));
            count <= ACKNOWLEDGED && bytes <= ACKNOWLEDGED_BYTES
        });
        if let Some(oldest) = kept.last().map(|(number, _)| *number) {
            letters.retain(|number, letter| !letter.acked || *number >= oldest);
        }
    }

    /// Letters whose fate is known go.
    pub(super) fn settle_letters(&mut self, now: Time) {
        let outcomes: Vec<_> = self
            .direct
            .letters
            .iter()
            .filter_map(|(number, letter)| Some((*number, letter.acked, letter.outcome()?)))
            .collect();
        for (number, acked, outcome) in outcomes {
            if !acked {
                self.tell_letter(now, number, outcome);
            }
            self.direct.letters.remove(&number);
        }
    }

    /// The session has ended: nothing more will be sent.
    pub(in crate::session) fn end_direct(&mut self, now: Time) {
        for number in self.direct.letters.keys().copied().collect::<Vec<_>>() {
            if self.direct.letters.get(&number).is_some_and(|letter| !letter.acked) {
                self.tell_letter(now, number, Err(Failure::Closed));
            }
            self.direct.letters.remove(&number);
        }
        self.direct.untold = None;
    }
}

const _: () = assert!(MAX_DM_BODY <= BYTES, "the largest content fits into an empty outbox");
