//! The trait that carries darkchat links, and all that a new carrier needs to implement and test it.
//!
//! A **link** is one open connection; it carries **units**, opaque and at most [`MAX_UNIT`] bytes long, in order and
//! both ways. Encryption, identity, limits and timeouts are above it: a transport moves bytes and nothing else. An
//! address is a text whose scheme picks the transport, and nothing in darkchat lists the transports that exist, so
//! a stranger's crate is as good as ours. How to write one is told in `docs/transports.md`.
//!
//! ```
//! use darkchat_transport::{Memory, Transport};
//! use futures_util::{SinkExt, StreamExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let memory = Memory::default();
//! let mut listener = memory.listen("mem://station".parse()?).await?;
//! let mut ours = memory.dial(listener.addr.clone()).await?;
//! let mut theirs = listener.incoming.next().await.expect("listens")?.link.await?;
//!
//! ours.sink.send("all aboard".into()).await?;
//! assert_eq!(theirs.units.next().await.expect("open")?, "all aboard");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # The contract
//!
//! - Units of 0 to [`MAX_UNIT`] bytes pass unchanged and in order; none is merged, split, or lost before the end.
//! - A longer unit is [`InvalidInput`] on the side that sends it, and changes nothing there. Where the carrier could
//!   bring one, it is [`InvalidData`] on the side that receives it.
//! - Closing the sink flushes, and ends the other side's stream with `None`. A broken carrier gives `Err`; dropping a
//!   [`Link`] ends it, and the other side sees one or the other.
//! - The sink pushes back when the other side stops reading, so memory is bounded.
//! - [`Transport::dial`] does nothing until it is polled, and dropping its future leaves nothing.
//! - An error of one [`Incoming`] is its own. An `Err` in [`Listener::incoming`] is about the listener and does not
//!   end it; `None` does. Dropping the [`Listener`] frees the address.
//! - Nobody but the caller keeps time: what takes too long is dropped, so every future here must be safe to drop.
//! - A remote address without an IP, as of [`Memory`], counts as this machine where callers are counted by source.
//!
//! `conformance::check`, behind the feature `conformance`, tries what of it shows from outside: each of its rules.
//!
//! [`InvalidInput`]: std::io::ErrorKind::InvalidInput
//! [`InvalidData`]: std::io::ErrorKind::InvalidData

#[cfg(feature = "conformance")]
pub mod conformance;
mod link;
mod memory;
pub mod stream;

pub use darkchat_proto::{Addr, MAX_UNIT};
pub use link::Link;
pub use memory::Memory;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use std::pin::Pin;
use std::{fmt, io};

/// A future that owns what it needs, so that it can move to any task.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// A stream that owns what it needs.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;
/// Where the units of a link go.
pub type BoxSink = Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send>>;

/// A way to carry whole units between two machines.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// The parts before `://` that this transport takes, in lower case: `["ws", "wss"]`.
    fn schemes(&self) -> &'static [&'static str];

    /// Opens a link to a listener. Does nothing until polled; dropping the future abandons the dial.
    ///
    /// # Errors
    /// [`wrong_scheme`] for another transport's address, else what the carrier says. Nothing stays open.
    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>>;

    /// Begins to listen. On port 0 the system chooses one, and [`Listener::addr`] tells it.
    ///
    /// # Errors
    /// [`wrong_scheme`] for another transport's address; [`io::ErrorKind::AddrInUse`] and whatever else the carrier
    /// says. Nothing stays bound.
    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>>;
}

/// An address that is listened on. Dropping it frees the address and leaves the links that it brought.
#[expect(clippy::exhaustive_structs, reason = "strangers' transports build it")]
pub struct Listener {
    /// What was really bound, with the port that was chosen for `:0`.
    pub addr: Addr,
    /// Who comes. `Err` is about the listener and does not end it; `None` does.
    pub incoming: BoxStream<io::Result<Incoming>>,
}

/// A connection that was accepted but not yet set up.
#[expect(clippy::exhaustive_structs, reason = "strangers' transports build it")]
pub struct Incoming {
    /// Who comes, as far as the carrier knows.
    pub remote: Addr,
    /// TLS and HTTP upgrades happen in here, so a slow caller never holds up the next. Dropping it, before its end
    /// or unpolled, hangs up.
    pub link: BoxFuture<io::Result<Link>>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// The error of [`Transport::dial`] and [`Transport::listen`] for an address of another transport.
#[must_use]
pub fn wrong_scheme(addr: &Addr) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("this transport does not take the address: {addr}"))
}

/// Holds the sending side to the bound of the contract.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a unit longer than [`MAX_UNIT`].
pub fn check_unit(unit: &Bytes) -> io::Result<()> {
    if unit.len() <= MAX_UNIT {
        return Ok(());
    }
    let text = format!("a unit has at most {MAX_UNIT} bytes, this one has: {}", unit.len());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Whether an error of accepting tells of one connection that is already gone, so that accepting can go on at once.
///
/// Every other error, above all the want of descriptors, would come again immediately: pause before the next attempt.
#[must_use]
pub fn is_fleeting(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// The code of the guide, compiled and run as a doctest.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../../../docs/transports.md")]
struct Guide;
