//! The two patterns of the Noise Protocol Framework (revision 34) that darkchat uses: XX for links, IK between devices.
//!
//! Names are those of the specification: `h` the running hash, `ck` the chaining key, `e` and `s` our ephemeral
//! and static keys, `re` and `rs` the other end's.

use crate::aead::{Aead, TAG, nonce};
use crate::dh::{NotContributory, StaticKey};
use crate::kdf::{self, Secret};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Why a handshake message was not taken. The state that read it is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoiseError {
    /// Too short for its keys and tags, or one message too many.
    Cut,
    /// Not made for this handshake, or altered.
    Unopened,
    /// A key of small order.
    WeakKey,
}

impl From<NotContributory> for NoiseError {
    fn from(NotContributory: NotContributory) -> Self {
        Self::WeakKey
    }
}

#[derive(Debug, Clone, Copy)]
enum Token {
    E,
    S,
    Mix(Dh),
}

/// A Diffie-Hellman result: the first letter is the initiator's key, the second the responder's.
#[derive(Debug, Clone, Copy)]
enum Dh {
    Ee,
    Es,
    Se,
    Ss,
}

use Dh::{Ee, Es, Se, Ss};
use Token::{E, Mix, S};

/// The keys of each message, in order.
type Pattern = &'static [&'static [Token]];

const XX: Pattern = &[&[E], &[E, Mix(Ee), S, Mix(Es)], &[S, Mix(Se)]];
const IK: Pattern = &[&[E, Mix(Es), S, Mix(Ss)], &[E, Mix(Ee), Mix(Se)]];

const XX_NAME: &[u8; 28] = b"Noise_XX_25519_AESGCM_SHA256";
const IK_NAME: &[u8; 28] = b"Noise_IK_25519_AESGCM_SHA256";

/// `SymmetricState` of the specification.
#[derive(Clone)]
struct Symmetric {
    h: [u8; 32],
    ck: Secret,
    key: Option<Aead>,
    /// Messages sealed or opened with `key`.
    n: u64,
}

impl Symmetric {
    fn new(name: &[u8; 28], prologue: &[u8]) -> Self {
        // A name shorter than a hash is padded with zeros, not hashed.
        let mut h = [0; 32];
        for (to, from) in h.iter_mut().zip(name) {
            *to = *from;
        }
        let mut state = Self { h, ck: Zeroizing::new(h), key: None, n: 0 };
        state.mix_hash(prologue);
        state
    }

    fn mix_hash(&mut self, bytes: &[u8]) {
        self.h = Sha256::new().chain_update(self.h).chain_update(bytes).finalize().into();
    }

    fn mix_key(&mut self, shared: &Secret) {
        let (ck, key) = kdf::noise(&self.ck, shared.as_slice());
        self.ck = ck;
        self.key = Some(Aead::new(&key));
        self.n = 0;
    }

    /// The nonce for the next message under the present key.
    fn next_nonce(&mut self) -> Result<[u8; 12], NoiseError> {
        let nonce = nonce(self.n);
        self.n = self.n.checked_add(1).ok_or(NoiseError::Cut)?;
        Ok(nonce)
    }

    fn encrypt_and_hash(&mut self, plain: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut text = Vec::with_capacity(plain.len().saturating_add(TAG));
        text.extend_from_slice(plain);
        let nonce = self.next_nonce()?;
        if let Some(key) = &self.key {
            let tag = key.seal(nonce, &self.h, &mut text).map_err(|_| NoiseError::Cut)?;
            text.extend_from_slice(&tag);
        }
        self.mix_hash(&text);
        Ok(text)
    }

    fn decrypt_and_hash(&mut self, sealed: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut text = sealed.to_vec();
        let nonce = self.next_nonce()?;
        if let Some(key) = &self.key {
            let len = key.open(nonce, &self.h, &mut text).map_err(|_| NoiseError::Unopened)?.len();
            text.truncate(len);
        }
        self.mix_hash(sealed);
        Ok(text)
    }
}

/// `HandshakeState` of the specification; each call to write or read takes the next message of the pattern.
///
/// A message that fails may leave the state half advanced: drop it, or keep a clone from before.
#[derive(Clone)]
pub(crate) struct Noise {
    symmetric: Symmetric,
    initiator: bool,
    left: Pattern,
    s: StaticKey,
    e: StaticKey,
    rs: Option<[u8; 32]>,
    re: Option<[u8; 32]>,
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symmetric: _, initiator, left, s, e, rs: _, re: _ } = self;
        let (left, s, e) = (left.len(), s, e);
        f.debug_struct("Noise")
            .field("initiator", initiator)
            .field("left", &left)
            .field("s", s)
            .field("e", e)
            .finish()
    }
}

impl Noise {
    /// XX, speaking first: neither side knows the other's static key before.
    pub(crate) fn xx_initiator(prologue: &[u8], s: StaticKey, e: StaticKey) -> Self {
        let symmetric = Symmetric::new(XX_NAME, prologue);
        Self { symmetric, initiator: true, left: XX, s, e, rs: None, re: None }
    }

    /// XX, answering.
    pub(crate) fn xx_responder(prologue: &[u8], s: StaticKey, e: StaticKey) -> Self {
        let symmetric = Symmetric::new(XX_NAME, prologue);
        Self { symmetric, initiator: false, left: XX, s, e, rs: None, re: None }
    }

    /// IK, speaking first, to the static key `rs` that is known before.
    pub(crate) fn ik_initiator(prologue: &[u8], s: StaticKey, e: StaticKey, rs: [u8; 32]) -> Self {
        let mut symmetric = Symmetric::new(IK_NAME, prologue);
        symmetric.mix_hash(&rs);
        Self { symmetric, initiator: true, left: IK, s, e, rs: Some(rs), re: None }
    }

    /// IK, answering.
    pub(crate) fn ik_responder(prologue: &[u8], s: StaticKey, e: StaticKey) -> Self {
        let mut symmetric = Symmetric::new(IK_NAME, prologue);
        symmetric.mix_hash(s.public());
        Self { symmetric, initiator: false, left: IK, s, e, rs: None, re: None }
    }

    /// IK as the answering side alone can write it, both messages: every agreement in it has one of that side's keys.
    /// `rs` and `re` are the public keys of who seems to speak first.
    pub(crate) fn ik_forger(prologue: &[u8], s: StaticKey, e: StaticKey, rs: [u8; 32], re: [u8; 32]) -> Self {
        Self { rs: Some(rs), re: Some(re), ..Self::ik_responder(prologue, s, e) }
    }

    /// Writes the first message in the place of who seems to have written it; [`write`](Self::write) writes the second.
    pub(crate) fn forge(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut message = Vec::new();
        for token in self.next_message()? {
            match token {
                E => {
                    let re = self.re.ok_or(NoiseError::Cut)?;
                    message.extend_from_slice(&re);
                    self.symmetric.mix_hash(&re);
                }
                S => {
                    let rs = self.rs.ok_or(NoiseError::Cut)?;
                    message.extend(self.symmetric.encrypt_and_hash(&rs)?);
                }
                Mix(dh) => self.mix(*dh)?,
            }
        }
        self.write_payload(&mut message, payload)?;
        Ok(message)
    }

    /// The running hash.
    pub(crate) const fn hash(&self) -> &[u8; 32] {
        &self.symmetric.h
    }

    /// The other end's static key, once it is known.
    pub(crate) const fn remote_static(&self) -> Option<&[u8; 32]> {
        self.rs.as_ref()
    }

    /// The other end's ephemeral key, once it is known.
    pub(crate) const fn remote_ephemeral(&self) -> Option<&[u8; 32]> {
        self.re.as_ref()
    }

    /// Our static public key.
    pub(crate) const fn local_static(&self) -> &[u8; 32] {
        self.s.public()
    }

    fn next_message(&mut self) -> Result<&'static [Token], NoiseError> {
        let (tokens, left) = self.left.split_first().ok_or(NoiseError::Cut)?;
        self.left = left;
        Ok(tokens)
    }

    /// Writes the keys of the next message; [`write_payload`](Self::write_payload) completes it.
    pub(crate) fn write_keys(&mut self) -> Result<Vec<u8>, NoiseError> {
        let mut message = Vec::new();
        for token in self.next_message()? {
            match token {
                E => {
                    message.extend_from_slice(self.e.public());
                    self.symmetric.mix_hash(self.e.public());
                }
                S => message.extend(self.symmetric.encrypt_and_hash(self.s.public())?),
                Mix(dh) => self.mix(*dh)?,
            }
        }
        Ok(message)
    }

    /// Adds the payload to a message that [`write_keys`](Self::write_keys) began.
    pub(crate) fn write_payload(&mut self, message: &mut Vec<u8>, payload: &[u8]) -> Result<(), NoiseError> {
        message.extend(self.symmetric.encrypt_and_hash(payload)?);
        Ok(())
    }

    /// Writes the next message of the pattern.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut message = self.write_keys()?;
        self.write_payload(&mut message, payload)?;
        Ok(message)
    }

    /// Reads the next message of the pattern and returns its payload.
    pub(crate) fn read(&mut self, mut message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        for token in self.next_message()? {
            match token {
                E => {
                    let (re, rest) = message.split_first_chunk::<32>().ok_or(NoiseError::Cut)?;
                    self.symmetric.mix_hash(re);
                    self.re = Some(*re);
                    message = rest;
                }
                S => {
                    let (sealed, rest) =
                        message.split_first_chunk::<{ 32 + TAG }>().ok_or(NoiseError::Cut)?;
                    let rs = self.symmetric.decrypt_and_hash(sealed)?;
                    self.rs = Some(rs.try_into().map_err(|_| NoiseError::Cut)?);
                    message = rest;
                }
                Mix(dh) => self.mix(*dh)?,
            }
        }
        self.symmetric.decrypt_and_hash(message)
    }

    fn mix(&mut self, dh: Dh) -> Result<(), NoiseError> {
        let (ours, theirs) = match (dh, self.initiator) {
            (Ee, _) => (&self.e, &self.re),
            (Ss, _) => (&self.s, &self.rs),
            (Es, true) | (Se, false) => (&self.e, &self.rs),
            (Es, false) | (Se, true) => (&self.s, &self.re),
        };
        let shared = ours.agree(theirs.as_ref().ok_or(NoiseError::Cut)?)?;
        self.symmetric.mix_key(&shared);
        Ok(())
    }

    /// The two keys after the last message: from initiator to responder, and back.
    pub(crate) fn split(&self) -> (Secret, Secret) {
        kdf::noise(&self.symmetric.ck, &[])
    }
}

#[cfg(test)]
mod tests;
