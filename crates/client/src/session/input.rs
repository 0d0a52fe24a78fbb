//! What happens to a session: facts and wishes, as plain data.

use super::{Change, Charter, DialId, SavedChannel, SignId, Ticket, Trust};
use bytes::Bytes;
use darkchat_crypto::{Verified, VerifyError, verify};
use darkchat_proto::{
    Announced, Bundle, ChannelId, ChannelName, Code, Content, ContentId, Deliver, Entry, Features, Frame,
    Invite, Kind, Network, Post, PostId, ServerId, Signature, Signed, UserId, UserName,
};
use std::fmt;

/// A fact or a wish that the session is told, at a time.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the whole contract of the session; a caller must be able to give every input"
)]
pub enum Input {
    /// The wall clock: first of all, every 10 s, and after a jump.
    Wall {
        /// Unix milliseconds.
        unix_ms: u64,
    },
    /// Fresh bytes for keys. A driver gives some right before each input of which [`Input::wants_random`] says so:
    /// then a copy of the session's state does not tell what keys it makes next. A simulator leaves them out.
    Random(Fresh),
    /// The user wants to be connected. Said once; before it, the session does nothing.
    Connect,
    /// A dial's handshake is complete on our side: the server has proven its key.
    Opened {
        /// Which dial.
        dial: DialId,
        /// The key that was proven.
        server: ServerId,
        /// The numbers that the server announced.
        announced: Announced,
        /// The features that both ends offer.
        features: Features,
    },
    /// A dial came to nothing, or was given up after [`Output::Close`](super::Output::Close).
    DialFailed {
        /// Which.
        dial: DialId,
        /// Why: `UNREACHABLE` if nobody answers, `UNAUTHORIZED` for another server's key, `VERSION`, `TIMEOUT`.
        why: Code,
    },
    /// One frame of the link, decoded and checked.
    Frame(Received),
    /// Bytes that left our hands for the network.
    Flushed {
        /// How many bytes of [`Output::Send`](super::Output::Send).
        bytes: usize,
    },
    /// The link is gone. Nothing more is sent to it.
    Closed {
        /// Why, as far as the driver knows: `TRUNCATED` without a goodbye; the session's own reason wins.
        why: Code,
    },
    /// The answer to [`Output::Sign`](super::Output::Sign).
    Signed {
        /// Which request.
        sign: SignId,
        /// By the user's key.
        signature: Signature,
    },
    /// The deadline of [`Session::poll_timeout`](super::Session::poll_timeout) has come.
    Timeout,
    /// What the user thinks of a key: from the program's contacts, at the start and when it changes.
    Trust {
        /// Whose key.
        user: UserId,
        /// The opinion; `Unknown` forgets the key.
        trust: Trust,
    },
    /// The user wants to be in a channel, also after a reconnect. Answered by `Joined` or `JoinFailed`.
    Join {
        /// Repeated by the answer.
        ticket: Ticket,
        /// Which channel.
        channel: ChannelName,
        /// The name to claim there; `None` for the session's own.
        name: Option<UserName>,
    },
    /// The user makes a private channel. Answered as `Join`; the channel's id is the one of the answer.
    Create {
        /// Repeated by the answer.
        ticket: Ticket,
        /// What it is called.
        channel: ChannelName,
        /// The name to claim there; `None` for the session's own.
        name: Option<UserName>,
        /// What it is to be.
        charter: Charter,
    },
    /// The user enters a private channel by an invitation. Answered as `Create`.
    Enter {
        /// Repeated by the answer.
        ticket: Ticket,
        /// What to call it here; `None` for the name in the invitation.
        channel: Option<ChannelName>,
        /// The name to claim there; `None` for the session's own.
        name: Option<UserName>,
        /// The invitation.
        invite: Box<Invite>,
    },
    /// The user comes back to a private channel that was written down. Answered as `Create`.
    Restore {
        /// Repeated by the answer.
        ticket: Ticket,
        /// The name to claim there; `None` for the session's own.
        name: Option<UserName>,
        /// What was written down.
        saved: Box<SavedChannel>,
    },
    /// The user changes a private channel's secret, and perhaps its members. Answered by `Changed` or `ChangeFailed`.
    Change {
        /// Repeated by the answer.
        ticket: Ticket,
        /// Which channel.
        channel: ChannelId,
        /// What is to change.
        change: Change,
    },
    /// The user invites somebody to a private channel, by a direct message. Answered by `Offered`.
    Offer {
        /// Repeated by the answer.
        ticket: Ticket,
        /// Which channel.
        channel: ChannelId,
        /// Whom.
        to: UserId,
    },
    /// The user wants to claim another name from now on: in direct messages, and in channels that are entered later
    /// without a name of their own. Those that it is in, or waits to come into, keep theirs.
    Rename {
        /// The name.
        name: UserName,
    },
    /// The user wants to claim another name in a channel, from the next post on.
    Speak {
        /// Which channel.
        channel: ChannelId,
        /// The name.
        name: UserName,
    },
    /// The user leaves a channel. What it sent before goes out first. Answered by `Left`.
    Leave {
        /// Repeated by the answer.
        ticket: Ticket,
        /// Which channel.
        channel: ChannelId,
    },
    /// The user sends a message. Answered by `Sent` or `SendFailed`.
    Send {
        /// Repeated by the answer.
        ticket: Ticket,
        /// Where to; the channel must be joined.
        channel: ChannelId,
        /// What.
        entry: Entry,
    },
    /// The user says something to another user, on all devices. Answered by `DirectAcknowledged` or `SendFailed`, and
    /// perhaps by `DirectHanded` before.
    SendDirect {
        /// Repeated by the answer.
        ticket: Ticket,
        /// To whom.
        to: UserId,
        /// 16 random bytes: what the content is known by on both sides.
        id: ContentId,
        /// What: text or data, with at most 57,344 bytes; what it refers to does not stand here.
        entry: Entry,
        /// The content that it answers.
        reply_to: Option<ContentId>,
    },
    /// The user goes: what is queued goes out, then a goodbye. Answered by the state `Closed`.
    Close,
}

impl Input {
    /// Whether the session may make a key when it is given this.
    #[must_use]
    pub const fn wants_random(&self) -> bool {
        matches!(
            self,
            Self::Frame(Received::Other(_) | Received::Found { .. } | Received::Sealed { .. })
                | Self::Signed { .. }
                | Self::SendDirect { .. }
                | Self::Timeout
                | Self::Create { .. }
                | Self::Change { .. }
        )
    }
}

/// 32 fresh random bytes, which are a secret: they are never printed.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "bytes, from whoever has a source of them")]
pub struct Fresh(pub [u8; 32]);

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Fresh(..)")
    }
}

/// A frame of the server's, with the proof that its kind needs.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "part of `Input`")]
pub enum Received {
    /// A post to a public channel.
    Post {
        /// The channel that it came on.
        channel: ChannelId,
        /// The id of its body.
        id: PostId,
        /// The post, if its author signed it.
        post: Result<Verified<Post>, VerifyError>,
    },
    /// The answer to a lookup: each bundle that was signed by the user whom it names, with its body.
    Found {
        /// Which lookup.
        re: u32,
        /// The bundles.
        bundles: Vec<(Verified<Bundle>, Bytes)>,
        /// How many more there were, which are no bundles or not signed.
        refused: u64,
        /// Whether every server that might know has answered.
        complete: bool,
    },
    /// A sealed post: for a private channel.
    Sealed {
        /// The channel that it came on.
        channel: ChannelId,
        /// Its bytes, which only members open.
        sealed: Bytes,
    },
    /// A delivery whose bytes are none. The fault of somebody behind the server, so the link stays.
    Malformed,
    /// A frame without a signature.
    Other(Frame),
    /// Bytes that the protocol does not allow: the link ends with this code.
    Refused {
        /// `BAD_FRAME` or `TOO_LARGE`.
        code: Code,
    },
}

impl Received {
    /// Makes the checks that the frame's kind needs: a delivery is decoded and its signature verified.
    ///
    /// This is the costly part of receiving (about 50 µs a post), so the driver does it beside the session.
    #[must_use]
    pub fn check(network: &Network, frame: Frame) -> Self {
        let bytes = match frame.kind {
            Kind::Deliver(bytes) => bytes,
            Kind::Found { bundles, complete } => return Self::found(network, frame.re, bundles, complete),
            _ => return Self::Other(frame),
        };
        match Deliver::decode(bytes) {
            Ok(Deliver { channel, content: Content::Public(signed) }) => {
                let id = PostId::of_body(&signed.body);
                Self::Post { channel, id, post: verify::post(network, &signed) }
            }
            Ok(Deliver { channel, content: Content::Sealed(sealed) }) => Self::Sealed { channel, sealed },
            // A content of a later version is as good as sealed for somebody else.
            Ok(Deliver { channel, content: _ }) => Self::Sealed { channel, sealed: Bytes::new() },
            Err(_) => Self::Malformed,
        }
    }

    fn found(network: &Network, re: u32, bundles: Vec<Bytes>, complete: bool) -> Self {
        let mut refused = 0_u64;
        let verified = bundles.into_iter().filter_map(|bytes| {
            let signed = Signed::decode(bytes).ok();
            let bundle =
                signed.and_then(|signed| Some((verify::bundle(network, &signed).ok()?, signed.body)));
            refused = refused.saturating_add(u64::from(bundle.is_none()));
            bundle
        });
        let bundles = verified.collect();
        Self::Found { re, bundles, refused, complete }
    }
}
