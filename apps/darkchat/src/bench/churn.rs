//! Sessions that come and go: each connects, logs in, joins a channel, leaves it, and says goodbye.

use super::args::Churn;
use super::board::{Board, Room, Tally};
use super::flow::names;
use super::latency::Latencies;
use super::link::Target;
use super::pace::{Turns, Wave};
use super::process::Processes;
use super::progress::Progress;
use super::report::Report;
use super::{Failure, files};
use crate::args::Global;
use crate::print;
use darkchat_crypto::Identity;
use darkchat_proto::{ChannelId, Kind};
use futures_util::future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A session that has not ended after this time has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(global: &Global, churn: &Churn) -> Result<Report, Failure> {
    files::room_for(churn.at_once)?;
    let processes = Processes::watch(&churn.watch.pid)?;
    let target = Target::of(global, None)?;
    let channel = names(churn.channel.as_ref(), 1)?.first().map(|name| target.channel(name));
    let channel = channel.ok_or_else(|| Failure::Usage("there is no channel".to_owned()))?;
    // The first session tells whether there is a server at all.
    session(&target, channel).await?;
    let tally = Arc::<Tally>::default();
    let room = Arc::new(Room::new(vec![Arc::clone(&tally)], u64::MAX));
    let latencies = Arc::new(Latencies::start()?);
    let board = Arc::new(Board { rooms: vec![Arc::clone(&room)], latencies });
    let workers: Vec<_> = (0..churn.at_once).map(|_| Arc::clone(&room)).collect();
    let pace = &churn.pace;
    let wave = async |messages, duration| {
        let wave = Wave { messages, duration, rate: pace.rate };
        let turns = wave.turns(&workers, board.latencies.clock).into_iter().map(|turns| {
            let (target, board, tally) = (target.clone(), Arc::clone(&board), Arc::clone(&tally));
            tokio::spawn(sessions(turns, target, channel, board, tally))
        });
        future::join_all(turns).await
    };
    if !pace.warm_up.is_zero() {
        wave(None, pace.warm_up).await;
    }
    board.latencies.take();
    let before = board.count();
    let progress = {
        let board = Arc::clone(&board);
        Progress::show(global.quiet, "churn", pace.messages, move || board.count().since(before).delivered)
    };
    let (cpu, start) = (processes.taken()?, Instant::now());
    let failures = wave(pace.messages, pace.duration).await;
    let took = start.elapsed();
    let after = processes.taken()?;
    drop(progress);
    for failure in failures {
        if let Some(why) = failure.map_err(io::Error::other)? {
            print::notice(&format!("sessions failed: {why}"));
            break;
        }
    }
    let mut report = Report::of("churn", global);
    (report.publishers, report.channels, report.rate) = (churn.at_once, 1, pace.rate);
    report.count(board.count().since(before), 0, took.as_secs_f64());
    report.took(cpu, after);
    report.latency(board.latencies.take());
    Ok(report)
}

/// One session after the other; why the last one that failed did so.
async fn sessions(
    mut turns: Turns,
    target: Target,
    channel: ChannelId,
    board: Arc<Board>,
    tally: Arc<Tally>,
) -> Option<Failure> {
    let mut failed = None;
    while let Some(stamp) = turns.next().await {
        match tokio::time::timeout(PATIENCE, session(&target, channel)).await {
            Ok(Ok(())) => {
                board.latencies.arrived(0, std::iter::once(stamp));
                tally.messages.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Err(failure)) => failed = Some(failure),
            Err(_) => failed = Some(Failure::Usage(format!("not done within {PATIENCE:?}"))),
        }
    }
    failed
}

async fn session(target: &Target, channel: ChannelId) -> Result<(), Failure> {
    let mut link = target.connect(&Identity::generate()).await?;
    link.join(vec![channel], false).await?;
    link.ask(Kind::Leave { channels: vec![channel] }).await?;
    link.leave().await
}
