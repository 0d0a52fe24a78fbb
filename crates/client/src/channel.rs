//! A channel that the user is in.

use crate::client::Shared;
use crate::error::{JoinError, SendError, TrySendError};
use crate::message::{Member, MemberChange, Message, Payload, Received, Sent};
use crate::queue::Queue;
use crate::run::Command;
use crate::state::follow;
use darkchat_proto::limits::MAX_PAYLOAD;
use darkchat_proto::{ChannelId, ChannelName, UserId, UserName};
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot};

/// Member changes that a slow reader may be behind; [`Channel::members`] is always whole.
const BEHIND: usize = 256;
/// The content that one permit of the send queue stands for, in bytes.
const PERMIT_BYTES: usize = 1_024;

/// What a channel's handle and the client's task share.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: ChannelId,
    pub(crate) name: ChannelName,
    pub(crate) queue: Queue,
    spread: AtomicBool,
    members: Mutex<BTreeMap<UserId, UserName>>,
    changes: broadcast::Sender<MemberChange>,
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
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<UserId, UserName>> {
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
    room: Arc<Room>,
    commands: mpsc::WeakUnboundedSender<Command>,
    left: bool,
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
            let _ended = commands.send(Command::Leave { channel: self.room.id, reply: None });
        }
    }
}

/// A channel that the user is in: a `Stream` of [`Received`] messages, and the way to send some.
///
/// Dropping it leaves the channel. It survives reconnects; what may have been missed then comes as
/// [`Received::Missed`].
///
/// ```
/// use darkchat_client::{Client, Received};
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
/// let (anns, mut bobs) = (ann.join("lobby".parse()?).await?, bob.join("lobby".parse()?).await?);
/// let sent = anns.send("hello").await?;
/// assert_eq!(sent.local, 1); // queued for bob
/// let Some(Received::Message(message)) = bobs.recv().await else { panic!("bob is connected") };
/// assert_eq!((message.id, message.payload.as_text()), (sent.id, Some("hello")));
/// bobs.leave().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Channel {
    guard: RoomGuard,
    sender: Sender,
}

impl Channel {
    pub(crate) fn new(guard: RoomGuard, shared: Arc<Shared>) -> Self {
        let room = Arc::clone(&guard.room);
        Self { guard, sender: Sender { room, shared } }
    }

    /// A handle that only sends, for another task than the one that reads.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.guard.room.name
    }

    /// The channel's id.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        self.guard.room.id
    }

    /// Whether every reachable server knew of us when we joined last, so that everybody's messages come here.
    /// Without it our own server's come at once, and others' within seconds.
    #[must_use]
    pub fn spread(&self) -> bool {
        self.guard.room.spread.load(Ordering::Relaxed)
    }

    /// Sends a message. `Ok`: our server checked it and queued it for `local` sessions and `servers` servers. A
    /// server or a link that dies on the way may still lose it; receivers then see a gap.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn send(&self, payload: impl Into<Payload>) -> Result<Sent, SendError> {
        self.sender.send(payload).await
    }

    /// Queues a message without waiting. `Ok`: it is queued; if it is not taken, a
    /// [`Note::NotSent`](crate::Note::NotSent) says so.
    ///
    /// # Errors
    /// [`TrySendError`]; nothing was sent.
    pub fn try_send(&self, payload: impl Into<Payload>) -> Result<(), TrySendError> {
        self.sender.try_send(payload)
    }

    /// Claims another name in this channel, from the next message on.
    pub fn speak_as(&self, name: UserName) {
        self.sender.speak_as(name);
    }

    /// The next message, or the news that some were missed; `None` when the channel has ended, because the client
    /// closed or the server did not take us in again.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call gives it.
    pub async fn recv(&mut self) -> Option<Received<Message>> {
        poll_fn(|cx| self.guard.room.queue.poll_next(cx)).await
    }

    /// Who is here, as far as is known: who announces itself, or wrote within the last 300 s. Without us.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let members = self.guard.room.members();
        members.iter().map(|(user, name)| Member { user: *user, name: name.clone() }).collect()
    }

    /// A `Stream` of the changes among the members, from now on. Who reads it too slowly loses some of them.
    #[must_use]
    pub fn member_changes(&self) -> MemberChanges {
        MemberChanges(follow(self.guard.room.changes.subscribe()))
    }

    /// Leaves the channel. What was sent before goes out first. `Ok`: our server knows, or there is no link to tell
    /// it, which is the same.
    ///
    /// # Errors
    /// [`JoinError::Closed`] if the client has ended; then we are not in the channel either.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the wish back: the channel is left all the same.
    pub async fn leave(mut self) -> Result<(), JoinError> {
        let (reply, answer) = oneshot::channel();
        self.guard.left = true;
        let command = Command::Leave { channel: self.id(), reply: Some(reply) };
        self.sender.shared.commands.send(command).map_err(|_| JoinError::Closed)?;
        answer.await.map_err(|_| JoinError::Closed)
    }
}

impl Stream for Channel {
    type Item = Received<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.guard.room.queue.poll_next(cx)
    }
}

/// Sends to a channel, from any task. Clones are handles of the same channel; they keep the client alive, but not
/// the channel: once that is left, sending fails with [`SendError::Closed`].
///
/// Messages go out in the order in which [`send`](Self::send) was first polled.
///
/// ```
/// # use darkchat_client::Client;
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut lobby = client.join("lobby".parse()?).await?;
/// let sender = lobby.sender();
/// tokio::spawn(async move { sender.send("hello from a task").await });
/// while let Some(received) = lobby.recv().await {
///     drop(received);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sender {
    room: Arc<Room>,
    shared: Arc<Shared>,
}

impl Sender {
    /// Sends a message. `Ok`: our server checked it and queued it for `local` sessions and `servers` servers. A
    /// server or a link that dies on the way may still lose it; receivers then see a gap.
    ///
    /// Waits while too much is queued. While the link is down it waits for the next one, at most 10 s.
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
        let permit = room.acquire_many_owned(permits).await.map_err(|_| SendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let command = self.command(payload, permit, Some(reply));
        self.shared.commands.send(command).map_err(|_| SendError::Closed)?;
        answer.await.map_err(|_| SendError::Closed)?
    }

    /// Queues a message without waiting. `Ok`: it is queued; if it is not taken, a
    /// [`Note::NotSent`](crate::Note::NotSent) says so.
    ///
    /// # Errors
    /// [`TrySendError`]; nothing was sent.
    pub fn try_send(&self, payload: impl Into<Payload>) -> Result<(), TrySendError> {
        let payload = payload.into();
        let too_large = TrySendError::TooLarge { len: payload.len(), max: MAX_PAYLOAD };
        let permits = permits(&payload).ok_or(too_large)?;
        let room = Arc::clone(&self.shared.room);
        let permit = room.try_acquire_many_owned(permits).map_err(|_| TrySendError::Full)?;
        self.shared.commands.send(self.command(payload, permit, None)).map_err(|_| TrySendError::Closed)
    }

    fn command(
        &self,
        payload: Payload,
        permit: OwnedSemaphorePermit,
        reply: Option<oneshot::Sender<Result<Sent, SendError>>>,
    ) -> Command {
        let room = Arc::clone(&self.room);
        Command::Send { room, entry: payload.into_entry(), permit, reply }
    }

    /// Claims another name in this channel, from the next message on.
    pub fn speak_as(&self, name: UserName) {
        // An error means that the client has ended, and nothing will be said any more.
        let _ended = self.shared.commands.send(Command::Speak { channel: self.room.id, name });
    }
}

/// The permits of the send queue that a message takes; `None` if no server would take the message.
fn permits(payload: &Payload) -> Option<u32> {
    let len = Some(payload.len()).filter(|len| *len <= MAX_PAYLOAD)?;
    u32::try_from(len.div_ceil(PERMIT_BYTES).max(1)).ok()
}

/// Changes among the members of a channel.
pub struct MemberChanges(BoxStream<'static, MemberChange>);

impl Stream for MemberChanges {
    type Item = MemberChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MemberChange>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for MemberChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberChanges").finish_non_exhaustive()
    }
}
