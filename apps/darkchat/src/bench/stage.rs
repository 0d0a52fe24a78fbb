//! A run that is set up: everybody is connected, and messages can be sent and counted.

use super::Failure;
use super::args::{Pace, Watch};
use super::board::{Board, Room, STALL};
use super::crowd::Crowd;
use super::pace::Wave;
use super::process::Processes;
use super::progress::Progress;
use super::publish::Publisher;
use super::report::Report;
use crate::args::Global;
use crate::failure::What;
use futures_util::future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often, and how long each time, a first message is tried until all hear it: servers learn of members within it.
const PROBES: usize = 10;
const PROBE: Duration = Duration::from_secs(1);

/// Publishers and subscribers.
pub(crate) struct Stage {
    pub(crate) board: Arc<Board>,
    pub(crate) crowd: Crowd,
    pub(crate) publishers: Vec<Publisher>,
    /// Where each of them speaks.
    pub(crate) rooms: Vec<Arc<Room>>,
    pub(crate) size: usize,
}

impl Stage {
    /// Lets everybody hear a first message, warms up, sends the messages of the run, counts, and leaves.
    pub(crate) async fn measure(
        mut self,
        global: &Global,
        pace: &Pace,
        watch: &Watch,
        mut report: Report,
    ) -> Result<Report, Failure> {
        let processes = Processes::watch(&watch.pid)?;
        self.probe().await?;
        if !pace.warm_up.is_zero() {
            self.wave(Wave { messages: None, duration: pace.warm_up, rate: pace.rate }).await?;
        }
        let board = Arc::clone(&self.board);
        board.latencies.take();
        let before = board.count();
        let progress = {
            let heard = board.rooms.first().map_or(0, |room| room.tallies.len());
            let all =
                pace.messages.map(|messages| messages.saturating_mul(u64::try_from(heard).unwrap_or(1)));
            let board = Arc::clone(&board);
            Progress::show(global.quiet, report.work, all, move || board.count().since(before).delivered)
        };
        let cpu = processes.taken()?;
        let wave = Wave { messages: pace.messages, duration: pace.duration, rate: pace.rate };
        let (refused, took) = self.wave(wave).await?;
        let after = processes.taken()?;
        drop(progress);
        report.rate = pace.rate;
        report.count(board.count().since(before), refused, took.as_secs_f64());
        report.took(cpu, after);
        report.latency(board.latencies.take());
        self.leave().await;
        Ok(report)
    }

    /// Sends first messages until everybody hears them.
    async fn probe(&mut self) -> Result<(), Failure> {
        let one = u64::try_from(self.board.rooms.len()).unwrap_or(1);
        for _ in 0..PROBES {
            let before = self.board.count();
            let wave = Wave { messages: Some(one), duration: Duration::ZERO, rate: None };
            self.send(wave).await?;
            self.board.arrived(PROBE).await;
            let count = self.board.count().since(before);
            self.board.settle();
            if count.delivered >= count.expected {
                return Ok(());
            }
        }
        Err(Failure::new(
            What::Timeout,
            "subscribers do not hear the publishers: are both on the same server, or their servers linked?",
        ))
    }

    /// Sends a wave of messages and waits until they are there; how many were refused, and how long it took.
    pub(crate) async fn wave(&mut self, wave: Wave) -> Result<(u64, Duration), Failure> {
        let start = Instant::now();
        let refused = self.send(wave).await?;
        let last = self.board.arrived(STALL).await;
        self.board.settle();
        Ok((refused, last.saturating_duration_since(start)))
    }

    async fn send(&mut self, wave: Wave) -> Result<u64, Failure> {
        let turns = wave.turns(&self.rooms, self.board.latencies.clock);
        let size = self.size;
        let publishing = self.publishers.drain(..).zip(turns).map(|(mut publisher, turns)| {
            tokio::spawn(
                async move { publisher.publish(turns, size).await.map(|refused| (publisher, refused)) },
            )
        });
        let mut refused = 0;
        for outcome in future::join_all(publishing).await {
            let (publisher, count) = outcome.map_err(io::Error::other)??;
            self.publishers.push(publisher);
            refused += count;
        }
        Ok(refused)
    }

    pub(crate) async fn leave(self) {
        let leaving = self.publishers.into_iter().map(Publisher::leave);
        future::join_all(leaving).await;
        self.crowd.end();
    }
}
