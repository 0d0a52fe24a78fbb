//! Links that come up, and every way in which one must not.

use super::*;
use crate::dh::StaticKey;
use crate::testing::{Script, array, hex, key, vectors};
use crate::{Identity, OpenError, system};
use bytes::BytesMut;
use darkchat_proto::{Announced, Auth, Hello, HelloReply, Signature};
use proptest::prelude::*;

const DEVICE: DeviceId = DeviceId::new([4; 16]);
const CLIENT: Dialler = Dialler::Client(DEVICE);
/// As key and R the neutral point, S = 0: plain verification takes it for every message.
const WEAK: [u8; 32] = {
    let mut weak = [0; 32];
    weak[0] = 1;
    weak
};

fn weak_signature() -> Signature {
    let mut signature = [0; 64];
    signature[0] = 1;
    Signature::new(signature)
}

fn alice() -> Identity {
    Identity::from_seed([1; 32])
}

fn bob() -> Identity {
    Identity::from_seed([2; 32])
}

fn mallory() -> Identity {
    Identity::from_seed([66; 32])
}

fn static_key() -> StaticKey {
    StaticKey::from_bytes(&[20; 32])
}

fn closed(secret: u8) -> LinkConfig {
    LinkConfig { secret: Some(NetworkSecret::new([secret; 32])), ..LinkConfig::default() }
}

fn start(config: &LinkConfig, dialler: Dialler) -> (Initiator, Bytes) {
    Initiator::start(config, dialler, None, &mut system::rng())
}

fn read_hello(config: &LinkConfig, message: Bytes) -> Result<(Responder, SignRequest), HandshakeError> {
    Responder::read_hello(
        config,
        &static_key(),
        ServerHello::new(bob().server_id()),
        message,
        &mut system::rng(),
    )
}

/// Bob's answer to message 1, signed as it must be.
fn answer(config: &LinkConfig, message: Bytes) -> (ResponderWaiting, Bytes) {
    let (responder, request) = read_hello(config, message).unwrap();
    let (message, next) = responder.reply(bob().sign(&request));
    (next.unwrap(), message)
}

/// Alice's link, Bob's link, and all three messages.
fn link(config: &LinkConfig, dialler: Dialler) -> (Established, Established, [Bytes; 3]) {
    let (initiator, message1) = start(config, dialler);
    let (waiting, message2) = answer(config, message1.clone());
    let proof = initiator.read_reply(message2.clone()).unwrap();
    let signature = alice().sign(&proof.request());
    let (message3, ours) = proof.finish(alice().public(), signature, Credentials::default()).unwrap();
    let (theirs, _) = waiting.read_auth(message3.clone()).unwrap();
    (ours, theirs, [message1, message2, message3])
}

/// A handshake whose messages, numbered from 0, are changed on the way.
fn up(
    config: &LinkConfig,
    dialler: Dialler,
    change: impl Fn(Bytes, usize) -> Bytes,
) -> Result<(), HandshakeError> {
    let (initiator, message) = start(config, dialler);
    let (responder, request) = read_hello(config, change(message, 0))?;
    let (message, next) = responder.reply(bob().sign(&request));
    let proof = initiator.read_reply(change(message, 1))?;
    let signature = alice().sign(&proof.request());
    let (message, _) = proof.finish(alice().public(), signature, Credentials::default())?;
    next?.read_auth(change(message, 2)).map(|_| ())
}

// What comes out of a good handshake

#[test]
fn a_client_and_a_server_know_each_other_afterwards() {
    let (ours, theirs, _) = link(&LinkConfig::default(), CLIENT);
    assert_eq!((ours.peer.server(), ours.peer.user()), (Some(bob().server_id()), None));
    assert_eq!((theirs.peer.server(), theirs.peer.user()), (None, Some(alice().user_id())));
    assert_eq!((ours.peer.device(), theirs.peer.device()), (None, Some(DEVICE)));
    assert_eq!((ours.peer.role(), theirs.peer.role()), (Role::Client, Role::Client));
    assert_eq!((ours.peer.identity(), theirs.peer.identity()), (&bob().public(), &alice().public()));
}

#[test]
fn two_servers_know_each_other_afterwards() {
    let (ours, theirs, _) = link(&closed(1), Dialler::Peer);
    assert_eq!((ours.peer.server(), ours.peer.user()), (Some(bob().server_id()), None));
    assert_eq!((theirs.peer.server(), theirs.peer.user()), (Some(alice().server_id()), None));
    assert_eq!((ours.peer.role(), theirs.peer.role()), (Role::Peer, Role::Peer));
}

#[test]
fn records_pass_in_both_directions_and_never_back() {
    let (mut ours, mut theirs, _) = link(&LinkConfig::default(), CLIENT);
    let mut record = BytesMut::from("there");
    ours.sealer.seal(&mut record).unwrap();
    assert_eq!(ours.opener.open(record.clone()).unwrap_err(), OpenError::Refused, "reflected");
    assert_eq!(theirs.opener.open(record).unwrap(), "there".as_bytes());
    let mut record = BytesMut::from("back");
    theirs.sealer.seal(&mut record).unwrap();
    assert_eq!(theirs.opener.open(record.clone()).unwrap_err(), OpenError::Refused, "reflected");
    assert_eq!(ours.opener.open(record).unwrap(), "back".as_bytes());
}

#[test]
fn only_features_that_both_offer_are_used() {
    let of = |features| LinkConfig { features, ..LinkConfig::default() };
    let (both, only_ours, only_theirs) = (Features::RESUME, Features::SEALED, Features::DONE);
    let (initiator, message) = start(&of(both | only_ours), CLIENT);
    let (waiting, message) = answer(&of(both | only_theirs), message);
    let proof = initiator.read_reply(message).unwrap();
    assert_eq!(proof.features(), both);
    let signature = alice().sign(&proof.request());
    let (message, ours) = proof.finish(alice().public(), signature, Credentials::default()).unwrap();
    let (theirs, _) = waiting.read_auth(message).unwrap();
    assert_eq!((ours.peer.features(), theirs.peer.features()), (both, both));
}

#[test]
fn announcements_and_credentials_arrive() {
    let announced =
        Announced { max_payload: 1, ping_ms: 2, time_ms: 3, frames_per_s: 4, ..Announced::default() };
    let hello = ServerHello { server: bob().server_id(), announced };
    let config = LinkConfig::default();
    let (initiator, message) = start(&config, CLIENT);
    let (responder, request) =
        Responder::read_hello(&config, &static_key(), hello, message, &mut system::rng()).unwrap();
    let (message, next) = responder.reply(bob().sign(&request));
    let waiting = next.unwrap();
    assert_eq!(waiting.role(), Role::Client);
    let proof = initiator.read_reply(message).unwrap();
    assert_eq!((proof.announced(), proof.server()), (&announced, bob().server_id()));
    let sent = Credentials {
        token: "t".repeat(MAX_TOKEN),
        agent: "a".repeat(MAX_AGENT),
        resume: Some(Resume { token: [7; 16], received: 9 }),
    };
    let signature = alice().sign(&proof.request());
    let (message, _) = proof.finish(alice().public(), signature, sent.clone()).unwrap();
    assert_eq!(waiting.read_auth(message).unwrap().1, sent);
}

#[test]
fn credentials_over_their_bounds_are_told_to_who_gave_them() {
    let finish = |credentials| {
        let config = LinkConfig::default();
        let (initiator, message) = start(&config, CLIENT);
        let proof = initiator.read_reply(answer(&config, message).1).unwrap();
        proof.finish(alice().public(), weak_signature(), credentials).map(|_| ()).unwrap_err()
    };
    let token = Credentials { token: "t".repeat(MAX_TOKEN + 1), ..Credentials::default() };
    assert_eq!(
        finish(token),
        HandshakeError::Credentials { what: "token", len: MAX_TOKEN + 1, max: MAX_TOKEN }
    );
    let agent = Credentials { agent: "a".repeat(MAX_AGENT + 1), ..Credentials::default() };
    assert_eq!(
        finish(agent),
        HandshakeError::Credentials { what: "agent", len: MAX_AGENT + 1, max: MAX_AGENT }
    );
}

// The vectors

#[test]
fn an_encoded_link_is_that_of_the_vectors() {
    let (draft, messages) = (vectors("dchat1-draft.json"), vectors("dchat1-messages.json"));
    let (keys, expected) = (&draft["link"], &messages["link"]);
    let alice = Identity::from_seed(array(&draft["ids"]["alice_seed"]));
    let server = Identity::from_seed(array(&draft["ids"]["server_seed"]));
    let config = LinkConfig { features: Features::RESUME, ..LinkConfig::default() };
    assert_eq!(config.prologue(), hex(&keys["prologue"]));

    let device = DeviceId::new(array(&expected["auth_fields"]["device"]));
    let mut rng = Script::new(&[&hex(&keys["client_ephemeral"]), &hex(&keys["client_noise_static"])]);
    let (initiator, message1) =
        Initiator::start(&config, Dialler::Client(device), Some(server.server_id()), &mut rng);
    assert_eq!(message1, hex(&expected["message1"]));

    let announced = Announced {
        max_payload: 65_536,
        ping_ms: 30_000,
        time_ms: 1_800_000_000_000,
        frames_per_s: 100,
        bytes_per_s: 262_144,
        posts_per_s: 20,
        entries_per_s: 200,
    };
    let hello = ServerHello { server: server.server_id(), announced };
    let mut rng = Script::new(&[&hex(&keys["server_ephemeral"])]);
    let server_static = key(&keys["server_noise_static"]);
    let (responder, request) =
        Responder::read_hello(&config, &server_static, hello, message1, &mut rng).unwrap();
    let h1 = hex(&expected["h1"]);
    assert_eq!(
        request.bytes(),
        [b"dchat/1/link-server\0main\0", h1.as_slice(), server_static.public()].concat()
    );
    let (message2, next) = responder.reply(server.sign(&request));
    assert_eq!(message2, hex(&expected["message2"]));

    let proof = initiator.read_reply(message2).unwrap();
    let (h2, fixed) = (hex(&expected["h2"]), *key(&keys["client_noise_static"]).public());
    let signed = [b"dchat/1/link-client\0main\0", h2.as_slice(), &fixed, &server.public()].concat();
    assert_eq!(proof.request().bytes(), signed);
    let credentials = Credentials { agent: "vectors/1".to_owned(), ..Credentials::default() };
    let signature = alice.sign(&proof.request());
    let (message3, mut ours) = proof.finish(alice.public(), signature, credentials).unwrap();
    assert_eq!(message3, hex(&expected["message3"]));

    let (mut theirs, _) = next.unwrap().read_auth(message3).unwrap();
    assert_eq!(theirs.peer.user(), Some(alice.user_id()));
    let mut record = BytesMut::from(&hex(&expected["welcome_stream"])[..]);
    theirs.sealer.seal(&mut record).unwrap();
    assert_eq!(record, hex(&expected["welcome_record"]));
    assert_eq!(ours.opener.open(record).unwrap(), hex(&expected["welcome_stream"]));
}

#[test]
fn hashes_signatures_and_keys_of_the_draft_vectors_are_ours() {
    let draft = vectors("dchat1-draft.json");
    let link = &draft["link"];
    let alice = Identity::from_seed(array(&draft["ids"]["alice_seed"]));
    let server = Identity::from_seed(array(&draft["ids"]["server_seed"]));
    let network = Network::default();
    let prologue = hex(&link["prologue"]);
    let mut client =
        Noise::xx_initiator(&prologue, key(&link["client_noise_static"]), key(&link["client_ephemeral"]));
    let mut responder =
        Noise::xx_responder(&prologue, key(&link["server_noise_static"]), key(&link["server_ephemeral"]));

    let message = client.write(&hex(&link["payload1"])).unwrap();
    assert_eq!(message, hex(&link["message1"]));
    responder.read(&message).unwrap();
    assert_eq!(responder.hash(), &array(&link["h1"]));
    let request = responder_request(&network, responder.hash(), responder.local_static());
    assert_eq!(server.sign(&request), Signature::new(array(&link["server_sig"])));
    let message = responder.write(&hex(&link["payload2"])).unwrap();
    assert_eq!(message, hex(&link["message2"]));
    client.read(&message).unwrap();
    assert_eq!(client.hash(), &array(&link["h2"]));
    let request =
        initiator_request(&network, Role::Client, client.hash(), client.local_static(), &server.public());
    assert_eq!(alice.sign(&request), Signature::new(array(&link["client_sig"])));
    let message = client.write(&hex(&link["payload3"])).unwrap();
    assert_eq!(message, hex(&link["message3"]));
    assert_eq!(responder.read(&message).unwrap(), hex(&link["payload3"]));
    assert_eq!(responder.hash(), &array(&link["handshake_hash"]));
    let (there, back) = responder.split();
    assert_eq!(there.as_slice(), hex(&link["k_initiator_to_responder"]));
    assert_eq!(back.as_slice(), hex(&link["k_responder_to_initiator"]));
}

#[test]
fn the_prologue_of_a_closed_network_has_the_hash_of_its_secret() {
    let config = LinkConfig { network: "test".parse().unwrap(), ..closed(9) };
    let hash = Sha256::digest([b"dchat/1/net-secret\0".as_slice(), &[9; 32]].concat());
    assert_eq!(config.prologue(), [b"dchat/1/link\0test\0".as_slice(), &hash].concat());
}

// What the initiator refuses, and in which order

/// What a hostile responder sends: any payload, under any keys.
struct Hostile {
    noise: Noise,
    h1: [u8; 32],
}

impl Hostile {
    fn read(message: &Bytes, fixed: StaticKey, ephemeral: StaticKey) -> Self {
        let mut noise = Noise::xx_responder(&LinkConfig::default().prologue(), fixed, ephemeral);
        noise.read(message).unwrap();
        let h1 = *noise.hash();
        Self { noise, h1 }
    }

    fn request(&self) -> SignRequest {
        responder_request(&Network::default(), &self.h1, self.noise.local_static())
    }
}

fn good_reply(sig: Signature) -> HelloReply {
    HelloReply {
        version: VERSION,
        versions: vec![VERSION],
        features: Features::NONE,
        server: bob().public(),
        sig: Some(sig),
        announced: Announced::default(),
    }
}

/// What an initiator that expects `expect` says to a reply that `change` has altered.
fn reply_refused(
    expect: Option<ServerId>,
    signer: &Identity,
    change: impl FnOnce(&Hostile, &mut HelloReply),
) -> Result<InitiatorProof, HandshakeError> {
    let (initiator, message) = Initiator::start(&LinkConfig::default(), CLIENT, expect, &mut system::rng());
    let mut hostile = Hostile::read(&message, static_key(), StaticKey::from_bytes(&[21; 32]));
    let mut reply = good_reply(signer.sign(&hostile.request()));
    change(&hostile, &mut reply);
    initiator.read_reply(hostile.noise.write(&reply.encode()).unwrap().into())
}

#[test]
fn the_checks_of_a_reply_come_in_their_order() {
    let expect = Some(alice().server_id());
    let everything_wrong = |_: &Hostile, reply: &mut HelloReply| {
        (reply.version, reply.versions) = (7, vec![7, 8]);
        reply.server = bob().public();
    };
    let error = reply_refused(expect, &mallory(), everything_wrong).unwrap_err();
    assert_eq!(error, HandshakeError::Version { theirs: vec![7, 8] });

    let error = reply_refused(expect, &mallory(), |_, _| {}).unwrap_err();
    let (expected, found) = (alice().server_id(), bob().server_id());
    assert_eq!(error, HandshakeError::WrongServer { expected, found });
    let text = error.to_string();
    assert!(text.contains(&expected.to_string()) && text.contains(&found.to_string()), "{text}");

    let expect = Some(bob().server_id());
    assert_eq!(reply_refused(expect, &mallory(), |_, _| {}).unwrap_err(), HandshakeError::BadSignature);
    assert!(reply_refused(expect, &bob(), |_, _| {}).is_ok());
    assert!(reply_refused(None, &bob(), |_, _| {}).is_ok());
}

#[test]
fn version_zero_and_a_missing_signature_are_refused() {
    let error = reply_refused(None, &bob(), |_, reply| reply.version = 0).unwrap_err();
    assert_eq!(error, HandshakeError::Version { theirs: vec![VERSION] });
    let unsigned = |_: &Hostile, reply: &mut HelloReply| (reply.version, reply.sig) = (0, None);
    let error = reply_refused(None, &bob(), unsigned).unwrap_err();
    assert_eq!(error, HandshakeError::Version { theirs: vec![VERSION] });
    let error = reply_refused(None, &bob(), |_, reply| reply.sig = None).unwrap_err();
    assert_eq!(error, HandshakeError::Malformed(DecodeError::Length { field: "sig", len: 0 }));
}

#[test]
fn a_server_signature_over_anything_else_is_refused() {
    let network = Network::default();
    type Other = fn(&Network, &Hostile) -> SignRequest;
    let others: [Other; 5] = [
        |network, hostile| responder_request(network, &[0; 32], hostile.noise.local_static()),
        |network, hostile| responder_request(network, &hostile.h1, &[0; 32]),
        |_, hostile| responder_request(&"other".parse().unwrap(), &hostile.h1, hostile.noise.local_static()),
        |network, hostile| {
            SignRequest::new(Context::LinkPeer, network, &[&hostile.h1, hostile.noise.local_static()])
        },
        |network, hostile| {
            SignRequest::new(Context::LinkServer, network, &[hostile.noise.local_static(), &hostile.h1])
        },
    ];
    for other in others {
        let result = reply_refused(None, &bob(), |hostile, reply| {
            reply.sig = Some(bob().sign(&other(&network, hostile)));
        });
        assert_eq!(result.unwrap_err(), HandshakeError::BadSignature);
    }
}

#[test]
fn a_server_with_a_weak_identity_is_refused() {
    let result = reply_refused(None, &bob(), |_, reply| {
        (reply.server, reply.sig) = (WEAK, Some(weak_signature()));
    });
    assert_eq!(result.unwrap_err(), HandshakeError::BadSignature);
}

#[test]
fn a_reply_that_does_not_decode_is_refused() {
    let (initiator, message) = start(&LinkConfig::default(), CLIENT);
    let mut hostile = Hostile::read(&message, static_key(), StaticKey::from_bytes(&[21; 32]));
    let message = hostile.noise.write(b"\xff\xff").unwrap();
    assert!(matches!(initiator.read_reply(message.into()).unwrap_err(), HandshakeError::Malformed(_)));
}

#[test]
fn a_responder_with_keys_of_small_order_is_refused() {
    for point in crate::testing::SMALL_ORDER_X25519 {
        let (initiator, message) = start(&LinkConfig::default(), CLIENT);
        let (_, good) = answer(&LinkConfig::default(), message);
        let weak = [&point, &good[32..]].concat();
        assert_eq!(initiator.read_reply(weak.into()).unwrap_err(), HandshakeError::WeakKey);

        let (initiator, message) = start(&LinkConfig::default(), CLIENT);
        let mut hostile = Hostile::read(&message, StaticKey::claiming(point), static_key());
        let Ok(weak) = hostile.noise.write(b"") else { panic!("its own halves need not fit") };
        assert_eq!(initiator.read_reply(weak.into()).unwrap_err(), HandshakeError::WeakKey);
    }
}

// What the responder refuses

fn hello_with(payload: &[u8]) -> Bytes {
    let keys = (StaticKey::from_bytes(&[30; 32]), StaticKey::from_bytes(&[31; 32]));
    Noise::xx_initiator(&LinkConfig::default().prologue(), keys.0, keys.1).write(payload).unwrap().into()
}

#[test]
fn a_hello_without_a_known_role_or_that_does_not_decode_is_refused() {
    let config = LinkConfig::default();
    let no_role = [0x0a, 1, 1];
    let unknown_role = [0x0a, 1, 1, 0x10, 3];
    for payload in [no_role.as_slice(), &unknown_role, b"\xff\xff"] {
        let error = read_hello(&config, hello_with(payload)).unwrap_err();
        assert!(matches!(error, HandshakeError::Malformed(_)), "{error}");
    }
    assert!(read_hello(&config, hello_with(&[0x0a, 1, 1, 0x10, 2])).is_ok());
}

#[test]
fn a_handshake_message_that_is_too_long_is_refused_unread() {
    let long = Bytes::from(vec![0; MAX_HANDSHAKE_UNIT + 1]);
    let too_long = HandshakeError::TooLong { len: MAX_HANDSHAKE_UNIT + 1, max: MAX_HANDSHAKE_UNIT };
    let config = LinkConfig::default();
    assert_eq!(read_hello(&config, long.clone()).unwrap_err(), too_long);
    let (initiator, message) = start(&config, CLIENT);
    assert_eq!(answer(&config, message).0.read_auth(long.clone()).unwrap_err(), too_long);
    assert_eq!(initiator.read_reply(long).unwrap_err(), too_long);
    let longest = Bytes::from(vec![0xff; MAX_HANDSHAKE_UNIT]);
    assert!(matches!(read_hello(&config, longest).unwrap_err(), HandshakeError::Malformed(_)));
}

#[test]
fn an_initiator_with_an_ephemeral_key_of_small_order_costs_no_signature() {
    for point in crate::testing::SMALL_ORDER_X25519 {
        let weak = [&point, &hello_with(&[0x0a, 1, 1, 0x10, 1])[32..]].concat();
        assert_eq!(read_hello(&LinkConfig::default(), weak.into()).unwrap_err(), HandshakeError::WeakKey);
    }
}

/// An initiator that sends any `Auth` under any static key, up to message 3.
fn auth_refused(
    role: Role,
    fixed: StaticKey,
    make: impl FnOnce(&Noise) -> Auth,
) -> Result<(Established, Credentials), HandshakeError> {
    let config = LinkConfig::default();
    let mut noise = Noise::xx_initiator(&config.prologue(), fixed, StaticKey::from_bytes(&[31; 32]));
    let hello = Hello { versions: vec![VERSION], role, features: Features::NONE };
    let message = noise.write(&hello.encode()).unwrap();
    let (waiting, message) = answer(&config, message.into());
    noise.read(&message).unwrap();
    let auth = make(&noise);
    waiting.read_auth(noise.write(&auth.encode()).unwrap().into())
}

fn good_auth(noise: &Noise, role: Role) -> Auth {
    let (h2, fixed) = (noise.hash(), noise.local_static());
    Auth {
        identity: alice().public(),
        sig: alice().sign(&initiator_request(&Network::default(), role, h2, fixed, &bob().public())),
        device: (role == Role::Client).then_some(DEVICE),
        token: String::new(),
        agent: String::new(),
        resume: None,
    }
}

#[test]
fn the_signature_of_an_initiator_covers_its_role() {
    for role in [Role::Client, Role::Peer] {
        let other = if role == Role::Client { Role::Peer } else { Role::Client };
        assert!(auth_refused(role, static_key(), |noise| good_auth(noise, role)).is_ok());
        let result = auth_refused(role, static_key(), |noise| Auth {
            sig: good_auth(noise, other).sig,
            ..good_auth(noise, role)
        });
        assert_eq!(result.unwrap_err(), HandshakeError::BadSignature);
    }
}

#[test]
fn a_client_without_a_device_and_a_peer_with_one_are_refused() {
    for (role, device, len) in [(Role::Client, None, 0), (Role::Peer, Some(DEVICE), 16)] {
        let result = auth_refused(role, static_key(), |noise| Auth { device, ..good_auth(noise, role) });
        let expected = HandshakeError::Malformed(DecodeError::Length { field: "device", len });
        assert_eq!(result.unwrap_err(), expected);
    }
}

#[test]
fn an_initiator_signature_over_anything_else_is_refused() {
    let network = Network::default();
    type Other = fn(&Network, &Noise) -> SignRequest;
    const ROLE: Role = Role::Client;
    let others: [Other; 5] = [
        |network, noise| initiator_request(network, ROLE, &[0; 32], noise.local_static(), &bob().public()),
        |network, noise| initiator_request(network, ROLE, noise.hash(), &[0; 32], &bob().public()),
        |network, noise| {
            initiator_request(network, ROLE, noise.hash(), noise.local_static(), &mallory().public())
        },
        |_, noise| {
            let network = "other".parse().unwrap();
            initiator_request(&network, ROLE, noise.hash(), noise.local_static(), &bob().public())
        },
        |network, noise| {
            let parts: [&[u8]; 3] = [noise.hash(), noise.local_static(), &bob().public()];
            SignRequest::new(Context::Post, network, &parts)
        },
    ];
    for other in others {
        let result = auth_refused(ROLE, static_key(), |noise| Auth {
            sig: alice().sign(&other(&network, noise)),
            ..good_auth(noise, ROLE)
        });
        assert_eq!(result.unwrap_err(), HandshakeError::BadSignature);
    }
}

#[test]
fn an_initiator_that_signs_for_another_key_or_with_a_weak_one_is_refused() {
    let role = Role::Client;
    let result = auth_refused(role, static_key(), |noise| Auth {
        identity: mallory().public(),
        ..good_auth(noise, role)
    });
    assert_eq!(result.unwrap_err(), HandshakeError::BadSignature);
    let result = auth_refused(role, static_key(), |noise| Auth {
        identity: WEAK,
        sig: weak_signature(),
        ..good_auth(noise, role)
    });
    assert_eq!(result.unwrap_err(), HandshakeError::BadSignature);
}

#[test]
fn an_initiator_with_a_static_key_of_small_order_is_refused() {
    for point in crate::testing::SMALL_ORDER_X25519 {
        let result =
            auth_refused(Role::Client, StaticKey::claiming(point), |noise| good_auth(noise, Role::Client));
        assert_eq!(result.unwrap_err(), HandshakeError::WeakKey);
    }
}

#[test]
fn an_auth_that_does_not_decode_is_refused() {
    let config = LinkConfig::default();
    let mut noise = Noise::xx_initiator(&config.prologue(), static_key(), StaticKey::from_bytes(&[31; 32]));
    let hello = Hello { versions: vec![VERSION], role: Role::Client, features: Features::NONE };
    let (waiting, message) = answer(&config, noise.write(&hello.encode()).unwrap().into());
    noise.read(&message).unwrap();
    let message = noise.write(b"\xff\xff").unwrap();
    assert!(matches!(waiting.read_auth(message.into()).unwrap_err(), HandshakeError::Malformed(_)));
}

#[test]
fn without_a_common_version_both_sides_say_which_they_speak() {
    let config = LinkConfig::default();
    let mut noise = Noise::xx_initiator(&config.prologue(), static_key(), StaticKey::from_bytes(&[31; 32]));
    let hello = Hello { versions: vec![8, 9], role: Role::Client, features: Features::NONE };
    let (responder, request) = read_hello(&config, noise.write(&hello.encode()).unwrap().into()).unwrap();
    let (message, next) = responder.reply(bob().sign(&request));
    assert_eq!(next.unwrap_err(), HandshakeError::Version { theirs: vec![8, 9] });
    let reply = HelloReply::decode(noise.read(&message).unwrap().into()).unwrap();
    assert_eq!((reply.version, reply.versions), (0, vec![VERSION]));
    assert_eq!(reply.sig.map(|sig| sig == bob().sign(&request)), Some(true), "the answer is signed too");
}

#[test]
fn the_newest_common_version_is_chosen_among_many() {
    let config = LinkConfig::default();
    let mut noise = Noise::xx_initiator(&config.prologue(), static_key(), StaticKey::from_bytes(&[31; 32]));
    let hello = Hello { versions: vec![9, VERSION, 8], role: Role::Peer, features: Features::NONE };
    let (responder, request) = read_hello(&config, noise.write(&hello.encode()).unwrap().into()).unwrap();
    let (message, next) = responder.reply(bob().sign(&request));
    assert!(next.is_ok());
    assert_eq!(HelloReply::decode(noise.read(&message).unwrap().into()).unwrap().version, VERSION);
}

// Those who stand between

#[test]
fn networks_and_secrets_must_be_the_same() {
    let open = LinkConfig::default();
    let other = LinkConfig { network: "other".parse().unwrap(), ..LinkConfig::default() };
    for (ours, theirs) in
        [(&open, &other), (&open, &closed(1)), (&closed(1), &open), (&closed(1), &closed(2)), (&other, &open)]
    {
        let (initiator, message) = start(ours, CLIENT);
        let (_, message) = answer(theirs, message);
        assert_eq!(initiator.read_reply(message).unwrap_err(), HandshakeError::Unopened);
    }
    link(&other, CLIENT);
    link(&closed(1), CLIENT);
}

#[test]
fn a_recorded_handshake_cannot_be_replayed() {
    // C4: to the same server, with the same static key, and to another.
    let config = LinkConfig::default();
    let (_, _, [message1, _, message3]) = link(&config, CLIENT);
    let (waiting, _) = answer(&config, message1.clone());
    assert_eq!(waiting.read_auth(message3.clone()).unwrap_err(), HandshakeError::Unopened);

    let other = ServerHello::new(mallory().server_id());
    let key = StaticKey::from_bytes(&[99; 32]);
    let (responder, request) =
        Responder::read_hello(&config, &key, other, message1, &mut system::rng()).unwrap();
    let (_, next) = responder.reply(mallory().sign(&request));
    assert_eq!(next.unwrap().read_auth(message3).unwrap_err(), HandshakeError::Unopened);
}

#[test]
fn a_recorded_reply_of_a_server_proves_nothing_to_the_next_initiator() {
    let config = LinkConfig::default();
    let (_, _, [_, message2, _]) = link(&config, CLIENT);
    let (initiator, _) = start(&config, CLIENT);
    assert_eq!(initiator.read_reply(message2).unwrap_err(), HandshakeError::Unopened);
}

#[test]
fn a_signature_got_by_one_server_is_of_no_use_at_another() {
    // C5: Alice dials Mallory's server, who dials Bob's at the same time and passes on what Alice signs.
    let config = LinkConfig::default();
    let (initiator, message1) = start(&config, CLIENT);
    let hello = ServerHello::new(mallory().server_id());
    let (responder, request) =
        Responder::read_hello(&config, &static_key(), hello, message1, &mut system::rng()).unwrap();
    let (message2, _) = responder.reply(mallory().sign(&request));
    let alices = initiator.read_reply(message2).unwrap();

    let (forwarding, message1) = start(&config, CLIENT);
    let (waiting, message2) = answer(&config, message1);
    let mallorys = forwarding.read_reply(message2).unwrap();
    assert_ne!(alices.request(), mallorys.request());
    let signature = alice().sign(&alices.request());
    let (message3, _) = mallorys.finish(alice().public(), signature, Credentials::default()).unwrap();
    assert_eq!(waiting.read_auth(message3).unwrap_err(), HandshakeError::BadSignature);
}

#[test]
fn a_hello_altered_on_the_way_brings_up_no_link() {
    // C7: fewer features, another role, other versions; each is a Hello that the responder takes.
    let config = LinkConfig { features: Features::RESUME, ..LinkConfig::default() };
    let honest = Hello { versions: vec![VERSION], role: Role::Client, features: Features::RESUME };
    let altered = [
        Hello { features: Features::NONE, ..honest.clone() },
        Hello { role: Role::Peer, ..honest.clone() },
        Hello { versions: vec![VERSION, VERSION], ..honest.clone() },
        Hello { versions: vec![9], ..honest.clone() },
    ];
    for hello in altered {
        let (initiator, message) = start(&config, CLIENT);
        assert_eq!(&message[32..], honest.encode());
        let message = [&message[..32], &hello.encode()].concat();
        let (responder, request) = read_hello(&config, message.into()).unwrap();
        let (message, _) = responder.reply(bob().sign(&request));
        assert_eq!(initiator.read_reply(message).unwrap_err(), HandshakeError::Unopened);
    }
}

#[test]
fn a_message_cut_anywhere_or_continued_is_refused() {
    let config = LinkConfig::default();
    let lengths = link(&config, CLIENT).2.map(|message| message.len());
    for (number, len) in lengths.into_iter().enumerate() {
        for cut in (0..len).chain([len + 1]) {
            let change = |message: Bytes, this| {
                let mut message = message.to_vec();
                if this == number {
                    message.resize(cut, 0);
                }
                Bytes::from(message)
            };
            assert!(up(&config, CLIENT, change).is_err(), "message {} of {cut} bytes", number + 1);
        }
    }
}

// What is shown

#[test]
fn every_error_has_the_code_under_which_it_is_counted() {
    let id = bob().server_id();
    let table = [
        (HandshakeError::TooLong { len: 2, max: 1 }, Code::TooLarge),
        (HandshakeError::Malformed(DecodeError::Missing { field: "x" }), Code::BadFrame),
        (HandshakeError::Cut, Code::BadFrame),
        (HandshakeError::Unopened, Code::BadFrame),
        (HandshakeError::WeakKey, Code::BadSignature),
        (HandshakeError::BadSignature, Code::BadSignature),
        (HandshakeError::Version { theirs: vec![] }, Code::Version),
        (HandshakeError::WrongServer { expected: id, found: id }, Code::Unauthorized),
        (HandshakeError::Credentials { what: "token", len: 2, max: 1 }, Code::TooLarge),
    ];
    for (error, code) in table {
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn no_secret_is_printed() {
    assert_eq!(format!("{:?}", NetworkSecret::new([7; 32])), "NetworkSecret(..)");
    let resume = Some(Resume { token: [0xab; 16], received: 5 });
    let credentials = Credentials { token: "hunter2".to_owned(), agent: "a/1".to_owned(), resume };
    assert_eq!(format!("{credentials:?}"), "Credentials { agent: \"a/1\", resume: Some(5), .. }");

    let key = static_key();
    let (initiator, message) = start(&closed(7), CLIENT);
    let (responder, _) = read_hello(&closed(7), message).unwrap();
    let text = format!("{initiator:?} {responder:?} {key:?}");
    assert!(text.contains(&data_encoding::HEXLOWER.encode(key.public())));
    for secret in [[7; 32], [20; 32]] {
        assert!(!text.contains(&data_encoding::HEXLOWER.encode(&secret)));
        assert!(!text.contains(&format!("{secret:?}")));
    }
}

#[test]
fn the_simulators_proof_says_what_it_was_told() {
    let user = Authenticated::unchecked([1; 32], Role::Client, Some(DEVICE), Features::DONE);
    assert_eq!((user.user(), user.server()), (Some(UserId::new([1; 32])), None));
    let server = Authenticated::unchecked([1; 32], Role::Peer, None, Features::NONE);
    assert_eq!((server.user(), server.server()), (None, Some(ServerId::new([1; 32]))));
    assert_eq!((user.features(), server.role()), (Features::DONE, Role::Peer));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_flipped_bit_of_any_message_brings_up_no_link(
        number in 0..3_usize,
        bit in any::<prop::sample::Index>(),
        peer in any::<bool>(),
    ) {
        let config = LinkConfig { features: Features::RESUME, ..LinkConfig::default() };
        let change = |message: Bytes, this| {
            let mut message = message.to_vec();
            if this == number {
                let bit = bit.index(message.len() * 8);
                message[bit / 8] ^= 1 << (bit % 8);
            }
            Bytes::from(message)
        };
        let dialler = if peer { Dialler::Peer } else { CLIENT };
        prop_assert!(up(&config, dialler, change).is_err());
    }

    #[test]
    fn no_bytes_make_a_handshake_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), after_key in any::<bool>()) {
        let config = LinkConfig::default();
        let bytes = if after_key { [StaticKey::from_bytes(&[5; 32]).public(), &bytes[..]].concat() } else { bytes };
        let _ = read_hello(&config, bytes.clone().into());
        let (initiator, message) = start(&config, CLIENT);
        prop_assert!(answer(&config, message).0.read_auth(bytes.clone().into()).is_err());
        prop_assert!(initiator.read_reply(bytes.into()).is_err());
    }
}
