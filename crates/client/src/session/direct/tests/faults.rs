//! What a server does with packets, by the names under which the program hears of it, and how often.

use super::world::{World, ms, user};
use crate::session::{Event, Fault};
use bytes::Bytes;
use darkchat_proto::{DeviceId, DmDeliver, InitRef, KeyId, Kind, Packet};
use std::collections::BTreeMap;

/// Two users with one device each.
fn two() -> World {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    world
}

/// What the program of this device was told, with how often; it is what was counted.
fn faults(world: &World, at: usize) -> Vec<(Fault, u64)> {
    let mut told = BTreeMap::new();
    for event in &world.devices[at].events {
        if let Event::Rejected { fault, count } = event {
            *told.entry(*fault).or_insert(0) += count;
        }
    }
    let stats = world.devices[at].session.stats();
    for (fault, count) in [
        (Fault::Malformed, stats.malformed),
        (Fault::Repeated, stats.duplicate),
        (Fault::Unopened, stats.undecryptable),
        (Fault::Misdirected, stats.misdirected),
        (Fault::Flood, stats.unread_calls),
    ] {
        assert_eq!(told.get(&fault).copied().unwrap_or(0), count, "{fault:?}");
    }
    told.into_iter().collect()
}

/// The packets that went to this device, and are of this kind by their first byte.
fn packets(world: &World, at: usize, kind: u8) -> Vec<Bytes> {
    let packet = |(to, frame): &(usize, darkchat_proto::Frame)| match &frame.kind {
        Kind::Dm(delivered) if *to == at && delivered.packet.first() == Some(&kind) => {
            Some(delivered.packet.clone())
        }
        _ => None,
    };
    world.recorded.iter().filter_map(packet).collect()
}

/// The server brings a packet.
fn bring(world: &mut World, at: usize, packet: Bytes) {
    let (whose, device) = (user(u8::try_from(at).unwrap() + 1), world.devices[at].id);
    world.hear(at, Kind::Dm(DmDeliver { user: whose, device, packet, delivery: 0 }).into());
}

#[test]
fn what_comes_again_to_the_wrong_place_or_to_no_call_is_named() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    assert_eq!([faults(&world, 0), faults(&world, 1)], [[], []]);
    let (call, answer) = (packets(&world, 1, 1).remove(0), packets(&world, 0, 2).remove(0));
    let message = packets(&world, 1, 3).remove(0);
    for _ in 0..2 {
        bring(&mut world, 1, call.clone());
        bring(&mut world, 0, answer.clone());
    }
    for _ in 0..3 {
        bring(&mut world, 1, message.clone());
    }
    let made_up = Packet::Resp { init: InitRef::new([9; 8]), noise: Bytes::from_static(&[9; 96]) };
    for _ in 0..4 {
        bring(&mut world, 0, made_up.encode());
    }
    let (ann, device) = (user(1), world.devices[0].id);
    for (user, device) in [(user(2), device), (ann, DeviceId::new([77; 16]))] {
        let delivered = DmDeliver { user, device, packet: answer.clone(), delivery: 0 };
        world.hear(0, Kind::Dm(delivered).into());
    }
    bring(&mut world, 0, Bytes::from_static(b"no packet"));
    world.run(ms(1_000));
    assert_eq!(
        faults(&world, 0),
        [(Fault::Malformed, 1), (Fault::Repeated, 2), (Fault::Unopened, 4), (Fault::Misdirected, 2)]
    );
    assert_eq!(faults(&world, 1), [(Fault::Repeated, 2), (Fault::Unopened, 3)]);
    assert_eq!((world.texts(0), world.texts(1)), (vec![], vec!["one"]));
    // Ten minutes later nobody remembers, and nothing opens.
    world.run(ms(600_000));
    bring(&mut world, 1, call);
    bring(&mut world, 0, answer);
    world.run(ms(1_000));
    assert_eq!(faults(&world, 0)[2], (Fault::Unopened, 5));
    assert_eq!(faults(&world, 1)[1], (Fault::Unopened, 4));
}

#[test]
fn a_call_that_comes_again_before_its_first_message_is_answered_again_and_named() {
    let mut world = two();
    world.say(0, 2, "one");
    while packets(&world, 0, 2).is_empty() {
        world.run(ms(1));
    }
    let call = packets(&world, 1, 1).remove(0);
    for _ in 0..3 {
        bring(&mut world, 1, call.clone());
    }
    world.run(ms(2_000));
    assert_eq!(packets(&world, 0, 2).len(), 4, "the same answer each time");
    assert_eq!([faults(&world, 0), faults(&world, 1)], [[(Fault::Repeated, 3)], [(Fault::Repeated, 3)]]);
    assert_eq!(world.texts(1), ["one"]);
}

#[test]
fn calls_above_the_budget_are_named() {
    let mut world = two();
    let call = Packet::Init { key: KeyId::new([9; 4]), noise: Bytes::from_static(&[9; 96]) };
    for _ in 0..100 {
        bring(&mut world, 1, call.encode());
    }
    world.run(ms(1_000));
    assert_eq!(faults(&world, 1), [(Fault::Unopened, 60), (Fault::Flood, 40)]);
    for _ in 0..25 {
        bring(&mut world, 1, call.encode());
    }
    world.run(ms(1_000));
    assert_eq!(faults(&world, 1), [(Fault::Unopened, 80), (Fault::Flood, 45)]);
}
