//! Contacts and safety numbers from the command line.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{Folder, Kind, Program, Server, until};
use std::process::{Command, Output};

struct Person(Folder);

impl Person {
    fn new() -> (Self, String) {
        let person = Self(Folder::new());
        let key = person.says(&["id", "new"]);
        (person, key)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
        command
            .args(args)
            .env("DARKCHAT_HOME", self.0.path())
            .env_remove("DARKCHAT_IDENTITY")
            .output()
            .unwrap()
    }

    fn chat(&self, server: &Server, name: &str) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
        command.args(["--server", server.any(), "--name", name, "chat", "--plain"]);
        let program = Program::start(command.env("DARKCHAT_HOME", self.0.path()));
        program.err.until(&["-- joined #general"]);
        program
    }

    fn says(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    }
}

#[test]
fn two_people_find_the_same_number_and_words_and_mark_each_other_as_verified() {
    let ((ann, anns), (bob, bobs)) = (Person::new(), Person::new());
    let number = ann.says(&["id", "number", &bobs]);
    assert_eq!((number.len(), &number), (35, &bob.says(&["id", "number", &anns])));
    let words = bob.says(&["id", "words", &anns]);
    assert_eq!(words.split(' ').count(), 8);
    ann.says(&["contacts", "add", "bob", &bobs]);
    assert_eq!(ann.says(&["contacts", "verify", "bob"]), format!("{number}\n{words}"));
    assert_eq!(ann.says(&["contacts", "list"]), format!("bob {bobs} known"));

    let wrong = number.replace(' ', "").chars().rev().collect::<String>();
    let out = ann.run(&["contacts", "verify", "bob", &wrong]);
    assert_eq!(out.status.code(), Some(4), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(ann.says(&["contacts", "list"]), format!("bob {bobs} known"));
    let said: Vec<&str> = words.split(' ').collect();
    ann.says(&[&["contacts", "verify", "bob"][..], &said[..]].concat());
    assert_eq!(ann.says(&["contacts", "list"]), format!("bob {bobs} verified"));
}

#[test]
fn another_key_for_a_name_is_loud_and_waits_for_a_decision() {
    let ((ann, anns), (_, bobs)) = (Person::new(), Person::new());
    ann.says(&["contacts", "add", "bob", &bobs]);
    let out = ann.run(&["contacts", "add", "bob", &anns]);
    let told = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(4));
    assert!(told.contains(&bobs) && told.contains(&anns) && told.contains("verify or trust"), "{told}");
    assert_eq!(ann.says(&["contacts", "list"]), format!("bob {bobs} known\nbob {anns} new"));
    for whom in ["bob", &bobs] {
        let out = ann.run(&["send", "--to", whom, "hello"]);
        let told = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.code() == Some(2) && told.contains("has changed"), "nothing is sent: {told}");
    }
    ann.says(&["contacts", "trust", "bob"]);
    assert_eq!(ann.says(&["contacts", "list"]), format!("bob {anns} known"));
    ann.says(&["contacts", "block", "bob"]);
    assert!(ann.says(&["contacts", "list", "--json"]).contains("\"standing\":\"blocked\""));
    ann.says(&["contacts", "rm", "bob"]);
    assert_eq!(ann.run(&["contacts", "rm", "bob"]).status.code(), Some(2));
}

#[test]
fn in_chat_a_contact_is_compared_named_blocked_and_heard_again_without_a_restart() {
    let server = Server::start(Kind::Tcp, &[]);
    let ((ann, anns), (bob, bobs), (eve, eves)) = (Person::new(), Person::new(), Person::new());
    let (mut ann_chat, mut bob_chat) = (ann.chat(&server, "ann"), bob.chat(&server, "robert"));
    let mut eve_chat = eve.chat(&server, "bob");
    bob_chat.say("before");
    assert!(ann_chat.out.until(&["before"]).ends_with(&format!(" #general robert~{}: before", &bobs[1..9])));

    ann_chat.say("/contact");
    ann_chat.err.until(&["-- you have no contacts"]);
    ann_chat.say(&format!("/contact add bob {bobs}"));
    ann_chat.err.until(&[&format!("-- bob {bobs} known")]);
    let number = bob.says(&["id", "number", &anns]);
    let words = bob.says(&["id", "words", &anns]);
    ann_chat.say("/verify bob");
    ann_chat.err.until(&[&number]);
    ann_chat.err.until(&[&words]);
    ann_chat.say(&format!("/verify bob {}", number.chars().rev().collect::<String>()));
    ann_chat.err.until(&["-- the numbers differ"]);
    ann_chat.say("/query bob");
    ann_chat.err.until(&["-- now talking to bob (", "end-to-end encrypted, number not compared"]);
    ann_chat.say(&format!("/verify bob {words}"));
    ann_chat.err.until(&[&format!("-- bob {bobs} verified")]);
    ann_chat.say("/query bob");
    ann_chat.err.until(&["-- now talking to bob (", "end-to-end encrypted, number compared"]);

    // The name is the contact's; who only claims it keeps a mark.
    bob_chat.say("it is me");
    assert!(ann_chat.out.until(&["it is me"]).ends_with(" #general bob: it is me"));
    eve_chat.say("no, me");
    assert!(ann_chat.out.until(&["no, me"]).ends_with(&format!(" #general bob~{}: no, me", &eves[1..9])));
    ann_chat.say("/msg bob by name");
    assert!(bob_chat.out.until(&["by name"]).contains(" direct ann~"));

    // What a blocked contact says is shown nowhere, and nothing goes to it.
    ann_chat.say("/block bob");
    ann_chat.err.until(&[&format!("-- bob {bobs} blocked")]);
    ann_chat.say("still you?");
    ann_chat.err.until(&["-- not sent: you have blocked"]);
    bob_chat.say("unheard");
    bob_chat.say("/msg KEY unheard too".replace("KEY", &anns).as_str());
    bob_chat.err.until(&["-- not sent"]);
    eve_chat.say("heard");
    assert!(!ann_chat.out.until(&["heard"]).contains("unheard"));
    ann_chat.say("/unblock bob");
    ann_chat.err.until(&[&format!("-- bob {bobs} known")]);
    bob_chat.say("/msg KEY back again".replace("KEY", &anns).as_str());
    assert!(ann_chat.out.until(&["back again"]).ends_with(" direct bob: back again"));

    // Another key for the name stops a conversation that has begun, until the user decides.
    ann_chat.say(&format!("/contact add bob {eves}"));
    ann_chat.err.until(&["the key of bob has changed", &bobs, &eves]);
    ann_chat.say("for the old key");
    ann_chat.err.until(&["-- not sent: the key of bob has changed"]);
    ann_chat.say("/trust bob");
    ann_chat.err.until(&[&format!("-- bob {eves} known")]);
    ann_chat.say("/msg bob for the new key");
    eve_chat.out.until(&["for the new key"]);
    ann_chat.say("/contact rm bob");
    ann_chat.err.until(&["-- bob is no contact"]);
    for program in [&mut ann_chat, &mut bob_chat, &mut eve_chat] {
        program.say("/quit");
        assert_eq!(program.code(), 0);
    }
}

#[test]
fn what_was_meant_for_somebody_unknown_is_not_said_in_the_channel() {
    let server = Server::start(Kind::Tcp, &[]);
    let ((ann, _), (bob, _)) = (Person::new(), Person::new());
    let (mut ann_chat, mut bob_chat) = (ann.chat(&server, "ann"), bob.chat(&server, "bob"));
    ann_chat.say("/query bobb");
    ann_chat.say("a secret");
    ann_chat.err.until(&["-- talking to nobody: no contact of this name, and not a key: bobb"]);
    ann_chat.err.until(&["-- what you type goes nowhere now"]);
    ann_chat.err.until(&["-- not sent: you talk to nobody"]);
    ann_chat.say("/msg bobb a secret");
    ann_chat.err.until(&["-- not sent: no contact of this name"]);
    ann_chat.say("/query");
    ann_chat.err.until(&["-- now in #general"]);
    ann_chat.say("for all");
    assert!(bob_chat.out.until(&["~"]).ends_with(": for all"), "it is the first that comes");
    for program in [&mut ann_chat, &mut bob_chat] {
        program.say("/quit");
        assert_eq!(program.code(), 0);
    }
}

#[test]
fn recv_calls_contacts_by_the_users_own_names_and_programs_get_the_claim() {
    let server = Server::start(Kind::Tcp, &[]);
    let ((ann, _), (bob, bobs)) = (Person::new(), Person::new());
    ann.says(&["contacts", "add", "robert", &bobs]);
    let listen = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
        command.args(["--server", server.any(), "recv", "-c", "lobby"]).args(more);
        Program::start(command.env("DARKCHAT_HOME", ann.0.path()))
    };
    let (lines, objects) = (listen(&[]), listen(&["--json"]));
    let say = ["--server", server.any(), "--name", "bobby", "send", "--json", "-c", "lobby", "good morning"];
    until("both listen", || bob.says(&say).contains("\"local\":2"));
    assert!(lines.out.until(&["good morning"]).contains(" #lobby robert: good morning"));
    assert!(objects.out.until(&["good morning"]).contains("\"name\":\"bobby\""));
}

#[test]
fn what_is_meant_for_a_contact_alone_does_not_go_to_the_channel_for_want_of_a_slash() {
    let server = Server::start(Kind::Tcp, &[]);
    let ((ann, _), (bob, bobs)) = (Person::new(), Person::new());
    ann.says(&["contacts", "add", "bob", &bobs]);
    let heard = bob.chat(&server, "bob");
    let mut chat = ann.chat(&server, "ann");
    chat.say("private bob between you and me");
    chat.err.until(&["-- not sent: /msg bob TEXT tells bob alone; begin with a space to say it here"]);
    for text in ["private party tonight", " private bob is no officer"] {
        chat.say(text);
        let line = heard.out.until(&["private"]);
        assert!(line.trim_end().ends_with(text), "{line}");
    }
}
