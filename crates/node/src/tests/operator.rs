//! What an operator asks: the way of a channel's posts, the links, the map.

use super::objects::{record_of, shard_of, stranger};
use super::world::{World, channel, ms, place, secs, server};
use crate::{Check, Config, Event, Input, Received, Trace, TraceId};
use bytes::Bytes;
use darkchat_proto::{Class, Code, Digest16, Frame, Kind, Route, RouteHead, RouterId, ServerId, Traced};
use std::time::Duration;

/// Asks for the way of the lobby's posts; what came of it after so long.
fn trace(world: &mut World, at: usize, wait: Duration) -> Option<Trace> {
    world.found.clear();
    world.give(at, Input::Trace { trace: TraceId(7), channel: channel("lobby") });
    world.run_for(wait);
    let (asked, number, found) = world.found.pop()?;
    assert_eq!((asked, number, world.found.len()), (at, TraceId(7), 0), "one answer, to the one who asked");
    Some(found.expect("few are under way"))
}

/// Each hop as: server, from, hops, milliseconds, whether it wants the channel.
fn rows(trace: &Trace) -> Vec<(usize, usize, u32, u128, bool)> {
    let number = |id: ServerId| usize::from(id.as_bytes()[0]) - 1;
    let row =
        |hop: &crate::Hop| (number(hop.server), number(hop.from), hop.hops, hop.delay.as_millis(), hop.here);
    trace.hops.iter().map(row).collect()
}

#[test]
fn a_trace_down_a_line_names_every_hop_and_its_delay() {
    let mut world = World::line(4);
    let (bob, dan) = (world.client(1, 2), world.client(3, 4));
    world.join_spread(bob, "lobby");
    world.join_spread(dan, "lobby");
    let found = trace(&mut world, 0, ms(31)).expect("all have answered");
    assert_eq!(rows(&found), [(1, 0, 1, 10, true), (2, 1, 2, 20, false), (3, 2, 3, 30, true)]);
    assert_eq!((found.missing.len(), found.unasked), (0, 0));
    let stats = world.stats(0);
    assert_eq!((stats.sizes.traces, stats.pending, stats.copies), (0, 0, 0), "a probe is no message");
}

#[test]
fn a_trace_reads_as_a_tree_where_ways_part() {
    let mut world = World::new(5);
    for (one, other) in [(0, 1), (1, 2), (0, 3), (3, 4)] {
        world.peer(one, other);
    }
    world.run_for(secs(3));
    for at in [2, 4] {
        let client = world.client(at, u8::try_from(at).unwrap());
        world.join_spread(client, "lobby");
    }
    let found = trace(&mut world, 0, secs(1)).expect("all have answered");
    let ways: Vec<_> = rows(&found).into_iter().map(|(server, from, ..)| (server, from)).collect();
    assert_eq!(ways, [(1, 0), (2, 1), (3, 0), (4, 3)]);
}

#[test]
fn a_channel_that_nobody_else_wants_is_traced_to_nobody_at_once() {
    let mut world = World::line(2);
    let ann = world.client(0, 1);
    world.join_spread(ann, "lobby");
    assert_eq!(trace(&mut world, 0, ms(0)), Some(Trace::default()));
}

#[test]
fn who_does_not_answer_is_missing_after_three_seconds_and_who_has_no_way_too() {
    let mut world = World::new(1);
    let mute = world.fake_peer(0, stranger(1));
    world.ask(mute, record_of(stranger(1), 5, 1, &[server(0)]));
    world.ask(mute, shard_of(stranger(1), 5, 2, &[channel("lobby")]));
    world.ask(mute, record_of(stranger(2), 5, 1, &[]));
    world.ask(mute, shard_of(stranger(2), 5, 2, &[channel("lobby")]));
    assert_eq!(trace(&mut world, 0, ms(2_999)), None);
    world.run_for(ms(1));
    let (_, _, found) = world.found.pop().expect("an end");
    let found = found.expect("few are under way");
    assert_eq!((found.missing, found.hops.len()), (vec![stranger(1), stranger(2)], 0));
    let probes = |frame: &&Frame| {
        matches!(&frame.kind, Kind::Route(Route { head, payload })
            if head.class == Class::Trace && head.dst == [stranger(1).router()] && payload.is_empty())
    };
    assert_eq!(world.inbox(mute).iter().filter(probes).count(), 1);
}

/// A probe from a neighbour of our making, for these servers.
fn probe(dst: &[ServerId], payload: &'static [u8]) -> Received {
    let head = RouteHead {
        origin: stranger(1).router(),
        id: 1,
        ttl: 32,
        dst: dst.iter().map(ServerId::router).collect(),
        class: Class::Trace,
        want_done: false,
        corr: 99,
    };
    let payload = Bytes::from_static(payload);
    Received::Route { head, digest: Digest16::of(&payload), payload, check: Check::NotChecked, channel: None }
}

fn answers(frames: &[Frame]) -> Vec<(RouteHead, Traced)> {
    let answer = |frame: &Frame| match &frame.kind {
        Kind::Route(Route { head, payload }) if head.class == Class::TraceRep => {
            Some((head.clone(), Traced::decode(payload.clone()).unwrap()))
        }
        _ => None,
    };
    frames.iter().filter_map(answer).collect()
}

#[test]
fn a_probe_is_answered_to_its_origin_and_one_with_a_payload_is_not() {
    let mut world = World::new(1);
    let fake = world.fake_peer(0, stranger(1));
    world.ask(fake, probe(&[server(0)], b""));
    let (head, traced) = answers(&world.take_inbox(fake)).pop().expect("an answer");
    let (own, origin) = (server(0).router(), stranger(1).router());
    assert_eq!((head.origin, head.dst, head.corr, head.want_done), (own, vec![origin], 99, false));
    assert_eq!(traced, Traced { router: own, from: origin, ttl: 32, here: true });
    world.ask(fake, probe(&[server(0)], b"x"));
    assert!(answers(world.inbox(fake)).is_empty());
    assert_eq!((world.stats(0).objects_refused, world.goodbye(fake)), (1, None));
}

#[test]
fn probes_over_the_budget_of_their_link_are_dropped() {
    let mut world = World::new(1);
    let fake = world.fake_peer(0, stranger(1));
    for _ in 0..300 {
        world.give(0, Input::Frame { link: fake.link, frame: probe(&[server(0)], b"") });
    }
    let answered = answers(&world.take_inbox(fake)).len();
    assert!((200..=201).contains(&answered), "{answered}");
    world.run_for(secs(1));
    // A probe for many takes them on credit, and the next one waits.
    let many: Vec<ServerId> = (0..150).map(stranger).collect();
    for _ in 0..2 {
        world.give(0, Input::Frame { link: fake.link, frame: probe(&many, b"") });
    }
    assert_eq!(answers(&world.take_inbox(fake)).len(), 1);
    assert_eq!((world.stats(0).objects_refused, world.goodbye(fake)), (301 - answered as u64, None));
}

#[test]
fn traces_at_once_and_the_hops_that_liars_make_up_are_bounded() {
    let mut world = World::new(1);
    // Named by the operator: the map takes no such tail behind a stranger.
    let liar = world.dials_fake(0, stranger(1));
    world.ask(liar, Received::Other(Frame::from(Kind::Welcome(darkchat_proto::Welcome::default()))));
    world.ask(liar, record_of(stranger(1), 5, 1, &[server(0)]));
    world.ask(liar, shard_of(stranger(1), 5, 2, &[channel("lobby")]));
    for number in 2..1_200 {
        // The budget for news is not what is tested here.
        world.run_for(ms(30));
        world.ask(liar, record_of(stranger(number), 5, 1, &[]));
    }
    world.take_inbox(liar);
    for number in 0..6 {
        world.give(0, Input::Trace { trace: TraceId(number), channel: channel("lobby") });
    }
    assert_eq!(world.found, [(0, TraceId(4), None), (0, TraceId(5), None)]);
    assert_eq!(world.stats(0).sizes.traces, 4);
    let corr = world.inbox(liar).iter().find_map(|frame| match &frame.kind {
        Kind::Route(route) if route.head.class == Class::Trace => Some(route.head.corr),
        _ => None,
    });
    let answer = |from: u16, told: u16| {
        let (origin, from) = (stranger(told).router(), stranger(from).router());
        let dst = vec![server(0).router()];
        let head = RouteHead {
            origin,
            id: 1,
            ttl: 9,
            dst,
            class: Class::TraceRep,
            want_done: false,
            corr: corr.expect("a probe"),
        };
        let payload = Traced { router: origin, from, ttl: 9, here: told != 1 }.encode();
        let digest = Digest16::of(&payload);
        Received::Route { head, payload, digest, check: Check::NotChecked, channel: None }
    };
    for number in 1..1_200 {
        world.give(0, Input::Frame { link: liar.link, frame: answer(1, number) });
        world.give(0, Input::Frame { link: liar.link, frame: answer(1, number) });
    }
    world.run_for(secs(3));
    assert_eq!(world.found.len(), 6);
    let longest = world.found.iter().filter_map(|(.., found)| found.as_ref()).max_by_key(|t| t.hops.len());
    let longest = longest.expect("an end");
    assert_eq!((longest.hops.len(), &longest.missing), (1_024, &vec![stranger(1)]));
    assert!(longest.hops.iter().all(|hop| !hop.here), "none that was not asked counts as asked");
}

#[test]
fn an_answer_under_another_name_or_from_nowhere_is_dropped() {
    let mut world = World::new(1);
    let liar = world.fake_peer(0, stranger(1));
    let route = |origin: RouterId, payload: Bytes| {
        let dst = vec![server(0).router()];
        let head =
            RouteHead { origin, id: 1, ttl: 9, dst, class: Class::TraceRep, want_done: false, corr: 5 };
        let digest = Digest16::of(&payload);
        Received::Route { head, payload, digest, check: Check::NotChecked, channel: None }
    };
    let traced = Traced { router: RouterId(1), from: RouterId(2), ttl: 32, here: true }.encode();
    world.ask(liar, route(RouterId(2), traced.clone()));
    world.ask(liar, route(RouterId(1), Bytes::from_static(&[0x0B])));
    assert_eq!(world.stats(0).objects_refused, 2);
    world.ask(liar, route(RouterId(1), traced));
    assert_eq!((world.stats(0).objects_refused, world.found.len(), world.goodbye(liar)), (2, 0, None));
}

#[test]
fn a_link_that_knows_no_probes_gets_none() {
    let features = darkchat_proto::Features::DONE;
    let mut world = World::with(2, &Config { features, ..Config::default() });
    world.features = features;
    world.peer(0, 1);
    world.run_for(secs(3));
    let bob = world.client(1, 2);
    world.join_spread(bob, "lobby");
    let found = trace(&mut world, 0, secs(3)).expect("an end");
    assert_eq!((found.hops.len(), found.missing), (0, vec![server(1)]));
    assert_eq!(world.peers(0).len(), 1);
}

#[test]
fn the_list_of_peers_says_what_waits_and_who_was_named() {
    let mut world = World::line(2);
    let (dialled, inbound) = (world.node(0).peers().remove(0), world.node(1).peers().remove(0));
    assert_eq!((dialled.outbound, &dialled.pinned, dialled.queued), (true, &Some(place(1)), 0));
    assert_eq!((inbound.outbound, &inbound.pinned), (false, &None));
    world.stall(1, inbound.link, true);
    world.client(1, 2);
    let bob = world.client(1, 3);
    world.ask(bob, super::world::join(5, "lobby", false));
    world.run_for(ms(200));
    assert!(world.node(1).peers()[0].queued > 0, "the shard is out and not flushed");
}

#[test]
fn the_map_shows_every_server_its_way_and_what_it_wants() {
    let mut world = World::line(4);
    let dan = world.client(3, 4);
    world.join_spread(dan, "lobby");
    let map = world.map(0);
    assert_eq!((map.servers.len(), map.reachable(), map.links), (4, 4, 3));
    for number in 0..4 {
        let row = map.servers.iter().find(|row| row.server == server(number)).expect("its row");
        assert_eq!(row.hops, Some(u32::try_from(number).unwrap()));
        assert_eq!(row.next, (number > 0).then(|| server(1)));
        assert_eq!(row.neighbours, if number == 0 || number == 3 { 1 } else { 2 });
        assert_eq!(row.tags, usize::from(number == 3));
    }
    world.cut(1, 2);
    world.give(1, Input::Unpeer(place(2)));
    world.run_for(secs(1));
    let map = world.map(0);
    assert_eq!((map.servers.len(), map.reachable()), (4, 2));
    let row = map.servers.iter().find(|row| row.server == server(3)).expect("its row");
    assert_eq!((row.hops, row.next), (None, None));
}

#[test]
fn a_server_that_the_operator_lets_go_is_not_dialled_again() {
    let mut world = World::line(2);
    world.give(0, Input::Disconnect(server(1)));
    world.run_for(secs(30));
    assert_eq!((world.peers(0).len(), world.stats(0).sizes.pinned), (0, 0));
    assert!(world.events(0).iter().any(|event| matches!(event, Event::PeerDown { why: Code::Ok, .. })));
    world.give(0, Input::Disconnect(server(1)));
}
