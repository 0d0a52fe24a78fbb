//! A peer made by hand, honest and hostile: what it may bring to our clients, and what is found out.

mod common;

use bytes::Bytes;
use common::{Dial, Raw, addr, builder, channel, identity, server, unix_ms, until};
use darkchat_crypto::{Identity, Initiator, system};
use darkchat_node::DroppedFor;
use darkchat_proto::{ChannelId, Class, Code, Entry, Frame, Kind, Post, Route, RouteHead, RouterId};
use darkchat_server::{Accept, Profile, Server};
use darkchat_transport::{Memory, Transport};
use futures_util::{SinkExt, StreamExt};

/// A post by a stranger with whom we share no server.
fn post(author: &Identity, channel: ChannelId, seq: u64) -> Post {
    let entries = vec![Entry::text(format!("post {seq}"))];
    let (author, time_ms) = (author.user_id(), unix_ms());
    Post { author, channel, stream: 9, seq, time_ms, name: String::new(), entries }
}

fn route(from: &Raw, to: RouterId, payload: Bytes) -> Frame {
    let origin = from.identity.server_id().router();
    let head =
        RouteHead { origin, id: 1, ttl: 32, dst: vec![to], class: Class::Channel, want_done: false, corr: 0 };
    Frame::from(Kind::Route(Route { head, payload }))
}

fn dropped(server: &Server, why: DroppedFor) -> u64 {
    server.stats().node.dropped.get(&why).copied().unwrap_or_default()
}

#[tokio::test]
async fn a_peers_posts_reach_those_who_joined_and_repeats_do_not() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut bob = Raw::client(&memory, &addr(&hub)).await;
    bob.join(lobby).await;
    let mut peer = Raw::peer(&memory, &addr(&hub), identity(3)).await;
    let (author, here) = (identity(4), hub.id().router());
    let posts = [1, 2, 3].map(|seq| common::signed(&author, lobby, post(&author, lobby, seq).encode()));
    for index in [0, 1, 1, 0, 2] {
        let frame = route(&peer, here, posts[index].clone());
        peer.send(&frame).await;
    }
    for seq in 1..=3 {
        assert_eq!(bob.hear().await, (author.user_id(), format!("post {seq}")));
    }
    until(|| hub.stats().node.delivered >= 3).await;
    assert!(hub.stats().node.closes());
}

#[tokio::test]
async fn forged_posts_of_a_peer_are_found_by_the_sixteenth_and_then_all_are_stopped() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut bob = Raw::client(&memory, &addr(&hub)).await;
    bob.join(lobby).await;
    let mut peer = Raw::peer(&memory, &addr(&hub), identity(3)).await;
    let (victim, mallory, here) = (identity(4), identity(5), hub.id().router());
    let forge = |seq| common::signed(&mallory, lobby, post(&victim, lobby, seq).encode());
    for seq in 1..=16 {
        let frame = route(&peer, here, forge(seq));
        peer.send(&frame).await;
    }
    until(|| dropped(&hub, DroppedFor::BadSignature) == 1).await;
    for seq in 17..=100 {
        let frame = route(&peer, here, forge(seq));
        peer.send(&frame).await;
    }
    until(|| dropped(&hub, DroppedFor::BadSignature) == 85).await;
    let honest = common::signed(&victim, lobby, post(&victim, lobby, 1_000).encode());
    let frame = route(&peer, here, honest);
    peer.send(&frame).await;
    let mut junk = 0;
    loop {
        let Some(Frame { kind: Kind::Deliver(bytes), .. }) = bob.next().await else { continue };
        if bytes.windows(9).any(|window| window == b"post 1000") {
            break;
        }
        junk += 1;
    }
    assert_eq!(junk, 15);
}

#[tokio::test]
async fn a_server_announces_what_it_will_let_each_role_do() {
    let memory = Memory::default();
    let hub = builder(&memory, "hub", Accept::All).profile(Profile::Public).start().await.unwrap();
    for (dial, ping_ms, frames, posts) in
        [(Dial::client(1), 30_000, 100, 20), (Dial::peer(), 10_000, 5_000, 0)]
    {
        let mut link = memory.dial(addr(&hub)).await.unwrap();
        let (initiator, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
        link.sink.send(message1).await.unwrap();
        let proof = initiator.read_reply(link.units.next().await.unwrap().unwrap()).unwrap();
        let announced = proof.announced();
        assert_eq!(
            (announced.ping_ms, announced.frames_per_s, announced.posts_per_s),
            (ping_ms, frames, posts)
        );
        assert!(announced.time_ms.abs_diff(unix_ms()) < 60_000);
    }
}

#[tokio::test]
async fn a_peer_that_speaks_as_a_client_is_ended() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut peer = Raw::peer(&memory, &addr(&hub), identity(3)).await;
    peer.send(&Frame::asking(1, Kind::Join { channels: vec![channel("lobby")], wait_spread: false })).await;
    assert_eq!(peer.goodbye().await, Some(Code::BadFrame));
    until(|| hub.peers().is_empty()).await;
}
