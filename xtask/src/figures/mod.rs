//! `cargo xtask figures`: what the programs take and do, measured from outside on real processes.

mod idle;
mod process;
mod slow_reader;
mod storage;
mod throughput;

use anyhow::Result;
use std::path::Path;

/// What there is to measure.
pub(crate) const USAGE: &str = "\
cargo xtask figures storage     no file is written and memory returns while millions of messages pass
cargo xtask figures slow-reader one reader that stops reading, against the rate without it
cargo xtask figures idle [N]    memory of N idle clients, by transport
cargo xtask figures throughput  deliveries a second and their cost, for 1 to 100 subscribers";

/// Builds the programs as released, and measures.
pub(crate) fn run(root: &Path, what: &[&str]) -> Result<()> {
    let measure: fn(&process::Programs, &[&str]) -> Result<()> = match what {
        ["storage"] => |programs, _| storage::run(programs),
        ["slow-reader"] => |programs, _| slow_reader::run(programs),
        ["idle"] | ["idle", _] => idle::run,
        ["throughput"] => |programs, _| throughput::run(programs),
        _ => anyhow::bail!("unknown figure: {}\n{USAGE}", what.join(" ")),
    };
    measure(&process::Programs::build(root)?, what.get(1..).unwrap_or_default())
}

/// Prints a row: a name, then right-aligned cells.
fn row(name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
    println!("{name:<34}{cells}");
}
