//! Stories of clients at one server.

use super::world::{World, channel, join, ms, post, publish, secs, user};
use crate::{Accept, Config, Event, Input, Received, RefusedFor};
use darkchat_proto::{Code, Done, Frame, Kind, Notice, RecordFlags, Refusal, ServerRecord, Signed};

fn refusal(answer: Option<Kind>) -> Option<Code> {
    match answer {
        Some(Kind::Error(Refusal { code, .. })) => Some(code),
        _ => None,
    }
}

#[test]
fn a_client_is_welcomed_before_anything_else() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    let [Frame { kind: Kind::Welcome(welcome), .. }] = world.inbox(alice) else { panic!("one welcome") };
    assert!(welcome.session.is_some() && welcome.observed_ip.is_some() && !welcome.resumed);
    assert_eq!(world.node(0).clients().len(), 1);
}

#[test]
fn members_hear_each_other_and_nobody_else_hears_them() {
    let mut world = World::new(1);
    let [alice, bob, eve] = [1, 2, 3].map(|number| world.client(0, number));
    world.join(alice, "lobby");
    world.join(bob, "lobby");
    world.join(eve, "cellar");
    assert_eq!(world.say(alice, "lobby", "hi"), Some(Kind::Ok(Done { local: 1, servers: 0, spread: false })));
    assert_eq!(
        world.say(bob, "lobby", "hello"),
        Some(Kind::Ok(Done { local: 1, servers: 0, spread: false }))
    );
    assert_eq!(world.heard(bob), ["hi"]);
    assert_eq!(world.heard(alice), ["hello"]);
    assert!(world.heard(eve).is_empty());
    let stats = world.stats(0);
    assert_eq!((stats.copies, stats.delivered, stats.pending), (2, 2, 0));
}

#[test]
fn what_is_delivered_is_what_was_published_bit_for_bit() {
    let mut world = World::new(1);
    let [alice, bob] = [1, 2].map(|number| world.client(0, number));
    world.join(alice, "lobby");
    world.join(bob, "lobby");
    let said = post(alice.user, channel("lobby"), 1, world.wall_ms(), "hi");
    world.say_post(alice, said.clone());
    let delivered = world.inbox(bob).iter().find_map(|frame| match &frame.kind {
        Kind::Deliver(bytes) => Some(bytes.clone()),
        _ => None,
    });
    assert_eq!(delivered, Some(super::world::deliver(&said)));
}

#[test]
fn who_left_hears_nothing_more() {
    let mut world = World::new(1);
    let [alice, bob] = [1, 2].map(|number| world.client(0, number));
    world.join(alice, "lobby");
    world.join(bob, "lobby");
    world.ask(bob, Received::Other(Frame::asking(3, Kind::Leave { channels: vec![channel("lobby")] })));
    assert!(matches!(world.inbox(bob).last(), Some(Frame { re: 3, kind: Kind::Ok(_), .. })));
    world.say(alice, "lobby", "gone?");
    assert!(world.heard(bob).is_empty());
    assert_eq!(world.node(0).channels(), [(channel("lobby"), 1)]);
    world.hang_up(alice);
    assert_eq!((world.node(0).channels().len(), world.stats(0).sizes.memberships), (0, 0));
}

#[test]
fn a_post_to_a_channel_that_was_not_joined_is_refused() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    assert_eq!(refusal(world.say(alice, "lobby", "hi")), Some(Code::NotJoined));
    assert_eq!(world.stats(0).refused[&RefusedFor::NotJoined], 1);
}

#[test]
fn a_post_far_from_our_clock_is_stale() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let now = world.wall_ms();
    for (time_ms, fresh) in
        [(now - 299_000, true), (now + 299_000, true), (now - 301_000, false), (now + 302_000, false)]
    {
        let answer = world.say_post(alice, post(alice.user, channel("lobby"), time_ms, time_ms, "hi"));
        assert_eq!(refusal(answer), if fresh { None } else { Some(Code::Stale) }, "{time_ms}");
    }
    assert_eq!(
        refusal(world.say_post(alice, post(alice.user, channel("lobby"), 9, u64::MAX, "x"))),
        Some(Code::Stale)
    );
}

#[test]
fn a_post_that_came_before_is_a_duplicate_and_is_not_delivered_again() {
    let mut world = World::new(1);
    let [alice, bob] = [1, 2].map(|number| world.client(0, number));
    world.join(alice, "lobby");
    world.join(bob, "lobby");
    let said = post(alice.user, channel("lobby"), 1, world.wall_ms(), "once");
    assert_eq!(refusal(world.say_post(alice, said.clone())), None);
    assert_eq!(refusal(world.say_post(alice, said.clone())), Some(Code::Duplicate));
    // Another device of the same user sends the same bytes: accepted there, but the members have them already.
    let tablet = world.login(0, alice.user, 2);
    world.join(tablet, "lobby");
    assert_eq!(refusal(world.say_post(tablet, said)), None);
    assert_eq!(world.heard(bob), ["once"]);
}

/// Its author takes DUPLICATE for "it came before", and would believe that it was delivered.
#[test]
fn a_post_that_was_refused_is_taken_when_it_comes_again_rightly() {
    let mut world = World::new(1);
    let [alice, bob] = [1, 2].map(|number| world.client(0, number));
    world.join(bob, "lobby");
    let said = post(alice.user, channel("lobby"), 1, world.wall_ms(), "at last");
    assert_eq!(refusal(world.say_post(alice, said.clone())), Some(Code::NotJoined));
    world.join(alice, "lobby");
    assert_eq!(refusal(world.say_post(alice, said)), None);
    assert_eq!(world.heard(bob), ["at last"]);
}

#[test]
fn another_author_is_refused_and_sent_away() {
    let mut world = World::new(1);
    let [alice, bob] = [1, 2].map(|number| world.client(0, number));
    world.join(alice, "lobby");
    world.join(bob, "lobby");
    let said = post(user(2), channel("lobby"), 1, world.wall_ms(), "I am bob");
    world.say_post(alice, said);
    assert!(world.heard(bob).is_empty());
    assert_eq!(world.goodbye(alice), Some(Code::Unauthorized));
    let kinds: Vec<&Kind> = world.inbox(alice).iter().map(|frame| &frame.kind).collect();
    assert!(matches!(kinds[..], [.., Kind::Error(_), Kind::Goodbye(_)]), "first the error, then the goodbye");
}

#[test]
fn what_the_links_task_refused_is_answered_and_some_of_it_ends_the_link() {
    for (code, ends) in [
        (Code::BadFrame, true),
        (Code::TooLarge, true),
        (Code::BadSignature, true),
        (Code::Unauthorized, true),
        (Code::Stale, false),
    ] {
        let mut world = World::new(1);
        let alice = world.client(0, 1);
        world.ask(alice, Received::Refused { req: 5, code, retry_ms: 0 });
        assert_eq!(world.goodbye(alice), ends.then_some(code));
        let answered = world.inbox(alice).iter().any(|frame| frame.re == 5);
        assert_eq!(answered, !matches!(code, Code::BadFrame | Code::TooLarge), "{code}");
        assert_eq!(world.stats(0).refused.values().sum::<u64>(), 1);
    }
}

#[test]
fn ten_refusals_for_rate_end_a_link_but_those_that_only_follow_do_not_count() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    for _ in 0..100 {
        world.ask(alice, Received::Held { req: 5, retry_ms: 10 });
    }
    for _ in 0..9 {
        world.ask(alice, Received::Refused { req: 5, code: Code::RateLimited, retry_ms: 10 });
    }
    assert_eq!(world.goodbye(alice), None);
    world.ask(alice, Received::Refused { req: 5, code: Code::RateLimited, retry_ms: 10 });
    assert_eq!(world.goodbye(alice), Some(Code::RateLimited));
    assert_eq!(world.stats(0).closed[&Code::RateLimited], 1);
}

#[test]
fn a_kind_that_a_client_may_not_send_ends_the_link() {
    let mut world = World::new(1);
    for kind in [
        Kind::Ok(Done::default()),
        Kind::Digest { known: Vec::new(), more: false },
        Kind::LinkAck { received: 1 },
    ] {
        let alice = world.client(0, 1);
        world.ask(alice, Received::Other(Frame::from(kind)));
        assert_eq!(world.goodbye(alice), Some(Code::BadFrame));
    }
    let alice = world.client(0, 1);
    let unsupported = Refusal { code: Code::Unsupported, text: String::new(), retry_ms: 0 };
    world.ask(alice, Received::Other(Frame::from(Kind::Error(unsupported))));
    assert_eq!(world.goodbye(alice), None, "this one may pass in any direction");
}

#[test]
fn what_is_not_known_is_unsupported_where_an_answer_is_wanted() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    let frames = [
        (Frame::asking(1, Kind::Unknown(99)), Some(1)),
        (Frame { critical: true, ..Frame::from(Kind::Unknown(99)) }, Some(0)),
        (Frame::from(Kind::Unknown(99)), None),
        (Frame::asking(4, Kind::Unknown(19)), Some(4)),
        (Frame::from(Kind::DmReject { delivery: 1, code: Code::NoSession }), None),
    ];
    for (frame, answer) in frames {
        world.take_inbox(alice);
        world.ask(alice, Received::Other(frame.clone()));
        let got: Vec<(u32, Option<Code>)> =
            world.inbox(alice).iter().map(|frame| (frame.re, refusal(Some(frame.kind.clone())))).collect();
        let expected: Vec<(u32, Option<Code>)> =
            answer.into_iter().map(|re| (re, Some(Code::Unsupported))).collect();
        assert_eq!(got, expected, "{frame:?}");
    }
}

#[test]
fn a_sealed_post_needs_the_feature() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    let Received::Publish { deliver, digest, .. } =
        publish(1, post(alice.user, channel("lobby"), 1, world.wall_ms(), "x"))
    else {
        panic!("a publish")
    };
    let channel = channel("lobby");
    world.ask(alice, Received::SealedPublish { req: 6, channel, stream: 1, seq: 1, deliver, digest });
    assert_eq!(refusal(world.inbox(alice).last().map(|frame| frame.kind.clone())), Some(Code::Unsupported));
}

#[test]
fn the_same_device_again_replaces_the_older_login_and_other_devices_stay() {
    let mut world = World::new(1);
    let laptop = world.login(0, user(1), 1);
    let phone = world.login(0, user(1), 2);
    let bob = world.client(0, 2);
    for client in [laptop, phone, bob] {
        world.join(client, "lobby");
    }
    let again = world.login(0, user(1), 1);
    assert_eq!(world.goodbye(laptop), Some(Code::Conflict));
    assert_eq!((world.goodbye(phone), world.goodbye(again)), (None, None));
    world.join(again, "lobby");
    world.say(bob, "lobby", "hi");
    assert_eq!((world.heard(phone), world.heard(again)), (vec!["hi".to_owned()], vec!["hi".to_owned()]));
    assert!(world.heard(laptop).is_empty());
    assert!(world.events(0).contains(&Event::ClientDown {
        link: laptop.link,
        user: user(1),
        why: Code::Conflict
    }));
}

#[test]
fn a_thousand_alternating_logins_leave_nothing_behind() {
    let mut world = World::new(1);
    let mut last = world.login(0, user(1), 1);
    for _ in 0..1_000 {
        last = world.login(0, user(1), 1);
        world.join(last, "lobby");
    }
    world.run_for(secs(10));
    let sizes = world.stats(0).sizes;
    assert_eq!((sizes.clients, sizes.memberships, sizes.channels, sizes.tags), (1, 1, 1, 1));
    assert_eq!(world.stats(0).closed[&Code::Conflict], 1_000);
    world.hang_up(last);
    world.run_for(secs(10));
    assert_eq!(world.stats(0).sizes.tags, 0);
}

#[test]
fn a_role_that_the_listener_does_not_take_is_sent_away() {
    let mut world = World::new(1);
    let alice = world.login_at(0, user(1), 1, Accept::Peers);
    assert_eq!(world.goodbye(alice), Some(Code::Unauthorized));
    assert!(matches!(world.inbox(alice), [Frame { kind: Kind::Goodbye(_), .. }]), "no welcome before it");
}

#[test]
fn clients_over_the_limit_are_sent_away_and_known_devices_may_come_back() {
    let mut world = World::with(1, &Config { max_clients: 2, ..Config::default() });
    let [_, bob, eve] = [1, 2, 3].map(|number| world.client(0, number));
    assert_eq!((world.goodbye(bob), world.goodbye(eve)), (None, Some(Code::Limit)));
    let bob_again = world.client(0, 2);
    assert_eq!((world.goodbye(bob), world.goodbye(bob_again)), (Some(Code::Conflict), None));
}

#[test]
fn a_silent_client_is_pinged_and_then_given_up() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.run_for(secs(31));
    let Some(Frame { kind: Kind::Ping { .. }, .. }) = world.inbox(alice).last() else { panic!("a ping") };
    world.run_for(secs(45));
    assert_eq!(world.goodbye(alice), Some(Code::Timeout));
    assert_eq!(world.stats(0).closed[&Code::Timeout], 1);
}

#[test]
fn a_client_that_pings_is_answered_and_lives() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    for nonce in 0..10 {
        world.run_for(secs(30));
        world.take_inbox(alice);
        world.ask(alice, Received::Other(Frame::from(Kind::Ping { nonce, acked: 0 })));
        let pong = |frame: &Frame| matches!(frame.kind, Kind::Pong { nonce: of, .. } if of == nonce);
        assert!(world.inbox(alice).iter().any(pong));
    }
    assert_eq!(world.goodbye(alice), None);
}

#[test]
fn a_goodbye_is_the_end_and_not_answered() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.take_inbox(alice);
    world.ask(alice, Received::Other(Frame::from(Kind::Goodbye(darkchat_proto::Goodbye::new(Code::Ok)))));
    assert!(world.inbox(alice).is_empty());
    assert_eq!((world.stats(0).closed[&Code::Ok], world.stats(0).sizes.clients), (1, 0));
}

#[test]
fn a_session_has_at_most_its_channels_and_a_refused_join_changes_nothing() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    let ids = |from: u32, count: u32| -> Vec<_> {
        (from..from + count)
            .map(|n| {
                let mut id = [0; 32];
                id[..4].copy_from_slice(&n.to_be_bytes());
                darkchat_proto::ChannelId::new(id)
            })
            .collect()
    };
    for block in 0..16 {
        let channels = ids(block * 1_024, 1_024);
        world.ask(alice, Received::Other(Frame::asking(1, Kind::Join { channels, wait_spread: false })));
    }
    assert_eq!(world.stats(0).sizes.memberships, 16_384);
    world.run_for(secs(40));
    world.ask(
        alice,
        Received::Other(Frame::asking(2, Kind::Join { channels: ids(16_380, 6), wait_spread: false })),
    );
    assert_eq!(refusal(world.inbox(alice).last().map(|frame| frame.kind.clone())), Some(Code::Limit));
    assert_eq!(world.stats(0).sizes.memberships, 16_384);
    // Far over the budget of joins, the answer is another one.
    for _ in 0..40 {
        let channels = ids(0, 1_024);
        world.ask(alice, Received::Other(Frame::asking(3, Kind::Join { channels, wait_spread: false })));
    }
    assert_eq!(world.goodbye(alice), Some(Code::RateLimited));
}

#[test]
fn a_join_without_other_servers_is_answered_at_once() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.ask(alice, join(7, "lobby", true));
    let done = Done { local: 0, servers: 0, spread: true };
    assert!(
        matches!(world.inbox(alice).last(), Some(Frame { re: 7, kind: Kind::Ok(got), .. }) if *got == done)
    );
}

#[test]
fn a_drain_says_goodbye_to_everybody_and_takes_nothing_more() {
    let mut world = World::new(1);
    let [alice, bob] = [1, 2].map(|number| world.client(0, number));
    world.join(alice, "lobby");
    world.join(bob, "lobby");
    world.say(alice, "lobby", "last words");
    world.give(0, Input::Drain);
    world.run_for(ms(10));
    assert_eq!((world.goodbye(alice), world.goodbye(bob)), (Some(Code::Shutdown), Some(Code::Shutdown)));
    assert_eq!(world.heard(bob), ["last words"]);
    let late = world.client(0, 3);
    assert_eq!(world.goodbye(late), Some(Code::Shutdown));
    assert_eq!(world.stats(0).pending, 0);
}

#[test]
fn the_second_clock_is_the_first_plus_what_passed() {
    let mut world = World::new(1);
    let alice = world.client(0, 1);
    world.join(alice, "lobby");
    world.give(0, Input::Wall { unix_ms: 5_000_000 });
    let old = post(alice.user, channel("lobby"), 1, world.wall_ms(), "before the jump");
    assert_eq!(refusal(world.say_post(alice, old)), Some(Code::Stale));
    let new = post(alice.user, channel("lobby"), 1, 5_000_000, "after it");
    assert_eq!(refusal(world.say_post(alice, new)), None);
}

#[test]
fn a_server_that_leaves_says_so_then_where_to_go_and_when() {
    let there = |number: u8| -> darkchat_proto::ServerAddr {
        let key = darkchat_proto::ServerId::new([number; 32]);
        darkchat_proto::ServerAddr { addr: "tcp://192.0.2.7:8545".parse().unwrap(), key: Some(key) }
    };
    let elsewhere = (1..=6).map(there).collect();
    let mut world = World::with(2, &Config { elsewhere, ..Config::default() });
    world.peer(0, 1);
    world.run_for(secs(3));
    let alice = world.client(0, 1);
    world.carried.clear();
    world.give(0, Input::Drain);
    let kinds: Vec<Kind> = world.inbox(alice).iter().map(|frame| frame.kind.clone()).collect();
    let [.., Kind::Notice(Notice::Draining), Kind::Goodbye(goodbye)] = &kinds[..] else {
        panic!("{kinds:?}")
    };
    assert_eq!((goodbye.code, goodbye.elsewhere.len()), (Code::Shutdown, 4));
    assert_eq!(goodbye.elsewhere[0], there(1).to_string());
    assert!(goodbye.retry_ms < 1_001);
    assert_eq!(world.node(0).peers().len(), 1, "peers hear first that it leaves");
    world.run_for(secs(1));
    assert!(world.node(0).peers().is_empty());
    let told = world.carried.iter().any(|(_, frame)| match &frame.kind {
        Kind::Record(signed) => {
            let body = Signed::decode(signed.clone()).unwrap().body;
            ServerRecord::decode(body).unwrap().flags.contains(RecordFlags::DRAINING)
        }
        _ => false,
    });
    assert!(told, "its record says so");
}
