//! No key and nonce seal two things: invariant S14 of the test plan, as far as it can be seen from outside.
//!
//! Keys are secret here as everywhere. But what is sealed names the place of its key: a direct message its session, its
//! ratchet key and its number, a sealed post its channel, generation, step, stream and number. Where one place is named
//! twice, the bytes must be the same.

use bytes::Bytes;
use darkchat_node::Received;
use darkchat_proto::{Content, Deliver, Digest16, Frame, Kind, Packet, SealedHead};
use std::collections::BTreeMap;

/// What was sealed, by the place of its key.
#[derive(Debug, Default)]
pub(crate) struct Seals {
    by_place: BTreeMap<Bytes, Digest16>,
}

impl Seals {
    /// A client gives this to its server; whether the key of something in it has sealed something else before.
    pub(crate) fn repeat_a_key(&mut self, received: &Received) -> bool {
        let sealed = match received {
            Received::Other(Frame { kind: Kind::SendDm(dm), .. }) => direct(&dm.packet),
            Received::SealedPublish { deliver, .. } => post(deliver),
            _ => None,
        };
        sealed.is_some_and(|(place, digest)| *self.by_place.entry(place).or_insert(digest) != digest)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_place.len()
    }
}

fn direct(packet: &Bytes) -> Option<(Bytes, Digest16)> {
    let Ok(Packet::Message { head, sealed }) = Packet::decode(packet.clone()) else { return None };
    Some((Bytes::copy_from_slice(&head.to_bytes()), Digest16::of(&sealed)))
}

fn post(deliver: &Bytes) -> Option<(Bytes, Digest16)> {
    let Ok(Deliver { channel, content: Content::Sealed(sealed) }) = Deliver::decode(deliver.clone()) else {
        return None;
    };
    let head = SealedHead::decode(&sealed).ok()?;
    Some(([channel.as_bytes().as_slice(), &head.to_bytes()].concat().into(), Digest16::of(&sealed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::{ChannelId, DeviceId, DirectHead, DirectId, SendDm, ServerId, UserId};

    fn packet(number: u32, sealed: &'static [u8]) -> Received {
        let head = DirectHead { session: DirectId::new([1; 8]), dh: [2; 32], previous: 0, number };
        let packet = Packet::Message { head, sealed: Bytes::from_static(sealed) }.encode();
        let (user, device, server) = (UserId::new([3; 32]), DeviceId::new([4; 16]), ServerId::new([5; 32]));
        Received::Other(Frame::from(Kind::SendDm(SendDm { user, device, server, packet, attempt: 0 })))
    }

    fn sealed_post(seq: u64, mark: u8) -> Received {
        let channel = ChannelId::new([6; 32]);
        let head = SealedHead { generation: 1, step: 0, stream: 7, seq };
        let sealed = [head.to_bytes().as_slice(), &[mark; 200]].concat().into();
        let deliver = Deliver { channel, content: Content::Sealed(sealed) }.encode();
        let digest = Digest16::of(&deliver);
        Received::SealedPublish { req: 1, channel, stream: 7, seq, deliver, digest }
    }

    #[test]
    fn the_same_bytes_may_come_again_and_others_under_the_same_key_may_not() {
        let tag = &[9; 16];
        for (one, same, other, next) in [
            (packet(0, tag), packet(0, tag), packet(0, &[8; 16]), packet(1, tag)),
            (sealed_post(1, 1), sealed_post(1, 1), sealed_post(1, 2), sealed_post(2, 1)),
        ] {
            let mut seals = Seals::default();
            assert!(!seals.repeat_a_key(&one) && !seals.repeat_a_key(&same) && !seals.repeat_a_key(&next));
            assert!(seals.repeat_a_key(&other));
            assert_eq!(seals.len(), 2);
        }
    }
}
