//! Key files on a real file system.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of one test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("darkchat-key-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    fn names(&self) -> Vec<String> {
        fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn write_text(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    set_mode(path, 0o600);
}

const ZERO_SEED: &str = "dchat-seed-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

#[test]
fn a_new_key_is_one_line_that_only_its_owner_can_read_and_comes_back() {
    let folder = Folder::new();
    let made = Identity::create(folder.key()).unwrap();
    assert_eq!(mode(&folder.key()), 0o600);
    assert_eq!(folder.names(), ["server.key"], "no temporary file stays");

    let text = fs::read_to_string(folder.key()).unwrap();
    let digits = text.strip_prefix("dchat-seed-1:").unwrap().strip_suffix('\n').unwrap();
    assert_eq!(BASE32_NOPAD.decode(digits.as_bytes()).unwrap(), made.seed());
    assert_eq!(Identity::load(folder.key()).unwrap().user_id(), made.user_id());
    assert_eq!(Identity::load_or_create(folder.key()).unwrap().user_id(), made.user_id());
}

#[test]
fn a_missing_folder_is_made_for_its_owner_only() {
    let folder = Folder::new();
    let path = folder.0.join("deep/er/identity.key");
    Identity::load_or_create(&path).unwrap();
    assert_eq!(mode(&folder.0.join("deep")), 0o700);
    assert_eq!(mode(&folder.0.join("deep/er")), 0o700);
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let folder = Folder::new();
    write_text(&folder.key(), "something dear");
    assert!(matches!(Identity::create(folder.key()), Err(KeyFileError::Exists { .. })));
    assert!(matches!(Identity::load_or_create(folder.key()), Err(KeyFileError::Malformed { .. })));
    assert_eq!(fs::read_to_string(folder.key()).unwrap(), "something dear");
    assert_eq!(folder.names(), ["server.key"], "no temporary file stays");
}

#[test]
fn a_link_that_leads_nowhere_is_not_overwritten_either() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("nowhere", folder.key()).unwrap();
    assert!(matches!(Identity::create(folder.key()), Err(KeyFileError::Exists { .. })));
    assert_eq!(fs::read_link(folder.key()).unwrap(), Path::new("nowhere"));
    assert_eq!(folder.names(), ["server.key"], "neither a temporary file nor what the link names");
}

#[test]
fn where_nothing_can_be_linked_a_rename_makes_the_name_but_never_over_another() {
    // A folder may be renamed and never has a second link, as a file of some file systems.
    let folder = Folder::new();
    let made = folder.0.join("made");
    fs::create_dir(&made).unwrap();
    write_text(&folder.key(), "something dear");
    assert!(!publish(&made, &folder.key()).unwrap());
    assert!(
        !publish(&folder.0.join("gone"), &folder.key()).unwrap(),
        "whatever keeps a link from being made"
    );
    assert_eq!(fs::read_to_string(folder.key()).unwrap(), "something dear");
    fs::remove_file(folder.key()).unwrap();
    assert!(publish(&made, &folder.key()).unwrap());
    assert_eq!(folder.names(), ["server.key"]);
    assert_eq!(publish(&made, &made).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_name_alone_is_a_file_of_the_current_folder() {
    // Threads share the current folder, so a process of its own makes the key.
    const CHILD: &str = "DARKCHAT_TEST_NAME_ALONE";
    if std::env::var_os(CHILD).is_some() {
        Identity::create("server.key").unwrap();
        return;
    }
    let folder = Folder::new();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "system::tests::a_name_alone_is_a_file_of_the_current_folder"])
        .current_dir(&folder.0)
        .env(CHILD, "")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(folder.names(), ["server.key"]);
}

#[test]
fn many_at_once_agree_on_one_key() {
    let folder = Folder::new();
    let path = folder.key();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Identity::load_or_create(&path).unwrap().user_id())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn a_file_that_others_can_use_is_refused_with_the_command_that_narrows_it() {
    let folder = Folder::new();
    Identity::create(folder.key()).unwrap();
    for wide in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644] {
        set_mode(&folder.key(), wide);
        let error = Identity::load(folder.key()).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { mode, .. } if mode == wide));
        let command = format!("chmod 600 {}", folder.key().display());
        assert!(error.to_string().ends_with(&command), "{error}");
    }
    for narrow in [0o600, 0o400, 0o700] {
        set_mode(&folder.key(), narrow);
        Identity::load(folder.key()).unwrap();
    }
}

#[test]
fn only_a_whole_key_file_is_read() {
    let folder = Folder::new();
    write_text(&folder.key(), ZERO_SEED);
    let zero = Identity::from_seed([0; 32]).user_id();
    assert_eq!(Identity::load(folder.key()).unwrap().user_id(), zero);
    write_text(&folder.key(), &ZERO_SEED.replace('A', "a"));
    assert_eq!(Identity::load(folder.key()).unwrap().user_id(), zero);

    for len in 0..ZERO_SEED.len() {
        write_text(&folder.key(), &ZERO_SEED[..len]);
        assert!(matches!(Identity::load(folder.key()), Err(KeyFileError::Malformed { .. })), "{len} bytes");
    }
    let spoilt = [
        format!("{ZERO_SEED}\n"),
        format!(" {ZERO_SEED}"),
        ZERO_SEED.replace("-1:", "-2:"),
        ZERO_SEED.replace("AA\n", "A1\n"),
        ZERO_SEED.replace("A\n", "B\n"),
        ZERO_SEED.replace('\n', "\r\n"),
        ZERO_SEED.replace('\n', "AAAAAAAA\n"),
        "x".repeat(100_000),
    ];
    for text in spoilt {
        write_text(&folder.key(), &text);
        assert!(matches!(Identity::load(folder.key()), Err(KeyFileError::Malformed { .. })), "{text:.80}");
    }
}

#[test]
fn a_missing_file_is_an_error_with_its_name() {
    let folder = Folder::new();
    let error = Identity::load(folder.key()).unwrap_err();
    assert!(matches!(&error, KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound));
    assert!(error.to_string().contains("server.key"));
    assert!(folder.names().is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_gives_an_error_and_leaves_nothing() {
    let folder = Folder::new();
    let blocked = folder.0.join("file");
    fs::write(&blocked, "").unwrap();
    assert!(matches!(Identity::create(blocked.join("server.key")), Err(KeyFileError::Io { .. })));
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn a_locked_key_serves_one_server_until_the_lock_is_dropped() {
    let folder = Folder::new();
    let (first, lock) = Identity::load_or_create_locked(folder.key()).unwrap();
    let error = Identity::load_or_create_locked(folder.key()).unwrap_err();
    assert!(matches!(error, KeyFileError::Locked { .. }));
    assert!(error.to_string().contains("server.key"));
    assert_eq!(Identity::load(folder.key()).unwrap().server_id(), first.server_id(), "reading is allowed");
    drop(lock);
    let (second, _lock) = Identity::load_or_create_locked(folder.key()).unwrap();
    assert_eq!(second.server_id(), first.server_id());
}

#[test]
fn no_two_generated_identities_are_alike() {
    assert_ne!(Identity::generate().user_id(), Identity::generate().user_id());
}

#[test]
fn an_identity_prints_its_public_half_only() {
    let identity = Identity::from_seed([0; 32]);
    let public = data_encoding::HEXLOWER.encode(&identity.public());
    assert_eq!(format!("{identity:?}"), format!("Identity({public})"));
}
