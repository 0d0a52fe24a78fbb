//! The patterns of `recv --format`.

use crate::clean;
use crate::place::Place;
use darkchat_client::{Content, DirectMessage, Message};
use darkchat_proto::UserId;
use jiff::{Timestamp, tz::TimeZone};
use std::str::Chars;
use std::time::SystemTime;

/// What both kinds of messages have.
pub(crate) struct View<'a> {
    /// The channel, or `direct`.
    place: String,
    name: &'a str,
    from: UserId,
    id: String,
    payload: &'a Content,
    time: SystemTime,
}

impl<'a> From<&'a Message> for View<'a> {
    fn from(message: &'a Message) -> Self {
        let Message { id, channel, private, from, name, time, payload, .. } = message;
        let (place, id) = (Place::named(channel, *private).to_string(), id.to_string());
        Self { place, name: name.as_str(), from: *from, id, payload, time: *time }
    }
}

impl<'a> From<&'a DirectMessage> for View<'a> {
    fn from(message: &'a DirectMessage) -> Self {
        let DirectMessage { id, from, name, time, payload, .. } = message;
        let (place, id) = ("direct".to_owned(), id.to_string());
        Self { place, name: name.as_str(), from: *from, id, payload, time: *time }
    }
}

/// A pattern, parsed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Literal(char),
    Channel,
    Name,
    Mark,
    Key,
    Id,
    Text,
    Bytes,
    Time,
    Hour,
    Minute,
    Second,
}

impl Format {
    /// Reads a pattern.
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = pattern.chars();
        while let Some(character) = rest.next() {
            pieces.push(match character {
                '%' => directive(&mut rest)?,
                '\\' => escape(&mut rest)?,
                other => Piece::Literal(other),
            });
        }
        Ok(Self(pieces))
    }

    /// A message in this pattern.
    pub(crate) fn bytes(&self, message: &View<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            piece.write(message, &mut out);
        }
        out
    }
}

fn directive(rest: &mut Chars<'_>) -> Result<Piece, String> {
    Ok(match rest.next() {
        Some('c') => Piece::Channel,
        Some('n') => Piece::Name,
        Some('m') => Piece::Mark,
        Some('k') => Piece::Key,
        Some('i') => Piece::Id,
        Some('t') => Piece::Text,
        Some('b') => Piece::Bytes,
        Some('I') => Piece::Time,
        Some('H') => Piece::Hour,
        Some('M') => Piece::Minute,
        Some('S') => Piece::Second,
        Some('%') => Piece::Literal('%'),
        Some(other) => return Err(format!("unknown directive: %{other}")),
        None => return Err("a % at the end; a percent sign is %%".to_owned()),
    })
}

fn escape(rest: &mut Chars<'_>) -> Result<Piece, String> {
    match rest.next() {
        Some('n') => Ok(Piece::Literal('\n')),
        Some('t') => Ok(Piece::Literal('\t')),
        Some('\\') => Ok(Piece::Literal('\\')),
        Some(other) => Err(format!("unknown escape: \\{other}")),
        None => Err("a backslash at the end; a backslash is \\\\".to_owned()),
    }
}

impl Piece {
    fn write(self, message: &View<'_>, out: &mut Vec<u8>) {
        let text = match self {
            Self::Literal(character) => character.to_string(),
            Self::Channel => clean::text(&message.place),
            Self::Name => clean::text(message.name),
            Self::Mark => message.from.mark(),
            Self::Key => message.from.to_string(),
            Self::Id => message.id.clone(),
            Self::Text => shown(message.payload),
            Self::Bytes => return out.extend_from_slice(message.payload.as_bytes()),
            Self::Time => utc(message.time),
            Self::Hour => local(message.time, "%H"),
            Self::Minute => local(message.time, "%M"),
            Self::Second => local(message.time, "%S"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Text cleaned; data by its length.
pub(crate) fn shown(payload: &Content) -> String {
    match payload.as_text() {
        Some(text) => clean::text(text),
        None => format!("({} bytes)", payload.as_bytes().len()),
    }
}

/// A time that no calendar has shows as the epoch.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `2026-11-22T13:00:00.123Z`: always three decimals.
pub(crate) fn utc(time: SystemTime) -> String {
    timestamp(time).to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A part of the local time.
pub(crate) fn local(time: SystemTime, pattern: &str) -> String {
    timestamp(time).to_zoned(TimeZone::system()).strftime(pattern).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_decimals_in_utc() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_352_400_120);
        assert_eq!(utc(time), "2026-11-22T13:00:00.120Z");
        assert_eq!(utc(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn wrong_patterns_name_the_directive() {
        assert_eq!(Format::parse("%x"), Err("unknown directive: %x".to_owned()));
        assert!(Format::parse("\\q").is_err() && Format::parse("%").is_err() && Format::parse("\\").is_err());
        assert_eq!(Format::parse("a%%\\n").map(|format| format.0.len()), Ok(3));
    }
}
