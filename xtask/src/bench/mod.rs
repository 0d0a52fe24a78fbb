//! `cargo xtask bench`: the same work for ours, for others that are installed, and for a floor, turn by turn in one run.
//!
//! Each turn starts a fresh server, lets it do the work, and ends it. What is told is the median of the turns, how far they
//! lie apart, and the ratio that stands in the table of goals; `docs/benchmarks.md` holds the table of the last full run.

mod client;
mod floor;
mod goals;
mod rows;
mod systems;
mod table;
mod wire;

use crate::process::Programs;
use anyhow::{Result, bail};
pub(crate) use goals::median;
use rows::{ROWS, Row};
use std::path::Path;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
cargo xtask bench [--quick] [--write] [ROW]...   our speed beside that of others, by row of the table of goals";

/// Turns of every system; a median of fewer says little.
const TURNS: usize = 5;
/// The same with `--quick`.
const QUICK_TURNS: usize = 3;
/// How long each turn sends, after its warm-up.
const SEND: Duration = Duration::from_secs(3);
const QUICK_SEND: Duration = Duration::from_millis(1_500);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) turns: usize,
    pub(crate) send: Duration,
}

pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    if let ["hub"] = args {
        return floor::hub();
    }
    let (flags, names): (Vec<_>, Vec<_>) = args.iter().copied().partition(|arg| arg.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| !["--quick", "--write"].contains(flag)) {
        bail!("unknown flag: {flag}\n{USAGE}");
    }
    if let Some(name) = names.iter().find(|name| ROWS.iter().all(|row| row.name != **name)) {
        let all: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        bail!("no such row: {name}; there are: {}", all.join(" "));
    }
    let quick = flags.contains(&"--quick");
    let effort = match quick {
        true => Effort { turns: QUICK_TURNS, send: QUICK_SEND },
        false => Effort { turns: TURNS, send: SEND },
    };
    let wanted: Vec<&Row> = ROWS.iter().filter(|row| names.is_empty() || names.contains(&row.name)).collect();
    let programs = Programs::build(root)?;
    for row in wanted {
        println!("== {}: {}", row.name, row.what);
        let lines = (row.measure)(&programs, effort)?;
        lines.iter().for_each(|line| println!("{}", line.text()));
        // After each row, so that a run that is ended early leaves what it has.
        if flags.contains(&"--write") {
            table::write(root, row.name, &lines)?;
        }
    }
    Ok(())
}
