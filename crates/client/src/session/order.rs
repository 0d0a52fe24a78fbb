//! The streams of others: each entry once, in its author's order, holes reported. Source: `docs/protocol.md`,
//! section 6.3.

use super::seen::Seen;
use super::window::Window;
use darkchat_proto::{ChannelId, Post, PostId, Time, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nothing stamped further from our clock is shown: older posts could be replays (TIME_WINDOW).
const TIME_WINDOW_MS: u64 = 300_000;
/// How long a missing number is waited for, from the arrival of a post behind it (REORDER_WAIT).
const REORDER_WAIT: Duration = Duration::from_millis(500);
/// Streams with state; the least recently used goes (STREAM_WINDOW).
const STREAMS: usize = 4_096;
/// A stream of which nothing came for so long is forgotten.
const STREAM_IDLE: Duration = Duration::from_secs(20 * 60);
/// Posts held back behind holes, over all streams: a second of a server's full speed to one client.
const HELD_POSTS: usize = 1_024;
/// The content of these posts, in bytes: a flood of holes must not cost more memory than a link's queue.
const HELD_BYTES: usize = 4 << 20;

/// A stream of somebody's in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    channel: ChannelId,
    author: UserId,
    stream: u64,
}

#[derive(Debug)]
struct Stream {
    window: Window,
    /// The number to show next; all below is shown, reported missing, or from before the start.
    next: u64,
    used: Time,
    /// Posts behind a hole, by their first number.
    held: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    id: PostId,
    post: Post,
    since: Time,
}

/// What comes out, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Release {
    /// A post whose turn it is.
    Post { id: PostId, post: Post },
    /// Entries `from..=to` of a stream will not be shown.
    Gap { channel: ChannelId, author: UserId, from: u64, to: u64 },
}

/// What became of a post that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Released, or held until its turn comes.
    Taken,
    /// Its id or a number of it was seen before.
    Duplicate,
    /// Its gap was reported, or it is from before the start of its stream.
    Late,
    /// Stamped too far from our clock.
    Stale,
}

/// All streams of others, and the ids seen.
#[derive(Debug, Default)]
pub(super) struct Order {
    streams: BTreeMap<Key, Stream>,
    by_use: BTreeSet<(Time, Key)>,
    /// Streams with held posts, by the moment when they wait no longer.
    waiting: BTreeSet<(Time, Key)>,
    held_posts: usize,
    held_bytes: usize,
    seen: Seen,
}

impl Order {
    /// Takes a post whose signature is good and whose channel is joined.
    pub(super) fn receive(
        &mut self,
        now: Time,
        wall_ms: u64,
        id: PostId,
        post: Post,
        out: &mut Vec<Release>,
    ) -> Verdict {
        self.seen.age(now);
        if post.time_ms.abs_diff(wall_ms) > TIME_WINDOW_MS {
            return Verdict::Stale;
        }
        if self.seen.has(&id) {
            return Verdict::Duplicate;
        }
        let key = Key { channel: post.channel, author: post.author, stream: post.stream };
        if !self.streams.contains_key(&key) {
            self.begin(now, key, post.seq, out);
        }
        let Some(stream) = self.streams.get_mut(&key) else { return Verdict::Stale };
        let (first, next) = (post.seq, post.next_seq());
        if stream.window.has_any(first, next) {
            return Verdict::Duplicate;
        }
        self.by_use.remove(&(stream.used, key));
        stream.used = now;
        self.by_use.insert((now, key));
        stream.window.enter(first, next);
        self.seen.enter(now, id);
        if first < stream.next {
            return Verdict::Late;
        }
        if first == stream.next && stream.held.is_empty() {
            stream.next = next;
            out.push(Release::Post { id, post });
            return Verdict::Taken;
        }
        self.hold(now, key, Held { id, post, since: now }, out);
        Verdict::Taken
    }

    /// Gives up waiting where the time is over, and forgets what is over age.
    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Release>) {
        self.seen.age(now);
        while let Some((at, key)) = self.waiting.first().copied() {
            if at > now {
                break;
            }
            self.skip_hole(key, out);
        }
        while let Some((used, key)) = self.by_use.first().copied() {
            if used + STREAM_IDLE > now {
                break;
            }
            self.end(key, out);
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let wait = self.waiting.first().map(|(at, _)| *at);
        let idle = self.by_use.first().map(|(used, _)| *used + STREAM_IDLE);
        [wait, idle, self.seen.deadline()].into_iter().flatten().min()
    }

    /// Forgets a channel's streams: the user left. The ids stay, so nothing is shown again after another join.
    /// Says how many entries were still held.
    pub(super) fn forget(&mut self, channel: ChannelId) -> u64 {
        let first = Key { channel, author: UserId::new([0; 32]), stream: 0 };
        let keys: Vec<Key> = self
            .streams
            .range(first..)
            .map(|(key, _)| *key)
            .take_while(|key| key.channel == channel)
            .collect();
        let mut held = Vec::new();
        for key in keys {
            self.end(key, &mut held);
        }
        held.iter()
            .map(|release| match release {
                Release::Post { post, .. } => u64::try_from(post.entries.len()).unwrap_or(u64::MAX),
                Release::Gap { .. } => 0,
            })
            .sum()
    }

    /// Begins a stream that is known to begin with number 1, because it follows one that we have heard: what is missing
    /// at its beginning is a gap then.
    pub(super) fn begin_at_first(
        &mut self,
        now: Time,
        channel: ChannelId,
        author: UserId,
        stream: u64,
        out: &mut Vec<Release>,
    ) {
        let key = Key { channel, author, stream };
        if !self.streams.contains_key(&key) {
            self.begin(now, key, 1, out);
        }
    }

    /// Takes a stream up to `last` as over: what comes of it later is late.
    pub(super) fn give_up(&mut self, channel: ChannelId, author: UserId, stream: u64, last: u64) {
        if let Some(stream) = self.streams.get_mut(&Key { channel, author, stream })
            && stream.held.is_empty()
        {
            stream.next = stream.next.max(last.saturating_add(1));
        }
    }

    /// How often the sets of ids were swapped because they were full.
    pub(super) const fn seen_early(&self) -> u64 {
        self.seen.early()
    }

    /// Starts a stream at `first`; at the bound the least recently used one goes.
    fn begin(&mut self, now: Time, key: Key, first: u64, out: &mut Vec<Release>) {
        if self.streams.len() >= STREAMS
            && let Some((_, oldest)) = self.by_use.first().copied()
        {
            self.end(oldest, out);
        }
        let stream = Stream { window: Window::before(first), next: first, used: now, held: BTreeMap::new() };
        self.streams.insert(key, stream);
        self.by_use.insert((now, key));
    }

    /// Forgets a stream; what it held is released, with its gaps.
    fn end(&mut self, key: Key, out: &mut Vec<Release>) {
        while self.streams.get(&key).is_some_and(|stream| !stream.held.is_empty()) {
            self.skip_hole(key, out);
        }
        if let Some(stream) = self.streams.remove(&key) {
            self.by_use.remove(&(stream.used, key));
        }
    }

    /// Keeps a post until its turn comes; over the bound, whoever waits longest waits no more.
    fn hold(&mut self, now: Time, key: Key, held: Held, out: &mut Vec<Release>) {
        self.held_posts += 1;
        self.held_bytes += held.post.content_len();
        if let Some(stream) = self.streams.get_mut(&key) {
            if stream.held.is_empty() {
                self.waiting.insert((now + REORDER_WAIT, key));
            }
            stream.held.insert(held.post.seq, held);
        }
        self.release(key, out);
        while self.held_posts > HELD_POSTS || self.held_bytes > HELD_BYTES {
            let Some((_, key)) = self.waiting.first().copied() else { return };
            self.skip_hole(key, out);
        }
    }

    /// Reports the hole in front of the first held post, and goes on from there.
    fn skip_hole(&mut self, key: Key, out: &mut Vec<Release>) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let Some(first) = stream.held.keys().next().copied() else { return };
        if first > stream.next {
            let (from, to) = (stream.next, first.saturating_sub(1));
            out.push(Release::Gap { channel: key.channel, author: key.author, from, to });
            stream.next = first;
        }
        self.release(key, out);
    }

    /// Releases the held posts whose turn it is, and sets the stream's deadline anew.
    fn release(&mut self, key: Key, out: &mut Vec<Release>) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let deadline = |held: &BTreeMap<u64, Held>| held.values().map(|held| held.since).min();
        let before = deadline(&stream.held);
        while let Some(entry) = stream.held.first_entry() {
            if *entry.key() > stream.next {
                break;
            }
            let Held { id, post, since: _ } = entry.remove();
            self.held_posts -= 1;
            self.held_bytes -= post.content_len();
            stream.next = post.next_seq();
            out.push(Release::Post { id, post });
        }
        let after = deadline(&stream.held);
        if before != after {
            if let Some(since) = before {
                self.waiting.remove(&(since + REORDER_WAIT, key));
            }
            if let Some(since) = after {
                self.waiting.insert((since + REORDER_WAIT, key));
            }
        }
    }
}

#[cfg(test)]
mod tests;
