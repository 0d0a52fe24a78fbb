//! What an embedder can ask a server about its network, and how it lets a neighbour go.
#![expect(clippy::expect_used, reason = "a server that does not start fails the test")]

mod common;

use common::{Raw, addr, builder, channel, server, soon, until};
use darkchat_server::{Accept, Server, TraceError};
use darkchat_transport::Memory;
use std::time::Duration;

/// Three servers in a line, the first of which knows of all.
async fn line(memory: &Memory) -> [Server; 3] {
    let a = builder(memory, "a", Accept::All).start().await.expect("it starts");
    let b = builder(memory, "b", Accept::All).peer(addr(&a)).start().await.expect("it starts");
    let c = builder(memory, "c", Accept::All).peer(addr(&b)).start().await.expect("it starts");
    until(|| a.map().reachable() == 3 && c.map().reachable() == 3).await;
    [a, b, c]
}

#[tokio::test]
async fn a_trace_and_the_map_show_the_way_to_whoever_wants_a_channel() {
    let memory = Memory::default();
    let [a, b, c] = line(&memory).await;
    let lobby = channel("lobby");
    let mut bob = Raw::client(&memory, &addr(&c)).await;
    bob.join(lobby).await;
    until(|| a.map().servers.iter().any(|row| row.server == c.id() && row.tags == 1)).await;

    let trace = soon(a.trace(lobby)).await.expect("few are under way");
    let hops: Vec<_> = trace.hops.iter().map(|hop| (hop.server, hop.from, hop.hops, hop.here)).collect();
    assert_eq!(hops, [(b.id(), a.id(), 1, false), (c.id(), b.id(), 2, true)]);
    assert!(trace.missing.is_empty() && trace.unasked == 0);
    assert!(soon(a.trace(channel("cellar"))).await.expect("few are under way").hops.is_empty());

    let map = a.map();
    assert_eq!((map.servers.len(), map.links), (3, 2));
    let far = map.servers.iter().find(|row| row.server == c.id()).expect("its row");
    assert_eq!((far.hops, far.next, far.neighbours), (Some(2), Some(b.id()), 1));
    a.shutdown(Duration::ZERO).await;
    assert!(matches!(soon(a.trace(lobby)).await, Err(TraceError::Stopped)));
}

#[tokio::test]
async fn a_trace_whose_asker_went_away_harms_nobody() {
    let memory = Memory::default();
    let [a, _b, c] = line(&memory).await;
    let lobby = channel("lobby");
    let mut bob = Raw::client(&memory, &addr(&c)).await;
    bob.join(lobby).await;
    until(|| a.map().servers.iter().any(|row| row.server == c.id() && row.tags == 1)).await;
    for _ in 0..20 {
        drop(tokio::time::timeout(Duration::ZERO, a.trace(lobby)).await);
    }
    until(|| a.stats().node.sizes.traces == 0).await;
    assert_eq!(soon(a.trace(lobby)).await.expect("few are under way").hops.len(), 2);
}

#[tokio::test]
async fn peers_say_since_when_why_and_what_waits_and_one_is_let_go() {
    let memory = Memory::default();
    let (hub, edge) = (server(&memory, "hub").await, server(&memory, "edge").await);
    assert_eq!(edge.connect(addr(&hub).into()).await.ok(), Some(hub.id()));
    let peer = edge.peers().remove(0);
    assert!(peer.pinned && peer.outbound && peer.up < Duration::from_secs(30));
    until(|| edge.peers()[0].queued == 0).await;
    until(|| hub.peers().len() == 1).await;
    assert!(!hub.peers()[0].pinned && !hub.peers()[0].outbound);

    assert!(soon(edge.disconnect(hub.id())).await);
    until(|| edge.peers().is_empty() && hub.peers().is_empty()).await;
    assert!(!soon(edge.disconnect(hub.id())).await, "there is none any more");
    assert_eq!(edge.stats().node.sizes.pinned, 0);
}
