//! What the memory of servers holds of a direct message: nothing of what it says.
#![cfg(target_os = "linux")]

mod common;

use common::{Folder, Kind, Program, Server, until};
use darkchat_proto::UserId;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Command;

/// What one says to the other, far from anything that a program holds by itself.
const SECRET: &str = "the heron stands in the third reed bed at dusk";

/// Whether a program's memory holds these bytes anywhere; `None` if it may not be read.
fn holds(pid: u32, needle: &[u8]) -> Option<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut read = 0;
    let mut found = false;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|may| may.starts_with("rw"))) {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut part = vec![0; usize::try_from(to - from).ok()?];
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut part).is_ok() {
            read += part.len();
            found |= part.windows(needle.len()).any(|bytes| bytes == needle);
        }
    }
    (read > 1 << 20).then_some(found)
}

/// A person with a key file.
fn person(home: &Path, server: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
    command.args(["--server", server]).env("DARKCHAT_HOME", home);
    command
}

/// Five servers in a line: none may dial what the others tell it.
fn line() -> Vec<Server> {
    (0..5).fold(Vec::new(), |mut line: Vec<Server>, _| {
        let before = line.last().map(|before| before.peers.clone());
        let flags = before.iter().flat_map(|before| ["--connect", before]).chain(["--no-lan"]);
        let flags: Vec<&str> = flags.collect();
        line.push(Server::start(Kind::Tcp, &flags));
        line
    })
}

#[test]
fn no_server_on_a_line_of_five_has_a_direct_message_in_its_memory() {
    let (servers, anns, bobs) = (line(), Folder::new(), Folder::new());
    let (near, far) = (servers[0].any(), servers[4].any());
    let made = person(bobs.path(), far).args(["id", "new"]).output().unwrap();
    let bob: UserId = String::from_utf8(made.stdout).unwrap().trim().parse().unwrap();
    let inbox = Program::start(person(bobs.path(), far).args(["recv", "--dm", "--json"]));
    let tell = |text: &str| {
        let told = person(anns.path(), near)
            .args(["send", "--json", "--to", &bob.to_string(), text])
            .output()
            .unwrap();
        told.status.success()
    };
    assert!(person(anns.path(), near).args(["id", "new"]).output().unwrap().status.success());
    until("bob is found at the far end", || tell("are you there?"));
    inbox.out.until(&["are you there?"]);
    assert!(tell(SECRET));
    inbox.out.until(&[SECRET]);
    // What a server does have is found: the key of the one who is there.
    match holds(servers[4].program.pid(), bob.as_bytes()) {
        None => return eprintln!("skipped: the memory of other programs may not be read here"),
        Some(found) => assert!(found, "the search finds what there is"),
    }
    for (number, server) in servers.iter().enumerate() {
        let found = holds(server.program.pid(), SECRET.as_bytes());
        assert_eq!(found, Some(false), "server {number}");
    }
}
