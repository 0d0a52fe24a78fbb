//! The meter of one link's task: what it may read, and when. Source: `docs/protocol.md`, sections 5.2 and 10.1.

use super::{Bucket, ClientBudgets, PeerBudgets, Profile, RATE_WAIT, advice};
use darkchat_proto::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the task does with what it has just read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Process it.
    Go,
    /// Process it after this time, and read nothing meanwhile. At most [`RATE_WAIT`]; the tokens are taken already.
    Wait(Duration),
    /// Do not process it. On a client's link hand in [`Received::Refused`](crate::Received::Refused) with
    /// `RATE_LIMITED`; on a peer's link do the same for a `Route` of class CHANNEL, and process everything else.
    Refuse {
        /// When it would pass, in milliseconds.
        retry_ms: u32,
    },
    /// Do not process this post: an earlier one of its stream was refused. Hand in
    /// [`Received::Held`](crate::Received::Held).
    Hold {
        /// When the rule ends at the latest, in milliseconds.
        retry_ms: u32,
    },
}

/// After a refused post, how long later ones of its stream are refused if it does not come again. Source: 5.2.
const ORDER_TIME: Duration = Duration::from_secs(10);
/// Streams that one link may have under that rule; the one that ends first goes. A library has one per channel.
const ORDER_STREAMS: usize = 256;

/// Counts what comes in on one link, ahead of decoding bodies and checking signatures.
///
/// Call [`unit`](Self::unit) for each unit, [`frame`](Self::frame) for each frame and for each record without
/// plaintext, and [`post`](Self::post) for each `Publish`, in this order, and carry out each verdict.
///
/// ```
/// use darkchat_node::{Meter, Profile, Verdict};
/// use darkchat_proto::Time;
/// let mut meter = Meter::client(Profile::Public);
/// let now = Time::from_millis(1);
/// assert!((0..400).all(|_| meter.frame(now) == Verdict::Go));
/// assert!(matches!(meter.frame(now), Verdict::Wait(time) if time.as_millis() == 10));
/// ```
#[derive(Debug, Clone)]
pub struct Meter {
    frames: Bucket,
    bytes: Bucket,
    /// Posts and entries; none on a peer's link, whose posts come inside routes and were counted at their ingress.
    posts: Option<(Bucket, Bucket)>,
    /// On a peer's link: the unit at hand was over the budget of bytes.
    over: bool,
    /// Stream to refused number and end of the rule.
    refused: BTreeMap<u64, (u64, Time)>,
}

impl Meter {
    /// For a client's link.
    #[must_use]
    pub fn client(profile: Profile) -> Self {
        let budgets = ClientBudgets::of(profile);
        let posts = Some((Bucket::new(budgets.posts), Bucket::new(budgets.entries)));
        Self::new(Bucket::new(budgets.frames), Bucket::new(budgets.bytes), posts)
    }

    /// For a peer's link; a pinned one, which is one that we dialled, is trusted in either profile. Its verdicts
    /// never are to wait.
    #[must_use]
    pub fn peer(profile: Profile, pinned: bool) -> Self {
        let budgets = PeerBudgets::of(if pinned { Profile::Trusted } else { profile });
        Self::new(Bucket::new(budgets.frames), Bucket::new(budgets.bytes), None)
    }

    const fn new(frames: Bucket, bytes: Bucket, posts: Option<(Bucket, Bucket)>) -> Self {
        Self { frames, bytes, posts, over: false, refused: BTreeMap::new() }
    }

    /// Counts a unit of `bytes`. On a peer's link the verdict can be left alone: [`frame`](Self::frame) repeats it.
    pub fn unit(&mut self, now: Time, bytes: usize) -> Verdict {
        let tokens = u64::try_from(bytes).unwrap_or(u64::MAX);
        let verdict = Self::take(now, &mut [(&mut self.bytes, tokens)], self.posts.is_some());
        self.over = matches!(verdict, Verdict::Refuse { .. });
        verdict
    }

    /// Counts a frame, or a record without plaintext.
    pub fn frame(&mut self, now: Time) -> Verdict {
        if self.over && self.posts.is_none() {
            return Verdict::Refuse { retry_ms: 0 };
        }
        Self::take(now, &mut [(&mut self.frames, 1)], self.posts.is_some())
    }

    /// Counts a post of `entries`; a sealed one counts as one entry per KiB begun.
    pub fn post(&mut self, now: Time, stream: u64, seq: u64, entries: usize) -> Verdict {
        let Some((posts, all_entries)) = &mut self.posts else { return Verdict::Go };
        self.refused.retain(|_, (_, until)| *until > now);
        if let Some((refused, until)) = self.refused.get(&stream)
            && seq > *refused
        {
            return Verdict::Hold { retry_ms: advice(until.saturating_since(now)) };
        }
        let tokens = u64::try_from(entries).unwrap_or(u64::MAX);
        let verdict = Self::take(now, &mut [(posts, 1), (all_entries, tokens)], true);
        if matches!(verdict, Verdict::Refuse { .. }) {
            self.remember(stream, seq, now + ORDER_TIME);
        } else if self.refused.get(&stream).is_some_and(|(refused, _)| *refused == seq) {
            self.refused.remove(&stream);
        }
        verdict
    }

    fn remember(&mut self, stream: u64, seq: u64, until: Time) {
        let first = self.refused.get(&stream).map_or(seq, |(refused, _)| seq.min(*refused));
        self.refused.insert(stream, (first, until));
        if self.refused.len() > ORDER_STREAMS {
            let ends_first =
                self.refused.iter().min_by_key(|(_, (_, until))| *until).map(|(stream, _)| *stream);
            if let Some(stream) = ends_first {
                self.refused.remove(&stream);
            }
        }
    }

    /// Takes from all buckets or from none.
    fn take(now: Time, from: &mut [(&mut Bucket, u64)], may_wait: bool) -> Verdict {
        let wait = from.iter().map(|(bucket, tokens)| bucket.wait(now, *tokens)).max().unwrap_or_default();
        if wait > RATE_WAIT || (!wait.is_zero() && !may_wait) {
            return Verdict::Refuse { retry_ms: advice(wait) };
        }
        for (bucket, tokens) in from {
            bucket.take(now, *tokens);
        }
        if wait.is_zero() { Verdict::Go } else { Verdict::Wait(wait) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000);

    #[test]
    fn posts_over_the_budget_wait_and_beyond_two_seconds_are_refused() {
        let mut meter = Meter::client(Profile::Public);
        assert!((0..100).all(|seq| meter.post(NOW, 1, seq + 1, 1) == Verdict::Go));
        assert_eq!(meter.post(NOW, 1, 101, 1), Verdict::Wait(Duration::from_millis(50)));
        for seq in 102..=140 {
            assert!(matches!(meter.post(NOW, 1, seq, 1), Verdict::Wait(_)));
        }
        assert!(matches!(meter.post(NOW, 1, 141, 1), Verdict::Refuse { retry_ms: 2_051 }));
    }

    #[test]
    fn entries_have_a_budget_of_their_own() {
        let mut meter = Meter::client(Profile::Public);
        assert!((0..12).all(|n| meter.post(NOW, 1, n * 64 + 1, 64) == Verdict::Go));
        assert_eq!(meter.post(NOW, 1, 769, 64), Verdict::Wait(Duration::from_millis(160)));
    }

    /// Uses up the posts budget so far that the next post is refused.
    fn exhausted() -> Meter {
        let mut meter = Meter::client(Profile::Public);
        for seq in 1..=140 {
            meter.post(NOW, 9, seq, 1);
        }
        meter
    }

    #[test]
    fn after_a_refused_post_later_ones_of_its_stream_wait_for_it() {
        let mut meter = exhausted();
        assert!(matches!(meter.post(NOW, 1, 5, 1), Verdict::Refuse { .. }));
        let later = NOW + Duration::from_secs(5);
        assert!(matches!(meter.post(later, 1, 6, 1), Verdict::Hold { .. }), "its turn has not come");
        assert_eq!(meter.post(later, 2, 1, 1), Verdict::Go, "another stream is free");
        assert_eq!(meter.post(later, 1, 5, 1), Verdict::Go, "the refused number comes again");
        assert_eq!(meter.post(later, 1, 6, 1), Verdict::Go);
    }

    #[test]
    fn the_ordering_rule_ends_after_ten_seconds() {
        let mut meter = exhausted();
        assert!(matches!(meter.post(NOW, 1, 5, 1), Verdict::Refuse { .. }));
        assert!(matches!(meter.post(NOW + Duration::from_millis(9_999), 1, 6, 1), Verdict::Hold { .. }));
        assert_eq!(meter.post(NOW + ORDER_TIME, 1, 6, 1), Verdict::Go);
    }

    #[test]
    fn the_streams_under_the_ordering_rule_are_bounded() {
        let mut meter = exhausted();
        for stream in 0..10_000 {
            meter.post(NOW, stream, 5, 1);
        }
        assert_eq!(meter.refused.len(), ORDER_STREAMS);
    }

    #[test]
    fn reading_from_a_peer_never_waits() {
        let mut meter = Meter::peer(Profile::Public, false);
        for _ in 0..1_000_000 {
            assert!(!matches!(meter.frame(NOW), Verdict::Wait(_)));
        }
        assert!(matches!(meter.frame(NOW), Verdict::Refuse { .. }));
        assert_eq!(Meter::peer(Profile::Public, true).frame(NOW), Verdict::Go);
    }

    #[test]
    fn frames_of_a_unit_over_the_bytes_of_a_peer_are_refused() {
        let mut meter = Meter::peer(Profile::Public, false);
        while meter.unit(NOW, 65_535) == Verdict::Go {
            assert_eq!(meter.frame(NOW), Verdict::Go);
        }
        assert!(matches!(meter.frame(NOW), Verdict::Refuse { .. }));
        let later = NOW + Duration::from_secs(1);
        assert_eq!(meter.unit(later, 100), Verdict::Go);
        assert_eq!(meter.frame(later), Verdict::Go);
    }
}
