//! The vectors that this crate generates: tables of examples, as JSON that another language can read.

mod accepted;
mod describe;
mod refused;
mod texts;

use crate::examples;
use crate::schema::Schema;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

pub(crate) use texts::texts;

const ABOUT: &str = "Encodings of dchat/1, sections 4.1, 4.2 and 4.4. `hex` is the bytes; `then_zeros` more bytes of 0 \
follow, where given. Fields have the names of the schema, and those left out have the value 0 or none; bytes are hex, \
64-bit numbers decimal text, enums names (or a number, if the schema has no name for it). `frames` and `bodies` must decode, \
and encode to the same bytes. `accepted` must decode to the same as `means`. `refused` must not decode; `code` is what \
the sender is told. `stream` stands for a run of length-prefixed frames.";

/// `frames.json`.
pub(crate) fn frames() -> Value {
    let schema = Schema::read();
    let frames: Vec<Value> = examples::frames()
        .iter()
        .map(|frame| {
            let bytes = frame.encode();
            let (head, body) = frame.encode_split();
            json!({
                "fields": describe::message(&schema, "Frame", &bytes),
                "hex": HEXLOWER.encode(&bytes),
                "stream": HEXLOWER.encode(&[head, body].concat()),
            })
        })
        .collect();
    let bodies: Vec<Value> = examples::bodies()
        .iter()
        .map(|(message, bytes)| {
            json!({
                "message": message,
                "fields": describe::message(&schema, message, bytes),
                "hex": HEXLOWER.encode(bytes),
            })
        })
        .collect();
    json!({
        "about": ABOUT,
        "frames": frames,
        "bodies": bodies,
        "accepted": accepted::accepted(),
        "refused": refused::refused(),
    })
}

/// What `hex` and `then_zeros` of a row say.
fn bytes_of(row: &Value) -> Bytes {
    let mut bytes = HEXLOWER.decode(row["hex"].as_str().expect("hex").as_bytes()).expect("hex");
    let zeros = row["then_zeros"].as_u64().unwrap_or(0);
    bytes.resize(bytes.len() + usize::try_from(zeros).expect("a length"), 0);
    bytes.into()
}

/// Whether the rows of a file that was read say the truth about our decoders.
pub(crate) fn check_frames(file: &Value) {
    let rows = |name: &str| file[name].as_array().expect("a list").clone();
    for row in rows("frames") {
        let bytes = bytes_of(&row);
        assert_eq!(examples::reencode("Frame", bytes.clone()), Ok(bytes), "{row}");
    }
    for row in rows("bodies") {
        let bytes = bytes_of(&row);
        assert_eq!(
            examples::reencode(row["message"].as_str().expect("a name"), bytes.clone()),
            Ok(bytes),
            "{row}"
        );
    }
    for row in rows("accepted") {
        let message = row["message"].as_str().expect("a name");
        let means = HEXLOWER.decode(row["means"].as_str().expect("hex").as_bytes()).expect("hex");
        assert_eq!(examples::reencode(message, bytes_of(&row)), Ok(means.into()), "{row}");
    }
    for row in rows("refused") {
        let error = match row["message"].as_str().expect("a name") {
            "stream" => {
                let mut stream = darkchat_proto::FrameStream::default();
                stream.push(bytes_of(&row));
                stream.next_frame().map(|_| Bytes::new())
            }
            message => examples::reencode(message, bytes_of(&row)),
        };
        let code = error.map_err(|error| error.code().name());
        assert_eq!(code, Err(row["code"].as_str().expect("a code")), "{row}");
    }
}
