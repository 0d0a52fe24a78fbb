//! The handle of a connected user.

use crate::builder::Builder;
use crate::channel::Channel;
use crate::direct::{Direct, Inbox};
use crate::error::{ConnectError, JoinError};
use crate::message::DirectMessage;
use crate::queue::Queue;
use crate::room::RoomGuard;
use crate::run::private::{PrivateCommand, Way};
use crate::run::{Command, SharedStats};
use crate::session::{Charter, SavedChannel, Stats, Trust};
use crate::state::{Notes, StateWatch, Told};
use darkchat_crypto::Identity;
use darkchat_proto::{ChannelName, Invite, ServerAddr, ServerId, UserId, UserName};
use darkchat_transport::Transport;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// A connected user. Clones are handles of the same; when the last handle and the last [`Channel`] are dropped, all
/// of its tasks end at once.
///
/// ```
/// use darkchat_client::Client;
/// use darkchat_crypto::Identity;
/// use darkchat_server::{Accept, Server};
/// use darkchat_transport::Memory;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let memory = Memory::default();
/// let server = Server::builder(Identity::generate())
///     .transport(memory.clone())
///     .listen("mem://station".parse()?, Accept::Clients)
///     .start()
///     .await?;
///
/// let client = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// assert_eq!(client.server(), server.id());
/// client.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: UserId,
    /// Bounded by `room`: each command that costs memory holds permits of it.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) told: Arc<Told>,
    pub(crate) stats: Arc<SharedStats>,
    /// Room for direct messages that are not acknowledged.
    pub(crate) letters: Arc<Semaphore>,
    pub(crate) inbox: Arc<Queue<DirectMessage>>,
}

impl Client {
    /// Connects with one transport and default options. `Ok`: the server proved its key and welcomed ours.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing is left running.
    ///
    /// # Cancel safety
    /// Dropping the future ends the dial and leaves nothing running.
    pub async fn connect(
        transport: impl Transport,
        server: ServerAddr,
        identity: Identity,
    ) -> Result<Self, ConnectError> {
        Self::builder(identity).transport(transport).connect(server).await
    }

    /// A client with other options.
    pub fn builder(identity: Identity) -> Builder {
        Builder::new(identity)
    }

    /// The user's public key.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.shared.id
    }

    /// The key of the server that we are connected to, or were last.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.shared.told.server()
    }

    /// The state of the connection: its current value, and a `Stream` of the changes from now on.
    #[must_use]
    pub fn state(&self) -> StateWatch {
        self.shared.told.watch()
    }

    /// A `Stream` of what the user should know, from now on; the first one also has what was noted while connecting.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.shared.told.follow_notes()
    }

    /// What became of the messages that arrived, since the client was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats.read()
    }

    /// Joins a channel. `Ok`: joined at our server; [`Channel::spread`] says whether every reachable server knows
    /// too. Survives reconnects until it is left or dropped.
    ///
    /// # Errors
    /// [`JoinError`]; we are then not in the channel, unless it was joined before.
    ///
    /// # Cancel safety
    /// Dropping the future undoes the join.
    pub async fn join(&self, name: ChannelName) -> Result<Channel, JoinError> {
        self.join_with(name, None).await
    }

    /// As [`join`](Self::join), and claims another name in this channel than elsewhere, whatever
    /// [`speak_as`](Self::speak_as) says.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    ///
    /// # Cancel safety
    /// As [`join`](Self::join).
    pub async fn join_as(&self, name: ChannelName, as_name: UserName) -> Result<Channel, JoinError> {
        self.join_with(name, Some(as_name)).await
    }

    async fn join_with(&self, name: ChannelName, as_name: Option<UserName>) -> Result<Channel, JoinError> {
        let permit = Arc::clone(&self.shared.room).acquire_owned().await.map_err(|_| JoinError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Join { name, as_name, reply, permit };
        self.shared.commands.send(command).map_err(|_| JoinError::Closed)?;
        let guard: RoomGuard = answer.await.map_err(|_| JoinError::Closed)??;
        Ok(Channel::new(guard, Arc::clone(&self.shared)))
    }

    /// Makes a private channel and joins it. `Ok` as for [`join`](Self::join); what is said in it is sealed for its
    /// members. [`Channel::private`] has its invitation.
    ///
    /// # Errors
    /// [`JoinError`]; there is no such channel then.
    ///
    /// # Cancel safety
    /// Dropping the future undoes it.
    pub async fn create_private(&self, name: ChannelName, charter: Charter) -> Result<Channel, JoinError> {
        self.come(Way::Create(name, charter)).await
    }

    /// Joins a private channel by its invitation, and calls it `name` here, or as the invitation does. `Ok` as for
    /// [`join`](Self::join).
    ///
    /// # Errors
    /// [`JoinError`]; we are not in the channel then.
    ///
    /// # Cancel safety
    /// Dropping the future undoes it.
    pub async fn join_private(
        &self,
        invite: Invite,
        name: Option<ChannelName>,
    ) -> Result<Channel, JoinError> {
        self.come(Way::Enter(name, Box::new(invite))).await
    }

    /// Comes back to a private channel that was [written down](crate::Private::saved), and asks its members what was
    /// missed. `Ok` as for [`join`](Self::join).
    ///
    /// # Errors
    /// [`JoinError`]; we are not in the channel then.
    ///
    /// # Cancel safety
    /// Dropping the future undoes it.
    pub async fn restore_private(&self, saved: SavedChannel) -> Result<Channel, JoinError> {
        self.come(Way::Restore(Box::new(saved))).await
    }

    async fn come(&self, way: Way) -> Result<Channel, JoinError> {
        let permit = Arc::clone(&self.shared.room).acquire_owned().await.map_err(|_| JoinError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let command = PrivateCommand::Come { way, as_name: None, reply, permit };
        self.shared.commands.send(Command::Private(Box::new(command))).map_err(|_| JoinError::Closed)?;
        let guard: RoomGuard = answer.await.map_err(|_| JoinError::Closed)??;
        Ok(Channel::new(guard, Arc::clone(&self.shared)))
    }

    /// Claims another name from now on: in direct messages, and in channels that are entered later by anything but
    /// [`join_as`](Self::join_as). Channels that were entered before keep the name that they have, also when they are
    /// joined again after a reconnect; [`Channel::speak_as`] changes it there.
    ///
    /// A [`UserName`] has at most 48 bytes, and the empty one takes the name back. The change takes its turn among all
    /// that was asked of this client, and cannot fail: once the client has ended, nothing is said under any name.
    pub fn speak_as(&self, name: UserName) {
        // An error means that the client has ended.
        let _ended = self.shared.commands.send(Command::Rename { name });
    }

    /// A handle for direct messages to this user. Nothing is on the wire until the first one is sent.
    #[must_use]
    pub fn direct(&self, to: UserId) -> Direct {
        Direct::new(to, Arc::clone(&self.shared))
    }

    /// The direct messages that come. All inboxes of a client share them: each goes to one.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox::new(Arc::clone(&self.shared.inbox))
    }

    /// Tells what the user thinks of a key: nothing of a blocked one is shown or answered, and
    /// [`DirectMessage::trust`] repeats the opinion. It is kept for as long as the client lives.
    pub fn trust(&self, user: UserId, trust: Trust) {
        // An error means that the client has ended.
        let _ended = self.shared.commands.send(Command::Trust { user, trust });
    }

    /// Sends what is queued, says goodbye, and waits until all tasks have ended, at most about 6 s. Channels end,
    /// and can still be read to their end. Idempotent. Dropping the last handle ends at once instead.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the wish back: the client closes all the same.
    pub async fn close(&self) {
        // An error means that the tasks have ended already.
        let _ended = self.shared.commands.send(Command::Close);
        self.shared.commands.closed().await;
    }
}
