//! The schema as data, read from `proto/darkchat.proto`: tests are made from it, so that none forgets a field.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod raw;

use std::collections::BTreeMap;

pub(crate) use raw::{Piece, Value, bytes_field, number_field, pieces};

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    Uint32,
    Uint64,
    Fixed64,
    Bool,
    Bytes,
    Text,
    Enum(String),
    Message(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) holds: Type,
    pub(crate) is_repeated: bool,
}

/// Messages with their fields, enums with their names, each under its full name, such as `Digest.Have`.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    messages: BTreeMap<String, Vec<Field>>,
    enums: BTreeMap<String, BTreeMap<u64, String>>,
}

impl Schema {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../proto/darkchat.proto");
        let code: String =
            text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join(" ");
        let code = code.split_once("package dchat.v1;").expect("a package").1;
        let mut spaced = String::new();
        for character in code.chars() {
            match character {
                '{' | '}' | '=' | ';' | '<' | '>' | ',' => spaced.extend([' ', character, ' ']),
                other => spaced.push(other),
            }
        }
        let mut tokens = spaced.split_whitespace();
        let mut schema = Self::default();
        while let Some(token) = tokens.next() {
            schema.declaration(token, "", &mut tokens);
        }
        schema.resolve();
        schema
    }

    fn declaration<'a>(&mut self, what: &str, scope: &str, tokens: &mut impl Iterator<Item = &'a str>) {
        let name = tokens.next().expect("a name");
        let name = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        assert_eq!(tokens.next(), Some("{"));
        match what {
            "message" => {
                self.messages.insert(name.clone(), Vec::new());
                self.fields(&name, tokens);
            }
            "enum" => {
                let mut names = BTreeMap::new();
                while let Some(value) = tokens.next().filter(|token| *token != "}") {
                    assert_eq!(tokens.next(), Some("="));
                    let number = tokens.next().expect("a number").parse().expect("a number");
                    assert_eq!(tokens.next(), Some(";"));
                    names.insert(number, value.to_owned());
                }
                self.enums.insert(name, names);
            }
            other => panic!("neither message nor enum: {other}"),
        }
    }

    fn fields<'a>(&mut self, message: &str, tokens: &mut impl Iterator<Item = &'a str>) {
        while let Some(token) = tokens.next() {
            match token {
                "}" => return,
                "message" | "enum" => self.declaration(token, message, tokens),
                "oneof" => {
                    assert_eq!((tokens.next(), tokens.next()), (Some("kind"), Some("{")));
                    self.fields(message, tokens);
                }
                "reserved" => while tokens.next().is_some_and(|token| token != ";") {},
                first => {
                    let field = field(first, tokens);
                    self.messages.get_mut(message).expect("declared").push(field);
                }
            }
        }
    }

    /// A named type is an enum or a message, of this message's scope before the outer one.
    fn resolve(&mut self) {
        let enums: Vec<String> = self.enums.keys().cloned().collect();
        let messages: Vec<String> = self.messages.keys().cloned().collect();
        for (message, fields) in &mut self.messages {
            for field in fields {
                let Type::Message(name) = &field.holds else { continue };
                let inner = format!("{message}.{name}");
                let full =
                    if enums.contains(&inner) || messages.contains(&inner) { inner } else { name.clone() };
                field.holds = if enums.contains(&full) { Type::Enum(full) } else { Type::Message(full) };
            }
        }
        self.messages.insert(
            "map".to_owned(),
            vec![
                Field { name: "key".into(), number: 1, holds: Type::Text, is_repeated: false },
                Field { name: "value".into(), number: 2, holds: Type::Bytes, is_repeated: false },
            ],
        );
    }

    pub(crate) fn message(&self, name: &str) -> &[Field] {
        self.messages.get(name).unwrap_or_else(|| panic!("the schema has no message {name}"))
    }

    pub(crate) fn field(&self, message: &str, number: u32) -> Option<&Field> {
        self.message(message).iter().find(|field| field.number == number)
    }

    /// The name of an enum's value, if the schema has it.
    pub(crate) fn enum_name(&self, name: &str, value: u64) -> Option<&str> {
        self.enums.get(name)?.get(&value).map(String::as_str)
    }
}

fn field<'a>(first: &str, tokens: &mut impl Iterator<Item = &'a str>) -> Field {
    let is_repeated = first == "repeated";
    let holds = if is_repeated { tokens.next().expect("a type") } else { first };
    let is_map = holds == "map";
    if is_map {
        while tokens.next().is_some_and(|token| token != ">") {}
    }
    let name = tokens.next().expect("a name").to_owned();
    assert_eq!(tokens.next(), Some("="), "{name}");
    let number = tokens.next().expect("a number").parse().expect("a number");
    assert_eq!(tokens.next(), Some(";"), "{name}");
    let holds = match holds {
        "uint32" => Type::Uint32,
        "uint64" => Type::Uint64,
        "fixed64" => Type::Fixed64,
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        other => Type::Message(other.to_owned()),
    };
    Field { name, number, holds, is_repeated: is_repeated || is_map }
}
