//! Where each author of a private channel is, so that what is lost between two of its streams is seen. Source:
//! `docs/protocol.md`, section 8.1, "prev_stream".

use darkchat_crypto::group::GroupPost;
use darkchat_proto::limits::MAX_MEMBERS;
use darkchat_proto::{ChannelId, Time, UserId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long the end of a stream is waited for, once the next one has begun (REORDER_WAIT).
const WAIT: Duration = Duration::from_millis(500);
/// Streams of one author that are remembered: the present and the last one, on two devices.
const STREAMS: usize = 4;
/// Authors of one channel, the one who wrote longest ago goes: as many as may be members.
const AUTHORS: usize = MAX_MEMBERS;
/// Ends that are waited for at once.
const ENDS: usize = 256;

/// A stream and the highest number that came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail {
    channel: ChannelId,
    stream: u64,
    highest: u64,
}

/// The end of a stream that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    at: Time,
    pub(super) author: UserId,
    pub(super) stream: u64,
    pub(super) last: u64,
}

/// What is missing at the end of a stream: `from..=to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) channel: ChannelId,
    pub(super) author: UserId,
    pub(super) stream: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The authors of one channel.
#[derive(Debug, Default)]
pub(super) struct Tails {
    authors: BTreeMap<UserId, (Time, VecDeque<Tail>)>,
    ends: BTreeSet<End>,
}

impl Tails {
    /// Takes note of a post that opened in this generation's channel. Says whether its stream follows one that we have
    /// heard, so that its beginning is known to be number 1.
    pub(super) fn heard(&mut self, now: Time, channel: ChannelId, post: &GroupPost) -> bool {
        let (author, stream) = (post.body.author, post.head.stream);
        let next = post.head.next_seq(post.body.entries.len()).unwrap_or(post.head.seq);
        let last = next.saturating_sub(1);
        if self.authors.len() >= AUTHORS && !self.authors.contains_key(&author) {
            let oldest = self.authors.iter().min_by_key(|(_, (used, _))| *used).map(|(author, _)| *author);
            oldest.map(|author| self.authors.remove(&author));
        }
        let (used, tails) = self.authors.entry(author).or_default();
        *used = now;
        if let Some(tail) = tails.iter_mut().find(|tail| tail.stream == stream) {
            tail.highest = tail.highest.max(last);
            return false;
        }
        let follows = tails.iter().any(|tail| tail.stream == post.body.prev_stream);
        if tails.len() >= STREAMS {
            tails.pop_front();
        }
        tails.push_back(Tail { channel, stream, highest: last });
        if follows && self.ends.len() < ENDS {
            let end = End { at: now + WAIT, author, stream: post.body.prev_stream, last: post.body.prev_seq };
            self.ends.insert(end);
        }
        follows
    }

    /// The next stream whose end did not come in time.
    pub(super) fn missing(&mut self, now: Time) -> Option<Missing> {
        while self.ends.first().is_some_and(|end| end.at <= now) {
            let End { author, stream, last, .. } = self.ends.pop_first()?;
            let tails = self.authors.get_mut(&author).map(|(_, tails)| tails);
            let Some(tail) = tails.and_then(|tails| tails.iter_mut().find(|tail| tail.stream == stream))
            else {
                continue;
            };
            let from = tail.highest.saturating_add(1);
            if from <= last {
                tail.highest = last;
                return Some(Missing { channel: tail.channel, author, stream, from, to: last });
            }
        }
        None
    }

    /// Who has written here, as far as is remembered.
    pub(super) fn authors(&self) -> impl Iterator<Item = &UserId> {
        self.authors.keys()
    }

    /// When [`missing`](Self::missing) may have something.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.ends.first().map(|end| end.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_crypto::group::{Group, STEP_MS, Writer};
    use darkchat_crypto::{Identity, SeededRng};
    use darkchat_proto::{Entry, Network};

    const WALL: u64 = 1_800_000_000_000;

    fn author(number: usize) -> Identity {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Identity::from_seed(seed)
    }

    /// A channel in which everybody with the invitation may write, and what was heard there.
    struct Hearing {
        group: Group,
        rng: SeededRng,
        tails: Tails,
    }

    impl Hearing {
        fn new() -> Self {
            let mut rng = SeededRng::new([1; 32]);
            let admins = vec![author(0).user_id()];
            let group = Group::create(Network::default(), admins, None, WALL, &mut rng).unwrap();
            Self { group, rng, tails: Tails::default() }
        }

        /// Somebody says something in this hour: in the first post of a stream.
        fn hear(&mut self, writer: &mut Writer, number: usize, hour: u64) -> bool {
            let (author, now_ms) = (author(number), WALL + hour * STEP_MS);
            let entries = vec![Entry::text("x")];
            let draft =
                writer.write(&mut self.group, author.user_id(), "", entries, now_ms, &mut self.rng).unwrap();
            let signature = author.sign(draft.request());
            let sealed = draft.finish(signature).unwrap();
            let post = self.group.open(&sealed, now_ms).unwrap();
            self.tails.heard(Time::from_millis(hour), self.group.channel(), &post)
        }
    }

    #[test]
    fn as_many_authors_as_may_be_members_are_remembered_and_who_wrote_longest_ago_goes() {
        let mut hearing = Hearing::new();
        for number in 0..AUTHORS {
            hearing.hear(&mut Writer::default(), number, u64::from(number > 0));
        }
        hearing.hear(&mut Writer::default(), AUTHORS, 1);
        assert_eq!(hearing.tails.authors().count(), AUTHORS);
        let known = |number: usize| hearing.tails.authors().any(|user| *user == author(number).user_id());
        assert!(!known(0) && known(1) && known(AUTHORS));
    }

    #[test]
    fn four_streams_of_an_author_are_remembered_and_256_ends_are_waited_for() {
        let (mut hearing, mut follows) = (Hearing::new(), 0);
        for number in 0..30 {
            let mut writer = Writer::default();
            for hour in 0..12 {
                // The clock of all goes on together; who is late opens nothing, so each author has its own hours.
                follows += usize::from(hearing.hear(&mut writer, number, 12 * number as u64 + hour));
            }
            let (_, tails) = &hearing.tails.authors[&author(number).user_id()];
            assert_eq!(tails.len(), STREAMS);
        }
        assert_eq!(follows, 30 * 11, "each stream but the first follows one that was heard");
        assert_eq!(hearing.tails.ends.len(), ENDS);
        let all = Time::from_millis(10_000_000);
        while hearing.tails.missing(all).is_some() {}
        assert_eq!(hearing.tails.deadline(), None);
    }
}
