//! One direction's chain: a key a message, each derived from the one before and none leading back.

use super::MAX_STEP;
use crate::OpenError;
use crate::aead::{Aead, TAG, Unsealed};
use crate::kdf::{Secret, derive, hmac};
use crate::label::DIRECT_MESSAGE_KEY;
use bytes::Bytes;
use zeroize::Zeroizing;

/// `KDF_CK`: what the message key is made with.
const MESSAGE: [u8; 1] = [1];
/// `KDF_CK`: what the next chain key is made with.
const NEXT: [u8; 1] = [2];

/// A chain key and the number of the message that it leads to.
#[derive(Clone)]
pub(super) struct Chain {
    key: Secret,
    number: u32,
}

impl Chain {
    pub(super) const fn new(key: Secret) -> Self {
        Self { key, number: 0 }
    }

    /// The number of the next message, which is how many there were.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The next message's number and key. The last number is never used, so that this fails and does not wrap.
    pub(super) fn step(&mut self) -> Option<(u32, MessageKey)> {
        let number = self.number;
        self.number = number.checked_add(1)?;
        let key = MessageKey(Box::new(hmac(self.key.as_slice(), &[&MESSAGE])));
        self.key = hmac(self.key.as_slice(), &[&NEXT]);
        Some((number, key))
    }

    /// A copy, if message `number` is ahead and not too far.
    pub(super) fn ahead(&self, number: u32) -> Option<Self> {
        let jump = number.checked_sub(self.number)?;
        (jump <= MAX_STEP).then(|| self.clone())
    }

    /// Steps over the messages before `number` and gives their keys.
    pub(super) fn skip_to(&mut self, number: u32) -> Option<Vec<(u32, MessageKey)>> {
        let mut skipped = Vec::new();
        while self.number < number {
            skipped.push(self.step()?);
        }
        Some(skipped)
    }

    /// The chain that the same key begins at another number.
    #[cfg(test)]
    pub(super) fn at(&self, number: u32) -> Self {
        Self { number, ..self.clone() }
    }

    #[cfg(test)]
    pub(super) fn secret(&self) -> [u8; 32] {
        *self.key
    }
}

/// The key of one message. In a box, so that a table that moves it leaves no copy behind.
pub(super) struct MessageKey(Box<Secret>);

impl MessageKey {
    /// The AES-256-GCM key and nonce; both are used once.
    fn cipher(&self) -> (Secret, [u8; 12]) {
        let both = derive::<44>(&[0; 32], self.0.as_slice(), DIRECT_MESSAGE_KEY);
        let mut key = Zeroizing::new([0; 32]);
        let mut nonce = [0; 12];
        for (to, from) in key.iter_mut().chain(&mut nonce).zip(both.iter()) {
            *to = *from;
        }
        (key, nonce)
    }

    pub(super) fn seal(&self, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, Unsealed> {
        let (key, nonce) = self.cipher();
        let mut sealed = Vec::with_capacity(plain.len().saturating_add(TAG));
        sealed.extend_from_slice(plain);
        let tag = Aead::new(&key).seal(nonce, associated, &mut sealed)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    pub(super) fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Bytes, OpenError> {
        let (key, nonce) = self.cipher();
        let mut text = sealed.to_vec();
        let len = Aead::new(&key).open(nonce, associated, &mut text).map_err(|_| OpenError::Refused)?.len();
        text.truncate(len);
        Ok(text.into())
    }

    #[cfg(test)]
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(secret)))
    }

    #[cfg(test)]
    pub(super) fn secret(&self) -> [u8; 32] {
        **self.0
    }
}
