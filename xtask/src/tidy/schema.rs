//! The wire contract is written twice, for people and for the compiler: both must say the same.

use super::File;

const PROTOCOL: &str = "docs/protocol.md";

pub(super) fn check(files: &[File], found: &mut Vec<String>) {
    let Some(protocol) = super::text(files, PROTOCOL, found) else { return };
    let Some(schema) = super::text(files, crate::proto::SCHEMA, found) else { return };
    same_schema(protocol, schema, found);
    same_codes(protocol, schema, found);
}

fn same_schema(protocol: &str, schema: &str, found: &mut Vec<String>) {
    let block = section(protocol, "### 4.1 ").and_then(|it| between(it, "```proto\n", "```"));
    let Some(block) = block else {
        found.push(format!("{PROTOCOL}: section 4.1 has no `proto` block"));
        return;
    };
    let first = schema.find("message ").unwrap_or(0);
    let schema = schema.get(first..).unwrap_or("").trim().lines();
    let mut block = block.trim().lines();
    for (at, line) in schema.enumerate() {
        let other = block.next().unwrap_or("(nothing)");
        if line != other {
            found
                .push(format!("{PROTOCOL}: section 4.1, line {}: {other}\n  the schema has: {line}", at + 1));
            return;
        }
    }
    if let Some(line) = block.next() {
        found.push(format!("{PROTOCOL}: section 4.1 goes on where the schema ends: {line}"));
    }
}

/// Section 4.3 lists the codes as `0 OK · 1 BAD_FRAME · …`, the schema as `OK=0; BAD_FRAME=1; …`.
fn same_codes(protocol: &str, schema: &str, found: &mut Vec<String>) {
    let told = section(protocol, "### 4.3 ").and_then(|it| between(it, "`", "`")).unwrap_or("");
    let told: Vec<String> = told.split(" · ").map(str::to_owned).collect();
    let coded = between(schema, "enum Code {", "}").unwrap_or("");
    let coded: Vec<String> = coded
        .split(';')
        .filter_map(|it| it.trim().split_once('='))
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    if told != coded {
        found.push(format!("{PROTOCOL}: the codes of section 4.3 are not those of `enum Code`"));
    }
}

/// From the heading to the next one of the same rank.
fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let start = text.find(&format!("\n{heading}"))? + 1;
    let section = text.get(start..)?;
    let end = section.get(1..)?.find("\n### ").map_or(section.len(), |it| it + 1);
    section.get(..end)
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    Some(text.split_once(from)?.1.split_once(to)?.0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::findings;
    use super::*;

    const SCHEMA: &str =
        "syntax = \"proto3\";\n\nmessage Ping { fixed64 nonce=1; }\nenum Code { OK=0; BAD_FRAME=1; }\n";

    #[test]
    fn document_that_tells_another_schema_is_found() {
        let good = "\n### 4.1 Schema\n```proto\nmessage Ping { fixed64 nonce=1; }\nenum Code { OK=0; BAD_FRAME=1; }\n```\n";
        assert_eq!(findings(|found| same_schema(good, SCHEMA, found)), "");
        let bad = good.replace("nonce=1", "nonce=2");
        assert!(findings(|found| same_schema(&bad, SCHEMA, found)).contains("line 1"));
        let longer = good.replace("\n```\n", "\nmessage Pong {}\n```\n");
        assert!(findings(|found| same_schema(&longer, SCHEMA, found)).contains("goes on"));
        assert!(findings(|found| same_schema("", SCHEMA, found)).contains("no `proto` block"));
    }

    #[test]
    fn document_that_tells_other_codes_is_found() {
        let good = "\n### 4.3 Codes\n\n`0 OK · 1 BAD_FRAME`. More.\n";
        assert_eq!(findings(|found| same_codes(good, SCHEMA, found)), "");
        let bad = good.replace("1 BAD", "2 BAD");
        assert!(findings(|found| same_codes(&bad, SCHEMA, found)).contains("4.3"));
    }
}
