//! One example of each kind of frame and of each body, with values that show which field is which.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use crate::schema::{bytes_field, number_field};
use bytes::Bytes;
use darkchat_proto::{
    Announced, Auth, Bundle, Carrier, ChannelId, ChannelName, ChannelSecret, Class, Code, Content, ContentId,
    Deliver, DeviceId, DmContent, DmDeliver, DmKind, Done, Entry, EntryKind, Features, Frame, Goodbye,
    GossipAddr, GroupBody, GroupControl, Have, Hello, HelloReply, InitPayload, InterestShard, Invite, Kind,
    MessageId, Network, Notice, Post, PostId, RecordFlags, Refusal, Rekey, RespPayload, Resume, Role, Route,
    RouteHead, RouterId, SelfCopy, SendDm, ServerId, ServerRecord, SessionId, Signature, Signed, Tag, Traced,
    UserId, Want, Welcome, members_hash,
};

const NOW_MS: u64 = 1_800_000_000_000;

fn user() -> UserId {
    UserId::new([0xA1; 32])
}

fn server() -> ServerId {
    ServerId::new([0x5E; 32])
}

fn device() -> DeviceId {
    DeviceId::new([0xDE; 16])
}

fn lobby() -> ChannelId {
    let name: ChannelName = "lobby".parse().expect("a channel name");
    ChannelId::of(&Network::default(), &name)
}

fn packet() -> Bytes {
    Bytes::from_static(b"\x03packet")
}

fn gossip() -> [GossipAddr; 2] {
    [
        GossipAddr { ip: [192, 0, 2, 7].into(), port: 30_303, carrier: Carrier::Tcp },
        GossipAddr { ip: [0x2001, 0xDB8, 0, 0, 0, 0, 0, 7].into(), port: 8_546, carrier: Carrier::Ws },
    ]
}

fn entry(kind: EntryKind, content: &'static [u8]) -> Entry {
    Entry::new(kind, Bytes::from_static(content))
}

pub(crate) fn post() -> Post {
    let mut data = entry(EntryKind::Data, b"\x00\xFF");
    data.content_type = "application/octet-stream".to_owned();
    data.headers.insert("x-part".to_owned(), Bytes::from_static(b"1/2"));
    let mut answer = entry(EntryKind::Text, "héllo".as_bytes());
    answer.reply_to = Some(MessageId { post: PostId::new([0x1D; 16]), index: 2 });
    Post {
        author: user(),
        channel: lobby(),
        stream: 0x0102_0304_0506_0708,
        seq: 5,
        time_ms: NOW_MS,
        name: "alice".to_owned(),
        entries: vec![
            answer,
            data,
            entry(EntryKind::Here, b""),
            entry(EntryKind::Part, b""),
            entry(EntryKind::Moved, b"\x00\x00\x00\x08"),
            entry(EntryKind::Unknown(9), b"later"),
        ],
    }
}

fn signed() -> Signed {
    Signed { body: post().encode(), sig: Signature::new([0x51; 64]) }
}

pub(crate) fn deliver() -> Deliver {
    Deliver { channel: lobby(), content: Content::Public(signed()) }
}

fn sealed() -> Deliver {
    let mut post = vec![0xCC; 168];
    post[..24].copy_from_slice(&[0, 0, 0, 7, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 6]);
    Deliver { channel: ChannelId::new([0xC4; 32]), content: Content::Sealed(post.into()) }
}

pub(crate) fn record() -> ServerRecord {
    ServerRecord {
        server: server(),
        epoch: NOW_MS - 60_000,
        seq: 3,
        issued_ms: NOW_MS,
        addrs: gossip().to_vec(),
        flags: RecordFlags::DIALABLE.with(RecordFlags::TRANSIT),
        neighbours: vec![RouterId(0x1111_1111_1111_1111), RouterId(0x2222_2222_2222_2222)],
        version: 1,
        features: Features::DONE,
    }
}

pub(crate) fn traced() -> Traced {
    Traced { router: RouterId(0x2222), from: RouterId(0x1111), ttl: 31, here: true }
}

pub(crate) fn shard() -> InterestShard {
    InterestShard {
        server: server(),
        epoch: NOW_MS - 60_000,
        seq: 9,
        bits: 2,
        shard: 3,
        tags: vec![Tag(0xC000_0000_0000_0001), Tag(0xFFFF_FFFF_FFFF_FFFF)],
    }
}

fn bundle() -> Bundle {
    Bundle {
        suite: 1,
        user: user(),
        device: device(),
        dh: [0xD4; 32],
        not_before_ms: NOW_MS,
        not_after_ms: NOW_MS + 43_200_000,
        server: server(),
        features: Features::NONE,
    }
}

pub(crate) fn group_body() -> GroupBody {
    GroupBody {
        author: user(),
        time_ms: NOW_MS,
        name: "alice".to_owned(),
        prev_stream: 0x1112_1314_1516_1718,
        prev_seq: 41,
        entries: post().entries,
    }
}

pub(crate) fn content() -> DmContent {
    let mut content = DmContent::text(ContentId::new([0xC0; 16]), NOW_MS, "psst");
    content.content_type = "text/plain".to_owned();
    content.name = "bob".to_owned();
    content.acks = vec![ContentId::new([0xC1; 16]), ContentId::new([0xC2; 16])];
    content.headers.insert("h".to_owned(), Bytes::from_static(b"v"));
    content.reply_to = Some(ContentId::new([0xC3; 16]));
    content
}

/// Contents of every kind.
fn contents() -> Vec<DmContent> {
    let of = |kind, body| DmContent::new(ContentId::new([0xC4; 16]), NOW_MS, kind, body);
    let copy = SelfCopy { user: user(), content: content().encode() };
    vec![
        content(),
        of(DmKind::Data, Bytes::from_static(b"\x00\xFF")),
        DmContent { acks: vec![ContentId::new([0xC5; 16])], ..of(DmKind::Ack, Bytes::new()) },
        of(DmKind::Confirm, Bytes::new()),
        of(DmKind::Typing, Bytes::new()),
        of(DmKind::Group, GroupControl::Ask(ChannelId::new([0xC6; 32])).encode()),
        of(DmKind::SelfCopy, copy.encode()),
        of(DmKind::Unknown(9), Bytes::from_static(b"later")),
    ]
}

fn invite() -> Invite {
    Invite {
        network: Network::default(),
        channel: ChannelId::new([0xC7; 32]),
        generation: 8,
        step: 3,
        secret: ChannelSecret::new([0x5C; 32]),
        start_ms: NOW_MS,
        admins: vec![user(), UserId::new([0xA2; 32])],
        servers: vec![format!("tcp://{}@chat.example:8545", server())],
        name: "garden".to_owned(),
        members_hash: Some(members_hash(&Network::default(), &[user(), UserId::new([0xA2; 32])])),
    }
}

fn rekey() -> Rekey {
    Rekey {
        admin: user(),
        old_channel: ChannelId::new([0xC6; 32]),
        next: invite(),
        members: vec![user(), UserId::new([0xA2; 32])],
        removed: vec![UserId::new([0xA3; 32])],
        reason: "left the house".to_owned(),
    }
}

fn controls() -> [GroupControl; 3] {
    let signed = Signed { body: rekey().encode(), sig: Signature::new([0x57; 64]) };
    let (ask, invite) = (ChannelId::new([0xC6; 32]), Box::new(invite()));
    [GroupControl::Rekey(signed), GroupControl::Ask(ask), GroupControl::Invite(invite)]
}

fn init_payload() -> InitPayload {
    let bundle = Signed { body: bundle().encode(), sig: Signature::new([0x54; 64]) };
    InitPayload { bundle, time_ms: NOW_MS, features: Features::SEALED }
}

fn hello() -> Hello {
    Hello { versions: vec![1, 2], role: Role::Peer, features: Features::RESUME | Features::DONE }
}

fn announced() -> Announced {
    Announced {
        max_payload: 65_536,
        ping_ms: 30_000,
        time_ms: NOW_MS,
        frames_per_s: 100,
        bytes_per_s: 262_144,
        posts_per_s: 20,
        entries_per_s: 200,
    }
}

fn hello_reply(version: u32) -> HelloReply {
    HelloReply {
        version,
        versions: vec![1],
        features: Features::RESUME,
        server: [0x5E; 32],
        sig: (version != 0).then(|| Signature::new([0x52; 64])),
        announced: announced(),
    }
}

fn auth() -> Auth {
    Auth {
        identity: [0xA1; 32],
        sig: Signature::new([0x53; 64]),
        device: Some(device()),
        token: "a bearer token".to_owned(),
        agent: "vectors/1".to_owned(),
        resume: Some(Resume { token: [0x7E; 16], received: 41 }),
    }
}

fn from_client() -> Vec<Frame> {
    let send = SendDm { user: user(), device: device(), server: server(), packet: packet(), attempt: 2 };
    vec![
        Frame::asking(
            1,
            Kind::Join { channels: vec![lobby(), ChannelId::new([0xC4; 32])], wait_spread: true },
        ),
        Frame::asking(2, Kind::Leave { channels: vec![lobby()] }),
        Frame::asking(3, Kind::Publish { deliver: deliver().encode() }),
        Frame::asking(4, Kind::SetBundle { bundle: signed_bundle() }),
        Frame::asking(5, Kind::Lookup { user: user() }),
        Frame::asking(6, Kind::SendDm(send)),
        Kind::DmReject { delivery: 0x0A0B_0C0D_0E0F_1011, code: Code::NoSession }.into(),
    ]
}

fn signed_bundle() -> Bytes {
    Signed { body: bundle().encode(), sig: Signature::new([0x54; 64]) }.encode()
}

fn from_server() -> Vec<Frame> {
    let welcome = Welcome {
        session: Some(SessionId::new([0x5E; 16])),
        resume_token: Some([0x7E; 16]),
        resume_ms: 10_000,
        observed_ip: Some([192, 0, 2, 1].into()),
        resumed: true,
        received: 17,
    };
    let dm = DmDeliver { user: user(), device: device(), packet: packet(), delivery: 0x0A0B_0C0D_0E0F_1011 };
    let refusal = Refusal { code: Code::RateLimited, text: "slow down".to_owned(), retry_ms: 1_500 };
    vec![
        Kind::Welcome(welcome).into(),
        Kind::Welcome(Welcome::default()).into(),
        Frame::replying(3, Kind::Ok(Done { local: 12, servers: 3, spread: true })),
        Frame::replying(2, Kind::Ok(Done::default())),
        Frame::replying(3, Kind::Error(refusal)),
        Kind::Deliver(deliver().encode()).into(),
        Kind::Dm(dm).into(),
        Frame::replying(5, Kind::Found { bundles: vec![signed_bundle()], complete: true }),
        Frame::replying(6, Kind::DmStatus(Code::NotHere)),
        Frame::replying(6, Kind::DmStatus(Code::Ok)),
        Kind::Notice(Notice::Dropped { channel: lobby(), count: 70 }).into(),
        Kind::Notice(Notice::Draining).into(),
        Kind::Notice(Notice::Text("maintenance at noon".to_owned())).into(),
        Kind::Notice(Notice::Unknown(7)).into(),
    ]
}

fn from_anyone() -> Vec<Frame> {
    let key = server();
    let goodbye = Goodbye {
        code: Code::Shutdown,
        text: "restarting".to_owned(),
        retry_ms: 2_000,
        elsewhere: vec![
            format!("tcp://{key}@chat.example:8545"),
            format!("ws://{key}@[2001:db8::7]:8546/ws"),
        ],
    };
    vec![
        Kind::Ping { nonce: 0x0102_0304_0506_0708, acked: 64 }.into(),
        Kind::Pong { nonce: 0x0102_0304_0506_0708, acked: 63 }.into(),
        Kind::Goodbye(goodbye).into(),
        Kind::Goodbye(Goodbye::new(Code::Ok)).into(),
        Frame { req: 8, re: 0, critical: true, kind: Kind::Unknown(49) },
    ]
}

fn from_peer() -> Vec<Frame> {
    let dm =
        [bytes_field(1, user().as_bytes()), bytes_field(2, device().as_bytes()), bytes_field(3, &packet())];
    let route = |class, dst: &[u64], payload: Vec<u8>| {
        Kind::Route(Route {
            head: RouteHead {
                origin: RouterId(0x5E5E_5E5E_5E5E_5E5E),
                id: 0x0102_0304_0506_0708,
                ttl: 32,
                dst: dst.iter().copied().map(RouterId).collect(),
                class,
                want_done: class == Class::Channel,
                corr: if class == Class::LookupReq { 77 } else { 0 },
            },
            payload: payload.into(),
        })
        .into()
    };
    let have = Have { router: RouterId(0x1111), epoch: NOW_MS, seq: 4, shards: 0x5353_5353_5353_5353 };
    let want = Want { router: RouterId(0x2222), record: true, shards: false };
    let signed_record = Signed { body: record().encode(), sig: Signature::new([0x55; 64]) }.encode();
    let signed_shard = Signed { body: shard().encode(), sig: Signature::new([0x56; 64]) }.encode();
    vec![
        Kind::Digest { known: vec![have, Have { router: RouterId(0x3333), ..have }], more: true }.into(),
        Kind::Pull { want: vec![want, Want { record: false, shards: true, ..want }] }.into(),
        Kind::Record(signed_record).into(),
        Kind::Shard(signed_shard.clone()).into(),
        route(Class::Channel, &[0x1111, 0x2222], deliver().encode().to_vec()),
        route(Class::Dm, &[0x1111], dm.concat()),
        route(Class::LookupReq, &[0x1111, 0x2222], bytes_field(1, user().as_bytes())),
        route(Class::LookupRep, &[0x1111], [bytes_field(1, &signed_bundle()), number_field(2, 1)].concat()),
        route(Class::DmStatus, &[0x1111], number_field(1, Code::NotHere.number().into())),
        route(Class::Shard, &[0x1111], signed_shard.to_vec()),
        route(Class::Trace, &[0x1111, 0x2222], Vec::new()),
        route(Class::TraceRep, &[0x5E5E_5E5E_5E5E_5E5E], traced().encode().to_vec()),
        Kind::LinkAck { received: 128 }.into(),
        Kind::RouteDone { origin: RouterId(0x5E5E_5E5E_5E5E_5E5E), id: 0x0102_0304_0506_0708 }.into(),
        Frame::asking(9, Kind::DialBack { addr: Some(gossip()[0]), reachable: false }),
        Frame::replying(9, Kind::DialBack { addr: Some(gossip()[1]), reachable: true }),
        Kind::Complaint { seconds: 60 }.into(),
    ]
}

/// Every kind of frame, in the order of the schema.
pub(crate) fn frames() -> Vec<Frame> {
    [from_client(), from_server(), from_anyone(), from_peer()].concat()
}

/// Every body and handshake payload: the message's name in the schema, and the bytes of an example.
pub(crate) fn bodies() -> Vec<(&'static str, Bytes)> {
    let resp = RespPayload { ratchet: [0xD5; 32], features: Features::SEALED };
    let copy = SelfCopy { user: user(), content: content().encode() };
    let contents = contents().into_iter().map(|content| ("DmContent", content.encode()));
    let controls = controls().into_iter().map(|control| ("GroupControl", control.encode()));
    let others = vec![
        ("Hello", hello().encode().into()),
        ("HelloReply", hello_reply(1).encode().into()),
        ("HelloReply", hello_reply(0).encode().into()),
        ("Auth", auth().encode().into()),
        ("Signed", signed().encode()),
        ("Deliver", deliver().encode()),
        ("Deliver", sealed().encode()),
        ("ChannelBody", post().encode()),
        ("DeviceBundle", bundle().encode()),
        ("ServerRecord", record().encode()),
        ("InterestShard", shard().encode()),
        ("Traced", traced().encode()),
        ("GroupBody", group_body().encode()),
        ("InitPayload", init_payload().encode()),
        ("RespPayload", resp.encode()),
        ("SelfCopy", copy.encode()),
        ("Invite", invite().encode()),
        ("Rekey", rekey().encode()),
    ];
    others.into_iter().chain(contents).chain(controls).collect()
}

/// Reads `bytes` as the message of this name and writes what was understood.
pub(crate) fn reencode(message: &str, bytes: Bytes) -> Result<Bytes, darkchat_proto::DecodeError> {
    Ok(match message {
        "Frame" => Frame::decode(bytes)?.encode(),
        "Hello" => Hello::decode(bytes)?.encode().into(),
        "HelloReply" => HelloReply::decode(bytes)?.encode().into(),
        "Auth" => Auth::decode(bytes)?.encode().into(),
        "Signed" => Signed::decode(bytes)?.encode(),
        "Deliver" => Deliver::decode(bytes)?.encode(),
        "ChannelBody" => Post::decode(bytes)?.encode(),
        "DeviceBundle" => Bundle::decode(bytes)?.encode(),
        "ServerRecord" => ServerRecord::decode(bytes)?.encode(),
        "InterestShard" => InterestShard::decode(bytes)?.encode(),
        "Traced" => Traced::decode(bytes)?.encode(),
        "GroupBody" => GroupBody::decode(bytes)?.encode(),
        "InitPayload" => InitPayload::decode(bytes)?.encode(),
        "RespPayload" => RespPayload::decode(bytes)?.encode(),
        "DmContent" => DmContent::decode(bytes)?.encode(),
        "SelfCopy" => SelfCopy::decode(bytes)?.encode(),
        "Invite" => Invite::decode(bytes)?.encode(),
        "Rekey" => Rekey::decode(bytes)?.encode(),
        "GroupControl" => GroupControl::decode(bytes)?.encode(),
        other => panic!("no decoder for {other}"),
    })
}

/// Reads `bytes` as the message of this name, and lets it go.
pub(crate) fn read(message: &str, bytes: Bytes) -> Result<(), darkchat_proto::DecodeError> {
    match message {
        "Frame" => drop(Frame::decode(bytes)?),
        "Hello" => drop(Hello::decode(bytes)?),
        "HelloReply" => drop(HelloReply::decode(bytes)?),
        "Auth" => drop(Auth::decode(bytes)?),
        "ChannelBody" => drop(Post::decode(bytes)?),
        "ServerRecord" => drop(ServerRecord::decode(bytes)?),
        "InterestShard" => drop(InterestShard::decode(bytes)?),
        "GroupBody" => drop(GroupBody::decode(bytes)?),
        "DmContent" => drop(DmContent::decode(bytes)?),
        "Invite" => drop(Invite::decode(bytes)?),
        "Rekey" => drop(Rekey::decode(bytes)?),
        "GroupControl" => drop(GroupControl::decode(bytes)?),
        other => panic!("holds no list: {other}"),
    }
    Ok(())
}
