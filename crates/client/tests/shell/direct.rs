//! Direct messages through the real server: outcomes, devices, and futures that are dropped half way.

use super::*;
use darkchat_client::{DirectMessage, Inbox, Note, Payload, SendError, Trust, TrySendError};
use futures_util::{FutureExt as _, StreamExt as _};

async fn next(inbox: &mut Inbox) -> DirectMessage {
    let next = async {
        loop {
            if let Received::Message(message) = inbox.recv().await.expect("the client lives") {
                return message;
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a message in time")
}

/// A server, and two users who are connected to it.
async fn two() -> (Memory, Server, Client, Client) {
    let memory = Memory::default();
    let station = server(&memory, "station", 1).await;
    let (ann, bob) = (user(&memory, 2, "station").await, user(&memory, 3, "station").await);
    (memory, station, ann, bob)
}

#[tokio::test]
async fn a_message_and_its_answer_keep_what_stands_around_them() {
    let (_memory, _station, ann, bob) = two().await;
    let (mut anns, mut bobs) = (ann.inbox(), bob.inbox());
    let payload = Payload::from(vec![1, 2, 3]).content_type("x/y").header("title", "a");
    let id = ann.direct(bob.id()).send(payload).await.expect("acknowledged");
    let message = next(&mut bobs).await;
    assert_eq!((message.id, message.from, message.to), (id, ann.id(), bob.id()));
    assert_eq!((message.payload.as_bytes(), &*message.content_type), (&[1, 2, 3][..], "x/y"));
    assert_eq!(message.headers["title"], "a");
    bob.direct(message.from).send(Payload::from("thanks").answer_to(id)).await.expect("acknowledged");
    let answer = next(&mut anns).await;
    assert_eq!((answer.payload.as_text(), answer.reply_to), (Some("thanks"), Some(id)));
    assert_eq!(ann.direct(bob.id()).safety_number(), bob.direct(ann.id()).safety_number());
}

#[tokio::test]
async fn nobody_there_too_long_and_closed_are_told_apart() {
    let (_memory, _station, ann, bob) = two().await;
    let nobody = identity(99).user_id();
    assert_eq!(ann.direct(nobody).send("hello?").await, Err(SendError::NotHere));
    assert_eq!(ann.direct(nobody).send_accepted("hello?").await, Err(SendError::NotHere));
    let too_large = SendError::TooLarge { len: 57_345, max: 57_344 };
    assert_eq!(ann.direct(bob.id()).send(vec![0; 57_345]).await, Err(too_large));
    let mut notes = ann.notes();
    let id = ann.direct(nobody).try_send("hello?").expect("queued");
    loop {
        if let Some(Note::DirectNotSent { to, id: of, why }) = notes.next().await {
            assert_eq!((to, of, why), (nobody, id, SendError::NotHere));
            break;
        }
    }
    let direct = ann.direct(bob.id());
    ann.close().await;
    assert_eq!(direct.send("too late").await, Err(SendError::Closed));
    assert_eq!(direct.try_send("too late"), Err(TrySendError::Closed));
}

#[tokio::test]
async fn the_largest_message_arrives_and_accepted_means_handed_over() {
    let (_memory, _station, ann, bob) = two().await;
    let mut bobs = bob.inbox();
    ann.direct(bob.id()).send(vec![7; 57_344]).await.expect("acknowledged");
    assert_eq!(next(&mut bobs).await.payload.as_bytes().len(), 57_344);
    let id = ann.direct(bob.id()).send_accepted("quick").await.expect("handed over");
    assert_eq!(next(&mut bobs).await.id, id);
}

#[tokio::test]
async fn every_device_of_the_recipient_and_the_senders_others_have_it_once() {
    let (memory, _station, ann, bob) = two().await;
    let (bob2, ann2) = (user(&memory, 3, "station").await, user(&memory, 2, "station").await);
    let mut inboxes = [bob.inbox(), bob2.inbox(), ann2.inbox()];
    let id = ann.direct(bob.id()).send("to all").await.expect("acknowledged");
    for inbox in &mut inboxes {
        let message = next(inbox).await;
        assert_eq!((message.id, message.from, message.to), (id, ann.id(), bob.id()));
    }
    ann.direct(bob.id()).send("next").await.expect("acknowledged");
    for inbox in &mut inboxes {
        assert_eq!(next(inbox).await.payload.as_text(), Some("next"), "nothing twice");
    }
}

#[tokio::test]
async fn a_send_that_is_dropped_half_way_is_sent_all_the_same() {
    let (_memory, _station, ann, bob) = two().await;
    let mut bobs = bob.inbox();
    let direct = ann.direct(bob.id());
    assert!(direct.send("dropped").now_or_never().is_none(), "it was polled once, then dropped");
    assert!(direct.send_accepted("dropped too").now_or_never().is_none());
    drop(bobs.recv().now_or_never());
    assert_eq!(next(&mut bobs).await.payload.as_text(), Some("dropped"));
    assert_eq!(next(&mut bobs).await.payload.as_text(), Some("dropped too"));
}

#[tokio::test]
async fn what_does_not_fit_waits_and_a_dropped_wait_sends_nothing() {
    let (_memory, _station, ann, bob) = two().await;
    let mut bobs = bob.inbox();
    let direct = ann.direct(bob.id());
    let queued = (0..1_000).take_while(|number| direct.try_send(number.to_string()).is_ok()).count();
    assert_eq!(queued, 256);
    assert_eq!(direct.try_send("more"), Err(TrySendError::Full));
    assert!(direct.send("never").now_or_never().is_none());
    direct.send("last").await.expect("there was room in the end");
    for number in 0..queued {
        assert_eq!(next(&mut bobs).await.payload.as_text(), Some(&*number.to_string()));
    }
    assert_eq!(next(&mut bobs).await.payload.as_text(), Some("last"));
}

#[tokio::test]
async fn headers_take_their_room_as_contents_do_so_that_what_waits_is_not_refused() {
    let (_memory, _station, ann, bob) = two().await;
    let direct = ann.direct(bob.id());
    let burst = (0..256).map(|_| direct.send(Payload::from(vec![0; 4_096]).header("title", vec![1; 1_000])));
    for sent in futures_util::future::join_all(burst).await {
        sent.expect("it waits its turn");
    }
}

#[tokio::test]
async fn a_client_that_is_not_reachable_is_so_after_its_first_message() {
    let (memory, _station, ann, _bob) = two().await;
    let quiet = Client::builder(identity(9))
        .transport(memory)
        .reachable(false)
        .connect(addr("station"))
        .await
        .expect("connected");
    assert_eq!(ann.direct(quiet.id()).send("there?").await, Err(SendError::NotHere));
    let mut anns = ann.inbox();
    quiet.direct(ann.id()).send("here").await.expect("acknowledged");
    let from = next(&mut anns).await.from;
    let mut inbox = quiet.inbox();
    ann.direct(from).send("there you are").await.expect("acknowledged");
    assert_eq!(next(&mut inbox).await.payload.as_text(), Some("there you are"));
}

#[tokio::test]
async fn every_inbox_ends_with_its_client_whether_that_was_closed_or_dropped() {
    let (_memory, _station, ann, bob) = two().await;
    let waiting = |client: &Client| {
        let inboxes = (0..3).map(|_| client.inbox());
        inboxes.map(|mut inbox| tokio::spawn(async move { inbox.recv().await })).collect::<Vec<_>>()
    };
    let (anns, bobs) = (waiting(&ann), waiting(&bob));
    tokio::task::yield_now().await;
    ann.close().await;
    drop(bob);
    for reader in anns.into_iter().chain(bobs) {
        let end = tokio::time::timeout(PATIENCE, reader).await.expect("it ends").expect("no panic");
        assert_eq!(end, None);
    }
}

#[tokio::test]
async fn a_blocked_key_is_not_heard_and_a_verified_one_is_marked_as_such() {
    let (memory, _station, ann, bob) = two().await;
    let carol = Client::builder(identity(8))
        .transport(memory)
        .trust(ann.id(), Trust::Blocked)
        .trust(bob.id(), Trust::Verified)
        .connect(addr("station"))
        .await
        .expect("connected");
    let mut inbox = carol.inbox();
    ann.direct(carol.id()).try_send("let me in").expect("queued");
    bob.direct(carol.id()).send("it is me").await.expect("acknowledged");
    let message = next(&mut inbox).await;
    assert_eq!((message.payload.as_text(), message.trust), (Some("it is me"), Trust::Verified));
    carol.trust(ann.id(), Trust::Unknown);
    ann.direct(carol.id()).send("now?").await.expect("acknowledged");
    let heard = [next(&mut inbox).await, next(&mut inbox).await];
    assert!(heard.iter().all(|message| message.from == ann.id() && message.trust == Trust::Unknown));
}
