//! A world of darkchat nodes and sessions in virtual time.
//!
//! Real [`Node`](darkchat_node::Node)s and real client [`Session`](darkchat_client::session::Session)s, joined by
//! connections with seeded latency and seeded faults. Frames are really encoded and decoded; records and handshakes
//! are left out, and signatures are real or stand-ins. After every step the world checks what the documentation
//! promises; a broken promise ends the run with the command that replays it and the last steps before it.
//!
//! One number makes one run: there is no clock, no thread and no other randomness.
//!
//! ```
//! use darkchat_sim::{World, secs};
//!
//! let mut world = World::new(7);
//! let [a, _b, c] = world.line();
//! let (ann, cid) = (world.add_client(a), world.add_client(c));
//! world.join(ann, "lobby");
//! world.join(cid, "lobby");
//! world.run_for(secs(5));
//!
//! world.send(ann, "lobby", "hi");
//! world.run_for(secs(1));
//! world.assert_heard(cid, "hi");
//! ```

mod actors;
mod ask;
mod before_up;
mod check;
mod direct;
mod faults;
mod hostile;
pub mod mesh;
mod mix;
mod net;
mod people;
mod rng;
mod scope;
mod seals;
mod shown;
mod sign;
mod task;
mod tell;
mod trace;
mod wire;
mod world;
pub mod worlds;

pub use rng::Rng;
pub use sign::Signing;
pub use world::World;

use std::fmt;
use std::time::Duration;

/// A server of a [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server(usize);

/// A user's program in a [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(usize);

/// Whoever acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Server(usize),
    Client(usize),
    Hostile(usize),
}

impl Who {
    /// Its bytes in the trace.
    pub(crate) fn tag(self) -> [u8; 2] {
        let (kind, number) = match self {
            Self::Server(number) => (0, number),
            Self::Client(number) => (1, number),
            Self::Hostile(number) => (2, number),
        };
        [kind, u8::try_from(number & 0xFF).unwrap_or(0)]
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(number) => write!(f, "server {number}"),
            Self::Client(number) => write!(f, "client {number}"),
            Self::Hostile(number) => write!(f, "stranger {number}"),
        }
    }
}

/// So many seconds.
#[must_use]
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// So many milliseconds.
#[must_use]
pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
