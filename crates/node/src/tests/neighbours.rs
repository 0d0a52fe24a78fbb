//! Stories of a server that chooses its neighbours among those that others name.

use super::objects::stranger;
use super::world::{Client, WALL, World, ms, secs, server};
use crate::{Config, Input, Neighbours, Profile, Received};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::{
    Addr, Carrier, Code, Features, Frame, GossipAddr, Kind, RecordFlags, ServerAddr, ServerId, ServerRecord,
    Signature, Signed, Time,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn gossip(ip: &str, port: u16) -> GossipAddr {
    GossipAddr { ip: ip.parse().unwrap(), port, carrier: Carrier::Tcp }
}

fn record(id: ServerId, seq: u64, addrs: &[GossipAddr], neighbours: &[ServerId]) -> ServerRecord {
    ServerRecord {
        server: id,
        epoch: 1,
        seq,
        issued_ms: WALL,
        addrs: addrs.to_vec(),
        flags: RecordFlags::DIALABLE.with(RecordFlags::TRANSIT),
        neighbours: neighbours.iter().map(ServerId::router).collect(),
        version: 1,
        features: Features::DONE,
    }
}

fn received(record: ServerRecord) -> Received {
    let signed: Bytes = Signed { body: record.encode(), sig: Signature::new([1; 64]) }.encode();
    Received::Record { record: Verified::unchecked(record).shared(), signed }
}

/// A server with this configuration, and a peer of our own making that tells it of others.
fn told(config: &Config) -> (World, Client) {
    let mut world = World::with(1, config);
    let gossiper = world.fake_peer(0, stranger(60_000));
    (world, gossiper)
}

fn tell(world: &mut World, gossiper: Client, record: ServerRecord) {
    world.give(gossiper.at, Input::Frame { link: gossiper.link, frame: received(record) });
}

/// The gossiper and these name each other as neighbours, so all can be reached.
fn tell_network(world: &mut World, gossiper: Client, servers: &[(ServerId, GossipAddr)]) {
    for (id, addr) in servers {
        world.answers.insert(addr.to_addr(), *id);
        tell(world, gossiper, record(*id, 1, &[*addr], &[stranger(60_000)]));
    }
    let ids: Vec<ServerId> = [server(0)].into_iter().chain(servers.iter().map(|(id, _)| *id)).collect();
    tell(
        world,
        gossiper,
        ServerRecord { flags: RecordFlags::TRANSIT, ..record(stranger(60_000), 1, &[], &ids) },
    );
}

/// So many servers in a private network.
fn near(count: u16) -> Vec<(ServerId, GossipAddr)> {
    (0..count).map(|number| (stranger(number), gossip(&format!("10.0.0.{}", number + 1), 30_303))).collect()
}

fn lan() -> Config {
    Config { lan: true, profile: Profile::Trusted, ..Config::default() }
}

/// Lets time pass, in which every peer says that it is there.
pub(crate) fn live(world: &mut World, span: std::time::Duration) {
    let until = world.now + span;
    while world.now < until {
        world.run_for(secs(10).min(until.saturating_since(world.now)));
        for link in world.node(0).peers().into_iter().map(|row| row.link) {
            let pong = Received::Other(Frame::from(Kind::Pong { nonce: 0, acked: 0 }));
            world.give(0, Input::Frame { link, frame: pong });
        }
    }
}

/// Where each dial of the world's one server went.
fn dialled(world: &World) -> Vec<String> {
    world.dials.iter().map(|(_, addr, _)| addr.addr.host().to_owned()).collect()
}

/// Case E3 of the test plan, for one that we had chosen ourselves.
#[test]
fn e3_a_server_that_forged_is_not_chosen_again_for_an_hour() {
    let (mut world, gossiper) = told(&lan());
    tell_network(&mut world, gossiper, &near(1));
    live(&mut world, secs(20));
    let link = world.node(0).peers().into_iter().find(|row| row.server == stranger(0)).unwrap().link;
    let forger = Client { link, ..gossiper };
    super::blame::forge(&mut world, forger, &[server(0)]);
    live(&mut world, secs(31));
    super::blame::forge(&mut world, forger, &[server(0)]);
    assert_eq!(world.goodbye(forger), Some(Code::BadSignature));
    let before = dialled(&world).len();
    live(&mut world, secs(1_700));
    assert_eq!(dialled(&world).len(), before);
}

/// Case E5 of the test plan.
#[test]
fn e5_hostile_records_that_name_private_addresses_and_ports_of_services_are_never_dialled() {
    let (mut world, gossiper) = told(&Config::default());
    let hosts = [
        "127.0.0.1",
        "10.1.1.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::1",
        "64:ff9b::7f00:1",
    ];
    let bad = hosts.map(|host| gossip(host, 30_303)).into_iter();
    let bad = bad.chain([0, 22, 25, 80].map(|port| gossip("8.8.8.8", port)));
    for (number, addr) in (0..).zip(bad) {
        tell(&mut world, gossiper, record(stranger(number), 1, &[addr], &[]));
    }
    live(&mut world, secs(600));
    assert_eq!(world.dials, []);
    tell(&mut world, gossiper, record(stranger(100), 1, &[gossip("8.8.8.8", 30_303)], &[]));
    live(&mut world, secs(10));
    assert_eq!(dialled(&world), ["8.8.8.8"], "and it does dial");
    assert!(!world.dials[0].2 && world.dials[0].1.key == Some(stranger(100)));
}

/// Case E6 of the test plan.
#[test]
fn e6_ten_thousand_addresses_that_swallow_dials_cost_one_a_second_and_a_good_one_is_found() {
    let (mut world, gossiper) = told(&Config { profile: Profile::Trusted, ..Config::default() });
    world.swallows = true;
    let (good, place) = (stranger(50_000), gossip("9.9.9.9", 30_303));
    world.answers.insert(place.to_addr(), good);
    for number in 0..10_000_u16 {
        let [high, low] = number.to_be_bytes();
        let addr = gossip(&format!("{}.{low}.{high}.1", 30 + number % 60), 30_303);
        tell(&mut world, gossiper, record(stranger(number), 1, &[addr], &[]));
    }
    let sizes = world.stats(0).sizes;
    assert!(sizes.servers <= 4_097 && sizes.book <= 4_096, "{sizes:?}");
    live(&mut world, secs(120));
    let starts: Vec<Time> = world.dials.iter().map(|(at, ..)| *at).collect();
    assert!((30..=121).contains(&starts.len()), "{}", starts.len());
    for (index, at) in starts.iter().enumerate() {
        assert!(index == 0 || at.saturating_since(starts[index - 1]) >= secs(1));
        let in_flight = starts[..index].iter().filter(|then| at.saturating_since(**then) < secs(8)).count();
        assert!(in_flight < 8, "{in_flight} before it");
    }
    // The good one is part of the network: its neighbour and it name each other.
    let mut world = told(&Config { profile: Profile::Trusted, ..Config::default() });
    let (world, gossiper) = (&mut world.0, world.1);
    world.swallows = true;
    world.answers.insert(place.to_addr(), good);
    for number in 0..4_000_u16 {
        let [high, low] = number.to_be_bytes();
        let addr = gossip(&format!("{}.{low}.{high}.1", 30 + number % 60), 30_303);
        tell(world, gossiper, record(stranger(number), 1, &[addr], &[]));
    }
    let honest = world.fake_peer(0, stranger(60_001));
    tell(world, honest, record(stranger(60_001), 1, &[], &[server(0), good]));
    tell(world, honest, record(good, 1, &[place], &[stranger(60_001)]));
    live(world, secs(60));
    assert!(dialled(world).contains(&"9.9.9.9".to_owned()), "within a minute");
}

/// Case E7 of the test plan.
#[test]
fn e7_a_victim_that_many_records_name_is_dialled_once_in_five_minutes() {
    let (mut world, gossiper) = told(&Config { profile: Profile::Trusted, ..Config::default() });
    let victim = gossip("9.9.9.9", 30_303);
    world.answers.insert(victim.to_addr(), stranger(40_000));
    for number in 0..200_u16 {
        tell(&mut world, gossiper, record(stranger(number), 1, &[victim], &[]));
    }
    live(&mut world, secs(299));
    assert_eq!(world.dials.len(), 1);
    live(&mut world, secs(3_000));
    assert!(world.dials.len() <= 12, "{}", world.dials.len());
    assert_eq!(world.node(0).peers().len(), 1, "a key that is not proven makes no link");
}

/// Case C12 of the test plan: through gossip.
#[test]
fn c12_our_own_address_in_the_record_of_another_is_found_out_and_forgotten() {
    let (mut world, gossiper) = told(&lan());
    let own = gossip("10.0.0.1", 30_303);
    world.answers.insert(own.to_addr(), server(0));
    tell(&mut world, gossiper, record(stranger(1), 1, &[own], &[]));
    tell(&mut world, gossiper, record(stranger(2), 1, &[own], &[]));
    live(&mut world, secs(600));
    assert!((1..=2).contains(&world.dials.len()), "{:?}", world.dials);
    world.give(0, Input::Found(ServerAddr { addr: own.to_addr(), key: Some(server(0)) }));
    let before = world.dials.len();
    live(&mut world, secs(60));
    assert_eq!(world.dials.len(), before);
}

/// Case E21 of the test plan.
#[test]
fn e21_of_two_hundred_that_come_half_the_places_are_filled_and_named_ones_always_get_in() {
    let named: ServerAddr =
        ServerAddr { addr: gossip("8.8.8.8", 30_303).to_addr(), key: Some(stranger(5_000)) };
    let neighbours = Neighbours { target: 16, ..Neighbours::default() };
    let (mut world, gossiper) = told(&Config { neighbours, ..lan() });
    tell_network(&mut world, gossiper, &near(40));
    let came: Vec<Client> = (0..200).map(|number| world.fake_peer(0, stranger(1_000 + number))).collect();
    live(&mut world, secs(60));
    let outbound = |world: &World| world.node(0).peers().iter().filter(|row| row.outbound).count();
    assert!(outbound(&world) >= 8, "half the target is of our own choice: {}", outbound(&world));
    assert_eq!(world.node(0).peers().len() - outbound(&world), 16, "half the places are theirs");
    let sent_away = came.iter().filter(|peer| world.goodbye(**peer) == Some(Code::Limit)).count();
    assert_eq!(sent_away, 200 - 16, "the first had the place of the gossiper, which has others");
    assert_eq!(world.goodbye(gossiper), Some(Code::Limit));
    world.give(0, Input::Peer(named));
    let pinned = world.fake_peer(0, stranger(5_000));
    world.run_for(secs(1));
    assert_eq!(world.goodbye(pinned), None);
    assert!(world.node(0).peers().iter().any(|row| row.server == stranger(5_000)));
}

#[test]
fn e21_at_the_most_links_thirty_two_are_held_and_a_named_one_makes_it_more() {
    let neighbours = Neighbours { target: 32, ..Neighbours::default() };
    let (mut world, gossiper) = told(&Config { neighbours, ..lan() });
    tell_network(&mut world, gossiper, &near(40));
    for number in 0..200 {
        world.fake_peer(0, stranger(1_000 + number));
    }
    live(&mut world, secs(60));
    assert_eq!(world.node(0).peers().len(), 32);
    let named = gossip("8.8.8.8", 30_303).to_addr();
    world.answers.insert(named.clone(), stranger(5_000));
    world.give(0, Input::Peer(named.into()));
    live(&mut world, secs(60));
    assert_eq!(world.node(0).peers().len(), 33, "nobody is known to have enough others");
    // One that has enough of them goes.
    let many: Vec<ServerId> = (0..6).map(|number| stranger(7_000 + number)).collect();
    let row = world.node(0).peers().into_iter().find(|row| !row.outbound).unwrap();
    let popular = row.server;
    tell(&mut world, Client { link: row.link, ..gossiper }, record(popular, 1, &[], &many));
    live(&mut world, secs(10));
    assert_eq!(world.node(0).peers().len(), 32);
    assert!(world.node(0).peers().iter().all(|row| row.server != popular));
}

#[test]
fn a_newcomer_takes_the_place_of_one_that_can_do_without_us() {
    let (mut world, gossiper) = told(&Config::default());
    for number in 0..15 {
        world.fake_peer(0, stranger(1_000 + number));
    }
    let refused = world.fake_peer(0, stranger(2_000));
    assert_eq!(world.goodbye(refused), Some(Code::Limit), "who is there may need us");
    let many: Vec<ServerId> = (0..5).map(|number| stranger(7_000 + number)).collect();
    tell(&mut world, gossiper, record(stranger(1_003), 1, &[], &many));
    tell(&mut world, gossiper, record(stranger(2_001), 1, &[], &many));
    let settled = world.fake_peer(0, stranger(2_001));
    assert_eq!(world.goodbye(settled), Some(Code::Limit), "it has others");
    let newcomer = world.fake_peer(0, stranger(2_002));
    assert_eq!(world.goodbye(newcomer), None);
    assert_eq!(world.node(0).peers().len(), 16);
    assert!(world.node(0).peers().iter().all(|row| row.server != stranger(1_003)));
}

#[test]
fn of_our_own_choice_two_may_be_in_one_network() {
    let (mut world, gossiper) = told(&Config::default());
    let place = |number| gossip(&format!("{}.7.{number}.1", 30 + number % 3), 30_303);
    let servers: Vec<_> = (0..40_u16).map(|number| (stranger(number), place(number))).collect();
    tell_network(&mut world, gossiper, &servers);
    live(&mut world, secs(600));
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for host in dialled(&world) {
        *groups.entry(host[..4].to_owned()).or_default() += 1;
    }
    assert_eq!(world.node(0).peers().len(), 7, "two of each, and the gossiper: {groups:?}");
}

#[test]
fn a_leaf_wants_four_neighbours_and_carries_nothing() {
    let (mut world, gossiper) = told(&Config { leaf: true, ..lan() });
    tell_network(&mut world, gossiper, &near(20));
    live(&mut world, secs(60));
    assert_eq!(world.node(0).peers().len(), 4);
    assert_eq!(own_flags(&world, gossiper), RecordFlags::default());
}

/// The flags of the newest record that the server told its peer.
fn own_flags(world: &World, peer: Client) -> RecordFlags {
    own_record(world, peer).flags
}

/// The newest record that the server told its peer of itself.
pub(crate) fn own_record(world: &World, peer: Client) -> ServerRecord {
    let records = world.inbox(peer).iter().filter_map(|frame| match &frame.kind {
        Kind::Record(signed) => {
            let body = Signed::decode(signed.clone()).unwrap().body;
            ServerRecord::decode(body).ok()
        }
        _ => None,
    });
    records.filter(|record| record.server == server(0)).last().unwrap()
}

#[test]
fn a_server_that_wants_no_strangers_neither_dials_nor_takes_them_and_says_so() {
    let (mut world, stranger_link) = told(&Config { peers_closed: true, ..lan() });
    assert_eq!(world.goodbye(stranger_link), Some(Code::Unauthorized));
    let friend = gossip("10.0.0.1", 30_303).to_addr();
    world.answers.insert(friend.clone(), stranger(1));
    world.give(0, Input::Peer(friend.into()));
    world.run_for(secs(2));
    let link = world.node(0).peers()[0].link;
    let friend = Client { link, ..stranger_link };
    tell(&mut world, friend, record(stranger(2), 1, &[gossip("10.0.0.2", 30_303)], &[]));
    live(&mut world, secs(60));
    assert_eq!(dialled(&world), ["10.0.0.1"]);
    assert!(own_flags(&world, friend).contains(RecordFlags::PEERS_CLOSED));
}

#[test]
fn what_local_discovery_finds_is_dialled_in_private_ranges_and_is_not_pinned() {
    let mut world = World::new(1);
    let found = gossip("192.168.0.9", 30_303).to_addr();
    world.answers.insert(found.clone(), stranger(1));
    world.give(0, Input::Found(ServerAddr { addr: found.clone(), key: None }));
    world.give(
        0,
        Input::Found(ServerAddr { addr: "chat.example:30303".parse().unwrap(), key: Some(stranger(1)) }),
    );
    live(&mut world, secs(10));
    assert_eq!(world.dials, [], "neither without a key nor without an IP address");
    world.give(0, Input::Found(ServerAddr { addr: found, key: Some(stranger(1)) }));
    world.run_for(secs(2));
    assert_eq!((world.dials.len(), world.node(0).peers().len()), (1, 1));
    assert!(!world.dials[0].2 && world.stats(0).sizes.pinned == 0);
}

#[test]
fn a_lost_neighbour_is_dialled_again_soon_and_then_by_the_back_off() {
    let mut world = World::new(1);
    let place: Addr = gossip("192.168.0.9", 30_303).to_addr();
    world.answers.insert(place.clone(), stranger(1));
    world.give(0, Input::Found(ServerAddr { addr: place.clone(), key: Some(stranger(1)) }));
    live(&mut world, secs(20));
    let link = world.node(0).peers()[0].link;
    world.hang_up(Client { at: 0, link, user: super::world::user(0) });
    world.run_for(secs(2));
    assert_eq!((world.dials.len(), world.node(0).peers().len()), (2, 1));
    world.answers.clear();
    let link = world.node(0).peers()[0].link;
    world.hang_up(Client { at: 0, link, user: super::world::user(0) });
    live(&mut world, secs(120));
    let dials = world.dials.len() - 2;
    assert!((8..=40).contains(&dials), "{dials} in two minutes");
}

#[test]
fn servers_that_fell_out_of_the_map_are_dialled_for_a_day() {
    let neighbours = Neighbours { target: 1, ..Neighbours::default() };
    let (mut world, gossiper) = told(&Config { neighbours, ..lan() });
    let kept = gossip("10.0.0.1", 30_303).to_addr();
    world.answers.insert(kept.clone(), stranger(1));
    world.give(0, Input::Peer(kept.into()));
    world.run_for(secs(2));
    for number in 2..10_u16 {
        let addr = gossip(&format!("10.0.0.{number}"), 30_303);
        tell(&mut world, gossiper, record(stranger(number), 1, &[addr], &[]));
    }
    live(&mut world, secs(6_000));
    assert_eq!(world.node(0).servers().len(), 0, "their records expired");
    world.dials.clear();
    live(&mut world, secs(600));
    assert!((12..=42).contains(&world.dials.len()), "one in 30 s: {}", world.dials.len());
    let places: BTreeSet<String> = dialled(&world).into_iter().collect();
    assert!(places.len() >= 6, "{places:?}");
    let lost = gossip("10.0.0.5", 30_303).to_addr();
    world.answers.insert(lost, stranger(5));
    live(&mut world, secs(900));
    assert!(world.node(0).peers().iter().any(|row| row.server == stranger(5)), "it is back");
    live(&mut world, secs(25 * 3_600));
    world.dials.clear();
    live(&mut world, secs(600) + ms(1));
    assert_eq!(world.dials, [], "they are forgotten");
}

#[test]
fn e6_a_tail_behind_one_stranger_ends_at_a_quarter_of_the_map_and_behind_a_named_server_it_does_not() {
    let (mut world, gossiper) = told(&Config { profile: Profile::Trusted, ..Config::default() });
    let tail = |world: &mut World, from: Client, numbers: std::ops::Range<u16>| {
        for number in numbers {
            // Each hangs on the one before: only the first names somebody near.
            let before = if number % 1_000 == 0 { stranger(60_000) } else { stranger(number - 1) };
            tell(world, from, record(stranger(number), 1, &[], &[before]));
            assert!(world.stats(0).sizes.turned_away <= 1_024);
        }
    };
    tail(&mut world, gossiper, 1_000..3_000);
    let count = world.node(0).servers().len();
    assert!((250..=260).contains(&count), "{count}");
    live(&mut world, secs(20));
    let asked = |frame: &Frame| matches!(&frame.kind, Kind::Pull { want } if want.len() > 500);
    assert!(world.take_inbox(gossiper).iter().any(asked), "there may be more ways by now");
    // Another neighbour has ways to more of them.
    let second = world.fake_peer(0, stranger(60_001));
    tell(&mut world, second, record(stranger(5_000), 1, &[], &[stranger(60_001)]));
    assert_eq!(world.node(0).servers().len(), count + 1, "and honest servers still come in");
    // Whom the operator names may be the only way to everybody.
    let named = world.dials_fake(0, stranger(60_002));
    world.ask(named, Received::Other(Frame::from(Kind::Welcome(darkchat_proto::Welcome::default()))));
    for number in 10_000..11_000_u16 {
        tell(&mut world, named, record(stranger(number), 1, &[], &[stranger(60_002)]));
    }
    assert_eq!(world.node(0).servers().len(), count + 1_001);
}
