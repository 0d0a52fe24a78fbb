//! Why something was refused or closed: one table of codes. Source: `docs/protocol.md`, section 4.3.

use std::fmt;

/// A reason on the wire. The only thing that a peer learns of an error.
///
/// ```
/// use darkchat_proto::Code;
/// let code = Code::from_number(8).ok_or("a later version's code")?;
/// assert_eq!(code, Code::RateLimited);
/// assert_eq!(format!("{code}: {}", code.sentence()), "RATE_LIMITED: faster than the budget");
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Code {
    /// Nothing is wrong; as a goodbye, a normal end.
    Ok = 0,
    /// Bytes that the protocol does not allow.
    BadFrame = 1,
    /// Longer than a limit.
    TooLarge = 2,
    /// No protocol version in common.
    Version = 3,
    /// A signature does not verify.
    BadSignature = 4,
    /// This key may not do that here.
    Unauthorized = 5,
    /// The channel was not joined.
    NotJoined = 6,
    /// It is so already.
    Already = 7,
    /// Faster than the budget; `retry_ms` says when.
    RateLimited = 8,
    /// A count is at its bound.
    Limit = 9,
    /// The recipient is not at that server.
    NotHere = 10,
    /// No route to that server.
    Unreachable = 11,
    /// Stamped too far from the clock.
    Stale = 12,
    /// Accepted before.
    Duplicate = 13,
    /// The receiver did not read fast enough.
    SlowConsumer = 14,
    /// The server stops.
    Shutdown = 15,
    /// A fault of the answering side.
    Internal = 16,
    /// The kind of frame is not known there.
    Unsupported = 17,
    /// No answer, or no sign of life, in time.
    Timeout = 18,
    /// Another link or session took its place.
    Conflict = 19,
    /// The operator blocks this key.
    Blocked = 20,
    /// The device has no such session.
    NoSession = 21,
    /// The link ended without a goodbye. Reported locally and never sent: in a frame it is written and read as
    /// [`Code::Internal`].
    Truncated = 22,
}

const TABLE: [(Code, &str, &str); 23] = [
    (Code::Ok, "OK", "nothing is wrong"),
    (Code::BadFrame, "BAD_FRAME", "bytes that the protocol does not allow"),
    (Code::TooLarge, "TOO_LARGE", "longer than a limit"),
    (Code::Version, "VERSION", "no protocol version in common"),
    (Code::BadSignature, "BAD_SIGNATURE", "a signature does not verify"),
    (Code::Unauthorized, "UNAUTHORIZED", "this key may not do that here"),
    (Code::NotJoined, "NOT_JOINED", "the channel was not joined"),
    (Code::Already, "ALREADY", "it is so already"),
    (Code::RateLimited, "RATE_LIMITED", "faster than the budget"),
    (Code::Limit, "LIMIT", "a count is at its bound"),
    (Code::NotHere, "NOT_HERE", "the recipient is not at that server"),
    (Code::Unreachable, "UNREACHABLE", "no route to that server"),
    (Code::Stale, "STALE", "stamped too far from the clock"),
    (Code::Duplicate, "DUPLICATE", "accepted before"),
    (Code::SlowConsumer, "SLOW_CONSUMER", "the receiver did not read fast enough"),
    (Code::Shutdown, "SHUTDOWN", "the server stops"),
    (Code::Internal, "INTERNAL", "a fault of the answering side"),
    (Code::Unsupported, "UNSUPPORTED", "the kind of frame is not known there"),
    (Code::Timeout, "TIMEOUT", "no answer, or no sign of life, in time"),
    (Code::Conflict, "CONFLICT", "another link or session took its place"),
    (Code::Blocked, "BLOCKED", "the operator blocks this key"),
    (Code::NoSession, "NO_SESSION", "the device has no such session"),
    (Code::Truncated, "TRUNCATED", "the link ended without a goodbye"),
];

impl Code {
    /// Every code, in the order of its number.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The code with this number, or `None` if this version does not know it.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        TABLE.get(usize::try_from(number).ok()?).map(|row| row.0)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    fn row(self) -> (&'static str, &'static str) {
        TABLE
            .get(usize::from(self.number()))
            .map_or(("INTERNAL", "a fault of the answering side"), |row| (row.1, row.2))
    }

    /// The name of the protocol document, such as `RATE_LIMITED`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What it means, for people: lower case, no full stop.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        self.row().1
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_stands_at_its_number() {
        for (index, code) in Code::all().enumerate() {
            assert_eq!(usize::from(code.number()), index);
            assert_eq!(Code::from_number(i32::from(code.number())), Some(code));
        }
        for unknown in [23, i32::MAX, -1, i32::MIN] {
            assert_eq!(Code::from_number(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_code_prints_as_its_name() {
        assert_eq!(Code::Ok.to_string(), "OK");
        assert_eq!(Code::SlowConsumer.to_string(), "SLOW_CONSUMER");
        assert_eq!(Code::Truncated.sentence(), "the link ended without a goodbye");
    }
}
