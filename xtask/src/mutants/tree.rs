//! A copy of the tracked files, in which faults may be built without touching the checkout.

use super::list::Edit;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The copy, and where it is built.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) build: PathBuf,
}

impl Tree {
    /// Makes the copy the same as the checkout. A file that is the same already is left alone, so that what was built
    /// from it stays valid.
    pub(super) fn copy(from: &Path) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| from.join("target"), PathBuf::from);
        let folder = from.join(target).join("mutants");
        let tree = Self { root: folder.join("tree"), build: folder.join("build") };
        let mut kept = BTreeSet::new();
        for file in tracked(from)? {
            // What was removed and not committed yet is still listed.
            let Ok(bytes) = fs::read(from.join(&file)) else { continue };
            let to = tree.root.join(&file);
            if fs::read(&to).ok().as_deref() != Some(&bytes) {
                fs::create_dir_all(to.parent().context("a file has a folder")?)?;
                fs::write(&to, bytes)?;
            }
            kept.insert(to);
        }
        remove_others(&tree.root, &kept)?;
        Ok(tree)
    }

    /// Builds a fault in; it is taken out when the result is dropped.
    pub(super) fn apply(&self, edits: &[Edit]) -> Result<Changed> {
        let mut changed = Changed(Vec::new());
        for Edit { file, text, by } in edits {
            let path = self.root.join(file);
            let before = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
            let count = before.matches(text).count();
            ensure!(count == 1, "stands {count} times in {file}: {text}");
            fs::write(&path, before.replacen(text, by, 1))?;
            changed.0.push((path, before));
        }
        Ok(changed)
    }
}

/// Files as they were.
#[derive(Debug)]
#[must_use = "the fault is taken out when this is dropped"]
pub(super) struct Changed(Vec<(PathBuf, String)>);

impl Drop for Changed {
    fn drop(&mut self) {
        // The latest first: two edits of one file are taken back in turn.
        for (path, before) in self.0.iter().rev() {
            // The next copy mends what this cannot.
            _ = fs::write(path, before);
        }
    }
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().context("git")?;
    ensure!(listed.status.success(), "git ls-files failed");
    let text = String::from_utf8(listed.stdout)?;
    Ok(text.split_terminator('\0').map(PathBuf::from).collect())
}

/// Removes from the copy what the checkout has no longer.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_is_built_in_and_taken_out() {
        let root = std::env::temp_dir().join(format!("darkchat-mutants-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("a"), "one two three").unwrap();
        let tree = Tree { build: root.clone(), root: root.clone() };
        let read = || fs::read_to_string(root.join("a")).unwrap();
        let edit = |text, by| Edit { file: "a", text, by };
        let changed = tree.apply(&[edit("two", "2"), edit("three", "3")]).unwrap();
        assert_eq!(read(), "one 2 3");
        drop(changed);
        assert_eq!(read(), "one two three");
        assert!(tree.apply(&[edit("e", "")]).is_err(), "it stands there three times");
        assert!(tree.apply(&[edit("one", "1"), edit("four", "4")]).is_err());
        assert_eq!(read(), "one two three", "half of a fault is taken out too");
        fs::remove_dir_all(root).unwrap();
    }
}
