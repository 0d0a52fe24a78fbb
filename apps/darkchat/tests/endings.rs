//! How servers end, and what those who were connected see of it.
#![expect(clippy::unwrap_used, reason = "what is not as it should be fails the test")]

mod common;

use common::{Folder, Kind, Program, Server, client, heard_text, listen, reach, send};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// What was accepted before a server stops has so long to leave (protocol 9.2), and the process to end.
const FLUSHED: Duration = Duration::from_secs(5);
/// More than are taken before it stops.
const LINES: usize = 5_000;

#[test]
fn exit_interrupt_and_term_end_a_server_politely() {
    for ending in ["exit", "INT", "TERM"] {
        let mut server = Server::start(Kind::Full, &[]);
        let listener = listen(server.any(), "#bye", &[]);
        match ending {
            "exit" => server.program.say("exit"),
            signal => server.program.signal(signal),
        }
        listener.out.until(&["\"waiting\""]);
        assert_eq!(server.program.code(), 0, "{ending}");
    }
}

/// The ids that stand in lines of this type.
fn ids(lines: impl IntoIterator<Item = String>, kind: &str) -> BTreeSet<String> {
    let lines = lines.into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["type"] == kind).map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

/// Somebody sends one line after the other, each as soon as the one before it was taken.
fn flooder(server: &str, channel: &str) -> Program {
    let mut program = Program::start(client(server).args(["send", "--json", "--each-line", "-c", channel]));
    let mut input = program.input.take().unwrap();
    input.write_all("one more line\n".repeat(LINES).as_bytes()).unwrap();
    program
}

/// Case F10 of the test plan. Whoever listens there or elsewhere has all that the server said it had taken.
#[test]
fn f10_a_server_that_stops_under_load_delivers_what_it_accepted_and_ends_within_five_seconds() {
    let mut stopping = Server::start(Kind::Full, &[]);
    let mut other = Server::start(Kind::Tcp, &[]);
    other.peer_with(&stopping);
    let near = listen(stopping.addr("ws"), "#load", &[]);
    let far = listen(other.any(), "#load", &[]);
    let chat = Program::start(client(stopping.addr("tcp")).args(["chat", "-c", "#quiet"]));
    chat.err.until(&["-- joined #quiet"]);
    reach(stopping.any(), "#load", 1);
    let speaker = flooder(stopping.addr("tcp"), "#load");
    let mut accepted = ids((0..200).map(|_| speaker.out.until(&["\"sent\""])), "sent");
    let begun = Instant::now();
    stopping.program.signal("TERM");
    assert_eq!(stopping.program.code(), 0);
    assert!(begun.elapsed() < FLUSHED, "{:?}", begun.elapsed());
    chat.err.until(&["-- connection lost; ", "the server stops"]);
    speaker.signal("KILL");
    accepted.extend(ids(speaker.out.rest(), "sent"));
    for listener in [near, far] {
        let mut heard = BTreeSet::new();
        while !accepted.is_subset(&heard) {
            heard.extend(ids([listener.out.next().expect("it listens on")], "message"));
        }
    }
}

#[test]
fn clients_that_know_another_address_go_there() {
    let mut first = Server::start(Kind::Tcp, &[]);
    let second = Server::start(Kind::Ws, &[]);
    let both = format!("{},{}", first.any(), second.any());
    let listener = listen(&both, "#move", &[]);
    first.program.signal("TERM");
    assert_eq!(first.program.code(), 0);
    listener.out.until(&["\"connected\"", &second.id]);
    while send(second.any(), "#move", "", "are you here?")["local"] == 0 {}
    heard_text(&listener, "are you here?");
}

#[test]
fn clients_that_know_no_other_address_go_where_the_server_says() {
    let second = Server::start(Kind::Ws, &[]);
    let elsewhere = second.any().replacen("://", &format!("://{}@", second.id), 1);
    let mut first = Server::start(Kind::Tcp, &["--elsewhere", &elsewhere]);
    let listener = listen(first.any(), "#move", &[]);
    first.program.signal("TERM");
    assert_eq!(first.program.code(), 0);
    listener.out.until(&["\"connected\"", &second.id]);
    while send(second.any(), "#move", "", "are you here?")["local"] == 0 {}
    heard_text(&listener, "are you here?");
}

#[test]
fn an_address_without_a_key_is_not_taken_for_elsewhere() {
    let out = common::server().args(["--ephemeral", "--elsewhere", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2), "{out:?}");
}

#[test]
fn people_are_told_why_the_connection_went() {
    let mut server = Server::start(Kind::Tcp, &[]);
    let chat = Program::start(client(server.any()).args(["chat"]));
    chat.err.until(&["-- joined #general"]);
    server.program.signal("TERM");
    chat.err.until(&["-- connection lost; ", "the server stops"]);
    assert_eq!(server.program.code(), 0);
}

#[test]
fn the_end_of_standard_input_ends_no_server() {
    let mut server = Server::start(Kind::Tcp, &[]);
    assert_eq!(server.ask("peers"), ["(none)"]);
    drop(server.program.input.take());
    let listener = listen(server.any(), "#still", &[]);
    send(server.any(), "#still", "", "here");
    heard_text(&listener, "here");
}

#[test]
fn a_second_server_with_the_same_key_is_told_what_to_do() {
    let folder = Folder::new();
    let key = folder.path().join("server.key");
    let start = |command: &mut Command| {
        Program::start(
            command.args(["--tcp", "0", "--peer-listen", "0", "--prompt", "never", "--key"]).arg(&key),
        )
    };
    let first = start(&mut common::server());
    first.out.until(&["ready"]);
    let mut second = start(&mut common::server());
    let told = second.err.rest().join("\n");
    assert!(told.contains("--key") && told.contains("--ephemeral"), "{told}");
    assert_eq!(second.code(), 1);
}

/// Another key would be another server: whoever knows this one refuses it.
#[test]
fn a_key_file_that_others_can_read_is_to_be_closed_and_not_to_be_replaced() {
    let folder = Folder::new();
    let key = folder.path().join("server.key");
    let server = |args: &[&str]| common::server().args(args).arg("--key").arg(&key).output().unwrap();
    assert!(server(&["id", "new"]).status.success());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let out = server(&["--tcp", "0", "--no-peer-listen", "--prompt", "never"]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains("chmod 600") && !told.contains("--ephemeral") && !told.contains("--key"), "{told}");
}

#[test]
fn an_address_that_is_taken_is_exit_three_and_nothing_stays_bound() {
    let server = Server::start(Kind::Tcp, &[]);
    let taken = server.any().trim_start_matches("tcp://");
    let out = common::server()
        .args(["--ephemeral", "--prompt", "never", "--ws", "0", "--peer-listen", "0", "--tcp", taken])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains(taken));
}

#[test]
fn the_ports_file_holds_the_start_report() {
    let folder = Folder::new();
    let file = folder.path().join("ports.json");
    let server = Server::start(Kind::Full, &["--ports-file", file.to_str().unwrap()]);
    let ports: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&ports["v"], &ports["id"]), (&1.into(), &server.id.clone().into()));
    assert_eq!(ports["clients"].as_array().unwrap().len(), 2);
    assert_eq!((&ports["peers"][0], &ports["limits"]), (&server.peers.clone().into(), &"trusted".into()));
    assert_eq!(ports["pid"], server.program.pid());
}

#[test]
fn limits_are_printed_as_names_and_values() {
    let limits = |profile: &str| {
        let out = common::server().args(["--print-limits", "--budget", profile]).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let public = limits("public");
    assert!(public.lines().all(|line| line.split(' ').count() == 2), "{public}");
    assert!(public.contains("profile public\n") && public.contains("max_frame 73728\n"));
    assert_ne!(public, limits("trusted"));
    assert!(public.contains("client_queue 1048576\n") && public.contains("web_visitors 256\n"), "{public}");
    let slow = common::server().args(["--print-limits", "--handshake-timeout", "5m"]).output().unwrap();
    assert!(String::from_utf8(slow.stdout).unwrap().contains("handshake_ms 300000\n"));
}

/// What a service's environment says is a default: an operator's flag goes before it.
#[test]
fn a_flag_goes_before_the_variable_of_its_opposite() {
    let run = |name: &str, value: &str, args: &[&str]| {
        common::server().env(name, value).args(args).arg("--print-limits").output().unwrap()
    };
    let both_ways = [
        ("DARKCHATD_KEY", "server.key", "--ephemeral"),
        ("DARKCHATD_PEER_LISTEN", "127.0.0.1:0", "--no-peer-listen"),
        ("DARKCHATD_WEB_ROOT", "page", "--no-web"),
        ("DARKCHATD_EPHEMERAL", "1", "--key=server.key"),
        ("DARKCHATD_NO_PEER_LISTEN", "yes", "--peer-listen=127.0.0.1:0"),
        ("DARKCHATD_NO_WEB", "true", "--web-root=page"),
        ("DARKCHATD_LAN", "on", "--no-lan"),
        ("DARKCHATD_NO_LAN", "1", "--lan"),
        ("DARKCHATD_LAN", "false", "--no-lan"),
    ];
    for (name, value, flag) in both_ways {
        let out = run(name, value, &[flag]);
        assert!(out.status.success(), "{name}={value} {flag}: {out:?}");
    }
    let wrong = run("DARKCHATD_KEY", "server.key", &["--ephemeral", "--key", "other.key"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let mut contradicting = common::server();
    contradicting.env("DARKCHATD_LAN", "1").env("DARKCHATD_NO_LAN", "1").arg("--print-limits");
    let out = contradicting.output().unwrap();
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("'DARKCHATD_LAN' cannot be used with"), "{out:?}");
}

#[test]
fn the_flag_that_goes_before_is_the_one_that_counts() {
    let peers = |name: &str, value: &str, args: &[&str]| {
        let mut command = common::server();
        command.env(name, value).args(["--ephemeral", "--tcp", "0", "--prompt", "never"]).args(args);
        let mut server = Program::start(&mut command);
        let report: Vec<String> =
            std::iter::from_fn(|| server.out.next().filter(|line| line != "ready")).collect();
        server.signal("TERM");
        assert_eq!(server.code(), 0);
        report.iter().filter(|line| line.starts_with("peers")).count()
    };
    assert_eq!(peers("DARKCHATD_PEER_LISTEN", "127.0.0.1:0", &["--no-peer-listen"]), 0);
    assert_eq!(peers("DARKCHATD_NO_PEER_LISTEN", "1", &["--peer-listen", "0"]), 1);
    assert_eq!(peers("DARKCHATD_NO_PEER_LISTEN", "0", &["--peer-listen", "0"]), 1);
    assert_eq!(peers("DARKCHATD_NO_PEER_LISTEN", "1", &[]), 0);
}
