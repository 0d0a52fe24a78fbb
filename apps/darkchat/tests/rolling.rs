//! Servers that are restarted one after the other, while people talk.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{Folder, Kind, Program, Server, Speaker, client, heard_text, listen, reach};
use serde_json::Value;

/// The lines that come while nothing else happens.
const CALM: usize = 25;

/// Four servers in a ring, which keep their keys and their ports.
struct Ring {
    folder: Folder,
    servers: Vec<Server>,
}

impl Ring {
    fn new() -> Self {
        let mut ring = Self { folder: Folder::new(), servers: Vec::new() };
        for number in 0..4 {
            let server = ring.start(number, "0", "0", &[]);
            ring.servers.push(server);
        }
        for number in 0..4 {
            let next = ring.servers[(number + 1) % 4].peers.clone();
            let reply = ring.servers[number].ask(&format!("connect {next}"));
            assert!(reply[0].contains("connected"), "{reply:?}");
        }
        for number in 0..4 {
            ring.servers[number].await_peers(2);
        }
        ring
    }

    /// Only the neighbours that are named: else four servers would all be linked with each other.
    fn start(&self, number: usize, tcp: &str, peers: &str, neighbours: &[String]) -> Server {
        let key = self.folder.path().join(format!("{number}.key"));
        let mut flags =
            vec!["--no-lan", "--key", key.to_str().unwrap(), "--tcp", tcp, "--peer-listen", peers];
        for neighbour in neighbours {
            flags.extend(["--connect", neighbour]);
        }
        Server::start(Kind::Tcp, &flags)
    }

    /// Stops a server politely, and starts it again where it was.
    fn restart(&mut self, number: usize) {
        let old = &mut self.servers[number];
        let port = |addr: &str| addr.rsplit(':').next().unwrap().to_owned();
        let (tcp, peers, id) = (port(old.any()), port(&old.peers), old.id.clone());
        old.program.signal("TERM");
        assert_eq!(old.program.code(), 0, "server {number}");
        let neighbours = [1, 3].map(|step| self.servers[(number + step) % 4].peers.clone());
        let mut new = self.start(number, &tcp, &peers, &neighbours);
        assert_eq!(new.id, id);
        new.await_peers(2);
        self.servers[number] = new;
    }

    fn addr(&self, number: usize) -> String {
        self.servers[number].any().to_owned()
    }
}

/// The next number, and nothing missed before it.
fn assert_next(listener: &Program, number: usize) {
    let line: Value = serde_json::from_str(&listener.out.next().unwrap()).unwrap();
    assert_eq!(
        (&line["type"], &line["text"]),
        (&"message".into(), &format!("number {number}").into()),
        "{line}"
    );
}

/// Case E18 of the test plan, with one build: two people at opposite servers of a ring lose nothing while the servers
/// between them are restarted, and those of a restarted server come back to it.
#[test]
fn e18_a_rolling_restart_costs_nobody_anything_but_the_restarted_servers_own_clients() {
    let mut ring = Ring::new();
    let listener = listen(&ring.addr(2), "#rolling", &[]);
    let own = [1, 3].map(|number| (number, listen(&ring.addr(number), "#rolling", &[])));
    reach(&ring.addr(0), "#rolling", 3);
    while !listener.out.until(&["message"]).contains("probe") {}
    let speaker = Speaker::start(client(&ring.addr(0)).args(["chat", "-c", "#rolling"]));
    heard_text(&listener, "number 0");
    let mut next = 1;
    let mut hear = |count: usize| {
        for _ in 0..count {
            assert_next(&listener, next);
            next += 1;
        }
    };
    for (number, client) in &own {
        hear(CALM);
        ring.restart(*number);
        client.out.until(&["\"connected\""]);
        client.out.until(&["\"message\""]);
    }
    hear(CALM);
    let said = speaker.stop();
    let left = said - next;
    for _ in 0..left {
        assert_next(&listener, next);
        next += 1;
    }
    ring.restart(2);
    listener.out.until(&["\"connected\""]);
    reach(&ring.addr(0), "#rolling", 3);
    heard_text(&listener, "probe");
}
