//! Stories of a server's first record and its interest: who hears of them, and when.

use super::objects::{record_of, stranger};
use super::world::{Client, World, ms, secs, server};
use darkchat_proto::{Class, Frame, Kind, RouterId, ServerId, ServerRecord, Signed};

/// The records of a server that this peer was sent: how many neighbours each names.
fn records(world: &World, peer: Client, of: ServerId) -> Vec<usize> {
    let record = |frame: &Frame| {
        let Kind::Record(signed) = &frame.kind else { return None };
        let record = ServerRecord::decode(Signed::decode(signed.clone()).unwrap().body).unwrap();
        (record.server == of).then_some(record.neighbours.len())
    };
    world.inbox(peer).iter().filter_map(record).collect()
}

/// For each route with a shard that this peer was sent, the servers that it is for.
fn shards(world: &World, peer: Client) -> Vec<Vec<RouterId>> {
    let shard = |frame: &Frame| match &frame.kind {
        Kind::Route(route) if route.head.class == Class::Shard => Some(route.head.dst.clone()),
        _ => None,
    };
    world.inbox(peer).iter().filter_map(shard).collect()
}

fn routers(of: &[u16]) -> Vec<RouterId> {
    let mut routers: Vec<RouterId> = of.iter().map(|number| stranger(*number).router()).collect();
    routers.sort_unstable();
    routers
}

#[test]
fn a_first_record_that_names_nobody_is_held_and_the_next_is_passed_on() {
    let mut world = World::new(1);
    let (one, other) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    world.ask(one, record_of(stranger(3), 5, 1, &[]));
    assert!(world.node(0).servers().contains(&stranger(3)), "whoever compares finds it");
    assert!(records(&world, other, stranger(3)).is_empty());
    world.ask(one, record_of(stranger(3), 5, 2, &[stranger(1)]));
    assert_eq!(records(&world, other, stranger(3)), [1]);
}

#[test]
fn before_a_servers_record_is_out_only_its_neighbours_hear_what_it_wants() {
    let mut world = World::new(1);
    let near = world.fake_peer(0, stranger(1));
    world.ask(near, record_of(stranger(1), 5, 1, &[server(0), stranger(2)]));
    world.ask(near, record_of(stranger(2), 5, 1, &[stranger(1)]));
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    world.run_for(ms(300));
    assert_eq!(shards(&world, near), [routers(&[1])], "the other would refuse it");
    assert!(!records(&world, near, server(0)).contains(&1));
    world.run_for(secs(1));
    assert_eq!(shards(&world, near), [routers(&[1]), routers(&[1, 2])]);
    let says = |frame: &Frame| match &frame.kind {
        Kind::Record(_) => Some(false),
        Kind::Route(route) if route.head.class == Class::Shard => Some(true),
        _ => None,
    };
    let order: Vec<bool> = world.inbox(near).iter().filter_map(says).collect();
    assert_eq!(order.last_chunk(), Some(&[false, true]), "the record is there before it");
}

#[test]
fn who_appears_before_a_servers_record_is_out_hears_after_it_what_it_wants() {
    let mut world = World::new(1);
    let near = world.fake_peer(0, stranger(1));
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    world.run_for(ms(200));
    assert_eq!(shards(&world, near), [routers(&[1])], "nobody else is known");
    world.ask(near, record_of(stranger(1), 5, 1, &[server(0), stranger(2)]));
    world.ask(near, record_of(stranger(2), 5, 1, &[stranger(1)]));
    world.run_for(ms(300));
    assert_eq!(shards(&world, near).len(), 1);
    world.run_for(secs(1));
    assert!(shards(&world, near).contains(&routers(&[1, 2])), "{:?}", shards(&world, near));
}

#[test]
fn what_is_not_reported_is_told_again_whole_and_through_any_neighbour() {
    let mut world = World::new(1);
    let near = [1, 2, 3].map(|number| world.fake_peer(0, stranger(number)));
    for number in [1, 2, 3] {
        world.ask(near[0], record_of(stranger(number), 5, 1, &[server(0), stranger(9)]));
    }
    world.ask(near[0], record_of(stranger(9), 5, 1, &[1, 2, 3].map(stranger)));
    world.run_for(secs(2));
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    world.run_for(secs(1));
    let to_far = |dst: &&Vec<RouterId>| dst.contains(&stranger(9).router());
    let count = |world: &World, peer: &Client| shards(world, *peer).iter().filter(to_far).count();
    let first = near.iter().position(|peer| count(&world, peer) > 0).unwrap();
    world.run_for(secs(20));
    let whole = routers(&[1, 2, 3, 9]);
    let mut again = 0;
    for (number, peer) in near.iter().enumerate() {
        let told = shards(&world, *peer);
        again += told.iter().skip(1).filter(|dst| **dst == whole).count();
        assert!(told.iter().skip(1).all(|dst| *dst == whole), "{told:?}");
        assert!(number == first || told.len() > 1 || again < 3, "never by another way");
    }
    assert_eq!(again, 3, "as often as it is told again");
    assert!(near.iter().filter(|peer| count(&world, peer) > 0).count() > 1, "by other ways than the first");
}
