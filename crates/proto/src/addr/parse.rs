//! The parts of an address text: scheme, host, port and path.

use crate::ParseError;
use crate::limits::{MAX_HOST, MAX_HOST_LABEL};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The one path of a WebSocket address.
const WS_PATH: &str = "/ws";

pub(super) fn is_ws(scheme: &str) -> bool {
    matches!(scheme, "ws" | "wss")
}

fn is_ours(scheme: &str) -> bool {
    is_ws(scheme) || scheme == "tcp"
}

/// An error about `text`, which is only written out when there is one.
pub(super) fn wrong(reason: &'static str, text: &dyn Fn() -> String) -> ParseError {
    ParseError::Address { reason, text: text() }
}

pub(super) fn is_scheme(scheme: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(plain)
}

/// The scheme as it is.
pub(super) fn scheme(scheme: &str, text: &dyn Fn() -> String) -> Result<Box<str>, ParseError> {
    if is_scheme(scheme) {
        Ok(scheme.into())
    } else {
        Err(wrong("a scheme has small letters, and digits, +, - or . after the first", text))
    }
}

/// The host in the one form that equal hosts share: lower case, IPv6 as RFC 5952 writes it, IPv4 never as IPv6.
pub(super) fn host(scheme: &str, host: &str, text: &dyn Fn() -> String) -> Result<Box<str>, ParseError> {
    if let Ok(ip) = host.parse::<Ipv6Addr>() {
        return Ok(IpAddr::V6(ip).to_canonical().to_string().into());
    }
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if host.is_empty() {
        return Err(wrong("the host is missing", text));
    }
    if !plain || host.len() > MAX_HOST {
        return Err(wrong("the host is neither a name nor an IP address; IPv6 needs brackets", text));
    }
    let host = host.to_ascii_lowercase();
    if is_ours(scheme) {
        check_name(&host, text)?;
    }
    Ok(host.into())
}

/// A DNS name, or an IPv4 address of four numbers: what a resolver would take for another spelling of an IPv4
/// address (`127.1`, `0x7f000001`) is refused, so that everyone sees the same address in the same text.
fn check_name(host: &str, text: &dyn Fn() -> String) -> Result<(), ParseError> {
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    if !labels.all(|label| (1..=MAX_HOST_LABEL).contains(&label.len())) {
        return Err(wrong("a part of the host name is empty or longer than 63 characters", text));
    }
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or(host);
    let is_number = match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err(wrong("the host looks like an IPv4 address and is none", text));
    }
    Ok(())
}

/// The path that goes with a scheme where none is written.
pub(super) fn default_path(scheme: &str) -> &'static str {
    if is_ws(scheme) { WS_PATH } else { "" }
}

/// The path as it is, or the scheme's own if it is empty.
pub(super) fn path(scheme: &str, path: &str, text: &dyn Fn() -> String) -> Result<Box<str>, ParseError> {
    let own = default_path(scheme);
    if path.is_empty() || path == own {
        return Ok(own.into());
    }
    if is_ours(scheme) {
        return Err(wrong("the only path is /ws, and tcp has none", text));
    }
    if path.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(path.into())
    } else {
        Err(wrong("the path has a character that a path cannot have", text))
    }
}

/// Splits `[v6]:port`, `host:port`, `host` or `[v6]`.
pub(super) fn split_port<'a>(
    authority: &'a str,
    text: &dyn Fn() -> String,
) -> Result<(&'a str, Option<u16>), ParseError> {
    let port_of = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let port = if plain { digits.parse().ok() } else { None };
        port.ok_or_else(|| wrong("the port is not a number from 0 to 65535", text))
    };
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err(wrong("a bracket is not closed", text));
        };
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(wrong("there is no IPv6 address in the brackets", text));
        }
        return match after.strip_prefix(':') {
            Some(digits) => Ok((host, Some(port_of(digits)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(wrong("something follows the bracket", text)),
        };
    }
    match authority.split_once(':') {
        Some((_, digits)) if digits.contains(':') => Err(wrong("IPv6 needs brackets", text)),
        Some((host, digits)) => Ok((host, Some(port_of(digits)?))),
        None => Ok((authority, None)),
    }
}
