//! Connections between places: bytes in order, with seeded latency, a bounded pipe, stalls, silence and cuts.

use crate::Who;
use crate::rng::Rng;
use bytes::Bytes;
use darkchat_proto::{Code, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// What the two kernels and the network between take in one direction, in bytes.
const PIPE: usize = 64 << 10;

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Written by the driver, and not taken by the network yet.
    waiting: VecDeque<Bytes>,
    /// On the way, with the time of arrival, or arrived and not read.
    flight: VecDeque<(Time, Bytes)>,
    flight_bytes: usize,
    /// When the last of them arrives.
    last: Time,
    /// Taken by the network, and not reported yet.
    flushed: usize,
    /// Nothing arrives before.
    pub(crate) stalled_until: Time,
    /// Nothing arrives at all, and nobody is told.
    pub(crate) silent: bool,
    /// What is written is taken and lost: nothing arrives behind a hole.
    is_cut: bool,
}

/// What a pipe wants to happen.
#[derive(Debug, Default)]
pub(crate) struct Pumped {
    /// When newly taken bytes arrive.
    pub(crate) arrivals: Vec<Time>,
    /// Whether there are flushed bytes to report that were not there before.
    pub(crate) report: bool,
}

impl Pipe {
    const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            flight: VecDeque::new(),
            flight_bytes: 0,
            last: Time::ZERO,
            flushed: 0,
            stalled_until: Time::ZERO,
            silent: false,
            is_cut: false,
        }
    }

    pub(crate) fn write(&mut self, run: Bytes) {
        self.waiting.push_back(run);
    }

    /// Lets the network take what it has room for.
    fn pump(&mut self, now: Time, latency: Duration, rng: &mut Rng) -> Pumped {
        let mut pumped = Pumped::default();
        while self.flight_bytes < PIPE {
            let Some(run) = self.waiting.pop_front() else { break };
            pumped.report |= self.flushed == 0;
            self.flushed += run.len();
            self.flight_bytes += run.len();
            if self.is_cut {
                continue;
            }
            for part in split(run, rng) {
                let jitter = rng.between(Duration::ZERO, latency / 4 + Duration::from_micros(1));
                self.last = self.last.max(now + latency + jitter);
                self.flight.push_back((self.last, part));
                pumped.arrivals.push(self.last);
            }
        }
        pumped
    }

    /// The bytes to report as flushed.
    pub(crate) const fn take_flushed(&mut self) -> usize {
        std::mem::replace(&mut self.flushed, 0)
    }

    /// The next run that has arrived.
    pub(crate) fn read(&mut self, now: Time) -> Option<Bytes> {
        let (at, _) = self.flight.front()?;
        if self.silent || now < self.stalled_until || *at > now {
            return None;
        }
        let (_, run) = self.flight.pop_front()?;
        self.flight_bytes = self.flight_bytes.saturating_sub(run.len());
        Some(run)
    }

    /// When there is something to look at again, if bytes are on the way.
    pub(crate) fn next_arrival(&self) -> Option<Time> {
        let (at, _) = self.flight.front()?;
        (!self.silent).then(|| (*at).max(self.stalled_until))
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn has_arrived(&self) -> bool {
        self.flight.is_empty()
    }

    /// Loses what the network has not taken, and a random end of what is on the way.
    fn lose_end(&mut self, rng: &mut Rng) {
        self.is_cut = true;
        self.waiting.clear();
        let kept = rng.index(self.flight.len() + 1);
        self.flight.truncate(kept);
        self.flight_bytes = self.flight.iter().map(|(_, run)| run.len()).sum();
    }

    fn lose_waiting(&mut self) {
        self.waiting.clear();
    }
}

/// Records have no borders that mean anything: now and then a run arrives in two parts.
fn split(run: Bytes, rng: &mut Rng) -> impl Iterator<Item = Bytes> + use<> {
    let mut first = run;
    let second = (first.len() > 1 && rng.chance(6)).then(|| first.split_off(1 + rng.index(first.len() - 1)));
    [Some(first), second].into_iter().flatten()
}

/// What a connection is to one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndState {
    /// The handshake is not complete here.
    Opening,
    /// Frames pass.
    Open,
    /// The driver was told to close: what is written goes out first.
    Closing(Code),
    /// Gone.
    Closed,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) who: Who,
    /// The incarnation of a server: a crash ends all that its earlier one had.
    pub(crate) life: u32,
    /// The number that this end knows the connection by: a link's or a dial's.
    pub(crate) number: u64,
    pub(crate) state: EndState,
}

/// A connection; end 0 dialled.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: [End; 2],
    /// `pipes[e]` carries what end e writes.
    pub(crate) pipes: [Pipe; 2],
    pub(crate) latency: Duration,
    /// When the bytes of both ends began to be of no use to anybody.
    pub(crate) over: bool,
}

/// The other end.
pub(crate) const fn other(end: usize) -> usize {
    1 - end
}

impl Connection {
    pub(crate) fn new(dialler: End, listener: End, latency: Duration) -> Self {
        Self { ends: [dialler, listener], pipes: [Pipe::new(), Pipe::new()], latency, over: false }
    }

    pub(crate) fn pump(&mut self, end: usize, now: Time, extra: Duration, rng: &mut Rng) -> Pumped {
        let latency = self.latency + extra;
        self.pipes[end].pump(now, latency, rng)
    }

    /// Cuts both directions; when each end learns of it: after what still arrives there.
    pub(crate) fn cut(&mut self, now: Time, rng: &mut Rng) -> [Time; 2] {
        for pipe in &mut self.pipes {
            pipe.lose_end(rng);
        }
        let mut learn = |pipe: &Pipe| {
            let last = pipe.flight.back().map_or(now, |(at, _)| *at).max(pipe.stalled_until);
            last.max(now) + rng.between(Duration::ZERO, Duration::from_millis(200))
        };
        [learn(&self.pipes[1]), learn(&self.pipes[0])]
    }

    /// Ends what `end` writes; when the other end sees that.
    pub(crate) fn finish(&mut self, end: usize, now: Time) -> Time {
        let pipe = &mut self.pipes[end];
        pipe.lose_waiting();
        pipe.last.max(now).max(pipe.stalled_until) + self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Duration = Duration::from_millis(10);

    fn run(number: u8) -> Bytes {
        vec![number; 1_000].into()
    }

    fn everything(pipe: &mut Pipe, now: Time) -> Vec<u8> {
        std::iter::from_fn(|| pipe.read(now)).flatten().collect()
    }

    #[test]
    fn what_is_written_arrives_in_order_and_not_before_its_time() {
        let (mut pipe, mut rng) = (Pipe::new(), Rng::new(1));
        let written: Vec<u8> = (0..50).flat_map(run).collect();
        for number in 0..50 {
            pipe.write(run(number));
        }
        pipe.pump(Time::ZERO, LATENCY, &mut rng);
        assert_eq!(everything(&mut pipe, Time::from_millis(9)), []);
        assert_eq!(everything(&mut pipe, Time::from_millis(13)), written);
    }

    #[test]
    fn a_pipe_that_nobody_reads_takes_no_more_than_it_holds() {
        let (mut pipe, mut rng) = (Pipe::new(), Rng::new(2));
        for _ in 0..200 {
            pipe.write(run(0));
            pipe.pump(Time::ZERO, LATENCY, &mut rng);
        }
        assert!((PIPE..PIPE + 1_000).contains(&pipe.take_flushed()));
        assert!(!pipe.is_flushed());
        everything(&mut pipe, Time::from_millis(13));
        pipe.pump(Time::from_millis(13), LATENCY, &mut rng);
        assert!(pipe.take_flushed() >= PIPE);
    }

    #[test]
    fn a_cut_loses_an_end_of_what_is_on_the_way_and_nothing_before_it() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let end = |who| End { who, life: 0, number: 0, state: EndState::Open };
            let mut connection = Connection::new(end(Who::Client(0)), end(Who::Server(0)), LATENCY);
            for number in 0..10 {
                connection.pipes[0].write(run(number));
            }
            connection.pump(0, Time::ZERO, Duration::ZERO, &mut rng);
            connection.cut(Time::ZERO, &mut rng);
            connection.pipes[0].write(run(99));
            connection.pump(0, Time::ZERO, Duration::ZERO, &mut rng);
            let kept = everything(&mut connection.pipes[0], Time::from_millis(100));
            let written: Vec<u8> = (0..10).flat_map(run).collect();
            assert!(written.starts_with(&kept));
        }
    }
}
