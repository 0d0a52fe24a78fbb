//! `darkchat bench` on real servers, small: every work accounts for every message, and bad flags say what is wrong.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use common::{Kind, Server, client};
use serde_json::Value;
use std::process::{Command, Output};

fn bench(server: &str, line: &str) -> Command {
    let mut command = client(server);
    command.arg("bench").args(line.split_whitespace());
    command
}

/// The object that a run prints, and that is all it prints.
fn figures(server: &str, line: &str) -> Value {
    let out = bench(server, line).arg("--json").output().unwrap();
    assert!(out.status.success(), "{line}: {}", text(&out.stderr));
    let figures: Value = serde_json::from_slice(&out.stdout).unwrap();
    for (name, value) in [("v", Value::from(1)), ("type", "bench".into())] {
        assert_eq!(figures[name], value, "{figures}");
    }
    figures
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn number(figures: &Value, name: &str) -> u64 {
    assert!(figures[name].is_u64(), "no number {name}: {figures}");
    figures[name].as_u64().unwrap()
}

/// Whatever was sent is with everybody, or counted as lost.
fn accounts(figures: &Value, sent: u64, hear_each: u64) {
    assert_eq!(number(figures, "sent"), sent, "{figures}");
    assert_eq!(number(figures, "expected"), sent * hear_each, "{figures}");
    assert_eq!(number(figures, "delivered") + number(figures, "lost"), sent * hear_each, "{figures}");
    assert_eq!(number(figures, "lost"), 0, "{figures}");
}

#[test]
fn fanout_delivers_each_message_to_each_subscriber() {
    let server = Server::start(Kind::Full, &[]);
    let pid = server.program.pid();
    for scheme in ["tcp", "ws"] {
        let line = format!("fanout --subscribers 3 --messages 300 --size 100 --warm-up 0s --pid {pid}");
        let figures = figures(server.addr(scheme), &line);
        accounts(&figures, 300, 3);
        assert_eq!((&figures["work"], &figures["payload_bytes"]), (&"fanout".into(), &100.into()));
        assert_eq!((number(&figures, "publishers"), number(&figures, "subscribers")), (1, 3));
        assert!(
            number(&figures, "server_rss_kib") > 1_000 && figures["server_cpu_us_per_delivery"].is_number()
        );
        assert!(figures["p50_us"].as_f64().unwrap() <= figures["max_us"].as_f64().unwrap(), "{figures}");
        assert!(figures["entries_per_post"].as_f64().unwrap() >= 1.0);
    }
}

#[test]
fn so_many_messages_as_asked_for_are_in_a_post() {
    let server = Server::start(Kind::Tcp, &[]);
    for (entries, last) in [(1, 100), (10, 100), (64, 100)] {
        let line = format!(
            "fanout --publishers 2 --subscribers 2 --messages 200 --entries-per-post {entries} --warm-up 0s"
        );
        let figures = figures(server.any(), &line);
        accounts(&figures, 2 * last, 2);
        let posts = (last as f64 / f64::from(entries)).ceil();
        let each = figures["entries_per_post"].as_f64().unwrap();
        // Two publishers share a channel's messages as they come, so one post more may be short.
        assert!(each <= f64::from(entries) && each >= 100.0 / (posts + 1.0), "{entries}: {figures}");
    }
}

#[test]
fn sealed_posts_are_counted_too() {
    let server = Server::start(Kind::Tcp, &["--budget", "unmetered"]);
    let line = "fanout --sealed --entries-per-post 1 --subscribers 2 --messages 100 --warm-up 0s";
    let figures = figures(server.any(), line);
    accounts(&figures, 100, 2);
    assert_eq!((&figures["entries_per_post"], figures["p50_us"].is_number()), (&1.0.into(), true));
}

#[test]
fn messages_at_a_rate_are_those_of_the_time() {
    let server = Server::start(Kind::Tcp, &[]);
    let figures = figures(server.any(), "fanout --subscribers 2 --rate 100 --duration 1s --warm-up 100ms");
    accounts(&figures, 100, 2);
    assert_eq!(number(&figures, "rate"), 100);
    assert!(figures["seconds"].as_f64().unwrap() >= 0.9, "{figures}");
}

#[test]
fn subscribers_may_be_clients_that_check_everything() {
    let server = Server::start(Kind::Tcp, &[]);
    let line = "fanout --receivers verifying --subscribers 2 --messages 100 --warm-up 0s";
    accounts(&figures(server.any(), line), 100, 2);
}

#[test]
fn pairs_are_channels_of_their_own() {
    let server = Server::start(Kind::Tcp, &[]);
    let line = "pairs --channels 4 --subscribers 2 --messages 400 --warm-up 0s";
    let figures = figures(server.any(), line);
    accounts(&figures, 400, 2);
    assert_eq!((number(&figures, "channels"), number(&figures, "subscribers")), (4, 8));
}

#[test]
fn mesh_goes_from_one_server_to_another() {
    let (mut one, other) = (Server::start(Kind::Tcp, &[]), Server::start(Kind::Tcp, &[]));
    one.peer_with(&other);
    let line = format!(
        "mesh --subscribers 3 --messages 200 --warm-up 0s --subscribers-at {} --pid {},{}",
        other.any(),
        one.program.pid(),
        other.program.pid()
    );
    let figures = figures(one.any(), &line);
    accounts(&figures, 200, 3);
    assert!(figures["server_cpu_us_per_delivery"].is_number());
}

#[test]
fn direct_messages_are_delivered_end_to_end() {
    let server = Server::start(Kind::Tcp, &[]);
    let figures = figures(server.any(), "direct --pairs 3 --messages 60 --size 20 --warm-up 0s");
    accounts(&figures, 60, 1);
    assert!(figures["p99_us"].is_number());
}

#[test]
fn churn_counts_sessions() {
    let server = Server::start(Kind::Full, &[]);
    for scheme in ["tcp", "ws"] {
        let figures = figures(server.addr(scheme), "churn --at-once 4 --messages 20 --warm-up 0s");
        accounts(&figures, 20, 1);
        assert!(figures["p50_us"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn idle_connections_all_hear_the_message_at_the_end() {
    let server = Server::start(Kind::Tcp, &[]);
    let line = format!("idle --connections 20 --duration 100ms --settle 0s --pid {}", server.program.pid());
    let figures = figures(server.any(), &line);
    accounts(&figures, 1, 20);
    assert!(figures["server_rss_bytes_per_connection"].is_number() && figures["server_cpu_s"].is_number());
}

#[test]
fn people_get_a_table_and_no_bar_where_there_is_no_terminal() {
    let server = Server::start(Kind::Tcp, &[]);
    let line = "fanout --subscribers 2 --messages 50 --warm-up 0s";
    let out = bench(server.any(), line).output().unwrap();
    let table = text(&out.stdout);
    assert!(out.status.success() && table.contains("delivered   100 of 100\n"), "{table}");
    assert_eq!(text(&out.stderr), "");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let server = Server::start(Kind::Tcp, &[]);
    let of = |line: &str| bench(server.any(), line).output().unwrap();
    let ends = |out: &Output, code: i32, words: &[&str]| {
        let said = text(&out.stderr);
        assert!(out.status.code() == Some(code) && words.iter().all(|word| said.contains(word)), "{said}");
    };
    ends(&of("mesh"), 2, &["--subscribers-at"]);
    ends(&of("fanout --entries-per-post 65"), 2, &["65", "auto"]);
    ends(&of("fanout --entries-per-post 64 --size 2000"), 2, &["64 messages of 2000 bytes"]);
    ends(&of("fanout --sealed --entries-per-post 2"), 2, &["--entries-per-post 1"]);
    ends(&of("fanout --size 7"), 2, &["7", "8 to"]);
    ends(&of("fanout --messages 1 --duration 1s"), 2, &["--duration"]);
    ends(&of("fanout --pid 4294967295"), 1, &["4294967295"]);
    ends(&of("idle --connections 100000"), 2, &["100000"]);
    let apart = Server::start(Kind::Tcp, &[]);
    let line = format!("mesh --subscribers 1 --subscribers-at {}", apart.any());
    ends(&of(&line), 5, &["do not hear"]);
    let out = bench("tcp://127.0.0.1:1", "churn --json").output().unwrap();
    ends(&out, 3, &["\"code\":\"connect\"", "127.0.0.1:1"]);
}
