//! `cargo xtask ci`: everything that must hold before a change lands, cheapest first, each step with its time.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::testing::Programs;

/// What a step has to say when it passed.
enum Outcome {
    Passed,
    /// The machine lacks a tool; never counted as passed.
    Skipped(&'static str),
}

/// Its name, and what it does.
type Step = (&'static str, fn(&Path) -> Result<Outcome>);

const STEPS: [Step; 15] = [
    ("fmt", |root| cargo(root, &["fmt", "--all", "--check"])),
    ("proto", |root| crate::proto::check(root).map(|()| Outcome::Passed)),
    ("tidy", |root| crate::tidy::check(root).map(|()| Outcome::Passed)),
    ("clippy", |root| {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    }),
    ("features", features),
    ("doc", documentation),
    // Doctests, vectors, properties, corpora, simulated worlds and the programs end to end are all here.
    ("test", |root| crate::testing::run(root).map(|()| Outcome::Passed)),
    ("count", instructions),
    ("vectors", foreign_vectors),
    ("sdk", sdk),
    ("page", page),
    ("deny", deny),
    ("flags", documented_flags),
    ("packaging", packaging),
    ("fuzz", fuzz),
];

/// Runs all steps, or those that are named; what fails does not hide what comes after.
pub(crate) fn run(root: &Path, only: &[&str]) -> Result<()> {
    if let Some(name) = only.iter().find(|name| STEPS.iter().all(|step| step.0 != **name)) {
        bail!("no such step: {name}; there are: {}", STEPS.map(|step| step.0).join(" "));
    }
    let start = Instant::now();
    let (mut told, mut failed) = (Vec::new(), Vec::new());
    for (name, step) in STEPS.iter().filter(|step| only.is_empty() || only.contains(&step.0)) {
        println!("\n== {name}");
        let begun = Instant::now();
        let outcome = step(root);
        let seconds = begun.elapsed().as_secs_f64();
        let line = match outcome {
            Ok(Outcome::Passed) => format!("{seconds:7.1} s  {name}"),
            Ok(Outcome::Skipped(why)) => format!("  skipped  {name}: {why}"),
            Err(error) => {
                failed.push(*name);
                format!("   FAILED  {name}: {error:#}")
            }
        };
        println!("{line}");
        told.push(line);
    }
    println!("\n{}\n{:7.1} s  in all", told.join("\n"), start.elapsed().as_secs_f64());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn cargo(root: &Path, args: &[&str]) -> Result<Outcome> {
    passes(crate::cargo().args(args).current_dir(root))
}

fn passes(command: &mut Command) -> Result<Outcome> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "failed: {command:?}");
    Ok(Outcome::Passed)
}

/// A feature that compiles only together with another is a trap for embedders. Tests of the two crates turn their
/// own feature on, so this looks at the libraries alone.
fn features(root: &Path) -> Result<Outcome> {
    for (package, feature) in [
        ("darkchat-crypto", ""),
        ("darkchat-crypto", "system"),
        ("darkchat-transport", ""),
        ("darkchat-transport", "conformance"),
        ("darkchat-transport-ws", ""),
        ("darkchat-transport-ws", "tls"),
    ] {
        let args =
            ["clippy", "--lib", "--locked", "--no-default-features", "-p", package, "--features", feature];
        cargo(root, &[&args[..], &["--", "-D", "warnings"]].concat())?;
    }
    // The tests run programs that were built beside everything else, people build one alone.
    for package in ["darkchat", "darkchatd"] {
        cargo(root, &["clippy", "--bins", "--locked", "-p", package, "--", "-D", "warnings"])?;
    }
    Ok(Outcome::Passed)
}

/// Of the libraries: the comments on a program's flags are the words of `--help`, where a bracket is no link.
fn documentation(root: &Path) -> Result<Outcome> {
    let mut doc = crate::cargo();
    doc.args(["doc", "--workspace", "--lib", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-Dwarnings");
    passes(doc.current_dir(root))
}

/// No delivered message takes more instructions than it did when they were counted last.
fn instructions(root: &Path) -> Result<Outcome> {
    Ok(match crate::count::compare(root)? {
        crate::count::Comparison::Passed => Outcome::Passed,
        crate::count::Comparison::Skipped(why) => Outcome::Skipped(why),
    })
}

/// Each fuzz target for a minute.
fn fuzz(root: &Path) -> Result<Outcome> {
    Ok(if crate::fuzz::run(root)? {
        Outcome::Passed
    } else {
        Outcome::Skipped(
            "there is no nightly compiler with cargo-fuzz; the tests have run the bodies on corpora and on noise",
        )
    })
}

/// The vectors agree with WebCrypto too, which shares no code with us.
fn foreign_vectors(root: &Path) -> Result<Outcome> {
    if !starts(Command::new("node").arg("--version")) {
        return Ok(Outcome::Skipped(
            "node is not installed; the tests have checked the vectors against our code",
        ));
    }
    passes(Command::new("node").arg("check.mjs").current_dir(root.join("crates/crypto/tests/vectors")))
}

/// The SDK for the web: its own tests, then with the programs that the tests have just built.
fn sdk(root: &Path) -> Result<Outcome> {
    if !starts(Command::new("node").arg("--version")) || !starts(Command::new("npm").arg("--version")) {
        return Ok(Outcome::Skipped("node and npm are not installed; nothing has tested the SDK"));
    }
    let programs = crate::testing::programs(root)?;
    for words in [&["ci"][..], &["test"], &["run", "interop"]] {
        let mut npm = Command::new("npm");
        npm.args(words).current_dir(root.join("apps/web/sdk")).env("DARKCHAT_PROGRAMS", programs.folder());
        passes(&mut npm)?;
    }
    Ok(Outcome::Passed)
}

/// The page: what is committed is what its sources make, and it works in a browser with the programs that were built.
fn page(root: &Path) -> Result<Outcome> {
    if !crate::web::has_npm() {
        return Ok(Outcome::Skipped("node and npm are not installed; nothing has tested the page"));
    }
    crate::web::check(root)?;
    crate::web::npm(root, &["test"])?;
    if !CHROMIUM.iter().any(|name| starts(Command::new(name).arg("--version"))) {
        return Ok(Outcome::Skipped("Chromium is not installed; the page was built, and not opened"));
    }
    let programs = crate::testing::programs(root)?;
    let mut npm = Command::new("npm");
    npm.args(["run", "browser"]).current_dir(root.join("apps/web/page"));
    passes(npm.env("DARKCHAT_PROGRAMS", programs.folder()))?;
    if !NGINX.iter().any(|path| starts(Command::new(path).arg("-v"))) {
        return Ok(Outcome::Skipped(
            "nginx is not installed; the page has passed, and was not opened behind it",
        ));
    }
    Ok(Outcome::Passed)
}

/// Distributions put it where only an administrator's shell looks.
const NGINX: [&str; 2] = ["nginx", "/usr/sbin/nginx"];
/// The names that distributions give the browser; `CHROMIUM` may name another one.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn deny(root: &Path) -> Result<Outcome> {
    if !starts(crate::cargo().args(["deny", "--version"])) {
        return Ok(Outcome::Skipped("cargo-deny is not installed; tidy has checked licences and sources"));
    }
    // Advisories need the network: they are looked at before a release.
    cargo(root, &["deny", "--offline", "check", "bans", "licenses", "sources"])
}

/// Every flag that the reference names is one that a program has, and every flag of a program is in the reference.
fn documented_flags(root: &Path) -> Result<Outcome> {
    let mut help = String::new();
    let Programs { client, server } = crate::testing::programs(root)?;
    let of_client = [
        "",
        "chat",
        "send",
        "recv",
        "id",
        "channel create",
        "channel join",
        "channel invite",
        "channel add",
        "channel remove",
        "channel rekey",
        "channel list",
        "channel leave",
        "contacts",
        "bench fanout",
        "bench pairs",
        "bench mesh",
        "bench direct",
        "bench churn",
        "bench idle",
    ];
    let commands: [(_, &[&str]); 2] = [(server, &["", "id", "tls self-signed"]), (client, &of_client)];
    for (program, commands) in commands {
        for command in commands {
            let words = command.split_whitespace().chain(["--help"]);
            let output = Command::new(&program).args(words).output().context("--help")?;
            ensure!(output.status.success(), "{}: {command} --help fails", program.display());
            help.push_str(&String::from_utf8_lossy(&output.stdout));
        }
    }
    let reference = std::fs::read_to_string(root.join("docs/commands.md"))?;
    let (reference, _) = reference.split_once("\n## Planned").context("docs/commands.md: no `## Planned`")?;
    let (told, known) = (flags(reference), flags(&help));
    let missing: Vec<&&str> = told.symmetric_difference(&known).filter(|it| **it != "--help").collect();
    ensure!(missing.is_empty(), "in docs/commands.md or in --help, and not in both: {missing:?}");
    Ok(Outcome::Passed)
}

/// What looks like a long flag: two dashes and lower-case words.
fn flags(text: &str) -> BTreeSet<&str> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '-');
    words
        .filter(|it| {
            it.strip_prefix("--").is_some_and(|it| it.starts_with(|it: char| it.is_ascii_lowercase()))
        })
        .collect()
}

/// Every flag that the packages give the server is one that it knows; the unit is one that systemd understands.
fn packaging(root: &Path) -> Result<Outcome> {
    let Programs { server, .. } = crate::testing::programs(root)?;
    let help = Command::new(&server).arg("--help").output().context("darkchatd --help")?;
    let help = String::from_utf8_lossy(&help.stdout);
    for path in ["packaging/darkchatd.service", "packaging/Containerfile"] {
        let text = std::fs::read_to_string(root.join(path))?;
        if let Some(flag) = server_flags(&text).difference(&flags(&help)).next() {
            bail!("{path}: darkchatd has no flag {flag}");
        }
    }
    if !starts(Command::new("systemd-analyze").arg("--version")) {
        return Ok(Outcome::Skipped("systemd-analyze is not installed; tidy and flags have passed"));
    }
    verify_unit(root, &server)
}

/// The flags in the lines that start the server.
fn server_flags(text: &str) -> BTreeSet<&str> {
    let starts = text.lines().filter(|line| line.starts_with("ExecStart=") || line.starts_with("CMD "));
    starts.flat_map(flags).collect()
}

/// Lets systemd read the unit as it would be installed, with the server that was just built in its place.
fn verify_unit(root: &Path, server: &Path) -> Result<Outcome> {
    let unit = std::fs::read_to_string(root.join("packaging/darkchatd.service"))?;
    let installed = unit.replace("/usr/local/bin/darkchatd", &server.to_string_lossy());
    ensure!(installed != unit, "the unit starts /usr/local/bin/darkchatd");
    let folder = server.with_file_name("packaging");
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join("darkchatd.service");
    std::fs::write(&copy, installed)?;
    passes(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy))?;
    // 0 is a unit that can do nothing, 10 one that can do everything; ours needs sockets.
    passes(
        Command::new("systemd-analyze")
            .args(["security", "--no-pager", "--offline=true", "--threshold=15"])
            .arg(&copy)
            .stdout(Stdio::null()),
    )
}

fn starts(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_packages_are_seen() {
        let text = "# --old\nExecStart=/usr/local/bin/darkchatd --tcp 0.0.0.0:8545 --no-lan\nCMD [\"--ws\", \"--prompt\"]\n";
        assert_eq!(server_flags(text), BTreeSet::from(["--tcp", "--no-lan", "--ws", "--prompt"]));
        assert_eq!(flags("a --b, `--c-d` | -- --- e"), BTreeSet::from(["--b", "--c-d"]));
    }
}
