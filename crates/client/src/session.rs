//! What a client knows and decides, without IO: the same shape as the server's node.
//!
//! A driver gives [`Input`]s and carries out [`Output`]s. That is all there is to it:
//!
//! ```
//! use darkchat_client::session::{Config, Input, Output, Session};
//! use darkchat_proto::{DeviceId, Time, UserId};
//!
//! let config = Config { servers: vec!["chat.example".parse()?], ..Config::default() };
//! let mut session = Session::new(UserId::new([1; 32]), DeviceId::new([2; 16]), config, [3; 32]);
//!
//! session.handle(Time::ZERO, Input::Wall { unix_ms: 1_700_000_000_000 });
//! session.handle(Time::ZERO, Input::Connect);
//! let mut dialled = None;
//! while let Some(output) = session.poll() {
//!     if let Output::Dial { addr, .. } = output {
//!         dialled = Some(addr.to_string()); // and later: Input::Opened or Input::DialFailed
//!     }
//! }
//! assert_eq!(dialled.as_deref(), Some("tcp://chat.example"));
//! assert!(session.poll_timeout().is_some()); // then, at the latest: Input::Timeout
//! # Ok::<(), darkchat_proto::ParseError>(())
//! ```
//!
//! Handling an input never fails and never blocks. Each concern is a struct that owns its fields; the session routes
//! inputs to them. Nothing here has a clock, a socket, the user's key, or randomness beside its seed and what
//! [`Input::Random`] brings, so one seed and one list of inputs are one run. Source: `docs/protocol.md`, sections 5.3, 6.1, 6.3 and 11.2.

mod budget;
mod channels;
mod config;
mod connection;
mod contacts;
mod controls;
mod direct;
mod doubt;
mod early;
mod input;
mod joining;
mod linking;
mod members;
mod order;
mod outbox;
mod output;
mod own;
mod private;
mod random;
mod receiving;
mod requests;
mod resume;
mod seen;
mod sending;
mod signs;
mod stats;
mod stream;
mod window;

pub use config::Config;
pub use contacts::Trust;
pub use doubt::Fault;
pub use input::{Fresh, Input, Received};
pub use output::{Event, Failure, Output, State};
pub use private::{Change, Charter, PrivateError, SavedChannel, SavedError};
pub use stats::Stats;

use budget::Budgets;
pub(crate) use channels::CHANNELS;
use channels::{Channels, Membership};
use connection::Connection;
use contacts::Contacts;
use darkchat_crypto::SeededRng;
use darkchat_proto::{Announced, ChannelId, DeviceId, Invite, Network, Signature, Time, UserId, UserName};
use direct::Direct;
use doubt::Doubts;
use early::Early;
use members::Members;
use order::Order;
use outbox::{Leaving, Outbox};
use own::OwnStreams;
use private::Privates;
use rand_core::Rng as _;
use random::Random;
use requests::Requests;
use resume::Resuming;
use signs::Signs;
use std::collections::VecDeque;
use std::time::Duration;

/// A dial that the session asked for; also names the link that comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct DialId(pub u64);

/// A signature that the session asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct SignId(pub u64);

/// A wish of the user's: chosen by the driver, repeated by the answer, used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Ticket(pub u64);

/// How long what is queued may take to go out after [`Input::Close`].
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Everything that a client knows and decides. No sockets, no clock, no randomness of its own.
#[derive(Debug)]
pub struct Session {
    user: UserId,
    device: DeviceId,
    network: Network,
    name: UserName,
    announce: bool,
    random: Random,
    /// Keys and other secrets are made of it.
    secrets: SeededRng,
    signs: Signs,
    contacts: Contacts,
    direct: Direct,
    wall: Wall,
    connection: Connection,
    outbox: Outbox,
    resuming: Resuming,
    /// Whether both ends of the link at hand can resume sessions.
    resumes: bool,
    /// Whether both ends of the link at hand know sealed posts.
    seals: bool,
    requests: Requests,
    budgets: Budgets,
    channels: Channels,
    own: OwnStreams,
    private: Privates,
    order: Order,
    early: Early,
    members: Members,
    stats: Stats,
    doubts: Doubts,
    /// After [`Input::Close`]: when the goodbye goes, whatever is still queued.
    leave_by: Option<Time>,
    outputs: VecDeque<Output>,
}

/// The wall clock as it was told last.
#[derive(Debug, Default)]
struct Wall {
    unix_ms: u64,
    at: Time,
}

impl Wall {
    fn at(&self, now: Time) -> u64 {
        let passed = now.saturating_since(self.at).as_millis();
        self.unix_ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// When this clock will show so much; at once if it does already.
    fn time_of(&self, unix_ms: u64) -> Time {
        self.at + Duration::from_millis(unix_ms.saturating_sub(self.unix_ms))
    }
}

impl Session {
    /// A session of this user on this device. `seed` gives stream numbers, jitter, and keys: 32 secret random bytes,
    /// used once.
    #[must_use]
    pub fn new(user: UserId, device: DeviceId, config: Config, seed: [u8; 32]) -> Self {
        let Config { network, servers, name, reconnect, persist, announce, reachable } = config;
        // What gives numbers that everybody sees tells its own state; it must not tell that of the secrets.
        let (mut secrets, mut jitter) = (SeededRng::new(seed), [0; 32]);
        secrets.fill_bytes(&mut jitter);
        Self {
            user,
            device,
            network,
            name,
            announce,
            random: Random::new(jitter),
            secrets,
            signs: Signs::default(),
            contacts: Contacts::default(),
            direct: Direct::new(reachable),
            wall: Wall::default(),
            connection: Connection::new(servers, reconnect, persist),
            outbox: Outbox::default(),
            resuming: Resuming::default(),
            resumes: false,
            seals: false,
            requests: Requests::default(),
            budgets: Budgets::new(&Announced::default(), Time::ZERO),
            channels: Channels::default(),
            own: OwnStreams::default(),
            private: Privates::default(),
            order: Order::default(),
            early: Early::default(),
            members: Members::default(),
            stats: Stats::default(),
            doubts: Doubts::default(),
            leave_by: None,
            outputs: VecDeque::new(),
        }
    }

    /// Tells the session what happened at `now`. Never fails, never blocks.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Wall { unix_ms } => self.wall = Wall { unix_ms, at: now },
            Input::Random(Fresh(bytes)) => self.secrets.mix(&bytes),
            Input::Connect => self.connect(now),
            Input::Opened { dial, server, announced, features } => {
                self.opened(now, (dial, server), &announced, features);
            }
            Input::DialFailed { dial, why } if self.connection.is_dialling(dial) => self.lost(now, why),
            Input::DialFailed { .. } => {}
            Input::Frame(received) => self.received(now, received),
            Input::Flushed { bytes } => self.outbox.flushed(bytes),
            Input::Closed { why } if self.connection.is_open() => self.lost(now, why),
            Input::Closed { .. } => {}
            Input::Signed { sign, signature } => self.signed(now, sign, signature),
            Input::Timeout => self.timeout(now),
            Input::Trust { user, trust } => self.contacts.set(user, trust),
            Input::Join { ticket, channel, name } => self.join(now, ticket, channel, name),
            Input::Create { ticket, channel, name, charter } => {
                self.create_private(now, ticket, (channel, name), charter);
            }
            Input::Enter { ticket, channel, name, invite } => {
                self.enter_private(now, ticket, (channel, name), &invite);
            }
            Input::Restore { ticket, name, saved } => self.resume_private(now, ticket, name, *saved),
            Input::Change { ticket, channel, change } => self.change(now, ticket, channel, &change),
            Input::Offer { ticket, channel, to } => self.offer(now, ticket, &channel, to),
            Input::Rename { name } => self.name = name,
            Input::Speak { channel, name } => self.speak(&channel, &name),
            Input::Leave { ticket, channel } => self.leave(now, ticket, channel),
            Input::Send { ticket, channel, entry } => self.send(now, ticket, channel, entry),
            Input::SendDirect { ticket, to, id, entry, reply_to } => {
                self.send_direct(now, ticket, (to, id), entry, reply_to);
            }
            Input::Close => self.close(now),
        }
        self.go_on(now);
        self.tell_faults(now);
    }

    /// What to do next; `None` when there is nothing left to do.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let Leaving { bytes, counts } = self.outbox.next()?;
        if counts {
            self.resuming.sent(&bytes);
        }
        Some(Output::Send { bytes })
    }

    /// When to give [`Input::Timeout`], if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let private = self.private.deadline(&self.wall);
        let times = [
            private,
            self.connection.deadline(),
            self.resume_deadline(),
            self.requests.deadline(),
            self.channels.deadline(),
            self.own.deadline(self.connection.is_up()),
            self.order.deadline(),
            self.members.deadline(),
            self.direct.deadline(),
            self.leave_by,
            self.doubts.deadline(),
        ];
        if self.connection.is_ended() { None } else { times.into_iter().flatten().min() }
    }

    /// Whose session it is.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// On which device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// What the user thinks of a key, as [`Input::Trust`] told it.
    #[must_use]
    pub fn trust(&self, user: &UserId) -> Trust {
        self.contacts.trust(user)
    }

    /// The invitation to a private channel as it is now. It holds the channel's secret.
    #[must_use]
    pub fn invite(&self, channel: &ChannelId) -> Option<Invite> {
        self.private.invite(channel)
    }

    /// Whether members of a private channel are being asked for what was missed.
    #[must_use]
    pub fn is_asking(&self, channel: &ChannelId) -> bool {
        self.private.is_asking(channel)
    }

    /// What is to be written down of a private channel, so that the user can come back to it. It holds secrets.
    #[must_use]
    pub fn saved(&self, channel: &ChannelId) -> Option<SavedChannel> {
        self.private.saved(channel)
    }

    /// What became of the entries that arrived.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.seen_early = self.order.seen_early();
        stats
    }

    /// The deadline has come: everything whose time is over happens now.
    fn timeout(&mut self, now: Time) {
        self.check_link(now);
        self.expire_resume(now);
        self.expire_joins(now);
        self.expire_requests(now);
        for ticket in self.own.expire(now) {
            self.send_failed(ticket, Failure::TimedOut);
        }
        let mut releases = Vec::new();
        self.order.expire(now, &mut releases);
        self.show(now, releases);
        while let Some((channel, change)) = self.members.expired(now) {
            self.event(Event::Member { channel, change });
        }
        self.private_time(now);
        self.say_here(now);
        self.expire_direct(now);
    }

    /// A signature, for whoever asked for it.
    fn signed(&mut self, now: Time, sign: SignId, signature: Signature) {
        if !self.direct.signed(sign, signature) && !self.own.signed(sign, signature) {
            self.private_signed(now, sign, signature);
        }
    }

    /// After each input: whatever became possible is done.
    fn go_on(&mut self, now: Time) {
        if self.connection.is_up() {
            self.ask_joins(now);
            self.pump(now);
            self.finish_leaves(now);
            if self.resuming.wants_ping() {
                self.ping(now);
            }
        }
        self.pump_direct(now);
        self.finish_close(now);
    }

    fn event(&mut self, event: Event) {
        self.outputs.extend(self.private.outward(event).map(Output::Event));
    }
}

#[cfg(test)]
mod tests;
