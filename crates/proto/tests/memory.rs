//! A5: a few bytes never become many. In a binary of its own, because it counts what the whole process allocates.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot make its input has failed; what it measured is worth a line"
)]

mod examples;
mod schema;

use bytes::Bytes;
use darkchat_proto::limits::MAX_DM_BODY;
use darkchat_proto::{DecodeError, Frame};
use examples::read;
use peak_alloc::PeakAlloc;
use schema::{Schema, Type, bytes_field, number_field};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// As much input as the case gives: 32,768 elements of two bytes.
const FRAME: usize = 65_536;

/// What the case allows.
const TIMES: usize = 8;

/// The most that `body` had allocated at one time, beyond what stood before it.
fn peak_of<T>(body: impl FnOnce() -> T) -> (usize, T) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let value = body();
    (MEMORY.peak_usage().saturating_sub(before), value)
}

/// A repeated field that a decoder of ours reaches: the decoder's message, and the fields on the way.
#[derive(Debug, Clone)]
struct Way {
    message: &'static str,
    fields: Vec<u32>,
}

/// Every repeated field below the messages that have a decoder.
fn ways(schema: &Schema) -> Vec<Way> {
    let mut found = Vec::new();
    for message in [
        "Frame",
        "Hello",
        "HelloReply",
        "Auth",
        "ChannelBody",
        "ServerRecord",
        "InterestShard",
        "GroupBody",
        "DmContent",
        "Invite",
        "Rekey",
        "GroupControl",
    ] {
        collect(schema, message, message, &[], &mut found);
    }
    found
}

fn collect(schema: &Schema, message: &'static str, inner: &str, on_the_way: &[u32], found: &mut Vec<Way>) {
    for field in schema.message(inner) {
        let fields = [on_the_way, &[field.number]].concat();
        if field.is_repeated {
            found.push(Way { message, fields: fields.clone() });
        }
        match &field.holds {
            Type::Message(name) if name != "map" => collect(schema, message, name, &fields, found),
            _ => {}
        }
    }
}

impl Way {
    /// The message with `elements` as the content of the innermost message on the way.
    fn around(&self, elements: &[u8]) -> Bytes {
        let (_, outer) = self.fields.split_last().expect("a field");
        outer.iter().rev().fold(elements.to_vec(), |content, number| bytes_field(*number, &content)).into()
    }

    /// As many elements as fit into what its decoder looks at all.
    fn most(&self, schema: &Schema) -> usize {
        let bytes = match self.message {
            "Hello" | "HelloReply" | "Auth" | "Invite" => 4_000,
            "ServerRecord" => 2_000,
            "Rekey" | "GroupControl" => MAX_DM_BODY - 16,
            _ => FRAME,
        };
        bytes / self.elements(schema, 1).len()
    }

    /// The content of the innermost message: so many elements of the two bytes that a key and a zero take.
    fn elements(&self, schema: &Schema, count: usize) -> Vec<u8> {
        let number = *self.fields.last().expect("a field");
        let name = self.fields.iter().rev().skip(1).rev().fold(self.message.to_owned(), |message, number| {
            match &schema.field(&message, *number).expect("on the way").holds {
                Type::Message(inner) => inner.clone(),
                other => unreachable!("only messages lie on the way: {other:?}"),
            }
        });
        match schema.field(&name, number).expect("the last one").holds {
            Type::Fixed64 => bytes_field(number, &vec![0; 8 * count]),
            Type::Uint32 | Type::Uint64 => number_field(number, 0).repeat(count),
            _ => bytes_field(number, b"").repeat(count),
        }
    }
}

/// One test, because two at once would count each other's memory.
#[test]
fn a5_no_count_of_elements_takes_more_than_eight_times_its_frame() {
    let schema = Schema::read();
    let ways = ways(&schema);
    let names: Vec<String> = ways.iter().map(|way| format!("{} {:?}", way.message, way.fields)).collect();
    assert!(ways.len() >= 24, "every repeated field with a decoder: {names:?}");
    for way in &ways {
        is_refused_before_it_is_decoded(&schema, way);
        stays_small_at_its_bound(&schema, way);
    }
    one_entry_cannot_borrow_the_headers_of_another();
    a_length_costs_nothing_until_its_bytes_come();
    a_frame_cut_into_bytes_is_held_once();
}

fn is_refused_before_it_is_decoded(schema: &Schema, way: &Way) {
    let bytes = way.around(&way.elements(schema, way.most(schema)));
    let (peak, outcome) = peak_of(|| read(way.message, bytes));
    assert!(matches!(outcome, Err(DecodeError::TooMany { .. })), "{way:?}: {outcome:?}");
    assert!(peak < 1_024, "{way:?} took {peak} bytes to refuse");
}

/// As many empty elements as are allowed: these are decoded, and whatever comes of it is small.
fn stays_small_at_its_bound(schema: &Schema, way: &Way) {
    let (mut low, mut high) = (0, way.most(schema));
    while low + 1 < high {
        let middle = usize::midpoint(low, high);
        match read(way.message, way.around(&way.elements(schema, middle))) {
            Err(DecodeError::TooMany { .. }) => high = middle,
            _ => low = middle,
        }
    }
    let bytes = way.around(&way.elements(schema, low));
    let (peak, _) = peak_of(|| read(way.message, bytes));
    println!("{} {:?}: at most {low} elements, {peak} bytes", way.message, way.fields);
    assert!((1..=4_096).contains(&low), "{way:?} takes {low} elements");
    assert!(peak <= TIMES * FRAME, "{way:?} took {peak} bytes for {low} elements");
}

fn one_entry_cannot_borrow_the_headers_of_another() {
    let header = |name: u8| bytes_field(4, &bytes_field(1, &[name]));
    let entry: Vec<u8> = number_field(1, 1).into_iter().chain((b'a'..=b'p').flat_map(header)).collect();
    let body = bytes_field(7, &entry).repeat(64);
    let (peak, outcome) = peak_of(|| read("ChannelBody", body.into()));
    assert!(matches!(outcome, Err(DecodeError::TooMany { field: "headers of a post", .. })), "{outcome:?}");
    assert!(peak < 1_024, "{peak} bytes to refuse 1,024 headers");
}

/// A2, as far as it is ours: memory follows what came and not what was announced.
fn a_length_costs_nothing_until_its_bytes_come() {
    let (peak, _) = peak_of(|| {
        let mut stream = darkchat_proto::FrameStream::default();
        stream.push(Bytes::from_static(&[0xFF, 0xBF, 0x04, 0x08]));
        assert_eq!(stream.next_frame(), Ok(None));
        stream.push(Bytes::from_static(&[0x08]));
        assert_eq!(stream.next_frame(), Ok(None));
        stream
    });
    assert!(peak < 256, "{peak} bytes for five that came");
}

fn a_frame_cut_into_bytes_is_held_once() {
    let payload = vec![0; 60_000];
    let (head, body) = Frame::from(darkchat_proto::Kind::Deliver(payload.into())).encode_split();
    let run = Bytes::from([head, body].concat());
    let (peak, frame) = peak_of(|| {
        let mut stream = darkchat_proto::FrameStream::default();
        let (last, most) = run.split_last().expect("bytes");
        for byte in most {
            stream.push(Bytes::copy_from_slice(&[*byte]));
            assert_eq!(stream.next_frame(), Ok(None));
        }
        stream.push(Bytes::copy_from_slice(&[*last]));
        stream.next_frame().expect("a frame").expect("a whole one")
    });
    assert_eq!(frame.len(), run.len() - 3);
    assert!(peak <= 4 * run.len(), "{peak} bytes for a frame of {}", run.len());
}
