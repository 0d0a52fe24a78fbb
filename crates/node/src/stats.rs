//! What a node has counted, and how large it is. Source: `docs/protocol.md`, sections 4.3 and 13.2.

use crate::queue::Owed;
use darkchat_proto::Code;
use std::collections::BTreeMap;

/// Why a frame was not accepted. Source: section 13.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RefusedFor {
    /// It breaks the form.
    Malformed,
    /// It is over a length.
    TooLarge,
    /// Its signature is bad.
    BadSignature,
    /// Its author is not the session's user.
    NotAuthor,
    /// Its channel was not joined.
    NotJoined,
    /// It is stamped too far from the clock.
    Stale,
    /// It was accepted before.
    Duplicate,
    /// It is over a budget.
    Rate,
    /// A count is at its bound.
    Limit,
    /// Its recipient is not here.
    NotHere,
    /// There is no route.
    Unreachable,
}

impl RefusedFor {
    /// The reason that stands behind a code.
    pub(crate) const fn of(code: Code) -> Self {
        match code {
            Code::TooLarge => Self::TooLarge,
            Code::BadSignature => Self::BadSignature,
            Code::Unauthorized => Self::NotAuthor,
            Code::NotJoined => Self::NotJoined,
            Code::Stale => Self::Stale,
            Code::Duplicate => Self::Duplicate,
            Code::RateLimited => Self::Rate,
            Code::Limit => Self::Limit,
            Code::NotHere => Self::NotHere,
            Code::Unreachable => Self::Unreachable,
            _ => Self::Malformed,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::BadSignature => "bad_signature",
            Self::NotAuthor => "not_author",
            Self::NotJoined => "not_joined",
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::Rate => "rate",
            Self::Limit => "limit",
            Self::NotHere => "not_here",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why a copy was not delivered. Source: section 13.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DroppedFor {
    /// The link's queue was full, or the copy too old in it.
    QueueFull,
    /// The session was cut off with the copy waiting.
    SlowConsumer,
    /// The link went away with the copy waiting.
    LinkDown,
    /// No route leads to the destination.
    NoRoute,
    /// It waited in vain for a way to a destination that was there shortly before.
    LimboExpired,
    /// The frame made all the hops that it may make.
    Ttl,
    /// Nobody here has joined the channel.
    NoMember,
    /// The recipient is not here.
    NotHere,
    /// The carried bytes have not the form that they should have.
    Malformed,
    /// All queues together were over their share of the memory.
    Memory,
    /// The same bytes were delivered here before.
    Duplicate,
    /// The signature was checked and is bad.
    BadSignature,
    /// Over a budget.
    Rate,
    /// The server stopped.
    Shutdown,
}

impl DroppedFor {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::SlowConsumer => "slow_consumer",
            Self::LinkDown => "link_down",
            Self::NoRoute => "no_route",
            Self::LimboExpired => "limbo_expired",
            Self::Ttl => "ttl",
            Self::NoMember => "no_member",
            Self::NotHere => "not_here",
            Self::Malformed => "malformed",
            Self::Memory => "memory",
            Self::Duplicate => "duplicate",
            Self::BadSignature => "bad_signature",
            Self::Rate => "rate",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The counters. At every moment `frames_in` is `accepted` and all of `refused`, and `copies` is `delivered`,
/// `forwarded`, all of `dropped` and `pending`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Posts and direct messages that came, from clients and from peers, and whatever a link's task refused.
    pub frames_in: u64,
    /// Those that were accepted.
    pub accepted: u64,
    /// Those that were not, by reason.
    pub refused: BTreeMap<RefusedFor, u64>,
    /// Copies owed: one a session, one a destination server, one an own part that reaches no session.
    pub copies: u64,
    /// Copies that left for a session.
    pub delivered: u64,
    /// Copies to a destination server that the next hop has counted.
    pub forwarded: u64,
    /// Copies that were given up, by reason.
    pub dropped: BTreeMap<DroppedFor, u64>,
    /// Copies that wait: in a queue, for the next hop to count them, or for a way.
    pub pending: u64,
    /// Messages that were out on a lost link and go once more: by another way, or on the link that resumed a session.
    pub resent: u64,
    /// Posts of other servers that were verified and are forged.
    pub forged: u64,
    /// Complaints about forged posts that we sent.
    pub complaints_made: u64,
    /// Complaints that we were sent.
    pub complaints_heard: u64,
    /// Closed links, by reason.
    pub closed: BTreeMap<Code, u64>,
    /// Records whose origin signed two with one number.
    pub equivocations: u64,
    /// Records and shards that were not taken: bad, over a budget, or over a bound.
    pub objects_refused: u64,
    /// Shards that were not taken because there was no room for them; among `objects_refused`.
    pub shards_refused: u64,
    /// How often the memory of seen posts was full before its time.
    pub seen_early: u64,
    /// The sizes right now.
    pub sizes: Sizes,
}

impl Stats {
    /// All refused frames.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    /// All dropped copies.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether the two sums of section 13.2 close: nothing is unexplained.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.frames_in == self.accepted.saturating_add(self.refused_total())
            && self.copies
                == self
                    .delivered
                    .saturating_add(self.forwarded)
                    .saturating_add(self.dropped_total())
                    .saturating_add(self.pending)
    }

    pub(crate) fn accept(&mut self) {
        self.frames_in += 1;
        self.accepted += 1;
    }

    pub(crate) fn refuse(&mut self, why: RefusedFor) {
        self.frames_in += 1;
        *self.refused.entry(why).or_default() += 1;
    }

    /// Owes copies that wait from now on.
    pub(crate) const fn owe(&mut self, copies: u64) {
        self.copies += copies;
        self.pending += copies;
    }

    /// A frame left for the network, with the copies that it is.
    pub(crate) fn done(&mut self, owed: Owed) {
        self.done_times(owed, 1);
    }

    /// The same, so many times.
    pub(crate) fn done_times(&mut self, owed: Owed, frames: usize) {
        let copies = owed.copies().saturating_mul(u64::try_from(frames).unwrap_or(u64::MAX));
        self.pending = self.pending.saturating_sub(copies);
        match owed {
            Owed::Nothing => {}
            Owed::Session => self.delivered += copies,
            Owed::Servers(_) => self.forwarded += copies,
        }
    }

    /// Takes copies back that waited: they are owed anew, by another way.
    pub(crate) const fn take_back(&mut self, copies: u64) {
        self.copies = self.copies.saturating_sub(copies);
        self.pending = self.pending.saturating_sub(copies);
    }

    /// Gives up copies that waited.
    pub(crate) fn give_up(&mut self, copies: u64, why: DroppedFor) {
        if copies > 0 {
            self.pending = self.pending.saturating_sub(copies);
            *self.dropped.entry(why).or_default() += copies;
        }
    }

    /// Owes copies and gives them up at once.
    pub(crate) fn drop_new(&mut self, copies: u64, why: DroppedFor) {
        self.owe(copies);
        self.give_up(copies, why);
    }

    pub(crate) fn close(&mut self, why: Code) {
        *self.closed.entry(why).or_default() += 1;
    }
}

/// How many things a node holds; each has a bound in section 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sizes {
    /// Sessions of clients, those that wait for their client to come back among them.
    pub clients: usize,
    /// Those that wait.
    pub away: usize,
    /// Links of peers.
    pub peers: usize,
    /// Channels with members.
    pub channels: usize,
    /// Sessions in channels, counted once a channel.
    pub memberships: usize,
    /// The bytes in all send queues, with the driver, and not counted by the next hop yet; a frame that several links hold
    /// counts once. A route is another frame for each neighbour that gets it.
    pub queued_bytes: usize,
    /// The bytes of the longest of them.
    pub longest_queue: usize,
    /// Digests of posts kept at the egress.
    pub seen: usize,
    /// Servers in the map.
    pub servers: usize,
    /// Tags of all servers.
    pub tags: usize,
    /// Frames whose copies are not all done.
    pub pending_done: usize,
    /// Joins that wait for other servers.
    pub waiting_joins: usize,
    /// Records that wait for their origin's budget.
    pub held_records: usize,
    /// Servers that the operator named.
    pub pinned: usize,
    /// The bytes of frames without a way for the moment, and of those that go behind our next record.
    pub limbo_bytes: usize,
    /// Traces of ours that are under way.
    pub traces: usize,
    /// Servers whose addresses are known.
    pub book: usize,
    /// New servers that hung on one stranger and are asked for again.
    pub turned_away: usize,
    /// Dials of the last five minutes to addresses that strangers named.
    pub paced_dials: usize,
    /// Packets of clients of ours that something may still be said of.
    pub sent_packets: usize,
    /// Packets that were handed to clients of ours and may still be rejected.
    pub delivered_packets: usize,
    /// Users that are looked for at other servers.
    pub lookups: usize,
    /// Clients that wait for what comes of it.
    pub lookup_askers: usize,
    /// Users of whom an answer is kept for a moment.
    pub lookup_answers: usize,
}
