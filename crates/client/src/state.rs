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

/// Changes, or notes, that a slow watcher may be behind: the older ones are left out. Of notes that is told by
/// [`Note::Missed`]; of states the current one is always there.
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
    /// So many notes are missing here: whoever reads these notes was more than 64 behind, and has the newest 64. Said
    /// in their place, and never left out itself. A message that was not sent may be among them;
    /// [`Client::stats`](crate::Client::stats) has the sums of all [`Rejected`](Self::Rejected).
    Missed {
        /// How many.
        count: u64,
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
/// Of changes that nobody reads the newest 64 wait, and older ones are left out; so the last one is always told, and
/// [`current`](Self::current) is the state now, whatever was read. The stream ends after [`State::Closed`], or when the client is dropped.
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
    /// Dropping the future loses nothing: the next call gives the change.
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
/// Whoever is more than 64 notes behind gets a [`Note::Missed`] in the place of the older ones.
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
    follow_until(receiver, |_| false, |_| None)
}

/// As [`follow`], up to and with the item that is the last one; `missed` says in place of so many that are left out that
/// they are.
fn follow_until<T: Clone + Send + 'static>(
    receiver: broadcast::Receiver<T>,
    is_last: fn(&T) -> bool,
    missed: fn(u64) -> Option<T>,
) -> BoxStream<'static, T> {
    let next = move |receiver: Option<broadcast::Receiver<T>>| async move {
        let mut receiver = receiver?;
        loop {
            let item = match receiver.recv().await {
                Ok(item) if is_last(&item) => return Some((item, None)),
                Ok(item) => Some(item),
                Err(RecvError::Lagged(count)) => missed(count),
                Err(RecvError::Closed) => return None,
            };
            if let Some(item) = item {
                return Some((item, Some(receiver)));
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
        let changes = follow_until(self.changes.subscribe(), is_closed, |_| None);
        let current = self.state.subscribe();
        let over = is_closed(&current.borrow());
        StateWatch { current, changes: if over { stream::empty().boxed() } else { changes } }
    }

    pub(crate) fn follow_notes(&self) -> Notes {
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        let notes = early.unwrap_or_else(|| self.notes.subscribe());
        Notes(follow_until(notes, |_| false, |count| Some(Note::Missed { count })))
    }
}

const fn is_closed(state: &State) -> bool {
    matches!(state, State::Closed { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::Code;
    use futures_util::FutureExt as _;

    /// All that is there to be read.
    fn all<T>(mut stream: impl Stream<Item = T> + Unpin) -> Vec<T> {
        std::iter::from_fn(|| stream.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn who_is_too_far_behind_is_told_how_many_notes_are_missing_where_they_are() {
        let told = Told::new();
        let (mut first, second) = (told.follow_notes(), told.follow_notes());
        let say = |numbers: std::ops::Range<usize>| {
            numbers.for_each(|number| told.note(Note::Text(number.to_string())))
        };
        let texts = |notes: Vec<Note>| -> Vec<String> {
            let text = |note| match note {
                Note::Text(text) => text,
                Note::Missed { count } => format!("{count} missing"),
                other => panic!("{other:?}"),
            };
            notes.into_iter().map(text).collect()
        };
        let newest = |missing: &str, numbers: std::ops::Range<usize>| -> Vec<String> {
            std::iter::once(missing.to_owned()).chain(numbers.map(|number| number.to_string())).collect()
        };
        say(0..64);
        assert_eq!(all(&mut first).len(), 64, "so many wait");
        say(64..164);
        assert_eq!(texts(all(&mut first)), newest("36 missing", 100..164));
        say(164..165);
        assert_eq!(texts(all(&mut first)), ["164"], "said once");
        assert_eq!(texts(all(second)), newest("101 missing", 101..165), "each by its own count");
    }

    #[test]
    fn of_states_that_nobody_reads_the_newest_are_told_and_the_last_one_always() {
        let told = Told::new();
        let mut watch = told.watch();
        (0..100).for_each(|_| told.state(State::Idle));
        told.state(State::Closed { why: Code::Ok });
        let states = all(&mut watch);
        assert_eq!((states.len(), states.last()), (64, Some(&State::Closed { why: Code::Ok })));
        assert_eq!(watch.current(), State::Closed { why: Code::Ok });
    }
}
