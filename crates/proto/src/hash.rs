//! The labelled hashes of the protocol. Source: `docs/protocol.md`, section 2.

use crate::Network;
use sha2::{Digest as _, Sha256};

/// `H(label, parts…) = SHA-256("dchat/1/" ‖ label ‖ 0x00 ‖ network ‖ 0x00 ‖ parts…)`.
pub(crate) fn labelled(label: &str, network: &Network, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [b"dchat/1/".as_slice(), label.as_bytes(), &[0], network.as_bytes(), &[0]] {
        hash.update(part);
    }
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-256 over the parts: for the four hashes that carry no network name.
pub(crate) fn plain(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The first `N` bytes of a hash; `N` is at most 32.
pub(crate) fn first<const N: usize>(hash: [u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = from;
    }
    out
}
