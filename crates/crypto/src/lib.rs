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
//! | a server that carries a direct message | it reads nothing, changes nothing, and does not learn who calls | [`direct`], [`ratchet`] |
//! | a thief of a device | what was said before stays secret; what is said after a round trip is secret again | [`ratchet`] |
//! | who shows a direct message around | it proves nothing: its receiver could have written it | [`forge`] |
//! | who was a member of a private channel | nothing after the rekey opens | [`group`] |
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
//!
//! # A direct message
//!
//! Alice calls Bob's device, whose bundle she has looked up. Servers carry three packets.
//!
//! ```
//! use darkchat_crypto::bundle::{self, Expected};
//! use darkchat_crypto::direct::{Answering, Callee, Calling};
//! use darkchat_crypto::{Identity, StaticKey, sign, system, verify};
//! use darkchat_proto::{
//!     Bundle, ContentId, DeviceId, DmContent, Features, InitPayload, Network, Packet, ServerId, Signed, Time,
//! };
//!
//! let (network, now_ms, now) = (Network::default(), 1_800_000_000_000, Time::ZERO);
//! let rng = &mut system::rng();
//! // Each device has a short-lived key, and its user has signed where it is.
//! let sign_bundle = |user: &Identity, key: &StaticKey| {
//!     let body = Bundle {
//!         suite: bundle::SUITE,
//!         user: user.user_id(),
//!         device: DeviceId::new([1; 16]),
//!         dh: *key.public(),
//!         not_before_ms: now_ms,
//!         not_after_ms: now_ms + bundle::ROTATE_MS,
//!         server: ServerId::new([9; 32]),
//!         features: Features::NONE,
//!     }
//!     .encode();
//!     Signed { sig: user.sign(&sign::bundle(&network, &body)), body }
//! };
//! let (alice, bob) = (Identity::generate(), Identity::generate());
//! let (alices_key, bobs_key) = (StaticKey::generate(rng), StaticKey::generate(rng));
//! let (alices_bundle, bobs_bundle) = (sign_bundle(&alice, &alices_key), sign_bundle(&bob, &bobs_key));
//!
//! // INIT: only Bob's device learns who calls.
//! let bundle = verify::bundle(&network, &bobs_bundle)?;
//! bundle::check(&bundle, &Expected::of(bob.user_id()), now_ms)?;
//! let callee = Callee::of(&bundle, &bobs_bundle.body);
//! let payload = InitPayload { bundle: alices_bundle, time_ms: now_ms, features: Features::NONE };
//! let (calling, init) = Calling::start(&network, &alices_key, &callee, &payload.encode(), rng)?;
//!
//! // RESP: Bob has seen Alice's key proven.
//! let own = Callee::own(bob.user_id(), DeviceId::new([1; 16]), &bobs_key, &bobs_bundle.body);
//! let (answering, payload) = Answering::read_init(&network, &bobs_key, &own, &init, rng)?;
//! let (caller, _) = answering.caller(&network, &payload, now_ms)?;
//! assert_eq!(caller.user, alice.user_id());
//! let (half_open, resp) = answering.establish(Features::NONE, now, rng)?;
//!
//! // The first message, and the answer.
//! let (mut alices, _) = calling.establish(&resp, now, rng)?;
//! let content = DmContent::text(ContentId::new([7; 16]), now_ms, "psst");
//! let packet = alices.seal(now, &content.encode_padded())?;
//! let Packet::Message { head, sealed } = Packet::decode(packet)? else { unreachable!("a message") };
//! let (mut bobs, plain) = half_open.open(now, &head, &sealed, rng)?;
//! assert_eq!(DmContent::decode_padded(plain)?, content);
//!
//! let packet = bobs.seal(now, &DmContent::text(ContentId::new([8; 16]), now_ms, "yes?").encode_padded())?;
//! let Packet::Message { head, sealed } = Packet::decode(packet)? else { unreachable!("a message") };
//! assert_eq!(DmContent::decode_padded(alices.open(now, &head, &sealed, rng)?)?.body, "yes?");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(clippy::indexing_slicing)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod aead;
pub mod bundle;
mod dh;
pub mod direct;
mod fingerprint;
pub mod forge;
pub mod group;
mod handshake;
mod identity;
mod kdf;
mod label;
mod noise;
pub mod ratchet;
mod record;
mod seeded;
pub mod sign;
#[cfg(feature = "system")]
pub mod system;
pub mod verify;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod wycheproof;

pub use dh::StaticKey;
pub use fingerprint::Fingerprints;
pub use handshake::{
    Authenticated, Credentials, Dialler, Established, HandshakeError, Initiator, InitiatorProof, LinkConfig,
    NetworkSecret, Responder, ResponderWaiting, ServerHello,
};
pub use identity::{Identity, SignRequest};
pub use label::Context;
pub use record::{MAX_RECORD, OpenError, Opener, SealError, Sealer};
pub use seeded::SeededRng;
pub use verify::{Verified, VerifyError};
