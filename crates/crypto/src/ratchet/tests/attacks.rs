//! What those who stand between, and those who steal, get from a session: nothing that they should not.

use super::*;
use crate::Identity;
use crate::testing::SMALL_ORDER_X25519;
use crate::{sign, verify};
use darkchat_proto::{Deliver, Post, SealedHead, Signed};

#[test]
fn d4_every_flipped_bit_is_refused_and_the_session_still_works() {
    let (mut alice, mut bob, mut rng) = talking(20);
    // The first message of a chain, and one inside a chain.
    for _ in 0..2 {
        let packet = alice.seal(NOW, b"psst").unwrap();
        let before = bob.dump();
        for bit in 8..packet.len() * 8 {
            let mut altered = packet.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            let (head, sealed) = cut(&altered.into());
            assert_eq!(bob.open(NOW, &head, &sealed, &mut rng), Err(OpenError::Refused), "bit {bit}");
        }
        assert_eq!(bob.dump(), before);
        assert_eq!(open(&mut bob, &packet, &mut rng), Ok("psst".into()));
    }
}

#[test]
fn d4_a_half_open_session_takes_the_right_first_message_after_any_wrong_one() {
    let Pair { mut alice, bob, mut rng } = pair(21);
    let (head, sealed) = cut(&alice.seal(NOW, b"psst").unwrap());
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(bob.open(NOW, &head, &altered, &mut rng).is_err());
    }
    for dh in SMALL_ORDER_X25519 {
        assert!(bob.open(NOW, &DirectHead { dh, ..head }, &sealed, &mut rng).is_err());
    }
    assert_eq!(bob.open(NOW, &head, &sealed, &mut rng).unwrap().1, "psst");
}

#[test]
fn d6_ones_own_packets_sent_back_are_refused() {
    let (mut alice, mut bob, mut rng) = talking(22);
    for _ in 0..3 {
        let packets = [alice.seal(NOW, b"to bob").unwrap(), bob.seal(NOW, b"to alice").unwrap()];
        let before = (alice.dump(), bob.dump());
        assert_eq!(open(&mut alice, &packets[0], &mut rng), Err(OpenError::Refused));
        assert_eq!(open(&mut bob, &packets[1], &mut rng), Err(OpenError::Refused));
        assert_eq!((alice.dump(), bob.dump()), before);
        open(&mut alice, &packets[1], &mut rng).unwrap();
        open(&mut bob, &packets[0], &mut rng).unwrap();
    }
}

#[test]
fn a_packet_of_another_session_is_refused_under_its_own_name_and_under_ours() {
    let (mut alice, mut bob, mut rng) = talking(23);
    let (_, mut other, _) = talking(24);
    let before = other.dump();
    let (head, sealed) = cut(&alice.seal(NOW, b"psst").unwrap());
    assert_eq!(other.open(NOW, &head, &sealed, &mut rng), Err(OpenError::Refused));
    let renamed = DirectHead { session: other.id(), ..head };
    assert_eq!(other.open(NOW, &renamed, &sealed, &mut rng), Err(OpenError::Refused));
    assert_eq!(other.dump(), before);
    assert_eq!(bob.open(NOW, &head, &sealed, &mut rng), Ok("psst".into()));
}

#[test]
fn a_ratchet_key_of_small_order_is_refused() {
    let (keys, _, mut rng) = keys(25);
    let (_, mut bob, _) = talking(26);
    let before = bob.dump();
    for dh in SMALL_ORDER_X25519 {
        assert!(Ratchet::call(&keys, &dh, NOW, &mut rng).is_err());
        let head = DirectHead { session: bob.id(), dh, previous: 0, number: 0 };
        assert_eq!(bob.open(NOW, &head, &[0; 64], &mut rng), Err(OpenError::Refused));
    }
    assert_eq!(bob.dump(), before);
}

#[test]
fn d12_every_prefix_and_extension_of_a_packet_is_refused() {
    let (mut alice, mut bob, mut rng) = talking(27);
    for plain in [&b""[..], b"psst", &[7; 300]] {
        let packet = alice.seal(NOW, plain).unwrap();
        let before = bob.dump();
        for len in 0..packet.len() {
            let Ok(cut) = Packet::decode(packet.slice(..len)) else { continue };
            let Packet::Message { head, sealed } = cut else { panic!("still a message") };
            assert!(bob.open(NOW, &head, &sealed, &mut rng).is_err(), "{len} bytes");
        }
        for more in [&[0][..], &[0; 16], b"psst"] {
            let (head, sealed) = cut(&[&packet, more].concat().into());
            assert!(bob.open(NOW, &head, &sealed, &mut rng).is_err());
        }
        assert_eq!(bob.dump(), before);
        assert_eq!(open(&mut bob, &packet, &mut rng).as_deref(), Ok(plain));
    }
}

/// All that somebody with these secrets can try on a packet: each as a message key, as a chain key for as far as a
/// receiver would go, and as a root key with every private key that is known.
fn break_open(secrets: &[[u8; 32]], private: &[&StaticKey], hash: &[u8; 32], packet: &Bytes) -> bool {
    let (head, sealed) = cut(packet);
    let associated = associated(hash, &head);
    let opens = |key: &MessageKey| key.open(&associated, &sealed).is_ok();
    let chain_opens =
        |mut chain: Chain| (0..=MAX_STEP).any(|_| chain.step().is_some_and(|(_, key)| opens(&key)));
    secrets.iter().any(|secret| {
        let key = || Zeroizing::new(*secret);
        let turned = private.iter().filter_map(|own| turn(&key(), own, &head.dh).ok());
        let further: Vec<Chain> = turned.map(|(_, chain)| chain).collect();
        opens(&MessageKey::new(*secret))
            || chain_opens(Chain::new(key()))
            || further.into_iter().any(chain_opens)
    })
}

/// What a thief finds in a process.
fn stolen(ratchet: &Ratchet) -> Vec<[u8; 32]> {
    let chains = [Some(&ratchet.sending), ratchet.receiving.as_ref()];
    let chains = chains.into_iter().flatten().map(Chain::secret);
    let skipped = ratchet.skipped.all().map(|(_, _, key, _)| key);
    chains.chain(skipped).chain([*ratchet.session.root]).collect()
}

#[test]
fn d11_what_was_sent_before_does_not_open_with_what_is_left_in_both_states() {
    let (mut alice, mut bob, mut rng) = talking(28);
    let mut recorded = Vec::new();
    for round in 0..12 {
        let (from, to) = if round % 3 == 2 { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
        for _ in 0..3 {
            let packet = from.seal(NOW, b"recorded").unwrap();
            open(to, &packet, &mut rng).unwrap();
            recorded.push(packet);
        }
    }
    let private = [&alice.session.own, &bob.session.own];
    let secrets = [stolen(&alice), stolen(&bob)].concat();
    assert_eq!(secrets.len(), 6, "no key of a message is left");
    for packet in &recorded {
        assert!(!break_open(&secrets, &private, &alice.session.hash, packet));
    }
    // The thief's tools are good: what comes next does open with them.
    let (secrets, hash) = ([stolen(&alice), stolen(&bob)].concat(), alice.session.hash);
    let private = [alice.session.own.clone(), bob.session.own.clone()];
    let next = alice.seal(NOW, b"next").unwrap();
    assert!(break_open(&secrets, &private.each_ref(), &hash, &next));
}

#[test]
fn d11_both_identities_do_not_open_a_recorded_session() {
    let network = Network::default();
    let mut rng = Seeded(29);
    let (bob, bobs_key) = (Identity::from_seed([2; 32]), StaticKey::generate(&mut rng));
    let alices_key = StaticKey::generate(&mut rng);
    let callee = Callee::own(bob.user_id(), DeviceId::new([2; 16]), &bobs_key, b"bundle");
    let (calling, init) = Calling::start(&network, &alices_key, &callee, b"who calls", &mut rng).unwrap();
    let (answering, _) = Answering::read_init(&network, &bobs_key, &callee, &init, &mut rng).unwrap();
    let (half, resp) = answering.establish(darkchat_proto::Features::NONE, NOW, &mut rng).unwrap();
    let (mut alice, _) = calling.establish(&resp, NOW, &mut rng).unwrap();
    let (head, sealed) = cut(&alice.seal(NOW, b"recorded").unwrap());
    drop((calling, alice));

    // The identities sign bundles and take no part in the secrets. Even with the devices' short-lived keys a thief
    // learns who called, and not what was said.
    let (again, who) = Answering::read_init(&network, &bobs_key, &callee, &init, &mut rng).unwrap();
    assert_eq!(who, "who calls");
    let (posing, _) = again.establish(darkchat_proto::Features::NONE, NOW, &mut rng).unwrap();
    let renamed = DirectHead { session: posing.id(), ..head };
    assert!(posing.open(NOW, &renamed, &sealed, &mut rng).is_err());
    let (calling, _) = Calling::start(&network, &alices_key, &callee, b"who calls", &mut rng).unwrap();
    assert!(calling.read_resp(&resp).is_err());
    assert!(half.open(NOW, &head, &sealed, &mut rng).is_ok(), "what was recorded is what was sent");
}

#[test]
fn a_stolen_state_heals_after_a_round_trip() {
    let (mut alice, mut bob, mut rng) = talking(30);
    let (mut thief, mut thiefs_rng) = (alice.copy(), Seeded(666));
    let own = alice.session.own.clone();
    let mut secrets = stolen(&alice);

    // A round trip, which the thief reads: it begins with the key that was stolen.
    let asked = alice.seal(NOW, b"with the stolen key").unwrap();
    open(&mut bob, &asked, &mut rng).unwrap();
    let answer = bob.seal(NOW, b"while stolen").unwrap();
    assert!(break_open(&secrets, &[&own], &alice.session.hash, &answer));
    assert!(open(&mut thief, &answer, &mut thiefs_rng).is_ok(), "the thief reads what comes next");
    open(&mut alice, &answer, &mut rng).unwrap();

    // From now on alice sends with a key that was made after the theft.
    secrets.extend(stolen(&thief));
    let (private, hash) = ([own, thief.session.own.clone()], alice.session.hash);
    for round in 0..6 {
        let (from, to) = if round % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let packet = from.seal(NOW, b"healed").unwrap();
        assert_eq!(open(&mut thief.copy(), &packet, &mut thiefs_rng), Err(OpenError::Refused));
        assert!(!break_open(&secrets, &private.each_ref(), &hash, &packet), "round {round}");
        open(to, &packet, &mut rng).unwrap();
    }
}

#[test]
fn d15_a_direct_message_is_no_post_and_a_post_no_direct_message() {
    let (mut alice, mut bob, mut rng) = talking(31);
    let packet = alice.seal(NOW, &[0; 300]).unwrap();
    let network = Network::default();
    let author = Identity::from_seed([1; 32]);
    // A packet where a post is expected, even one that somebody signed as a post.
    assert!(Deliver::decode(packet.clone()).is_err());
    assert!(Post::decode(packet.clone()).is_err());
    let signed = Signed { sig: author.sign(&sign::post(&network, &packet)), body: packet.clone() };
    assert!(verify::post(&network, &signed).is_err());
    // A sealed post has a head without secrets, which a packet can pass for; it fails at the seal (see `group`).
    assert!(SealedHead::decode(&packet).is_ok());

    // A post where a packet is expected.
    let before = bob.dump();
    let body = signed.encode();
    assert!(Packet::decode(body.clone()).is_err());
    let (head, _) = cut(&packet);
    assert_eq!(bob.open(NOW, &head, &body, &mut rng), Err(OpenError::Refused));
    assert_eq!(bob.dump(), before);
}
