//! What a user sends and receives: payloads, messages, and the news that some were missed.

use crate::session::{SavedChannel, Trust};
use bytes::Bytes;
use darkchat_proto::limits::MAX_HEADER_BYTES;
use darkchat_proto::{
    ChannelName, ContentId, DeviceId, Entry, EntryKind, Invite, MessageId, UserId, UserName,
};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// What is sent: text or bytes, perhaps with a content type, headers and a reference to an earlier message.
///
/// `&str` and `String` become text; `Bytes` and `Vec<u8>` become data.
///
/// ```
/// use darkchat_client::Payload;
/// let text = Payload::from("hello");
/// let data = Payload::from(vec![0xff, 0xd8]).content_type("image/jpeg").header("title", "a cat");
/// assert_eq!((text.len(), data.len()), (5, 2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    entry: Entry,
    /// The direct message that it answers.
    answers: Option<ContentId>,
}

impl Payload {
    /// Says what the bytes are, as a media type of at most 64 bytes.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.entry.content_type = content_type.into();
        self
    }

    /// Adds a header: at most 16, and 1 KiB of names and values together.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.entry.headers.insert(name.into(), value.into());
        self
    }

    /// Refers to an earlier message of the channel.
    #[must_use]
    pub const fn reply_to(mut self, message: MessageId) -> Self {
        self.entry.reply_to = Some(message);
        self
    }

    /// Refers to an earlier direct message, where this is one.
    #[must_use]
    pub const fn answer_to(mut self, message: ContentId) -> Self {
        self.answers = Some(message);
        self
    }

    /// The bytes of the content, without type and headers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entry.content.len()
    }

    /// Whether the content is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entry.content.is_empty()
    }

    /// What it takes in the outbox, in bytes: the content, and headers as far as they may go at all.
    pub(crate) fn weight(&self) -> usize {
        self.len() + header_bytes(&self.entry.headers).min(MAX_HEADER_BYTES)
    }

    /// What a direct message is made of.
    pub(crate) fn into_direct(self) -> (Entry, Option<ContentId>) {
        (self.entry, self.answers)
    }

    /// The entry of a post that carries it.
    #[must_use]
    pub fn into_entry(self) -> Entry {
        self.entry
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self { entry: Entry::text(text), answers: None }
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self { entry: Entry::text(text), answers: None }
    }
}

impl From<Bytes> for Payload {
    fn from(data: Bytes) -> Self {
        Self { entry: Entry::new(EntryKind::Data, data), answers: None }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(data: Vec<u8>) -> Self {
        Self::from(Bytes::from(data))
    }
}

/// What a message holds.
///
/// ```
/// use darkchat_client::Content;
/// assert_eq!(Content::Text("hi".to_owned()).as_text(), Some("hi"));
/// assert_eq!(Content::Data("hi".into()).as_text(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Text, exactly as sent: clean it before a terminal gets it.
    Text(String),
    /// Bytes.
    Data(Bytes),
}

impl Content {
    /// The text, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Data(_) => None,
        }
    }

    /// The bytes of either.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Data(data) => data,
        }
    }
}

/// A message of a channel, proven to be by the key in `from`.
///
/// ```
/// use darkchat_client::{Content, Message};
///
/// fn line(message: &Message) -> String {
///     // The mark is the beginning of the key: a name alone proves nothing.
///     let who = format!("{} {}", message.name, message.from.mark());
///     match &message.payload {
///         Content::Text(text) => format!("{who}: {text:?}"), // cleaned, before a terminal gets it
///         _ => format!("{who} sends {} bytes", message.payload.as_bytes().len()),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Names it in the whole network; replies refer to it.
    pub id: MessageId,
    /// The channel that it was signed for.
    pub channel: ChannelName,
    /// Whether the channel is a private one: sealed for its members, and `channel` is what it is called here.
    pub private: bool,
    /// Who signed it.
    pub from: UserId,
    /// The name that the author claims: not an identity. Empty if none, or none that is allowed, is claimed.
    pub name: UserName,
    /// The author's clock when it left; within 300 s of ours.
    pub time: SystemTime,
    /// What it holds.
    pub payload: Content,
    /// What the bytes are, as their author says; often empty.
    pub content_type: String,
    /// Headers, at most 16.
    pub headers: BTreeMap<String, Bytes>,
    /// The message that it refers to.
    pub reply_to: Option<MessageId>,
}

/// A direct message: sealed by the device that it names, of the user in `from`, and for nobody but us.
///
/// ```
/// use darkchat_client::{Content, DirectMessage};
///
/// fn line(message: &DirectMessage) -> String {
///     let who = format!("{} {}", message.name, message.from.mark());
///     match &message.payload {
///         Content::Text(text) => format!("{who}: {text:?}"), // cleaned, before a terminal gets it
///         _ => format!("{who} sends {} bytes", message.payload.as_bytes().len()),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectMessage {
    /// Names it on both sides; replies refer to it.
    pub id: ContentId,
    /// Whose device sealed it: a proof for us, and for nobody to whom it is shown.
    pub from: UserId,
    /// Which of that user's devices.
    pub device: DeviceId,
    /// Whom it was for: us, or, where another device of ours sent it, the one whom it went to.
    pub to: UserId,
    /// What the user thinks of the key in `from`.
    pub trust: Trust,
    /// The name that the sender claims: not an identity. Empty if none, or none that is allowed, is claimed.
    pub name: UserName,
    /// The sender's clock when it was said.
    pub time: SystemTime,
    /// What it holds.
    pub payload: Content,
    /// What the bytes are, as their sender says; often empty.
    pub content_type: String,
    /// Headers, at most 16.
    pub headers: BTreeMap<String, Bytes>,
    /// The direct message that it refers to.
    pub reply_to: Option<ContentId>,
}

/// What a channel gives: a message, or the news that some were missed. Nothing is skipped silently.
///
/// ```
/// use darkchat_client::Received;
/// assert_eq!(Received::Message("hi").message(), Some("hi"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received<T> {
    /// A message.
    Message(T),
    /// Messages that will not come.
    Missed(Missed),
}

impl<T> Received<T> {
    /// The message, if it is one.
    pub fn message(self) -> Option<T> {
        match self {
            Self::Message(message) => Some(message),
            Self::Missed(_) => None,
        }
    }
}

/// Messages that will not come.
///
/// ```
/// use darkchat_client::{Cause, Missed};
///
/// fn tell(missed: &Missed) -> String {
///     let count = missed.count.map_or("some".to_owned(), |count| count.to_string());
///     match missed.cause {
///         Cause::Slow => format!("{count} messages came faster than we read"),
///         Cause::Reconnect => "messages may have come while we were away".to_owned(),
///         _ => format!("{count} messages were lost on the way"),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missed {
    /// Whose, if they are one author's.
    pub from: Option<UserId>,
    /// How many, if that is known.
    pub count: Option<u64>,
    /// Why.
    pub cause: Cause,
}

/// Why messages were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Numbers of an author's stream are missing: a server or a link on the way failed.
    Gap,
    /// We did not read fast enough: this program, or its link.
    Slow,
    /// The link to the server was down.
    Reconnect,
}

/// What became of a sent message: our server checked it and queued it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Names it in the whole network.
    pub id: MessageId,
    /// The other sessions of our server for which it was queued.
    pub local: u32,
    /// The other servers for which it was queued.
    pub servers: u32,
}

/// Somebody in a channel, as far as is known: who announces itself, or wrote within the last 300 s.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// The name that it claims: not an identity.
    pub name: UserName,
}

/// What there is to see of a private channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrivateView {
    /// The invitation as it is now. It holds the secret of the present hour.
    pub invite: Invite,
    /// Which generation of its secret it is: how often it was changed.
    pub generation: u32,
    /// Who may change it.
    pub admins: Vec<UserId>,
    /// The members, where there is a list and it is known here.
    pub members: Option<Vec<UserId>>,
    /// Who has not acknowledged our last changes yet.
    pub untold: Vec<UserId>,
    /// Whether members are being asked for what we missed: until then the secret may be an old one.
    pub asking: bool,
    pub(crate) saved: SavedChannel,
}

impl SavedChannel {
    /// What there is to see of a channel that was written down.
    #[must_use]
    pub fn view(&self) -> Option<PrivateView> {
        let invite = self.invite()?.clone();
        Some(PrivateView::new(self.clone(), invite, false))
    }
}

impl PrivateView {
    pub(crate) fn new(saved: SavedChannel, invite: Invite, asking: bool) -> Self {
        Self {
            generation: invite.generation,
            admins: invite.admins.clone(),
            members: saved.members(&invite.channel),
            untold: saved.untold(),
            asking,
            invite,
            saved,
        }
    }
}

/// A change among the members of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberChange {
    /// Somebody was seen for the first time.
    Came(Member),
    /// Somebody claims another name now.
    Renamed(Member),
    /// Somebody left.
    Left(Member),
    /// Nothing was heard of somebody for 300 s.
    Expired(Member),
}

/// Names and values of headers, in bytes.
pub(crate) fn header_bytes(headers: &BTreeMap<String, Bytes>) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}
