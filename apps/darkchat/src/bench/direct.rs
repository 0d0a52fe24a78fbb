//! Direct messages, from one user to another, in many pairs at once.

use super::args::Direct;
use super::board::{Board, Room};
use super::crowd::Crowd;
use super::latency::Latencies;
use super::link::Target;
use super::progress::Progress;
use super::publish::{DIRECT_IN_FLIGHT, Publisher};
use super::report::Report;
use super::stage::Stage;
use super::{Failure, files};
use crate::args::Global;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) async fn run(global: &Global, direct: &Direct) -> Result<Report, Failure> {
    files::room_for(direct.pairs * 2)?;
    let mut report = Report::of("direct", global);
    (report.publishers, report.subscribers) = (direct.pairs, direct.pairs);
    report.payload_bytes = direct.size;
    set_up(global, direct).await?.measure(global, &direct.pace, &direct.watch, report).await
}

async fn set_up(global: &Global, direct: &Direct) -> Result<Stage, Failure> {
    let senders = Target::of(global, None)?;
    let recipients = Target::of(global, direct.subscribers_at.as_ref())?;
    let latencies = Arc::new(Latencies::start()?);
    let ahead = u64::try_from(DIRECT_IN_FLIGHT).unwrap_or(1);
    let rooms: Vec<_> = (0..direct.pairs).map(|_| Arc::new(Room::new(vec![Arc::default()], ahead))).collect();
    let there = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&there);
    let _bar =
        Progress::show(global.quiet, "users", Some(direct.pairs * 2), move || count.load(Ordering::Relaxed));
    let mut crowd = Crowd::default();
    let tallies = rooms.iter().flat_map(|room| &room.tallies).cloned();
    let users = crowd.recipients(&recipients, tallies, &latencies, &there).await?;
    let mut publishers = Vec::new();
    for user in users {
        publishers.push(Publisher::direct(&senders, user).await?);
        there.fetch_add(1, Ordering::Relaxed);
    }
    let board = Arc::new(Board { rooms: rooms.clone(), latencies });
    Ok(Stage { board, crowd, publishers, rooms, size: direct.size })
}
