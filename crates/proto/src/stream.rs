//! Length-prefixed frames, cut out of and put into a run of bytes. Source: `docs/protocol.md`, sections 3.3 and 4.2.

use crate::DecodeError;
use crate::limits::{MAX_FRAME, MAX_PREFIX};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Cuts frames out of the plaintext of a link's records, wherever the records' borders lie.
///
/// Holds at most one unfinished frame and one record; allocates for bytes received, never for bytes announced.
/// A frame that lies whole in one record shares its buffer.
///
/// ```
/// use bytes::Bytes;
/// use darkchat_proto::FrameStream;
/// let mut stream = FrameStream::default();
/// stream.push(Bytes::from_static(&[2, b'h']));
/// assert_eq!(stream.next_frame(), Ok(None));
/// stream.push(Bytes::from_static(b"i"));
/// assert_eq!(stream.next_frame(), Ok(Some(Bytes::from_static(b"hi"))));
/// ```
#[derive(Debug, Default)]
pub struct FrameStream {
    /// The rest of the last record, while nothing unfinished stands before it.
    whole: Bytes,
    /// An unfinished frame and what came after it.
    partial: BytesMut,
}

impl FrameStream {
    /// Appends the plaintext of one record. Take all frames out before the next one.
    pub fn push(&mut self, record: Bytes) {
        if self.whole.is_empty() && self.partial.is_empty() {
            self.whole = record;
            return;
        }
        self.partial.reserve(self.whole.len().saturating_add(record.len()));
        self.partial.put(std::mem::take(&mut self.whole));
        self.partial.put(record);
    }

    /// The next frame without its prefix, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] for a length over [`MAX_FRAME`], [`DecodeError::Value`] for a length of 0 or a
    /// prefix of more than three bytes. The link is then to be closed; asking again gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let unread = if self.partial.is_empty() { &self.whole[..] } else { &self.partial[..] };
        let Some((prefix, len)) = read_prefix(unread)? else { return Ok(None) };
        if unread.len() < prefix.saturating_add(len) {
            return Ok(None);
        }
        if self.partial.is_empty() {
            self.whole.advance(prefix);
            return Ok(Some(self.whole.split_to(len)));
        }
        self.partial.advance(prefix);
        let frame = self.partial.split_to(len).freeze();
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        Ok(Some(frame))
    }

    /// Whether the bytes so far end between two frames.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.whole.is_empty() && self.partial.is_empty()
    }

    /// The bytes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.whole.len().saturating_add(self.partial.len())
    }

    /// Whether no byte is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The length of the prefix and the length that it announces; `None` while the prefix is cut off.
fn read_prefix(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut len = 0_usize;
    for (index, byte) in bytes.iter().take(MAX_PREFIX).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 != 0 {
            continue;
        }
        return match len {
            0 => Err(DecodeError::Value { field: "frame length", value: 0 }),
            len if len > MAX_FRAME => Err(DecodeError::TooLarge { what: "frame", len, max: MAX_FRAME }),
            len => Ok(Some((index + 1, len))),
        };
    }
    if bytes.len() >= MAX_PREFIX {
        return Err(DecodeError::Value { field: "frame length prefix", value: u64::from(u32::MAX) });
    }
    Ok(None)
}

/// Writes the length prefix of a frame of `len` bytes.
pub fn put_prefix(len: usize, out: &mut BytesMut) {
    let mut rest = len;
    loop {
        let group = u8::try_from(rest & 0x7F).unwrap_or(0x7F);
        rest >>= 7;
        if rest == 0 {
            out.put_u8(group);
            return;
        }
        out.put_u8(group | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_four_bytes_is_refused_before_any_body() {
        let mut stream = FrameStream::default();
        stream.push(Bytes::from_static(&[0x80, 0x80, 0x80, 0x01]));
        assert!(stream.next_frame().is_err());
    }

    #[test]
    fn a_length_of_zero_and_one_over_the_limit_are_refused() {
        let mut stream = FrameStream::default();
        stream.push(Bytes::from_static(&[0]));
        assert!(matches!(stream.next_frame(), Err(DecodeError::Value { .. })));
        let mut prefix = BytesMut::new();
        put_prefix(MAX_FRAME + 1, &mut prefix);
        let mut stream = FrameStream::default();
        stream.push(prefix.freeze());
        assert!(matches!(stream.next_frame(), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn what_is_held_is_counted_until_it_is_taken() {
        let mut stream = FrameStream::default();
        assert!(stream.is_empty() && stream.is_between_frames());
        for (piece, held) in [(&[3, b'a'][..], 2), (b"b", 3), (b"c\x01", 5)] {
            stream.push(Bytes::copy_from_slice(piece));
            assert_eq!(stream.len(), held);
            assert!(!stream.is_empty() && !stream.is_between_frames());
        }
        assert_eq!(stream.next_frame(), Ok(Some(Bytes::from_static(b"abc"))));
        assert_eq!((stream.len(), stream.next_frame()), (1, Ok(None)));
        stream.push(Bytes::from_static(b"d"));
        assert_eq!(stream.next_frame(), Ok(Some(Bytes::from_static(b"d"))));
        assert!(stream.is_empty() && stream.is_between_frames());
    }

    #[test]
    fn two_frames_in_one_record_share_its_buffer_and_one_in_pieces_comes_whole() {
        let mut run = BytesMut::new();
        for body in [&b"first"[..], b"second"] {
            put_prefix(body.len(), &mut run);
            run.extend_from_slice(body);
        }
        let run = run.freeze();
        let mut stream = FrameStream::default();
        stream.push(run.clone());
        let first = stream.next_frame().unwrap().unwrap();
        assert_eq!(first.as_ptr(), run[1..].as_ptr());
        assert_eq!(stream.next_frame().unwrap().unwrap(), "second");
        assert!(stream.is_between_frames());
        for byte in run.iter().take(5) {
            stream.push(Bytes::copy_from_slice(&[*byte]));
            assert_eq!(stream.next_frame(), Ok(None));
        }
        stream.push(run.slice(5..));
        assert_eq!(stream.next_frame().unwrap().unwrap(), "first");
    }
}
