//! Addresses that servers tell each other. Source: `docs/protocol.md`, sections 9.2 and 10.4.

use super::Addr;
use std::net::{IpAddr, SocketAddr};

/// An address that servers tell each other: only an IP literal, never a name.
///
/// ```
/// use darkchat_proto::{Carrier, GossipAddr};
/// let addr = GossipAddr { ip: "::ffff:192.0.2.7".parse()?, port: 30303, carrier: Carrier::Tcp };
/// assert_eq!(addr.to_addr().to_string(), "tcp://192.0.2.7:30303");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the wire's definition")]
pub struct GossipAddr {
    /// The IP address. Off the wire an IPv4 one never comes in its mapped IPv6 form, and it never goes out in it.
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
    /// An address as people type it, if it is one that servers tell each other: an IP literal with a port, under a
    /// scheme that has a carrier's number.
    #[must_use]
    pub fn of(addr: &Addr) -> Option<Self> {
        let carrier = match addr.scheme() {
            "tcp" => Carrier::Tcp,
            "ws" => Carrier::Ws,
            _ => return None,
        };
        let socket = addr.socket_addr()?;
        Some(Self { ip: socket.ip(), port: socket.port(), carrier })
    }

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
