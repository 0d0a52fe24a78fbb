//! Whoever has not finished a handshake: cut off in time, told nothing, counted once, and never in anyone's way.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use bytes::Bytes;
use common::{Dial, Raw, addr, builder, channel, identity, server, soon, until};
use darkchat_crypto::{Credentials, HandshakeError, Initiator, system};
use darkchat_proto::limits::MAX_HANDSHAKE_UNIT;
use darkchat_proto::{Addr, ChannelId, Code, DeviceId, Frame, Goodbye, Kind, UserId};
use darkchat_server::{Accept, Profile, Server};
use darkchat_transport::{Link, Memory, Transport};
use darkchat_transport_tcp::Tcp;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

async fn public(memory: &Memory) -> Server {
    builder(memory, "hub", Accept::All).profile(Profile::Public).start().await.expect("it starts")
}

fn early(server: &Server, code: Code) -> u64 {
    server.stats().closed_early.get(&code).copied().unwrap_or_default()
}

/// Nothing came back, and the link has ended.
async fn ends_without_a_byte(link: &mut Link) {
    match soon(link.units.next()).await {
        None | Some(Err(_)) => {}
        Some(Ok(unit)) => panic!("a stranger got {} bytes", unit.len()),
    }
}

/// A connection from an address of our choice, to speak on byte by byte.
fn caller(server: &Server, remote: &str) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let (read, write) = tokio::io::split(theirs);
    server.serve(Link::over_bytes(remote.parse().expect("an address"), read, write), Accept::All);
    ours
}

/// Bytes that come until the end.
async fn answer(stream: &mut DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = soon(stream.read_to_end(&mut all)).await;
    all
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_says_nothing_is_cut_off_after_three_seconds_without_a_byte() {
    let memory = Memory::default();
    let hub = public(&memory).await;
    let start = Instant::now();
    let mut link = memory.dial(addr(&hub)).await.unwrap();
    ends_without_a_byte(&mut link).await;
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(early(&hub, Code::Timeout), 1);
    assert_eq!(hub.stats().handshakes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stops_half_way_is_cut_off_after_five_seconds() {
    let memory = Memory::default();
    let hub = public(&memory).await;
    let start = Instant::now();
    let mut link = memory.dial(addr(&hub)).await.unwrap();
    let (_, message1) =
        Initiator::start(&Dial::client(1).config, Dial::client(1).dialler, None, &mut system::rng());
    sleep(Duration::from_secs(2)).await;
    link.sink.send(message1).await.unwrap();
    assert!(soon(link.units.next()).await.is_some(), "message 2 is the only reply");
    ends_without_a_byte(&mut link).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(early(&hub, Code::Timeout), 1);
}

/// C1: whatever drips in between, nobody holds a place longer than the deadline.
#[tokio::test(start_paused = true)]
async fn two_hundred_callers_of_one_byte_a_second_are_gone_by_five_seconds() {
    let memory = Memory::default();
    let hub = public(&memory).await;
    let start = Instant::now();
    let drips: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = caller(&hub, &format!("tcp://192.0.2.{number}:1"));
            tokio::spawn(async move {
                while stream.write_all(&[1]).await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            })
        })
        .collect();
    for drip in drips {
        soon(drip).await.unwrap();
    }
    assert!(start.elapsed() <= Duration::from_secs(6));
    assert_eq!(early(&hub, Code::Timeout), 200);
    assert_eq!(hub.stats().handshakes, 0);
    Raw::client(&memory, &addr(&hub)).await;
}

/// A1: more than a stranger may send is refused as soon as it is there.
#[tokio::test]
async fn a_unit_over_the_handshakes_bound_is_refused_as_too_large() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut link = memory.dial(addr(&hub)).await.unwrap();
    link.sink.send(vec![0; MAX_HANDSHAKE_UNIT + 1].into()).await.unwrap();
    ends_without_a_byte(&mut link).await;
    assert_eq!(early(&hub, Code::TooLarge), 1);
    let (mut link, message1) = (memory.dial(addr(&hub)).await.unwrap(), vec![0; MAX_HANDSHAKE_UNIT]);
    link.sink.send(message1.into()).await.unwrap();
    ends_without_a_byte(&mut link).await;
    assert_eq!(early(&hub, Code::TooLarge), 1, "as long as it may be: something else is wrong with it");
}

/// C2, and half of C11: counted by address, others are not affected.
#[tokio::test(start_paused = true)]
async fn one_address_has_a_burst_of_fifty_and_sixty_four_open_and_others_notice_nothing() {
    let memory = Memory::default();
    let hub = public(&memory).await;
    let mut first = Vec::new();
    for _ in 0..50 {
        first.push(Raw::client(&memory, &addr(&hub)).await);
    }
    let mut refused = memory.dial(addr(&hub)).await.unwrap();
    ends_without_a_byte(&mut refused).await;
    assert_eq!(early(&hub, Code::RateLimited), 1);
    sleep(Duration::from_secs(6)).await;
    for _ in 0..14 {
        first.push(Raw::client(&memory, &addr(&hub)).await);
    }
    let mut refused = memory.dial(addr(&hub)).await.unwrap();
    ends_without_a_byte(&mut refused).await;
    assert_eq!(early(&hub, Code::Limit), 1);
    let mut elsewhere = caller(&hub, "tcp://[2001:db8::1]:1");
    elsewhere.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    answer(&mut elsewhere).await;
    assert_eq!(early(&hub, Code::BadFrame), 1, "it was listened to");
    drop(first.pop());
    until(|| hub.clients().len() == 63).await;
    Raw::client(&memory, &addr(&hub)).await;
}

#[tokio::test(start_paused = true)]
async fn handshakes_in_progress_are_bounded_also_where_everybody_is_trusted() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    assert_eq!(hub.limits().profile, Profile::Trusted);
    let mut callers = Vec::new();
    for _ in 0..300 {
        callers.push(memory.dial(addr(&hub)).await.unwrap());
    }
    until(|| hub.stats().handshakes == 256 && early(&hub, Code::Limit) == 44).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(hub.stats().handshakes, 0);
    Raw::client(&memory, &addr(&hub)).await;
}

/// Two who chat while `attack` runs; they lose nothing.
async fn beside_an_innocent_pair(memory: &Memory, hub: &Server, attack: impl Future<Output = ()>) {
    let lobby = channel("lobby");
    let mut alice = Raw::client(memory, &addr(hub)).await;
    let mut bob = Raw::client(memory, &addr(hub)).await;
    alice.join(lobby).await;
    bob.join(lobby).await;
    let chat = async {
        for number in 0..50 {
            alice.say(lobby, &number.to_string()).await;
            assert_eq!(bob.hear().await, (alice.user(), number.to_string()));
        }
    };
    tokio::join!(chat, attack);
    alice.say(lobby, "well?").await;
    assert_eq!(bob.hear().await.1, "well?");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_half_open_connections_do_not_disturb_an_innocent_pair() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let mut half_open = Vec::new();
    for number in 0..100 {
        let mut link = memory.dial(addr(&hub)).await.unwrap();
        if number % 2 == 0 {
            let dial = Dial::client(1);
            let (_, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
            link.sink.send(message1).await.unwrap();
        }
        half_open.push(link);
    }
    until(|| hub.stats().handshakes == 100).await;
    beside_an_innocent_pair(&memory, &hub, async {}).await;
    assert_eq!(hub.clients().len(), 2);
}

/// Somebody who names a key and proves another: the answer to the original's trust in what a message says.
async fn pretend(memory: &Memory, hub: &Server) -> Link {
    let mut link = memory.dial(addr(hub)).await.unwrap();
    let dial = Dial::client(1);
    let (initiator, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
    link.sink.send(message1).await.unwrap();
    let proof = initiator.read_reply(soon(link.units.next()).await.unwrap().unwrap()).unwrap();
    let signature = identity(66).sign(&proof.request());
    let (message3, _) = proof.finish(identity(7).public(), signature, Credentials::default()).unwrap();
    link.sink.send(message3).await.unwrap();
    link
}

/// C11: a flood of logins with bad signatures.
#[tokio::test]
async fn a_client_that_claims_another_key_is_cut_off_without_a_word_however_often_it_tries() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    beside_an_innocent_pair(&memory, &hub, async {
        for _ in 0..100 {
            ends_without_a_byte(&mut pretend(&memory, &hub).await).await;
        }
    })
    .await;
    assert_eq!(early(&hub, Code::BadSignature), 100);
    assert_eq!(hub.clients().len(), 2);
}

/// C4: what a network observer has recorded is worth nothing.
#[tokio::test]
async fn a_replayed_login_is_refused_by_the_same_server_and_by_another() {
    let memory = Memory::default();
    let (hub, other) = (server(&memory, "hub").await, server(&memory, "other").await);
    let (mut link, mut recorded) = (memory.dial(addr(&hub)).await.unwrap(), Vec::new());
    let dial = Dial::client(1);
    let (initiator, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
    recorded.push(message1.clone());
    link.sink.send(message1).await.unwrap();
    let proof = initiator.read_reply(soon(link.units.next()).await.unwrap().unwrap()).unwrap();
    let alice = identity(7);
    let signature = alice.sign(&proof.request());
    let (message3, established) = proof.finish(alice.public(), signature, Credentials::default()).unwrap();
    recorded.push(message3.clone());
    link.sink.send(message3).await.unwrap();
    let mut alice = Raw::over(link, alice, established);
    assert!(matches!(alice.next().await.unwrap().kind, Kind::Welcome(_)));

    for target in [&hub, &other] {
        let mut thief = memory.dial(addr(target)).await.unwrap();
        thief.sink.send(recorded[0].clone()).await.unwrap();
        assert!(soon(thief.units.next()).await.unwrap().is_ok(), "message 2: with another ephemeral key");
        thief.sink.send(recorded[1].clone()).await.unwrap();
        ends_without_a_byte(&mut thief).await;
        assert_eq!(early(target, Code::BadFrame), 1);
    }
    assert_eq!((hub.clients().len(), other.clients().len()), (1, 0));
}

/// C8: a frame is nothing before the handshake is over.
#[tokio::test]
async fn no_frame_is_understood_before_the_handshake_is_complete() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let lobby = ChannelId::new([7; 32]);
    let user = UserId::new([9; 32]);
    let kinds = [
        Kind::Join { channels: vec![lobby], wait_spread: false },
        Kind::Publish { deliver: Bytes::from_static(b"post") },
        Kind::Lookup { user },
        Kind::DmReject { delivery: 1, code: Code::NoSession },
        Kind::Ping { nonce: 1, acked: 0 },
        Kind::Goodbye(Goodbye::new(Code::Ok)),
        Kind::Digest { known: Vec::new(), more: false },
        Kind::Record(Bytes::from_static(b"record")),
        Kind::Complaint { seconds: 60 },
    ];
    let count = kinds.len() as u64;
    for kind in kinds {
        let plain = common::plain(&Frame::asking(1, kind));
        let mut as_message1 = memory.dial(addr(&hub)).await.unwrap();
        as_message1.sink.send(plain.clone().into()).await.unwrap();
        ends_without_a_byte(&mut as_message1).await;

        let mut as_message3 = memory.dial(addr(&hub)).await.unwrap();
        let dial = Dial::client(1);
        let (_, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
        as_message3.sink.send(message1).await.unwrap();
        assert!(soon(as_message3.units.next()).await.unwrap().is_ok());
        as_message3.sink.send(plain.into()).await.unwrap();
        ends_without_a_byte(&mut as_message3).await;
    }
    assert_eq!(early(&hub, Code::BadFrame), 2 * count);
    assert!(hub.clients().is_empty() && hub.peers().is_empty() && hub.channels().is_empty());
}

/// C8, the other half: the role is signed, and the listener holds to it.
#[tokio::test]
async fn a_role_that_the_listener_does_not_take_gets_unauthorized_as_its_first_frame() {
    let memory = Memory::default();
    let clients = builder(&memory, "clients", Accept::Clients).start().await.unwrap();
    let peers = builder(&memory, "peers", Accept::Peers).start().await.unwrap();
    for (hub, dial) in [(&clients, Dial::peer()), (&peers, Dial::client(1))] {
        let link = memory.dial(addr(hub)).await.unwrap();
        let mut raw = Raw::shake(link, identity(3), dial).await.unwrap();
        let first = raw.next().await.unwrap();
        assert!(matches!(first.kind, Kind::Goodbye(Goodbye { code: Code::Unauthorized, .. })), "{first:?}");
        assert_eq!(raw.next().await, None);
        until(|| hub.stats().node.closed.get(&Code::Unauthorized) == Some(&1)).await;
        assert!(hub.clients().is_empty() && hub.peers().is_empty());
    }
}

#[tokio::test]
async fn another_network_cannot_be_logged_in_to() {
    let memory = Memory::default();
    let hub = builder(&memory, "hub", Accept::All).network("test".parse().unwrap()).start().await.unwrap();
    let link = memory.dial(addr(&hub)).await.unwrap();
    let failed = Raw::shake(link, identity(3), Dial::client(1)).await.err().unwrap();
    assert!(matches!(failed, HandshakeError::Unopened), "{failed:?}");
}

/// A11, A12: cut after each byte, whatever step that is in.
#[tokio::test]
async fn a_handshake_cut_after_each_byte_leaves_nothing_behind() {
    let memory = Memory::default();
    let hub = server(&memory, "hub").await;
    let baseline = hub.stats().tasks;
    let dial = Dial::client(1);
    let (_, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
    let mut bytes = u16::try_from(message1.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(&message1);
    for cut in 0..=bytes.len() {
        let mut stream = caller(&hub, "tcp://127.0.0.1:1");
        stream.write_all(&bytes[..cut]).await.unwrap();
        if cut % 2 == 0 {
            stream.shutdown().await.unwrap();
            answer(&mut stream).await;
        }
    }
    until(|| hub.stats().handshakes == 0 && hub.stats().tasks == baseline).await;
    let closed: u64 = hub.stats().closed_early.values().sum();
    assert_eq!(closed, bytes.len() as u64 + 1, "each is counted once");
}

/// A9: other protocols on the TCP port.
#[tokio::test]
async fn other_protocols_on_the_tcp_port_get_no_byte_but_http_a_fixed_answer() {
    let hub = Server::builder(identity(1))
        .transport(Tcp::default())
        .listen("tcp://127.0.0.1:0".parse().unwrap(), Accept::All)
        .start()
        .await
        .unwrap();
    let junk = [0xA5; 4_096];
    let banners: [(&[u8], bool); 6] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", false),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", false),
        (b"SSH-2.0-OpenSSH_9.6\r\n", false),
        (b"EHLO example.org\r\n", false),
        (&junk, false),
    ];
    for (banner, is_answered) in banners {
        let mut stream = TcpStream::connect(addr(&hub).socket_addr().unwrap()).await.unwrap();
        stream.write_all(banner).await.unwrap();
        let mut all = Vec::new();
        let _ = soon(stream.read_to_end(&mut all)).await;
        assert_eq!(all.starts_with(b"HTTP/1.1 400 "), is_answered);
        assert_eq!(all.is_empty(), !is_answered, "{:?}", String::from_utf8_lossy(&all));
    }
    until(|| early(&hub, Code::BadFrame) == 6).await;
}

/// A2, over memory: the length of what is announced is nothing.
#[tokio::test(start_paused = true)]
async fn callers_who_announce_much_and_send_little_are_gone_at_the_deadline() {
    let memory = Memory::default();
    let hub = public(&memory).await;
    let mut callers: Vec<_> =
        (0..200).map(|number| caller(&hub, &format!("tcp://198.51.100.{number}:1"))).collect();
    for stream in &mut callers {
        stream.write_all(&[0x10, 0x00, 0x01]).await.unwrap();
    }
    for stream in &mut callers {
        assert_eq!(answer(stream).await, b"");
    }
    assert_eq!(early(&hub, Code::Timeout), 200);
    assert_eq!((hub.stats().handshakes, hub.stats().tasks), (0, 2), "the loop and one listener");
}

#[tokio::test(start_paused = true)]
async fn a_server_for_people_who_sign_by_hand_gives_them_time() {
    let memory = Memory::default();
    let patient = builder(&memory, "hub", Accept::All).handshake_timeout(Duration::from_secs(300));
    let hub = patient.start().await.unwrap();
    let mut link = memory.dial(addr(&hub)).await.unwrap();
    let dial = Dial { dialler: darkchat_crypto::Dialler::Client(DeviceId::new([1; 16])), ..Dial::client(1) };
    let (initiator, message1) = Initiator::start(&dial.config, dial.dialler, None, &mut system::rng());
    link.sink.send(message1).await.unwrap();
    let proof = initiator.read_reply(soon(link.units.next()).await.unwrap().unwrap()).unwrap();
    sleep(Duration::from_secs(290)).await;
    let alice = identity(7);
    let signature = alice.sign(&proof.request());
    let (message3, established) = proof.finish(alice.public(), signature, Credentials::default()).unwrap();
    link.sink.send(message3).await.unwrap();
    let mut alice = Raw::over(link, alice, established);
    assert!(matches!(alice.next().await.unwrap().kind, Kind::Welcome(_)));
}

#[test]
fn addresses_of_memory_count_as_this_machine() {
    assert!("mem://hub".parse::<Addr>().unwrap().is_loopback());
}
