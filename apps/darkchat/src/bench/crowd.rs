//! Subscribers: many links that count what comes, or clients of the library that check it.

use super::Failure;
use super::args::Receivers;
use super::board::Tally;
use super::latency::Latencies;
use super::link::{Heard, Link, Target};
use super::skim;
use crate::print;
use darkchat_client::{Channel, Client, Inbox, Missed, Received};
use darkchat_crypto::Identity;
use darkchat_proto::{ChannelName, Code, UserId};
use futures_util::{StreamExt as _, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Handshakes at a time, fewer than a server takes.
const HANDSHAKES: usize = 32;
/// Time between two signs of life.
const PING: Duration = Duration::from_secs(30);

/// All subscribers; dropping it hangs up.
#[derive(Default)]
pub(crate) struct Crowd {
    readers: JoinSet<Failure>,
    /// Clients of the library stay as long as somebody holds them.
    clients: Vec<Client>,
}

/// One subscriber that is to be.
pub(crate) struct Place {
    pub(crate) channel: ChannelName,
    pub(crate) tally: Arc<Tally>,
}

impl Crowd {
    /// Connects everybody, and returns when all of them are in their channels. Counts in `progress` who is there.
    pub(crate) async fn gather(
        &mut self,
        target: &Target,
        places: Vec<Place>,
        receivers: Receivers,
        latencies: &Arc<Latencies>,
        progress: &AtomicU64,
    ) -> Result<(), Failure> {
        let coming = stream::iter(places.into_iter().enumerate().map(|(who, place)| {
            let (target, latencies) = (target.clone(), Arc::clone(latencies));
            let Place { channel, tally } = place;
            tokio::spawn(async move {
                let counter = Counter { who, tally, latencies };
                match receivers {
                    Receivers::Counting => {
                        let mut link = target.connect(&Identity::generate()).await?;
                        link.join(vec![target.channel(&channel)], true).await?;
                        Ok(Reader::Counting(Box::new(link), counter))
                    }
                    Receivers::Verifying => {
                        let client = target.client(|builder| builder.reachable(false)).await?;
                        let channel = client.join(channel).await?;
                        Ok(Reader::Verifying(client, channel, counter))
                    }
                }
            })
        }));
        let mut there = coming.buffer_unordered(HANDSHAKES);
        while let Some(reader) = there.next().await {
            let reader: Result<Reader, Failure> = reader.map_err(std::io::Error::other)?;
            match reader? {
                Reader::Counting(link, counter) => {
                    self.readers.spawn(counter.count(*link));
                }
                Reader::Verifying(client, channel, counter) => {
                    self.clients.push(client);
                    self.readers.spawn(counter.verify(channel));
                }
            }
            progress.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Connects those who get direct messages; who they are.
    pub(crate) async fn recipients(
        &mut self,
        target: &Target,
        tallies: impl Iterator<Item = Arc<Tally>>,
        latencies: &Arc<Latencies>,
        progress: &AtomicU64,
    ) -> Result<Vec<UserId>, Failure> {
        let mut users = Vec::new();
        for (who, tally) in tallies.enumerate() {
            let client = target.client(|builder| builder).await?;
            users.push(client.id());
            let counter = Counter { who, tally, latencies: Arc::clone(latencies) };
            self.readers.spawn(counter.open(client.inbox()));
            self.clients.push(client);
            progress.fetch_add(1, Ordering::Relaxed);
        }
        Ok(users)
    }

    /// Hangs up, and says who was lost before and why.
    pub(crate) fn end(mut self) {
        let (mut count, mut why) = (0_u64, None);
        while let Some(lost) = self.readers.try_join_next() {
            count += 1;
            why = why.or_else(|| lost.ok());
        }
        if let Some(why) = why {
            print::notice(&format!("{count} subscribers were lost: {why}"));
        }
        self.readers.abort_all();
    }
}

enum Reader {
    Counting(Box<Link>, Counter),
    Verifying(Client, Channel, Counter),
}

/// What a subscriber does with what comes.
struct Counter {
    who: usize,
    tally: Arc<Tally>,
    latencies: Arc<Latencies>,
}

impl Counter {
    /// Reads to the end of the link; why it ended.
    async fn count(self, link: Link) -> Failure {
        match self.read(link).await {
            Ok(code) => Failure::ended(code),
            Err(failure) => failure,
        }
    }

    async fn read(self, mut link: Link) -> Result<Code, Failure> {
        let beat = sleep_until(Instant::now() + PING);
        tokio::pin!(beat);
        loop {
            tokio::select! {
                biased;
                heard = link.reader.next() => match heard? {
                    Some(Heard::Post(frame)) => self.post(skim::post(&frame).unwrap_or_default()),
                    Some(Heard::Dropped(count)) => {
                        self.tally.dropped.fetch_add(count, Ordering::Relaxed);
                    }
                    Some(Heard::Ping(nonce)) => link.pong(nonce).await?,
                    Some(Heard::Goodbye(goodbye)) => return Ok(goodbye.code),
                    Some(_) => {}
                    None => return Ok(Code::Truncated),
                },
                () = &mut beat => {
                    link.ping().await?;
                    beat.as_mut().reset(Instant::now() + PING);
                }
            }
            if link.reader.wants_ping() {
                link.ping().await?;
            }
        }
    }

    fn post(&self, post: &[u8]) {
        let mut count = 0;
        self.latencies.arrived(self.who, skim::stamps(post).inspect(|_| count += 1).flatten());
        self.tally.posts.fetch_add(1, Ordering::Relaxed);
        self.tally.messages.fetch_add(count, Ordering::Relaxed);
    }

    /// Reads direct messages to their end.
    async fn open(self, mut inbox: Inbox) -> Failure {
        while let Some(received) = inbox.recv().await {
            match received {
                Received::Message(message) => self.message(message.payload.as_bytes()),
                Received::Missed(missed) => self.missed(&missed),
                _ => {}
            }
        }
        Failure::ended(Code::Truncated)
    }

    fn message(&self, content: &[u8]) {
        self.latencies.arrived(self.who, skim::stamp(content).into_iter());
        self.tally.posts.fetch_add(1, Ordering::Relaxed);
        self.tally.messages.fetch_add(1, Ordering::Relaxed);
    }

    fn missed(&self, missed: &Missed) {
        self.tally.dropped.fetch_add(missed.count.unwrap_or(1), Ordering::Relaxed);
    }

    /// Reads a channel of the library to its end.
    async fn verify(self, mut channel: Channel) -> Failure {
        while let Some(received) = channel.recv().await {
            match received {
                Received::Message(message) => self.message(message.payload.as_bytes()),
                Received::Missed(missed) => self.missed(&missed),
                _ => {}
            }
        }
        Failure::ended(Code::Truncated)
    }
}
