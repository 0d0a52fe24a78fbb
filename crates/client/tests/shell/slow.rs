//! A program that does not read.

use super::*;
use darkchat_client::Cause;
use darkchat_server::Profile;

#[tokio::test]
async fn a_channel_that_is_not_read_turns_into_missed_and_stalls_nothing() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let ann = user(&memory, 2, "station").await;
    let bob = Client::builder(identity(3)).transport(memory.clone()).receive_queue(4);
    let bob = bob.connect(addr("station")).await.expect("connected");
    let (noisy, quiet) = (join(&ann, "noisy").await, join(&ann, "quiet").await);
    let (mut bobs_noisy, mut bobs_quiet) = (join(&bob, "noisy").await, join(&bob, "quiet").await);
    let burst = (0..100).map(|number| noisy.send(number.to_string()));
    for sent in futures_util::future::join_all(burst).await {
        assert_eq!(sent.expect("taken").local, 1);
    }
    quiet.send("still awake?").await.expect("taken");
    assert_eq!(text(&mut bobs_quiet).await, "still awake?", "what is behind the burst on the link has come");

    for number in 0..4 {
        let Some(Received::Message(message)) = bobs_noisy.recv().await else { panic!("number {number}") };
        assert_eq!(message.payload.as_text(), Some(&*number.to_string()));
    }
    let Some(Received::Missed(missed)) = bobs_noisy.recv().await else { panic!("the news") };
    assert_eq!((missed.count, missed.cause, missed.from), (Some(96), Cause::Slow, None));
    assert_eq!(bob.stats().unread, 96);
    noisy.send("and on it goes").await.expect("taken");
    assert_eq!(text(&mut bobs_noisy).await, "and on it goes");
}

#[tokio::test]
async fn a_program_that_sends_without_waiting_is_told_when_too_much_is_queued() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    let lobby = join(&client, "lobby").await;
    let queued = (0..100_000).take_while(|_| lobby.try_send("x").is_ok()).count();
    assert_eq!(queued, 1_792);
    let large = (0..1_000).take_while(|_| lobby.try_send(vec![0; 65_536]).is_ok()).count();
    assert_eq!(large, 0);
    lobby.send("there is room again").await.expect("taken");
}

#[tokio::test]
async fn a_fast_sender_keeps_to_the_budget_that_a_public_server_announces() {
    let memory = Memory::default();
    let station = Server::builder(identity(1))
        .transport(memory.clone())
        .listen(addr("station").addr, Accept::Clients)
        .profile(Profile::Public)
        .start()
        .await
        .expect("a server");
    let client = user(&memory, 2, "station").await;
    let lobby = join(&client, "lobby").await;
    // More than the burst of 800 entries.
    let burst = (0..1_000).map(|number| lobby.send(number.to_string()));
    for sent in futures_util::future::join_all(burst).await {
        sent.expect("taken");
    }
    let refused = station.stats().node.refused;
    assert!(refused.is_empty(), "{refused:?}");
}
