//! The records of a link: sealed in order, opened in order, with a fresh key every 2^20. Source: `docs/protocol.md`, section 3.3.

use crate::aead::{Aead, TAG, nonce};
use crate::kdf::Secret;
use bytes::BytesMut;
use darkchat_proto::limits::MAX_UNIT;
use std::fmt;
use zeroize::Zeroizing;

/// The most plaintext of one record, in bytes: the largest unit of a transport without the tag.
pub const MAX_RECORD: usize = MAX_UNIT - TAG;

/// Records under one key: few enough for AES-GCM's bounds, many enough that the change costs nothing.
const REKEY_RECORDS: u64 = 1 << 20;

/// Why a record was not sealed. It is unchanged, and so is the sealer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Too much for one record; put less into it.
    #[error("a record holds at most {max} bytes: {len}")]
    TooLong {
        /// The plaintext's length in bytes.
        len: usize,
        /// The most that fits, in bytes.
        max: usize,
    },
    /// 2^64 - 1 records were sealed; the link must be closed.
    #[error("the link has no record numbers left")]
    Exhausted,
}

/// Why something sealed was not opened. It does not say, on purpose: whoever altered it learns nothing.
///
/// What was to open it is unchanged. After a record the link is closed without a reply; a packet of a direct message
/// is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not the next record of this link, or not a new message of this session, unaltered.
    #[error("what was sealed does not open")]
    Refused,
}

/// One direction's key and the number of the next record.
struct Direction {
    key: Aead,
    n: u64,
}

impl Direction {
    fn new(key: &Secret) -> Self {
        Self { key: Aead::new(key), n: 0 }
    }

    /// The next record's nonce. The last counter is Noise's own, for rekeying, and no record has it.
    fn nonce(&self) -> Option<[u8; 12]> {
        (self.n != u64::MAX).then(|| nonce(self.n))
    }

    /// Counts a record; a new key begins where the next number is a multiple of [`REKEY_RECORDS`].
    fn advance(&mut self) {
        self.n = self.n.saturating_add(1);
        if self.n.is_multiple_of(REKEY_RECORDS) {
            self.rekey();
        }
    }

    /// Noise's `REKEY`: the first 32 bytes of 32 zeros, sealed with the last counter.
    fn rekey(&mut self) {
        let mut key = Zeroizing::new([0; 32]);
        let sealed = self.key.seal(nonce(u64::MAX), &[], key.as_mut_slice());
        debug_assert!(sealed.is_ok(), "32 bytes are never too long");
        self.key = Aead::new(&key);
    }
}

/// Seals the records that we send. One per link; nonces never repeat, because only this counts them.
pub struct Sealer(Direction);

impl Sealer {
    pub(crate) fn new(key: &Secret) -> Self {
        Self(Direction::new(key))
    }

    /// Encrypts `record` in place and appends the tag (16 bytes; reserve them to save a copy).
    ///
    /// # Errors
    /// [`SealError`]; then neither `record` nor the sealer has changed.
    pub fn seal(&mut self, record: &mut BytesMut) -> Result<(), SealError> {
        let too_long = SealError::TooLong { len: record.len(), max: MAX_RECORD };
        if record.len() > MAX_RECORD {
            return Err(too_long);
        }
        let nonce = self.0.nonce().ok_or(SealError::Exhausted)?;
        let tag = self.0.key.seal(nonce, &[], record).map_err(|_| too_long)?;
        record.extend_from_slice(&tag);
        self.0.advance();
        Ok(())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Direction { key: _, n } = &self.0;
        f.debug_struct("Sealer").field("n", n).finish_non_exhaustive()
    }
}

/// Opens the records that come in, in the order in which they were sealed.
pub struct Opener(Direction);

impl Opener {
    pub(crate) fn new(key: &Secret) -> Self {
        Self(Direction::new(key))
    }

    /// Decrypts the next record in place and returns its plaintext, which may be empty.
    ///
    /// # Errors
    /// [`OpenError`] if it is not the next one, unaltered. The bytes are gone, the opener has not changed, and
    /// nothing of the record was decrypted.
    pub fn open(&mut self, mut record: BytesMut) -> Result<BytesMut, OpenError> {
        let nonce = self.0.nonce().ok_or(OpenError::Refused)?;
        let len = self.0.key.open(nonce, &[], &mut record).map_err(|_| OpenError::Refused)?.len();
        record.truncate(len);
        self.0.advance();
        Ok(record)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Direction { key: _, n } = &self.0;
        f.debug_struct("Opener").field("n", n).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
