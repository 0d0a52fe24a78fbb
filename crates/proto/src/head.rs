//! What a server must know of a post before it pays for decoding and checking it. Source: `docs/protocol.md`, 5.2 and 10.1.

use crate::{DecodeError, UserId, field, shape};
use bytes::Bytes;
use prost::Message as _;

/// The fields of a post that budgets and their order depend on, read without its entries.
///
/// What it says is not checked: [`Post::decode`](crate::Post::decode) and the signature come after the budgets.
///
/// ```
/// use darkchat_proto::{ChannelId, Entry, Post, PostHead, UserId};
/// let (author, channel) = (UserId::new([1; 32]), ChannelId::new([2; 32]));
/// let entries = vec![Entry::text("one"), Entry::text("two")];
/// let post = Post { author, channel, stream: 7, seq: 3, time_ms: 0, name: String::new(), entries };
/// let head = PostHead::decode(&post.encode())?;
/// assert_eq!((head.author, head.stream, head.seq, head.entries), (author, 7, 3, 2));
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostHead {
    /// Who says that it wrote this.
    pub author: UserId,
    /// The author's stream.
    pub stream: u64,
    /// The number of the first entry.
    pub seq: u64,
    /// How many entries there are.
    pub entries: u32,
}

/// The wire's `ChannelBody` without what is long.
#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(bytes = "bytes", tag = "1")]
    author: Bytes,
    #[prost(fixed64, tag = "3")]
    stream: u64,
    #[prost(uint64, tag = "4")]
    seq: u64,
}

impl PostHead {
    /// Reads the head of an encoded post; takes no memory but for the author.
    ///
    /// # Errors
    /// [`DecodeError`] if it is no message of this form, or breaks a bound on counts.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let entries = shape::count(body, &shape::CHANNEL_BODY, 7)?;
        let Body { author, stream, seq } =
            Body::decode(body).map_err(|_| DecodeError::Malformed { what: "ChannelBody" })?;
        let author = UserId::new(field::fixed("author", &author)?);
        Ok(Self { author, stream, seq, entries: u32::try_from(entries).unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelId, Entry, Post};

    fn post(entries: usize) -> Post {
        Post {
            author: UserId::new([1; 32]),
            channel: ChannelId::new([2; 32]),
            stream: 7,
            seq: 3,
            time_ms: 4,
            name: String::new(),
            entries: vec![Entry::text("one"); entries],
        }
    }

    #[test]
    fn the_head_is_that_of_the_post() {
        for entries in [0, 1, 64] {
            let post = post(entries);
            let head = PostHead::decode(&post.encode()).unwrap();
            assert_eq!((head.author, head.stream, head.seq), (post.author, post.stream, post.seq));
            assert_eq!(head.entries as usize, entries);
        }
    }

    #[test]
    fn what_has_too_many_entries_or_no_author_has_no_head() {
        let many = PostHead::decode(&post(65).encode());
        assert_eq!(many, Err(DecodeError::TooMany { field: "entries", max: 64 }));
        let nobody = PostHead::decode(&[]);
        assert_eq!(nobody, Err(DecodeError::Length { field: "author", len: 0 }));
        assert!(matches!(PostHead::decode(&[0x0B]), Err(DecodeError::Malformed { .. })));
    }
}
