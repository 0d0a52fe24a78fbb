//! The words of the darkchat protocol `dchat/1`, and their bytes.
//!
//! This crate has the types that servers, clients and tools share: identities and their text, names, addresses,
//! codes, limits, frames and what frames carry. It knows no cryptography beyond hashes, no clock and no socket.
//! Everything that comes from a peer is checked before it is decoded, and everything that a person types is parsed
//! once into a type that is then always valid.
//!
//! A frame goes out as a small head and a payload that other frames may share, and comes in out of a run of bytes:
//!
//! ```
//! use bytes::Bytes;
//! use darkchat_proto::{ChannelId, ChannelName, Frame, FrameStream, Kind, Network};
//!
//! let lobby: ChannelName = "#Lobby".parse()?;
//! let channel = ChannelId::of(&Network::default(), &lobby);
//! let frame = Frame::asking(1, Kind::Join { channels: vec![channel], wait_spread: true });
//!
//! let (head, body) = frame.encode_split();
//! let mut stream = FrameStream::default();
//! stream.push(head);
//! stream.push(body);
//! let bytes = stream.next_frame()?.ok_or("one frame")?;
//! assert_eq!(Frame::decode(bytes)?, frame);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The normative description is `docs/protocol.md`; sections are cited where they are implemented.
#![warn(clippy::indexing_slicing)]

mod addr;
mod code;
mod content;
mod error;
mod features;
mod field;
mod frame;
mod group;
mod hash;
mod head;
mod hello;
mod id;
mod invite;
pub mod limits;
mod name;
mod packet;
pub mod pad;
mod post;
mod record;
mod safety;
mod shape;
mod stream;
mod time;
mod traced;
#[allow(
    missing_docs,
    unreachable_pub,
    unnameable_types,
    dead_code,
    clippy::all,
    clippy::exhaustive_enums,
    reason = "generated from the whole schema and private; some of its messages have no type of ours yet"
)]
mod wire;

pub use addr::{Addr, Carrier, GossipAddr, PORT_PEER, PORT_TCP, PORT_WS, ServerAddr};
pub use code::Code;
pub use content::{DmContent, DmKind, SelfCopy};
pub use error::{DecodeError, ParseError};
pub use features::Features;
pub use frame::{
    Carried, Class, DmDeliver, Done, Frame, Goodbye, Have, Kind, Notice, Refusal, Route, RouteHead, SendDm,
    Sender, Want, Welcome,
};
pub use group::{GroupBody, GroupControl, Rekey, members_hash};
pub use head::PostHead;
pub use hello::{Announced, Auth, Hello, HelloReply, Resume, Role, VERSION};
pub use id::{
    ChannelId, ContentId, DeviceId, Digest16, DirectId, InitRef, KeyId, MessageId, PostId, RouterId,
    ServerId, SessionId, Signature, Tag, UserId,
};
pub use invite::{ChannelSecret, Invite};
pub use limits::MAX_UNIT;
pub use name::{ChannelName, Network, UserName, is_invisible};
pub use packet::{DirectHead, InitPayload, Packet, RespPayload};
pub use post::{Content, Deliver, Entry, EntryKind, Post, SealedHead, Signed};
pub use record::{Bundle, InterestShard, RecordFlags, ServerRecord};
pub use safety::SafetyNumber;
pub use stream::{FrameStream, put_prefix};
pub use time::{Time, parse_duration};
pub use traced::Traced;
