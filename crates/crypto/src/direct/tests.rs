//! The direct handshake against vectors and against those who stand between.

use super::*;
use crate::testing::{Script, array, hex, key, vectors};
use crate::{Identity, sign, verify};
use darkchat_proto::{Features, ServerId, Signed};
use proptest::prelude::*;

fn main_net() -> Network {
    Network::default()
}

fn script(byte: u8) -> Script {
    Script::new(&[&[byte; 32]])
}

fn fixed(byte: u8) -> StaticKey {
    StaticKey::from_bytes(&[byte; 32])
}

fn key_of(packet: &Bytes) -> Option<KeyId> {
    let Ok(Packet::Init { key, .. }) = Packet::decode(packet.clone()) else { return None };
    Some(key)
}

fn init_of(packet: &Bytes) -> Option<InitRef> {
    let Ok(Packet::Resp { init, .. }) = Packet::decode(packet.clone()) else { return None };
    Some(init)
}

/// A device with its key and bundle, as others see it.
struct Device {
    user: Identity,
    key: StaticKey,
    body: Bytes,
    callee: Callee,
}

fn device(seed: u8, dh: &StaticKey) -> Device {
    let user = Identity::from_seed([seed; 32]);
    let bundle = Bundle {
        suite: 1,
        user: user.user_id(),
        device: DeviceId::new([seed; 16]),
        dh: *dh.public(),
        not_before_ms: 1,
        not_after_ms: 2,
        server: ServerId::new([9; 32]),
        features: Features::NONE,
    };
    let body = bundle.encode();
    let sig = user.sign(&sign::bundle(&main_net(), &body));
    let verified = verify::bundle(&main_net(), &Signed { body: body.clone(), sig }).unwrap();
    let callee = Callee::of(&verified, &body);
    Device { user, key: dh.clone(), body, callee }
}

#[test]
fn both_packets_and_the_keys_are_those_of_the_vectors() {
    let (draft, messages) = (vectors("dchat1-draft.json"), vectors("dchat1-messages.json"));
    let (dm, framing) = (&draft["dm"], &messages["dm"]["framing"]);
    let (alice, bob) = (key(&dm["alice_dh"]), key(&dm["bob_dh"]));
    let (user, device) = (UserId::new(array(&dm["bob_user"])), DeviceId::new(array(&dm["bob_device"])));
    let callee = Callee::own(user, device, &bob, &hex(&dm["bob_bundle_body"]));
    assert_eq!(callee.prologue(&main_net()), hex(&dm["prologue"]));
    assert_eq!(callee.key_id(), KeyId::new(array(&framing["key_id"])));

    let mut rng = Script::new(&[&hex(&dm["alice_ephemeral"])]);
    let (calling, init) =
        Calling::start(&main_net(), &alice, &callee, &hex(&dm["payload1"]), &mut rng).unwrap();
    assert_eq!(init, hex(&framing["init"]));
    assert_eq!(calling.reference(), InitRef::new(array(&framing["init_ref"])));
    assert_eq!(key_of(&init), Some(callee.key_id()));

    let mut rng = Script::new(&[&hex(&dm["bob_ephemeral"])]);
    let (answering, payload) = Answering::read_init(&main_net(), &bob, &callee, &init, &mut rng).unwrap();
    assert_eq!(payload, hex(&dm["payload1"]));
    assert_eq!(&answering.caller_dh(), alice.public());
    assert_eq!(&answering.caller_ephemeral(), key(&dm["alice_ephemeral"]).public());
    assert_eq!(answering.reference(), calling.reference());

    let (bobs, resp) = answering.reply(&hex(&dm["payload2_ratchet_pub"])).unwrap();
    assert_eq!(resp, hex(&framing["resp"]));
    assert_eq!(init_of(&resp), Some(calling.reference()));
    let (alices, payload) = calling.read_resp(&resp).unwrap();
    assert_eq!(payload, hex(&dm["payload2_ratchet_pub"]));

    assert_eq!(alices, bobs);
    assert_eq!(alices.hash(), &array(&dm["handshake_hash"]));
    assert_eq!(alices.root(), &array(&dm["root_key0"]));
    assert_eq!(alices.session().as_bytes(), &array(&dm["session_id"]));
    assert_eq!(format!("{alices:?}"), "DirectKeys(330234c1d1e31d7e)");
}

#[test]
fn key_id_and_prologue_of_an_encoded_bundle_are_those_of_the_vectors() {
    let (draft, messages) = (vectors("dchat1-draft.json"), vectors("dchat1-messages.json"));
    let bundle = &messages["dm"]["bundle"];
    let signed = Signed::decode(hex(&bundle["signed"]).into()).unwrap();
    let verified = verify::bundle(&main_net(), &signed).unwrap();
    let callee = Callee::of(&verified, &signed.body);
    assert_eq!(callee.key_id(), KeyId::new(array(&bundle["key_id"])));
    assert_eq!(callee.prologue(&main_net()), hex(&bundle["prologue"]));
    assert_eq!(&callee.dh, key(&draft["dm"]["bob_dh"]).public());
}

#[test]
fn another_network_user_device_or_bundle_is_refused() {
    let bob = device(2, &fixed(20));
    let (_, init) = Calling::start(&main_net(), &fixed(10), &bob.callee, b"", &mut script(11)).unwrap();
    let read = |network: &Network, callee: &Callee| {
        Answering::read_init(network, &bob.key, callee, &init, &mut script(21)).map(|_| ()).unwrap_err()
    };
    assert_eq!(read(&"other".parse().unwrap(), &bob.callee), DirectError::Refused);
    let user = Callee { user: UserId::new([7; 32]), ..bob.callee.clone() };
    assert_eq!(read(&main_net(), &user), DirectError::Refused);
    let device = Callee { device: DeviceId::new([7; 16]), ..bob.callee.clone() };
    assert_eq!(read(&main_net(), &device), DirectError::Refused);

    // The last byte of the bundle's hash is not in the key id, but in the prologue.
    let mut hash = bob.callee.hash;
    hash[31] ^= 1;
    assert_eq!(read(&main_net(), &Callee { hash, ..bob.callee.clone() }), DirectError::Refused);
    hash[0] ^= 1;
    assert_eq!(read(&main_net(), &Callee { hash, ..bob.callee.clone() }), DirectError::Other);
}

#[test]
fn d9_a_thief_of_the_callees_key_in_anothers_bundle_is_found_out() {
    // D9: Mallory puts Bob's key into a bundle of her own and forwards what Alice meant for her.
    let (bob, mallory) = (device(2, &fixed(20)), device(3, &fixed(20)));
    let (_, init) = Calling::start(&main_net(), &fixed(10), &mallory.callee, b"", &mut script(11)).unwrap();
    let forwarded = [&[1], bob.callee.key_id().as_bytes().as_slice(), &init[5..]].concat();
    let error = Answering::read_init(&main_net(), &bob.key, &bob.callee, &forwarded, &mut script(21));
    assert_eq!(error.map(|_| ()).unwrap_err(), DirectError::Refused);
}

#[test]
fn d10_the_callers_own_keys_do_not_help_to_answer_in_the_callees_place() {
    // D10: the thief has Alice's identity and her device's key, but not Bob's.
    let (alice, bob) = (device(1, &fixed(10)), device(2, &fixed(20)));
    let (calling, init) = Calling::start(&main_net(), &alice.key, &bob.callee, b"", &mut script(11)).unwrap();
    let posing = Callee::own(bob.user.user_id(), bob.callee.device, &alice.key, &bob.body);
    assert_eq!(posing.key_id(), bob.callee.key_id());
    let read = Answering::read_init(&main_net(), &alice.key, &posing, &init, &mut script(66));
    assert_eq!(read.map(|_| ()).unwrap_err(), DirectError::Refused);

    // Nor does a RESP from an INIT of the thief's own fit.
    let (_, own_init) = Calling::start(&main_net(), &alice.key, &bob.callee, b"", &mut script(67)).unwrap();
    let (answering, _) =
        Answering::read_init(&main_net(), &bob.key, &bob.callee, &own_init, &mut script(21)).unwrap();
    let (_, resp) = answering.reply(b"").unwrap();
    assert_eq!(calling.read_resp(&resp).unwrap_err(), DirectError::Other);
    let renamed = [&[2], calling.reference().as_bytes().as_slice(), &resp[9..]].concat();
    assert_eq!(calling.read_resp(&renamed).unwrap_err(), DirectError::Refused);
}

#[test]
fn keys_of_small_order_are_refused_on_both_sides() {
    let bob = device(2, &fixed(20));
    for dh in crate::testing::SMALL_ORDER_X25519 {
        let weak = Callee { dh, ..bob.callee.clone() };
        let error =
            Calling::start(&main_net(), &fixed(10), &weak, b"", &mut script(11)).map(|_| ()).unwrap_err();
        assert_eq!(error, DirectError::WeakKey);

        let (_, init) = Calling::start(&main_net(), &fixed(10), &bob.callee, b"", &mut script(11)).unwrap();
        let weak = [&init[..5], &dh, &init[37..]].concat();
        let read = Answering::read_init(&main_net(), &bob.key, &bob.callee, &weak, &mut script(21));
        assert_eq!(read.map(|_| ()).unwrap_err(), DirectError::WeakKey);
    }
}

#[test]
fn packets_of_another_kind_or_cut_short_are_refused() {
    let bob = device(2, &fixed(20));
    let (calling, init) =
        Calling::start(&main_net(), &fixed(10), &bob.callee, b"hi", &mut script(11)).unwrap();
    let read =
        |packet: &[u8]| Answering::read_init(&main_net(), &bob.key, &bob.callee, packet, &mut script(21));
    let (_, resp) = read(&init).unwrap().0.reply(b"hello").unwrap();
    for len in 0..init.len() {
        assert!(read(&init[..len]).is_err(), "INIT of {len} bytes");
    }
    for len in 0..resp.len() {
        assert!(calling.read_resp(&resp[..len]).is_err(), "RESP of {len} bytes");
    }
    assert_eq!(read(&resp).map(|_| ()).unwrap_err(), DirectError::Malformed);
    assert_eq!(calling.read_resp(&init).unwrap_err(), DirectError::Malformed);
    assert_eq!((key_of(&resp), init_of(&init)), (None, None));
    assert!(calling.read_resp(&resp).is_ok(), "the right RESP is still taken");
}

#[test]
fn two_calls_never_have_the_same_keys() {
    let bob = device(2, &fixed(20));
    let mut all = Vec::new();
    for caller in [11, 12] {
        for callee in [21, 22] {
            let (_, init) =
                Calling::start(&main_net(), &fixed(10), &bob.callee, b"", &mut script(caller)).unwrap();
            let (answering, _) =
                Answering::read_init(&main_net(), &bob.key, &bob.callee, &init, &mut script(callee)).unwrap();
            all.push(*answering.reply(b"").unwrap().0.root());
        }
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4);
}

const NOW_MS: u64 = 1_800_000_000_000;

/// What `caller` says of an INIT that the key of 32 tens wrote, with a bundle of the user of 32 ones and a time.
fn judge(change: impl FnOnce(&mut Bundle, &mut u64), signer: u8) -> Result<UserId, DirectError> {
    let (bob, key) = (device(2, &fixed(20)), fixed(10));
    let mut bundle = Bundle {
        suite: bundle::SUITE,
        user: Identity::from_seed([1; 32]).user_id(),
        device: DeviceId::new([1; 16]),
        dh: *key.public(),
        not_before_ms: NOW_MS,
        not_after_ms: NOW_MS + bundle::LIFE_MS,
        server: ServerId::new([9; 32]),
        features: Features::NONE,
    };
    let mut time_ms = NOW_MS;
    change(&mut bundle, &mut time_ms);
    let body = bundle.encode();
    let sig = Identity::from_seed([signer; 32]).sign(&sign::bundle(&main_net(), &body));
    let payload = InitPayload { bundle: Signed { body, sig }, time_ms, features: Features::NONE };
    let (_, init) =
        Calling::start(&main_net(), &key, &bob.callee, &payload.encode(), &mut script(11)).unwrap();
    let (answering, read) =
        Answering::read_init(&main_net(), &bob.key, &bob.callee, &init, &mut script(21)).unwrap();
    answering.caller(&main_net(), &read, NOW_MS).map(|(bundle, _)| bundle.user)
}

#[test]
fn a_call_is_answered_only_with_a_good_bundle_of_the_key_that_wrote_it() {
    let refused = Err(DirectError::Payload);
    assert_eq!(judge(|_, _| (), 1), Ok(Identity::from_seed([1; 32]).user_id()));
    assert_eq!(judge(|_, _| (), 3), refused, "signed by another");
    assert_eq!(judge(|bundle, _| bundle.dh = *fixed(12).public(), 1), refused, "the key of another device");
    let ended = |bundle: &mut Bundle, _: &mut u64| {
        bundle.not_before_ms = NOW_MS - bundle::LIFE_MS - 300_001;
        bundle.not_after_ms = NOW_MS - 300_001;
    };
    assert_eq!(judge(ended, 1), refused, "a bundle that has ended");
}

#[test]
fn a_call_may_be_five_minutes_old_or_early_and_no_more() {
    let taken = |at_ms: u64| judge(|_, time_ms| *time_ms = at_ms, 1).is_ok();
    let times = [NOW_MS - 300_001, NOW_MS - 300_000, NOW_MS + 300_000, NOW_MS + 300_001];
    assert_eq!(times.map(taken), [false, true, true, false]);
}

#[test]
fn of_two_calls_at_once_that_of_the_smaller_user_then_device_goes_on() {
    let device = |user: u8, device: u8| (UserId::new([user; 32]), DeviceId::new([device; 16]));
    let keeps = |own: (UserId, DeviceId), other: (UserId, DeviceId)| {
        keeps_own_call((&own.0, &own.1), (&other.0, &other.1))
    };
    assert!(keeps(device(1, 9), device(2, 0)) && !keeps(device(2, 0), device(1, 9)));
    assert!(keeps(device(1, 1), device(1, 2)) && !keeps(device(1, 2), device(1, 1)));
    assert!(!keeps(device(1, 1), device(1, 1)), "nobody is smaller");
}

proptest! {
    #[test]
    fn any_flipped_bit_is_refused_and_the_right_packet_is_still_taken(bit in any::<prop::sample::Index>(), resp in any::<bool>()) {
        let bob = device(2, &fixed(20));
        let (calling, init) =
            Calling::start(&main_net(), &fixed(10), &bob.callee, b"payload", &mut script(11)).unwrap();
        let read = |packet: &[u8]| {
            Answering::read_init(&main_net(), &bob.key, &bob.callee, packet, &mut script(21))
        };
        let (keys, right) = read(&init).unwrap().0.reply(b"payload").unwrap();
        let mut altered = if resp { right.to_vec() } else { init.to_vec() };
        let bit = bit.index(altered.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        if resp {
            prop_assert!(calling.read_resp(&altered).is_err());
            prop_assert_eq!(calling.read_resp(&right).unwrap().0, keys);
        } else {
            // The top bit of an X25519 key is not part of it, yet it is part of the hash.
            prop_assert!(read(&altered).is_err());
        }
    }
}
