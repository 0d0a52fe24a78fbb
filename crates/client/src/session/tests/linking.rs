//! The link's coming, living and going.

use super::*;
use crate::message::Cause;
use crate::session::{Config, Event, Failure, Input, Received, State};
use darkchat_proto::{Announced, Code, Frame, Goodbye, Kind, Refusal, Welcome};

#[test]
fn a_session_dials_opens_and_is_welcomed() {
    let mut stage = Stage::quiet();
    assert!(stage.session.poll_timeout().is_none());
    stage.give(Input::Connect);
    assert_eq!(stage.dials.first().map(|(_, addr)| &**addr), Some("tcp://one:1"));
    stage.open(Announced::default());
    assert!(matches!(stage.state(), Some(State::Connecting { suggested: false, .. })));
    stage.server(Kind::Welcome(Welcome::default()).into());
    assert!(matches!(stage.state(), Some(State::Connected { .. })));
    assert_eq!(stage.sent(), [], "a client has nothing to say before its user has");
}

#[test]
fn whatever_comes_before_the_welcome_ends_the_link_without_a_word() {
    for frame in [Kind::Pong { nonce: 1, acked: 0 }, Kind::Unknown(99), Kind::Deliver(vec![1; 40].into())] {
        let mut stage = Stage::quiet();
        stage.give(Input::Connect);
        stage.open(Announced::default());
        stage.server(frame.into());
        assert_eq!(stage.closes, [None]);
        stage.give(Input::Closed { why: Code::Truncated });
        assert!(matches!(stage.state(), Some(State::Connecting { .. })), "and the next address is tried");
    }
}

#[test]
fn a_second_welcome_and_what_only_clients_or_peers_send_end_the_link() {
    for kind in [
        Kind::Welcome(Welcome::default()),
        Kind::Leave { channels: Vec::new() },
        Kind::LinkAck { received: 1 },
    ] {
        let mut stage = Stage::up();
        stage.server(kind.into());
        assert_eq!(stage.closes, [Some(Goodbye::new(Code::BadFrame))]);
        stage.give(Input::Closed { why: Code::Truncated });
        assert!(matches!(stage.state(), Some(State::Waiting { why: Code::BadFrame, .. })));
    }
}

#[test]
fn bytes_that_the_protocol_does_not_allow_end_the_link() {
    let mut stage = Stage::up();
    stage.give(Input::Frame(Received::Refused { code: Code::TooLarge }));
    assert_eq!(stage.closes, [Some(Goodbye::new(Code::TooLarge))]);
}

#[test]
fn nothing_is_sent_between_the_close_and_the_next_link() {
    let (mut stage, lobby) = Stage::joined();
    stage.server(Goodbye::new(Code::Shutdown).into_frame());
    assert_eq!(stage.closes, [None]);
    stage.sent();
    stage.send(lobby, "into the void");
    stage.pass(ms(100));
    assert_eq!(stage.sent(), []);
}

#[test]
fn a_ping_is_answered_and_one_is_sent_after_30_seconds_of_silence() {
    let mut stage = Stage::up();
    stage.server(Kind::Ping { nonce: 77, acked: 0 }.into());
    assert_eq!(stage.sent(), [Frame::from(Kind::Pong { nonce: 77, acked: 0 })]);
    stage.pass(ms(30_000));
    assert!(matches!(stage.sent()[..], [Frame { kind: Kind::Ping { .. }, .. }]));
}

#[test]
fn a_link_on_which_nothing_comes_for_75_seconds_is_closed() {
    let mut stage = Stage::up();
    stage.pass(ms(74_999));
    assert!(stage.closes.is_empty());
    stage.pass(ms(1));
    assert_eq!(stage.closes, [None]);
    stage.give(Input::Closed { why: Code::Truncated });
    assert!(matches!(stage.state(), Some(State::Waiting { why: Code::Timeout, .. })));
}

#[test]
fn a_clock_that_differs_by_more_than_two_minutes_is_told() {
    for (offset, told) in [(120_000, false), (120_001, true)] {
        let mut stage = Stage::quiet();
        stage.give(Input::Connect);
        stage.open(Announced { time_ms: stage::WALL + offset, ..Announced::default() });
        assert_eq!(stage.told().iter().any(|event| matches!(event, Event::ClockDiffers { .. })), told);
    }
}

#[test]
fn an_unknown_kind_is_answered_only_if_an_answer_is_wanted() {
    let mut stage = Stage::up();
    stage.server(Kind::Unknown(99).into());
    assert_eq!(stage.sent(), []);
    for frame in [Frame::asking(5, Kind::Unknown(99)), Frame { critical: true, ..Kind::Unknown(99).into() }] {
        let re = frame.req;
        stage.server(frame);
        let refusal = Refusal { code: Code::Unsupported, text: String::new(), retry_ms: 0 };
        assert_eq!(stage.sent(), [Frame::replying(re, Kind::Error(refusal))]);
    }
}

#[test]
fn a_lost_link_is_made_again_at_the_next_address_and_channels_are_joined_again_in_one_question() {
    let (mut stage, lobby) = Stage::joined();
    let ops = stage.join("ops");
    stage.told();
    stage.give(Input::Closed { why: Code::Truncated });
    let Some(State::Waiting { why: Code::Truncated, retry }) = stage.state() else { panic!("waits") };
    stage.pass(retry);
    assert_eq!(stage.dials.last().map(|(_, addr)| &**addr), Some("tcp://two:2"));
    stage.welcome();
    let [Frame { req, kind: Kind::Join { channels, wait_spread: true }, .. }] = &stage.sent()[..] else {
        panic!("one question")
    };
    assert_eq!(channels.len(), 2);
    stage.told();
    stage.ok(*req, darkchat_proto::Done { spread: true, ..Default::default() });
    let told = stage.told();
    for channel in [lobby, ops] {
        let at = told.iter().position(
            |event| matches!(event, Event::Joined { ticket: None, channel: id, .. } if *id == channel),
        );
        let at = at.expect("joined again");
        let Some(Event::Missed { missed, .. }) = told.get(at + 1) else { panic!("and missed something") };
        assert_eq!((missed.cause, missed.count, missed.from), (Cause::Reconnect, None, None));
    }
}

#[test]
fn a_rejoin_that_is_limited_is_asked_again_and_one_that_is_refused_ends_the_channel() {
    let (mut stage, lobby) = Stage::joined();
    stage.reconnect();
    let req = stage.sent().pop().unwrap().req;
    stage.no(req, Code::RateLimited, 300);
    assert_eq!(stage.sent(), []);
    stage.pass(ms(300));
    let req = stage.sent().pop().expect("asked again").req;
    stage.told();
    stage.no(req, Code::Limit, 0);
    let why = Failure::Refused { code: Code::Limit, retry: None };
    assert_eq!(stage.told(), [Event::JoinFailed { ticket: None, channel: lobby, why }]);
}

#[test]
fn without_reconnect_a_lost_link_is_the_end() {
    let mut stage = Stage::with(Config { reconnect: false, ..Stage::config() });
    stage.give(Input::Connect);
    stage.welcome();
    stage.give(Input::Closed { why: Code::Truncated });
    assert_eq!(stage.state(), Some(State::Closed { why: Code::Truncated }));
    assert_eq!(stage.session.poll_timeout(), None);
    let (ticket, channel) = stage.wish_join("lobby");
    let failed = Event::JoinFailed { ticket: Some(ticket), channel, why: Failure::Closed };
    assert_eq!(stage.told().last(), Some(&failed));
}

#[test]
fn closing_sends_what_is_queued_says_that_we_go_and_then_goodbye() {
    let mut stage = Stage::with(Stage::config());
    stage.give(Input::Connect);
    stage.welcome();
    let lobby = stage.join("lobby");
    let (here, _) = stage.published().pop().expect("we are here");
    stage.send(lobby, "last words");
    stage.give(Input::Close);
    assert!(stage.closes.is_empty());
    stage.ok(here, Default::default());
    let (last, post) = stage.published().pop().expect("what was queued");
    assert_eq!(post.entries.len(), 2);
    assert_eq!(post.entries[1].kind, darkchat_proto::EntryKind::Part);
    assert!(stage.closes.is_empty());
    stage.ok(last, Default::default());
    assert_eq!(stage.closes, [Some(Goodbye::new(Code::Ok))]);
    stage.give(Input::Closed { why: Code::Ok });
    assert_eq!(stage.state(), Some(State::Closed { why: Code::Ok }));
}

#[test]
fn closing_waits_five_seconds_for_a_server_that_does_not_answer() {
    let (mut stage, lobby) = Stage::joined();
    let ticket = stage.send(lobby, "hello?");
    stage.give(Input::Close);
    stage.pass(ms(4_999));
    assert!(stage.closes.is_empty());
    stage.pass(ms(1));
    assert_eq!(stage.closes.len(), 1);
    stage.give(Input::Closed { why: Code::Ok });
    assert!(stage.told().contains(&Event::SendFailed { ticket, why: Failure::Closed }));
}

#[test]
fn a_dial_can_be_closed_and_answers_later_are_ignored() {
    let mut stage = Stage::quiet();
    stage.give(Input::Connect);
    stage.give(Input::Close);
    assert_eq!(stage.closes, [None]);
    let (dial, _) = stage.dials[0].clone();
    stage.give(Input::DialFailed { dial, why: Code::Timeout });
    assert_eq!(stage.state(), Some(State::Closed { why: Code::Ok }));
    stage.told();
    stage.open(Announced::default());
    stage.server(Kind::Welcome(Welcome::default()).into());
    assert_eq!(stage.told(), []);
}

/// A session in `lobby` that can be resumed for ten seconds, on a server with these budgets.
fn resumable(announced: Announced) -> (Stage, darkchat_proto::ChannelId) {
    let mut stage = Stage::quiet();
    stage.features = darkchat_proto::Features::RESUME;
    stage.give(Input::Connect);
    stage.open(announced);
    let token = Welcome { resume_token: Some([3; 16]), resume_ms: 10_000, ..Welcome::default() };
    stage.server(Kind::Welcome(token).into());
    let lobby = stage.join("lobby");
    (stage, lobby)
}

#[test]
fn what_the_rate_holds_back_asks_for_no_time_while_there_is_no_link_to_resume_on() {
    let (mut stage, lobby) = resumable(Announced::default());
    let refused = stage.send(lobby, "not yet");
    let (req, _) = stage.published().pop().unwrap();
    stage.no(req, Code::RateLimited, 2_000);
    stage.give(Input::Closed { why: Code::Truncated });
    // Each deadline on the way moves on.
    stage.pass(ms(12_000));
    assert_eq!(stage.closes, [None], "the next dial has come to nothing");
    let (dial, _) = stage.dials.pop().unwrap();
    stage.give(Input::DialFailed { dial, why: Code::Timeout });
    stage.pass(ms(1_000));
    assert!(stage.told().contains(&Event::SendFailed { ticket: refused, why: Failure::TimedOut }));

    let (mut stage, lobby) = resumable(Announced { posts_per_s: 1, ..Announced::default() });
    for number in 0..10 {
        stage.send(lobby, &number.to_string());
        for (req, _) in stage.published() {
            stage.ok(req, darkchat_proto::Done::default());
        }
    }
    assert!(
        stage.session.poll_timeout().is_some_and(|at| at <= stage.now + ms(2_000)),
        "the budget is used up"
    );
    stage.give(Input::Closed { why: Code::Truncated });
    stage.pass(ms(12_000));
}

#[test]
fn what_a_lost_link_did_not_take_is_not_what_the_next_one_begins_with() {
    let (mut stage, lobby) = Stage::joined();
    stage.flushing = false;
    for _ in 0..10 {
        stage.send(lobby, &"x".repeat(30_000));
    }
    stage.sent();
    stage.give(Input::Closed { why: Code::Truncated });
    let Some(State::Waiting { retry, .. }) = stage.state() else { panic!("waits") };
    stage.pass(retry);
    stage.open(Announced::default());
    assert_eq!(stage.sent(), []);
    stage.server(Kind::Welcome(Welcome::default()).into());
    stage.flushing = true;
    let [Frame { req, kind: Kind::Join { .. }, .. }] = stage.sent()[..] else {
        panic!("a join, and nothing else")
    };
    stage.ok(req, darkchat_proto::Done::default());
    let numbers: Vec<u64> = stage.published().iter().map(|(_, post)| post.seq).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>(), "and then all that has no answer, in order");
}

trait IntoFrame {
    fn into_frame(self) -> Frame;
}

impl IntoFrame for Goodbye {
    fn into_frame(self) -> Frame {
        Kind::Goodbye(self).into()
    }
}
