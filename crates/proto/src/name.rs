//! Names, parsed once and then always valid. Source: `docs/protocol.md`, sections 2 and 5.5.

use crate::ParseError;
use crate::limits::{MAX_CHANNEL_NAME, MAX_NAME, MAX_NETWORK};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization as _;

/// Whether a character changes the direction of text or takes no room: nothing that a name may hide.
#[must_use]
pub const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{61C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'
        | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// What else a user name may not hold: line ends, joiners, the soft hyphen, and the rest of Unicode's format
/// characters that take no room, tags among them. Channel names allow these, because their list is fixed (2).
const fn is_line_or_joint(character: char) -> bool {
    matches!(character,
        '\u{AD}' | '\u{180E}' | '\u{200C}' | '\u{200D}' | '\u{2028}' | '\u{2029}' | '\u{2061}'..='\u{2064}'
        | '\u{206A}'..='\u{206F}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), ParseError> {
    if text.len() > max { Err(ParseError::TooLong { what, len: text.len(), max }) } else { Ok(()) }
}

fn check_characters(what: &'static str, text: &str, refused: fn(char) -> bool) -> Result<(), ParseError> {
    match text.chars().find(|character| refused(*character)) {
        Some(character) => Err(ParseError::Character { what, character }),
        None => Ok(()),
    }
}

/// The name of a network: 1 to 32 bytes without a zero byte. It enters every signature and every handshake.
///
/// ```
/// use darkchat_proto::Network;
/// assert_eq!(Network::default().as_str(), "main");
/// assert!("".parse::<Network>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(Arc<str>);

impl Network {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name's bytes, as they enter hashes and signatures.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Default for Network {
    fn default() -> Self {
        Self("main".into())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Network {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let what = "network name";
        if text.is_empty() {
            return Err(ParseError::Empty { what });
        }
        check_length(what, text, MAX_NETWORK)?;
        check_characters(what, text, |character| character == '\0')?;
        Ok(Self(text.into()))
    }
}

/// The name of a public channel: normalised, lower case, 1 to 64 bytes, without the leading `#`.
///
/// ```
/// use darkchat_proto::ChannelName;
/// let name: ChannelName = "#Ops".parse()?;
/// assert_eq!(name.as_str(), "ops");
/// assert_eq!(name.to_string(), "#ops");
/// assert!("two words".parse::<ChannelName>().is_err());
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The name without the leading `#`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    /// With the leading `#`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl FromStr for ChannelName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let what = "channel name";
        let typed = text.strip_prefix('#').unwrap_or(text);
        let composed: String = typed.nfc().collect();
        let name: String = composed.to_lowercase().nfc().collect();
        if name.is_empty() {
            return Err(ParseError::Empty { what });
        }
        check_length(what, &name, MAX_CHANNEL_NAME)?;
        check_characters(what, &name, |c| c.is_whitespace() || c.is_control() || is_invisible(c))?;
        Ok(Self(name.into()))
    }
}

/// A user's claimed name: 0 to 48 bytes in NFC, without control, direction or zero-width characters.
///
/// A claim, not an identity: anyone may claim any name, so it is always shown beside a mark of the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

impl UserName {
    /// The name; may be empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for UserName {
    fn default() -> Self {
        Self("".into())
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for UserName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let what = "user name";
        let name: String = text.nfc().collect();
        check_length(what, &name, MAX_NAME)?;
        check_characters(what, &name, |c| c.is_control() || is_invisible(c) || is_line_or_joint(c))?;
        Ok(Self(name.into()))
    }
}
