//! Messages to channels: from one to many, in many channels at once, or from one server to another.

use super::args::{Entries, Flow, Work};
use super::board::{Board, Room};
use super::crowd::{Crowd, Place};
use super::latency::Latencies;
use super::link::Target;
use super::progress::Progress;
use super::publish::Publisher;
use super::report::Report;
use super::stage::Stage;
use super::{Failure, files};
use crate::args::Global;
use darkchat_proto::ChannelName;
use darkchat_proto::limits::MAX_PAYLOAD;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Content that the slowest subscriber may be behind, in bytes: half of what a server queues for it.
const AHEAD_BYTES: usize = 512 << 10;
/// The same in messages, as if each were a post of its own.
const AHEAD_MESSAGES: usize = 2_048;

pub(crate) async fn run(global: &Global, work: &Work, flow: &Flow, channels: u64) -> Result<Report, Failure> {
    let name = match work {
        Work::Fanout(_) => "fanout",
        Work::Pairs { .. } => "pairs",
        _ => "mesh",
    };
    check(name, flow)?;
    let (publishers, subscribers) = (channels * flow.publishers, channels * flow.subscribers);
    files::room_for(publishers + subscribers)?;
    let mut report = Report::of(name, global);
    (report.publishers, report.subscribers, report.channels) = (publishers, subscribers, channels);
    report.payload_bytes = flow.size;
    set_up(global, flow, channels).await?.measure(global, &flow.pace, &flow.watch, report).await
}

fn check(name: &str, flow: &Flow) -> Result<(), Failure> {
    if name == "mesh" && flow.subscribers_at.is_none() {
        return Err(Failure::Usage("mesh needs the other server: --subscribers-at ADDR".to_owned()));
    }
    if flow.sealed && flow.entries_per_post != Entries::Exactly(1) {
        return Err(Failure::Usage("--sealed goes with --entries-per-post 1".to_owned()));
    }
    if let Entries::Exactly(count) = flow.entries_per_post
        && count.saturating_mul(flow.size) > MAX_PAYLOAD
    {
        return Err(Failure::Usage(format!(
            "{count} messages of {} bytes are more than the {MAX_PAYLOAD} bytes that a post holds",
            flow.size
        )));
    }
    Ok(())
}

async fn set_up(global: &Global, flow: &Flow, channels: u64) -> Result<Stage, Failure> {
    let target = Target::of(global, None)?;
    let subscribers = Target::of(global, flow.subscribers_at.as_ref())?;
    let latencies = Arc::new(Latencies::start()?);
    let ahead = u64::try_from(AHEAD_MESSAGES.min(AHEAD_BYTES / flow.size).max(1)).unwrap_or(1);
    let ahead = flow.ahead.unwrap_or(ahead);
    let names = names(flow.channel.as_ref(), channels)?;
    let tallies = || (0..flow.subscribers).map(|_| Arc::default()).collect();
    let rooms: Vec<_> = names.iter().map(|_| Arc::new(Room::new(tallies(), ahead))).collect();
    let places = names.iter().zip(&rooms).flat_map(|(channel, room)| {
        room.tallies.iter().map(|tally| Place { channel: channel.clone(), tally: Arc::clone(tally) })
    });
    let mut crowd = Crowd::default();
    {
        let there = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&there);
        let all = channels * flow.subscribers;
        let _bar =
            Progress::show(global.quiet, "subscribers", Some(all), move || count.load(Ordering::Relaxed));
        crowd.gather(&subscribers, places.collect(), flow.receivers, &latencies, &there).await?;
    }
    let (mut publishers, mut speak_in) = (Vec::new(), Vec::new());
    for (channel, room) in names.iter().zip(&rooms) {
        for _ in 0..flow.publishers {
            publishers.push(match flow.entries_per_post {
                Entries::Auto => Publisher::library(&target, channel.clone()).await?,
                Entries::Exactly(count) => {
                    Publisher::bare(&target, channel.clone(), count, flow.sealed).await?
                }
            });
            speak_in.push(Arc::clone(room));
        }
    }
    let board = Arc::new(Board { rooms, latencies });
    Ok(Stage { board, crowd, publishers, rooms: speak_in, size: flow.size })
}

/// Names of channels that nobody else has.
pub(crate) fn names(chosen: Option<&ChannelName>, count: u64) -> Result<Vec<ChannelName>, Failure> {
    let first = match chosen {
        Some(name) if count == 1 => return Ok(vec![name.clone()]),
        Some(name) => name.as_str().to_owned(),
        None => format!("bench-{:08x}", std::process::id() ^ now()),
    };
    let name = |number| format!("{first}-{number}").parse::<ChannelName>();
    let names: Result<_, _> = (0..count).map(name).collect();
    names.map_err(|error| Failure::Usage(error.to_string()))
}

/// Some bits of the clock, so that two runs of one process number do not meet.
fn now() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.subsec_nanos()
}
