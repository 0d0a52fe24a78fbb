//! When messages leave: as fast as subscribers take them, or at moments that are fixed beforehand.
//!
//! At a rate, a message counts from the moment at which it was to leave, however late the server or this program made it:
//! a server that stalls cannot hide the messages that would have been sent meanwhile.

use super::board::{Room, Until};
use super::latency::Clock;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Messages whose moment has come and that a publisher has not begun.
const LATE: usize = 1 << 16;
/// How long after the end of a wave messages that are late may still leave.
const GRACE: Duration = Duration::from_secs(5);

/// One publisher's messages of one wave.
pub(crate) struct Turns {
    room: Arc<Room>,
    clock: Clock,
    source: Source,
}

enum Source {
    /// As fast as there is room.
    Free(Until),
    /// At these moments.
    Fixed(mpsc::Receiver<u64>),
}

impl Turns {
    /// The moment at which the next message is to leave, which is then begun; `None` at the end of the wave. Dropping
    /// the future begins nothing.
    pub(crate) async fn next(&mut self) -> Option<u64> {
        match &mut self.source {
            Source::Free(until) => self.room.turn(*until).await.then(|| self.clock.now()),
            Source::Fixed(moments) => {
                let moment = moments.recv().await?;
                self.room.send();
                Some(moment)
            }
        }
    }

    /// Messages were refused: nobody gets them.
    pub(crate) fn refused(&self, count: u64) {
        self.room.refused(count);
    }
}

/// How one wave goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wave {
    /// Messages in all; else for a time.
    pub(crate) messages: Option<u64>,
    pub(crate) duration: Duration,
    /// Messages a second of all publishers; else as fast as possible.
    pub(crate) rate: Option<u64>,
}

impl Wave {
    /// The turns of each publisher; `publishers` are the rooms that they speak in.
    pub(crate) fn turns(&self, publishers: &[Arc<Room>], clock: Clock) -> Vec<Turns> {
        let count = u64::try_from(publishers.len()).unwrap_or(u64::MAX).max(1);
        let turns = |room: &Arc<Room>, source| Turns { room: Arc::clone(room), clock, source };
        let Some(rate) = self.rate else {
            let end = self.messages.is_none().then(|| Instant::now() + self.duration);
            // Rooms have equally many publishers, and so equal shares of what is to be sent; rounded up.
            let rooms = distinct(publishers);
            let free = |room: &Arc<Room>| {
                let most = self.messages.map(|messages| room.sent().saturating_add(messages.div_ceil(rooms)));
                turns(room, Source::Free(Until { messages: most, end }))
            };
            return publishers.iter().map(free).collect();
        };
        let (senders, sources): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(LATE)).unzip();
        let wave = *self;
        thread::spawn(move || wave.tell(rate, clock, &senders));
        publishers.iter().zip(sources).map(|(room, source)| turns(room, Source::Fixed(source))).collect()
    }

    /// Wakes each publisher in its turn. A thread of its own is more exact than the runtime's milliseconds.
    fn tell(&self, rate: u64, clock: Clock, publishers: &[mpsc::Sender<u64>]) {
        let start = Instant::now();
        let most = self.messages.unwrap_or(u64::MAX);
        for (number, publisher) in (0..most).zip(publishers.iter().cycle()) {
            let after = Duration::from_nanos(
                u64::try_from(u128::from(number) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
            );
            let is_over = |passed: Duration| self.messages.is_none() && passed >= self.duration;
            if is_over(after) || is_over(start.elapsed().saturating_sub(GRACE)) {
                return;
            }
            let at = start + after;
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if publisher.blocking_send(clock.at(at)).is_err() {
                return;
            }
        }
    }
}

fn distinct(publishers: &[Arc<Room>]) -> u64 {
    let mut rooms: Vec<_> = publishers.iter().map(Arc::as_ptr).collect();
    rooms.sort_unstable();
    rooms.dedup();
    u64::try_from(rooms.len()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Arc<Room> {
        Arc::new(Room::new(vec![Arc::default()], u64::MAX))
    }

    async fn all(mut turns: Turns) -> Vec<u64> {
        let mut moments = Vec::new();
        while let Some(moment) = turns.next().await {
            moments.push(moment);
        }
        moments
    }

    #[tokio::test]
    async fn messages_at_a_rate_have_their_moment_however_late_they_are_taken() {
        let rooms = [room(), room()];
        let wave = Wave { messages: Some(5), duration: Duration::ZERO, rate: Some(1_000) };
        let mut turns = wave.turns(&rooms, Clock::start()).into_iter();
        let (first, second) = (all(turns.next().unwrap()).await, all(turns.next().unwrap()).await);
        assert_eq!((first.len(), second.len()), (3, 2));
        assert_eq!((first[1] - first[0], second[0] - first[0]), (2_000_000, 1_000_000));
        assert_eq!((rooms[0].sent(), rooms[1].sent()), (3, 2));
    }

    #[tokio::test]
    async fn a_rate_ends_with_its_time() {
        let wave = Wave { messages: None, duration: Duration::from_millis(20), rate: Some(1_000) };
        let [turns] = &mut wave.turns(&[room()], Clock::start())[..] else { panic!("one publisher") };
        let mut count = 0;
        while turns.next().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 20);
    }

    #[tokio::test]
    async fn rooms_share_the_messages_of_a_wave() {
        let (one, other) = (room(), room());
        let publishers = [Arc::clone(&one), Arc::clone(&one), Arc::clone(&other), Arc::clone(&other)];
        let wave = Wave { messages: Some(6), duration: Duration::ZERO, rate: None };
        for turns in wave.turns(&publishers, Clock::start()) {
            all(turns).await;
        }
        assert_eq!((one.sent(), other.sent()), (3, 3));
    }
}
