//! Stories of messages that have farther to go than our record says, and of what goes behind the next one. Section 9.6.

use super::direct::{handed, packet, send, to};
use super::hops::{is_post, is_record};
use super::objects::{record_of, routes, stranger, text_route};
use super::world::{Client, World, join, ms, secs, server, text_of};
use crate::Input;
use darkchat_proto::{SendDm, ServerId};

/// Server 0, whose neighbours are 1 to 4: 9 is behind 2, and farther behind 3, over 8.
fn ways_round() -> (World, [Client; 4]) {
    let mut world = World::new(1);
    let peers = [1, 2, 3, 4].map(|number| world.fake_peer(0, stranger(number)));
    let others = [vec![], vec![stranger(9)], vec![stranger(8)], vec![]];
    for (number, (peer, others)) in (1..).zip(peers.into_iter().zip(others)) {
        let named: Vec<ServerId> = others.into_iter().chain([server(0)]).collect();
        world.ask(peer, record_of(stranger(number), 5, 1, &named));
    }
    world.ask(peers[0], record_of(stranger(8), 5, 1, &[stranger(3), stranger(9)]));
    world.ask(peers[0], record_of(stranger(9), 5, 1, &[stranger(2), stranger(8)]));
    world.run_for(secs(2));
    (world, peers)
}

/// A text for such a server comes from a neighbour.
fn comes(world: &mut World, from: Client, dst: u16, text: &str) {
    let frame = text_route(world, &[stranger(dst)], 9, text);
    world.give(0, Input::Frame { link: from.link, frame });
}

/// The texts that a neighbour was sent, in order.
fn texts(world: &World, peer: Client) -> Vec<String> {
    routes(world.inbox(peer)).iter().map(|route| text_of(&route.payload)).collect()
}

/// Who comes and goes costs two records each time, and one a second comes back: after this none is left.
fn flap(world: &mut World) {
    for number in 20..40 {
        let flapping = world.fake_peer(0, stranger(number));
        world.run_for(ms(1_010));
        world.hang_up(flapping);
    }
}

/// Of two losses within 50 ms the second is told at the end of that time. By the map of whoever gets the frame until then,
/// its way leads over us.
#[test]
fn a_message_that_has_farther_to_go_than_our_record_says_goes_behind_the_next_one() {
    let (mut world, [first, second, third, source]) = ways_round();
    world.hang_up(first);
    world.run_for(ms(10));
    world.hang_up(second);
    world.take_inbox(third);
    comes(&mut world, source, 9, "round");
    comes(&mut world, source, 8, "as near as ever");
    world.run_for(ms(30));
    assert_eq!(texts(&world, third), ["as near as ever"]);
    assert_eq!(world.stats(0).pending, 1);
    world.run_for(ms(20));
    assert_eq!(texts(&world, third), ["as near as ever", "round"]);
    let (told, went) =
        (world.inbox(third).iter().position(is_record), world.inbox(third).iter().rposition(is_post));
    assert!(told.is_some() && told < went, "who gets it knows of the loss: {told:?} {went:?}");
    world.run_for(ms(100));
    assert_eq!((world.stats(0).pending, world.stats(0).dropped_total()), (0, 0));
}

#[test]
fn no_message_waits_longer_for_our_record_than_a_tenth_of_a_second() {
    let (mut world, [_, second, third, source]) = ways_round();
    flap(&mut world);
    world.hang_up(second);
    world.take_inbox(third);
    comes(&mut world, source, 9, "round");
    world.run_for(ms(50));
    assert_eq!(routes(world.inbox(third)).len(), 0);
    world.run_for(ms(51));
    assert_eq!(routes(world.inbox(third)).len(), 1);
    assert!(!world.inbox(third).iter().any(is_record), "our records are over their budget");
}

#[test]
fn what_the_other_end_tells_of_a_lost_link_need_not_wait_for_us() {
    let (mut world, [first, second, third, source]) = ways_round();
    world.hang_up(first);
    world.run_for(ms(10));
    world.hang_up(second);
    comes(&mut world, source, 9, "before");
    assert_eq!(texts(&world, third), [""; 0]);
    world.ask(third, record_of(stranger(2), 5, 2, &[stranger(9)]));
    assert_eq!(texts(&world, third), ["before"], "everybody knows by its record that there is no such way");
    comes(&mut world, source, 9, "after");
    assert_eq!(texts(&world, third), ["before", "after"]);
}

/// One more loss is not told yet, but what it made farther is as near as before again.
#[test]
fn what_waits_goes_before_what_comes_when_its_link_is_back() {
    let (mut world, [first, second, _, source]) = ways_round();
    world.hang_up(first);
    world.run_for(ms(10));
    world.hang_up(second);
    world.hang_up(source);
    let source = world.fake_peer(0, stranger(5));
    comes(&mut world, source, 9, "before");
    let second = world.fake_peer(0, stranger(2));
    comes(&mut world, source, 9, "after");
    assert_eq!(texts(&world, second), ["before", "after"]);
}

/// The map is looked at a tenth of a second after its first change, which may be a moment after something began to wait.
#[test]
fn what_waits_for_our_record_does_not_go_because_something_else_has_changed() {
    let (mut world, [first, second, third, source]) = ways_round();
    let alice = world.client(0, 1);
    world.ask(third, record_of(stranger(7), 5, 1, &[stranger(8)]));
    world.ask(third, record_of(stranger(8), 5, 2, &[stranger(3), stranger(9), stranger(7)]));
    world.run_for(ms(60));
    world.hang_up(first);
    world.run_for(ms(5));
    world.hang_up(second);
    world.take_inbox(third);
    comes(&mut world, source, 9, "round");
    world.ask(alice, join(1, "lobby", true));
    assert_eq!(texts(&world, third), [""; 0], "a join looks at the map");
    world.run_for(ms(40));
    assert_eq!(texts(&world, third), [""; 0], "so does the time");
    world.run_for(ms(10));
    assert_eq!(texts(&world, third), ["round"]);
    let places = [is_record, is_post].map(|is_it| world.inbox(third).iter().rposition(is_it));
    assert!(places[0].is_some() && places[0] < places[1], "{places:?}");
}

/// A signature takes a turn of the driver, and a link may be lost meanwhile.
#[test]
fn a_record_that_was_made_before_a_link_was_lost_ends_no_waiting_for_its_loss() {
    let (mut world, [first, second, third, source]) = ways_round();
    comes(&mut world, source, 9, "kept");
    world.count_no_more(second);
    world.run_for(ms(100));
    comes(&mut world, source, 9, "kept too");
    world.hang_up(first);
    world.hang_up(second);
    world.take_inbox(third);
    comes(&mut world, source, 9, "round");
    world.run_for(ms(40));
    assert_eq!(world.inbox(third).iter().filter(|frame| is_record(frame)).count(), 1);
    assert_eq!(texts(&world, third), [""; 0], "that record names the other link");
    world.run_for(ms(20));
    assert_eq!(texts(&world, third), ["kept too", "round"]);
}

#[test]
fn what_began_to_wait_late_waits_as_long_as_what_began_at_once() {
    let (mut world, [_, second, third, source]) = ways_round();
    flap(&mut world);
    world.hang_up(second);
    world.run_for(ms(60));
    world.take_inbox(third);
    comes(&mut world, source, 9, "late");
    world.run_for(ms(99));
    assert_eq!(texts(&world, third), [""; 0]);
    world.run_for(ms(2));
    assert_eq!(texts(&world, third), ["late"]);
    comes(&mut world, source, 9, "later");
    assert_eq!(texts(&world, third), ["late", "later"], "nobody waits again for what did not come");
}

#[test]
fn both_copies_of_a_packet_that_waits_go_their_own_ways() {
    let (mut world, [first, second, third, fourth]) = ways_round();
    world.ask(fourth, record_of(stranger(4), 5, 2, &[server(0), stranger(8)]));
    world.ask(fourth, record_of(stranger(8), 5, 2, &[stranger(3), stranger(4), stranger(9)]));
    let ann = world.client(0, 1);
    world.hang_up(first);
    world.run_for(ms(10));
    world.hang_up(second);
    send(&mut world, ann, 7, SendDm { attempt: 1, ..to(2, stranger(9), packet("again")) });
    let went = |world: &World| [third, fourth].map(|peer| handed(world, peer).len());
    assert_eq!(went(&world), [0, 0]);
    world.run_for(ms(60));
    assert_eq!(went(&world), [1, 1]);
}

#[test]
fn more_than_may_wait_goes_at_once() {
    let (mut world, [first, second, third, source]) = ways_round();
    world.hang_up(first);
    world.run_for(ms(10));
    world.hang_up(second);
    let long = "x".repeat(60_000);
    (0..150).for_each(|_| comes(&mut world, source, 9, &long));
    let at_once = texts(&world, third).len();
    assert!((1..20).contains(&at_once), "eight megabytes wait: {at_once}");
    assert!(world.stats(0).sizes.limbo_bytes <= 8 << 20);
    world.run_for(ms(200));
    assert_eq!((texts(&world, third).len(), world.stats(0).dropped_total()), (150, 0));
    assert_eq!((world.stats(0).sizes.limbo_bytes, world.stats(0).pending), (0, 0));
}
