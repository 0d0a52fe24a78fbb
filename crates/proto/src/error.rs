//! What can be wrong with bytes from a peer, and with text from a person.

use crate::Code;

/// Why bytes were not taken. Nothing was kept of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than the protocol allows. Answered with [`Code::TooLarge`].
    #[error("{what} is over its limit of {max} bytes: {len}")]
    TooLarge {
        /// Which thing was too long.
        what: &'static str,
        /// Its length in bytes, as announced or as received.
        len: usize,
        /// The most that is allowed, in bytes.
        max: usize,
    },
    /// A repeated field has more elements than the protocol allows; counted before decoding.
    #[error("more than {max} elements: {field}")]
    TooMany {
        /// The field's name in the schema.
        field: &'static str,
        /// The most elements that are allowed.
        max: usize,
    },
    /// A field of fixed length has another one.
    #[error("{field} has a wrong length: {len}")]
    Length {
        /// The field's name in the schema.
        field: &'static str,
        /// The length that came, in bytes.
        len: usize,
    },
    /// A field holds a value that the protocol forbids.
    #[error("{field} is not allowed to be {value}")]
    Value {
        /// The field's name in the schema.
        field: &'static str,
        /// What it held.
        value: u64,
    },
    /// A field that must be there is not.
    #[error("a field is missing: {field}")]
    Missing {
        /// The field's name in the schema.
        field: &'static str,
    },
    /// Not the encoding of the expected message: a cut or wrong tag, or text that is not UTF-8.
    #[error("not a valid encoding: {what}")]
    Malformed {
        /// The message that was expected.
        what: &'static str,
    },
}

impl DecodeError {
    /// The code that this fault has on the wire.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TooLarge,
            _ => Code::BadFrame,
        }
    }
}

/// Why a text that a person typed was not taken. Nothing was changed.
///
/// Messages show the text with its control and invisible characters written out, because some texts come from
/// servers and messages go to logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing was typed, or nothing is left of it.
    #[error("{what} is empty")]
    Empty {
        /// What was expected.
        what: &'static str,
    },
    /// Too long; shorten it.
    #[error("{what} is longer than {max} bytes: {len}")]
    TooLong {
        /// What was expected.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        max: usize,
    },
    /// A character that is not allowed there; leave it out.
    #[error("{what} may not contain the character U+{:04X}", u32::from(*.character))]
    Character {
        /// What was expected.
        what: &'static str,
        /// The character.
        character: char,
    },
    /// A key text of another kind: a user's where a server's is expected, or the reverse.
    #[error("not a {expected} key, which begins with {letter}: {}", .text.escape_debug())]
    WrongKind {
        /// `"user"` or `"server"`.
        expected: &'static str,
        /// The first letter of such a key.
        letter: char,
        /// What was typed.
        text: String,
    },
    /// Not a key: a key has 56 letters a to z and digits 2 to 7, and a check at its end.
    #[error("not a key (56 letters a-z and digits 2-7, the last ones a check): {}", .text.escape_debug())]
    Key {
        /// What was typed.
        text: String,
    },
    /// Not an address; the reason says which part.
    #[error("not an address ({reason}): {}", .text.escape_debug())]
    Address {
        /// Which part is wrong.
        reason: &'static str,
        /// What was typed.
        text: String,
    },
    /// Not a span of time: a number with `ms`, `s`, `m` or `h`.
    #[error("not a time, such as 500ms, 10s, 2m or 1h: {}", .text.escape_debug())]
    Duration {
        /// What was typed.
        text: String,
    },
    /// Not an invitation to a private channel. What was typed is not shown: it may hold the channel's secret.
    #[error("not an invitation: {reason}")]
    Invite {
        /// Which part is wrong.
        reason: &'static str,
    },
    /// Not a message id: 32 lower-case hexadecimal digits, a full stop, a number up to 63.
    #[error("not a message id: {}", .text.escape_debug())]
    MessageId {
        /// What was typed.
        text: String,
    },
}
