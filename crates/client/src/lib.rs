//! A darkchat user, as a library.

mod builder;
mod channel;
mod client;
mod error;
mod known;
mod message;
mod queue;
mod room;
mod run;
mod sender;
pub mod session;
mod state;

pub use builder::Builder;
pub use channel::{Channel, MemberChanges};
pub use client::Client;
pub use error::{ConnectError, JoinError, SendError, TrySendError};
pub use known::{KnownServers, KnownServersError};
pub use message::{Cause, Content, Member, MemberChange, Message, Missed, Payload, Received, Sent};
pub use sender::Sender;
pub use session::{State, Stats};
pub use state::{Note, Notes, StateWatch};

/// The README's examples, which compile like all others.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
