//! What to sign for each kind of body. Source: `docs/protocol.md`, sections 6.1, 7.2, 8.1, 9.2 and 9.4.
//!
//! A signature is over the exact bytes of an encoded body: whoever changes or re-encodes them loses it.

use crate::{Context, SignRequest};
use darkchat_proto::{ChannelId, Network, SealedHead};

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

/// For the encoded body of a post to a private channel, by the key in its `author`; channel and head are covered too.
#[must_use]
pub fn group(network: &Network, channel: &ChannelId, head: &SealedHead, body: &[u8]) -> SignRequest {
    SignRequest::new(Context::Group, network, &[channel.as_bytes(), &head.to_bytes(), body])
}

/// For the encoded body of a change of a private channel's secret, by the key in its `admin`.
#[must_use]
pub fn rekey(network: &Network, body: &[u8]) -> SignRequest {
    SignRequest::new(Context::Rekey, network, &[body])
}
