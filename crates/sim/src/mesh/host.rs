//! A server of the mesh, and one end of a link.

use super::hostile::Stranger;
use super::link::stub;
use bytes::Bytes;
use darkchat_node::{DialId, Node};
use darkchat_proto::{Addr, Carrier, Code, GossipAddr, RouterId, ServerId, Signature};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// Where servers take peers.
const PEER_PORT: u16 = 30_303;
/// No timer is set.
pub(super) const NEVER: u64 = u64::MAX;

/// A server and its driver's half.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) id: ServerId,
    pub(super) router: RouterId,
    pub(super) addr: GossipAddr,
    pub(super) dialable: bool,
    /// In a box, because it is taken out for every input; none before the start and after a crash.
    pub(super) node: Option<Box<Node>>,
    /// In its place, a peer that does not keep to the protocol.
    pub(super) stranger: Option<Box<Stranger>>,
    /// The earliest deadline that an event stands for, in nanoseconds.
    pub(super) timer: u64,
    /// When it reads next what came, in nanoseconds.
    pub(super) reads_at: u64,
    /// The ends of its links, some closed ones too.
    pub(super) ends: Vec<usize>,
    pub(super) crashed: bool,
    /// Bytes of control frames that it sent.
    pub(super) control: u64,
}

impl Host {
    pub(super) fn new(number: usize, dialable: bool) -> Self {
        let mut key = [0x5A; 32];
        for (place, byte) in key.iter_mut().zip(number.to_be_bytes()) {
            *place = byte;
        }
        let id = ServerId::new(key);
        // An own /16 for each, outside all special ranges.
        let part = |number: usize| u8::try_from(number % 250).unwrap_or(0);
        let ip = IpAddr::V4(Ipv4Addr::new(31 + part(number / 250), part(number), 1, 1));
        let addr = GossipAddr { ip, port: PEER_PORT, carrier: Carrier::Tcp };
        Self {
            id,
            router: id.router(),
            addr,
            dialable,
            node: None,
            stranger: None,
            timer: NEVER,
            reads_at: NEVER,
            ends: Vec::new(),
            crashed: false,
            control: 0,
        }
    }

    pub(super) fn address(&self) -> Addr {
        self.addr.to_addr()
    }

    /// It is somewhere else from now on.
    pub(super) const fn relocate(&mut self) {
        self.addr.port = self.addr.port.wrapping_add(1);
    }

    pub(super) fn signature(&self) -> Signature {
        stub(&self.id)
    }
}

/// What comes to an end of a link.
#[derive(Debug)]
pub(super) enum Item {
    /// The handshake is complete; of the dialler with its dial.
    Open(Option<DialId>),
    /// A frame, in the two parts in which the node gave it.
    Frame(Bytes, Bytes),
    /// The other side is gone.
    End(Code),
}

/// One end of a link; the other is the number with its lowest bit turned.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: usize,
    /// One way, in nanoseconds.
    pub(super) latency: u64,
    /// On its way here, with the time of its arrival.
    pub(super) inbox: VecDeque<(u64, Item)>,
    /// The node was told that it is open, and not yet that it is closed.
    pub(super) open: bool,
    /// Nothing comes in or goes out any more.
    pub(super) over: bool,
    /// Everything that is sent is lost without a word.
    pub(super) dark: bool,
    /// Channel frames that came in.
    pub(super) crossings: u64,
}

impl End {
    pub(super) const fn new(host: usize, latency: u64) -> Self {
        Self { host, latency, inbox: VecDeque::new(), open: false, over: false, dark: false, crossings: 0 }
    }
}
