//! Stories of bundles and lookups: who says where he is, who is asked, and who is believed. Sections 5.2, 7.2 and 9.7.

use super::direct::{handed, packet, send, to, told};
use super::objects::{record_of, stranger};
use super::world::{Client, FORGED, WALL, World, ms, secs, server, user};
use crate::{Config, Profile, Received};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::limits::MAX_BUNDLE;
use darkchat_proto::{
    Bundle, Carried, Class, Code, DeviceId, Digest16, Features, Frame, InterestShard, Kind, Network, Route,
    RouteHead, ServerId, Signature, Signed, Tag, UserId,
};

/// What the device of a user says when it is attached there.
pub(crate) fn bundle(user: UserId, device: u8, at: ServerId) -> Bundle {
    Bundle {
        suite: 1,
        user,
        device: DeviceId::new([device; 16]),
        dh: [7; 32],
        not_before_ms: WALL,
        not_after_ms: WALL + 12 * 3_600_000,
        server: at,
        features: Features::NONE,
    }
}

pub(crate) fn signed(bundle: &Bundle) -> Bytes {
    Signed { body: bundle.encode(), sig: Signature::new([7; 64]) }.encode()
}

/// As a link's task hands it on.
fn set(req: u32, bundle: Bundle) -> Received {
    let signed = signed(&bundle);
    Received::SetBundle { req, bundle: Verified::unchecked(bundle), signed }
}

/// A user's device that is connected there and says so.
pub(crate) fn attached(world: &mut World, at: usize, number: u8, device: u8) -> Client {
    let client = world.login(at, user(number), device);
    world.ask(client, set(3, bundle(user(number), device, server(at))));
    assert_eq!(answer(world, client, 3), Some(Kind::Ok(darkchat_proto::Done::default())));
    client
}

pub(crate) fn answer(world: &World, client: Client, req: u32) -> Option<Kind> {
    world.inbox(client).iter().rev().find(|frame| frame.re == req).map(|frame| frame.kind.clone())
}

fn look_up(world: &mut World, client: Client, req: u32, number: u8) {
    world.ask(client, Received::Other(Frame::asking(req, Kind::Lookup { user: user(number) })));
}

/// Looks a user up: the devices that were found, and whether these are all.
fn found(world: &World, client: Client, req: u32) -> Option<(Vec<(u8, ServerId)>, bool)> {
    let Some(Kind::Found { bundles, complete }) = answer(world, client, req) else { return None };
    let device = |signed: Bytes| {
        let bundle = Bundle::decode(Signed::decode(signed).unwrap().body).unwrap();
        (bundle.device.as_bytes()[0], bundle.server)
    };
    Some((bundles.into_iter().map(device).collect(), complete))
}

/// The questions that were asked of servers, as far as the world saw them.
fn questions(world: &World) -> usize {
    let is_it =
        |frame: &Frame| matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::LookupReq);
    world.carried.iter().filter(|(_, frame)| is_it(frame)).count()
}

/// A shard that says: this user is with me.
pub(crate) fn claim(id: ServerId, number: u8) -> Received {
    let tags = vec![Tag::of_inbox(&Network::default(), &user(number))];
    let shard = InterestShard { server: id, epoch: 5, seq: 1, bits: 0, shard: 0, tags };
    let signed = Signed { body: shard.encode(), sig: Signature::new([1; 64]) }.encode();
    Received::Shard { shard: Verified::unchecked(shard), signed }
}

/// A neighbour of server 0 that says user 9 is with it.
fn claimant(world: &mut World, number: u16) -> (Client, ServerId) {
    let id = stranger(number);
    let peer = world.fake_peer(0, id);
    world.ask(peer, record_of(id, 5, 1, &[server(0)]));
    world.ask(peer, claim(id, 9));
    (peer, id)
}

/// The last question that a peer of our own making was asked.
fn asked(world: &World, peer: Client) -> Option<RouteHead> {
    world.inbox(peer).iter().rev().find_map(|frame| match &frame.kind {
        Kind::Route(Route { head, .. }) if head.class == Class::LookupReq => Some(head.clone()),
        _ => None,
    })
}

/// It answers with these.
fn tell(world: &mut World, peer: Client, corr: u64, bundles: Vec<Bytes>) {
    carried(world, peer, corr, &Carried::Found { bundles, complete: true });
    world.run_for(ms(2));
}

/// A route from a peer of our own making to server 0.
pub(crate) fn carried(world: &mut World, peer: Client, corr: u64, what: &Carried) {
    let payload = what.encode();
    let head = RouteHead {
        origin: stranger(1).router(),
        id: 1,
        ttl: 9,
        dst: vec![server(0).router()],
        class: what.class(),
        want_done: false,
        corr,
    };
    let (digest, check) = (Digest16::of(&payload), crate::Check::NotChecked);
    world.ask(peer, Received::Route { head, payload, digest, check, channel: None });
}

#[test]
fn a_bundle_is_kept_only_of_the_sessions_own_user_and_device_for_this_server_and_time() {
    let mut world = World::new(1);
    world.run_for(ms(50));
    let own = || bundle(user(1), 1, server(0));
    let refused = |world: &mut World, bundle: Bundle, code: Code, ends: bool| {
        let client = world.client(0, 1);
        world.ask(client, set(3, bundle));
        let refusal = |kind| matches!(kind, Some(Kind::Error(refusal)) if refusal.code == code);
        assert!(refusal(answer(world, client, 3)), "{:?}", world.inbox(client));
        assert_eq!(world.goodbye(client), ends.then_some(code));
    };
    refused(&mut world, bundle(user(2), 1, server(0)), Code::Unauthorized, true);
    refused(&mut world, bundle(user(1), 2, server(0)), Code::Unauthorized, false);
    refused(&mut world, bundle(user(1), 1, server(1)), Code::Unauthorized, false);
    refused(&mut world, Bundle { suite: 2, ..own() }, Code::Unsupported, false);
    refused(&mut world, Bundle { not_before_ms: WALL + 400_000, ..own() }, Code::Stale, false);
    let long = Bundle { not_after_ms: WALL + 25 * 3_600_000, ..own() };
    refused(&mut world, long, Code::Stale, false);
    let over = Bundle { not_before_ms: WALL - 3_600_000, not_after_ms: WALL - 300_001, ..own() };
    refused(&mut world, over, Code::Stale, false);
    let client = world.client(0, 1);
    let large = Bytes::from(vec![0; MAX_BUNDLE + 1]);
    world.ask(client, Received::SetBundle { req: 3, bundle: Verified::unchecked(own()), signed: large });
    assert_eq!(world.goodbye(client), Some(Code::TooLarge));
    assert_eq!(world.stats(0).sizes.tags, 0, "nothing of it is told to anybody");
    attached(&mut world, 0, 1, 1);
    assert_eq!(world.stats(0).sizes.tags, 1);
}

#[test]
fn a_user_is_found_with_all_devices_wherever_they_are_and_nobody_else_is_asked() {
    let mut world = World::line(4);
    let ann = world.client(0, 1);
    attached(&mut world, 0, 2, 1);
    attached(&mut world, 2, 2, 2);
    attached(&mut world, 2, 2, 3);
    attached(&mut world, 3, 5, 1);
    world.run_for(secs(2));
    world.carried.clear();
    look_up(&mut world, ann, 8, 2);
    world.run_for(ms(100));
    let (mut devices, complete) = found(&world, ann, 8).expect("an answer");
    devices.sort_unstable();
    assert_eq!((devices, complete), (vec![(1, server(0)), (2, server(2)), (3, server(2))], true));
    assert_eq!(questions(&world), 2, "two hops to the one other server that has them");
    look_up(&mut world, ann, 9, 2);
    assert_eq!(found(&world, ann, 9).map(|(devices, _)| devices.len()), Some(3), "known for a moment");
    assert_eq!(questions(&world), 2);
    world.run_for(secs(5));
    look_up(&mut world, ann, 10, 2);
    world.run_for(ms(100));
    assert_eq!(questions(&world), 4, "and then asked for again");
}

#[test]
fn whoever_is_nowhere_is_said_to_be_so_at_once() {
    let mut world = World::line(3);
    let ann = world.client(0, 1);
    look_up(&mut world, ann, 8, 2);
    assert_eq!(found(&world, ann, 8), Some((vec![], true)));
    let bob = attached(&mut world, 2, 2, 1);
    world.run_for(secs(2));
    world.hang_up(bob);
    world.run_for(secs(20));
    world.carried.clear();
    look_up(&mut world, ann, 9, 2);
    assert_eq!(found(&world, ann, 9), Some((vec![], true)), "his server says no more that he is there");
    assert_eq!(questions(&world), 0);
}

#[test]
fn who_asks_the_same_meanwhile_waits_for_the_same_answer() {
    let mut world = World::line(3);
    let people = [1, 2, 3].map(|number| world.client(0, number));
    attached(&mut world, 2, 9, 1);
    world.run_for(secs(2));
    world.carried.clear();
    for person in people {
        look_up(&mut world, person, 8, 9);
    }
    world.run_for(ms(100));
    assert_eq!(questions(&world), 2);
    assert!(people.iter().all(|person| found(&world, *person, 8) == Some((vec![(1, server(2))], true))));
    assert_eq!(world.stats(0).sizes.lookups, 0);
}

#[test]
fn a_server_that_says_nothing_holds_up_an_answer_for_two_seconds_and_is_not_waited_for_longer() {
    let mut world = World::new(1);
    let (ann, (mute, _)) = (world.client(0, 1), claimant(&mut world, 1));
    attached(&mut world, 0, 9, 4);
    world.run_for(secs(1));
    look_up(&mut world, ann, 8, 9);
    assert!(asked(&world, mute).is_some());
    world.run_for(ms(1_990));
    assert_eq!(found(&world, ann, 8), None);
    world.run_for(ms(20));
    assert_eq!(
        found(&world, ann, 8),
        Some((vec![(4, server(0))], false)),
        "what is here is told all the same"
    );
}

#[test]
fn answers_that_are_forged_of_others_or_too_old_are_not_passed_on_and_count_as_none() {
    let mut world = World::new(1);
    let (ann, (liar, id)) = (world.client(0, 1), claimant(&mut world, 1));
    world.run_for(secs(1));
    look_up(&mut world, ann, 8, 9);
    let corr = asked(&world, liar).expect("a question").corr;
    let forged = Signed { body: bundle(user(9), 1, id).encode(), sig: FORGED }.encode();
    let newest = Bundle { not_before_ms: WALL + 1, ..bundle(user(9), 2, id) };
    let lies = vec![
        forged,
        signed(&bundle(user(8), 1, id)),
        signed(&bundle(user(9), 1, server(0))),
        signed(&Bundle { not_after_ms: WALL - 400_000, not_before_ms: WALL - 500_000, ..newest.clone() }),
        Bytes::from_static(b"nothing of the kind"),
        Bytes::from(vec![0; MAX_BUNDLE + 1]),
        signed(&newest),
    ];
    tell(&mut world, liar, corr, lies);
    assert_eq!(found(&world, ann, 8), Some((vec![(2, id)], true)), "the one that is true");
    tell(&mut world, liar, corr, vec![signed(&bundle(user(9), 3, id))]);
    world.run_for(secs(6));
    look_up(&mut world, ann, 9, 9);
    let corr = asked(&world, liar).expect("another question").corr;
    tell(&mut world, liar, corr + 1, vec![signed(&bundle(user(9), 3, id))]);
    assert_eq!(found(&world, ann, 9), None, "an answer to no question is none");
    tell(&mut world, liar, corr, Vec::new());
    assert_eq!(found(&world, ann, 9), Some((vec![], true)));
}

/// A server cannot push a user's devices out of the answer by showing ones that the user never had.
#[test]
fn forged_bundles_crowd_out_no_true_one() {
    let mut world = World::new(1);
    let ann = world.client(0, 1);
    let ((liar, lie), (honest, truth)) = (claimant(&mut world, 1), claimant(&mut world, 2));
    world.run_for(secs(1));
    look_up(&mut world, ann, 8, 9);
    let newer = |device: u8| Bundle { not_before_ms: WALL + 9_999, ..bundle(user(9), device, lie) };
    let forged = |device| Signed { body: newer(device).encode(), sig: FORGED }.encode();
    let corr = asked(&world, liar).expect("a question").corr;
    tell(&mut world, liar, corr, (0..60).map(forged).collect());
    let corr = asked(&world, honest).expect("a question").corr;
    tell(&mut world, honest, corr, vec![signed(&bundle(user(9), 7, truth))]);
    assert_eq!(found(&world, ann, 8), Some((vec![(7, truth)], true)));
}

#[test]
fn eight_servers_are_asked_those_first_that_told_the_truth_and_those_last_that_had_nothing_to_show() {
    let mut world = World::with(1, &Config { profile: Profile::Trusted, ..Config::default() });
    let ann = world.client(0, 1);
    let (honest, truth) = claimant(&mut world, 1);
    world.run_for(secs(1));
    look_up(&mut world, ann, 8, 9);
    let corr = asked(&world, honest).expect("a question").corr;
    tell(&mut world, honest, corr, vec![signed(&bundle(user(9), 7, truth))]);
    let liars: Vec<Client> = (2..14).map(|number| claimant(&mut world, number).0).collect();
    world.run_for(secs(1));
    let mut told = Vec::new();
    for round in 0..3 {
        world.take_inbox(honest);
        liars.iter().for_each(|liar| drop(world.take_inbox(*liar)));
        look_up(&mut world, ann, 20 + round, 9);
        let corr = asked(&world, honest).expect("the honest one is always asked").corr;
        tell(&mut world, honest, corr, vec![signed(&bundle(user(9), 7, truth))]);
        let of_liars: Vec<bool> = liars.iter().map(|liar| asked(&world, *liar).is_some()).collect();
        assert_eq!(of_liars.iter().filter(|asked| **asked).count(), 7);
        told.push(of_liars);
        world.run_for(secs(3));
        assert_eq!(found(&world, ann, 20 + round), Some((vec![(7, truth)], false)));
    }
    assert!(
        told[0].iter().zip(&told[1]).filter(|(first, second)| **first && **second).count() <= 2,
        "{told:?}"
    );
}

#[test]
fn a_server_that_cannot_be_reached_is_not_asked_and_the_answer_says_that_it_is_not_all() {
    let mut world = World::line(3);
    let ann = world.client(0, 1);
    attached(&mut world, 2, 9, 1);
    world.run_for(secs(2));
    world.cut(1, 2);
    world.crash(2);
    world.run_for(ms(500));
    world.carried.clear();
    look_up(&mut world, ann, 8, 9);
    assert_eq!((found(&world, ann, 8), questions(&world)), (Some((vec![], false)), 0));
}

#[test]
fn lookups_have_a_budget_for_each_client_and_for_each_server_on_each_link() {
    let mut world = World::line(2);
    let ann = world.client(0, 1);
    for req in 1..=31 {
        look_up(&mut world, ann, req, 2);
    }
    let refused = |req| matches!(answer(&world, ann, req), Some(Kind::Error(refusal)) if refusal.code == Code::RateLimited);
    assert!((1..=30).all(|req| !refused(req)) && refused(31), "{:?}", answer(&world, ann, 31));
    let (one, another) = (claimant(&mut world, 1).0, claimant(&mut world, 2).0);
    for peer in [one, another] {
        world.take_inbox(peer);
        let question = Carried::Lookup(user(2));
        (0..300).for_each(|_| carried(&mut world, peer, 7, &question));
    }
    world.run_for(ms(10));
    let is_answer =
        |frame: &&Frame| matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::LookupRep);
    let answers = [one, another].map(|peer| world.inbox(peer).iter().filter(is_answer).count());
    // Both say that server 1 asks; the budget of one is not that of the other. A question takes a millisecond here. The
    // answers go to whoever brought the question, wherever it is said to come from.
    assert!(answers.iter().all(|answers| (200..=230).contains(answers)), "{answers:?}");
}

/// No room on the way says nothing of where somebody is, and a lookup of each cut packet would not make more of it.
#[test]
fn where_somebody_is_is_known_still_when_a_packet_for_him_is_cut() {
    for (code, asks) in [(Code::Ok, 0), (Code::Limit, 0), (Code::NotHere, 1)] {
        let mut world = World::new(1);
        let ann = world.client(0, 1);
        let (peer, id) = claimant(&mut world, 1);
        look_up(&mut world, ann, 5, 9);
        let corr = asked(&world, peer).expect("a question").corr;
        tell(&mut world, peer, corr, vec![signed(&bundle(user(9), 1, id))]);
        send(&mut world, ann, 6, to(9, id, packet("x")));
        let (head, _) = handed(&world, peer).pop().expect("a packet");
        world.take_inbox(peer);
        carried(&mut world, peer, head.corr, &Carried::Status(code));
        assert_eq!(told(&world, ann, 6), [code]);
        look_up(&mut world, ann, 7, 9);
        assert_eq!(usize::from(asked(&world, peer).is_some()), asks, "{code:?}");
    }
}

/// Two neighbours of server 0 which both lead to a third server, where user 9 says to be.
fn two_ways(world: &mut World) -> [Client; 2] {
    let ways = [1, 2].map(|number| world.fake_peer(0, stranger(number)));
    for (peer, number) in ways.iter().zip([1, 2]) {
        world.ask(*peer, record_of(stranger(number), 5, 1, &[server(0), stranger(3)]));
    }
    world.ask(ways[0], record_of(stranger(3), 5, 1, &[stranger(1), stranger(2)]));
    world.ask(ways[0], claim(stranger(3), 9));
    world.run_for(secs(1));
    ways
}

/// Part of case E10 (b) of the test plan: who is on the first way takes every question and passes on none.
#[test]
fn e10_a_server_that_says_nothing_is_asked_again_by_another_way() {
    let mut world = World::new(1);
    let ways = two_ways(&mut world);
    let ann = world.client(0, 1);
    look_up(&mut world, ann, 5, 9);
    world.run_for(ms(900));
    let [first, second] = if asked(&world, ways[0]).is_some() { ways } else { [ways[1], ways[0]] };
    let question = asked(&world, first).expect("a question");
    assert_eq!((asked(&world, second), found(&world, ann, 5)), (None, None), "it has a second to answer");
    world.run_for(ms(200));
    let again = asked(&world, second).expect("the same question");
    assert_eq!(again.corr, question.corr);
    tell(&mut world, second, again.corr, vec![signed(&bundle(user(9), 1, stranger(3)))]);
    assert_eq!(found(&world, ann, 5), Some((vec![(1, stranger(3))], true)));
}

#[test]
fn an_answer_goes_back_by_the_neighbour_that_brought_the_question() {
    let mut world = World::new(1);
    let ways = two_ways(&mut world);
    attached(&mut world, 0, 2, 1);
    for (peer, corr) in ways.into_iter().zip([71, 72]) {
        let head = RouteHead {
            origin: stranger(3).router(),
            id: corr,
            ttl: 9,
            dst: vec![server(0).router()],
            class: Class::LookupReq,
            want_done: false,
            corr,
        };
        let payload = Carried::Lookup(user(2)).encode();
        let digest = Digest16::of(&payload);
        world.ask(
            peer,
            Received::Route { head, payload, digest, check: crate::Check::NotChecked, channel: None },
        );
        let answers = world.take_inbox(peer).into_iter().filter(|frame| {
            matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::LookupRep && route.head.corr == corr)
        });
        assert_eq!(answers.count(), 1);
    }
}
