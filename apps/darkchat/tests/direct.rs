//! Direct messages as people and scripts send them: real programs on loopback.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use common::{Folder, Kind, Program, Server};
use serde_json::Value;
use std::process::{Command, Output};

/// A user with a key file, which several programs may use at once: each is a device.
struct User {
    folder: Folder,
    key: String,
}

impl User {
    fn new() -> Self {
        let folder = Folder::new();
        let mut user = Self { folder, key: String::new() };
        let out = user.command("tcp://127.0.0.1:1").args(["id", "new"]).output().unwrap();
        user.key = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        assert!(user.key.starts_with('u'), "{}", String::from_utf8_lossy(&out.stderr));
        user
    }

    fn command(&self, server: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
        let file = self.folder.path().join("identity.key");
        command.arg("--identity").arg(file).args(["--server", server]);
        command.env("DARKCHAT_HOME", self.folder.path().join(server.replace(['/', ':'], "-")));
        command
    }

    /// A device that waits for direct messages, and can be found.
    fn listen(&self, server: &str, more: &[&str]) -> Program {
        let program = Program::start(self.command(server).args(["recv", "--dm", "--json"]).args(more));
        program.out.until(&["\"state\"", "\"connected\""]);
        program
    }

    fn send(&self, server: &str, to: &str, more: &[&str]) -> Output {
        self.command(server).args(["send", "--json", "--to", to]).args(more).output().unwrap()
    }
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

/// The next direct message that a listener prints.
fn heard(listener: &Program) -> Value {
    serde_json::from_str(&listener.out.until(&["\"type\":\"direct\""])).unwrap()
}

#[test]
fn a_direct_message_arrives_and_the_sender_knows() {
    let server = Server::start(Kind::Full, &[]);
    let (ann, bob) = (User::new(), User::new());
    let mut bobs = bob.listen(server.addr("ws"), &["-n", "1"]);
    let out = ann.send(server.addr("tcp"), &bob.key, &["--name", "ann", "psst"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let sent = json(&out.stdout);
    assert_eq!((&sent["v"], &sent["type"]), (&1.into(), &"sent".into()));
    assert_eq!((&sent["to"], &sent["received"]), (&bob.key.as_str().into(), &true.into()));
    let message = heard(&bobs);
    assert_eq!((&message["text"], &message["from"]), (&"psst".into(), &ann.key.as_str().into()));
    assert_eq!((&message["name"], &message["verified"]), (&"ann".into(), &false.into()));
    let id = message["id"].as_str().unwrap();
    assert!(id.len() == 32 && sent["id"] == id && message.get("data").is_none());
    assert_eq!(bobs.code(), 0, "its acknowledgement left before it");
}

#[test]
fn a_name_that_is_changed_in_a_chat_is_that_of_every_channel_and_of_direct_messages() {
    let server = Server::start(Kind::Tcp, &[]);
    let (ann, bob) = (User::new(), User::new());
    let listening = ["recv", "--json", "--all", "-c", "before", "-c", "after"];
    let bobs = Program::start(bob.command(server.any()).args(listening));
    bobs.out.until(&["\"joined\"", "#after"]);
    let mut anns = Program::start(ann.command(server.any()).args(["--name", "ann", "chat", "-c", "before"]));
    let tell = format!("/msg {} four", bob.key);
    for (lines, text, name) in [
        (vec!["one"], "one", "ann"),
        (vec!["/name dora", "two"], "two", "dora"),
        (vec!["/join #after", "three"], "three", "dora"),
        (vec![&*tell], "four", "dora"),
    ] {
        lines.into_iter().for_each(|line| anns.say(line));
        let heard: Value = serde_json::from_str(&bobs.out.until(&[&format!("\"text\":\"{text}\"")])).unwrap();
        assert_eq!(heard["name"], name, "{text}");
    }
    anns.say("/quit");
    assert_eq!(anns.code(), 0);
}

#[test]
fn a_key_that_is_nowhere_is_told_with_exit_code_4() {
    let one = Server::start(Kind::Tcp, &[]);
    let two = Server::start(Kind::Tcp, &["--connect", &one.peers]);
    let (ann, nobody) = (User::new(), User::new());
    let out = ann.send(two.any(), &nobody.key, &["anybody?"]);
    assert_eq!(out.status.code(), Some(4));
    let stderr = String::from_utf8(out.stderr).unwrap();
    let error: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"not-here".into()));
    // That it takes no more than 2 s is shown where time is virtual, in the simulator.
}

#[test]
fn servers_in_a_line_carry_it_both_ways_to_each_device_once() {
    let servers: Vec<Server> = (0..5).fold(Vec::new(), |mut line: Vec<Server>, _| {
        let more = line.last().map(|before| before.peers.clone());
        let mut flags = vec!["--no-lan"];
        if let Some(before) = &more {
            flags.extend(["--connect", before]);
        }
        line.push(Server::start(Kind::Tcp, &flags));
        line
    });
    let (ann, bob) = (User::new(), User::new());
    let places = [servers[4].any(), servers[2].any(), servers[4].any()];
    let devices = places.map(|place| bob.listen(place, &[]));
    // Each server tells the others whose users it has; a lookup finds all once that has come through.
    let mut found = [false; 3];
    common::until("all three devices are found", || {
        let out = ann.send(servers[0].any(), &bob.key, &["--timeout", "20s", "probe"]);
        for (found, device) in found.iter_mut().zip(&devices) {
            *found |= device.out.has("probe");
        }
        out.status.success() && found == [true; 3]
    });
    for text in ["to all three", "the end"] {
        let out = ann.send(servers[0].any(), &bob.key, &[text]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    for device in &devices {
        device.out.until(&["\"to all three\""]);
        assert!(!device.out.until(&["\"text\":"]).contains("to all three"), "once");
    }
    let anns = ann.listen(servers[0].any(), &[]);
    common::until("ann is found", || bob.send(servers[3].any(), &ann.key, &["back"]).status.success());
    assert_eq!(heard(&anns)["text"], "back");
}

#[test]
fn a_recipient_that_starts_anew_gets_what_is_sent_then() {
    let server = Server::start(Kind::Tcp, &[]);
    let (ann, bob) = (User::new(), User::new());
    let mut anns = Program::start(ann.command(server.any()).args(["chat", "--plain"]));
    anns.err.until(&["-- joined"]);
    for round in ["one", "two", "three"] {
        let mut bobs = bob.listen(server.any(), &["-n", "1"]);
        anns.say(&format!("/msg {} {round}", bob.key));
        assert_eq!(heard(&bobs)["text"], round);
        assert_eq!(bobs.code(), 0);
    }
    anns.say("/quit");
    assert_eq!(anns.code(), 0);
}

#[test]
fn a_conversation_in_line_mode_has_its_own_lines_and_commands() {
    let server = Server::start(Kind::Tcp, &[]);
    let (ann, bob) = (User::new(), User::new());
    let mut anns = Program::start(ann.command(server.any()).args(["chat", "--plain", "--name", "ann"]));
    let mut bobs = Program::start(bob.command(server.any()).args(["chat", "--plain", "--name", "bob"]));
    anns.err.until(&["-- joined"]);
    bobs.err.until(&["-- joined"]);
    anns.say(&format!("private {} psst", bob.key));
    let line = bobs.out.until(&["psst"]);
    assert!(line.contains(&format!(" direct ann~{}: psst", &ann.key[1..9])), "{line}");
    bobs.say(&format!("/query {}", ann.key));
    bobs.err.until(&["now talking to"]);
    bobs.say("only you");
    bobs.say("/query");
    bobs.err.until(&["now in #general"]);
    bobs.say("everybody");
    let line = anns.out.until(&["only you"]);
    assert!(line.contains(" direct bob~"), "{line}");
    assert!(anns.out.until(&["everybody"]).contains(" #general bob~"));
    anns.say(&format!("/msg {} hello?", User::new().key));
    anns.err.until(&["-- not sent: the recipient is not online"]);
    for program in [&mut anns, &mut bobs] {
        program.say("/quit");
        assert_eq!(program.code(), 0);
    }
}

#[test]
fn recv_all_prints_channels_and_direct_messages_and_accepted_does_not_wait() {
    let server = Server::start(Kind::Tcp, &[]);
    let (ann, bob) = (User::new(), User::new());
    let mut all = Program::start(
        bob.command(server.any())
            .args(["recv", "--all", "-c", "ops", "--json", "-n", "2", "--from", &ann.key]),
    );
    all.out.until(&["\"joined\""]);
    let out = ann.send(server.any(), &bob.key, &["--wait", "accepted", "direct one"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(json(&out.stdout)["received"], false);
    assert_eq!(heard(&all)["text"], "direct one");
    let out = ann.command(server.any()).args(["send", "-c", "ops", "to all"]).output().unwrap();
    assert!(out.status.success());
    assert!(all.out.until(&["\"message\""]).contains("to all"));
    assert_eq!(all.code(), 0);
    let usage =
        ann.command(server.any()).args(["send", "-c", "ops", "--wait", "received", "x"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    let long = "x".repeat(57_345);
    assert_eq!(ann.send(server.any(), &bob.key, &[&long]).status.code(), Some(1));
}
