//! Inputs that must be refused, each with the code that its sender is told.

use crate::examples;
use crate::schema::{Piece, Value as Wire, bytes_field, number_field};
use darkchat_proto::limits::{
    MAX_ADDRS, MAX_BUNDLES, MAX_DELIVER, MAX_DIGEST, MAX_DST, MAX_ELSEWHERE, MAX_ENTRIES, MAX_FRAME,
    MAX_HEADERS, MAX_JOIN, MAX_NEIGHBOURS, MAX_PAYLOAD, MAX_POST_HEADERS, MAX_SHARD_TAGS, MAX_VERSIONS,
};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

fn row(message: &str, why: &str, bytes: &[u8], code: &str) -> Value {
    // A long tail of zeros is told by its length, so that the file stays readable.
    let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if bytes.len() - kept < 64 {
        return json!({ "message": message, "why": why, "hex": HEXLOWER.encode(bytes), "code": code });
    }
    json!({
        "message": message,
        "why": why,
        "hex": HEXLOWER.encode(&bytes[..kept]),
        "then_zeros": bytes.len() - kept,
        "code": code,
    })
}

fn bad(message: &str, why: &str, bytes: &[u8]) -> Value {
    row(message, why, bytes, "BAD_FRAME")
}

fn large(message: &str, why: &str, bytes: &[u8]) -> Value {
    row(message, why, bytes, "TOO_LARGE")
}

fn fixed64(number: u32, value: u64) -> Vec<u8> {
    Piece { number, value: Wire::Fixed64(value) }.encode()
}

/// So many empty elements of a repeated field: two bytes each.
fn empties(number: u32, count: usize) -> Vec<u8> {
    bytes_field(number, b"").repeat(count)
}

pub(crate) fn refused() -> Vec<Value> {
    [streams(), frames(), counts(), posts(), entries(), delivers(), handshakes(), objects()].concat()
}

fn streams() -> Vec<Value> {
    let over = u32::try_from(MAX_FRAME + 1).expect("a length");
    let prefix = |len: u32| number_field(1, len.into())[1..].to_vec();
    vec![
        bad("stream", "a length of 0", &[0]),
        bad("stream", "a length of 0 in three bytes", &[0x80, 0x80, 0]),
        bad("stream", "a prefix of more than three bytes", &[0x80, 0x80, 0x80]),
        bad("stream", "a length of 2^31", &prefix(1 << 31)),
        bad("stream", "a length of 2^32 - 1", &prefix(u32::MAX)),
        large("stream", "a length over MAX_FRAME", &prefix(over)),
        large("stream", "the greatest length of three bytes", &[0xFF, 0xFF, 0x7F]),
    ]
}

fn frames() -> Vec<Value> {
    let in_frame = |kind: u32, content: &[u8]| bytes_field(kind, content);
    let notice = |kind: u64| in_frame(27, &[number_field(1, kind), bytes_field(2, &[0xC4; 31])].concat());
    let dial = |addr: &[u8]| in_frame(47, &bytes_field(1, addr));
    let text = "x".repeat(201);
    vec![
        large("Frame", "longer than MAX_FRAME", &bytes_field(12, &bytes_field(1, &vec![0; MAX_FRAME]))),
        large("Frame", "Publish over MAX_DELIVER", &in_frame(12, &bytes_field(1, &vec![0; MAX_DELIVER + 1]))),
        large("Frame", "deliver over MAX_DELIVER", &in_frame(23, &vec![0; MAX_DELIVER + 1])),
        bad("Frame", "no kind", &number_field(1, 7)),
        bad("Frame", "no kind; fields from 4 to 9 are none", &bytes_field(9, b"later")),
        bad("Frame", "a group", &[0x53, 0x54]),
        bad("Frame", "a field number of 0", &[0x02, 0x00]),
        bad("Frame", "cut within a field", &[0x52, 0x05, 0x0A]),
        bad("Frame", "a varint of eleven bytes", &[&[0x08][..], &[0x80; 10], &[0x01]].concat()),
        bad("Frame", "a number where a message belongs", &number_field(10, 1)),
        bad("Frame", "a message where a number belongs", &[bytes_field(1, b"x"), in_frame(30, b"")].concat()),
        bad("Frame", "a kind that holds lists, twice", &[in_frame(10, b""), in_frame(10, b"")].concat()),
        bad("Frame", "Join: a channel id of 31 bytes", &in_frame(10, &bytes_field(1, &[0xC4; 31]))),
        bad("Frame", "Lookup: no user", &in_frame(14, b"")),
        bad("Frame", "SendDm: no device", &in_frame(15, &bytes_field(1, &[0xA1; 32]))),
        bad("Frame", "Welcome: a session of 15 bytes", &in_frame(20, &bytes_field(1, &[0x5E; 15]))),
        bad("Frame", "Welcome: an IP address of 5 bytes", &in_frame(20, &bytes_field(4, &[1; 5]))),
        bad("Frame", "Error: text that is not UTF-8", &in_frame(22, &bytes_field(2, &[0xFF]))),
        bad("Frame", "Error: text of 201 bytes", &in_frame(22, &bytes_field(2, text.as_bytes()))),
        bad("Frame", "Notice: KIND_UNSPECIFIED", &notice(0)),
        bad("Frame", "Notice: a channel id of 31 bytes", &notice(1)),
        bad(
            "Frame",
            "Notice: text of 201 bytes, whatever the kind",
            &in_frame(27, &[number_field(1, 2), bytes_field(4, text.as_bytes())].concat()),
        ),
        bad(
            "Frame",
            "Goodbye: elsewhere is longer than an address can be",
            &in_frame(32, &bytes_field(4, &[b'x'; 326])),
        ),
        bad("Frame", "Route: CLASS_UNSPECIFIED", &in_frame(44, b"")),
        bad("Frame", "Route: an unknown class", &in_frame(44, &number_field(5, 9))),
        bad(
            "Frame",
            "DialBack: an address without carrier",
            &dial(&[bytes_field(1, &[192, 0, 2, 7]), number_field(2, 1)].concat()),
        ),
        bad(
            "Frame",
            "DialBack: a port over 65535",
            &dial(&[bytes_field(1, &[192, 0, 2, 7]), number_field(2, 65_536), number_field(3, 1)].concat()),
        ),
    ]
}

fn counts() -> Vec<Value> {
    let dst: Vec<u8> = fixed64(4, 1).repeat(MAX_DST + 1);
    let packed = bytes_field(4, &[0; 8].repeat(MAX_DST + 1));
    vec![
        bad("Frame", "Join: one channel too many", &bytes_field(10, &empties(1, MAX_JOIN + 1))),
        bad("Frame", "Leave: one channel too many", &bytes_field(11, &empties(1, MAX_JOIN + 1))),
        bad("Frame", "LookupResult: one bundle too many", &bytes_field(25, &empties(1, MAX_BUNDLES + 1))),
        bad("Frame", "Goodbye: one address too many", &bytes_field(32, &empties(4, MAX_ELSEWHERE + 1))),
        bad("Frame", "Digest: one row too many", &bytes_field(40, &empties(1, MAX_DIGEST + 1))),
        bad("Frame", "Pull: one row too many", &bytes_field(41, &empties(1, MAX_DIGEST + 1))),
        bad(
            "Frame",
            "Route: one destination too many",
            &bytes_field(44, &[dst, number_field(5, 1)].concat()),
        ),
        bad(
            "Frame",
            "Route: one packed destination too many",
            &bytes_field(44, &[number_field(5, 1), packed].concat()),
        ),
    ]
}

/// An example post whose fields of these numbers are replaced.
fn post_with(numbers: &[u32], fields: &[Vec<u8>]) -> Vec<u8> {
    let kept = crate::schema::pieces(&examples::post().encode())
        .into_iter()
        .filter(|piece| !numbers.contains(&piece.number))
        .map(|piece| piece.encode());
    kept.chain(fields.iter().cloned()).collect::<Vec<_>>().concat()
}

/// An example post with these entries, each given as its fields.
fn post_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = entries.iter().map(|entry| bytes_field(7, entry)).collect();
    post_with(&[7], &entries)
}

fn posts() -> Vec<Value> {
    let text = number_field(1, 1);
    let last = u64::MAX - 1;
    let two = [bytes_field(7, &text), bytes_field(7, &text)];
    vec![
        bad("ChannelBody", "an author of 31 bytes", &post_with(&[1], &[bytes_field(1, &[0xA1; 31])])),
        bad("ChannelBody", "a channel of 33 bytes", &post_with(&[2], &[bytes_field(2, &[0xC4; 33])])),
        bad("ChannelBody", "stream 0", &post_with(&[3], &[])),
        bad("ChannelBody", "seq 0", &post_with(&[4], &[])),
        bad(
            "ChannelBody",
            "seq + entries over 2^64 - 1",
            &post_with(&[4, 7], &[vec![number_field(4, last)], two.to_vec()].concat()),
        ),
        bad("ChannelBody", "a name of 49 bytes", &post_with(&[6], &[bytes_field(6, &[b'x'; 49])])),
        bad("ChannelBody", "a name that is not UTF-8", &post_with(&[6], &[bytes_field(6, &[0xC3])])),
        bad("ChannelBody", "no entries", &post_of(&[])),
        bad("ChannelBody", "65 entries", &post_of(&vec![text; MAX_ENTRIES + 1])),
    ]
}

fn entries() -> Vec<Value> {
    let text = number_field(1, 1);
    let header =
        |name: &[u8], value: &[u8]| bytes_field(4, &[bytes_field(1, name), bytes_field(2, value)].concat());
    let with = |fields: Vec<u8>| post_of(&[[text.clone(), fields].concat()]);
    let sixteen: Vec<u8> = (0..MAX_HEADERS as u8).flat_map(|name| header(&[b'a' + name], b"")).collect();
    let full = [text.clone(), sixteen.clone()].concat();
    let mut five = vec![full; MAX_POST_HEADERS / MAX_HEADERS];
    five.push([text.clone(), header(b"a", b"")].concat());
    vec![
        bad("ChannelBody", "an entry without kind", &post_of(&[bytes_field(2, b"hi")])),
        bad("ChannelBody", "a reply_to of 16 bytes", &with(bytes_field(5, &[0x1D; 16]))),
        bad("ChannelBody", "a content_type of 65 bytes", &with(bytes_field(3, &[b'x'; 65]))),
        bad("ChannelBody", "a header name of 65 bytes", &with(header(&[b'x'; 65], b""))),
        bad("ChannelBody", "header names and values of 1,025 bytes", &with(header(b"x", &[0xFF; 1_024]))),
        bad("ChannelBody", "17 headers of an entry", &with([sixteen, header(b"z", b"")].concat())),
        bad("ChannelBody", "65 headers of a post", &post_of(&five)),
        large("ChannelBody", "65,537 bytes of content", &with(bytes_field(2, &vec![0; MAX_PAYLOAD + 1]))),
    ]
}

fn delivers() -> Vec<Value> {
    let channel = bytes_field(1, &[0xC4; 32]);
    let sealed = |stream: u8, seq: u8, len: usize| {
        let mut sealed = vec![0xCC; len];
        sealed[..24].fill(0);
        (sealed[15], sealed[23]) = (stream, seq);
        bytes_field(3, &sealed)
    };
    let envelope = bytes_field(2, &[bytes_field(1, b"body"), bytes_field(2, &[0x51; 64])].concat());
    let good = [channel.clone(), sealed(1, 1, 168)].concat();
    vec![
        bad("Deliver", "no channel", &sealed(1, 1, 168)),
        bad("Deliver", "neither envelope nor sealed", &channel),
        bad("Deliver", "both envelope and sealed", &[good, envelope].concat()),
        bad("Deliver", "sealed: 167 bytes", &[channel.clone(), sealed(1, 1, 167)].concat()),
        bad("Deliver", "sealed: stream 0", &[channel.clone(), sealed(0, 1, 168)].concat()),
        bad("Deliver", "sealed: seq 0", &[channel.clone(), sealed(1, 0, 168)].concat()),
        large(
            "Deliver",
            "longer than MAX_DELIVER",
            &[channel.clone(), bytes_field(3, &vec![0; MAX_DELIVER])].concat(),
        ),
        bad("Deliver", "an envelope that is no Signed", &[channel, bytes_field(2, b"\x0A")].concat()),
        bad(
            "Signed",
            "a signature of 63 bytes",
            &[bytes_field(1, b"body"), bytes_field(2, &[0x51; 63])].concat(),
        ),
        bad("Signed", "no signature", &bytes_field(1, b"body")),
    ]
}

fn handshakes() -> Vec<Value> {
    let client = number_field(2, 1);
    let server = bytes_field(4, &[0x5E; 32]);
    let sig = bytes_field(5, &[0x52; 64]);
    let auth = [bytes_field(1, &[0xA1; 32]), bytes_field(2, &[0x53; 64])].concat();
    let auth_with = |field: Vec<u8>| [auth.clone(), field].concat();
    let nine = [1; MAX_VERSIONS + 1];
    vec![
        bad("Hello", "ROLE_UNSPECIFIED", &number_field(1, 1)),
        bad("Hello", "an unknown role", &[number_field(1, 1), number_field(2, 3)].concat()),
        bad("Hello", "9 versions", &[number_field(1, 1).repeat(9), client.clone()].concat()),
        bad("Hello", "9 packed versions", &[bytes_field(1, &nine), client].concat()),
        bad("HelloReply", "9 packed versions", &[bytes_field(2, &nine), server.clone()].concat()),
        bad("HelloReply", "a server of 31 bytes", &[bytes_field(4, &[0x5E; 31]), sig].concat()),
        bad("HelloReply", "a version and no signature", &[number_field(1, 1), server].concat()),
        bad("Auth", "no identity", &bytes_field(2, &[0x53; 64])),
        bad(
            "Auth",
            "a signature of 65 bytes",
            &[bytes_field(1, &[0xA1; 32]), bytes_field(2, &[0x53; 65])].concat(),
        ),
        bad("Auth", "a device of 15 bytes", &auth_with(bytes_field(3, &[0xDE; 15]))),
        bad("Auth", "a token of 513 bytes", &auth_with(bytes_field(4, &[b'x'; 513]))),
        bad("Auth", "an agent of 65 bytes", &auth_with(bytes_field(5, &[b'x'; 65]))),
        bad("Auth", "an empty resume token", &auth_with(bytes_field(6, b""))),
    ]
}

fn objects() -> Vec<Value> {
    let server = bytes_field(1, &[0x5E; 32]);
    let record = |field: Vec<u8>| [server.clone(), field].concat();
    let addr = |ip: &[u8], proto: u64| {
        bytes_field(5, &[bytes_field(1, ip), number_field(2, 30_303), number_field(3, proto)].concat())
    };
    let shard = |bits: u64, shard: u64, tags: &[u64]| {
        let packed: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        [server.clone(), number_field(4, bits), number_field(5, shard), bytes_field(6, &packed)].concat()
    };
    let many = vec![0; MAX_SHARD_TAGS + 1];
    let bundle =
        [bytes_field(2, &[0xA1; 32]), bytes_field(3, &[0xDE; 16]), bytes_field(7, &[0x5E; 32])].concat();
    vec![
        bad("ServerRecord", "no server", &number_field(3, 1)),
        bad("ServerRecord", "9 addresses", &record(addr(&[192, 0, 2, 7], 1).repeat(MAX_ADDRS + 1))),
        bad("ServerRecord", "65 neighbours", &record(fixed64(7, 1).repeat(MAX_NEIGHBOURS + 1))),
        bad("ServerRecord", "an address without carrier", &record(addr(&[192, 0, 2, 7], 0))),
        bad("ServerRecord", "an IP address of 5 bytes", &record(addr(&[1; 5], 1))),
        bad("ServerRecord", "longer than 2 KiB", &record(bytes_field(99, &[0; 2_048]))),
        bad("InterestShard", "bits 15", &shard(15, 0, &[])),
        bad("InterestShard", "a shard that its bits do not make", &shard(2, 4, &[])),
        bad("InterestShard", "tags that descend", &shard(0, 0, &[2, 1])),
        bad("InterestShard", "a tag twice", &shard(0, 0, &[1, 1])),
        bad("InterestShard", "a tag of another shard", &shard(1, 0, &[1 << 63])),
        bad("InterestShard", "4,097 tags", &shard(0, 0, &many)),
        bad("DeviceBundle", "a dh of 31 bytes", &[bundle.clone(), bytes_field(4, &[0xD4; 31])].concat()),
        bad("DeviceBundle", "no dh", &bundle),
        large("Traced", "longer than 128 bytes", &bytes_field(99, &[0; 126])),
        bad("Traced", "a group", &[0x0B]),
    ]
}
