//! The address book: what it takes, when a place is due, and its bounds.

use super::*;
use darkchat_proto::{Carrier, Features};
use std::net::Ipv4Addr;

const WALL: u64 = 1_700_000_000_000;

fn server(number: u16) -> ServerId {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    ServerId::new(key)
}

fn addr(ip: [u8; 4]) -> GossipAddr {
    GossipAddr { ip: Ipv4Addr::from(ip).into(), port: 30_303, carrier: Carrier::Tcp }
}

fn record(number: u16, seq: u64, addrs: &[GossipAddr]) -> ServerRecord {
    ServerRecord {
        server: server(number),
        epoch: 1,
        seq,
        issued_ms: WALL,
        addrs: addrs.to_vec(),
        flags: RecordFlags::DIALABLE.with(RecordFlags::TRANSIT),
        neighbours: Vec::new(),
        version: 1,
        features: Features::NONE,
    }
}

fn targets(book: &Book, now: Time) -> Vec<Target> {
    book.due(now, false, |_| true).targets
}

fn at(secs: u64) -> Time {
    Time::from_millis(secs * 1_000)
}

const HERE: [u8; 4] = [8, 8, 8, 8];

#[test]
fn only_who_can_be_dialled_and_keeps_the_time_is_taken() {
    let mut book = Book::new(false);
    let good = record(1, 1, &[addr(HERE)]);
    for bad in [
        record(2, 1, &[]),
        record(2, 1, &[addr([10, 0, 0, 1])]),
        ServerRecord { flags: RecordFlags::TRANSIT, ..record(2, 1, &[addr(HERE)]) },
        ServerRecord { issued_ms: WALL - 3_600_001, ..record(2, 1, &[addr(HERE)]) },
        ServerRecord { issued_ms: WALL + 3_600_001, ..record(2, 1, &[addr(HERE)]) },
    ] {
        assert!(!book.learn(at(0), Some(WALL), &bad), "{bad:?}");
        assert_eq!(book.len(), 0);
    }
    assert!(book.learn(at(0), Some(WALL), &good));
    assert!(!book.learn(at(0), Some(WALL), &good), "it is known");
    assert_eq!(targets(&book, at(0)).len(), 1);
    let closed = RecordFlags::DIALABLE.with(RecordFlags::PEERS_CLOSED);
    book.learn(at(1), Some(WALL), &ServerRecord { flags: closed, ..record(1, 2, &[addr(HERE)]) });
    assert!(targets(&book, at(1)).is_empty(), "it wants no strangers");
    let draining = RecordFlags::DIALABLE.with(RecordFlags::DRAINING);
    book.learn(at(2), Some(WALL), &ServerRecord { flags: draining, ..record(1, 3, &[addr(HERE)]) });
    assert!(targets(&book, at(2)).is_empty(), "it is about to stop");
    assert_eq!(book.due(at(2), true, |_| true).targets.len(), 1, "and may be back when there is need");
}

#[test]
fn found_addresses_may_be_private_and_stay_when_a_record_names_others() {
    let mut book = Book::new(false);
    assert!(book.find(at(0), server(1), addr([192, 168, 0, 9])));
    assert!(!book.find(at(0), server(1), addr([192, 168, 0, 9])), "known");
    assert!(!book.find(at(0), server(2), addr([224, 0, 0, 1])));
    book.learn(at(1), Some(WALL), &record(1, 1, &[addr(HERE)]));
    book.learn(at(2), Some(WALL), &record(1, 2, &[addr([9, 9, 9, 9])]));
    let places: Vec<GossipAddr> = book.servers[&server(1)].places.iter().map(|place| place.addr).collect();
    assert_eq!(places, [addr([192, 168, 0, 9]), addr([9, 9, 9, 9])]);
}

/// Case E7 of the test plan.
#[test]
fn e7_an_address_where_somebody_else_answers_is_struck_until_a_newer_record_names_it() {
    let mut book = Book::new(true);
    let (one, two) = (addr([10, 0, 0, 1]), addr([10, 0, 0, 2]));
    book.learn(at(0), Some(WALL), &record(1, 1, &[one, two]));
    let first = targets(&book, at(0))[0];
    assert_eq!((first.addr, first.weight), (one, 64));
    book.failed(at(0), &first, true, |wait| wait);
    let second = targets(&book, at(100))[0];
    assert_eq!((second.addr, second.weight), (two, 32), "the rest of its record is half as likely");
    book.failed(at(100), &second, true, |wait| wait);
    assert!(targets(&book, at(80_000)).is_empty());
    book.learn(at(80_000), None, &record(1, 2, &[one]));
    assert_eq!(targets(&book, at(80_000))[0].weight, 64);
}

#[test]
fn e7_what_strangers_name_is_dialled_once_in_five_minutes_and_who_proved_itself_by_the_back_off() {
    let mut book = Book::new(false);
    book.learn(at(0), None, &record(1, 1, &[addr(HERE)]));
    let target = targets(&book, at(0))[0];
    book.dialled(at(0), &target);
    book.failed(at(0), &target, false, |wait| wait);
    assert!(targets(&book, at(299)).is_empty());
    let target = targets(&book, at(300))[0];
    book.dialled(at(300), &target);
    book.linked(at(300), &target);
    book.lost(at(301), &target, at(300), |wait| wait);
    assert_eq!(targets(&book, at(303)).len(), 1, "its key was proven there");
}

#[test]
fn waits_double_to_a_minute_and_to_eight_seconds_for_a_recent_neighbour() {
    let mut book = Book::new(true);
    book.learn(at(0), None, &record(1, 1, &[addr([10, 0, 0, 1])]));
    let target = targets(&book, at(0))[0];
    let mut now = at(0);
    let fail = |book: &mut Book, now: &mut Time| {
        let due = book.failed(*now, &target, false, |wait| wait).unwrap();
        let wait = due.saturating_since(*now);
        assert!(targets(book, *now).is_empty());
        *now = due;
        wait.as_millis()
    };
    let waits: Vec<u128> = (0..8).map(|_| fail(&mut book, &mut now)).collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    book.linked(now, &target);
    let since = now;
    now = now + STEADY;
    now = book.lost(now, &target, since, |wait| wait).unwrap();
    assert_eq!(now.saturating_since(since + STEADY).as_millis(), 500);
    let waits: Vec<u128> = (0..5).map(|_| fail(&mut book, &mut now)).collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 8_000]);
    now = now + RECENT;
    assert_eq!(fail(&mut book, &mut now), 60_000, "it is no longer expected back");
}

#[test]
fn the_book_holds_4096_servers_keeps_whom_we_met_and_forgets_after_a_day() {
    let mut book = Book::new(false);
    book.learn(at(0), None, &record(0, 1, &[addr(HERE)]));
    let met = targets(&book, at(0))[0];
    book.linked(at(0), &met);
    for number in 1..6_000_u16 {
        let [high, low] = number.to_be_bytes();
        let addrs: Vec<GossipAddr> = (0..8).map(|last| addr([30, high, low, last + 1])).collect();
        assert!(book.learn(at(u64::from(number)), None, &record(number, 1, &addrs)));
        assert!(book.len() <= 4_096);
        book.find(at(u64::from(number)), server(number), addr([10, 0, 0, 1]));
        assert!(book.servers[&server(number)].places.len() <= MAX_ADDRS);
    }
    assert!(book.servers.contains_key(&server(0)) && !book.servers.contains_key(&server(1)));
    book.expire(at(24 * 3_600 + 5_900));
    assert_eq!(book.len(), 99, "heard in the last day");
}
