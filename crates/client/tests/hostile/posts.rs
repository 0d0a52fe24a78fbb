//! What is done to posts on their way.

use super::*;
use bytes::Bytes;
use darkchat_client::session;
use darkchat_crypto::{Identity, sign};
use darkchat_proto::{Entry, EntryKind, Kind, MessageId, Network, Post, PostId, Signed};
use futures_util::StreamExt as _;

#[tokio::test]
async fn posts_of_others_cannot_be_made_altered_or_given_to_somebody_else() {
    let (mut victim, mut liar, _listener) = Victim::in_lobby().await;
    let (ann, eve) = (identity(4), identity(1));
    let body = post(&ann, 1, "never said");
    let true_one = signed(&ann, "main", &post(&ann, 1, "true"));
    let stolen = post(&eve, 1, "true").encode();
    let attempts = [
        // By the server itself, in her name; with a signature of hers from another text; from another network.
        signed(&eve, "main", &body),
        Signed { body: body.encode(), sig: true_one.sig },
        signed(&ann, "elsewhere", &body),
        // What she said, as somebody else's.
        Signed { body: stolen, sig: true_one.sig },
    ];
    let count = u64::try_from(attempts.len()).unwrap();
    for signed in attempts {
        liar.say(&[deliver(channel("lobby"), signed)]).await;
    }
    liar.say(&[deliver(channel("lobby"), true_one), true_post(&ann, 2, "end")]).await;
    assert_eq!(victim.until("end").await, ["true", "end"]);
    victim.named(&[(Fault::Forged, count)]).await;
    assert_eq!((victim.stats().bad_signature, victim.stats().shown), (count, 2));
}

#[tokio::test]
async fn no_bit_of_a_post_can_be_turned() {
    let (mut victim, mut liar, _listener) = Victim::in_lobby().await;
    let ann = identity(4);
    let Kind::Deliver(bytes) = true_post(&ann, 1, "true").kind else { panic!("a post") };
    // Every seventh bit, so that every byte is touched and the run stays short.
    let bits: Vec<usize> = (0..bytes.len() * 8).step_by(7).collect();
    for bit in &bits {
        let mut turned = bytes.to_vec();
        turned[bit / 8] ^= 1 << (bit % 8);
        liar.say(&[Kind::Deliver(turned.into()).into()]).await;
    }
    liar.say(&[Kind::Deliver(bytes).into(), true_post(&ann, 2, "end")]).await;
    assert_eq!(victim.until("end").await, ["true", "end"]);
    let stats = victim.stats();
    let refused = stats.bad_signature + stats.malformed;
    assert_eq!((refused, stats.shown), (u64::try_from(bits.len()).unwrap(), 2), "{stats:?}");
    assert!(stats.bad_signature > 0 && stats.malformed > 0);
    victim.named(&[(Fault::Forged, stats.bad_signature), (Fault::Malformed, stats.malformed)]).await;
}

#[tokio::test]
async fn a_post_cannot_be_moved_to_another_channel() {
    let (mut victim, mut liar, _listener) = Victim::in_lobby().await;
    let ann = identity(4);
    let elsewhere = Post { channel: channel("cellar"), ..post(&ann, 1, "in the cellar") };
    liar.say(&[
        deliver(channel("lobby"), signed(&ann, "main", &elsewhere)),
        deliver(channel("cellar"), signed(&ann, "main", &post(&ann, 1, "in the lobby"))),
        deliver(channel("cellar"), signed(&ann, "main", &elsewhere)),
        true_post(&ann, 2, "end"),
    ])
    .await;
    assert_eq!(victim.until("end").await, ["end"]);
    victim.named(&[(Fault::Malformed, 2), (Fault::Misdirected, 1)]).await;
    assert_eq!((victim.stats().malformed, victim.stats().misdirected), (2, 1));
}

#[tokio::test]
async fn a_post_is_shown_once_also_after_a_reconnect_and_not_an_hour_later() {
    let (mut victim, mut liar, mut listener) = Victim::in_lobby().await;
    let ann = identity(4);
    let old = Post { time_ms: now_ms() - 3_600_000, ..post(&ann, 1, "an hour ago") };
    let (one, two) = (true_post(&ann, 1, "one"), true_post(&ann, 2, "two"));
    liar.say(&[deliver(channel("lobby"), signed(&ann, "main", &old))]).await;
    liar.say(&[one.clone(), one.clone(), two.clone(), one.clone()]).await;
    assert_eq!(victim.until("two").await, ["one", "two"]);
    victim.named(&[(Fault::Stale, 1), (Fault::Repeated, 2)]).await;
    drop(liar);
    let mut liar = Scripted::accept(&mut listener).await;
    liar.take_in().await;
    liar.say(&[two, one, true_post(&ann, 3, "three")]).await;
    assert_eq!(victim.until("three").await, ["three"]);
    victim.named(&[(Fault::Stale, 1), (Fault::Repeated, 4)]).await;
    assert_eq!((victim.stats().stale, victim.stats().duplicate, victim.stats().shown), (1, 4, 3));
}

#[tokio::test]
async fn posts_of_one_author_are_shown_in_order_and_what_is_held_back_is_missed_aloud() {
    let (mut victim, mut liar, _listener) = Victim::in_lobby().await;
    let ann = identity(4);
    let number = |seq: u64| true_post(&ann, seq, &seq.to_string());
    liar.say(&[number(1), number(4), number(3), number(2)]).await;
    assert_eq!(victim.until("4").await, ["1", "2", "3", "4"]);
    liar.say(&[number(6)]).await;
    let missed = loop {
        match soon(victim.lobby.recv()).await.expect("the channel lives") {
            Received::Missed(missed) => break missed,
            Received::Message(message) => panic!("{message:?}"),
            _ => {}
        }
    };
    assert_eq!((missed.from, missed.count), (Some(ann.user_id()), Some(1)));
    assert_eq!(victim.until("6").await, ["6"]);
    liar.say(&[number(5), number(7)]).await;
    assert_eq!(victim.until("7").await, ["7"]);
    victim.named(&[(Fault::Late, 1)]).await;
    assert_eq!((victim.stats().late, victim.stats().gap), (1, 1));
}

/// A flood of lies is told of a few times, not a thousand times.
#[tokio::test]
async fn however_much_is_forged_little_is_said() {
    let (mut victim, mut liar, _listener) = Victim::in_lobby().await;
    let ann = identity(4);
    let forged = deliver(channel("lobby"), signed(&identity(1), "main", &post(&ann, 1, "forged")));
    for _ in 0..1_000 {
        liar.say(std::slice::from_ref(&forged)).await;
    }
    liar.say(&[true_post(&ann, 1, "end")]).await;
    assert_eq!(victim.until("end").await, ["end"]);
    let mut notes = 0;
    while victim.told.get(&Fault::Forged) != Some(&1_000) {
        if let Note::Rejected { fault, count } = soon(victim.notes.next()).await.expect("the client lives") {
            *victim.told.entry(fault).or_default() += count;
            notes += 1;
        }
    }
    assert!(notes < 60, "{notes} notes: one a second");
}

/// What a client makes of a delivery: under which id it would know the post, and whether its author signed it.
fn judged(signed: Signed) -> Option<(PostId, bool)> {
    match session::Received::check(&Network::default(), deliver(channel("lobby"), signed)) {
        session::Received::Post { id, post, .. } => Some((id, post.is_ok())),
        session::Received::Malformed => None,
        other => panic!("{other:?}"),
    }
}

/// A post in which everything that can be changed is there.
fn rich(author: &Identity) -> Post {
    let answered = MessageId { post: PostId::new([7; 16]), index: 1 };
    let second = Entry {
        content_type: "text/plain".to_owned(),
        headers: BTreeMap::from([("kind".to_owned(), Bytes::from_static(b"note"))]),
        reply_to: Some(answered),
        ..Entry::text("second")
    };
    Post { name: "ann".to_owned(), entries: vec![Entry::text("first"), second], ..post(author, 3, "") }
}

/// Case E4 of the test plan.
#[test]
fn e4_a_valid_message_with_a_changed_body_or_entry_is_refused_and_has_another_id() {
    let ann = identity(4);
    let true_one = signed(&ann, "main", &rich(&ann));
    let (id, good) = judged(true_one.clone()).expect("a post");
    assert!(good && id == PostId::of_body(&true_one.body));
    let changes: [fn(&mut Post); 14] = [
        |post| post.author = identity(5).user_id(),
        |post| post.channel = channel("cellar"),
        |post| post.stream += 1,
        |post| post.seq += 1,
        |post| post.time_ms += 1,
        |post| post.name.push('a'),
        |post| post.entries[0] = Entry::text("First"),
        |post| post.entries[1].kind = EntryKind::Data,
        |post| post.entries[1].content_type.clear(),
        |post| post.entries[1].headers.clear(),
        |post| post.entries[1].reply_to = None,
        |post| post.entries.swap(0, 1),
        |post| post.entries.push(Entry::text("third")),
        |post| drop(post.entries.pop()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = rich(&ann);
        changed.time_ms = Post::decode(true_one.body.clone()).expect("a post").time_ms;
        change(&mut changed);
        let (other, good) = judged(Signed { body: changed.encode(), sig: true_one.sig }).expect("a post");
        assert!(!good && other != id, "change {number}");
    }
}

/// Case E4 of the test plan: what says the same in other bytes is another message, and one that nobody signed.
#[test]
fn e4_ids_derive_from_the_signed_bytes_alone() {
    let ann = identity(4);
    let true_one = signed(&ann, "main", &rich(&ann));
    let (id, _) = judged(true_one.clone()).expect("a post");
    // A field that this version does not know, at the end: it decodes to the same post.
    let longer = [&true_one.body[..], &[0xFA, 0x06, 0x01, b'x']].concat();
    assert_eq!(Post::decode(longer.clone().into()), Post::decode(true_one.body.clone()));
    let (other, good) = judged(Signed { body: longer.into(), sig: true_one.sig }).expect("a post");
    assert!(!good && other != id);
    // Another signature is not part of it, whether it is good or not.
    let forged =
        Signed { sig: identity(5).sign(&sign::post(&Network::default(), &true_one.body)), ..true_one };
    assert_eq!(judged(forged), Some((id, false)));
}
