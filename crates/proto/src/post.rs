//! Posts: what is signed once and delivered to a channel. Source: `docs/protocol.md`, sections 4.1 and 6.1.

use crate::limits::{MAX_CONTENT_TYPE, MAX_DELIVER, MAX_NAME, MAX_PAYLOAD, SEALED_MIN};
use crate::{ChannelId, DecodeError, MessageId, Signature, UserId, field, shape, wire};
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeMap;

/// Bytes and a signature over exactly these bytes.
///
/// ```
/// use bytes::Bytes;
/// use darkchat_proto::{Signature, Signed};
/// let signed = Signed { body: Bytes::from_static(b"what was signed"), sig: Signature::new([0; 64]) };
/// assert_eq!(Signed::decode(signed.encode())?.body, "what was signed");
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Signed {
    /// What was signed, as received; never encoded again.
    pub body: Bytes,
    /// The signature, not yet verified.
    pub sig: Signature,
}

impl Signed {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    fn to_wire(&self) -> wire::Signed {
        wire::Signed { body: self.body.clone(), sig: Bytes::copy_from_slice(self.sig.as_bytes()) }
    }

    /// Reads a message; the body shares the buffer.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or the signature has a wrong length.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        shape::check(&bytes, &shape::SIGNED)?;
        let signed = wire::Signed::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Signed" })?;
        Ok(Self { body: signed.body, sig: Signature::new(field::fixed("sig", &signed.sig)?) })
    }
}

/// What a channel's members get: a public post, or a sealed one.
///
/// ```
/// use darkchat_proto::{ChannelId, Content, Deliver, Digest16, Entry, Post, PostId, Signature, Signed, UserId};
/// let (author, channel) = (UserId::new([1; 32]), ChannelId::new([2; 32]));
/// let entries = vec![Entry::text("hello")];
/// let post = Post { author, channel, stream: 7, seq: 1, time_ms: 0, name: String::new(), entries };
/// let signed = Signed { body: post.encode(), sig: Signature::new([0; 64]) };
/// let bytes = Deliver { channel, content: Content::Public(signed) }.encode();
///
/// // Servers carry `bytes` on as they are and know them by a digest; readers know the post by its signed body.
/// let _key = Digest16::of(&bytes);
/// let Content::Public(signed) = Deliver::decode(bytes)?.content else { return Ok(()) };
/// let _id = PostId::of_body(&signed.body);
/// assert_eq!(Post::decode(signed.body)?, post);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct Deliver {
    /// The channel that it came on.
    pub channel: ChannelId,
    /// What came.
    pub content: Content,
}

/// The content of a [`Deliver`]: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A signed [`Post`].
    Public(Signed),
    /// A sealed post of a private channel: a [`SealedHead`], then ciphertext.
    Sealed(Bytes),
}

impl Deliver {
    /// The message's bytes; at most [`MAX_DELIVER`] if the post keeps to its limits.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (envelope, sealed) = match &self.content {
            Content::Public(signed) => (signed.encode(), Bytes::new()),
            Content::Sealed(sealed) => (Bytes::new(), sealed.clone()),
        };
        let channel = Bytes::copy_from_slice(self.channel.as_bytes());
        wire::Deliver { channel, envelope, sealed }.encode_to_vec().into()
    }

    /// Reads a message; its parts share the buffer. The post inside is not decoded.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, too long, has both or neither of its contents, or a sealed one that
    /// [`SealedHead::decode`] refuses.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_DELIVER {
            return Err(DecodeError::TooLarge { what: "Deliver", len: bytes.len(), max: MAX_DELIVER });
        }
        shape::check(&bytes, &shape::DELIVER)?;
        let deliver = wire::Deliver::decode(bytes).map_err(|_| DecodeError::Malformed { what: "Deliver" })?;
        let channel = ChannelId::new(field::fixed("channel", &deliver.channel)?);
        let content = match (deliver.envelope.is_empty(), deliver.sealed.is_empty()) {
            (false, true) => Content::Public(Signed::decode(deliver.envelope)?),
            (true, false) => {
                SealedHead::decode(&deliver.sealed)?;
                Content::Sealed(deliver.sealed)
            }
            _ => return Err(DecodeError::Missing { field: "exactly one of envelope and sealed" }),
        };
        Ok(Self { channel, content })
    }
}

/// What can be read of a sealed post without its channel's secret. Source: section 8.1.
///
/// ```
/// use darkchat_proto::SealedHead;
/// let mut sealed = [0; 168];
/// (sealed[15], sealed[23]) = (7, 1);
/// let head = SealedHead::decode(&sealed)?;
/// assert_eq!((head.stream, head.seq), (7, 1));
/// assert_eq!(head.to_bytes(), sealed[..24]);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's 24 bytes")]
pub struct SealedHead {
    /// The generation of the channel's secret.
    pub generation: u32,
    /// The hourly step within the generation.
    pub step: u32,
    /// The author's stream: a random number, not 0.
    pub stream: u64,
    /// The number of the first entry, from 1.
    pub seq: u64,
}

impl SealedHead {
    /// Reads the first 24 bytes of a sealed post.
    ///
    /// # Errors
    /// [`DecodeError::Length`] for a post under [`SEALED_MIN`] bytes, [`DecodeError::Value`] for a stream or a
    /// number of 0.
    pub fn decode(sealed: &[u8]) -> Result<Self, DecodeError> {
        let short = DecodeError::Length { field: "sealed", len: sealed.len() };
        if sealed.len() < SEALED_MIN {
            return Err(short);
        }
        let read = || {
            let (generation, rest) = sealed.split_first_chunk()?;
            let (step, rest) = rest.split_first_chunk()?;
            let (stream, rest) = rest.split_first_chunk()?;
            let (seq, _) = rest.split_first_chunk()?;
            Some((*generation, *step, *stream, *seq))
        };
        let (generation, step, stream, seq) = read().ok_or(short)?;
        Ok(Self {
            generation: u32::from_be_bytes(generation),
            step: u32::from_be_bytes(step),
            stream: field::not_zero("stream", u64::from_be_bytes(stream))?,
            seq: field::not_zero("seq", u64::from_be_bytes(seq))?,
        })
    }

    /// The 24 bytes: generation, step, stream and number, each big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 24] {
        let Self { generation, step, stream, seq } = *self;
        let mut bytes = [0; 24];
        let (numbers, rest) = (u64::from(generation) << 32 | u64::from(step), [stream, seq]);
        for (to, from) in bytes.as_chunks_mut::<8>().0.iter_mut().zip([numbers].into_iter().chain(rest)) {
            *to = from.to_be_bytes();
        }
        bytes
    }

    /// The number after the last of so many entries, or `None` where the stream has no such number (6.1).
    #[must_use]
    pub fn next_seq(&self, entries: usize) -> Option<u64> {
        self.seq.checked_add(u64::try_from(entries).ok()?)
    }
}

/// 1 to 64 entries of one author in one channel, under one signature.
///
/// ```
/// use darkchat_proto::{ChannelId, Entry, Post, UserId};
/// let (author, channel) = (UserId::new([1; 32]), ChannelId::new([2; 32]));
/// let entries = vec![Entry::text("one"), Entry::text("two")];
/// let post = Post { author, channel, stream: 7, seq: 5, time_ms: 0, name: "alice".to_owned(), entries };
/// assert_eq!(Post::decode(post.encode())?, post);
/// assert_eq!((post.content_len(), post.next_seq()), (6, 7));
///
/// let silent = Post { entries: Vec::new(), ..post };
/// assert_eq!(Post::decode(silent.encode()).unwrap_err().to_string(), "a field is missing: entries");
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's ChannelBody")]
pub struct Post {
    /// Who says that it wrote this; true once the signature is verified.
    pub author: UserId,
    /// The channel that it was written for.
    pub channel: ChannelId,
    /// The author's stream: a random number, not 0, per process start and channel.
    pub stream: u64,
    /// The number of the first entry; entry k has number `seq + k`.
    pub seq: u64,
    /// The author's clock when the post left, in Unix milliseconds.
    pub time_ms: u64,
    /// The name that the author claims: of allowed length, but else as it came.
    pub name: String,
    /// The entries, in order.
    pub entries: Vec<Entry>,
}

/// One message of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's Entry")]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// UTF-8 for text (to be checked by the receiver), bytes for data.
    pub content: Bytes,
    /// The media type of data; often empty.
    pub content_type: String,
    /// Small named values beside the content.
    pub headers: BTreeMap<String, Bytes>,
    /// The message that this one answers.
    pub reply_to: Option<MessageId>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// Text.
    Text,
    /// Bytes.
    Data,
    /// "I am in this channel."
    Here,
    /// "I leave."
    Part,
    /// The private channel has moved on.
    Moved,
    /// A kind of a later version: not shown, but it takes its number.
    Unknown(i32),
}

impl EntryKind {
    fn to_wire(self) -> i32 {
        use wire::entry::Kind;
        match self {
            Self::Text => Kind::Text.into(),
            Self::Data => Kind::Data.into(),
            Self::Here => Kind::Here.into(),
            Self::Part => Kind::Part.into(),
            Self::Moved => Kind::Moved.into(),
            Self::Unknown(number) => number,
        }
    }

    fn from_wire(number: i32) -> Result<Self, DecodeError> {
        use wire::entry::Kind;
        Ok(match Kind::try_from(number) {
            Ok(Kind::Unspecified) => return Err(DecodeError::Value { field: "Entry.kind", value: 0 }),
            Ok(Kind::Text) => Self::Text,
            Ok(Kind::Data) => Self::Data,
            Ok(Kind::Here) => Self::Here,
            Ok(Kind::Part) => Self::Part,
            Ok(Kind::Moved) => Self::Moved,
            Err(_) => Self::Unknown(number),
        })
    }
}

impl Entry {
    /// An entry without content type, headers or reference.
    #[must_use]
    pub const fn new(kind: EntryKind, content: Bytes) -> Self {
        Self { kind, content, content_type: String::new(), headers: BTreeMap::new(), reply_to: None }
    }

    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(EntryKind::Text, Bytes::from(text.into()))
    }

    pub(crate) fn to_wire(&self) -> wire::Entry {
        wire::Entry {
            kind: self.kind.to_wire(),
            content: self.content.clone(),
            content_type: self.content_type.clone(),
            headers: self.headers.clone(),
            reply_to: self.reply_to.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.to_bytes())),
        }
    }

    pub(crate) fn from_wire(entry: wire::Entry) -> Result<Self, DecodeError> {
        let reply_to = match MessageId::from_bytes(&entry.reply_to) {
            None if !entry.reply_to.is_empty() => {
                return Err(DecodeError::Length { field: "reply_to", len: entry.reply_to.len() });
            }
            id => id,
        };
        Ok(Self {
            kind: EntryKind::from_wire(entry.kind)?,
            content: entry.content,
            content_type: field::text("content_type", entry.content_type, MAX_CONTENT_TYPE)?,
            headers: field::headers(entry.headers)?,
            reply_to,
        })
    }
}

impl Post {
    /// The body's bytes: what is signed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        wire::ChannelBody {
            author: Bytes::copy_from_slice(self.author.as_bytes()),
            channel: Bytes::copy_from_slice(self.channel.as_bytes()),
            stream: self.stream,
            seq: self.seq,
            time_ms: self.time_ms,
            name: self.name.clone(),
            entries: self.entries.iter().map(Entry::to_wire).collect(),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a body; contents share the buffer. The signature is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or breaks a bound of section 4.2 or a rule of 6.1.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_DELIVER {
            return Err(DecodeError::TooLarge { what: "ChannelBody", len: bytes.len(), max: MAX_DELIVER });
        }
        shape::check(&bytes, &shape::CHANNEL_BODY)?;
        let body =
            wire::ChannelBody::decode(bytes).map_err(|_| DecodeError::Malformed { what: "ChannelBody" })?;
        let entries: Vec<Entry> = body.entries.into_iter().map(Entry::from_wire).collect::<Result<_, _>>()?;
        let post = Self {
            author: UserId::new(field::fixed("author", &body.author)?),
            channel: ChannelId::new(field::fixed("channel", &body.channel)?),
            stream: field::not_zero("stream", body.stream)?,
            seq: field::not_zero("seq", body.seq)?,
            time_ms: body.time_ms,
            name: field::text("name", body.name, MAX_NAME)?,
            entries,
        };
        post.check()?;
        Ok(post)
    }

    fn check(&self) -> Result<(), DecodeError> {
        if self.entries.is_empty() {
            return Err(DecodeError::Missing { field: "entries" });
        }
        if self.seq.checked_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX)).is_none() {
            return Err(DecodeError::Value { field: "seq", value: self.seq });
        }
        let len = self.content_len();
        if len > MAX_PAYLOAD {
            Err(DecodeError::TooLarge { what: "content", len, max: MAX_PAYLOAD })
        } else {
            Ok(())
        }
    }

    /// The content of all entries together, in bytes.
    #[must_use]
    pub fn content_len(&self) -> usize {
        self.entries.iter().map(|entry| entry.content.len()).sum()
    }

    /// The number after the last entry: where the stream's next post begins.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.seq.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }
}
