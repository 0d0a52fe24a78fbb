//! `cargo xtask mesh` and `cargo xtask sim`: the figures of the protocol's mesh, and the long runs of the test plan.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// What there is to run.
pub(crate) const USAGE: &str = "\
cargo xtask mesh [NAME]...      a thousand servers: each figure that is promised, and whether it holds
cargo xtask sim SIZE            generated worlds of the size push, ci, nightly or release";

/// A run of the volume simulator, and what must hold of its result.
struct Run {
    name: &'static str,
    flags: &'static str,
    goals: &'static [Goal],
}

/// A figure and its bounds. A figure that is not there misses its goal.
struct Goal {
    figure: Figure,
    least: f64,
    most: f64,
}

enum Figure {
    Is(&'static str),
    /// The first divided by the second.
    Ratio(&'static str, &'static str),
    /// The first less the second.
    Less(&'static str, &'static str),
}

use Figure::{Is, Less, Ratio};

const fn goal(figure: Figure, least: f64, most: f64) -> Goal {
    Goal { figure, least, most }
}

/// Everybody hears everything once, in order, nothing is lost without a reason, and it costs little more than it must.
const EXACT: [Goal; 6] = [
    goal(Ratio("delivered", "expected"), 1.0, 1.0),
    goal(Is("duplicates"), 0.0, 0.0),
    goal(Is("reordered"), 0.0, 0.0),
    goal(Is("order_violations"), 0.0, 0.0),
    goal(Is("unexplained_losses"), 0.0, 0.0),
    goal(Ratio("link_crossings_per_message", "optimal_crossings"), 0.5, 1.05),
];

const fn after_a_kill(delivered: f64) -> [Goal; 4] {
    [
        goal(Ratio("delivered", "expected"), delivered, 1.0),
        goal(Is("duplicates"), 0.0, 0.0),
        goal(Is("unexplained_losses"), 0.0, 0.0),
        goal(Is("reach_after_kill_s"), 0.0, 1.0),
    ]
}

const RUNS: [Run; 12] = [
    Run { name: "k1", flags: "--interested 1 --messages 2000", goals: &EXACT },
    Run { name: "k2", flags: "--interested 2 --messages 2000", goals: &EXACT },
    Run { name: "k5", flags: "--interested 5 --messages 2000", goals: &EXACT },
    Run { name: "k20", flags: "--interested 20 --messages 2000", goals: &EXACT },
    Run { name: "k100", flags: "--interested 100 --messages 1000", goals: &EXACT },
    Run {
        name: "volume",
        flags: "--messages 100000 --seconds 570",
        goals: &[
            goal(Ratio("delivered", "expected"), 1.0, 1.0),
            goal(Is("duplicates"), 0.0, 0.0),
            goal(Is("virtual_s"), 600.0, 700.0),
            goal(Is("traffic_core_s"), 0.0, 60.0),
        ],
    },
    Run { name: "kill2", flags: "--kill 0.02 --seconds 1 --messages 1000", goals: &after_a_kill(1.0) },
    Run { name: "kill10", flags: "--kill 0.1 --seconds 1 --messages 1000", goals: &after_a_kill(0.999) },
    Run { name: "kill30", flags: "--kill 0.3 --seconds 1 --messages 1000", goals: &after_a_kill(0.97) },
    Run {
        name: "split",
        flags: "--split 600 --churn 0.05 --seconds 700 --messages 2000",
        goals: &[
            goal(Is("merged_after_split_s"), 0.0, 30.0),
            goal(Ratio("delivered", "expected"), 0.99, 1.0),
            goal(Is("duplicates"), 0.0, 0.0),
            goal(Is("unexplained_losses"), 0.0, 0.0),
        ],
    },
    Run {
        name: "hole",
        flags: "--hole --messages 5000 --seconds 20 --channels 4",
        goals: &[
            goal(Less("hole_noticed_s", "hole_limit_s"), -10.0, 0.3),
            goal(Ratio("delivered", "expected"), 1.0, 1.0),
            goal(Is("duplicates"), 0.0, 0.0),
            goal(Is("destroyed"), 1.0, 1e9),
        ],
    },
    Run {
        name: "idle",
        flags: "--messages 0 --seconds 2000 --quiet-channels 100",
        goals: &[goal(Is("control_bytes_per_server_s"), 1.0, 2_000.0)],
    },
];

/// The run whose thousand states need more memory than many machines have, and how much, in GiB.
const LARGEST: (&str, u64) = ("idle", 22);

/// What is no run of the simulator at volume: one seed in two builds, and the memory of a server that knows a thousand.
const OTHERS: [&str; 2] = ["same", "state"];

/// Runs all figures, or those that are named.
pub(crate) fn mesh(root: &Path, only: &[&str]) -> Result<()> {
    let names: Vec<&str> = RUNS.iter().map(|run| run.name).chain(OTHERS).collect();
    if let Some(name) = only.iter().find(|name| !names.contains(name)) {
        bail!("no such figure: {name}; there are: {}", names.join(" "));
    }
    let is_wanted = |name: &str| only.is_empty() || only.contains(&name);
    let program = build(root, "release")?;
    let mut missed = Vec::new();
    for run in RUNS.iter().filter(|run| is_wanted(run.name)) {
        match run.lacks_memory(only) {
            Some(lack) => missed.push(lack),
            None => missed.extend(run.judge(&report(&program, run.flags)?)),
        }
    }
    if is_wanted("same") {
        same_in_both_builds(root, &program)?;
    }
    if is_wanted("state") {
        println!("\nstate    cargo test --release -p darkchat-node --test state");
        let test = ["test", "--release", "-p", "darkchat-node", "--test", "state", "--", "--nocapture"];
        passes(cargo(root).args(test))?;
    }
    ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
    Ok(())
}

impl Run {
    /// Why it is not run: without the memory it would end the process, or another one. Who names it wants it all the same.
    fn lacks_memory(&self, named: &[&str]) -> Option<String> {
        let (name, needed) = LARGEST;
        if self.name != name || named.contains(&name) {
            return None;
        }
        let available = available_gib().filter(|available| *available < needed)?;
        Some(format!(
            "{name}, which was not run: it needs {needed} GiB of memory, and {available} are available"
        ))
    }

    /// Prints each figure with its goal; those that are missed.
    fn judge(&self, report: &Value) -> Vec<String> {
        println!("\n{:<8} darkchat-sim mesh {}", self.name, self.flags);
        let mut missed = Vec::new();
        for goal in self.goals {
            let (name, value) = goal.figure.of(report);
            let holds = value.is_some_and(|value| value >= goal.least && value <= goal.most);
            let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            let mark = if holds { "" } else { "   MISSED" };
            println!("  {name:<52}{value:>14}   {} to {}{mark}", goal.least, goal.most);
            if !holds {
                missed.push(format!("{} {name}", self.name));
            }
        }
        let figure = |name: &str| report[name].as_f64().unwrap_or_default();
        let (all, traffic) = (figure("core_s"), figure("traffic_core_s"));
        println!("  {all:.1} s of a core, of it traffic {traffic:.1} s, trace {}", report["trace_hash"]);
        missed
    }
}

/// The memory that programs may still take, where the system tells.
fn available_gib() -> Option<u64> {
    let told = fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib >> 20)
}

/// One seed is one run, however the program was compiled.
fn same_in_both_builds(root: &Path, release: &Path) -> Result<()> {
    let debug = build(root, "dev")?;
    for flags in [
        "mesh --servers 100 --messages 500 --seconds 20 --kill 0.05 --loss 0.1 --json",
        "worlds --seeds 0..60",
    ] {
        let [debug, first, second] = [&debug, release, release].map(|program| trace(program, flags));
        let (debug, first, second) = (debug?, first?, second?);
        println!("\nsame     darkchat-sim {flags}\n  dev {debug}, release {first}, release again {second}");
        ensure!(debug == first && first == second, "one seed ran in different ways");
    }
    Ok(())
}

/// What a run says of all its steps: 16 digits behind a word that names them.
fn trace(program: &Path, flags: &str) -> Result<String> {
    let output = output(program, flags)?;
    let told = ["\"trace_hash\":\"", "trace "].iter().find_map(|name| output.split_once(name));
    Ok(told.and_then(|(_, rest)| rest.get(..16)).context("a run without a trace")?.to_owned())
}

impl Figure {
    /// Its name and value.
    fn of(&self, report: &Value) -> (String, Option<f64>) {
        let figure = |name: &str| report[name].as_f64();
        match self {
            Is(name) => ((*name).to_owned(), figure(name)),
            Ratio(one, other) => {
                let value = figure(one).zip(figure(other)).map(|(one, other)| one / other);
                (format!("{one} / {other}"), value)
            }
            Less(one, other) => {
                let value = figure(one).zip(figure(other)).map(|(one, other)| one - other);
                (format!("{one} - {other}"), value)
            }
        }
    }
}

fn report(program: &Path, flags: &str) -> Result<Value> {
    Ok(serde_json::from_str(&output(program, &format!("mesh {flags} --json"))?)?)
}

fn output(program: &Path, flags: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(flags.split_whitespace()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(output.status.success(), "failed: {flags}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Sizes of the test plan: flags for each part of a run.
fn parts(size: &str) -> Option<&'static [&'static str]> {
    Some(match size {
        "push" => &["--seeds 0..200"],
        // All of the size of a push: larger ones would be four minutes more on two cores.
        "ci" => &["--seeds 0..2000"],
        "nightly" => &[
            "--seeds 0..10000 --servers 3..30 --people 50",
            "--seeds 0..20 --servers 3..30 --people 200 --seconds 3600",
        ],
        "release" => &[
            "--seeds 0..100000 --servers 3..12 --people 20",
            "--seeds 0..10 --servers 200..200 --people 200 --seconds 3600",
            "--seeds 0..1 --servers 10..10 --people 50 --seconds 2592000 --mode liveness",
        ],
        _ => return None,
    })
}

/// Runs generated worlds.
pub(crate) fn worlds(root: &Path, size: &str) -> Result<()> {
    let Some(parts) = parts(size) else { bail!("no such size: {size}; there are: push ci nightly release") };
    let program = build(root, "release")?;
    for flags in parts {
        println!("darkchat-sim worlds {flags}");
        passes(Command::new(&program).arg("worlds").args(flags.split_whitespace()))?;
    }
    Ok(())
}

fn cargo(root: &Path) -> Command {
    let mut command = crate::cargo();
    command.current_dir(root);
    command
}

fn passes(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "failed: {command:?}");
    Ok(())
}

/// Builds the simulator.
fn build(root: &Path, profile: &str) -> Result<PathBuf> {
    let programs = crate::built(root, &["build", "--locked", "-p", "darkchat-sim", "--profile", profile])?;
    let path = programs.iter().find_map(|program| program["executable"].as_str());
    Ok(path.context("cargo built no darkchat-sim")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_read_from_a_report_and_missing_ones_are_seen() {
        let report = json!({ "a": 3, "b": 2.0, "c": null });
        assert_eq!(Is("a").of(&report).1, Some(3.0));
        assert_eq!(Ratio("a", "b").of(&report).1, Some(1.5));
        assert_eq!(Less("a", "b").of(&report).1, Some(1.0));
        assert_eq!(Is("c").of(&report).1, None);
    }

    #[test]
    fn the_largest_run_is_one_of_them() {
        assert!(RUNS.iter().any(|run| run.name == LARGEST.0));
    }

    #[test]
    fn every_size_has_runs() {
        assert!(["push", "ci", "nightly", "release"].iter().all(|size| parts(size).is_some()));
        assert!(parts("huge").is_none());
    }
}
