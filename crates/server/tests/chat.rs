//! People in channels: on one server, on two, over memory and over TCP.

mod common;

use common::{Raw, addr, builder, channel, event, identity, server, soon, until};
use darkchat_proto::{Code, Done, Kind};
use darkchat_server::{Accept, Event, PeerError, Profile, Server, StartError};
use darkchat_transport::{Memory, Transport};
use darkchat_transport_tcp::Tcp;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(5);

async fn two_hear_each_other(transport: &dyn Transport, server: &Server) {
    let lobby = channel("lobby");
    let mut alice = Raw::client(transport, &addr(server)).await;
    let mut bob = Raw::client(transport, &addr(server)).await;
    alice.join(lobby).await;
    bob.join(lobby).await;
    let reply = alice.say(lobby, "hello").await;
    assert_eq!(reply, Kind::Ok(Done { local: 1, servers: 0, spread: false }));
    assert_eq!(bob.hear().await, (alice.user(), "hello".to_owned()));
    bob.say(lobby, "hi").await;
    assert_eq!(alice.hear().await, (bob.user(), "hi".to_owned()));
}

#[tokio::test]
async fn two_clients_of_one_server_hear_each_other_over_memory() {
    let memory = Memory::default();
    two_hear_each_other(&memory, &server(&memory, "hub").await).await;
}

#[tokio::test]
async fn two_clients_of_one_server_hear_each_other_over_tcp() {
    let listen = "tcp://127.0.0.1:0".parse().unwrap();
    let server = Server::builder(identity(9))
        .transport(Tcp::default())
        .listen(listen, Accept::Clients)
        .start()
        .await
        .unwrap();
    assert_ne!(addr(&server).port(), Some(0), "the address that was really bound");
    two_hear_each_other(&Tcp::default(), &server).await;
}

#[tokio::test]
async fn who_has_not_joined_hears_nothing_and_who_comes_late_hears_nothing_earlier() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let (lobby, other) = (channel("lobby"), channel("other"));
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    let mut bob = Raw::client(&memory, &addr(&hub)).await;
    alice.join(lobby).await;
    bob.join(other).await;
    alice.say(lobby, "early").await;
    bob.join(lobby).await;
    alice.say(lobby, "late").await;
    assert_eq!(bob.hear().await.1, "late");
}

#[tokio::test]
async fn peered_servers_carry_posts_to_each_others_clients() {
    let memory = Memory::default();
    let (near, far) = (server(&memory, "near").await, server(&memory, "far").await);
    assert_eq!(soon(near.connect(addr(&far).into())).await.unwrap(), far.id());
    let lobby = channel("lobby");
    let mut alice = Raw::client(&memory, &addr(&near)).await;
    let mut bob = Raw::client(&memory, &addr(&far)).await;
    bob.join(lobby).await;
    alice.join(lobby).await;
    assert_eq!(alice.say(lobby, "hello").await, Kind::Ok(Done { local: 0, servers: 1, spread: false }));
    assert_eq!(bob.hear().await, (alice.user(), "hello".to_owned()));
    assert_eq!((near.peers()[0].outbound, far.peers()[0].outbound), (true, false));
    near.shutdown(GRACE).await;
    far.shutdown(GRACE).await;
}

/// The original crashed when servers peered; here both ways at once, again and again, with traffic.
#[tokio::test]
async fn servers_that_peer_from_both_sides_at_once_end_with_one_link_and_do_not_crash() {
    let memory = Memory::default();
    let (near, far) = (server(&memory, "near").await, server(&memory, "far").await);
    for _ in 0..5 {
        let (there, back) = (near.clone(), far.clone());
        let (there, back) =
            soon(async { tokio::join!(there.connect(addr(&far).into()), back.connect(addr(&near).into())) })
                .await;
        for (result, other) in [(there, far.id()), (back, near.id())] {
            match result {
                Ok(id) | Err(PeerError::AlreadyConnected { id }) => assert_eq!(id, other),
                Err(error) => panic!("{error}"),
            }
        }
    }
    until(|| near.peers().len() == 1 && far.peers().len() == 1).await;
    let lobby = channel("lobby");
    let mut alice = Raw::client(&memory, &addr(&near)).await;
    let mut bob = Raw::client(&memory, &addr(&far)).await;
    bob.join(lobby).await;
    alice.join(lobby).await;
    alice.say(lobby, "still here").await;
    assert_eq!(bob.hear().await.1, "still here");
}

#[tokio::test]
async fn a_configured_peer_is_dialled_again_when_it_comes_back() {
    let memory = Memory::default();
    let near =
        builder(&memory, "near", Accept::All).peer("mem://far".parse::<darkchat_proto::Addr>().unwrap());
    let near = near.start().await.unwrap();
    let mut events = near.events();
    for _ in 0..2 {
        let far = server(&memory, "far").await;
        let up = event(&mut events, |event| match event {
            Event::PeerUp { peer, .. } => Some(*peer),
            _ => None,
        });
        assert_eq!(up.await, far.id());
        far.shutdown(GRACE).await;
        event(&mut events, |event| matches!(event, Event::PeerDown { .. }).then_some(())).await;
    }
}

#[tokio::test]
async fn connecting_tells_connected_from_already_connected() {
    let memory = Memory::default();
    let (near, far) = (server(&memory, "near").await, server(&memory, "far").await);
    assert_eq!(soon(near.connect(addr(&far).into())).await.unwrap(), far.id());
    let again = soon(near.connect(addr(&far).into())).await;
    assert!(matches!(again, Err(PeerError::AlreadyConnected { id }) if id == far.id()), "{again:?}");
    assert_eq!(near.peers().len(), 1);
}

#[tokio::test]
async fn connecting_says_why_it_failed_and_does_not_go_on() {
    let memory = Memory::default();
    let near = server(&memory, "near").await;
    let clients_only = builder(&memory, "clients", Accept::Clients).start().await.unwrap();
    let connect = |text: &str| near.connect(text.parse().unwrap());

    let nobody = soon(connect("mem://nobody")).await;
    assert!(matches!(nobody, Err(PeerError::Unreachable { .. })), "{nobody:?}");
    let no_transport = soon(connect("tcp://127.0.0.1:1")).await;
    assert!(matches!(no_transport, Err(PeerError::NoTransport { .. })), "{no_transport:?}");
    let itself = soon(connect("mem://near")).await;
    assert!(matches!(itself, Err(PeerError::Itself { .. })), "{itself:?}");
    let wrong_key = soon(connect(&format!("mem://{}@clients", near.id()))).await;
    assert!(wrong_key.is_err(), "{wrong_key:?}");
    let wrong_port = soon(connect("mem://clients")).await;
    assert!(matches!(wrong_port, Err(PeerError::Refused { code: Code::Unauthorized, .. })), "{wrong_port:?}");
    assert!(near.peers().is_empty() && clients_only.peers().is_empty());
    assert_eq!(near.stats().node.sizes.pinned, 0, "what failed is not dialled again");
}

#[tokio::test]
async fn a_server_binds_all_its_listeners_or_none() {
    let memory = Memory::default();
    let _first = server(&memory, "taken").await;
    let second =
        builder(&memory, "free", Accept::Clients).listen("mem://taken".parse().unwrap(), Accept::Peers);
    assert!(matches!(second.start().await, Err(StartError::Bind { addr, .. }) if addr.host() == "taken"));
    assert!(memory.dial("mem://free".parse().unwrap()).await.is_err(), "none stays bound");
    let tcp =
        builder(&memory, "free", Accept::Clients).listen("tcp://127.0.0.1:0".parse().unwrap(), Accept::All);
    assert!(matches!(tcp.start().await, Err(StartError::NoTransport { .. })));
}

#[tokio::test]
async fn trust_is_for_servers_that_only_this_machine_reaches() {
    let memory = Memory::default();
    let profile = |server: &Server| server.limits().profile;
    assert_eq!(profile(&server(&memory, "loopback").await), Profile::Trusted);
    let nobody = Server::builder(identity(1)).start().await.unwrap();
    assert_eq!(profile(&nobody), Profile::Public);
    let forced = builder(&memory, "forced", Accept::All).profile(Profile::Public).start().await.unwrap();
    assert_eq!(profile(&forced), Profile::Public);
    let open = Server::builder(identity(2))
        .transport(Tcp::default())
        .listen("tcp://127.0.0.1:0".parse().unwrap(), Accept::Peers)
        .listen("tcp://0.0.0.0:0".parse().unwrap(), Accept::Clients)
        .start()
        .await
        .unwrap();
    assert_eq!(profile(&open), Profile::Public);
}

#[tokio::test]
async fn the_operator_sees_who_is_there() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    alice.join(channel("one")).await;
    alice.join(channel("two")).await;
    let clients = hub.clients();
    assert_eq!((clients[0].user, clients[0].channels), (alice.user(), 2));
    let mut channels = vec![(channel("one"), 1), (channel("two"), 1)];
    channels.sort();
    assert_eq!(hub.channels(), channels);
    drop(alice);
    until(|| hub.clients().is_empty() && hub.channels().is_empty()).await;
}
