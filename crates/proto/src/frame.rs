//! A frame: one plaintext protocol message inside a link's encryption. Source: `docs/protocol.md`, section 4.

mod carried;
mod convert;
mod direction;
mod message;

pub use carried::Carried;
pub use direction::Sender;
pub use message::{
    Class, DmDeliver, Done, Goodbye, Have, Notice, Refusal, Route, RouteHead, SendDm, Want, Welcome,
};

use crate::limits::MAX_FRAME;
use crate::{ChannelId, Code, DecodeError, GossipAddr, RouterId, UserId, put_prefix, shape, wire};
use bytes::{Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint};

/// The field of the wire's `Frame` that holds a `Route`.
const ROUTE: u32 = 44;

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
    /// A kind of a later version: its field number, at least 10. Of several, the greatest.
    ///
    /// Answered with [`Code::Unsupported`] if the frame asks or is critical, else ignored. What it held is not
    /// kept; encoding writes an empty field of that number, so that a test can play the later version.
    Unknown(u32),
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
            None if number >= FIRST_KIND => Kind::Unknown(u32::try_from(number).unwrap_or(u32::MAX)),
            None => return Err(DecodeError::Missing { field: "kind" }),
        };
        Ok(Self { req: frame.req, re: frame.re, critical: frame.critical, kind })
    }

    /// The frame's bytes without length prefix. The same frame always gives the same bytes.
    ///
    /// Bounds are the caller's to keep: a frame over [`MAX_FRAME`] or over a count of section 4.2 is written as it
    /// is, and refused by whoever reads it.
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
            Kind::Unknown(number) => {
                out.extend_from_slice(&fields.encode_to_vec());
                if (FIRST_KIND..=LAST_FIELD).contains(&u64::from(*number)) {
                    encode_key(*number, WireType::LengthDelimited, &mut out);
                    encode_varint(0, &mut out);
                }
                Bytes::new()
            }
            kind => {
                let whole = wire::Frame { kind: convert::to_wire(kind), ..fields };
                out.extend_from_slice(&whole.encode_to_vec());
                Bytes::new()
            }
        };
        (out, body)
    }
}

impl Route {
    /// Puts together again what [`Frame::encode_split`] made of a route that asks nothing and answers nothing: who holds
    /// such parts need not copy the payload to look at what stands before it. `None` for other parts.
    #[must_use]
    pub fn of_split(head: &Bytes, payload: Bytes) -> Option<Self> {
        // The last of the head is the key of the payload, of one byte, and its length.
        let last = encoded_len_varint(len_u64(payload.len())).saturating_add(1);
        let mut rest = head.clone();
        rest.truncate(head.len().checked_sub(last)?);
        decode_varint(&mut rest).ok()?;
        let (number, _) = decode_key(&mut rest).ok()?;
        decode_varint(&mut rest).ok()?;
        let fields = wire::Route::decode(rest).ok().filter(|_| number == ROUTE)?;
        match convert::from_wire(wire::frame::Kind::Route(fields)).ok()? {
            Kind::Route(route) => Some(Self { payload, ..route }),
            _ => None,
        }
    }
}

/// Fields of `Frame` from this number up are kinds.
const FIRST_KIND: u64 = 10;
/// The greatest field number of protobuf.
const LAST_FIELD: u64 = (1 << 29) - 1;

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
    encode_key(ROUTE, WireType::LengthDelimited, out);
    encode_varint(len_u64(inner.len().saturating_add(route.payload.len())), out);
    out.extend_from_slice(&inner);
    route.payload.clone()
}

fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
