//! How entries become posts, and what answers do to them.

use super::*;
use darkchat_proto::EntryKind;
use darkchat_proto::limits::MAX_PAYLOAD;

const CHANNEL: ChannelId = ChannelId::new([1; 32]);
const AUTHOR: UserId = UserId::new([2; 32]);

fn open() -> OwnStream {
    OwnStream { open: true, ..OwnStream::new(CHANNEL, 77, UserName::default()) }
}

fn data(len: usize) -> Entry {
    Entry::new(EntryKind::Data, vec![0; len].into())
}

fn push(stream: &mut OwnStream, ticket: u64, entry: Entry) {
    stream.push(Waiting { ticket: Some(Ticket(ticket)), entry, since: Time::ZERO });
}

/// Cuts, signs and sends one post; gives its first number and its number of entries.
fn leave(stream: &mut OwnStream, req: u32) -> Option<(u64, usize)> {
    let (entries, Cost { bytes, .. }) = stream.ready(MAX_PAYLOAD)?;
    let taken = stream.take(Time::ZERO, entries);
    let (body, _) = stream.cut(1, AUTHOR, taken, SignId(req.into()));
    let post = Post::decode(body).expect("a post by the rules");
    assert!(stream.signed(SignId(req.into()), Signature::new([9; 64])));
    let (deliver, cost, _) = stream.sendable().expect("signed and in turn");
    assert!(deliver.len() <= bytes.min(MAX_DELIVER), "{} estimated, {bytes}", deliver.len());
    stream.sent(req);
    assert_eq!(cost, Cost { entries, bytes: deliver.len() });
    Some((post.seq, entries))
}

#[test]
fn an_idle_stream_sends_at_once_and_then_entries_gather_until_the_answer() {
    let mut stream = open();
    push(&mut stream, 1, data(10));
    assert_eq!(leave(&mut stream, 1), Some((1, 1)));
    push(&mut stream, 2, data(10));
    push(&mut stream, 3, data(10));
    assert_eq!(stream.ready(MAX_PAYLOAD), None, "the first post has no answer yet");
    assert_eq!(stream.answered(1).map(|post| post.tickets), Some(vec![Some(Ticket(1))]));
    assert_eq!(leave(&mut stream, 2), Some((2, 2)));
    let tickets = stream.answered(2).map(|post| post.tickets);
    assert_eq!(tickets, Some(vec![Some(Ticket(2)), Some(Ticket(3))]));
    assert!(stream.is_idle());
}

#[test]
fn a_full_post_leaves_before_the_answer_by_entries_and_by_bytes() {
    let mut stream = open();
    push(&mut stream, 0, data(1));
    leave(&mut stream, 1);
    for ticket in 0..63 {
        push(&mut stream, ticket, data(1));
    }
    assert_eq!(leave(&mut stream, 2), None);
    push(&mut stream, 63, data(1));
    assert_eq!(leave(&mut stream, 2), Some((2, 64)));
    push(&mut stream, 64, data(10_000));
    assert_eq!(leave(&mut stream, 3), None);
    push(&mut stream, 65, data(10_000));
    assert_eq!(leave(&mut stream, 3), Some((66, 1)), "two would be over 16 KiB");
    assert_eq!(leave(&mut stream, 4), None, "the second gathers");
}

#[test]
fn a_large_entry_leaves_alone_after_what_was_waiting() {
    let mut stream = open();
    push(&mut stream, 0, data(1));
    leave(&mut stream, 1);
    push(&mut stream, 1, data(5));
    push(&mut stream, 2, data(65_536));
    push(&mut stream, 3, data(5));
    assert_eq!(leave(&mut stream, 2), Some((2, 1)));
    assert_eq!(leave(&mut stream, 3), Some((3, 1)));
    assert_eq!(leave(&mut stream, 4), None);
}

#[test]
fn the_largest_entries_with_the_most_around_them_make_posts_by_the_rules() {
    let mut stream = open();
    stream.name = "x".repeat(48).parse().unwrap();
    let mut entry = data(65_536);
    entry.content_type = "t".repeat(64);
    for number in 0..16 {
        entry.headers.insert(format!("{number:02}{}", "n".repeat(30)), vec![7; 32].into());
    }
    push(&mut stream, 0, entry.clone());
    assert_eq!(leave(&mut stream, 1), Some((1, 1)));
    // 64 entries with 16 headers each: 64 headers a post are the most.
    entry.content = vec![0; 3].into();
    for ticket in 0..64 {
        push(&mut stream, ticket, entry.clone());
    }
    assert_eq!(leave(&mut stream, 2), Some((2, 4)));
}

#[test]
fn a_server_that_takes_less_gets_smaller_posts() {
    let mut stream = open();
    push(&mut stream, 0, data(600));
    push(&mut stream, 1, data(600));
    assert_eq!(stream.ready(1_000).map(|(entries, _)| entries), Some(1));
}

#[test]
fn sixteen_posts_at_most_are_without_an_answer() {
    let mut stream = open();
    for ticket in 0..20 {
        push(&mut stream, ticket, data(20_000));
    }
    let left = (1..=20).take_while(|req| leave(&mut stream, *req).is_some()).count();
    assert_eq!(left, COALESCE_UNACKED);
    stream.answered(3);
    assert_eq!(leave(&mut stream, 50), Some((17, 1)));
}

#[test]
fn after_a_refusal_for_the_rate_the_same_bytes_go_again_in_order() {
    let mut stream = open();
    for ticket in 0..3 {
        push(&mut stream, ticket, data(20_000));
        leave(&mut stream, u32::try_from(ticket).unwrap() + 1);
    }
    let bytes: Vec<Bytes> = stream.posts.iter().map(|post| post.deliver.clone()).collect();
    stream.refused(1, Time::from_millis(100));
    push(&mut stream, 3, data(20_000));
    assert_eq!(stream.ready(MAX_PAYLOAD), None, "nothing new before the repeat");
    assert_eq!((stream.hold_until(), stream.sendable()), (Some(Time::from_millis(100)), None));
    stream.wake(Time::from_millis(100));
    assert_eq!(stream.sendable(), None, "the later posts have no answers yet");
    stream.refused(2, Time::from_millis(90));
    stream.refused(3, Time::from_millis(90));
    stream.wake(Time::from_millis(100));
    for (req, sent) in (11..).zip(&bytes) {
        assert_eq!(stream.sendable(), Some((sent.clone(), Cost { entries: 1, bytes: sent.len() }, true)));
        stream.sent(req);
    }
    assert_eq!(leave(&mut stream, 14), Some((4, 1)));
}

#[test]
fn a_lost_link_sends_again_what_had_no_answer() {
    let mut stream = open();
    push(&mut stream, 0, data(1));
    leave(&mut stream, 1);
    let sent = stream.posts[0].deliver.clone();
    stream.close();
    assert_eq!(stream.sendable(), None);
    stream.open = true;
    let cost = Cost { entries: 1, bytes: sent.len() };
    assert_eq!(stream.sendable(), Some((sent, cost, true)));
}

#[test]
fn what_waits_too_long_for_a_link_is_taken_out_with_its_tickets() {
    let mut stream = open();
    push(&mut stream, 0, data(7));
    leave(&mut stream, 1);
    push(&mut stream, 1, data(8));
    stream.push(Waiting { ticket: None, entry: data(9), since: Time::from_millis(50) });
    stream.close();
    let expired = stream.expire(Time::from_millis(10));
    assert_eq!((expired.tickets, expired.entries, expired.bytes), (vec![Ticket(0), Ticket(1)], 2, 15));
    assert_eq!(stream.oldest(), Some(Time::from_millis(50)));
}
