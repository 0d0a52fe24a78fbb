//! Stories of a server that wants to know whether it can be dialled, and of one that tries for others.

use super::neighbours::{gossip, live, own_record};
use super::objects::stranger;
use super::world::{Client, World, fake_place, secs, server};
use crate::{Config, Input, Received};
use darkchat_proto::{Carrier, Code, Features, Frame, GossipAddr, Kind, RecordFlags, ServerAddr, Welcome};

const OWN: &str = "10.0.0.1";

fn own() -> GossipAddr {
    gossip(OWN, 30_303)
}

fn config() -> Config {
    Config { addrs: vec![own()], lan: true, ..Config::default() }
}

/// The addresses about which a peer was asked, with the numbers of the questions.
fn asked(world: &mut World, peer: Client) -> Vec<(u32, GossipAddr)> {
    let ask = |frame: Frame| match frame.kind {
        Kind::DialBack { addr: Some(addr), .. } if frame.re == 0 => Some((frame.req, addr)),
        _ => None,
    };
    world.take_inbox(peer).into_iter().filter_map(ask).collect()
}

fn answer(world: &mut World, peer: Client, req: u32, reachable: bool) {
    let kind = Kind::DialBack { addr: Some(own()), reachable };
    world.ask(peer, Received::Other(Frame::replying(req, kind)));
    world.run_for(secs(2));
}

fn says_dialable(world: &World, peer: Client) -> bool {
    let record = own_record(world, peer);
    assert_eq!(record.flags.contains(RecordFlags::DIALABLE), !record.addrs.is_empty());
    record.flags.contains(RecordFlags::DIALABLE)
}

fn helper(world: &mut World, number: u16) -> Client {
    world.fake_peer_with(0, stranger(number), Features::DONE | Features::DIALBACK, OWN)
}

#[test]
fn two_neighbours_are_asked_and_one_that_came_through_is_enough() {
    let mut world = World::with(1, &config());
    let witness = world.fake_peer_with(0, stranger(9), Features::DONE, OWN);
    world.run_for(secs(2));
    assert!(!says_dialable(&world, witness), "nobody has confirmed it");
    assert!(asked(&mut world, witness).is_empty(), "it cannot try");
    let peers = [1, 2, 3].map(|number| helper(&mut world, number));
    world.run_for(secs(2));
    let questions = peers.map(|peer| asked(&mut world, peer));
    assert_eq!(questions.iter().flatten().count(), 2, "{questions:?}");
    assert!(questions.iter().flatten().all(|(_, addr)| *addr == own()));
    let (no, yes) = (questions[0][0].0, questions[1][0].0);
    answer(&mut world, peers[0], no, false);
    assert!(own_record_is_absent(&world, witness));
    answer(&mut world, peers[0], yes, true);
    assert!(own_record_is_absent(&world, witness), "nobody answers for another");
    answer(&mut world, peers[1], yes, true);
    assert!(says_dialable(&world, witness));
}

fn own_record_is_absent(world: &World, witness: Client) -> bool {
    let told = |frame: &&Frame| matches!(frame.kind, Kind::Record(_));
    world.inbox(witness).iter().find(told).is_none_or(|_| !says_dialable(world, witness))
}

#[test]
fn what_nobody_confirms_any_more_goes_from_the_record() {
    let mut world = World::with(1, &config());
    let witness = world.fake_peer_with(0, stranger(9), Features::DONE, OWN);
    let peers = [1, 2].map(|number| helper(&mut world, number));
    for peer in peers {
        let req = asked(&mut world, peer)[0].0;
        answer(&mut world, peer, req, true);
    }
    assert!(says_dialable(&world, witness));
    live(&mut world, secs(3_000));
    assert!(peers.iter().all(|peer| asked(&mut world, *peer).is_empty()), "for an hour it is believed");
    live(&mut world, secs(1_300));
    for peer in peers {
        let req = asked(&mut world, peer)[0].0;
        answer(&mut world, peer, req, false);
    }
    assert!(!says_dialable(&world, witness));
}

#[test]
fn the_operator_can_force_it_either_way_and_then_nobody_is_asked() {
    for forced in [true, false] {
        let mut world = World::with(1, &Config { dialable: Some(forced), ..config() });
        let peer = helper(&mut world, 1);
        world.run_for(secs(2));
        assert_eq!(says_dialable(&world, peer), forced);
        assert!(asked(&mut world, peer).is_empty());
    }
}

#[test]
fn where_a_neighbour_sees_us_is_asked_about_with_our_ports() {
    let ports = vec![(Carrier::Tcp, 30_303), (Carrier::Ws, 443)];
    let mut world = World::with(1, &Config { ports, ..Config::default() });
    let helper = helper(&mut world, 1);
    for (number, seen) in ["10.0.0.1", "8.8.8.8"].into_iter().enumerate() {
        let id = stranger(10 + u16::try_from(number).unwrap());
        let dialled = world.dials_fake(0, id);
        let welcome = Welcome { observed_ip: Some(seen.parse().unwrap()), ..Welcome::default() };
        world.ask(dialled, Received::Other(Frame::from(Kind::Welcome(welcome))));
        world.give(0, Input::Unpeer(fake_place()));
    }
    let about: Vec<GossipAddr> = asked(&mut world, helper).into_iter().map(|(_, addr)| addr).collect();
    assert_eq!(
        about,
        [gossip("8.8.8.8", 30_303)],
        "one question to a neighbour, and none about private ranges"
    );
    live(&mut world, secs(700));
    let about: Vec<GossipAddr> = asked(&mut world, helper).into_iter().map(|(_, addr)| addr).collect();
    assert_eq!(about.len(), 1, "and one more after ten minutes");
}

#[test]
fn a_neighbour_is_dialled_where_it_is_seen_once_in_ten_minutes_and_nowhere_else() {
    let mut world = World::with(1, &Config { lan: true, ..Config::default() });
    let peer = helper(&mut world, 1);
    let place = gossip(OWN, 30_303);
    let ask = |world: &mut World, req: u32, addr: Option<GossipAddr>| {
        world.take_inbox(peer);
        world.ask(peer, Received::Other(Frame::asking(req, Kind::DialBack { addr, reachable: false })));
        world.run_for(secs(1));
        let inbox = world.take_inbox(peer);
        inbox.into_iter().find(|frame| frame.re == req).map(|frame| frame.kind)
    };
    let refused = |kind: Option<Kind>| match kind {
        Some(Kind::Error(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    };
    for (req, addr) in [(1, None), (2, Some(gossip("10.0.0.2", 30_303))), (3, Some(gossip(OWN, 22)))] {
        assert_eq!(refused(ask(&mut world, req, addr)), Code::Unauthorized);
    }
    assert_eq!(world.probes, []);
    let said = ask(&mut world, 4, Some(place));
    assert_eq!(said, Some(Kind::DialBack { addr: Some(place), reachable: false }));
    let expected = ServerAddr { addr: place.to_addr(), key: Some(stranger(1)) };
    assert_eq!(world.probes.iter().map(|(_, _, addr)| addr.clone()).collect::<Vec<_>>(), [expected]);
    assert_eq!(refused(ask(&mut world, 5, Some(place))), Code::RateLimited);
    live(&mut world, secs(601));
    world.answers.insert(place.to_addr(), stranger(1));
    let said = ask(&mut world, 6, Some(place));
    assert_eq!(said, Some(Kind::DialBack { addr: Some(place), reachable: true }));
    assert_eq!(world.node(0).peers().len(), 1, "a probe makes no link");
    let plain = world.fake_peer_with(0, stranger(2), Features::DONE, OWN);
    let kind = Kind::DialBack { addr: Some(place), reachable: false };
    world.ask(plain, Received::Other(Frame::asking(1, kind)));
    let answers = world.take_inbox(plain);
    let code = answers.into_iter().find(|frame| frame.re == 1).map(|frame| frame.kind);
    assert_eq!(refused(code), Code::Unsupported, "it did not agree to that on its link");
}

#[test]
fn neighbours_that_come_under_many_keys_have_us_dial_no_more_than_the_table_holds() {
    let neighbours = crate::Neighbours { max: 4_096, ..crate::Neighbours::default() };
    let mut world = World::with(1, &Config { lan: true, neighbours, ..Config::default() });
    for number in 0..600 {
        let peer = helper(&mut world, number);
        let kind = Kind::DialBack { addr: Some(own()), reachable: false };
        world.ask(peer, Received::Other(Frame::asking(1, kind)));
        world.run_for(super::world::ms(10));
    }
    assert_eq!(world.probes.len(), 512);
    assert_eq!(world.node(0).servers(), [], "{:?}", server(0));
}
