//! Channels, messages, names and members.

use super::*;
use bytes::Bytes;
use darkchat_client::{
    Client, Content, JoinError, MemberChange, Note, Notes, Payload, SendError, Sender, TrySendError,
};
use darkchat_transport_tcp::Tcp;
use darkchat_transport_ws::Ws;
use futures_util::{FutureExt as _, StreamExt as _};

#[tokio::test]
async fn two_channels_do_not_mix_and_each_has_its_own_name() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let ops = ann.join_as("ops".parse().unwrap(), "chief".parse().unwrap()).await.expect("joined");
    let lobby = ann.join_as("lobby".parse().unwrap(), "ann".parse().unwrap()).await.expect("joined");
    let (mut bobs_ops, mut bobs_lobby) = (join(&bob, "#OPS").await, join(&bob, "lobby").await);
    ops.send("to ops").await.expect("taken");
    lobby.send("to the lobby").await.expect("taken");
    lobby.speak_as("annie".parse().unwrap());
    lobby.send("renamed").await.expect("taken");
    let first = message(&mut bobs_lobby).await;
    assert_eq!(
        (first.name.as_str(), first.payload.as_text(), first.from),
        ("ann", Some("to the lobby"), ann.id())
    );
    assert_eq!(message(&mut bobs_lobby).await.name.as_str(), "annie");
    let of_ops = message(&mut bobs_ops).await;
    assert_eq!((of_ops.name.as_str(), of_ops.payload.as_text()), ("chief", Some("to ops")));
    assert_eq!(of_ops.channel.as_str(), "ops");
}

#[tokio::test]
async fn another_name_of_the_client_is_that_of_channels_joined_later_and_of_direct_messages() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let before = ann.join_as("ops".parse().unwrap(), "chief".parse().unwrap()).await.expect("joined");
    let mut bobs = [join(&bob, "ops").await, join(&bob, "lobby").await];
    let mut inbox = bob.inbox();
    ann.speak_as("annie".parse().unwrap());
    let after = join(&ann, "lobby").await;
    before.send("here").await.expect("taken");
    after.send("there").await.expect("taken");
    ann.direct(bob.id()).send("psst").await.expect("acknowledged");
    let names = [message(&mut bobs[0]).await.name, message(&mut bobs[1]).await.name];
    assert_eq!([names[0].as_str(), names[1].as_str()], ["chief", "annie"]);
    let Some(Received::Message(told)) = inbox.recv().await else { panic!("bob is connected") };
    assert_eq!(told.name.as_str(), "annie");
    ann.close().await;
    ann.speak_as("nobody".parse().unwrap());
}

#[tokio::test]
async fn everything_around_a_message_arrives_with_it() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    let question = anns.send("what is this?").await.expect("taken");
    let answer = Payload::from(Bytes::from_static(&[0xff, 0xd8]))
        .content_type("image/jpeg")
        .header("title", "a cat")
        .reply_to(question.id);
    anns.send(answer).await.expect("taken");
    assert_eq!(message(&mut bobs).await.id, question.id);
    let message = message(&mut bobs).await;
    assert_eq!(message.payload, Content::Data(Bytes::from_static(&[0xff, 0xd8])));
    assert_eq!((message.content_type.as_str(), message.reply_to), ("image/jpeg", Some(question.id)));
    assert_eq!(message.headers.get("title").map(|value| &value[..]), Some(&b"a cat"[..]));
}

#[tokio::test]
async fn a_burst_arrives_whole_and_in_order() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    let sending = async {
        let all = (0..500).map(|number| anns.send(number.to_string()));
        for sent in futures_util::future::join_all(all).await {
            sent.expect("taken");
        }
    };
    let hearing = async {
        for number in 0..500 {
            assert_eq!(text(&mut bobs).await, number.to_string());
        }
    };
    tokio::join!(sending, hearing);
    let stats = bob.stats();
    assert_eq!((stats.gap, stats.duplicate, stats.late, stats.bad_signature), (0, 0, 0, 0));
}

#[tokio::test]
async fn the_largest_message_passes_and_one_byte_more_does_not_leave() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    anns.send(vec![7; 65_536]).await.expect("taken");
    assert_eq!(message(&mut bobs).await.payload.as_bytes().len(), 65_536);
    let too_large = (65_537, 65_536);
    let Err(SendError::TooLarge { len, max }) = anns.send(vec![7; 65_537]).await else { panic!("too large") };
    assert_eq!((len, max), too_large);
    assert!(matches!(anns.try_send(vec![7; 65_537]), Err(TrySendError::TooLarge { .. })));
    let headers = anns.send(Payload::from("x").content_type("t".repeat(65))).await;
    assert_eq!(headers, Err(SendError::BadHeaders));
}

#[tokio::test]
async fn a_channel_is_joined_once_and_can_be_left_and_joined_again() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    let lobby = join(&client, "lobby").await;
    assert!(lobby.spread(), "this server is all that can be reached");
    let again = client.join("lobby".parse().unwrap()).await;
    assert!(matches!(again, Err(JoinError::AlreadyJoined)));
    lobby.leave().await.expect("left");
    assert!(station.channels().is_empty());
    drop(join(&client, "lobby").await);
    let lobby = join(&client, "lobby").await;
    lobby.send("here again").await.expect("taken");
}

/// A client, its notes, and a sender for a channel that it has left.
async fn who_left(memory: &Memory) -> (Client, Notes, Sender) {
    let client = user(memory, 2, "station").await;
    let notes = client.notes();
    let lobby = join(&client, "lobby").await;
    let sender = lobby.sender();
    lobby.leave().await.expect("left");
    (client, notes, sender)
}

#[tokio::test]
async fn what_is_tried_and_not_taken_is_noted() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (_client, mut notes, sender) = who_left(&memory).await;
    sender.try_send("too late").expect("queued");
    let noted = async {
        loop {
            if let Note::NotSent { channel, why } = notes.next().await.expect("the client lives") {
                return (channel.to_string(), why);
            }
        }
    };
    assert_eq!(noted.await, ("#lobby".to_owned(), SendError::Closed));
}

#[tokio::test]
async fn of_more_failures_than_wait_the_newest_are_noted_and_the_others_counted() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (client, mut notes, sender) = who_left(&memory).await;
    let queued: u64 = (0..10_000).map_while(|_| sender.try_send("too late").ok().map(|()| 1)).sum();
    client.close().await;
    let (mut noted, mut missed) = (0, 0);
    while let Some(note) = notes.next().now_or_never().flatten() {
        match note {
            Note::NotSent { .. } => noted += 1,
            Note::Missed { count } => missed += count,
            _ => {}
        }
    }
    // The note of the first contact was there before all of them.
    assert_eq!((noted, noted + missed), (64, queued + 1));
}

#[tokio::test]
async fn members_are_told_who_comes_and_who_goes() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let ann = user(&memory, 2, "station").await;
    let anns = join(&ann, "lobby").await;
    let mut changes = anns.member_changes();
    let bob = Client::builder(identity(3)).transport(memory.clone()).name("bob".parse().unwrap());
    let bob = bob.connect(addr("station")).await.expect("connected");
    let bobs = join(&bob, "lobby").await;
    let Some(MemberChange::Came(member)) = changes.next().await else { panic!("bob comes") };
    assert_eq!((member.user, member.name.as_str()), (bob.id(), "bob"));
    assert_eq!(anns.members().len(), 1);
    bobs.leave().await.expect("left");
    assert!(matches!(changes.next().await, Some(MemberChange::Left(_))));
    assert!(anns.members().is_empty());
}

#[tokio::test]
async fn tcp_and_websocket_users_of_one_server_hear_each_other() {
    let station = Server::builder(identity(1))
        .transport(Tcp::default())
        .transport(Ws::default())
        .listen("tcp://127.0.0.1:0".parse().unwrap(), Accept::Clients)
        .listen("ws://127.0.0.1:0".parse().unwrap(), Accept::Clients)
        .start()
        .await
        .expect("a server");
    let bound = |at: usize| ServerAddr::from(station.addrs()[at].0.clone());
    let ann = Client::connect(Tcp::default(), bound(0), identity(2)).await.expect("connected");
    let bob = Client::connect(Ws::default(), bound(1), identity(3)).await.expect("connected");
    let (mut anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    anns.send("over tcp").await.expect("taken");
    bobs.send("over a websocket").await.expect("taken");
    assert_eq!(text(&mut bobs).await, "over tcp");
    assert_eq!(text(&mut anns).await, "over a websocket");
    ann.close().await;
    bob.close().await;
}
