//! What servers sign about themselves, and devices about theirs. Source: `docs/protocol.md`, sections 7.2, 9.2, 9.4.

use crate::limits::{MAX_RECORD, MAX_SHARD_BITS};
use crate::{
    Carrier, DecodeError, DeviceId, Features, GossipAddr, RouterId, ServerId, Tag, UserId, field, shape, wire,
};
use bytes::Bytes;
use prost::Message as _;

/// Flags of a [`ServerRecord`].
///
/// ```
/// use darkchat_proto::RecordFlags;
/// let flags = RecordFlags::DIALABLE.with(RecordFlags::TRANSIT);
/// assert_eq!(flags.bits(), 3);
/// assert!(flags.contains(RecordFlags::TRANSIT) && !flags.contains(RecordFlags::DRAINING));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordFlags(u32);

impl RecordFlags {
    /// Others may dial it.
    pub const DIALABLE: Self = Self(1);
    /// It carries for others; without this it is a leaf.
    pub const TRANSIT: Self = Self(2);
    /// It is about to stop.
    pub const DRAINING: Self = Self(4);
    /// It takes no new peers.
    pub const PEERS_CLOSED: Self = Self(8);

    /// The flags with these bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A server about itself: where it is and whom it is linked with. The newest (epoch, seq) counts.
///
/// ```
/// use darkchat_proto::{Carrier, Features, GossipAddr, RecordFlags, ServerId, ServerRecord};
/// let record = ServerRecord {
///     server: ServerId::new([0x5E; 32]),
///     epoch: 1_800_000_000_000,
///     seq: 1,
///     issued_ms: 1_800_000_000_000,
///     addrs: vec![GossipAddr { ip: [192, 0, 2, 7].into(), port: 30303, carrier: Carrier::Tcp }],
///     flags: RecordFlags::DIALABLE,
///     neighbours: Vec::new(),
///     version: 1,
///     features: Features::DONE,
/// };
/// assert_eq!(ServerRecord::decode(record.encode()), Ok(record));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct ServerRecord {
    /// Who says so; true once the signature is verified.
    pub server: ServerId,
    /// Its wall clock when it started, in milliseconds, raised above any of its own heard before.
    pub epoch: u64,
    /// Counts its records of this epoch.
    pub seq: u64,
    /// Its wall clock when it wrote this, in Unix milliseconds.
    pub issued_ms: u64,
    /// Where it can be dialled.
    pub addrs: Vec<GossipAddr>,
    /// What it is.
    pub flags: RecordFlags,
    /// The servers that it has links with.
    pub neighbours: Vec<RouterId>,
    /// The newest protocol version that it speaks.
    pub version: u32,
    /// The features that it has.
    pub features: Features,
}

/// `None` for a carrier of a later version, which is left out and no fault.
pub(crate) fn addr_from_wire(addr: &wire::Addr) -> Result<Option<GossipAddr>, DecodeError> {
    let port = u16::try_from(addr.port)
        .map_err(|_| DecodeError::Value { field: "port", value: addr.port.into() })?;
    let ip = field::ip("ip", &addr.ip)?;
    let carrier = match addr.proto {
        0 => return Err(DecodeError::Value { field: "proto", value: 0 }),
        1 => Carrier::Tcp,
        2 => Carrier::Ws,
        _ => return Ok(None),
    };
    Ok(Some(GossipAddr { ip, port, carrier }))
}

pub(crate) fn addr_to_wire(addr: &GossipAddr) -> wire::Addr {
    let proto = match addr.carrier {
        Carrier::Tcp => 1,
        Carrier::Ws => 2,
    };
    wire::Addr { ip: field::ip_bytes(addr.ip), port: addr.port.into(), proto }
}

impl ServerRecord {
    /// The body's bytes: what is signed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        wire::ServerRecord {
            server: Bytes::copy_from_slice(self.server.as_bytes()),
            epoch: self.epoch,
            seq: self.seq,
            issued_ms: self.issued_ms,
            addrs: self.addrs.iter().map(addr_to_wire).collect(),
            flags: self.flags.bits(),
            neighbours: self.neighbours.iter().map(|router| router.0).collect(),
            version: self.version,
            features: self.features.bits(),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a body. The signature is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, too long, or breaks a bound of section 4.2.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_RECORD {
            return Err(DecodeError::Length { field: "ServerRecord", len: bytes.len() });
        }
        shape::check(&bytes, &shape::SERVER_RECORD)?;
        let record =
            wire::ServerRecord::decode(bytes).map_err(|_| DecodeError::Malformed { what: "ServerRecord" })?;
        let addrs: Vec<Option<GossipAddr>> =
            record.addrs.iter().map(addr_from_wire).collect::<Result<_, _>>()?;
        Ok(Self {
            server: ServerId::new(field::fixed("server", &record.server)?),
            epoch: record.epoch,
            seq: record.seq,
            issued_ms: record.issued_ms,
            addrs: addrs.into_iter().flatten().collect(),
            flags: RecordFlags::from_bits(record.flags),
            neighbours: record.neighbours.into_iter().map(RouterId).collect(),
            version: record.version,
            features: Features::from_bits(record.features),
        })
    }
}

/// A part of the tags that a server wants: those whose top `bits` bits are `shard`.
///
/// ```
/// use darkchat_proto::{InterestShard, ServerId, Tag};
/// let (low, high) = (Tag(0x4000_0000_0000_0000), Tag(0x7FFF_FFFF_FFFF_FFFF));
/// assert_eq!((InterestShard::of_tag(low, 2), InterestShard::of_tag(high, 2)), (1, 1));
/// let server = ServerId::new([0x5E; 32]);
/// let shard = InterestShard { server, epoch: 1, seq: 1, bits: 2, shard: 1, tags: vec![low, high] };
/// assert_eq!(InterestShard::decode(shard.encode()), Ok(shard.clone()));
///
/// let elsewhere = InterestShard { shard: 2, ..shard };
/// assert!(InterestShard::decode(elsewhere.encode()).is_err(), "its tags belong to shard 1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct InterestShard {
    /// Who says so; true once the signature is verified.
    pub server: ServerId,
    /// The epoch of the server's record.
    pub epoch: u64,
    /// Counts all its shards of this epoch.
    pub seq: u64,
    /// Into how many parts the tags are cut: 2 to the power of this.
    pub bits: u32,
    /// Which part this is.
    pub shard: u32,
    /// The tags, ascending.
    pub tags: Vec<Tag>,
}

impl InterestShard {
    /// The part that a tag belongs to when the tags are cut into 2 to the power of `bits` parts.
    #[must_use]
    pub const fn of_tag(tag: Tag, bits: u32) -> u32 {
        if bits == 0 { 0 } else { (tag.0 >> (64 - if bits > 32 { 32 } else { bits })) as u32 }
    }

    /// The body's bytes: what is signed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        wire::InterestShard {
            server: Bytes::copy_from_slice(self.server.as_bytes()),
            epoch: self.epoch,
            seq: self.seq,
            bits: self.bits,
            shard: self.shard,
            tags: self.tags.iter().map(|tag| tag.0).collect(),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a body. The signature is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, has too many tags, names a shard that its `bits` do not make, or has tags that
    /// are out of order or of another shard.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        shape::check(&bytes, &shape::INTEREST_SHARD)?;
        let shard = wire::InterestShard::decode(bytes)
            .map_err(|_| DecodeError::Malformed { what: "InterestShard" })?;
        if shard.bits > MAX_SHARD_BITS {
            return Err(DecodeError::Value { field: "bits", value: shard.bits.into() });
        }
        if u64::from(shard.shard) >= 1 << shard.bits {
            return Err(DecodeError::Value { field: "shard", value: shard.shard.into() });
        }
        let tags: Vec<Tag> = shard.tags.into_iter().map(Tag).collect();
        let unordered =
            tags.iter().zip(tags.iter().skip(1)).find(|(one, next)| one >= next).map(|(one, _)| one);
        let stray = tags.iter().find(|tag| Self::of_tag(**tag, shard.bits) != shard.shard);
        if let Some(tag) = unordered.or(stray) {
            return Err(DecodeError::Value { field: "tags", value: tag.0 });
        }
        Ok(Self {
            server: ServerId::new(field::fixed("server", &shard.server)?),
            epoch: shard.epoch,
            seq: shard.seq,
            bits: shard.bits,
            shard: shard.shard,
            tags,
        })
    }
}

/// A device's short-lived key, and the server that it is attached to. Source: section 7.2.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the wire's DeviceBundle")]
pub struct Bundle {
    /// The cryptographic suite; 1 in this version.
    pub suite: u32,
    /// Who says so; true once the signature is verified.
    pub user: UserId,
    /// Which installation.
    pub device: DeviceId,
    /// Its X25519 public key.
    pub dh: [u8; 32],
    /// From when it is valid, in Unix milliseconds.
    pub not_before_ms: u64,
    /// Until when it is valid, in Unix milliseconds.
    pub not_after_ms: u64,
    /// Where the device is.
    pub server: ServerId,
    /// The features that it has.
    pub features: Features,
}

impl Bundle {
    /// The body's bytes: what is signed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        wire::DeviceBundle {
            suite: self.suite,
            user: Bytes::copy_from_slice(self.user.as_bytes()),
            device: Bytes::copy_from_slice(self.device.as_bytes()),
            dh: Bytes::copy_from_slice(&self.dh),
            not_before_ms: self.not_before_ms,
            not_after_ms: self.not_after_ms,
            server: Bytes::copy_from_slice(self.server.as_bytes()),
            features: self.features.bits(),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a body. Neither signature nor validity is looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none, or a field has a wrong length.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        shape::check(&bytes, &shape::DEVICE_BUNDLE)?;
        let bundle =
            wire::DeviceBundle::decode(bytes).map_err(|_| DecodeError::Malformed { what: "DeviceBundle" })?;
        Ok(Self {
            suite: bundle.suite,
            user: UserId::new(field::fixed("user", &bundle.user)?),
            device: DeviceId::new(field::fixed("device", &bundle.device)?),
            dh: field::fixed("dh", &bundle.dh)?,
            not_before_ms: bundle.not_before_ms,
            not_after_ms: bundle.not_after_ms,
            server: ServerId::new(field::fixed("server", &bundle.server)?),
            features: Features::from_bits(bundle.features),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_the_bits_of_section_9_2() {
        let flags =
            [RecordFlags::DIALABLE, RecordFlags::TRANSIT, RecordFlags::DRAINING, RecordFlags::PEERS_CLOSED];
        assert_eq!(flags.map(RecordFlags::bits), [1, 2, 4, 8]);
        assert!(!RecordFlags::from_bits(3).contains(RecordFlags::from_bits(5)));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_form_is_an_ipv4_address_once_it_is_read() {
        let mapped = [&[0; 10][..], &[0xFF; 2], &[192, 0, 2, 7]].concat();
        let addr = wire::Addr { ip: mapped.into(), port: 1, proto: 1 };
        let plain = GossipAddr { ip: [192, 0, 2, 7].into(), port: 1, carrier: Carrier::Tcp };
        assert_eq!(addr_from_wire(&addr), Ok(Some(plain)));
        let written = addr_to_wire(&GossipAddr { ip: "::ffff:192.0.2.7".parse().unwrap(), ..plain });
        assert_eq!(&written.ip[..], [192, 0, 2, 7]);
    }

    #[test]
    fn an_address_is_judged_even_if_its_carrier_is_of_a_later_version() {
        let good = wire::Addr { ip: vec![1; 16].into(), port: 65_535, proto: 3 };
        assert_eq!(addr_from_wire(&good), Ok(None));
        let port = wire::Addr { port: 65_536, ..good.clone() };
        assert_eq!(addr_from_wire(&port), Err(DecodeError::Value { field: "port", value: 65_536 }));
        let ip = wire::Addr { ip: vec![1; 15].into(), ..good };
        assert_eq!(addr_from_wire(&ip), Err(DecodeError::Length { field: "ip", len: 15 }));
    }

    #[test]
    fn a_shard_without_tags_is_one_of_those_that_its_bits_make() {
        let empty = InterestShard {
            server: ServerId::new([1; 32]),
            epoch: 1,
            seq: 1,
            bits: 2,
            shard: 3,
            tags: vec![],
        };
        assert_eq!(InterestShard::decode(empty.encode()), Ok(empty.clone()));
        let outside = InterestShard { shard: 4, ..empty };
        assert_eq!(
            InterestShard::decode(outside.encode()),
            Err(DecodeError::Value { field: "shard", value: 4 })
        );
    }
}
