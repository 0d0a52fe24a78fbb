//! Small checks that decoders share: fixed lengths, bounded text, known numbers.

use crate::DecodeError;
use crate::limits::{MAX_CONTENT_TYPE, MAX_HEADER_BYTES};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A field of exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length { field, len: bytes.len() })
}

/// A field of exactly `N` bytes, or empty.
pub(crate) fn fixed_or_empty<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<Option<[u8; N]>, DecodeError> {
    if bytes.is_empty() { Ok(None) } else { fixed(field, bytes).map(Some) }
}

/// Text of at most `max` bytes.
pub(crate) fn text(field: &'static str, text: String, max: usize) -> Result<String, DecodeError> {
    if text.len() > max { Err(DecodeError::Length { field, len: text.len() }) } else { Ok(text) }
}

/// A number that may not be zero.
pub(crate) fn not_zero(field: &'static str, value: u64) -> Result<u64, DecodeError> {
    if value == 0 { Err(DecodeError::Value { field, value }) } else { Ok(value) }
}

/// An enum's number as it stands in an error: a negative one as its 32 bits.
pub(crate) fn number(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Headers within the bounds of section 4.2.
pub(crate) fn headers(map: BTreeMap<String, Bytes>) -> Result<BTreeMap<String, Bytes>, DecodeError> {
    let mut total = 0_usize;
    for (name, value) in &map {
        if name.len() > MAX_CONTENT_TYPE {
            return Err(DecodeError::Length { field: "header name", len: name.len() });
        }
        total = total.saturating_add(name.len()).saturating_add(value.len());
    }
    if total > MAX_HEADER_BYTES { Err(DecodeError::Length { field: "headers", len: total }) } else { Ok(map) }
}

/// An IP address of 4 or 16 bytes. An IPv4 address in IPv6 form becomes the IPv4 address, so that one address has
/// one form in every comparison and in every check of its scope (10.4).
pub(crate) fn ip(name: &'static str, bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    match <[u8; 4]>::try_from(bytes) {
        Ok(four) => Ok(IpAddr::from(four)),
        Err(_) => fixed::<16>(name, bytes).map(|bytes| IpAddr::from(bytes).to_canonical()),
    }
}

/// The bytes of an IP address: 4 of an IPv4 one, in whichever form it came.
pub(crate) fn ip_bytes(ip: IpAddr) -> Bytes {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    }
}
