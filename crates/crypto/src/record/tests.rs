//! Records against vectors, against altered bytes, and at the borders of their counters.

use super::*;
use crate::dh::StaticKey;
use crate::noise::Noise;
use crate::testing::{Seeded, array, hex, nonces, vectors};
use proptest::prelude::*;

const KEY: [u8; 32] = [7; 32];

fn pair_at(n: u64) -> (Sealer, Opener) {
    let at = |key: &[u8; 32]| Direction { key: Aead::new(key), n };
    (Sealer(at(&KEY)), Opener(at(&KEY)))
}

fn sealed(sealer: &mut Sealer, text: &[u8]) -> BytesMut {
    let mut record = BytesMut::from(text);
    sealer.seal(&mut record).unwrap();
    record
}

#[test]
fn the_first_record_and_the_changed_key_are_those_of_the_vectors() {
    let link = &vectors("dchat1-draft.json")["link"];
    let key = Zeroizing::new(array(&link["k_initiator_to_responder"]));
    let mut sealer = Sealer::new(&key);
    let record = sealed(&mut sealer, &hex(&link["record0_plain"]));
    assert_eq!(record, hex(&link["record0"]));
    assert_eq!(Opener::new(&key).open(record).unwrap(), hex(&link["record0_plain"]));

    let mut changed = Direction::new(&key);
    changed.rekey();
    let expected = Aead::new(&array(&link["k_i2r_after_rekey"]));
    let (mut ours, mut theirs) = (*b"compare", *b"compare");
    assert_eq!(changed.key.seal(nonce(0), &[], &mut ours), expected.seal(nonce(0), &[], &mut theirs));
    assert_eq!(ours, theirs);
}

#[test]
fn the_key_changes_before_record_two_to_the_twentieth_and_the_count_goes_on() {
    let (mut sealer, mut opener) = pair_at((1 << 20) - 2);
    for n in (1 << 20) - 2..(1_u64 << 20) {
        let record = sealed(&mut sealer, b"under the first key");
        let mut copy = record.clone();
        assert!(Aead::new(&KEY).open(nonce(n), &[], &mut copy).is_ok(), "record {n}");
        opener.open(record).unwrap();
    }
    let record = sealed(&mut sealer, b"under the second key");
    assert!(Aead::new(&KEY).open(nonce(1 << 20), &[], &mut record.clone()).is_err());

    let mut second = Direction { key: Aead::new(&KEY), n: 0 };
    second.rekey();
    assert!(second.key.open(nonce(1 << 20), &[], &mut record.clone()).is_ok());
    assert_eq!(opener.open(record).unwrap(), b"under the second key".as_slice());
}

#[test]
fn a_full_run_of_records_crosses_two_changes_of_key() {
    // Begins short of the first change and jumps to short of the second: each change happens on both sides.
    let (mut sealer, mut opener) = pair_at((1 << 20) - 3);
    for _ in 0..6 {
        let record = sealed(&mut sealer, b"x");
        opener.open(record).unwrap();
    }
    (sealer.0.n, opener.0.n) = ((2 << 20) - 1, (2 << 20) - 1);
    for _ in 0..3 {
        let record = sealed(&mut sealer, b"y");
        opener.open(record).unwrap();
    }
}

/// A link between us, who dialled, and snow; its records have explicit numbers.
fn link_with_snow(n: u64) -> (Sealer, Opener, snow::StatelessTransportState) {
    let mut theirs = snow::Builder::new("Noise_XX_25519_AESGCM_SHA256".parse().unwrap())
        .local_private_key(&[3; 32])
        .unwrap()
        .build_responder()
        .unwrap();
    let mut ours = Noise::xx_initiator(b"", StaticKey::from_bytes(&[1; 32]), StaticKey::from_bytes(&[2; 32]));
    let mut buffer = [0; 256];
    theirs.read_message(&ours.write(b"").unwrap(), &mut buffer).unwrap();
    let len = theirs.write_message(b"", &mut buffer).unwrap();
    ours.read(&buffer[..len]).unwrap();
    theirs.read_message(&ours.write(b"").unwrap(), &mut buffer).unwrap();
    let (there, back) = ours.split();
    let at = |key: &Secret| Direction { key: Aead::new(key), n };
    (Sealer(at(&there)), Opener(at(&back)), theirs.into_stateless_transport_mode().unwrap())
}

#[test]
fn snow_and_we_open_each_others_records_across_a_change_of_key() {
    let start = (1 << 20) - 1;
    let (mut sealer, mut opener, mut snow) = link_with_snow(start);
    for number in start..start + 3 {
        if number == 1 << 20 {
            snow.rekey_incoming();
            snow.rekey_outgoing();
        }
        let record = sealed(&mut sealer, b"to snow");
        let mut text = [0; 64];
        let len = snow.read_message(number, &record, &mut text).unwrap();
        assert_eq!(&text[..len], b"to snow");

        let len = snow.write_message(number, b"from snow", &mut text).unwrap();
        assert_eq!(opener.open(BytesMut::from(&text[..len])).unwrap(), b"from snow".as_slice());
    }
}

#[test]
fn the_last_counter_is_never_used() {
    let (mut sealer, mut opener) = pair_at(u64::MAX - 1);
    let record = sealed(&mut sealer, b"the last");
    let mut more = BytesMut::from(b"one more".as_slice());
    assert_eq!(sealer.seal(&mut more).unwrap_err(), SealError::Exhausted);
    assert_eq!(more, b"one more".as_slice());

    let mut forged = b"forged".to_vec();
    let tag = Aead::new(&KEY).seal(nonce(u64::MAX), &[], &mut forged).unwrap();
    forged.extend(tag);
    opener.open(record).unwrap();
    assert_eq!(opener.open(BytesMut::from(&forged[..])).unwrap_err(), OpenError::Refused);
}

#[test]
fn a_record_holds_what_a_unit_holds_without_the_tag() {
    let (mut sealer, mut opener) = pair_at(0);
    let mut record = BytesMut::zeroed(MAX_RECORD + 1);
    assert_eq!(
        sealer.seal(&mut record).unwrap_err(),
        SealError::TooLong { len: MAX_RECORD + 1, max: MAX_RECORD }
    );
    assert_eq!(record.len(), MAX_RECORD + 1);
    record.truncate(MAX_RECORD);
    sealer.seal(&mut record).unwrap();
    assert_eq!(record.len(), MAX_UNIT);
    assert_eq!(opener.open(record).unwrap().len(), MAX_RECORD);

    let empty = sealed(&mut sealer, b"");
    assert!(opener.open(empty).unwrap().is_empty());
}

#[test]
fn a_record_is_opened_in_place() {
    let (mut sealer, mut opener) = pair_at(0);
    let record = sealed(&mut sealer, b"stays where it is");
    let at = record.as_ptr();
    assert_eq!(opener.open(record).unwrap().as_ptr(), at);
}

#[test]
fn a_record_repeated_or_out_of_order_is_refused_and_the_right_one_still_opens() {
    let (mut sealer, mut opener) = pair_at(0);
    let records: Vec<_> = (0..3_u8).map(|n| sealed(&mut sealer, &[n])).collect();
    assert!(opener.open(records[1].clone()).is_err());
    assert_eq!(opener.open(records[0].clone()).unwrap(), [0].as_slice());
    assert!(opener.open(records[0].clone()).is_err());
    assert!(opener.open(records[2].clone()).is_err());
    assert_eq!(opener.open(records[1].clone()).unwrap(), [1].as_slice());
}

#[test]
fn what_is_too_short_for_a_tag_is_refused() {
    let (_, mut opener) = pair_at(0);
    for len in 0..TAG {
        assert_eq!(opener.open(BytesMut::zeroed(len)).unwrap_err(), OpenError::Refused);
    }
}

#[test]
fn debug_prints_no_key() {
    let (sealer, opener) = pair_at(3);
    assert_eq!(format!("{sealer:?} {opener:?}"), "Sealer { n: 3, .. } Opener { n: 3, .. }");
}

/// What both ends of a link seal with, after a handshake with keys of its own.
fn link(rng: &mut Seeded) -> [Sealer; 2] {
    let mut key = || StaticKey::generate(rng);
    let (mut ours, mut theirs) =
        (Noise::xx_initiator(b"", key(), key()), Noise::xx_responder(b"", key(), key()));
    theirs.read(&ours.write(b"one").unwrap()).unwrap();
    ours.read(&theirs.write(b"two").unwrap()).unwrap();
    theirs.read(&ours.write(b"three").unwrap()).unwrap();
    let (there, back) = ours.split();
    [Sealer::new(&there), Sealer::new(&back)]
}

/// Links one after the other, both ways; each second one comes to a change of key.
fn no_nonce_twice(links: usize, records: u64) {
    nonces::watch();
    let (mut rng, mut expected) = (Seeded(5), 0);
    for number in 0..links {
        let mut ends = link(&mut rng);
        // A key and a payload are sealed in each of the messages 2 and 3.
        expected += 4;
        if number % 2 == 1 {
            // Rekeying seals as well, once each way.
            expected += 2;
            for sealer in &mut ends {
                sealer.0.n = REKEY_RECORDS - records / 2;
            }
        }
        // Nobody opens: the other end would make the next key out of the same seal, and no record has its nonce.
        for _ in 0..records {
            for sealer in &mut ends {
                sealed(sealer, b"there and back");
            }
            expected += 2;
        }
        expected += usize::try_from(records / REKEY_RECORDS).unwrap() * 2;
    }
    assert_eq!(nonces::count(), expected);
}

#[test]
fn d5_no_record_of_100_000_has_the_nonce_of_another_under_one_key() {
    no_nonce_twice(50, 1_000);
}

#[test]
#[ignore = "takes half a minute; two million records on one link, so that its keys change by themselves"]
fn d5_no_record_of_two_million_has_the_nonce_of_another_under_one_key() {
    no_nonce_twice(1, REKEY_RECORDS + 1_000);
}

proptest! {
    #[test]
    fn any_flipped_bit_is_refused_and_the_records_after_it_still_open(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6),
        which in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
        start in prop_oneof![Just(0_u64), Just((1 << 20) - 2), any::<u32>().prop_map(u64::from)],
    ) {
        let (mut sealer, mut opener) = pair_at(start);
        let hit = which.index(texts.len());
        for (number, text) in texts.iter().enumerate() {
            let record = sealed(&mut sealer, text);
            if number == hit {
                let bit = bit.index(record.len() * 8);
                let mut altered = record.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(opener.open(altered).unwrap_err(), OpenError::Refused);
            }
            prop_assert_eq!(opener.open(record).unwrap(), text.as_slice());
        }
    }
}
