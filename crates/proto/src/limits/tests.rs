//! The limits fit into each other: the largest of everything still travels.

use super::*;
use crate::{
    Auth, Carrier, ChannelId, Class, Deliver, DeviceId, DmDeliver, Entry, EntryKind, Features, Frame,
    GossipAddr, Have, InterestShard, Kind, Post, RecordFlags, Resume, Route, RouteHead, RouterId, SendDm,
    ServerAddr, ServerId, ServerRecord, Signature, Signed, Tag, UserId, Want,
};
use bytes::Bytes;

const ID: [u8; 32] = [0xFF; 32];

fn zeros(len: usize) -> Bytes {
    vec![0; len].into()
}

fn len(kind: Kind) -> usize {
    Frame { req: u32::MAX, re: u32::MAX, critical: true, kind }.encode().len()
}

fn route(class: Class, destinations: usize, payload: Bytes) -> Kind {
    let head = RouteHead {
        origin: RouterId(u64::MAX),
        id: u64::MAX,
        ttl: u32::MAX,
        dst: vec![RouterId(u64::MAX); destinations],
        class,
        want_done: true,
        corr: u64::MAX,
    };
    Kind::Route(Route { head, payload })
}

#[test]
fn the_largest_deliver_fits_into_every_frame_that_carries_it() {
    assert!(len(Kind::Publish { deliver: zeros(MAX_DELIVER) }) <= MAX_FRAME);
    assert!(len(Kind::Deliver(zeros(MAX_DELIVER))) <= MAX_FRAME);
    assert!(len(route(Class::Channel, MAX_DST, zeros(MAX_DELIVER))) <= MAX_FRAME);
}

#[test]
fn the_largest_content_fits_into_a_deliver_with_its_envelope() {
    let body = |entries| Post {
        author: UserId::new(ID),
        channel: ChannelId::new(ID),
        stream: u64::MAX,
        seq: u64::MAX - 100,
        time_ms: u64::MAX,
        name: "n".repeat(MAX_NAME),
        entries,
    };
    let deliver = |post: &Post| Deliver {
        channel: post.channel,
        content: crate::Content::Public(Signed { body: post.encode(), sig: Signature::new([0xFF; 64]) }),
    };
    let one = Entry::new(EntryKind::Data, zeros(MAX_PAYLOAD));
    let many = vec![Entry::new(EntryKind::Data, zeros(MAX_PAYLOAD / MAX_ENTRIES)); MAX_ENTRIES];
    for entries in [vec![one], many] {
        let post = body(entries);
        assert_eq!(Post::decode(post.encode()), Ok(post.clone()));
        assert!(deliver(&post).encode().len() <= MAX_DELIVER);
    }
}

#[test]
fn the_largest_packet_fits_into_every_frame_that_carries_it() {
    let (user, device, server) = (UserId::new(ID), DeviceId::new([0xFF; 16]), ServerId::new(ID));
    let packet = zeros(MAX_PACKET);
    let send = SendDm { user, device, server, packet: packet.clone(), attempt: u32::MAX };
    let deliver = DmDeliver { user, device, packet, delivery: u64::MAX };
    let inner = len(Kind::Dm(deliver.clone()));
    assert!(len(Kind::SendDm(send)) <= MAX_FRAME);
    assert!(inner <= MAX_FRAME);
    // As a payload the message stands without the frame around it, which the longer one covers.
    assert!(len(route(Class::Dm, 1, zeros(inner))) <= MAX_FRAME);
}

#[test]
fn a_packet_that_nobody_can_carry_on_still_decodes() {
    let (user, device, server) = (UserId::new(ID), DeviceId::new([0xFF; 16]), ServerId::new(ID));
    let send = SendDm { user, device, server, packet: zeros(MAX_PACKET + 1), attempt: 0 };
    let frame = Frame::asking(1, Kind::SendDm(send));
    assert_eq!(Frame::decode(frame.encode()), Ok(frame));
}

#[test]
fn frames_at_their_element_bounds_fit_and_decode() {
    let have = Have { router: RouterId(u64::MAX), epoch: u64::MAX, seq: u64::MAX, shards: u64::MAX };
    let want = Want { router: RouterId(u64::MAX), record: true, shards: true };
    let channels = vec![ChannelId::new(ID); MAX_JOIN];
    let shard = InterestShard {
        server: ServerId::new(ID),
        epoch: u64::MAX,
        seq: u64::MAX,
        bits: 0,
        shard: 0,
        tags: (0..MAX_SHARD_TAGS as u64).map(Tag).collect(),
    };
    assert_eq!(InterestShard::decode(shard.encode()), Ok(shard.clone()));
    let signed = Signed { body: shard.encode(), sig: Signature::new([0xFF; 64]) }.encode();
    for kind in [
        Kind::Join { channels: channels.clone(), wait_spread: true },
        Kind::Leave { channels },
        Kind::Found { bundles: vec![zeros(300); MAX_BUNDLES], complete: true },
        Kind::Digest { known: vec![have; MAX_DIGEST], more: true },
        Kind::Pull { want: vec![want; MAX_DIGEST] },
        Kind::Shard(signed.clone()),
        route(Class::Shard, MAX_DST, signed),
    ] {
        let frame = Frame::from(kind);
        assert!(len(frame.kind.clone()) <= MAX_FRAME);
        assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }
}

#[test]
fn the_largest_record_is_a_record() {
    let ip = std::net::Ipv6Addr::from([0xFF; 16]).into();
    let record = ServerRecord {
        server: ServerId::new(ID),
        epoch: u64::MAX,
        seq: u64::MAX,
        issued_ms: u64::MAX,
        addrs: vec![GossipAddr { ip, port: u16::MAX, carrier: Carrier::Ws }; MAX_ADDRS],
        flags: RecordFlags::from_bits(u32::MAX),
        neighbours: vec![RouterId(u64::MAX); MAX_NEIGHBOURS],
        version: u32::MAX,
        features: Features::from_bits(u64::MAX),
    };
    assert_eq!(ServerRecord::decode(record.encode()), Ok(record));
}

#[test]
fn the_largest_auth_fits_into_a_unit_of_the_handshake() {
    let auth = Auth {
        identity: ID,
        sig: Signature::new([0xFF; 64]),
        device: Some(DeviceId::new([0xFF; 16])),
        token: "t".repeat(MAX_TOKEN),
        agent: "a".repeat(MAX_AGENT),
        resume: Some(Resume { token: [0xFF; 16], received: u64::MAX }),
    };
    // Noise adds the static key and two tags.
    assert!(auth.encode().len() + 32 + 16 + 16 <= MAX_HANDSHAKE_UNIT);
    assert_eq!(Auth::decode(auth.encode().into()), Ok(auth));
}

/// A post of one entry, which `change` brings to a limit.
fn post(change: impl FnOnce(&mut Entry)) -> Post {
    let mut entry = Entry::text("");
    change(&mut entry);
    Post {
        author: UserId::new(ID),
        channel: ChannelId::new(ID),
        stream: 1,
        seq: 1,
        time_ms: 0,
        name: "n".repeat(MAX_NAME),
        entries: vec![entry],
    }
}

fn header(name: usize, value: usize) -> impl FnOnce(&mut Entry) {
    move |entry| drop(entry.headers.insert("h".repeat(name), zeros(value)))
}

#[test]
fn a_post_at_its_limits_is_taken_and_one_byte_more_is_not() {
    let is_taken = |post: Post| Post::decode(post.encode()).is_ok();
    assert!(is_taken(post(|entry| entry.content_type = "c".repeat(MAX_CONTENT_TYPE))));
    assert!(!is_taken(post(|entry| entry.content_type = "c".repeat(MAX_CONTENT_TYPE + 1))));
    assert!(is_taken(post(header(MAX_CONTENT_TYPE, 0))));
    assert!(!is_taken(post(header(MAX_CONTENT_TYPE + 1, 0))));
    assert!(is_taken(post(header(10, MAX_HEADER_BYTES - 10))));
    assert!(!is_taken(post(header(10, MAX_HEADER_BYTES - 9))));
    assert!(is_taken(post(|entry| entry.content = zeros(MAX_PAYLOAD))));
    assert!(!is_taken(post(|entry| entry.content = zeros(MAX_PAYLOAD + 1))));
    for (count, expected) in [(MAX_HEADERS, true), (MAX_HEADERS + 1, false)] {
        let many =
            post(|entry| entry.headers = (0..count).map(|name| (name.to_string(), zeros(1))).collect());
        assert_eq!(is_taken(many), expected, "{count} headers");
    }
    let last = |seq| Post { seq, ..post(|_| ()) };
    assert!(is_taken(last(u64::MAX - 1)));
    assert!(!is_taken(last(u64::MAX)));
}

/// What no type of ours can hold: unknown bytes at the end, up to a length.
fn padded(bytes: &[u8], len: usize) -> Bytes {
    let mut padded = bytes.to_vec();
    // A key of two bytes and a length of three.
    let rest = len - bytes.len() - 5;
    padded.extend([0xEA, 0x04]);
    padded.extend([rest & 0x7F | 0x80, (rest >> 7) & 0x7F | 0x80, rest >> 14].map(|group| group as u8));
    padded.resize(len, 0);
    padded.into()
}

#[test]
fn messages_at_their_limits_are_taken_and_one_byte_more_is_not() {
    let body = post(|_| ()).encode();
    assert!(Post::decode(padded(&body, MAX_DELIVER)).is_ok());
    assert!(Post::decode(padded(&body, MAX_DELIVER + 1)).is_err());
    let channel = ChannelId::new(ID);
    let deliver = Deliver { channel, content: crate::Content::Sealed(vec![1; SEALED_MIN].into()) }.encode();
    assert!(Deliver::decode(padded(&deliver, MAX_DELIVER)).is_ok());
    assert!(Deliver::decode(padded(&deliver, MAX_DELIVER + 1)).is_err());
    let ping = Frame::from(Kind::Ping { nonce: 0, acked: 0 }).encode();
    // Below a frame, 77 is a kind of a later version; the known one counts.
    assert!(Frame::decode(padded(&ping, MAX_FRAME)).is_ok());
    assert!(Frame::decode(padded(&ping, MAX_FRAME + 1)).is_err());
    let hello =
        crate::Hello { versions: vec![1], role: crate::Role::Client, features: Features::NONE }.encode();
    assert!(crate::Hello::decode(padded(&hello, MAX_HANDSHAKE_UNIT)).is_ok());
    assert!(crate::Hello::decode(padded(&hello, MAX_HANDSHAKE_UNIT + 1)).is_err());
}

#[test]
fn the_longest_address_text_is_an_address() {
    let host = [&"h".repeat(63)[..]; 3].join(".") + "." + &"h".repeat(61);
    let text = format!("wss://{}@{host}:65535/ws", ServerId::new(ID));
    assert_eq!((host.len(), text.len()), (MAX_HOST, MAX_ADDR_TEXT));
    assert_eq!(text.parse::<ServerAddr>().unwrap().to_string(), text);
}
