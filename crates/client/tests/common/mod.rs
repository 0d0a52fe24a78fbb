//! A server made of the handshake alone, which says and does whatever a test wants after it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use bytes::{Bytes, BytesMut};
use darkchat_crypto::{
    Established, Identity, LinkConfig, Responder, ServerHello, SignRequest, StaticKey, sign, system,
};
use darkchat_proto::{
    ChannelId, Content, Deliver, Done, Entry, Frame, FrameStream, Kind, Network, Post, ServerId, Signed,
    Welcome,
};
use darkchat_transport::{Link, Listener};
use futures_util::{SinkExt as _, StreamExt as _};
use std::time::{Duration, SystemTime};

/// Longer than anything here takes; it only keeps a broken test from hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(crate) fn channel(name: &str) -> ChannelId {
    ChannelId::of(&Network::default(), &name.parse().expect("a name"))
}

pub(crate) fn now_ms() -> u64 {
    let passed = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    passed.try_into().expect("in range")
}

/// What an honest author signs.
pub(crate) fn post(author: &Identity, seq: u64, text: &str) -> Post {
    Post {
        author: author.user_id(),
        channel: channel("lobby"),
        stream: 9,
        seq,
        time_ms: now_ms(),
        name: String::new(),
        entries: vec![Entry::text(text)],
    }
}

pub(crate) fn signed(signer: &Identity, network: &str, post: &Post) -> Signed {
    let (network, body) = (network.parse().expect("a name"), post.encode());
    Signed { sig: signer.sign(&sign::post(&network, &body)), body }
}

pub(crate) fn deliver(channel: ChannelId, signed: Signed) -> Frame {
    Kind::Deliver(Deliver { channel, content: Content::Public(signed) }.encode()).into()
}

/// A post as it should be.
pub(crate) fn true_post(author: &Identity, seq: u64, text: &str) -> Frame {
    deliver(channel("lobby"), signed(author, "main", &post(author, seq, text)))
}

/// Reads the first message of a caller, and says which server this is: what it has to sign for that.
pub(crate) fn greet(message1: Bytes, server: ServerId) -> (Responder, SignRequest) {
    let (config, own) = (LinkConfig::default(), StaticKey::generate(&mut system::rng()));
    let hello = ServerHello::new(server);
    Responder::read_hello(&config, &own, hello, message1, &mut system::rng()).expect("hello")
}

/// The next caller's link, after its first message; `server` is who we say that we are.
pub(crate) async fn caller(listener: &mut Listener, server: ServerId) -> (Link, Responder, SignRequest) {
    let incoming = soon(listener.incoming.next()).await.expect("listens").expect("no error");
    let mut link = incoming.link.await.expect("a link");
    let message1 = soon(link.units.next()).await.expect("open").expect("a unit");
    let (responder, request) = greet(message1, server);
    (link, responder, request)
}

/// The server: an honest handshake, with the key that is made of 1, and whatever the story wants after it.
pub(crate) struct Scripted {
    pub(crate) link: Link,
    keys: Established,
    stream: FrameStream,
}

impl Scripted {
    /// Takes the next caller and welcomes it.
    pub(crate) async fn accept(listener: &mut Listener) -> Self {
        let (mut link, responder, request) = caller(listener, identity(1).server_id()).await;
        let (message2, next) = responder.reply(identity(1).sign(&request));
        link.sink.send(message2).await.expect("sent");
        let message3 = soon(link.units.next()).await.expect("open").expect("a unit");
        let (keys, _) = next.expect("a version").read_auth(message3).expect("proof");
        let mut scripted = Self { link, keys, stream: FrameStream::default() };
        scripted.say(&[Kind::Welcome(Welcome::default()).into()]).await;
        scripted
    }

    /// Sends these frames as one record.
    pub(crate) async fn say(&mut self, frames: &[Frame]) {
        self.record(&run(frames)).await;
    }

    pub(crate) async fn record(&mut self, plain: &[u8]) {
        let mut record = BytesMut::from(plain);
        self.keys.sealer.seal(&mut record).expect("sealed");
        self.link.sink.send(record.freeze()).await.expect("sent");
    }

    /// The next frame of the client's; `None` at the end of the link.
    pub(crate) async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.stream.next_frame().expect("frames") {
                return Some(Frame::decode(frame).expect("a frame"));
            }
            let unit = soon(self.link.units.next()).await?.ok()?;
            self.stream.push(self.keys.opener.open(BytesMut::from(&unit[..])).expect("a record").freeze());
        }
    }

    /// The number of the next join.
    pub(crate) async fn asked_to_join(&mut self) -> u32 {
        loop {
            let frame = self.hear().await.expect("a join");
            if let Kind::Join { wait_spread, .. } = frame.kind {
                assert!(wait_spread);
                return frame.req;
            }
        }
    }

    /// Takes the client into the channel that it wants next.
    pub(crate) async fn take_in(&mut self) {
        let req = self.asked_to_join().await;
        self.say(&[Frame::replying(req, Kind::Ok(Done::default()))]).await;
    }
}

/// Frames with their length prefixes, one after the other.
pub(crate) fn run(frames: &[Frame]) -> Vec<u8> {
    let parts = frames.iter().map(Frame::encode_split);
    parts.flat_map(|(head, body)| [head, body]).flatten().collect()
}
