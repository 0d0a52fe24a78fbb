//! A frame: one plaintext protocol message inside a link's encryption. Source: `docs/protocol.md`, section 4.

mod convert;

use crate::limits::MAX_FRAME;
use crate::{
    ChannelId, Code, DecodeError, DeviceId, GossipAddr, RouterId, ServerId, SessionId, UserId, put_prefix,
    shape, wire,
};
use bytes::{Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::net::IpAddr;

/// A frame. `req` asks for exactly one reply; the reply repeats it in `re`.
///
/// ```
/// use bytes::Bytes;
/// use darkchat_proto::{Frame, Kind};
/// let frame = Frame::asking(7, Kind::Publish { deliver: Bytes::from_static(b"...") });
/// assert_eq!(Frame::decode(frame.encode())?, frame);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "fields 1 to 9 of the wire's Frame; kinds go into `Kind`")]
pub struct Frame {
    /// The asker's correlation id; 0 wants no reply.
    pub req: u32,
    /// The `req` that this frame answers; 0 if it answers none.
    pub re: u32,
    /// Whether a receiver that does not know the kind must say so even if `req` is 0.
    pub critical: bool,
    /// What the frame says.
    pub kind: Kind,
}

/// What a frame says: one variant a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Client: take me into these channels.
    Join {
        /// At most [`MAX_JOIN`](crate::limits::MAX_JOIN).
        channels: Vec<ChannelId>,
        /// Answer only when every reachable server knows, or after 3 s.
        wait_spread: bool,
    },
    /// Client: I leave these channels.
    Leave {
        /// At most [`MAX_JOIN`](crate::limits::MAX_JOIN).
        channels: Vec<ChannelId>,
    },
    /// Client: an encoded [`Deliver`](crate::Deliver), exactly what receivers will get.
    Publish {
        /// At most [`MAX_DELIVER`](crate::limits::MAX_DELIVER) bytes.
        deliver: Bytes,
    },
    /// Client: an encoded [`Signed`](crate::Signed) device bundle.
    SetBundle {
        /// The bytes as they are carried on.
        bundle: Bytes,
    },
    /// Client: where is this user?
    Lookup {
        /// Whom.
        user: UserId,
    },
    /// Client: a packet for one device.
    SendDm(SendDm),
    /// Client: that packet could not be opened.
    DmReject {
        /// The `ref` of the delivery.
        delivery: u64,
        /// Why.
        code: Code,
    },
    /// Server: the link is up.
    Welcome(Welcome),
    /// Done.
    Ok(Done),
    /// Not done; the link stays.
    Error(Refusal),
    /// Server: a post, as its author encoded it.
    Deliver(Bytes),
    /// Server: a packet for this device.
    Dm(DmDeliver),
    /// Server: the answer to a lookup.
    Found {
        /// Encoded signed bundles.
        bundles: Vec<Bytes>,
        /// Whether every server that might know has answered.
        complete: bool,
    },
    /// Server: what became of a packet.
    DmStatus(Code),
    /// Server: something to tell the user.
    Notice(Notice),
    /// Are you there?
    Ping {
        /// Repeated by the answer.
        nonce: u64,
        /// Frames of the session processed so far.
        acked: u64,
    },
    /// Yes.
    Pong {
        /// The ping's.
        nonce: u64,
        /// Frames of the session processed so far.
        acked: u64,
    },
    /// The link ends.
    Goodbye(Goodbye),
    /// Peer: the objects that I hold.
    Digest {
        /// One row a server.
        known: Vec<Have>,
        /// Whether more rows follow in another frame.
        more: bool,
    },
    /// Peer: send me these.
    Pull {
        /// One row a server.
        want: Vec<Want>,
    },
    /// Peer: an encoded signed server record.
    Record(Bytes),
    /// Peer: an encoded signed interest shard.
    Shard(Bytes),
    /// Peer: something for the servers that it names.
    Route(Route),
    /// Peer: how many `Route` frames came on this link.
    LinkAck {
        /// The count since the link came up.
        received: u64,
    },
    /// Peer: all copies of that `Route` are done.
    RouteDone {
        /// Of the frame.
        origin: RouterId,
        /// Of the frame.
        id: u64,
    },
    /// Peer: dial me there, or the answer to that.
    DialBack {
        /// Where; only ever the address that the asker is seen from.
        addr: Option<GossipAddr>,
        /// In the answer, whether it worked.
        reachable: bool,
    },
    /// Peer: what you forward does not verify.
    Complaint {
        /// For how long to check, in seconds.
        seconds: u32,
    },
    /// A kind of a later version: its field number.
    Unknown(u32),
}

/// Who may send a kind of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// A client to its server.
    Client,
    /// A server to its client.
    Server,
    /// A server to a server.
    Peer,
    /// A server to a client or to a server.
    ServerOrPeer,
    /// Anyone.
    Any,
}

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Welcome {
    /// The session; none between peers.
    pub session: Option<SessionId>,
    /// What resumes the session; none without the feature.
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Goodbye {
    /// Why; programs decide on this.
    pub code: Code,
    /// For logs, at most [`MAX_TEXT`](crate::limits::MAX_TEXT) bytes.
    pub text: String,
    /// The time to wait before the next connection, in milliseconds; 0 is no advice.
    pub retry_ms: u32,
    /// Other servers of the network, as address texts with keys; a suggestion.
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Route {
    /// The routing fields.
    pub head: RouteHead,
    /// The bytes as their author made them.
    pub payload: Bytes,
}

impl From<Kind> for Frame {
    /// A frame that wants no reply and is none.
    fn from(kind: Kind) -> Self {
        Self { req: 0, re: 0, critical: false, kind }
    }
}

impl Frame {
    /// A frame that wants a reply.
    #[must_use]
    pub const fn asking(req: u32, kind: Kind) -> Self {
        Self { req, re: 0, critical: false, kind }
    }

    /// A frame that is the reply to `re`.
    #[must_use]
    pub const fn replying(re: u32, kind: Kind) -> Self {
        Self { req: 0, re, critical: false, kind }
    }

    /// Reads a frame without its length prefix; payloads share the buffer.
    ///
    /// # Errors
    /// [`DecodeError`]: counts and lengths are checked first, and nothing is kept.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_FRAME {
            return Err(DecodeError::TooLarge { what: "frame", len: bytes.len(), max: MAX_FRAME });
        }
        let number = shape::check(&bytes, &shape::FRAME)?;
        let frame = wire::Frame::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Frame" })?;
        let kind = match frame.kind {
            Some(kind) => convert::from_wire(kind)?,
            None if number >= 10 => Kind::Unknown(u32::try_from(number).unwrap_or(u32::MAX)),
            None => return Err(DecodeError::Missing { field: "kind" }),
        };
        Ok(Self { req: frame.req, re: frame.re, critical: frame.critical, kind })
    }

    /// The frame's bytes without length prefix.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (head, body) = self.parts();
        let mut out = BytesMut::with_capacity(head.len().saturating_add(body.len()));
        out.extend_from_slice(&head);
        out.extend_from_slice(&body);
        out.freeze()
    }

    /// The frame's bytes, length prefix included, as a small head and the payload that other frames may share.
    ///
    /// The payload is that of `Deliver`, `Route`, `Record` and `Shard`; of other kinds all stands in the head.
    #[must_use]
    pub fn encode_split(&self) -> (Bytes, Bytes) {
        let (rest, body) = self.parts();
        let mut head = BytesMut::with_capacity(rest.len().saturating_add(4));
        put_prefix(rest.len().saturating_add(body.len()), &mut head);
        head.extend_from_slice(&rest);
        (head.freeze(), body)
    }

    fn parts(&self) -> (BytesMut, Bytes) {
        let mut out = BytesMut::new();
        let fields = wire::Frame { req: self.req, re: self.re, critical: self.critical, kind: None };
        let body = match &self.kind {
            Kind::Deliver(bytes) => put_bytes_head(fields, 23, bytes, &mut out),
            Kind::Record(bytes) => put_bytes_head(fields, 42, bytes, &mut out),
            Kind::Shard(bytes) => put_bytes_head(fields, 43, bytes, &mut out),
            Kind::Route(route) => put_route_head(fields, route, &mut out),
            Kind::Unknown(_) => Bytes::new(),
            kind => {
                let whole = wire::Frame { kind: convert::to_wire(kind), ..fields };
                out.extend_from_slice(&whole.encode_to_vec());
                Bytes::new()
            }
        };
        (out, body)
    }
}

fn put_bytes_head(fields: wire::Frame, number: u32, body: &Bytes, out: &mut BytesMut) -> Bytes {
    out.extend_from_slice(&fields.encode_to_vec());
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(len_u64(body.len()), out);
    body.clone()
}

/// The payload is written last, so that everything before it is one small head.
fn put_route_head(fields: wire::Frame, route: &Route, out: &mut BytesMut) -> Bytes {
    let mut inner = BytesMut::from(&convert::route_head(&route.head).encode_to_vec()[..]);
    encode_key(6, WireType::LengthDelimited, &mut inner);
    encode_varint(len_u64(route.payload.len()), &mut inner);
    out.extend_from_slice(&fields.encode_to_vec());
    encode_key(44, WireType::LengthDelimited, out);
    encode_varint(len_u64(inner.len().saturating_add(route.payload.len())), out);
    out.extend_from_slice(&inner);
    route.payload.clone()
}

fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl Kind {
    /// Who may send this kind; `None` for one of a later version.
    #[must_use]
    pub const fn sender(&self) -> Option<Sender> {
        Some(match self {
            Self::Join { .. } | Self::Leave { .. } | Self::Publish { .. } | Self::SetBundle { .. } => {
                Sender::Client
            }
            Self::Lookup { .. } | Self::SendDm(_) | Self::DmReject { .. } => Sender::Client,
            Self::Welcome(_) | Self::Ok(_) | Self::Error(_) => Sender::ServerOrPeer,
            Self::Deliver(_) | Self::Dm(_) | Self::Found { .. } | Self::DmStatus(_) | Self::Notice(_) => {
                Sender::Server
            }
            Self::Ping { .. } | Self::Pong { .. } | Self::Goodbye(_) => Sender::Any,
            Self::Digest { .. } | Self::Pull { .. } | Self::Record(_) | Self::Shard(_) | Self::Route(_) => {
                Sender::Peer
            }
            Self::LinkAck { .. }
            | Self::RouteDone { .. }
            | Self::DialBack { .. }
            | Self::Complaint { .. } => Sender::Peer,
            Self::Unknown(_) => return None,
        })
    }

    /// Whether a client may send this kind to its server. `Error(UNSUPPORTED)` may pass in any direction.
    #[must_use]
    pub fn is_from_client(&self) -> bool {
        matches!(self.sender(), Some(Sender::Client | Sender::Any)) || self.is_unsupported()
    }

    /// Whether a server may send this kind to its client.
    #[must_use]
    pub const fn is_from_server(&self) -> bool {
        matches!(self.sender(), Some(Sender::Server | Sender::ServerOrPeer | Sender::Any))
    }

    /// Whether a server may send this kind to a server.
    #[must_use]
    pub const fn is_from_peer(&self) -> bool {
        matches!(self.sender(), Some(Sender::Peer | Sender::ServerOrPeer | Sender::Any))
    }

    fn is_unsupported(&self) -> bool {
        matches!(self, Self::Error(Refusal { code: Code::Unsupported, .. }))
    }
}
