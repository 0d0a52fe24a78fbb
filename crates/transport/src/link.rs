//! One open connection, and the length-prefixed framing that makes one of any byte stream.

use crate::stream::{Arrived, Leaving};
use crate::{Addr, BoxSink, BoxStream, check_unit};
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of the length before each unit.
const PREFIX: usize = 2;

/// One open connection: units in order, both ways; none merged, none split, none lost before the end.
///
/// Its halves may be used from two tasks. Dropping both ends the connection.
#[expect(clippy::exhaustive_structs, reason = "strangers' transports build it, and its owner takes it apart")]
pub struct Link {
    /// Who is at the other end, as far as the carrier knows.
    pub remote: Addr,
    /// What comes; `None` after the other side closed its sink, `Err` once if the carrier broke, then `None`.
    ///
    /// [`Bytes`] that came over a wire share their memory with nobody, so `try_into_mut` succeeds and a unit can be
    /// decrypted in place.
    pub units: BoxStream<io::Result<Bytes>>,
    /// What goes: units up to [`MAX_UNIT`](crate::MAX_UNIT) bytes. Feed all that is ready and flush once.
    pub sink: BoxSink,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl Link {
    /// Length-prefixed (`u16`, big-endian) units over any byte stream. Source: `docs/protocol.md`, section 3.1.
    ///
    /// An idle link holds no buffers, and a busy one little more than one unit. The end of `read` inside a unit is
    /// [`io::ErrorKind::UnexpectedEof`].
    ///
    /// ```
    /// use darkchat_transport::Link;
    /// use futures_util::{SinkExt, StreamExt};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (near, far) = tokio::io::duplex(64);
    /// let link = |stream| {
    ///     let (read, write) = tokio::io::split(stream);
    ///     Link::over_bytes("pipe://here".parse().expect("an address"), read, write)
    /// };
    /// let (mut near, mut far) = (link(near), link(far));
    /// near.sink.send("one".into()).await?;
    /// near.sink.close().await?;
    /// assert_eq!(far.units.next().await.expect("open")?, "one");
    /// assert!(far.units.next().await.is_none());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn over_bytes<R, W>(remote: Addr, read: R, write: W) -> Self
    where
        R: AsyncRead + Send + 'static,
        W: AsyncWrite + Send + 'static,
    {
        let units = Units { read: Box::pin(read), arrived: Arrived::default(), ended: false };
        let sink = Prefixed { write: Box::pin(write), leaving: Leaving::default() };
        Self { remote, units: Box::pin(units), sink: Box::pin(sink) }
    }
}

/// The reading half of [`Link::over_bytes`].
struct Units<R> {
    read: Pin<Box<R>>,
    arrived: Arrived,
    ended: bool,
}

impl<R: AsyncRead> Stream for Units<R> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.ended {
            if let Some(prefix) = this.arrived.bytes().first_chunk::<PREFIX>() {
                let len = usize::from(u16::from_be_bytes(*prefix));
                if let Some(unit) = this.arrived.cut(PREFIX, len) {
                    return Poll::Ready(Some(Ok(unit.freeze())));
                }
            }
            let error = match ready!(this.arrived.poll_read(cx, this.read.as_mut())) {
                Ok(0) if this.arrived.bytes().is_empty() => None,
                Ok(0) => Some(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => continue,
                Err(error) => Some(error),
            };
            this.ended = true;
            return Poll::Ready(error.map(Err));
        }
        Poll::Ready(None)
    }
}

/// The writing half of [`Link::over_bytes`].
struct Prefixed<W> {
    write: Pin<Box<W>>,
    leaving: Leaving,
}

impl<W: AsyncWrite> Sink<Bytes> for Prefixed<W> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.leaving.is_full() {
            this.leaving.poll_write(cx, this.write.as_mut())
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn start_send(mut self: Pin<&mut Self>, unit: Bytes) -> io::Result<()> {
        check_unit(&unit)?;
        let len = u16::try_from(unit.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.leaving.push(&len.to_be_bytes(), unit);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.leaving.poll_write(cx, this.write.as_mut()))?;
        this.write.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.write.as_mut().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_UNIT;
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

    /// A link, and the raw end of its stream.
    fn raw(room: usize) -> (Link, DuplexStream) {
        let (near, far) = duplex(room);
        let (read, write) = split(near);
        (Link::over_bytes("pipe://here".parse().unwrap(), read, write), far)
    }

    #[tokio::test]
    async fn units_are_ours_alone_so_they_can_be_changed_in_place() {
        let (mut link, mut far) = raw(MAX_UNIT);
        for len in [1_u16, 100, 3_000, 20_000] {
            let unit = [&len.to_be_bytes()[..], &vec![7; len.into()]].concat();
            far.write_all(&[unit, b"\0\x01x".to_vec()].concat()).await.unwrap();
            for len in [len.into(), 1] {
                let unit = link.units.next().await.unwrap().unwrap();
                assert_eq!(unit.try_into_mut().unwrap().len(), len);
            }
        }
    }

    #[tokio::test]
    async fn an_end_inside_a_unit_is_one_error_and_then_the_end() {
        for part in [&b"\0"[..], b"\0\x05", b"\0\x05part"] {
            let (mut link, mut far) = raw(64);
            far.write_all(part).await.unwrap();
            drop(far);
            let error = link.units.next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(link.units.next().await.is_none() && link.units.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn what_is_fed_leaves_with_one_flush_and_a_length_before_each() {
        let (mut link, mut far) = raw(MAX_UNIT);
        let long = vec![b'x'; 2_000];
        for unit in [&b"one"[..], b"", &long, b"two"] {
            link.sink.feed(Bytes::copy_from_slice(unit)).await.unwrap();
        }
        link.sink.close().await.unwrap();
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [b"\0\x03one\0\0\x07\xd0", &long[..], b"\0\x03two"].concat());
    }

    #[tokio::test]
    async fn a_broken_carrier_is_an_error_of_the_sink() {
        let (mut link, far) = raw(64);
        drop(far);
        assert_eq!(link.sink.send("lost".into()).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
