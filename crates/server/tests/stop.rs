//! How a server ends: politely, at once, again, and without anything left behind.

mod common;

use common::{Raw, addr, builder, channel, server, soon, until};
use darkchat_proto::{Addr, Code, Kind};
use darkchat_server::{Accept, PeerError, Server};
use darkchat_transport::{BoxFuture, Link, Listener, Memory, Transport};
use std::io;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

const GRACE: Duration = Duration::from_secs(5);

/// F10.
#[tokio::test]
async fn a_graceful_stop_delivers_what_was_accepted_and_says_goodbye_to_everybody() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    let mut bob = Raw::client(&memory, &addr(&hub)).await;
    alice.join(lobby).await;
    bob.join(lobby).await;
    for number in 0..100 {
        assert!(matches!(alice.say(lobby, &number.to_string()).await, Kind::Ok(_)));
    }
    let listen = tokio::spawn(async move {
        for number in 0..100 {
            assert_eq!(bob.hear().await.1, number.to_string());
        }
        bob.goodbye().await
    });
    let stop = tokio::spawn({
        let hub = hub.clone();
        async move { hub.shutdown(GRACE).await }
    });
    assert_eq!(alice.goodbye().await, Some(Code::Shutdown));
    assert_eq!(soon(listen).await.unwrap(), Some(Code::Shutdown));
    drop(alice);
    soon(stop).await.unwrap();
    let stats = hub.stats();
    assert_eq!(stats.tasks, 0);
    assert_eq!(stats.node.closed.get(&Code::Shutdown), Some(&2));
    assert!(memory.dial(addr(&hub)).await.is_err(), "the address is free");
}

#[tokio::test]
async fn stopping_twice_or_from_two_handles_is_stopping_once() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let again = hub.clone();
    soon(async { tokio::join!(hub.shutdown(GRACE), again.shutdown(GRACE)) }).await;
    soon(hub.shutdown(GRACE)).await;
    assert_eq!(hub.stats().tasks, 0);
    assert!(matches!(soon(hub.connect("mem://x".parse().unwrap())).await, Err(PeerError::Stopped)));
    assert_eq!(hub.events().recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_cannot_hold_up_the_stop() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    let mut deaf = Raw::client(&memory, &addr(&hub)).await;
    alice.join(lobby).await;
    deaf.join(lobby).await;
    let text = "x".repeat(30_000);
    for _ in 0..60 {
        alice.say(lobby, &text).await;
    }
    let start = Instant::now();
    soon(hub.shutdown(Duration::from_secs(20))).await;
    assert!(start.elapsed() <= Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(hub.stats().tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn the_grace_is_the_longest_that_a_stop_takes() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let _client = Raw::client(&memory, &addr(&hub)).await;
    let start = Instant::now();
    hub.shutdown(Duration::from_millis(100)).await;
    assert!(start.elapsed() <= Duration::from_millis(200), "{:?}", start.elapsed());
    assert_eq!(hub.stats().tasks, 0);
}

#[tokio::test]
async fn when_the_last_handle_is_dropped_the_server_ends_at_once() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let other = hub.clone();
    let mut events = hub.events();
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    let address = addr(&hub);
    drop(hub);
    alice.join(channel("lobby")).await;
    drop(other);
    assert_eq!(alice.goodbye().await, None);
    until(|| {
        futures_util::FutureExt::now_or_never(memory.dial(address.clone())).is_some_and(|dial| dial.is_err())
    })
    .await;
    soon(async { while events.recv().await.is_some() {} }).await;
}

#[tokio::test]
async fn a_server_runs_until_its_stop_is_ready() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(hub.run_until(stopped));
    alice.join(channel("lobby")).await;
    stop.send(()).unwrap();
    assert_eq!(alice.goodbye().await, Some(Code::Shutdown));
    drop(alice);
    soon(running).await.unwrap();
}

#[tokio::test]
async fn whoever_waits_for_the_end_of_a_server_hears_of_it() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let other = hub.clone();
    let mut ended = Box::pin(other.ended());
    assert!(futures_util::poll!(&mut ended).is_pending());
    hub.shutdown(GRACE).await;
    soon(ended).await;
    soon(hub.ended()).await;
}

#[tokio::test]
async fn peers_learn_that_a_server_stops() {
    let memory = Memory::default();
    let (near, far) = (server(&memory, "near").await, server(&memory, "far").await);
    soon(near.connect(addr(&far).into())).await.unwrap();
    soon(far.shutdown(GRACE)).await;
    until(|| near.peers().is_empty()).await;
    until(|| near.stats().node.closed.get(&Code::Shutdown) == Some(&1)).await;
}

/// A transport that never finishes.
#[derive(Debug)]
struct Stuck;

impl Transport for Stuck {
    fn schemes(&self) -> &'static [&'static str] {
        &["stuck"]
    }

    fn dial(&self, _: Addr) -> BoxFuture<io::Result<Link>> {
        Box::pin(std::future::pending())
    }

    fn listen(&self, _: Addr) -> BoxFuture<io::Result<Listener>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_never_ends_is_given_up_in_time_for_an_answer_at_the_prompt() {
    let hub = Server::builder(common::identity(1)).transport(Stuck).start().await.unwrap();
    let start = Instant::now();
    let failed = soon(hub.connect("stuck://x".parse().unwrap())).await;
    assert!(matches!(failed, Err(PeerError::Refused { code: Code::Timeout, .. })), "{failed:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    soon(hub.shutdown(GRACE)).await;
    assert_eq!(hub.stats().tasks, 0);
}

/// "Cancel safety" of each asynchronous call.
#[tokio::test]
async fn calls_that_are_dropped_half_way_leave_a_working_server() {
    let memory = Memory::default();
    {
        let half_way = builder(&memory, "hub", Accept::All)
            .transport(Stuck)
            .listen("stuck://x".parse().unwrap(), Accept::All);
        let mut starting = Box::pin(half_way.start());
        assert!(futures_util::poll!(&mut starting).is_pending());
        assert!(memory.dial("mem://hub".parse().unwrap()).await.is_ok(), "one of two is bound");
    }
    let (hub, far) = (server(&memory, "hub").await, server(&memory, "far").await);
    {
        let mut connecting = Box::pin(hub.connect(addr(&far).into()));
        assert!(futures_util::poll!(&mut connecting).is_pending());
    }
    until(|| hub.peers().len() == 1).await;
    {
        let mut stopping = Box::pin(hub.shutdown(GRACE));
        assert!(futures_util::poll!(&mut stopping).is_pending());
    }
    soon(hub.shutdown(GRACE)).await;
    assert_eq!(hub.stats().tasks, 0);
}
