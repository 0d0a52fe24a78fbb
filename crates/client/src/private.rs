//! The handle of a private channel: its invitation, its members, and its changes.

use crate::client::Shared;
use crate::error::SendError;
use crate::message::PrivateView;
use crate::room::Room;
use crate::run::Command;
use crate::run::private::PrivateCommand;
use crate::session::{Change, PrivateError, SavedChannel};
use darkchat_proto::{Invite, UserId};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

/// What a private channel has beside messages. Clones are handles of the same; none of them keeps the channel.
///
/// ```
/// use darkchat_client::{Charter, Client, Received};
/// # use darkchat_crypto::Identity;
/// # use darkchat_server::{Accept, Server};
/// # use darkchat_transport::Memory;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # let memory = Memory::default();
/// # let server = Server::builder(Identity::generate())
/// #     .transport(memory.clone())
/// #     .listen("mem://station".parse()?, Accept::Clients)
/// #     .start()
/// #     .await?;
/// # let ann = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
/// # let bob = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// let anns = ann.create_private("garden".parse()?, Charter::default()).await?;
/// let private = anns.private().ok_or("it is a private one")?;
///
/// // The link holds the secret: hand it on where nobody else reads.
/// let link = private.invite().to_text();
/// let mut bobs = bob.join_private(link.parse()?, None).await?;
/// anns.send("behind the door").await?;
/// let Some(Received::Message(message)) = bobs.recv().await else { panic!("bob is connected") };
/// assert!(message.private && message.from == ann.id());
///
/// // A new secret, which only those get who are told.
/// private.rekey("the link was published").await?;
/// assert_ne!(private.invite().channel, link.parse::<darkchat_proto::Invite>()?.channel);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Private {
    room: Arc<Room>,
    view: watch::Receiver<Arc<PrivateView>>,
    shared: Arc<Shared>,
}

impl Private {
    pub(crate) fn new(room: Arc<Room>, shared: Arc<Shared>) -> Option<Self> {
        let view = room.private.clone()?;
        Some(Self { room, view, shared })
    }

    /// The invitation as it is now. It holds the secret of the present hour: who has it reads from there on.
    #[must_use]
    pub fn invite(&self) -> Invite {
        self.view.borrow().invite.clone()
    }

    /// Who is in it, who decides, and who is still to be told.
    #[must_use]
    pub fn view(&self) -> Arc<PrivateView> {
        Arc::clone(&self.view.borrow())
    }

    /// What to write down in order to come back to it, by [`Client::restore_private`](crate::Client::restore_private). It
    /// holds secrets.
    #[must_use]
    pub fn saved(&self) -> SavedChannel {
        self.view.borrow().saved.clone()
    }

    /// Waits until [`view`](Self::view) or [`saved`](Self::saved) has changed since this handle looked last, which every
    /// hour does. `false` when the channel has ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) -> bool {
        self.view.changed().await.is_ok()
    }

    /// Adds members, and changes the secret. `Ok`: it is changed; the new members are being invited and the others told,
    /// each once it is there.
    ///
    /// # Errors
    /// [`PrivateError`]; nothing has changed.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the wish back.
    pub async fn add(&self, users: impl IntoIterator<Item = UserId>) -> Result<(), PrivateError> {
        self.change(Change { add: users.into_iter().collect(), ..Change::default() }).await
    }

    /// Removes members, and changes the secret: nothing that is said from now on opens for them. `Ok`: it is changed; those
    /// who stay are being told, each once it is there.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Cancel safety
    /// As [`add`](Self::add).
    pub async fn remove(
        &self,
        users: impl IntoIterator<Item = UserId>,
        reason: &str,
    ) -> Result<(), PrivateError> {
        let change =
            Change { remove: users.into_iter().collect(), reason: reason.to_owned(), ..Change::default() };
        self.change(change).await
    }

    /// Changes the secret, as after a leak. `Ok` as for [`remove`](Self::remove). Where everybody with the invitation is a
    /// member, those who have written lately are told; others need the new invitation.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Cancel safety
    /// As [`add`](Self::add).
    pub async fn rekey(&self, reason: &str) -> Result<(), PrivateError> {
        self.change(Change { reason: reason.to_owned(), ..Change::default() }).await
    }

    /// Carries out a change as a whole.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Cancel safety
    /// As [`add`](Self::add).
    pub async fn change(&self, change: Change) -> Result<(), PrivateError> {
        let (reply, answer) = oneshot::channel();
        let permit = self.permit().await.ok_or(PrivateError::NotPrivate)?;
        let room = Arc::clone(&self.room);
        self.command(PrivateCommand::Change { room, change, reply, permit });
        answer.await.map_err(|_| PrivateError::NotPrivate)?
    }

    /// Sends the invitation to somebody, as a direct message. `Ok`: the other's program has it; whether its user agrees is
    /// another matter. It makes nobody a member where there is a list: [`add`](Self::add) does.
    ///
    /// # Errors
    /// [`SendError`]: among others that the user is not online.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the wish back.
    pub async fn offer(&self, to: UserId) -> Result<(), SendError> {
        let (reply, answer) = oneshot::channel();
        let permit = self.permit().await.ok_or(SendError::Closed)?;
        let room = Arc::clone(&self.room);
        self.command(PrivateCommand::Offer { room, to, reply, permit });
        answer.await.map_err(|_| SendError::Closed)?.map_err(SendError::from)
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.room).acquire_owned().await.ok()
    }

    fn command(&self, command: PrivateCommand) {
        // An error means that the client has ended; whoever waits hears it by the reply that is dropped.
        let _ended = self.shared.commands.send(Command::Private(Box::new(command)));
    }
}
