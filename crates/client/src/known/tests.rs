//! The file of known servers, by itself.

use super::*;
use darkchat_crypto::Identity;
use std::fs;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("darkchat-known-unit-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn with(name: &str, text: &str) -> (Self, KnownServers) {
        let folder = Self::new(name);
        let known = KnownServers::new(folder.0.join("known_servers"));
        fs::write(known.path(), text).unwrap();
        (folder, known)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn addr(text: &str) -> Addr {
    text.parse().unwrap()
}

fn key(seed: u8) -> ServerId {
    Identity::from_seed([seed; 32]).server_id()
}

#[test]
fn a_missing_file_is_empty() {
    let folder = Folder::new("missing");
    let known = KnownServers::new(folder.0.join("none"));
    assert_eq!(known.find(&addr("tcp://a:1")).unwrap(), None);
    assert!(!known.path().exists());
}

#[test]
fn lines_are_added_at_the_end_and_the_rest_stays_as_it_is() {
    let text = format!("# mine\n\ntcp://a:1 {}", key(1));
    let (folder, known) = Folder::with("added", &text);
    known.remember(&addr("tcp://b:2"), key(2)).unwrap();
    known.remember(&addr("tcp://b:2"), key(3)).unwrap();
    assert_eq!(fs::read_to_string(known.path()).unwrap(), format!("{text}\ntcp://b:2 {}\n", key(2)));
    assert_eq!(known.find(&addr("tcp://a:1")).unwrap(), Some((key(1), 3)));
    assert_eq!(known.find(&addr("tcp://b:2")).unwrap(), Some((key(2), 4)));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn whatever_is_no_line_is_refused_with_its_number_whoever_is_looked_for() {
    let good = format!("tcp://a:1 {}", key(1));
    for bad in [
        "tcp://b:2",
        "b b b",
        "tcp://b:2 u2345",
        "no-host:// x",
        &format!("tcp://b:2 {}", key(2).to_string().to_uppercase()),
    ] {
        let (_folder, known) = Folder::with("bad", &format!("{good}\n{bad}\n"));
        let before = fs::read(known.path()).unwrap();
        for result in [known.find(&addr("tcp://a:1")).map(|_| ()), known.remember(&addr("tcp://c:3"), key(3))]
        {
            assert!(matches!(result, Err(KnownServersError::Malformed { line: 2, .. })), "{bad}: {result:?}");
        }
        assert_eq!(fs::read(known.path()).unwrap(), before);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let (_folder, known) = Folder::with("bytes", "");
    fs::write(known.path(), [0xff, 0xfe]).unwrap();
    assert!(matches!(known.find(&addr("tcp://a:1")), Err(KnownServersError::Io { .. })));
}

#[test]
fn two_programs_that_meet_servers_at_once_lose_no_line() {
    let (_folder, known) = Folder::with("two", "");
    std::thread::scope(|scope| {
        for program in 0..4_u8 {
            let known = known.clone();
            scope.spawn(move || {
                for number in 0..10 {
                    known.remember(&addr(&format!("tcp://p{program}-{number}:1")), key(program)).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(known.path()).unwrap().lines().count(), 40);
}

#[cfg(unix)]
#[test]
fn a_new_file_and_its_folder_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("mode");
    let known = KnownServers::new(folder.0.join("deep/known_servers"));
    known.remember(&addr("tcp://a:1"), key(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(known.path()), 0o600);
    assert_eq!(mode(&folder.0.join("deep")), 0o700);
}
