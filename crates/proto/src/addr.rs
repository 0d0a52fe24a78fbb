//! Addresses as people type them and programs print them. Source: `docs/protocol.md`, section 2.

mod gossip;
mod parse;

pub use gossip::{Carrier, GossipAddr};

use crate::{ParseError, ServerId};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The port on which servers take clients over TCP.
pub const PORT_TCP: u16 = 8545;
/// The port on which servers take clients over WebSocket.
pub const PORT_WS: u16 = 8546;
/// The port on which servers take peers.
pub const PORT_PEER: u16 = 30_303;
/// The port of WebSockets inside TLS.
const PORT_WSS: u16 = 443;

/// Where to dial or listen. Its scheme picks the transport; other schemes than ours are left to theirs.
///
/// One place has one text: hosts are in lower case, IPv6 in its shortest form, an IPv4 address never in IPv6 form.
/// So what [`Display`](fmt::Display) writes parses back to an equal address, and texts can be compared.
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
        Ok(Self {
            scheme: parse::scheme(scheme, &text)?,
            host: parse::host(scheme, host, &text)?,
            port,
            path: parse::default_path(scheme).into(),
        })
    }

    /// The address of a socket under this scheme, which is one that [`Addr::new`] takes.
    #[must_use]
    pub fn from_socket(scheme: &str, socket: SocketAddr) -> Self {
        debug_assert!(parse::is_scheme(scheme), "not a scheme: {scheme}");
        Self {
            scheme: scheme.into(),
            host: socket.ip().to_canonical().to_string().into(),
            port: Some(socket.port()),
            path: parse::default_path(scheme).into(),
        }
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
        self.host.parse().ok()
    }

    /// IP address and port, if both are there.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip()?, self.port?))
    }

    /// Whether it is certainly this machine: a loopback IP, `localhost`, or the scheme `mem`. Of the other
    /// schemes without IP nothing is known.
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

impl FromStr for Addr {
    type Err = ParseError;

    /// Reads `SCHEME://HOST[:PORT][/PATH]`, or `HOST[:PORT]`, which is TCP.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let own = || text.to_owned();
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = parse::split_port(authority, &own)?;
        Ok(Self {
            scheme: parse::scheme(scheme, &own)?,
            host: parse::host(scheme, host, &own)?,
            port,
            path: parse::path(scheme, path, &own)?,
        })
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

#[cfg(test)]
mod tests;
