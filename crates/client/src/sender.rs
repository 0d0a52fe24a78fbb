//! Sending to a channel, also from where its messages are not read.

use crate::client::Shared;
use crate::error::{SendError, TrySendError};
use crate::message::{Payload, Sent};
use crate::room::Room;
use crate::run::Command;
use darkchat_proto::limits::MAX_PAYLOAD;
use darkchat_proto::{ChannelId, ChannelName, UserName};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::unconstrained;

/// The content that one permit of the send queue stands for, in bytes.
const PERMIT_BYTES: usize = 1_024;

/// A handle for sending to a [`Channel`](crate::Channel), for other tasks than the one that reads it.
///
/// It keeps the client connected, and not the channel: when that is left, sending says [`SendError::Closed`].
/// Messages go out in the order in which [`send`](Self::send) was first polled.
///
/// ```
/// # use darkchat_client::{Client, SendError};
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
/// # let client = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// let channel = client.join("lobby".parse()?).await?;
/// let sender = channel.sender();
/// let elsewhere = tokio::spawn(async move {
///     sender.send("from another task").await.map(|_| sender)
/// });
/// let sender = elsewhere.await??;
/// channel.leave().await?;
/// assert_eq!(sender.send("too late").await, Err(SendError::Closed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Sender {
    room: Arc<Room>,
    shared: Arc<Shared>,
}

impl Sender {
    pub(crate) const fn new(room: Arc<Room>, shared: Arc<Shared>) -> Self {
        Self { room, shared }
    }

    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.room.name
    }

    /// The channel's id.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        self.room.id
    }

    /// Sends a message. `Ok`: our server checked it and queued it for `local` sessions and `servers` servers. A
    /// server or a link that dies on the way may still lose it; receivers then see a gap.
    ///
    /// Waits while as much as may be is queued or has no answer yet: 1,792 messages, where one with more than 1 KiB of
    /// content counts as one for each KiB. All channels of the client share that, and so do its joins and its changes of
    /// private channels. While the link is down it waits for the next one, at most 10 s.
    ///
    /// # Errors
    /// [`SendError`]; each case says whether others may have got it.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits for room sends nothing; later, the message is sent all the same, and only
    /// its outcome is not told.
    pub async fn send(&self, payload: impl Into<Payload>) -> Result<Sent, SendError> {
        let payload = payload.into();
        let too_large = SendError::TooLarge { len: payload.len(), max: MAX_PAYLOAD };
        let permits = permits(&payload).ok_or(too_large)?;
        let room = Arc::clone(&self.shared.room);
        // The first poll takes the place in the queue, whatever else the task has done: messages keep their order.
        let permit = unconstrained(room.acquire_many_owned(permits)).await.map_err(|_| SendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let command = self.post(payload, permit, Some(reply));
        self.command(command).map_err(|_| SendError::Closed)?;
        answer.await.map_err(|_| SendError::Closed)?
    }

    /// Queues a message without waiting. `Ok`: it is queued; if it is not taken, a
    /// [`Note::NotSent`](crate::Note::NotSent) says so, to whoever reads [`notes`](crate::Client::notes) and is no more
    /// than 64 of them behind; else a [`Note::Missed`](crate::Note::Missed) counts it.
    ///
    /// # Errors
    /// [`TrySendError`]; nothing was sent.
    pub fn try_send(&self, payload: impl Into<Payload>) -> Result<(), TrySendError> {
        let payload = payload.into();
        let too_large = TrySendError::TooLarge { len: payload.len(), max: MAX_PAYLOAD };
        let permits = permits(&payload).ok_or(too_large)?;
        let room = Arc::clone(&self.shared.room);
        let permit = room.try_acquire_many_owned(permits).map_err(|_| TrySendError::Full)?;
        self.command(self.post(payload, permit, None)).map_err(|_| TrySendError::Closed)
    }

    fn post(
        &self,
        payload: Payload,
        permit: OwnedSemaphorePermit,
        reply: Option<oneshot::Sender<Result<Sent, SendError>>>,
    ) -> Command {
        let room = Arc::clone(&self.room);
        Command::Send { room, entry: payload.into_entry(), permit, reply }
    }

    /// Claims another name in this channel, from the next message on. [`Client::speak_as`](crate::Client::speak_as) is
    /// for those that are entered later.
    pub fn speak_as(&self, name: UserName) {
        // An error means that the client has ended, and nothing will be said any more.
        let _ended = self.command(Command::Speak { room: Arc::clone(&self.room), name });
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Gives a command to the client's task.
    pub(crate) fn command(&self, command: Command) -> Result<(), Ended> {
        self.shared.commands.send(command).map_err(|_| Ended)
    }
}

/// The client's task has ended, and takes no command.
pub(crate) struct Ended;

/// The permits of the send queue that a message takes; `None` if no server would take the message.
fn permits(payload: &Payload) -> Option<u32> {
    let len = Some(payload.len()).filter(|len| *len <= MAX_PAYLOAD)?;
    u32::try_from(len.div_ceil(PERMIT_BYTES).max(1)).ok()
}
