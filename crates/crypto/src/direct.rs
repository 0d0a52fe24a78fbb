//! The handshake of two devices for direct messages: Noise IK in two packets. Source: `docs/protocol.md`, section 7.3.
//!
//! ```text
//! Calling::start ──── INIT: our bundle, sealed to the callee's key ───▶ Answering::read_init
//! Calling::read_resp ◀─ RESP: a fresh ratchet key ───────────────────── Answering::reply
//!   ▼                                                                    ▼
//! DirectKeys ───────────────────── the same on both sides ───────────── DirectKeys
//! ```
//!
//! What the packets carry is opaque here; the caller's bundle inside INIT is for the session to verify, with
//! [`Answering::caller_dh`] as the key that it must name. Packets may be forged by any server on the way, so a packet
//! that fails changes nothing: the right one is still taken.

use crate::Verified;
use crate::dh::StaticKey;
use crate::kdf::{Secret, derive};
use crate::label::{DIRECT_PROLOGUE, DIRECT_ROOT, DIRECT_SESSION, PREFIX};
use crate::noise::{Noise, NoiseError};
use bytes::Bytes;
use darkchat_proto::{Bundle, DeviceId, Network, UserId};
use data_encoding::HEXLOWER;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// First byte of an INIT packet.
const INIT: u8 = 1;
/// First byte of a RESP packet.
const RESP: u8 = 2;

/// Why a packet was not taken. Nothing has changed; drop it and wait for the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// Not a packet of the expected kind.
    #[error("not the expected packet of a direct handshake")]
    Malformed,
    /// For another bundle of this device, or an answer to another INIT.
    #[error("packet of another direct handshake")]
    Other,
    /// It does not open: altered, or made for somebody else.
    #[error("packet of a direct handshake does not open")]
    Refused,
    /// A key of small order, which would agree on nothing.
    #[error("weak key in a direct handshake")]
    WeakKey,
}

impl From<NoiseError> for DirectError {
    fn from(error: NoiseError) -> Self {
        match error {
            NoiseError::Cut | NoiseError::Unopened => Self::Refused,
            NoiseError::WeakKey => Self::WeakKey,
        }
    }
}

/// Which bundle an INIT was made for: the first 4 bytes of SHA-256 over its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// The bundle that an INIT packet names, or `None` if it is no such packet. Bundles may share one by chance.
    #[must_use]
    pub fn of_init(packet: &[u8]) -> Option<Self> {
        Some(split_init(packet)?.0)
    }
}

/// Which INIT a RESP answers: the first 8 bytes of SHA-256 over its Noise message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InitRef([u8; 8]);

impl InitRef {
    /// The INIT that a RESP packet answers, or `None` if it is no such packet.
    #[must_use]
    pub fn of_resp(packet: &[u8]) -> Option<Self> {
        Some(split_resp(packet)?.0)
    }

    fn of_message(noise1: &[u8]) -> Self {
        Self(first(&Sha256::digest(noise1).into()))
    }
}

fn split_init(packet: &[u8]) -> Option<(KeyId, &[u8])> {
    let (id, message) = packet.strip_prefix(&[INIT])?.split_first_chunk()?;
    Some((KeyId(*id), message))
}

fn split_resp(packet: &[u8]) -> Option<(InitRef, &[u8])> {
    let (id, message) = packet.strip_prefix(&[RESP])?.split_first_chunk()?;
    Some((InitRef(*id), message))
}

fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}

/// The device that is called, as both sides must see it: user, device, and the bundle's very bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callee {
    user: UserId,
    device: DeviceId,
    dh: [u8; 32],
    hash: [u8; 32],
}

impl Callee {
    /// Another device by its bundle; `body` are the bytes that were verified.
    #[must_use]
    pub fn of(bundle: &Verified<Bundle>, body: &[u8]) -> Self {
        Self { user: bundle.user, device: bundle.device, dh: bundle.dh, hash: Sha256::digest(body).into() }
    }

    /// Our own device; `body` are the bytes of the bundle that we made for `key`.
    #[must_use]
    pub fn own(user: UserId, device: DeviceId, key: &StaticKey, body: &[u8]) -> Self {
        Self { user, device, dh: *key.public(), hash: Sha256::digest(body).into() }
    }

    /// The short name of the bundle in INIT packets.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId(first(&self.hash))
    }

    /// `"dchat/1/dm" 0x00 network 0x00 ‖ user ‖ device ‖ SHA-256(bundle body)`
    fn prologue(&self, network: &Network) -> Vec<u8> {
        let Self { user, device, dh: _, hash } = self;
        let head = [PREFIX, DIRECT_PROLOGUE, &[0], network.as_bytes(), &[0]].concat();
        [head.as_slice(), user.as_bytes(), device.as_bytes(), hash].concat()
    }
}

/// What both devices have after the handshake: the seed of a double ratchet. The root key is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectKeys {
    hash: [u8; 32],
    session: [u8; 8],
    root: Secret,
}

impl DirectKeys {
    fn new(noise: &Noise) -> Self {
        let hash = *noise.hash();
        let (k1, k2) = noise.split();
        let both = zeroize::Zeroizing::new([k1.as_slice(), k2.as_slice()].concat());
        let session = *derive(&hash, &both, DIRECT_SESSION);
        Self { hash, session, root: derive(&hash, &both, DIRECT_ROOT) }
    }

    /// The hash over the whole handshake: both identities, bundles and ephemeral keys. Not secret.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The session's name in its packets. Not secret.
    #[must_use]
    pub const fn session(&self) -> &[u8; 8] {
        &self.session
    }

    /// The ratchet's first root key. Secret.
    #[must_use]
    pub fn root(&self) -> &[u8; 32] {
        &self.root
    }
}

impl fmt::Debug for DirectKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hash: _, session, root: _ } = self;
        write!(f, "DirectKeys({})", HEXLOWER.encode(session))
    }
}

/// The device that calls; has sent INIT and waits for RESP.
#[derive(Debug)]
pub struct Calling {
    noise: Noise,
    reference: InitRef,
}

impl Calling {
    /// Makes INIT, which is repeated as it is until RESP comes. `own` is the key of our bundle, `payload` an encoded
    /// `InitPayload` with that bundle. Takes 32 bytes of randomness.
    ///
    /// # Errors
    /// [`DirectError::WeakKey`] if the callee's key is of small order.
    pub fn start(
        network: &Network,
        own: &StaticKey,
        callee: &Callee,
        payload: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Bytes), DirectError> {
        let ephemeral = StaticKey::generate(rng);
        let mut noise = Noise::ik_initiator(&callee.prologue(network), own.clone(), ephemeral, callee.dh);
        let message = noise.write(payload)?;
        let packet = [&[INIT], callee.key_id().0.as_slice(), &message].concat();
        Ok((Self { noise, reference: InitRef::of_message(&message) }, packet.into()))
    }

    /// What the RESP to our INIT begins with.
    #[must_use]
    pub const fn reference(&self) -> InitRef {
        self.reference
    }

    /// Reads RESP; returns the keys and the encoded `RespPayload`. Drop the call after it, which wipes its keys.
    ///
    /// # Errors
    /// [`DirectError`]; the call goes on waiting.
    pub fn read_resp(&self, packet: &[u8]) -> Result<(DirectKeys, Bytes), DirectError> {
        let (reference, message) = split_resp(packet).ok_or(DirectError::Malformed)?;
        if reference != self.reference {
            return Err(DirectError::Other);
        }
        let mut noise = self.noise.clone();
        let payload = noise.read(message)?;
        Ok((DirectKeys::new(&noise), payload.into()))
    }
}

/// The device that is called; has read INIT.
#[derive(Debug)]
pub struct Answering {
    noise: Noise,
    reference: InitRef,
}

impl Answering {
    /// Reads INIT; returns the encoded `InitPayload` too. `own` is the key of the bundle in `callee`. Takes 32 bytes of
    /// randomness.
    ///
    /// # Errors
    /// [`DirectError`]; drop the packet.
    pub fn read_init(
        network: &Network,
        own: &StaticKey,
        callee: &Callee,
        packet: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Bytes), DirectError> {
        let (id, message) = split_init(packet).ok_or(DirectError::Malformed)?;
        if id != callee.key_id() {
            return Err(DirectError::Other);
        }
        let mut noise = Noise::ik_responder(&callee.prologue(network), own.clone(), StaticKey::generate(rng));
        let payload = noise.read(message)?;
        Ok((Self { noise, reference: InitRef::of_message(message) }, payload.into()))
    }

    /// The caller's key, proven to be held by who wrote INIT: the bundle in the payload must name it.
    #[must_use]
    pub fn caller_dh(&self) -> [u8; 32] {
        self.noise.remote_static().copied().unwrap_or_default()
    }

    /// The caller's ephemeral key; an INIT with one that was seen before is a repeat.
    #[must_use]
    pub fn caller_ephemeral(&self) -> [u8; 32] {
        self.noise.remote_ephemeral().copied().unwrap_or_default()
    }

    /// Which INIT this answers.
    #[must_use]
    pub const fn reference(&self) -> InitRef {
        self.reference
    }

    /// Makes RESP, which is kept to answer repeats of INIT; `payload` is an encoded `RespPayload`.
    ///
    /// # Errors
    /// [`DirectError::WeakKey`] if the caller's ephemeral key is of small order.
    pub fn reply(self, payload: &[u8]) -> Result<(DirectKeys, Bytes), DirectError> {
        let Self { mut noise, reference } = self;
        let message = noise.write(payload)?;
        let packet = [&[RESP], reference.0.as_slice(), &message].concat();
        Ok((DirectKeys::new(&noise), packet.into()))
    }
}

#[cfg(test)]
mod tests;
