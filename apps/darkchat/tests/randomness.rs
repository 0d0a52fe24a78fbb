//! D13 of the test plan: programs that the system refuses randomness do not run, and make no key.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use common::{Folder, Program, server};
use std::path::Path;
use std::process::Command;

/// Far more requests for randomness than a start makes.
const REQUESTS: u32 = 40;

/// A program whose requests for randomness fail from this one on.
fn starved(program: &Command, from: u32) -> Program {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=getrandom"]);
    command.args(["-e", &format!("inject=getrandom:error=EIO:when={from}+")]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Program::start(&mut command)
}

/// Whether requests can be made to fail here at all; says so if not.
fn can_starve() -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: strace is missing, or may not trace");
    }
    can
}

fn is_whole(key: &Path) -> bool {
    std::fs::read_to_string(key).is_ok_and(|text| text.starts_with("dchat-seed-1:") && text.ends_with('\n'))
}

#[test]
fn d13_a_server_without_randomness_does_not_start_and_leaves_no_half_key() {
    if !can_starve() {
        return;
    }
    let mut refused = 0;
    for from in 1..=REQUESTS {
        let folder = Folder::new();
        let key = folder.path().join("server.key");
        let mut command = server();
        command.args(["--tcp", "0", "--no-peer-listen", "--prompt", "always", "--key"]).arg(&key);
        let mut program = starved(command.env("DARKCHAT_HOME", folder.path()), from);
        if std::iter::from_fn(|| program.out.next()).any(|line| line == "ready") {
            program.say("exit");
            program.wait();
            break;
        }
        assert_ne!(program.code(), 0, "{from}");
        assert!(program.err.next().is_some(), "{from}: it says why");
        assert!(!key.exists() || is_whole(&key), "{from}");
        refused += 1;
    }
    assert!((2..REQUESTS).contains(&refused), "some were refused, and in the end it starts: {refused}");
}

#[test]
fn d13_a_client_makes_no_key_without_randomness() {
    if !can_starve() {
        return;
    }
    let mut refused = 0;
    for from in 1..=REQUESTS {
        let folder = Folder::new();
        let mut program = Command::new(env!("CARGO_BIN_EXE_darkchat"));
        program.args(["id", "new"]).env("DARKCHAT_HOME", folder.path());
        let mut program = starved(&program, from);
        let (status, key) = (program.wait(), folder.path().join("identity.key"));
        assert_eq!(status.success(), key.exists(), "{from}: {:?}", program.err.rest());
        if status.success() {
            assert!(is_whole(&key));
            break;
        }
        refused += 1;
    }
    assert!((1..REQUESTS).contains(&refused), "{refused}");
}
