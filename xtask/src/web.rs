//! `cargo xtask web`: builds the page that darkchatd serves, the same bytes from the same sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context as _, Result, ensure};

/// The page's own folder; what it takes from the SDK is the source beside it.
const PAGE: &str = "apps/web/page";
/// Where the built page stands, for the programs that embed it, and what it was made from.
const ASSETS: &str = "crates/web-assets/assets";
const SOURCES: &str = "crates/web-assets/sources.sha256";

/// Builds the page and writes it, with the hashes of its sources, to where the programs embed it.
pub(crate) fn write(root: &Path) -> Result<()> {
    npm(root, &["ci"])?;
    build(root, &root.join(ASSETS), &root.join(SOURCES))
}

/// Fails when the committed page is not what its sources make.
pub(crate) fn check(root: &Path) -> Result<()> {
    npm(root, &["ci"])?;
    let fresh = root.join("target/web");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let (assets, sources) = (fresh.join("assets"), fresh.join("sources.sha256"));
    build(root, &assets, &sources)?;
    let (committed, built) = (files(&root.join(ASSETS))?, files(&assets)?);
    for name in committed.keys().chain(built.keys()) {
        ensure!(committed.get(name) == built.get(name), "{ASSETS}/{name} is stale: run `cargo xtask web`");
    }
    let same = fs::read(root.join(SOURCES)).ok() == fs::read(&sources).ok();
    ensure!(same, "{SOURCES} is stale: run `cargo xtask web`");
    Ok(())
}

/// Whether this machine can build the page.
pub(crate) fn has_npm() -> bool {
    ["node", "npm"].iter().all(|program| {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    })
}

/// A command of npm in the page's folder.
pub(crate) fn npm(root: &Path, words: &[&str]) -> Result<()> {
    run(Command::new("npm").args(words).current_dir(root.join(PAGE)))
}

fn build(root: &Path, assets: &Path, sources: &Path) -> Result<()> {
    for words in [["run", "build"], ["run", "size"], ["run", "sources"]] {
        let mut npm = Command::new("npm");
        npm.args(words).current_dir(root.join(PAGE));
        run(npm.env("DARKCHAT_PAGE_OUT", assets).env("DARKCHAT_PAGE_SOURCES", sources))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}; is Node installed?"))?;
    ensure!(status.success(), "failed: {command:?}");
    Ok(())
}

/// The files of a folder without folders, by name.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let paths: io::Result<Vec<PathBuf>> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let named = paths?.into_iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, fs::read(&path)?))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_by_their_bytes() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("darkchat-web-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("page.js"), "1")?;
        let before = files(&folder)?;
        fs::write(folder.join("page.js"), "2")?;
        assert_ne!(before, files(&folder)?);
        assert_eq!(before.get("page.js").map(Vec::as_slice), Some(&b"1"[..]));
        fs::remove_dir_all(folder)?;
        Ok(())
    }
}
