//! A hostile server: it holds the link that a client trusts to carry, and lies about all that it carries.
//!
//! Nothing of it is shown as true; each attempt is counted, and named in a note. Source: `docs/protocol.md`, section 1.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod direct;
mod links;
mod posts;

use bytes::{Bytes, BytesMut};
use darkchat_client::{Channel, Client, Fault, Note, Notes, Received, Stats};
use darkchat_crypto::{Established, Identity, LinkConfig, Responder, ServerHello, StaticKey, sign, system};
use darkchat_proto::{
    ChannelId, Content, Deliver, Done, Entry, Frame, FrameStream, Kind, Network, Post, ServerAddr, Signed,
    Welcome,
};
use darkchat_transport::{Link, Listener, Memory, Transport as _};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Longer than anything here takes; it only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(60);

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn addr() -> ServerAddr {
    "mem://hostile".parse().expect("an address")
}

fn channel(name: &str) -> ChannelId {
    ChannelId::of(&Network::default(), &name.parse().expect("a name"))
}

fn now_ms() -> u64 {
    let passed = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    passed.try_into().expect("in range")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// What an honest author signs.
fn post(author: &Identity, seq: u64, text: &str) -> Post {
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

fn signed(signer: &Identity, network: &str, post: &Post) -> Signed {
    let (network, body) = (network.parse().expect("a name"), post.encode());
    Signed { sig: signer.sign(&sign::post(&network, &body)), body }
}

fn deliver(channel: ChannelId, signed: Signed) -> Frame {
    Kind::Deliver(Deliver { channel, content: Content::Public(signed) }.encode()).into()
}

/// A post as it should be.
fn true_post(author: &Identity, seq: u64, text: &str) -> Frame {
    deliver(channel("lobby"), signed(author, "main", &post(author, seq, text)))
}

/// The server: an honest handshake, and whatever the story wants after it.
struct Liar {
    link: Link,
    keys: Established,
    stream: FrameStream,
}

impl Liar {
    /// Takes the next caller, welcomes it and lets it into what it wants to join.
    async fn accept(listener: &mut Listener) -> Self {
        let incoming = soon(listener.incoming.next()).await.expect("listens").expect("no error");
        let mut link = incoming.link.await.expect("a link");
        let (config, own) = (LinkConfig::default(), StaticKey::generate(&mut system::rng()));
        let hello = ServerHello::new(identity(1).server_id());
        let message1 = link.units.next().await.expect("open").expect("a unit");
        let (responder, request) =
            Responder::read_hello(&config, &own, hello, message1, &mut system::rng()).expect("hello");
        let (message2, next) = responder.reply(identity(1).sign(&request));
        link.sink.send(message2).await.expect("sent");
        let message3 = link.units.next().await.expect("open").expect("a unit");
        let (keys, _) = next.expect("a version").read_auth(message3).expect("proof");
        let mut liar = Self { link, keys, stream: FrameStream::default() };
        liar.say(&[Kind::Welcome(Welcome::default()).into()]).await;
        liar
    }

    async fn say(&mut self, frames: &[Frame]) {
        for frame in frames {
            let (head, body) = frame.encode_split();
            let mut record = BytesMut::from(&[head, body].concat()[..]);
            self.keys.sealer.seal(&mut record).expect("sealed");
            self.link.sink.send(record.freeze()).await.expect("sent");
        }
    }

    /// The next frame of the client's; `None` at the end of the link.
    async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.stream.next_frame().expect("frames") {
                return Some(Frame::decode(frame).expect("a frame"));
            }
            let unit = soon(self.link.units.next()).await?.ok()?;
            self.stream.push(self.keys.opener.open(BytesMut::from(&unit[..])).expect("a record").freeze());
        }
    }

    /// Takes the client into the channels that it wants.
    async fn take_in(&mut self) {
        loop {
            let frame = self.hear().await.expect("a join");
            if let Kind::Join { .. } = frame.kind {
                return self.say(&[Frame::replying(frame.req, Kind::Ok(Done::default()))]).await;
            }
        }
    }
}

/// A client in `lobby`, at a server that lies.
struct Victim {
    client: Client,
    lobby: Channel,
    notes: Notes,
    told: BTreeMap<Fault, u64>,
}

impl Victim {
    async fn in_lobby() -> (Self, Liar, Listener) {
        let memory = Memory::default();
        let mut listener = memory.listen(addr().addr).await.expect("listens");
        let connecting = tokio::spawn(async move {
            let client = Client::connect(memory, addr(), identity(2)).await.expect("connected");
            let (notes, lobby) = (client.notes(), client.join("lobby".parse().expect("a name")).await);
            Self { client, lobby: lobby.expect("joined"), notes, told: BTreeMap::new() }
        });
        let mut liar = Liar::accept(&mut listener).await;
        liar.take_in().await;
        (connecting.await.expect("no panic"), liar, listener)
    }

    /// The texts that are shown, up to and with this one.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.last().map(String::as_str) != Some(last) {
            if let Received::Message(message) = soon(self.lobby.recv()).await.expect("the channel lives") {
                texts.push(message.payload.as_text().expect("a text").to_owned());
            }
        }
        texts
    }

    /// Waits until every attempt was named as often as it was counted.
    async fn named(&mut self, expected: &[(Fault, u64)]) {
        let expected: BTreeMap<Fault, u64> = expected.iter().copied().collect();
        while self.told != expected {
            let note = soon(self.notes.next()).await.expect("the client lives");
            if let Note::Rejected { fault, count } = note {
                *self.told.entry(fault).or_default() += count;
                assert!(self.told[&fault] <= expected.get(&fault).copied().unwrap_or(0), "{:?}", self.told);
            }
        }
        assert!(self.lobby.recv().now_or_never().is_none(), "nothing else is shown");
    }

    fn stats(&self) -> Stats {
        self.client.stats()
    }
}
