//! Publishers: clients of the library, or bare links that put exactly so many messages under a signature.

use super::Failure;
use super::args::STAMP;
use super::link::{Heard, Link, Target, put};
use super::pace::Turns;
use super::skim::SEALED_STAMP;
use bytes::{Bytes, BytesMut};
use darkchat_client::{Channel, Client, Direct, SendError};
use darkchat_crypto::{Identity, sign};
use darkchat_proto::pad::padded_len;
use darkchat_proto::{
    Announced, ChannelId, ChannelName, Code, Content, Deliver, Entry, EntryKind, Frame, Kind, Network, Post,
    SealedHead, Signed, UserId,
};
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep_until;

/// Messages of a client of the library that wait for their answer: what the library has under way in a channel at most.
const IN_FLIGHT: usize = 1_024;
/// Direct messages to one user that wait until it says that it has them.
pub(crate) const DIRECT_IN_FLIGHT: usize = 16;
/// Posts of a bare link that wait for their answer.
const OPEN_POSTS: usize = 256;
/// Frames of a bare link leave together in records of this size, as long as more is to be sent.
const RECORD: usize = 16 << 10;
/// The share of the announced rates that a bare link uses, in percent, as the library does (protocol 6.1).
const SHARE: f64 = 0.9;
/// How far a bare link may make up for time in which it sent less than that.
const CREDIT: Duration = Duration::from_millis(50);

/// Who sends.
pub(crate) enum Publisher {
    Library { client: Client, channel: Channel },
    Direct { client: Client, to: Direct },
    Bare(Box<Bare>),
}

impl Publisher {
    /// A client of the library.
    pub(crate) async fn library(target: &Target, channel: ChannelName) -> Result<Self, Failure> {
        let client = target.client(|builder| builder.reachable(false)).await?;
        let channel = client.join(channel).await?;
        Ok(Self::Library { client, channel })
    }

    /// A client of the library that writes to one user.
    pub(crate) async fn direct(target: &Target, user: UserId) -> Result<Self, Failure> {
        let client = target.client(|builder| builder).await?;
        let to = client.direct(user);
        Ok(Self::Direct { client, to })
    }

    /// A bare link.
    pub(crate) async fn bare(
        target: &Target,
        channel: ChannelName,
        entries: usize,
        is_sealed: bool,
    ) -> Result<Self, Failure> {
        let identity = Identity::generate();
        let mut link = target.connect(&identity).await?;
        let channel = target.channel(&channel);
        link.join(vec![channel], true).await?;
        let network = target.network.clone();
        Ok(Self::Bare(Box::new(Bare {
            link,
            identity,
            network,
            channel,
            entries,
            is_sealed,
            seq: 1,
            open: BTreeMap::new(),
            gathered: Vec::new(),
            record: BytesMut::new(),
            allowed: Instant::now(),
            is_over: false,
            refused: 0,
        })))
    }

    /// Its part of a wave; how many messages were refused.
    pub(crate) async fn publish(&mut self, mut turns: Turns, size: usize) -> Result<u64, Failure> {
        match self {
            Self::Library { channel, .. } => {
                let to = channel.sender();
                each(&mut turns, IN_FLIGHT, |stamp| to.send(message(stamp, size))).await
            }
            Self::Direct { to, .. } => {
                each(&mut turns, DIRECT_IN_FLIGHT, |stamp| to.send(message(stamp, size))).await
            }
            Self::Bare(bare) => bare.publish(&mut turns, size).await,
        }
    }

    pub(crate) async fn leave(self) {
        match self {
            Self::Library { client, channel } => {
                drop(channel);
                client.close().await;
            }
            Self::Direct { client, .. } => client.close().await,
            Self::Bare(bare) => {
                // The link ends either way.
                let _gone = bare.link.leave().await;
            }
        }
    }
}

/// A message that is to leave at this moment.
pub(crate) fn message(stamp: u64, size: usize) -> Bytes {
    let mut bytes = BytesMut::zeroed(size.max(STAMP));
    if let Some(first) = bytes.first_chunk_mut() {
        *first = stamp.to_be_bytes();
    }
    bytes.freeze()
}

/// Sends a message at each turn, of which so many may be unanswered; how many were refused.
async fn each<T, F: Future<Output = Result<T, SendError>>>(
    turns: &mut Turns,
    in_flight: usize,
    send: impl Fn(u64) -> F,
) -> Result<u64, Failure> {
    let mut open = FuturesUnordered::new();
    let (mut refused, mut is_over) = (0, false);
    while !is_over || !open.is_empty() {
        tokio::select! {
            biased;
            Some(outcome) = open.next() => {
                if is_refusal(outcome)? {
                    turns.refused(1);
                    refused += 1;
                }
            }
            turn = turns.next(), if !is_over && open.len() < in_flight => match turn {
                Some(stamp) => open.push(send(stamp)),
                None => is_over = true,
            },
        }
    }
    Ok(refused)
}

/// Whether nobody will get a message; after an error that leaves it open it may be on its way.
fn is_refusal<T>(outcome: Result<T, SendError>) -> Result<bool, Failure> {
    match outcome {
        Ok(_) | Err(SendError::TimedOut) => Ok(false),
        Err(SendError::Refused { .. } | SendError::NotHere) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A bare link that signs its own posts.
pub(crate) struct Bare {
    link: Link,
    identity: Identity,
    network: Network,
    channel: ChannelId,
    /// Messages of one post.
    entries: usize,
    /// Whether posts look like those of a private channel.
    is_sealed: bool,
    /// The number of the next message of our stream.
    seq: u64,
    /// Posts without an answer: how many messages each has.
    open: BTreeMap<u32, u64>,
    /// The moments of the messages of the next post.
    gathered: Vec<u64>,
    /// Frames that leave together.
    record: BytesMut,
    /// When the budgets of the server allow the next post.
    allowed: Instant,
    is_over: bool,
    refused: u64,
}

impl Bare {
    async fn publish(&mut self, turns: &mut Turns, size: usize) -> Result<u64, Failure> {
        (self.is_over, self.refused) = (false, 0);
        loop {
            // All answers that are there make room, and whatever may leave then leaves together.
            while let Some(heard) = self.link.reader.next().now_or_never() {
                self.heard(heard?, turns).await?;
            }
            while self.is_free() && self.record.len() < RECORD {
                let Some(turn) = turns.next().now_or_never() else { break };
                self.turn(turn, size);
            }
            if !self.record.is_empty() {
                self.link.writer.seal(std::mem::take(&mut self.record)).await?;
            }
            if self.is_over && self.open.is_empty() {
                return Ok(self.refused);
            }
            let is_free = self.is_free();
            let waits = !is_free && !self.is_over && self.open.len() < OPEN_POSTS;
            tokio::select! {
                biased;
                heard = self.link.reader.next() => self.heard(heard?, turns).await?,
                turn = turns.next(), if is_free => self.turn(turn, size),
                () = sleep_until(self.allowed.into()), if waits => {}
            }
        }
    }

    fn is_free(&self) -> bool {
        !self.is_over && self.open.len() < OPEN_POSTS && self.allowed <= Instant::now()
    }

    fn turn(&mut self, turn: Option<u64>, size: usize) {
        match turn {
            Some(stamp) => self.gathered.push(stamp),
            None => self.is_over = true,
        }
        if self.gathered.len() == self.entries || (self.is_over && !self.gathered.is_empty()) {
            self.post(size);
        }
    }

    /// Makes a post of what has gathered.
    fn post(&mut self, size: usize) {
        let stamps = std::mem::take(&mut self.gathered);
        let count = u64::try_from(stamps.len()).unwrap_or(u64::MAX);
        let content = if self.is_sealed { self.sealed(&stamps, size) } else { self.signed(&stamps, size) };
        let deliver = Deliver { channel: self.channel, content }.encode();
        let now = Instant::now();
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        self.allowed = self.allowed.max(earliest) + cost(&self.link.announced, count, deliver.len());
        self.seq += count;
        let req = self.link.req();
        self.open.insert(req, count);
        put(&Frame::asking(req, Kind::Publish { deliver }), &mut self.record);
    }

    fn signed(&self, stamps: &[u64], size: usize) -> Content {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let entry = |stamp: &u64| Entry::new(EntryKind::Data, message(*stamp, size));
        let post = Post {
            author: self.link.user,
            channel: self.channel,
            stream: STREAM,
            seq: self.seq,
            time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            name: String::new(),
            entries: stamps.iter().map(entry).collect(),
        };
        let body = post.encode();
        let sig = self.identity.sign(&sign::post(&self.network, &body));
        Content::Public(Signed { body, sig })
    }

    /// As long as a sealed post with such a message, and as opaque to a server; its time stands in clear.
    fn sealed(&self, stamps: &[u64], size: usize) -> Content {
        let head = SealedHead { generation: 1, step: 0, stream: STREAM, seq: self.seq };
        let len = SEALED_STAMP + padded_len(SEALED_AROUND + size) + TAG;
        let mut sealed = BytesMut::with_capacity(len);
        sealed.extend_from_slice(&head.to_bytes());
        sealed.extend_from_slice(&stamps.first().copied().unwrap_or_default().to_be_bytes());
        sealed.resize(len, b'x');
        Content::Sealed(sealed.freeze())
    }

    async fn heard(&mut self, heard: Option<Heard>, turns: &Turns) -> Result<(), Failure> {
        match heard {
            Some(Heard::Reply(re, kind)) => {
                let count = self.open.remove(&re).unwrap_or_default();
                if matches!(kind, Kind::Error(_)) {
                    turns.refused(count);
                    self.refused += count;
                }
            }
            Some(Heard::Ping(nonce)) => self.link.pong(nonce).await?,
            Some(Heard::Goodbye(goodbye)) => return Err(Failure::ended(goodbye.code)),
            Some(_) => {}
            None => return Err(Failure::ended(Code::Truncated)),
        }
        if self.link.reader.wants_ping() { self.link.ping().await } else { Ok(()) }
    }
}

/// What a sealed post holds beside the content of its message, in bytes: signature, author, time, numbers.
const SEALED_AROUND: usize = 144;
/// The tag of what is sealed, in bytes.
const TAG: usize = 16;
/// The stream of a bare link; its key is new, so any number is.
const STREAM: u64 = 1;

/// The time that the server's budgets ask for a post.
fn cost(announced: &Announced, entries: u64, bytes: usize) -> Duration {
    let part = |count: f64, per_s: u32| if per_s == 0 { 0.0 } else { count / f64::from(per_s) };
    let parts = [
        part(1.0, announced.posts_per_s),
        part(1.0, announced.frames_per_s),
        part(entries as f64, announced.entries_per_s),
        part(bytes as f64, announced.bytes_per_s),
    ];
    Duration::from_secs_f64(parts.into_iter().fold(0.0, f64::max) / SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_costs_what_its_scarcest_budget_asks_for() {
        let announced = Announced { posts_per_s: 10, entries_per_s: 900, ..Announced::default() };
        assert_eq!(cost(&announced, 1, 100), Duration::from_secs_f64(1.0 / 9.0));
        assert_eq!(cost(&announced, 900, 100), Duration::from_secs_f64(1.0 / 0.9));
        assert_eq!(cost(&Announced::default(), 1, 100), Duration::ZERO);
    }

    #[test]
    fn a_message_begins_with_its_moment() {
        let bytes = message(7, 20);
        assert_eq!((bytes.len(), super::super::skim::stamp(&bytes)), (20, Some(7)));
    }
}
