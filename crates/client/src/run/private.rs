//! The loop's part in private channels: wishes in, facts out.

use super::{Run, Waiter};
use crate::error::JoinError;
use crate::message::PrivateView;
use crate::room::{Room, RoomGuard};
use crate::session::{Change, Charter, Event, Failure, Input, PrivateError, SavedChannel};
use crate::state::Note;
use darkchat_proto::{ChannelId, ChannelName, Invite, UserId, UserName};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

/// How a private channel is come to.
#[derive(Debug)]
pub(crate) enum Way {
    Create(ChannelName, Charter),
    Enter(Option<ChannelName>, Box<Invite>),
    Restore(Box<SavedChannel>),
}

/// A wish about private channels, on its way to the loop.
#[derive(Debug)]
pub(crate) enum PrivateCommand {
    Come {
        way: Way,
        as_name: Option<UserName>,
        reply: oneshot::Sender<Result<RoomGuard, JoinError>>,
        permit: OwnedSemaphorePermit,
    },
    Change {
        room: Arc<Room>,
        change: Change,
        reply: oneshot::Sender<Result<(), PrivateError>>,
        permit: OwnedSemaphorePermit,
    },
    Offer {
        room: Arc<Room>,
        to: UserId,
        reply: oneshot::Sender<Result<(), Failure>>,
        permit: OwnedSemaphorePermit,
    },
}

impl Run {
    pub(super) fn private_wish(&mut self, command: PrivateCommand) {
        match command {
            PrivateCommand::Come { way, as_name: name, reply, permit } => {
                let ticket = self.ticket(Waiter::Come { reply, _permit: permit });
                self.give(match way {
                    Way::Create(channel, charter) => Input::Create { ticket, channel, name, charter },
                    Way::Enter(channel, invite) => Input::Enter { ticket, channel, name, invite },
                    Way::Restore(saved) => Input::Restore { ticket, name, saved },
                });
            }
            PrivateCommand::Change { room, change, reply, permit } if self.is_current(&room) => {
                let ticket = self.ticket(Waiter::Change { reply, _permit: permit });
                self.give(Input::Change { ticket, channel: room.id, change });
            }
            PrivateCommand::Change { reply, .. } => {
                let _gone = reply.send(Err(PrivateError::NotPrivate));
            }
            PrivateCommand::Offer { room, to, reply, permit } if self.is_current(&room) => {
                let ticket = self.ticket(Waiter::Offer { reply, _permit: permit });
                self.give(Input::Offer { ticket, channel: room.id, to });
            }
            PrivateCommand::Offer { reply, .. } => {
                let _gone = reply.send(Err(Failure::NotJoined));
            }
        }
    }

    pub(super) fn private_event(&mut self, event: Event) {
        match event {
            Event::Kept { channel } => self.look(&channel),
            Event::Rekeyed { channel, by, removed } => {
                self.look(&channel);
                if let Some(room) = self.rooms.get(&channel) {
                    self.told.note(Note::Rekeyed { channel: room.name.clone(), by, removed });
                }
            }
            Event::Excluded { channel, by } => {
                if let Some(room) = self.rooms.get(&channel) {
                    self.told.note(Note::Excluded { channel: room.name.clone(), by });
                }
            }
            Event::Changed { ticket, .. } => self.changed(ticket, Ok(())),
            Event::ChangeFailed { ticket, why } => self.changed(ticket, Err(why)),
            Event::Invited { from, invite } => {
                self.told.note(Note::Invited { from, invite: Arc::from(invite) });
            }
            Event::Offered { ticket, done } => {
                if let Some(Waiter::Offer { reply, .. }) = self.waiters.remove(&ticket) {
                    let _gone = reply.send(done);
                }
            }
            _ => {}
        }
    }

    fn changed(&mut self, ticket: crate::session::Ticket, outcome: Result<(), PrivateError>) {
        if let Some(Waiter::Change { reply, .. }) = self.waiters.remove(&ticket) {
            let _gone = reply.send(outcome);
        }
    }

    /// A private channel is entered: its room is made now, because nobody knew its id before.
    pub(super) fn come(
        &mut self,
        channel: ChannelId,
        spread: bool,
        reply: oneshot::Sender<Result<RoomGuard, JoinError>>,
    ) {
        let Some(view) = self.view(&channel) else { return };
        let name = view.saved.name().clone();
        let (tell, view) = watch::channel(Arc::new(view));
        self.views.insert(channel, tell);
        let room = Arc::new(Room::private(channel, name, self.receive_queue, view));
        room.joined(spread);
        self.rooms.insert(channel, Arc::clone(&room));
        // A guard that nobody takes leaves the channel again.
        let _gone = reply.send(Ok(RoomGuard::new(room, self.commands.clone())));
    }

    /// Shows what there is to see of a private channel now.
    fn look(&self, channel: &ChannelId) {
        if let Some(watch) = self.views.get(channel)
            && let Some(view) = self.view(channel)
        {
            watch.send_replace(Arc::new(view));
        }
    }

    fn view(&self, channel: &ChannelId) -> Option<PrivateView> {
        let saved = self.session.saved(channel)?;
        let invite = self.session.invite(channel)?;
        Some(PrivateView::new(saved, invite, self.session.is_asking(channel)))
    }
}
