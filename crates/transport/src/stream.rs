//! Parts for transports that cut units out of a byte stream: what has arrived, what waits to leave, and a last word.
//!
//! Both buffers hold nothing while a link is idle, and otherwise little more than what is really there, whatever a
//! stranger's length field claims. [`crate::Link::over_bytes`] and the WebSocket transport are made of them.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::io::{poll_read_buf, poll_write_buf};

/// Bytes of room for a first read: a whole handshake unit, and little for a silent stranger to hold.
const READ_MIN: usize = 2 * 1024;
/// Bytes of room for a read while reads come back full: about one record of a busy link.
const READ_MAX: usize = 16 * 1024;
/// Bytes up to which a unit is copied behind others: cheaper than another slice for the system to gather.
const COPY_MAX: usize = 1024;
/// Bytes that wait before the sink pushes back: as much as one record of a busy link.
const WAIT_MAX: usize = 16 * 1024;
/// Bytes of an unwelcome request that are read and thrown away, so that the answer is not lost with them.
const FAREWELL_MAX: usize = 64 * 1024;

/// Bytes that have arrived and are not cut into units yet.
///
/// ```
/// use darkchat_transport::stream::Arrived;
/// let mut arrived = Arrived::from(&b"\x02hi\x05wor"[..]);
/// assert_eq!(arrived.cut(1, 2).expect("it is there"), "hi");
/// assert_eq!((arrived.cut(1, 5), arrived.bytes()), (None, &b"\x05wor"[..]));
/// ```
#[derive(Debug, Default)]
pub struct Arrived {
    bytes: BytesMut,
    /// How much room the next read gets beyond [`READ_MIN`].
    extra: usize,
}

impl From<&[u8]> for Arrived {
    fn from(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), extra: 0 }
    }
}

impl Arrived {
    /// What is there, in order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes `head` bytes and the `len` bytes behind them, and returns the latter; `None`, and nothing is removed,
    /// while not all of them are there.
    ///
    /// The result shares its memory with nothing, so it can be changed in place, and wastes at most half of it.
    pub fn cut(&mut self, head: usize, len: usize) -> Option<BytesMut> {
        let end = head.checked_add(len)?;
        if self.bytes.len() == end && self.bytes.capacity() <= len.saturating_mul(2) {
            let mut unit = mem::take(&mut self.bytes);
            unit.advance(head);
            return Some(unit);
        }
        let unit = BytesMut::from(self.bytes.get(head..end)?);
        self.bytes.advance(end);
        Some(unit)
    }

    /// Waits for more bytes; 0 is the end. Cancel safe: nothing is lost by dropping the wait.
    ///
    /// # Errors
    /// What `read` says; what has arrived before stays.
    pub fn poll_read<R>(&mut self, cx: &mut Context<'_>, read: Pin<&mut R>) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + ?Sized,
    {
        let room = READ_MIN + self.extra;
        self.bytes.reserve(room);
        let result = poll_read_buf(read, cx, &mut self.bytes);
        match &result {
            Poll::Ready(Ok(count)) if *count >= room => self.extra = (room * 2).min(READ_MAX) - READ_MIN,
            Poll::Pending if self.bytes.is_empty() => {
                self.bytes = BytesMut::new();
                self.extra /= 2;
            }
            _ => {}
        }
        result
    }
}

/// Bytes that wait to leave.
#[derive(Debug, Default)]
pub struct Leaving {
    copied: BytesMut,
    /// A long unit, behind `copied`; shared with its sender and not copied.
    shared: Bytes,
}

impl Leaving {
    /// Whether more must wait until [`poll_write`](Self::poll_write) is done.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.shared.is_empty() || self.copied.len() >= WAIT_MAX
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.shared.is_empty()
    }

    /// Adds `head` and then `body`. A long body is not copied, so that it should come last before a write.
    pub fn push(&mut self, head: &[u8], body: Bytes) {
        let earlier = mem::take(&mut self.shared);
        let is_long = body.len() > COPY_MAX;
        self.copied.reserve(earlier.len() + head.len() + if is_long { 0 } else { body.len() });
        self.copied.extend_from_slice(&earlier);
        self.copied.extend_from_slice(head);
        if is_long {
            self.shared = body;
        } else {
            self.copied.extend_from_slice(&body);
        }
    }

    /// Writes all that waits, without flushing `write`. Cancel safe.
    ///
    /// # Errors
    /// What `write` says; [`io::ErrorKind::WriteZero`] if it takes nothing more.
    pub fn poll_write<W>(&mut self, cx: &mut Context<'_>, mut write: Pin<&mut W>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + ?Sized,
    {
        while !self.is_empty() {
            let mut waiting = (&mut self.copied).chain(&mut self.shared);
            if ready!(poll_write_buf(write.as_mut(), cx, &mut waiting))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}

/// Says a last word to somebody who speaks another protocol, and hangs up in a way that lets it arrive.
///
/// A socket that is closed with unread bytes resets the connection, and the reset overtakes the answer; so a bounded
/// part of what still comes is read and thrown away. Whoever keeps the time may drop this at any moment.
///
/// # Errors
/// What the stream says; most callers have nobody left to tell.
pub async fn farewell<S>(mut stream: S, word: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(word).await?;
    stream.shutdown().await?;
    let mut waste = [0; 1024];
    let mut left = FAREWELL_MAX;
    while left > 0 {
        match stream.read(&mut waste).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use tokio::io::duplex;

    fn poll_once<R: AsyncRead + Unpin>(arrived: &mut Arrived, read: &mut R) -> Poll<io::Result<usize>> {
        arrived.poll_read(&mut Context::from_waker(Waker::noop()), Pin::new(read))
    }

    #[test]
    fn an_idle_reader_holds_no_buffer() {
        let (mut near, _far) = duplex(64);
        let mut arrived = Arrived::default();
        assert!(poll_once(&mut arrived, &mut near).is_pending());
        assert_eq!(arrived.bytes.capacity(), 0);
    }

    #[test]
    fn room_grows_with_what_arrives_and_not_beyond_a_record() {
        let mut arrived = Arrived::default();
        let mut endless = tokio::io::repeat(7);
        while arrived.bytes.len() < 1024 * 1024 {
            assert!(matches!(poll_once(&mut arrived, &mut endless), Poll::Ready(Ok(1..))));
        }
        assert_eq!(arrived.extra, READ_MAX - READ_MIN);
        assert!(arrived.bytes.capacity() <= 2 * arrived.bytes.len() + READ_MAX);
    }

    #[test]
    fn cut_units_can_be_changed_in_place() {
        let mut arrived = Arrived::from(&b"hab hab"[..]);
        let first = arrived.cut(0, 3).unwrap().freeze();
        let second = arrived.cut(1, 3).unwrap().freeze();
        assert!(first.try_into_mut().is_ok() && second.try_into_mut().is_ok());
        assert_eq!(arrived.cut(0, 1), None);
        assert_eq!(arrived.cut(usize::MAX, 2), None);
    }

    #[test]
    fn a_unit_that_fills_its_buffer_is_not_copied() {
        let mut arrived = Arrived { bytes: BytesMut::from(&[5; 5_002][..]), extra: 0 };
        let place = arrived.bytes.as_ptr().wrapping_add(2);
        assert_eq!(arrived.cut(2, 5_000).unwrap().as_ptr(), place);
    }

    #[test]
    fn long_units_wait_alone_and_short_ones_together() {
        let mut leaving = Leaving::default();
        leaving.push(b"a", Bytes::from_static(b"bc"));
        assert!(!leaving.is_full());
        leaving.push(b"d", Bytes::from(vec![b'e'; COPY_MAX + 1]));
        assert!(leaving.is_full());
        leaving.push(b"f", Bytes::new());
        let mut all = Vec::new();
        let done = leaving.poll_write(&mut Context::from_waker(Waker::noop()), Pin::new(&mut all));
        assert!(matches!(done, Poll::Ready(Ok(()))) && leaving.is_empty());
        assert_eq!((all.len(), &all[..5], all.last()), (COPY_MAX + 6, &b"abcde"[..], Some(&b'f')));
        assert_eq!(leaving.copied.capacity(), 0);
    }
}
