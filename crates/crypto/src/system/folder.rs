//! The folder in which darkchat's programs keep their keys.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// `$DARKCHAT_HOME`, else `$XDG_STATE_HOME/darkchat`, else `~/.local/state/darkchat`; `None` without a home.
///
/// Only names the folder: whoever writes a key file there makes it.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    pick(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

fn pick(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let state = || variable("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let darkchat = variable("DARKCHAT_HOME").map(PathBuf::from);
    darkchat.or_else(|| state().or_else(home).map(|folder| folder.join("darkchat")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(set: &[(&str, &str)]) -> Option<PathBuf> {
        pick(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_most_particular_variable_names_the_folder() {
        let all = [("DARKCHAT_HOME", "/d"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(folder(&all), Some("/d".into()));
        assert_eq!(folder(&all[1..]), Some("/x/darkchat".into()));
        assert_eq!(folder(&all[2..]), Some("/h/.local/state/darkchat".into()));
        assert_eq!(
            folder(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Some("/h/.local/state/darkchat".into())
        );
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn the_variables_are_those_of_the_process_and_an_empty_one_is_none() {
        // No test may change its own environment, so a child's is looked at.
        const EXPECTED: &str = "DARKCHAT_TEST_FOLDER";
        if let Some(expected) = env::var_os(EXPECTED) {
            assert_eq!(state_folder(), Some(PathBuf::from(expected)));
            return;
        }
        let names = |set: &[(&str, &str)], expected: &str| {
            std::process::Command::new(env::current_exe().unwrap())
                .args([
                    "--exact",
                    "system::folder::tests::the_variables_are_those_of_the_process_and_an_empty_one_is_none",
                ])
                .env_remove("XDG_STATE_HOME")
                .envs(set.iter().copied())
                .env(EXPECTED, expected)
                .output()
                .unwrap()
                .status
                .success()
        };
        assert!(names(&[("DARKCHAT_HOME", "/d"), ("HOME", "/h")], "/d"));
        assert!(names(&[("DARKCHAT_HOME", ""), ("HOME", "/h")], "/h/.local/state/darkchat"));
        assert!(!names(&[("DARKCHAT_HOME", "/d")], "/other"), "the child does look");
    }
}
