//! What a session wants done, and what it reports.

use super::{DialId, Fault, PrivateError, SignId, Ticket};
use crate::message::{DirectMessage, MemberChange, Message, Missed, Sent};
use bytes::Bytes;
use darkchat_crypto::SignRequest;
use darkchat_proto::{
    ChannelId, Code, ContentId, DeviceId, Goodbye, Invite, Resume, ServerAddr, ServerId, UserId,
};
use std::time::Duration;

/// Something to do. There is at most one dial or link at a time: a new `Dial` comes only after the `DialFailed` or
/// `Closed` of the one before.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the whole contract of the session; a caller must carry out every output"
)]
pub enum Output {
    /// Dial a server. Answered by [`Input::Opened`](super::Input::Opened) or `DialFailed`.
    Dial {
        /// Repeated by the answer.
        dial: DialId,
        /// Where, and the key that must be proven if one is known.
        addr: ServerAddr,
        /// What to give to the server, so that it goes on with the session of the lost link.
        resume: Option<Resume>,
    },
    /// Write one frame, its length prefix included. Answered by [`Input::Flushed`](super::Input::Flushed).
    Send {
        /// The frame.
        bytes: Bytes,
    },
    /// Sign with the user's key. Answered by [`Input::Signed`](super::Input::Signed).
    Sign {
        /// Repeated by the answer.
        sign: SignId,
        /// What to sign.
        request: SignRequest,
    },
    /// Give up the dial, or write what was sent, then the goodbye, then close, within 1 s. Answered by `DialFailed`
    /// before `Opened` and by `Closed` after it.
    Close {
        /// The last frame, if the server is to know.
        goodbye: Option<Goodbye>,
    },
    /// A fact for the user.
    Event(Event),
}

/// A fact for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The connection changed.
    State(State),
    /// In a channel, for the first time or again after a reconnect. Comes before any message of it.
    Joined {
        /// Whose wish it was; `None` after a reconnect.
        ticket: Option<Ticket>,
        /// Which channel.
        channel: ChannelId,
        /// Whether every reachable server knows.
        spread: bool,
    },
    /// Not, or no longer, in a channel.
    JoinFailed {
        /// Whose wish it was; `None` after a reconnect.
        ticket: Option<Ticket>,
        /// Which channel.
        channel: ChannelId,
        /// Why.
        why: Failure,
    },
    /// No longer in a channel, as wished.
    Left {
        /// Whose wish it was.
        ticket: Ticket,
        /// Which channel.
        channel: ChannelId,
    },
    /// A message was taken by our server.
    Sent {
        /// Whose wish it was.
        ticket: Ticket,
        /// What the server said.
        sent: Sent,
    },
    /// A message was not taken.
    SendFailed {
        /// Whose wish it was.
        ticket: Ticket,
        /// Why.
        why: Failure,
    },
    /// A direct message was handed to the connection of one of its recipient's devices, which has not acknowledged it
    /// yet.
    DirectHanded {
        /// Whose wish it was.
        ticket: Ticket,
        /// Which content.
        id: ContentId,
    },
    /// A device of its recipient's has decrypted a direct message, and says so.
    DirectAcknowledged {
        /// Whose wish it was.
        ticket: Ticket,
        /// Which content.
        id: ContentId,
    },
    /// A direct message came, or another device of ours sent one.
    Direct(DirectMessage),
    /// A user whom we have talked with has another device now. Worth a look: whoever has the key may have added it.
    NewDevice {
        /// Whose; our own key is one of them.
        user: UserId,
        /// Which device.
        device: DeviceId,
    },
    /// A message came.
    Message {
        /// On which channel.
        channel: ChannelId,
        /// The message.
        message: Message,
    },
    /// Messages will not come.
    Missed {
        /// On which channel.
        channel: ChannelId,
        /// Which.
        missed: Missed,
    },
    /// A private channel has another secret, and perhaps other members. Nothing has to be done.
    Rekeyed {
        /// Which channel.
        channel: ChannelId,
        /// The administrator who did it.
        by: UserId,
        /// Who is not a member any more.
        removed: Vec<UserId>,
    },
    /// An administrator has left the user out of a private channel: what is said there cannot be read any more.
    Excluded {
        /// Which channel.
        channel: ChannelId,
        /// The administrator who did it.
        by: UserId,
    },
    /// A change of a private channel was made; its members are being told.
    Changed {
        /// Whose wish it was.
        ticket: Ticket,
        /// Which channel.
        channel: ChannelId,
    },
    /// A change of a private channel was not made.
    ChangeFailed {
        /// Whose wish it was.
        ticket: Ticket,
        /// Why.
        why: PrivateError,
    },
    /// Somebody invites the user to a private channel. Nothing happens until the user agrees, by
    /// [`Input::Enter`](super::Input::Enter).
    Invited {
        /// Who, proven.
        from: UserId,
        /// The invitation. It holds the channel's secret.
        invite: Box<Invite>,
    },
    /// What became of an invitation that the user sent.
    Offered {
        /// Whose wish it was.
        ticket: Ticket,
        /// `Ok`: the other's program has acknowledged it.
        done: Result<(), Failure>,
    },
    /// What is to be written down of a private channel has changed: see
    /// [`Session::saved`](super::Session::saved).
    Kept {
        /// Which channel.
        channel: ChannelId,
    },
    /// Somebody came to a channel or went.
    Member {
        /// Which channel.
        channel: ChannelId,
        /// Who, and what.
        change: MemberChange,
    },
    /// The server goes on with the session of the lost link: nothing is missed and no channel is joined anew. Said
    /// right before the state [`Connected`](State::Connected).
    Resumed,
    /// The server's clock and ours differ by more than 120 s: one of them is wrong, and posts may be refused as stale.
    ClockDiffers {
        /// The server's clock, in Unix milliseconds.
        server_ms: u64,
        /// Ours, in Unix milliseconds.
        our_ms: u64,
    },
    /// Something came that is not what it claims to be, and is not shown. Said at most once a second, with all that
    /// came since; each is counted in [`Stats`](super::Stats), too.
    Rejected {
        /// What is wrong with it.
        fault: Fault,
        /// How often, since this was said last.
        count: u64,
    },
    /// The server said goodbye.
    Goodbye(Goodbye),
    /// The server is about to stop.
    Draining,
    /// A text from the server's operator: clean it before a terminal gets it.
    Text(String),
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Nothing was tried yet.
    Idle,
    /// Dialling, or waiting for the server's welcome.
    Connecting {
        /// Where.
        addr: ServerAddr,
        /// Whether another server suggested the address.
        suggested: bool,
    },
    /// Welcomed.
    Connected {
        /// Where.
        addr: ServerAddr,
        /// The key that the server proved.
        server: ServerId,
    },
    /// Waiting before the next try.
    Waiting {
        /// For how long.
        retry: Duration,
        /// Why the last link or dial ended.
        why: Code,
    },
    /// Ended for good.
    Closed {
        /// Why; `OK` after [`Input::Close`](super::Input::Close).
        why: Code,
    },
}

/// Why a wish was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The server said no.
    Refused {
        /// Why.
        code: Code,
        /// When to try again, if the server says so.
        retry: Option<Duration>,
    },
    /// More content than the server takes in one post. Nothing was sent.
    TooLarge {
        /// The content's length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        max: usize,
    },
    /// A content type or headers over their bounds. Nothing was sent.
    BadHeaders,
    /// Too much is waiting already. Nothing was changed.
    Full,
    /// The user is not online: no device of that key is attached anywhere. Nothing was sent.
    NotHere,
    /// It cannot be done with a private channel. Nothing was changed.
    Private(PrivateError),
    /// The channel is joined already, or about to be.
    AlreadyJoined,
    /// The channel is not joined. Nothing was sent.
    NotJoined,
    /// No answer in time: it may have been carried out or not.
    TimedOut,
    /// The session has ended.
    Closed,
}
