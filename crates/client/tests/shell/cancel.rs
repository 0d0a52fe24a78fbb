//! Every async function of the client, dropped half way.

use super::*;
use darkchat_client::State;
use darkchat_proto::Code;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Polls a future so many times, with the rest of the program running in between, and then drops it.
///
/// Gives the result if it was ready before.
async fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            return Some(result);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test]
async fn a_dropped_connect_leaves_nothing_at_the_server() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    for polls in 0..40 {
        drop(drop_after(polls, Client::connect(memory.clone(), addr("station"), identity(2))).await);
    }
    clients(&station, 0).await;
    let _client = user(&memory, 2, "station").await;
    clients(&station, 1).await;
}

#[tokio::test]
async fn a_dropped_join_is_undone() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    for polls in 0..40 {
        drop(drop_after(polls, client.join("lobby".parse().expect("a name"))).await);
    }
    // Frames of one link are processed in order: what comes last shows that the rest is done.
    let last = join(&client, "last").await;
    last.send("done").await.expect("taken");
    let lobby = join(&client, "lobby").await;
    lobby.leave().await.expect("left");
    assert_eq!(station.channels().len(), 1);
}

#[tokio::test]
async fn a_dropped_send_sends_its_message_once_or_never_and_the_order_holds() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    for polls in 0..40 {
        let _either = drop_after(polls, anns.send(polls.to_string())).await;
    }
    anns.send("end").await.expect("taken");
    let mut heard = Vec::new();
    loop {
        match text(&mut bobs).await.as_str() {
            "end" => break,
            number => heard.push(number.parse::<usize>().expect("a number")),
        }
    }
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
    assert!(!heard.contains(&0), "a future that was never polled sends nothing");
    assert_eq!(bob.stats().gap, 0);
}

#[tokio::test]
async fn a_dropped_recv_loses_nothing() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    let mut heard = Vec::new();
    for number in 0..20 {
        if let Some(Some(Received::Message(message))) = drop_after(2, bobs.recv()).await {
            heard.push(message.payload.as_text().expect("a text").to_owned());
        }
        anns.send(number.to_string()).await.expect("taken");
    }
    while heard.len() < 20 {
        heard.push(text(&mut bobs).await);
    }
    assert_eq!(heard, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dropped_leave_leaves_all_the_same() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    for polls in 0..20 {
        let lobby = join(&client, "lobby").await;
        let _either = drop_after(polls, lobby.leave()).await;
    }
    let lobby = join(&client, "lobby").await;
    lobby.leave().await.expect("left");
    assert!(station.channels().is_empty());
}

#[tokio::test]
async fn a_dropped_close_closes_all_the_same_once_it_was_polled() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    let mut state = client.state();
    assert!(drop_after(1, client.close()).await.is_none());
    assert_eq!(state.changed().await, Some(State::Closed { why: Code::Ok }));
    clients(&station, 0).await;
}

#[tokio::test]
async fn a_dropped_wait_for_a_change_loses_no_change() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    let mut state = client.state();
    assert!(drop_after(3, state.changed()).await.is_none());
    client.close().await;
    assert_eq!(state.changed().await, Some(State::Closed { why: Code::Ok }));
}
