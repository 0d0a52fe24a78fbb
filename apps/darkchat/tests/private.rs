//! Private channels as people and scripts use them: real servers, real clients, files in their folders.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{Kind, Person, Program, Server, client, heard_text, listen, until};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_private_channel_by_link_between_two_servers_and_an_outsider_sees_nothing() {
    let mut one = Server::start(Kind::Tcp, &[]);
    let two = Server::start(Kind::Full, &[]);
    one.peer_with(&two);
    let (ann, bob) = (Person::new(one.any()), Person::new(two.addr("ws")));

    assert_eq!(ann.run(&["channel", "create", "Garden"], ""), "+garden");
    let link = ann.run(&["channel", "invite", "+garden"], "");
    assert!(link.starts_with("dchat-invite-1:"));
    // The link goes in by standard input, behind a page's address too, and never stands on a command line.
    let pasted = format!("https://chat.example/#{link}\n");
    assert_eq!(bob.run(&["channel", "join", "--as", "roses"], &pasted), "+roses");

    let public = listen(one.any(), "#garden", &[]);
    let bobs = bob.listen("+roses");
    until("ann's server knows where the channel is wanted", || {
        json(&ann.run(&["send", "--json", "-c", "+garden", "psst"], ""))["servers"] == 1
    });
    let message = heard_text(&bobs, "psst");
    assert_eq!(message["channel"], "+roses");
    assert_eq!(message["from"], ann.run(&["id"], ""));
    let anns = ann.listen("+garden");
    until("bob's server knows it too", || {
        json(&bob.run(&["send", "--json", "-c", "+roses", "behind the door"], ""))["servers"] == 1
    });
    assert_eq!(heard_text(&anns, "behind the door")["channel"], "+garden");

    // Servers know channels by their ids, and the public one of that name hears nothing.
    let id = one.ask("channels garden");
    assert!(one.ask("channels").len() > id.len(), "the private channel is another one");
    common::send(one.any(), "#garden", "", "in public");
    let lines = public.out.until(&["\"type\":\"message\""]);
    assert_eq!(json(&lines)["text"], "in public", "the first that the outsider hears");
}

#[test]
fn what_is_kept_of_a_channel_is_its_owners_alone_and_bad_invitations_are_not_repeated() {
    let server = Server::start(Kind::Tcp, &[]);
    let ann = Person::new(server.any());
    ann.run(&["channel", "create", "garden", "--listed"], "");
    let file = ann.kept("garden");
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&file.parent().unwrap().to_owned())), (0o600, 0o700));
    let listed = json(&ann.run(&["channel", "list", "--json"], ""));
    assert_eq!((&listed["channel"], &listed["generation"]), (&"+garden".into(), &0.into()));
    assert_eq!(listed["members"], Value::from(vec![ann.run(&["id"], "")]));

    // A second one of that name is refused, and the first one stays.
    let text = std::fs::read_to_string(&file).unwrap();
    let again = ann.darkchat(&["channel", "create", "garden"]).output().unwrap();
    assert_eq!((again.status.code(), std::fs::read_to_string(&file).unwrap()), (Some(1), text));

    let secret = "dchat-invite-1:AAAAAAAAAAAAAAAAAAAA";
    let mut bad = ann.darkchat(&["send", "hello"]);
    let out = bad.env("DARKCHAT_INVITE", secret).output().unwrap();
    assert_eq!(out.status.code(), Some(2), "-c or --invite is needed");
    let out = ann.darkchat(&["channel", "join"]).env("DARKCHAT_INVITE", secret).output().unwrap();
    let told = String::from_utf8(out.stderr).unwrap();
    assert!(
        out.status.code() == Some(2) && told.contains("not an invitation") && !told.contains("AAAA"),
        "{told}"
    );

    // A file that others can read is refused with what to do.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let out = ann.darkchat(&["send", "-c", "+garden", "x"]).output().unwrap();
    assert!(String::from_utf8(out.stderr).unwrap().contains("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    ann.run(&["channel", "leave", "garden"], "");
    assert!(!file.exists());
    assert_eq!(ann.darkchat(&["channel", "invite", "garden"]).output().unwrap().status.code(), Some(1));
}

#[test]
fn an_invitation_in_the_environment_is_entered_by_chat_alone_behind_the_channels_that_were_named() {
    let server = Server::start(Kind::Tcp, &[]);
    let (ann, bob) = (Person::new(server.any()), Person::new(server.any()));
    ann.run(&["channel", "create", "garden"], "");
    let link = ann.run(&["channel", "invite", "garden"], "");
    for (args, channels) in [(&["chat", "-c", "ops"][..], "  #ops"), (&["chat"], "* +garden")] {
        let mut chat = Program::start(bob.darkchat(args).env("DARKCHAT_INVITE", &link));
        chat.err.until(&["joined +garden"]);
        chat.say("/channels");
        let first = chat.err.next().unwrap();
        assert_eq!((&first[3..], bob.kept("garden").exists()), (channels, true), "{args:?}");
        assert!(channels.starts_with('*') || chat.err.until(&["+garden"]).ends_with("* +garden"));
        chat.say("/quit");
        assert!(!chat.err.rest().iter().any(|line| line.contains("#general")));
    }
    for args in [&["send", "hello"][..], &["recv", "-n", "1"]] {
        let out = ann.darkchat(args).env("DARKCHAT_INVITE", &link).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_person_makes_a_channel_in_chat_and_another_enters_by_the_link() {
    let server = Server::start(Kind::Tcp, &[]);
    let mut ann = Program::start(client(server.any()).args(["chat", "-c", "lobby", "--name", "ann"]));
    ann.err.until(&["joined #lobby"]);
    ann.say("/create +garden");
    ann.err.until(&["joined +garden"]);
    ann.say("/invite");
    let link = ann.err.until(&["dchat-invite-1:"]).trim_start_matches("-- ").to_owned();
    let mut bob = Program::start(client(server.any()).args(["chat", "-c", "lobby"]));
    bob.err.until(&["joined #lobby"]);
    bob.say(&format!("/join {link} bob"));
    bob.err.until(&["joined +garden"]);
    bob.say("hello in there");
    let line = ann.out.until(&["hello in there"]);
    assert!(line.contains(" +garden bob~"), "{line}");
    bob.say("/rekey");
    bob.err.until(&["not changed: only an administrator"]);
    for person in [&mut ann, &mut bob] {
        person.say("/quit");
        assert_eq!(person.code(), 0);
    }
}

#[test]
fn members_are_invited_and_a_removed_one_hears_nothing_more() {
    let mut one = Server::start(Kind::Tcp, &[]);
    let two = Server::start(Kind::Tcp, &[]);
    one.peer_with(&two);
    let [ann, bob, carol] = [&one, &two, &one].map(|server| Person::new(server.any()));
    let keys = [&ann, &bob, &carol].map(Person::key);
    let mut chats = [&bob, &carol].map(|person| {
        let chat = Program::start(&mut person.darkchat(&["chat", "-c", "lobby"]));
        chat.err.until(&["joined #lobby"]);
        chat
    });
    until("both can be found", || {
        // A member that is not there yet is invited by the next command.
        drop(std::fs::remove_dir_all(ann.kept("")));
        ann.run(&["channel", "create", "garden", "--member", &keys[1], "--member", &keys[2]], "");
        let listed = json(&ann.run(&["channel", "list", "--json"], ""));
        listed["untold"].as_array().is_some_and(Vec::is_empty)
    });
    for chat in &mut chats {
        chat.err.until(&["invites you to the private channel garden"]);
        chat.say("/accept");
        chat.err.until(&["joined +garden"]);
    }
    let say = |text: &str| {
        until("it goes to bob's server as well", || {
            json(&ann.run(&["send", "--json", "-c", "+garden", text], ""))["servers"] == 1
        });
    };
    say("before");
    for chat in &chats {
        chat.out.until(&[" +garden ", "before"]);
    }
    ann.run(&["channel", "remove", "garden", &keys[2], "--reason", "left the house"], "");
    let told = chats[0].err.until(&["+garden has a new secret"]);
    assert!(told.contains(&format!("without ~{}", &keys[2][1..9])), "{told}");
    say("after");
    chats[0].out.until(&["after"]);
    let [bobs, carols] = &mut chats;
    bobs.say("is she gone?");
    carols.say("still here");
    carols.say("/join #lobby");
    bobs.say("/join #lobby");
    bobs.err.until(&["now in #lobby"]);
    carols.err.until(&["now in #lobby"]);
    bobs.say("in the lobby");
    carols.out.until(&["in the lobby"]);
    for chat in [bobs, carols] {
        chat.say("/quit");
        assert_eq!(chat.code(), 0);
    }
    assert!(!chats[1].out.rest().iter().any(|line| line.contains("after") || line.contains("is she gone?")));
    assert!(!chats[0].out.rest().iter().any(|line| line.contains("still here")));
}
