//! The table in `docs/benchmarks.md`: lines of rows that were measured now take the place of their former ones.

use super::goals::Line;
use super::rows::ROWS;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

const FILE: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- begin of `cargo xtask bench --write` -->\n";
const END: &str = "<!-- end of `cargo xtask bench --write` -->\n";
const HEAD: &str =
    "| row | figure | median (least–most) | ratio or figure | goal | |\n|---|---|---|---:|---:|---|\n";

pub(crate) fn write(root: &Path, measured: &str, lines: &[Line]) -> Result<()> {
    let path = root.join(FILE);
    let text = fs::read_to_string(&path)?;
    Ok(fs::write(&path, replaced(&text, measured, lines)?)?)
}

fn replaced(text: &str, measured: &str, lines: &[Line]) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{FILE} has no {BEGIN}"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("{FILE} has no {END}"))?;
    let mut table = HEAD.to_owned();
    for row in ROWS {
        let name = row.name;
        if name != measured {
            let kept = old.lines().filter(|line| line.starts_with(&format!("| {name} |")));
            kept.for_each(|line| table.extend([line, "\n"]));
            continue;
        }
        for line in lines {
            let [systems, value, goal, verdict] = line.cells();
            let figure = &line.figure;
            table += &format!("| {name} | {figure} | {systems} | {value} | {goal} | {verdict} |\n");
        }
    }
    Ok([before, BEGIN, &table, END, after].concat())
}

#[cfg(test)]
mod tests {
    use super::super::goals::Goal;
    use super::*;

    #[test]
    fn rows_that_were_not_measured_keep_their_lines() {
        let text = format!("a\n{BEGIN}{HEAD}| fanout-64 | old |\n| churn | old |\n{END}b\n");
        let line = Line::own("sessions", vec![1_200.0], Goal::AtLeast(1_000.0));
        let new = replaced(&text, "churn", &[line]).unwrap();
        assert!(
            new.contains("| fanout-64 | old |\n| churn | sessions | ours 1200 (1200–1200) | 1200 |"),
            "{new}"
        );
        assert!(new.starts_with("a\n") && new.ends_with("b\n") && !new.contains("churn | old"));
        assert!(replaced("no markers", "churn", &[]).is_err());
    }
}
