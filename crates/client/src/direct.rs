//! The way to say something to one person.

use crate::client::Shared;
use crate::error::{SendError, TrySendError};
use crate::message::{DirectMessage, Payload, Received};
use crate::queue::Queue;
use crate::run::Command;
use crate::run::direct::{DirectCommand, Until};
use darkchat_crypto::system;
use darkchat_proto::limits::MAX_DM_BODY;
use darkchat_proto::{ContentId, SafetyNumber, UserId};
use futures_core::Stream;
use rand_core::Rng as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::unconstrained;

/// The content and headers that one permit stands for, in bytes; so a mebibyte is all of them.
const PERMIT_BYTES: usize = 1_024;
/// Permits of all direct messages that are not acknowledged yet.
pub(crate) const PERMITS: usize = 1_024;
/// The least that a message takes: so 256 are all of them.
const PERMITS_MIN: u32 = 4;

/// A handle for direct messages to one user, on all devices. Clones are handles of the same; nothing is on the wire
/// until the first message is sent.
///
/// What is said is sealed for each of the user's devices; no server on the way can read or change it, and none but the
/// user's own learns who sent it. It is read by [`Client::inbox`](crate::Client::inbox) on the other side.
///
/// ```
/// use darkchat_client::{Client, Received, SendError};
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
/// let (to_bob, mut bobs) = (ann.direct(bob.id()), bob.inbox());
/// let id = to_bob.send("psst").await?; // Ok: bob's program has decrypted it
/// let Some(Received::Message(message)) = bobs.recv().await else { panic!("bob is connected") };
/// assert_eq!((message.id, message.from), (id, ann.id()));
///
/// // The same 30 digits on both sides, if nobody stands between.
/// assert_eq!(to_bob.safety_number(), bob.direct(ann.id()).safety_number());
///
/// let nobody = Identity::generate().user_id();
/// assert_eq!(ann.direct(nobody).send("hello?").await, Err(SendError::NotHere));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Direct {
    peer: UserId,
    shared: Arc<Shared>,
}

impl Direct {
    pub(crate) const fn new(peer: UserId, shared: Arc<Shared>) -> Self {
        Self { peer, shared }
    }

    /// Whom it is to.
    #[must_use]
    pub const fn peer(&self) -> UserId {
        self.peer
    }

    /// The number that follows from both users' keys: whoever reads the same one to the other, over a way that no
    /// server controls, knows that nobody stands between.
    #[must_use]
    pub fn safety_number(&self) -> SafetyNumber {
        SafetyNumber::of(&self.shared.id, &self.peer)
    }

    /// Sends a message. `Ok`: the program on one of the recipient's devices has decrypted it and says so, end to end;
    /// no server can say that in its place. The recipient's other devices get it too if they are there.
    ///
    /// Waits while 256 messages or 1 MiB are not acknowledged. While the link is down it waits for the next one.
    ///
    /// # Errors
    /// [`SendError`]. `NotHere`: nobody with this key is online, and nothing was sent. `TimedOut`: it was sent three
    /// times within 30 s, or could not be sent so long; the recipient may have got it or not.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits for room sends nothing; later, the message is sent all the same, and only
    /// its outcome is not told.
    pub async fn send(&self, payload: impl Into<Payload>) -> Result<ContentId, SendError> {
        self.send_until(payload.into(), Until::Acknowledged).await
    }

    /// As [`send`](Self::send), and does not wait for the recipient's program. `Ok`: a server has handed it to the
    /// connection of one of the recipient's devices, or that has acknowledged it already. It may still be lost, and is
    /// sent again then; if it never arrives, a [`Note::DirectNotSent`](crate::Note::DirectNotSent) says so, or a
    /// [`Note::Missed`](crate::Note::Missed) counts it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_accepted(&self, payload: impl Into<Payload>) -> Result<ContentId, SendError> {
        self.send_until(payload.into(), Until::Handed).await
    }

    async fn send_until(&self, payload: Payload, until: Until) -> Result<ContentId, SendError> {
        let too_large = SendError::TooLarge { len: payload.len(), max: MAX_DM_BODY };
        let permits = permits(&payload).ok_or(too_large)?;
        let room = Arc::clone(&self.shared.letters);
        // The first poll takes the place in the queue: messages keep their order.
        let permit = unconstrained(room.acquire_many_owned(permits)).await.map_err(|_| SendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let id = self.command(payload, permit, Some((reply, until))).ok_or(SendError::Closed)?;
        answer.await.map_err(|_| SendError::Closed)?.map(|()| id)
    }

    /// Queues a message without waiting. `Ok`: it is queued under this id; if nobody acknowledges it, a
    /// [`Note::DirectNotSent`](crate::Note::DirectNotSent) says so, to whoever reads [`notes`](crate::Client::notes) and
    /// is no more than 64 of them behind; else a [`Note::Missed`](crate::Note::Missed) counts it.
    ///
    /// # Errors
    /// [`TrySendError`]; nothing was sent.
    pub fn try_send(&self, payload: impl Into<Payload>) -> Result<ContentId, TrySendError> {
        let payload = payload.into();
        let too_large = TrySendError::TooLarge { len: payload.len(), max: MAX_DM_BODY };
        let permits = permits(&payload).ok_or(too_large)?;
        let room = Arc::clone(&self.shared.letters);
        let permit = room.try_acquire_many_owned(permits).map_err(|_| TrySendError::Full)?;
        self.command(payload, permit, None).ok_or(TrySendError::Closed)
    }

    fn command(
        &self,
        payload: Payload,
        permit: OwnedSemaphorePermit,
        reply: Option<(oneshot::Sender<Result<(), SendError>>, Until)>,
    ) -> Option<ContentId> {
        let mut id = [0; 16];
        system::rng().fill_bytes(&mut id);
        let id = ContentId::new(id);
        let command = DirectCommand { to: self.peer, id, payload, permit, reply };
        self.shared.commands.send(Command::Direct(Box::new(command))).ok().map(|()| id)
    }
}

/// The permits that a message takes; `None` if it is longer than any may be.
fn permits(payload: &Payload) -> Option<u32> {
    let weight = (payload.len() <= MAX_DM_BODY).then(|| payload.weight())?;
    Some(u32::try_from(weight.div_ceil(PERMIT_BYTES)).ok()?.max(PERMITS_MIN))
}

/// A place for as many messages as the session keeps.
pub(crate) fn letters() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PERMITS))
}

/// The direct messages that come to a client: a `Stream` that ends when the client does.
///
/// All inboxes of one client share what comes: each message goes to one of them. What came while there was none waits;
/// a program that does not read hears of what it missed.
#[derive(Debug)]
pub struct Inbox {
    queue: Arc<Queue<DirectMessage>>,
    reader: u64,
}

impl Inbox {
    pub(crate) fn new(queue: Arc<Queue<DirectMessage>>) -> Self {
        let reader = queue.enter();
        Self { queue, reader }
    }

    /// The next message, or the news that some were missed; `None` when the client has ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call gives it.
    pub async fn recv(&mut self) -> Option<Received<DirectMessage>> {
        poll_fn(|cx| self.queue.poll_next(self.reader, cx)).await
    }
}

impl Stream for Inbox {
    type Item = Received<DirectMessage>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_next(self.reader, cx)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.queue.leave(self.reader);
    }
}
