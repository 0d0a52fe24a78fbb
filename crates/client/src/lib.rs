//! A darkchat user, as a library.

mod message;
pub mod session;

pub use message::{Cause, Content, Member, MemberChange, Message, Missed, Payload, Received, Sent};
