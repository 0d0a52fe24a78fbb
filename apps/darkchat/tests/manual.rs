//! The login step by step, against a real server.

mod common;

use common::{Kind, Program, Server, client};

#[test]
fn a_person_connects_signs_and_verifies_and_a_wrong_signature_is_malformed() {
    let server = Server::start(Kind::Tcp, &["--handshake-timeout", "60s"]);
    let mut chat = Program::start(client(server.any()).args(["chat", "--manual-login", "-c", "lobby"]));
    chat.say("/sign");
    chat.err.until(&["first /connect"]);
    chat.say("/connect");
    chat.err.until(&["the server has proven its key", &server.id]);
    let challenge =
        |chat: &Program| chat.err.until(&["challenge "]).split_whitespace().last().unwrap().to_owned();
    let first = challenge(&chat);
    // "dchat/1/link-client", a zero byte and the network, in hexadecimal digits.
    assert!(first.starts_with("64636861742f312f6c696e6b2d636c69656e7400"), "{first}");
    chat.say(&format!("/verify {}", "07".repeat(64)));
    chat.err.until(&["MALFORMED"]);

    chat.say("/connect");
    let second = challenge(&chat);
    assert!(second != first, "each link has a challenge of its own");
    chat.say("/sign");
    let signature = chat.err.until(&["signature "]).split_whitespace().last().unwrap().to_owned();
    assert_eq!(signature.len(), 128);
    chat.say("/verify");
    chat.err.until(&["verified"]);
    chat.err.until(&["joined #lobby"]);
    chat.say("/quit");
    assert_eq!(chat.code(), 0);
}
