//! What a channel's handle and the client's task share, and the guard that leaves the channel when nobody keeps it.

use crate::message::{Member, MemberChange, Message, PrivateView};
use crate::queue::Queue;
use crate::run::Command;
use darkchat_proto::{ChannelId, ChannelName, UserId, UserName};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc, watch};

/// Member changes that a slow reader may be behind; [`Channel::members`](crate::Channel::members) is always whole.
const BEHIND: usize = 256;

/// What a channel's handle and the client's task share.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: ChannelId,
    pub(crate) name: ChannelName,
    pub(crate) queue: Queue<Message>,
    pub(crate) spread: AtomicBool,
    members: Mutex<BTreeMap<UserId, UserName>>,
    pub(crate) changes: broadcast::Sender<MemberChange>,
    /// What there is to see of a private channel.
    pub(crate) private: Option<watch::Receiver<Arc<PrivateView>>>,
}

impl Room {
    pub(crate) fn new(id: ChannelId, name: ChannelName, receive_queue: usize) -> Self {
        Self {
            id,
            name,
            queue: Queue::new(receive_queue),
            spread: AtomicBool::new(false),
            members: Mutex::default(),
            changes: broadcast::Sender::new(BEHIND),
            private: None,
        }
    }

    /// As [`new`](Self::new), of a private channel.
    pub(crate) fn private(
        id: ChannelId,
        name: ChannelName,
        receive_queue: usize,
        view: watch::Receiver<Arc<PrivateView>>,
    ) -> Self {
        Self { private: Some(view), ..Self::new(id, name, receive_queue) }
    }

    pub(crate) fn members(&self) -> MutexGuard<'_, BTreeMap<UserId, UserName>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn joined(&self, spread: bool) {
        self.spread.store(spread, Ordering::Relaxed);
    }

    pub(crate) fn changed(&self, change: MemberChange) {
        match &change {
            MemberChange::Came(Member { user, name }) | MemberChange::Renamed(Member { user, name }) => {
                self.members().insert(*user, name.clone());
            }
            MemberChange::Left(Member { user, .. }) | MemberChange::Expired(Member { user, .. }) => {
                self.members().remove(user);
            }
        }
        // Nobody following is no fault.
        let _nobody = self.changes.send(change);
    }
}

/// A joined channel that is left again if nobody keeps it.
#[derive(Debug)]
pub(crate) struct RoomGuard {
    pub(crate) room: Arc<Room>,
    commands: mpsc::WeakUnboundedSender<Command>,
    pub(crate) left: bool,
}

impl RoomGuard {
    pub(crate) const fn new(room: Arc<Room>, commands: mpsc::WeakUnboundedSender<Command>) -> Self {
        Self { room, commands, left: false }
    }
}

impl Drop for RoomGuard {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.upgrade().filter(|_| !self.left) {
            // An error means that the client has ended, and with it its channels.
            let _ended = commands.send(Command::Leave { room: Arc::clone(&self.room), reply: None });
        }
    }
}
