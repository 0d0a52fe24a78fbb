//! Licence and origin of every crate in the graph, by the lists of `deny.toml`.

use serde_json::Value;

use super::File;

const DENY: &str = "deny.toml";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(files: &[File], metadata: &Value, found: &mut Vec<String>) {
    let Some(deny) = super::text(files, DENY, found) else { return };
    let allowed = allowed(deny);
    for package in metadata["packages"].as_array().map_or(&[][..], Vec::as_slice) {
        let name = package["name"].as_str().unwrap_or("");
        let licence = package["license"].as_str().unwrap_or("");
        if !holds(licence, &allowed) {
            found.push(format!("{name}: not allowed by {DENY}: licence {licence:?}"));
        }
        let source = package["source"].as_str().unwrap_or(REGISTRY);
        if source != REGISTRY {
            found.push(format!("{name}: comes from elsewhere: {source}"));
        }
    }
}

/// The entries of `allow = [ … ]` in `[licenses]`.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split_once("[licenses]").map_or("", |(_, rest)| rest);
    let list = section.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']'));
    list.map_or("", |(list, _)| list).split('"').skip(1).step_by(2).collect()
}

/// Whether an SPDX expression can be kept with the allowed licences alone.
///
/// `AND` binds tighter than `OR`; the old `/` means `OR`; `X WITH exception` only grants more than `X`.
fn holds(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut holds = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= all(words, allowed);
    }
    holds
}

fn all(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        return any(words, allowed) & (words.next() == Some(")"));
    }
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed.contains(&word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{file, findings};
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"];
        for good in [
            "MIT",
            "MIT/GPL-3.0",
            "LGPL-2.1-or-later OR MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-3.0 OR Apache-2.0 AND MIT",
        ] {
            assert!(holds(good, &allowed), "{good}");
        }
        for bad in
            ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT) OR MIT", "(MIT OR Apache-2.0) AND GPL-3.0"]
        {
            assert!(!holds(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn foreign_licence_and_origin_are_found() {
        let deny = file(DENY, "[licenses]\nallow = [\n    \"MIT\",\n]\n");
        let metadata = json!({ "packages": [
            { "name": "good", "license": "MIT", "source": REGISTRY },
            { "name": "ours", "license": "MIT", "source": null },
            { "name": "viral", "license": "GPL-3.0", "source": REGISTRY },
            { "name": "forked", "license": "MIT", "source": "git+https://forge.example/forked" },
        ] });
        let found = findings(|found| check(&[deny], &metadata, found));
        assert!(
            found.contains("viral: not allowed") && found.contains("forked: comes from elsewhere"),
            "{found}"
        );
        assert_eq!(found.lines().count(), 2, "{found}");
    }
}
