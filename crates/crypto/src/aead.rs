//! AES-256-GCM in place, and the nonce that the Noise specification gives it.

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aead::consts::U12;
use aes_gcm::aes::Aes256Enc;
use aes_gcm::{AesGcm, KeyInit as _};

/// Length of the tag at the end of everything sealed, in bytes.
pub(crate) const TAG: usize = 16;

/// The bytes were not sealed with this key, nonce and associated data, or there are too few of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unopened;

/// The plaintext is longer than AES-GCM allows (64 GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsealed;

/// A key, expanded once; wiped on drop. GCM only ever encrypts blocks, so the other half of the key schedule, 240
/// bytes in each direction of each link, is left out.
#[derive(Clone)]
pub(crate) struct Aead {
    cipher: AesGcm<Aes256Enc, U12>,
    /// For tests that record what was sealed with.
    #[cfg(test)]
    key: [u8; 32],
}

impl Aead {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self {
            cipher: AesGcm::new(key.into()),
            #[cfg(test)]
            key: *key,
        }
    }

    /// Encrypts `text` in place and returns the tag that belongs behind it.
    pub(crate) fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG], Unsealed> {
        #[cfg(test)]
        crate::testing::nonces::note(&self.key, &nonce);
        let tag =
            self.cipher.encrypt_inout_detached(&nonce.into(), aad, text.into()).map_err(|_| Unsealed)?;
        Ok(tag.into())
    }

    /// Decrypts what stands before the tag at the end of `sealed`, in place, and returns the plaintext's part.
    ///
    /// The tag is compared before anything is decrypted: after an error `sealed` is as it was.
    pub(crate) fn open<'a>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Unopened> {
        let (text, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(Unopened)?;
        let tag = (&*tag).into();
        self.cipher
            .decrypt_inout_detached(&nonce.into(), aad, (&mut *text).into(), tag)
            .map_err(|_| Unopened)?;
        Ok(text)
    }
}

/// The nonce of Noise's AESGCM: 4 zero bytes and the counter, big-endian.
pub(crate) fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    if let Some(end) = nonce.last_chunk_mut::<8>() {
        *end = counter.to_be_bytes();
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d16_a_wrong_tag_leaves_the_ciphertext_as_it_was() {
        let key = Aead::new(&[7; 32]);
        let mut sealed = *b"something that nobody else may see";
        let tag = key.seal(nonce(1), b"aad", &mut sealed).unwrap();
        let sealed = [sealed.as_slice(), &tag].concat();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let before = altered.clone();
            assert_eq!(key.open(nonce(1), b"aad", &mut altered).map(|_| ()), Err(Unopened));
            assert_eq!(altered, before, "not a byte was decrypted");
        }
        for (nonce_of, aad) in [(2, b"aad"), (1, b"AAD")] {
            let mut other = sealed.clone();
            assert_eq!(key.open(nonce(nonce_of), aad, &mut other).map(|_| ()), Err(Unopened));
            assert_eq!(other, sealed);
        }
        let mut good = sealed.clone();
        assert_eq!(key.open(nonce(1), b"aad", &mut good).unwrap(), b"something that nobody else may see");
    }
}
