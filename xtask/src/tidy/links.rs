//! Relative links and paths in Markdown files lead to files and headings that exist.

use std::path::Path;

use super::File;

pub(super) fn check(file: &File, files: &[File], root: &Path, found: &mut Vec<String>) {
    if !file.is_markdown() {
        return;
    }
    for (at, target) in targets(&file.text) {
        let outside = ["http://", "https://", "mailto:"].iter().any(|it| target.starts_with(it));
        if outside {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
        let exists = files.iter().any(|it| it.path == path) || root.join(&path).exists();
        if !exists {
            found.push(format!("{}:{at}: leads nowhere: {target}", file.path));
            continue;
        }
        let page = files.iter().find(|it| it.path == path && it.is_markdown());
        if let Some(page) = page
            && !anchor.is_empty()
            && !headings(&page.text).any(|it| it == anchor)
        {
            found.push(format!("{}:{at}: no such heading: {target}", file.path));
        }
    }
    for (at, path) in paths(&file.text) {
        if !root.join(path).exists() {
            found.push(format!("{}:{at}: no such file: {path}", file.path));
        }
    }
}

/// What stands between back-ticks and begins like a path of the repository, with its line.
fn paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let folders = ["crates/", "apps/", "docs/", "fuzz/", "packaging/", "xtask/"];
    prose(text).flat_map(move |(at, line)| {
        let codes = line.split('`').skip(1).step_by(2);
        let one = |it: &&str| !it.contains(|letter: char| letter.is_whitespace() || "*{<…".contains(letter));
        let ours = move |it: &&str| folders.iter().any(|folder| it.starts_with(folder));
        codes.filter(one).filter(ours).map(move |path| (at, path))
    })
}

/// What stands in `](…)`, `src="…"` and `href="…"`, outside code, with its line.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(at, line)| {
        let ends = [("](", ')'), ("src=\"", '"'), ("href=\"", '"')];
        ends.into_iter().flat_map(move |(open, close)| {
            line.match_indices(open).filter_map(move |(start, _)| {
                // Code between back-ticks may look like a link.
                let in_code = line.get(..start)?.matches('`').count() % 2 == 1;
                let target = line.get(start + open.len()..)?.split(close).next()?;
                (!in_code).then_some((at, target))
            })
        })
    })
}

/// The lines outside of code fences, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// The anchors that forges and rustdoc make of headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    })
}

/// `target` seen from the folder of `page`.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, findings};
    use super::*;

    fn found_in(text: &str) -> String {
        let page = file("docs/page.md", text);
        let other = file("README.md", "# A b, c\n");
        findings(|found| check(&page, &[file("docs/page.md", text), other], &crate::root(), found))
    }

    #[test]
    fn dead_links_and_anchors_are_found() {
        assert!(found_in("see [it](gone.md)").contains("page.md:1: leads nowhere: gone.md"));
        assert!(found_in("<img src=\"gone.svg\">").contains("leads nowhere"));
        assert!(found_in("\n[it](../README.md#gone)").contains("page.md:2: no such heading"));
        assert!(found_in("[it](#gone)").contains("no such heading"));
    }

    #[test]
    fn path_of_no_file_is_found() {
        assert!(found_in("in `crates/gone/src/lib.rs`").contains("page.md:1: no such file: crates/gone"));
        assert_eq!(found_in("in `xtask/src/main.rs` and `crates/*/src` and `crates/{a,b}`"), "");
    }

    #[test]
    fn live_links_other_hosts_and_code_pass() {
        let text = "# Here\n[a](../README.md#a-b-c) [b](#here) [c](https://gone.example/x)\n`[d](gone)`\n```\n[e](gone)\n```\n";
        assert_eq!(found_in(text), "");
    }
}
