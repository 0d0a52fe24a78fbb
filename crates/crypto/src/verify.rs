//! Signatures checked strictly, and the proof that they were. Source: `docs/protocol.md`, sections 2 and 11.1.

use crate::{SignRequest, sign};
use darkchat_proto::{
    Bundle, Code, DecodeError, InterestShard, Network, Post, Rekey, ServerRecord, Signature, Signed,
};
use ed25519_dalek::VerifyingKey;
use std::ops::Deref;
use std::sync::Arc;

/// Why a signed thing was not taken. Nothing was kept of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The body is not what it should be. Judged first, because it costs less than a signature.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The key that the body names did not sign it, for this purpose, in this network; or the key is weak.
    #[error("bad signature")]
    BadSignature,
}

impl VerifyError {
    /// The code that this fault has on the wire.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(error) => error.code(),
            Self::BadSignature => Code::BadSignature,
        }
    }
}

/// A decoded body whose signature was found good, by the key that the body itself names.
///
/// Only the functions of this module make it, so code that takes a `Verified` cannot forget the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The body, without the proof.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The body and its proof, to be held in several places at the cost of one.
    #[must_use]
    pub fn shared(self) -> Verified<Arc<T>> {
        Verified(Arc::new(self.0))
    }

    /// A proof without a check, for the simulator alone: it runs volumes in which signatures are stand-ins.
    #[must_use]
    pub const fn unchecked(body: T) -> Self {
        Self(body)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Not a good signature by that key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadSignature;

/// Whether the 255 bits of an Ed25519 key's y are below the field's prime, 2^255 - 19.
///
/// A larger one names the same point as its remainder, so one key would have two ids.
fn is_canonical(key: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = key;
    !(*low >= 0xed && middle.iter().all(|byte| *byte == 0xff) && high | 0x80 == 0xff)
}

/// A key that may verify: a point in its one encoding, and not of small order.
fn usable(key: &[u8; 32]) -> Option<VerifyingKey> {
    let point = VerifyingKey::from_bytes(key).ok()?;
    (is_canonical(key) && !point.is_weak()).then_some(point)
}

/// Verifies as `docs/protocol.md` section 2 wants it: canonical encodings, no key or point of small order.
pub(crate) fn strict(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
    let key = usable(key).ok_or(BadSignature)?;
    key.verify_strict(message, &signature.into()).map_err(|_| BadSignature)
}

/// Whether `key` signed what was asked for.
pub(crate) fn request(
    key: &[u8; 32],
    request: &SignRequest,
    signature: &Signature,
) -> Result<(), BadSignature> {
    strict(key, request.bytes(), signature.as_bytes())
}

impl From<BadSignature> for VerifyError {
    fn from(BadSignature: BadSignature) -> Self {
        Self::BadSignature
    }
}

/// A post to a public channel, signed by its author (6.1).
///
/// Says nothing of channel, time or repetition; those are for the caller to judge (6.2, 6.3).
///
/// # Errors
/// [`VerifyError`]: the body is no post, or its author did not sign it.
pub fn post(network: &Network, signed: &Signed) -> Result<Verified<Post>, VerifyError> {
    let post = Post::decode(signed.body.clone())?;
    request(post.author.as_bytes(), &sign::post(network, &signed.body), &signed.sig)?;
    Ok(Verified(post))
}

/// A device's bundle, signed by its user (7.2).
///
/// Says nothing of suite, time or server: [`bundle::check`](crate::bundle::check) does, for who uses it.
///
/// # Errors
/// [`VerifyError`]: the body is no bundle, its `dh` is zero, or its user did not sign it.
pub fn bundle(network: &Network, signed: &Signed) -> Result<Verified<Bundle>, VerifyError> {
    let bundle = Bundle::decode(signed.body.clone())?;
    if bundle.dh == [0; 32] {
        return Err(DecodeError::Value { field: "dh", value: 0 }.into());
    }
    request(bundle.user.as_bytes(), &sign::bundle(network, &signed.body), &signed.sig)?;
    Ok(Verified(bundle))
}

/// A server's record, signed by that server (9.2).
///
/// # Errors
/// [`VerifyError`]: the body is no record, or its server did not sign it.
pub fn record(network: &Network, signed: &Signed) -> Result<Verified<ServerRecord>, VerifyError> {
    let record = ServerRecord::decode(signed.body.clone())?;
    request(record.server.as_bytes(), &sign::record(network, &signed.body), &signed.sig)?;
    Ok(Verified(record))
}

/// An interest shard, signed by its server (9.4).
///
/// # Errors
/// [`VerifyError`]: the body is no shard, or its server did not sign it.
pub fn shard(network: &Network, signed: &Signed) -> Result<Verified<InterestShard>, VerifyError> {
    let shard = InterestShard::decode(signed.body.clone())?;
    request(shard.server.as_bytes(), &sign::shard(network, &signed.body), &signed.sig)?;
    Ok(Verified(shard))
}

/// The change of a private channel's secret, signed by the administrator that it names (8.1).
///
/// Says nothing of whether that is an administrator of the channel:
/// [`Group::successor`](crate::group::Group::successor) does.
///
/// # Errors
/// [`VerifyError`]: the body is no rekey, or its administrator did not sign it.
pub fn rekey(network: &Network, signed: &Signed) -> Result<Verified<Rekey>, VerifyError> {
    let rekey = Rekey::decode(signed.body.clone())?;
    request(rekey.admin.as_bytes(), &sign::rekey(network, &signed.body), &signed.sig)?;
    Ok(Verified(rekey))
}

/// A body that was checked elsewhere in this crate.
pub(crate) const fn proven<T>(body: T) -> Verified<T> {
    Verified(body)
}

#[cfg(test)]
mod tests;
