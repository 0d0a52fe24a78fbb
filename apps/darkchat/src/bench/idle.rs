//! Connections that are held: what each takes of the server's memory, and all of them of its time.

use super::args::{Idle, Receivers};
use super::board::{Board, Room, STALL};
use super::crowd::{Crowd, Place};
use super::flow::names;
use super::latency::Latencies;
use super::link::Target;
use super::pace::Wave;
use super::process::{Processes, Taken};
use super::progress::Progress;
use super::publish::Publisher;
use super::report::Report;
use super::stage::Stage;
use super::{Failure, files};
use crate::args::Global;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Bytes of the one message at the end.
const SIZE: usize = 64;

pub(crate) async fn run(global: &Global, idle: &Idle) -> Result<Report, Failure> {
    files::room_for(idle.connections)?;
    let processes = Processes::watch(&idle.watch.pid)?;
    let target = Target::of(global, None)?;
    let names = names(idle.channel.as_ref(), 1)?;
    let latencies = Arc::new(Latencies::start()?);
    let tallies = (0..idle.connections).map(|_| Arc::default()).collect();
    let room = Arc::new(Room::new(tallies, 1));
    let mut publishers = Vec::new();
    for name in &names {
        publishers.push(Publisher::library(&target, name.clone()).await?);
    }
    sleep(idle.settle).await;
    let empty = processes.taken()?;
    let mut crowd = Crowd::default();
    let progress = |what, all| {
        let count = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&count);
        (Progress::show(global.quiet, what, Some(all), move || shown.load(Ordering::Relaxed)), count)
    };
    let (bar, count) = progress("connections", idle.connections);
    let places = room.tallies.iter().flat_map(|tally| {
        names.iter().map(|channel| Place { channel: channel.clone(), tally: Arc::clone(tally) })
    });
    crowd.gather(&target, places.collect(), Receivers::Counting, &latencies, &count).await?;
    drop(bar);
    sleep(idle.settle).await;
    let held = processes.taken()?;
    let (bar, count) = progress("idle", idle.duration.as_secs());
    hold(idle.duration, &count).await;
    drop(bar);
    let after = processes.taken()?;
    // Whoever is still there hears one message.
    let board = Arc::new(Board { rooms: vec![Arc::clone(&room)], latencies });
    let mut stage = Stage { board: Arc::clone(&board), crowd, publishers, rooms: vec![room], size: SIZE };
    let before = board.count();
    let one = Wave { messages: Some(1), duration: STALL, rate: None };
    let (refused, took) = stage.wave(one).await?;
    let mut report = Report::of("idle", global);
    (report.publishers, report.subscribers, report.channels) = (1, idle.connections, 1);
    report.payload_bytes = SIZE;
    report.count(board.count().since(before), refused, took.as_secs_f64());
    report.held(empty, held, after, idle.connections);
    report.latency(board.latencies.take());
    stage.leave().await;
    Ok(report)
}

/// Waits, and counts the seconds.
async fn hold(duration: Duration, seconds: &AtomicU64) {
    let start = Instant::now();
    while let Some(rest) = duration.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) {
        sleep(rest.min(Duration::from_secs(1))).await;
        seconds.store(start.elapsed().as_secs(), Ordering::Relaxed);
    }
}

impl Report {
    /// What connections took that were held: memory from `empty` to `held`, time from there to `after`.
    fn held(&mut self, empty: Option<Taken>, held: Option<Taken>, after: Option<Taken>, connections: u64) {
        let (Some(empty), Some(held), Some(after)) = (empty, held, after) else { return };
        self.server_rss_kib = Some(held.rss_kib);
        let grown = held.rss_kib.saturating_sub(empty.rss_kib).saturating_mul(1_024);
        self.server_rss_bytes_per_connection = grown.checked_div(connections);
        self.server_cpu_s = Some(after.cpu_s - held.cpu_s);
    }
}
