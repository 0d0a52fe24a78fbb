//! Keys, links, signatures and proofs of the darkchat protocol: bytes in, bytes out, no socket and no clock.
//!
//! # What this crate promises
//!
//! | against | promise | by |
//! |---|---|---|
//! | who reads the network | no payload and no client's identity is readable | Noise XX inside every link ([`Initiator`], [`Responder`]) |
//! | who alters the network | nothing altered, repeated, reordered or reflected is taken; nothing falls back to less | the running hash; [`Opener`] counts records |
//! | who poses as a server or a user | a key is proven by a signature over both fresh keys, or there is no link | [`Authenticated`] |
//! | who collects signatures | a signature serves one purpose, one network and one handshake | [`Context`], [`SignRequest`] |
//! | who offers odd keys | keys and points of small order, and second encodings, are refused | [`verify`], [`StaticKey`] |
//! | who reads memory later | secrets are wiped on drop and never printed | [`Identity`], [`Sealer`], [`Opener`] |
//!
//! What it does not do: hide sizes and times, resist quantum computers, or protect a process from itself.
//!
//! Proofs are values: [`Authenticated`] and [`Verified`] come out of checks and from nowhere else, so code that
//! takes them cannot forget the check. Randomness is passed in; the module `system`
//! (feature `system`) has the operating system's, with key files. The normative description is `docs/protocol.md`; sections are cited where they are implemented.
//!
//! # A link
//!
//! Alice dials Bob's server and sends one record. Each side signs what it is asked to; nobody hands over a key.
//!
//! ```
//! use bytes::BytesMut;
//! use darkchat_crypto::{
//!     Credentials, Dialler, Identity, Initiator, LinkConfig, Responder, ServerHello, StaticKey, system,
//! };
//! use darkchat_proto::DeviceId;
//!
//! let (alice, bob) = (Identity::generate(), Identity::generate());
//! let config = LinkConfig::default();
//! let bobs_key = StaticKey::generate(&mut system::rng());
//! let bobs_hello = ServerHello::new(bob.server_id());
//!
//! // Three messages. Alice shows her identity only to a server that has proven its own.
//! let as_client = Dialler::Client(DeviceId::new([1; 16]));
//! let (initiator, message1) =
//!     Initiator::start(&config, as_client, Some(bob.server_id()), &mut system::rng());
//! let (responder, request) = Responder::read_hello(&config, &bobs_key, bobs_hello, message1, &mut system::rng())?;
//! let (message2, next) = responder.reply(bob.sign(&request));
//! let bobs_side = next?;
//! let proof = initiator.read_reply(message2)?;
//! let signature = alice.sign(&proof.request());
//! let (message3, mut alices_link) = proof.finish(alice.public(), signature, Credentials::default())?;
//! let (mut bobs_link, _credentials) = bobs_side.read_auth(message3)?;
//!
//! assert_eq!(bobs_link.peer.user(), Some(alice.user_id()));
//! assert_eq!(alices_link.peer.server(), Some(bob.server_id()));
//!
//! // Records: encrypted in place, in order.
//! let mut record = BytesMut::from("hello, bob");
//! alices_link.sealer.seal(&mut record)?;
//! assert_eq!(bobs_link.opener.open(record)?, "hello, bob".as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(clippy::indexing_slicing)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod aead;
mod dh;
pub mod direct;
mod handshake;
mod identity;
mod kdf;
mod label;
mod noise;
mod record;
pub mod sign;
#[cfg(feature = "system")]
pub mod system;
pub mod verify;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod wycheproof;

pub use dh::StaticKey;
pub use handshake::{
    Authenticated, Credentials, Dialler, Established, HandshakeError, Initiator, InitiatorProof, LinkConfig,
    NetworkSecret, Responder, ResponderWaiting, ServerHello,
};
pub use identity::{Identity, SignRequest};
pub use label::Context;
pub use record::{MAX_RECORD, OpenError, Opener, SealError, Sealer};
pub use verify::{Verified, VerifyError};
