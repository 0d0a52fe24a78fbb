//! Connecting, and every way in which it fails.

use super::*;
use darkchat_client::{ConnectError, State};
use darkchat_crypto::NetworkSecret;
use darkchat_proto::{Code, DeviceId};

#[tokio::test]
async fn a_client_knows_itself_its_server_and_its_state() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    assert_eq!((client.id(), client.server()), (identity(2).user_id(), station.id()));
    let state = client.state();
    let State::Connected { server, addr } = state.current() else { panic!("{state:?}") };
    assert_eq!(server, station.id());
    assert_eq!(addr.key, Some(station.id()), "from now on this key is expected");
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_with_its_cause() {
    let error =
        Client::connect(Memory::default(), addr("nowhere"), identity(2)).await.expect_err("nobody is there");
    let ConnectError::Dial { addr, source } = &error else { panic!("{error:?}") };
    assert_eq!(addr.host(), "nowhere");
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(error.code(), Code::Unreachable);
}

#[tokio::test]
async fn an_address_that_no_transport_takes_is_refused_and_never_guessed() {
    let server = "tcp://127.0.0.1:1".parse().expect("an address");
    let error = Client::connect(Memory::default(), server, identity(2)).await.expect_err("no transport");
    assert!(matches!(error, ConnectError::NoTransport { .. }), "{error:?}");
    let none = Client::builder(identity(2)).transport(Memory::default()).connect_any([]).await;
    assert!(matches!(none, Err(ConnectError::NoAddress)));
}

#[tokio::test]
async fn another_key_than_the_address_names_is_refused_with_both_and_our_identity_is_not_shown() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let other = ServerAddr { key: Some(identity(9).server_id()), ..addr("station") };
    let error = Client::connect(memory, other, identity(2)).await.expect_err("another key");
    let ConnectError::WrongServer { expected, found, .. } = error else { panic!("{error:?}") };
    assert_eq!((expected, found), (identity(9).server_id(), station.id()));
    assert!(station.clients().is_empty());
}

#[tokio::test]
async fn a_server_of_another_network_or_behind_a_secret_does_not_answer() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let builder = || Client::builder(identity(2)).transport(memory.clone());
    for builder in [
        builder().network("other".parse().expect("a name")),
        builder().network_secret(NetworkSecret::new([5; 32])),
    ] {
        let error = builder.connect(addr("station")).await.expect_err("another network");
        assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn who_has_the_secret_of_a_closed_network_is_let_in_and_nobody_else() {
    let memory = Memory::default();
    let secret = |byte| NetworkSecret::new([byte; 32]);
    let station = Server::builder(identity(1))
        .transport(memory.clone())
        .listen(addr("station").addr, Accept::Clients)
        .network_secret(secret(5))
        .start()
        .await
        .expect("a server");
    let builder = || Client::builder(identity(2)).transport(memory.clone());
    for builder in [builder(), builder().network_secret(secret(6))] {
        let error = builder.connect(addr("station")).await.expect_err("it has not the secret");
        assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
    }
    let client = builder().network_secret(secret(5)).connect(addr("station")).await.expect("a client");
    assert_eq!(client.server(), station.id());
}

#[tokio::test]
async fn a_listener_for_peers_refuses_a_client_and_says_so() {
    let memory = Memory::default();
    let _hub = Server::builder(identity(1))
        .transport(memory.clone())
        .listen(addr("hub").addr, Accept::Peers)
        .start()
        .await
        .expect("a server");
    let error = Client::connect(memory, addr("hub"), identity(2)).await.expect_err("peers only");
    assert!(matches!(error, ConnectError::Refused { code: Code::Unauthorized, .. }), "{error:?}");
}

#[tokio::test]
async fn of_several_addresses_the_first_that_answers_is_taken() {
    let memory = Memory::default();
    let station = server(&memory, "third", 1).await;
    let wrong = ServerAddr { key: Some(identity(9).server_id()), ..addr("third") };
    let client = Client::builder(identity(2))
        .transport(memory)
        .also(wrong)
        .also(addr("third"))
        .connect(addr("first"))
        .await
        .expect("the last one answers");
    assert_eq!(client.server(), station.id());
}

#[tokio::test]
async fn a_second_client_of_the_same_device_sends_the_first_away_for_good() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let device = |byte| DeviceId::new([byte; 16]);
    let connect = |byte| {
        Client::builder(identity(2)).transport(memory.clone()).device(device(byte)).connect(addr("station"))
    };
    let first = connect(7).await.expect("connected");
    let other_device = connect(8).await.expect("connected");
    let mut state = first.state();
    let mut lobby = join(&first, "lobby").await;
    let _second = connect(7).await.expect("connected");
    assert_eq!(state.changed().await, Some(State::Closed { why: Code::Conflict }));
    assert_eq!(state.changed().await, None);
    assert_eq!(lobby.recv().await, None, "its channels end");
    assert!(matches!(other_device.state().current(), State::Connected { .. }));
    clients(&station, 2).await;
}

#[tokio::test]
async fn closing_is_polite_idempotent_and_ends_everything() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    anns.try_send("last words").expect("room");
    ann.close().await;
    ann.close().await;
    assert_eq!(text(&mut bobs).await, "last words");
    assert_eq!(ann.state().current(), State::Closed { why: Code::Ok });
    assert!(ann.join("lobby".parse().expect("a name")).await.is_err());
    assert!(anns.send("more").await.is_err());
    clients(&station, 1).await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_connection_at_once() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    let channel = join(&client, "lobby").await;
    let mut state = client.state();
    let sender = channel.sender();
    drop((client.clone(), client, channel));
    clients(&station, 1).await;
    drop(sender);
    clients(&station, 0).await;
    while state.changed().await.is_some() {}
}

#[test]
fn handles_can_go_to_any_thread() {
    const fn shared<T: Clone + Send + Sync>() {}
    const fn moved<T: Send + Sync>() {}
    shared::<Client>();
    shared::<darkchat_client::Sender>();
    moved::<Channel>();
    moved::<ConnectError>();
}
