//! `cargo xtask count`: the instructions of one delivered message, counted by callgrind and held against a stored baseline.
//!
//! Time on a shared machine says little; the same code on the same input takes the same instructions everywhere. So the gate
//! is on these. They hold for one compiler and one kind of processor, which stand beside them: elsewhere nothing is compared.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const USAGE: &str = "\
cargo xtask count [--write]     the instructions of one delivered message, beside those that are stored";

/// What is counted, and where its baseline is.
const PACKAGE: &str = "darkchat-node";
const PROGRAM: &str = "delivery";
const BASELINE: &str = "crates/node/examples/delivery.txt";
/// The parts of a delivery.
const PARTS: [&str; 4] = ["decode", "verify", "route", "deliver"];
/// What a part may grow by, in percent: more than moving code about costs, less than an allocation for each message.
const MORE: f64 = 5.0;

/// What came of comparing counts.
pub(crate) enum Comparison {
    Passed,
    /// Nothing was compared, for this reason.
    Skipped(&'static str),
}

/// What was counted, and under which conditions.
#[derive(Debug, PartialEq)]
struct Counts {
    /// The compiler and the processor's features that the programs look for.
    made_by: BTreeMap<String, String>,
    /// Instructions a message, by part.
    parts: BTreeMap<String, f64>,
}

pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    match args {
        [] => match compare(root)? {
            Comparison::Passed => Ok(()),
            Comparison::Skipped(why) => bail!("{why}"),
        },
        ["--write"] => {
            let counts = count(root)?.context("valgrind is not installed")?;
            std::fs::write(root.join(BASELINE), counts.text()).context(BASELINE)
        }
        _ => bail!("{USAGE}"),
    }
}

/// Fails where a part takes more instructions than the baseline allows.
pub(crate) fn compare(root: &Path) -> Result<Comparison> {
    let stored = Counts::parse(&std::fs::read_to_string(root.join(BASELINE)).context(BASELINE)?)?;
    if stored.made_by.get("rustc") != Some(&compiler()?) {
        return Ok(Comparison::Skipped("the counts are of another compiler; nothing was compared with them"));
    }
    let Some(counts) = count(root)? else {
        return Ok(Comparison::Skipped("valgrind is not installed; no instructions were counted"));
    };
    if stored.made_by != counts.made_by {
        return Ok(Comparison::Skipped("the counts are of another kind of processor; nothing was compared"));
    }
    let over = stored.over(&counts)?;
    ensure!(
        over.is_empty(),
        "more than {MORE} % over the counts of {BASELINE}: {}; if that is meant, say why and run `cargo xtask count --write`",
        over.join(", ")
    );
    Ok(Comparison::Passed)
}

/// Counts all parts; `None` without valgrind.
fn count(root: &Path) -> Result<Option<Counts>> {
    let has_valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !has_valgrind.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let program = build(root)?;
    let mut counts =
        Counts { made_by: BTreeMap::from([("rustc".to_owned(), compiler()?)]), parts: BTreeMap::new() };
    for part in PARTS {
        let out = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args(["--collect-atstart=no", "--toggle-collect=*counted_*"])
            .arg(&program)
            .arg(part)
            .output()?;
        let (said, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        ensure!(out.status.success(), "{PROGRAM} {part} fails:\n{told}");
        let messages: f64 = word_behind(&said, "messages").context("no messages")?.parse()?;
        let instructions: f64 = word_behind(&told, "Collected :").context("no instructions")?.parse()?;
        ensure!(instructions > 0.0, "callgrind finds no function of {PROGRAM} that counts");
        counts.parts.insert(part.to_owned(), instructions / messages);
        let machine = said.lines().find_map(|line| line.strip_prefix("machine ")).context("no machine")?;
        counts.made_by.insert("machine".to_owned(), machine.to_owned());
    }
    Ok(Some(counts))
}

fn build(root: &Path) -> Result<PathBuf> {
    let args = ["build", "--release", "--locked", "--package", PACKAGE, "--example", PROGRAM];
    let built = crate::built(root, &args)?;
    built
        .iter()
        .find_map(|one| one["executable"].as_str())
        .map(PathBuf::from)
        .context("cargo built no program")
}

/// The compiler, with its commit.
fn compiler() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc).arg("--version").output().context("rustc --version")?;
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// The first word behind these.
fn word_behind<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.split_once(words)?.1.split_whitespace().next()
}

impl Counts {
    /// The parts of `now` that take too much more than here, after a line about each.
    fn over(&self, now: &Self) -> Result<Vec<String>> {
        let mut over = Vec::new();
        for (part, now) in &now.parts {
            let before = self.parts.get(part).with_context(|| format!("{BASELINE}: no {part}"))?;
            let more = (now / before - 1.0) * 100.0;
            println!("{part:8} {now:9.1} instructions a message, {more:+.1} % of {before:.1}");
            if more > MORE {
                over.push(format!("{part} {more:+.1} %"));
            }
        }
        Ok(over)
    }

    fn text(&self) -> String {
        let mut text =
            "# Instructions of one message, by `cargo xtask count --write`; see docs/benchmarks.md.\n"
                .to_owned();
        for (what, by) in &self.made_by {
            let _ = writeln!(text, "{what}: {by}");
        }
        for (part, count) in &self.parts {
            let _ = writeln!(text, "{part} {count:.1}");
        }
        text
    }

    fn parse(text: &str) -> Result<Self> {
        let mut counts = Self { made_by: BTreeMap::new(), parts: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((what, by)) = line.split_once(": ") {
                counts.made_by.insert(what.to_owned(), by.to_owned());
            } else {
                let (part, count) = line.split_once(' ').with_context(|| format!("{BASELINE}: {line}"))?;
                counts
                    .parts
                    .insert(part.to_owned(), count.parse().with_context(|| format!("{BASELINE}: {line}"))?);
            }
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let counts = Counts {
            made_by: [("machine", "x86_64 aes"), ("rustc", "rustc 1.95.0 (5980 2026-04-14)")]
                .map(|(what, by)| (what.to_owned(), by.to_owned()))
                .into(),
            parts: [("decode", 1_234.5), ("route", 99.0)]
                .map(|(part, count)| (part.to_owned(), count))
                .into(),
        };
        assert_eq!(Counts::parse(&counts.text()).unwrap(), counts);
        assert!(Counts::parse("route many\n").is_err() && Counts::parse("route\n").is_err());
    }

    #[test]
    fn a_part_may_grow_by_a_twentieth_and_no_more() {
        let counts =
            |route: f64| Counts { made_by: BTreeMap::new(), parts: [("route".to_owned(), route)].into() };
        assert!(counts(1_000.0).over(&counts(1_049.0)).unwrap().is_empty());
        assert!(counts(1_000.0).over(&counts(500.0)).unwrap().is_empty());
        assert_eq!(counts(1_000.0).over(&counts(1_051.0)).unwrap(), ["route +5.1 %"]);
        assert!(Counts::parse("").unwrap().over(&counts(1.0)).is_err(), "a part without a baseline");
    }

    #[test]
    fn counts_are_found_in_what_callgrind_says() {
        let told = "==7== Events    : Ir\n==7== Collected : 3054332\n==7==\n";
        assert_eq!(word_behind(told, "Collected :"), Some("3054332"));
        assert_eq!(word_behind("messages 6400\n", "messages"), Some("6400"));
        assert_eq!(word_behind("", "messages"), None);
    }
}
