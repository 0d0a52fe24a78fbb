//! Inputs that somebody made to hurt: lengths, nesting, unknown and missing fields, texts, and numbers at the borders.
//!
//! Names begin with the case of the test plan that they carry out.
#![expect(clippy::panic, clippy::expect_used, reason = "a test that cannot make its input has failed")]

mod examples;
mod schema;

use bytes::{Bytes, BytesMut};
use darkchat_proto::limits::{MAX_DM_BODY, MAX_FRAME, MAX_NAME, MAX_TEXT, MAX_TRACED};
use darkchat_proto::{
    ChannelName, Code, DecodeError, EntryKind, Frame, FrameStream, InterestShard, Kind, Network, Post,
    ServerRecord, UserName, put_prefix,
};
use examples::reencode;
use schema::{Piece, Schema, Type, Value, bytes_field, number_field, pieces};

fn stream_of(bytes: &[u8]) -> FrameStream {
    let mut stream = FrameStream::default();
    stream.push(Bytes::copy_from_slice(bytes));
    stream
}

#[test]
fn a1_lengths_over_the_limit_are_told_apart_from_broken_prefixes() {
    let over = u32::try_from(MAX_FRAME + 1).expect("a length");
    for (len, code) in [(over, Code::TooLarge), (1 << 31, Code::BadFrame), (u32::MAX, Code::BadFrame)] {
        let mut prefix = BytesMut::new();
        put_prefix(usize::try_from(len).expect("a length"), &mut prefix);
        let error = stream_of(&prefix).next_frame().expect_err("refused");
        assert_eq!(error.code(), code, "{len}");
    }
}

#[test]
fn a1_a_prefix_of_four_bytes_is_refused_at_its_third_and_without_a_body() {
    for cut in 0..=2 {
        assert_eq!(stream_of(&[0x80, 0x80, 0x80, 0x01][..cut]).next_frame(), Ok(None), "{cut} bytes");
    }
    for cut in 3..=4 {
        let error = stream_of(&[0x80, 0x80, 0x80, 0x01][..cut]).next_frame().expect_err("refused");
        assert_eq!(error.code(), Code::BadFrame, "{cut} bytes");
    }
}

#[test]
fn a1_the_largest_frame_passes() {
    let mut run = BytesMut::new();
    put_prefix(MAX_FRAME, &mut run);
    run.resize(run.len() + MAX_FRAME, 0x08);
    assert_eq!(stream_of(&run).next_frame().map(|frame| frame.map(|frame| frame.len())), Ok(Some(MAX_FRAME)));
}

/// The frames in a run that comes in these pieces.
fn frames_in<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Bytes> {
    let mut stream = FrameStream::default();
    let mut frames = Vec::new();
    for piece in pieces {
        stream.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = stream.next_frame().expect("a valid run") {
            frames.push(frame);
        }
    }
    assert!(stream.is_between_frames());
    frames
}

#[test]
fn a3_a_session_split_at_any_byte_gives_the_same_frames() {
    let run: Vec<u8> = examples::frames()
        .iter()
        .flat_map(|frame| {
            let (head, body) = frame.encode_split();
            [head, body].concat()
        })
        .collect();
    let whole: Vec<Bytes> = examples::frames().iter().map(Frame::encode).collect();
    assert_eq!(frames_in([run.as_slice()]), whole);
    assert_eq!(frames_in(run.chunks(1)), whole, "byte by byte");
    for cut in 0..=run.len() {
        let (first, rest) = run.split_at(cut);
        assert_eq!(frames_in([first, rest]), whole, "cut at {cut}");
    }
}

/// Runs on a stack of 256 KiB, where a decoder that recurses with its input dies.
fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 * 1_024).spawn(body).expect("a thread");
    assert!(thread.join().is_ok(), "the decoder panicked or ran out of stack");
}

const DECODERS: [&str; 19] = [
    "Frame",
    "Hello",
    "HelloReply",
    "Auth",
    "Signed",
    "Deliver",
    "ChannelBody",
    "DeviceBundle",
    "ServerRecord",
    "InterestShard",
    "Traced",
    "GroupBody",
    "InitPayload",
    "RespPayload",
    "DmContent",
    "SelfCopy",
    "Invite",
    "Rekey",
    "GroupControl",
];

#[test]
fn a4_no_nesting_takes_stack() {
    on_a_small_stack(|| {
        for message in DECODERS {
            for number in (1..=60).chain([500, (1 << 29) - 1]) {
                let mut nested = Vec::new();
                for _ in 0..101 {
                    nested = bytes_field(number, &nested);
                }
                // Taken or not: an unknown field may hold anything, and is skipped as one run of bytes. What counts
                // is that this returns.
                drop(reencode(message, nested.into()));
            }
        }
    });
}

/// The key that starts a group of this number.
fn group_start(number: u32) -> Vec<u8> {
    let mut key = number_field(number, 0);
    key.pop();
    key[0] |= 3;
    key
}

#[test]
fn a4_group_starts_are_refused_at_once_however_many_follow() {
    on_a_small_stack(|| {
        for message in DECODERS {
            let most = match message {
                "Hello" | "HelloReply" | "Auth" | "Invite" => 4_096,
                "ServerRecord" => 2_048,
                "Traced" => MAX_TRACED,
                "Rekey" | "GroupControl" => MAX_DM_BODY,
                _ => 60_000,
            };
            for number in [1, 7, 10, 15, 77] {
                let start = group_start(number);
                let error = reencode(message, start.repeat(most / start.len()).into()).expect_err("refused");
                assert!(matches!(error, DecodeError::Malformed { .. }), "{message}: {error}");
                assert_eq!(error.code(), Code::BadFrame);
            }
        }
    });
}

#[test]
fn a4_a_whole_frame_of_group_starts_is_refused() {
    on_a_small_stack(|| {
        let error = Frame::decode(vec![0x53; 60_000].into()).expect_err("refused");
        assert_eq!(error, DecodeError::Malformed { what: "Frame" });
    });
}

#[test]
fn a6_an_unknown_kind_is_named_and_its_asking_fields_are_kept() {
    let bytes = [number_field(1, 9), number_field(3, 1), bytes_field(60, b"later")].concat();
    let frame = Frame { req: 9, re: 0, critical: true, kind: Kind::Unknown(60) };
    assert_eq!(Frame::decode(bytes.into()), Ok(frame.clone()));
    assert!(!frame.kind.is_from_client() && !frame.kind.is_from_server() && !frame.kind.is_from_peer());
}

#[test]
fn c8_the_number_of_a_kind_says_who_may_send_it() {
    for frame in examples::frames() {
        let pieces = pieces(&frame.encode());
        let number = pieces.iter().map(|piece| piece.number).find(|number| *number >= 10).expect("a kind");
        let kind = &frame.kind;
        let may = (kind.is_from_client(), kind.is_from_server(), kind.is_from_peer());
        let expected = match number {
            10..=19 => (true, false, false),
            20..=22 => (false, true, true),
            23..=29 => (false, true, false),
            30..=39 => (true, true, true),
            40..=48 => (false, false, true),
            _ => (false, false, false),
        };
        assert_eq!(may, expected, "{frame:?}");
    }
    let refusal = |code| Kind::Error(darkchat_proto::Refusal { code, text: String::new(), retry_ms: 0 });
    assert!(refusal(Code::Unsupported).is_from_client(), "it may pass in any direction");
    assert!(!refusal(Code::Internal).is_from_client());
}

#[test]
fn a6_every_number_without_a_kind_is_unknown_from_10_and_no_kind_below() {
    let schema = Schema::read();
    for number in (4..=100).chain([(1 << 29) - 1]) {
        let read = Frame::decode(bytes_field(number, b"").into());
        match schema.field("Frame", number) {
            Some(_) => assert!(!matches!(read, Ok(Frame { kind: Kind::Unknown(_), .. })), "{number}"),
            None if number < 10 => assert_eq!(read, Err(DecodeError::Missing { field: "kind" }), "{number}"),
            None => {
                let unknown = Frame::from(Kind::Unknown(number));
                assert_eq!(unknown.encode(), bytes_field(number, b""), "{number}");
                assert_eq!(read, Ok(unknown));
            }
        }
    }
}

#[test]
fn a6_a_missing_kind_is_never_a_default_action() {
    for bytes in [vec![], number_field(1, 7), number_field(2, 7), number_field(3, 1)] {
        let error = Frame::decode(bytes.into()).expect_err("refused");
        assert_eq!(error, DecodeError::Missing { field: "kind" });
    }
}

#[test]
fn a6_an_unknown_entry_kind_takes_its_number_and_keeps_it() {
    let mut post = examples::post();
    for number in [6, 1_000, i32::MAX, i32::MIN, -1] {
        post.entries[0].kind = EntryKind::Unknown(number);
        assert_eq!(Post::decode(post.encode()), Ok(post.clone()));
    }
    assert_eq!(post.next_seq(), post.seq + 6);
    post.entries[0].kind = EntryKind::Unknown(0);
    assert_eq!(Post::decode(post.encode()), Err(DecodeError::Value { field: "Entry.kind", value: 0 }));
}

/// An example of every message that holds others or texts, as (message, bytes).
fn all_examples() -> Vec<(&'static str, Bytes)> {
    let frames = examples::frames().into_iter().map(|frame| ("Frame", frame.encode()));
    frames.chain(examples::bodies()).collect()
}

#[test]
fn a6_an_unknown_field_inside_any_message_changes_nothing() {
    let schema = Schema::read();
    for (message, bytes) in all_examples() {
        everywhere(&schema, message, &bytes, &mut |schema, inner, content| {
            // From 10 up, a field of `Frame` would be a kind.
            let later = if inner == "Frame" { 9 } else { 77 };
            assert!(schema.field(inner, later).is_none());
            vec![[content, &bytes_field(later, b"later")].concat()]
        })
        .into_iter()
        .for_each(|mutant| {
            let read = reencode(message, mutant.into());
            assert_eq!(read, Ok(bytes.clone()), "{message}");
        });
    }
}

/// Makes other messages of one, whose name and bytes it gets.
type Change<'a> = dyn FnMut(&Schema, &str, &[u8]) -> Vec<Vec<u8>> + 'a;

/// What `change` makes of the message and, one at a time, of each message inside it.
fn everywhere(schema: &Schema, message: &str, bytes: &[u8], change: &mut Change<'_>) -> Vec<Vec<u8>> {
    // A map's entry is no message of ours: what it holds besides key and value is not read.
    if message == "map" {
        return Vec::new();
    }
    let mut mutants = change(schema, message, bytes);
    let parts = pieces(bytes);
    for (at, part) in parts.iter().enumerate() {
        let field = schema.field(message, part.number);
        let (Some(Type::Message(inner)), Value::Bytes(content)) =
            (field.map(|field| &field.holds), &part.value)
        else {
            continue;
        };
        for changed in everywhere(schema, inner, content, change) {
            let mut whole = Vec::new();
            for (other, piece) in parts.iter().enumerate() {
                let piece = if other == at { bytes_field(part.number, &changed) } else { piece.encode() };
                whole.extend(piece);
            }
            mutants.push(whole);
        }
    }
    mutants
}

const BORDERS: [u64; 7] = [0, 1, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 63, u64::MAX];

/// The message with every occurrence of a number field replaced by this value.
fn with_number(bytes: &[u8], number: u32, value: Value) -> Vec<u8> {
    let kept = pieces(bytes).into_iter().filter(|piece| piece.number != number).map(|piece| piece.encode());
    kept.chain([Piece { number, value }.encode()]).collect::<Vec<_>>().concat()
}

/// Whatever was read is also used, as a program would.
fn use_up(message: &str, bytes: Bytes) {
    match message {
        "ChannelBody" => {
            if let Ok(post) = Post::decode(bytes) {
                assert!(post.next_seq() > post.seq && post.content_len() > 0);
            }
        }
        "ServerRecord" => {
            if let Ok(record) = ServerRecord::decode(bytes) {
                assert!(record.addrs.iter().all(|addr| addr.to_addr().socket_addr().is_some()));
            }
        }
        "InterestShard" => {
            if let Ok(shard) = InterestShard::decode(bytes) {
                let place = |tag| InterestShard::of_tag(tag, shard.bits);
                assert!(shard.tags.iter().all(|tag| place(*tag) == shard.shard));
            }
        }
        _ => {}
    }
}

#[test]
fn a10_no_integer_field_at_any_border_makes_a_decoder_panic() {
    let schema = Schema::read();
    let mut changed = 0;
    for (message, bytes) in all_examples() {
        let mutants = everywhere(&schema, message, &bytes, &mut |schema, inner, content| {
            let numbers = schema.message(inner).iter().filter(|field| {
                matches!(
                    field.holds,
                    Type::Uint32 | Type::Uint64 | Type::Fixed64 | Type::Bool | Type::Enum(_)
                )
            });
            numbers
                .flat_map(|field| {
                    let value = |border| match field.holds {
                        Type::Fixed64 => Value::Fixed64(border),
                        _ => Value::Varint(border),
                    };
                    BORDERS.map(|border| with_number(content, field.number, value(border)))
                })
                .collect()
        });
        changed += mutants.len();
        for mutant in mutants {
            let mutant = Bytes::from(mutant);
            if let Ok(again) = reencode(message, mutant.clone()) {
                assert_eq!(reencode(message, again.clone()), Ok(again), "{message}: what was read is stable");
            }
            use_up(message, mutant);
        }
    }
    assert!(changed > 1_500, "every number of every message was tried: {changed}");
}

#[test]
fn a10_the_integer_fields_of_every_message_that_has_a_decoder_are_among_the_examples() {
    let schema = Schema::read();
    let mut seen: Vec<String> = Vec::new();
    for (message, bytes) in all_examples() {
        everywhere(&schema, message, &bytes, &mut |_, inner, _| {
            seen.push(inner.to_owned());
            Vec::new()
        });
    }
    for message in [
        "Frame",
        "Route",
        "Digest.Have",
        "Pull.Want",
        "Addr",
        "Entry",
        "Resume",
        "Welcome",
        "Ok",
        "Notice",
        "DmContent",
        "GroupBody",
        "Invite",
        "Rekey",
    ] {
        assert!(seen.iter().any(|name| name == message), "no example holds a {message}");
    }
    for field in schema.message("Frame") {
        if let Type::Message(name) = &field.holds {
            assert!(seen.contains(name), "no example holds a {name}");
        }
    }
}

#[test]
fn a7_a_text_field_that_is_not_utf8_is_refused_wherever_it_stands() {
    let schema = Schema::read();
    let mut tried = 0;
    for (message, bytes) in all_examples() {
        let mutants = everywhere(&schema, message, &bytes, &mut |schema, inner, content| {
            let texts = schema.message(inner).iter().filter(|field| field.holds == Type::Text);
            texts
                .flat_map(|field| {
                    let broken: [&[u8]; 4] = [b"\xFF", b"a\xC3", b"\xED\xA0\x80", b"\xC0\x80"];
                    broken.map(|text| with_number(content, field.number, Value::Bytes(text.to_vec())))
                })
                .collect()
        });
        for mutant in mutants {
            tried += 1;
            let error = reencode(message, mutant.into()).expect_err("text that is not UTF-8 was taken");
            assert_eq!(error.code(), Code::BadFrame, "{message}");
        }
    }
    assert!(tried >= 40, "every text field was tried: {tried}");
}

/// What A7 puts into texts: NUL, DEL, a C1 control, only spaces, nothing.
const ODD: [&str; 6] = ["\0", "a\u{7F}b", "\u{85}", "\u{9B}31m", "   ", ""];

#[test]
fn a7_claimed_names_pass_as_they_came_up_to_their_length_and_not_beyond() {
    let mut post = examples::post();
    for name in ODD {
        name.clone_into(&mut post.name);
        assert_eq!(Post::decode(post.encode()).map(|post| post.name), Ok(name.to_owned()));
    }
    post.name = "n".repeat(MAX_NAME);
    assert!(Post::decode(post.encode()).is_ok());
    post.name.push('n');
    assert_eq!(Post::decode(post.encode()), Err(DecodeError::Length { field: "name", len: MAX_NAME + 1 }));
}

#[test]
fn a7_log_texts_pass_up_to_their_length_and_not_beyond() {
    let refusal = |text: String| {
        Frame::from(Kind::Error(darkchat_proto::Refusal { code: Code::Limit, text, retry_ms: 0 }))
    };
    for text in ODD {
        let frame = refusal(text.to_owned());
        assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }
    assert!(Frame::decode(refusal("t".repeat(MAX_TEXT)).encode()).is_ok());
    let error = Frame::decode(refusal("t".repeat(MAX_TEXT + 1)).encode()).expect_err("refused");
    assert_eq!(error, DecodeError::Length { field: "text", len: MAX_TEXT + 1 });
}

#[test]
fn a7_names_that_people_choose_hold_no_control_characters() {
    for text in &ODD[..4] {
        assert!(text.parse::<ChannelName>().is_err(), "{text:?}");
        assert!(text.parse::<UserName>().is_err(), "{text:?}");
    }
    assert!("   ".parse::<ChannelName>().is_err());
    assert!("".parse::<ChannelName>().is_err());
    assert!("".parse::<Network>().is_err());
    assert!("\0".parse::<Network>().is_err());
    assert!("".parse::<UserName>().is_ok(), "a user need not claim a name");
    assert!("c".repeat(64).parse::<ChannelName>().is_ok() && "c".repeat(65).parse::<ChannelName>().is_err());
    assert!("u".repeat(48).parse::<UserName>().is_ok() && "u".repeat(49).parse::<UserName>().is_err());
    assert!("n".repeat(32).parse::<Network>().is_ok() && "n".repeat(33).parse::<Network>().is_err());
}
