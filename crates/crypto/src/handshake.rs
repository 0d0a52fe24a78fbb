//! The handshake of a link: Noise XX, in which both ends sign the running hash. Source: `docs/protocol.md`, section 3.2.
//!
//! ```text
//! Initiator::start ──── message 1: Hello, in clear ───▶ Responder::read_hello
//!                                                         │ signs h1 ‖ its static key
//! Initiator::read_reply ◀─ message 2: HelloReply ──────── Responder::reply
//!   │ signs h2 ‖ its static key ‖ the server's identity
//! InitiatorProof::finish ─ message 3: Auth ─────────────▶ ResponderWaiting::read_auth
//!   ▼                                                     ▼
//! Established                                           Established, Credentials
//! ```
//!
//! Each step consumes the one before, so what may be called is what exists. An error ends the handshake: the link
//! is closed without a byte, and nothing was learned that could be used.

mod initiator;
mod responder;

pub use initiator::{Initiator, InitiatorProof};
pub use responder::{Responder, ResponderWaiting, ServerHello};

use crate::label::{LINK_PROLOGUE, NETWORK_SECRET, PREFIX};
use crate::noise::{Noise, NoiseError};
use crate::record::{Opener, Sealer};
use crate::verify::BadSignature;
use crate::{Context, SignRequest};
use bytes::Bytes;
use darkchat_proto::limits::{MAX_AGENT, MAX_HANDSHAKE_UNIT, MAX_TOKEN};
use darkchat_proto::{
    Announced, Code, DecodeError, DeviceId, Features, Network, Resume, Role, ServerId, UserId, VERSION,
};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// The protocol versions that this crate speaks.
const VERSIONS: [u32; 1] = [VERSION];

/// The secret of a closed network: 32 random bytes (never a password), the same at all its servers and clients.
///
/// Without it, message 2 of a handshake does not open and message 3 cannot be made. Wiped on drop, never printed.
#[derive(Clone)]
pub struct NetworkSecret(Zeroizing<[u8; 32]>);

impl NetworkSecret {
    /// Takes the secret's bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("NetworkSecret(..)")
    }
}

/// What both ends of a link must have in common, and the features that this end offers.
#[derive(Debug, Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain configuration, made by servers and clients")]
pub struct LinkConfig {
    /// The network's name.
    pub network: Network,
    /// The secret of a closed network; `None` on an open one.
    pub secret: Option<NetworkSecret>,
    /// The features that this end offers; those that both offer are used.
    pub features: Features,
}

impl LinkConfig {
    /// `"dchat/1/link" 0x00 network 0x00 NS`: what both ends must agree on before the first byte.
    fn prologue(&self) -> Vec<u8> {
        let secret = match &self.secret {
            None => [0; 32],
            Some(NetworkSecret(secret)) => {
                Sha256::new().chain_update(NETWORK_SECRET).chain_update(secret.as_slice()).finalize().into()
            }
        };
        [PREFIX, LINK_PROLOGUE, &[0], self.network.as_bytes(), &[0], &secret].concat()
    }
}

/// As what the initiator comes. It is part of what it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Dialler {
    /// A user's program, with its installation's id.
    Client(DeviceId),
    /// Another server.
    Peer,
}

impl Dialler {
    const fn role(self) -> Role {
        match self {
            Self::Client(_) => Role::Client,
            Self::Peer => Role::Peer,
        }
    }

    const fn device(self) -> Option<DeviceId> {
        match self {
            Self::Client(device) => Some(device),
            Self::Peer => None,
        }
    }
}

/// What an initiator tells beside its proof. Empty for most.
#[derive(Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the wire's fields; a new one is a new protocol feature")]
pub struct Credentials {
    /// A bearer token, where the server asks for one; a secret, never printed. At most 512 bytes.
    pub token: String,
    /// The program's name and version, for logs. At most 64 bytes.
    pub agent: String,
    /// The session to resume, if any.
    pub resume: Option<Resume>,
}

impl Credentials {
    fn check(&self) -> Result<(), HandshakeError> {
        for (what, text, max) in [("token", &self.token, MAX_TOKEN), ("agent", &self.agent, MAX_AGENT)] {
            if text.len() > max {
                return Err(HandshakeError::Credentials { what, len: text.len(), max });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, agent, resume } = self;
        let resume = resume.as_ref().map(|resume| resume.received);
        f.debug_struct("Credentials").field("agent", agent).field("resume", &resume).finish_non_exhaustive()
    }
}

/// The proven other end of a link. Only a finished handshake makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    identity: [u8; 32],
    role: Role,
    device: Option<DeviceId>,
    features: Features,
    announced: Announced,
}

impl Authenticated {
    /// The other end's Ed25519 public key.
    #[must_use]
    pub const fn identity(&self) -> &[u8; 32] {
        &self.identity
    }

    /// The other end as a user, if it is one: it dialled us as a client.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        if self.device.is_some() { Some(UserId::new(self.identity)) } else { None }
    }

    /// The other end as a server, if it is one: we dialled it, or it dialled us as a peer.
    #[must_use]
    pub const fn server(&self) -> Option<ServerId> {
        if self.device.is_none() { Some(ServerId::new(self.identity)) } else { None }
    }

    /// The role in which the initiator of this link came, whichever end that is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The other end's device; `Some` exactly if it is a user.
    #[must_use]
    pub const fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// The features that both ends offered.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// What the other end announced, if we dialled it; a responder is told nothing, and has zeros here.
    #[must_use]
    pub const fn announced(&self) -> &Announced {
        &self.announced
    }

    /// A proof without a handshake, for the simulator alone. With a device it is a user, without one a server.
    #[must_use]
    pub fn unchecked(identity: [u8; 32], role: Role, device: Option<DeviceId>, features: Features) -> Self {
        Self { identity, role, device, features, announced: Announced::default() }
    }
}

/// A finished handshake: who is there, and the keys of both directions.
///
/// The responder still has to admit the other end: role, lists and limits are not judged here.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established {
    /// The proven other end.
    pub peer: Authenticated,
    /// Seals what we send.
    pub sealer: Sealer,
    /// Opens what comes in.
    pub opener: Opener,
}

/// Why there is no link. The handshake's state is gone; close without a byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The other end sent more than a handshake message may have.
    #[error("a handshake message has at most {max} bytes: {len}")]
    TooLong {
        /// What came, in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        max: usize,
    },
    /// The other end sent something that is no handshake message.
    #[error("malformed handshake message: {0}")]
    Malformed(#[from] DecodeError),
    /// The other end sent less than its keys and tags need.
    #[error("handshake message cut short")]
    Cut,
    /// A message does not open: another network's name or secret, or it was altered on the way.
    #[error("handshake message does not open: another network or secret, or altered on the way")]
    Unopened,
    /// The other end sent a key of small order, which would agree on nothing.
    #[error("weak key in the handshake")]
    WeakKey,
    /// The other end does not prove the key that it names, or the key is weak.
    #[error("the other end's identity is not proven")]
    BadSignature,
    /// No protocol version in common. A responder sends its answer first, see [`Responder::reply`].
    #[error("no protocol version in common; the other end speaks: {theirs:?}")]
    Version {
        /// The versions that the other end named.
        theirs: Vec<u32>,
    },
    /// Another server answers than the expected one: the address is wrong, the server has a new key, or somebody
    /// stands between. Nothing was shown to it.
    #[error("server key differs, expected: {expected}, found: {found}")]
    WrongServer {
        /// The key that was expected or pinned.
        expected: ServerId,
        /// The key that the server named, not proven.
        found: ServerId,
    },
    /// We were asked to send credentials that are too long; shorten them.
    #[error("{what} is longer than {max} bytes: {len}")]
    Credentials {
        /// `"token"` or `"agent"`.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        max: usize,
    },
}

impl HandshakeError {
    /// The code under which the closed link is counted; it is not sent.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooLong { .. } | Self::Credentials { .. } => Code::TooLarge,
            Self::Malformed(error) => error.code(),
            Self::Cut | Self::Unopened => Code::BadFrame,
            Self::WeakKey | Self::BadSignature => Code::BadSignature,
            Self::Version { .. } => Code::Version,
            Self::WrongServer { .. } => Code::Unauthorized,
        }
    }
}

impl From<NoiseError> for HandshakeError {
    fn from(error: NoiseError) -> Self {
        match error {
            NoiseError::Cut => Self::Cut,
            NoiseError::Unopened => Self::Unopened,
            NoiseError::WeakKey => Self::WeakKey,
        }
    }
}

impl From<BadSignature> for HandshakeError {
    fn from(BadSignature: BadSignature) -> Self {
        Self::BadSignature
    }
}

/// Reads the next message of the pattern, which has at most the length that a stranger may send.
fn read(noise: &mut Noise, message: &Bytes) -> Result<Bytes, HandshakeError> {
    if message.len() > MAX_HANDSHAKE_UNIT {
        return Err(HandshakeError::TooLong { len: message.len(), max: MAX_HANDSHAKE_UNIT });
    }
    Ok(noise.read(message)?.into())
}

/// `h1 ‖ s_R`, signed by the responder.
fn responder_request(network: &Network, h1: &[u8; 32], responder_static: &[u8; 32]) -> SignRequest {
    SignRequest::new(Context::LinkServer, network, &[h1, responder_static])
}

/// `h2 ‖ s_I ‖ server`, signed by the initiator under the label of its role.
fn initiator_request(
    network: &Network,
    role: Role,
    h2: &[u8; 32],
    initiator_static: &[u8; 32],
    server: &[u8; 32],
) -> SignRequest {
    let context = match role {
        Role::Client => Context::LinkClient,
        _ => Context::LinkPeer,
    };
    SignRequest::new(context, network, &[h2, initiator_static, server])
}

#[cfg(test)]
mod tests;
