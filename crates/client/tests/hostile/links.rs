//! What is done to the handshake of a link.

use super::*;
use bytes::Bytes;
use darkchat_client::ConnectError;
use darkchat_crypto::{Dialler, Initiator, LinkConfig, system};
use darkchat_proto::{Code, DeviceId};
use futures_util::{SinkExt as _, StreamExt as _};

/// It has a link with an honest server and shows the client what that one showed: its key, and its signature over
/// another handshake. The client signs nothing.
#[tokio::test]
async fn a_client_is_not_led_to_answer_the_challenge_of_another_server() {
    let memory = Memory::default();
    let mut listener = memory.listen(addr().addr).await.expect("listens");
    let honest = identity(7);

    // The hostile server dials the honest one, as a client.
    let dialler = Dialler::Client(DeviceId::new([5; 16]));
    let (_, message1) = Initiator::start(&LinkConfig::default(), dialler, None, &mut system::rng());
    let (_, request) = greet(message1, honest.server_id());
    let proof_for_another = honest.sign(&request);

    for expects in [Some(honest.server_id()), None] {
        let to = ServerAddr { key: expects, ..addr() };
        let connecting = tokio::spawn(Client::connect(memory.clone(), to, identity(2)));
        let (mut link, responder, _) = caller(&mut listener, honest.server_id()).await;
        let (message2, _) = responder.reply(proof_for_another);
        link.sink.send(message2).await.expect("sent");
        let proof: Option<Bytes> = soon(link.units.next()).await.and_then(Result::ok);
        assert_eq!(proof, None, "the client says nothing more: neither who it is, nor a signature");
        let error = soon(connecting).await.expect("no panic").expect_err("refused");
        assert!(!matches!(error, ConnectError::Refused { .. }), "{error:?}");
        assert_eq!(error.code(), Code::BadSignature, "{error}");
    }
}

/// D14 of the test plan, for an address that names its key; `known_servers` holds the case of the one on file. The
/// true message of another server, brought by somebody in between, is refused where a key is expected.
#[tokio::test]
async fn another_servers_key_is_an_error_that_names_both() {
    let memory = Memory::default();
    let mut listener = memory.listen(addr().addr).await.expect("listens");
    let (expected, other) = (identity(7).server_id(), identity(1).server_id());
    let to = ServerAddr { key: Some(expected), ..addr() };
    let connecting = tokio::spawn(Client::connect(memory, to, identity(2)));
    let (mut link, responder, request) = caller(&mut listener, other).await;
    let (message2, _) = responder.reply(identity(1).sign(&request));
    link.sink.send(message2).await.expect("sent");
    assert!(soon(link.units.next()).await.and_then(Result::ok).is_none(), "and the client shows no key");
    let error = soon(connecting).await.expect("no panic").expect_err("refused");
    let ConnectError::WrongServer { expected: told, found, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*told, *found), (expected, other));
    assert!(error.to_string().contains(&other.to_string()), "{error}");
}
