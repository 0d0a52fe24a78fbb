//! Stories of people who talk with each other alone, with real signatures and seals. The world itself looks through
//! every byte that a node or a session writes, and asserts that each message is shown once, as it was said.

use darkchat_client::session::Failure;
use darkchat_proto::UserId;
use darkchat_sim::{Client, Signing, World, millis, secs};

fn world(seed: u64) -> World {
    World::new(seed).with_signing(Signing::Real)
}

fn all_heard(world: &World) {
    let (_, in_vain, open) = world.talks();
    assert_eq!((in_vain, open), (0, 0));
}

/// Two clients on the two ends of a line of five servers; what every node on the way gets and writes holds no word of it.
#[test]
fn the_two_ends_of_a_line_of_five_servers_talk_and_no_node_sees_a_word() {
    let mut world = world(1);
    let [a, _, _, _, e] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(e));
    world.run_for(secs(4));
    world.tell(ann, bob, "first");
    world.run_for(secs(2));
    assert_eq!(world.told("first"), Some(Ok(())));
    for number in 0..20 {
        world.tell(ann, bob, &format!("ping {number}"));
        world.tell(bob, ann, &format!("pong {number}"));
        world.run_for(millis(400));
    }
    world.run_for(secs(5));
    all_heard(&world);
    assert!((0..20).all(|number| {
        world.was_told(bob, &format!("ping {number}")) && world.was_told(ann, &format!("pong {number}"))
    }));
    assert!(world.looked_through() > 500, "{}", world.looked_through());
}

#[test]
fn a_key_that_is_nowhere_is_said_to_be_nowhere_within_two_seconds() {
    let mut world = world(2);
    let [a, _, _] = world.line();
    let ann = world.add_client(a);
    world.run_for(secs(4));
    world.tell_user(ann, UserId::new([9; 32]), "is anybody there?");
    world.run_for(secs(2));
    assert_eq!(world.told("is anybody there?"), Some(Err(Failure::NotHere)));
}

#[test]
fn a_user_with_three_devices_is_told_once_on_each_and_the_senders_other_device_has_a_copy() {
    let mut world = world(3);
    let [a, b, c] = world.line();
    let (ann, bob) = (world.add_client(a), world.add_client(a));
    let anns = world.add_device(ann, b);
    let bobs = [bob, world.add_device(bob, b), world.add_device(bob, c)];
    world.run_for(secs(4));
    world.tell(ann, bob, "to all of you");
    world.run_for(secs(6));
    all_heard(&world);
    assert!(bobs.iter().all(|device| world.was_told(*device, "to all of you")));
    assert!(world.was_told(anns, "to all of you") && !world.was_told(ann, "to all of you"));
}

#[test]
fn both_call_at_the_same_moment_and_everything_arrives() {
    for seed in 0..6 {
        let mut world = world(100 + seed);
        let [a, _, c] = world.ring();
        let (ann, bob) = (world.add_client(a), world.add_client(c));
        world.run_for(secs(4));
        for number in 0..3 {
            world.tell(ann, bob, &format!("ann {number}"));
            world.tell(bob, ann, &format!("bob {number}"));
        }
        world.run_for(secs(30));
        all_heard(&world);
    }
}

/// Links and servers on the way go and come back while two people talk: all of it arrives, each once.
#[test]
fn what_is_said_while_servers_on_the_way_fail_arrives() {
    for seed in 0..4 {
        let mut world = world(200 + seed);
        let [a, b, c, d] = world.ring();
        let (ann, bob) = (world.add_client(a), world.add_client(c));
        world.run_for(secs(5));
        let say = |world: &mut World, from: Client, to: Client, number: u64| {
            world.tell(from, to, &format!("{number}"));
            world.run_for(millis(350));
        };
        for number in 0..40 {
            match number {
                8 => world.snap(a, b),
                16 => world.crash(d),
                24 => world.restart(d),
                30 => world.cut_client(bob),
                _ => {}
            }
            let (from, to) = if number % 2 == 0 { (ann, bob) } else { (bob, ann) };
            say(&mut world, from, to, number);
        }
        world.run_for(secs(40));
        all_heard(&world);
        // Invariant S14: after each of them the world looked whether its key and nonce had sealed something else.
        assert!(world.sealed() >= 40, "{}", world.sealed());
    }
}

#[test]
fn one_seed_is_one_talk() {
    let run = || {
        let mut world = world(7);
        let [a, b] = world.line();
        let (ann, bob) = (world.add_client(a), world.add_client(b));
        world.run_for(secs(4));
        world.tell(ann, bob, "again");
        world.run_for(secs(3));
        world.trace_hash()
    };
    assert_eq!(run(), run());
}
