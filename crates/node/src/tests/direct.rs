//! Stories of packets: who gets them, what their sender is told, and what those on the way learn. Sections 7.7, 9.6, 10.3.

use super::lookup::{answer, attached, carried};
use super::objects::{record_of, stranger};
use super::world::{Client, World, ms, secs, server, user};
use crate::{Accept, DroppedFor, Received, RefusedFor};
use bytes::Bytes;
use darkchat_proto::limits::MAX_PACKET;
use darkchat_proto::{
    Carried, Class, Code, DeviceId, DmDeliver, Frame, Kind, Route, RouteHead, SendDm, ServerId, UserId,
};

/// A packet that is no call.
pub(super) fn packet(text: &str) -> Bytes {
    [b"\x03", text.as_bytes()].concat().into()
}

pub(super) fn to(number: u8, at: ServerId, packet: Bytes) -> SendDm {
    SendDm { user: user(number), device: DeviceId::new([1; 16]), server: at, packet, attempt: 0 }
}

pub(super) fn send(world: &mut World, client: Client, req: u32, dm: SendDm) {
    world.ask(client, Received::Other(Frame::asking(req, Kind::SendDm(dm))));
}

/// The packets that a client got, and the numbers under which it may reject them.
fn got(world: &World, client: Client) -> Vec<(Bytes, u64)> {
    let dm = |frame: &Frame| match &frame.kind {
        Kind::Dm(dm) => Some((dm.packet.clone(), dm.delivery)),
        _ => None,
    };
    world.inbox(client).iter().filter_map(dm).collect()
}

fn texts(world: &World, client: Client) -> Vec<String> {
    got(world, client).iter().map(|(packet, _)| String::from_utf8_lossy(&packet[1..]).into_owned()).collect()
}

/// All that a client was told of a packet, in order.
pub(super) fn told(world: &World, client: Client, req: u32) -> Vec<Code> {
    let status = |frame: &Frame| match frame {
        Frame { re, kind: Kind::DmStatus(code), .. } if *re == req => Some(*code),
        _ => None,
    };
    world.inbox(client).iter().filter_map(status).collect()
}

/// The packet that a peer of our own making was handed last.
pub(super) fn handed(world: &World, peer: Client) -> Vec<(RouteHead, DmDeliver)> {
    let dm = |frame: &Frame| match &frame.kind {
        Kind::Route(Route { head, payload }) if head.class == Class::Dm => {
            let Ok(Carried::Direct(dm)) = Carried::decode(Class::Dm, payload.clone()) else { return None };
            Some((head.clone(), dm))
        }
        _ => None,
    };
    world.inbox(peer).iter().filter_map(dm).collect()
}

fn numbers(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("packet {number}")).collect()
}

#[test]
fn a_packet_reaches_its_device_here_and_at_the_far_end_of_a_line_and_its_sender_is_told() {
    let mut world = World::line(5);
    let (ann, bob, far) = (world.client(0, 1), world.client(0, 2), world.client(4, 3));
    send(&mut world, ann, 7, to(2, server(0), packet("near")));
    assert_eq!((texts(&world, bob), told(&world, ann, 7)), (vec!["near".to_owned()], vec![Code::Ok]));
    send(&mut world, ann, 8, to(3, server(4), packet("far")));
    world.run_for(ms(100));
    assert_eq!((texts(&world, far), told(&world, ann, 8)), (vec!["far".to_owned()], vec![Code::Ok]));
    for at in 0..5 {
        let stats = world.stats(at);
        assert_eq!((stats.pending, stats.dropped_total(), stats.refused_total()), (0, 0, 0), "{stats:?}");
    }
    assert_eq!((world.stats(0).delivered, world.stats(0).forwarded, world.stats(4).delivered), (1, 1, 1));
}

/// G4 of the threat model: a server on the way learns whom a packet is for, and neither who sent it nor what it says.
#[test]
fn what_is_carried_names_no_sender() {
    let mut world = World::line(3);
    let (ann, bob) = (attached(&mut world, 0, 1, 1), attached(&mut world, 2, 2, 1));
    world.run_for(secs(2));
    world.carried.clear();
    send(&mut world, ann, 7, to(2, server(2), packet("sealed")));
    world.run_for(ms(100));
    assert_eq!(texts(&world, bob), ["sealed"]);
    let carried: Vec<Bytes> = world.carried.iter().map(|(_, frame)| frame.encode()).collect();
    let names =
        |who: UserId| carried.iter().any(|frame| frame.windows(32).any(|bytes| bytes == who.as_bytes()));
    assert!(names(user(2)) && !names(user(1)));
    let numbers: Vec<u64> = (world.carried.iter())
        .filter_map(|(_, frame)| match &frame.kind {
            Kind::Route(route) if route.head.class == Class::Dm => Some(route.head.corr),
            _ => None,
        })
        .collect();
    assert_eq!(numbers.len(), 2);
    assert!(numbers[0] > 1 << 32 && numbers[0] == numbers[1], "a random number, not the asker's");
}

#[test]
fn whoever_is_not_there_is_said_not_to_be_and_a_server_that_nobody_knows_to_be_out_of_reach() {
    let mut world = World::line(3);
    let ann = world.client(0, 1);
    send(&mut world, ann, 7, to(2, server(0), packet("x")));
    assert_eq!(told(&world, ann, 7), [Code::NotHere]);
    send(&mut world, ann, 8, to(2, server(2), packet("x")));
    world.run_for(ms(100));
    assert_eq!(told(&world, ann, 8), [Code::NotHere]);
    let bob = world.client(2, 2);
    let other = SendDm { device: DeviceId::new([2; 16]), ..to(2, server(2), packet("x")) };
    send(&mut world, ann, 9, other);
    world.run_for(ms(100));
    assert_eq!((told(&world, ann, 9), got(&world, bob).len()), (vec![Code::NotHere], 0), "another device");
    send(&mut world, ann, 10, to(2, stranger(1), packet("x")));
    let mut same_router = *server(2).as_bytes();
    same_router[31] ^= 1;
    send(&mut world, ann, 11, to(2, ServerId::new(same_router), packet("x")));
    assert_eq!([told(&world, ann, 10), told(&world, ann, 11)], [[Code::Unreachable], [Code::Unreachable]]);
    let long = Bytes::from(vec![3; MAX_PACKET + 1]);
    send(&mut world, ann, 12, to(2, server(2), long));
    assert_eq!(told(&world, ann, 12), [Code::TooLarge]);
    send(&mut world, ann, 13, to(2, server(2), Bytes::from(vec![3; MAX_PACKET])));
    world.run_for(ms(100));
    assert_eq!((told(&world, ann, 13), got(&world, bob).len()), (vec![Code::Ok], 1), "the longest one fits");
    let (near, far) = (world.stats(0), world.stats(2));
    assert_eq!(near.refused[&RefusedFor::NotHere], 1);
    assert_eq!((near.refused[&RefusedFor::Unreachable], near.refused[&RefusedFor::TooLarge]), (2, 1));
    assert_eq!(far.dropped[&DroppedFor::NotHere], 2);
    assert!(world.goodbye(ann).is_none());
}

#[test]
fn a_packet_without_a_way_is_answered_by_whoever_finds_that_out() {
    let mut world = World::line(4);
    let ann = world.client(0, 1);
    world.crash(3);
    // Server 2 knows, the others do not yet.
    send(&mut world, ann, 7, to(2, server(3), packet("x")));
    world.run_for(ms(150));
    assert_eq!(told(&world, ann, 7), [Code::Unreachable]);
    world.run_for(secs(20));
    assert_eq!(told(&world, ann, 7), [Code::Unreachable], "once");
    assert_eq!(world.stats(2).dropped[&DroppedFor::NoRoute], 1);
}

#[test]
fn a_server_that_says_nothing_of_a_packet_is_not_waited_for_forever() {
    let mut world = World::new(1);
    let (ann, mute) = (world.client(0, 1), world.fake_peer(0, stranger(1)));
    world.ask(mute, record_of(stranger(1), 5, 1, &[server(0)]));
    send(&mut world, ann, 7, to(2, stranger(1), packet("x")));
    let (head, dm) = handed(&world, mute).pop().expect("a packet");
    assert_eq!((dm.user, dm.delivery, head.dst), (user(2), 0, vec![stranger(1).router()]));
    world.run_for(ms(4_990));
    assert!(told(&world, ann, 7).is_empty());
    world.run_for(ms(20));
    assert_eq!(told(&world, ann, 7), [Code::Timeout]);
    carried(&mut world, mute, head.corr, &Carried::Status(Code::Ok));
    carried(&mut world, mute, head.corr, &Carried::Status(Code::NoSession));
    assert_eq!(told(&world, ann, 7), [Code::Timeout], "one answer");
    world.run_for(secs(30));
    assert_eq!(world.stats(0).sizes.sent_packets, 0);
}

/// A lie is told to nobody but the sender, about no other packet, and in no word that a status does not have.
#[test]
fn a_status_that_answers_no_packet_or_says_what_no_status_says_harms_nobody() {
    let mut world = World::new(1);
    let (ann, liar) = (world.client(0, 1), world.fake_peer(0, stranger(1)));
    world.ask(liar, record_of(stranger(1), 5, 1, &[server(0)]));
    for req in [7, 8] {
        send(&mut world, ann, req, to(2, stranger(1), packet("x")));
    }
    let numbers: Vec<u64> = handed(&world, liar).iter().map(|(head, _)| head.corr).collect();
    carried(&mut world, liar, numbers[0] ^ 1, &Carried::Status(Code::NotHere));
    carried(&mut world, liar, 0, &Carried::Status(Code::NotHere));
    assert!(told(&world, ann, 7).is_empty() && told(&world, ann, 8).is_empty());
    carried(&mut world, liar, numbers[0], &Carried::Status(Code::Unauthorized));
    assert_eq!(told(&world, ann, 7), [Code::Unreachable]);
    carried(&mut world, liar, numbers[1], &Carried::Status(Code::Ok));
    carried(&mut world, liar, numbers[1], &Carried::Status(Code::NotHere));
    carried(&mut world, liar, numbers[1], &Carried::Status(Code::NoSession));
    carried(&mut world, liar, numbers[1], &Carried::Status(Code::NoSession));
    assert_eq!(told(&world, ann, 8), [Code::Ok, Code::NoSession]);
    assert!(world.is_open(ann) && world.is_open(liar));
}

#[test]
fn a_device_without_a_session_says_so_once_and_only_the_sender_hears_it() {
    let mut world = World::line(3);
    let (ann, near, far) = (world.client(0, 1), world.client(0, 2), world.client(2, 3));
    send(&mut world, ann, 7, to(2, server(0), packet("x")));
    send(&mut world, ann, 8, to(3, server(2), packet("x")));
    send(&mut world, near, 7, to(3, server(2), packet("y")));
    world.run_for(ms(100));
    let reject = |delivery, code| Received::Other(Frame::from(Kind::DmReject { delivery, code }));
    let (near_got, far_got) = (got(&world, near), got(&world, far));
    assert!(near_got[0].1 != 0 && far_got.len() == 2);
    world.ask(near, reject(far_got[0].1, Code::NoSession));
    world.ask(near, reject(near_got[0].1, Code::Ok));
    world.run_for(ms(100));
    assert_eq!(told(&world, ann, 7), [Code::Ok], "neither the number of another nor another word");
    for _ in 0..2 {
        world.ask(near, reject(near_got[0].1, Code::NoSession));
        world.ask(far, reject(far_got[0].1, Code::NoSession));
    }
    world.run_for(ms(100));
    for req in [7, 8] {
        assert_eq!(told(&world, ann, req), [Code::Ok, Code::NoSession]);
    }
    assert_eq!(told(&world, near, 7), [Code::Ok]);
    world.run_for(secs(30));
    world.ask(far, reject(far_got[1].1, Code::NoSession));
    world.run_for(ms(100));
    assert_eq!(told(&world, near, 7), [Code::Ok], "too late");
    assert_eq!(world.stats(2).sizes.delivered_packets, 0);
    assert_eq!(world.stats(0).sizes.sent_packets, 0);
}

#[test]
fn who_wants_no_answer_gets_none_and_cannot_be_rejected() {
    let mut world = World::line(2);
    let (ann, bob) = (world.client(0, 1), world.client(1, 2));
    send(&mut world, ann, 0, to(2, server(1), packet("quiet")));
    send(&mut world, ann, 0, to(3, server(1), packet("quiet")));
    world.run_for(ms(100));
    assert_eq!(got(&world, bob), [(packet("quiet"), 0)]);
    assert!(!world.inbox(ann).iter().any(|frame| matches!(frame.kind, Kind::DmStatus(_))));
    assert_eq!((world.stats(0).sizes.sent_packets, world.stats(1).sizes.delivered_packets), (0, 0));
}

/// Two ways from server 0 to server 3: over 1 and over 2.
fn diamond() -> World {
    let mut world = World::new(4);
    for (one, other) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        world.peer(one, other);
    }
    world.run_for(secs(3));
    world
}

/// The servers that a packet left, in order.
fn way(world: &mut World, client: Client, dm: SendDm) -> Vec<usize> {
    world.carried.clear();
    send(world, client, 5, dm);
    world.run_for(ms(100));
    let is_it = |frame: &Frame| matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::Dm);
    world.carried.iter().filter(|(_, frame)| is_it(frame)).map(|(at, _)| *at).collect()
}

#[test]
fn what_is_repeated_goes_both_ways_if_there_are_two_and_arrives_once() {
    let mut world = diamond();
    let (ann, bob) = (world.client(0, 1), world.client(3, 2));
    let first = way(&mut world, ann, to(2, server(3), packet("x")));
    assert_eq!(first.len(), 2);
    let again = |attempt| SendDm { attempt, ..to(2, server(3), packet("again")) };
    world.take_inbox(bob);
    let mut both = way(&mut world, ann, again(1));
    both.sort_unstable();
    assert_eq!(both, [0, 0, 1, 2]);
    assert_eq!(texts(&world, bob), ["again"]);
    assert_eq!(way(&mut world, ann, again(0)), first);
    world.crash(first[1]);
    world.run_for(secs(2));
    assert_eq!(way(&mut world, ann, again(1)), [0, 3 - first[1]], "there is no other");
    let stats = world.stats(3);
    assert_eq!(stats.dropped.get(&DroppedFor::Duplicate), Some(&1), "{stats:?}");
}

#[test]
fn what_was_on_a_link_when_it_broke_goes_the_other_way_and_arrives_once() {
    let mut world = diamond();
    let (ann, bob) = (world.client(0, 1), world.client(3, 2));
    let middle = way(&mut world, ann, to(2, server(3), packet("which way")))[1];
    world.take_inbox(bob);
    for (req, text) in (10..).zip(numbers(0..20)) {
        send(&mut world, ann, req, to(2, server(3), packet(&text)));
    }
    world.cut(0, middle);
    world.run_for(secs(2));
    let mut arrived = texts(&world, bob);
    arrived.sort_by_key(|text| text[7..].parse::<u32>().unwrap());
    assert_eq!(arrived, numbers(0..20));
    let stats = world.stats(0);
    assert!(stats.resent > 0 && stats.pending == 0, "{stats:?}");
    assert!((10..30).all(|req| told(&world, ann, req) == [Code::Ok]));
}

#[test]
fn the_same_frame_by_two_ways_is_handed_over_once_and_another_one_with_the_same_bytes_again() {
    let mut world = World::new(1);
    let (bob, peer) = (world.client(0, 2), world.fake_peer(0, stranger(1)));
    world.ask(peer, record_of(stranger(1), 5, 1, &[server(0)]));
    let (device, packet) = (DeviceId::new([1; 16]), packet("x"));
    let dm = Carried::Direct(DmDeliver { user: user(2), device, packet, delivery: 0 });
    for corr in [77, 77, 78, 0, 0] {
        carried(&mut world, peer, corr, &dm);
    }
    assert_eq!(got(&world, bob).len(), 4, "what the sender repeats is for its receiver to judge");
    let stats = world.stats(0);
    assert_eq!((stats.delivered, stats.dropped[&DroppedFor::Duplicate]), (4, 1));
    let answers = world
        .inbox(peer)
        .iter()
        .filter(|frame| matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::DmStatus));
    assert_eq!(answers.count(), 3, "the first answer may be lost");
}

#[test]
fn packets_for_a_client_that_does_not_read_wait_and_then_end_its_link_and_none_is_dropped_silently() {
    let mut world = World::line(2);
    let (ann, bob) = (world.client(0, 1), world.client(1, 2));
    world.stall(1, bob.link, true);
    let mut sent = 0;
    for req in 100..200 {
        send(&mut world, ann, req, to(2, server(1), Bytes::from(vec![3; 40_000])));
        sent += 1;
        world.run_for(ms(60));
        if world.goodbye(bob).is_some() {
            break;
        }
    }
    assert_eq!(world.goodbye(bob), Some(Code::SlowConsumer));
    assert!(sent > 20, "a mebibyte waits: {sent}");
    assert!((100..99 + sent).all(|req| told(&world, ann, req) == [Code::Ok]));
    assert_eq!(told(&world, ann, 99 + sent), [Code::NotHere], "the last one had no room");
    let stats = world.stats(1);
    assert_eq!((stats.pending, stats.dropped.get(&DroppedFor::QueueFull)), (0, None), "{stats:?}");
    assert!(world.stats(0).closes() && world.is_open(ann));
}

#[test]
fn channel_posts_make_room_for_packets() {
    let mut world = World::new(1);
    let (ann, bob) = (world.client(0, 1), world.client(0, 2));
    for client in [ann, bob] {
        world.join(client, "lobby");
    }
    world.stall(0, bob.link, true);
    for _ in 0..22 {
        world.say(ann, "lobby", &"x".repeat(50_000));
    }
    assert!(world.stats(0).dropped[&DroppedFor::QueueFull] > 0);
    send(&mut world, ann, 7, to(2, server(0), Bytes::from(vec![3; 60_000])));
    assert_eq!(told(&world, ann, 7), [Code::Ok]);
    world.stall(0, bob.link, false);
    world.run_for(ms(100));
    assert_eq!(got(&world, bob).len(), 1);
}

#[test]
fn a_packet_waits_for_a_client_that_lost_its_link_and_the_answer_finds_one_that_came_back() {
    let mut world = World::line(2);
    let again = |world: &mut World, at, number, resume| {
        world.login_with(at, (user(number), 1), Accept::Clients, resume)
    };
    let (ann, bob) = (again(&mut world, 0, 1, None), again(&mut world, 1, 2, None));
    let (ann_resume, bob_resume) = (world.resume_of(ann), world.resume_of(bob));
    world.hang_up(bob);
    send(&mut world, ann, 7, to(2, server(1), packet("meanwhile")));
    world.hang_up(ann);
    world.run_for(secs(1));
    let (ann, bob) = (again(&mut world, 0, 1, ann_resume), again(&mut world, 1, 2, bob_resume));
    assert_eq!((texts(&world, bob), told(&world, ann, 7)), (vec!["meanwhile".to_owned()], vec![Code::Ok]));
    let delivery = got(&world, bob)[0].1;
    world.ask(bob, Received::Other(Frame::from(Kind::DmReject { delivery, code: Code::NoSession })));
    world.run_for(ms(100));
    assert_eq!(told(&world, ann, 7), [Code::Ok, Code::NoSession], "its number counts on the new link, too");
    world.hang_up(bob);
    world.run_for(secs(11));
    send(&mut world, ann, 8, to(2, server(1), packet("late")));
    world.run_for(ms(100));
    assert_eq!(told(&world, ann, 8), [Code::NotHere]);
    assert_eq!((world.stats(0).pending, world.stats(1).pending), (0, 0));
}

#[test]
fn what_is_asked_for_by_a_session_that_was_replaced_is_answered_to_nobody() {
    let mut world = World::new(1);
    let (ann, mute) = (world.client(0, 1), world.fake_peer(0, stranger(1)));
    world.ask(mute, record_of(stranger(1), 5, 1, &[server(0)]));
    send(&mut world, ann, 7, to(2, stranger(1), packet("x")));
    let corr = handed(&world, mute)[0].0.corr;
    let later = world.client(0, 1);
    carried(&mut world, mute, corr, &Carried::Status(Code::Ok));
    assert!(told(&world, later, 7).is_empty(), "its numbers are its own");
}

#[test]
fn packets_and_calls_have_budgets_and_who_waits_for_too_many_answers_is_refused() {
    let mut world = World::new(1);
    let bob = world.client(0, 2);
    let refused = |world: &World, client, req| match answer(world, client, req) {
        Some(Kind::Error(refusal)) => Some(refusal.code),
        _ => None,
    };
    let ann = world.client(0, 1);
    let call = Bytes::from_static(b"\x01call");
    let calls = |world: &mut World, from: u32, count: u32| {
        for req in from..from + count {
            send(world, ann, req, to(2, server(0), call.clone()));
        }
    };
    // As many as a change of a full private channel needs, no faster than packets may come.
    for round in 0..3 {
        calls(&mut world, 1 + 100 * round, 100);
        world.run_for(secs(5));
    }
    calls(&mut world, 301, 18);
    assert_eq!(refused(&world, ann, 317), None, "one a second meanwhile, and what comes within two seconds");
    assert_eq!(refused(&world, ann, 318), Some(Code::RateLimited));
    assert_eq!(got(&world, bob).len(), 317);
    send(&mut world, ann, 319, to(2, server(0), packet("no call")));
    assert_eq!(told(&world, ann, 319), [Code::Ok]);
    let mute = world.fake_peer(0, stranger(1));
    world.ask(mute, record_of(stranger(1), 5, 1, &[server(0)]));
    let eve = world.client(0, 3);
    let mut config = 0;
    for req in 1..=140 {
        send(&mut world, eve, req, to(2, stranger(1), packet("x")));
        config += usize::from(refused(&world, eve, req) == Some(Code::RateLimited));
    }
    assert_eq!(config, 0, "the burst, and two seconds");
    assert_eq!(world.stats(0).refused[&RefusedFor::Rate], 1);
}
