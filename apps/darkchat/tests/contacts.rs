//! Contacts and safety numbers from the command line.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::Folder;
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
