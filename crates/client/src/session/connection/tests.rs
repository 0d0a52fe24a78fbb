//! When the client dials whom, and when it stops.

use super::*;

fn random() -> Random {
    Random::new([5; 32])
}

fn servers(count: usize) -> Vec<ServerAddr> {
    (0..count).map(|number| format!("tcp://server{number}:1").parse().unwrap()).collect()
}

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn key() -> ServerId {
    ServerId::new([3; 32])
}

/// Brings the link up at once.
fn up(connection: &mut Connection, now: Time) -> ServerAddr {
    let (dial, addr, _) = connection.dial(now).expect("an address");
    assert!(connection.opened(now, dial, key(), &Announced::default()));
    assert!(connection.welcomed(now).is_some());
    addr
}

/// The wait after each of so many failed dials.
fn waits(connection: &mut Connection, count: usize) -> Vec<u128> {
    let mut random = random();
    (0..count)
        .map(|_| {
            connection.dial(ms(0));
            match connection.lost(ms(0), Code::Unreachable, false, &mut random) {
                (Code::Unreachable, Next::Wait(span)) => span.as_millis(),
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

#[test]
fn the_wait_doubles_from_half_a_second_to_thirty_with_half_of_it_as_jitter() {
    let mut connection = Connection::new(servers(1), true, true);
    let mut base = 500;
    for wait in waits(&mut connection, 12) {
        assert!((base / 2..=base * 3 / 2).contains(&wait), "{wait} around {base}");
        base = (base * 2).min(30_000);
    }
}

#[test]
fn a_link_that_was_up_for_a_minute_begins_the_back_off_anew() {
    for (up_for, wait) in [(59_999, 15_000..=45_000), (60_000, 250..=750)] {
        let mut connection = Connection::new(servers(1), true, true);
        waits(&mut connection, 8);
        up(&mut connection, ms(0));
        let (_, next) = connection.lost(ms(up_for), Code::Truncated, false, &mut random());
        let Next::Wait(span) = next else { panic!("{next:?}") };
        assert!(wait.contains(&span.as_millis()), "{span:?} after {up_for}");
    }
}

#[test]
fn a_goodbye_can_raise_the_next_wait_but_not_silence_us_for_days() {
    let mut connection = Connection::new(servers(1), true, false);
    up(&mut connection, ms(0));
    for (retry_ms, least) in [(20_000, 20), (u32::MAX, 300)] {
        connection.goodbye(&Goodbye { retry_ms, ..Goodbye::new(Code::Shutdown) });
        let (_, next) = connection.lost(ms(0), Code::Shutdown, false, &mut random());
        assert_eq!(next, Next::Wait(Duration::from_secs(least)));
        connection.dial(ms(0));
    }
    let (_, next) = connection.lost(ms(0), Code::Unreachable, false, &mut random());
    assert!(
        matches!(next, Next::Wait(span) if span < Duration::from_secs(5)),
        "only the next wait: {next:?}"
    );
}

#[test]
fn the_first_round_tries_each_address_once_without_waiting() {
    let mut connection = Connection::new(servers(3), true, false);
    let mut tried = Vec::new();
    loop {
        let (_, addr, suggested) = connection.dial(ms(0)).unwrap();
        assert!(!suggested);
        tried.push(addr);
        match connection.lost(ms(0), Code::Unreachable, false, &mut random()).1 {
            Next::Dial => {}
            next => {
                assert_eq!(next, Next::End);
                break;
            }
        }
    }
    assert_eq!(tried, servers(3));
}

#[test]
fn after_a_lost_link_the_next_address_is_tried_and_then_what_was_suggested() {
    let mut connection = Connection::new(servers(2), true, false);
    up(&mut connection, ms(0));
    let other = format!("tcp://{}@elsewhere:1", key());
    let elsewhere = vec![other.clone(), "tcp://without-key:1".to_owned(), "nonsense?".to_owned()];
    connection.goodbye(&Goodbye { elsewhere, ..Goodbye::new(Code::Shutdown) });
    connection.lost(ms(0), Code::Shutdown, false, &mut random());
    let mut tried = Vec::new();
    for _ in 0..3 {
        let (_, addr, suggested) = connection.dial(ms(0)).unwrap();
        tried.push((addr.to_string(), suggested));
        connection.lost(ms(0), Code::Unreachable, false, &mut random());
    }
    assert_eq!(tried[0], ("tcp://server1:1".to_owned(), false));
    assert_eq!(tried[1], (other, true));
    assert!(
        tried[2].0.starts_with("tcp://s") && tried[2].0.ends_with("@server0:1"),
        "with the key it has shown"
    );
}

#[test]
fn at_most_four_suggestions_are_kept() {
    let mut connection = Connection::new(servers(1), true, false);
    let elsewhere = (0..100).map(|number| format!("tcp://{}@host{number}:1", key())).collect();
    connection.goodbye(&Goodbye { elsewhere, ..Goodbye::new(Code::Shutdown) });
    assert_eq!(connection.servers.len(), 1 + MAX_ELSEWHERE);
}

#[test]
fn some_goodbyes_end_it_for_good_and_others_do_not() {
    for code in Code::all() {
        let mut connection = Connection::new(servers(2), true, true);
        up(&mut connection, ms(0));
        connection.goodbye(&Goodbye::new(code));
        let ends = matches!(code, Code::Conflict | Code::Blocked | Code::Unauthorized | Code::Version);
        let (why, next) = connection.lost(ms(0), code, false, &mut random());
        assert_eq!((why, next == Next::End), (code, ends), "{code}");
    }
}

#[test]
fn an_address_with_another_key_is_struck_off() {
    let mut connection = Connection::new(servers(2), true, true);
    connection.dial(ms(0));
    assert_eq!(connection.lost(ms(0), Code::Unauthorized, false, &mut random()).1, Next::Dial);
    let (_, addr, _) = connection.dial(ms(0)).unwrap();
    assert_eq!(addr, servers(2)[1]);
    assert_eq!(connection.lost(ms(0), Code::Version, false, &mut random()).1, Next::End, "none is left");
}

#[test]
fn a_silent_link_is_dead_after_75_seconds_and_pinged_before() {
    let mut connection = Connection::new(servers(1), true, true);
    up(&mut connection, ms(0));
    assert_eq!(connection.deadline(), Some(ms(30_000)));
    assert_eq!(connection.due(ms(30_000)), Some(Due::Ping));
    connection.sent(ms(70_000));
    assert_eq!(connection.deadline(), Some(ms(75_000)));
    assert_eq!(connection.due(ms(75_000)), Some(Due::Dead));
    connection.heard(ms(75_000));
    assert_eq!(connection.due(ms(99_999)), None);
}

#[test]
fn an_announced_ping_is_obeyed_within_reason() {
    for (ping_ms, expected) in [(0, 30_000), (1, 1_000), (20_000, 20_000), (u32::MAX, 60_000)] {
        let mut connection = Connection::new(servers(1), true, true);
        let (dial, ..) = connection.dial(ms(0)).unwrap();
        connection.opened(ms(0), dial, key(), &Announced { ping_ms, ..Announced::default() });
        connection.welcomed(ms(0));
        assert_eq!(connection.deadline(), Some(ms(expected)));
    }
}

#[test]
fn a_dial_and_its_welcome_have_ten_seconds_together() {
    let mut connection = Connection::new(servers(1), true, true);
    let (dial, ..) = connection.dial(ms(0)).unwrap();
    connection.opened(ms(6_000), dial, key(), &Announced::default());
    assert_eq!(connection.due(ms(9_999)), None);
    assert_eq!(connection.due(ms(10_000)), Some(Due::Dead));
}

#[test]
fn our_own_reason_for_closing_wins() {
    let mut connection = Connection::new(servers(1), true, true);
    up(&mut connection, ms(0));
    assert!(connection.close(Code::Timeout));
    assert!(!connection.close(Code::Ok), "told already");
    assert_eq!(connection.lost(ms(0), Code::Truncated, false, &mut random()).0, Code::Timeout);
}
