//! A scripted server, which says and does what no honest one would.

use super::common::{Scripted, caller, run, true_post};
use super::*;
use darkchat_client::{SendError, State};
use darkchat_proto::{Code, Frame, Kind, Refusal};
use darkchat_transport::{Listener, Transport as _};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;

async fn listen(memory: &Memory) -> Listener {
    memory.listen(addr("script").addr).await.expect("listens")
}

/// A post of user 4 to the channel `lobby`.
fn post(seq: u64, text: &str) -> Frame {
    true_post(&identity(4), seq, text)
}

/// A client in `lobby`, its scripted server, and the server's listener.
async fn in_lobby() -> (Client, Channel, Scripted, Listener) {
    let memory = Memory::default();
    let mut listener = listen(&memory).await;
    let connecting = tokio::spawn(async move {
        let client = user(&memory, 2, "script").await;
        let lobby = join(&client, "lobby").await;
        (client, lobby)
    });
    let mut script = Scripted::accept(&mut listener).await;
    script.take_in().await;
    let (client, lobby) = connecting.await.expect("no panic");
    (client, lobby, script, listener)
}

#[tokio::test]
async fn frames_arrive_whole_however_records_cut_them() {
    let (client, mut lobby, mut script, _listener) = in_lobby().await;
    script.say(&[post(1, "two in"), post(2, "one record")]).await;
    assert_eq!(text(&mut lobby).await, "two in");
    assert_eq!(text(&mut lobby).await, "one record");
    let plain = run(&[post(3, "one in twenty records")]);
    for piece in plain.chunks(plain.len().div_ceil(20)) {
        script.record(piece).await;
        script.record(&[]).await;
    }
    assert_eq!(text(&mut lobby).await, "one in twenty records");
    assert!(!lobby.spread());
    drop(client);
}

#[tokio::test]
async fn a_forged_and_a_replayed_post_are_not_shown_and_the_link_stays() {
    let (client, mut lobby, mut script, _listener) = in_lobby().await;
    let Kind::Deliver(bytes) = post(1, "true").kind else { panic!("a post") };
    let mut forged = bytes.to_vec();
    let at = forged.windows(4).position(|window| window == b"true").expect("its text");
    forged[at] = b'b';
    script.say(&[Kind::Deliver(forged.into()).into()]).await;
    script.say(&[Kind::Deliver(bytes.clone()).into(), Kind::Deliver(bytes).into(), post(2, "end")]).await;
    assert_eq!(text(&mut lobby).await, "true");
    assert_eq!(text(&mut lobby).await, "end");
    let stats = client.stats();
    assert_eq!((stats.shown, stats.bad_signature, stats.duplicate), (2, 1, 1));
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_the_link_with_a_goodbye() {
    let (client, _lobby, mut script, _listener) = in_lobby().await;
    let mut state = client.state();
    script.record(&[0]).await;
    let goodbye = async {
        loop {
            if let Kind::Goodbye(goodbye) = script.hear().await.expect("a goodbye before the end").kind {
                return goodbye.code;
            }
        }
    };
    assert_eq!(goodbye.await, Code::BadFrame);
    assert!(matches!(state.changed().await, Some(State::Waiting { why: Code::BadFrame, .. })));
}

#[tokio::test]
async fn a_record_that_does_not_open_ends_the_link_without_a_word() {
    let (client, _lobby, mut script, _listener) = in_lobby().await;
    let mut state = client.state();
    script.link.sink.send(vec![7; 40].into()).await.expect("sent");
    assert!(matches!(state.changed().await, Some(State::Waiting { why: Code::BadFrame, .. })));
    while let Some(frame) = script.hear().await {
        assert!(matches!(frame.kind, Kind::Publish { .. }), "only what was sent before: {frame:?}");
    }
}

#[tokio::test]
async fn a_server_that_closes_without_a_word_after_our_proof_is_reported() {
    let memory = Memory::default();
    let mut listener = listen(&memory).await;
    let connecting = tokio::spawn(Client::connect(memory, addr("script"), identity(2)));
    let (mut link, responder, request) = caller(&mut listener, identity(1).server_id()).await;
    let (message2, _) = responder.reply(identity(1).sign(&request));
    link.sink.send(message2).await.expect("sent");
    link.units.next().await.expect("open").expect("the proof");
    drop(link);
    let error = connecting.await.expect("no panic").expect_err("closed");
    assert!(matches!(error, darkchat_client::ConnectError::Lost { code: Code::Truncated, .. }), "{error:?}");
}

#[tokio::test]
async fn a_handle_of_a_channel_that_has_ended_does_not_touch_the_one_that_was_joined_anew() {
    let (client, mut old, script, mut listener) = in_lobby().await;
    drop(script);
    let mut script = Scripted::accept(&mut listener).await;
    let req = script.asked_to_join().await;
    let refusal = Refusal { code: Code::Limit, text: String::new(), retry_ms: 0 };
    script.say(&[Frame::replying(req, Kind::Error(refusal))]).await;
    assert_eq!(old.recv().await, None, "the server does not take us in again");
    let (joined, ()) = tokio::join!(client.join("lobby".parse().unwrap()), script.take_in());
    let mut new = joined.expect("joined anew");
    assert_eq!(old.send("from the old handle").await, Err(SendError::Closed));
    old.leave().await.expect("it has ended");
    script.say(&[post(1, "still in")]).await;
    assert_eq!(text(&mut new).await, "still in");
}

/// As [`in_lobby`], with more said than the link takes while the server reads none of it.
async fn stalled() -> (Client, [Channel; 2], Scripted, Listener) {
    let (client, lobby, mut script, listener) = in_lobby().await;
    let (ops, ()) = tokio::join!(join(&client, "ops"), script.take_in());
    let channels = [lobby, ops];
    for channel in channels.iter().cycle().take(40) {
        channel.try_send(vec![0; 40_000]).expect("queued");
    }
    (client, channels, script, listener)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading_does_not_hold_up_the_end_of_its_link() {
    let (client, _channels, _script, _listener) = stalled().await;
    let mut state = client.state();
    let changed = timeout(Duration::from_secs(77), state.changed()).await;
    let changed = changed.expect("75 s without a word, and one for the goodbye");
    assert!(matches!(changed, Some(State::Waiting { why: Code::Timeout, .. })), "{changed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading_does_not_hold_up_a_client_that_closes() {
    let (client, channels, _script, _listener) = stalled().await;
    let mut state = client.state();
    timeout(Duration::from_millis(6_500), client.close())
        .await
        .expect("five seconds for what is queued, and one");
    assert_eq!(state.changed().await, Some(State::Closed { why: Code::Ok }));
    drop(channels);
}
