//! The patterns against published vectors and against snow, both ways.

use super::*;
use crate::testing::{array, hex, key, vectors};
use serde_json::Value;

struct Pair {
    initiator: Noise,
    responder: Noise,
}

fn pair_of(vector: &Value) -> Pair {
    let keys =
        |side: &str| (key(&vector[format!("{side}_static")]), key(&vector[format!("{side}_ephemeral")]));
    let ((is, ie), (rs, re)) = (keys("init"), keys("resp"));
    let (ip, rp) = (hex(&vector["init_prologue"]), hex(&vector["resp_prologue"]));
    if vector["protocol_name"].as_str().unwrap().contains("_IK_") {
        let known = array(&vector["init_remote_static"]);
        Pair {
            initiator: Noise::ik_initiator(&ip, is, ie, known),
            responder: Noise::ik_responder(&rp, rs, re),
        }
    } else {
        Pair { initiator: Noise::xx_initiator(&ip, is, ie), responder: Noise::xx_responder(&rp, rs, re) }
    }
}

#[test]
fn both_patterns_give_the_published_bytes() {
    let file = vectors("noise_xx_ik_25519_aesgcm_sha256.json");
    let all = file["vectors"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    for vector in all {
        let Pair { mut initiator, mut responder } = pair_of(vector);
        let name = vector["protocol_name"].as_str().unwrap();
        let handshake = if name.contains("_IK_") { 2 } else { 3 };
        let messages = vector["messages"].as_array().unwrap();
        for (turn, message) in messages.iter().take(handshake).enumerate() {
            let (payload, expected) = (hex(&message["payload"]), hex(&message["ciphertext"]));
            let (writer, reader) = if turn % 2 == 0 {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            assert_eq!(writer.write(&payload).unwrap(), expected, "{name} message {turn}");
            assert_eq!(reader.read(&expected).unwrap(), payload, "{name} message {turn}");
        }
        assert_eq!(initiator.hash(), &array(&vector["handshake_hash"]));
        assert_eq!(responder.hash(), initiator.hash());

        let (there, back) = initiator.split();
        assert_eq!((there.clone(), back.clone()), responder.split());
        for (turn, message) in messages.iter().enumerate().skip(handshake) {
            // In IK the first transport message is the initiator's, in XX the responder's: they alternate on.
            let key = if turn % 2 == 0 { &there } else { &back };
            let (payload, expected) = (hex(&message["payload"]), hex(&message["ciphertext"]));
            let mut text = payload.clone();
            let count = u64::try_from((turn - handshake) / 2).unwrap();
            let tag = Aead::new(key).seal(nonce(count), &[], &mut text).unwrap();
            text.extend(tag);
            assert_eq!(text, expected, "{name} transport message {turn}");
        }
    }
}

const PROLOGUE: &[u8] = b"a prologue";

fn snow(name: &str) -> snow::Builder<'static> {
    snow::Builder::new(name.parse().unwrap())
}

fn ours(seed: u8) -> StaticKey {
    StaticKey::from_bytes(&[seed; 32])
}

/// Runs all messages between our state and snow's, then compares hash and both transport directions.
fn talk(mut ours: Noise, mut theirs: snow::HandshakeState) {
    let mut buffer = [0; 1024];
    while !theirs.is_handshake_finished() {
        if theirs.is_my_turn() {
            let len = theirs.write_message(b"from snow", &mut buffer).unwrap();
            assert_eq!(ours.read(&buffer[..len]).unwrap(), b"from snow");
        } else {
            let message = ours.write(b"from us").unwrap();
            let len = theirs.read_message(&message, &mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"from us");
        }
    }
    assert_eq!(theirs.get_handshake_hash(), ours.hash());
    assert_eq!(ours.write(b"").unwrap_err(), NoiseError::Cut);

    let (there, back) = ours.split();
    let (send, receive) = if ours.initiator { (there, back) } else { (back, there) };
    let mut transport = theirs.into_transport_mode().unwrap();
    let mut text = b"sealed by us".to_vec();
    let tag = Aead::new(&send).seal(nonce(0), &[], &mut text).unwrap();
    text.extend(tag);
    let len = transport.read_message(&text, &mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"sealed by us");
    let len = transport.write_message(b"sealed by snow", &mut buffer).unwrap();
    assert_eq!(Aead::new(&receive).open(nonce(0), &[], &mut buffer[..len]).unwrap(), b"sealed by snow");
}

#[test]
fn snow_understands_our_xx_initiator() {
    let theirs = snow("Noise_XX_25519_AESGCM_SHA256")
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(&[7; 32])
        .unwrap()
        .build_responder()
        .unwrap();
    talk(Noise::xx_initiator(PROLOGUE, ours(1), ours(2)), theirs);
}

#[test]
fn snow_understands_our_xx_responder() {
    let theirs = snow("Noise_XX_25519_AESGCM_SHA256")
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(&[7; 32])
        .unwrap()
        .build_initiator()
        .unwrap();
    talk(Noise::xx_responder(PROLOGUE, ours(1), ours(2)), theirs);
}

#[test]
fn snow_understands_our_ik_initiator() {
    let theirs = snow("Noise_IK_25519_AESGCM_SHA256")
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(&[7; 32])
        .unwrap()
        .build_responder()
        .unwrap();
    talk(Noise::ik_initiator(PROLOGUE, ours(1), ours(2), *ours(7).public()), theirs);
}

#[test]
fn snow_understands_our_ik_responder() {
    let theirs = snow("Noise_IK_25519_AESGCM_SHA256")
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(&[7; 32])
        .unwrap()
        .remote_public_key(ours(1).public())
        .unwrap()
        .build_initiator()
        .unwrap();
    talk(Noise::ik_responder(PROLOGUE, ours(1), ours(2)), theirs);
}

#[test]
fn another_prologue_ends_the_handshake_at_the_first_sealed_message() {
    let mut initiator = Noise::xx_initiator(b"one", ours(1), ours(2));
    let mut responder = Noise::xx_responder(b"two", ours(3), ours(4));
    let first = initiator.write(b"").unwrap();
    responder.read(&first).unwrap();
    let second = responder.write(b"").unwrap();
    assert_eq!(initiator.read(&second).unwrap_err(), NoiseError::Unopened);
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let initiator = Noise::ik_initiator(PROLOGUE, ours(1), ours(2), *ours(3).public());
    let message = initiator.clone().write(b"payload").unwrap();
    for len in 0..message.len() {
        let mut responder = Noise::ik_responder(PROLOGUE, ours(3), ours(4));
        assert!(responder.read(&message[..len]).is_err(), "{len} bytes");
    }
    let mut longer = message.clone();
    longer.push(0);
    assert!(Noise::ik_responder(PROLOGUE, ours(3), ours(4)).read(&longer).is_err());
}

#[test]
fn a_key_of_small_order_is_refused() {
    for point in crate::testing::SMALL_ORDER_X25519 {
        let mut responder = Noise::xx_responder(PROLOGUE, ours(3), ours(4));
        responder.read(&point).unwrap();
        assert_eq!(responder.write(b"").unwrap_err(), NoiseError::WeakKey);

        let mut initiator = Noise::ik_initiator(PROLOGUE, ours(1), ours(2), point);
        assert_eq!(initiator.write(b"").unwrap_err(), NoiseError::WeakKey);
    }
}
