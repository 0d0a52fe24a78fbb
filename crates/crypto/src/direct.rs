//! The handshake of two devices for direct messages: Noise IK in two packets. Source: `docs/protocol.md`, section 7.3.
//!
//! ```text
//! Calling::start ──── INIT: our bundle, sealed to the callee's key ───▶ Answering::read_init
//! Calling::read_resp ◀─ RESP: a fresh ratchet key ───────────────────── Answering::reply
//!   ▼                                                                    ▼
//! DirectKeys ───────────────────── the same on both sides ───────────── DirectKeys
//! ```
//!
//! What the packets carry is opaque to the handshake. [`Answering::caller`] verifies what INIT carries, and
//! [`Calling::establish`] and [`Answering::establish`] go on to the [`ratchet`](crate::ratchet). Packets may be forged
//! by any server on the way, so a packet that fails changes nothing: the right one is still taken.

use crate::bundle::{self, Expected};
use crate::dh::StaticKey;
use crate::kdf::{Secret, derive};
use crate::label::{DIRECT_PROLOGUE, DIRECT_ROOT, DIRECT_SESSION, PREFIX};
use crate::noise::{Noise, NoiseError};
use crate::ratchet::{HalfOpen, Ratchet};
use crate::{Verified, verify};
use bytes::Bytes;
use darkchat_proto::{
    Bundle, DeviceId, DirectId, Features, InitPayload, InitRef, KeyId, Network, Packet, RespPayload, Time,
    UserId,
};
use data_encoding::HEXLOWER;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use std::fmt;

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
    /// What the packet says is not what it should be: no payload, or not a good bundle of who made the packet.
    #[error("payload of a direct handshake is not good")]
    Payload,
}

impl From<NoiseError> for DirectError {
    fn from(error: NoiseError) -> Self {
        match error {
            NoiseError::Cut | NoiseError::Unopened => Self::Refused,
            NoiseError::WeakKey => Self::WeakKey,
        }
    }
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
        KeyId::new(first(&self.hash))
    }

    /// `"dchat/1/dm" 0x00 network 0x00 ‖ user ‖ device ‖ SHA-256(bundle body)`
    pub(crate) fn prologue(&self, network: &Network) -> Vec<u8> {
        let Self { user, device, dh: _, hash } = self;
        let head = [PREFIX, DIRECT_PROLOGUE, &[0], network.as_bytes(), &[0]].concat();
        [head.as_slice(), user.as_bytes(), device.as_bytes(), hash].concat()
    }
}

/// What both devices have after the handshake: the seed of a double ratchet. The root key is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectKeys {
    hash: [u8; 32],
    session: DirectId,
    root: Secret,
}

impl DirectKeys {
    pub(crate) fn new(noise: &Noise) -> Self {
        let hash = *noise.hash();
        let (k1, k2) = noise.split();
        let both = zeroize::Zeroizing::new([k1.as_slice(), k2.as_slice()].concat());
        let session = DirectId::new(*derive(&hash, &both, DIRECT_SESSION));
        Self { hash, session, root: derive(&hash, &both, DIRECT_ROOT) }
    }

    /// The hash over the whole handshake: both identities, bundles and ephemeral keys. Not secret.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The session's name in its packets. Not secret.
    #[must_use]
    pub const fn session(&self) -> DirectId {
        self.session
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
        write!(f, "DirectKeys({})", HEXLOWER.encode(session.as_bytes()))
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
        let reference = InitRef::of_noise(&message);
        let packet = Packet::Init { key: callee.key_id(), noise: message.into() };
        Ok((Self { noise, reference }, packet.encode()))
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
        let Ok(Packet::Resp { init, noise: message }) = Packet::decode(Bytes::copy_from_slice(packet)) else {
            return Err(DirectError::Malformed);
        };
        if init != self.reference {
            return Err(DirectError::Other);
        }
        let mut noise = self.noise.clone();
        let payload = noise.read(&message)?;
        Ok((DirectKeys::new(&noise), payload.into()))
    }

    /// Reads RESP and begins the ratchet; 32 bytes of randomness. `now` is when.
    ///
    /// # Errors
    /// [`DirectError`]; the call goes on waiting.
    pub fn establish(
        &self,
        packet: &[u8],
        now: Time,
        rng: &mut impl CryptoRng,
    ) -> Result<(Ratchet, RespPayload), DirectError> {
        let (keys, payload) = self.read_resp(packet)?;
        let payload = RespPayload::decode(payload).map_err(|_| DirectError::Payload)?;
        let ratchet = Ratchet::call(&keys, &payload.ratchet, now, rng).map_err(|_| DirectError::WeakKey)?;
        Ok((ratchet, payload))
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
        let Ok(Packet::Init { key, noise: message }) = Packet::decode(Bytes::copy_from_slice(packet)) else {
            return Err(DirectError::Malformed);
        };
        if key != callee.key_id() {
            return Err(DirectError::Other);
        }
        let mut noise = Noise::ik_responder(&callee.prologue(network), own.clone(), StaticKey::generate(rng));
        let payload = noise.read(&message)?;
        Ok((Self { noise, reference: InitRef::of_noise(&message) }, payload.into()))
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

    /// The caller's bundle, if INIT's payload is one that may be answered: its signature is good, it is valid at
    /// `now_ms` (Unix milliseconds, our own clock), it names the key that wrote INIT, and INIT is not older or newer
    /// than 300 s. Repeats within that time are for the caller to know by
    /// [`caller_ephemeral`](Self::caller_ephemeral).
    ///
    /// # Errors
    /// [`DirectError::Payload`]; drop the packet.
    pub fn caller(
        &self,
        network: &Network,
        payload: &Bytes,
        now_ms: u64,
    ) -> Result<(Verified<Bundle>, InitPayload), DirectError> {
        let payload = InitPayload::decode(payload.clone()).map_err(|_| DirectError::Payload)?;
        let bundle = verify::bundle(network, &payload.bundle).map_err(|_| DirectError::Payload)?;
        let is_valid = bundle::check(&bundle, &Expected::of(bundle.user), now_ms).is_ok();
        let is_new = payload.time_ms.abs_diff(now_ms) <= bundle::CLOCK_MS;
        let is_the_callers = bundle.dh == self.caller_dh();
        if is_valid && is_new && is_the_callers { Ok((bundle, payload)) } else { Err(DirectError::Payload) }
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
        let packet = Packet::Resp { init: reference, noise: message.into() };
        Ok((DirectKeys::new(&noise), packet.encode()))
    }

    /// Makes RESP with a fresh ratchet key, and the ratchet that waits for the first message; 32 bytes of randomness.
    ///
    /// # Errors
    /// [`DirectError::WeakKey`] if the caller's ephemeral key is of small order.
    pub fn establish(
        self,
        features: Features,
        now: Time,
        rng: &mut impl CryptoRng,
    ) -> Result<(HalfOpen, Bytes), DirectError> {
        let pair = StaticKey::generate(rng);
        let (keys, packet) = self.reply(&RespPayload { ratchet: *pair.public(), features }.encode())?;
        Ok((HalfOpen::new(&keys, pair, now), packet))
    }
}

/// Whether our own call goes on when the other device has called at the same time: that of the smaller
/// `user ‖ device` does, and both sides come to the same answer. Source: section 7.6.
#[must_use]
pub fn keeps_own_call(own: (&UserId, &DeviceId), other: (&UserId, &DeviceId)) -> bool {
    own < other
}

#[cfg(test)]
mod tests;
