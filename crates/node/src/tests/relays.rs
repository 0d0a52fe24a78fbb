//! Stories of a neighbour that turns what we pass on against our memory, or against our other neighbours.

use super::objects::{route, stranger};
use super::world::{Client, World, ms};
use crate::{Check, DroppedFor, Input, Received};
use bytes::Bytes;
use darkchat_proto::{Class, Code, Frame, Kind, Route, ServerId};

/// A route of this class for these servers, with so many bytes of this value.
fn through(class: Class, dst: &[ServerId], mark: u8, bytes: usize) -> Received {
    let payload = Bytes::from(vec![mark; bytes]);
    let mut made = route(dst, 9, payload, None, Check::NotChecked);
    if let Received::Route { head, .. } = &mut made {
        head.class = class;
    }
    made
}

fn give(world: &mut World, by: Client, frame: Received) {
    world.give(0, Input::Frame { link: by.link, frame });
}

fn got(frames: &[Frame]) -> Vec<&Route> {
    let is_route = |frame: &'_ _| matches!(frame, Kind::Route(_));
    let routes = frames.iter().map(|frame| &frame.kind).filter(|kind| is_route(kind));
    routes.filter_map(|kind| if let Kind::Route(route) = kind { Some(route) } else { None }).collect()
}

#[test]
fn shards_in_transit_take_no_more_memory_than_messages() {
    for class in [Class::Shard, Class::Dm, Class::Channel] {
        let mut world = World::new(1);
        let [flooder, slow] = [1, 2].map(|number| world.fake_peer(0, stranger(number)));
        world.count_no_more(slow);
        for _ in 0..1_000 {
            give(&mut world, flooder, through(class, &[stranger(2)], b'f', 60_000));
        }
        world.run_for(ms(100));
        let longest = world.stats(0).sizes.longest_queue;
        assert!(longest <= 8 << 20, "{class:?}: {longest} bytes wait for one neighbour");
        assert_eq!((world.goodbye(slow), world.goodbye(flooder)), (None, None), "{class:?}");
    }
}

#[test]
fn a_neighbour_that_floods_another_one_through_us_ends_no_link_and_takes_no_turn_of_others() {
    for class in [Class::Shard, Class::Dm] {
        let mut world = World::new(1);
        let [flooder, victim, slow] = [1, 2, 3].map(|number| world.fake_peer(0, stranger(number)));
        world.stall(0, slow.link, true);
        for number in 0..400 {
            give(&mut world, flooder, through(class, &[stranger(3)], b'f', 60_000));
            // Not among the first, which are out with the driver and of which the harness keeps no copy.
            if number >= 100 && number % 3 == 0 {
                give(&mut world, victim, through(class, &[stranger(3)], b'v', 1_000));
            }
        }
        let stats = world.stats(0);
        assert_eq!(world.goodbye(slow), None, "{class:?}: the queue is full for what another did");
        let dropped = stats.dropped.get(&DroppedFor::QueueFull).copied().unwrap_or_default();
        assert_eq!(dropped > 200, class == Class::Dm, "only messages are accounted for: {dropped}");
        world.take_inbox(slow);
        world.stall(0, slow.link, false);
        world.run_for(ms(100));
        let came: Vec<u8> = got(world.inbox(slow)).iter().map(|route| route.payload[0]).collect();
        let of = |mark: u8, among: &[u8]| among.iter().filter(|came| **came == mark).count();
        assert_eq!(of(b'v', &came), 100, "{class:?}: none of those is dropped");
        assert_eq!(of(b'v', &came[..110]), 100, "{class:?}: nor does it wait for the flood");
        world.run_for(ms(1_000));
        assert_eq!(world.stats(0).pending, 0);
    }
}

/// Who takes a little now and then is not cut off, but gets nothing that is older than ten seconds (sections 1 and 10.3).
#[test]
fn what_waited_ten_seconds_for_a_neighbour_that_trickles_is_dropped() {
    for class in [Class::Shard, Class::Dm, Class::Channel] {
        let mut world = World::new(1);
        let [source, slow] = [1, 2].map(|number| world.fake_peer(0, stranger(number)));
        world.stall(0, slow.link, true);
        for _ in 0..100 {
            give(&mut world, source, through(class, &[stranger(2)], b'x', 30_000));
        }
        for _ in 0..99 {
            assert!(world.stats(0).sizes.longest_queue > 2 << 20, "{class:?}: it is not old yet");
            world.run_for(ms(100));
            world.give(0, Input::Flushed { link: slow.link, bytes: 10 });
        }
        world.run_for(ms(300));
        let waits = world.stats(0).sizes.longest_queue;
        assert!(waits < 1 << 20, "{class:?}: {waits} bytes wait, beside what is out");
        assert_eq!(world.goodbye(slow), None, "{class:?}");
    }
}

/// What is ours goes past what we carry for others, however much that is.
#[test]
fn what_we_say_ourselves_has_room_in_a_queue_that_others_have_filled() {
    let mut world = World::new(1);
    let [flooder, slow] = [1, 2].map(|number| world.fake_peer(0, stranger(number)));
    world.stall(0, slow.link, true);
    for _ in 0..400 {
        give(&mut world, flooder, through(Class::Dm, &[stranger(2)], b'f', 30_000));
    }
    // Some find room with the driver, of which the harness keeps no copy.
    for nonce in 0..4_000 {
        give(&mut world, slow, Received::Other(Frame::from(Kind::Ping { nonce, acked: 0 })));
    }
    world.take_inbox(slow);
    world.stall(0, slow.link, false);
    let pongs = |frame: &&Frame| matches!(frame.kind, Kind::Pong { .. });
    let first = world.inbox(slow).iter().take_while(pongs).count();
    assert!(first > 1_000 && world.goodbye(slow).is_none(), "{first} go before what others sent");
}

#[test]
fn nothing_goes_back_to_the_neighbour_that_named_itself() {
    for class in [Class::Shard, Class::Dm, Class::Channel, Class::LookupReq] {
        let mut world = World::new(1);
        let (mirror, other) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
        world.take_inbox(mirror);
        give(&mut world, mirror, through(class, &[stranger(1), stranger(2)], b'x', 100));
        give(&mut world, mirror, through(class, &[stranger(1)], b'x', 100));
        world.run_for(ms(100));
        assert!(got(world.inbox(mirror)).is_empty(), "{class:?}");
        let passed = got(world.inbox(other)).into_iter().filter(|route| route.head.class == class).count();
        assert_eq!(passed, 1, "{class:?}: the others get theirs");
        assert_eq!(world.stats(0).pending, 0);
    }
}

#[test]
fn a_neighbour_that_asks_without_end_and_does_not_read_is_cut_off() {
    let mut world = World::new(1);
    let deaf = world.fake_peer(0, stranger(1));
    world.stall(0, deaf.link, true);
    let mut asked = 0;
    while world.goodbye(deaf).is_none() && asked < 200_000 {
        asked += 1;
        let ping = Received::Other(Frame::from(Kind::Ping { nonce: asked, acked: 0 }));
        give(&mut world, deaf, ping);
    }
    assert_eq!(world.goodbye(deaf), Some(Code::SlowConsumer));
    assert!((32_000..40_000).contains(&asked), "{asked} answers were kept for it");
}

/// What counts for the other side must not stand behind what waits until the other side counts.
#[test]
fn a_count_goes_out_while_routes_wait_for_the_neighbour_to_count() {
    let mut world = World::new(1);
    let (source, slow) = (world.fake_peer(0, stranger(2)), world.fake_peer(0, stranger(1)));
    world.count_no_more(slow);
    for _ in 0..4_200 {
        give(&mut world, source, through(Class::Channel, &[stranger(1)], b'x', 10));
    }
    world.run_for(ms(100));
    world.take_inbox(slow);
    give(&mut world, slow, through(Class::Channel, &[stranger(2)], b'x', 10));
    world.run_for(ms(100));
    let counts = |frame: &&Frame| matches!(frame.kind, Kind::LinkAck { received: 1 });
    assert_eq!(world.inbox(slow).iter().filter(counts).count(), 1);
}
