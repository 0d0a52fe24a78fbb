//! Tasks of the repository: `cargo xtask TASK`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bench;
mod ci;
mod count;
mod figures;
mod fuzz;
mod lanes;
mod mutants;
mod process;
mod proto;
mod simulate;
mod testing;
mod tidy;
mod vectors;
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

const USAGE: &str = "\
cargo xtask ci [STEP]...        everything that must hold before a change lands, or some of it
cargo xtask tidy                the rules of the house that no compiler knows
cargo xtask proto [--check]     compile the wire schema, or fail when the committed code is stale
cargo xtask vectors [--check]   write the JSON vectors that other languages read, or fail when they are stale
cargo xtask web [--check]       build the page that darkchatd serves, or fail when the committed one is stale";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    if args.first().is_none_or(|task| *task == "help")
        || args.iter().any(|arg| matches!(*arg, "--help" | "-h"))
    {
        let more = [mutants::USAGE, figures::USAGE, bench::USAGE, count::USAGE, simulate::USAGE];
        println!("{USAGE}\n{}", more.join("\n"));
        return Ok(());
    }
    let root = root();
    match args {
        ["ci", only @ ..] => ci::run(&root, only),
        ["tidy"] => tidy::check(&root),
        ["proto"] => proto::write(&root),
        ["proto", "--check"] => proto::check(&root),
        ["vectors"] => vectors::write(&root),
        ["vectors", "--check"] => vectors::check(&root),
        ["web"] => web::write(&root),
        ["web", "--check"] => web::check(&root),
        ["figures", what @ ..] => figures::run(&root, what),
        ["bench", args @ ..] => bench::run(&root, args),
        ["count", args @ ..] => count::run(&root, args),
        ["mutants", args @ ..] => mutants::run(&root, args),
        ["mesh", only @ ..] => simulate::mesh(&root, only),
        ["sim", size] => simulate::worlds(&root, size),
        _ => bail!("unknown task: {}\n{USAGE}", args.join(" ")),
    }
}

/// The repository, wherever it was cloned to.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs this task, so that a chosen toolchain stays the chosen one.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo says of the package that it runs: `ring` is built anew wherever that differs from the last time.
    let of_xtask = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        name.to_str().is_some_and(|it| it.starts_with("CARGO_PKG_") || it.starts_with("CARGO_MANIFEST_"))
    });
    for name in of_xtask {
        cargo.env_remove(name);
    }
    cargo
}

/// What cargo says of each program that these arguments build. Its own complaints go to the terminal.
fn built(root: &Path, args: &[&str]) -> Result<Vec<Value>> {
    let mut cargo = cargo();
    cargo.args(args).args(["--message-format", "json-render-diagnostics"]);
    let out = cargo.current_dir(root).stderr(Stdio::inherit()).output()?;
    ensure!(out.status.success(), "does not build: {cargo:?}");
    let said = String::from_utf8(out.stdout)?;
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter(|message| message["executable"].is_string()).collect())
}
