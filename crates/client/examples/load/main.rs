//! Load for a server, steered line by line: `load ADDR`, then commands on stdin, one JSON answer each on stdout.
//!
//! ```text
//! publishers COUNT     so many clients of the library, each in a channel of its own
//! readers COUNT        so many more receivers in all of these channels, that count what comes
//! channels COUNT       one more receiver for each thousand channels in which nobody speaks
//! send ENTRIES SIZE    publish so many messages as fast as readers take them; wait until all readers have all
//! run MILLIS SIZE      the same for a time
//! singly MILLIS SIZE   the same, but each publisher waits for the answer: a post for each message
//! begin SIZE           publish until `end`, which answers for it; other commands go in between
//! end
//! stall                one more receiver, that reads nothing from now on
//! resume notice        it reads until it is told what it missed, then reads nothing again
//! resume end           it reads to the end of its link
//! unstall              it hangs up
//! ```
//!
//! `cargo xtask figures` starts it. Publishers and receivers are throw-away users.
#![allow(clippy::print_stdout, reason = "a program that answers on stdout")]
#![allow(clippy::disallowed_methods, reason = "a program that measures time")]

mod raw;

use bytes::Bytes;
use darkchat_client::{Channel, Client, SendError, Sender, Sent};
use darkchat_crypto::Identity;
use darkchat_proto::{ChannelId, Code, ServerAddr};
use darkchat_transport::Transport;
use darkchat_transport_tcp::Tcp;
use darkchat_transport_ws::Ws;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, future, stream};
use raw::{Counts, Failure, Heard, Receiver, Sizes};
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Messages of one publisher that wait for their answer.
const IN_FLIGHT: usize = 1_024;
/// Content that the slowest reader may be behind, in bytes: half of what a server queues, so that nothing is dropped
/// because this machine is small.
const AHEAD_BYTES: usize = 512 << 10;
/// The same in messages: a server queues 4,096 posts at most, and one that is not full may hold few messages.
const AHEAD_MESSAGES: usize = 2_048;
/// Silent channels of one receiver.
const CHANNELS: usize = 1_000;
/// Handshakes at a time, fewer than a server takes.
const HANDSHAKES: usize = 64;
/// How long the last messages of a wave, or the words of a server, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everybody who publishes and receives, apart from the one who stalls.
#[derive(Default)]
struct Crowd {
    publishers: Vec<(Client, Channel)>,
    readers: Vec<Arc<Counts>>,
    /// Messages that publishing was begun for.
    begun: AtomicU64,
    /// A wave without an end of its own is to end.
    ends: AtomicBool,
}

struct Load {
    addr: ServerAddr,
    transport: Arc<dyn Transport>,
    crowd: Arc<Crowd>,
    sizes: Arc<Sizes>,
    stalled: Option<Receiver>,
    going: Option<JoinHandle<Result<String, Failure>>>,
}

/// When a wave ends.
#[derive(Clone, Copy)]
enum Until {
    Messages(u64),
    Time(Instant),
    Told,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let addr: ServerAddr = std::env::args().nth(1).ok_or("usage: load ADDR")?.parse()?;
    let transport: Arc<dyn Transport> =
        if addr.addr.scheme() == "ws" { Arc::new(Ws::default()) } else { Arc::new(Tcp::default()) };
    let (crowd, sizes) = (Arc::default(), Arc::default());
    let mut load = Load { addr, transport, crowd, sizes, stalled: None, going: None };
    // Everything else runs on other threads while this one waits for a command.
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
        let mut answer = "{}".to_owned();
        match words[..] {
            ["publishers", count] => self.add_publishers(count.parse()?).await?,
            ["readers", count] => self.add_readers(count.parse()?).await?,
            ["channels", count] => self.add_channels(count.parse()?).await?,
            ["send", count, size] => answer = self.wave(messages(count)?, size, IN_FLIGHT)?.await??,
            ["run", millis, size] => answer = self.wave(after(millis)?, size, IN_FLIGHT)?.await??,
            ["singly", millis, size] => answer = self.wave(after(millis)?, size, 1)?.await??,
            ["begin", size] => self.going = Some(self.wave(Until::Told, size, IN_FLIGHT)?),
            ["end"] => {
                self.crowd.ends.store(true, Ordering::Relaxed);
                answer = self.going.take().ok_or("nothing was begun")?.await??;
            }
            ["stall"] => self.stalled = Some(self.receiver().await?),
            ["resume", until] => answer = self.resume(until == "end").await?,
            ["unstall"] => self.stalled = None,
            _ => return Err(format!("unknown command: {line}").into()),
        }
        Ok(answer)
    }

    async fn add_publishers(&mut self, count: usize) -> Result<(), Failure> {
        let crowd = Arc::get_mut(&mut self.crowd).ok_or("a wave goes on")?;
        for number in 0..count {
            let client = Client::builder(Identity::generate())
                .transport(Tcp::default())
                .transport(Ws::default())
                .announce(false)
                .reconnect(false)
                .connect(self.addr.clone())
                .await?;
            let channel = client.join(format!("load-{}-{number}", std::process::id()).parse()?).await?;
            crowd.publishers.push((client, channel));
        }
        Ok(())
    }

    fn receiver(&self) -> impl Future<Output = Result<Receiver, Failure>> + Send + use<> {
        let (transport, sizes) = (Arc::clone(&self.transport), Arc::clone(&self.sizes));
        let addr = self.addr.addr.clone();
        let channels: Vec<_> = self.crowd.publishers.iter().map(|(_, channel)| channel.id()).collect();
        async move { Receiver::connect(transport, addr, &channels, sizes).await }
    }

    async fn add_readers(&mut self, count: usize) -> Result<(), Failure> {
        let joined = stream::iter((0..count).map(|_| tokio::spawn(self.receiver())));
        let receivers: Vec<_> = joined.buffer_unordered(HANDSHAKES).collect().await;
        let crowd = Arc::get_mut(&mut self.crowd).ok_or("a wave goes on")?;
        for receiver in receivers {
            let receiver = receiver??;
            receiver.counts.entries.store(crowd.begun.load(Ordering::Relaxed), Ordering::Relaxed);
            crowd.readers.push(Arc::clone(&receiver.counts));
            tokio::spawn(async move {
                match receiver.read().await {
                    Ok(Code::Ok | Code::Shutdown) => {}
                    Ok(code) => println!("{{\"error\":\"a reader was sent away: {}\"}}", code.name()),
                    Err(error) => println!("{{\"error\":\"a reader broke: {error}\"}}"),
                }
            });
        }
        Ok(())
    }

    async fn add_channels(&mut self, count: usize) -> Result<(), Failure> {
        for first in (0..count).step_by(CHANNELS) {
            let number = |channel: usize| {
                let mut id = [7; 32];
                id[..8].copy_from_slice(&channel.to_be_bytes());
                ChannelId::new(id)
            };
            let channels: Vec<_> = (first..count.min(first + CHANNELS)).map(number).collect();
            let (transport, sizes) = (Arc::clone(&self.transport), Arc::clone(&self.sizes));
            let receiver = Receiver::connect(transport, self.addr.addr.clone(), &channels, sizes).await?;
            tokio::spawn(receiver.read());
        }
        Ok(())
    }

    fn wave(
        &self,
        until: Until,
        size: &str,
        in_flight: usize,
    ) -> Result<JoinHandle<Result<String, Failure>>, Failure> {
        let crowd = Arc::clone(&self.crowd);
        Ok(tokio::spawn(crowd.wave(until, size.parse()?, in_flight)))
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

impl Crowd {
    /// Messages that the slowest reader has, counting those from before its time.
    fn slowest(&self) -> u64 {
        let counted = self.readers.iter().map(|counts| counts.entries.load(Ordering::Relaxed));
        counted.min().unwrap_or_else(|| self.begun.load(Ordering::Relaxed))
    }

    fn sum(&self, of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        self.readers.iter().map(|counts| of(counts).load(Ordering::Relaxed)).sum()
    }

    async fn wave(self: Arc<Self>, until: Until, size: usize, in_flight: usize) -> Result<String, Failure> {
        let payload = Bytes::from(vec![b'x'; size]);
        let start = Instant::now();
        let first = self.begun.load(Ordering::Relaxed);
        let [posts, entries, dropped] =
            [self.sum(|c| &c.posts), self.sum(|c| &c.entries), self.sum(|c| &c.dropped)];
        self.ends.store(false, Ordering::Relaxed);
        let until = match until {
            Until::Messages(count) => Until::Messages(first + count),
            until => until,
        };
        let publishing = self.publishers.iter().map(|(_, to)| {
            let part = Arc::clone(&self).publish(to.sender(), payload.clone(), until, in_flight);
            tokio::spawn(part)
        });
        let outcomes = future::join_all(publishing).await;
        let missing = self.arrived().await;
        let seconds = start.elapsed().as_secs_f64();
        for outcome in outcomes {
            outcome??;
        }
        let readers = u64::try_from(self.readers.len())?;
        Ok(format!(
            "{{\"seconds\":{seconds:.3},\"messages\":{},\"posts\":{},\"deliveries\":{},\"dropped_posts\":{},\"missing\":{missing}}}",
            self.begun.load(Ordering::Relaxed) - first,
            (self.sum(|c| &c.posts) - posts).checked_div(readers).unwrap_or_default(),
            self.sum(|c| &c.entries) - entries,
            self.sum(|c| &c.dropped) - dropped,
        ))
    }

    fn goes_on(&self, until: Until, begun: u64) -> bool {
        match until {
            Until::Messages(count) => begun < count,
            Until::Time(end) => Instant::now() < end,
            Until::Told => !self.ends.load(Ordering::Relaxed),
        }
    }

    /// One publisher's part of a wave: it keeps so many messages in flight, and so far ahead of the slowest reader.
    async fn publish(
        self: Arc<Self>,
        to: Sender,
        payload: Bytes,
        until: Until,
        in_flight: usize,
    ) -> Result<(), SendError> {
        let ahead = AHEAD_BYTES.checked_div(payload.len()).unwrap_or(AHEAD_MESSAGES).min(AHEAD_MESSAGES);
        let mut sent = FuturesUnordered::new();
        let mut goes_on = true;
        while goes_on || !sent.is_empty() {
            tokio::select! {
                biased;
                Some(outcome) = sent.next() => {
                    let taken: Result<Sent, SendError> = outcome;
                    taken?;
                }
                next = self.turn(until, ahead), if goes_on && sent.len() < in_flight => {
                    goes_on = next;
                    if goes_on {
                        sent.push(to.send(payload.clone()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until readers have room; whether another message is to be published, which counts as begun then.
    async fn turn(&self, until: Until, ahead: usize) -> bool {
        let ahead = u64::try_from(ahead).unwrap_or_default();
        while self.begun.load(Ordering::Relaxed).saturating_sub(self.slowest()) > ahead {
            sleep(Duration::from_millis(1)).await;
        }
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let goes_on = self.goes_on(until, begun);
        if !goes_on {
            self.begun.fetch_sub(1, Ordering::Relaxed);
        }
        goes_on
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
}

fn messages(count: &str) -> Result<Until, Failure> {
    Ok(Until::Messages(count.parse()?))
}

fn after(millis: &str) -> Result<Until, Failure> {
    Ok(Until::Time(Instant::now() + Duration::from_millis(millis.parse()?)))
}
