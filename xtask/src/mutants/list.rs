//! The faults that are built in, and the tests that are to notice each.

mod later;
mod plan;

use std::fmt;

/// A fault.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) edits: &'static [Edit],
    /// Cheapest first; the last ones are so wide that they hold when tests are renamed.
    pub(super) tests: &'static [Tests],
}

impl Mutant {
    /// Whether the simulator runs the changed code: it leaves handshakes, records and the servers' tasks out.
    pub(super) fn is_simulated(&self) -> bool {
        let in_simulator = |edit: &Edit| {
            ["proto", "node", "client"]
                .iter()
                .any(|name| edit.file.starts_with(&format!("crates/{name}/src/")))
        };
        self.edits.iter().all(in_simulator)
    }
}

/// A text that stands once in a file, and what takes its place.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) file: &'static str,
    pub(super) text: &'static str,
    pub(super) by: &'static str,
}

/// Some tests of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tests {
    pub(super) package: &'static str,
    /// Which of its programs, as cargo is told it.
    pub(super) target: &'static [&'static str],
    /// What is in the names of those that run; all if it is empty.
    pub(super) filter: &'static str,
}

impl Tests {
    const fn lib(package: &'static str, filter: &'static str) -> Self {
        Self { package, target: &["--lib"], filter }
    }

    const fn program(package: &'static str, target: &'static [&'static str]) -> Self {
        Self { package, target, filter: "" }
    }

    /// Whether all of `other` are among these.
    pub(super) fn holds(&self, other: &Self) -> bool {
        self.package == other.package
            && (self.target.is_empty() || self.target == other.target)
            && self.filter.is_empty()
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, target, filter } = self;
        write!(f, "{}", package.trim_start_matches("darkchat-"))?;
        target.iter().try_for_each(|word| write!(f, " {word}"))?;
        if filter.is_empty() { Ok(()) } else { write!(f, " {filter}") }
    }
}

const fn node(filter: &'static str) -> Tests {
    Tests::lib("darkchat-node", filter)
}

const fn client(filter: &'static str) -> Tests {
    Tests::lib("darkchat-client", filter)
}

const fn crypto(filter: &'static str) -> Tests {
    Tests::lib("darkchat-crypto", filter)
}

const PROTO: Tests = Tests::lib("darkchat-proto", "");
const SERVER: Tests = Tests::lib("darkchat-server", "");
const STRANGERS: Tests = Tests::program("darkchat-server", &["--test", "strangers"]);
const STORIES: Tests = Tests::program("darkchat-sim", &["--test", "stories"]);
const WORLDS: Tests = Tests::program("darkchat-sim", &["--test", "worlds"]);
const MESH: Tests = Tests::program("darkchat-sim", &["--test", "mesh"]);

const NEIGHBOURS: Tests = Tests::program("darkchat-sim", &["--test", "neighbours"]);

const RESUME: Tests = Tests::program("darkchat-sim", &["--test", "resume"]);

/// What the simulator alone is measured by.
pub(super) const SIMULATOR: &[Tests] = &[STORIES, NEIGHBOURS, RESUME, MESH, WORLDS];

/// The faults of the plan that no change of our code can bring about, and why.
pub(super) const LEFT_OUT: &[(u32, &str, &str)] = &[];

/// All faults.
pub(super) fn mutants() -> impl Iterator<Item = &'static Mutant> {
    plan::PLAN.iter().chain(later::LATER)
}
