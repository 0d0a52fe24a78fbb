//! Joining, sending and leaving.

use super::*;
use crate::session::{Config, Event, Failure, Input};
use darkchat_proto::{Announced, Code, Done, EntryKind, Frame, Kind};

#[test]
fn a_message_is_published_and_its_answer_names_it() {
    let (mut stage, lobby) = Stage::joined();
    let ticket = stage.send(lobby, "hello");
    let (req, post) = stage.published().pop().expect("a post");
    assert_eq!((post.seq, post.name.as_str(), post.time_ms), (1, "me", stage::WALL));
    assert_eq!(post.entries, [entry("hello")]);
    stage.ok(req, Done { local: 3, servers: 2, spread: false });
    let told = stage.told();
    let [Event::Sent { ticket: of, sent }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*of, sent.local, sent.servers, sent.id.index), (ticket, 3, 2, 0));
    assert_eq!(sent.id.post, darkchat_proto::PostId::of_body(&post.encode()));
}

#[test]
fn what_gathers_while_an_answer_is_out_leaves_as_one_post_and_each_entry_has_its_own_answer() {
    let (mut stage, lobby) = Stage::joined();
    stage.send(lobby, "0");
    let tickets: Vec<_> = (1..5).map(|number| stage.send(lobby, &number.to_string())).collect();
    let [(first, _)] = stage.published()[..] else { panic!("one post") };
    stage.ok(first, Done::default());
    stage.told();
    let (req, post) = stage.published().pop().expect("the rest");
    assert_eq!((post.seq, post.entries.len()), (2, 4));
    stage.no(req, Code::Stale, 0);
    let why = Failure::Refused { code: Code::Stale, retry: None };
    let failed: Vec<_> = tickets.into_iter().map(|ticket| Event::SendFailed { ticket, why }).collect();
    assert_eq!(stage.told(), failed);
}

#[test]
fn a_limited_post_goes_again_unchanged_and_its_user_hears_only_the_end() {
    let (mut stage, lobby) = Stage::joined();
    let ticket = stage.send(lobby, "hello");
    let first = stage.published().pop().unwrap();
    stage.no(first.0, Code::RateLimited, 700);
    stage.pass(ms(699));
    assert!(stage.published().is_empty());
    stage.pass(ms(1));
    let again = stage.published().pop().expect("the repeat");
    assert_eq!(again.1, first.1);
    assert_ne!(again.0, first.0);
    stage.ok(again.0, Done::default());
    assert!(matches!(&stage.told()[..], [Event::Sent { ticket: of, .. }] if *of == ticket));
}

#[test]
fn an_unanswered_post_goes_again_after_a_reconnect_and_a_duplicate_is_then_a_success() {
    let (mut stage, lobby) = Stage::joined();
    let ticket = stage.send(lobby, "hello");
    let (_, post) = stage.published().pop().unwrap();
    stage.reconnect();
    let join = stage.sent().pop().unwrap();
    assert!(matches!(join.kind, Kind::Join { .. }), "not before the channel is joined");
    stage.ok(join.req, Done::default());
    let (req, again) = stage.published().pop().expect("the repeat");
    assert_eq!(again, post);
    stage.told();
    stage.no(req, Code::Duplicate, 0);
    assert!(matches!(&stage.told()[..], [Event::Sent { ticket: of, .. }] if *of == ticket));
}

#[test]
fn a_duplicate_at_the_first_try_is_a_failure() {
    let (mut stage, lobby) = Stage::joined();
    let ticket = stage.send(lobby, "hello");
    let (req, _) = stage.published().pop().unwrap();
    stage.no(req, Code::Duplicate, 0);
    let why = Failure::Refused { code: Code::Duplicate, retry: None };
    assert_eq!(stage.told(), [Event::SendFailed { ticket, why }]);
}

#[test]
fn what_is_sent_while_the_link_is_down_waits_ten_seconds_for_it() {
    let (mut stage, lobby) = Stage::joined();
    stage.give(Input::Closed { why: Code::Truncated });
    let ticket = stage.send(lobby, "hello?");
    stage.pass(ms(9_999));
    assert!(!stage.told().iter().any(|event| matches!(event, Event::SendFailed { .. })));
    stage.pass(ms(1));
    assert!(stage.told().contains(&Event::SendFailed { ticket, why: Failure::TimedOut }));
}

#[test]
fn a_post_without_an_answer_for_ten_seconds_has_timed_out() {
    let (mut stage, lobby) = Stage::joined();
    let ticket = stage.send(lobby, "hello?");
    stage.pass(ms(10_000));
    assert_eq!(stage.told(), [Event::SendFailed { ticket, why: Failure::TimedOut }]);
    stage.send(lobby, "and on it goes");
    assert_eq!(stage.published().last().map(|(_, post)| post.seq), Some(2), "a number is never used again");
}

#[test]
fn a_server_that_announces_less_gets_less() {
    let mut stage = Stage::quiet();
    stage.give(Input::Connect);
    let announced = Announced { max_payload: 10, posts_per_s: 2, ..Announced::default() };
    stage.open(announced);
    stage.server(Kind::Welcome(darkchat_proto::Welcome::default()).into());
    let lobby = stage.join("lobby");
    stage.told();
    let ticket = stage.send(lobby, "eleven char");
    assert_eq!(stage.told(), [Event::SendFailed { ticket, why: Failure::TooLarge { len: 11, max: 10 } }]);
    let mut posts = 0;
    for number in 0..20 {
        stage.send(lobby, &number.to_string());
        while let Some((req, _)) = stage.published().pop() {
            posts += 1;
            stage.ok(req, Done::default());
        }
    }
    assert_eq!(posts, 5, "the burst of one post a second");
    stage.pass(ms(1_000));
    let (_, post) = stage.published().pop().expect("the next second brings one");
    assert_eq!(post.content_len(), 9, "at most ten bytes of what gathered meanwhile");
}

#[test]
fn headers_over_their_bounds_are_refused_before_anything_is_sent() {
    let (mut stage, lobby) = Stage::joined();
    let mut many = entry("x");
    for number in 0..17 {
        many.headers.insert(number.to_string(), "y".into());
    }
    let mut long = entry("x");
    long.headers.insert("n".repeat(65), "y".into());
    let mut large = entry("x");
    large.headers.insert("n".to_owned(), vec![0; 1_024].into());
    let mut typed = entry("x");
    typed.content_type = "t".repeat(65);
    for entry in [many, long, large, typed] {
        let ticket = stage.ticket();
        stage.give(Input::Send { ticket, channel: lobby, entry });
        assert_eq!(stage.told(), [Event::SendFailed { ticket, why: Failure::BadHeaders }]);
    }
    assert_eq!(stage.sent(), []);
}

#[test]
fn a_join_that_nobody_answers_is_given_up_and_undone() {
    let mut stage = Stage::up();
    let (ticket, channel) = stage.wish_join("lobby");
    stage.sent();
    stage.pass(ms(10_000));
    assert_eq!(stage.told(), [Event::JoinFailed { ticket: Some(ticket), channel, why: Failure::TimedOut }]);
    let leave = Frame::from(Kind::Leave { channels: vec![channel] });
    assert_eq!(stage.sent(), [leave]);
}

#[test]
fn a_channel_is_joined_once() {
    let (mut stage, channel) = Stage::joined();
    let (ticket, _) = stage.wish_join("lobby");
    let failed = Event::JoinFailed { ticket: Some(ticket), channel, why: Failure::AlreadyJoined };
    assert_eq!(stage.told(), [failed]);
}

#[test]
fn leaving_lets_out_what_was_sent_before_and_says_that_we_go() {
    let mut stage = Stage::with(Stage::config());
    stage.give(Input::Connect);
    stage.welcome();
    let lobby = stage.join("lobby");
    let (here, post) = stage.published().pop().expect("we are here");
    assert_eq!(post.entries[0].kind, EntryKind::Here);
    stage.send(lobby, "bye");
    let ticket = stage.ticket();
    stage.give(Input::Leave { ticket, channel: lobby });
    assert_eq!(stage.sent(), []);
    stage.ok(here, Done::default());
    let (last, post) = stage.published().pop().unwrap();
    assert_eq!((&post.entries[0], post.entries[1].kind), (&entry("bye"), EntryKind::Part));
    stage.ok(last, Done::default());
    let [Frame { req, kind: Kind::Leave { .. }, .. }] = stage.sent()[..] else { panic!("then it leaves") };
    stage.told();
    stage.ok(req, Done::default());
    assert_eq!(stage.told(), [Event::Left { ticket, channel: lobby }]);
    let ticket = stage.send(lobby, "too late");
    assert_eq!(stage.told(), [Event::SendFailed { ticket, why: Failure::NotJoined }]);
}

#[test]
fn a_channel_can_be_joined_again_while_it_is_being_left() {
    let (mut stage, lobby) = Stage::joined();
    let left = stage.ticket();
    stage.give(Input::Leave { ticket: left, channel: lobby });
    let (again, _) = stage.wish_join("lobby");
    let leave = stage.sent().pop().expect("a leave").req;
    stage.ok(leave, Done::default());
    let join = stage.sent().pop().expect("and then a join");
    assert!(matches!(join.kind, Kind::Join { .. }));
    stage.ok(join.req, Done::default());
    let joined = Event::Joined { ticket: Some(again), channel: lobby, spread: false };
    assert_eq!(stage.told(), [Event::Left { ticket: left, channel: lobby }, joined]);
}

#[test]
fn a_name_can_be_chosen_for_a_channel_and_changed_in_it() {
    let mut stage = Stage::up();
    let ticket = stage.ticket();
    let name = Some("captain".parse().unwrap());
    stage.give(Input::Join { ticket, channel: "ship".parse().unwrap(), name });
    let req = stage.frames.pop().unwrap().req;
    stage.ok(req, Done::default());
    let ship = darkchat_proto::ChannelId::of(&Default::default(), &"ship".parse().unwrap());
    stage.send(ship, "1");
    let (req, first) = stage.published().pop().unwrap();
    stage.give(Input::Speak { channel: ship, name: "admiral".parse().unwrap() });
    stage.ok(req, Done::default());
    stage.send(ship, "2");
    let (_, second) = stage.published().pop().unwrap();
    assert_eq!((&*first.name, &*second.name), ("captain", "admiral"));
}

#[test]
fn a_name_that_is_changed_counts_for_what_is_entered_later_and_not_for_what_waits_or_is_entered() {
    let (mut stage, lobby) = Stage::joined();
    let left = stage.join("left");
    let ticket = stage.ticket();
    stage.give(Input::Leave { ticket, channel: left });
    let leave = stage.sent().pop().expect("a leave").req;
    // Asked for before the change, one at once and one when it is left.
    let (_, early) = stage.wish_join("early");
    let early_req = stage.frames.pop().expect("a join").req;
    stage.wish_join("left");
    stage.give(Input::Rename { name: "dora".parse().unwrap() });
    stage.ok(early_req, Done::default());
    stage.ok(leave, Done::default());
    let left_req = stage.frames.pop().expect("the join that waited").req;
    stage.ok(left_req, Done::default());
    let late = stage.join("late");
    let ticket = stage.ticket();
    let name = Some("captain".parse().unwrap());
    stage.give(Input::Join { ticket, channel: "ship".parse().unwrap(), name });
    let req = stage.frames.pop().expect("a join").req;
    stage.ok(req, Done::default());
    let ship = darkchat_proto::ChannelId::of(&Default::default(), &"ship".parse().unwrap());
    let mut names = Vec::new();
    for channel in [lobby, early, left, late, ship] {
        stage.send(channel, "hi");
        let (req, post) = stage.published().pop().expect("a post");
        names.push(post.name);
        stage.ok(req, Done::default());
    }
    assert_eq!(names, ["me", "me", "me", "dora", "captain"]);
    stage.reconnect();
    let join = stage.sent().pop().expect("all channels again").req;
    stage.ok(join, Done::default());
    stage.send(lobby, "again");
    assert_eq!(stage.published().pop().expect("a post").1.name, "me", "a reconnect changes no name");
}

#[test]
fn we_say_that_we_are_here_again_after_a_reconnect_and_every_two_minutes() {
    let mut stage = Stage::with(Config { announce: true, ..Stage::config() });
    stage.give(Input::Connect);
    stage.welcome();
    stage.join("lobby");
    let heres = |stage: &mut Stage| {
        let posts = stage.published();
        for (req, post) in &posts {
            assert_eq!(post.entries[0].kind, EntryKind::Here);
            stage.ok(*req, Done::default());
        }
        posts.len()
    };
    assert_eq!(heres(&mut stage), 1);
    for _ in 0..3 {
        stage.pass(ms(50_000));
        stage.server(Kind::Pong { nonce: 0, acked: 0 }.into());
    }
    assert_eq!(heres(&mut stage), 1);
    stage.reconnect();
    let req = stage.sent().pop().unwrap().req;
    stage.ok(req, Done::default());
    assert_eq!(heres(&mut stage), 1);
}

#[test]
fn a_repeat_counts_as_much_as_the_first_try() {
    let mut stage = Stage::quiet();
    stage.give(Input::Connect);
    stage.open(Announced { posts_per_s: 2, ..Announced::default() });
    stage.server(Kind::Welcome(darkchat_proto::Welcome::default()).into());
    let lobby = stage.join("lobby");
    // The burst is 5 posts, and one a second comes after it.
    for number in 0..4 {
        stage.send(lobby, &number.to_string());
        let (req, _) = stage.published().pop().expect("within the burst");
        stage.ok(req, Done::default());
    }
    stage.send(lobby, "refused");
    let (req, _) = stage.published().pop().expect("the last of the burst");
    stage.no(req, Code::RateLimited, 1);
    stage.pass(ms(999));
    assert!(stage.published().is_empty());
    stage.pass(ms(1));
    let (req, _) = stage.published().pop().expect("the repeat");
    stage.ok(req, Done::default());
    stage.send(lobby, "next");
    stage.pass(ms(999));
    assert!(stage.published().is_empty());
    stage.pass(ms(1));
    assert_eq!(stage.published().len(), 1);
}

#[test]
fn a_late_answer_to_an_earlier_join_does_not_count_for_the_new_one() {
    let mut stage = Stage::up();
    let (_, lobby) = stage.wish_join("lobby");
    let first = stage.sent().pop().expect("a join").req;
    let ticket = stage.ticket();
    stage.give(Input::Leave { ticket, channel: lobby });
    let (again, _) = stage.wish_join("lobby");
    let leave = stage.sent().pop().expect("a leave").req;
    stage.ok(leave, Done::default());
    let second = stage.sent().pop().expect("the new join").req;
    stage.told();
    stage.no(first, Code::Limit, 0);
    assert_eq!(stage.told(), []);
    stage.ok(second, Done::default());
    assert_eq!(stage.told(), [Event::Joined { ticket: Some(again), channel: lobby, spread: false }]);
}

#[test]
fn nothing_is_announced_while_there_is_nobody_to_hear_it() {
    let mut stage = Stage::with(Stage::config());
    stage.give(Input::Connect);
    stage.welcome();
    stage.join("lobby");
    let (req, _) = stage.published().pop().expect("we are here");
    stage.ok(req, Done::default());
    stage.give(Input::Closed { why: Code::Truncated });
    for _ in 0..300 {
        stage.pass(ms(500));
        assert!(stage.session.own.all_idle());
    }
}
