//! The loop's part in direct messages: who waits for which, and the inbox.

use super::{Run, Waiter};
use crate::error::SendError;
use crate::message::Payload;
use crate::session::{Event, Input, Ticket};
use crate::state::Note;
use darkchat_proto::{ContentId, UserId};
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A direct message to send.
#[derive(Debug)]
pub(crate) struct DirectCommand {
    pub(crate) to: UserId,
    pub(crate) id: ContentId,
    pub(crate) payload: Payload,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) reply: Option<(oneshot::Sender<Result<(), SendError>>, Until)>,
}

/// What a sender waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// A server has handed it over.
    Handed,
    /// The recipient's program has acknowledged it.
    Acknowledged,
}

/// A direct message whose fate is not known yet.
pub(super) struct Letter {
    to: UserId,
    id: ContentId,
    reply: Option<(oneshot::Sender<Result<(), SendError>>, Until)>,
    _permit: OwnedSemaphorePermit,
}

impl Run {
    pub(super) fn direct_wish(&mut self, command: DirectCommand) {
        let DirectCommand { to, id, payload, permit, reply } = command;
        let ticket = self.ticket(Waiter::Direct(Letter { to, id, reply, _permit: permit }));
        let (entry, reply_to) = payload.into_direct();
        self.give(Input::SendDirect { ticket, to, id, entry, reply_to });
    }

    pub(super) fn direct_event(&mut self, event: Event) {
        match event {
            Event::DirectHanded { ticket, .. } => {
                if let Some(Waiter::Direct(letter)) = self.waiters.get_mut(&ticket)
                    && let Some((reply, _)) = letter.reply.take_if(|(_, until)| *until == Until::Handed)
                {
                    let _gone = reply.send(Ok(()));
                }
            }
            Event::DirectAcknowledged { ticket, .. } => self.direct_done(ticket, Ok(())),
            Event::Direct(message) => {
                let unread = u64::from(!self.inbox.message(message));
                self.stats.unread.fetch_add(unread, Ordering::Relaxed);
            }
            Event::NewDevice { user, device } => self.told.note(Note::NewDevice { user, device }),
            _ => {}
        }
    }

    /// Whether this ticket was a direct message's; whoever waits for it hears what became of it.
    pub(super) fn direct_failed(&mut self, ticket: Ticket, why: &SendError) -> bool {
        let is_direct = matches!(self.waiters.get(&ticket), Some(Waiter::Direct(_)));
        if is_direct {
            self.direct_done(ticket, Err(why.clone()));
        }
        is_direct
    }

    fn direct_done(&mut self, ticket: Ticket, done: Result<(), SendError>) {
        let Some(Waiter::Direct(Letter { to, id, reply, .. })) = self.waiters.remove(&ticket) else { return };
        match (reply, done) {
            (Some((reply, _)), done) => {
                let _gone = reply.send(done);
            }
            (None, Err(why)) => self.told.note(Note::DirectNotSent { to, id, why }),
            (None, Ok(())) => {}
        }
    }
}
