//! What the other side of a WebSocket may send, judged header by header. Source: RFC 6455, section 5.

use bytes::{Bytes, BytesMut};
use darkchat_transport::MAX_UNIT;
use darkchat_transport::stream::Arrived;
use std::io::Cursor;
use std::time::{Duration, Instant};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Frames of one message. Source: `docs/protocol.md`, section 3.1.
pub(crate) const FRAGMENTS_MAX: u32 = 1_024;
/// Bytes of a control frame. Source: RFC 6455, section 5.5.
const CONTROL_MAX: u64 = 125;
/// Pings and pongs that may come at once; no client known to us sends more than one in some seconds.
const CONTROLS_BURST: u32 = 64;
/// One more is allowed each time this has passed.
const CONTROL_EVERY: Duration = Duration::from_millis(100);

/// Which end we are. Clients mask what they send, servers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// Something that has arrived completely.
#[derive(Debug, PartialEq)]
pub(crate) enum Came {
    /// A binary message.
    Unit(Bytes),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// Nothing to do.
    Pong,
    /// The other side will send nothing more. No code counts as a normal end.
    Close(Option<CloseCode>),
}

/// The other side did what it must not: the code to close with, and the reason, which is also told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: CloseCode,
    pub(crate) why: &'static str,
}

const fn violation<T>(code: CloseCode, why: &'static str) -> Result<T, Violation> {
    Err(Violation { code, why })
}

/// Puts messages together.
#[derive(Debug)]
pub(crate) struct Frames {
    side: Side,
    /// The message that has begun and not ended, and how many frames it has.
    message: Option<(BytesMut, u32)>,
    /// Control frames are paid from here; the account is full at the time `full`.
    full: Option<Instant>,
}

impl Frames {
    pub(crate) const fn new(side: Side) -> Self {
        Self { side, message: None, full: None }
    }

    /// The next thing that has arrived completely; `None` if more bytes are needed. A header is judged as soon as it
    /// is there, so nothing is kept of what will be refused.
    pub(crate) fn next(
        &mut self,
        arrived: &mut Arrived,
        now: fn() -> Instant,
    ) -> Result<Option<Came>, Violation> {
        loop {
            let mut cursor = Cursor::new(arrived.bytes());
            let Ok(parsed) = FrameHeader::parse(&mut cursor) else {
                return violation(CloseCode::Protocol, "unknown opcode");
            };
            let Some((header, len)) = parsed else { return Ok(None) };
            self.judge(&header, len)?;
            let sizes = (usize::try_from(cursor.position()), usize::try_from(len));
            let (Ok(head), Ok(len)) = sizes else { return violation(CloseCode::Size, "too long") };
            let Some(mut payload) = arrived.cut(head, len) else { return Ok(None) };
            if let Some(mask) = header.mask {
                apply_mask(&mut payload, mask);
            }
            if let Some(came) = self.take(&header, payload, now)? {
                return Ok(Some(came));
            }
        }
    }

    fn judge(&self, header: &FrameHeader, len: u64) -> Result<(), Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return violation(CloseCode::Protocol, "no extension was agreed upon");
        }
        if header.mask.is_some() != (self.side == Side::Server) {
            return violation(CloseCode::Protocol, "clients mask, servers do not");
        }
        match (header.opcode, &self.message) {
            (OpCode::Control(_), _) if !header.is_final || len > CONTROL_MAX => {
                violation(CloseCode::Protocol, "control frames are short and whole")
            }
            (OpCode::Control(_), _) => Ok(()),
            (OpCode::Data(Data::Text), _) => violation(CloseCode::Unsupported, "only binary messages"),
            (OpCode::Data(Data::Continue), None) => violation(CloseCode::Protocol, "nothing to continue"),
            (OpCode::Data(Data::Continue), Some((_, FRAGMENTS_MAX..))) => {
                violation(CloseCode::Size, "a message has at most 1024 fragments")
            }
            (OpCode::Data(Data::Continue), Some((begun, _))) => fits(begun.len(), len),
            (OpCode::Data(_), Some(_)) => violation(CloseCode::Protocol, "the last message has not ended"),
            (OpCode::Data(_), None) => fits(0, len),
        }
    }

    /// Adds a judged frame to what is there.
    fn take(
        &mut self,
        header: &FrameHeader,
        payload: BytesMut,
        now: fn() -> Instant,
    ) -> Result<Option<Came>, Violation> {
        let control = match header.opcode {
            OpCode::Data(_) => return Ok(self.extend(header.is_final, payload).map(Came::Unit)),
            OpCode::Control(control) => control,
        };
        self.pay(now())?;
        match control {
            Control::Ping => Ok(Some(Came::Ping(payload.freeze()))),
            Control::Close => close_code(&payload).map(|code| Some(Came::Close(code))),
            Control::Pong | Control::Reserved(_) => Ok(Some(Came::Pong)),
        }
    }

    fn extend(&mut self, is_final: bool, payload: BytesMut) -> Option<Bytes> {
        let (message, fragments) = match self.message.take() {
            None => (payload, 1),
            Some((mut message, fragments)) => {
                message.extend_from_slice(&payload);
                (message, fragments + 1)
            }
        };
        if is_final {
            return Some(message.freeze());
        }
        self.message = Some((message, fragments));
        None
    }

    /// Takes one control frame from the account.
    fn pay(&mut self, now: Instant) -> Result<(), Violation> {
        let full = self.full.map_or(now, |full| full.max(now)) + CONTROL_EVERY;
        if full.duration_since(now) > CONTROL_EVERY * CONTROLS_BURST {
            return violation(CloseCode::Policy, "too many pings");
        }
        self.full = Some(full);
        Ok(())
    }
}

fn fits(begun: usize, len: u64) -> Result<(), Violation> {
    let room = u64::try_from(MAX_UNIT.saturating_sub(begun)).unwrap_or(u64::MAX);
    if len <= room { Ok(()) } else { violation(CloseCode::Size, "a message has at most 65535 bytes") }
}

/// What a close frame says. Source: RFC 6455, sections 5.5.1 and 7.4.
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            violation(CloseCode::Protocol, "half a close code")
        };
    };
    let code = CloseCode::from(u16::from_be_bytes(*code));
    if !code.is_allowed() {
        return violation(CloseCode::Protocol, "not a close code");
    }
    if str::from_utf8(reason).is_err() {
        return violation(CloseCode::Invalid, "a reason is text");
    }
    Ok(Some(code))
}

/// Masks, or unmasks what was masked.
pub(crate) fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
