//! Measures what one delivery costs the server, and whether a reader that stops costs the others anything.
//!
//! `cargo run --release -p darkchat-server --example fan_out [READERS] [POSTS] [ENTRIES]`
//!
//! The readers take what comes and do not open it, so that their work does not hide the server's. The cost is the
//! processor time of the server's threads, so it is told on Linux only.

#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use bytes::{Bytes, BytesMut};
use darkchat_crypto::{Credentials, Dialler, Established, Identity, Initiator, LinkConfig, sign, system};
use darkchat_proto::{
    ChannelId, Content, Deliver, DeviceId, Entry, Frame, FrameStream, Kind, Network, Post, ServerAddr, Signed,
};
use darkchat_server::{Accept, Server};
use darkchat_transport::{Link, Transport};
use darkchat_transport_tcp::Tcp;
use futures_util::{SinkExt, StreamExt};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Posts that a publisher has under way at once.
const WINDOW: usize = 64;
/// Rounds with and without a reader that stops.
const ROUNDS: usize = 5;
/// The threads whose time counts.
const SERVER_THREAD: &str = "the-server";

/// A client's link, by hand.
struct Raw {
    link: Link,
    established: Established,
    identity: Identity,
}

impl Raw {
    async fn connect(server: &ServerAddr, channel: ChannelId) -> Result<Self> {
        let mut link = Tcp::default().dial(server.addr.clone()).await?;
        let (identity, config) = (Identity::generate(), LinkConfig::default());
        let dialler = Dialler::Client(DeviceId::new([1; 16]));
        let (initiator, message1) = Initiator::start(&config, dialler, None, &mut system::rng());
        link.sink.send(message1).await?;
        let proof = initiator.read_reply(link.units.next().await.ok_or("message 2")??)?;
        let signature = identity.sign(&proof.request());
        let (message3, established) = proof.finish(identity.public(), signature, Credentials::default())?;
        link.sink.send(message3).await?;
        let mut raw = Self { link, established, identity };
        raw.record().await?;
        raw.send(&Frame::asking(1, Kind::Join { channels: vec![channel], wait_spread: false })).await?;
        raw.record().await?;
        Ok(raw)
    }

    /// The plaintext of the next record.
    async fn record(&mut self) -> Result<Bytes> {
        let unit = self.unit().await?;
        let record = unit.try_into_mut().unwrap_or_else(|unit| BytesMut::from(&unit[..]));
        Ok(self.established.opener.open(record)?.freeze())
    }

    async fn send(&mut self, frame: &Frame) -> Result<()> {
        let (head, body) = frame.encode_split();
        let mut record = BytesMut::from(&[&head[..], &body].concat()[..]);
        self.established.sealer.seal(&mut record)?;
        Ok(self.link.sink.send(record.freeze()).await?)
    }

    async fn unit(&mut self) -> Result<Bytes> {
        Ok(self.link.units.next().await.ok_or("the server is there")??)
    }

    fn post(&self, channel: ChannelId, seq: u64, entries: usize) -> Result<Bytes> {
        let time_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let entry = Entry::text("x".repeat(64));
        let (author, entries) = (self.identity.user_id(), vec![entry; entries]);
        let body = Post { author, channel, stream: 1, seq, time_ms, name: String::new(), entries }.encode();
        let sig = self.identity.sign(&sign::post(&Network::default(), &body));
        Ok(Deliver { channel, content: Content::Public(Signed { body, sig }) }.encode())
    }

    /// Sends the posts, and reads the acknowledgements as they come.
    async fn publish(&mut self, posts: &[Bytes]) -> Result<()> {
        let mut frames = FrameStream::default();
        let mut acknowledged = 0;
        for (sent, deliver) in (1..).zip(posts) {
            let req = u32::try_from(sent + 1)?;
            self.send(&Frame::asking(req, Kind::Publish { deliver: deliver.clone() })).await?;
            while sent - acknowledged >= WINDOW || (sent == posts.len() && acknowledged < sent) {
                frames.push(self.record().await?);
                while let Some(bytes) = frames.next_frame()? {
                    match Frame::decode(bytes)?.kind {
                        Kind::Ok(_) => acknowledged += 1,
                        Kind::Error(refusal) => return Err(format!("refused: {}", refusal.code).into()),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// The processor time of the server's threads so far.
fn server_time() -> Option<Duration> {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        if name.contains(SERVER_THREAD) {
            let mut fields = rest.split_whitespace().skip(11);
            ticks += fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        }
    }
    // A tick is 10 ms on every Linux that matters.
    Some(Duration::from_millis(ticks * 10))
}

/// One round; returns posts per second.
async fn round(server: &Server, channel: ChannelId, posts: usize, entries: usize) -> Result<f64> {
    let place = server.addrs().first().ok_or("one listener")?.0.clone().into();
    let mut publisher = Raw::connect(&place, channel).await?;
    let signed = (0..posts)
        .map(|number| publisher.post(channel, u64::try_from(number * entries + 1)?, entries))
        .collect::<Result<Vec<_>>>()?;
    let (before, time, start) = (server.stats().node.delivered, server_time(), Instant::now());
    publisher.publish(&signed).await?;
    let took = start.elapsed();
    // What was accepted still leaves.
    while server.stats().node.sizes.queued_bytes > 0 && start.elapsed() < took * 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let delivered = server.stats().node.delivered - before;
    let rate = posts as f64 / took.as_secs_f64();
    println!(
        "{rate:>9.0} posts/s, {:>9.0} entries delivered/s",
        delivered as f64 * entries as f64 / took.as_secs_f64()
    );
    if let (Some(before), Some(after)) = (time, server_time()) {
        let micros = (after - before).as_secs_f64() * 1e6 / (delivered as f64 * entries as f64);
        println!("          {micros:.3} µs of the server's time per delivered entry");
    }
    Ok(rate)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut argument = |default| arguments.next().unwrap_or(Ok(default));
    let (readers, posts, entries) = (argument(100)?, argument(3_000)?, argument(1)?);
    let servers =
        tokio::runtime::Builder::new_multi_thread().thread_name(SERVER_THREAD).enable_all().build()?;
    let others = tokio::runtime::Builder::new_multi_thread().thread_name("others").enable_all().build()?;

    let channel = ChannelId::of(&Network::default(), &"bench".parse()?);
    let start = Server::builder(Identity::generate())
        .transport(Tcp::default())
        .listen("tcp://127.0.0.1:0".parse()?, Accept::Clients)
        .start();
    let server = servers.block_on(start)?;
    let is_stalled = Arc::new(AtomicBool::new(false));
    others.block_on(async {
        let place: ServerAddr = server.addrs().first().ok_or("one listener")?.0.clone().into();
        for number in 0..readers {
            let mut raw = Raw::connect(&place, channel).await?;
            let is_stalled = is_stalled.clone();
            tokio::spawn(async move {
                while raw.unit().await.is_ok() {
                    while number == 0 && is_stalled.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        println!("{readers} readers, {posts} posts of {entries} entries");
        round(&server, channel, posts, entries).await?;
        // Turn and turn about, so that what else the machine does falls on both alike.
        let (mut undisturbed, mut disturbed) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (stalls, rates) in [(false, &mut undisturbed), (true, &mut disturbed)] {
                is_stalled.store(stalls, Ordering::Relaxed);
                println!("{}", if stalls { "one reader stops:" } else { "all read:" });
                rates.push(round(&server, channel, posts, entries).await?);
            }
        }
        println!("ratio {:.2}", median(disturbed) / median(undisturbed));
        server.shutdown(Duration::from_millis(100)).await;
        Ok(())
    })
}
