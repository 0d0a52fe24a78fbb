//! A server that turns its callers away with words for their terminals: they are shown, and they move nothing.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use bytes::BytesMut;
use common::{Program, client};
use darkchat_crypto::{Identity, LinkConfig, Responder, ServerHello, StaticKey, system};
use darkchat_proto::{Code, Frame, Goodbye, Kind};
use darkchat_transport::{Link, Transport as _};
use darkchat_transport_tcp::Tcp;
use futures_util::{SinkExt as _, StreamExt as _};
use std::io;
use tokio::runtime::{Builder, Runtime};

/// Sets the clipboard, empties the screen, writes over the line, and turns what follows around.
const SAID: &str = "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}[2J\rwelcome\u{9b}1A\u{202e}\n-- verified";

/// Completes the handshake and turns the caller away.
async fn turn_away(link: io::Result<Link>) -> Option<()> {
    let mut link = link.ok()?;
    let (us, own) = (Identity::from_seed([1; 32]), StaticKey::generate(&mut system::rng()));
    let message1 = link.units.next().await?.ok()?;
    let hello = ServerHello::new(us.server_id());
    let (responder, request) =
        Responder::read_hello(&LinkConfig::default(), &own, hello, message1, &mut system::rng()).ok()?;
    let (message2, next) = responder.reply(us.sign(&request));
    link.sink.send(message2).await.ok()?;
    let message3 = link.units.next().await?.ok()?;
    let (mut keys, _) = next.ok()?.read_auth(message3).ok()?;
    let goodbye = Goodbye { text: SAID.into(), ..Goodbye::new(Code::Blocked) };
    let (head, body) = Frame::from(Kind::Goodbye(goodbye)).encode_split();
    let mut record = BytesMut::from(&[&head[..], &body].concat()[..]);
    keys.sealer.seal(&mut record).ok()?;
    link.sink.send(record.freeze()).await.ok()?;
    while let Some(Ok(_)) = link.units.next().await {}
    Some(())
}

/// The server and its address. It ends with its runtime.
fn server() -> (Runtime, String) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listening = async { Tcp::default().listen("tcp://127.0.0.1:0".parse().unwrap()).await };
    let mut listener = runtime.block_on(listening).unwrap();
    let place = listener.addr.to_string();
    runtime.spawn(async move {
        while let Some(Ok(incoming)) = listener.incoming.next().await {
            turn_away(incoming.link.await).await;
        }
    });
    (runtime, place)
}

fn assert_harmless(line: &str) {
    assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    assert!(line.contains("\\x1b]52;") && line.contains("\\u{202e}\\n-- verified"), "{line:?}");
}

#[test]
fn what_a_server_says_when_it_refuses_moves_nothing_on_a_terminal() {
    let (_runtime, place) = server();
    for command in [&["send", "-c", "x", "hi"][..], &["recv", "-c", "x"], &["chat"]] {
        let out = client(&place).arg("--quiet").args(command).output().unwrap();
        assert_eq!(out.status.code(), Some(4), "{out:?}");
        assert_harmless(String::from_utf8(out.stderr).unwrap().strip_suffix('\n').unwrap());
    }
}

#[test]
fn nor_in_a_login_by_hand() {
    let (_runtime, place) = server();
    let mut chat = Program::start(client(&place).args(["chat", "--manual-login"]));
    chat.say("/connect");
    chat.err.until(&["challenge "]);
    chat.say("/sign");
    chat.say("/verify");
    assert_harmless(&chat.err.until(&["BLOCKED"]));
    chat.say("/quit");
    assert_eq!(chat.code(), 1);
}
