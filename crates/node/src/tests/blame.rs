//! Stories of forged posts: who brought them is asked first, and cut off if it goes on. Case E3 of the test plan.

use super::objects::{record_of, route, routes, stranger};
use super::world::{Client, World, channel, deliver, post, secs, server, user};
use crate::{Check, DroppedFor, Event, Received};
use darkchat_proto::{Code, Frame, Kind, ServerId};

/// A forged post for these servers, as the task of a link that verifies everything hands it on.
pub(crate) fn forge(world: &mut World, by: Client, dst: &[ServerId]) {
    let forged = deliver(&post(user(9), channel("lobby"), 1, world.wall_ms(), "forged"));
    world.ask(by, route(dst, 32, forged, Some(channel("lobby")), Check::Bad));
}

fn complaints(world: &World, peer: Client) -> usize {
    world.inbox(peer).iter().filter(|frame| matches!(frame.kind, Kind::Complaint { seconds: 60 })).count()
}

/// Time passes, in which these say nothing but that they live.
fn pass(world: &mut World, seconds: u64, peers: &[Client]) {
    for _ in 0..seconds {
        world.run_for(secs(1));
        for peer in peers {
            world.ask(*peer, Received::Other(Frame::from(Kind::Pong { nonce: 0, acked: 0 })));
        }
    }
}

#[test]
fn e3_a_server_that_forges_is_told_and_then_cut_off_within_a_minute_and_kept_away_for_an_hour() {
    let mut world = World::new(1);
    let (hostile, alice) = (world.fake_peer(0, stranger(1)), world.client(0, 1));
    world.join(alice, "lobby");
    for second in 0..40 {
        forge(&mut world, hostile, &[server(0)]);
        if world.goodbye(hostile).is_some() {
            assert!(second >= 30, "it had the time to act");
            break;
        }
        pass(&mut world, 1, &[hostile]);
    }
    assert_eq!((complaints(&world, hostile), world.goodbye(hostile)), (1, Some(Code::BadSignature)));
    let is_it = |event: &Event| matches!(event, Event::Forger { peer, .. } if *peer == stranger(1));
    assert_eq!(world.events(0).iter().filter(|event| is_it(event)).count(), 1);
    assert!(world.heard(alice).is_empty());
    let again = world.fake_peer(0, stranger(1));
    assert_eq!(world.goodbye(again), Some(Code::Blocked));
    pass(&mut world, 3_600, &[]);
    let later = world.fake_peer(0, stranger(1));
    assert_eq!(world.goodbye(later), None);
}

#[test]
fn e3_an_honest_relay_that_is_told_stops_the_junk_and_finds_its_source() {
    let mut world = World::new(1);
    let (source, finder) = (world.fake_peer(0, stranger(1)), world.fake_peer(0, stranger(2)));
    world.ask(finder, record_of(stranger(2), 5, 1, &[server(0)]));
    let before = world.checks.len();
    world.ask(finder, Received::Other(Frame::from(Kind::Complaint { seconds: 60 })));
    assert_eq!(world.checks[before..], [(0, vec![source.link, finder.link], 1)]);
    world.take_inbox(finder);
    for _ in 0..35 {
        forge(&mut world, source, &[stranger(2)]);
        pass(&mut world, 1, &[source, finder]);
    }
    assert!(routes(world.inbox(finder)).is_empty(), "nothing forged goes on");
    assert_eq!((world.goodbye(source), world.goodbye(finder)), (Some(Code::BadSignature), None));
    assert!(world.stats(0).dropped[&DroppedFor::BadSignature] >= 30);
    pass(&mut world, 60, &[finder]);
    let (at, links, every) = world.checks.last().unwrap();
    assert_eq!(
        (*at, links.as_slice(), *every),
        (0, [finder.link].as_slice(), 16),
        "it costs no more than it must"
    );
}

#[test]
fn a_named_server_that_forges_is_cut_off_and_dialled_again() {
    let mut world = World::new(1);
    let named = world.dials_fake(0, stranger(1));
    world.ask(named, Received::Other(Frame::from(Kind::Welcome(darkchat_proto::Welcome::default()))));
    forge(&mut world, named, &[server(0)]);
    pass(&mut world, 31, &[named]);
    forge(&mut world, named, &[server(0)]);
    assert_eq!(world.goodbye(named), Some(Code::BadSignature));
    let again = world.fake_peer(0, stranger(1));
    assert_eq!(world.goodbye(again), None, "the operator's word stands");
}
