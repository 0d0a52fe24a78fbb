//! What a client that has logged in may send, in which form, and what it gets for anything else.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use bytes::Bytes;
use common::{
    Dial, Raw, addr, builder, channel, identity, plain, prefixed, server, signed, soon, unix_ms, until,
};
use darkchat_proto::limits::MAX_FRAME;
use darkchat_proto::{
    ChannelId, Code, Done, Entry, Frame, Goodbye, Kind, Post, Refusal, ServerId, UserId, Welcome,
};
use darkchat_server::{Accept, Profile, Server};
use darkchat_transport::{Link, Memory, Transport};
use futures_util::SinkExt;
use std::time::Duration;
use tokio::time::Instant;

fn closed(server: &Server, code: Code) -> u64 {
    server.stats().node.closed.get(&code).copied().unwrap_or_default()
}

async fn client_in(memory: &Memory, hub: &Server, channel: ChannelId) -> Raw {
    let mut raw = Raw::client(memory, &addr(hub)).await;
    raw.join(channel).await;
    raw
}

/// The second half of A1: lengths over the bound, and prefixes that could only announce such.
#[tokio::test]
async fn frame_lengths_over_the_bound_end_the_link_and_nobody_else_notices() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = client_in(&memory, &hub, lobby).await;
    let mut bob = client_in(&memory, &hub, lobby).await;
    let one_over = [0x81, 0xC0, 0x04];
    assert_eq!(1 + (0x40 << 7) + (4 << 14), MAX_FRAME + 1);
    let cases: [(&[u8], Code); 6] = [
        (&one_over, Code::TooLarge),
        (&[0xFF, 0xFF, 0x7F], Code::TooLarge),
        (&[0x80, 0x80, 0x80, 0x80, 0x08], Code::BadFrame),
        (&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F], Code::BadFrame),
        (&[0x80, 0x80, 0x80, 0x01], Code::BadFrame),
        (&[0x00], Code::BadFrame),
    ];
    for (prefix, code) in cases {
        let mut raw = Raw::client(&memory, &addr(&hub)).await;
        raw.send_plain(prefix).await.unwrap();
        assert_eq!(raw.goodbye().await, Some(code), "{prefix:x?}");
    }
    until(|| closed(&hub, Code::TooLarge) == 2 && closed(&hub, Code::BadFrame) == 4).await;
    alice.say(lobby, "all is well").await;
    assert_eq!(bob.hear().await.1, "all is well");
}

/// Posts of one record are handled together, and all the same in their place among the other frames.
#[tokio::test]
async fn frames_of_one_record_are_answered_in_their_order() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = client_in(&memory, &hub, lobby).await;
    let mut bob = client_in(&memory, &hub, lobby).await;
    let mut record = Vec::new();
    let mut ask = |req, kind| record.extend(plain(&Frame::asking(req, kind)));
    for (req, text) in (101..).zip(["one", "two", "three"]) {
        ask(req, Kind::Publish { deliver: alice.post(lobby, text) });
    }
    ask(104, Kind::Leave { channels: vec![lobby] });
    ask(105, Kind::Publish { deliver: alice.post(lobby, "four") });
    alice.send_plain(&record).await.unwrap();
    for req in 101..=104 {
        assert!(matches!(alice.reply(req).await, Kind::Ok(_)), "{req}");
    }
    let Kind::Error(refusal) = alice.reply(105).await else { panic!("she has left") };
    assert_eq!(refusal.code, Code::NotJoined);
    for text in ["one", "two", "three"] {
        assert_eq!(bob.hear().await.1, text);
    }
}

/// The original had no framing: what arrived in one read was one message.
#[tokio::test]
async fn two_frames_in_one_segment_and_one_frame_in_twenty_are_the_same_to_the_server() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = client_in(&memory, &hub, lobby).await;
    let mut bob = client_in(&memory, &hub, lobby).await;
    let two: Vec<u8> = ["one", "two"]
        .iter()
        .flat_map(|text| plain(&Frame::asking(0, Kind::Publish { deliver: alice.post(lobby, text) })))
        .collect();
    alice.send_plain(&two).await.unwrap();
    assert_eq!((bob.hear().await.1, bob.hear().await.1), ("one".into(), "two".into()));

    let three = plain(&Frame::asking(0, Kind::Publish { deliver: alice.post(lobby, "three") }));
    for part in three.chunks(three.len().div_ceil(20)) {
        alice.send_plain(part).await.unwrap();
    }
    assert_eq!(bob.hear().await.1, "three");
}

/// A3: the same session, its bytes cut at every place in turn.
#[tokio::test]
async fn a_session_split_at_every_byte_is_the_same_session() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut bob = client_in(&memory, &hub, lobby).await;
    let sample = |raw: &mut Raw| {
        let join = Frame::asking(1, Kind::Join { channels: vec![lobby], wait_spread: false });
        let publish = Frame::asking(2, Kind::Publish { deliver: raw.post(lobby, "cut") });
        let leave = Frame::asking(3, Kind::Leave { channels: vec![lobby] });
        [plain(&join), plain(&publish), plain(&leave)].concat()
    };
    let mut first = Raw::client(&memory, &addr(&hub)).await;
    let len = sample(&mut first).len();
    for cut in 0..len {
        let mut raw = Raw::client(&memory, &addr(&hub)).await;
        let bytes = sample(&mut raw);
        raw.send_plain(&bytes[..cut]).await.unwrap();
        raw.send_plain(&bytes[cut..]).await.unwrap();
        assert_eq!(raw.reply(1).await, Kind::Ok(Done::default()));
        assert_eq!(raw.reply(2).await, Kind::Ok(Done { local: 1, ..Done::default() }));
        assert_eq!(raw.reply(3).await, Kind::Ok(Done::default()));
        assert_eq!(bob.hear().await, (raw.user(), "cut".to_owned()));
    }
}

/// A3 at the carrier: units cut at every byte by a pipe of one byte.
#[tokio::test]
async fn a_carrier_that_brings_one_byte_at_a_time_changes_nothing() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let (ours, theirs) = tokio::io::duplex(1);
    let over = |stream| {
        let (read, write) = tokio::io::split(stream);
        Link::over_bytes("tcp://127.0.0.1:1".parse().unwrap(), read, write)
    };
    hub.serve(over(theirs), Accept::Clients);
    let mut raw = Raw::shake(over(ours), identity(4), Dial::client(1)).await.unwrap();
    assert!(matches!(raw.next().await.unwrap().kind, Kind::Welcome(_)));
    raw.join(channel("lobby")).await;
}

/// A8: what costs nothing to send is read no faster than the budget.
#[tokio::test(start_paused = true)]
async fn empty_records_and_small_frames_are_read_at_the_budgets_rate() {
    let memory = Memory::default();
    let hub = builder(&memory, "hub", Accept::All).profile(Profile::Public).start().await.unwrap();
    for record in [Vec::new(), plain(&Frame::from(Kind::Leave { channels: Vec::new() }))] {
        let mut raw = Raw::client(&memory, &addr(&hub)).await;
        let start = Instant::now();
        for _ in 0..1_400 {
            soon(raw.send_plain(&record)).await.unwrap();
        }
        let reply = raw.ask(Kind::Leave { channels: Vec::new() }).await;
        assert_eq!(reply, Kind::Ok(Done::default()));
        let took = start.elapsed();
        assert!((10..=11).contains(&took.as_secs()), "1,400 at 400 and then 100 a second: {took:?}");
    }
}

async fn ends_in_error_and_goodbye(raw: &mut Raw, deliver: Bytes, code: Code) {
    match raw.ask(Kind::Publish { deliver }).await {
        Kind::Error(Refusal { code: found, .. }) => assert_eq!(found, code),
        other => panic!("{other:?}"),
    }
    assert_eq!(raw.goodbye().await, Some(code));
}

/// C9: the original took the sender from the message instead of the proven key.
#[tokio::test]
async fn a_post_in_anothers_name_is_unauthorized_whoever_signed_it() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let victim = identity(5);
    let mut bob = client_in(&memory, &hub, lobby).await;
    for is_signed_by_victim in [true, false] {
        let mut mallory = client_in(&memory, &hub, lobby).await;
        let body = Post {
            author: victim.user_id(),
            channel: lobby,
            stream: 1,
            seq: 1,
            time_ms: unix_ms(),
            name: "victim".into(),
            entries: vec![Entry::text("I owe you money")],
        };
        let signer = if is_signed_by_victim { &victim } else { &mallory.identity };
        let deliver = signed(signer, lobby, body.encode());
        ends_in_error_and_goodbye(&mut mallory, deliver, Code::Unauthorized).await;
    }
    until(|| closed(&hub, Code::Unauthorized) == 2).await;
    let mut alice = client_in(&memory, &hub, lobby).await;
    alice.say(lobby, "hello").await;
    assert_eq!(bob.hear().await.1, "hello", "and nothing of the victim's before it");
}

#[tokio::test]
async fn a_body_changed_by_one_bit_is_a_bad_signature() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = client_in(&memory, &hub, lobby).await;
    let mut deliver = alice.post(lobby, "ten coins").to_vec();
    let place = deliver.windows(3).position(|bytes| bytes == b"ten").unwrap();
    deliver[place] ^= 1;
    ends_in_error_and_goodbye(&mut alice, deliver.into(), Code::BadSignature).await;
    until(|| closed(&hub, Code::BadSignature) == 1).await;
}

#[tokio::test]
async fn a_record_changed_by_one_bit_ends_the_link_without_a_word() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut alice = Raw::client(&memory, &addr(&hub)).await;
    let mut record = bytes::BytesMut::from(&plain(&Frame::from(Kind::Ping { nonce: 1, acked: 0 }))[..]);
    alice.sealer.seal(&mut record).unwrap();
    record[3] ^= 1;
    alice.sink.send(record.freeze()).await.unwrap();
    assert_eq!(alice.goodbye().await, None);
    until(|| closed(&hub, Code::BadFrame) == 1).await;
}

#[tokio::test]
async fn an_end_without_goodbye_is_counted_as_a_loss_and_one_with_it_is_not() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    drop(Raw::client(&memory, &addr(&hub)).await);
    until(|| closed(&hub, Code::Truncated) == 1).await;
    let mut polite = Raw::client(&memory, &addr(&hub)).await;
    polite.send(&Frame::from(Kind::Goodbye(Goodbye::new(Code::Ok)))).await;
    polite.sink.close().await.unwrap();
    until(|| closed(&hub, Code::Ok) == 1).await;
    assert_eq!(closed(&hub, Code::Truncated), 1);
    assert!(hub.clients().is_empty());
}

/// C8 after the handshake: kinds that only servers or peers may send.
#[tokio::test]
async fn frames_of_servers_and_peers_from_a_client_end_its_link_and_change_nothing() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let kinds = [
        Kind::Welcome(Welcome::default()),
        Kind::Ok(Done::default()),
        Kind::Deliver(Bytes::from_static(b"post")),
        Kind::Digest { known: Vec::new(), more: false },
        Kind::Pull { want: Vec::new() },
        Kind::Record(Bytes::from_static(b"record")),
        Kind::Shard(Bytes::from_static(b"shard")),
        Kind::LinkAck { received: 1 },
        Kind::Complaint { seconds: 60 },
    ];
    let count = kinds.len() as u64;
    for kind in kinds {
        let mut raw = Raw::client(&memory, &addr(&hub)).await;
        raw.send(&Frame::from(kind)).await;
        assert_eq!(raw.goodbye().await, Some(Code::BadFrame));
    }
    until(|| closed(&hub, Code::BadFrame) == count).await;
    assert_eq!(hub.stats().node.objects_refused, 0, "nothing of it was looked at");
}

/// The original crashed by one crafted message. Here are some hundred, on links of both roles.
#[tokio::test]
async fn no_crafted_frame_brings_the_server_down() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut crafted: Vec<Vec<u8>> = vec![
        vec![0x0B; 60_000],
        [&[0x52][..], &[0x0A; 400]].concat(),
        plain(&Frame::asking(u32::MAX, Kind::Lookup { user: UserId::new([0; 32]) })),
        plain(&Frame::asking(
            1,
            Kind::Join { channels: vec![ChannelId::new([0; 32]); 1_024], wait_spread: true },
        )),
        plain(&Frame::from(Kind::RouteDone { origin: ServerId::new([0; 32]).router(), id: u64::MAX })),
        plain(&Frame::from(Kind::LinkAck { received: u64::MAX })),
        plain(&Frame::from(Kind::Complaint { seconds: u32::MAX })),
    ];
    for field in (1..=4_u8).chain(10..=17).chain(20..=27).chain(30..=33).chain(40..=49) {
        for (kind, value) in
            [(0, &[0xFF; 9][..]), (1, &[0xFF; 8]), (2, &[0x7F]), (2, &[0x00]), (5, &[0xFF; 4])]
        {
            crafted.push(prefixed(&[&[field.checked_shl(3).unwrap_or(0) | kind, 1][..], value].concat()));
            let key = [(field & 0x0F) << 3 | kind | 0x80, field >> 4];
            crafted.push(prefixed(&[&key, value].concat()));
        }
    }
    for bytes in &crafted {
        for is_peer in [true, false] {
            let mut raw = if is_peer {
                Raw::peer(&memory, &addr(&hub), identity(6)).await
            } else {
                Raw::client(&memory, &addr(&hub)).await
            };
            raw.send_plain(bytes).await.unwrap();
            // Whether the link stands or falls is for the frame; that the server answers is for all.
            let _ = raw.send_plain(&plain(&Frame::from(Kind::Goodbye(Goodbye::new(Code::Ok))))).await;
            raw.goodbye().await;
        }
    }
    let lobby = channel("lobby");
    let mut alice = client_in(&memory, &hub, lobby).await;
    let mut bob = client_in(&memory, &hub, lobby).await;
    alice.say(lobby, "still here").await;
    assert_eq!(bob.hear().await.1, "still here");
}

/// C10: the same device replaces itself, another device does not; the original's second login broke the first.
#[tokio::test]
async fn a_second_login_of_a_device_replaces_the_first_and_leaves_other_devices_alone() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let place = addr(&hub);
    let login = |device| Raw::client_as(&memory, &place, identity(8), device);
    let mut phone = login(2).await;
    let mut laptop = login(1).await;
    for _ in 0..20 {
        let mut next = login(1).await;
        assert_eq!(laptop.goodbye().await, Some(Code::Conflict));
        next.join(channel("lobby")).await;
        laptop = next;
    }
    phone.join(channel("lobby")).await;
    phone.say(channel("lobby"), "from the phone").await;
    assert_eq!(laptop.hear().await, (phone.user(), "from the phone".to_owned()));
    until(|| hub.clients().len() == 2 && closed(&hub, Code::Conflict) == 20).await;
}

/// The original had no limits: here a flood of joins, lookups and posts in the strangers' profile.
#[tokio::test(start_paused = true)]
async fn a_client_over_its_budget_is_slowed_down_and_told_and_others_are_not() {
    let memory = Memory::default();
    let hub = builder(&memory, "hub", Accept::All).profile(Profile::Public).start().await.unwrap();
    let lobby = channel("lobby");
    let mut flooder = client_in(&memory, &hub, lobby).await;
    let mut bob = client_in(&memory, &hub, lobby).await;
    let start = Instant::now();
    for number in 0..200 {
        flooder.say(lobby, &number.to_string()).await;
        assert_eq!(bob.hear().await.1, number.to_string());
    }
    let took = start.elapsed();
    assert!((5..=6).contains(&took.as_secs()), "100 at once, then 20 a second: {took:?}");
    let start = Instant::now();
    bob.say(lobby, "mine").await;
    assert!(start.elapsed() < Duration::from_millis(10));
}

#[tokio::test]
async fn a_link_is_ended_once_for_its_first_fault_and_what_follows_is_not_looked_at() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = client_in(&memory, &hub, lobby).await;
    let mut bob = client_in(&memory, &hub, lobby).await;
    let publish = Frame::asking(0, Kind::Publish { deliver: alice.post(lobby, "too late") });
    let bytes = [&prefixed(b"\xFF")[..], &plain(&publish)].concat();
    alice.send_plain(&bytes).await.unwrap();
    assert_eq!(alice.goodbye().await, Some(Code::BadFrame));
    let mut carol = client_in(&memory, &hub, lobby).await;
    carol.say(lobby, "next").await;
    assert_eq!(bob.hear().await.1, "next");
}

#[tokio::test]
async fn plaintext_never_stands_on_a_link() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = channel("lobby");
    let mut alice = client_in(&memory, &hub, lobby).await;
    let link = memory.dial(addr(&hub)).await.unwrap();
    let mut bob = Raw::shake(link, identity(3), Dial::client(1)).await.unwrap();
    let mut seen = Vec::new();
    bob.next().await.unwrap();
    bob.join(lobby).await;
    alice.say(lobby, "canary-in-the-mine").await;
    let unit = soon(futures_util::StreamExt::next(&mut bob.units)).await.unwrap().unwrap();
    seen.extend_from_slice(&unit);
    assert!(seen.len() > 200, "the post itself");
    let user = alice.user();
    let secrets: [&[u8]; 3] = [b"canary", user.as_bytes(), lobby.as_bytes()];
    for secret in secrets {
        assert!(!seen.windows(secret.len()).any(|bytes| bytes == secret));
    }
}
