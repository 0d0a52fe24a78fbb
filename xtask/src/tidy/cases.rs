//! Every case that the test plan calls automated is named by a test.

use super::File;

const PLAN: &str = "docs/testplan.md";

pub(super) fn check(files: &[File], found: &mut Vec<String>) {
    let Some(plan) = super::text(files, PLAN, found) else { return };
    let claimed = claimed(plan);
    if claimed.is_empty() {
        found.push(format!("{PLAN}: does not say which cases are automated"));
    }
    for case in claimed {
        let mut tests = files.iter().filter(|file| file.is_rust() || file.path.ends_with(".ts"));
        if !tests.any(|file| file.text.lines().any(|line| names(line, &case))) {
            found.push(format!("{PLAN}: no test names case {case}"));
        }
    }
}

/// The cases of the sentence `**Automated in this version**: A1 to A14, F1.`
fn claimed(plan: &str) -> Vec<String> {
    let sentence = plan.split_once("**Automated in this version**: ").map_or("", |(_, rest)| rest);
    let sentence = sentence.split_once('.').map_or("", |(list, _)| list);
    sentence.split(", ").flat_map(range).collect()
}

/// `A1 to A3` is `A1`, `A2` and `A3`; `F1` is itself.
fn range(text: &str) -> Vec<String> {
    let (first, last) = text.split_once(" to ").unwrap_or((text, text));
    let number = |case: &str| case.get(1..)?.parse::<u32>().ok();
    let (Some(letter), Some(first), Some(last)) = (first.get(..1), number(first), number(last)) else {
        return Vec::new();
    };
    (first..=last).map(|number| format!("{letter}{number}")).collect()
}

/// Whether a test's name begins with the case, or a comment has it as a word.
fn names(line: &str, case: &str) -> bool {
    let start = format!("fn {}_", case.to_lowercase());
    let comment = line.split_once("//").map_or("", |(_, comment)| comment);
    line.contains(&start) || comment.split(|it: char| !it.is_ascii_alphanumeric()).any(|word| word == case)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, findings};
    use super::*;

    #[test]
    fn case_without_a_test_is_found() {
        let plan = file(PLAN, "**Automated in this version**: A1 to A3, F10. And so on.\n");
        let tests = file(
            "crates/a/tests/a.rs",
            "/// Case A1.\nfn one() {}\nfn a2_two() {}\n// A30 is none, nor XA3\n",
        );
        let mut files = vec![plan, tests];
        let found = findings(|found| check(&files, found));
        assert_eq!(found, format!("{PLAN}: no test names case A3\n{PLAN}: no test names case F10"));
        files.push(file("apps/web/a/test/b.ts", "// F10: of the SDK\n"));
        assert_eq!(findings(|found| check(&files, found)), format!("{PLAN}: no test names case A3"));
        assert!(findings(|found| check(&[file(PLAN, "")], found)).contains("does not say"));
    }
}
