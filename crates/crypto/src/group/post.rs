//! Writing and opening the posts of a private channel.

use super::{Group, GroupError, joined, malformed};
use crate::aead::{Aead, TAG, nonce};
use crate::kdf::Secret;
use crate::label::GROUP_MESSAGE;
use crate::verify::{self, Verified};
use crate::{SignRequest, sign};
use bytes::Bytes;
use darkchat_proto::limits::{MAX_DELIVER, MAX_ENTRIES, MAX_NAME, MAX_PAYLOAD};
use darkchat_proto::{
    ChannelId, Content, DecodeError, Deliver, Entry, GroupBody, PostId, SealedHead, Signature, UserId, pad,
};
use rand_core::CryptoRng;
use std::fmt;

/// The most numbers of one stream: 2^32, so that a stream's key seals few enough posts for AES-GCM's bounds.
const MAX_NUMBERS: u64 = 1 << 32;

/// The length of the signature that stands before the body, in bytes.
const SIGNATURE: usize = 64;

/// Why a post was not written. No number was used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The channel's secret is too old.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// No entries, or more than 64.
    #[error("a post has 1 to 64 entries: {len}")]
    Entries {
        /// How many there are.
        len: usize,
    },
    /// More content, or a longer name, than a post holds; say less at once.
    #[error("too long for a post")]
    TooLong,
}

/// Why a sealed post was not opened. Nothing is kept of it. They are the reasons under which receivers count (13.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenPostError {
    /// Of another generation or hour, or not sealed with the channel's secret, or altered.
    #[error("a sealed post does not open")]
    Undecryptable,
    /// A member has sealed what is no post.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// A member has sealed a post that its author did not sign for this channel and place.
    #[error("bad signature")]
    BadSignature,
    /// Somebody has the secret and is not on the member list.
    #[error("the author is not a member")]
    NotMember,
}

/// A post of a private channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPost {
    /// Generation, step, stream and number.
    pub head: SealedHead,
    /// Author, time and entries.
    pub body: GroupBody,
    /// The post's id, by which repeats are known.
    pub id: PostId,
}

/// What one author has written in one channel since the process began, over all generations.
///
/// It cannot be copied: two copies would seal two posts with one number.
#[derive(Debug, Default)]
pub struct Writer {
    stream: Option<Stream>,
    /// The stream before and the last number in it.
    before: (u64, u64),
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    channel: ChannelId,
    step: u32,
    id: u64,
    /// The number of the next entry.
    next: u64,
}

/// A post that waits for its author's signature. Its numbers are used, whether it is finished or not.
#[must_use]
pub struct Draft {
    channel: ChannelId,
    head: SealedHead,
    body: Bytes,
    key: Secret,
    request: SignRequest,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, head, body: _, key: _, request: _ } = self;
        f.debug_struct("Draft").field("channel", channel).field("head", head).finish_non_exhaustive()
    }
}

/// `"dchat/1/grp-msg" 0x00 ‖ channel id ‖ head`
fn associated(channel: &ChannelId, head: &SealedHead) -> Vec<u8> {
    [GROUP_MESSAGE, channel.as_bytes().as_slice(), &head.to_bytes()].concat()
}

/// Seals as it is, without padding: head and ciphertext.
pub(super) fn seal(key: &Secret, channel: &ChannelId, head: &SealedHead, mut text: Vec<u8>) -> Option<Bytes> {
    let nonce = nonce(head.seq);
    let tag = Aead::new(key).seal(nonce, &associated(channel, head), &mut text).ok()?;
    Some(joined(&[&head.to_bytes(), &text, &tag]))
}

/// Opens as it is, with its padding.
pub(super) fn unseal(key: &Secret, channel: &ChannelId, head: &SealedHead, sealed: &[u8]) -> Option<Bytes> {
    let mut text = sealed.get(head.to_bytes().len()..)?.to_vec();
    let len = Aead::new(key).open(nonce(head.seq), &associated(channel, head), &mut text).ok()?.len();
    text.truncate(len);
    Some(text.into())
}

impl Writer {
    /// Makes a post of 1 to 64 entries at `now_ms`, the author's clock in Unix milliseconds. A new hour, a new
    /// generation and a full stream each begin a new stream, for which 8 bytes of randomness are taken.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(
        &mut self,
        group: &mut Group,
        author: UserId,
        name: &str,
        entries: Vec<Entry>,
        now_ms: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Draft, WriteError> {
        group.advance(now_ms)?;
        let content: usize = entries.iter().map(|entry| entry.content.len()).sum();
        let len = entries.len();
        if len == 0 || len > MAX_ENTRIES {
            return Err(WriteError::Entries { len });
        }
        if content > MAX_PAYLOAD || name.len() > MAX_NAME {
            return Err(WriteError::TooLong);
        }
        let too_old = || WriteError::Group(GroupError::TooOld { steps: group.steps.current(now_ms) });
        let step = u32::try_from(group.steps.current(now_ms)).map_err(|_| too_old())?;
        let (stream, (prev_stream, prev_seq)) = self.stream_for(group.channel, step, len, rng);
        let head = SealedHead { generation: group.generation, step, stream: stream.id, seq: stream.next };
        let body =
            GroupBody { author, time_ms: now_ms, name: name.to_owned(), prev_stream, prev_seq, entries }
                .encode();
        let padded = pad::padded_len(body.len().saturating_add(SIGNATURE));
        let overhead =
            Deliver { channel: group.channel, content: Content::Sealed(Bytes::new()) }.encode().len();
        if padded.saturating_add(24 + TAG + 4).saturating_add(overhead) > MAX_DELIVER {
            return Err(WriteError::TooLong);
        }
        let next = head.next_seq(len).ok_or(WriteError::Entries { len })?;
        let key = group.steps.key(step, stream.id).ok_or_else(too_old)?;
        let request = sign::group(&group.network, &group.channel, &head, &body);
        self.before = (prev_stream, prev_seq);
        self.stream = Some(Stream { next, ..stream });
        Ok(Draft { channel: group.channel, head, body, key, request })
    }

    /// Leaves two numbers in the present stream, and says which that is.
    #[cfg(test)]
    pub(super) fn nearly_full(&mut self) -> u64 {
        let stream = self.stream.as_mut().unwrap();
        stream.next = MAX_NUMBERS - 1;
        stream.id
    }

    /// The stream to write in, with room for `len` numbers, and what came before it.
    fn stream_for(
        &self,
        channel: ChannelId,
        step: u32,
        len: usize,
        rng: &mut impl CryptoRng,
    ) -> (Stream, (u64, u64)) {
        let room = |stream: &Stream| {
            let last = stream.next.saturating_add(u64::try_from(len).unwrap_or(u64::MAX)).saturating_sub(1);
            last <= MAX_NUMBERS
        };
        match self.stream {
            Some(stream) if stream.channel == channel && stream.step == step && room(&stream) => {
                (stream, self.before)
            }
            old => {
                let before = old.map_or((0, 0), |old| (old.id, old.next.saturating_sub(1)));
                // 0 is no stream; once in 2^64 it is 1 instead.
                let id = rng.next_u64().max(1);
                (Stream { channel, step, id, next: 1 }, before)
            }
        }
    }
}

impl Draft {
    /// What the author signs.
    #[must_use]
    pub const fn request(&self) -> &SignRequest {
        &self.request
    }

    /// Where the post stands.
    #[must_use]
    pub const fn head(&self) -> SealedHead {
        self.head
    }

    /// The post's id.
    #[must_use]
    pub fn id(&self) -> PostId {
        PostId::of_sealed(&self.channel, &self.head, &self.body)
    }

    /// The sealed post, for [`Content::Sealed`]. The signature is not checked here; receivers do.
    ///
    /// # Errors
    /// [`WriteError::TooLong`], which [`Writer::write`] has ruled out.
    pub fn finish(self, signature: Signature) -> Result<Bytes, WriteError> {
        let Self { channel, head, body, key, request: _ } = self;
        let mut plain = [signature.as_bytes().as_slice(), &body].concat();
        pad::pad_in_place(&mut plain);
        seal(&key, &channel, &head, plain).ok_or(WriteError::TooLong)
    }
}

impl Group {
    /// Opens a sealed post that came at `now_ms` (Unix milliseconds), in the order of section 8.1: generation and step,
    /// seal, padding, signature, membership. Time, repeats and order are for the caller to judge (6.3).
    ///
    /// # Errors
    /// [`OpenPostError`].
    pub fn open(&mut self, sealed: &[u8], now_ms: u64) -> Result<Verified<GroupPost>, OpenPostError> {
        let head = SealedHead::decode(sealed)?;
        if head.generation != self.generation || !self.steps.accepts(head.step, now_ms) {
            return Err(OpenPostError::Undecryptable);
        }
        let key = self.steps.key(head.step, head.stream).ok_or(OpenPostError::Undecryptable)?;
        let plain = unseal(&key, &self.channel, &head, sealed).ok_or(OpenPostError::Undecryptable)?;
        // Only what the secret's holders wrote moves the secret on: a clock that jumped would do so for nothing.
        self.steps.advance(now_ms).map_err(|_| OpenPostError::Undecryptable)?;
        let content = pad::unpad(&plain).ok_or_else(|| malformed("padding"))?;
        let (signature, body) = content.split_first_chunk().ok_or_else(|| malformed("signature"))?;
        let body = plain.slice_ref(body);
        let post = GroupPost {
            head,
            body: GroupBody::decode(body.clone())?,
            id: PostId::of_sealed(&self.channel, &head, &body),
        };
        if head.next_seq(post.body.entries.len()).is_none() {
            return Err(DecodeError::Value { field: "seq", value: head.seq }.into());
        }
        let author = post.body.author;
        let request = sign::group(&self.network, &self.channel, &head, &body);
        verify::request(author.as_bytes(), &request, &Signature::new(*signature))
            .map_err(|_| OpenPostError::BadSignature)?;
        if self.members.as_ref().is_some_and(|members| !members.contains(&author)) {
            return Err(OpenPostError::NotMember);
        }
        Ok(verify::proven(post))
    }
}
