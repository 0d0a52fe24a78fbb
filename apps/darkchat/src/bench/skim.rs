//! Counts the messages of a post without decoding it: what comes was made by this program's own publishers.

use super::args::STAMP;

/// `Frame.deliver`.
const DELIVER: u64 = 23;
/// `Deliver.envelope`.
const ENVELOPE: u64 = 2;
/// `Deliver.sealed`.
const SEALED: u64 = 3;
/// Where the time of a sealed post of ours stands: after its head.
pub(crate) const SEALED_STAMP: usize = 24;
/// `Signed.body`.
const BODY: u64 = 1;
/// `ChannelBody.entries`.
const ENTRIES: u64 = 7;
/// `Entry.content`.
const CONTENT: u64 = 2;

/// The post in a frame, if it brings one.
pub(crate) fn post(frame: &[u8]) -> Option<&[u8]> {
    field(frame, DELIVER)
}

/// The times in the entries of a post, in their order; `None` for an entry without one. A sealed post is one entry.
pub(crate) fn stamps(post: &[u8]) -> impl Iterator<Item = Option<u64>> {
    let sealed = field(post, SEALED).map(|sealed| sealed.get(SEALED_STAMP..).and_then(stamp));
    let body = field(post, ENVELOPE).and_then(|signed| field(signed, BODY)).unwrap_or_default();
    let entries = Fields(body).filter(|(number, _)| *number == ENTRIES);
    entries.map(|(_, entry)| field(entry, CONTENT).and_then(stamp)).chain(sealed)
}

/// The time that stands in a message.
pub(crate) fn stamp(content: &[u8]) -> Option<u64> {
    content.first_chunk::<STAMP>().map(|bytes| u64::from_be_bytes(*bytes))
}

fn field(message: &[u8], wanted: u64) -> Option<&[u8]> {
    Fields(message).find(|(number, _)| *number == wanted).map(|(_, value)| value)
}

/// The fields of a protobuf message, numbers among them as no bytes. Ends early where it is none.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let len = match key & 7 {
            0 => {
                self.varint()?;
                0
            }
            1 => 8,
            2 => usize::try_from(self.varint()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some((key >> 3, value))
    }
}

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use darkchat_proto::{
        ChannelId, Content, Deliver, Entry, EntryKind, Frame, Kind, Post, Signature, Signed, UserId,
    };

    fn frame(contents: &[&[u8]]) -> Bytes {
        let entry = |content: &&[u8]| Entry::new(EntryKind::Data, Bytes::copy_from_slice(content));
        let (author, channel) = (UserId::new([1; 32]), ChannelId::new([2; 32]));
        let post = Post {
            author,
            channel,
            stream: 7,
            seq: 300,
            time_ms: 5,
            name: "ann".to_owned(),
            entries: contents.iter().map(entry).collect(),
        };
        let signed = Signed { body: post.encode(), sig: Signature::new([0; 64]) };
        Frame::from(Kind::Deliver(Deliver { channel, content: Content::Public(signed) }.encode())).encode()
    }

    #[test]
    fn every_entry_is_counted_with_its_time() {
        let long = [&9_u64.to_be_bytes()[..], &[b'x'; 300]].concat();
        let frame = frame(&[&7_u64.to_be_bytes(), &long, b"short"]);
        let stamps: Vec<_> = stamps(post(&frame).unwrap()).collect();
        assert_eq!(stamps, [Some(7), Some(9), None]);
    }

    #[test]
    fn other_frames_hold_no_post_and_cut_ones_no_entries() {
        assert_eq!(post(&Frame::from(Kind::Ping { nonce: 1, acked: 2 }).encode()), None);
        let frame = frame(&[&7_u64.to_be_bytes()]);
        for end in 0..frame.len() {
            let cut = post(frame.get(..end).unwrap());
            assert!(cut.is_none_or(|post| stamps(post).count() == 0), "{end}");
        }
    }
}
