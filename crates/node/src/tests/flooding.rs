//! Stories of a client that joins and leaves without end.

use super::objects::{record_of, stranger};
use super::world::{Client, World, channel, secs, server};
use crate::{Input, Received};
use bytes::Bytes;
use darkchat_proto::{Class, Code, Frame, InterestShard, Kind, Signed};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many channels the client joins, and how many it leaves.
const TIMES: u64 = 100_000;
/// So many in a frame.
const AT_ONCE: u64 = 10;
/// A frame in so long: ten thousand channels a second.
const LINE_RATE: Duration = Duration::from_millis(1);
/// The frames of a second.
const FRAMES: u64 = 1_000;
/// What others are told at once, and in each second after it (protocol 10.5).
const BURST: usize = 64;
const PER_SECOND: usize = 5;
/// How often a shard is told at most, where nobody reports that it came.
const TELLINGS: usize = 4;

/// The shards among what a neighbour was sent, each as often as it was told.
fn shards(frames: &[Frame]) -> Vec<InterestShard> {
    let shard = |frame: &Frame| match &frame.kind {
        Kind::Route(route) if route.head.class == Class::Shard => Some(decoded(&route.payload)),
        _ => None,
    };
    frames.iter().filter_map(shard).collect()
}

fn decoded(payload: &Bytes) -> InterestShard {
    let signed = Signed::decode(payload.clone()).unwrap();
    InterestShard::decode(signed.body).unwrap()
}

/// The client asks for something each millisecond, and takes no notice of what it is told. What the neighbour was told
/// of it in each second.
fn flood(
    world: &mut World,
    client: Client,
    neighbour: Client,
    ask: impl Fn(u64) -> Kind,
) -> Vec<Vec<InterestShard>> {
    let mut told = Vec::new();
    for number in 0..2 * TIMES / AT_ONCE {
        let req = u32::try_from(number).unwrap() + 1;
        world.give(
            client.at,
            Input::Frame {
                link: client.link,
                frame: Received::Other(Frame { req, ..Frame::from(ask(number)) }),
            },
        );
        world.run_for(LINE_RATE);
        if (number + 1) % FRAMES == 0 {
            told.push(shards(&world.take_inbox(neighbour)));
            // The neighbour lives.
            world.ask(neighbour, Received::Other(Frame::from(Kind::Pong { nonce: 0, acked: 0 })));
        }
    }
    told
}

/// Whether in any run of seconds no more was told than in that time may be.
fn assert_paced(told: &[Vec<InterestShard>]) {
    let mut seen = BTreeSet::new();
    let new: Vec<usize> =
        told.iter().map(|shards| shards.iter().filter(|shard| seen.insert(shard.seq)).count()).collect();
    for from in 0..new.len() {
        for to in from..new.len() {
            let (sum, seconds) = (new[from..=to].iter().sum::<usize>(), to - from + 1);
            assert!(sum <= BURST + PER_SECOND * seconds, "{sum} in {seconds} s: {new:?}");
        }
    }
    let mut tellings: BTreeMap<u64, usize> = BTreeMap::new();
    for shard in told.iter().flatten() {
        *tellings.entry(shard.seq).or_default() += 1;
    }
    assert!(tellings.values().all(|count| *count <= TELLINGS), "{tellings:?}");
}

fn refused(world: &mut World, client: Client) -> usize {
    let is_refusal =
        |frame: &&Frame| matches!(&frame.kind, Kind::Error(refusal) if refusal.code == Code::RateLimited);
    world.take_inbox(client).iter().filter(is_refusal).count()
}

/// Case E9 of the test plan, with another channel each time: all that it can make of it for others.
#[test]
fn e9_a_client_that_joins_and_leaves_a_hundred_thousand_channels_is_limited_and_others_hear_little() {
    let mut world = World::line(2);
    let (innocent, listener) = (world.client(0, 1), world.client(1, 2));
    world.join_spread(listener, "lobby");
    world.join_spread(innocent, "lobby");
    let neighbour = world.fake_peer(0, stranger(1));
    world.ask(neighbour, record_of(stranger(1), 5, 1, &[server(0)]));
    world.run_for(secs(20));
    world.take_inbox(neighbour);
    let flooder = world.client(0, 3);
    let told = flood(&mut world, flooder, neighbour, |number| {
        let channels = (0..AT_ONCE).map(|which| channel(&format!("{}-{which}", number / 2))).collect();
        if number % 2 == 0 { Kind::Join { channels, wait_spread: false } } else { Kind::Leave { channels } }
    });
    assert_paced(&told);
    assert!(told.iter().map(Vec::len).sum::<usize>() > 0, "it is told of at all");
    assert!(refused(&mut world, flooder) > 0 || world.goodbye(flooder).is_some(), "it is limited");
    world.say(innocent, "lobby", "still here");
    world.run_for(secs(1));
    assert!(world.heard(listener).contains(&"still here".to_owned()));
}

/// A server that never reports what came to it lets nobody make us tell the others faster than that.
#[test]
fn joins_that_are_repeated_and_wait_for_a_silent_server_are_told_no_faster() {
    const CHANNELS: u64 = 500;
    let mut world = World::new(1);
    let neighbour = world.fake_peer(0, stranger(1));
    world.ask(neighbour, record_of(stranger(1), 5, 1, &[server(0)]));
    let client = world.client(0, 3);
    for number in 0..CHANNELS {
        world.join(client, &number.to_string());
    }
    world.run_for(secs(20));
    world.ask(neighbour, Received::Other(Frame::from(Kind::Pong { nonce: 0, acked: 0 })));
    world.take_inbox(neighbour);
    let told = flood(&mut world, client, neighbour, |number| {
        let channels = vec![channel(&(number * 8 % CHANNELS).to_string())];
        Kind::Join { channels, wait_spread: true }
    });
    assert_paced(&told);
    assert!(told.iter().flatten().count() > 0, "they are told again at all");
}
