//! What two people say to each other, inside the seal. Source: `docs/protocol.md`, sections 4.1, 7.5 and 7.8.

use crate::limits::{MAX_CONTENT_TYPE, MAX_DM_BODY, MAX_NAME, MAX_PACKET, MAX_SELF_COPY};
use crate::{ContentId, DecodeError, UserId, field, pad, shape, wire};
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeMap;

/// One content of a direct message.
///
/// ```
/// use darkchat_proto::{ContentId, DmContent};
/// let content = DmContent::text(ContentId::new([7; 16]), 1_800_000_000_000, "psst");
/// let sealed_form = content.encode_padded();
/// assert_eq!(sealed_form.len(), 128, "short contents look alike");
/// assert_eq!(DmContent::decode_padded(sealed_form)?, content);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's DmContent")]
pub struct DmContent {
    /// Which content: repeats of it and acknowledgements have the same.
    pub id: ContentId,
    /// The sender's clock, in Unix milliseconds.
    pub time_ms: u64,
    /// What it is.
    pub kind: DmKind,
    /// UTF-8 for text (to be checked by the receiver), bytes for data, an encoded
    /// [`GroupControl`](crate::GroupControl) or [`SelfCopy`] for these kinds, else empty.
    pub body: Bytes,
    /// The media type of data; often empty.
    pub content_type: String,
    /// The name that the sender claims: of allowed length, but else as it came.
    pub name: String,
    /// The contents that came and are acknowledged with this one.
    pub acks: Vec<ContentId>,
    /// Small named values beside the body.
    pub headers: BTreeMap<String, Bytes>,
    /// The content that this one answers.
    pub reply_to: Option<ContentId>,
}

/// What a direct content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DmKind {
    /// Text.
    Text,
    /// Bytes.
    Data,
    /// Nothing but acknowledgements; is not acknowledged itself.
    Ack,
    /// Nothing: shows the called device that the session stands.
    Confirm,
    /// "I am typing"; is neither acknowledged nor repeated.
    Typing,
    /// About a private channel: a [`GroupControl`](crate::GroupControl).
    Group,
    /// What went to somebody else, for one's own other devices: a [`SelfCopy`].
    SelfCopy,
    /// A kind of a later version: acknowledged and counted, and not shown.
    Unknown(i32),
}

impl DmKind {
    /// Whether its sender waits for an acknowledgement and repeats it without one (7.5).
    #[must_use]
    pub const fn is_acknowledged(self) -> bool {
        !matches!(self, Self::Ack | Self::Typing)
    }

    /// The longest body of this kind, in bytes.
    #[must_use]
    pub const fn max_body(self) -> usize {
        if matches!(self, Self::SelfCopy) { MAX_SELF_COPY } else { MAX_DM_BODY }
    }

    fn to_wire(self) -> i32 {
        use wire::dm_content::Kind;
        match self {
            Self::Text => Kind::Text.into(),
            Self::Data => Kind::Data.into(),
            Self::Ack => Kind::Ack.into(),
            Self::Confirm => Kind::Confirm.into(),
            Self::Typing => Kind::Typing.into(),
            Self::Group => Kind::Group.into(),
            Self::SelfCopy => Kind::SelfCopy.into(),
            Self::Unknown(number) => number,
        }
    }

    fn from_wire(number: i32) -> Result<Self, DecodeError> {
        use wire::dm_content::Kind;
        Ok(match Kind::try_from(number) {
            Ok(Kind::Unspecified) => return Err(DecodeError::Value { field: "DmContent.kind", value: 0 }),
            Ok(Kind::Text) => Self::Text,
            Ok(Kind::Data) => Self::Data,
            Ok(Kind::Ack) => Self::Ack,
            Ok(Kind::Confirm) => Self::Confirm,
            Ok(Kind::Typing) => Self::Typing,
            Ok(Kind::Group) => Self::Group,
            Ok(Kind::SelfCopy) => Self::SelfCopy,
            Err(_) => Self::Unknown(number),
        })
    }
}

impl DmContent {
    /// A content without type, name, acknowledgements, headers or reference.
    #[must_use]
    pub const fn new(id: ContentId, time_ms: u64, kind: DmKind, body: Bytes) -> Self {
        Self {
            id,
            time_ms,
            kind,
            body,
            content_type: String::new(),
            name: String::new(),
            acks: Vec::new(),
            headers: BTreeMap::new(),
            reply_to: None,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(id: ContentId, time_ms: u64, text: impl Into<String>) -> Self {
        Self::new(id, time_ms, DmKind::Text, Bytes::from(text.into()))
    }

    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.to_vec().into()
    }

    /// The message's bytes with their padding: what is sealed.
    #[must_use]
    pub fn encode_padded(&self) -> Bytes {
        let mut bytes = self.to_vec();
        pad::pad_in_place(&mut bytes);
        bytes.into()
    }

    fn to_vec(&self) -> Vec<u8> {
        let bytes = |id: &ContentId| Bytes::copy_from_slice(id.as_bytes());
        wire::DmContent {
            id: bytes(&self.id),
            time_ms: self.time_ms,
            kind: self.kind.to_wire(),
            body: self.body.clone(),
            content_type: self.content_type.clone(),
            name: self.name.clone(),
            acks: self.acks.iter().map(bytes).collect(),
            headers: self.headers.clone(),
            reply_to: self.reply_to.as_ref().map_or_else(Bytes::new, bytes),
        }
        .encode_to_vec()
    }

    /// Reads a content; body and headers share the buffer. The body is not decoded.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or breaks a bound of section 4.2 or 7.5.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_PACKET {
            return Err(DecodeError::TooLarge { what: "DmContent", len: bytes.len(), max: MAX_PACKET });
        }
        shape::check(&bytes, &shape::DM_CONTENT)?;
        let content =
            wire::DmContent::decode(bytes).map_err(|_| DecodeError::Malformed { what: "DmContent" })?;
        let kind = DmKind::from_wire(content.kind)?;
        let (len, max) = (content.body.len(), kind.max_body());
        if len > max {
            return Err(DecodeError::TooLarge { what: "body", len, max });
        }
        let acks = content.acks.iter().map(|id| field::fixed("acks", id).map(ContentId::new));
        Ok(Self {
            id: ContentId::new(field::fixed("id", &content.id)?),
            time_ms: content.time_ms,
            kind,
            body: content.body,
            content_type: field::text("content_type", content.content_type, MAX_CONTENT_TYPE)?,
            name: field::text("name", content.name, MAX_NAME)?,
            acks: acks.collect::<Result<_, _>>()?,
            headers: field::headers(content.headers)?,
            reply_to: field::fixed_or_empty("reply_to", &content.reply_to)?.map(ContentId::new),
        })
    }

    /// Reads what [`encode_padded`](Self::encode_padded) wrote: what was in the seal.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); [`DecodeError::Malformed`] for another padding.
    pub fn decode_padded(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let len = pad::unpad(&bytes).ok_or(DecodeError::Malformed { what: "padding" })?.len();
        bytes.truncate(len);
        Self::decode(bytes)
    }
}

/// What went to somebody else, for one's own other devices.
///
/// ```
/// use darkchat_proto::{ContentId, DmContent, SelfCopy, UserId};
/// let content = DmContent::text(ContentId::new([7; 16]), 0, "psst").encode();
/// let copy = SelfCopy { user: UserId::new([1; 32]), content };
/// assert_eq!(SelfCopy::decode(copy.encode())?, copy);
/// assert!(DmContent::decode(copy.content).is_ok());
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct SelfCopy {
    /// Whom it went to.
    pub user: UserId,
    /// The encoded [`DmContent`] that went there.
    pub content: Bytes,
}

impl SelfCopy {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let user = Bytes::copy_from_slice(self.user.as_bytes());
        wire::SelfCopy { user, content: self.content.clone() }.encode_to_vec().into()
    }

    /// Reads a message; the content shares the buffer and is not decoded.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or longer than [`MAX_SELF_COPY`].
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_SELF_COPY {
            return Err(DecodeError::TooLarge { what: "SelfCopy", len: bytes.len(), max: MAX_SELF_COPY });
        }
        shape::check(&bytes, &shape::SELF_COPY)?;
        let copy = wire::SelfCopy::decode(bytes).map_err(|_| DecodeError::Malformed { what: "SelfCopy" })?;
        Ok(Self { user: UserId::new(field::fixed("user", &copy.user)?), content: copy.content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_ACKS, MAX_HEADER_BYTES, MAX_HEADERS};

    fn text(len: usize) -> DmContent {
        DmContent::text(ContentId::new([1; 16]), 1, "x".repeat(len))
    }

    /// With every field but the body as long as it may be.
    fn full(kind: DmKind, body: usize) -> DmContent {
        let value = Bytes::from(vec![7; MAX_HEADER_BYTES / MAX_HEADERS - 1]);
        let headers = (0..MAX_HEADERS).map(|at| (format!("{at:x}"), value.clone())).collect();
        DmContent {
            time_ms: u64::MAX,
            content_type: "t".repeat(MAX_CONTENT_TYPE),
            name: "n".repeat(MAX_NAME),
            acks: vec![ContentId::new([2; 16]); MAX_ACKS],
            headers,
            reply_to: Some(ContentId::new([3; 16])),
            ..DmContent::new(ContentId::new([1; 16]), 1, kind, vec![0; body].into())
        }
    }

    #[test]
    fn the_largest_content_fits_into_a_copy_and_the_largest_copy_into_a_packet() {
        let content = full(DmKind::Data, MAX_DM_BODY);
        assert_eq!(DmContent::decode(content.encode()), Ok(content.clone()));
        let copy = SelfCopy { user: UserId::new([9; 32]), content: content.encode() };
        assert!(copy.encode().len() <= MAX_SELF_COPY, "{}", copy.encode().len());
        let carried = full(DmKind::SelfCopy, MAX_SELF_COPY);
        assert_eq!(DmContent::decode_padded(carried.encode_padded()), Ok(carried.clone()));
        assert!(carried.encode_padded().len() + 57 + 16 <= MAX_PACKET);
    }

    #[test]
    fn d12_no_body_is_longer_than_its_kind_allows() {
        for (kind, max) in [(DmKind::Text, 57_344), (DmKind::Unknown(9), 57_344), (DmKind::SelfCopy, 60_416)]
        {
            let body = |len: usize| DmContent { kind, ..text(len) };
            assert!(DmContent::decode(body(max).encode()).is_ok(), "{kind:?}");
            let error = DmContent::decode(body(max + 1).encode());
            assert_eq!(error, Err(DecodeError::TooLarge { what: "body", len: max + 1, max }), "{kind:?}");
        }
        let long = SelfCopy { user: UserId::new([9; 32]), content: vec![0; MAX_SELF_COPY].into() };
        assert!(matches!(SelfCopy::decode(long.encode()), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn a_content_without_a_kind_or_with_an_id_of_another_length_is_refused() {
        let error = DmContent::decode(DmContent { kind: DmKind::Unknown(0), ..text(1) }.encode());
        assert_eq!(error, Err(DecodeError::Value { field: "DmContent.kind", value: 0 }));
        for (number, field) in [(1_u8, "id"), (7, "acks"), (9, "reply_to")] {
            let short = [&text(1).encode()[..], &[number << 3 | 2, 15], &[0; 15]].concat();
            let error = DmContent::decode(short.into());
            assert_eq!(error, Err(DecodeError::Length { field, len: 15 }));
        }
    }

    #[test]
    fn only_what_says_something_is_acknowledged() {
        let kinds = [DmKind::Text, DmKind::Data, DmKind::Confirm, DmKind::Group, DmKind::SelfCopy];
        assert!(kinds.into_iter().chain([DmKind::Unknown(9)]).all(DmKind::is_acknowledged));
        assert!(!DmKind::Ack.is_acknowledged() && !DmKind::Typing.is_acknowledged());
    }

    #[test]
    fn another_padding_is_refused() {
        let padded = text(1).encode_padded();
        let error = Err(DecodeError::Malformed { what: "padding" });
        assert_eq!(DmContent::decode_padded(padded.slice(..127)), error);
        assert_eq!(DmContent::decode_padded(text(1).encode()), error);
        assert_eq!(DmContent::decode_padded(Bytes::new()), error);
    }
}
