//! A receiver that costs little: a proven link that counts what comes, and checks no signature.

use bytes::{Bytes, BytesMut};
use darkchat_crypto::{
    Credentials, Dialler, Established, Identity, Initiator, LinkConfig, Opener, Sealer, system,
};
use darkchat_proto::{
    Addr, ChannelId, Code, Content, Deliver, DeviceId, Features, Frame, FrameStream, Goodbye, Kind, Notice,
    Post,
};
use darkchat_transport::{BoxSink, BoxStream, Transport};
use futures_util::{SinkExt as _, StreamExt as _};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Channels that one `Join` names.
const JOIN: usize = 1_024;
/// Posts whose number of entries is remembered, so that one receiver reads a post for all.
const REMEMBERED: usize = 4_096;

/// Time between two signs of life.
const PING: Duration = Duration::from_secs(30);

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one receiver has counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) posts: AtomicU64,
    pub(crate) entries: AtomicU64,
    /// Posts that the server said it dropped.
    pub(crate) dropped: AtomicU64,
}

/// How many entries a post has, found out once for all receivers: by the bytes of its signature.
#[derive(Debug, Default)]
pub(crate) struct Sizes(Mutex<BTreeMap<[u8; 16], u64>>);

impl Sizes {
    fn of(&self, deliver: &Bytes) -> Result<u64, Failure> {
        // The signature is what a `Deliver` ends with.
        let key = deliver.last_chunk::<16>().copied().unwrap_or_default();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = known.get(&key) {
            return Ok(*entries);
        }
        let Content::Public(signed) = Deliver::decode(deliver.clone())?.content else { return Ok(1) };
        let entries = u64::try_from(Post::decode(signed.body)?.entries.len())?;
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, entries);
        Ok(entries)
    }
}

/// What a receiver reads that concerns it.
#[derive(Debug)]
pub(crate) enum Heard {
    Post,
    Dropped(u64),
    Reply(u32, Kind),
    Goodbye(Goodbye),
}

/// A proven link.
pub(crate) struct Receiver {
    units: BoxStream<io::Result<Bytes>>,
    sink: BoxSink,
    sealer: Sealer,
    opener: Opener,
    frames: FrameStream,
    sizes: Arc<Sizes>,
    pub(crate) counts: Arc<Counts>,
}

impl Receiver {
    /// Connects with a fresh key, and joins these channels.
    pub(crate) async fn connect(
        transport: Arc<dyn Transport>,
        addr: Addr,
        channels: &[ChannelId],
        sizes: Arc<Sizes>,
    ) -> Result<Self, Failure> {
        let mut link = transport.dial(addr).await?;
        let config = LinkConfig { features: Features::NONE, ..LinkConfig::default() };
        let role = Dialler::Client(DeviceId::new([1; 16]));
        let (initiator, hello) = Initiator::start(&config, role, None, &mut system::rng());
        link.sink.send(hello).await?;
        let reply = link.units.next().await.ok_or("the server hung up")??;
        let proof = initiator.read_reply(reply)?;
        let identity = Identity::generate();
        let signature = identity.sign(&proof.request());
        let (auth, established) = proof.finish(identity.public(), signature, Credentials::default())?;
        link.sink.send(auth).await?;
        let Established { sealer, opener, .. } = established;
        let (frames, counts) = (FrameStream::default(), Arc::default());
        let mut receiver = Self { units: link.units, sink: link.sink, sealer, opener, frames, sizes, counts };
        for (req, channels) in (1..).zip(channels.chunks(JOIN)) {
            let join = Kind::Join { channels: channels.to_vec(), wait_spread: false };
            receiver.send(&Frame::asking(req, join)).await?;
            loop {
                match receiver.next().await?.ok_or("the server hung up")? {
                    Heard::Reply(re, Kind::Ok(_)) if re == req => break,
                    Heard::Reply(re, kind) if re == req => return Err(format!("not joined: {kind:?}").into()),
                    Heard::Goodbye(goodbye) => return Err(format!("refused: {goodbye:?}").into()),
                    _ => {}
                }
            }
        }
        Ok(receiver)
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), Failure> {
        let (head, body) = frame.encode_split();
        let mut record = BytesMut::from(&[&head[..], &body].concat()[..]);
        self.sealer.seal(&mut record)?;
        Ok(self.sink.send(record.freeze()).await?)
    }

    /// What comes next; `None` at the end of the link. Pings are answered.
    pub(crate) async fn next(&mut self) -> Result<Option<Heard>, Failure> {
        loop {
            while let Some(bytes) = self.frames.next_frame()? {
                let frame = Frame::decode(bytes)?;
                match frame.kind {
                    Kind::Deliver(deliver) => {
                        let entries = self.sizes.of(&deliver)?;
                        self.counts.posts.fetch_add(1, Ordering::Relaxed);
                        self.counts.entries.fetch_add(entries, Ordering::Relaxed);
                        return Ok(Some(Heard::Post));
                    }
                    Kind::Notice(Notice::Dropped { count, .. }) => {
                        self.counts.dropped.fetch_add(count, Ordering::Relaxed);
                        return Ok(Some(Heard::Dropped(count)));
                    }
                    Kind::Ping { nonce, acked } => self.send(&Kind::Pong { nonce, acked }.into()).await?,
                    Kind::Goodbye(goodbye) => return Ok(Some(Heard::Goodbye(goodbye))),
                    kind => return Ok(Some(Heard::Reply(frame.re, kind))),
                }
            }
            let Some(unit) = self.units.next().await else { return Ok(None) };
            let record = unit?.try_into_mut().unwrap_or_else(|unit| BytesMut::from(&unit[..]));
            self.frames.push(self.opener.open(record)?.freeze());
        }
    }

    /// Reads to the end of the link; why it ended. Shows the server that it lives, as every client must.
    pub(crate) async fn read(mut self) -> Result<Code, Failure> {
        let mut beat = Instant::now() + PING;
        loop {
            if Instant::now() >= beat {
                beat = Instant::now() + PING;
                self.send(&Kind::Ping { nonce: 1, acked: 0 }.into()).await?;
            }
            if let Ok(heard) = timeout_at(beat, self.next()).await {
                match heard? {
                    Some(Heard::Goodbye(goodbye)) => return Ok(goodbye.code),
                    Some(_) => {}
                    None => return Ok(Code::Truncated),
                }
            }
        }
    }
}
