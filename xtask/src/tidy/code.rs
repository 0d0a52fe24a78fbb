//! Calls that only one place may make: a check of the code, on top of what `clippy.toml` bans.

use super::File;

/// Makes a proof without a check; for the simulator, fuzzers and tests.
const UNCHECKED: &str = "unchecked(";
/// Accepts signatures that strict verification refuses.
const PLAIN_VERIFY: &str = ".verify(";
/// Belongs beside the check of its result, in one function.
const DIFFIE_HELLMAN: &str = ".diffie_hellman(";
const CONTRIBUTORY: &str = ".was_contributory(";
const STRICT_VERIFY: &str = ".verify_strict(";

pub(super) fn check_file(file: &File, found: &mut Vec<String>) {
    // The checks themselves name what they look for.
    if !file.is_rust() || file.is_test() || file.path.starts_with("xtask/") {
        return;
    }
    for (at, _) in calls(file, UNCHECKED) {
        let free = ["crates/crypto/", "crates/sim/", "fuzz/"].iter().any(|it| file.path.starts_with(it));
        if !free {
            found.push(format!("{}:{at}: a proof without a check: {UNCHECKED}…)", file.path));
        }
    }
    if file.path.starts_with("crates/crypto/") {
        for (at, _) in calls(file, PLAIN_VERIFY) {
            found.push(format!("{}:{at}: plain verification: use {STRICT_VERIFY}…)", file.path));
        }
    }
}

/// Each of the two delicate calls stands in one file of `crates/crypto` and nowhere else.
pub(super) fn check_all(files: &[File], found: &mut Vec<String>) {
    for call in [DIFFIE_HELLMAN, STRICT_VERIFY] {
        let places: Vec<&File> = files
            .iter()
            .filter(|it| it.is_rust() && !it.is_test() && !it.path.starts_with("xtask/"))
            .filter(|it| calls(it, call).next().is_some())
            .collect();
        for place in &places {
            if !place.path.starts_with("crates/crypto/src/") {
                found.push(format!("{}: only crates/crypto may call {call}…)", place.path));
            }
            if call == DIFFIE_HELLMAN && calls(place, CONTRIBUTORY).next().is_none() {
                found.push(format!("{}: {call}…) without {CONTRIBUTORY})", place.path));
            }
        }
        if places.len() > 1 {
            let paths: Vec<&str> = places.iter().map(|it| it.path.as_str()).collect();
            found.push(format!(
                "{call}…) stands in {} files, one is enough: {}",
                paths.len(),
                paths.join(", ")
            ));
        }
    }
}

/// A crate that decides has the list of what clippy refuses there; what no lint enforces drifts.
pub(super) fn pure_crates_stay_pure(files: &[File], found: &mut Vec<String>) {
    for name in ["proto", "crypto", "node", "client", "sim"] {
        let path = format!("crates/{name}/clippy.toml");
        let Some(bans) = super::text(files, &path, found) else { continue };
        for banned in ["time::Instant::now", "time::SystemTime::now", "thread::spawn", "collections::HashMap"]
        {
            if !bans.contains(&format!("path = \"std::{banned}\"")) {
                found.push(format!("{path}: does not ban std::{banned}"));
            }
        }
    }
}

/// Lines of code, not of comments or unit tests, that hold `call`; a longer name that ends like it does not count.
fn calls<'a>(file: &'a File, call: &str) -> impl Iterator<Item = (usize, &'a str)> {
    file.own_lines().filter(move |(_, line)| {
        let code = line.split("//").next().unwrap_or("");
        code.match_indices(call).any(|(at, _)| {
            let before = code.get(..at).unwrap_or("");
            call.starts_with('.') || !before.ends_with(|it: char| it.is_alphanumeric() || it == '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, findings};
    use super::*;

    #[test]
    fn proof_without_a_check_is_found_outside_the_simulator() {
        let text = "//! A.\nfn f() { Verified::unchecked(post) }\n";
        let bad = file("crates/server/src/link.rs", text);
        assert!(findings(|found| check_file(&bad, found)).contains("link.rs:2: a proof"));
        for path in ["crates/sim/src/lib.rs", "crates/node/src/map/tests.rs"] {
            assert_eq!(findings(|found| check_file(&file(path, text), found)), "", "{path}");
        }
        let tests =
            file("crates/node/src/map.rs", &format!("//! A.\n#[cfg(test)]\nmod tests {{\n{text}}}\n"));
        assert_eq!(findings(|found| check_file(&tests, found)), "");
    }

    #[test]
    fn plain_verification_is_found() {
        let bad = file("crates/crypto/src/verify.rs", "//! A.\nfn f() { key.verify(body, &sig) }\n");
        assert!(findings(|found| check_file(&bad, found)).contains("plain verification"));
    }

    #[test]
    fn crate_that_lost_its_bans_is_found() {
        let bans = file("crates/node/clippy.toml", "{ path = \"std::collections::HashMap\" }");
        let found = findings(|found| pure_crates_stay_pure(&[bans], found));
        assert!(found.contains("crates/sim/clippy.toml: missing"), "{found}");
        assert!(found.contains("crates/node/clippy.toml: does not ban std::time::Instant::now"), "{found}");
        assert!(!found.contains("node/clippy.toml: does not ban std::collections"), "{found}");
    }

    #[test]
    fn agreement_is_made_and_checked_in_one_place() {
        let checked = "//! A.\nlet s = a.diffie_hellman(b);\nif !s.was_contributory() {}\n";
        let good = file("crates/crypto/src/kdf.rs", checked);
        let unchecked = file("crates/crypto/src/direct.rs", "//! A.\nlet s = a.diffie_hellman(b);\n");
        let outside = file("crates/server/src/link.rs", checked);
        assert_eq!(findings(|found| check_all(std::slice::from_ref(&good), found)), "");
        let found = findings(|found| check_all(&[good, unchecked, outside], found));
        assert!(found.contains("direct.rs: .diffie_hellman(…) without"), "{found}");
        assert!(found.contains("link.rs: only crates/crypto"), "{found}");
        assert!(found.contains("in 3 files"), "{found}");
    }
}
