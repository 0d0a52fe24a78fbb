//! Reading the head of an HTTP request or answer, bounded.

use darkchat_transport::stream::Arrived;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use tokio::io::AsyncRead;

/// Bytes of request line and headers together. Source: `docs/protocol.md`, section 3.1.
pub(crate) const HEAD_MAX: usize = 8 * 1024;
/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// What came is not the beginning of one.
    NotHttp,
    /// It does not end within [`HEAD_MAX`].
    TooLong,
    /// The stream broke or ended.
    Io(io::Error),
}

/// Waits until a whole head is at the front of `arrived`, and returns its length. Each new run of bytes is shown to
/// `plausible` at once, so that somebody who speaks another protocol is not waited for.
pub(crate) async fn read<S>(
    stream: &mut S,
    arrived: &mut Arrived,
    plausible: fn(&[u8]) -> bool,
) -> Result<usize, NoHead>
where
    S: AsyncRead + Unpin,
{
    let mut seen = 0_usize;
    loop {
        let from = seen.saturating_sub(END.len() - 1);
        let fresh = arrived.bytes().get(from..).unwrap_or_default();
        let end = fresh.windows(END.len()).position(|window| window == END).map(|at| from + at + END.len());
        seen = arrived.bytes().len();
        if seen > 0 && !plausible(arrived.bytes()) {
            return Err(NoHead::NotHttp);
        }
        match end {
            Some(end) if end <= HEAD_MAX => return Ok(end),
            None if seen < HEAD_MAX => {}
            _ => return Err(NoHead::TooLong),
        }
        match poll_fn(|cx| arrived.poll_read(cx, Pin::new(&mut *stream))).await {
            Ok(0) => return Err(NoHead::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) => return Err(NoHead::Io(error)),
        }
    }
}
