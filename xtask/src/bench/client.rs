//! The load for the other systems: publishers and subscribers that speak their wire, and count as `darkchat bench` does.

use super::wire::{Packet, Wire};
use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Publishers write so many bytes at a time.
const WRITE: usize = 16 << 10;
/// Subscribers read so many.
const READ: usize = 64 << 10;
/// As for ours: content that the slowest subscriber may be behind, in bytes, and in messages.
const AHEAD_BYTES: usize = 512 << 10;
const AHEAD_MESSAGES: usize = 2_048;
/// Without anything new for so long, what has not come is lost.
const STALL: Duration = Duration::from_secs(5);
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks at the slowest subscriber.
const LOOK: Duration = Duration::from_millis(1);

/// What is to be sent, and to how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) channels: usize,
    /// In each channel.
    pub(crate) subscribers: usize,
    pub(crate) size: usize,
    /// Messages a second of all publishers; else as fast as possible.
    pub(crate) rate: Option<u64>,
}

/// What a wave came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) seconds: f64,
    /// In microseconds, where messages went at a rate.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// Everybody, connected.
pub(crate) struct Load {
    runtime: Runtime,
    work: Work,
    wire: Wire,
    channels: Vec<Arc<Channel>>,
    publishers: Vec<TcpStream>,
}

struct Channel {
    number: usize,
    sent: AtomicU64,
    counts: Vec<AtomicU64>,
    /// Nanoseconds on the way.
    times: Mutex<Vec<u64>>,
    is_timed: AtomicBool,
    start: Instant,
}

impl Channel {
    fn slowest(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).min().unwrap_or_default()
    }

    fn delivered(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Load {
    /// Connects subscribers to one address and publishers, one a channel, to another.
    pub(crate) fn connect(
        wire: Wire,
        work: Work,
        publish: SocketAddr,
        subscribe: SocketAddr,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let start = Instant::now();
        let channels: Vec<_> = (0..work.channels)
            .map(|number| {
                Arc::new(Channel {
                    number,
                    sent: AtomicU64::new(0),
                    counts: (0..work.subscribers).map(|_| AtomicU64::new(0)).collect(),
                    times: Mutex::default(),
                    is_timed: AtomicBool::new(false),
                    start,
                })
            })
            .collect();
        let publishers = runtime.block_on(async {
            let mut number = 0;
            for channel in &channels {
                for who in 0..work.subscribers {
                    number += 1;
                    let (stream, rest) = meet(wire, subscribe, number, true, channel.number).await?;
                    tokio::spawn(read(wire, stream, rest, Arc::clone(channel), who));
                }
            }
            let mut publishers = Vec::new();
            for channel in &channels {
                number += 1;
                publishers.push(meet(wire, publish, number, false, channel.number).await?.0);
            }
            anyhow::Ok(publishers)
        })?;
        Ok(Self { runtime, work, wire, channels, publishers })
    }

    /// Sends first messages until everybody hears them, then for so long as a warm-up.
    pub(crate) fn warm_up(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let heard = self.wave(Duration::ZERO)?;
            if heard.lost == 0 {
                break;
            }
            ensure!(Instant::now() < end, "subscribers do not hear publishers");
            // What never came is not waited for again.
            for channel in &self.channels {
                channel.sent.store(channel.slowest(), Ordering::Relaxed);
            }
        }
        self.wave(duration).map(drop)
    }

    /// Sends for so long; one message in each channel for no time.
    pub(crate) fn wave(&mut self, duration: Duration) -> Result<Sent> {
        let Self { runtime, work, wire, channels, publishers } = self;
        let before: u64 = channels.iter().map(|channel| channel.delivered()).sum();
        let sent: u64 = channels.iter().map(|channel| channel.sent.load(Ordering::Relaxed)).sum();
        for channel in channels.iter() {
            channel.is_timed.store(work.rate.is_some(), Ordering::Relaxed);
            channel.times.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let start = Instant::now();
        let last = runtime.block_on(async {
            let mut tasks = Vec::new();
            for (publisher, channel) in publishers.drain(..).zip(channels.iter()) {
                let channel = Arc::clone(channel);
                let (work, wire) = (*work, *wire);
                tasks.push(tokio::spawn(async move {
                    match work.rate.filter(|_| !duration.is_zero()) {
                        None => flood(wire, publisher, &channel, work.size, duration).await,
                        Some(rate) => pace(wire, publisher, &channel, work, rate, duration).await,
                    }
                }));
            }
            for task in tasks {
                publishers.push(task.await??);
            }
            let patience = if duration.is_zero() { Duration::from_millis(500) } else { STALL };
            anyhow::Ok(arrived(channels, patience).await)
        })?;
        let delivered = channels.iter().map(|channel| channel.delivered()).sum::<u64>() - before;
        let sent = channels.iter().map(|channel| channel.sent.load(Ordering::Relaxed)).sum::<u64>() - sent;
        let expected = sent * u64::try_from(work.subscribers)?;
        let mut times: Vec<u64> = Vec::new();
        for channel in channels.iter() {
            times.append(&mut channel.times.lock().unwrap_or_else(PoisonError::into_inner));
        }
        times.sort_unstable();
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).map(|nanos| *nanos as f64 / 1e3);
        Ok(Sent {
            delivered,
            lost: expected.saturating_sub(delivered),
            seconds: last.saturating_duration_since(start).as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
        })
    }
}

async fn meet(
    wire: Wire,
    addr: SocketAddr,
    number: usize,
    subscribe: bool,
    channel: usize,
) -> Result<(TcpStream, Vec<u8>)> {
    let meeting = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&wire.hello(number, subscribe, channel)).await?;
        let (mut bytes, mut said) = (Vec::new(), 0);
        while said < wire.welcome(subscribe) {
            match wire.packet(&bytes) {
                Packet::More => ensure!(stream.read_buf(&mut bytes).await? > 0, "the server hung up"),
                Packet::Other(len) | Packet::Message(len, _) => {
                    bytes.drain(..len);
                    said += 1;
                }
            }
        }
        Ok((stream, bytes))
    };
    timeout(PATIENCE, meeting).await.context("the server does not answer")?
}

/// Counts messages to the end of the stream.
async fn read(wire: Wire, mut stream: TcpStream, rest: Vec<u8>, channel: Arc<Channel>, who: usize) {
    let mut bytes = rest;
    bytes.reserve(READ);
    let mut times = Vec::new();
    loop {
        let (mut at, mut count) = (0, 0);
        while let Some(unread) = bytes.get(at..) {
            match wire.packet(unread) {
                Packet::More => break,
                Packet::Other(len) => at += len,
                Packet::Message(len, message) => {
                    let stamp = unread.get(message).and_then(|message| message.first_chunk());
                    times.extend(stamp.map(|stamp| u64::from_be_bytes(*stamp)));
                    (at, count) = (at + len, count + 1);
                }
            }
        }
        bytes.drain(..at);
        if channel.is_timed.load(Ordering::Relaxed) {
            let now = channel.now();
            let mut all = channel.times.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(times.iter().map(|stamp| now.saturating_sub(*stamp)));
        }
        times.clear();
        if let Some(counted) = channel.counts.get(who) {
            counted.fetch_add(count, Ordering::Relaxed);
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

/// As fast as subscribers take it; at least one message.
async fn flood(
    wire: Wire,
    mut stream: TcpStream,
    channel: &Channel,
    size: usize,
    duration: Duration,
) -> Result<TcpStream> {
    let ahead = u64::try_from(AHEAD_BYTES.checked_div(size).unwrap_or(AHEAD_MESSAGES).min(AHEAD_MESSAGES))?;
    let end = Instant::now() + duration;
    let (mut message, mut out) = (vec![b'x'; size], Vec::new());
    let mut floor = channel.slowest();
    let mut since = (Instant::now(), floor);
    loop {
        let sent = channel.sent.load(Ordering::Relaxed);
        if sent.saturating_sub(floor) >= ahead {
            floor = channel.slowest();
        }
        if sent.saturating_sub(floor) < ahead {
            stamp(&mut message, channel.now());
            wire.publish(channel.number, &message, &mut out);
            channel.sent.fetch_add(1, Ordering::Relaxed);
        }
        let is_full = sent.saturating_sub(floor) >= ahead;
        let is_over = Instant::now() >= end;
        if !out.is_empty() && (out.len() >= WRITE || is_full || is_over) {
            stream.write_all(&out).await?;
            out.clear();
        }
        if is_over || (since.1 == floor && since.0.elapsed() > STALL + duration) {
            return Ok(stream);
        }
        if floor > since.1 {
            since = (Instant::now(), floor);
        }
        if is_full {
            sleep(LOOK).await;
        }
    }
}

/// At moments that are fixed beforehand, which a thread of its own keeps.
async fn pace(
    wire: Wire,
    mut stream: TcpStream,
    channel: &Arc<Channel>,
    work: Work,
    rate: u64,
    duration: Duration,
) -> Result<TcpStream> {
    let (moments, mut turns) = mpsc::channel(1 << 16);
    let clock = channel.start;
    let share = rate / u64::try_from(work.channels)?.max(1);
    std::thread::spawn(move || {
        let start = Instant::now();
        for number in 0.. {
            let after = Duration::from_nanos(number * 1_000_000_000 / share.max(1));
            if after >= duration {
                return;
            }
            let at = start + after;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let stamp = u64::try_from((at - clock).as_nanos()).unwrap_or(u64::MAX);
            if moments.blocking_send(stamp).is_err() {
                return;
            }
        }
    });
    let (mut message, mut out) = (vec![b'x'; work.size], Vec::new());
    while let Some(moment) = turns.recv().await {
        stamp(&mut message, moment);
        wire.publish(channel.number, &message, &mut out);
        channel.sent.fetch_add(1, Ordering::Relaxed);
        stream.write_all(&out).await?;
        out.clear();
    }
    Ok(stream)
}

fn stamp(message: &mut [u8], moment: u64) {
    if let Some(first) = message.first_chunk_mut() {
        *first = moment.to_be_bytes();
    }
}

/// Waits until everybody has everything, or nothing comes any more; when the last news came.
async fn arrived(channels: &[Arc<Channel>], patience: Duration) -> Instant {
    let mut last = (Instant::now(), 0);
    loop {
        let lacks = |channel: &Arc<Channel>| channel.slowest() < channel.sent.load(Ordering::Relaxed);
        let delivered: u64 = channels.iter().map(|channel| channel.delivered()).sum();
        if delivered > last.1 {
            last = (Instant::now(), delivered);
        }
        if !channels.iter().any(lacks) || last.0.elapsed() > patience {
            return last.0;
        }
        sleep(LOOK).await;
    }
}
