//! What all tasks of one server share.

use crate::clock::Clock;
use crate::dial::NotDialled;
use crate::events::Listeners;
use crate::gate::Gate;
use crate::link::{Blanks, Flushed, NewLink};
use crate::stats::Counts;
use crate::{Limits, LinkId, PeerError, TraceError};
use darkchat_crypto::{Fingerprints, Identity, LinkConfig, NetworkSecret, StaticKey, Verified, system};
use darkchat_node::{Config, DialId, Node, Received, Trace, VerifyId};
use darkchat_proto::{Bundle, ChannelId, Code, ServerAddr, ServerId};
use darkchat_transport::Transport;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Facts that wait for the loop. When it is behind, links wait here in turn, one frame each, and so stop reading.
const ARRIVALS_WAITING: usize = 256;

/// A fact for the loop.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A handshake is complete.
    Opened(Box<NewLink>),
    /// A frame came in.
    Frame {
        link: LinkId,
        frame: Received,
    },
    /// Messages that came in together, in their order: they are for one turn.
    Messages {
        link: LinkId,
        frames: Vec<Received>,
    },
    /// A link is gone.
    Closed {
        link: LinkId,
        why: Code,
    },
    NotDialled(Box<NotDialled>),
    /// A server was dialled to see whether it can be.
    Probed {
        dial: DialId,
        reachable: bool,
    },
    /// The signatures of bundles that another server showed were checked.
    Verified {
        verify: VerifyId,
        bundles: Vec<Option<Verified<Bundle>>>,
    },
    /// The operator wants a link.
    Connect {
        peer: ServerAddr,
        answer: oneshot::Sender<Result<ServerId, PeerError>>,
    },
    /// A discovery found a server.
    Found(ServerAddr),
    /// The operator wants no link with that server.
    Disconnect {
        peer: ServerId,
        answer: oneshot::Sender<bool>,
    },
    /// The operator wants to know the way of a channel's posts.
    Trace {
        channel: ChannelId,
        answer: oneshot::Sender<Result<Trace, TraceError>>,
    },
    /// The operator wants an end.
    Drain,
}

/// What all tasks of one server share.
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    /// The Noise key of this process: it carries no identity.
    pub(crate) key: StaticKey,
    pub(crate) link_config: LinkConfig,
    /// By which all links know posts again.
    pub(crate) fingerprints: Arc<Fingerprints>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    pub(crate) flushed: Flushed,
    pub(crate) blanks: Blanks,
    pub(crate) closed_early: Counts,
    pub(crate) listeners: Listeners,
    pub(crate) events_lost: AtomicU64,
    /// Nobody new is let in.
    pub(crate) stopping: CancellationToken,
    /// Every task ends, wherever it is.
    pub(crate) ended: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Where they run, whatever thread a handle is used on.
    runtime: Handle,
    transports: Vec<Arc<dyn Transport>>,
    node: Mutex<Node>,
    gate: Mutex<Gate>,
    links: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        identity: Identity,
        config: Config,
        secret: Option<NetworkSecret>,
        transports: Vec<Arc<dyn Transport>>,
        limits: Limits,
        runtime: Handle,
    ) -> (Arc<Self>, mpsc::Receiver<Arrival>) {
        let (arrivals, receiver) = mpsc::channel(ARRIVALS_WAITING);
        let link_config = LinkConfig { network: config.network.clone(), secret, features: config.features };
        // A throwaway public key: 32 bytes that nobody can guess.
        let seed = *StaticKey::generate(&mut system::rng()).public();
        let shared = Self {
            node: Mutex::new(Node::new(identity.server_id(), config, seed)),
            gate: Mutex::new(Gate::new(limits.profile)),
            identity,
            key: StaticKey::generate(&mut system::rng()),
            link_config,
            fingerprints: Arc::new(Fingerprints::generate(&mut system::rng())),
            limits,
            clock: Clock::start(),
            arrivals,
            flushed: Flushed::default(),
            blanks: Blanks::default(),
            closed_early: Counts::default(),
            listeners: Listeners::new(),
            events_lost: AtomicU64::new(0),
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime,
            transports,
            links: AtomicU64::new(0),
        };
        (Arc::new(shared), receiver)
    }

    /// The node. Held for one turn of the loop, or for one look; never across a wait.
    pub(crate) fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for a link, never used before.
    pub(crate) fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn transport(&self, scheme: &str) -> Option<&Arc<dyn Transport>> {
        self.transports.iter().find(|transport| transport.schemes().contains(&scheme))
    }

    /// Runs a task that ends with the server at the latest.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn_on(self.ended.clone().run_until_cancelled_owned(task), &self.runtime)
    }

    /// Runs a task of a link. It ends when its outbox closes, and so needs no look at what all tasks share, which
    /// would be two locks each time that it wakes up.
    pub(crate) fn spawn_for_link<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn_on(task, &self.runtime)
    }

    /// Tells the loop. It takes everything until the server ends; then there is nobody left to tell.
    pub(crate) async fn tell(&self, arrival: Arrival) {
        drop(self.arrivals.send(arrival).await);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.identity.server_id()).finish_non_exhaustive()
    }
}
