//! Stories of hops: counts, links that break or fall silent, and ways that come back. Source: section 9.6.

use super::objects::{record_of, routes, shard_of, stranger, text_route};
use super::world::{Client, World, channel, ms, secs, server, text_of};
use crate::{Config, DroppedFor, Input, Received};
use darkchat_proto::{Class, Code, Frame, Kind};

/// Two ways from server 0 to server 3: over 1 and over 2. Alice is at the one end, and bob at the other.
fn diamond() -> (World, Client, Client) {
    let mut world = World::new(4);
    for (one, other) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        world.peer(one, other);
    }
    world.run_for(secs(3));
    let (alice, bob) = (world.client(0, 1), world.client(3, 2));
    world.join(alice, "lobby");
    world.join_spread(bob, "lobby");
    (world, alice, bob)
}

pub(super) fn is_post(frame: &Frame) -> bool {
    matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::Channel)
}

/// The neighbour of server 0 over which it sends to bob.
fn way(world: &mut World, alice: Client) -> usize {
    world.carried.clear();
    world.say(alice, "lobby", "which way");
    world.run_for(secs(1));
    world
        .carried
        .iter()
        .filter(|(_, frame)| is_post(frame))
        .map(|(at, _)| *at)
        .nth(1)
        .expect("a hop after the first")
}

fn texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("post {number}")).collect()
}

#[test]
fn what_was_on_a_link_when_it_broke_goes_the_other_way_and_is_heard_once() {
    let (mut world, alice, bob) = diamond();
    let middle = way(&mut world, alice);
    world.take_inbox(bob);
    for text in texts(0..20) {
        world.say(alice, "lobby", &text);
    }
    // A millisecond each: the last few are still on their way to the one in the middle.
    world.cut(0, middle);
    world.run_for(secs(2));
    let mut heard = world.heard(bob);
    heard.sort_by_key(|text| text[5..].parse::<u32>().unwrap());
    assert_eq!(heard, texts(0..20));
    let stats = world.stats(0);
    assert!(stats.resent > 0, "{stats:?}");
    assert_eq!((stats.pending, stats.dropped_total()), (0, 0));
}

#[test]
fn a_server_that_dies_takes_nothing_along_that_it_had_not_passed_on() {
    let (mut world, alice, bob) = diamond();
    let middle = way(&mut world, alice);
    world.take_inbox(bob);
    for text in texts(0..20) {
        world.say(alice, "lobby", &text);
    }
    world.crash(middle);
    for text in texts(20..30) {
        world.say(alice, "lobby", &text);
    }
    world.run_for(secs(2));
    let mut heard = world.heard(bob);
    heard.sort_by_key(|text| text[5..].parse::<u32>().unwrap());
    assert_eq!(heard, texts(0..30));
}

/// Case E10 (a) of the test plan: it answers every ping, and that is all that it does.
#[test]
fn e10_a_neighbour_that_counts_nothing_is_dead_after_two_seconds_and_nothing_is_lost() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let (one, another) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    for (peer, id) in [(one, stranger(1)), (another, stranger(2))] {
        world.ask(peer, record_of(id, 5, 1, &[server(0), stranger(3)]));
    }
    world.ask(one, record_of(stranger(3), 5, 1, &[stranger(1), stranger(2)]));
    world.ask(one, shard_of(stranger(3), 5, 1, &[channel("lobby")]));
    world.run_for(secs(1));
    world.say(alice, "lobby", "first");
    let (dead, other) = if routes(world.inbox(one)).is_empty() { (another, one) } else { (one, another) };
    world.run_for(ms(100));
    world.count_no_more(dead);
    world.say(alice, "lobby", "second");
    world.run_for(ms(1_850));
    assert_eq!(world.goodbye(dead), None, "less than two seconds");
    world.run_for(ms(200));
    assert_eq!(world.goodbye(dead), Some(Code::Timeout));
    assert_eq!(routes(world.inbox(other)).len(), 1, "what the first did not count goes again");
    world.run_for(ms(100));
    assert_eq!((world.stats(0).pending, world.stats(0).forwarded), (0, 2));
}

/// A cut often takes several neighbours at once. They are found together, and not one after another by the messages that
/// each of them swallows.
#[test]
fn neighbours_that_fall_silent_at_once_are_found_at_once_and_who_speaks_stays() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let all = [1, 2, 3, 4, 5].map(|number| (number, world.fake_peer(0, stranger(number))));
    for (number, peer) in all {
        world.ask(peer, record_of(stranger(number), 5, 1, &[server(0), stranger(9)]));
    }
    let [(_, first), .., (_, speaks)] = all;
    world.ask(first, record_of(stranger(9), 5, 1, &[1, 2, 3, 4, 5].map(stranger)));
    world.ask(first, shard_of(stranger(9), 5, 1, &[channel("lobby")]));
    world.run_for(secs(1));
    for (_, peer) in &all[..4] {
        world.count_no_more(*peer);
    }
    let before = world.inbox(speaks).iter().filter(|frame| is_record(frame)).count();
    world.say(alice, "lobby", "who gets it");
    for _ in 0..44 {
        world.run_for(ms(100));
        let ping = Received::Other(Frame::from(Kind::Ping { nonce: 1, acked: 0 }));
        world.give(0, Input::Frame { link: speaks.link, frame: ping });
    }
    let ended: Vec<Option<Code>> = all.iter().map(|(_, peer)| world.goodbye(*peer)).collect();
    let silent = Some(Code::Timeout);
    assert_eq!(
        ended,
        [silent, silent, silent, silent, None],
        "two seconds for the first, two for the others"
    );
    assert_eq!(routes(world.inbox(speaks)).len(), 1);
    let told = world.inbox(speaks).iter().filter(|frame| is_record(frame)).count() - before;
    assert_eq!(told, 2, "one record of the first, and one of the three that ended together");
}

#[test]
fn a_link_that_is_lost_elsewhere_makes_us_ask_whether_ours_still_carry() {
    let mut world = World::new(1);
    let (speaks, silent) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    world.ask(speaks, record_of(stranger(9), 5, 1, &[stranger(7), stranger(8)]));
    world.run_for(secs(1));
    world.ask(speaks, record_of(stranger(9), 5, 2, &[stranger(6), stranger(7), stranger(8)]));
    world.run_for(secs(3));
    assert_eq!(world.goodbye(silent), None, "a further link is no sign of a cut");
    world.ask(speaks, record_of(stranger(9), 5, 3, &[stranger(6), stranger(7)]));
    for _ in 0..21 {
        let ping = Received::Other(Frame::from(Kind::Ping { nonce: 1, acked: 0 }));
        world.give(0, Input::Frame { link: speaks.link, frame: ping });
        world.run_for(ms(100));
    }
    assert_eq!((world.goodbye(silent), world.goodbye(speaks)), (Some(Code::Timeout), None));
}

#[test]
fn what_was_out_on_a_lost_link_goes_again_after_the_news_of_it_and_before_what_still_waited() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let (one, another) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    for (peer, id) in [(one, stranger(1)), (another, stranger(2))] {
        world.ask(peer, record_of(id, 5, 1, &[server(0), stranger(3)]));
    }
    world.ask(one, record_of(stranger(3), 5, 1, &[stranger(1), stranger(2)]));
    world.ask(one, shard_of(stranger(3), 5, 1, &[channel("lobby")]));
    world.run_for(secs(1));
    world.say(alice, "lobby", "which way");
    let (lost, other) = if routes(world.inbox(one)).is_empty() { (another, one) } else { (one, another) };
    world.stall(0, lost.link, true);
    // More than the window, so that some are with the driver and the rest waits.
    let said: Vec<String> = (0..40).map(|number| format!("{number} {}", "x".repeat(10_000))).collect();
    for text in &said {
        world.say(alice, "lobby", text);
    }
    world.take_inbox(other);
    world.hang_up(lost);
    world.run_for(secs(1));
    let first = |wanted: fn(&Kind) -> bool| world.inbox(other).iter().position(|frame| wanted(&frame.kind));
    let told = first(|kind| matches!(kind, Kind::Record(_)));
    assert!(
        told.is_some() && told < first(|kind| matches!(kind, Kind::Route(_))),
        "who gets them knows of the loss"
    );
    let again: Vec<String> = routes(world.inbox(other)).iter().map(|route| text_of(&route.payload)).collect();
    assert_eq!(again, said);
}

pub(super) fn is_record(frame: &Frame) -> bool {
    matches!(frame.kind, Kind::Record(_))
}

#[test]
fn counts_come_after_64_routes_or_50_milliseconds() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    let counts = |world: &World| -> Vec<u64> {
        let count =
            |frame: &Frame| if let Kind::LinkAck { received } = frame.kind { Some(received) } else { None };
        world.inbox(peer).iter().filter_map(count).collect()
    };
    for number in 0..70 {
        let route = text_route(&world, &[server(0)], 9, &number.to_string());
        world.give(0, Input::Frame { link: peer.link, frame: route });
    }
    assert_eq!(counts(&world), [64]);
    world.run_for(ms(49));
    assert_eq!(counts(&world), [64]);
    world.run_for(ms(2));
    assert_eq!(counts(&world), [64, 70]);
    // One that was over its budget was read, and counts; else the link would look dead.
    let refused = Received::Refused { req: 0, code: Code::RateLimited, retry_ms: 0 };
    world.give(0, Input::Frame { link: peer.link, frame: refused });
    world.run_for(ms(60));
    assert_eq!(counts(&world), [64, 70, 71]);
}

/// Whoever counted a route must have passed it on: if it dies between the two, the sender keeps nothing to send again.
#[test]
fn a_count_goes_out_behind_what_it_counts() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    world.traced = true;
    for number in 0..64 {
        let route = text_route(&world, &[server(0)], 9, &number.to_string());
        world.give(0, Input::Frame { link: peer.link, frame: route });
    }
    let last = |client: Client| {
        let to = format!("Send {{ links: [{:?}]", client.link);
        world.trace.iter().rposition(|output| output.contains(&to))
    };
    assert!(last(alice).is_some() && last(alice) < last(peer), "{:?} {:?}", last(alice), last(peer));
}

#[test]
fn a_full_ring_holds_the_rest_back_until_the_neighbour_counts() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let slow = world.fake_peer(0, stranger(1));
    world.ask(slow, record_of(stranger(1), 5, 1, &[server(0)]));
    world.ask(slow, shard_of(stranger(1), 5, 1, &[channel("lobby")]));
    world.count_no_more(slow);
    world.take_inbox(slow);
    let source = world.fake_peer(0, stranger(2));
    for number in 0..5_000 {
        let route = text_route(&world, &[stranger(1)], 9, &number.to_string());
        world.give(0, Input::Frame { link: source.link, frame: route });
    }
    world.run_for(ms(500));
    assert_eq!(routes(world.inbox(slow)).len(), 4_096, "no more than can be sent again");
    assert_eq!(world.stats(0).pending, 5_000);
    world.ask(slow, Received::Other(Frame::from(Kind::LinkAck { received: 4_096 })));
    world.run_for(ms(500));
    assert_eq!(routes(world.inbox(slow)).len(), 5_000);
    assert_eq!((world.stats(0).pending, world.stats(0).forwarded), (904, 4_096));
}

#[test]
fn a_neighbour_is_not_sent_more_than_it_takes_and_the_rest_waits_its_turn() {
    let mut world = World::new(1);
    let (source, peer) = (world.fake_peer(0, stranger(2)), world.fake_peer(0, stranger(1)));
    world.take_inbox(peer);
    let frame = text_route(&world, &[stranger(1)], 9, "one of many");
    for _ in 0..20_000 {
        world.give(0, Input::Frame { link: source.link, frame: frame.clone() });
    }
    world.run_for(ms(200));
    let at_once = routes(world.inbox(peer)).len();
    assert!(
        (17_900..19_000).contains(&at_once),
        "nine tenths of the burst and of what came since: {at_once}"
    );
    world.run_for(ms(500));
    assert_eq!(routes(world.inbox(peer)).len(), 20_000);
    assert_eq!((world.stats(0).forwarded, world.stats(0).dropped_total()), (20_000, 0));
}

/// A long answer, as to a `Pull`, takes the whole pace of a neighbour and waits for nothing itself.
#[test]
fn what_waits_for_its_turn_goes_when_that_comes_though_nothing_else_happens() {
    let mut world = World::new(1);
    let (source, peer) = (world.fake_peer(0, stranger(2)), world.fake_peer(0, stranger(1)));
    for nonce in 0..18_400 {
        let ping = Received::Other(Frame::from(Kind::Ping { nonce, acked: 0 }));
        world.give(0, Input::Frame { link: peer.link, frame: ping });
    }
    world.run_for(ms(1));
    world.take_inbox(peer);
    let frame = text_route(&world, &[stranger(1)], 9, "in its turn");
    world.give(0, Input::Frame { link: source.link, frame });
    assert_eq!(routes(world.inbox(peer)).len(), 0, "the pace is spent");
    world.run_for(ms(300));
    assert_eq!(routes(world.inbox(peer)).len(), 1);
}

#[test]
fn a_server_without_a_second_way_gets_what_was_sent_while_it_was_gone_for_seconds() {
    let mut world = World::line(2);
    let (alice, bob) = (world.client(0, 1), world.client(1, 2));
    world.join(alice, "lobby");
    world.join_spread(bob, "lobby");
    world.cut(0, 1);
    for text in texts(0..5) {
        world.say(alice, "lobby", &text);
    }
    assert_eq!(world.stats(0).pending, 5);
    world.run_for(secs(5));
    assert_eq!(world.heard(bob), texts(0..5), "the pinned link came back meanwhile");
    assert_eq!((world.stats(0).pending, world.stats(0).sizes.limbo_bytes), (0, 0));
}

/// Seed 1639 of the simulator's larger worlds: on a line of ten servers one frame for eight of them crossed 79 links.
#[test]
fn what_waited_for_several_servers_crosses_a_link_once() {
    let mut world = World::line(4);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let others = [1, 2, 3].map(|at| world.client(at, 2));
    for other in others {
        world.join_spread(other, "lobby");
    }
    world.cut(0, 1);
    for text in texts(0..2) {
        world.say(alice, "lobby", &text);
    }
    assert_eq!(world.stats(0).pending, 6);
    world.carried.clear();
    world.run_for(secs(5));
    for other in others {
        assert_eq!(world.heard(other), texts(0..2));
    }
    let crossed = world.carried.iter().filter(|(_, frame)| is_post(frame)).count();
    assert_eq!(crossed, 6, "each of two posts over each of three links");
    assert_eq!((world.stats(0).pending, world.stats(0).sizes.limbo_bytes), (0, 0));
}

#[test]
fn what_waits_for_a_way_is_given_up_after_ten_seconds_and_counted() {
    for (limbo_bytes, reason) in [(4 << 20, DroppedFor::LimboExpired), (0, DroppedFor::LimboExpired)] {
        let mut world = World::with(2, &Config { limbo_bytes, ..Config::default() });
        world.peer(0, 1);
        world.run_for(secs(3));
        let (alice, bob) = (world.client(0, 1), world.client(1, 2));
        world.join(alice, "lobby");
        world.join_spread(bob, "lobby");
        world.crash(1);
        world.say(alice, "lobby", "into the void");
        assert_eq!(world.stats(0).pending, u64::from(limbo_bytes > 0));
        world.run_for(secs(11));
        let stats = world.stats(0);
        assert_eq!((stats.pending, stats.dropped.get(&reason)), (0, Some(&1)), "{stats:?}");
        world.say(alice, "lobby", "too late to wait");
        let stats = world.stats(0);
        assert_eq!((stats.pending, stats.dropped.get(&DroppedFor::NoRoute)), (0, Some(&1)), "{stats:?}");
    }
}

#[test]
fn the_round_trip_to_a_neighbour_is_known_soon_after_the_link() {
    let mut world = World::line(2);
    let rows = world.node(0).peers();
    assert_eq!(rows[0].round_trip, Some(ms(10)));
    world.run_for(secs(60));
    assert_eq!(world.node(0).peers()[0].round_trip, Some(ms(10)));
}
