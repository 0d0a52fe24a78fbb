//! The double ratchet: order, bounds, renewal, and what tests of this module share.

mod attacks;
mod model;

use super::*;
use crate::direct::{Answering, Callee, Calling};
use crate::testing::{Seeded, nonces};
use darkchat_proto::{DeviceId, Network, UserId};

const NOW: Time = Time::from_millis(1_000);

/// Two devices with one session.
struct Pair {
    alice: Ratchet,
    bob: HalfOpen,
    rng: Seeded,
}

fn keys(seed: u64) -> (DirectKeys, StaticKey, Seeded) {
    let (mut rng, network) = (Seeded(seed), Network::default());
    let (alice, bob) = (StaticKey::generate(&mut rng), StaticKey::generate(&mut rng));
    let callee = Callee::own(UserId::new([2; 32]), DeviceId::new([2; 16]), &bob, b"bundle");
    let (_, init) = Calling::start(&network, &alice, &callee, b"", &mut rng).unwrap();
    let (answering, _) = Answering::read_init(&network, &bob, &callee, &init, &mut rng).unwrap();
    let keys = answering.reply(b"").unwrap().0;
    let pair = StaticKey::generate(&mut rng);
    (keys, pair, rng)
}

fn pair(seed: u64) -> Pair {
    let (keys, ratchet, mut rng) = keys(seed);
    let alice = Ratchet::call(&keys, ratchet.public(), NOW, &mut rng).unwrap();
    Pair { alice, bob: HalfOpen::new(&keys, ratchet, NOW), rng }
}

/// After one message each way.
fn talking(seed: u64) -> (Ratchet, Ratchet, Seeded) {
    let Pair { mut alice, bob, mut rng } = pair(seed);
    let (head, sealed) = cut(&alice.seal(NOW, b"hello").unwrap());
    let (mut bob, _) = bob.open(NOW, &head, &sealed, &mut rng).unwrap();
    let answer = bob.seal(NOW, b"hello yourself").unwrap();
    assert_eq!(open(&mut alice, &answer, &mut rng), Ok("hello yourself".into()));
    (alice, bob, rng)
}

fn cut(packet: &Bytes) -> (DirectHead, Bytes) {
    let Ok(Packet::Message { head, sealed }) = Packet::decode(packet.clone()) else { panic!("a message") };
    (head, sealed)
}

fn open_at(ratchet: &mut Ratchet, packet: &Bytes, now: Time, rng: &mut Seeded) -> Result<Bytes, OpenError> {
    let (head, sealed) = cut(packet);
    ratchet.open(now, &head, &sealed, rng)
}

fn open(ratchet: &mut Ratchet, packet: &Bytes, rng: &mut Seeded) -> Result<Bytes, OpenError> {
    open_at(ratchet, packet, NOW, rng)
}

impl Ratchet {
    /// What the type does not allow: tests play thieves.
    fn copy(&self) -> Self {
        let Session { id, hash, root, own } = &self.session;
        let mut skipped = Skipped::default();
        for (dh, number, key, since) in self.skipped.all() {
            skipped.keep(dh, vec![(number, MessageKey::new(key))], since);
        }
        Self {
            session: Session { id: *id, hash: *hash, root: root.clone(), own: own.clone() },
            theirs: self.theirs,
            sending: self.sending.clone(),
            receiving: self.receiving.clone(),
            previous: self.previous,
            skipped,
            began: self.began,
            unanswered: self.unanswered,
        }
    }

    /// Everything that it holds, for comparing.
    fn dump(&self) -> impl PartialEq + fmt::Debug + use<> {
        let Session { id, hash, root, own } = &self.session;
        let chain = |chain: &Chain| (chain.secret(), chain.number());
        (
            (*id, *hash, **root, *own.public(), self.theirs),
            chain(&self.sending),
            self.receiving.as_ref().map(chain),
            (self.previous, self.began, self.unanswered),
            self.skipped.all().collect::<Vec<_>>(),
        )
    }
}

#[test]
fn messages_open_in_any_order_and_each_once() {
    let (mut alice, mut bob, mut rng) = talking(1);
    let sent: Vec<Bytes> = (0..20).map(|number: u8| alice.seal(NOW, &[number]).unwrap()).collect();
    for at in [7, 3, 19, 0, 18, 1, 2] {
        assert_eq!(open(&mut bob, &sent[at], &mut rng).as_deref(), Ok([at as u8].as_slice()));
    }
    assert_eq!(bob.skipped.len(), 20 - 7);
    for at in [7, 3, 19, 0, 18, 1, 2] {
        let before = bob.dump();
        assert_eq!(open(&mut bob, &sent[at], &mut rng), Err(OpenError::Refused), "{at} again");
        assert_eq!(bob.dump(), before);
    }
    // Bob answers, so both turn; what is still missing opens all the same.
    let answer = bob.seal(NOW, b"answer").unwrap();
    open(&mut alice, &answer, &mut rng).unwrap();
    let next = alice.seal(NOW, b"next").unwrap();
    open(&mut bob, &next, &mut rng).unwrap();
    for at in [4, 5, 6, 8, 17] {
        assert_eq!(open(&mut bob, &sent[at], &mut rng).as_deref(), Ok([at as u8].as_slice()));
    }
}

#[test]
fn the_first_message_may_be_the_last_to_come() {
    let Pair { mut alice, bob, mut rng } = pair(2);
    let sent: Vec<(DirectHead, Bytes)> =
        (0..=512_u32).map(|_| cut(&alice.seal(NOW, b"x").unwrap())).collect();
    let (head, sealed) = &sent[512];
    let (mut bob, plain) = bob.open(NOW, head, sealed, &mut rng).unwrap();
    assert_eq!(plain, "x");
    assert_eq!(bob.skipped.len(), 512);
    for (head, sealed) in &sent[..512] {
        bob.open(NOW, head, sealed, &mut rng).unwrap();
    }
    assert_eq!((bob.skipped.len(), bob.next_expiry()), (0, None));
}

#[test]
fn d8_a_jump_of_512_is_made_and_one_of_513_refused_without_deriving_a_key() {
    let (mut alice, mut bob, mut rng) = talking(3);
    let mut last = Bytes::new();
    for _ in 0..=513 {
        last = alice.seal(NOW, b"x").unwrap();
    }
    let (head, sealed) = cut(&last);
    assert_eq!(head.number, 513);
    let before = bob.dump();
    for number in [513, 514, 1 << 31, u32::MAX] {
        let jump = DirectHead { number, ..head };
        assert_eq!(bob.open(NOW, &jump, &sealed, &mut rng), Err(OpenError::Refused), "{number}");
        let theirs = Some(&bob.theirs);
        assert!(bob.session.plan(theirs, bob.receiving.as_ref(), &jump).is_none(), "{number}: no key");
        // The same in the chain that bob has heard one message of, and over that chain's end.
        let within = DirectHead { dh: bob.theirs, ..jump };
        let behind = DirectHead { dh: [9; 32], previous: number, number: 0, ..head };
        for odd in [within, behind] {
            let plan = bob.session.plan(theirs, bob.receiving.as_ref(), &odd);
            assert_eq!(plan.is_none(), number > 1 + MAX_STEP, "{odd:?}");
        }
    }
    assert_eq!(bob.dump(), before);
    assert_eq!(bob.receiving.as_ref().unwrap().number(), 1);
}

#[test]
fn a_new_chain_that_says_less_of_the_old_one_than_has_come_skips_nothing() {
    let (mut alice, mut bob, mut rng) = talking(13);
    for _ in 0..3 {
        let packet = alice.seal(NOW, b"x").unwrap();
        open(&mut bob, &packet, &mut rng).unwrap();
    }
    let received = bob.receiving.as_ref().unwrap().number();
    assert_eq!(received, 3);
    let key = *StaticKey::generate(&mut rng).public();
    for (previous, skipped) in [(0, 0), (2, 0), (3, 0), (4, 1), (5, 2)] {
        let head = DirectHead { session: bob.id(), dh: key, previous, number: 0 };
        let plan = bob.session.plan(Some(&bob.theirs), bob.receiving.as_ref(), &head).unwrap();
        assert_eq!(plan.skipped_before.len(), skipped, "{previous}");
    }
}

#[test]
fn d8_1024_skipped_keys_are_kept_and_the_oldest_go() {
    let (mut alice, mut bob, mut rng) = talking(4);
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.extend((0..513).map(|_| alice.seal(NOW, b"x").unwrap()));
        open(&mut bob, sent.last().unwrap(), &mut rng).unwrap();
        assert!(bob.skipped.len() <= MAX_SKIPPED);
    }
    assert_eq!(bob.skipped.len(), MAX_SKIPPED);
    let opened = sent.iter().filter(|packet| open(&mut bob, packet, &mut rng).is_ok()).count();
    assert_eq!(opened, MAX_SKIPPED, "3 were opened before and 512 forgotten");
    assert!(open(&mut bob, &sent[511], &mut rng).is_err());
    assert_eq!(bob.skipped.len(), 0);
}

#[test]
fn d8_a_skipped_key_is_kept_for_10_min() {
    let (mut alice, mut bob, mut rng) = talking(5);
    let sent: Vec<Bytes> = (0..3).map(|_| alice.seal(NOW, b"x").unwrap()).collect();
    open(&mut bob, &sent[2], &mut rng).unwrap();
    assert_eq!(bob.next_expiry(), Some(NOW + SKIPPED_AGE));
    let (last, over) = (NOW + (SKIPPED_AGE - Duration::from_millis(1)), NOW + SKIPPED_AGE);
    assert!(open_at(&mut bob, &sent[0], last, &mut rng).is_ok());
    let before = bob.dump();
    assert_eq!(open_at(&mut bob, &sent[1], over, &mut rng), Err(OpenError::Refused));
    assert_eq!(bob.dump(), before);
    bob.expire(over);
    assert_eq!((bob.skipped.len(), bob.next_expiry()), (0, None), "wiped");
}

#[test]
fn counters_fail_closed_before_they_wrap() {
    let (mut alice, mut bob, mut rng) = talking(6);
    alice.sending = alice.sending.at(u32::MAX - 1);
    let last = alice.seal(NOW, b"last").unwrap();
    let before = alice.dump();
    assert_eq!(alice.seal(NOW, b"one more"), Err(SealError::Exhausted));
    assert_eq!(alice.dump(), before);

    // Alice's chain is new to bob, so a first message lets him turn; then he is where she is.
    let (head, sealed) = cut(&last);
    assert!(bob.open(NOW, &head, &sealed, &mut rng).is_err(), "too far");
    let theirs = *alice.session.own.public();
    let plan = bob
        .session
        .plan(Some(&bob.theirs), bob.receiving.as_ref(), &DirectHead { number: 0, ..head })
        .unwrap();
    let (root, fresh) = turn(&bob.session.root, &bob.session.own, &theirs).unwrap();
    assert_eq!(plan.turned.map(|root| *root), Some(*root));
    bob.session.root = root;
    (bob.theirs, bob.receiving) = (theirs, Some(fresh.at(u32::MAX - 1)));
    bob.open(NOW, &head, &sealed, &mut rng).unwrap();
    let over = DirectHead { number: u32::MAX, ..head };
    assert_eq!(bob.open(NOW, &over, &sealed, &mut rng), Err(OpenError::Refused));
}

#[test]
fn a_new_handshake_is_due_after_1000_messages_an_hour_unanswered_or_a_day() {
    let (mut alice, ..) = talking(7);
    let (hour, day) = (NOW + Duration::from_secs(3_600), NOW + Duration::from_secs(86_400));
    assert!(!alice.is_due(hour), "who says nothing waits for nothing");
    for _ in 0..RENEW_MESSAGES {
        assert!(!alice.is_due(NOW));
        alice.seal(NOW, b"x").unwrap();
    }
    assert!(alice.is_due(NOW), "1,000 messages");

    let (mut alice, mut bob, mut rng) = talking(17);
    let asked = alice.seal(NOW, b"anybody there?").unwrap();
    assert!(!alice.is_due(NOW + Duration::from_millis(3_599_999)) && alice.is_due(hour));
    open(&mut bob, &asked, &mut rng).unwrap();
    let answer = bob.seal(NOW, b"yes").unwrap();
    open(&mut alice, &answer, &mut rng).unwrap();
    assert!(!alice.is_due(hour), "answered");
    assert!(alice.is_due(day) && !alice.is_due(NOW + Duration::from_millis(86_399_999)));
}

#[test]
fn d12_the_largest_plaintext_fits_into_a_packet_and_one_byte_more_is_refused() {
    let (mut alice, mut bob, mut rng) = talking(8);
    for len in [0, 1, MAX_PLAIN] {
        let packet = alice.seal(NOW, &vec![7; len]).unwrap();
        assert_eq!(packet.len(), 1 + 48 + len + 16);
        assert_eq!(open(&mut bob, &packet, &mut rng).unwrap(), vec![7; len]);
    }
    assert_eq!(alice.seal(NOW, &vec![7; MAX_PLAIN]).unwrap().len(), MAX_PACKET);
    let before = alice.dump();
    let error = SealError::TooLong { len: MAX_PLAIN + 1, max: MAX_PLAIN };
    assert_eq!(alice.seal(NOW, &vec![7; MAX_PLAIN + 1]), Err(error));
    assert_eq!(alice.dump(), before);
}

#[test]
fn nothing_secret_is_printed() {
    let (alice, bob, _) = talking(9);
    let half = pair(9).bob;
    assert!(format!("{half:?}").starts_with("HalfOpen("));
    assert_eq!(half.began(), NOW);
    assert!(format!("{alice:?}").ends_with("sent: 0, received: 1, skipped: 0, .. }"), "{alice:?}");
    assert!(format!("{bob:?}").contains("sent: 1, received: 1"), "{bob:?}");
    let secrets = [*alice.session.root, alice.sending.secret(), *bob.session.root];
    for secret in secrets.map(|bytes| HEXLOWER.encode(&bytes[..4])) {
        assert!(!format!("{alice:?} {bob:?} {half:?}").contains(&secret));
    }
}

/// Messages both ways, with losses, turns, a restart every 1,000 and copies of the receiver's state.
fn no_nonce_twice(messages: usize) {
    nonces::watch();
    let mut sealed = 0;
    for session in 0.. {
        let (mut alice, mut bob, mut rng) = talking(100 + session);
        // A key and two payloads in the handshake; a greeting each way.
        sealed += 3 + 2;
        for round in 0..500_u64 {
            let (from, to) = if round % 7 < 4 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            let packets = [from.seal(NOW, b"one").unwrap(), from.seal(NOW, b"two").unwrap()];
            sealed += 2;
            // A copy of the receiver turns by a key of its own, and what it then seals is its own as well.
            if round % 10 == 0 {
                let mut copy = to.copy();
                let before = *copy.session.own.public();
                if open(&mut copy, &packets[0], &mut rng).is_ok() && *copy.session.own.public() != before {
                    copy.seal(NOW, b"from the copy").unwrap();
                    sealed += 1;
                }
            }
            if round % 3 != 0 {
                open(to, &packets[1], &mut rng).unwrap();
            }
        }
        if sealed >= messages {
            break;
        }
    }
    assert_eq!(nonces::count(), sealed);
}

#[test]
fn d5_no_nonce_is_used_twice_under_one_key_in_100_000_messages() {
    no_nonce_twice(100_000);
}

#[test]
#[ignore = "takes a minute; the same as the one above, ten times as long"]
fn d5_no_nonce_is_used_twice_under_one_key_in_a_million_messages() {
    no_nonce_twice(1_000_000);
}
