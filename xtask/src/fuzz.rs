//! The step `fuzz` of `cargo xtask ci`: every target, beginning with its corpus.

use anyhow::{Context as _, Result, ensure};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The time of each target, in seconds: long enough to notice what a change has broken. Faults that hide deeper are
/// looked for by hand, with hours.
const SECONDS: u32 = 60;

/// Runs all targets, as many at a time as there are processors. False where cargo-fuzz is missing. What they find is kept
/// beside the build and not committed: a crash is put into the corpus by whoever mends it.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let version = fuzz(root, &["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Ok(false);
    }
    // All at once first: each target alone would wait for the build of the one before.
    let built = fuzz(root, &["build"]).status().context("cargo fuzz build")?;
    ensure!(built.success(), "the fuzz targets do not build");
    let targets = fuzz(root, &["list"]).stderr(Stdio::inherit()).output().context("cargo fuzz list")?;
    ensure!(targets.status.success(), "cargo fuzz list fails");
    let targets = String::from_utf8(targets.stdout)?.lines().map(str::to_owned).collect();
    let failed = crate::lanes::each(targets, crate::lanes::processors(), |target| run_one(root, target));
    let failed: Vec<String> =
        failed.into_iter().map(|(target, error)| format!("{target} ({error:#})")).collect();
    ensure!(failed.is_empty(), "these targets fail: {}", failed.join(", "));
    Ok(true)
}

/// Runs one target, and prints what it said when it has ended, in one piece.
fn run_one(root: &Path, target: &str) -> Result<()> {
    let found = root.join("target/fuzz-found").join(target);
    std::fs::create_dir_all(&found)?;
    let (found, corpus) = (found.to_string_lossy(), format!("fuzz/corpus/{target}"));
    let seconds = format!("-max_total_time={SECONDS}");
    let args = ["run", target, &found, &corpus, "--", &seconds, "-print_final_stats=1", "-verbosity=0"];
    let out = fuzz(root, &args).stdin(Stdio::null()).output().context("cargo fuzz run")?;
    let mut screen = std::io::stdout().lock();
    writeln!(screen, "\n-- {target}")?;
    screen.write_all(&out.stdout)?;
    screen.write_all(&out.stderr)?;
    ensure!(out.status.success(), "{}", out.status);
    Ok(())
}

fn fuzz(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    // The compiler that runs this task names itself to its children, which are to use another.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command.args(["+nightly", "fuzz"]).args(args).current_dir(root);
    command
}
