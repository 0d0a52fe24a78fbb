//! The defects of the program that came before, each with the test that would have shown it.

use super::world::{World, channel, deliver, post, secs, user};
use crate::{Input, Received};
use darkchat_proto::{Code, Done, Frame, Kind};

/// It kept every id that it had ever seen.
#[test]
fn original_defect_unbounded_table_of_seen_ids() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    let bob = world.client(0, 2);
    world.join(alice, "lobby");
    world.join(bob, "lobby");
    let mut most = 0;
    for second in 0..300 {
        for number in 0..50 {
            let post = post(alice.user, channel("lobby"), second * 50 + number + 1, world.wall_ms(), "x");
            world.give(0, Input::Frame { link: alice.link, frame: super::world::publish(0, post) });
        }
        world.take_inbox(bob);
        world.ask(bob, Received::Other(Frame::from(Kind::Ping { nonce: 1, acked: 0 })));
        world.run_for(secs(1));
        most = most.max(world.stats(0).sizes.seen);
    }
    assert_eq!(world.stats(0).delivered, 15_000);
    assert!((3_000..=6_050).contains(&most), "those of one to two minutes, and no more: {most}");
}

/// The second login of a key took the first one's place in a table and broke both.
#[test]
fn original_defect_second_login_breaks_the_first() {
    let mut world = World::new(1);
    let laptop = world.login(0, user(1), 1);
    let phone = world.login(0, user(1), 2);
    let bob = world.client(0, 2);
    for client in [laptop, phone, bob] {
        world.join(client, "lobby");
    }
    world.say(laptop, "lobby", "from the laptop");
    world.say(phone, "lobby", "from the phone");
    assert_eq!(world.heard(bob), ["from the laptop", "from the phone"]);
    assert_eq!(
        (world.heard(laptop), world.heard(phone)),
        (vec!["from the phone".into()], vec!["from the laptop".into()])
    );
    world.hang_up(phone);
    world.say(bob, "lobby", "still there?");
    assert_eq!(world.heard(laptop).last().map(String::as_str), Some("still there?"));
}

/// Every server got everything.
#[test]
fn original_defect_everything_flooded_to_all_peers() {
    let mut world = World::line(4);
    world.peer(1, 3);
    world.run_for(secs(3));
    let (alice, bob) = (world.client(0, 1), world.client(2, 2));
    world.join_spread(alice, "lobby");
    world.join_spread(bob, "lobby");
    world.routes = vec![0; 4];
    for _ in 0..10 {
        world.say(alice, "lobby", "hi");
    }
    world.run_for(secs(1));
    assert_eq!(world.heard(bob).len(), 10);
    assert_eq!(world.routes, [10, 10, 0, 0], "over the shortest way, and to nobody who does not listen");
    world.say(alice, "lobby", "alone");
    world.hang_up(bob);
    world.run_for(secs(10));
    assert_eq!(world.say(alice, "lobby", "nobody"), Some(Kind::Ok(Done::default())));
}

/// The sender's name was taken out of the message.
#[test]
fn original_defect_sender_taken_from_the_message() {
    let mut world = World::new(1);
    let [mallory, bob] = [1, 2].map(|number| world.client(0, number));
    world.join(mallory, "lobby");
    world.join(bob, "lobby");
    let forged = post(user(3), channel("lobby"), 1, world.wall_ms(), "I am somebody else");
    world.say_post(mallory, forged);
    assert!(world.heard(bob).is_empty());
    assert_eq!(world.goodbye(mallory), Some(Code::Unauthorized));
}

/// A message was acknowledged and then never sent.
#[test]
fn original_defect_acknowledged_messages_never_sent() {
    let mut world = World::line(2);
    let [alice, bob] = [1, 2].map(|number| world.client(0, number));
    let carol = world.client(1, 3);
    for client in [alice, bob, carol] {
        world.join_spread(client, "lobby");
    }
    let mut acknowledged = (0, 0);
    for seq in 1..=50 {
        let said = post(alice.user, channel("lobby"), seq, world.wall_ms(), "hi");
        let expected = deliver(&said);
        let Some(Kind::Ok(Done { local, servers, .. })) = world.say_post(alice, said) else {
            panic!("an answer")
        };
        acknowledged = (acknowledged.0 + local, acknowledged.1 + servers);
        assert!(world.inbox(bob).iter().any(|frame| frame.kind == Kind::Deliver(expected.clone())));
    }
    world.run_for(secs(1));
    let stats = world.stats(0);
    assert_eq!(acknowledged, (50, 50));
    assert_eq!((stats.delivered, stats.forwarded, stats.pending), (50, 50, 0), "what was acknowledged left");
    assert_eq!(world.heard(carol).len(), 50);
}
