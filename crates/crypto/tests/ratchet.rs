//! The direct session of the vectors through the public interface, byte for byte, and two devices that talk.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its vectors has failed")]

use bytes::Bytes;
use darkchat_crypto::direct::{Answering, Callee, Calling, keeps_own_call};
use darkchat_crypto::ratchet::{HalfOpen, Ratchet};
use darkchat_crypto::{OpenError, StaticKey};
use darkchat_proto::{DeviceId, DirectHead, Network, Packet, Time, UserId};
use data_encoding::HEXLOWER;
use rand_core::{Infallible, TryCryptoRng, TryRng};
use serde_json::Value;
use std::collections::BTreeMap;

const NOW: Time = Time::ZERO;

/// Gives these bytes and then none: so that a key which is made is the vector's, and none is made besides.
struct Script(Vec<u8>);

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are filled from bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are filled from bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/dchat1-draft.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["dm"].clone()
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn script(value: &Value) -> Script {
    Script(hex(value))
}

fn key(value: &Value) -> StaticKey {
    StaticKey::generate(&mut script(value))
}

/// The vector's packet, with the first byte that the file leaves out.
fn packet(dm: &Value, name: &str) -> Bytes {
    [&[3], hex(&dm["messages"][name]).as_slice()].concat().into()
}

fn cut(packet: &Bytes) -> (DirectHead, Bytes) {
    let Ok(Packet::Message { head, sealed }) = Packet::decode(packet.clone()) else { panic!("a message") };
    (head, sealed)
}

/// The handshake of the vectors, up to the two states.
fn sessions(dm: &Value) -> (Ratchet, HalfOpen) {
    let network = Network::default();
    let (alice, bob) = (key(&dm["alice_dh"]), key(&dm["bob_dh"]));
    let user = UserId::new(hex(&dm["bob_user"]).try_into().unwrap());
    let device = DeviceId::new(hex(&dm["bob_device"]).try_into().unwrap());
    let callee = Callee::own(user, device, &bob, &hex(&dm["bob_bundle_body"]));
    let mut rng = script(&dm["alice_ephemeral"]);
    let (calling, init) = Calling::start(&network, &alice, &callee, &hex(&dm["payload1"]), &mut rng).unwrap();
    let mut rng = script(&dm["bob_ephemeral"]);
    let (answering, _) = Answering::read_init(&network, &bob, &callee, &init, &mut rng).unwrap();
    let ratchet = key(&dm["bob_ratchet0_private"]);
    assert_eq!(ratchet.public().to_vec(), hex(&dm["payload2_ratchet_pub"]));
    let (keys, resp) = answering.reply(ratchet.public()).unwrap();
    let half = HalfOpen::new(&keys, ratchet, NOW);
    let (keys, theirs) = calling.read_resp(&resp).unwrap();
    let mut rng = script(&dm["alice_ratchet0_private"]);
    let alice = Ratchet::call(&keys, theirs.as_ref().try_into().unwrap(), NOW, &mut rng).unwrap();
    assert_eq!(alice.id().as_bytes().to_vec(), hex(&dm["session_id"]));
    (alice, half)
}

#[test]
fn seven_messages_are_sealed_and_opened_as_in_the_vectors() {
    let dm = vectors();
    let (mut alice, half) = sessions(&dm);
    let mut bob = None;
    // Which messages have left by the time that each of these arrives.
    let leave: BTreeMap<&str, (&str, &[&str])> = BTreeMap::from([
        ("a0", ("alice", ["a0", "a1", "a2"].as_slice())),
        ("b1", ("bob", &["b0", "b1"])),
        ("a3", ("alice", &["a3"])),
        ("b2", ("bob", &["b2"])),
    ]);
    for row in dm["receive_order"].as_array().unwrap() {
        let name = row["message"].as_str().unwrap();
        if let Some((sender, names)) = leave.get(name) {
            for name in *names {
                let sender = if *sender == "alice" { Some(&mut alice) } else { bob.as_mut() };
                let sealed = sender.unwrap().seal(NOW, name.as_bytes()).unwrap();
                assert_eq!(sealed, packet(&dm, name), "{name}");
            }
        }
        let (head, sealed) = cut(&packet(&dm, name));
        let mut rng = script(&row["fresh_ratchet_private_if_dh_step"]);
        let is_alice = row["receiver"] == "alice";
        let plain = match (is_alice, &mut bob) {
            (true, _) => alice.open(NOW, &head, &sealed, &mut rng).unwrap(),
            (false, Some(bob)) => bob.open(NOW, &head, &sealed, &mut rng).unwrap(),
            (false, None) => {
                let (ratchet, plain) = half.open(NOW, &head, &sealed, &mut rng).unwrap();
                bob = Some(ratchet);
                plain
            }
        };
        assert_eq!(plain, row["plain"].as_str().unwrap().as_bytes(), "{name}");
    }
    let mut bob = bob.unwrap();
    for name in ["a0", "a1", "a2", "a3", "b0", "b1", "b2"] {
        let (head, sealed) = cut(&packet(&dm, name));
        let receiver = if name.starts_with('a') { &mut bob } else { &mut alice };
        let again = receiver.open(NOW, &head, &sealed, &mut Script(Vec::new()));
        assert_eq!(again, Err(OpenError::Refused), "{name} a second time");
    }
}

#[test]
fn of_two_calls_at_once_one_goes_on_and_both_sides_know_which() {
    let device = |user: u8, device: u8| (UserId::new([user; 32]), DeviceId::new([device; 16]));
    for (one, other) in [(device(1, 9), device(2, 0)), (device(1, 1), device(1, 2))] {
        let (one, other) = ((&one.0, &one.1), (&other.0, &other.1));
        assert!(keeps_own_call(one, other) && !keeps_own_call(other, one));
    }
}
