//! The tests of the workspace: built by cargo, and run several programs at a time, for many of them mostly wait.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Those that take longest begin first, so that nothing long is left over at the end.
const LONGEST: [&str; 3] = ["worlds", "namespaces", "attacks"];

/// A program that cargo made of tests.
#[derive(Debug, PartialEq, Eq)]
struct Tests {
    name: String,
    /// The folder of its package, where cargo would run it.
    folder: PathBuf,
    program: PathBuf,
}

/// The programs that people run, as they are built beside the tests: each with the features that any crate of the
/// workspace asks of what they share.
pub(crate) struct Programs {
    pub(crate) client: PathBuf,
    pub(crate) server: PathBuf,
}

impl Programs {
    /// The folder that both lie in.
    pub(crate) fn folder(&self) -> &Path {
        self.server.parent().unwrap_or_else(|| Path::new("."))
    }
}

/// Builds them; nothing is compiled where the tests have run.
pub(crate) fn programs(root: &Path) -> Result<Programs> {
    programs_in(&build(root)?)
}

/// Runs all tests, then the examples in the documentation; what fails does not hide what comes after.
pub(crate) fn run(root: &Path) -> Result<()> {
    let built = build(root)?;
    let programs = programs_in(&built)?;
    let mut tests: Vec<Tests> = built.iter().filter_map(tests_of).collect();
    ensure!(!tests.is_empty(), "cargo built no tests");
    tests.sort_by_key(|tests| !LONGEST.contains(&tests.name.as_str()));
    let count = tests.len();
    // One more than there are processors, as of three one waits at any time.
    let failed = crate::lanes::each(tests, crate::lanes::processors() + 1, |tests| run_one(tests, &programs));
    let mut failed: Vec<String> =
        failed.into_iter().map(|(tests, error)| format!("{} ({error:#})", tests.name)).collect();
    let examples = crate::cargo()
        .args(["test", "--workspace", "--locked", "--no-fail-fast", "--doc"])
        .current_dir(root)
        .status()?;
    if !examples.success() {
        failed.push("examples in the documentation".to_owned());
    }
    ensure!(failed.is_empty(), "of {count} programs, these failed: {}", failed.join(", "));
    Ok(())
}

/// What cargo says of each program that it built.
fn build(root: &Path) -> Result<Vec<Value>> {
    crate::built(root, &["test", "--workspace", "--locked", "--no-run"])
}

fn programs_in(messages: &[Value]) -> Result<Programs> {
    let program = |name: &str| {
        let mut found =
            messages.iter().filter(|it| it["target"]["name"] == name && it["profile"]["test"] == false);
        let path = found.find_map(|it| it["executable"].as_str()).map(PathBuf::from);
        path.with_context(|| format!("cargo built no {name}"))
    };
    Ok(Programs { client: program("darkchat")?, server: program("darkchatd")? })
}

/// The tests that a message of cargo is about, if it is about any.
fn tests_of(message: &Value) -> Option<Tests> {
    let is_test = message["profile"]["test"] == true;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let tests = Tests {
        name: message["target"]["name"].as_str()?.to_owned(),
        folder: manifest.parent()?.to_owned(),
        program: message["executable"].as_str()?.into(),
    };
    is_test.then_some(tests)
}

/// Runs one program, and prints what it said when it has ended, in one piece.
fn run_one(tests: &Tests, programs: &Programs) -> Result<()> {
    let begun = Instant::now();
    let out = Command::new(&tests.program)
        .current_dir(&tests.folder)
        .env("CARGO_MANIFEST_DIR", &tests.folder)
        .env("DARKCHAT_PROGRAMS", programs.folder())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", tests.program.display()))?;
    let package = tests.folder.file_name().unwrap_or_default().to_string_lossy();
    let seconds = begun.elapsed().as_secs_f64();
    let mut screen = std::io::stdout().lock();
    writeln!(screen, "\n-- {package}: {}, {seconds:.1} s", tests.name)?;
    screen.write_all(&out.stdout)?;
    screen.write_all(&out.stderr)?;
    ensure!(out.status.success(), "{}", out.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn programs_of_tests_are_found_among_what_cargo_builds() {
        let message = |is_test: bool, executable: Value| {
            json!({
                "reason": "compiler-artifact",
                "manifest_path": "/home/crates/node/Cargo.toml",
                "target": { "name": "hops" },
                "profile": { "test": is_test },
                "executable": executable,
            })
        };
        let found = tests_of(&message(true, json!("/out/hops-1"))).expect("a program");
        assert_eq!((found.name.as_str(), found.folder.as_path()), ("hops", Path::new("/home/crates/node")));
        assert_eq!(found.program, Path::new("/out/hops-1"));
        assert_eq!(tests_of(&message(false, json!("/out/darkchatd"))), None, "a program of ours");
        assert_eq!(tests_of(&message(true, Value::Null)), None, "a library");
        assert_eq!(tests_of(&json!({ "reason": "build-finished" })), None);
    }

    #[test]
    fn programs_are_told_from_the_tests_within_them() {
        let message = |name: &str, is_test: bool, executable: &str| json!({ "target": { "name": name }, "profile": { "test": is_test }, "executable": executable });
        let mut built = vec![
            message("darkchat", true, "/out/deps/darkchat-1"),
            message("darkchat", false, "/out/darkchat"),
            message("darkchatd", true, "/out/deps/darkchatd-1"),
        ];
        assert!(programs_in(&built).is_err(), "no server");
        built.push(message("darkchatd", false, "/out/darkchatd"));
        let programs = programs_in(&built).expect("both");
        assert_eq!(
            (programs.client.as_path(), programs.folder()),
            (Path::new("/out/darkchat"), Path::new("/out"))
        );
    }
}
