//! Counts repeated elements on the encoded bytes, before a decoder can turn two bytes into a hundred.
//!
//! Source: `docs/protocol.md`, section 4.2. A message field that may stand once and holds counted elements is refused
//! when it stands twice, because decoders merge the copies and their elements would add up. Groups do not exist in
//! proto3 and are refused; so nothing here goes deeper than the shapes below, whatever the input.

use crate::DecodeError;
use crate::limits::{
    MAX_ACKS, MAX_ADDRS, MAX_ADMINS, MAX_BUNDLES, MAX_DIGEST, MAX_DST, MAX_ELSEWHERE, MAX_ENTRIES,
    MAX_HEADERS, MAX_INVITE_SERVERS, MAX_JOIN, MAX_MEMBERS, MAX_NEIGHBOURS, MAX_POST_HEADERS, MAX_SHARD_TAGS,
    MAX_VERSIONS,
};

/// The fields of a message that need counting, and the messages inside it.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The message's name, for errors.
    name: &'static str,
    fields: &'static [Field],
}

#[derive(Debug)]
struct Field {
    number: u64,
    name: &'static str,
    max: usize,
    elements: Elements,
    /// Whether its elements also count together over all messages of one decoding step; only `headers` do.
    is_shared: bool,
}

/// How one occurrence of a field counts.
#[derive(Debug)]
enum Elements {
    /// As one element, whose inside is not decoded in this step.
    One,
    /// As one element, which is a message of this shape.
    Message(&'static Shape),
    /// As a run of varints.
    Varints,
    /// As a run of eight-byte numbers.
    Fixed64,
}

/// The most fields that one shape counts.
const MAX_FIELDS: usize = 16;

const fn many(number: u64, name: &'static str, max: usize, elements: Elements) -> Field {
    Field { number, name, max, elements, is_shared: false }
}

const fn once(number: u64, name: &'static str, inner: &'static Shape) -> Field {
    many(number, name, 1, Elements::Message(inner))
}

const PLAIN: Shape = Shape { name: "message", fields: &[] };

const JOIN: Shape = Shape { name: "Join", fields: &[many(1, "channels", MAX_JOIN, Elements::One)] };
const LEAVE: Shape = Shape { name: "Leave", fields: &[many(1, "channels", MAX_JOIN, Elements::One)] };
pub(crate) const FOUND: Shape =
    Shape { name: "LookupResult", fields: &[many(1, "bundles", MAX_BUNDLES, Elements::One)] };
const GOODBYE: Shape =
    Shape { name: "Goodbye", fields: &[many(4, "elsewhere", MAX_ELSEWHERE, Elements::One)] };
const DIGEST: Shape =
    Shape { name: "Digest", fields: &[many(1, "known", MAX_DIGEST, Elements::Message(&PLAIN))] };
const PULL: Shape = Shape { name: "Pull", fields: &[many(1, "want", MAX_DIGEST, Elements::Message(&PLAIN))] };
const ROUTE: Shape = Shape { name: "Route", fields: &[many(4, "dst", MAX_DST, Elements::Fixed64)] };
const DIAL_BACK: Shape = Shape { name: "DialBack", fields: &[once(1, "addr", &PLAIN)] };

/// A frame with its kinds; those that are `bytes` or hold only scalars need no shape of their own.
pub(crate) const FRAME: Shape = Shape {
    name: "Frame",
    fields: &[
        once(10, "join", &JOIN),
        once(11, "leave", &LEAVE),
        once(25, "found", &FOUND),
        once(32, "goodbye", &GOODBYE),
        once(40, "digest", &DIGEST),
        once(41, "pull", &PULL),
        once(44, "route", &ROUTE),
        once(47, "dial_back", &DIAL_BACK),
    ],
};

const HEADERS: Field =
    Field { is_shared: true, ..many(4, "headers", MAX_HEADERS, Elements::Message(&PLAIN)) };
const ENTRY: Shape = Shape { name: "Entry", fields: &[HEADERS] };

pub(crate) const HELLO: Shape =
    Shape { name: "Hello", fields: &[many(1, "versions", MAX_VERSIONS, Elements::Varints)] };
pub(crate) const HELLO_REPLY: Shape =
    Shape { name: "HelloReply", fields: &[many(2, "versions", MAX_VERSIONS, Elements::Varints)] };
pub(crate) const AUTH: Shape = Shape { name: "Auth", fields: &[once(6, "resume", &PLAIN)] };
pub(crate) const SIGNED: Shape = Shape { name: "Signed", fields: &[] };
pub(crate) const DELIVER: Shape = Shape { name: "Deliver", fields: &[] };
pub(crate) const CHANNEL_BODY: Shape =
    Shape { name: "ChannelBody", fields: &[many(7, "entries", MAX_ENTRIES, Elements::Message(&ENTRY))] };
pub(crate) const GROUP_BODY: Shape =
    Shape { name: "GroupBody", fields: &[many(6, "entries", MAX_ENTRIES, Elements::Message(&ENTRY))] };
pub(crate) const INIT_PAYLOAD: Shape = Shape { name: "InitPayload", fields: &[] };
pub(crate) const RESP_PAYLOAD: Shape = Shape { name: "RespPayload", fields: &[] };
pub(crate) const DM_CONTENT: Shape = Shape {
    name: "DmContent",
    fields: &[
        many(7, "acks", MAX_ACKS, Elements::One),
        many(8, "headers", MAX_HEADERS, Elements::Message(&PLAIN)),
    ],
};
pub(crate) const SELF_COPY: Shape = Shape { name: "SelfCopy", fields: &[] };
pub(crate) const INVITE: Shape = Shape {
    name: "Invite",
    fields: &[
        many(7, "admins", MAX_ADMINS, Elements::One),
        many(8, "servers", MAX_INVITE_SERVERS, Elements::One),
    ],
};
pub(crate) const REKEY: Shape = Shape {
    name: "Rekey",
    fields: &[
        once(3, "next", &INVITE),
        many(4, "members", MAX_MEMBERS, Elements::One),
        many(5, "removed", MAX_MEMBERS, Elements::One),
    ],
};
pub(crate) const GROUP_CONTROL: Shape = Shape { name: "GroupControl", fields: &[once(4, "invite", &INVITE)] };
pub(crate) const DM_DELIVER: Shape = Shape { name: "DmDeliver", fields: &[] };
pub(crate) const LOOKUP: Shape = Shape { name: "Lookup", fields: &[] };
pub(crate) const DM_STATUS: Shape = Shape { name: "DmStatus", fields: &[] };
pub(crate) const TRACED: Shape = Shape { name: "Traced", fields: &[] };
pub(crate) const DEVICE_BUNDLE: Shape = Shape { name: "DeviceBundle", fields: &[] };
pub(crate) const SERVER_RECORD: Shape = Shape {
    name: "ServerRecord",
    fields: &[
        many(5, "addrs", MAX_ADDRS, Elements::Message(&PLAIN)),
        many(7, "neighbours", MAX_NEIGHBOURS, Elements::Fixed64),
    ],
};
pub(crate) const INTEREST_SHARD: Shape =
    Shape { name: "InterestShard", fields: &[many(6, "tags", MAX_SHARD_TAGS, Elements::Fixed64)] };

/// One field of an encoded message.
struct Piece<'a> {
    number: u64,
    /// The content of a length-delimited field; empty for numbers.
    content: &'a [u8],
    is_delimited: bool,
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..10_u32 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(7 * index)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_piece<'a>(bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
    let key = take_varint(bytes)?;
    let number = key >> 3;
    let skip = match key & 7 {
        0 => {
            take_varint(bytes)?;
            0
        }
        1 => 8,
        2 => usize::try_from(take_varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(skip)?;
    *bytes = rest;
    Some(Piece { number, content, is_delimited: key & 7 == 2 })
}

fn elements_of(piece: &Piece<'_>, elements: &Elements) -> usize {
    match elements {
        Elements::Varints if piece.is_delimited => {
            piece.content.iter().filter(|byte| **byte & 0x80 == 0).count()
        }
        Elements::Fixed64 if piece.is_delimited => piece.content.len() / 8,
        _ => 1,
    }
}

/// Checks the counts of `shape` on `bytes` and gives the greatest field number from 10 up, or 0.
///
/// # Errors
/// [`DecodeError::TooMany`] over a bound, [`DecodeError::Malformed`] where no field can be cut out.
pub(crate) fn check(bytes: &[u8], shape: &Shape) -> Result<u64, DecodeError> {
    let mut shared = 0;
    check_inside(bytes, shape, &mut shared)
}

fn check_inside(mut bytes: &[u8], shape: &Shape, shared: &mut usize) -> Result<u64, DecodeError> {
    let mut counts = [0_usize; MAX_FIELDS];
    let mut kind = 0;
    while !bytes.is_empty() {
        let piece = take_piece(&mut bytes).ok_or(DecodeError::Malformed { what: shape.name })?;
        if piece.number >= 10 {
            kind = kind.max(piece.number);
        }
        let found =
            shape.fields.iter().zip(counts.iter_mut()).find(|(field, _)| field.number == piece.number);
        let Some((field, count)) = found else { continue };
        let elements = elements_of(&piece, &field.elements);
        add(count, elements, field.name, field.max)?;
        if field.is_shared {
            add(shared, elements, "headers of a post", MAX_POST_HEADERS)?;
        }
        if let Elements::Message(inner) = field.elements {
            check_inside(piece.content, inner, shared)?;
        }
    }
    Ok(kind)
}

/// Checks the counts of `shape` on `bytes` and gives how often the field `number` stands there.
///
/// # Errors
/// As [`check`].
pub(crate) fn count(mut bytes: &[u8], shape: &Shape, number: u64) -> Result<usize, DecodeError> {
    check(bytes, shape)?;
    let mut count = 0_usize;
    while let Some(piece) = take_piece(&mut bytes) {
        count = count.saturating_add(usize::from(piece.number == number));
    }
    Ok(count)
}

fn add(count: &mut usize, more: usize, field: &'static str, max: usize) -> Result<(), DecodeError> {
    *count = count.saturating_add(more);
    if *count > max { Err(DecodeError::TooMany { field, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(shape: &Shape) -> usize {
        let inner = shape.fields.iter().map(|field| match field.elements {
            Elements::Message(inner) => depth(inner),
            _ => 0,
        });
        1 + inner.max().unwrap_or(0)
    }

    #[test]
    fn no_message_nests_deeper_than_four_or_counts_more_fields_than_fit() {
        let all = [
            FRAME,
            HELLO,
            HELLO_REPLY,
            AUTH,
            SIGNED,
            DELIVER,
            CHANNEL_BODY,
            GROUP_BODY,
            INIT_PAYLOAD,
            RESP_PAYLOAD,
            DM_CONTENT,
            SELF_COPY,
            INVITE,
            REKEY,
            GROUP_CONTROL,
            TRACED,
            DEVICE_BUNDLE,
            SERVER_RECORD,
            INTEREST_SHARD,
        ];
        for shape in all {
            assert!(depth(&shape) <= 4 && shape.fields.len() <= MAX_FIELDS, "{shape:?}");
        }
    }

    #[test]
    fn packed_and_single_elements_count_alike() {
        let packed: Vec<u8> = [&[0x0A, 9][..], &[1; 9]].concat();
        assert!(matches!(check(&packed, &HELLO), Err(DecodeError::TooMany { field: "versions", max: 8 })));
        let single = [0x08, 1].repeat(9);
        assert!(matches!(check(&single, &HELLO), Err(DecodeError::TooMany { field: "versions", max: 8 })));
        assert!(check(&single[..16], &HELLO).is_ok());
    }

    #[test]
    fn groups_and_cut_fields_are_malformed() {
        for bytes in [&[0x0B][..], &[0x0C], &[0x0A, 2, 0], &[0x80], &[0x09, 0]] {
            assert!(matches!(check(bytes, &FRAME), Err(DecodeError::Malformed { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn a_message_that_may_stand_once_is_refused_twice() {
        for field in FRAME.fields {
            let key = u8::try_from(field.number & 0x0F).unwrap() << 3 | 0x82;
            let once = [key, u8::try_from(field.number >> 4).unwrap(), 0];
            assert!(check(&once, &FRAME).is_ok(), "{}", field.name);
            let twice = check(&once.repeat(2), &FRAME);
            assert_eq!(twice, Err(DecodeError::TooMany { field: field.name, max: 1 }));
        }
        let addresses = [0x0A, 0, 0x0A, 0];
        assert!(matches!(check(&addresses, &DIAL_BACK), Err(DecodeError::TooMany { field: "addr", max: 1 })));
        let resumes = [0x32, 0, 0x32, 0];
        assert!(matches!(check(&resumes, &AUTH), Err(DecodeError::TooMany { field: "resume", max: 1 })));
    }
}
