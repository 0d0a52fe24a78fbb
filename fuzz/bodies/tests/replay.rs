//! Runs every fuzz body on its committed corpus and on generated input.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its corpus has failed")]

use std::path::Path;
use std::sync::LazyLock;

use darkchat_fuzz_bodies::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::Index;

/// Enough to cross every branch now and then, few enough for every `cargo test`.
const CASES: u32 = 256;
/// Most frames of a real link are short; corpora hold the long ones.
const LEN_MAX: usize = 600;

/// The committed inputs of each target, always in the same order.
static CORPORA: LazyLock<Vec<(Target, Vec<Vec<u8>>)>> =
    LazyLock::new(|| TARGETS.iter().map(|target| (*target, corpus(target.0))).collect());

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no corpus");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn no_body_panics_on_its_corpus() {
    for ((name, body), inputs) in CORPORA.iter() {
        for input in inputs {
            println!("{name}: {}", input.escape_ascii());
            body(input);
        }
    }
}

#[test]
fn every_target_has_its_file() {
    for (name, _) in TARGETS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("darkchat_fuzz_bodies::{name}(data)")), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn no_body_panics_on_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..LEN_MAX)) {
        for (_, body) in TARGETS {
            body(&data);
        }
    }

    /// Near-valid input reaches deeper than noise does.
    #[test]
    fn no_body_panics_on_a_damaged_corpus(
        pick in any::<Index>(),
        damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..8),
        kept in any::<Index>(),
    ) {
        for ((_, body), inputs) in CORPORA.iter() {
            let mut data = pick.get(inputs).clone();
            if !data.is_empty() {
                for (at, byte) in &damage {
                    let at = at.index(data.len());
                    data[at] = *byte;
                }
            }
            // Half of the cases keep all of it.
            data.truncate(kept.index(data.len() * 2 + 1));
            body(&data);
        }
    }
}
