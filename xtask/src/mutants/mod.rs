//! `cargo xtask mutants`: builds faults in, one at a time, and reports which tests notice them (testplan 5.4).

mod list;
mod suite;
mod tree;

use anyhow::{Context as _, Result, ensure};
use list::{LEFT_OUT, Mutant, SIMULATOR, Tests, mutants};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use suite::{Outcome, Suite};
use tree::Tree;

/// How to call it.
pub(crate) const USAGE: &str = "\
cargo xtask mutants [NUMBER]... [--simulator]
                                build faults in, one at a time, and see that tests fail; all, or those named, by all
                                tests that should notice, or by the simulator's alone";

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// These tests failed, the first of them named if it could be read.
    Killed(String),
    Survived,
    /// No code of the simulator is changed.
    NotSimulated,
}

/// Applies the mutants, or those that are named. Fails if one survives all tests; what the simulator alone lets live is
/// only counted, because other tests are there for it.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let (is_simulator, chosen) = chosen(args)?;
    let tree = Tree::copy(root)?;
    let mut suite = Suite::new(&tree);
    check_unchanged(&mut suite, &chosen, is_simulator)?;
    let mut fates = Vec::new();
    for mutant in &chosen {
        let begun = Instant::now();
        let fate = fate(&tree, &suite, mutant, is_simulator)?;
        println!("{}", row(mutant, &fate, begun.elapsed().as_secs()));
        fates.push(fate);
    }
    for (number, name, why) in LEFT_OUT {
        println!("{number:>3}  {name:<58}  cannot be written: {why}");
    }
    let count = |is_it: fn(&Fate) -> bool| fates.iter().filter(|fate| is_it(fate)).count();
    let killed = count(|fate| matches!(fate, Fate::Killed(_)));
    let survived = count(|fate| *fate == Fate::Survived);
    println!(
        "\n{killed} killed, {survived} survived, {} not simulated",
        count(|it| *it == Fate::NotSimulated)
    );
    ensure!(is_simulator || survived == 0, "{survived} survived: a test is missing for each");
    Ok(())
}

/// Whether only the simulator runs, and the mutants that were named; all if none was.
fn chosen(args: &[&str]) -> Result<(bool, Vec<&'static Mutant>)> {
    let (flags, numbers): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with("--"));
    let unknown = flags.iter().find(|flag| **flag != "--simulator");
    ensure!(unknown.is_none(), "unknown flag: {}\n{USAGE}", unknown.unwrap_or(&""));
    let mut named = BTreeSet::new();
    for number in numbers {
        let number: u32 = number.parse().with_context(|| format!("not a number: {number}\n{USAGE}"))?;
        ensure!(mutants().any(|mutant| mutant.number == number), "no such mutant: {number}");
        named.insert(number);
    }
    let is_wanted = |mutant: &&'static Mutant| named.is_empty() || named.contains(&mutant.number);
    Ok((!flags.is_empty(), mutants().filter(is_wanted).collect()))
}

/// The tests that are to notice a mutant.
fn tests(mutant: &Mutant, is_simulator: bool) -> &'static [Tests] {
    if is_simulator { SIMULATOR } else { mutant.tests }
}

/// A test that fails without a fault would kill every mutant.
fn check_unchanged(suite: &mut Suite<'_>, chosen: &[&Mutant], is_simulator: bool) -> Result<()> {
    let all: BTreeSet<Tests> =
        chosen.iter().flat_map(|mutant| tests(mutant, is_simulator)).copied().collect();
    // Of two where one is part of the other, the larger one says enough.
    let is_part = |it: &Tests| all.iter().any(|other| other != it && other.holds(it));
    let mut longest = Duration::ZERO;
    for tests in all.iter().filter(|it| !is_part(it)) {
        let programs = suite.build(tests)?.context("the unchanged code does not build")?;
        let begun = Instant::now();
        let outcome = suite.run(tests, &programs)?;
        ensure!(outcome == Outcome::Passed, "{tests} fails without a mutant: {outcome:?}");
        longest = longest.max(begun.elapsed());
        println!("{:>6} s  {tests} passes without a mutant", begun.elapsed().as_secs());
    }
    suite.expect(longest);
    Ok(())
}

fn fate(tree: &Tree, suite: &Suite<'_>, mutant: &Mutant, is_simulator: bool) -> Result<Fate> {
    if is_simulator && !mutant.is_simulated() {
        return Ok(Fate::NotSimulated);
    }
    let tests = tests(mutant, is_simulator);
    let _changed = tree.apply(mutant.edits)?;
    for tests in tests {
        let built = suite.build(tests)?;
        let programs = built.with_context(|| format!("{} does not build: {}", mutant.number, suite.log()))?;
        if let Outcome::Failed(first) = suite.run(tests, &programs)? {
            return Ok(Fate::Killed(format!("{tests}: {first}")));
        }
    }
    Ok(Fate::Survived)
}

fn row(mutant: &Mutant, fate: &Fate, seconds: u64) -> String {
    let Mutant { number, name, .. } = mutant;
    let fate = match fate {
        Fate::Killed(by) => by.as_str(),
        Fate::Survived => "SURVIVED",
        Fate::NotSimulated => "not simulated",
    };
    format!("{number:>3}  {name:<58}  {seconds:>4} s  {fate}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_can_be_applied_to_the_code_as_it_is() {
        let root = crate::root();
        let mut faults = Vec::new();
        for mutant in mutants() {
            for edit in mutant.edits {
                let text = std::fs::read_to_string(root.join(edit.file)).unwrap_or_default();
                let count = text.matches(edit.text).count();
                if count != 1 {
                    faults
                        .push(format!("{}: {} times in {}: {}", mutant.number, count, edit.file, edit.text));
                }
                assert_ne!(edit.text, edit.by, "{}", mutant.number);
            }
            assert!(!mutant.edits.is_empty() && !mutant.tests.is_empty(), "{}", mutant.number);
        }
        assert!(faults.is_empty(), "xtask/src/mutants/list must follow the code:\n{}", faults.join("\n"));
    }

    #[test]
    fn numbers_stand_once_and_those_of_the_plan_are_all_there() {
        let listed = mutants().map(|mutant| mutant.number);
        let all: Vec<u32> = listed.chain(LEFT_OUT.iter().map(|(number, ..)| *number)).collect();
        let each: BTreeSet<u32> = all.iter().copied().collect();
        assert_eq!(all.len(), each.len());
        assert!((1..=20).all(|number| each.contains(&number)));
    }

    #[test]
    fn mutants_are_chosen_by_number() {
        let (is_simulator, some) = chosen(&["3", "--simulator", "5"]).unwrap();
        assert_eq!((is_simulator, some.iter().map(|it| it.number).collect()), (true, vec![3, 5]));
        assert_eq!(chosen(&[]).unwrap().1.len(), mutants().count());
        assert!(chosen(&["--fast"]).is_err() && chosen(&["4711"]).is_err() && chosen(&["x"]).is_err());
    }
}
