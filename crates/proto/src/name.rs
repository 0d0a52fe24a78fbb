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
///
/// ```
/// use darkchat_proto::UserName;
/// let name: UserName = "Ame\u{301}lie".parse()?;
/// assert_eq!(name.as_str(), "Am\u{e9}lie");
/// assert_eq!(UserName::default().as_str(), "");
/// assert!("admin\u{200B}".parse::<UserName>().is_err(), "nothing hidden");
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: FromStr<Err = ParseError> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }

    #[test]
    fn refusals_say_what_is_wrong_and_with_what() {
        assert_eq!(refusal::<ChannelName>("#"), "channel name is empty");
        assert_eq!(refusal::<ChannelName>("a b"), "channel name may not contain the character U+0020");
        assert_eq!(refusal::<ChannelName>(&"c".repeat(65)), "channel name is longer than 64 bytes: 65");
        assert_eq!(refusal::<UserName>("a\u{202E}"), "user name may not contain the character U+202E");
        assert_eq!(refusal::<UserName>(&"u".repeat(49)), "user name is longer than 48 bytes: 49");
        assert_eq!(refusal::<Network>(""), "network name is empty");
        assert_eq!(refusal::<Network>("a\0"), "network name may not contain the character U+0000");
        assert_eq!(refusal::<Network>(&"n".repeat(33)), "network name is longer than 32 bytes: 33");
    }

    #[test]
    fn lengths_count_after_normalising() {
        // Decomposed, this has 96 bytes; composed, 64.
        let typed = "e\u{301}".repeat(32);
        assert_eq!(typed.parse::<ChannelName>().unwrap().as_str().len(), 64);
        // In upper case, this has 64 bytes; in lower case, 96.
        let growing = "\u{23A}".repeat(32);
        assert_eq!(refusal::<ChannelName>(&growing), "channel name is longer than 64 bytes: 96");
    }

    #[test]
    fn every_character_that_section_2_lists_is_refused_and_its_neighbours_are_not() {
        let listed = "\u{61C}\u{200B}\u{200E}\u{200F}\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}\u{2060}\u{2066}\u{2067}\
                      \u{2068}\u{2069}\u{FEFF}";
        for character in listed.chars() {
            assert!(is_invisible(character), "U+{:04X}", u32::from(character));
            assert!(format!("a{character}b").parse::<ChannelName>().is_err());
            assert!(format!("a{character}b").parse::<UserName>().is_err());
        }
        for character in "\u{61B}\u{61D}\u{200C}\u{200D}\u{2010}\u{2065}\u{206A}\u{FEFE}".chars() {
            assert!(!is_invisible(character), "U+{:04X}", u32::from(character));
            assert!(format!("a{character}b").parse::<ChannelName>().is_ok());
        }
    }

    #[test]
    fn one_leading_mark_is_taken_off_and_a_full_width_one_is_not_one() {
        assert_eq!("##a".parse::<ChannelName>().unwrap().to_string(), "##a");
        assert_eq!("\u{FF03}a".parse::<ChannelName>().unwrap().as_str(), "\u{FF03}a");
    }
}
