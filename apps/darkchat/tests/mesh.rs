//! What the operator is shown of a network of real servers.

mod common;

use common::{Kind, Server, listen, reach};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// The mark of a server: characters 2 to 9 of its key.
fn mark(server: &Server) -> &str {
    &server.id[1..9]
}

/// The number before a unit, such as the 12.3 of `12.3ms`.
fn number(text: &str, unit: &str) -> f64 {
    text.strip_suffix(unit).and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// Servers in a line, each linked with the next and with no other.
fn line() -> [Server; 3] {
    let a = Server::start(Kind::Tcp, &["--no-lan"]);
    let b = Server::start(Kind::Tcp, &["--no-lan", "--connect", &a.peers]);
    let c = Server::start(Kind::Tcp, &["--no-lan", "--connect", &b.peers]);
    [a, b, c]
}

#[test]
fn the_prompt_shows_the_hops_to_a_channel_the_map_and_the_links() {
    let [mut a, mut b, c] = line();
    let _listener = listen(c.any(), "#ops", &[]);
    reach(a.any(), "#ops", 1);

    let traced = a.ask("trace ops");
    assert_eq!(traced[0], "servers 1 answered 1 unasked 0", "{traced:?}");
    for (line, (hop, server, from, part)) in
        traced[1..].iter().zip([("1", &b, &a, "transit"), ("2", &c, &b, "wants")])
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..6], ["hop", hop, &server.id, "from", mark(from), "delay"], "{line}");
        assert!(number(words[6], "ms") < 3_000.0, "{line}");
        assert_eq!(words[7..], [part], "{line}");
    }
    assert_eq!(traced.len(), 3);
    assert_eq!(a.ask("trace nobody-is-here"), ["servers 0 answered 0 unasked 0"]);

    let map = a.ask("map");
    assert_eq!((map[0].as_str(), map.len()), ("servers 3 reachable 3 links 2", 4), "{map:?}");
    for (server, way) in [
        (&a, "hops 0 via - neighbours 1".to_owned()),
        (&b, format!("hops 1 via {} neighbours 2", mark(&b))),
        (&c, format!("hops 2 via {} neighbours 1", mark(&b))),
    ] {
        let row = map.iter().find(|row| row.starts_with(&server.id)).map_or("", String::as_str);
        assert!(row.contains(&way), "{row}");
    }

    let peers = b.ask("peers");
    assert_eq!(peers.len(), 2, "{peers:?}");
    for (server, direction, why) in [(&a, "out", "pinned"), (&c, "in", "inbound")] {
        let row = peers.iter().find(|row| row.starts_with(&server.id)).map_or("", String::as_str);
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!((words.len(), words[1]), (10, direction), "{row}");
        assert!(words[2].starts_with("tcp://127.0.0.1:"), "{row}");
        assert_eq!((words[3], words[5], words[7]), ("rtt", "up", "queued"), "{row}");
        assert!(words[4] == "-" || number(words[4], "ms") < 3_000.0, "{row}");
        assert!(number(words[8], "B") >= 0.0, "{row}");
        assert_eq!(words[9], why, "{row}");
    }
}

#[test]
fn a_neighbour_that_the_operator_lets_go_stays_away() {
    let [mut a, mut b, _c] = line();
    while b.ask("peers").len() != 2 {
        std::thread::yield_now();
    }
    assert_eq!(b.ask(&format!("disconnect {}", a.id)), [format!("disconnected {}", a.id)]);
    assert_eq!(b.ask(&format!("disconnect {}", a.id)), [format!("error: not connected: {}", a.id)]);
    while a.ask("peers") != ["(none)"] {
        std::thread::yield_now();
    }
    while b.ask("peers").len() != 1 {
        std::thread::yield_now();
    }
    assert!(b.ask("help").iter().any(|line| line.starts_with("trace CHANNEL")));
}

/// Whether what is sent to the group of multicast DNS on this machine arrives on it.
fn has_multicast() -> std::io::Result<bool> {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    receiver.set_read_timeout(Some(Duration::from_secs(2)))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.send_to(b"here", (group, receiver.local_addr()?.port()))?;
    let mut got = [0; 4];
    Ok(receiver.recv(&mut got).is_ok_and(|len| got[..len] == *b"here"))
}

#[test]
fn servers_of_one_machine_find_each_other_by_multicast_dns() {
    if !matches!(has_multicast(), Ok(true)) {
        println!("skipped: no multicast on loopback here");
        return;
    }
    // Another run of this test on this machine is another network.
    let network = format!("mdns-{}", std::process::id());
    let flags = ["--mdns", "loopback", "--network", &network];
    let mut one = Server::start(Kind::Tcp, &flags);
    let mut two = Server::start(Kind::Tcp, &flags);
    let mut other = Server::start(Kind::Tcp, &["--mdns", "loopback", "--network", "mdns-other"]);
    for server in [&mut one, &mut two] {
        while server.ask("peers") == ["(none)"] {
            std::thread::yield_now();
        }
    }
    let peers = [one.ask("peers"), two.ask("peers")];
    assert!(peers[0][0].starts_with(&two.id) && peers[1][0].starts_with(&one.id), "{peers:?}");
    assert_eq!(other.ask("peers"), ["(none)"]);
    let chosen = peers.iter().flatten().filter(|row| row.ends_with(" chosen")).count();
    assert_eq!(chosen, 1, "one of them dialled: {peers:?}");
}
