//! What a node wants done: the driver carries it out and reports back.

use crate::{DialId, Event, Frames, LinkId, SignId, Trace, TraceId, VerifyId};
use bytes::Bytes;
use darkchat_crypto::SignRequest;
use darkchat_proto::{Goodbye, ServerAddr, Time};
use std::sync::Arc;

/// Something to do.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the whole contract of the node; a caller must carry out every output"
)]
pub enum Output {
    /// Write the frames to each of the links, in their order. Answered by [`Input::Flushed`](crate::Input::Flushed).
    Send {
        /// At least one link. The same `Arc` for the same members.
        links: Arc<[LinkId]>,
        /// At least one frame, its length prefix included.
        frames: Frames,
        /// Decides nothing for the driver; it is there for accounting.
        class: SendClass,
    },
    /// Which public posts the tasks of these peer links verify: 0 none, 1 all, 16 of those for us one in 16.
    Check {
        /// Which links.
        links: Vec<LinkId>,
        /// One in how many.
        every: u32,
    },
    /// Dial a server. Answered by [`Input::Opened`](crate::Input::Opened) or `DialFailed`.
    Dial {
        /// Repeated by the answer.
        dial: DialId,
        /// Where, and the key that must be proven if one is known.
        addr: ServerAddr,
        /// Whether the operator named it: its link has the budgets of those that are trusted.
        pinned: bool,
    },
    /// Find out whether that server can be dialled there: make the handshake up to the proof of its key, and hang up
    /// before we show ours, so that no link comes of it. Answered by [`Input::Probed`](crate::Input::Probed).
    Probe {
        /// Repeated by the answer.
        dial: DialId,
        /// Where, and the key that must be proven.
        addr: ServerAddr,
    },
    /// Sign with the server's key. Answered by [`Input::Signed`](crate::Input::Signed).
    Sign {
        /// Repeated by the answer.
        sign: SignId,
        /// What to sign.
        request: SignRequest,
    },
    /// Check the signatures of these bundles, beside the loop. Answered by
    /// [`Input::Verified`](crate::Input::Verified).
    Verify {
        /// Repeated by the answer.
        verify: VerifyId,
        /// Each an encoded `Signed`, from a server that may lie; at most 8.
        bundles: Vec<Bytes>,
    },
    /// Do not read from this client before `until`.
    Pause {
        /// Which link.
        link: LinkId,
        /// Until when.
        until: Time,
    },
    /// Write what was sent, then the goodbye, then close, within 1 s. Answered by `Closed`.
    Close {
        /// Which link.
        link: LinkId,
        /// The last frame, if the other side is to know.
        goodbye: Option<Goodbye>,
    },
    /// The answer to [`Input::Trace`](crate::Input::Trace).
    Traced {
        /// Repeated from the question.
        trace: TraceId,
        /// What was found; `None` if too many were under way.
        found: Option<Box<Trace>>,
    },
    /// A fact for logs and for the operator.
    Event(Event),
}

/// The class of a frame in send queues. Source: `docs/protocol.md`, section 10.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol's classes, in their order")]
pub enum SendClass {
    /// Never dropped while the link lives.
    Control,
    /// Direct messages: never dropped while the link lives.
    Direct,
    /// Channel posts: dropped and counted when a queue is full.
    Channel,
}
