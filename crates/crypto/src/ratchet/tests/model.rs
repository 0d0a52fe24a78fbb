//! Two devices and a network that loses, repeats and reorders, against a model that knows what was sent.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngAlgorithm;
use std::collections::BTreeSet;

/// What a device says in a session altogether: whatever is skipped of that is kept.
const MOST: usize = 512;

/// One side of one session.
enum Side {
    Half(HalfOpen),
    Full(Ratchet),
}

/// A packet on its way: for which side, and what is in it.
struct Sent {
    packet: Bytes,
    session: usize,
    to: usize,
    text: u32,
}

/// Two sessions between two devices, because both have called at once; each device has both.
struct World {
    sides: [[Side; 2]; 2],
    sent: Vec<Sent>,
    /// What each device may still say in each session.
    left: [[usize; 2]; 2],
    opened: [BTreeSet<u32>; 2],
    now: Time,
    rng: Seeded,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// A device says so much in a session.
    Send { from: usize, session: usize, count: usize },
    /// A packet arrives: the one so many before the newest. It may have arrived before.
    Arrive { back: usize },
    /// A packet arrives with a bit flipped.
    Forged { back: usize, bit: usize },
    /// A copy of the receiver's state gets a packet, and is thrown away.
    Copy { back: usize },
    /// Time passes; all together less than what skipped keys are kept.
    Wait { ms: u64 },
}

/// Mostly one; now and then as many as may come in another order.
fn count() -> impl Strategy<Value = usize> {
    prop_oneof![40 => Just(1), 2 => 2..40_usize, 1 => 2..=MOST]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..2_usize, prop_oneof![3 => Just(0), 1 => Just(1)], count())
            .prop_map(|(from, session, count)| Op::Send { from, session, count }),
        8 => prop_oneof![6 => 0..4_usize, 1 => 0..60_usize, 1 => 0..1_024_usize].prop_map(|back| Op::Arrive { back }),
        1 => (0..60_usize, any::<usize>()).prop_map(|(back, bit)| Op::Forged { back, bit }),
        1 => (0..60_usize).prop_map(|back| Op::Copy { back }),
        1 => (0..2_000_u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

impl World {
    fn new(seed: u64) -> Self {
        let (one, two) = (pair(seed), pair(seed ^ 0x55));
        Self {
            sides: [
                [Side::Full(one.alice), Side::Half(one.bob)],
                [Side::Half(two.bob), Side::Full(two.alice)],
            ],
            sent: Vec::new(),
            left: [[MOST; 2]; 2],
            opened: Default::default(),
            now: NOW,
            rng: Seeded(seed ^ 0xAA),
            next: 0,
        }
    }

    fn send(&mut self, from: usize, session: usize) {
        // Who has answered a call waits for the first message.
        let Side::Full(ratchet) = &mut self.sides[session][from] else { return };
        let text = self.next;
        self.next += 1;
        let packet = ratchet.seal(self.now, &text.to_be_bytes()).unwrap();
        self.sent.push(Sent { packet, session, to: 1 - from, text });
    }

    fn at(&self, back: usize) -> Option<usize> {
        self.sent.len().checked_sub(1 + back % self.sent.len().max(1))
    }

    /// What the receiver makes of a packet; a half-open side becomes a whole one.
    fn open(&mut self, session: usize, to: usize, packet: &Bytes) -> Result<Bytes, OpenError> {
        let (head, sealed) = cut(packet);
        match &mut self.sides[session][to] {
            Side::Full(ratchet) => ratchet.open(self.now, &head, &sealed, &mut self.rng),
            Side::Half(half) => {
                let (ratchet, plain) = half.open(self.now, &head, &sealed, &mut self.rng)?;
                self.sides[session][to] = Side::Full(ratchet);
                Ok(plain)
            }
        }
    }

    fn arrive(&mut self, at: usize) {
        let Sent { packet, session, to, text } = &self.sent[at];
        let (packet, session, to, text) = (packet.clone(), *session, *to, *text);
        let result = self.open(session, to, &packet);
        if self.opened[to].insert(text) {
            assert_eq!(result.as_deref(), Ok(text.to_be_bytes().as_slice()), "the first time it opens");
        } else {
            assert_eq!(result, Err(OpenError::Refused), "and never again");
        }
    }

    fn forged(&mut self, at: usize, bit: usize) {
        let Sent { packet, session, to, .. } = &self.sent[at];
        let (mut altered, session, to) = (packet.to_vec(), *session, *to);
        let bit = 8 + bit % (altered.len() * 8 - 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(self.open(session, to, &altered.into()), Err(OpenError::Refused));
    }

    fn copy(&mut self, at: usize) {
        let Sent { packet, session, to, text } = &self.sent[at];
        let Side::Full(ratchet) = &self.sides[*session][*to] else { return };
        let result = open_at(&mut ratchet.copy(), packet, self.now, &mut self.rng);
        let is_new = !self.opened[*to].contains(text);
        assert_eq!(result.ok(), is_new.then(|| Bytes::copy_from_slice(&text.to_be_bytes())));
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Send { from, session, count } => {
                let left = &mut self.left[session][from];
                let count = count.min(*left);
                *left -= count;
                (0..count).for_each(|_| self.send(from, session));
            }
            Op::Wait { ms } => self.now = self.now + Duration::from_millis(ms),
            Op::Arrive { back } => drop(self.at(back).map(|at| self.arrive(at))),
            Op::Forged { back, bit } => drop(self.at(back).map(|at| self.forged(at, bit))),
            Op::Copy { back } => drop(self.at(back).map(|at| self.copy(at))),
        }
    }

    /// Everything comes in the end, newest first; then nothing is missing.
    fn finish(&mut self) {
        for at in (0..self.sent.len()).rev() {
            self.arrive_if_new(at);
        }
        for sent in &self.sent {
            assert!(self.opened[sent.to].contains(&sent.text));
        }
    }

    fn arrive_if_new(&mut self, at: usize) {
        let Sent { to, text, .. } = &self.sent[at];
        if !self.opened[*to].contains(text) {
            self.arrive(at);
        }
    }
}

/// 10,000 in release builds; in others what a laptop does in some seconds; or as many as are asked for.
fn cases() -> ProptestConfig {
    let config = ProptestConfig {
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    };
    let is_asked = std::env::var_os("PROPTEST_CASES").is_some();
    let count = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
    ProptestConfig { cases: if is_asked { config.cases } else { count }, ..config }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_the_network_does_each_content_opens_once_and_is_what_was_sent(
        seed in any::<u64>(), ops in vec(op(), 1..70),
    ) {
        let mut world = World::new(seed);
        for op in ops {
            world.run(op);
        }
        world.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..cases() })]

    #[test]
    fn a_reorder_of_512_loses_nothing(seed in any::<u64>(), turns in 1..3_usize) {
        let mut world = World::new(seed);
        for _ in 0..turns {
            for from in [0, 1] {
                let first = world.sent.len();
                for _ in 0..=MAX_STEP {
                    world.send(from, 0);
                }
                for at in (first..world.sent.len()).rev() {
                    world.arrive(at);
                }
            }
        }
        assert_eq!(world.sent.len(), turns * 2 * 513);
    }
}
