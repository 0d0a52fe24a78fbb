//! Addresses as people type them and programs print them. Source: `docs/protocol.md`, section 2.

use crate::{ParseError, ServerId};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The port on which servers take clients over TCP.
pub const PORT_TCP: u16 = 8545;
/// The port on which servers take clients over WebSocket.
pub const PORT_WS: u16 = 8546;
/// The port on which servers take peers.
pub const PORT_PEER: u16 = 30_303;
/// The port of WebSockets inside TLS.
const PORT_WSS: u16 = 443;
/// The one path of a WebSocket address.
const WS_PATH: &str = "/ws";

/// Where to dial or listen. Its scheme picks the transport; other schemes than ours are left to theirs.
///
/// ```
/// use darkchat_proto::Addr;
/// let addr: Addr = "ws://[::1]:8546".parse()?;
/// assert_eq!((addr.scheme(), addr.host(), addr.port(), addr.path()), ("ws", "::1", Some(8546), "/ws"));
/// assert_eq!(addr.to_string(), "ws://[::1]:8546/ws");
/// assert_eq!("127.0.0.1".parse::<Addr>()?.to_string(), "tcp://127.0.0.1");
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
    path: Box<str>,
}

impl Addr {
    /// An address from its parts; `host` without brackets. `ws` and `wss` get the path `/ws`, others none.
    ///
    /// # Errors
    /// [`ParseError::Address`] if scheme or host have characters that an address cannot have.
    pub fn new(scheme: &str, host: &str, port: Option<u16>) -> Result<Self, ParseError> {
        let text = || format!("{scheme}://{host}");
        let path = if is_ws(scheme) { WS_PATH } else { "" };
        check_scheme(scheme, &text)?;
        check_host(host, &text)?;
        Ok(Self { scheme: scheme.into(), host: host.into(), port, path: path.into() })
    }

    /// The address of a socket under this scheme.
    #[must_use]
    pub fn from_socket(scheme: &str, socket: SocketAddr) -> Self {
        let path = if is_ws(scheme) { WS_PATH } else { "" };
        let host = canonical(socket.ip()).to_string();
        Self { scheme: scheme.into(), host: host.into(), port: Some(socket.port()), path: path.into() }
    }

    /// The part before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// A DNS name, an IP address without brackets, or whatever another transport's scheme has there.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is written. On a listener, 0 lets the system choose.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// `/ws` for WebSockets, else what another transport's scheme has there; often empty.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same address with this port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { port: Some(port), ..self.clone() }
    }

    /// The host as an IP address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok().map(canonical)
    }

    /// IP address and port, if both are there.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip()?, self.port?))
    }

    /// Whether it is certainly this machine: a loopback IP, `localhost`, or a scheme without IP such as `mem`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(ip) => ip.is_loopback(),
            None => &*self.host == "localhost" || &*self.scheme == "mem",
        }
    }

    /// With the default port of a server that takes clients, where none is written.
    #[must_use]
    pub fn or_client_port(self) -> Self {
        self.or_port(PORT_TCP)
    }

    /// With the default port of a server that takes peers, where none is written.
    #[must_use]
    pub fn or_peer_port(self) -> Self {
        self.or_port(PORT_PEER)
    }

    fn or_port(self, tcp: u16) -> Self {
        let port = match (self.port, &*self.scheme) {
            (Some(port), _) => Some(port),
            (None, "tcp") => Some(tcp),
            (None, "ws") => Some(PORT_WS),
            (None, "wss") => Some(PORT_WSS),
            (None, _) => None,
        };
        Self { port, ..self }
    }
}

/// An IPv4 address written as IPv6 is the IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn is_ws(scheme: &str) -> bool {
    matches!(scheme, "ws" | "wss")
}

fn is_ours(scheme: &str) -> bool {
    is_ws(scheme) || scheme == "tcp"
}

fn wrong(reason: &'static str, text: &dyn Fn() -> String) -> ParseError {
    ParseError::Address { reason, text: text() }
}

fn check_scheme(scheme: &str, text: &dyn Fn() -> String) -> Result<(), ParseError> {
    let plain = scheme
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    let starts = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if plain && starts { Ok(()) } else { Err(wrong("its scheme is not one", text)) }
}

fn check_host(host: &str, text: &dyn Fn() -> String) -> Result<(), ParseError> {
    let is_ip6 = host.parse::<Ipv6Addr>().is_ok();
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if host.is_empty() {
        Err(wrong("the host is missing", text))
    } else if is_ip6 || (plain && host.len() <= 253) {
        Ok(())
    } else {
        Err(wrong("the host is neither a name nor an IP address; IPv6 needs brackets", text))
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_addr(f, None, self)
    }
}

fn write_addr(f: &mut fmt::Formatter<'_>, key: Option<&ServerId>, addr: &Addr) -> fmt::Result {
    write!(f, "{}://", addr.scheme)?;
    if let Some(key) = key {
        write!(f, "{key}@")?;
    }
    if addr.host.contains(':') {
        write!(f, "[{}]", addr.host)?;
    } else {
        f.write_str(&addr.host)?;
    }
    if let Some(port) = addr.port {
        write!(f, ":{port}")?;
    }
    f.write_str(&addr.path)
}

/// Splits `[v6]:port`, `host:port`, `host` or `[v6]`.
fn split_port<'a>(
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

impl FromStr for Addr {
    type Err = ParseError;

    /// Reads `SCHEME://HOST[:PORT][/PATH]`, or `HOST[:PORT]`, which is TCP.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let own = || text.to_owned();
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        check_scheme(scheme, &own)?;
        let (host, port) = split_port(authority, &own)?;
        check_host(host, &own)?;
        let allowed = if is_ws(scheme) { path.is_empty() || path == WS_PATH } else { path.is_empty() };
        if is_ours(scheme) && !allowed {
            return Err(wrong("the only path is /ws, and tcp has none", &own));
        }
        let path = if is_ws(scheme) { WS_PATH } else { path };
        Ok(Self { scheme: scheme.into(), host: host.to_ascii_lowercase().into(), port, path: path.into() })
    }
}

/// What people type to name a server: an address, and perhaps the key that it must prove.
///
/// ```
/// use darkchat_proto::ServerAddr;
/// let addr: ServerAddr = "chat.example:9000".parse()?;
/// assert_eq!(addr.to_string(), "tcp://chat.example:9000");
/// assert!(addr.key.is_none());
/// # Ok::<(), darkchat_proto::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an address with or without a key; nothing can be added")]
pub struct ServerAddr {
    /// Where to dial.
    pub addr: Addr,
    /// The key that the server must prove; without one, whoever answers there is taken or pinned.
    pub key: Option<ServerId>,
}

impl From<Addr> for ServerAddr {
    fn from(addr: Addr) -> Self {
        Self { addr, key: None }
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_addr(f, self.key.as_ref(), &self.addr)
    }
}

impl FromStr for ServerAddr {
    type Err = ParseError;

    /// Reads `[SCHEME://][SERVERTEXT@]HOST[:PORT][/PATH]`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (scheme, rest) =
            text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let Some((key, place)) = rest.split_once('@') else {
            return Ok(Self { addr: text.parse()?, key: None });
        };
        let key = Some(key.parse()?);
        let bare = scheme.map_or_else(|| place.to_owned(), |scheme| format!("{scheme}://{place}"));
        Ok(Self { addr: bare.parse()?, key })
    }
}

/// An address that servers tell each other: only an IP literal, never a name. Source: section 10.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct GossipAddr {
    /// The IP address, an IPv4 one never in its mapped IPv6 form.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// How to speak there.
    pub carrier: Carrier,
}

/// The carrier of a gossiped address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Carrier {
    /// The TCP carriage of section 3.1.
    Tcp,
    /// The WebSocket carriage.
    Ws,
}

impl GossipAddr {
    /// The address as one dials it.
    #[must_use]
    pub fn to_addr(self) -> Addr {
        let scheme = match self.carrier {
            Carrier::Tcp => "tcp",
            Carrier::Ws => "ws",
        };
        Addr::from_socket(scheme, SocketAddr::new(self.ip, self.port))
    }
}
