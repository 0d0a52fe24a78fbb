//! Stories of servers that leave politely while people talk.

use darkchat_node::Config;
use darkchat_sim::{Client, Server, World, millis, secs};

/// Sends numbers from `from` while `leaver` stops in the middle; everything that its server took is heard by `to`.
fn talk_while_it_leaves(world: &mut World, leaver: Server, from: Client, to: Client) {
    for number in 0..200 {
        world.send(from, "lobby", &number.to_string());
        if number == 90 {
            world.drain(leaver);
        }
        if number == 150 {
            world.crash(leaver);
        }
        world.run_for(millis(30));
    }
    world.run_for(secs(20));
    assert_eq!(world.sent(from), (200, 0), "everything was taken by one server or the other");
    for number in 0..200 {
        world.assert_heard(to, &number.to_string());
    }
}

#[test]
fn what_a_leaving_server_has_taken_reaches_the_others_and_the_rest_goes_by_another() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let [a, b] = world.line();
        let (ann, bob) = (world.add_client_to(&[a, b]), world.add_client(b));
        world.join(ann, "lobby");
        world.join(bob, "lobby");
        world.run_for(secs(6));
        talk_while_it_leaves(&mut world, a, ann, bob);
    }
}

#[test]
fn a_client_with_one_address_goes_where_its_server_says() {
    let mut world = World::new(1);
    let b = world.add_server();
    let elsewhere = vec![world.address(b)];
    let a = world.add_server_with(Config { elsewhere, ..Config::default() }, 0);
    world.link(a, b);
    let (ann, bob) = (world.add_client(a), world.add_client(b));
    world.join(ann, "lobby");
    world.join(bob, "lobby");
    world.run_for(secs(6));
    talk_while_it_leaves(&mut world, a, ann, bob);
    assert!(world.is_connected(ann));
}

#[test]
fn a_server_that_leaves_is_not_on_the_way_where_there_is_another() {
    let mut world = World::new(2);
    let [a, b, c, d] = world.ring();
    let (ann, cid) = (world.add_client(a), world.add_client(c));
    world.join(ann, "lobby");
    world.join(cid, "lobby");
    world.run_for(secs(6));
    // Ann and cid talk through b or through d; whichever leaves, the other one carries.
    for (leaver, text) in [(b, "one"), (d, "two")] {
        world.drain(leaver);
        world.run_for(millis(60));
        world.send(ann, "lobby", text);
        world.run_for(secs(4));
        world.assert_heard(cid, text);
        world.crash(leaver);
        world.restart(leaver);
        world.run_for(secs(40));
    }
    assert_eq!(world.missed(cid), 0);
}
