//! Every async function of the client, dropped half way.

use super::*;
use darkchat_client::{Change, Charter, Note, Private, State};
use darkchat_proto::Code;
use futures_util::StreamExt as _;
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

fn private(channel: &Channel) -> Private {
    channel.private().expect("a private channel")
}

/// Waits until a private channel has come to this generation.
async fn generation(private: &mut Private, number: u32) {
    let there = async { while private.view().generation < number && private.changed().await {} };
    tokio::time::timeout(PATIENCE, there).await.expect("changed in time");
    assert_eq!(private.view().generation, number);
}

#[tokio::test]
async fn a_dropped_way_into_a_private_channel_is_undone() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let garden =
        ann.create_private("garden".parse().expect("a name"), Charter::default()).await.expect("made");
    let (invite, saved) = (private(&garden).invite(), private(&garden).saved());
    for polls in 0..30 {
        let made = bob.create_private("hedge".parse().expect("a name"), Charter::default());
        drop(drop_after(polls, made).await);
        drop(drop_after(polls, bob.join_private(invite.clone(), None)).await);
        drop(drop_after(polls, bob.restore_private(saved.clone())).await);
    }
    // Frames of one link are processed in order: what comes last shows that the rest is done.
    let last = join(&bob, "last").await;
    last.send("done").await.expect("taken");
    assert_eq!(station.channels().len(), 2, "the garden and the last");
    let mut bobs = bob.join_private(invite, None).await.expect("entered");
    garden.send("there you are").await.expect("taken");
    assert_eq!(text(&mut bobs).await, "there you are");
}

#[tokio::test]
async fn a_dropped_change_of_a_private_channel_is_made_once_it_was_polled() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let charter = Charter { members: Some(Vec::new()), ..Charter::default() };
    let garden = ann.create_private("garden".parse().expect("a name"), charter).await.expect("made");
    let mut private = private(&garden);
    let wishes = private.clone();
    drop(wishes.rekey("never polled"));
    assert!(drop_after(1, wishes.rekey("a leak")).await.is_none());
    generation(&mut private, 1).await;
    assert!(drop_after(1, wishes.add([bob.id()])).await.is_none());
    generation(&mut private, 2).await;
    assert!(drop_after(1, wishes.remove([bob.id()], "left")).await.is_none());
    generation(&mut private, 3).await;
    assert!(drop_after(1, wishes.change(Change::default())).await.is_none());
    generation(&mut private, 4).await;
}

#[tokio::test]
async fn a_dropped_offer_arrives_and_a_dropped_wait_for_news_of_a_private_channel_loses_none() {
    let memory = Memory::default();
    let _station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let garden =
        ann.create_private("garden".parse().expect("a name"), Charter::default()).await.expect("made");
    let mut private = private(&garden);
    let mut notes = bob.notes();
    assert!(drop_after(1, private.offer(bob.id())).await.is_none());
    let invited = async {
        loop {
            if let Some(Note::Invited { from, .. }) = notes.next().await {
                return from;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, invited).await.expect("invited in time"), ann.id());
    private.rekey("a leak").await.expect("changed");
    for polls in 0..3 {
        let _either = drop_after(polls, private.changed()).await;
    }
    generation(&mut private, 1).await;
    assert!(drop_after(3, private.changed()).await.is_none(), "nothing is news twice");
    private.rekey("another").await.expect("changed");
    assert!(tokio::time::timeout(PATIENCE, private.changed()).await.expect("told in time"));
}
