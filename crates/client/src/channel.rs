//! A channel that the user is in.

use crate::client::Shared;
use crate::error::{JoinError, SendError, TrySendError};
use crate::message::{Member, MemberChange, Message, Payload, Received, Sent};
use crate::private::Private;
use crate::queue::ONLY_READER;
use crate::room::RoomGuard;
use crate::run::Command;
use crate::sender::Sender;
use crate::state::follow;
use darkchat_proto::{ChannelId, ChannelName, UserName};
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

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
        Self { guard, sender: Sender::new(room, shared) }
    }

    /// A handle that only sends, for another task than the one that reads.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// What a private channel has beside messages; `None` for a public one.
    #[must_use]
    pub fn private(&self) -> Option<Private> {
        Private::new(Arc::clone(&self.guard.room), self.sender.shared())
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
        self.sender.send(payload).await
    }

    /// Queues a message without waiting. `Ok`: it is queued; if it is not taken, a
    /// [`Note::NotSent`](crate::Note::NotSent) says so, to whoever reads [`notes`](crate::Client::notes) and is no more
    /// than 64 of them behind; else a [`Note::Missed`](crate::Note::Missed) counts it.
    ///
    /// # Errors
    /// [`TrySendError`]; nothing was sent.
    pub fn try_send(&self, payload: impl Into<Payload>) -> Result<(), TrySendError> {
        self.sender.try_send(payload)
    }

    /// Claims another name in this channel, from the next message on. [`Client::speak_as`](crate::Client::speak_as) is
    /// for those that are entered later.
    pub fn speak_as(&self, name: UserName) {
        self.sender.speak_as(name);
    }

    /// The next message, or the news that some were missed; `None` when the channel has ended, because the client
    /// closed or the server did not take us in again.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call gives it.
    pub async fn recv(&mut self) -> Option<Received<Message>> {
        poll_fn(|cx| self.guard.room.queue.poll_next(ONLY_READER, cx)).await
    }

    /// Who is here, as far as is known: who announces itself, or wrote within the last 300 s. Without us.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let members = self.guard.room.members();
        members.iter().map(|(user, name)| Member { user: *user, name: name.clone() }).collect()
    }

    /// A `Stream` of the changes among the members, from now on. Who is more than 256 behind loses the older ones;
    /// [`members`](Self::members) is always whole.
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
        let command = Command::Leave { room: Arc::clone(&self.guard.room), reply: Some(reply) };
        self.sender.command(command).map_err(|_| JoinError::Closed)?;
        answer.await.map_err(|_| JoinError::Closed)
    }
}

impl Stream for Channel {
    type Item = Received<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.guard.room.queue.poll_next(ONLY_READER, cx)
    }
}

/// Changes among the members of a channel.
///
/// ```
/// use darkchat_client::{Client, MemberChange};
/// use futures_util::StreamExt as _;
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
/// let ann = Client::connect(memory.clone(), "mem://station".parse()?, Identity::generate()).await?;
/// let bob = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// let anns = ann.join("lobby".parse()?).await?;
/// let mut changes = anns.member_changes();
/// let _bobs = bob.join("lobby".parse()?).await?;
/// let Some(MemberChange::Came(member)) = changes.next().await else { panic!("bob has come") };
/// assert_eq!(member.user, bob.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
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
