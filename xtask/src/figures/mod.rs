//! `cargo xtask figures`: what the programs take and do, measured from outside on real processes.

pub(crate) mod slow_reader;
mod storage;

use crate::process::Programs;
use anyhow::Result;
use std::path::Path;

/// What there is to measure.
pub(crate) const USAGE: &str = "\
cargo xtask figures storage     no file is written and memory returns while millions of messages pass
cargo xtask figures slow-reader one reader that stops reading, against the rate without it";

/// Builds the programs as released, and measures.
pub(crate) fn run(root: &Path, what: &[&str]) -> Result<()> {
    let measure: fn(&Programs) -> Result<()> = match what {
        ["storage"] => storage::run,
        ["slow-reader"] => slow_reader::run,
        _ => anyhow::bail!("unknown figure: {}\n{USAGE}", what.join(" ")),
    };
    measure(&Programs::build(root)?)
}

/// Prints a row: a name, then right-aligned cells.
fn row(name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
    println!("{name:<34}{cells}");
}
