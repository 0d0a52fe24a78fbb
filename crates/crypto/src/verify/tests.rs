//! Signatures that must not pass, and those of the vectors, which must.

use super::*;
use crate::testing::{array, hex, vectors};
use crate::{Context, Identity};
use bytes::Bytes;
use darkchat_proto::{
    ChannelId, ChannelSecret, DeviceId, Entry, Features, Invite, RecordFlags, ServerId, Tag,
};
use ed25519_dalek::Verifier as _;
use proptest::prelude::*;

fn network() -> Network {
    Network::default()
}

fn alice() -> Identity {
    Identity::from_seed([1; 32])
}

fn mallory() -> Identity {
    Identity::from_seed([66; 32])
}

fn a_post(author: &Identity) -> Bytes {
    Post {
        author: author.user_id(),
        channel: ChannelId::new([3; 32]),
        stream: 1,
        seq: 1,
        time_ms: 1,
        name: "alice".to_owned(),
        entries: vec![Entry::text("hello")],
    }
    .encode()
}

fn a_bundle(user: &Identity, dh: [u8; 32]) -> Bytes {
    Bundle {
        suite: 1,
        user: user.user_id(),
        device: DeviceId::new([4; 16]),
        dh,
        not_before_ms: 1,
        not_after_ms: 2,
        server: ServerId::new([5; 32]),
        features: Features::NONE,
    }
    .encode()
}

fn a_record(server: &Identity) -> Bytes {
    ServerRecord {
        server: server.server_id(),
        epoch: 1,
        seq: 1,
        issued_ms: 1,
        addrs: Vec::new(),
        flags: RecordFlags::DIALABLE,
        neighbours: Vec::new(),
        version: 1,
        features: Features::NONE,
    }
    .encode()
}

fn a_shard(server: &Identity) -> Bytes {
    InterestShard { server: server.server_id(), epoch: 1, seq: 1, bits: 0, shard: 0, tags: vec![Tag(7)] }
        .encode()
}

fn a_rekey(admin: &Identity) -> Bytes {
    let next = Invite {
        network: network(),
        channel: ChannelId::new([8; 32]),
        generation: 1,
        step: 0,
        secret: ChannelSecret::new([9; 32]),
        start_ms: 1,
        admins: vec![admin.user_id()],
        servers: Vec::new(),
        name: String::new(),
        members_hash: None,
    };
    let (old_channel, reason) = (ChannelId::new([7; 32]), String::new());
    let (members, removed) = (Vec::new(), Vec::new());
    Rekey { admin: admin.user_id(), old_channel, next, members, removed, reason }.encode()
}

/// One kind of signed body: how it is made, what is signed, and how it is verified.
struct Kind {
    body: fn(&Identity) -> Bytes,
    request: fn(&Network, &[u8]) -> SignRequest,
    verify: fn(&Network, &Signed) -> Result<(), VerifyError>,
}

const KINDS: [Kind; 5] = [
    Kind { body: a_post, request: sign::post, verify: |n, s| post(n, s).map(|_| ()) },
    Kind {
        body: |user| a_bundle(user, [6; 32]),
        request: sign::bundle,
        verify: |n, s| bundle(n, s).map(|_| ()),
    },
    Kind { body: a_record, request: sign::record, verify: |n, s| record(n, s).map(|_| ()) },
    Kind { body: a_shard, request: sign::shard, verify: |n, s| shard(n, s).map(|_| ()) },
    Kind { body: a_rekey, request: sign::rekey, verify: |n, s| rekey(n, s).map(|_| ()) },
];

fn signed(signer: &Identity, kind: &Kind, body: Bytes) -> Signed {
    Signed { sig: signer.sign(&(kind.request)(&network(), &body)), body }
}

#[test]
fn each_kind_verifies_in_its_own_network_only() {
    for kind in KINDS {
        let signed = signed(&alice(), &kind, (kind.body)(&alice()));
        assert_eq!((kind.verify)(&network(), &signed), Ok(()));
        let other = "other".parse().unwrap();
        assert_eq!((kind.verify)(&other, &signed), Err(VerifyError::BadSignature));
    }
}

#[test]
fn what_was_verified_is_what_was_decoded() {
    let signed = signed(&alice(), &KINDS[0], a_post(&alice()));
    let verified = post(&network(), &signed).unwrap();
    assert_eq!(verified.author, alice().user_id());
    assert_eq!(verified.into_inner(), Post::decode(signed.body).unwrap());
}

#[test]
fn a_body_that_names_another_key_than_the_signers_is_refused() {
    // D15: a record of one server under the id of another, and the same for every other kind.
    for kind in KINDS {
        let forged = signed(&mallory(), &kind, (kind.body)(&alice()));
        assert_eq!((kind.verify)(&network(), &forged), Err(VerifyError::BadSignature));
    }
}

#[test]
fn a_body_signed_for_one_purpose_serves_no_other() {
    // D15: even where the same bytes would decode as another kind, the label is another.
    for (from, kind) in KINDS.iter().enumerate() {
        let good = signed(&alice(), kind, (kind.body)(&alice()));
        for (to, other) in KINDS.iter().enumerate() {
            assert_eq!((other.verify)(&network(), &good).is_ok(), from == to, "kind {from} as {to}");
            let body = (other.body)(&alice());
            let relabelled = Signed { sig: alice().sign(&(kind.request)(&network(), &body)), body };
            let result = (other.verify)(&network(), &relabelled);
            assert_eq!(result, if from == to { Ok(()) } else { Err(VerifyError::BadSignature) });
        }
    }
}

#[test]
fn a_signature_of_one_context_never_verifies_in_another() {
    // C6, all pairs, over data that is the same in both.
    let data: [&[u8]; 2] = [&[7; 32], b"a handshake hash, an id, or a body"];
    for from in Context::ALL {
        let signature = alice().sign(&SignRequest::new(from, &network(), &data));
        for to in Context::ALL {
            let asked = SignRequest::new(to, &network(), &data);
            assert_eq!(
                request(&alice().public(), &asked, &signature).is_ok(),
                from == to,
                "{from:?} as {to:?}"
            );
        }
    }
}

#[test]
fn no_signed_prefix_begins_another() {
    let networks = ["main", "mai", "main2", "m", "dchat", "msg"].map(|name| name.parse::<Network>().unwrap());
    let prefixes: Vec<_> = Context::ALL
        .iter()
        .flat_map(|context| {
            networks.iter().map(|network| SignRequest::new(*context, network, &[]).bytes().to_vec())
        })
        .collect();
    for (i, one) in prefixes.iter().enumerate() {
        for (j, other) in prefixes.iter().enumerate() {
            assert_eq!(one.starts_with(other), i == j);
        }
    }
}

#[test]
fn a_request_says_what_it_is_for_and_prints_none_of_its_bytes() {
    let request = sign::post(&network(), b"x");
    assert_eq!(request.context(), Context::Post);
    assert_eq!(request.bytes(), b"dchat/1/msg\0main\0x");
    assert_eq!(format!("{request:?}"), "SignRequest { context: Post, len: 18, .. }");
}

#[test]
fn a_malformed_body_is_told_from_a_bad_signature() {
    for kind in KINDS {
        let junk = signed(&alice(), &kind, Bytes::from_static(b"\xff\xff"));
        assert!(matches!((kind.verify)(&network(), &junk), Err(VerifyError::Malformed(_))));
    }
    let good = signed(&alice(), &KINDS[0], a_post(&alice()));
    let unsigned = Signed { sig: Signature::new([0; 64]), ..good };
    assert_eq!(post(&network(), &unsigned).unwrap_err(), VerifyError::BadSignature);
}

#[test]
fn a_bundle_with_an_all_zero_key_is_refused() {
    let kind = &KINDS[1];
    let zero = signed(&alice(), kind, a_bundle(&alice(), [0; 32]));
    let expected = DecodeError::Value { field: "dh", value: 0 };
    assert_eq!(bundle(&network(), &zero).unwrap_err(), VerifyError::Malformed(expected));
}

#[test]
fn a_weak_author_is_refused_though_its_signature_would_verify() {
    // With the neutral point as key and R, and S = 0, the plain equation holds for every message.
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut sig = [0; 64];
    sig[0] = 1;
    let body = Post { author: darkchat_proto::UserId::new(weak), ..Post::decode(a_post(&alice())).unwrap() }
        .encode();
    let key = VerifyingKey::from_bytes(&weak).unwrap();
    assert!(key.verify(sign::post(&network(), &body).bytes(), &sig.into()).is_ok());
    let signed = Signed { body, sig: Signature::new(sig) };
    assert_eq!(post(&network(), &signed).unwrap_err(), VerifyError::BadSignature);
}

#[test]
fn strict_verification_judges_the_cases_that_implementations_disagree_on() {
    // D3. Where plain verification would accept, our checks are what refuses.
    let file = vectors("ed25519_strict.json");
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 42);
    for case in cases {
        let (key, message, signature) =
            (array(&case["key"]), hex(&case["message"]), array(&case["signature"]));
        let plain = VerifyingKey::from_bytes(&key).unwrap().verify(&message, &(&signature).into()).is_ok();
        assert_eq!(plain, case["plain"].as_bool().unwrap(), "plain: {}", case["comment"]);
        let good = strict(&key, &message, &signature).is_ok();
        assert_eq!(good, case["strict"].as_bool().unwrap(), "strict: {}", case["comment"]);
    }
}

#[test]
fn keys_of_small_order_and_second_encodings_are_refused_before_any_signature() {
    let file = vectors("ed25519_strict.json");
    let keys = |name: &str| -> Vec<[u8; 32]> { file[name].as_array().unwrap().iter().map(array).collect() };
    assert_eq!(keys("small_order_keys").len(), 14);
    for key in keys("small_order_keys") {
        assert!(usable(&key).is_none(), "{key:02x?}");
    }
    assert_eq!(keys("unreduced_keys").len(), 20);
    for key in keys("unreduced_keys") {
        assert!(!VerifyingKey::from_bytes(&key).unwrap().is_weak(), "only its encoding is wrong: {key:02x?}");
        assert!(usable(&key).is_none(), "{key:02x?}");
    }
    for key in keys("reduced_keys_at_the_edge") {
        assert!(usable(&key).is_some(), "{key:02x?}");
    }
    assert!(usable(&alice().public()).is_some());
}

#[test]
fn a_key_that_is_no_point_is_refused() {
    let mut no_point = [0; 32];
    no_point[0] = 2;
    assert!(usable(&no_point).is_none());
}

#[test]
fn the_posts_and_bundle_of_the_vectors_verify() {
    let (draft, messages) = (vectors("dchat1-draft.json"), vectors("dchat1-messages.json"));
    let of = |value: &serde_json::Value| Signed::decode(hex(value).into()).unwrap();
    let verified = post(&network(), &of(&messages["post"]["signed"])).unwrap();
    assert_eq!(verified.author.as_bytes(), &array(&draft["ids"]["alice"]));
    let verified = bundle(&network(), &of(&messages["dm"]["bundle"]["signed"])).unwrap();
    assert_eq!(verified.user.as_bytes(), &array(&draft["ids"]["bob"]));
}

#[test]
fn our_signatures_are_those_of_the_vectors() {
    let (draft, messages) = (vectors("dchat1-draft.json"), vectors("dchat1-messages.json"));
    let alice = Identity::from_seed(array(&draft["ids"]["alice_seed"]));
    let bob = Identity::from_seed(array(&draft["ids"]["bob_seed"]));
    let sig = |identity: &Identity, request: &SignRequest| identity.sign(request).as_bytes().to_vec();

    let channel = &draft["channel"];
    assert_eq!(sig(&alice, &sign::post(&network(), &hex(&channel["body"]))), hex(&channel["sig_by_alice"]));
    let encoded = &messages["post"];
    assert_eq!(sig(&alice, &sign::post(&network(), &hex(&encoded["body"]))), hex(&encoded["sig"]));
    let bundle = &messages["dm"]["bundle"];
    assert_eq!(sig(&bob, &sign::bundle(&network(), &hex(&bundle["body"]))), hex(&bundle["sig"]));

    let group = &draft["group"];
    let plain = hex(&group["plain"]);
    let (expected, body) = plain.split_at(64);
    let parts = [hex(&group["channel_id"]), hex(&group["header"]), body.to_vec()];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert_eq!(sig(&alice, &SignRequest::new(Context::Group, &network(), &parts)), expected);
}

proptest! {
    #[test]
    fn any_flipped_bit_of_body_or_signature_is_refused(which in 0..KINDS.len(), bit in any::<prop::sample::Index>()) {
        let kind = &KINDS[which];
        let Signed { body, sig } = signed(&alice(), kind, (kind.body)(&alice()));
        let mut bytes = [sig.as_bytes(), &body[..]].concat();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let sig = Signature::new(bytes[..64].try_into().unwrap());
        let altered = Signed { sig, body: Bytes::copy_from_slice(&bytes[64..]) };
        prop_assert!((kind.verify)(&network(), &altered).is_err());
    }
}
