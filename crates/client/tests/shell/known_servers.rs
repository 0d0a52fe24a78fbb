//! Servers that were met before, on file.

use super::*;
use darkchat_client::{ConnectError, KnownServersError, Note};
use futures_util::StreamExt as _;
use std::path::PathBuf;

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("darkchat-known-{name}-{}", std::process::id())))
    }

    fn file(&self) -> PathBuf {
        self.0.join("known_servers")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

async fn connect(memory: &Memory, folder: &Folder, server: ServerAddr) -> Result<Client, ConnectError> {
    Client::builder(identity(2)).transport(memory.clone()).known_servers(folder.file()).connect(server).await
}

#[tokio::test]
async fn the_first_contact_is_noted_and_written_down_and_the_second_is_neither() {
    let (memory, folder) = (Memory::default(), Folder::new("first"));
    let station = server(&memory, "station", 1).await;
    let client = connect(&memory, &folder, addr("station")).await.expect("trusted at first");
    let Some(Note::FirstContact { server, addr: at }) = client.notes().next().await else { panic!("noted") };
    assert_eq!((server, at), (station.id(), addr("station")));
    let line = format!("mem://station {}\n", station.id());
    assert_eq!(folder.text(), line);
    let second = connect(&memory, &folder, addr("station")).await.expect("known");
    let mut notes = second.notes();
    second.close().await;
    drop(second);
    assert!(notes.next().await.is_none());
    assert_eq!(folder.text(), line);
}

/// D14 of the test plan.
#[tokio::test]
async fn another_key_later_is_refused_with_both_keys_and_the_line() {
    let (memory, folder) = (Memory::default(), Folder::new("other"));
    let other = server(&memory, "other", 5).await;
    let station = server(&memory, "station", 1).await;
    connect(&memory, &folder, addr("other")).await.expect("trusted at first").close().await;
    connect(&memory, &folder, addr("station")).await.expect("trusted at first").close().await;
    let before = folder.text();
    let known = station.id();
    station.shutdown(Duration::from_secs(1)).await;
    let impostor = server(&memory, "station", 66).await;
    let error = connect(&memory, &folder, addr("station")).await.expect_err("another key");
    let ConnectError::PinnedServer { expected, found, line, ref file, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((expected, found, line), (known, impostor.id(), 2));
    assert_eq!(*file, folder.file());
    let text = error.to_string();
    assert!(
        text.contains(&known.to_string())
            && text.contains(&impostor.id().to_string())
            && text.contains("line 2")
    );
    assert_eq!(folder.text(), before);
    assert!(impostor.clients().is_empty(), "and our identity was not shown");
    drop(other);
}

#[tokio::test]
async fn the_same_key_at_a_new_address_is_a_first_contact() {
    let (memory, folder) = (Memory::default(), Folder::new("moved"));
    let station = server(&memory, "station", 1).await;
    connect(&memory, &folder, addr("station")).await.expect("trusted at first").close().await;
    station.shutdown(Duration::from_secs(1)).await;
    let _moved = server(&memory, "moved", 1).await;
    connect(&memory, &folder, addr("moved")).await.expect("trusted at first").close().await;
    assert_eq!(folder.text().lines().count(), 2);
}

#[tokio::test]
async fn an_address_with_a_key_leaves_the_file_alone() {
    let (memory, folder) = (Memory::default(), Folder::new("keyed"));
    let station = server(&memory, "station", 1).await;
    let keyed = ServerAddr { key: Some(station.id()), ..addr("station") };
    let client = connect(&memory, &folder, keyed).await.expect("proven");
    client.close().await;
    assert!(!folder.0.exists());
}

#[tokio::test]
async fn a_malformed_file_is_refused_before_anybody_is_dialled() {
    let (memory, folder) = (Memory::default(), Folder::new("malformed"));
    let station = server(&memory, "station", 1).await;
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let text = format!("mem://station {}\nmem://other not-a-key\n", station.id());
    std::fs::write(folder.file(), &text).expect("a file");
    let error = connect(&memory, &folder, addr("station")).await.expect_err("malformed");
    let ConnectError::KnownServers(KnownServersError::Malformed { line: 2, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(folder.text(), text);
    assert_eq!(station.stats().handshakes, 0);
}
