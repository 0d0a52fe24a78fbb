//! What servers say, made by hand: records, shards and routes with stand-ins for signatures.

use super::world::{World, channel, deliver, post, user};
use crate::{Check, Received};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::{
    ChannelId, Class, Digest16, Features, Frame, InterestShard, Kind, Network, RecordFlags, Route, RouteHead,
    RouterId, ServerId, ServerRecord, Signature, Signed, Tag,
};
use std::collections::BTreeSet;

/// A record of a server that carries for others.
pub(crate) fn record_of(id: ServerId, epoch: u64, seq: u64, neighbours: &[ServerId]) -> Received {
    let record = ServerRecord {
        server: id,
        epoch,
        seq,
        issued_ms: 0,
        addrs: Vec::new(),
        flags: RecordFlags::TRANSIT,
        neighbours: neighbours.iter().map(ServerId::router).collect(),
        version: 1,
        features: Features::DONE,
    };
    let signed = Signed { body: record.encode(), sig: Signature::new([1; 64]) }.encode();
    Received::Record { record: Verified::unchecked(record).shared(), signed }
}

/// A shard that is all that its server wants.
pub(crate) fn shard_of(id: ServerId, epoch: u64, seq: u64, channels: &[ChannelId]) -> Received {
    let tags: BTreeSet<Tag> =
        channels.iter().map(|channel| Tag::of_channel(&Network::default(), channel)).collect();
    signed_shard(InterestShard {
        server: id,
        epoch,
        seq,
        bits: 0,
        shard: 0,
        tags: tags.into_iter().collect(),
    })
}

/// A shard without tags, of so many that its number has that many bits.
pub(crate) fn one_shard_of(id: ServerId, epoch: u64, seq: u64, (bits, shard): (u32, u32)) -> Received {
    signed_shard(InterestShard { server: id, epoch, seq, bits, shard, tags: Vec::new() })
}

fn signed_shard(shard: InterestShard) -> Received {
    let signed = Signed { body: shard.encode(), sig: Signature::new([1; 64]) }.encode();
    Received::Shard { shard: Verified::unchecked(shard), signed }
}

/// A server that no other has: its number is spread over the key's first bytes.
pub(crate) fn stranger(number: u16) -> ServerId {
    let mut key = [0xEE; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    ServerId::new(key)
}

/// A route of class CHANNEL.
pub(crate) fn route(
    dst: &[ServerId],
    ttl: u32,
    payload: Bytes,
    channel: Option<ChannelId>,
    check: Check,
) -> Received {
    let head = RouteHead {
        origin: RouterId(1),
        id: 5,
        ttl,
        dst: dst.iter().map(ServerId::router).collect(),
        class: Class::Channel,
        want_done: false,
        corr: 0,
    };
    let digest = Digest16::of(&payload);
    Received::Route { head, payload, digest, check, channel }
}

/// A route with a text to the lobby, for these servers.
pub(crate) fn text_route(world: &World, dst: &[ServerId], ttl: u32, text: &str) -> Received {
    let payload = deliver(&post(user(9), channel("lobby"), 1, world.wall_ms(), text));
    route(dst, ttl, payload, Some(channel("lobby")), Check::NotChecked)
}

/// The channel routes among these frames.
pub(crate) fn routes(frames: &[Frame]) -> Vec<&Route> {
    frames
        .iter()
        .filter_map(|frame| match &frame.kind {
            Kind::Route(route) if route.head.class == Class::Channel => Some(route),
            _ => None,
        })
        .collect()
}
