//! Watching a client: the state of its connection, and notes for its user.

use crate::error::{ConnectError, SendError};
use crate::session::{Fault, State};
use darkchat_proto::{ChannelName, ContentId, DeviceId, Invite, ServerAddr, ServerId, UserId};
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

/// Changes that a slow watcher may be behind; older ones are left out, and the current value is always there.
const BEHIND: usize = 64;

/// Something that a user should know. Nothing has to be done about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Note {
    /// A server was met for the first time at an address without a key; from now on it is expected there.
    FirstContact {
        /// The address, without a key.
        addr: ServerAddr,
        /// The key that it proved.
        server: ServerId,
    },
    /// A try to connect failed; the state says what happens next.
    ConnectFailed(Arc<ConnectError>),
    /// Our clock and the server's differ by more than 120 s: one is wrong. Messages may be refused as stale.
    ClockDiffers {
        /// The server's clock.
        server: SystemTime,
        /// Ours.
        ours: SystemTime,
    },
    /// A message of [`try_send`](crate::Channel::try_send) was not taken.
    NotSent {
        /// Where to.
        channel: ChannelName,
        /// Why.
        why: SendError,
    },
    /// Something came that is not what it claims to be, and is not shown: forged, altered, repeated, or out of its time.
    /// Said at most once a second.
    Rejected {
        /// What is wrong with it.
        fault: Fault,
        /// How often, since this was said last.
        count: u64,
    },
    /// A direct message of [`try_send`](crate::Direct::try_send), or of
    /// [`send_accepted`](crate::Direct::send_accepted) after it was accepted, was not acknowledged.
    DirectNotSent {
        /// Whom to.
        to: UserId,
        /// Which.
        id: ContentId,
        /// Why.
        why: SendError,
    },
    /// A user whom we have talked with has another device now: it may be hers, or somebody's who has her key.
    NewDevice {
        /// Whose; our own key is one of them.
        user: UserId,
        /// Which device.
        device: DeviceId,
    },
    /// A private channel has another secret now, and perhaps other members. Nothing has to be done.
    Rekeyed {
        /// What it is called here.
        channel: ChannelName,
        /// The administrator who did it.
        by: UserId,
        /// Who is not a member any more.
        removed: Vec<UserId>,
    },
    /// An administrator has left the user out of a private channel. What is said there from now on does not open.
    Excluded {
        /// What it is called here.
        channel: ChannelName,
        /// The administrator who did it.
        by: UserId,
    },
    /// Somebody invites the user to a private channel. Nothing happens until the user agrees:
    /// [`Client::join_private`](crate::Client::join_private).
    Invited {
        /// Who, proven.
        from: UserId,
        /// The invitation. It holds the channel's secret.
        invite: Arc<Invite>,
    },
    /// The server is about to stop.
    Draining,
    /// A text from the server's operator: clean it before a terminal gets it.
    Text(String),
}

/// The state of a client's connection: the current value, and a `Stream` of the changes from now on.
///
/// The stream ends after [`State::Closed`], or when the client is dropped.
///
/// ```
/// use darkchat_client::{Client, State};
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
/// let client = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// let mut state = client.state();
/// assert!(matches!(state.current(), State::Connected { .. }));
/// client.close().await;
/// assert!(matches!(state.changed().await, Some(State::Closed { .. })));
/// assert_eq!(state.changed().await, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct StateWatch {
    current: watch::Receiver<State>,
    changes: BoxStream<'static, State>,
}

impl StateWatch {
    /// The state now.
    #[must_use]
    pub fn current(&self) -> State {
        self.current.borrow().clone()
    }

    /// The next change; `None` after the last one.
    ///
    /// # Cancel safety
    /// Dropping the future loses no change: the next call gives it.
    pub async fn changed(&mut self) -> Option<State> {
        self.changes.next().await
    }
}

impl Stream for StateWatch {
    type Item = State;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        self.changes.poll_next_unpin(cx)
    }
}

impl fmt::Debug for StateWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateWatch").field("current", &*self.current.borrow()).finish_non_exhaustive()
    }
}

/// A `Stream` of notes for the user. It ends when the client does.
///
/// ```
/// use darkchat_client::{Client, Note};
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
/// let client = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// if let Some(Note::FirstContact { addr, server }) = client.notes().next().await {
///     println!("met {server} for the first time at {addr}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Notes(BoxStream<'static, Note>);

impl Stream for Notes {
    type Item = Note;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Note>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}

/// A broadcast as a stream. Who is too far behind goes on with what is left.
pub(crate) fn follow<T: Clone + Send + 'static>(receiver: broadcast::Receiver<T>) -> BoxStream<'static, T> {
    follow_until(receiver, |_| false)
}

/// As [`follow`], up to and with the item that is the last one.
fn follow_until<T: Clone + Send + 'static>(
    receiver: broadcast::Receiver<T>,
    is_last: fn(&T) -> bool,
) -> BoxStream<'static, T> {
    let next = move |receiver: Option<broadcast::Receiver<T>>| async move {
        let mut receiver = receiver?;
        loop {
            match receiver.recv().await {
                Ok(item) if is_last(&item) => return Some((item, None)),
                Ok(item) => return Some((item, Some(receiver))),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    };
    stream::unfold(Some(receiver), next).boxed()
}

/// Where the client's task says what happens. The receiving ends stay with the handles.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) state: watch::Sender<State>,
    pub(crate) changes: broadcast::Sender<State>,
    pub(crate) notes: broadcast::Sender<Note>,
    /// What was noted before anybody could listen, for who listens first.
    early: Mutex<Option<broadcast::Receiver<Note>>>,
    /// The server of the last welcome. There is no handle before the first.
    server: Mutex<ServerId>,
}

impl Told {
    pub(crate) fn new() -> Self {
        let (notes, early) = broadcast::channel(BEHIND);
        Self {
            state: watch::Sender::new(State::Idle),
            changes: broadcast::Sender::new(BEHIND),
            notes,
            early: Mutex::new(Some(early)),
            server: Mutex::new(ServerId::new([0; 32])),
        }
    }

    pub(crate) fn server(&self) -> ServerId {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self, state: State) {
        if let State::Connected { server, .. } = &state {
            *self.server.lock().unwrap_or_else(PoisonError::into_inner) = *server;
        }
        // Nobody listening is no fault.
        let _nobody = self.changes.send(state.clone());
        self.state.send_replace(state);
    }

    pub(crate) fn note(&self, note: Note) {
        let _nobody = self.notes.send(note);
    }

    pub(crate) fn watch(&self) -> StateWatch {
        let changes = follow_until(self.changes.subscribe(), is_closed);
        let current = self.state.subscribe();
        let over = is_closed(&current.borrow());
        StateWatch { current, changes: if over { stream::empty().boxed() } else { changes } }
    }

    pub(crate) fn follow_notes(&self) -> Notes {
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        Notes(follow(early.unwrap_or_else(|| self.notes.subscribe())))
    }
}

const fn is_closed(state: &State) -> bool {
    matches!(state, State::Closed { .. })
}
