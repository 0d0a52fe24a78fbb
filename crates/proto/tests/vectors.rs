//! Vectors: the protocol's own, whose values two other implementations agreed on, and ours, which we generate.
//!
//! The protocol's lie beside those of the cryptography, in `crates/crypto/tests/vectors`, because most of their values
//! are keys and ciphertexts; what can be computed here is checked here. Ours are `tests/vectors/*.json`; after a
//! change that is meant, `cargo xtask vectors` writes them anew, and the difference is read before it is committed.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot read its vectors has failed"
)]

mod examples;
mod schema;
mod tables;

use bytes::Bytes;
use darkchat_proto::{
    Announced, Auth, Bundle, ChannelId, ChannelName, Code, Content, ContentId, Deliver, DeviceId, Digest16,
    DirectId, DmContent, Entry, EntryKind, Features, Frame, FrameStream, GroupBody, Have, Hello, HelloReply,
    InitRef, InterestShard, KeyId, Kind, MessageId, Network, Packet, ParseError, Post, PostId, Role,
    RouterId, SafetyNumber, SealedHead, ServerId, SessionId, Signature, Signed, Tag, UserId, Welcome, pad,
};
use data_encoding::HEXLOWER;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn protocols(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crypto/tests/vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn messages() -> Value {
    protocols("dchat1-messages.json")
}

fn draft() -> Value {
    protocols("dchat1-draft.json")
}

fn hex(value: &Value) -> Bytes {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().into()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).as_ref().try_into().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn small(value: &Value) -> u32 {
    u32::try_from(number(value)).unwrap()
}

fn network() -> Network {
    text(&draft()["ids"]["network"]).parse().unwrap()
}

fn key(name: &str) -> [u8; 32] {
    array(&draft()["ids"][name])
}

#[test]
fn key_texts_and_the_router_id_are_those_of_the_draft() {
    let ids = &draft()["ids"];
    for name in ["alice", "bob"] {
        let user = UserId::new(key(name));
        assert_eq!(user.to_string(), text(&ids[format!("{name}_text")]));
        assert_eq!(user.to_string().parse(), Ok(user));
    }
    let server = ServerId::new(key("server"));
    assert_eq!(server.to_string(), text(&ids["server_text"]));
    assert_eq!(server.to_string().parse(), Ok(server));
    assert_eq!(server.router().0.to_be_bytes(), array(&ids["router_id_server"]));
    assert_eq!(server.router(), RouterId(number(&messages()["numbers"]["router"])));
}

#[test]
fn channel_ids_tags_and_post_ids_are_those_of_the_draft() {
    let draft = draft();
    let channel = &draft["channel"];
    let name: ChannelName = text(&channel["name"]).parse().unwrap();
    let id = ChannelId::of(&network(), &name);
    assert_eq!(id.as_bytes(), &array(&channel["channel_id"]));
    assert_eq!(Tag::of_channel(&network(), &id).0.to_be_bytes(), array(&channel["topic_tag"]));
    assert_eq!(PostId::of_body(&hex(&channel["body"])).as_bytes(), &array(&channel["message_id"]));
    let alice = UserId::new(key("alice"));
    assert_eq!(Tag::of_inbox(&network(), &alice).0.to_be_bytes(), array(&draft["ids"]["alice_inbox_tag"]));
    let hello = Hello::decode(hex(&draft["link"]["payload1"])).unwrap();
    assert_eq!((hello.versions, hello.role), (vec![1], Role::Client));
}

#[test]
fn channel_names_are_those_of_the_messages() {
    let messages = messages();
    let names = messages["names"].as_array().unwrap();
    assert!(names.len() > 20);
    for row in names {
        let parsed = text(&row["typed"]).parse::<ChannelName>();
        match row["refused"].as_str() {
            None => {
                let name = parsed.unwrap();
                assert_eq!(name.as_str(), text(&row["name"]));
                assert_eq!(ChannelId::of(&network(), &name).as_bytes(), &array(&row["channel_id"]), "{row}");
            }
            Some("length") => {
                assert!(
                    matches!(parsed, Err(ParseError::Empty { .. } | ParseError::TooLong { .. })),
                    "{row}"
                );
            }
            Some("character") => assert!(matches!(parsed, Err(ParseError::Character { .. })), "{row}"),
            Some(other) => panic!("an unknown refusal: {other}"),
        }
    }
}

#[test]
fn numbers_of_hash_bytes_are_those_of_the_messages() {
    let messages = messages();
    let numbers = &messages["numbers"];
    let general = ChannelId::new(array(&messages["post"]["channel_id"]));
    let tags = [Tag::of_channel(&network(), &general), Tag::of_inbox(&network(), &UserId::new(key("alice")))];
    for (row, tag) in numbers["tags"].as_array().unwrap().iter().zip(tags) {
        assert_eq!(tag.0, number(&row["number"]), "{row}");
        assert_eq!(tag.0.to_be_bytes(), array(&row["hash"]), "{row}");
    }
    let fields = &numbers["shard_fields"];
    let shard = InterestShard {
        server: ServerId::new(key("server")),
        epoch: number(&fields["epoch"]),
        seq: number(&fields["seq"]),
        bits: small(&fields["bits"]),
        shard: small(&fields["shard"]),
        tags: tags.to_vec(),
    };
    assert_eq!(shard.encode(), hex(&numbers["shard_body"]));
    assert_eq!(InterestShard::decode(shard.encode()), Ok(shard.clone()));
    let have = Have {
        router: shard.server.router(),
        epoch: shard.epoch,
        seq: shard.seq,
        shards: number(&numbers["digest_shards"]),
    };
    let frame = Frame::from(Kind::Digest { known: vec![have], more: false }).encode();
    let digest = hex(&numbers["digest"]);
    assert!(frame.ends_with(&digest), "the frame is a key, a length and the digest");
}

#[test]
fn payloads_of_the_handshake_are_those_of_the_messages() {
    let messages = messages();
    let link = &messages["link"];
    let versions =
        |fields: &Value| fields["versions"].as_array().unwrap().iter().map(small).collect::<Vec<_>>();
    let fields = &link["hello_fields"];
    assert_eq!(text(&fields["role"]), "CLIENT");
    let hello = Hello {
        versions: versions(fields),
        role: Role::Client,
        features: Features::from_bits(number(&fields["features"])),
    };
    assert_eq!(hello.encode(), hex(&link["hello"]));
    assert_eq!(Hello::decode(hex(&link["hello"])), Ok(hello));

    let fields = &link["reply_fields"];
    let reply = HelloReply::decode(hex(&link["hello_reply"])).unwrap();
    assert_eq!(reply.encode(), hex(&link["hello_reply"]));
    let announced = Announced {
        max_payload: small(&fields["max_payload"]),
        ping_ms: small(&fields["ping_ms"]),
        time_ms: number(&fields["time_ms"]),
        frames_per_s: small(&fields["frames_per_s"]),
        bytes_per_s: small(&fields["bytes_per_s"]),
        posts_per_s: small(&fields["posts_per_s"]),
        entries_per_s: small(&fields["entries_per_s"]),
    };
    assert_eq!(reply.announced, announced);
    assert_eq!((reply.version, reply.versions), (small(&fields["version"]), versions(fields)));
    assert_eq!((reply.server, reply.features.bits()), (key("server"), number(&fields["features"])));
    assert!(reply.sig.is_some());

    let auth = Auth::decode(hex(&link["auth"])).unwrap();
    assert_eq!(auth.encode(), hex(&link["auth"]));
    assert_eq!((auth.identity, auth.agent), (key("alice"), text(&link["auth_fields"]["agent"])));
    assert_eq!(auth.device, Some(DeviceId::new(array(&link["auth_fields"]["device"]))));
    assert_eq!((auth.token.as_str(), auth.resume), ("", None));
}

#[test]
fn the_welcome_is_that_of_the_messages() {
    let messages = messages();
    let link = &messages["link"];
    let fields = &link["welcome_fields"];
    let welcome = Welcome {
        session: Some(SessionId::new(array(&fields["session"]))),
        resume_token: Some(array(&fields["resume_token"])),
        resume_ms: small(&fields["resume_ms"]),
        observed_ip: Some(array::<4>(&fields["observed_ip"]).into()),
        resumed: false,
        received: 0,
    };
    let frame = Frame::from(Kind::Welcome(welcome));
    assert_eq!(frame.encode(), hex(&link["welcome_frame"]));
    let (head, body) = frame.encode_split();
    assert_eq!([head, body].concat(), hex(&link["welcome_stream"]));
    let mut stream = FrameStream::default();
    stream.push(hex(&link["welcome_stream"]));
    assert_eq!(Frame::decode(stream.next_frame().unwrap().unwrap()), Ok(frame));
    assert!(stream.is_between_frames());
}

fn entry(row: &Value) -> Entry {
    let kind = match row["kind"].as_str().unwrap() {
        "TEXT" => EntryKind::Text,
        "DATA" => EntryKind::Data,
        "MOVED" => EntryKind::Moved,
        other => panic!("an unknown kind: {other}"),
    };
    let mut entry = Entry::new(kind, hex(&row["content"]));
    entry.content_type = row["content_type"].as_str().unwrap_or("").to_owned();
    if let Some(headers) = row["headers"].as_object() {
        entry.headers = headers.iter().map(|(name, value)| (name.clone(), hex(value))).collect();
    }
    if row["reply_to"].is_string() {
        entry.reply_to = MessageId::from_bytes(&hex(&row["reply_to"]));
    }
    entry
}

#[test]
fn the_post_and_what_carries_it_are_those_of_the_messages() {
    let messages = messages();
    let vector = &messages["post"];
    let fields = &vector["fields"];
    let post = Post {
        author: UserId::new(key("alice")),
        channel: ChannelId::new(array(&vector["channel_id"])),
        stream: u64::from_be_bytes(array(&fields["stream"])),
        seq: number(&fields["seq"]),
        time_ms: number(&fields["time_ms"]),
        name: text(&fields["name"]),
        entries: vector["entries"].as_array().unwrap().iter().map(entry).collect(),
    };
    assert_eq!(post.encode(), hex(&vector["body"]));
    assert_eq!(Post::decode(hex(&vector["body"])), Ok(post.clone()));

    let signed = Signed { body: post.encode(), sig: Signature::new(array(&vector["sig"])) };
    assert_eq!(signed.encode(), hex(&vector["signed"]));
    let deliver = Deliver { channel: post.channel, content: Content::Public(signed) };
    assert_eq!(deliver.encode(), hex(&vector["deliver"]));
    assert_eq!(Deliver::decode(hex(&vector["deliver"])), Ok(deliver.clone()));
    let publish = Frame::asking(7, Kind::Publish { deliver: deliver.encode() });
    assert_eq!(publish.encode(), hex(&vector["publish_frame"]));
    assert_eq!(Digest16::of(&deliver.encode()).as_bytes(), &array(&vector["server_dedupe"]));

    let id = PostId::of_body(&post.encode());
    assert_eq!(id.as_bytes(), &array(&vector["post_id"]));
    for index in 0..3_u8 {
        let message = MessageId { post: id, index };
        assert_eq!(message.to_bytes(), array(&vector["message_ids"][usize::from(index)]));
        assert_eq!(message.to_string(), text(&vector["message_texts"][usize::from(index)]));
    }
    assert_eq!(post.next_seq(), post.seq + 3);
}

#[test]
fn the_bundle_is_that_of_the_messages() {
    let messages = messages();
    let vector = &messages["dm"]["bundle"];
    let bundle = Bundle::decode(hex(&vector["body"])).unwrap();
    assert_eq!(bundle.encode(), hex(&vector["body"]));
    let fields = &vector["fields"];
    assert_eq!(
        (bundle.suite, bundle.features.bits()),
        (small(&fields["suite"]), number(&fields["features"]))
    );
    assert_eq!(bundle.not_before_ms, number(&fields["not_before_ms"]));
    assert_eq!(bundle.not_after_ms, number(&fields["not_after_ms"]));
    assert_eq!((bundle.user, bundle.server), (UserId::new(key("bob")), ServerId::new(key("server"))));
    assert_eq!(bundle.device, DeviceId::new(array(&draft()["dm"]["bob_device"])));
    let signed = Signed { body: bundle.encode(), sig: Signature::new(array(&vector["sig"])) };
    assert_eq!(signed.encode(), hex(&vector["signed"]));
    assert_eq!(Signed::decode(hex(&vector["signed"])), Ok(signed));
}

#[test]
fn the_sealed_post_and_its_head_are_those_of_the_messages() {
    let messages = messages();
    let vector = &messages["group"];
    let channel = ChannelId::new(array(&draft()["group"]["channel_id"]));
    let deliver = Deliver { channel, content: Content::Sealed(hex(&vector["sealed"])) };
    assert_eq!(deliver.encode(), hex(&vector["deliver"]));
    assert_eq!(Deliver::decode(hex(&vector["deliver"])), Ok(deliver));
    let head = SealedHead::decode(&hex(&vector["sealed"])).unwrap();
    assert_eq!((head.generation, head.step), (7, 2));
    assert_eq!((head.stream, head.seq), (0x0102_0304_0506_0708, number(&vector["seq"])));
}

#[test]
fn the_body_and_the_ids_of_the_sealed_post_are_those_of_the_messages() {
    let messages = messages();
    let vector = &messages["group"];
    let fields = &vector["fields"];
    let body = GroupBody {
        author: UserId::new(key("alice")),
        time_ms: number(&fields["time_ms"]),
        name: text(&fields["name"]),
        prev_stream: u64::from_be_bytes(array(&fields["prev_stream"])),
        prev_seq: number(&fields["prev_seq"]),
        entries: vector["entries"].as_array().unwrap().iter().map(entry).collect(),
    };
    assert_eq!(body.encode(), hex(&vector["body"]));
    assert_eq!(GroupBody::decode(hex(&vector["body"])), Ok(body.clone()));
    let head = SealedHead::decode(&hex(&vector["sealed"])).unwrap();
    assert_eq!(head.to_bytes(), array(&vector["header"]));
    assert_eq!(head.next_seq(body.entries.len()), Some(8));
    let plain = [hex(&vector["sig"]), body.encode()].concat();
    assert_eq!(pad::pad(&plain), hex(&vector["plain"]));
    let channel = ChannelId::new(array(&draft()["group"]["channel_id"]));
    let id = PostId::of_sealed(&channel, &head, &body.encode());
    assert_eq!(id.as_bytes(), &array(&vector["post_id"]));
    for index in 0..2_u8 {
        let message = MessageId { post: id, index };
        assert_eq!(message.to_bytes(), array(&vector["message_ids"][usize::from(index)]));
    }
}

#[test]
fn the_direct_content_and_the_paddings_are_those_of_the_messages() {
    let messages = messages();
    let vector = &messages["dm"]["content"];
    let fields = &vector["fields"];
    let mut content = DmContent::new(
        ContentId::new(array(&fields["id"])),
        number(&fields["time_ms"]),
        darkchat_proto::DmKind::Text,
        hex(&fields["body"]),
    );
    content.name = text(&fields["name"]);
    content.acks = fields["acks"].as_array().unwrap().iter().map(|id| ContentId::new(array(id))).collect();
    content.headers = [("h".to_owned(), hex(&fields["headers"]["h"]))].into();
    content.reply_to = Some(ContentId::new(array(&fields["reply_to"])));
    assert_eq!(content.encode(), hex(&vector["encoded"]));
    assert_eq!(content.encode_padded(), hex(&vector["padded"]));
    assert_eq!(DmContent::decode_padded(hex(&vector["padded"])), Ok(content));

    for row in messages["dm"]["padding"].as_array().unwrap() {
        let len = usize::try_from(number(&row["length"])).unwrap();
        assert_eq!(pad::padded_len(len) as u64, number(&row["padded"]), "{row}");
        assert_eq!(pad::pad(&vec![1; len]).len() as u64, number(&row["padded"]), "{row}");
    }
    let padded = hex(&messages["dm"]["padded_127"]);
    assert_eq!(pad::pad(pad::unpad(&padded).unwrap()), padded);
    assert_eq!(pad::unpad(&padded).unwrap().len(), 127);
}

#[test]
fn packets_of_direct_messages_are_cut_as_in_the_vectors() {
    let (draft, messages) = (draft(), messages());
    let (dm, framing) = (&draft["dm"], &messages["dm"]["framing"]);
    let key_id = KeyId::of_body(&hex(&dm["bob_bundle_body"]));
    assert_eq!(key_id.as_bytes(), &array(&framing["key_id"]));
    assert_eq!(
        KeyId::of_body(&hex(&messages["dm"]["bundle"]["body"])).as_bytes(),
        &array(&messages["dm"]["bundle"]["key_id"])
    );
    let noise = hex(&dm["message1"]);
    let init_ref = InitRef::of_noise(&noise);
    assert_eq!(init_ref.as_bytes(), &array(&framing["init_ref"]));
    let init = Packet::Init { key: key_id, noise };
    assert_eq!(init.encode(), hex(&framing["init"]));
    assert_eq!(Packet::decode(hex(&framing["init"])), Ok(init));
    let resp = Packet::Resp { init: init_ref, noise: hex(&dm["message2"]) };
    assert_eq!(resp.encode(), hex(&framing["resp"]));
    assert_eq!(Packet::decode(hex(&framing["resp"])), Ok(resp));

    for (name, numbers) in [("a0", (0, 0)), ("a2", (0, 2)), ("a3", (3, 0)), ("b2", (2, 0))] {
        // The file has the packet without its first byte.
        let bytes = Bytes::from([&[3][..], &hex(&dm["messages"][name])].concat());
        let packet = Packet::decode(bytes.clone()).unwrap();
        assert_eq!(packet.encode(), bytes);
        let Packet::Message { head, sealed } = packet else { panic!("{name} is content") };
        assert_eq!(head.session, DirectId::new(array(&dm["session_id"])));
        assert_eq!((head.previous, head.number), numbers, "{name}");
        assert_eq!(sealed.len(), 2 + 16, "two characters and a tag");
    }
}

#[test]
fn the_safety_number_is_that_of_the_draft() {
    let (alice, bob) = (UserId::new(key("alice")), UserId::new(key("bob")));
    let number = text(&draft()["ids"]["safety_number_alice_bob"]);
    assert_eq!(SafetyNumber::of(&alice, &bob).to_string(), number);
    assert_eq!(SafetyNumber::of(&bob, &alice).to_string(), number);
}

#[test]
fn codes_are_those_of_the_schema_and_each_has_its_own_sentence() {
    let schema = schema::Schema::read();
    for code in Code::all() {
        assert_eq!(schema.enum_name("Code", code.number().into()), Some(code.name()));
    }
    assert_eq!(schema.enum_name("Code", Code::all().count() as u64), None, "the schema has no further one");
    let sentences: Vec<&str> = Code::all().map(Code::sentence).collect();
    for (at, sentence) in sentences.iter().enumerate() {
        assert!(!sentences[..at].contains(sentence), "{sentence}");
        assert!(sentence.starts_with(char::is_lowercase) && !sentence.ends_with('.'), "{sentence}");
    }
}

/// The files that we generate, with the tables that they come from.
fn ours() -> [(&'static str, Value); 2] {
    [("frames.json", tables::frames()), ("texts.json", tables::texts())]
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn committed(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn printed(file: &Value) -> String {
    format!("{file:#}\n")
}

#[test]
fn generated_files_are_what_the_code_makes() {
    for (name, file) in ours() {
        assert!(committed(name) == printed(&file), "{name} is stale: run `cargo xtask vectors`");
    }
}

#[test]
fn a_reader_of_the_committed_frames_finds_what_they_say() {
    tables::check_frames(&serde_json::from_str(&committed("frames.json")).unwrap());
}

#[test]
fn every_kind_of_frame_has_an_example() {
    let schema = schema::Schema::read();
    let shown: Vec<u32> = examples::frames()
        .iter()
        .flat_map(|frame| schema::pieces(&frame.encode()))
        .map(|piece| piece.number)
        .collect();
    for field in schema.message("Frame") {
        assert!(shown.contains(&field.number), "no example of {}", field.name);
    }
}

#[test]
#[ignore = "writes the files; run by `cargo xtask vectors`"]
fn write() {
    for (name, file) in ours() {
        std::fs::write(path(name), printed(&file)).unwrap();
    }
}
