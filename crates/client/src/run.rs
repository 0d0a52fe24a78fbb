//! The client's one loop: it owns the session, carries out what the session wants, and tells it what happens.

mod clock;
pub(crate) mod dial;
pub(crate) mod direct;
mod link;
pub(crate) mod private;

use crate::client::{Client, Shared};
use crate::direct::letters;
use crate::error::{ConnectError, JoinError, SendError};
use crate::message::{DirectMessage, PrivateView, Sent};
use crate::queue::Queue;
use crate::room::{Room, RoomGuard};
use crate::session::{
    Config, DialId, Event, Failure, Fresh, Input, Output, PrivateError, Session, State, Stats, Ticket, Trust,
};
use crate::state::{Note, Told};
use clock::Clock;
use darkchat_crypto::system;
use darkchat_proto::{Addr, ChannelId, ChannelName, Code, Entry, Goodbye, Network, Time, UserId, UserName};
use dial::Dialler;
use direct::DirectCommand;
use link::{LinkTask, Write};
use private::PrivateCommand;
use rand_core::Rng as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument as _;

/// Permits of the send queue: messages, or KiB of them, that wait for their outcome. The session's own bounds are no
/// smaller, so it never refuses what holds a permit.
const PERMITS: usize = 1_792;
/// How long a link may take to end after [`Output::Close`]; then it is dropped, with what the carrier has not taken (3.5).
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A user's wish, on its way to the loop.
#[derive(Debug)]
pub(crate) enum Command {
    Join {
        name: ChannelName,
        as_name: Option<UserName>,
        reply: oneshot::Sender<Result<RoomGuard, JoinError>>,
        permit: OwnedSemaphorePermit,
    },
    Leave {
        room: Arc<Room>,
        reply: Option<oneshot::Sender<()>>,
    },
    Rename {
        name: UserName,
    },
    Speak {
        room: Arc<Room>,
        name: UserName,
    },
    Send {
        room: Arc<Room>,
        entry: Entry,
        permit: OwnedSemaphorePermit,
        reply: Option<oneshot::Sender<Result<Sent, SendError>>>,
    },
    Private(Box<PrivateCommand>),
    Direct(Box<DirectCommand>),
    Trust {
        user: UserId,
        trust: Trust,
    },
    Close,
}

/// Who waits for what.
enum Waiter {
    Join {
        room: Arc<Room>,
        reply: oneshot::Sender<Result<RoomGuard, JoinError>>,
        _permit: OwnedSemaphorePermit,
    },
    Leave {
        reply: Option<oneshot::Sender<()>>,
    },
    Come {
        reply: oneshot::Sender<Result<RoomGuard, JoinError>>,
        _permit: OwnedSemaphorePermit,
    },
    Change {
        reply: oneshot::Sender<Result<(), PrivateError>>,
        _permit: OwnedSemaphorePermit,
    },
    Offer {
        reply: oneshot::Sender<Result<(), Failure>>,
        _permit: OwnedSemaphorePermit,
    },
    Direct(direct::Letter),
    Send {
        room: Arc<Room>,
        reply: Option<oneshot::Sender<Result<Sent, SendError>>>,
        _permit: OwnedSemaphorePermit,
    },
}

/// The counters, as the loop left them last.
#[derive(Debug, Default)]
pub(crate) struct SharedStats {
    session: Mutex<Stats>,
    unread: AtomicU64,
}

impl SharedStats {
    pub(crate) fn read(&self) -> Stats {
        let mut stats = *self.session.lock().unwrap_or_else(PoisonError::into_inner);
        stats.unread = self.unread.load(Ordering::Relaxed);
        stats.shown = stats.shown.saturating_sub(stats.unread);
        stats
    }
}

/// Starts a client's loop. The receiver gets the outcome of connecting.
pub(crate) fn start(
    dialler: Dialler,
    config: Config,
    trust: Vec<(UserId, Trust)>,
    receive_queue: usize,
    seed: [u8; 32],
) -> (Client, oneshot::Receiver<Result<(), ConnectError>>) {
    let (commands, wishes) = mpsc::unbounded_channel();
    let (up, connected) = oneshot::channel();
    let inbox = Arc::new(Queue::new(receive_queue));
    let (told, stats) = (Arc::new(Told::new()), Arc::new(SharedStats::default()));
    let shared = Shared {
        id: dialler.identity.user_id(),
        commands: commands.clone(),
        room: Arc::new(Semaphore::new(PERMITS)),
        told: Arc::clone(&told),
        stats: Arc::clone(&stats),
        letters: letters(),
        inbox: Arc::clone(&inbox),
    };
    let network = config.network.clone();
    let first = config.servers.first().map(|server| server.addr.clone());
    let mut session = Session::new(shared.id, dialler.device, config, seed);
    for (user, trust) in trust {
        session.handle(Time::ZERO, Input::Trust { user, trust });
    }
    let run = Run {
        session,
        dialler: Arc::new(dialler),
        network,
        clock: Clock::start(),
        wishes,
        commands: commands.downgrade(),
        link: None,
        close_by: None,
        dial: DialId(0),
        addr: first,
        told,
        stats,
        inbox,
        waiters: BTreeMap::new(),
        rooms: BTreeMap::new(),
        views: BTreeMap::new(),
        last_ticket: 0,
        receive_queue,
        up: Some(up),
        error: None,
    };
    drop(commands);
    let span = tracing::debug_span!("client", user = shared.id.mark());
    tokio::spawn(run.run().instrument(span));
    (Client { shared: Arc::new(shared) }, connected)
}

struct Run {
    session: Session,
    dialler: Arc<Dialler>,
    network: Network,
    clock: Clock,
    wishes: mpsc::UnboundedReceiver<Command>,
    /// For guards of channels; weak, so that only handles keep the loop alive.
    commands: mpsc::WeakUnboundedSender<Command>,
    link: Option<LinkTask>,
    /// When the link is dropped, once the session wants it closed.
    close_by: Option<Time>,
    dial: DialId,
    addr: Option<Addr>,
    told: Arc<Told>,
    stats: Arc<SharedStats>,
    inbox: Arc<Queue<DirectMessage>>,
    waiters: BTreeMap<Ticket, Waiter>,
    rooms: BTreeMap<ChannelId, Arc<Room>>,
    /// What there is to see of private channels; dropped when the channel ends.
    views: BTreeMap<ChannelId, watch::Sender<Arc<PrivateView>>>,
    last_ticket: u64,
    receive_queue: usize,
    /// Who waits for the first connection.
    up: Option<oneshot::Sender<Result<(), ConnectError>>>,
    /// Why the last try failed.
    error: Option<ConnectError>,
}

/// What the loop waits for.
enum Woken {
    Wish(Option<Command>),
    Link(link::Told),
    Time,
    /// The link was to be closed, and is still there.
    Overdue,
}

impl Run {
    /// Runs until the session has ended or the last handle is gone.
    async fn run(mut self) {
        self.give(Input::Connect);
        while !matches!(&*self.told.state.borrow(), State::Closed { .. }) {
            match self.wait().await {
                Woken::Wish(Some(command)) => self.wish(command),
                Woken::Wish(None) => return,
                Woken::Link(told) => self.link_told(told),
                Woken::Time => self.give(Input::Timeout),
                // Whoever does not read holds up its own link and no other.
                Woken::Overdue => self.link_told(link::Told::Closed(Code::Truncated)),
            }
        }
    }

    /// # Cancel safety
    /// Everything awaited is safe to drop: channels keep what was not taken, and the timer is set anew.
    async fn wait(&mut self) -> Woken {
        let timer = until(self.session.poll_timeout().map(|time| self.clock.instant(time)));
        let overdue = until(self.close_by.map(|time| self.clock.instant(time)));
        let link = async {
            match &mut self.link {
                Some(link) => link.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = link => Woken::Link(told),
            command = self.wishes.recv() => Woken::Wish(command),
            () = timer => Woken::Time,
            () = overdue => Woken::Overdue,
        }
    }

    /// Tells the session something and carries out what it wants.
    fn give(&mut self, input: Input) {
        let now = self.clock.now();
        if let Some(unix_ms) = self.clock.wall(now) {
            self.session.handle(now, Input::Wall { unix_ms });
        }
        if input.wants_random() {
            self.session.handle(now, Input::Random(fresh()));
        }
        self.session.handle(now, input);
        while let Some(output) = self.session.poll() {
            self.carry_out(output);
        }
        *self.stats.session.lock().unwrap_or_else(PoisonError::into_inner) = self.session.stats();
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Dial { dial, addr, resume } => {
                self.dial = dial;
                self.addr = Some(addr.addr.clone());
                self.error = None;
                self.link = Some(LinkTask::start(Arc::clone(&self.dialler), addr, resume));
            }
            Output::Send { bytes } => self.write(Write::Frame(bytes)),
            Output::Close { goodbye } => self.close(goodbye),
            Output::Sign { sign, request } => {
                let signature = self.dialler.identity.sign(&request);
                let now = self.clock.now();
                self.session.handle(now, Input::Random(fresh()));
                self.session.handle(now, Input::Signed { sign, signature });
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn write(&self, write: Write) {
        if let Some(link) = &self.link {
            // An error means that the link has ended, and says so itself.
            let _ended = link.writes.send(write);
        }
    }

    fn close(&mut self, goodbye: Option<Goodbye>) {
        if self.link.as_ref().is_some_and(|link| link.opened) {
            self.close_by = Some(self.clock.now() + CLOSE_WITHIN);
            return self.write(Write::Close(goodbye));
        }
        self.link = None;
        let dial = self.dial;
        self.session.handle(self.clock.now(), Input::DialFailed { dial, why: Code::Timeout });
    }

    fn link_told(&mut self, told: link::Told) {
        let dial = self.dial;
        match told {
            link::Told::Opened { server, announced, features } => {
                if let Some(link) = &mut self.link {
                    link.opened = true;
                }
                self.give(Input::Opened { dial, server, announced, features });
            }
            link::Told::Failed(error) => {
                self.link = None;
                let why = error.code();
                self.failed(error);
                self.give(Input::DialFailed { dial, why });
            }
            link::Told::Frames(frames) => {
                for frame in frames {
                    self.give(Input::Frame(frame));
                }
            }
            link::Told::Flushed(bytes) => self.give(Input::Flushed { bytes }),
            link::Told::Closed(why) => {
                (self.link, self.close_by) = (None, None);
                self.give(Input::Closed { why });
            }
            link::Told::Note(note) => self.told.note(note),
        }
    }

    /// A try to connect failed: whoever waits for the first connection hears it if no other try follows.
    fn failed(&mut self, error: ConnectError) {
        tracing::debug!(%error, "a try to connect failed");
        if self.up.is_some() {
            self.error = Some(error);
        } else {
            self.told.note(Note::ConnectFailed(Arc::new(error)));
        }
    }

    fn ticket(&mut self, waiter: Waiter) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiters.insert(ticket, waiter);
        ticket
    }

    fn wish(&mut self, command: Command) {
        match command {
            Command::Join { name, as_name, reply, permit } => {
                let id = ChannelId::of(&self.network, &name);
                let room = Arc::new(Room::new(id, name.clone(), self.receive_queue));
                let ticket = self.ticket(Waiter::Join { room, reply, _permit: permit });
                self.give(Input::Join { ticket, channel: name, name: as_name });
            }
            Command::Leave { room, reply } if self.is_current(&room) => {
                let channel = room.id;
                self.rooms.remove(&channel);
                self.views.remove(&channel);
                room.queue.close();
                let ticket = self.ticket(Waiter::Leave { reply });
                self.give(Input::Leave { ticket, channel });
            }
            // It has ended already.
            Command::Leave { reply, .. } => {
                let _gone = reply.map(|reply| reply.send(()));
            }
            Command::Rename { name } => self.give(Input::Rename { name }),
            Command::Speak { room, name } => {
                if self.is_current(&room) {
                    self.give(Input::Speak { channel: room.id, name });
                }
            }
            Command::Send { room, reply, .. } if !self.is_current(&room) => {
                self.say_outcome(&room, reply, Err(SendError::Closed));
            }
            Command::Send { room, entry, permit, reply } => {
                let channel = room.id;
                let ticket = self.ticket(Waiter::Send { room, reply, _permit: permit });
                self.give(Input::Send { ticket, channel, entry });
            }
            Command::Trust { user, trust } => self.give(Input::Trust { user, trust }),
            Command::Direct(command) => self.direct_wish(*command),
            Command::Private(command) => self.private_wish(*command),
            Command::Close => self.give(Input::Close),
        }
    }

    /// Whether a handle's channel is the one that we are in: it may have ended, and have been joined anew since.
    fn is_current(&self, room: &Arc<Room>) -> bool {
        self.rooms.get(&room.id).is_some_and(|current| Arc::ptr_eq(current, room))
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::State(state) => self.state(state),
            Event::Joined { ticket, channel, spread } => self.joined(ticket, channel, spread),
            Event::JoinFailed { ticket, channel, why } => self.join_failed(ticket, channel, why),
            Event::Left { ticket, .. } => {
                if let Some(Waiter::Leave { reply: Some(reply) }) = self.waiters.remove(&ticket) {
                    let _gone = reply.send(());
                }
            }
            other @ (Event::DirectHanded { .. }
            | Event::DirectAcknowledged { .. }
            | Event::Direct(_)
            | Event::NewDevice { .. }) => self.direct_event(other),
            Event::Sent { ticket, sent } => self.sent(ticket, Ok(sent)),
            Event::SendFailed { ticket, why } => {
                let why = why.into();
                if !self.direct_failed(ticket, &why) {
                    self.sent(ticket, Err(why));
                }
            }
            Event::Message { channel, message } => {
                let taken = self.rooms.get(&channel).is_some_and(|room| room.queue.message(message));
                if !taken {
                    self.stats.unread.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Missed { channel, missed } => {
                if let Some(room) = self.rooms.get(&channel) {
                    room.queue.missed(missed);
                }
            }
            Event::Member { channel, change } => {
                if let Some(room) = self.rooms.get(&channel) {
                    room.changed(change);
                }
            }
            Event::ClockDiffers { server_ms, our_ms } => {
                self.told.note(Note::ClockDiffers { server: clock(server_ms), ours: clock(our_ms) });
            }
            Event::Goodbye(goodbye) if self.up.is_some() => {
                let retry = Duration::from_millis(goodbye.retry_ms.into());
                let retry = Some(retry).filter(|retry| !retry.is_zero());
                self.failed(ConnectError::Refused { code: goodbye.code, text: goodbye.text, retry });
            }
            other @ (Event::Rekeyed { .. }
            | Event::Excluded { .. }
            | Event::Changed { .. }
            | Event::ChangeFailed { .. }
            | Event::Invited { .. }
            | Event::Offered { .. }
            | Event::Kept { .. }) => self.private_event(other),
            // The state that follows says all that a program needs to know.
            Event::Goodbye(_) | Event::Resumed => {}
            Event::Rejected { fault, count } => self.told.note(Note::Rejected { fault, count }),
            Event::Draining => self.told.note(Note::Draining),
            Event::Text(text) => self.told.note(Note::Text(text)),
        }
    }

    /// Whoever waits for a state finds it told already.
    fn state(&mut self, state: State) {
        self.told.state(state.clone());
        match &state {
            State::Connected { .. } => {
                self.error = None;
                if let Some(up) = self.up.take() {
                    let _gone = up.send(Ok(()));
                }
            }
            State::Closed { why } => self.ended(*why),
            _ => {}
        }
    }

    /// The session has ended: channels end, and whoever waits for the first connection hears why there is none.
    fn ended(&mut self, code: Code) {
        for room in std::mem::take(&mut self.rooms).into_values() {
            room.queue.close();
        }
        self.views.clear();
        self.inbox.close();
        if let Some(up) = self.up.take() {
            let lost = self.addr.clone().map(|addr| ConnectError::Lost { addr, code });
            let error = self.error.take().or(lost).unwrap_or(ConnectError::NoAddress);
            let _gone = up.send(Err(error));
        }
    }

    fn joined(&mut self, ticket: Option<Ticket>, channel: ChannelId, spread: bool) {
        let waiter = ticket.and_then(|ticket| self.waiters.remove(&ticket));
        if let Some(Waiter::Come { reply, .. }) = waiter {
            return self.come(channel, spread, reply);
        }
        let Some(Waiter::Join { room, reply, .. }) = waiter else {
            if let Some(room) = self.rooms.get(&channel) {
                room.joined(spread);
            }
            return;
        };
        room.joined(spread);
        self.rooms.insert(channel, Arc::clone(&room));
        // A guard that nobody takes leaves the channel again.
        let _gone = reply.send(Ok(RoomGuard::new(room, self.commands.clone())));
    }

    fn join_failed(&mut self, ticket: Option<Ticket>, channel: ChannelId, why: Failure) {
        match ticket.and_then(|ticket| self.waiters.remove(&ticket)) {
            Some(Waiter::Join { reply, .. } | Waiter::Come { reply, .. }) => {
                let _gone = reply.send(Err(why.into()));
            }
            _ => {
                if let Some(room) = self.rooms.remove(&channel) {
                    room.queue.close();
                }
                self.views.remove(&channel);
            }
        }
    }

    fn sent(&mut self, ticket: Ticket, outcome: Result<Sent, SendError>) {
        if let Some(Waiter::Send { room, reply, .. }) = self.waiters.remove(&ticket) {
            self.say_outcome(&room, reply, outcome);
        }
    }

    fn say_outcome(
        &self,
        room: &Room,
        reply: Option<oneshot::Sender<Result<Sent, SendError>>>,
        outcome: Result<Sent, SendError>,
    ) {
        match (reply, outcome) {
            (Some(reply), outcome) => {
                let _gone = reply.send(outcome);
            }
            (None, Err(why)) => self.told.note(Note::NotSent { channel: room.name.clone(), why }),
            (None, Ok(_)) => {}
        }
    }
}

impl Drop for Run {
    /// However the loop ended, who still reads comes to an end as well.
    fn drop(&mut self) {
        for room in self.rooms.values() {
            room.queue.close();
        }
        self.inbox.close();
    }
}

/// Waits for that moment; for ever without one.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Bytes from the operating system, for keys.
fn fresh() -> Fresh {
    let mut bytes = [0; 32];
    system::rng().fill_bytes(&mut bytes);
    Fresh(bytes)
}

/// A time on the wire as the system's.
fn clock(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms)).unwrap_or(UNIX_EPOCH)
}
