//! Lost links, restarted servers, and other addresses.

use super::*;
use darkchat_client::{Cause, ConnectError, Note, State};
use darkchat_proto::Code;
use futures_util::StreamExt as _;

const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_restarted_server_is_found_again_and_channels_go_on_after_the_news_of_what_was_missed() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    let (mut anns_state, mut bobs_state) = (ann.state(), bob.state());
    station.shutdown(AT_ONCE).await;
    drop(station);
    let _station = server(&memory, "station", 1).await;
    for state in [&mut anns_state, &mut bobs_state] {
        let Some(State::Waiting { why, .. }) = state.changed().await else { panic!("waits") };
        assert_eq!(why, Code::Shutdown);
        assert!(matches!(state.changed().await, Some(State::Connecting { suggested: false, .. })));
        assert!(matches!(state.changed().await, Some(State::Connected { .. })));
    }
    let Some(Received::Missed(missed)) = bobs.recv().await else { panic!("the news first") };
    assert_eq!((missed.cause, missed.count), (Cause::Reconnect, None));
    // Both are in the channel again when the server has both: only then is a message sure to reach bob.
    let sent = anns.send("still here").await.expect("taken");
    assert_eq!(sent.local, 1);
    assert_eq!(text(&mut bobs).await, "still here");
}

#[tokio::test]
async fn a_message_that_is_sent_while_the_server_is_away_arrives_when_it_is_back() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    let (anns, mut bobs) = (join(&ann, "lobby").await, join(&bob, "lobby").await);
    let mut state = ann.state();
    station.shutdown(AT_ONCE).await;
    assert!(matches!(state.changed().await, Some(State::Waiting { .. })));
    let sending = tokio::spawn(async move { anns.send("patience").await.map(|_| anns) });
    let _station = server(&memory, "station", 1).await;
    let anns = sending.await.expect("no panic").expect("taken");
    // Whether bob was back before that is a matter of luck; the next one he gets for sure, or the news of a gap.
    let Some(Received::Missed(_)) = bobs.recv().await else { panic!("he was away") };
    anns.send("and now").await.expect("taken");
    loop {
        let text = text(&mut bobs).await;
        assert!(text == "patience" || text == "and now", "{text}");
        if text == "and now" {
            break;
        }
    }
}

#[tokio::test]
async fn when_a_server_is_lost_another_address_takes_over() {
    let memory = Memory::default();
    let first = server(&memory, "first", 1).await;
    let second = server(&memory, "second", 5).await;
    let client = Client::builder(identity(2))
        .transport(memory.clone())
        .connect_any([addr("first"), addr("second")])
        .await
        .expect("connected");
    assert_eq!(client.server(), first.id());
    let mut lobby = join(&client, "lobby").await;
    let mut state = client.state();
    first.shutdown(AT_ONCE).await;
    while !matches!(state.changed().await, Some(State::Connected { .. })) {}
    assert_eq!(client.server(), second.id());
    assert!(matches!(lobby.recv().await, Some(Received::Missed(_))));
    let other = user(&memory, 3, "second").await;
    join(&other, "lobby").await.send("welcome").await.expect("taken");
    assert_eq!(text(&mut lobby).await, "welcome");
}

#[tokio::test]
async fn a_server_that_comes_back_with_another_key_is_not_trusted() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let client = user(&memory, 2, "station").await;
    let (mut state, mut notes) = (client.state(), client.notes());
    station.shutdown(AT_ONCE).await;
    let impostor = server(&memory, "station", 66).await;
    let last = async {
        let mut last = None;
        while let Some(next) = state.changed().await {
            last = Some(next);
        }
        last
    };
    assert_eq!(last.await, Some(State::Closed { why: Code::Unauthorized }));
    let failed = async {
        loop {
            if let Note::ConnectFailed(error) = notes.next().await.expect("a note") {
                return error;
            }
        }
    };
    let error = failed.await;
    let ConnectError::WrongServer { expected, found, .. } = &*error else { panic!("{error:?}") };
    assert_eq!((*expected, *found), (identity(1).server_id(), impostor.id()));
    assert!(impostor.clients().is_empty());
}

#[tokio::test]
async fn without_reconnect_a_lost_server_is_the_end() {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let builder = Client::builder(identity(2)).transport(memory.clone()).reconnect(false);
    let client = builder.connect(addr("station")).await.expect("connected");
    let mut lobby = join(&client, "lobby").await;
    station.shutdown(AT_ONCE).await;
    assert_eq!(lobby.recv().await, None);
    assert_eq!(client.state().current(), State::Closed { why: Code::Shutdown });
}

#[tokio::test]
async fn a_persistent_client_waits_for_its_first_server() {
    let memory = Memory::default();
    let builder = Client::builder(identity(2)).transport(memory.clone()).persist(true);
    let connecting = tokio::spawn(builder.connect(addr("station")));
    tokio::task::yield_now().await;
    let station = server(&memory, "station", 1).await;
    let client = connecting.await.expect("no panic").expect("connected");
    assert_eq!(client.server(), station.id());
}
