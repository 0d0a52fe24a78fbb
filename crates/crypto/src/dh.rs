//! X25519 key pairs, and an agreement that fails where it would agree on nothing.

use crate::kdf::Secret;
use rand_core::CryptoRng;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The other key is of small order: the result would be zero whatever our key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotContributory;

/// An X25519 key pair: a server's for one process, a device's for half a day, or one handshake's.
///
/// It carries no identity; that is what signatures are for. The secret is wiped on drop and never printed.
///
/// ```
/// use darkchat_crypto::{StaticKey, system};
/// let key = StaticKey::generate(&mut system::rng());
/// assert_ne!(key.public(), StaticKey::generate(&mut system::rng()).public());
/// ```
#[derive(Clone)]
pub struct StaticKey {
    secret: StaticSecret,
    public: [u8; 32],
}

impl StaticKey {
    /// Takes 32 bytes of randomness for a new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self::from_bytes(&bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*bytes);
        let public = PublicKey::from(&secret).to_bytes();
        Self { secret, public }
    }

    /// A pair whose halves do not belong together: what a hostile party may send.
    #[cfg(test)]
    pub(crate) fn claiming(public: [u8; 32]) -> Self {
        Self { secret: StaticSecret::from([1; 32]), public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The X25519 shared secret with `theirs`; an all-zero result is an error (RFC 7748, section 6.1).
    pub(crate) fn agree(&self, theirs: &[u8; 32]) -> Result<Secret, NotContributory> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(*theirs));
        if shared.was_contributory() { Ok(Zeroizing::new(shared.to_bytes())) } else { Err(NotContributory) }
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret: _, public } = self;
        write!(f, "StaticKey({})", data_encoding::HEXLOWER.encode(public))
    }
}
