//! Generators of everything that travels, within the bounds of `docs/protocol.md`, section 4.2.

mod bodies;
mod frames;

use bytes::Bytes;
use darkchat_proto::{Carrier, ChannelId, Code, DeviceId, Features, GossipAddr, RouterId, ServerId, UserId};
use proptest::prelude::*;
use std::net::IpAddr;

pub(crate) use bodies::{
    auth, bundle, deliver, dm_content, group_body, group_control, hello, hello_reply, init_payload, invite,
    packet, post, record, rekey, resp_payload, self_copy, shard, signed, traced,
};
pub(crate) use frames::frame;

/// Bytes that mean nothing, fewer than `below`: made from one number, because a choice for each byte costs more than
/// all else in these tests.
pub(crate) fn some_bytes(below: usize) -> impl Strategy<Value = Bytes> {
    (0..below, any::<u64>()).prop_map(|(len, seed)| scramble(seed).take(len).collect())
}

/// So many bytes that mean nothing; one time in sixteen all of them 0.
pub(crate) fn array<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    any::<u64>().prop_map(|seed| {
        let mut bytes = scramble(seed);
        let is_zero = seed % 16 == 0;
        std::array::from_fn(|_| bytes.next().filter(|_| !is_zero).unwrap_or(0))
    })
}

/// Characters of every length in UTF-8, at most `max` bytes of them.
pub(crate) fn text(max: usize) -> impl Strategy<Value = String> {
    const LETTERS: [char; 16] = [
        'a', 'Z', '0', '#', ' ', '\n', '\0', '\u{7F}', '\u{85}', 'é', 'Σ', '\u{301}', '\u{202E}', '漢', '🦀',
        '𐐀',
    ];
    (0..=max, any::<u64>()).prop_map(|(max, seed)| {
        let mut text = String::new();
        for byte in scramble(seed).take(max) {
            let letter = LETTERS[usize::from(byte % 16)];
            if text.len() + letter.len_utf8() <= max {
                text.push(letter);
            }
        }
        text
    })
}

/// SplitMix64, a byte a step.
fn scramble(mut state: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Some(((mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 56) as u8)
    })
}

/// Numbers with the borders where counters and casts break.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        Just(0),
        Just(1),
        Just(u64::from(u32::MAX) + 1),
        Just(u64::MAX / 2),
        Just(u64::MAX)
    ]
}

fn user() -> impl Strategy<Value = UserId> {
    array::<32>().prop_map(UserId::new)
}

fn server() -> impl Strategy<Value = ServerId> {
    array::<32>().prop_map(ServerId::new)
}

fn channel() -> impl Strategy<Value = ChannelId> {
    array::<32>().prop_map(ChannelId::new)
}

fn device() -> impl Strategy<Value = DeviceId> {
    array::<16>().prop_map(DeviceId::new)
}

fn router() -> impl Strategy<Value = RouterId> {
    number().prop_map(RouterId)
}

fn features() -> impl Strategy<Value = Features> {
    number().prop_map(Features::from_bits)
}

/// Every code that travels.
fn code() -> impl Strategy<Value = Code> {
    let travelling: Vec<Code> = Code::all().filter(|code| *code != Code::Truncated).collect();
    proptest::sample::select(travelling)
}

/// An address in the one form in which it leaves a decoder.
fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![array::<4>().prop_map(IpAddr::from), array::<16>().prop_map(IpAddr::from)]
        .prop_map(|ip| ip.to_canonical())
}

fn gossip() -> impl Strategy<Value = GossipAddr> {
    (ip(), any::<u16>(), prop_oneof![Just(Carrier::Tcp), Just(Carrier::Ws)])
        .prop_map(|(ip, port, carrier)| GossipAddr { ip, port, carrier })
}
