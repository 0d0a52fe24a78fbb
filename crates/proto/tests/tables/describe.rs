//! Bytes as JSON, read with nothing but the schema: a second reader, which knows none of our types.

use crate::schema::{Field, Schema, Type, Value as Wire, pieces};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

/// The fields of an encoded message under their names in the schema.
pub(crate) fn message(schema: &Schema, name: &str, bytes: &[u8]) -> Value {
    let mut fields = Map::new();
    for piece in pieces(bytes) {
        let Some(field) = schema.field(name, piece.number) else {
            fields.insert(format!("unknown {}", piece.number), json!(format!("{:?}", piece.value)));
            continue;
        };
        let values = match &piece.value {
            Wire::Bytes(packed) if is_number(&field.holds) => unpack(schema, field, packed),
            single => vec![value(schema, field, single)],
        };
        match (field.is_repeated, fields.get_mut(&field.name)) {
            (true, Some(Value::Array(list))) => list.extend(values),
            (true, _) => drop(fields.insert(field.name.clone(), Value::Array(values))),
            (false, _) => {
                drop(fields.insert(field.name.clone(), values.into_iter().next().unwrap_or(Value::Null)))
            }
        }
    }
    Value::Object(fields)
}

fn is_number(holds: &Type) -> bool {
    !matches!(holds, Type::Bytes | Type::Text | Type::Message(_))
}

/// A packed list is the values one after the other, without keys.
fn unpack(schema: &Schema, field: &Field, packed: &[u8]) -> Vec<Value> {
    if field.holds == Type::Fixed64 {
        let (numbers, rest) = packed.as_chunks::<8>();
        assert!(rest.is_empty(), "{}", field.name);
        return numbers.iter().map(|number| json!(u64::from_le_bytes(*number).to_string())).collect();
    }
    // With a key of its own before each number, the list reads like a message.
    let mut keyed = Vec::new();
    let mut starts = true;
    for byte in packed {
        if starts {
            keyed.push(0x08);
        }
        keyed.push(*byte);
        starts = byte & 0x80 == 0;
    }
    pieces(&keyed).iter().map(|piece| value(schema, field, &piece.value)).collect()
}

fn value(schema: &Schema, field: &Field, wire: &Wire) -> Value {
    match (&field.holds, wire) {
        (Type::Uint32, Wire::Varint(number)) => json!(number),
        (Type::Uint64, Wire::Varint(number)) | (Type::Fixed64, Wire::Fixed64(number)) => {
            json!(number.to_string())
        }
        (Type::Bool, Wire::Varint(number)) => json!(*number != 0),
        (Type::Enum(name), Wire::Varint(number)) => {
            schema.enum_name(name, *number).map_or_else(|| json!(number), |name| json!(name))
        }
        (Type::Bytes, Wire::Bytes(bytes)) => json!(HEXLOWER.encode(bytes)),
        (Type::Text, Wire::Bytes(bytes)) => json!(String::from_utf8(bytes.clone()).expect("text")),
        (Type::Message(name), Wire::Bytes(bytes)) => message(schema, name, bytes),
        other => panic!("{}: {other:?}", field.name),
    }
}
