//! Each version is written once, in the root manifest.

use super::File;

/// A member names a dependency and its features; which version, the workspace says.
pub(super) fn check(file: &File, found: &mut Vec<String>) {
    // cargo-fuzz builds its folder as a workspace of its own.
    if !file.path.ends_with("/Cargo.toml") || file.path == "fuzz/Cargo.toml" {
        return;
    }
    let mut in_dependencies = false;
    for (at, line) in file.text.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
            continue;
        }
        if !in_dependencies || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let of_the_workspace = line.contains("workspace = true") || line.contains("path = \".\"");
        if !of_the_workspace {
            found.push(format!("{}:{}: versions stand in the root manifest: {line}", file.path, at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, findings};
    use super::*;

    #[test]
    fn version_in_a_member_is_found() {
        let text = "[package]\nversion = \"1\"\n[dependencies]\nbytes.workspace = true\nsha2 = \"0.11\"\n";
        let found = findings(|found| check(&file("crates/node/Cargo.toml", text), found));
        assert_eq!(found, "crates/node/Cargo.toml:5: versions stand in the root manifest: sha2 = \"0.11\"");
        assert_eq!(findings(|found| check(&file("Cargo.toml", text), found)), "");
    }
}
