//! What to sign for a post, a bundle, a record and a shard. Source: `docs/protocol.md`, sections 6.1, 7.2, 9.2 and 9.4.
//!
//! A signature is over the exact bytes of an encoded body: whoever changes or re-encodes them loses it.

use crate::{Context, SignRequest};
use darkchat_proto::Network;

/// For the encoded body of a post to a public channel, by the key in its `author`.
#[must_use]
pub fn post(network: &Network, body: &[u8]) -> SignRequest {
    SignRequest::new(Context::Post, network, &[body])
}

/// For the encoded body of a device's bundle, by the key in its `user`.
#[must_use]
pub fn bundle(network: &Network, body: &[u8]) -> SignRequest {
    SignRequest::new(Context::Bundle, network, &[body])
}

/// For the encoded body of a server's record, by the key in its `server`.
#[must_use]
pub fn record(network: &Network, body: &[u8]) -> SignRequest {
    SignRequest::new(Context::Record, network, &[body])
}

/// For the encoded body of an interest shard, by the key in its `server`.
#[must_use]
pub fn shard(network: &Network, body: &[u8]) -> SignRequest {
    SignRequest::new(Context::Shard, network, &[body])
}
