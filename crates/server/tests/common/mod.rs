//! Clients and peers made by hand from the pieces of the protocol, so that a test can say anything on a link.
#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use bytes::{Bytes, BytesMut};
use darkchat_crypto::{
    Credentials, Dialler, Established, HandshakeError, Identity, Initiator, LinkConfig, Opener, Sealer, sign,
    system,
};
use darkchat_proto::{
    Addr, ChannelId, Code, Content, Deliver, DeviceId, Entry, Features, Frame, FrameStream, Kind, Network,
    Post, ServerId, Signed, UserId, put_prefix,
};
use darkchat_server::{Accept, Builder, Event, Events, Server};
use darkchat_transport::{BoxSink, BoxStream, Link, Memory, Transport};
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Far longer than anything here takes: a test that waits for what never comes fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes within half a minute")
}

/// Looks until it is so.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Looks for an event.
pub(crate) async fn event<T>(events: &mut Events, mut find: impl FnMut(&Event) -> Option<T>) -> T {
    soon(async {
        loop {
            let event = events.recv().await.expect("the server runs");
            if let Some(found) = find(&event) {
                return found;
            }
        }
    })
    .await
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(crate) fn channel(name: &str) -> ChannelId {
    ChannelId::of(&Network::default(), &name.parse().expect("a name"))
}

pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// A server on one memory address that takes both roles.
pub(crate) async fn server(memory: &Memory, name: &str) -> Server {
    builder(memory, name, Accept::All).start().await.expect("it starts")
}

pub(crate) fn builder(memory: &Memory, name: &str, accept: Accept) -> Builder {
    let addr = format!("mem://{name}").parse().expect("an address");
    Server::builder(Identity::generate()).transport(memory.clone()).listen(addr, accept)
}

pub(crate) fn addr(server: &Server) -> Addr {
    server.addrs()[0].0.clone()
}

/// One end of a link, made by hand.
pub(crate) struct Raw {
    pub(crate) identity: Identity,
    pub(crate) units: BoxStream<io::Result<Bytes>>,
    pub(crate) sink: BoxSink,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) server: ServerId,
    frames: FrameStream,
    req: u32,
    pub(crate) stream: u64,
    pub(crate) seq: u64,
}

/// What a handshake starts from.
pub(crate) struct Dial {
    pub(crate) config: LinkConfig,
    pub(crate) dialler: Dialler,
    pub(crate) expect: Option<ServerId>,
}

impl Dial {
    pub(crate) fn client(device: u8) -> Self {
        let config = LinkConfig { features: Features::NONE, ..LinkConfig::default() };
        Self { config, dialler: Dialler::Client(DeviceId::new([device; 16])), expect: None }
    }

    pub(crate) fn peer() -> Self {
        let config = LinkConfig { features: Features::DONE, ..LinkConfig::default() };
        Self { config, dialler: Dialler::Peer, expect: None }
    }
}

impl Raw {
    /// A handshake and nothing more: the server has not said whether it takes us.
    pub(crate) async fn shake(
        mut link: Link,
        identity: Identity,
        dial: Dial,
    ) -> Result<Self, HandshakeError> {
        let (initiator, message1) =
            Initiator::start(&dial.config, dial.dialler, dial.expect, &mut system::rng());
        link.sink.send(message1).await.expect("message 1 leaves");
        let message2 = soon(link.units.next()).await.expect("message 2").expect("message 2");
        let proof = initiator.read_reply(message2)?;
        let signature = identity.sign(&proof.request());
        let (message3, established) = proof.finish(identity.public(), signature, Credentials::default())?;
        link.sink.send(message3).await.expect("message 3 leaves");
        Ok(Self::over(link, identity, established))
    }

    pub(crate) fn over(link: Link, identity: Identity, established: Established) -> Self {
        let Established { peer, sealer, opener, .. } = established;
        let server = peer.server().expect("a server");
        let (units, sink, frames) = (link.units, link.sink, FrameStream::default());
        Self { identity, units, sink, sealer, opener, server, frames, req: 0, stream: 77, seq: 1 }
    }

    /// A client that the server has welcomed.
    pub(crate) async fn client(transport: &dyn Transport, addr: &Addr) -> Self {
        Self::client_as(transport, addr, Identity::generate(), 1).await
    }

    pub(crate) async fn client_as(
        transport: &dyn Transport,
        addr: &Addr,
        identity: Identity,
        device: u8,
    ) -> Self {
        let link = transport.dial(addr.clone()).await.expect("it listens");
        let mut raw = Self::shake(link, identity, Dial::client(device)).await.expect("a handshake");
        let welcome = raw.next().await.expect("a first frame");
        assert!(matches!(welcome.kind, Kind::Welcome(_)), "{welcome:?}");
        raw
    }

    /// A peer that the server has welcomed.
    pub(crate) async fn peer(transport: &dyn Transport, addr: &Addr, identity: Identity) -> Self {
        let link = transport.dial(addr.clone()).await.expect("it listens");
        let mut raw = Self::shake(link, identity, Dial::peer()).await.expect("a handshake");
        let welcome = raw.next().await.expect("a first frame");
        assert!(matches!(welcome.kind, Kind::Welcome(_)), "{welcome:?}");
        raw
    }

    pub(crate) fn user(&self) -> UserId {
        self.identity.user_id()
    }

    /// Sends a unit as it is.
    pub(crate) async fn send_unit(&mut self, unit: Bytes) -> io::Result<()> {
        self.sink.send(unit).await
    }

    /// Sends plaintext in one record.
    pub(crate) async fn send_plain(&mut self, plain: &[u8]) -> io::Result<()> {
        let mut record = BytesMut::from(plain);
        self.sealer.seal(&mut record).expect("it fits");
        self.sink.send(record.freeze()).await
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.send_plain(&plain(frame)).await.expect("the link takes it");
    }

    /// The next frame; `None` at the end of the link.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(bytes) = self.frames.next_frame().expect("well-formed frames") {
                return Some(Frame::decode(bytes).expect("a frame"));
            }
            let unit = soon(self.units.next()).await?.ok()?;
            let record = unit.try_into_mut().unwrap_or_else(|unit| BytesMut::from(&unit[..]));
            self.frames.push(self.opener.open(record).expect("it opens").freeze());
        }
    }

    /// Asks, and returns the reply; what comes before it is thrown away.
    pub(crate) async fn ask(&mut self, kind: Kind) -> Kind {
        self.req += 1;
        let req = self.req;
        self.send(&Frame::asking(req, kind)).await;
        self.reply(req).await
    }

    pub(crate) async fn reply(&mut self, req: u32) -> Kind {
        loop {
            let frame = self.next().await.expect("a reply before the end");
            if frame.re == req {
                return frame.kind;
            }
        }
    }

    pub(crate) async fn join(&mut self, channel: ChannelId) {
        let reply = self.ask(Kind::Join { channels: vec![channel], wait_spread: true }).await;
        assert!(matches!(reply, Kind::Ok(_)), "{reply:?}");
    }

    /// A post of ours, signed, with the next number.
    pub(crate) fn post(&mut self, channel: ChannelId, text: &str) -> Bytes {
        let body = Post {
            author: self.user(),
            channel,
            stream: self.stream,
            seq: self.seq,
            time_ms: unix_ms(),
            name: String::new(),
            entries: vec![Entry::text(text)],
        };
        self.seq += 1;
        signed(&self.identity, channel, body.encode())
    }

    /// Publishes a text and returns what the server says.
    pub(crate) async fn say(&mut self, channel: ChannelId, text: &str) -> Kind {
        let deliver = self.post(channel, text);
        self.ask(Kind::Publish { deliver }).await
    }

    /// The author and text of the next post that comes.
    pub(crate) async fn hear(&mut self) -> (UserId, String) {
        loop {
            let frame = self.next().await.expect("a post before the end");
            if let Kind::Deliver(deliver) = frame.kind {
                return read(deliver);
            }
        }
    }

    /// The code of the goodbye before the end, if there is one.
    pub(crate) async fn goodbye(&mut self) -> Option<Code> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if let Kind::Goodbye(goodbye) = frame.kind {
                code = Some(goodbye.code);
            }
        }
        code
    }

    /// Answers pings until a frame of another kind comes.
    pub(crate) async fn beat(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            let Kind::Ping { nonce, acked } = frame.kind else { return Some(frame) };
            self.send(&Frame::from(Kind::Pong { nonce, acked })).await;
        }
    }
}

/// The bytes of a frame as they stand in a record.
pub(crate) fn plain(frame: &Frame) -> Vec<u8> {
    let (head, body) = frame.encode_split();
    [&head[..], &body].concat()
}

/// Bytes with the prefix of a frame.
pub(crate) fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_prefix(bytes.len(), &mut out);
    out.extend_from_slice(bytes);
    out.to_vec()
}

pub(crate) fn signed(signer: &Identity, channel: ChannelId, body: Bytes) -> Bytes {
    let sig = signer.sign(&sign::post(&Network::default(), &body));
    Deliver { channel, content: Content::Public(Signed { body, sig }) }.encode()
}

/// Author and first text of a post.
pub(crate) fn read(deliver: Bytes) -> (UserId, String) {
    let deliver = Deliver::decode(deliver).expect("a delivery");
    let Content::Public(signed) = deliver.content else { panic!("a public post") };
    let post = darkchat_crypto::verify::post(&Network::default(), &signed).expect("a good signature");
    (post.author, String::from_utf8(post.entries[0].content.to_vec()).expect("a text"))
}
