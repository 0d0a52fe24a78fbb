//! The packets of direct messages, as servers carry them, and what their handshake says. Source: `docs/protocol.md`, 7.3.
//!
//! ```text
//! INIT  01 │ key_id 4  │ noise …
//! RESP  02 │ init_ref 8│ noise …
//! MSG   03 │ sid 8 │ dh 32 │ pn 4 │ n 4 │ ciphertext and tag …
//!            └──────── header, 48 ─────┘
//! ```

use crate::limits::MAX_PACKET;
use crate::{DecodeError, DirectId, Features, InitRef, KeyId, Signed, field, shape, wire};
use bytes::Bytes;
use prost::Message as _;

/// First byte of a packet that calls.
const INIT: u8 = 1;
/// First byte of a packet that answers a call.
const RESP: u8 = 2;
/// First byte of a packet with content.
const MSG: u8 = 3;

/// A packet of a direct message, cut into its parts.
///
/// ```
/// use bytes::Bytes;
/// use darkchat_proto::{KeyId, Packet};
/// let packet = Packet::Init { key: KeyId::new([1, 2, 3, 4]), noise: Bytes::from_static(b"noise") };
/// assert_eq!(packet.encode(), b"\x01\x01\x02\x03\x04noise".as_slice());
/// assert_eq!(Packet::decode(packet.encode())?, packet);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// A call.
    Init {
        /// The bundle that it was made for.
        key: KeyId,
        /// The first Noise message.
        noise: Bytes,
    },
    /// The answer to a call.
    Resp {
        /// The call.
        init: InitRef,
        /// The second Noise message.
        noise: Bytes,
    },
    /// Content.
    Message {
        /// What can be read without keys.
        head: DirectHead,
        /// Ciphertext and tag.
        sealed: Bytes,
    },
}

impl Packet {
    /// The packet's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Init { key, noise } => [&[INIT], key.as_bytes().as_slice(), noise].concat(),
            Self::Resp { init, noise } => [&[RESP], init.as_bytes().as_slice(), noise].concat(),
            Self::Message { head, sealed } => [&[MSG], head.to_bytes().as_slice(), sealed].concat(),
        }
        .into()
    }

    /// Whether a packet calls, as far as its first byte says: servers count calls, and read nothing else of a packet.
    #[must_use]
    pub fn is_call(bytes: &[u8]) -> bool {
        bytes.first() == Some(&INIT)
    }

    /// Cuts a packet; its parts share the buffer.
    ///
    /// # Errors
    /// [`DecodeError::Value`] for another first byte, [`DecodeError::Length`] for a packet that ends before its
    /// Noise message or ciphertext, [`DecodeError::TooLarge`] over [`MAX_PACKET`].
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_PACKET {
            return Err(DecodeError::TooLarge { what: "packet", len: bytes.len(), max: MAX_PACKET });
        }
        let short = DecodeError::Length { field: "packet", len: bytes.len() };
        let (kind, rest) = bytes.split_first().ok_or_else(|| short.clone())?;
        match *kind {
            INIT => {
                let (key, noise) = rest.split_first_chunk().ok_or(short)?;
                Ok(Self::Init { key: KeyId::new(*key), noise: bytes.slice_ref(noise) })
            }
            RESP => {
                let (init, noise) = rest.split_first_chunk().ok_or(short)?;
                Ok(Self::Resp { init: InitRef::new(*init), noise: bytes.slice_ref(noise) })
            }
            MSG => {
                let (head, sealed) = rest.split_first_chunk().ok_or(short)?;
                Ok(Self::Message { head: DirectHead::from_bytes(head), sealed: bytes.slice_ref(sealed) })
            }
            other => Err(DecodeError::Value { field: "packet", value: other.into() }),
        }
    }
}

/// The 48 bytes before the ciphertext of a packet with content. The seal covers them.
///
/// ```
/// use darkchat_proto::{DirectHead, DirectId};
/// let head = DirectHead { session: DirectId::new([1; 8]), dh: [2; 32], previous: 3, number: 4 };
/// assert_eq!(DirectHead::from_bytes(&head.to_bytes()), head);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's 48 bytes")]
pub struct DirectHead {
    /// The session (`sid`).
    pub session: DirectId,
    /// The sender's ratchet key (`dh`).
    pub dh: [u8; 32],
    /// How many messages the sender's chain before this one had (`pn`).
    pub previous: u32,
    /// The message's number in its chain, from 0 (`n`).
    pub number: u32,
}

impl DirectHead {
    /// The bytes, numbers big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 48] {
        let Self { session, dh, previous, number } = self;
        let parts: [&[u8]; 4] = [session.as_bytes(), dh, &previous.to_be_bytes(), &number.to_be_bytes()];
        let mut bytes = [0; 48];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Reads the bytes; every run of 48 is a head.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 48]) -> Self {
        let mut rest = bytes.iter().copied();
        let session = DirectId::new(std::array::from_fn(|_| rest.next().unwrap_or(0)));
        let dh = std::array::from_fn(|_| rest.next().unwrap_or(0));
        let previous = u32::from_be_bytes(std::array::from_fn(|_| rest.next().unwrap_or(0)));
        let number = u32::from_be_bytes(std::array::from_fn(|_| rest.next().unwrap_or(0)));
        Self { session, dh, previous, number }
    }
}

/// What a call says, sealed to the called device's short-lived key.
///
/// ```
/// use bytes::Bytes;
/// use darkchat_proto::{Features, InitPayload, Signature, Signed};
/// let bundle = Signed { body: Bytes::from_static(b"a bundle"), sig: Signature::new([0; 64]) };
/// let payload = InitPayload { bundle, time_ms: 1_800_000_000_000, features: Features::NONE };
/// assert_eq!(InitPayload::decode(payload.encode())?, payload);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct InitPayload {
    /// The caller's bundle, not yet verified.
    pub bundle: Signed,
    /// The caller's clock, in Unix milliseconds.
    pub time_ms: u64,
    /// The features that the caller has.
    pub features: Features,
}

impl InitPayload {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Self { bundle, time_ms, features } = self;
        wire::InitPayload { bundle: bundle.encode(), time_ms: *time_ms, features: features.bits() }
            .encode_to_vec()
            .into()
    }

    /// Reads a message; the bundle shares the buffer.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or its bundle is no `Signed`.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        shape::check(&bytes, &shape::INIT_PAYLOAD)?;
        let payload =
            wire::InitPayload::decode(bytes).map_err(|_| DecodeError::Malformed { what: "InitPayload" })?;
        let features = Features::from_bits(payload.features);
        Ok(Self { bundle: Signed::decode(payload.bundle)?, time_ms: payload.time_ms, features })
    }
}

/// What the answer to a call says.
///
/// ```
/// use darkchat_proto::{Features, RespPayload};
/// let payload = RespPayload { ratchet: [7; 32], features: Features::NONE };
/// assert_eq!(RespPayload::decode(payload.encode())?, payload);
/// # Ok::<(), darkchat_proto::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct RespPayload {
    /// The called device's first ratchet key.
    pub ratchet: [u8; 32],
    /// The features that the called device has.
    pub features: Features,
}

impl RespPayload {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let ratchet = Bytes::copy_from_slice(&self.ratchet);
        wire::RespPayload { ratchet, features: self.features.bits() }.encode_to_vec().into()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or its key has another length.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        shape::check(&bytes, &shape::RESP_PAYLOAD)?;
        let payload =
            wire::RespPayload::decode(bytes).map_err(|_| DecodeError::Malformed { what: "RespPayload" })?;
        let features = Features::from_bits(payload.features);
        Ok(Self { ratchet: field::fixed("ratchet", &payload.ratchet)?, features })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_ends_after_its_fixed_part_at_the_earliest() {
        for (kind, fixed) in [(INIT, 5), (RESP, 9), (MSG, 49)] {
            let bytes = [&[kind][..], &[7; 60]].concat();
            assert_eq!(Packet::is_call(&bytes), kind == INIT);
            for len in 0..bytes.len() {
                let cut = Packet::decode(Bytes::copy_from_slice(&bytes[..len]));
                assert_eq!(cut.is_ok(), len >= fixed, "{len} bytes of kind {kind}");
                if let Ok(packet) = cut {
                    assert_eq!(packet.encode(), bytes[..len]);
                }
            }
        }
        for kind in [0, 4, 0xFF] {
            let error = Packet::decode(Bytes::from(vec![kind; 80]));
            assert_eq!(error, Err(DecodeError::Value { field: "packet", value: kind.into() }));
        }
        let long = Packet::decode(vec![MSG; MAX_PACKET + 1].into());
        assert!(matches!(long, Err(DecodeError::TooLarge { what: "packet", .. })));
    }

    #[test]
    fn the_parts_share_the_packets_buffer() {
        let bytes = Bytes::from(vec![MSG; 100]);
        let Ok(Packet::Message { sealed, .. }) = Packet::decode(bytes.clone()) else { panic!("content") };
        assert_eq!(sealed.as_ptr(), bytes.slice(49..).as_ptr());
    }
}
