//! Why a server did not start, or is not linked with another: one enum a verb.

use darkchat_crypto::HandshakeError;
use darkchat_proto::{Addr, Code, ServerId};
use std::io;

/// Why [`Builder::start`](crate::Builder::start) failed. Nothing is bound and nothing runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address could not be bound; the source says why. Choose another, or port 0 for any free one.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address.
        addr: Addr,
        /// The transport's reason.
        source: io::Error,
    },
    /// No transport takes this scheme. Give the builder one that does.
    #[error("no transport for the address: {addr}")]
    NoTransport {
        /// The address.
        addr: Addr,
    },
    /// The call was made outside of a Tokio runtime, which the server's tasks need.
    #[error("a server starts within a tokio runtime only")]
    NoRuntime,
}

/// Why [`Server::connect`](crate::Server::connect) did not end in a new link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// That server is linked already. The link stays, and it is kept from now on.
    #[error("already connected: {id}")]
    AlreadyConnected {
        /// Whose link it is.
        id: ServerId,
    },
    /// No transport takes this scheme. Nothing has changed.
    #[error("no transport for the address: {addr}")]
    NoTransport {
        /// The address.
        addr: Addr,
    },
    /// Nobody answers there; the source says why. The address is not dialled again.
    #[error("cannot reach {addr}")]
    Unreachable {
        /// The address.
        addr: Addr,
        /// The transport's reason.
        source: io::Error,
    },
    /// Who answers there does not complete the handshake. The address is not dialled again. Look at its key and at
    /// the network's name.
    #[error("no handshake with {addr}")]
    Handshake {
        /// The address.
        addr: Addr,
        /// What was wrong.
        source: Box<HandshakeError>,
    },
    /// The other side hung up during the handshake: it is no peer port, it is full, or it is of another network.
    /// The address is not dialled again.
    #[error("{addr} hung up during the handshake")]
    HungUp {
        /// The address.
        addr: Addr,
    },
    /// The address is this server's own. It is not dialled again.
    #[error("that is this server itself: {addr}")]
    Itself {
        /// The address.
        addr: Addr,
    },
    /// The other side did not admit us, or did not answer in time. The address is not dialled again.
    #[error("{addr} refused: {}", code.sentence())]
    Refused {
        /// The address.
        addr: Addr,
        /// Its reason.
        code: Code,
    },
    /// The server has stopped.
    #[error("the server has stopped")]
    Stopped,
}

/// Why [`Server::trace`](crate::Server::trace) found nothing out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// As many traces as a server follows at once are under way. Nothing was sent; ask again in 3 s.
    #[error("too many traces at once")]
    Busy,
    /// The server has stopped.
    #[error("the server has stopped")]
    Stopped,
}
