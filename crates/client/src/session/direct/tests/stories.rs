//! One thing at a time: the ways that section 7 names.

use super::world::{Faults, World, ms, user};
use crate::session::{Event, Failure, Input, State, Trust};
use darkchat_proto::Time;

/// Two users with one device each.
fn two() -> World {
    let mut world = World::new(1);
    world.add(1);
    world.add(2);
    world
}

#[test]
fn a_message_arrives_once_and_is_acknowledged_and_so_is_its_answer() {
    let mut world = two();
    assert!(matches!(world.state(0), Some(State::Connected { .. })));
    let id = world.say(0, 2, "psst");
    world.run(ms(200));
    assert_eq!(world.texts(1), ["psst"]);
    assert!(world.is_acked(id));
    let shown = &world.shown[0];
    assert_eq!((shown.id, shown.from, shown.to), (id, user(1), user(2)));
    let answer = world.say(1, 1, "yes?");
    world.run(ms(200));
    assert_eq!(world.texts(0), ["yes?"]);
    assert!(world.is_acked(answer));
}

#[test]
fn another_name_is_that_of_the_next_message() {
    let mut world = two();
    world.say(0, 2, "one");
    world.give(0, Input::Rename { name: "dora".parse().unwrap() });
    world.say(0, 2, "two");
    world.run(ms(200));
    let name = |event: &Event| match event {
        Event::Direct(message) => Some(message.name.as_str().to_owned()),
        _ => None,
    };
    let names: Vec<String> = world.devices[1].events.iter().filter_map(name).collect();
    assert_eq!(names, ["me", "dora"]);
}

#[test]
fn a_user_who_is_nowhere_is_told_at_once() {
    let mut world = two();
    let id = world.say(0, 9, "anybody?");
    world.run(ms(50));
    assert_eq!(world.failed, [(0, id, Failure::NotHere)]);
}

#[test]
fn a_user_whom_no_lookup_told_of_in_time_is_looked_up_again_for_the_next_message() {
    let mut world = two();
    world.is_silent = true;
    let first = world.say(0, 2, "into the silence");
    world.run(ms(45_000));
    assert_eq!(world.failed, [(0, first, Failure::TimedOut)], "nobody has said that the user is not here");
    world.is_silent = false;
    let second = world.say(0, 2, "and now?");
    world.run(ms(1_000));
    assert!(world.is_acked(second));
    assert_eq!(world.texts(1), ["and now?"]);
}

#[test]
fn a_message_that_comes_while_a_lookup_has_no_answer_waits_for_the_next_one() {
    let mut world = two();
    world.is_silent = true;
    world.say(0, 2, "given up");
    world.run(ms(35_000));
    let id = world.say(0, 2, "waits");
    world.run(ms(2_000));
    world.is_silent = false;
    world.run(ms(5_000));
    assert!(world.is_acked(id));
}

#[test]
fn three_devices_get_it_once_each_and_the_senders_other_device_gets_a_copy() {
    let mut world = World::new(2);
    let (ann, anns_other) = (world.add(1), world.add(1));
    let bobs = [world.add(2), world.add(2), world.add(2)];
    let id = world.say(ann, 2, "to all of you");
    world.run(ms(500));
    for bob in bobs {
        assert_eq!(world.texts(bob), ["to all of you"]);
    }
    assert_eq!(world.texts(anns_other), ["to all of you"]);
    let copy = world.shown.iter().find(|shown| shown.who == anns_other).unwrap();
    assert_eq!((copy.id, copy.from, copy.to), (id, user(1), user(2)));
    assert_eq!(world.texts(ann), [""; 0]);
    assert_eq!(world.acked.len(), 1);
    // Another answers; all four others have it.
    world.say(bobs[1], 1, "here");
    world.run(ms(500));
    for device in [ann, anns_other, bobs[0], bobs[2]] {
        assert_eq!(world.texts(device).last(), Some(&"here"), "{device}");
    }
}

#[test]
fn a_device_that_does_not_answer_takes_no_room_from_what_another_one_acknowledges() {
    let mut world = World::new(3);
    let (ann, bob, frozen) = (world.add(1), world.add(2), world.add(2));
    world.say(ann, 2, "hello");
    world.run(ms(500));
    world.freeze(frozen);
    let mut said = 1;
    while said < 400 && world.now < Time::from_millis(60_000) {
        // As a program does that has 32 on their way at once.
        while said < 400 && said < world.acked.len() + 32 {
            world.say(ann, 2, &said.to_string());
            said += 1;
        }
        world.run(ms(10));
    }
    world.run(ms(5_000));
    assert_eq!((&world.failed[..], world.acked.len()), (&[][..], said));
    assert_eq!(world.texts(bob).len(), said);
}

#[test]
fn both_may_start_at_once_and_one_session_results() {
    let mut world = two();
    let one = world.say(0, 2, "hello");
    let other = world.say(1, 1, "hello you");
    world.run(ms(500));
    assert_eq!((world.texts(1), world.texts(0)), (vec!["hello"], vec!["hello you"]));
    assert!(world.is_acked(one) && world.is_acked(other));
    for device in &world.devices {
        let direct = &device.session.direct;
        let sessions: usize =
            direct.peers.values().flat_map(|peer| peer.devices.values()).map(|d| d.sessions.len()).sum();
        assert_eq!(sessions, 1);
        let rejected = device.events.iter().any(|event| matches!(event, Event::Rejected { .. }));
        assert!(!rejected, "that both begin is nobody's fault");
    }
    let ignored: u64 = world.devices.iter().map(|device| device.session.stats().ignored).sum();
    assert_eq!(ignored, 1, "the call that gave way");
}

#[test]
fn a_restarted_receiver_is_called_anew_and_nothing_is_lost() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    world.restart(1);
    world.run(ms(100));
    let id = world.say(0, 2, "two");
    world.run(ms(400));
    assert_eq!(world.texts(1), ["one", "two"]);
    assert!(world.is_acked(id), "the lost session was noticed by the answer to the packet, not by a wait");
}

#[test]
fn a_restarted_sender_begins_a_new_session() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    world.restart(0);
    world.run(ms(100));
    let id = world.say(0, 2, "two");
    world.run(ms(400));
    assert_eq!(world.texts(1), ["one", "two"]);
    assert!(world.is_acked(id));
    let back = world.say(1, 1, "back");
    world.run(ms(400));
    assert!(world.is_acked(back));
}

#[test]
fn what_is_lost_is_repeated_after_three_seconds_and_given_up_in_the_end() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    world.faults = Faults { lost: 100, ..Faults::default() };
    let id = world.say(0, 2, "two");
    world.run(ms(2_000));
    world.faults = Faults::default();
    world.run(ms(2_000));
    assert!(world.is_acked(id));
    assert_eq!(world.texts(1), ["one", "two"]);
    world.faults = Faults { lost: 100, ..Faults::default() };
    let lost = world.say(0, 2, "three");
    world.run(ms(31_000));
    assert_eq!(world.failed, [(0, lost, Failure::TimedOut)]);
}

#[test]
fn a_device_that_has_gone_is_told_as_not_here() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    world.stop(1);
    let id = world.say(0, 2, "two");
    world.run(ms(500));
    assert_eq!(world.failed, [(0, id, Failure::NotHere)]);
}

#[test]
fn a_new_device_of_a_known_key_is_a_visible_event() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    let second = world.add(2);
    world.run(ms(6_000));
    world.say(0, 2, "two");
    world.run(ms(500));
    let new = world.devices[0].events.iter().filter(|event| matches!(event, Event::NewDevice { .. })).count();
    assert_eq!(new, 1);
    assert_eq!(world.texts(second), ["two"]);
}

#[test]
fn nothing_of_a_blocked_key_is_shown_or_answered() {
    let mut world = two();
    world.give(1, Input::Trust { user: user(1), trust: Trust::Blocked });
    let id = world.say(0, 2, "let me in");
    world.run(ms(40_000));
    assert_eq!(world.texts(1), [""; 0]);
    assert_eq!(world.failed, [(0, id, Failure::TimedOut)]);
}

#[test]
fn a_message_waits_for_a_link_that_was_lost() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    world.cut(0);
    let id = world.say(0, 2, "two");
    world.run(ms(4_000));
    assert!(world.is_acked(id));
    assert_eq!(world.texts(1), ["one", "two"]);
}

#[test]
fn messages_are_shown_in_the_order_in_which_they_were_sent() {
    let mut world = two();
    world.faults = Faults { late_ms: 300, ..Faults::default() };
    world.say(0, 2, "0");
    world.run(ms(3_000));
    for number in 1..60 {
        world.say(0, 2, &number.to_string());
    }
    world.run(ms(20_000));
    let numbers: Vec<u32> = world.texts(1).iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
}

#[test]
fn acknowledgements_come_within_fifty_milliseconds_up_to_thirty_two_at_once() {
    let mut world = two();
    world.say(0, 2, "0");
    world.run(ms(500));
    let before = world.recorded.len();
    for number in 1..=40 {
        world.say(0, 2, &number.to_string());
    }
    world.run(ms(80));
    assert_eq!(world.acked.len(), 41);
    assert_eq!(world.recorded.len() - before, 40 + 2);
}

#[test]
fn a_session_is_renewed_after_a_day_and_the_old_one_still_receives() {
    let mut world = two();
    world.say(0, 2, "one");
    world.run(ms(500));
    let id = |world: &World| {
        let peer = world.devices[0].session.direct.peers.get(&user(2)).unwrap();
        peer.devices.values().next().unwrap().sessions.last().unwrap().ratchet.id()
    };
    let first = id(&world);
    world.run(ms(24 * 3_600_000));
    let two = world.say(0, 2, "two");
    world.run(ms(1_000));
    assert!(world.is_acked(two));
    world.say(0, 2, "three");
    world.run(ms(1_000));
    assert_ne!(id(&world), first);
    assert_eq!(world.texts(1), ["one", "two", "three"]);
}

#[test]
fn the_devices_key_is_replaced_after_twelve_hours_and_the_old_one_is_wiped_ten_minutes_later() {
    let mut world = two();
    let own = |world: &World| world.devices[1].session.direct.own.keys();
    assert_eq!(own(&world), 1);
    world.run(ms(12 * 3_600_000 + 1_000));
    assert_eq!(own(&world), 2);
    world.run(ms(600_000));
    assert_eq!(own(&world), 1);
    let id = world.say(0, 2, "still here?");
    world.run(ms(500));
    assert!(world.is_acked(id));
}

#[test]
fn what_is_on_its_way_is_acknowledged_before_the_goodbye() {
    let mut world = two();
    let id = world.say(0, 2, "last");
    while world.texts(1).is_empty() {
        world.run(ms(1));
    }
    world.give(1, Input::Close);
    world.run(ms(100));
    assert!(world.is_acked(id));
    assert!(matches!(world.state(1), Some(State::Closed { .. })));
}

/// Section 10.5: a server on the way may acknowledge and drop, and lie on the way of the answers too.
#[test]
fn when_something_is_repeated_all_between_the_two_takes_both_ways_for_a_while() {
    let lost = || Faults { lost: 100, ..Faults::default() };
    let mut world = two();
    world.faults = lost();
    world.say(0, 2, "a call that is lost");
    world.run(ms(1_000));
    assert_eq!(world.attempts, [(0, 0)]);
    world.faults = Faults::default();
    world.run(ms(1_500));
    assert_eq!(world.texts(1), ["a call that is lost"]);
    assert_eq!(world.attempts[1], (0, 1));
    assert!(
        world.attempts.iter().skip(1).all(|(who, attempt)| (*who == 0) == (*attempt == 1)),
        "one repeats"
    );
    world.run(ms(61_000));

    world.attempts.clear();
    let id = world.say(0, 2, "an acknowledgement that is lost");
    world.run(ms(20));
    world.faults = lost();
    world.run(ms(1_000));
    assert_eq!(world.attempts, [(0, 0), (1, 0)]);
    world.faults = Faults::default();
    world.run(ms(3_000));
    assert!(world.is_acked(id));
    let again = [(0, 1), (1, 0), (0, 1), (1, 1)];
    assert_eq!(
        world.attempts[2..],
        again,
        "a new session, and in it what was said, which was known: acknowledged again"
    );
    world.run(ms(61_000));
    world.attempts.clear();
    world.say(1, 1, "all is well again");
    world.run(ms(200));
    assert_eq!(world.attempts, [(1, 0), (0, 0)]);
}

#[test]
fn a_message_that_some_server_had_no_room_for_goes_again_soon_and_by_both_ways() {
    let mut world = two();
    world.say(0, 2, "before");
    world.run(ms(4_000));
    world.attempts.clear();
    world.is_full = true;
    let id = world.say(0, 2, "cut");
    world.run(ms(500));
    assert_eq!(world.attempts, [(0, 0)]);
    world.is_full = false;
    // A second until it goes again, and half a second in which the number that was lost is waited for.
    world.run(ms(1_300));
    assert_eq!((world.attempts[1], world.is_acked(id)), ((0, 1), true));
    world.run(ms(61_000));
    // Where there is no room for long, nobody makes it worse: as many tries as without any answer.
    world.attempts.clear();
    world.is_full = true;
    let id = world.say(0, 2, "cut again and again");
    world.run(ms(1_500));
    assert_eq!(world.attempts.len(), 2);
    world.run(ms(30_000));
    assert_eq!(world.failed, [(0, id, Failure::TimedOut)]);
    assert!(world.attempts.len() <= 8, "{:?}", world.attempts);
}
