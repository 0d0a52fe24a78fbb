//! Stories of several servers.

use super::world::{World, ms, place, secs, server};
use crate::Event;
use darkchat_proto::{Code, Done, Kind, ServerAddr};
use std::collections::BTreeSet;

#[test]
fn a_message_crosses_a_line_of_three_and_another_channel_hears_nothing() {
    let mut world = World::line(3);
    let (alice, carol, eve) = (world.client(0, 1), world.client(2, 2), world.client(2, 3));
    world.join_spread(alice, "lobby");
    let done = world.join_spread(carol, "lobby");
    assert_eq!(done, Done { local: 0, servers: 2, spread: true });
    world.join_spread(eve, "cellar");
    assert_eq!(world.say(alice, "lobby", "hi"), Some(Kind::Ok(Done { local: 0, servers: 1, spread: false })));
    world.run_for(secs(1));
    world.say(carol, "lobby", "hello");
    world.run_for(secs(1));
    assert_eq!(world.heard(carol), ["hi"]);
    assert_eq!(world.heard(alice), ["hello"]);
    assert!(world.heard(eve).is_empty());
    assert_eq!(world.routes, [1, 2, 1], "each crossed two links");
    for at in 0..3 {
        let stats = world.stats(at);
        assert_eq!((stats.pending, stats.dropped_total()), (0, 0), "{stats:?}");
    }
}

#[test]
fn both_dial_at_once_and_one_link_remains() {
    let mut world = World::new(2);
    world.peer(0, 1);
    world.peer(1, 0);
    world.run_for(secs(5));
    assert_eq!((world.node(0).peers().len(), world.node(1).peers().len()), (1, 1));
    assert!(world.node(0).peers()[0].outbound, "the initiator has the smaller key");
    assert!(!world.node(1).peers()[0].outbound);
    world.run_for(secs(60));
    assert_eq!(world.stats(0).closed.get(&Code::Conflict), Some(&1), "and it is not dialled again");
}

#[test]
fn a_server_that_dials_itself_notices_and_forgets_the_address() {
    let mut world = World::new(1);
    world.peer(0, 0);
    world.run_for(secs(60));
    assert!(world.node(0).peers().is_empty());
    let failed = Event::DialFailed { addr: place(0), why: Code::Conflict };
    assert_eq!(world.events(0).iter().filter(|event| **event == failed).count(), 1);
    assert_eq!(world.stats(0).closed[&Code::Conflict], 2, "both ends, once");
    let _ = (ms(1), server(0), BTreeSet::<ServerAddr>::new());
}
