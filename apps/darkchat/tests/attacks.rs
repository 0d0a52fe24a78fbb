//! Strangers with raw sockets at a real server, beside two people who talk all the while and must notice nothing.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{Kind, Program, Server, client, listen, read_all};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What the side that dials over TCP says first.
const MAGIC: &[u8] = b"DCHAT\x01\r\n";
/// More than a unit may have before a link is up: 4,096 bytes.
const UNIT_TOO_LONG: u16 = 4_097;
/// Connections that begin something and never go on.
const HALF_OPEN: usize = 100;

/// A server with the limits for strangers.
fn public() -> Server {
    Server::start(Kind::Full, &["--budget", "public", "--no-lan"])
}

/// Two people who talk: one says a line, the other hears it, and so on until they are asked to stop.
struct Pair {
    stop: Arc<AtomicBool>,
    talk: JoinHandle<u32>,
}

impl Pair {
    /// One over TCP, one over WebSocket, both in the channel before this returns.
    fn talk(server: &Server) -> Self {
        let listener = listen(server.addr("ws"), "#pair", &[]);
        let mut speaker = Program::start(client(server.addr("tcp")).args(["chat", "-c", "#pair"]));
        speaker.err.until(&["-- joined #pair"]);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let talk = std::thread::spawn(move || {
            let mut said = 0;
            while !stopped.load(Ordering::Relaxed) {
                speaker.say(&format!("line {said}"));
                // The very next thing that it prints: nothing was missed, repeated, reordered or connected anew.
                let heard: Value = serde_json::from_str(&listener.out.next().unwrap()).unwrap();
                assert_eq!(
                    (&heard["type"], &heard["text"]),
                    (&"message".into(), &format!("line {said}").into())
                );
                said += 1;
                // Well under the 20 posts a second of the public profile.
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            speaker.say("/quit");
            assert_eq!(speaker.code(), 0);
            said
        });
        Self { stop, talk }
    }

    /// How many lines were said, and heard in order.
    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.talk.join().unwrap()
    }
}

/// What a server answers to these bytes before it hangs up. It may do so before it has read them all.
fn answer(mut stream: TcpStream, said: &[u8]) -> Vec<u8> {
    drop(stream.write_all(said));
    read_all(stream)
}

/// What an answer must be like.
type Expected = dyn Fn(&[u8]) -> bool + Sync;

/// Says each of these on a connection of its own, all at once, and looks at the answers.
fn all_are_answered(connect: impl Fn() -> TcpStream, said: &[(&[u8], &Expected)]) {
    std::thread::scope(|scope| {
        for (said, is_right) in said {
            let stream = connect();
            scope.spawn(move || {
                let heard = answer(stream, said);
                let start = text(&said[..said.len().min(40)]);
                assert!(is_right(&heard), "{start:?}: {:?}", text(&heard));
            });
        }
    });
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A megabyte that means nothing, and the same each time.
fn junk() -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(1 << 20).collect()
}

fn unit_too_long() -> Vec<u8> {
    [MAGIC, &UNIT_TOO_LONG.to_be_bytes(), &vec![0; UNIT_TOO_LONG.into()]].concat()
}

/// The server still runs, stops when asked, and never wrote of a panic or what strangers said.
fn stops_well(mut server: Server) {
    server.ask("clients");
    server.program.signal("TERM");
    assert_eq!(server.program.code(), 0);
    for line in server.program.err.rest() {
        assert!(!line.contains("panicked") && !line.contains("evil"), "{line}");
        assert!(line.len() <= 1_024 && !line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn strangers_at_the_ports_for_terminals_and_peers_are_turned_away_and_a_talking_pair_notices_nothing() {
    let server = public();
    let pair = Pair::talk(&server);
    let peers = server.peers.trim_start_matches("tcp://").to_owned();
    let tls: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03evil";
    let silence = |bytes: &[u8]| bytes.is_empty();
    let refusal = |bytes: &[u8]| text(bytes).starts_with("HTTP/1.1 400 ") && !text(bytes).contains("evil");
    for port in ["clients", "peers"] {
        let connect = || {
            if port == "peers" { TcpStream::connect(&peers).unwrap() } else { server.raw("tcp") }
        };
        all_are_answered(
            connect,
            &[
                (b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n", &refusal),
                (tls, &silence),
                (b"SSH-2.0-evil\r\n", &silence),
                (b"EHLO evil\r\n", &silence),
                (&junk(), &silence),
                (&unit_too_long(), &silence),
            ],
        );
    }
    assert!(pair.stop() > 0);
    stops_well(server);
}

#[test]
fn strangers_at_the_port_for_websockets_are_turned_away_and_a_talking_pair_notices_nothing() {
    let server = public();
    let pair = Pair::talk(&server);
    let upgrade = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: dchat.1\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let foreign = format!("{upgrade}Origin: http://evil.example\r\n\r\n");
    let paths = ["/evil", "/../etc/passwd", "/%2e%2e/etc/passwd", "//etc/passwd", "/..%2f..%2fetc/passwd"];
    let gets = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
    let status = |code: &'static str| {
        move |bytes: &[u8]| {
            text(bytes).starts_with(&format!("HTTP/1.1 {code} ")) && !text(bytes).contains("evil")
        }
    };
    let (page, none, other_host) = (status("200"), status("404"), status("421"));
    let (not_get, other_origin) = (status("405"), status("403"));
    let silence = |bytes: &[u8]| bytes.is_empty();
    let junk = junk();
    let mut asked: Vec<(&[u8], &Expected)> = vec![
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", &page),
        (b"GET / HTTP/1.1\r\nHost: evil.example:8546\r\n\r\n", &other_host),
        (b"POST /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", &not_get),
        (foreign.as_bytes(), &other_origin),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03evil", &silence),
        (&junk, &silence),
    ];
    asked.extend(gets.iter().map(|get| (get.as_bytes(), &none as &Expected)));
    all_are_answered(|| server.raw("ws"), &asked);

    let mut stream = server.raw("ws");
    stream.write_all(format!("{upgrade}\r\n").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(text(&head).starts_with("HTTP/1.1 101 "), "{}", text(&head));
    // Binary, whole, masked with zeros; the length in two bytes.
    let frame =
        [&[0x82, 0x80 | 126][..], &UNIT_TOO_LONG.to_be_bytes(), &[0; 4], &vec![0; UNIT_TOO_LONG.into()]];
    let end = answer(stream, &frame.concat());
    // At most the end of the WebSocket itself, never a reply of the protocol inside.
    assert!(end.is_empty() || end.first() == Some(&0x88), "{end:?}");
    assert!(pair.stop() > 0);
    stops_well(server);
}

#[test]
fn a_hundred_half_open_connections_end_by_themselves_and_a_talking_pair_notices_nothing() {
    let server = public();
    let pair = Pair::talk(&server);
    let begun: [(&str, &[u8]); 5] = [
        ("tcp", b""),
        ("tcp", &MAGIC[..5]),
        ("tcp", &[MAGIC, &[0x01]].concat()),
        ("tcp", &[MAGIC, &[0x00, 0xc8, 1, 2, 3]].concat()),
        ("ws", b"GET /ws HTTP/1.1\r\nHost: 127"),
    ];
    let half_open: Vec<_> = begun
        .iter()
        .cycle()
        .take(HALF_OPEN)
        .map(|(scheme, said)| {
            let mut stream = server.raw(scheme);
            // Whoever is one too many is hung up on at once.
            drop(stream.write_all(said));
            stream
        })
        .collect();
    for stream in half_open {
        assert_eq!(text(&read_all(stream)), "");
    }
    assert!(pair.stop() > 0);
    stops_well(server);
}
