//! What others send, and what the user is shown of it.

use super::stage::{WALL, body, mark, post};
use super::*;
use crate::message::{Cause, MemberChange};
use crate::session::{Event, Fault, Input, Received, Stats, Trust};
use darkchat_crypto::sign;
use darkchat_proto::{
    Content, Deliver, Done, Entry, EntryKind, Frame, Kind, Network, Notice, PostId, Signed, UserName,
};

#[test]
fn a_message_is_shown_with_all_that_its_author_said() {
    let (mut stage, lobby) = Stage::joined();
    let ann = user(1);
    let said = Entry { content_type: "text/plain".to_owned(), ..entry("hi") };
    stage.hear(lobby, &ann, 1, vec![said, entry("there")]);
    let shown: Vec<_> = stage
        .told()
        .into_iter()
        .filter_map(|event| match event {
            Event::Message { message, .. } => Some(message),
            _ => None,
        })
        .collect();
    assert_eq!(shown.len(), 2);
    assert_eq!((shown[0].from, shown[0].name.as_str()), (ann.user_id(), "Ann"));
    assert_eq!((shown[0].payload.as_text(), &*shown[0].content_type), (Some("hi"), "text/plain"));
    assert_eq!((shown[0].id.index, shown[1].id.index), (0, 1));
    assert_eq!(shown[0].channel.as_str(), "lobby");
    assert_eq!(shown[0].time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(), u128::from(WALL));
}

/// Whoever carries a post may wrap the signed bytes as it likes, so only these make the id.
#[test]
fn a_posts_id_is_of_its_signed_bytes_and_of_nothing_around_them() {
    let ((_, lobby), author) = (Stage::joined(), user(1));
    let encoded = body(lobby, author.user_id(), 1, WALL, vec![entry("hi")]).encode();
    let sig = author.sign(&sign::post(&Network::default(), &encoded));
    let expected = PostId::of_body(&encoded);
    let content = Content::Public(Signed { body: encoded, sig });
    let frame = Frame::from(Kind::Deliver(Deliver { channel: lobby, content }.encode()));
    let Received::Post { id, post: Ok(_), .. } = Received::check(&Network::default(), frame) else {
        panic!()
    };
    assert_eq!(id, expected);
}

#[test]
fn posts_between_a_join_and_its_answer_are_shown_right_after_it() {
    let mut stage = Stage::up();
    let (ticket, lobby) = stage.wish_join("lobby");
    let req = stage.frames.pop().unwrap().req;
    stage.hear(lobby, &user(1), 1, vec![entry("early")]);
    assert_eq!(stage.texts(), Vec::<String>::new());
    stage.ok(req, Done { spread: true, ..Done::default() });
    let joined = Event::Joined { ticket: Some(ticket), channel: lobby, spread: true };
    assert_eq!(stage.events.first(), Some(&joined));
    assert_eq!(stage.texts(), ["early"]);
}

#[test]
fn a_name_that_breaks_the_rules_is_no_name() {
    let (mut stage, lobby) = Stage::joined();
    let ann = user(1);
    let mut said = body(lobby, ann.user_id(), 1, WALL, vec![entry("hi")]);
    said.name = "a\u{202E}b".to_owned();
    let encoded = said.encode();
    let sig = ann.sign(&sign::post(&Network::default(), &encoded));
    let deliver = Deliver { channel: lobby, content: Content::Public(Signed { body: encoded, sig }) };
    stage.server(Kind::Deliver(deliver.encode()).into());
    let named = |event: &Event| matches!(event, Event::Message { message, .. } if message.name == UserName::default());
    assert!(stage.told().iter().any(named));
}

#[test]
fn every_entry_that_arrives_is_counted_exactly_once() {
    let (mut stage, lobby) = Stage::joined();
    let (ann, bob) = (user(1), user(2));
    let broken = Entry { content: vec![0xff].into(), ..entry("") };
    stage.hear(
        lobby,
        &ann,
        1,
        vec![entry("shown"), mark(EntryKind::Here), broken, mark(EntryKind::Unknown(77))],
    );
    stage.hear(lobby, &ann, 1, vec![entry("shown"), entry("again")]);
    stage.hear(lobby, &ann, 9, vec![entry("behind a hole")]);
    stage.pass(ms(500));
    stage.hear(lobby, &ann, 6, vec![entry("late")]);
    stage.server(post(lobby, &bob, 1, WALL - 300_600, vec![entry("stale"); 3]));
    let other = darkchat_proto::ChannelId::new([9; 32]);
    stage.hear(other, &bob, 1, vec![entry("not joined"); 2]);
    let forged = |content| Kind::Deliver(Deliver { channel: lobby, content }.encode()).into();
    let encoded = body(lobby, bob.user_id(), 1, WALL, vec![entry("forged")]).encode();
    let sig = ann.sign(&sign::post(&Network::default(), &encoded));
    stage.server(forged(Content::Public(Signed { body: encoded, sig })));
    stage.server(forged(Content::Public(Signed { body: vec![1, 2, 3].into(), sig })));
    stage.server(Kind::Deliver(vec![7; 9].into()).into());
    stage.server(forged(Content::Sealed(vec![1; 200].into())));
    // Signed for another channel than it comes on.
    let moved = body(other, bob.user_id(), 1, WALL, vec![entry("moved"); 2]).encode();
    let sig = bob.sign(&sign::post(&Network::default(), &moved));
    stage.server(forged(Content::Public(Signed { body: moved, sig })));

    let expected = Stats {
        shown: 3,
        duplicate: 2,
        late: 1,
        stale: 3,
        bad_signature: 1,
        undecryptable: 1,
        malformed: 1 + 1 + 1 + 2,
        unknown_kind: 1,
        misdirected: 2,
        gap: 4,
        ..Stats::default()
    };
    assert_eq!(stage.session.stats(), expected);
    assert!(stage.closes.is_empty(), "what somebody behind the server did wrong is not the server's fault");
}

#[test]
fn nothing_of_a_blocked_key_is_shown_in_a_channel_and_what_it_says_is_counted_as_ignored() {
    let (mut stage, lobby) = Stage::joined();
    let (ann, bob) = (user(1), user(2));
    let trust = |trust| Input::Trust { user: ann.user_id(), trust };
    stage.give(trust(Trust::Blocked));
    stage.hear(lobby, &ann, 1, vec![entry("one"), mark(EntryKind::Here)]);
    stage.hear(lobby, &ann, 5, vec![mark(EntryKind::Part)]);
    stage.pass(ms(500));
    assert_eq!(stage.told(), []);
    let counted = Stats { ignored: 3, gap: 2, ..Stats::default() };
    assert_eq!(stage.session.stats(), counted);
    stage.hear(lobby, &bob, 1, vec![entry("from bob")]);
    // Who is not blocked any more is heard from the next post on.
    stage.give(trust(Trust::Unknown));
    stage.hear(lobby, &ann, 6, vec![entry("two")]);
    assert_eq!(stage.texts(), ["from bob", "two"]);
}

#[test]
fn what_is_not_believed_is_told_by_name_at_most_once_a_second_and_all_of_it() {
    let (mut stage, lobby) = Stage::joined();
    let ann = user(1);
    stage.hear(lobby, &ann, 1, vec![entry("one")]);
    let told = |stage: &mut Stage| -> Vec<(Fault, u64)> {
        let events = std::mem::take(&mut stage.events).into_iter();
        let rejected = |event| match event {
            Event::Rejected { fault, count } => Some((fault, count)),
            _ => None,
        };
        events.filter_map(rejected).collect()
    };
    assert_eq!(told(&mut stage), []);
    stage.hear(lobby, &ann, 1, vec![entry("one")]);
    assert_eq!(told(&mut stage), [(Fault::Repeated, 1)], "at once");
    for _ in 0..100 {
        stage.hear(lobby, &ann, 1, vec![entry("one")]);
        stage.server(Kind::Deliver(vec![7; 9].into()).into());
    }
    assert_eq!(told(&mut stage), []);
    stage.pass(ms(999));
    assert_eq!(told(&mut stage), []);
    stage.pass(ms(1));
    assert_eq!(told(&mut stage), [(Fault::Malformed, 100), (Fault::Repeated, 100)]);
    stage.pass(ms(5_000));
    assert_eq!(told(&mut stage), [], "nothing more came");
}

#[test]
fn a_forged_post_does_not_keep_the_true_one_out() {
    let (mut stage, lobby) = Stage::joined();
    let ann = user(1);
    let encoded = body(lobby, ann.user_id(), 1, WALL, vec![entry("true")]).encode();
    let sig = darkchat_proto::Signature::new([3; 64]);
    let deliver = Deliver { channel: lobby, content: Content::Public(Signed { body: encoded, sig }) };
    stage.server(Kind::Deliver(deliver.encode()).into());
    stage.hear(lobby, &ann, 1, vec![entry("true")]);
    assert_eq!(stage.texts(), ["true"]);
}

#[test]
fn nothing_is_shown_twice_after_a_reconnect_and_what_is_missing_is_told() {
    let (mut stage, lobby) = Stage::joined();
    let ann = user(1);
    stage.hear(lobby, &ann, 1, vec![entry("one"), entry("two")]);
    stage.reconnect();
    let req = stage.sent().pop().unwrap().req;
    stage.ok(req, Done::default());
    stage.told();
    stage.hear(lobby, &ann, 1, vec![entry("one"), entry("two")]);
    stage.hear(lobby, &ann, 5, vec![entry("five")]);
    stage.pass(ms(500));
    assert_eq!(stage.texts(), ["five"]);
    let gap = stage.events.iter().find_map(|event| match event {
        Event::Missed { missed, .. } => Some((missed.from, missed.count, missed.cause)),
        _ => None,
    });
    assert_eq!(gap, Some((Some(ann.user_id()), Some(2), Cause::Gap)));
}

#[test]
fn our_own_posts_that_come_back_are_ignored_but_not_those_of_our_other_devices() {
    let (mut stage, lobby) = Stage::joined();
    stage.send(lobby, "mine");
    let Kind::Publish { deliver } = stage.sent().pop().unwrap().kind else { panic!("a post") };
    stage.server(Kind::Deliver(deliver).into());
    assert_eq!(stage.session.stats().ignored, 1);
    let me = user(200);
    stage.hear(lobby, &me, 1, vec![entry("from my phone")]);
    assert_eq!(stage.texts(), ["from my phone"]);
}

#[test]
fn posts_that_the_server_dropped_are_told_as_missed() {
    let (mut stage, lobby) = Stage::joined();
    stage.server(Kind::Notice(Notice::Dropped { channel: lobby, count: 12 }).into());
    let told = stage.told();
    let [Event::Missed { missed, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((missed.count, missed.cause), (Some(12), Cause::Slow));
    let unknown = darkchat_proto::ChannelId::new([9; 32]);
    stage.server(Kind::Notice(Notice::Dropped { channel: unknown, count: 1 }).into());
    stage.server(Kind::Notice(Notice::Draining).into());
    stage.server(Kind::Notice(Notice::Text("soon".to_owned())).into());
    assert_eq!(stage.told(), [Event::Draining, Event::Text("soon".to_owned())]);
}

#[test]
fn members_come_are_renamed_leave_and_expire() {
    let (mut stage, lobby) = Stage::joined();
    let (ann, bob) = (user(1), user(2));
    let changes = |stage: &mut Stage| -> Vec<MemberChange> {
        stage
            .told()
            .into_iter()
            .filter_map(|event| match event {
                Event::Member { change, .. } => Some(change),
                _ => None,
            })
            .collect()
    };
    stage.hear(lobby, &ann, 1, vec![mark(EntryKind::Here)]);
    stage.hear(lobby, &bob, 1, vec![entry("a text counts as well")]);
    assert!(
        matches!(&changes(&mut stage)[..], [MemberChange::Came(one), MemberChange::Came(_)] if one.user == ann.user_id())
    );
    stage.hear(lobby, &ann, 2, vec![mark(EntryKind::Part)]);
    assert!(matches!(&changes(&mut stage)[..], [MemberChange::Left(one)] if one.user == ann.user_id()));
    // The link lives on pings meanwhile.
    for _ in 0..6 {
        stage.pass(ms(50_000));
        stage.server(Kind::Pong { nonce: 0, acked: 0 }.into());
    }
    assert!(matches!(&changes(&mut stage)[..], [MemberChange::Expired(one)] if one.user == bob.user_id()));
}

#[test]
fn who_leaves_is_shown_nothing_more() {
    let (mut stage, lobby) = Stage::joined();
    stage.hear(lobby, &user(1), 1, vec![entry("one")]);
    stage.hear(lobby, &user(1), 3, vec![entry("held"), entry("back")]);
    let ticket = stage.ticket();
    stage.give(Input::Leave { ticket, channel: lobby });
    stage.hear(lobby, &user(1), 5, vec![entry("after")]);
    stage.pass(ms(600));
    assert_eq!(stage.texts(), ["one"]);
    assert_eq!(stage.session.stats().ignored, 3);
}
