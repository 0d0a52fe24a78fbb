//! Identity: the secret behind a user or a server. It signs on request and never leaves.

use crate::label::{Context, PREFIX};
use darkchat_proto::{Network, ServerId, Signature, UserId};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer as _, SigningKey};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// The exact bytes that somebody is asked to sign. Source: `docs/protocol.md`, section 2, "signature input".
///
/// Only this crate makes one, so whoever signs requests signs nothing else. The signer may be an [`Identity`],
/// a hardware key, an agent in another process, or a person who copies [`bytes`](Self::bytes) in hexadecimal
/// digits: what comes back is 64 bytes of Ed25519 over exactly these bytes.
///
/// What is signed may be a secret, as a rekey of a private channel is: the bytes are wiped on drop and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SignRequest {
    context: Context,
    bytes: Zeroizing<Vec<u8>>,
}

impl SignRequest {
    /// `"dchat/1/" ‖ label ‖ 0x00 ‖ network ‖ 0x00 ‖ parts…`
    pub(crate) fn new(context: Context, network: &Network, parts: &[&[u8]]) -> Self {
        let head = [PREFIX, context.label().as_bytes(), &[0], network.as_bytes(), &[0]];
        let len = head.iter().chain(parts).map(|part| part.len()).sum();
        // As long as it will be: a buffer that grows would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        for part in head.iter().chain(parts) {
            bytes.extend_from_slice(part);
        }
        Self { context, bytes }
    }

    /// What the signature will be for; its label stands in the bytes.
    #[must_use]
    pub const fn context(&self) -> Context {
        self.context
    }

    /// The bytes to sign, as they are: no hash before, no prefix added.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SignRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, bytes } = self;
        f.debug_struct("SignRequest")
            .field("context", context)
            .field("len", &bytes.len())
            .finish_non_exhaustive()
    }
}

/// The long-lived Ed25519 secret of a user or a server.
///
/// It is wiped on drop, prints only its public half, and cannot be cloned: those who share it share an
/// [`Arc`](std::sync::Arc).
///
/// ```
/// use darkchat_crypto::{Identity, sign};
/// use darkchat_proto::Network;
///
/// let alice = Identity::generate();
/// let request = sign::post(&Network::default(), b"an encoded post");
/// let signature = alice.sign(&request);
/// assert_eq!(signature.as_bytes().len(), 64);
/// assert!(alice.user_id().to_string().starts_with('u'));
/// ```
pub struct Identity(SigningKey);

impl Identity {
    /// The identity of a 32-byte seed, which must be random and secret. Our copy of it is wiped.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self(key)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The public key as a user's id.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        UserId::new(self.public())
    }

    /// The public key as a server's id.
    #[must_use]
    pub fn server_id(&self) -> ServerId {
        ServerId::new(self.public())
    }

    /// Signs what was asked for.
    #[must_use]
    pub fn sign(&self, request: &SignRequest) -> Signature {
        Signature::new(self.0.sign(request.bytes()).to_bytes())
    }

    /// The seed, for its file.
    #[cfg(feature = "system")]
    pub(crate) fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key) = self;
        write!(f, "Identity({})", HEXLOWER.encode(key.verifying_key().as_bytes()))
    }
}
