//! Inputs that no encoder of ours writes and that must still be read.

use crate::examples;
use crate::schema::{bytes_field, number_field};
use darkchat_proto::{Announced, ChannelId, Code, Features, Frame, Goodbye, Hello, HelloReply, Kind, Role};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

fn row(message: &str, why: &str, bytes: &[u8], means: &[u8]) -> Value {
    json!({
        "message": message,
        "why": why,
        "hex": HEXLOWER.encode(bytes),
        "means": HEXLOWER.encode(means),
    })
}

fn frame(why: &str, bytes: &[u8], means: impl Into<Frame>) -> Value {
    row("Frame", why, bytes, &means.into().encode())
}

pub(crate) fn accepted() -> Vec<Value> {
    let id = [0xC4; 32];
    let join = Frame::asking(1, Kind::Join { channels: vec![ChannelId::new(id)], wait_spread: false });
    let inner = bytes_field(1, &id);
    let ping = Kind::Ping { nonce: 0, acked: 5 };
    let goodbye = |code| Kind::Goodbye(Goodbye::new(code));
    let hello = Hello { versions: vec![1, 2], role: Role::Client, features: Features::NONE };
    let no_version = HelloReply {
        version: 0,
        versions: Vec::new(),
        features: Features::NONE,
        server: [0x5E; 32],
        sig: None,
        announced: Announced::default(),
    };
    let record = examples::record();
    let mut later = record.encode().to_vec();
    later.extend(bytes_field(
        5,
        &[bytes_field(1, &[192, 0, 2, 9]), number_field(2, 443), number_field(3, 3)].concat(),
    ));
    let mut mapped = examples::record();
    mapped.addrs.truncate(1);
    let plain = mapped.encode();
    mapped.addrs.clear();
    let mut wrapped = mapped.encode().to_vec();
    let ip6 = [[0; 10].as_slice(), &[0xFF, 0xFF, 192, 0, 2, 7]].concat();
    wrapped.extend(bytes_field(
        5,
        &[bytes_field(1, &ip6), number_field(2, 30_303), number_field(3, 1)].concat(),
    ));
    vec![
        frame(
            "unknown fields below 10 are ignored",
            &[number_field(1, 1), number_field(4, 7), bytes_field(9, b"later"), bytes_field(10, &inner)]
                .concat(),
            join.clone(),
        ),
        frame(
            "unknown fields inside a message are ignored",
            &[number_field(1, 1), bytes_field(10, &[inner.clone(), bytes_field(77, b"later")].concat())]
                .concat(),
            join.clone(),
        ),
        frame(
            "fields may stand in any order",
            &[bytes_field(10, &inner), number_field(1, 1)].concat(),
            join.clone(),
        ),
        frame(
            "of a number that stands twice the last one counts",
            &[number_field(1, 99), number_field(1, 1), bytes_field(10, &inner)].concat(),
            join.clone(),
        ),
        frame(
            "a varint may be longer than it needs to be",
            &[&[0x08, 0x81, 0x00][..], &bytes_field(10, &inner)].concat(),
            join,
        ),
        frame(
            "a known kind beside an unknown one is the known one",
            &[bytes_field(30, &number_field(2, 5)), bytes_field(60, b"later")].concat(),
            ping,
        ),
        frame(
            "a kind of a later version is reported by its number",
            &bytes_field(60, b"later"),
            Kind::Unknown(60),
        ),
        frame(
            "a code of a later version is INTERNAL",
            &bytes_field(32, &number_field(1, 23)),
            goodbye(Code::Internal),
        ),
        frame(
            "TRUNCATED never travels and is INTERNAL",
            &bytes_field(32, &number_field(1, 22)),
            goodbye(Code::Internal),
        ),
        frame("no code is OK", &bytes_field(32, b""), goodbye(Code::Ok)),
        row(
            "Hello",
            "a list of numbers need not be packed",
            &[number_field(1, 1), number_field(1, 2), number_field(2, 1)].concat(),
            &hello.encode(),
        ),
        row(
            "HelloReply",
            "beside version 0 there may be no signature",
            &bytes_field(4, &[0x5E; 32]),
            &no_version.encode(),
        ),
        row("ServerRecord", "an address of a later carrier is left out", &later, &record.encode()),
        row("ServerRecord", "an IPv4 address in IPv6 form is the IPv4 address", &wrapped, &plain),
    ]
}
