//! A request that is no upgrade, for whoever has a page on the same port.

use darkchat_transport::Addr;
use darkchat_transport::stream::{Arrived, farewell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection on which an HTTP request has come that does not ask for a link. Reading gives the request from its
/// first byte on; its head is whole and has at most 8 KiB.
///
/// Dropping it hangs up. The listener has forgotten it: how many there are, and for how long, is the holder's to bound.
pub struct Plain {
    remote: Addr,
    secure: bool,
    arrived: Arrived,
    stream: Pin<Box<dyn Duplex>>,
}

/// A byte stream whose type nobody needs to know.
trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Duplex for S {}

impl Plain {
    pub(crate) fn new<S>(remote: Addr, secure: bool, arrived: Arrived, stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Self { remote, secure, arrived, stream: Box::pin(stream) }
    }

    /// Who asks.
    #[must_use]
    pub const fn remote(&self) -> &Addr {
        &self.remote
    }

    /// Ends the connection in a way that lets arrive what was written: reads on for a bounded while, because closing a
    /// socket with unread bytes takes back what was sent before. Whoever keeps the time may drop this at any moment.
    pub async fn hang_up(self) {
        // Whether it arrives is no longer ours to care about.
        let _ = farewell(self, b"").await;
    }

    /// Whether it came through TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.arrived.bytes().len().min(buf.remaining());
        if len == 0 {
            return self.stream.as_mut().poll_read(cx, buf);
        }
        if let Some(bytes) = self.arrived.cut(0, len) {
            buf.put_slice(&bytes);
        }
        if self.arrived.bytes().is_empty() {
            self.arrived = Arrived::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

/// Takes such connections.
#[derive(Clone)]
pub(crate) struct Elsewhere(pub(crate) Arc<dyn Fn(Plain) + Send + Sync>);

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elsewhere")
    }
}
