//! Who was sent what, and who has it: the accounts of a run, which many tasks keep at once.

use super::latency::Latencies;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Time between two looks at the slowest subscriber.
const LOOK: Duration = Duration::from_millis(1);
/// Without anything new for so long, what has not come is lost.
pub(crate) const STALL: Duration = Duration::from_secs(5);

/// What one subscriber has counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) posts: AtomicU64,
    pub(crate) messages: AtomicU64,
    /// Posts that the server, or the library, said were dropped.
    pub(crate) dropped: AtomicU64,
    /// Messages of earlier waves that never came.
    missing: AtomicU64,
}

impl Tally {
    fn settled(&self) -> u64 {
        self.messages.load(Ordering::Relaxed).saturating_add(self.missing.load(Ordering::Relaxed))
    }
}

/// When a wave of messages ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Until {
    /// After so many messages of the channel.
    pub(crate) messages: Option<u64>,
    /// After so long.
    pub(crate) end: Option<Instant>,
}

/// One channel with its subscribers.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) tallies: Vec<Arc<Tally>>,
    /// Messages that were begun and not refused.
    sent: AtomicU64,
    /// What the slowest subscriber had when it was looked at last; more by now.
    floor: AtomicU64,
    /// Messages that may be ahead of the slowest subscriber.
    ahead: u64,
}

impl Room {
    pub(crate) fn new(tallies: Vec<Arc<Tally>>, ahead: u64) -> Self {
        Self { tallies, sent: AtomicU64::new(0), floor: AtomicU64::new(0), ahead }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// A message leaves, whoever has room or not.
    pub(crate) fn send(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that were begun were refused: nobody will get them.
    pub(crate) fn refused(&self, count: u64) {
        self.sent.fetch_sub(count, Ordering::Relaxed);
    }

    /// Waits until subscribers have room, and begins a message. `false` at the end of the wave, or if subscribers take
    /// nothing any more. Dropping the future begins none.
    pub(crate) async fn turn(&self, until: Until) -> bool {
        let mut since = (Instant::now(), self.slowest());
        loop {
            let sent = self.sent();
            let over = until.messages.is_some_and(|most| sent >= most);
            if over || until.end.is_some_and(|end| Instant::now() >= end) {
                return false;
            }
            if sent.saturating_sub(self.floor.load(Ordering::Relaxed)) < self.ahead {
                let next = sent.saturating_add(1);
                if self.sent.compare_exchange_weak(sent, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    return true;
                }
                continue;
            }
            let slowest = self.slowest();
            self.floor.store(slowest, Ordering::Relaxed);
            if sent.saturating_sub(slowest) < self.ahead {
                continue;
            }
            if slowest > since.1 {
                since = (Instant::now(), slowest);
            } else if since.0.elapsed() > STALL {
                return false;
            }
            sleep(LOOK).await;
        }
    }

    fn slowest(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.settled()).min().unwrap_or(u64::MAX)
    }

    fn sum(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies.iter().map(|tally| of(tally).load(Ordering::Relaxed)).sum()
    }
}

/// All channels of a run.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) rooms: Vec<Arc<Room>>,
    pub(crate) latencies: Arc<Latencies>,
}

/// What all rooms came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    /// Messages, times those who were to get each.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) posts: u64,
    pub(crate) dropped: u64,
    /// Of earlier waves, and given up.
    pub(crate) missing: u64,
}

impl Count {
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(before.sent),
            expected: self.expected.saturating_sub(before.expected),
            delivered: self.delivered.saturating_sub(before.delivered),
            posts: self.posts.saturating_sub(before.posts),
            dropped: self.dropped.saturating_sub(before.dropped),
            missing: self.missing.saturating_sub(before.missing),
        }
    }
}

impl Board {
    pub(crate) fn count(&self) -> Count {
        let mut all = Count::default();
        for room in &self.rooms {
            let subscribers = u64::try_from(room.tallies.len()).unwrap_or(u64::MAX);
            all.sent += room.sent();
            all.expected += room.sent().saturating_mul(subscribers);
            all.missing += room.sum(|tally| &tally.missing);
            all.delivered += room.sum(|tally| &tally.messages);
            all.posts += room.sum(|tally| &tally.posts);
            all.dropped += room.sum(|tally| &tally.dropped);
        }
        all
    }

    /// Waits until everybody has everything, or nothing comes any more; when the last news came.
    pub(crate) async fn arrived(&self, patience: Duration) -> Instant {
        let mut last = (Instant::now(), self.count());
        loop {
            let count = self.count();
            if count.delivered > last.1.delivered {
                last = (Instant::now(), count);
            }
            if count.delivered + count.missing >= count.expected || last.0.elapsed() > patience {
                return last.0;
            }
            sleep(LOOK).await;
        }
    }

    /// Gives up what has not come, so that the next wave does not wait for it.
    pub(crate) fn settle(&self) {
        for room in &self.rooms {
            for tally in &room.tallies {
                let lacks = room.sent().saturating_sub(tally.settled());
                tally.missing.fetch_add(lacks, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn room(subscribers: usize, ahead: u64) -> Room {
        Room::new((0..subscribers).map(|_| Arc::default()).collect(), ahead)
    }

    #[tokio::test]
    async fn a_wave_ends_by_count_or_time() {
        let room = room(2, 10);
        let until = Until { messages: Some(2), end: None };
        assert!(room.turn(until).await && room.turn(until).await);
        assert!(!room.turn(until).await);
        assert!(!room.turn(Until { messages: None, end: Some(Instant::now()) }).await);
        assert_eq!(room.sent(), 2);
    }

    #[tokio::test]
    async fn nobody_runs_ahead_of_the_slowest_subscriber() {
        let room = room(2, 3);
        let until = Until::default();
        for _ in 0..3 {
            assert!(room.turn(until).await);
        }
        room.tallies[0].messages.store(3, Ordering::Relaxed);
        assert_eq!(room.turn(until).now_or_never(), None, "the other one has nothing");
        assert_eq!(room.sent(), 3, "what was given up was not begun");
        room.tallies[1].messages.store(1, Ordering::Relaxed);
        assert_eq!(room.turn(until).now_or_never(), Some(true));
        room.refused(1);
        assert_eq!(room.turn(until).now_or_never(), Some(true), "a refused message leaves its place");
    }

    #[tokio::test]
    async fn what_was_sent_is_delivered_or_missing() {
        let rooms = vec![Arc::new(room(3, 9)), Arc::new(room(1, 9))];
        let board = Board { rooms, latencies: Arc::new(Latencies::start().unwrap()) };
        for room in &board.rooms {
            room.send();
        }
        board.rooms[0].tallies[2].messages.store(1, Ordering::Relaxed);
        board.arrived(Duration::ZERO).await;
        let Count { sent, expected, delivered, .. } = board.count();
        assert_eq!((sent, expected, delivered), (2, 4, 1));
        board.settle();
        assert_eq!(board.rooms[0].slowest(), 1, "the next wave waits for nothing of this one");
    }
}
