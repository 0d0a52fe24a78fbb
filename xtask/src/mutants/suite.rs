//! Building and running tests of the copy, each program within a time.

use super::list::Tests;
use super::tree::Tree;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Of unchanged code, a test program that runs for longer is ended.
const LIMIT: Duration = Duration::from_secs(900);
/// A fault may make tests slower, or never end: they have so many times what all took without it, and at least a minute.
const SLOWER: u32 = 4;
const LEAST: Duration = Duration::from_secs(60);
/// How often is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How tests ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// The first that failed, or why there is none.
    Failed(String),
}

/// A test program.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    package: PathBuf,
}

/// Runs the tests of a copy.
#[derive(Debug)]
pub(super) struct Suite<'a> {
    tree: &'a Tree,
    limit: Duration,
}

impl<'a> Suite<'a> {
    pub(super) const fn new(tree: &'a Tree) -> Self {
        Self { tree, limit: LIMIT }
    }

    /// From now on faults are built in. The longest of the programs' tests took so long without one.
    pub(super) fn expect(&mut self, longest: Duration) {
        self.limit = longest.saturating_mul(SLOWER).max(LEAST);
    }

    /// Where the last command wrote what it had to say.
    pub(super) fn log(&self) -> String {
        self.tree.build.join("log").display().to_string()
    }

    /// Builds the programs of some tests; `None` if the code does not build.
    pub(super) fn build(&self, tests: &Tests) -> Result<Option<Vec<Program>>> {
        std::fs::create_dir_all(&self.tree.build)?;
        let mut cargo = crate::cargo();
        cargo.args(["test", "--no-run", "--locked", "--message-format=json", "-p", tests.package]);
        cargo.args(tests.target).current_dir(&self.tree.root).env("CARGO_TARGET_DIR", &self.tree.build);
        let output = cargo.stderr(File::create(self.log())?).output().context("cannot start cargo")?;
        if !output.status.success() {
            return Ok(None);
        }
        let mut programs = Vec::new();
        for message in String::from_utf8(output.stdout)?.lines() {
            let message: serde_json::Value = serde_json::from_str(message)?;
            let (path, manifest) = (message["executable"].as_str(), message["manifest_path"].as_str());
            if let (Some(path), Some(manifest), Some(true)) =
                (path, manifest, message["profile"]["test"].as_bool())
            {
                let package = PathBuf::from(manifest).with_file_name("");
                programs.push(Program { path: path.into(), package });
            }
        }
        Ok(Some(programs))
    }

    /// Runs those of the programs' tests that are wanted, until a program fails.
    pub(super) fn run(&self, tests: &Tests, programs: &[Program]) -> Result<Outcome> {
        for program in programs {
            let log = File::create(self.log())?;
            let mut command = Command::new(&program.path);
            command
                .args(Some(tests.filter).filter(|filter| !filter.is_empty()))
                .current_dir(&program.package);
            command.env("CARGO_MANIFEST_DIR", &program.package);
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let ended = within(&mut command, self.limit)?;
            if ended != Some(true) {
                let said = std::fs::read(self.log())?;
                let first = first_failure(&String::from_utf8_lossy(&said));
                let why = if ended.is_none() { "no end" } else { "failed without a name" };
                return Ok(Outcome::Failed(first.unwrap_or_else(|| why.to_owned())));
            }
        }
        Ok(Outcome::Passed)
    }
}

/// Whether a command succeeded; `None` if it took too long and was ended.
fn within(command: &mut Command, limit: Duration) -> Result<Option<bool>> {
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if begun.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(LOOK_EVERY);
    }
}

/// The name in the first line `test NAME ... FAILED`.
fn first_failure(said: &str) -> Option<String> {
    let mut failed = said.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    failed.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_test_that_failed_is_named() {
        let said = "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... FAILED\n";
        assert_eq!(first_failure(said).as_deref(), Some("a::c"));
        assert_eq!(first_failure("test x ... ok\n"), None);
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let mut cargo = crate::cargo();
        cargo.arg("--version").stdout(Stdio::null());
        assert_eq!(within(&mut cargo, LIMIT).unwrap(), Some(true));
        // It waits for the end of its input, which does not come.
        let mut waits = Command::new("rustc");
        waits.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(within(&mut waits, LOOK_EVERY).unwrap(), None);
    }
}
