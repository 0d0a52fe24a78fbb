//! What a thief of both devices' state can do with recorded traffic: nothing before, and nothing after a round trip.
//!
//! A session is a function of its seed and inputs, so a run of the same world is a copy of its state: the thief's.

use super::world::{World, ms};
use darkchat_proto::Kind;

/// Two users who have talked for a while, each turn in a chain of its own.
fn talked() -> World {
    let mut world = World::new(5);
    world.add(1);
    world.add(2);
    for number in 0..6 {
        world.say(0, 2, &format!("a{number}"));
        world.run(ms(300));
        world.say(1, 1, &format!("b{number}"));
        world.run(ms(300));
    }
    world
}

/// What a thief's copies show of recorded packets.
fn opened(thief: &mut World, packets: &[(usize, darkchat_proto::Frame)]) -> usize {
    let before = thief.shown.len();
    let undecryptable = |world: &World| -> u64 {
        world.devices.iter().map(|device| device.session.stats().undecryptable).sum()
    };
    let (refused, mut messages) = (undecryptable(thief), 0);
    for (to, frame) in packets {
        let Kind::Dm(delivered) = &frame.kind else { continue };
        if delivered.packet.first() == Some(&3) {
            messages += 1;
            thief.hear(*to, frame.clone());
        }
    }
    let refused = usize::try_from(undecryptable(thief) - refused).unwrap();
    assert_eq!(thief.shown.len() - before, 0);
    messages - refused
}

#[test]
fn the_state_of_both_devices_opens_nothing_that_was_recorded_before() {
    let mut world = talked();
    assert_eq!(world.shown.len(), 12);
    let recorded = world.recorded.clone();
    assert!(recorded.len() >= 24, "{} packets", recorded.len());
    assert_eq!(opened(&mut world, &recorded), 0);
}

#[test]
fn after_one_round_trip_a_copy_of_the_state_opens_nothing_new() {
    let (mut world, mut thief) = (talked(), talked());
    assert_eq!(world.recorded.len(), thief.recorded.len(), "the same run");
    world.freshen(77);
    // The keys that both sides had ready at the theft are used up by what is said first; then a round trip of new
    // ones, whose randomness the thief does not have.
    world.say(0, 2, "there");
    world.run(ms(300));
    world.say(1, 1, "and back");
    world.run(ms(300));
    world.say(0, 2, "there again");
    world.run(ms(300));
    let passed = world.recorded.len();
    for number in 0..6 {
        world.say(0, 2, &format!("c{number}"));
        world.run(ms(300));
        world.say(1, 1, &format!("d{number}"));
        world.run(ms(300));
    }
    assert_eq!(world.shown.len(), 12 + 3 + 12);
    let (round_trip, after) = world.recorded.split_at(passed);
    assert!(after.len() >= 24);
    assert_eq!(opened(&mut thief, after), 0);
    // The test can fail: what was said in the round trip itself is open to the thief.
    let mut copy = talked();
    let before = copy.shown.len();
    for (to, frame) in &round_trip[thief_start(&copy)..] {
        copy.hear(*to, frame.clone());
    }
    assert!(copy.shown.len() > before, "the copy is one");
}

fn thief_start(copy: &World) -> usize {
    copy.recorded.len()
}
