//! A WebSocket as a link: units in, units out, and the control frames between them.
//!
//! Both halves of a link share one socket, because what comes in can make us send: a pong, a close. Reading therefore
//! also writes, but never waits for writing, save for the answer to a close.

use crate::frames::{Came, Frames, Side, Violation, apply_mask};
use crate::invalid;
use bytes::{Bytes, BytesMut};
use darkchat_transport::stream::{Arrived, Leaving};
use darkchat_transport::{Addr, Link, check_unit};
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::task::AtomicWaker;
use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Bytes of the longest frame header.
const HEADER_MAX: usize = 14;
/// Bytes of random masks that are drawn at once.
const MASKS: usize = 64;
/// Bytes that are thrown away after a violation, so that the close frame is not lost with them.
const WASTE_MAX: usize = 64 * 1024;

/// A link over an upgraded socket, whose first bytes may have arrived already.
pub(crate) fn link<S>(stream: Pin<Box<S>>, arrived: Arrived, side: Side, remote: Addr) -> Link
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let wakers = Arc::new(Wakers::default());
    let socket = Arc::new(Mutex::new(Socket {
        stream,
        arrived,
        frames: Frames::new(side),
        leaving: Leaving::default(),
        masks: (side == Side::Client).then(Masks::default),
        pong: None,
        owing: false,
        sending: true,
        receiving: Receiving::Open,
        waker: Waker::from(Arc::clone(&wakers)),
        wakers,
    }));
    Link { remote, units: Box::pin(Units(Arc::clone(&socket))), sink: Box::pin(Messages(socket)) }
}

/// A socket remembers one waker for writing, but two tasks may wait for it: this one wakes both.
#[derive(Debug, Default)]
struct Wakers {
    reader: AtomicWaker,
    sender: AtomicWaker,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.sender.wake();
    }
}

/// Random masks of a client. Source: RFC 6455, section 5.3.
#[derive(Debug, Default)]
struct Masks {
    pool: [[u8; 4]; MASKS / 4],
    left: usize,
}

impl Masks {
    fn next(&mut self) -> io::Result<[u8; 4]> {
        if self.left == 0 {
            getrandom::fill(self.pool.as_flattened_mut()).map_err(io::Error::other)?;
            self.left = self.pool.len();
        }
        self.left -= 1;
        self.pool.get(self.left).copied().ok_or_else(|| io::ErrorKind::Other.into())
    }
}

/// How far the reading half is.
#[derive(Debug)]
enum Receiving {
    /// Units may come.
    Open,
    /// A close frame waits to leave; then the stream ends, with the error if there is one.
    Ending(Option<io::Error>),
    /// Nothing more comes.
    Ended,
}

struct Socket<S> {
    stream: Pin<Box<S>>,
    arrived: Arrived,
    frames: Frames,
    leaving: Leaving,
    /// Of a client.
    masks: Option<Masks>,
    /// The bytes of the last ping for whose answer there was no room; older ones then need no answer (RFC 6455,
    /// section 5.5.3).
    pong: Option<Bytes>,
    /// Whether a pong waits to leave, here or in `leaving`, and nobody may have asked for a flush.
    owing: bool,
    /// Whether no close frame was sent.
    sending: bool,
    receiving: Receiving,
    wakers: Arc<Wakers>,
    /// `wakers` as one waker.
    waker: Waker,
}

impl<S: AsyncRead + AsyncWrite> Socket<S> {
    /// Adds a frame to what is leaving.
    fn push(&mut self, opcode: OpCode, payload: Bytes) -> io::Result<()> {
        let mask = self.masks.as_mut().map(Masks::next).transpose()?;
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        let len = u64::try_from(payload.len()).map_err(io::Error::other)?;
        let mut head = Cursor::new([0; HEADER_MAX]);
        header.format(len, &mut head).map_err(io::Error::other)?;
        let end = usize::try_from(head.position()).map_err(io::Error::other)?;
        let head = head.into_inner();
        let head = head.get(..end).unwrap_or(&head);
        let payload = match mask {
            None => payload,
            Some(mask) => masked(payload, mask),
        };
        self.leaving.push(head, payload);
        Ok(())
    }

    /// Adds a close frame, once.
    fn push_close(&mut self, code: Option<CloseCode>, why: &str) -> io::Result<()> {
        if !self.sending {
            return Ok(());
        }
        self.sending = false;
        self.pong = None;
        let code = code.map(|code| u16::from(code).to_be_bytes());
        let payload: Vec<u8> = code.iter().flatten().copied().chain(why.bytes()).collect();
        self.push(OpCode::Control(Control::Close), payload.into())
    }

    /// Writes all that waits. Whoever waits for it has left a waker in `wakers`.
    fn poll_write(&mut self) -> Poll<io::Result<()>> {
        let waker = self.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        ready!(self.leaving.poll_write(cx, self.stream.as_mut()))?;
        if let Some(bytes) = self.pong.take() {
            self.push(OpCode::Control(Control::Pong), bytes)?;
            ready!(self.leaving.poll_write(cx, self.stream.as_mut()))?;
        }
        self.owing = false;
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_unit(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match &mut self.receiving {
                Receiving::Open => {}
                Receiving::Ending(_) => return self.poll_end(cx),
                Receiving::Ended => return Poll::Ready(None),
            }
            match self.frames.next(&mut self.arrived, Instant::now) {
                Ok(Some(Came::Unit(unit))) => return Poll::Ready(Some(Ok(unit))),
                Ok(Some(Came::Ping(bytes))) => {
                    if let Err(error) = self.answer(bytes) {
                        return self.end(Some(error));
                    }
                }
                Ok(Some(Came::Pong)) => {}
                Ok(Some(Came::Close(code))) => self.closed(code),
                Ok(None) => match ready!(self.poll_more(cx)) {
                    Ok(0) => return self.end(self.sending.then(|| io::ErrorKind::UnexpectedEof.into())),
                    Ok(_) => {}
                    Err(error) => return self.end(Some(error)),
                },
                Err(violation) => return self.violated(cx, violation),
            }
        }
    }

    /// Puts a pong behind what is leaving, or remembers it while there is no room.
    fn answer(&mut self, bytes: Bytes) -> io::Result<()> {
        if !self.sending {
            return Ok(());
        }
        self.owing = true;
        if self.leaving.is_full() {
            self.pong = Some(bytes);
            return Ok(());
        }
        self.push(OpCode::Control(Control::Pong), bytes)
    }

    /// Reads; before that, tries to send the pongs that are owed.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.owing {
            self.wakers.reader.register(cx.waker());
            if let Poll::Ready(Err(error)) = self.poll_write() {
                return Poll::Ready(Err(error));
            }
        }
        self.arrived.poll_read(cx, self.stream.as_mut())
    }

    /// The other side has said its last: answers with the same code.
    fn closed(&mut self, code: Option<CloseCode>) {
        let error = match code {
            None | Some(CloseCode::Normal | CloseCode::Away) => None,
            Some(code) => {
                let text = format!("the other side closed with the code: {code}");
                Some(io::Error::new(io::ErrorKind::ConnectionAborted, text))
            }
        };
        let told = self.push_close(code, "");
        self.receiving = Receiving::Ending(error.or_else(|| told.err()));
    }

    /// Lets the answer to a close leave, hangs up, and ends the stream.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.wakers.reader.register(cx.waker());
        let written = ready!(self.poll_write());
        let _ = self.stream.as_mut().poll_shutdown(cx);
        let error = match std::mem::replace(&mut self.receiving, Receiving::Ended) {
            Receiving::Ending(Some(error)) => Some(error),
            _ => written.err(),
        };
        self.end(error)
    }

    fn end(&mut self, error: Option<io::Error>) -> Poll<Option<io::Result<Bytes>>> {
        self.receiving = Receiving::Ended;
        self.sending = false;
        self.arrived = Arrived::default();
        self.wakers.sender.wake();
        Poll::Ready(error.map(Err))
    }

    /// Tells the other side what it did wrong, if it takes the frame at once: it is not owed more. What it has sent
    /// besides is thrown away, because closing a socket with unread bytes would take the frame back.
    fn violated(&mut self, cx: &mut Context<'_>, violation: Violation) -> Poll<Option<io::Result<Bytes>>> {
        let told = self.push_close(Some(violation.code), violation.why).is_ok();
        if told && matches!(self.poll_write(), Poll::Ready(Ok(()))) {
            let _ = self.stream.as_mut().poll_shutdown(cx);
            let mut left = WASTE_MAX;
            while left > 0 {
                self.arrived.cut(self.arrived.bytes().len(), 0);
                match self.arrived.poll_read(cx, self.stream.as_mut()) {
                    Poll::Ready(Ok(count @ 1..)) => left = left.saturating_sub(count),
                    _ => break,
                }
            }
        }
        self.end(Some(invalid(format!("{} (closed with {})", violation.why, violation.code))))
    }
}

/// Masks in place what nobody else can see, and a copy of everything else.
fn masked(payload: Bytes, mask: [u8; 4]) -> Bytes {
    let mut own = payload.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    apply_mask(&mut own, mask);
    own.freeze()
}

fn lock<S>(socket: &Mutex<Socket<S>>) -> MutexGuard<'_, Socket<S>> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reading half.
struct Units<S>(Arc<Mutex<Socket<S>>>);

impl<S: AsyncRead + AsyncWrite> Stream for Units<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        lock(&self.0).poll_unit(cx)
    }
}

/// The writing half.
struct Messages<S>(Arc<Mutex<Socket<S>>>);

impl<S: AsyncRead + AsyncWrite> Messages<S> {
    /// Writes all that waits, and leaves the caller's waker for as long as that takes.
    fn poll_write(socket: &mut Socket<S>, cx: &Context<'_>) -> Poll<io::Result<()>> {
        socket.wakers.sender.register(cx.waker());
        socket.poll_write()
    }
}

fn gone<T>() -> io::Result<T> {
    Err(io::ErrorKind::BrokenPipe.into())
}

impl<S: AsyncRead + AsyncWrite> Sink<Bytes> for Messages<S> {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = lock(&self.0);
        match socket.sending {
            false => Poll::Ready(gone()),
            true if socket.leaving.is_full() => Self::poll_write(&mut socket, cx),
            true => Poll::Ready(Ok(())),
        }
    }

    fn start_send(self: Pin<&mut Self>, unit: Bytes) -> io::Result<()> {
        check_unit(&unit)?;
        let mut socket = lock(&self.0);
        if socket.sending { socket.push(OpCode::Data(Data::Binary), unit) } else { gone() }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = lock(&self.0);
        match socket.receiving {
            Receiving::Ended if !socket.leaving.is_empty() => Poll::Ready(gone()),
            _ => Self::poll_write(&mut socket, cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = lock(&self.0);
        socket.push_close(Some(CloseCode::Normal), "")?;
        match socket.receiving {
            Receiving::Ended => Poll::Ready(Ok(())),
            _ => Self::poll_write(&mut socket, cx),
        }
    }
}
