//! `cargo xtask vectors`: the JSON vectors that other languages read, written and checked by the crate that owns them.

use std::path::Path;

use anyhow::{Result, ensure};

/// Writes `crates/proto/tests/vectors/*.json` anew.
pub(crate) fn write(root: &Path) -> Result<()> {
    test(root, &["--", "--ignored", "write"])
}

/// Fails when a committed vector is not what the code makes.
pub(crate) fn check(root: &Path) -> Result<()> {
    test(root, &[])
}

fn test(root: &Path, args: &[&str]) -> Result<()> {
    let status = crate::cargo()
        .args(["test", "-q", "-p", "darkchat-proto", "--test", "vectors"])
        .args(args)
        .current_dir(root)
        .status()?;
    ensure!(
        status.success(),
        "the vectors are stale or wrong: run `cargo xtask vectors` and look at the difference"
    );
    Ok(())
}
