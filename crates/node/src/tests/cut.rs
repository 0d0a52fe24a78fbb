//! Stories of packets that there is no room for: who is told, how often, and what follows. Sections 5.2, 9.6 and 10.3.

use super::direct::{handed, packet, send, to, told};
use super::lookup::carried;
use super::objects::{record_of, stranger};
use super::world::{Client, World, ms, secs, server, user};
use crate::{Check, Config, DroppedFor, Input, Profile, Received};
use bytes::Bytes;
use darkchat_proto::limits::MAX_PACKET;
use darkchat_proto::{
    Carried, Class, Code, DeviceId, Digest16, DmDeliver, Frame, Kind, RouteHead, SendDm, ServerId,
};

/// What a packet of so many bytes is on its way.
fn payload(bytes: usize) -> Bytes {
    let packet = Bytes::from(vec![3; bytes]);
    Carried::Direct(DmDeliver { user: user(2), device: DeviceId::new([1; 16]), packet, delivery: 0 }).encode()
}

/// A packet that began with stranger 1 comes from there, for such a server and under such a number.
fn comes(world: &mut World, from: Client, (dst, corr): (u16, u64), payload: &Bytes) {
    let head = RouteHead {
        origin: stranger(1).router(),
        id: corr,
        ttl: 9,
        dst: vec![stranger(dst).router()],
        class: Class::Dm,
        want_done: false,
        corr,
    };
    let (digest, check) = (Digest16::new([0; 16]), Check::NotChecked);
    let frame = Received::Route { head, payload: payload.clone(), digest, check, channel: None };
    world.give(0, Input::Frame { link: from.link, frame });
}

/// What a peer of our own making was told of packets, in order.
fn statuses(world: &World, peer: Client) -> Vec<Code> {
    let status = |frame: &Frame| match &frame.kind {
        Kind::Route(route) if route.head.class == Class::DmStatus => {
            match Carried::decode(Class::DmStatus, route.payload.clone()) {
                Ok(Carried::Status(code)) => Some(code),
                _ => None,
            }
        }
        _ => None,
    };
    world.inbox(peer).iter().filter_map(status).collect()
}

/// Server 0 with so many neighbours, 1 and up, all but the first of which lead to 99.
fn hub(neighbours: u16) -> (World, Vec<Client>) {
    let mut world = World::new(1);
    let peers: Vec<Client> = (1..=neighbours).map(|number| world.fake_peer(0, stranger(number))).collect();
    for (peer, number) in peers.iter().zip(1..) {
        let behind: &[ServerId] = if number == 1 { &[] } else { &[stranger(99)] };
        let named = [&[server(0)], behind].concat();
        world.ask(*peer, record_of(stranger(number), 5, 1, &named));
    }
    let all: Vec<ServerId> = (2..=neighbours).map(stranger).collect();
    world.ask(peers[0], record_of(stranger(99), 5, 1, &all));
    world.run_for(secs(2));
    (world, peers)
}

/// A packet as long as one may be; a hundred and twenty of them are more than may wait for a link.
fn longest() -> Bytes {
    Bytes::from(vec![3; MAX_PACKET])
}

#[test]
fn who_sent_a_packet_that_is_cut_at_its_own_server_is_told_at_once() {
    let mut world = World::line(2);
    let (ann, bob, slow) = (world.client(0, 1), world.client(0, 2), world.link_with(0, 1));
    world.stall(0, slow, true);
    for req in 1..=100 {
        send(&mut world, ann, req, to(3, server(1), longest()));
    }
    assert_eq!(world.stats(0).dropped_total(), 0);
    for req in 1..=40 {
        send(&mut world, bob, req, to(3, server(1), longest()));
    }
    let cut = (1..=100).filter(|req| told(&world, ann, *req) == [Code::Limit]).count();
    assert!(
        cut > 10 && (1..=40).all(|req| told(&world, bob, req).is_empty()),
        "who has most waiting pays: {cut}"
    );
    assert_eq!(world.stats(0).dropped[&DroppedFor::QueueFull], cut as u64);
    assert_eq!(told(&world, ann, 100), [Code::Limit], "the newest");
}

#[test]
fn who_sent_a_packet_that_is_cut_on_the_way_is_told_as_soon_as_the_news_can_be_there() {
    let mut world = World::line(3);
    let (ann, near, slow) = (world.client(0, 1), world.client(1, 2), world.link_with(1, 2));
    world.stall(1, slow, true);
    for req in 1..=100 {
        send(&mut world, ann, req, to(3, server(2), longest()));
    }
    world.run_for(ms(100));
    for req in 1..=40 {
        send(&mut world, near, req, to(3, server(2), longest()));
    }
    world.run_for(ms(10));
    let cut = (1..=100).filter(|req| told(&world, ann, *req) == [Code::Limit]).count();
    assert_eq!(world.stats(1).dropped[&DroppedFor::QueueFull], cut as u64);
    assert!(cut > 10 && (1..=40).all(|req| told(&world, near, req).is_empty()), "{cut}");
}

/// A neighbour that floods gets as many small answers as frames of its were cut, and none that would push anything out.
#[test]
fn a_flood_of_packets_buys_one_answer_for_each_that_is_cut_and_none_where_there_is_no_room() {
    for has_room in [true, false] {
        let mut world = World::new(1);
        let [flooder, other, slow] = [1, 2, 3].map(|number| world.fake_peer(0, stranger(number)));
        for (peer, number) in [(flooder, 1), (other, 2), (slow, 3)] {
            world.ask(peer, record_of(stranger(number), 5, 1, &[server(0)]));
        }
        world.run_for(secs(2));
        let (long, short) = (payload(MAX_PACKET), payload(100));
        world.stall(0, slow.link, true);
        if !has_room {
            world.stall(0, flooder.link, true);
            (0..120).for_each(|_| comes(&mut world, other, (1, 0), &long));
            (0..1_000).for_each(|_| comes(&mut world, other, (1, 0), &short));
        }
        let before = world.stats(0).dropped_total();
        (1..=110).for_each(|number| comes(&mut world, flooder, (3, number), &long));
        (0..20).for_each(|_| comes(&mut world, other, (3, 0), &long));
        let cut = world.stats(0).dropped_total() - before;
        world.stall(0, flooder.link, false);
        world.run_for(ms(100));
        let answers = statuses(&world, flooder).len() as u64;
        assert!(cut > 10, "{cut}");
        assert_eq!(answers, if has_room { cut } else { 0 }, "{cut} were cut");
    }
}

/// All that a lost link kept goes to one with a full queue, by one input.
#[test]
fn of_packets_that_one_input_cuts_a_thousand_are_answered_and_none_is_said_to_have_no_way() {
    let (mut world, peers) = hub(3);
    let [source, one, another] = [peers[0], peers[1], peers[2]];
    comes(&mut world, source, (99, 1), &payload(1));
    world.run_for(ms(100));
    let (lost, full) =
        if handed(&world, one).is_empty() { ((another, 3), (one, 2)) } else { ((one, 2), (another, 3)) };
    world.stall(0, full.0.link, true);
    world.stall(0, lost.0.link, true);
    let (long, short) = (payload(MAX_PACKET), payload(1));
    (0..120).for_each(|_| comes(&mut world, source, (full.1, 0), &long));
    (0..1_000).for_each(|_| comes(&mut world, source, (full.1, 0), &short));
    (0..4_000).for_each(|number| comes(&mut world, source, (99, 10 + number), &short));
    let before = world.stats(0).dropped[&DroppedFor::QueueFull];
    world.take_inbox(source);
    world.hang_up(lost.0);
    world.run_for(ms(100));
    let cut = world.stats(0).dropped[&DroppedFor::QueueFull] - before;
    assert!(cut > 3_000, "{cut}");
    let told = statuses(&world, source);
    assert_eq!(
        (told.len(), told.iter().all(|code| *code == Code::Limit)),
        (1_024, true),
        "{:?}",
        told.first()
    );
}

#[test]
fn who_sent_a_packet_that_gives_way_for_want_of_memory_is_told() {
    let config = Config { memory_budget: 8 << 20, profile: Profile::Public, ..Config::default() };
    let mut world = World::with(2, &config);
    world.peer(0, 1);
    world.run_for(secs(3));
    let (ann, slow) = (world.client(0, 1), world.link_with(0, 1));
    world.stall(0, slow, true);
    for req in 1..=40 {
        send(&mut world, ann, req, to(3, server(1), Bytes::from(vec![3; MAX_PACKET])));
    }
    let stats = world.stats(0);
    assert_eq!(stats.dropped.keys().copied().collect::<Vec<_>>(), [DroppedFor::Memory], "{stats:?}");
    let cut = (1..=40).filter(|req| told(&world, ann, *req) == [Code::Limit]).count();
    assert!(cut > 5, "{cut}");
    assert_eq!(stats.dropped[&DroppedFor::Memory], cut as u64);
}

#[test]
fn who_sent_a_packet_that_lost_links_kept_without_room_is_told() {
    let (mut world, peers) = hub(9);
    let long = payload(MAX_PACKET);
    for (peer, number) in peers.iter().zip(1..).skip(1) {
        world.stall(0, peer.link, true);
        (0..110)
            .for_each(|place| comes(&mut world, peers[0], (number, u64::from(number) << 32 | place), &long));
    }
    assert_eq!(world.stats(0).dropped_total(), 0);
    // Between their ends no record of ours is signed.
    peers[1..].iter().for_each(|peer| world.hang_up(*peer));
    let cut = world.stats(0).dropped[&DroppedFor::LinkDown];
    assert!(cut > 100, "{cut}");
    world.run_for(ms(1));
    assert_eq!(statuses(&world, peers[0]).iter().filter(|code| **code == Code::Limit).count() as u64, cut);
    assert!(world.stats(0).sizes.limbo_bytes <= 48 << 20);
}

/// Whoever drops what it has because it leaves has room, and nothing is to be sent there again.
#[test]
fn a_server_that_leaves_says_nothing_of_room() {
    let (mut world, peers) = hub(3);
    for peer in &peers[1..] {
        world.stall(0, peer.link, true);
    }
    (0..20).for_each(|number| comes(&mut world, peers[0], (2, 10 + number), &payload(1_000)));
    world.give(0, Input::Drain);
    world.hang_up(peers[1]);
    world.run_for(ms(50));
    assert_eq!(world.stats(0).dropped.get(&DroppedFor::Shutdown), Some(&20));
    assert_eq!(statuses(&world, peers[0]), []);
}

/// What was repeated goes by two ways, and a server on one of them has no room, or no way on.
#[test]
fn of_two_copies_the_one_that_ends_on_the_way_says_nothing_of_the_other() {
    for end in [Code::Limit, Code::Unreachable] {
        one_of_two_copies_ends_on_the_way(end);
    }
}

fn one_of_two_copies_ends_on_the_way(end: Code) {
    let (mut world, peers) = hub(3);
    let ann = world.client(0, 1);
    for req in [7, 8, 9] {
        send(&mut world, ann, req, SendDm { attempt: 1, ..to(2, stranger(99), packet("again")) });
    }
    let numbers: Vec<u64> = handed(&world, peers[1]).iter().map(|(head, _)| head.corr).collect();
    assert_eq!((numbers.len(), handed(&world, peers[2]).len()), (3, 3));
    for corr in &numbers {
        carried(&mut world, peers[1], *corr, &Carried::Status(end));
    }
    assert!((7..=9).all(|req| told(&world, ann, req).is_empty()), "the other copy is under way");
    for (corr, code) in numbers.iter().zip([Code::Ok, Code::Limit]) {
        carried(&mut world, peers[2], *corr, &Carried::Status(code));
    }
    carried(&mut world, peers[2], numbers[0], &Carried::Status(Code::NoSession));
    assert_eq!(told(&world, ann, 7), [Code::Ok, Code::NoSession]);
    assert_eq!(told(&world, ann, 8), [Code::Limit], "both have ended");
    world.run_for(secs(5));
    assert_eq!(told(&world, ann, 9), [Code::Timeout], "nobody says what became of the other");
}
