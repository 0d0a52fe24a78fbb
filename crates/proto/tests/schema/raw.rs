//! Protobuf by hand: tests write with it what no encoder of ours would, and read what ours wrote.

/// The content of one field on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64(u64),
    Bytes(Vec<u8>),
}

/// One field on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) number: u32,
    pub(crate) value: Value,
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Piece {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (wire, content) = match &self.value {
            Value::Varint(value) => {
                let mut out = Vec::new();
                varint(*value, &mut out);
                (0, out)
            }
            Value::Fixed64(value) => (1, value.to_le_bytes().to_vec()),
            Value::Bytes(bytes) => {
                let mut out = Vec::new();
                varint(bytes.len() as u64, &mut out);
                out.extend_from_slice(bytes);
                (2, out)
            }
        };
        let mut out = Vec::new();
        varint(u64::from(self.number) << 3 | wire, &mut out);
        out.extend(content);
        out
    }
}

/// A field that holds bytes, text or a message.
pub(crate) fn bytes_field(number: u32, content: &[u8]) -> Vec<u8> {
    Piece { number, value: Value::Bytes(content.to_vec()) }.encode()
}

/// A field that holds a varint.
pub(crate) fn number_field(number: u32, value: u64) -> Vec<u8> {
    Piece { number, value: Value::Varint(value) }.encode()
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a varint");
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    unreachable!("a varint ends")
}

/// The fields of a message that our encoders wrote, in order.
pub(crate) fn pieces(mut bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Varint(take_varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_first_chunk().expect("eight bytes");
                bytes = rest;
                Value::Fixed64(u64::from_le_bytes(*number))
            }
            2 => {
                let len = usize::try_from(take_varint(&mut bytes)).expect("a length");
                let (content, rest) = bytes.split_at(len);
                bytes = rest;
                Value::Bytes(content.to_vec())
            }
            other => panic!("no encoder of ours writes wire type {other}"),
        };
        pieces.push(Piece { number: u32::try_from(key >> 3).expect("a field number"), value });
    }
    pieces
}
