//! What servers send each other for direct messages, inside a `Route`. Source: `docs/protocol.md`, sections 4.1 and 9.6.

use super::{Class, DmDeliver, convert};
use crate::{Code, DecodeError, UserId, field, shape, wire};
use bytes::Bytes;
use prost::Message as _;

/// The payload of a route of the classes `DM`, `LOOKUP_REQ`, `LOOKUP_REP` and `DM_STATUS`.
///
/// ```
/// use darkchat_proto::{Carried, Class, Code};
/// let status = Carried::Status(Code::NotHere);
/// assert_eq!(status.class(), Class::DmStatus);
/// assert_eq!(Carried::decode(Class::DmStatus, status.encode()), Ok(status));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carried {
    /// A packet for one device.
    Direct(DmDeliver),
    /// Where is this user?
    Lookup(UserId),
    /// Where the user is.
    Found {
        /// Encoded signed bundles.
        bundles: Vec<Bytes>,
        /// Whether there are no more of them.
        complete: bool,
    },
    /// What became of a packet, or of a question.
    Status(Code),
}

impl Carried {
    /// The class of the route that carries it.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Direct(_) => Class::Dm,
            Self::Lookup(_) => Class::LookupReq,
            Self::Found { .. } => Class::LookupRep,
            Self::Status(_) => Class::DmStatus,
        }
    }

    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Direct(dm) => convert::dm_to_wire(dm).encode_to_vec(),
            Self::Lookup(user) => {
                wire::Lookup { user: Bytes::copy_from_slice(user.as_bytes()) }.encode_to_vec()
            }
            Self::Found { bundles, complete } => {
                wire::LookupResult { bundles: bundles.clone(), complete: *complete }.encode_to_vec()
            }
            Self::Status(code) => wire::DmStatus { code: convert::number(*code) }.encode_to_vec(),
        }
        .into()
    }

    /// Reads the payload of a route of this class; packet and bundles share the buffer.
    ///
    /// # Errors
    /// [`DecodeError`] if it has not the form of its class, or the class is another one.
    pub fn decode(class: Class, payload: Bytes) -> Result<Self, DecodeError> {
        match class {
            Class::Dm => {
                shape::check(&payload, &shape::DM_DELIVER)?;
                let dm = wire::DmDeliver::decode(payload).map_err(|_| malformed("DmDeliver"))?;
                Ok(Self::Direct(convert::dm(dm)?))
            }
            Class::LookupReq => {
                shape::check(&payload, &shape::LOOKUP)?;
                let lookup = wire::Lookup::decode(payload).map_err(|_| malformed("Lookup"))?;
                Ok(Self::Lookup(UserId::new(field::fixed("user", &lookup.user)?)))
            }
            Class::LookupRep => {
                shape::check(&payload, &shape::FOUND)?;
                let found = wire::LookupResult::decode(payload).map_err(|_| malformed("LookupResult"))?;
                Ok(Self::Found { bundles: found.bundles, complete: found.complete })
            }
            Class::DmStatus => {
                shape::check(&payload, &shape::DM_STATUS)?;
                let status = wire::DmStatus::decode(payload).map_err(|_| malformed("DmStatus"))?;
                Ok(Self::Status(convert::code(status.code)))
            }
            Class::Channel | Class::Shard | Class::Trace | Class::TraceRep => Err(malformed("payload")),
        }
    }
}

const fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceId;
    use crate::limits::{MAX_BUNDLES, MAX_PACKET};

    const CLASSES: [Class; 8] = [
        Class::Channel,
        Class::Dm,
        Class::LookupReq,
        Class::LookupRep,
        Class::DmStatus,
        Class::Shard,
        Class::Trace,
        Class::TraceRep,
    ];

    fn direct(packet: Bytes, delivery: u64) -> DmDeliver {
        DmDeliver { user: UserId::new([1; 32]), device: DeviceId::new([2; 16]), packet, delivery }
    }

    #[test]
    fn what_is_carried_is_read_back_and_only_as_its_own_class() {
        let bundles = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        for carried in [
            Carried::Direct(direct(Bytes::from_static(b"packet"), 0)),
            Carried::Lookup(UserId::new([3; 32])),
            Carried::Found { bundles, complete: true },
            Carried::Status(Code::NoSession),
        ] {
            let payload = carried.encode();
            assert_eq!(Carried::decode(carried.class(), payload.clone()), Ok(carried.clone()));
            for class in CLASSES.into_iter().filter(|class| *class != carried.class()) {
                assert_ne!(Carried::decode(class, payload.clone()), Ok(carried.clone()), "{class:?}");
            }
        }
    }

    #[test]
    fn more_bundles_than_a_result_may_hold_and_ids_of_another_length_are_refused() {
        let found =
            |count: usize| Carried::Found { bundles: vec![Bytes::from_static(b"x"); count], complete: true };
        assert!(Carried::decode(Class::LookupRep, found(MAX_BUNDLES).encode()).is_ok());
        let over = Carried::decode(Class::LookupRep, found(MAX_BUNDLES + 1).encode());
        assert!(matches!(over, Err(DecodeError::TooMany { .. })), "{over:?}");
        let short = Bytes::from_static(b"\x0a\x03abc");
        assert!(Carried::decode(Class::LookupReq, short.clone()).is_err());
        assert!(Carried::decode(Class::Dm, short).is_err());
    }

    #[test]
    fn a_carried_packet_shares_the_buffer_it_came_in() {
        let payload = Carried::Direct(direct(Bytes::from(vec![7; MAX_PACKET]), 0)).encode();
        let Ok(Carried::Direct(dm)) = Carried::decode(Class::Dm, payload.clone()) else { panic!("a packet") };
        let shared = payload.slice(payload.len() - MAX_PACKET..);
        assert_eq!((dm.packet.as_ptr(), dm.packet.len()), (shared.as_ptr(), shared.len()));
    }
}
