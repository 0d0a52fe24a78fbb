//! Readers that fall behind: they lose, are told, and are cut off; nobody else notices.

mod common;

use common::{Raw, addr, builder, channel, event, server, soon, until};
use darkchat_proto::{Code, Done, Kind, Notice};
use darkchat_server::{Accept, Event};
use darkchat_transport::Memory;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Posts that together are far more than a link and a queue hold.
const POSTS: usize = 150;
const LEN: usize = 30_000;

fn text(number: usize) -> String {
    format!("{number} {}", "x".repeat(LEN))
}

async fn hear_all(raw: &mut Raw) {
    for number in 0..POSTS {
        assert_eq!(raw.hear().await.1, text(number));
    }
}

async fn say_all(raw: &mut Raw, lobby: darkchat_proto::ChannelId) {
    for number in 0..POSTS {
        let reply = raw.say(lobby, &text(number)).await;
        assert!(matches!(reply, Kind::Ok(Done { local: 3 | 4, .. })), "{reply:?}");
    }
}

/// F1, as far as it does not depend on the machine's speed.
#[tokio::test(start_paused = true)]
async fn one_reader_that_stops_is_told_what_it_lost_and_then_cut_off_while_the_others_get_everything() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut events = hub.events();
    let lobby = channel("lobby");
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    alice.join(lobby).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Raw::client(&memory, &addr(&hub)).await);
    }
    let mut slow = Raw::client(&memory, &addr(&hub)).await;
    for raw in others.iter_mut().chain([&mut slow]) {
        raw.join(lobby).await;
    }

    let start = Instant::now();
    soon(async { tokio::join!(say_all(&mut alice, lobby), join_all(others.iter_mut().map(hear_all))) }).await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "nobody waited for the slow one: {:?}",
        start.elapsed()
    );
    let is_slow = |event: &Event| matches!(event, Event::Slow { dropped: 1.., .. }).then_some(());
    event(&mut events, is_slow).await;
    assert!(hub.stats().node.sizes.longest_queue <= 1 << 20, "a queue has its bound");

    let (mut heard, mut lost) = (0, 0);
    while heard + lost < POSTS as u64 {
        match slow.next().await.expect("still linked").kind {
            Kind::Deliver(_) => heard += 1,
            Kind::Notice(Notice::Dropped { channel, count }) => {
                assert_eq!(channel, lobby);
                lost += count;
            }
            _ => {}
        }
    }
    assert!(heard > 10 && lost > 10, "{heard} heard and {lost} lost");

    soon(async { tokio::join!(say_all(&mut alice, lobby), join_all(others.iter_mut().map(hear_all))) }).await;
    let start = Instant::now();
    let why = event(&mut events, |event| match event {
        Event::ClientDown { why, .. } => Some(*why),
        _ => None,
    });
    assert_eq!(why.await, Code::SlowConsumer);
    assert!(start.elapsed() <= Duration::from_secs(11), "{:?}", start.elapsed());
    assert_eq!(slow.goodbye().await, Some(Code::SlowConsumer));
    drop(slow);
    until(|| hub.clients().len() == 4).await;
    let stats = hub.stats().node;
    assert!(stats.closes(), "{stats:?}");
    until(|| hub.stats().node.sizes.queued_bytes == 0).await;
}

/// A peer that does not read costs no client anything.
#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_does_not_hold_up_the_clients() {
    let memory = Memory::default();
    let hub = builder(&memory, "hub", Accept::All).start().await.unwrap();
    let _deaf = Raw::peer(&memory, &addr(&hub), common::identity(3)).await;
    let lobby = channel("lobby");
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    let mut bob = Raw::client(&memory, &addr(&hub)).await;
    alice.join(lobby).await;
    bob.join(lobby).await;
    let start = Instant::now();
    for number in 0..POSTS {
        alice.say(lobby, &text(number)).await;
        assert_eq!(bob.hear().await.1, text(number));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
