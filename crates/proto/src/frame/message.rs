//! What the kinds of frames carry, where that is more than a field or two. Source: `docs/protocol.md`, section 4.1.

use crate::{ChannelId, Code, DeviceId, RouterId, ServerId, SessionId, UserId};
use bytes::Bytes;
use std::fmt;
use std::net::IpAddr;

/// A packet to send. Source: section 7.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct SendDm {
    /// The recipient.
    pub user: UserId,
    /// Which of the recipient's devices.
    pub device: DeviceId,
    /// The server that the device is attached to.
    pub server: ServerId,
    /// The sealed packet.
    pub packet: Bytes,
    /// How often it was sent before; from the second time on another way is taken if there is one.
    pub attempt: u32,
}

/// A packet that arrives. Source: section 7.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct DmDeliver {
    /// The recipient.
    pub user: UserId,
    /// Which of the recipient's devices.
    pub device: DeviceId,
    /// The sealed packet.
    pub packet: Bytes,
    /// Names this delivery in a `DmReject`; 0 between servers.
    pub delivery: u64,
}

/// What a server says first on a link that is up.
#[derive(Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Welcome {
    /// The session; none between peers.
    pub session: Option<SessionId>,
    /// What resumes the session; none without the feature. A secret.
    pub resume_token: Option<[u8; 16]>,
    /// For how long it can be resumed, in milliseconds.
    pub resume_ms: u32,
    /// The address that the other side is seen from.
    pub observed_ip: Option<IpAddr>,
    /// Whether an earlier session goes on.
    pub resumed: bool,
    /// The frames of that session that the server has processed.
    pub received: u64,
}

impl fmt::Debug for Welcome {
    /// Without the token, which would let a reader of logs take over the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, resume_token: _, resume_ms, observed_ip, resumed, received } = self;
        f.debug_struct("Welcome")
            .field("session", session)
            .field("resume_ms", resume_ms)
            .field("observed_ip", observed_ip)
            .field("resumed", resumed)
            .field("received", received)
            .finish_non_exhaustive()
    }
}

/// The reply to what was done. Source: section 4.1, "Ok".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Done {
    /// Of a publish: the other sessions of this server for which the post was queued.
    pub local: u32,
    /// Of a publish: the other servers for which it was queued. Of a join: those that confirmed.
    pub servers: u32,
    /// Of a join: whether every reachable server confirmed.
    pub spread: bool,
}

/// The reply to what was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Refusal {
    /// Why; programs decide on this.
    pub code: Code,
    /// For logs, at most [`MAX_TEXT`](crate::limits::MAX_TEXT) bytes.
    pub text: String,
    /// The time to wait before the same request, in milliseconds; 0 is no advice.
    pub retry_ms: u32,
}

/// The last frame of a link.
///
/// ```
/// use darkchat_proto::{Code, Frame, Goodbye, Kind};
/// let frame = Frame::from(Kind::Goodbye(Goodbye::new(Code::Shutdown)));
/// assert_eq!(Frame::decode(frame.encode())?, frame);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Goodbye {
    /// Why; programs decide on this.
    pub code: Code,
    /// For logs, at most [`MAX_TEXT`](crate::limits::MAX_TEXT) bytes.
    pub text: String,
    /// The time to wait before the next connection, in milliseconds; 0 is no advice.
    pub retry_ms: u32,
    /// Other servers of the network, as address texts with keys; a suggestion. At most
    /// [`MAX_ELSEWHERE`](crate::limits::MAX_ELSEWHERE) of [`MAX_ADDR_TEXT`](crate::limits::MAX_ADDR_TEXT) bytes.
    pub elsewhere: Vec<String>,
}

impl Goodbye {
    /// A goodbye with a code and nothing else.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, text: String::new(), retry_ms: 0, elsewhere: Vec::new() }
    }
}

/// Something that a server tells a user's program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Posts of a channel were dropped, because this session did not read fast enough.
    Dropped {
        /// The channel.
        channel: ChannelId,
        /// How many.
        count: u64,
    },
    /// The server is about to stop.
    Draining,
    /// A text from the operator.
    Text(String),
    /// A notice of a later version.
    Unknown(i32),
}

/// What a server holds of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Have {
    /// Whose objects.
    pub router: RouterId,
    /// The epoch of its record.
    pub epoch: u64,
    /// The sequence number of its record.
    pub seq: u64,
    /// The XOR over its shards, see section 9.5.
    pub shards: u64,
}

/// What a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Want {
    /// Whose objects.
    pub router: RouterId,
    /// Its record.
    pub record: bool,
    /// All its shards.
    pub shards: bool,
}

/// What a route carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// An encoded [`Deliver`](crate::Deliver).
    Channel,
    /// An encoded [`DmDeliver`] without `ref`.
    Dm,
    /// An encoded lookup.
    LookupReq,
    /// An encoded answer to a lookup.
    LookupRep,
    /// An encoded status of a packet.
    DmStatus,
    /// An encoded [`Signed`](crate::Signed) interest shard.
    Shard,
    /// A probe, without a payload: every server that gets it answers.
    Trace,
    /// An encoded [`Traced`](crate::Traced): the answer to a probe.
    TraceRep,
}

/// The routing fields around a payload. Source: section 9.6.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct RouteHead {
    /// The server that made the frame; not authenticated.
    pub origin: RouterId,
    /// A random number of the origin's.
    pub id: u64,
    /// The hops that it may still make.
    pub ttl: u32,
    /// The servers that it is for, at most [`MAX_DST`](crate::limits::MAX_DST).
    pub dst: Vec<RouterId>,
    /// What the payload is.
    pub class: Class,
    /// Whether a `RouteDone` is wanted.
    pub want_done: bool,
    /// Joins a reply to its question.
    pub corr: u64,
}

/// A payload on its way to the servers that it names.
///
/// ```
/// use bytes::Bytes;
/// use darkchat_proto::{Class, Frame, Kind, Route, RouteHead, RouterId};
/// let payload = Bytes::from_static(b"as its author made it");
/// let head = RouteHead {
///     origin: RouterId(1),
///     id: 2,
///     ttl: 32,
///     dst: vec![RouterId(3)],
///     class: Class::Channel,
///     want_done: false,
///     corr: 0,
/// };
/// let frame = Frame::from(Kind::Route(Route { head, payload: payload.clone() }));
/// let (_head, body) = frame.encode_split();
/// assert_eq!(body.as_ptr(), payload.as_ptr(), "carried on without a copy");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Route {
    /// The routing fields.
    pub head: RouteHead,
    /// The bytes as their author made them.
    pub payload: Bytes,
}
