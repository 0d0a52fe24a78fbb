//! The flags of `darkchat bench`.

use clap::{Args, Subcommand, ValueEnum};
use darkchat_proto::limits::{MAX_ENTRIES, MAX_PAYLOAD};
use darkchat_proto::{ChannelName, ServerAddr, parse_duration};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Sessions that one run may hold: as many as two of the largest servers take.
const MAX_SESSIONS: u64 = 20_000;

/// What there is to measure.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Work {
    /// Publishers and subscribers in one channel.
    Fanout(Flow),
    /// Many channels, each with publishers and subscribers of its own.
    Pairs {
        /// How many channels.
        #[arg(long, value_name = "C", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MAX_SESSIONS))]
        channels: u64,
        #[command(flatten)]
        flow: Flow,
    },
    /// Publishers at --server, subscribers at another server: --subscribers-at.
    Mesh(Flow),
    /// Direct messages, sealed end to end, until the recipient's program says that it has them.
    Direct(Direct),
    /// Sessions: connect, log in, join a channel, leave it, go.
    Churn(Churn),
    /// Connections that are held and say nothing.
    Idle(Idle),
}

/// What is watched, and how it is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct Watch {
    /// The servers' processes on this machine: their processor time and memory are measured.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much, and how fast.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pace {
    /// Send so many messages in all, instead of sending for a time.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "duration")]
    pub(crate) messages: Option<u64>,
    /// Send for this long.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Messages a second, of all publishers together; as fast as they are taken if not given.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: Option<u64>,
    /// Send for this long before the measurement begins.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) warm_up: Duration,
}

/// Messages to channels.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flow {
    /// Publishers in each channel.
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MAX_SESSIONS))]
    pub(crate) publishers: u64,
    /// Subscribers in each channel.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MAX_SESSIONS))]
    pub(crate) subscribers: u64,
    /// Bytes of each message, of which 8 hold the time at which it was to leave.
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = size)]
    pub(crate) size: usize,
    /// Messages under one signature: so many, or as the library gathers them.
    #[arg(long, value_name = "E", default_value = "auto")]
    pub(crate) entries_per_post: Entries,
    /// Posts as of a private channel: sealed, and without a signature that the server could check; one message each.
    #[arg(long, conflicts_with = "receivers", requires = "entries_per_post")]
    pub(crate) sealed: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// As fast as possible means: so many messages ahead of the slowest subscriber at most, so that nothing is dropped
    /// [default: 2048, or 512 KiB].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "rate")]
    pub(crate) ahead: Option<u64>,
    /// What subscribers do with what comes.
    #[arg(long, value_name = "WHAT", default_value = "counting")]
    pub(crate) receivers: Receivers,
    /// The server of the subscribers, if it is not that of the publishers.
    #[arg(long, value_name = "ADDR")]
    pub(crate) subscribers_at: Option<ServerAddr>,
    /// The channel; with several, what their names begin with [default: bench-…].
    #[arg(short, long, value_name = "CHANNEL")]
    pub(crate) channel: Option<ChannelName>,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Receivers {
    /// They open every record and count every message, and check no signature: cheap for the machine that measures.
    Counting,
    /// Clients of the library, which check every signature.
    Verifying,
}

/// Messages of one post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    /// As the client library does it: alone when there is time, together when there is not.
    Auto,
    /// Exactly so many.
    Exactly(usize),
}

impl FromStr for Entries {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let count = text.parse().ok().filter(|count| (1..=MAX_ENTRIES).contains(count));
        count.map(Self::Exactly).ok_or_else(|| format!("neither auto nor a number from 1 to {MAX_ENTRIES}"))
    }
}

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exactly(count) => count.fmt(f),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Direct {
    /// Pairs of users, of whom one writes to the other.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MAX_SESSIONS / 2))]
    pub(crate) pairs: u64,
    /// Bytes of each message, of which 8 hold the time at which it was to leave.
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = direct_size)]
    pub(crate) size: usize,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// The server of the recipients, if it is not that of the senders.
    #[arg(long, value_name = "ADDR")]
    pub(crate) subscribers_at: Option<ServerAddr>,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Churn {
    /// Sessions at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) at_once: u64,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// The channel [default: bench-…].
    #[arg(short, long, value_name = "CHANNEL")]
    pub(crate) channel: Option<ChannelName>,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Idle {
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=MAX_SESSIONS))]
    pub(crate) connections: u64,
    /// Hold them for this long.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Wait for this long, before and after they are made, until memory is measured.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = parse_duration)]
    pub(crate) settle: Duration,
    /// The channel that they join [default: bench-…].
    #[arg(short, long, value_name = "CHANNEL")]
    pub(crate) channel: Option<ChannelName>,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

impl Work {
    pub(crate) const fn watch(&self) -> &Watch {
        match self {
            Self::Fanout(flow) | Self::Pairs { flow, .. } | Self::Mesh(flow) => &flow.watch,
            Self::Direct(direct) => &direct.watch,
            Self::Churn(churn) => &churn.watch,
            Self::Idle(idle) => &idle.watch,
        }
    }
}

/// Bytes of the time in each message.
pub(crate) const STAMP: usize = 8;

fn size(text: &str) -> Result<usize, String> {
    bounded(text, MAX_PAYLOAD)
}

fn direct_size(text: &str) -> Result<usize, String> {
    bounded(text, darkchat_proto::limits::MAX_DM_BODY)
}

fn bounded(text: &str, max: usize) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| (STAMP..=max).contains(size));
    size.ok_or_else(|| format!("not a number from {STAMP} to {max}"))
}
