//! Frames of every kind, good and bad, through the checks of a link.

use super::*;
use darkchat_crypto::{Identity, sign};
use darkchat_node::Profile;
use darkchat_proto::limits::MAX_PAYLOAD;
use darkchat_proto::{
    ChannelId, DeviceId, Entry, Features, Goodbye, InterestShard, RecordFlags, RouteHead, SendDm, ServerId,
    ServerRecord, Tag,
};

const NOW: Time = Time::from_millis(1_000);
const LOBBY: ChannelId = ChannelId::new([7; 32]);
const HERE: RouterId = RouterId(1);
const ELSEWHERE: RouterId = RouterId(2);

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn alice() -> Identity {
    identity(1)
}

fn prints() -> Arc<Fingerprints> {
    Arc::new(Fingerprints::generate(&mut darkchat_crypto::system::rng()))
}

fn client() -> Checker {
    let side = Side::Client(alice().user_id());
    Checker::new(Network::default(), prints(), HERE, side, Meter::client(Profile::Public))
}

fn peer() -> Checker {
    Checker::new(Network::default(), prints(), HERE, Side::Peer, Meter::peer(Profile::Public, false))
}

fn post(author: &Identity, seq: u64) -> Post {
    let (author, entries) = (author.user_id(), vec![Entry::text("hello")]);
    Post { author, channel: LOBBY, stream: 5, seq, time_ms: 1, name: String::new(), entries }
}

fn signed(signer: &Identity, body: Bytes) -> Signed {
    let sig = signer.sign(&sign::post(&Network::default(), &body));
    Signed { body, sig }
}

fn deliver(signed: Signed) -> Bytes {
    Deliver { channel: LOBBY, content: Content::Public(signed) }.encode()
}

fn good_deliver(seq: u64) -> Bytes {
    deliver(signed(&alice(), post(&alice(), seq).encode()))
}

/// With one bit of the body changed.
fn forged_deliver(seq: u64) -> Bytes {
    let mut signed = signed(&alice(), post(&alice(), seq).encode());
    let mut body = signed.body.to_vec();
    *body.last_mut().unwrap() ^= 1;
    signed.body = body.into();
    deliver(signed)
}

fn check(checker: &mut Checker, kind: Kind) -> Checked {
    let bytes = Frame::asking(9, kind).encode();
    let held = bytes.len();
    checker.frame(NOW, bytes, held, 16)
}

fn publish(checker: &mut Checker, deliver: Bytes) -> Checked {
    check(checker, Kind::Publish { deliver })
}

fn fatal_code(checked: &Checked) -> Option<Code> {
    match &checked.hand.0 {
        Received::Refused { req: 9 | 0, code, .. } if checked.is_fatal => Some(*code),
        _ => None,
    }
}

/// What alice's device says, and who signs it.
fn bundle(signer: &Identity, user: &Identity) -> Signed {
    let body = Bundle {
        suite: 1,
        user: user.user_id(),
        device: DeviceId::new([1; 16]),
        dh: [1; 32],
        not_before_ms: 1,
        not_after_ms: 2,
        server: ServerId::new([9; 32]),
        features: Features::NONE,
    }
    .encode();
    Signed { sig: signer.sign(&sign::bundle(&Network::default(), &body)), body }
}

#[test]
fn a_bundle_is_handed_on_with_its_proof_as_it_came_and_a_bad_one_ends_the_link() {
    let set = |bundle: Bytes| check(&mut client(), Kind::SetBundle { bundle });
    let good = bundle(&alice(), &alice()).encode();
    let checked = set(good.clone());
    let Received::SetBundle { req: 9, bundle: proof, signed } = checked.hand.0 else { panic!("{checked:?}") };
    assert_eq!((proof.user, signed, checked.is_fatal), (alice().user_id(), good.clone(), false));
    let mut forged = bundle(&alice(), &alice());
    forged.sig = bundle(&identity(2), &alice()).sig;
    // A field of a later version in the outer message: all is well but the length.
    let padded = |len: usize| {
        [&good[..], &[0x7A, 0x80 | (len & 0x7F) as u8, (len >> 7) as u8], &vec![0; len]].concat()
    };
    let room = MAX_BUNDLE - good.len() - 3;
    assert!(fatal_code(&set(padded(room).into())).is_none());
    for (bad, code) in [
        (bundle(&identity(2), &identity(2)).encode(), Code::Unauthorized),
        (forged.encode(), Code::BadSignature),
        (padded(room + 1).into(), Code::TooLarge),
        (Bytes::from_static(b"no bundle"), Code::BadFrame),
    ] {
        assert_eq!(fatal_code(&set(bad)), Some(code));
    }
}

#[test]
fn a_good_post_is_handed_on_as_the_bytes_that_came() {
    let (bytes, mut client) = (good_deliver(1), client());
    let expected = client.fingerprints.of(&bytes);
    let checked = publish(&mut client, bytes.clone());
    let Received::Publish { req: 9, post, deliver, digest } = checked.hand.0 else { panic!("{checked:?}") };
    assert_eq!((deliver, digest), (bytes, expected));
    assert_eq!(post.author, alice().user_id());
}

#[test]
fn form_comes_before_authorship_and_authorship_before_the_signature() {
    let mallory = identity(2);
    let judge = |signed| fatal_code(&publish(&mut client(), deliver(signed)));

    let mut without_entries = post(&mallory, 1);
    without_entries.entries.clear();
    assert_eq!(judge(signed(&alice(), without_entries.encode())), Some(Code::BadFrame), "form and author");
    let mut too_long = post(&mallory, 1);
    too_long.entries = vec![Entry::text("x".repeat(MAX_PAYLOAD + 1))];
    assert_eq!(judge(signed(&alice(), too_long.encode())), Some(Code::TooLarge), "size and author");
    for signer in [&alice(), &mallory] {
        let body = post(&mallory, 1).encode();
        assert_eq!(judge(signed(signer, body)), Some(Code::Unauthorized), "author, whoever signed");
    }
    assert_eq!(judge(signed(&mallory, post(&alice(), 1).encode())), Some(Code::BadSignature));
}

#[test]
fn a_body_changed_by_one_bit_does_not_pass() {
    assert_eq!(fatal_code(&publish(&mut client(), forged_deliver(1))), Some(Code::BadSignature));
}

#[test]
fn a_post_in_the_envelope_of_another_channel_is_malformed() {
    let content = Content::Public(signed(&alice(), post(&alice(), 1).encode()));
    let bytes = Deliver { channel: ChannelId::new([8; 32]), content }.encode();
    assert_eq!(fatal_code(&publish(&mut client(), bytes)), Some(Code::BadFrame));
}

#[test]
fn posts_over_the_budget_wait_then_are_refused_and_cost_no_signature_check() {
    let mut checker = client();
    for seq in 1..=100 {
        assert_eq!(publish(&mut checker, good_deliver(seq)).wait, Duration::ZERO);
    }
    assert_eq!(publish(&mut checker, good_deliver(101)).wait, Duration::from_millis(50));
    for seq in 102..=140 {
        assert!(publish(&mut checker, good_deliver(seq)).wait > Duration::ZERO);
    }
    let refused = publish(&mut checker, forged_deliver(141));
    assert!(matches!(refused.hand.0, Received::Refused { req: 9, code: Code::RateLimited, retry_ms: 1.. }));
    assert!(!refused.is_fatal);
    assert!(matches!(publish(&mut checker, forged_deliver(142)).hand.0, Received::Held { req: 9, .. }));
}

#[test]
fn frames_over_the_budget_wait() {
    let mut checker = client();
    let ping = |checker: &mut Checker| check(checker, Kind::Ping { nonce: 1, acked: 0 }).wait;
    assert!((0..400).all(|_| ping(&mut checker) == Duration::ZERO));
    assert_eq!(ping(&mut checker), Duration::from_millis(10));
    assert_eq!(checker.empty_record(NOW), Duration::from_millis(20), "empty records count as frames");
}

fn head(dst: &[RouterId], class: Class) -> RouteHead {
    RouteHead { origin: ELSEWHERE, id: 3, ttl: 32, dst: dst.to_vec(), class, want_done: false, corr: 0 }
}

fn route(checker: &mut Checker, dst: RouterId, payload: Bytes, one_in: u32) -> Check {
    let route = Route { head: head(&[dst], Class::Channel), payload };
    let bytes = Frame::from(Kind::Route(route)).encode();
    let held = bytes.len();
    match checker.frame(NOW, bytes, held, one_in).hand.0 {
        Received::Route { check, channel: Some(LOBBY), .. } => check,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_a_peers_posts_for_us_one_in_sixteen_is_verified() {
    let mut checker = peer();
    let checks: Vec<_> = (0..32).map(|_| route(&mut checker, HERE, forged_deliver(1), 16)).collect();
    assert_eq!(checks.iter().filter(|check| **check == Check::Bad).count(), 2);
    let passing: Vec<_> = (0..32).map(|_| route(&mut checker, ELSEWHERE, forged_deliver(1), 16)).collect();
    assert!(passing.iter().all(|check| *check == Check::NotChecked));
}

#[test]
fn when_asked_all_posts_of_a_peer_are_verified_or_none() {
    let mut checker = peer();
    for dst in [HERE, ELSEWHERE] {
        assert_eq!(route(&mut checker, dst, good_deliver(1), 1), Check::Good);
        assert_eq!(route(&mut checker, dst, forged_deliver(1), 1), Check::Bad);
        assert_eq!(route(&mut checker, dst, forged_deliver(1), 0), Check::NotChecked);
    }
}

#[test]
fn a_route_without_the_form_of_a_post_has_no_channel_and_is_no_fault_of_the_link() {
    let payload = Bytes::from_static(b"\xFFnothing");
    let route = Route { head: head(&[HERE], Class::Channel), payload };
    let checked = check(&mut peer(), Kind::Route(route));
    assert!(matches!(checked.hand.0, Received::Route { channel: None, .. }) && !checked.is_fatal);
}

fn shard(signer: &Identity) -> Bytes {
    let server = identity(4).server_id();
    let shard = InterestShard { server, epoch: 1, seq: 1, bits: 0, shard: 0, tags: vec![Tag(3)] };
    let body = shard.encode();
    let sig = signer.sign(&sign::shard(&Network::default(), &body));
    Signed { body, sig }.encode()
}

#[test]
fn a_shard_for_us_stands_before_the_route_that_brought_it_if_its_signature_is_good() {
    let of = |signer: &Identity, dst| {
        let route = Route { head: head(&[dst], Class::Shard), payload: shard(signer) };
        let checked = check(&mut peer(), Kind::Route(route));
        assert!(!checked.is_fatal);
        checked.hand
    };
    assert!(matches!(
        of(&identity(4), HERE),
        (Received::Shard { .. }, Some(Received::Route { check: Check::Good, .. }))
    ));
    assert!(matches!(of(&identity(5), HERE), (Received::Route { check: Check::Bad, .. }, None)));
    assert!(matches!(of(&identity(4), ELSEWHERE), (Received::Route { check: Check::NotChecked, .. }, None)));
}

fn record(server: ServerId, signer: &Identity) -> Bytes {
    let record = ServerRecord {
        server,
        epoch: 1,
        seq: 1,
        issued_ms: 1,
        addrs: Vec::new(),
        flags: RecordFlags::default(),
        neighbours: Vec::new(),
        version: 1,
        features: Features::NONE,
    };
    let body = record.encode();
    let sig = signer.sign(&sign::record(&Network::default(), &body));
    Signed { body, sig }.encode()
}

#[test]
fn records_and_shards_of_a_peer_need_their_own_servers_signature_and_a_wrong_one_ends_the_link() {
    let good = check(&mut peer(), Kind::Record(record(identity(4).server_id(), &identity(4))));
    assert!(matches!(good.hand.0, Received::Record { .. }));
    assert!(matches!(check(&mut peer(), Kind::Shard(shard(&identity(4)))).hand.0, Received::Shard { .. }));
    let bad_record = Kind::Record(record(identity(4).server_id(), &identity(5)));
    for bad in [bad_record, Kind::Shard(shard(&identity(5)))] {
        assert_eq!(fatal_code(&check(&mut peer(), bad)), Some(Code::BadSignature));
    }
    for unknown in [Kind::Record(Bytes::from_static(b"x")), Kind::Shard(Bytes::from_static(b"x"))] {
        let checked = check(&mut peer(), unknown);
        assert!(matches!(checked.hand.0, Received::Refused { code: Code::Unsupported, .. }));
        assert!(!checked.is_fatal, "a later version may have another form");
    }
}

#[test]
fn over_its_budget_a_peer_loses_messages_and_what_would_cost_a_signature_check() {
    let mut checker = peer();
    for _ in 0..20_000 {
        let _ = check(&mut checker, Kind::LinkAck { received: 1 });
    }
    let payloads = [good_deliver(1), Bytes::from_static(b"packet"), shard(&identity(4))];
    for (class, payload) in [Class::Channel, Class::Dm, Class::Shard].into_iter().zip(payloads) {
        let route = check(&mut checker, Kind::Route(Route { head: head(&[HERE], class), payload }));
        let is_refused = matches!(route.hand.0, Received::Refused { code: Code::RateLimited, .. });
        assert!(is_refused && !route.is_fatal, "{class:?}");
    }
    for object in
        [Kind::Record(record(identity(4).server_id(), &identity(5))), Kind::Shard(shard(&identity(4)))]
    {
        let object = check(&mut checker, object);
        assert!(matches!(object.hand.0, Received::Refused { code: Code::Limit, .. }), "nobody looked at it");
        assert!(!object.is_fatal);
    }
    assert_eq!(check(&mut checker, Kind::LinkAck { received: 2 }).wait, Duration::ZERO, "never paused");
}

/// One frame of each kind, by who may send it.
fn of_each_kind() -> Vec<(&'static str, Kind)> {
    use darkchat_proto::{DmDeliver, Done, Notice, Refusal, Welcome};
    let (user, device, server) = (alice().user_id(), DeviceId::new([1; 16]), identity(4).server_id());
    let packet = Bytes::from_static(b"packet");
    let error = |code| Kind::Error(Refusal { code, text: String::new(), retry_ms: 0 });
    vec![
        ("client", Kind::Join { channels: vec![LOBBY], wait_spread: false }),
        ("client", Kind::Leave { channels: vec![LOBBY] }),
        ("client", Kind::Lookup { user }),
        ("client", Kind::SendDm(SendDm { user, device, server, packet: packet.clone(), attempt: 0 })),
        ("client", Kind::DmReject { delivery: 1, code: Code::NoSession }),
        ("server", Kind::Deliver(good_deliver(1))),
        ("server", Kind::Dm(DmDeliver { user, device, packet, delivery: 1 })),
        ("server", Kind::Found { bundles: Vec::new(), complete: true }),
        ("server", Kind::DmStatus(Code::Ok)),
        ("server", Kind::Notice(Notice::Draining)),
        ("server or peer", Kind::Welcome(Welcome::default())),
        ("server or peer", Kind::Ok(Done::default())),
        ("server or peer", error(Code::Limit)),
        ("any", error(Code::Unsupported)),
        ("any", Kind::Ping { nonce: 1, acked: 0 }),
        ("any", Kind::Pong { nonce: 1, acked: 0 }),
        ("any", Kind::Goodbye(Goodbye::new(Code::Ok))),
        ("peer", Kind::Digest { known: Vec::new(), more: false }),
        ("peer", Kind::Pull { want: Vec::new() }),
        ("peer", Kind::LinkAck { received: 1 }),
        ("peer", Kind::RouteDone { origin: HERE, id: 1 }),
        ("peer", Kind::Complaint { seconds: 60 }),
    ]
}

#[test]
fn a_frame_that_its_sender_may_not_send_ends_the_link_and_reaches_nobody() {
    for (sender, kind) in of_each_kind() {
        for (mut checker, allowed) in
            [(client(), ["client", "any", ""]), (peer(), ["peer", "server or peer", "any"])]
        {
            let checked = check(&mut checker, kind.clone());
            if allowed.contains(&sender) {
                assert!(!checked.is_fatal, "{sender}: {kind:?}");
            } else {
                assert_eq!(fatal_code(&checked), Some(Code::BadFrame), "{sender}: {kind:?}");
            }
        }
    }
}

#[test]
fn a_goodbye_is_remembered_as_the_reason_of_the_end() {
    let mut checker = client();
    assert_eq!(checker.goodbye(), None);
    let _ = check(&mut checker, Kind::Goodbye(Goodbye::new(Code::Shutdown)));
    assert_eq!(checker.goodbye(), Some(Code::Shutdown));
}

#[test]
fn what_is_no_frame_ends_the_link() {
    for bytes in [&b"\xFF\xFF\xFF"[..], b"", b"\x08\x01"] {
        let checked = client().frame(NOW, Bytes::from_static(bytes), bytes.len(), 0);
        assert!(checked.is_fatal, "{bytes:?}");
    }
}

#[test]
fn a_payload_is_copied_once_unless_it_fills_half_of_its_buffer() {
    let buffer = Bytes::from(vec![1; 1_000]);
    let (small, large) = (buffer.slice(..499), buffer.slice(..500));
    assert_ne!(own(small.clone(), buffer.len()).as_ptr(), small.as_ptr());
    assert_eq!(own(large.clone(), buffer.len()).as_ptr(), large.as_ptr());
}
