//! What the tests of this crate share: vectors, fixed randomness, keys that nobody should use.

use crate::dh::StaticKey;
use data_encoding::HEXLOWER;
use rand_core::{Infallible, TryCryptoRng, TryRng};
use serde_json::Value;
use std::collections::VecDeque;

/// A file of `tests/vectors`.
pub(crate) fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The bytes of a JSON string of hexadecimal digits.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// As [`hex`], of a fixed length.
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap()
}

/// The X25519 key pair of a private key in hexadecimal digits.
pub(crate) fn key(value: &Value) -> StaticKey {
    StaticKey::from_bytes(&array(value))
}

/// Gives the bytes that it was made with, in order, then panics: for vectors with fixed keys.
pub(crate) struct Script(VecDeque<u8>);

impl Script {
    pub(crate) fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().into())
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are filled from bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are filled from bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0.pop_front().expect("the script has no more bytes");
        }
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// What was sealed with, in this thread: no pair of key and nonce may come twice.
pub(crate) mod nonces {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    /// A key and a nonce.
    type Pair = ([u8; 32], [u8; 12]);

    thread_local! {
        static SEEN: RefCell<Option<BTreeSet<Pair>>> = const { RefCell::new(None) };
    }

    /// Begins to watch.
    pub(crate) fn watch() {
        SEEN.with_borrow_mut(|seen| *seen = Some(BTreeSet::new()));
    }

    pub(crate) fn note(key: &[u8; 32], nonce: &[u8; 12]) {
        SEEN.with_borrow_mut(|seen| {
            if let Some(seen) = seen {
                assert!(seen.insert((*key, *nonce)), "a nonce came twice under one key");
            }
        });
    }

    /// How many pairs came since [`watch`].
    pub(crate) fn count() -> usize {
        SEEN.with_borrow(|seen| seen.as_ref().map_or(0, BTreeSet::len))
    }
}

/// Randomness without an end from one number: SplitMix64, for tests that need much of it and the same again.
pub(crate) struct Seeded(pub(crate) u64);

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let number = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// Encodings of X25519 points of small order, non-canonical ones included.
pub(crate) const SMALL_ORDER_X25519: [[u8; 32]; 7] = {
    let mut points = [[0; 32]; 7];
    points[1][0] = 1;
    points[2] = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ];
    points[3] = [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ];
    let mut low = 0;
    while low < 3 {
        let mut point = [0xff; 32];
        point[0] = 0xec + low;
        point[31] = 0x7f;
        points[4 + low as usize] = point;
        low += 1;
    }
    points
};
