//! Who is let in, who waits, and what is forgotten.

use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> Source {
    Source::from(text.parse::<IpAddr>().unwrap())
}

fn admitted(gate: &mut Gate, now: Time, source: Source, tries: usize) -> usize {
    (0..tries)
        .filter(|_| {
            let admitted = gate.admit(now, source).is_ok();
            if admitted {
                gate.settled();
            }
            admitted
        })
        .count()
}

#[test]
fn one_source_has_a_burst_of_fifty_then_ten_a_second_and_sixty_four_open() {
    let mut gate = Gate::new(Profile::Public);
    let source = ip("192.0.2.1");
    let start = Time::from_millis(1_000);
    assert_eq!(admitted(&mut gate, start, source, 1_000), 50);
    assert_eq!(gate.admit(start, source), Err(Code::RateLimited));
    assert_eq!(admitted(&mut gate, start + Duration::from_secs(1), source, 1_000), 10);
    assert_eq!(admitted(&mut gate, start + Duration::from_secs(3), source, 1_000), 4, "64 are open");
    assert_eq!(gate.admit(start + Duration::from_secs(60), source), Err(Code::Limit));
    assert_eq!(admitted(&mut gate, start, ip("192.0.2.2"), 1), 1, "another source is not affected");
    gate.left(start + Duration::from_secs(60), source);
    assert_eq!(admitted(&mut gate, start + Duration::from_secs(60), source, 5), 1);
}

#[test]
fn ipv6_counts_by_64_and_mapped_addresses_as_ipv4() {
    assert_eq!(ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9"));
    assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
    assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
}

#[test]
fn trusted_counts_no_sources_and_still_bounds_handshakes() {
    let mut gate = Gate::new(Profile::Trusted);
    let source = ip("127.0.0.1");
    assert!((0..HANDSHAKES_MAX).all(|_| gate.admit(Time::ZERO, source).is_ok()));
    assert_eq!(gate.admit(Time::ZERO, source), Err(Code::Limit));
    gate.settled();
    assert!(gate.admit(Time::ZERO, source).is_ok());
    assert!(gate.sources.is_empty());
}

#[test]
fn the_table_is_bounded_and_forgets_those_who_are_gone() {
    let mut gate = Gate::new(Profile::Public);
    let source = |number: u32| Source::from(IpAddr::from(number.to_be_bytes()));
    for number in 0..SOURCES_MAX as u32 {
        gate.admit(Time::ZERO, source(number)).unwrap();
        gate.settled();
        gate.left(Time::ZERO, source(number));
    }
    assert_eq!(gate.sources.len(), SOURCES_MAX);
    assert_eq!(gate.admit(Time::ZERO, source(u32::MAX)), Err(Code::Limit));
    let later = Time::ZERO + EARN;
    assert_eq!(gate.admit(later, source(u32::MAX)), Ok(()));
    assert_eq!(gate.sources.len(), 1);
}

/// What may happen to a gate.
#[derive(Debug, Clone)]
enum Step {
    Pass(Duration),
    Connect(u8),
    Settle,
    Leave(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..2_000_u64).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        6 => (0..3_u8).prop_map(Step::Connect),
        3 => Just(Step::Settle),
        3 => (0..3_u8).prop_map(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn no_history_passes_a_bound_or_locks_anybody_out(steps in prop::collection::vec(step(), 0..600)) {
        let mut gate = Gate::new(Profile::Public);
        let source = |number: u8| ip(&format!("192.0.2.{number}"));
        let (mut now, mut handshakes) = (Time::from_millis(1_000), 0_usize);
        let mut open = [0_u32; 3];
        let mut log: Vec<(Time, u8)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(time) => now = now + time,
                Step::Connect(number) => {
                    let before = gate.sources.get(&source(number)).map(|used| (used.open, used.whole_at));
                    if gate.admit(now, source(number)).is_ok() {
                        handshakes += 1;
                        open[usize::from(number)] += 1;
                        log.push((now, number));
                    } else {
                        let after = gate.sources.get(&source(number)).map(|used| (used.open, used.whole_at));
                        prop_assert_eq!(before, after, "a refusal changes nothing");
                    }
                }
                Step::Settle if handshakes > 0 => {
                    gate.settled();
                    handshakes -= 1;
                }
                Step::Leave(number) if open[usize::from(number)] > 0 => {
                    gate.left(now, source(number));
                    open[usize::from(number)] -= 1;
                }
                _ => {}
            }
            prop_assert!(open.iter().all(|open| *open <= OPEN_MAX));
            prop_assert!(handshakes <= HANDSHAKES_MAX && gate.handshakes() == handshakes);
            prop_assert!(gate.sources.len() <= 3);
        }
        for (index, (from, number)) in log.iter().enumerate() {
            let second = *from + Duration::from_secs(1);
            let within = log.iter().skip(index).filter(|(at, of)| of == number && *at <= second).count();
            prop_assert!(within <= 61, "a burst of 50 and 10 a second, both ends counted: {within}");
        }
        for number in 0..3 {
            (0..open[usize::from(number)]).for_each(|_| gate.left(now, source(number)));
        }
        (0..handshakes).for_each(|_| gate.settled());
        let later = now + Duration::from_secs(5);
        prop_assert_eq!(admitted(&mut gate, later, source(0), 50), 50, "after 5 s of rest all is forgiven");
    }
}
