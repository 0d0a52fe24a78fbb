//! Load for a server, steered line by line: `load ADDR`, then commands on stdin, one JSON answer each on stdout.
//!
//! ```text
//! publishers COUNT     so many clients of the library, each in a channel of its own
//! readers COUNT        so many more receivers in all of these channels, that count what comes
//! send ENTRIES SIZE    publish so many messages as fast as readers take them; wait until all readers have all
//! run MILLIS SIZE      the same for a time
//! singly MILLIS SIZE   the same, but each publisher waits for the answer: a post for each message
//! stall                one more receiver, that reads nothing from now on
//! resume notice        it reads until it is told what it missed, then reads nothing again
//! resume end           it reads to the end of its link
//! ```
//!
//! `cargo xtask figures` starts it. Publishers and receivers are throw-away users.
#![allow(clippy::print_stdout, reason = "a program that answers on stdout")]

mod raw;

use bytes::Bytes;
use darkchat_client::{Channel, Client, SendError};
use darkchat_crypto::Identity;
use darkchat_proto::{ChannelId, ServerAddr};
use darkchat_transport::Transport;
use darkchat_transport_tcp::Tcp;
use darkchat_transport_ws::Ws;
use futures_util::{StreamExt as _, future, stream};
use raw::{Counts, Failure, Heard, Receiver, Sizes};
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Messages of one publisher that wait for their answer.
const IN_FLIGHT: usize = 1_024;
/// Content that the slowest reader may be behind, in bytes: half of what a server queues, so that nothing is dropped
/// because this machine is small.
const AHEAD: u64 = 512 << 10;
/// The same in messages: a server queues 4,096 posts at most, and one that is not full may hold few messages.
const AHEAD_MESSAGES: u64 = 2_048;
/// Handshakes at a time, fewer than a server takes.
const HANDSHAKES: usize = 64;
/// How long the last messages of a wave, or the words of a server, may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Load {
    addr: ServerAddr,
    transport: Arc<dyn Transport>,
    publishers: Vec<(Client, Channel)>,
    readers: Vec<Arc<Counts>>,
    sizes: Arc<Sizes>,
    stalled: Option<Receiver>,
    /// Messages that publishing was begun for.
    begun: AtomicU64,
}

/// When a wave ends.
#[derive(Clone, Copy)]
enum Until {
    Messages(u64),
    Time(Instant),
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let addr: ServerAddr = std::env::args().nth(1).ok_or("usage: load ADDR")?.parse()?;
    let transport: Arc<dyn Transport> =
        if addr.addr.scheme() == "ws" { Arc::new(Ws::default()) } else { Arc::new(Tcp::default()) };
    let mut load = Load {
        addr,
        transport,
        publishers: Vec::new(),
        readers: Vec::new(),
        sizes: Arc::default(),
        stalled: None,
        begun: AtomicU64::new(0),
    };
    // Nothing else is done between two commands that could not wait for the next one.
    for line in std::io::stdin().lock().lines() {
        let answer = load.obey(&line?).await?;
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Load {
    async fn obey(&mut self, line: &str) -> Result<String, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["publishers", count] => self.add_publishers(count.parse()?).await,
            ["readers", count] => self.add_readers(count.parse()?).await,
            ["send", count, size] => self.wave(Until::Messages(count.parse()?), size.parse()?, IN_FLIGHT).await,
            ["run", millis, size] => self.wave(after(millis)?, size.parse()?, IN_FLIGHT).await,
            ["singly", millis, size] => self.wave(after(millis)?, size.parse()?, 1).await,
            ["stall"] => {
                self.stalled = Some(self.receiver().await?);
                Ok("{}".to_owned())
            }
            ["resume", until] => self.resume(until == "end").await,
            _ => Err(format!("unknown command: {line}").into()),
        }
    }

    async fn add_publishers(&mut self, count: usize) -> Result<String, Failure> {
        for number in 0..count {
            let client = Client::builder(Identity::generate())
                .transport(Tcp::default())
                .transport(Ws::default())
                .announce(false)
                .reconnect(false)
                .connect(self.addr.clone())
                .await?;
            let channel = client.join(format!("load-{}-{number}", std::process::id()).parse()?).await?;
            self.publishers.push((client, channel));
        }
        Ok("{}".to_owned())
    }

    fn channels(&self) -> Vec<ChannelId> {
        self.publishers.iter().map(|(_, channel)| channel.id()).collect()
    }

    fn receiver(&self) -> impl Future<Output = Result<Receiver, Failure>> + Send + 'static {
        let (transport, sizes) = (Arc::clone(&self.transport), Arc::clone(&self.sizes));
        let (addr, channels) = (self.addr.addr.clone(), self.channels());
        async move { Receiver::connect(transport, addr, &channels, sizes).await }
    }

    async fn add_readers(&mut self, count: usize) -> Result<String, Failure> {
        let joined = stream::iter((0..count).map(|_| tokio::spawn(self.receiver())));
        let receivers: Vec<_> = joined.buffer_unordered(HANDSHAKES).collect().await;
        for receiver in receivers {
            let receiver = receiver??;
            receiver.counts.entries.store(self.begun.load(Ordering::Relaxed), Ordering::Relaxed);
            self.readers.push(Arc::clone(&receiver.counts));
            tokio::spawn(async move {
                if let Err(error) = receiver.read().await {
                    println!("{{\"error\":\"a reader ended: {error}\"}}");
                }
            });
        }
        Ok(format!("{{\"readers\":{}}}", self.readers.len()))
    }

    /// Messages that the slowest reader has, counting those from before its time.
    fn slowest(&self) -> u64 {
        let counted = self.readers.iter().map(|counts| counts.entries.load(Ordering::Relaxed));
        counted.min().unwrap_or_else(|| self.begun.load(Ordering::Relaxed))
    }

    fn sum(&self, of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        self.readers.iter().map(|counts| of(counts).load(Ordering::Relaxed)).sum()
    }

    async fn wave(&self, until: Until, size: usize, in_flight: usize) -> Result<String, Failure> {
        let payload = Bytes::from(vec![b'x'; size]);
        let start = Instant::now();
        let before = [self.sum(|c| &c.posts), self.sum(|c| &c.entries), self.sum(|c| &c.dropped)];
        let target = match until {
            Until::Messages(count) => Until::Messages(self.begun.load(Ordering::Relaxed) + count),
            Until::Time(_) => until,
        };
        let first = self.begun.load(Ordering::Relaxed);
        let publishing = self.publishers.iter().map(|(_, channel)| self.publish(channel, &payload, target, in_flight));
        let outcomes = future::join_all(publishing).await;
        let published = start.elapsed();
        let missing = self.arrived().await;
        let seconds = start.elapsed().as_secs_f64();
        for outcome in outcomes {
            outcome?;
        }
        let [posts, entries, dropped] = before;
        Ok(format!(
            "{{\"seconds\":{seconds:.3},\"published_in\":{:.3},\"messages\":{},\"posts\":{},\"deliveries\":{},\"dropped_posts\":{},\"missing\":{missing}}}",
            published.as_secs_f64(),
            self.begun.load(Ordering::Relaxed) - first,
            (self.sum(|c| &c.posts) - posts).checked_div(self.readers.len() as u64).unwrap_or(0),
            self.sum(|c| &c.entries) - entries,
            self.sum(|c| &c.dropped) - dropped,
        ))
    }

    /// One publisher's part of a wave: it keeps so many messages in flight, and so far ahead of the slowest reader.
    async fn publish(
        &self,
        channel: &Channel,
        payload: &Bytes,
        until: Until,
        in_flight: usize,
    ) -> Result<(), SendError> {
        let ahead = (AHEAD / payload.len().max(1) as u64).min(AHEAD_MESSAGES);
        let wishes = stream::unfold((), |()| async move {
            while self.begun.load(Ordering::Relaxed).saturating_sub(self.slowest()) > ahead {
                sleep(Duration::from_millis(1)).await;
            }
            let begun = self.begun.fetch_add(1, Ordering::Relaxed);
            let goes_on = match until {
                Until::Messages(count) => begun < count,
                Until::Time(end) => Instant::now() < end,
            };
            if !goes_on {
                self.begun.fetch_sub(1, Ordering::Relaxed);
            }
            goes_on.then_some(((), ()))
        });
        let sent = wishes.map(|()| channel.send(payload.clone())).buffer_unordered(in_flight);
        sent.fold(Ok(()), |all, one| future::ready(all.and(one.map(drop)))).await
    }

    /// Waits until every reader has everything, but not for ever: how many messages the slowest one lacks.
    async fn arrived(&self) -> u64 {
        let lacks = || self.begun.load(Ordering::Relaxed).saturating_sub(self.slowest());
        let all = async {
            while lacks() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        // What is missing then is said in the answer.
        let _late = timeout(PATIENCE, all).await;
        lacks()
    }

    async fn resume(&mut self, to_the_end: bool) -> Result<String, Failure> {
        let mut receiver = self.stalled.take().ok_or("nobody is stalled")?;
        let reading = async {
            while let Some(heard) = receiver.next().await? {
                match heard {
                    Heard::Dropped(count) if !to_the_end => return Ok(format!("{{\"dropped\":{count}}}")),
                    Heard::Goodbye(goodbye) => {
                        let (code, text) = (goodbye.code.name(), goodbye.text);
                        return Ok(format!("{{\"goodbye\":\"{code}\",\"text\":{text:?}}}"));
                    }
                    _ => {}
                }
            }
            Ok("{\"goodbye\":null}".to_owned())
        };
        let said = timeout(PATIENCE, reading).await?;
        self.stalled = Some(receiver);
        said
    }
}

fn after(millis: &str) -> Result<Until, Failure> {
    Ok(Until::Time(Instant::now() + Duration::from_millis(millis.parse()?)))
}
