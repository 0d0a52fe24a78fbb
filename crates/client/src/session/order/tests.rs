//! What others' streams look like to the user, whatever the network does with their posts.

use super::*;
use darkchat_proto::{Entry, EntryKind};
use proptest::prelude::*;

const WALL: u64 = 1_700_000_000_000;

fn author(number: u8) -> UserId {
    UserId::new([number; 32])
}

fn post(stream: u64, seq: u64, entries: usize) -> Post {
    Post {
        author: author(1),
        channel: ChannelId::new([1; 32]),
        stream,
        seq,
        time_ms: WALL,
        name: String::new(),
        entries: vec![Entry::new(EntryKind::Data, vec![0; 10].into()); entries],
    }
}

/// The id that a post would have: of its content, so that a repeat has the same.
fn id(post: &Post) -> PostId {
    PostId::of_body(&post.encode())
}

fn receive(order: &mut Order, at: Time, post: &Post) -> (Verdict, Vec<Release>) {
    let mut out = Vec::new();
    let verdict = order.receive(at, WALL, id(post), post.clone(), &mut out);
    (verdict, out)
}

fn expire(order: &mut Order, at: Time) -> Vec<Release> {
    let mut out = Vec::new();
    order.expire(at, &mut out);
    out
}

/// The first numbers of released posts, and gaps as negative spans.
fn numbers(releases: &[Release]) -> Vec<(i64, i64)> {
    let signed = |number: u64| i64::try_from(number).unwrap();
    releases
        .iter()
        .map(|release| match release {
            Release::Post { post, .. } => (signed(post.seq), signed(post.next_seq() - 1)),
            Release::Gap { from, to, .. } => (-signed(*from), -signed(*to)),
        })
        .collect()
}

const fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

#[test]
fn the_first_post_starts_a_stream_and_what_is_below_it_is_late() {
    let mut order = Order::default();
    let (verdict, out) = receive(&mut order, ms(0), &post(1, 100, 3));
    assert_eq!((verdict, numbers(&out)), (Verdict::Taken, vec![(100, 102)]));
    assert_eq!(receive(&mut order, ms(0), &post(1, 99, 1)).0, Verdict::Late);
    assert_eq!(receive(&mut order, ms(0), &post(1, 99, 1)).0, Verdict::Duplicate);
}

#[test]
fn a_hole_is_waited_for_500_ms_from_the_post_behind_it_and_then_reported() {
    let mut order = Order::default();
    receive(&mut order, ms(0), &post(1, 1, 1));
    assert!(receive(&mut order, ms(100), &post(1, 5, 2)).1.is_empty());
    assert!(receive(&mut order, ms(300), &post(1, 3, 1)).1.is_empty());
    assert_eq!(order.deadline(), Some(ms(600)), "the post that came at 100 ms waits no longer");
    assert!(expire(&mut order, ms(599)).is_empty());
    let out = expire(&mut order, ms(600));
    assert_eq!(
        numbers(&out),
        [(-2, -2), (3, 3), (-4, -4), (5, 6)],
        "the last post has waited for both holes"
    );
    assert_eq!(receive(&mut order, ms(601), &post(1, 2, 1)).0, Verdict::Late);
}

#[test]
fn a_post_that_fills_the_hole_in_time_brings_everything_behind_it() {
    let mut order = Order::default();
    receive(&mut order, ms(0), &post(1, 1, 1));
    receive(&mut order, ms(10), &post(1, 4, 2));
    receive(&mut order, ms(10), &post(1, 3, 1));
    let (_, out) = receive(&mut order, ms(400), &post(1, 2, 1));
    assert_eq!(numbers(&out), [(2, 2), (3, 3), (4, 5)]);
    assert!(order.waiting.is_empty() && order.held_posts == 0 && order.held_bytes == 0);
}

#[test]
fn a_post_that_overlaps_one_that_was_seen_is_dropped_as_a_whole() {
    let mut order = Order::default();
    receive(&mut order, ms(0), &post(1, 1, 4));
    assert_eq!(receive(&mut order, ms(0), &post(1, 4, 2)).0, Verdict::Duplicate);
    let (verdict, out) = receive(&mut order, ms(0), &post(1, 5, 1));
    assert_eq!((verdict, numbers(&out)), (Verdict::Taken, vec![(5, 5)]));
}

#[test]
fn nothing_stamped_more_than_300_s_from_our_clock_is_taken() {
    let mut order = Order::default();
    for (offset, verdict) in [(300_000, Verdict::Taken), (300_001, Verdict::Stale)] {
        let ahead = Post { time_ms: WALL + offset, ..post(offset, 1, 1) };
        let behind = Post { time_ms: WALL - offset, ..post(offset + 10, 1, 1) };
        assert_eq!(receive(&mut order, ms(0), &ahead).0, verdict);
        assert_eq!(receive(&mut order, ms(0), &behind).0, verdict);
    }
    let absurd = Post { time_ms: u64::MAX, ..post(9, 1, 1) };
    assert_eq!(receive(&mut order, ms(0), &absurd).0, Verdict::Stale);
}

#[test]
fn a_forgotten_stream_is_not_replayed_because_its_ids_are_remembered() {
    let mut order = Order::default();
    let first = post(1, 1, 1);
    receive(&mut order, ms(0), &first);
    order.forget(first.channel);
    assert!(order.streams.is_empty() && order.by_use.is_empty());
    assert_eq!(receive(&mut order, ms(1), &first).0, Verdict::Duplicate);
}

#[test]
fn at_most_4096_streams_have_state_and_the_least_recently_used_goes() {
    let mut order = Order::default();
    for stream in 1..=4_096 {
        receive(&mut order, ms(stream), &post(stream, 1, 1));
    }
    receive(&mut order, ms(5_000), &post(1, 2, 1));
    receive(&mut order, ms(5_001), &post(9_999, 1, 1));
    assert_eq!(order.streams.len(), STREAMS);
    assert_eq!(order.by_use.len(), STREAMS);
    let known = |stream| order.streams.keys().any(|key| key.stream == stream);
    assert!(known(1) && known(9_999) && !known(2));
}

#[test]
fn a_stream_that_must_go_gives_out_what_it_held() {
    let mut order = Order::default();
    receive(&mut order, ms(0), &post(1, 1, 1));
    receive(&mut order, ms(0), &post(1, 3, 1));
    let mut gave = Vec::new();
    for stream in 2..=5_000 {
        gave.extend(receive(&mut order, ms(1), &post(stream, 1, 1)).1);
    }
    assert!(numbers(&gave).windows(2).any(|pair| pair == [(-2, -2), (3, 3)]));
}

#[test]
fn a_stream_is_forgotten_after_20_idle_minutes() {
    let mut order = Order::default();
    receive(&mut order, ms(0), &post(1, 1, 1));
    expire(&mut order, ms(1_199_999));
    assert_eq!(order.streams.len(), 1);
    expire(&mut order, ms(1_200_000));
    assert!(order.streams.is_empty());
}

#[test]
fn holes_hold_back_1024_posts_and_4_mib_at_most() {
    let mut order = Order::default();
    receive(&mut order, ms(0), &post(1, 1, 1));
    let mut released = 0;
    for number in 0..2_000 {
        released += receive(&mut order, ms(1), &post(1, 3 + 2 * number, 1)).1.len();
        assert!(order.held_posts <= HELD_POSTS);
    }
    assert_eq!(released, 2 * (2_000 - HELD_POSTS), "each with its gap");
    let mut order = Order::default();
    receive(&mut order, ms(0), &post(1, 1, 1));
    for number in 0..100 {
        let mut large = post(1, 3 + 2 * number, 1);
        large.entries[0].content = vec![0; 65_536].into();
        receive(&mut order, ms(1), &large);
        assert!(order.held_bytes <= HELD_BYTES);
    }
    assert_eq!(order.held_posts, 64);
}

proptest! {
    /// Two authors' streams, cut into posts, shuffled, repeated and thinned out by a hostile network.
    #[test]
    fn whatever_arrives_is_shown_once_in_order_and_every_hole_is_told(
        sizes in prop::collection::vec(1_usize..=5, 1..60),
        picks in prop::collection::vec((0_usize..60, 0_u64..300), 1..200),
    ) {
        let mut posts = Vec::new();
        let mut seq = 1;
        for size in sizes {
            let next = post(7, seq, size);
            seq = next.next_seq();
            posts.push(next);
        }
        let mut order = Order::default();
        let mut out = Vec::new();
        let (mut now, mut taken, mut not) = (Time::ZERO, 0, 0);
        for (pick, wait) in &picks {
            now = now + Duration::from_millis(*wait);
            order.expire(now, &mut out);
            prop_assert!(order.deadline().is_none_or(|at| at > now));
            let (verdict, released) = receive(&mut order, now, &posts[pick % posts.len()]);
            out.extend(released);
            if verdict == Verdict::Taken { taken += 1 } else { not += 1 }
        }
        order.expire(now + REORDER_WAIT, &mut out);

        // S1, S2, S5: a run without overlap, in which each number is shown or told to be missing.
        let mut next = None;
        let mut shown = 0;
        for release in &out {
            let (from, to) = match release {
                Release::Post { post, .. } => { shown += 1; (post.seq, post.next_seq() - 1) }
                Release::Gap { from, to, .. } => (*from, *to),
            };
            prop_assert!(next.is_none_or(|next| next == from), "{:?}", numbers(&out));
            next = Some(to + 1);
        }
        let is_gap = |release: Option<&Release>| matches!(release, Some(Release::Gap { .. }));
        prop_assert!(!is_gap(out.first()) && !is_gap(out.last()));
        prop_assert_eq!((shown, taken + not), (taken, picks.len()));
        prop_assert_eq!((order.held_posts, order.held_bytes, order.waiting.len()), (0, 0, 0));
    }
}
