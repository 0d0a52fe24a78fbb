//! Every bound of the session as a whole is reached.

use super::*;
use crate::session::own::{QUEUED_BYTES, QUEUED_ENTRIES};
use crate::session::{CHANNELS, Event, Failure, Input};
use darkchat_proto::limits::MAX_JOIN;
use darkchat_proto::{Code, Done, Entry, EntryKind, Kind};

fn refused(stage: &mut Stage) -> Vec<Failure> {
    let failure = |event| match event {
        Event::SendFailed { why, .. } | Event::JoinFailed { why, .. } => Some(why),
        _ => None,
    };
    stage.told().into_iter().filter_map(failure).collect()
}

#[test]
fn a_session_is_in_16384_channels_at_most_and_joins_them_again_1024_at_a_time() {
    let mut stage = Stage::quiet();
    for number in 0..CHANNELS {
        stage.wish_join(&format!("room{number}"));
    }
    assert_eq!(refused(&mut stage), []);
    stage.wish_join("one-more");
    assert_eq!(refused(&mut stage), [Failure::Full]);
    stage.give(Input::Connect);
    stage.welcome();
    let joins = stage.sent();
    assert_eq!(joins.len(), CHANNELS / MAX_JOIN);
    for join in joins {
        assert!(matches!(join.kind, Kind::Join { channels, .. } if channels.len() == MAX_JOIN));
        stage.ok(join.req, Done::default());
    }
    let joined = stage.told().iter().filter(|event| matches!(event, Event::Joined { .. })).count();
    assert_eq!(joined, CHANNELS);
}

#[test]
fn at_most_256_questions_are_open_and_the_others_wait_their_turn() {
    let mut stage = Stage::up();
    for number in 0..300 {
        stage.wish_join(&format!("room{number}"));
    }
    let asked = stage.sent();
    assert_eq!(asked.len(), 256);
    stage.ok(asked[0].req, Done::default());
    let next = stage.sent();
    assert!(
        matches!(&next[..], [frame] if matches!(&frame.kind, Kind::Join { channels, .. } if channels.len() == 44))
    );
}

#[test]
fn questions_of_a_lost_link_take_no_room_on_the_next() {
    let mut stage = Stage::up();
    for number in 0..256 {
        stage.wish_join(&format!("room{number}"));
    }
    stage.sent();
    stage.reconnect();
    let asked = stage.sent();
    assert!(
        matches!(&asked[..], [frame] if matches!(&frame.kind, Kind::Join { channels, .. } if channels.len() == 256))
    );
}

#[test]
fn what_is_queued_is_bounded_by_entries_and_by_bytes() {
    let (mut stage, lobby) = Stage::joined();
    for _ in 0..QUEUED_ENTRIES {
        stage.send(lobby, "x");
    }
    assert_eq!(refused(&mut stage), []);
    stage.send(lobby, "one more");
    assert_eq!(refused(&mut stage), [Failure::Full]);

    let (mut stage, lobby) = Stage::joined();
    for _ in 0..=QUEUED_BYTES / 65_536 {
        let ticket = stage.ticket();
        let entry = Entry::new(EntryKind::Data, vec![0; 65_536].into());
        stage.give(Input::Send { ticket, channel: lobby, entry });
    }
    assert_eq!(refused(&mut stage), [Failure::Full]);
}

#[test]
fn a_queue_empties_again_whatever_becomes_of_what_it_held() {
    let (mut stage, lobby) = Stage::joined();
    // Nearly full by bytes as well.
    let text = "x".repeat(QUEUED_BYTES / QUEUED_ENTRIES - 10);
    for round in 0..4 {
        for _ in 0..QUEUED_ENTRIES {
            stage.send(lobby, &text);
        }
        match round {
            0 => {
                while !stage.session.own.all_idle() {
                    for (req, _) in stage.published() {
                        stage.ok(req, Done::default());
                    }
                    stage.pass(ms(100));
                    stage.server(Kind::Pong { nonce: 0, acked: 0 }.into());
                }
            }
            1 => {
                stage.give(Input::Closed { why: Code::Truncated });
                stage.pass(ms(10_000));
                stage.welcome();
                let join = stage.sent().pop().unwrap().req;
                stage.ok(join, Done::default());
            }
            _ => {
                let ticket = stage.ticket();
                stage.give(Input::Leave { ticket, channel: lobby });
                stage.reconnect();
                stage.join("lobby");
            }
        }
        assert!(!refused(&mut stage).contains(&Failure::Full));
        assert!(stage.session.own.all_idle(), "round {round}");
    }
}

#[test]
fn a_channel_that_is_joined_slowly_keeps_1024_early_posts() {
    let mut stage = Stage::up();
    let (_, lobby) = stage.wish_join("lobby");
    let req = stage.frames.pop().unwrap().req;
    let ann = user(1);
    for seq in 1..=1_030 {
        stage.hear(lobby, &ann, seq, vec![entry("x")]);
    }
    assert_eq!(stage.session.stats().ignored, 6);
    stage.ok(req, Done::default());
    assert_eq!(stage.texts().len(), 1_024);
}

#[test]
fn a_stalled_link_holds_a_window_outside_and_the_rest_inside() {
    let (mut stage, lobby) = Stage::joined();
    stage.flushing = false;
    for _ in 0..30 {
        let ticket = stage.ticket();
        let entry = Entry::new(EntryKind::Data, vec![0; 30_000].into());
        stage.give(Input::Send { ticket, channel: lobby, entry });
    }
    assert_eq!(stage.published().len(), 2, "of 64 KiB");
    stage.give(Input::Flushed { bytes: 30_400 });
    assert_eq!(stage.published().len(), 1);
}
