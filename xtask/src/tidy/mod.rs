//! `cargo xtask tidy`: the rules of the house that no compiler knows, each a small function over the files.

mod cases;
mod code;
mod deps;
mod files;
mod licences;
mod links;
mod manifests;
mod packaging;
mod schema;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// One text file of the repository.
pub(crate) struct File {
    /// From the root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Whole files that only tests, examples and benchmarks compile.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"))
    }

    /// The lines before the unit tests of the file, numbered from 1.
    fn own_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
        std::iter::from_fn(move || {
            let (at, line) = lines.next()?;
            let tests_follow =
                lines.peek().is_some_and(|(_, next)| next.starts_with("mod ") && next.ends_with('{'));
            (!(line == "#[cfg(test)]" && tests_follow)).then_some((at, line))
        })
    }
}

/// Runs every check; the error lists everything that was found.
pub(crate) fn check(root: &Path) -> Result<()> {
    let files = read(root)?;
    let mut found = Vec::new();
    for file in &files {
        files::check(file, &mut found);
        code::check_file(file, &mut found);
        manifests::check(file, &mut found);
        links::check(file, &files, root, &mut found);
    }
    code::check_all(&files, &mut found);
    code::pure_crates_stay_pure(&files, &mut found);
    schema::check(&files, &mut found);
    packaging::check(&files, &mut found);
    cases::check(&files, &mut found);
    deps::check(&files, &metadata(root, &["--no-deps"])?, &mut found);
    licences::check(&files, &metadata(root, &[])?, &mut found);
    if found.is_empty() {
        return Ok(());
    }
    bail!("{} untidy:\n{}", found.len(), found.join("\n"))
}

/// The text of `path`, or an entry in `found`.
fn text<'a>(files: &'a [File], path: &str, found: &mut Vec<String>) -> Option<&'a str> {
    let text = files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    if text.is_none() {
        found.push(format!("{path}: missing"));
    }
    text
}

fn metadata(root: &Path, args: &[&str]) -> Result<serde_json::Value> {
    let output = crate::cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(args)
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}

/// All text files, without what tools make and what data others wrote.
fn read(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            let name = name.to_string_lossy();
            if kind.is_dir() {
                if !matches!(&*name, ".git" | "target" | "node_modules" | "dist" | "corpus" | "artifacts") {
                    folders.push(entry.path());
                }
            } else if kind.is_file() && is_ours(&name) {
                let path = entry.path();
                // A file that is not UTF-8 is data, whatever its name says.
                if let (Ok(text), Ok(short)) = (std::fs::read_to_string(&path), path.strip_prefix(root)) {
                    files.push(File { path: short.to_string_lossy().replace('\\', "/"), text });
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What is looked at. Lock files are generated, and licences and JSON vectors are the words of others.
fn is_ours(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|it| it.to_str()).unwrap_or(name);
    matches!(
        extension,
        "rs" | "ts"
            | "tsx"
            | "md"
            | "toml"
            | "proto"
            | "mjs"
            | "svg"
            | "service"
            | "run"
            | "Containerfile"
            | "orig"
            | "rej"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    /// What `check` finds in one bad example, joined for `contains`.
    pub(super) fn findings(check: impl FnOnce(&mut Vec<String>)) -> String {
        let mut found = Vec::new();
        check(&mut found);
        found.join("\n")
    }

    #[test]
    fn repository_is_tidy() {
        check(&crate::root()).unwrap();
    }

    #[test]
    fn lines_of_a_file_end_where_its_tests_begin() {
        let file = file("a.rs", "//! A.\n#[cfg(test)]\nuse x;\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(file.own_lines().count(), 3);
    }
}
