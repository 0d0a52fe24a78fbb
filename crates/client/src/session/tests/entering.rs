//! Private channels that cannot be joined, as the user who makes one lives through it.

use super::*;
use crate::session::{Charter, Event, Failure, Input, Ticket};
use darkchat_proto::{Announced, ChannelId, Code, Done, Features, Kind, Welcome};

/// The user makes a private channel with two others.
fn create(stage: &mut Stage) -> Ticket {
    let ticket = stage.ticket();
    let members = Some(vec![user(1).user_id(), user(2).user_id()]);
    let charter = Charter { members, ..Charter::default() };
    stage.give(Input::Create { ticket, channel: "garden".parse().unwrap(), name: None, charter });
    ticket
}

/// What the user was told of these channels so far: each is told of once.
fn failures(stage: &Stage, tickets: &[Ticket]) -> Vec<(ChannelId, Failure)> {
    let failed = |event: &Event| match event {
        Event::JoinFailed { ticket: Some(ticket), channel, why } if tickets.contains(ticket) => {
            Some((*channel, *why))
        }
        _ => None,
    };
    stage.events.iter().filter_map(failed).collect()
}

/// A link that is lost, and the next one made, to a server that knows these features.
fn link_again(stage: &mut Stage, features: Features) {
    stage.features = features;
    stage.pass(ms(1_000));
    stage.open(Announced::default());
    stage.server(Kind::Welcome(Welcome::default()).into());
}

fn is_there(stage: &Stage, channel: &ChannelId) -> bool {
    stage.session.private.is_private(channel)
        || stage.session.private.is_generation(channel)
        || stage.session.channels.get(channel).is_some()
}

/// Joins, and the questions that come before every direct message.
fn asked(stage: &mut Stage) -> (usize, usize) {
    let sent = stage.sent();
    let count = |is: fn(&Kind) -> bool| sent.iter().filter(|frame| is(&frame.kind)).count();
    (count(|kind| matches!(kind, Kind::Join { .. })), count(|kind| matches!(kind, Kind::Lookup { .. })))
}

#[test]
fn a_private_channel_that_could_not_be_joined_in_time_is_not_joined_later_and_nobody_is_invited() {
    let mut stage = Stage::up();
    stage.give(Input::Closed { why: Code::Truncated });
    let ticket = create(&mut stage);
    stage.pass(ms(9_999));
    assert_eq!(failures(&stage, &[ticket]), []);
    stage.pass(ms(1));
    let told = failures(&stage, &[ticket]);
    let [(channel, Failure::TimedOut)] = told[..] else { panic!("{told:?}") };
    stage.sent();
    stage.features = Features::SEALED;
    stage.open(Announced::default());
    stage.server(Kind::Welcome(Welcome::default()).into());
    stage.pass(ms(60_000));
    assert_eq!(asked(&mut stage), (0, 0));
    assert!(!is_there(&stage, &channel) && stage.session.invite(&channel).is_none());
}

#[test]
fn whoever_makes_a_private_channel_hears_that_the_server_does_not_take_it_in_whichever_id_comes_first() {
    let mut stage = Stage::up();
    stage.give(Input::Closed { why: Code::Truncated });
    let tickets: Vec<Ticket> = (0..16).map(|_| create(&mut stage)).collect();
    link_again(&mut stage, Features::SEALED);
    let sent = stage.sent();
    let joins = sent.iter().filter(|frame| matches!(frame.kind, Kind::Join { .. }));
    for req in joins.map(|frame| frame.req).collect::<Vec<_>>() {
        stage.no(req, Code::Limit, 0);
    }
    let told = failures(&stage, &tickets);
    assert_eq!(told.len(), 16);
    let refused = Failure::Refused { code: Code::Limit, retry: None };
    assert!(told.iter().all(|(_, why)| *why == refused), "{told:?}");
    stage.sent();
    stage.pass(ms(60_000));
    assert_eq!(asked(&mut stage), (0, 0));
}

#[test]
fn whoever_makes_a_private_channel_hears_that_the_server_knows_none() {
    let mut stage = Stage::up();
    stage.give(Input::Closed { why: Code::Truncated });
    let tickets: Vec<Ticket> = (0..16).map(|_| create(&mut stage)).collect();
    link_again(&mut stage, Features::NONE);
    let told = failures(&stage, &tickets);
    assert_eq!(told.len(), 16);
    let refused = Failure::Refused { code: Code::Unsupported, retry: None };
    assert!(told.iter().all(|(channel, why)| *why == refused && !is_there(&stage, channel)), "{told:?}");
}

#[test]
fn members_are_told_of_a_private_channel_once_it_is_joined_and_not_before() {
    let mut stage = Stage::quiet();
    stage.features = Features::SEALED;
    stage.give(Input::Connect);
    stage.welcome();
    let ticket = create(&mut stage);
    let sent = stage.sent();
    assert!(!sent.iter().any(|frame| matches!(frame.kind, Kind::Lookup { .. })));
    for frame in sent.iter().filter(|frame| matches!(frame.kind, Kind::Join { .. })) {
        stage.ok(frame.req, Done { spread: true, ..Done::default() });
    }
    let joined = |event: &Event| matches!(event, Event::Joined { ticket: Some(of), .. } if *of == ticket);
    assert!(stage.events.iter().any(joined));
    assert_eq!(asked(&mut stage).1, 2);
}

#[test]
fn a_clock_that_jumps_over_a_year_leaves_a_private_channel_behind_without_asking_for_time_again_and_again() {
    let mut stage = Stage::quiet();
    stage.features = Features::SEALED;
    stage.give(Input::Connect);
    stage.welcome();
    create(&mut stage);
    for frame in stage.sent() {
        stage.ok(frame.req, Done::default());
    }
    stage.give(Input::Wall { unix_ms: stage::WALL + 3 * 365 * 86_400_000 });
    stage.pass(ms(10_000));
    // Set right again, its hours pass as before.
    stage.give(Input::Wall { unix_ms: stage::WALL + 20_000 });
    stage.pass(ms(10_000));
    assert!(stage.session.poll_timeout().is_some());
}
