//! The client's commands as scripts use them: output, exit codes, pipes, key files.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use common::{Folder, Kind, Program, Server, client, heard, listen, send};
use serde_json::Value;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

fn darkchat(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
    command.env("DARKCHAT_HOME", folder.path());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn pipe(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// The error that a command with `--json` puts on standard error.
fn error(out: &Output) -> Value {
    let last = text(&out.stderr).lines().last().unwrap();
    serde_json::from_str(last).unwrap()
}

#[test]
fn json_lines_have_the_documented_names() {
    let server = Server::start(Kind::Full, &[]);
    let recv = Program::start(client(server.any()).args(["recv", "--json", "-c", "Ops"]));
    let line = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let connected = line(recv.out.until(&["\"state\"", "\"connected\""]));
    assert_eq!((&connected["v"], &connected["server"]), (&1.into(), &server.id.clone().into()));
    assert!(connected["retry_ms"].is_null());
    let joined = line(recv.out.until(&["\"joined\""]));
    assert_eq!((&joined["channel"], &joined["spread"]), (&"#ops".into(), &true.into()));
    let sent = send(server.any(), "#ops", "ann", "hi \u{1b}[2J");
    let message = heard(&recv);
    assert_eq!((&message["id"], &message["text"]), (&sent["id"], &"hi \u{1b}[2J".into()));
    assert_eq!(
        (&message["v"], &message["channel"], &message["name"]),
        (&1.into(), &"#ops".into(), &"ann".into())
    );
    let time = message["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && message.get("data").is_none());
    assert_eq!((&sent["type"], &sent["local"], &sent["servers"]), (&"sent".into(), &1.into(), &0.into()));
}

#[test]
fn send_and_recv_work_in_a_pipe() {
    let mut server = Server::start(Kind::Tcp, &[]);
    let place = server.any().to_owned();
    let mut recv =
        Program::start(client(&place).args(["recv", "-c", "pipe", "-n", "4", "--format", "%t|%b|%c\\n"]));
    wait_for_member(&mut server, "pipe");
    let lines =
        pipe(client(server.any()).args(["send", "-c", "pipe", "--each-line"]), b"one\n\ntwo\r\n\x1bthree\n");
    assert!(lines.status.success() && lines.stdout.is_empty(), "{lines:?}");
    let whole = pipe(client(server.any()).args(["send", "-c", "pipe", "-"]), b"a\nb\n");
    assert!(whole.status.success());
    let out = recv.out.rest().join("\n");
    assert_eq!(out, "one|one|#pipe\ntwo|two|#pipe\n\\x1bthree|\u{1b}three|#pipe\na\\nb|a\nb|#pipe");
    assert_eq!(recv.code(), 0);
}

#[test]
fn bytes_that_are_no_text_travel_as_data() {
    let server = Server::start(Kind::Ws, &[]);
    let recv = listen(server.any(), "data", &["-n", "1"]);
    let sent = pipe(client(server.any()).args(["send", "-c", "data"]), &[0xff, 0x00, 0x0a]);
    assert!(sent.status.success());
    let message = heard(&recv);
    assert_eq!(message["data"], "/wA=");
    assert!(message.get("text").is_none());
}

#[test]
fn exit_codes_tell_scripts_what_happened() {
    let server = Server::start(Kind::Full, &[]);
    let place = server.any();
    let run = |args: &[&str]| client(place).args(args).stdin(Stdio::null()).output().unwrap();
    assert_eq!(run(&["recv"]).status.code(), Some(2));
    assert_eq!(run(&["send", "-c", "x", ""]).status.code(), Some(2));
    assert_eq!(run(&["send", "-c", "two words", "x"]).status.code(), Some(2));
    let late = run(&["recv", "--json", "-c", "x", "-n", "1", "--timeout", "200ms"]);
    assert_eq!((late.status.code(), error(&late)["code"].as_str()), (Some(5), Some("timeout")));
    assert_eq!(run(&["recv", "-c", "x", "--timeout", "200ms"]).status.code(), Some(0));
    let long = pipe(client(place).args(["send", "--json", "-c", "x"]), &vec![b'x'; 65_537]);
    assert_eq!((long.status.code(), error(&long)["code"].as_str()), (Some(1), Some("too-large")));
    let nobody = client("127.0.0.1:1").args(["send", "--json", "-c", "x", "hi"]).output().unwrap();
    assert_eq!((nobody.status.code(), error(&nobody)["code"].as_str()), (Some(3), Some("connect")));
}

#[test]
fn a_client_at_the_peer_port_is_refused_as_unauthorized() {
    let server = Server::start(Kind::Tcp, &[]);
    let out = client(&server.peers).args(["send", "--json", "-c", "x", "hi"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{out:?}");
    assert_eq!((&error(&out)["code"], &error(&out)["reason"]), (&"refused".into(), &"UNAUTHORIZED".into()));
}

#[test]
fn another_key_at_a_known_address_is_a_hard_error_with_both_keys() {
    let folder = Folder::new();
    let server = Server::start(Kind::Tcp, &[]);
    let send =
        |place: &str| darkchat(&folder).args(["--server", place, "send", "-c", "x", "hi"]).output().unwrap();
    let first = send(server.any());
    assert!(first.status.success() && text(&first.stderr).contains("-- first contact with"), "{first:?}");
    let second = send(server.any());
    assert!(second.status.success() && !text(&second.stderr).contains("first contact"));
    let (old, place) = (server.id.clone(), server.any().to_owned());
    drop(server);
    let other = Server::start(Kind::Tcp, &["--tcp", place.trim_start_matches("tcp://")]);
    let third = send(&place);
    let told = text(&third.stderr);
    assert_eq!(third.status.code(), Some(3), "{told}");
    assert!(told.contains(&old) && told.contains(&other.id) && told.contains("known_servers"), "{told}");
    let expected = format!("tcp://{old}@{}", place.trim_start_matches("tcp://"));
    assert_eq!(send(&expected).status.code(), Some(3));
}

#[test]
fn a_key_file_is_made_once_and_never_overwritten_or_shared() {
    let folder = Folder::new();
    let id = |args: &[&str]| darkchat(&folder).arg("id").args(args).output().unwrap();
    let none = id(&[]);
    assert!(none.status.code() == Some(1) && text(&none.stderr).contains("darkchat id new"), "{none:?}");
    let made = id(&["new"]);
    let key = text(&made.stdout).trim_end().to_owned();
    assert!(key.len() == 56 && key.starts_with('u'), "{made:?}");
    assert_eq!(text(&id(&["show"]).stdout).trim_end(), key);
    let json: Value = serde_json::from_slice(&id(&["--json"]).stdout).unwrap();
    assert_eq!((&json["id"], &json["mark"]), (&key.clone().into(), &key[1..9].into()));
    assert_eq!(id(&["new"]).status.code(), Some(1));
    let file = folder.path().join("identity.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let shared = id(&[]);
    assert!(shared.status.code() == Some(1) && text(&shared.stderr).contains("chmod 600"), "{shared:?}");
}

#[test]
fn line_mode_shows_finished_lines_and_never_a_control_character() {
    let server = Server::start(Kind::Full, &[]);
    let mut ann = Program::start(client(server.addr("tcp")).args(["chat", "--name", "ann"]));
    ann.err.until(&["-- joined #general"]);
    let mut bob = Program::start(client(server.addr("ws")).args(["--name", "bob", "chat", "-c", "#general"]));
    bob.err.until(&["-- joined #general"]);
    bob.say("hello \u{1b}[31mann\u{202e}");
    let line = ann.out.next().unwrap();
    let (time, rest) = line.split_at(5);
    assert!(time.chars().all(|c| c.is_ascii_digit() || c == ':'), "{line}");
    let (head, body) = rest.split_once(": ").unwrap();
    assert!(head.starts_with(" #general bob~") && head.len() == " #general bob~".len() + 8, "{line}");
    assert_eq!(body, "hello \\x1b[31mann\\u{202e}");
    bob.say("//shrug");
    assert!(ann.out.next().unwrap().ends_with(": /shrug"));
    bob.say("/jion");
    bob.err.until(&["-- unknown command /jion", "/join"]);
    bob.say("/part");
    bob.err.until(&["-- left #general"]);
    bob.say("anyone?");
    bob.err.until(&["-- not sent: join a channel first"]);
    bob.say("/quit");
    assert_eq!(bob.code(), 0);
    ann.signal("INT");
    assert_eq!(ann.code(), 130);
}

#[test]
fn the_end_of_input_waits_for_what_was_typed() {
    let server = Server::start(Kind::Full, &[]);
    let recv = listen(server.any(), "#general", &["-n", "50"]);
    let typed: String = (0..50).map(|number| format!("line {number}\n")).collect();
    let out = pipe(client(server.any()).arg("chat"), typed.as_bytes());
    assert!(out.status.success(), "{out:?}");
    for number in 0..50 {
        assert_eq!(heard(&recv)["text"], format!("line {number}"));
    }
}

#[test]
fn a_key_for_the_moment_goes_before_the_file_that_the_environment_names() {
    let server = Server::start(Kind::Tcp, &[]);
    let folder = Folder::new();
    let file = folder.path().join("ann.key");
    let send = |flags: &[&str]| {
        let mut command = darkchat(&folder);
        command.env("DARKCHAT_IDENTITY", &file).args(["--server", server.any()]).args(flags);
        command.args(["send", "-c", "x", "hi"]).output().unwrap()
    };
    let out = send(&["--ephemeral"]);
    assert!(out.status.success() && !file.exists(), "{out:?}");
    assert_eq!(send(&["--ephemeral", "--identity", "other.key"]).status.code(), Some(2));
    assert!(send(&[]).status.success() && file.exists());
}

/// Whether the program catches this signal, as Linux tells it.
#[cfg(target_os = "linux")]
fn catches(program: &Program, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (signal - 1)) != 0
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_a_command_that_waits_for_its_input() {
    let waiting = [
        &["send", "-c", "x"][..],
        &["send", "-c", "x", "--each-line", "-"],
        &["channel", "join"],
        &["send", "--invite", "-", "hi"],
        &["recv", "--invite", "-"],
        &["send", "-c", "x", "--file", "/dev/stdin"],
        &["send", "--invite", "/dev/stdin", "hi"],
    ];
    for args in waiting {
        for (name, number, code) in [("INT", 2, 130), ("TERM", 15, 143)] {
            let mut program = Program::start(client("127.0.0.1:1").env_remove("DARKCHAT_INVITE").args(args));
            common::until("it catches signals", || catches(&program, number));
            program.signal(name);
            // Its input is still open.
            assert_eq!(program.out.next(), None, "{args:?}");
            assert_eq!(program.code(), code, "{args:?}");
        }
    }
}

/// Asks at the prompt until somebody is in the channel.
fn wait_for_member(server: &mut Server, channel: &str) {
    while server.ask(&format!("channels {channel}")) == ["(none)"] {
        std::thread::yield_now();
    }
}
