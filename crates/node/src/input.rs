//! What happens to a node: facts, as plain data.

use crate::{DialId, LinkId, SignId, TraceId, VerifyId};
use bytes::Bytes;
use darkchat_crypto::{Authenticated, Verified};
use darkchat_proto::{
    Addr, Bundle, ChannelId, Code, Digest16, Frame, InterestShard, Post, Resume, RouteHead, ServerAddr,
    ServerId, ServerRecord, Signature,
};
use std::net::IpAddr;
use std::sync::Arc;

/// Which roles a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Accept {
    /// Users' programs.
    Clients,
    /// Other servers.
    Peers,
    /// Both.
    All,
}

/// A fact that the node is told, at a time.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the whole contract of the node; a caller must be able to give every input"
)]
pub enum Input {
    /// The wall clock: first of all, every 10 s, and after a jump.
    Wall {
        /// Unix milliseconds.
        unix_ms: u64,
    },
    /// A link's handshake is complete. The node answers with a welcome or a goodbye.
    Opened {
        /// A name for the link, never used before.
        link: LinkId,
        /// Which dial this answers; `None` if they came to us.
        dial: Option<DialId>,
        /// The roles that our listener takes; of no meaning for a link that we dialled.
        accept: Accept,
        /// The proven other side.
        peer: Authenticated,
        /// Where the other side is, as a carrier shows it: for lists and logs.
        remote: Addr,
        /// The address that the other side is seen from; loopback for carriers without IP.
        observed: IpAddr,
        /// What a client gave to go on with the session of a lost link.
        resume: Option<Resume>,
    },
    /// A dial came to nothing.
    DialFailed {
        /// Which.
        dial: DialId,
        /// Why.
        why: Code,
    },
    /// The answer to [`Output::Probe`](crate::Output::Probe).
    Probed {
        /// Repeated from the question.
        dial: DialId,
        /// Whether the server with that key answered.
        reachable: bool,
    },
    /// One frame, decoded and checked by the link's task.
    Frame {
        /// On which link.
        link: LinkId,
        /// What it says.
        frame: Received,
    },
    /// Bytes that left our hands for the network.
    Flushed {
        /// On which link.
        link: LinkId,
        /// Heads and bodies together.
        bytes: usize,
    },
    /// A link is gone. Nothing more is sent to it.
    Closed {
        /// Which.
        link: LinkId,
        /// Why, as far as the driver knows; the node's own reason for closing wins.
        why: Code,
    },
    /// The answer to [`Output::Sign`](crate::Output::Sign).
    Signed {
        /// Which request.
        sign: SignId,
        /// By the server's key.
        signature: Signature,
    },
    /// The answer to [`Output::Verify`](crate::Output::Verify).
    Verified {
        /// Which request.
        verify: VerifyId,
        /// The bundles in the order in which they were asked about, those whose signature is good.
        bundles: Vec<Option<Verified<Bundle>>>,
    },
    /// The deadline of [`Node::poll_timeout`](crate::Node::poll_timeout) has come.
    Timeout,
    /// The operator wants a link to this server, and wants it kept.
    Peer(ServerAddr),
    /// The operator no longer wants it.
    Unpeer(Addr),
    /// The operator wants no link with this server, and none with where it was named.
    Disconnect(ServerId),
    /// The operator wants to know by which hops a channel's posts leave. Answered by
    /// [`Output::Traced`](crate::Output::Traced).
    Trace {
        /// Repeated by the answer.
        trace: TraceId,
        /// The channel.
        channel: ChannelId,
    },
    /// Local discovery found a server: its IP address, which may be private, and the key to be proven there. It is
    /// one to choose from, not one that the operator named. Without a key or an IP address it counts for nothing.
    Found(ServerAddr),
    /// The operator wants the server to stop: everybody gets a goodbye.
    Drain,
}

/// A frame, with the proofs that its kind needs.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "part of `Input`")]
pub enum Received {
    /// A post of this link's own user: author and signature are checked.
    Publish {
        /// The asker's number.
        req: u32,
        /// The post.
        post: Verified<Post>,
        /// The encoded `Deliver`, as it goes on.
        deliver: Bytes,
        /// The digest of `deliver`.
        digest: Digest16,
    },
    /// A sealed post: only its form was checked.
    SealedPublish {
        /// The asker's number.
        req: u32,
        /// The channel.
        channel: ChannelId,
        /// The author's stream.
        stream: u64,
        /// The number of the first entry.
        seq: u64,
        /// The encoded `Deliver`, as it goes on.
        deliver: Bytes,
        /// The digest of `deliver`.
        digest: Digest16,
    },
    /// A device bundle whose signature is good.
    SetBundle {
        /// The asker's number.
        req: u32,
        /// The bundle.
        bundle: Verified<Bundle>,
        /// As it goes on.
        signed: Bytes,
    },
    /// A server's record whose signature is good.
    Record {
        /// The record. It may be shared among the links that it came over.
        record: Verified<Arc<ServerRecord>>,
        /// As it goes on. The node keeps it, so it must not be a small part of a large buffer.
        signed: Bytes,
    },
    /// An interest shard whose signature is good. One that came in a `Route` stands right before that `Route`.
    Shard {
        /// The shard.
        shard: Verified<InterestShard>,
        /// As it goes on.
        signed: Bytes,
    },
    /// Something for the servers that it names.
    Route {
        /// Its routing fields.
        head: RouteHead,
        /// What it carries, as it goes on.
        payload: Bytes,
        /// The digest of `payload`.
        digest: Digest16,
        /// Whether the payload's signature was checked.
        check: Check,
        /// For the class CHANNEL: the channel inside, if the payload has the form of a `Deliver`.
        channel: Option<ChannelId>,
    },
    /// A frame without a signature.
    Other(Frame),
    /// A check or a meter said no. `BAD_FRAME` and `TOO_LARGE` end the link, and so do a bad signature and another
    /// author on a client's link.
    Refused {
        /// The asker's number, or 0.
        req: u32,
        /// Why.
        code: Code,
        /// When the same request would pass, in milliseconds; 0 is no advice.
        retry_ms: u32,
    },
    /// A post refused only because an earlier one of its stream was ([`Verdict::Hold`](crate::Verdict::Hold)). It is
    /// answered like one over the budget, and does not count towards the refusals that end a link.
    Held {
        /// The asker's number, or 0.
        req: u32,
        /// When the same request would pass at the latest, in milliseconds.
        retry_ms: u32,
    },
}

/// What the link's task found about the payload of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "part of `Input`")]
pub enum Check {
    /// Nothing: it was not asked for, or cannot be checked.
    NotChecked,
    /// The signature is good.
    Good,
    /// The signature is bad.
    Bad,
}
