//! Stories of several servers.

use super::objects::{one_shard_of, record_of, route, routes, shard_of, stranger, text_route};
use super::world::{Client, World, channel, deliver, ms, place, post, receive, secs, server, user};
use crate::{Accept, Check, Config, DroppedFor, Event, Input, LinkId, Neighbours, Received, RefusedFor};
use bytes::Bytes;
use darkchat_proto::{Class, Code, Done, Features, Frame, Have, Kind, ServerId, ServerRecord, Signed, Want};

/// Joins everybody, lets it spread, and asserts that each hears each other one exactly once.
fn all_hear_all(world: &mut World, clients: &[Client]) {
    for client in clients {
        world.take_inbox(*client);
    }
    for (number, client) in clients.iter().enumerate() {
        world.say(*client, "lobby", &format!("from {number}"));
        world.run_for(secs(1));
    }
    for (number, client) in clients.iter().enumerate() {
        let others: Vec<String> = (0..clients.len())
            .filter(|other| *other != number)
            .map(|other| format!("from {other}"))
            .collect();
        assert_eq!(world.heard(*client), others, "client {number}");
    }
}

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
fn a_join_spreads_within_a_second_and_one_that_is_known_is_answered_at_once() {
    let mut world = World::line(4);
    let (alice, bob) = (world.client(0, 1), world.client(0, 2));
    world.ask(alice, super::world::join(5, "lobby", true));
    world.run_for(ms(900));
    let done = Done { local: 0, servers: 3, spread: true };
    assert!(
        matches!(world.inbox(alice).last(), Some(Frame { re: 5, kind: Kind::Ok(got), .. }) if *got == done)
    );
    world.ask(bob, super::world::join(6, "lobby", true));
    assert!(
        matches!(world.inbox(bob).last(), Some(Frame { re: 6, kind: Kind::Ok(got), .. }) if *got == done)
    );
    assert_eq!((world.stats(0).sizes.waiting_joins, world.stats(1).sizes.pending_done), (0, 0));
}

#[test]
fn a_join_is_answered_after_three_seconds_even_if_a_server_never_confirms() {
    let mut world = World::new(1);
    let mute = world.fake_peer(0, stranger(1));
    let alice = world.client(0, 1);
    world.ask(alice, super::world::join(5, "lobby", true));
    world.run_for(ms(2_900));
    assert!(!world.inbox(alice).iter().any(|frame| frame.re == 5));
    world.run_for(ms(300));
    let answer = world.inbox(alice).iter().find(|frame| frame.re == 5).map(|frame| frame.kind.clone());
    assert_eq!(answer, Some(Kind::Ok(Done { local: 0, servers: 0, spread: false })));
    assert_eq!((world.stats(0).sizes.waiting_joins, world.stats(0).sizes.pending_done), (0, 0));
    world.run_for(secs(20));
    let told = |frame: &&Frame| matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::Shard);
    assert_eq!(world.inbox(mute).iter().filter(told).count(), 4, "told again three times");
    assert_eq!(world.stats(0).sizes.pending_done, 0);
    assert_eq!(world.goodbye(mute), None);
}

#[test]
fn a_join_after_another_server_came_is_told_once_more() {
    let mut world = World::line(2);
    let alice = world.client(0, 1);
    world.join_spread(alice, "lobby");
    let quick = world.fake_peer(0, stranger(3));
    world.run_for(secs(2));
    let bob = world.client(0, 2);
    world.take_inbox(quick);
    world.ask(bob, super::world::join(6, "lobby", true));
    world.run_for(ms(120));
    let told = world.inbox(quick).iter().find_map(|frame| match &frame.kind {
        Kind::Route(route) if route.head.class == Class::Shard => Some((route.head.origin, route.head.id)),
        _ => None,
    });
    let (origin, id) = told.expect("the shard comes again");
    assert!(!world.inbox(bob).iter().any(|frame| frame.re == 6), "the new one has not confirmed");
    world.ask(quick, Received::Other(Frame::from(Kind::RouteDone { origin, id })));
    let done = Done { local: 0, servers: 2, spread: true };
    assert!(
        matches!(world.inbox(bob).last(), Some(Frame { re: 6, kind: Kind::Ok(got), .. }) if *got == done)
    );
}

#[test]
fn servers_that_come_later_learn_what_was_wanted_before() {
    let mut world = World::new(4);
    let clients: Vec<Client> = (0..4).map(|at| world.client(at, u8::try_from(at).unwrap() + 1)).collect();
    for client in &clients {
        world.join(*client, "lobby");
    }
    world.run_for(secs(1));
    // Two pairs, each of which knows nothing of the other, and then one link between them.
    world.peer(0, 1);
    world.peer(2, 3);
    world.run_for(secs(5));
    world.peer(1, 2);
    world.run_for(secs(2));
    all_hear_all(&mut world, &clients);
    for at in 0..4 {
        assert_eq!(world.node(at).servers().len(), 3);
        assert_eq!(world.stats(at).sizes.tags, 4);
    }
}

#[test]
fn a_cut_is_told_to_everybody_and_the_way_around_is_taken() {
    let mut world = World::line(4);
    world.peer(3, 0);
    world.run_for(secs(3));
    let clients: Vec<Client> = (0..4).map(|at| world.client(at, u8::try_from(at).unwrap() + 1)).collect();
    for client in &clients {
        world.join_spread(*client, "lobby");
    }
    all_hear_all(&mut world, &clients);
    world.give(1, Input::Unpeer(place(2)));
    world.run_for(ms(50));
    assert!(!world.peers(1).contains(&2));
    all_hear_all(&mut world, &clients);
}

#[test]
fn a_pinned_server_that_was_away_is_dialled_again_and_interest_is_right_after_it() {
    let mut world = World::line(2);
    let (alice, bob) = (world.client(0, 1), world.client(1, 2));
    world.join_spread(alice, "lobby");
    world.join_spread(bob, "lobby");
    for _ in 0..30 {
        world.cut(0, 1);
        world.run_for(secs(1));
    }
    world.run_for(secs(15));
    assert_eq!(world.peers(0).len(), 1);
    all_hear_all(&mut world, &[alice, bob]);
    let sizes = world.stats(0).sizes;
    assert_eq!((sizes.peers, sizes.tags, sizes.servers), (1, 2, 2));
}

#[test]
fn dials_that_fail_are_made_less_and_less_often() {
    let mut world = World::new(1);
    world.give(0, Input::Peer(place(7).into()));
    world.run_for(secs(120));
    let failed = world.events(0).iter().filter(|event| matches!(event, Event::DialFailed { .. })).count();
    assert!((10..=40).contains(&failed), "{failed} dials in two minutes");
    world.give(0, Input::Unpeer(place(7)));
    let before = world.outputs;
    world.run_for(secs(60));
    assert_eq!(world.outputs, before, "it is let alone");
    assert_eq!(world.stats(0).sizes.pinned, 0);
}

#[test]
fn the_servers_that_an_operator_may_name_are_bounded() {
    let mut world = World::new(1);
    for number in 0..300 {
        world.give(0, Input::Peer(place(number + 100).into()));
    }
    assert_eq!(world.stats(0).sizes.pinned, 256);
    let limit = |event: &&Event| matches!(event, Event::DialFailed { why: Code::Limit, .. });
    assert_eq!(world.events(0).iter().filter(limit).count(), 44);
}

/// Case C13 of the test plan.
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
    world.cut(0, 1);
    world.run_for(secs(20));
    assert_eq!(world.node(0).peers().len(), 1, "whoever was named is dialled again when the link is lost");
}

#[test]
fn of_two_links_by_one_initiator_the_newer_stays_and_takes_over_what_waited() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    let old = world.fake_peer(0, stranger(1));
    world.ask(old, record_of(stranger(1), 5, 1, &[server(0)]));
    world.ask(old, shard_of(stranger(1), 5, 1, &[channel("lobby")]));
    world.join(alice, "lobby");
    world.stall(0, old.link, true);
    for number in 0..60 {
        world.run_for(ms(60));
        let mut long = post(alice.user, channel("lobby"), number + 1, world.wall_ms(), "");
        long.entries[0].content = Bytes::from(vec![b'x'; 9_000]);
        world.say_post(alice, long);
    }
    assert!(world.stats(0).pending > 0);
    let new = world.fake_peer(0, stranger(1));
    assert_eq!(world.goodbye(old), Some(Code::Conflict));
    let over_the_new_one = routes(world.inbox(new)).len();
    let stats = world.stats(0);
    assert_eq!(stats.copies, 60);
    assert_eq!(
        (over_the_new_one, stats.pending),
        (60, 60),
        "what the old one did not count goes over the new one"
    );
    world.run_for(ms(100));
    let stats = world.stats(0);
    assert_eq!((stats.forwarded, stats.pending, stats.dropped_total()), (60, 0, 0));
    assert!(stats.resent > 20, "{stats:?}");
}

/// Case C12 of the test plan.
#[test]
fn a_server_that_dials_itself_notices_and_forgets_the_address() {
    let mut world = World::new(1);
    world.peer(0, 0);
    world.run_for(secs(60));
    assert!(world.node(0).peers().is_empty());
    let failed = Event::DialFailed { addr: place(0), why: Code::Conflict };
    assert_eq!(world.events(0).iter().filter(|event| **event == failed).count(), 1);
    assert_eq!(world.stats(0).closed[&Code::Conflict], 2, "both ends, once");
    assert_eq!(world.stats(0).sizes.pinned, 0);
}

#[test]
fn peers_that_come_are_bounded_and_those_that_we_named_are_not() {
    let neighbours = Neighbours { max: 6, ..Neighbours::default() };
    let mut world = World::with(2, &Config { neighbours, ..Config::default() });
    let peers: Vec<Client> = (0..5).map(|number| world.fake_peer(0, stranger(number))).collect();
    let goodbyes: Vec<Option<Code>> = peers.iter().map(|peer| world.goodbye(*peer)).collect();
    assert_eq!(goodbyes, [None, None, None, Some(Code::Limit), Some(Code::Limit)]);
    world.peer(0, 1);
    world.run_for(secs(1));
    assert_eq!(world.node(0).peers().len(), 4);
}

#[test]
fn a_peer_at_a_listener_for_clients_is_sent_away_without_a_welcome() {
    let mut world = World::new(1);
    let link = LinkId(1);
    let peer = darkchat_crypto::Authenticated::unchecked(
        *stranger(1).as_bytes(),
        darkchat_proto::Role::Peer,
        None,
        Features::DONE,
    );
    world.expect_link(0, link);
    let observed = "127.0.0.1".parse().unwrap();
    world.give(
        0,
        Input::Opened {
            link,
            dial: None,
            accept: Accept::Clients,
            peer,
            remote: place(9),
            observed,
            resume: None,
        },
    );
    assert_eq!(world.goodbye_on(0, link), Some(Code::Unauthorized));
    assert_eq!(world.stats(0).sizes.peers, 0);
}

#[test]
fn of_two_servers_with_one_router_id_the_second_is_refused() {
    let mut world = World::new(1);
    let first = stranger(1);
    let mut key = *first.as_bytes();
    key[31] ^= 1;
    let (one, other) = (world.fake_peer(0, first), world.fake_peer(0, ServerId::new(key)));
    assert_eq!((world.goodbye(one), world.goodbye(other)), (None, Some(Code::Conflict)));
}

#[test]
fn whoever_dials_says_nothing_before_the_welcome_and_does_not_wait_for_it_for_ever() {
    let mut world = World::new(1);
    let silent = world.dials_fake(0, stranger(1));
    world.run_for(secs(4));
    assert!(world.inbox(silent).is_empty() && world.node(0).peers().is_empty());
    world.run_for(secs(2));
    assert_eq!(world.goodbye(silent), Some(Code::Timeout));
    let failed = |world: &World| -> Vec<Code> {
        let why = |event: &Event| if let Event::DialFailed { why, .. } = event { Some(*why) } else { None };
        world.events(0).iter().filter_map(why).collect()
    };
    assert_eq!(failed(&world)[0], Code::Timeout, "a dial that came to nothing, and not a peer that was lost");

    let mut world = World::new(1);
    let unkind = world.dials_fake(0, stranger(1));
    let goodbye = darkchat_proto::Goodbye::new(Code::Unauthorized);
    world.ask(unkind, Received::Other(Frame::from(Kind::Goodbye(goodbye))));
    assert_eq!(failed(&world)[0], Code::Unauthorized);
    assert_eq!(world.goodbye(unkind), None);

    let mut world = World::new(1);
    let rude = world.dials_fake(0, stranger(1));
    world.ask(rude, Received::Other(Frame::from(Kind::Ping { nonce: 1, acked: 0 })));
    assert_eq!(world.goodbye(rude), Some(Code::BadFrame));

    let mut world = World::new(1);
    let polite = world.dials_fake(0, stranger(1));
    world.ask(polite, Received::Other(Frame::from(Kind::Welcome(darkchat_proto::Welcome::default()))));
    let first = |kind: &Kind| matches!(kind, Kind::Ping { .. } | Kind::Digest { .. });
    assert!(world.inbox(polite).len() == 2 && world.inbox(polite).iter().all(|frame| first(&frame.kind)));
    assert_eq!(world.node(0).peers().len(), 1);
}

#[test]
fn a_silent_peer_is_pinged_after_ten_seconds_and_given_up_after_thirty() {
    let mut world = World::new(1);
    let silent = world.fake_peer(0, stranger(1));
    world.run_for(secs(25));
    assert!(world.inbox(silent).iter().any(|frame| matches!(frame.kind, Kind::Ping { .. })));
    world.run_for(secs(6));
    assert_eq!(world.goodbye(silent), Some(Code::Timeout));
}

#[test]
fn a_kind_that_a_server_may_not_send_ends_the_link() {
    let mut world = World::new(1);
    let kinds = [
        Kind::Join { channels: Vec::new(), wait_spread: false },
        Kind::Deliver(Bytes::from_static(b"x")),
        Kind::Welcome(darkchat_proto::Welcome::default()),
    ];
    for (number, kind) in (0..).zip(kinds) {
        let peer = world.fake_peer(0, stranger(number));
        world.ask(peer, Received::Other(Frame::from(kind)));
        assert_eq!(world.goodbye(peer), Some(Code::BadFrame));
    }
    let peer = world.fake_peer(0, stranger(9));
    world.take_inbox(peer);
    world.ask(peer, Received::Other(Frame::from(Kind::Unknown(60))));
    assert!(world.inbox(peer).is_empty(), "ignored");
    world.ask(peer, Received::Other(Frame::asking(4, Kind::Unknown(60))));
    assert!(matches!(world.inbox(peer), [Frame { re: 4, kind: Kind::Error(_), .. }]));
    assert_eq!(world.goodbye(peer), None);
    world.ask(peer, Received::Other(Frame::from(Kind::LinkAck { received: 1 })));
    assert_eq!(world.goodbye(peer), Some(Code::BadFrame), "it counts what it was never sent");
}

#[test]
fn a_post_with_a_bad_signature_goes_nowhere_and_all_of_that_link_is_verified_for_a_minute() {
    let mut world = World::new(1);
    let (peer, alice) = (world.fake_peer(0, stranger(1)), world.client(0, 1));
    world.join(alice, "lobby");
    assert_eq!(world.checks, [(0, vec![peer.link], 16)]);
    let forged = deliver(&post(user(9), channel("lobby"), 1, world.wall_ms(), "forged"));
    for _ in 0..3 {
        world.ask(peer, route(&[server(0)], 32, forged.clone(), Some(channel("lobby")), Check::Bad));
    }
    assert!(world.heard(alice).is_empty());
    assert_eq!(world.checks[1..], [(0, vec![peer.link], 1)]);
    assert_eq!(world.stats(0).dropped[&DroppedFor::BadSignature], 3);
    for _ in 0..7 {
        world.run_for(secs(9));
        world.ask(peer, Received::Other(Frame::from(Kind::Pong { nonce: 0, acked: 0 })));
    }
    assert_eq!(world.checks[2..], [(0, vec![peer.link], 16)]);
}

#[test]
fn a_route_that_comes_twice_is_delivered_once() {
    let mut world = World::new(1);
    let (one, other) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let said = text_route(&world, &[server(0), server(0)], 32, "once");
    world.ask(one, said.clone());
    world.ask(other, said);
    assert_eq!(world.heard(alice), ["once"]);
    let stats = world.stats(0);
    assert_eq!((stats.delivered, stats.dropped[&DroppedFor::Duplicate]), (1, 1));
}

#[test]
fn a_route_without_members_or_form_is_counted() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    let said = text_route(&world, &[server(0)], 32, "hello?");
    world.ask(peer, said);
    world.ask(peer, route(&[server(0)], 32, Bytes::from_static(b"junk"), None, Check::NotChecked));
    let stats = world.stats(0);
    assert_eq!((stats.dropped[&DroppedFor::NoMember], stats.dropped[&DroppedFor::Malformed]), (1, 1));
    assert_eq!((stats.frames_in, stats.accepted), (2, 2));
}

#[test]
fn what_has_no_way_or_no_hops_left_is_counted() {
    let mut world = World::new(1);
    let (one, other) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    let frames = [
        text_route(&world, &[stranger(2)], 1, "out of hops"),
        text_route(&world, &[stranger(2)], 0, "long ago"),
        text_route(&world, &[stranger(77)], 32, "to nobody"),
        text_route(&world, &[stranger(2)], u32::MAX, "too many hops"),
    ];
    for frame in frames {
        world.ask(one, frame);
    }
    let stats = world.stats(0);
    assert_eq!((stats.dropped[&DroppedFor::Ttl], stats.dropped[&DroppedFor::NoRoute]), (2, 1));
    let passed: Vec<u32> = routes(world.inbox(other)).iter().map(|route| route.head.ttl).collect();
    assert_eq!(passed, [31], "a TTL above 32 is taken as 32");
}

#[test]
fn a_route_goes_back_where_it_came_from_only_if_there_is_no_other_way() {
    let mut world = World::new(1);
    let (one, other) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    for (peer, id) in [(one, stranger(1)), (other, stranger(2))] {
        world.ask(peer, record_of(id, 5, 1, &[server(0), stranger(3)]));
    }
    world.ask(one, record_of(stranger(3), 5, 1, &[stranger(1), stranger(2)]));
    for peer in [one, other] {
        let said = text_route(&world, &[stranger(3)], 32, "on its way");
        world.take_inbox(one);
        world.take_inbox(other);
        world.ask(peer, said);
        assert!(routes(world.inbox(peer)).is_empty());
    }
    // Without the second way it goes back.
    world.run_for(ms(100));
    world.hang_up(other);
    world.take_inbox(one);
    let said = text_route(&world, &[stranger(3)], 32, "on its way");
    world.ask(one, said);
    assert_eq!(routes(world.inbox(one)).len(), 1);
}

/// Case E2 of the test plan.
#[test]
fn a_hostile_server_that_sends_everything_back_is_stopped_by_the_hops() {
    let mut world = World::line(3);
    let alice = world.client(0, 1);
    world.join_spread(alice, "lobby");
    // A neighbour that claims to be the only way to server 9 and returns what it gets.
    let hostile = world.fake_peer(1, stranger(1));
    world.ask(hostile, record_of(stranger(1), 5, 1, &[server(1), stranger(9)]));
    world.ask(hostile, record_of(stranger(9), 5, 1, &[stranger(1)]));
    let said = text_route(&world, &[stranger(9)], 32, "ping pong");
    world.ask(hostile, said);
    let mut returned = 0;
    while let Some(frame) = world
        .take_inbox(hostile)
        .into_iter()
        .find(|frame| matches!(&frame.kind, Kind::Route(r) if r.head.class == Class::Channel))
    {
        returned += 1;
        for frame in receive(frame) {
            world.ask(hostile, frame);
        }
    }
    assert_eq!(returned, 31, "one hop less each time");
    assert_eq!(world.stats(1).dropped[&DroppedFor::Ttl], 1);
}

#[test]
fn many_destinations_are_split_into_frames_of_256() {
    let mut world = World::new(1);
    // Named by the operator, so that all may hang on it.
    let hub = world.dials_fake(0, stranger(0));
    world.ask(hub, Received::Other(Frame::from(Kind::Welcome(darkchat_proto::Welcome::default()))));
    let all: Vec<ServerId> = (1..=600).map(stranger).collect();
    // A record has at most 64 neighbours, so the servers stand in a tree of ten branches behind the hub.
    let branches = &all[..10];
    let near: Vec<ServerId> = [server(0)].into_iter().chain(branches.iter().copied()).collect();
    world.ask(hub, record_of(stranger(0), 5, 1, &near));
    for (number, branch) in branches.iter().enumerate() {
        let leaves: Vec<ServerId> = all[10..].iter().skip(number).step_by(10).copied().collect();
        let around: Vec<ServerId> = [stranger(0)].into_iter().chain(leaves.iter().copied()).collect();
        world.ask(hub, record_of(*branch, 5, 1, &around));
        for leaf in leaves {
            world.ask(hub, record_of(leaf, 5, 1, &[*branch]));
        }
    }
    for id in &all {
        world.ask(hub, shard_of(*id, 5, 1, &[channel("lobby")]));
    }
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    world.take_inbox(hub);
    let answer = world.say(alice, "lobby", "to all");
    assert_eq!(answer, Some(Kind::Ok(Done { local: 0, servers: 600, spread: false })));
    let counts: Vec<usize> = routes(world.inbox(hub)).iter().map(|route| route.head.dst.len()).collect();
    assert_eq!(counts, [256, 256, 88]);
    world.run_for(ms(100));
    assert_eq!((world.stats(0).copies, world.stats(0).forwarded), (600, 600));
}

#[test]
fn a_neighbour_that_passes_on_what_its_signer_did_not_sign_is_cut_off_and_one_over_its_budget_is_not() {
    let mut world = World::new(1);
    for (number, code, goodbye) in [
        (1, Code::BadSignature, Some(Code::BadSignature)),
        (2, Code::Limit, None),
        (3, Code::Unsupported, None),
    ] {
        let peer = world.fake_peer(0, stranger(number));
        let before = world.stats(0).objects_refused;
        world.ask(peer, Received::Refused { req: 0, code, retry_ms: 0 });
        assert_eq!(world.goodbye(peer), goodbye);
        assert_eq!(world.stats(0).objects_refused, before + 1);
    }
}

#[test]
fn destinations_over_the_budget_are_refused_and_the_link_stays() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    let dst: Vec<ServerId> = (0..256).map(stranger).collect();
    let said = text_route(&world, &dst, 32, "x");
    for _ in 0..2_000 {
        world.give(0, Input::Frame { link: peer.link, frame: said.clone() });
    }
    let refused = world.stats(0).refused[&RefusedFor::Rate];
    assert!(refused > 400, "{refused}");
    assert_eq!(world.goodbye(peer), None);
}

/// What a peer of server 0 was told by it of itself.
fn own_records(world: &World, peer: Client) -> Vec<ServerRecord> {
    let record = |frame: &Frame| match &frame.kind {
        Kind::Record(signed) => {
            let record = ServerRecord::decode(Signed::decode(signed.clone()).unwrap().body).unwrap();
            (record.server == server(0)).then_some(record)
        }
        _ => None,
    };
    world.inbox(peer).iter().filter_map(record).collect()
}

#[test]
fn our_key_elsewhere_ends_peering_and_an_old_epoch_of_ours_is_outdone() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    world.run_for(ms(10));
    let own_epoch = |world: &World| own_records(world, peer).iter().map(|record| record.epoch).max();
    let later = super::world::WALL + 1_000_000;
    world.ask(peer, record_of(server(0), later, 7, &[]));
    world.run_for(secs(1));
    assert_eq!(own_epoch(&world), Some(later + 1), "raised above what was heard");
    world.ask(peer, record_of(server(0), later, 7, &[]));
    world.ask(peer, record_of(server(0), later + 2, 1, &[]));
    world.run_for(secs(1));
    assert!(!world.events(0).contains(&Event::KeyElsewhere));
    world.ask(peer, record_of(server(0), later + 9, 1, &[]));
    assert!(world.events(0).contains(&Event::KeyElsewhere));
    assert_eq!(world.goodbye(peer), Some(Code::Conflict));
    let again = world.fake_peer(0, stranger(2));
    assert_eq!(world.goodbye(again), Some(Code::Conflict));
}

#[test]
fn a_record_is_passed_on_at_once_and_a_flood_of_them_at_its_origins_budget() {
    let mut world = World::new(1);
    let (one, other) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    world.take_inbox(other);
    for seq in 1..=50 {
        world.ask(one, record_of(stranger(1), 5, seq, &[server(0)]));
    }
    let seqs = |world: &World| -> Vec<u64> {
        let record = |frame: &Frame| match &frame.kind {
            Kind::Record(signed) => {
                let record = ServerRecord::decode(Signed::decode(signed.clone()).unwrap().body).unwrap();
                (record.server == stranger(1)).then_some(record.seq)
            }
            _ => None,
        };
        world.inbox(other).iter().filter_map(record).collect()
    };
    assert_eq!(seqs(&world), (1..=8).collect::<Vec<_>>());
    assert_eq!(world.stats(0).sizes.held_records, 1);
    world.run_for(secs(2));
    assert_eq!(seqs(&world).last(), Some(&50), "the newest one, and none between");
    assert_eq!(seqs(&world).len(), 9);
    assert!(!world.inbox(one).iter().any(|frame| matches!(&frame.kind, Kind::Record(signed)
        if ServerRecord::decode(Signed::decode(signed.clone()).unwrap().body).unwrap().server == stranger(1))));
}

#[test]
fn a_server_that_loses_most_neighbours_at_once_says_so_at_once() {
    let mut world = World::new(1);
    let peers: Vec<Client> = (0..16).map(|number| world.fake_peer(0, stranger(number))).collect();
    world.run_for(secs(10));
    let (stays, go) = peers.split_first().unwrap();
    world.take_inbox(*stays);
    for peer in go {
        world.hang_up(*peer);
        world.run_for(ms(12));
    }
    world.run_for(ms(100));
    let named: Vec<usize> =
        own_records(&world, *stays).iter().map(|record| record.neighbours.len()).collect();
    assert_eq!(
        (named.first(), named.last()),
        (Some(&15), Some(&1)),
        "the first at once, all 0.1 s after: {named:?}"
    );
    assert!(named.len() <= 8, "within the budget that others pass on: {named:?}");
}

/// Nobody else may learn of each visit, or one that knocks once a second would make a whole network pass records on.
#[test]
fn who_comes_and_goes_before_a_record_named_it_makes_us_tell_nobody() {
    let mut world = World::new(1);
    let stays = world.fake_peer(0, stranger(1));
    world.run_for(secs(10));
    world.take_inbox(stays);
    for number in 2..22 {
        let visitor = world.fake_peer(0, stranger(number));
        world.run_for(ms(300));
        world.hang_up(visitor);
        world.run_for(ms(100));
    }
    world.run_for(secs(2));
    assert_eq!(own_records(&world, stays), []);
    world.fake_peer(0, stranger(99));
    world.run_for(secs(2));
    let named: Vec<usize> = own_records(&world, stays).iter().map(|record| record.neighbours.len()).collect();
    assert_eq!(named, [2], "who stays is told of");
}

#[test]
fn new_records_over_a_links_budget_are_refused() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(0));
    for number in 0..2_500 {
        let (id, seq) = (stranger(1 + number % 200), 1 + u64::from(number / 200));
        world.give(0, Input::Frame { link: peer.link, frame: record_of(id, 5, seq, &[]) });
    }
    let refused = world.stats(0).objects_refused;
    assert!((400..=500).contains(&refused), "{refused}");
}

#[test]
fn a_large_map_is_pulled_piece_by_piece() {
    let mut world = World::new(1);
    let pinned = world.dials_fake(0, stranger(0));
    world.ask(pinned, Received::Other(Frame::from(Kind::Welcome(darkchat_proto::Welcome::default()))));
    let crowded: Vec<ServerId> = (1..40).map(stranger).collect();
    for number in 1..=4_000 {
        let frame = record_of(stranger(number), 5, 1, &crowded);
        world.give(0, Input::Frame { link: pinned.link, frame });
    }
    let reader = world.fake_peer(0, stranger(9_999));
    world.take_inbox(reader);
    world.stall(0, reader.link, true);
    let want: Vec<Want> = (1..=4_000)
        .map(|number| Want { router: stranger(number).router(), record: true, shards: true })
        .collect();
    for chunk in want.chunks(1_024) {
        world.ask(reader, Received::Other(Frame::from(Kind::Pull { want: chunk.to_vec() })));
    }
    assert!(world.stats(0).sizes.longest_queue <= (1 << 20) + 4_096, "{:?}", world.stats(0).sizes);
    world.stall(0, reader.link, false);
    world.run_for(ms(100));
    let got = world.inbox(reader).iter().filter(|frame| matches!(frame.kind, Kind::Record(_))).count();
    assert!(got > 2_000, "{got} after the stall, the rest before it");
    assert_eq!(world.goodbye(reader), None);
}

#[test]
fn a_digest_is_answered_with_a_pull_of_what_is_newer_there() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    world.ask(peer, record_of(stranger(1), 5, 3, &[server(0)]));
    world.take_inbox(peer);
    let row = |router: ServerId, seq, shards| Have { router: router.router(), epoch: 5, seq, shards };
    let known = vec![row(stranger(1), 3, 0), row(stranger(1), 4, 0), row(stranger(2), 1, 7)];
    world.ask(peer, Received::Other(Frame::from(Kind::Digest { known, more: false })));
    let [Frame { kind: Kind::Pull { want }, .. }] = world.inbox(peer) else {
        panic!("{:?}", world.inbox(peer))
    };
    let expected = [(stranger(1), true, false), (stranger(2), true, true)].map(|(id, record, shards)| Want {
        router: id.router(),
        record,
        shards,
    });
    assert_eq!(want[..], expected);
}

#[test]
fn digests_and_pulls_over_a_links_budget_are_not_looked_at_and_the_link_stays() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    let row = |number| Have { router: stranger(number).router(), epoch: 5, seq: 1, shards: 0 };
    let digest = |rows: u16| {
        let known = (0..rows).map(row).collect();
        Received::Other(Frame::from(Kind::Digest { known, more: false }))
    };
    let want: Vec<Want> = (0..1_024)
        .map(|number| Want { router: stranger(number).router(), record: true, shards: true })
        .collect();
    for _ in 0..50 {
        world.give(0, Input::Frame { link: peer.link, frame: digest(1_024) });
        let pull = Received::Other(Frame::from(Kind::Pull { want: want.clone() }));
        world.give(0, Input::Frame { link: peer.link, frame: pull });
    }
    assert_eq!(world.stats(0).objects_refused, 36, "64 of them take all that may come at once");
    world.take_inbox(peer);
    world.run_for(secs(2));
    world.ask(peer, digest(1_000));
    let pulled = |frame: &Frame| matches!(frame.kind, Kind::Pull { .. });
    assert!(world.inbox(peer).iter().any(pulled) && world.goodbye(peer).is_none());
}

/// When two large networks meet over a single link, everything of the other half comes over it at once.
#[test]
fn all_that_was_asked_for_is_taken_and_of_the_rest_a_budget() {
    for (asked, refused) in [(true, 0), (false, 2_000)] {
        let mut world = World::new(1);
        let peer = world.fake_peer(0, stranger(1));
        world.ask(peer, record_of(stranger(1), 5, 1, &[server(0), stranger(2)]));
        world.ask(peer, record_of(stranger(2), 5, 1, &[stranger(1)]));
        if asked {
            let known = vec![Have { router: stranger(2).router(), epoch: 5, seq: 1, shards: 7 }];
            world.ask(peer, Received::Other(Frame::from(Kind::Digest { known, more: false })));
        }
        for number in 0..7_000 {
            let frame = one_shard_of(stranger(2), 5, 1 + u64::from(number), (13, number));
            world.give(0, Input::Frame { link: peer.link, frame });
        }
        assert_eq!(world.stats(0).objects_refused, refused, "asked for: {asked}");
    }
}

/// Who waits for a join would otherwise hear that a server knows of it that does not.
#[test]
fn a_route_whose_shard_was_refused_is_not_reported_done() {
    let mut world = World::new(1);
    let peer = world.fake_peer(0, stranger(1));
    let bring = |world: &mut World, id: u64| {
        let mut route = route(&[server(0)], 9, Bytes::new(), None, Check::Good);
        if let Received::Route { head, .. } = &mut route {
            (head.class, head.want_done, head.id) = (Class::Shard, true, id);
        }
        let shard = shard_of(stranger(1), 5, id, &[channel("lobby")]);
        for frame in [shard, route] {
            world.ask(peer, frame);
        }
        let done = |frame: &Frame| match frame.kind {
            Kind::RouteDone { id, .. } => Some(id),
            _ => None,
        };
        world.inbox(peer).iter().filter_map(done).collect::<Vec<_>>()
    };
    assert_eq!(bring(&mut world, 1), [], "no record tells of that epoch");
    world.ask(peer, record_of(stranger(1), 5, 1, &[server(0)]));
    assert_eq!(bring(&mut world, 2), [2]);
}

#[test]
fn neighbours_compare_what_they_hold_every_minute() {
    let mut world = World::line(2);
    world.carried.clear();
    world.run_for(secs(200));
    let digests =
        world.carried.iter().filter(|(at, frame)| *at == 0 && matches!(frame.kind, Kind::Digest { .. }));
    assert!((2..=5).contains(&digests.count()));
}

#[test]
fn the_record_is_renewed_before_it_expires() {
    let mut world = World::line(3);
    world.run_for(secs(12_000));
    for at in 0..3 {
        assert_eq!(world.node(at).servers().len(), 2);
        assert_eq!(world.peers(at).len(), if at == 1 { 2 } else { 1 });
    }
    world.crash(2);
    world.run_for(secs(5_600));
    assert_eq!(world.node(0).servers().len(), 1, "three refreshes were missed");
}

#[test]
fn whenever_the_two_dial_one_link_remains_and_both_keep_the_same() {
    for offset in 0..25 {
        for first in [0, 1] {
            let mut world = World::new(2);
            world.peer(first, 1 - first);
            world.run_for(ms(offset));
            world.peer(1 - first, first);
            world.run_for(secs(1));
            let outbound: Vec<bool> =
                (0..2).flat_map(|at| world.node(at).peers()).map(|row| row.outbound).collect();
            assert!(matches!(outbound[..], [one, other] if one != other), "{offset} ms: {outbound:?}");
        }
    }
}

#[test]
fn logins_that_come_and_go_do_not_make_interest_flap() {
    let mut world = World::line(2);
    world.carried.clear();
    for _ in 0..200 {
        let alice = world.client(0, 1);
        world.join(alice, "lobby");
        world.run_for(ms(20));
        world.hang_up(alice);
        world.run_for(ms(20));
    }
    world.run_for(secs(10));
    let told = |(at, frame): &&(usize, Frame)| {
        *at == 0 && matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::Shard)
    };
    assert_eq!(
        world.carried.iter().filter(told).count(),
        2,
        "that it wants the channel, and that it no longer does"
    );
}
