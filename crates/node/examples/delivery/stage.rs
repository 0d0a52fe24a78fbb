//! One turn of a server, for what counts and what times: fixed input through the real code.

use bytes::{Bytes, BytesMut};
use darkchat_crypto::{
    Credentials, Dialler, Established, Identity, Initiator, LinkConfig, Responder, Sealer, SeededRng,
    ServerHello, StaticKey, sign, verify,
};
use darkchat_node::{Accept, Config, Input, LinkId, Node, Output, Received};
use darkchat_proto::{
    ChannelId, Content, Deliver, DeviceId, Digest16, Entry, EntryKind, Features, Frame, Kind, Network, Post,
    Signed, Time,
};
use std::hint::black_box;

/// Those who get each message.
pub(crate) const SUBSCRIBERS: u64 = 100;
/// Posts of one turn, each with one message.
pub(crate) const POSTS: u64 = 64;
/// Turns before the one that counts, so that what grows with the traffic has grown.
const WARM_UP: u64 = 8;
/// The publisher's link.
const PUBLISHER: LinkId = LinkId(0);
pub(crate) const CHANNEL: ChannelId = ChannelId::new([7; 32]);
const WALL_MS: u64 = 1_800_000_000_000;

/// Reads publishes, as a server does.
pub(crate) fn decode(frames: &[Bytes]) -> Vec<Deliver> {
    let decoded = frames.iter().map(|frame| {
        let Kind::Publish { deliver } = Frame::decode(frame.clone()).unwrap().kind else { unreachable!() };
        Deliver::decode(deliver).unwrap()
    });
    black_box(decoded.collect())
}

/// Whether the signature of a post is right.
pub(crate) fn is_signed(signed: &Signed) -> bool {
    black_box(verify::post(&Network::default(), signed).is_ok())
}

/// A user who publishes.
pub(crate) struct Author {
    identity: Identity,
    seq: u64,
}

impl Author {
    pub(crate) fn new() -> Self {
        Self { identity: Identity::from_seed([9; 32]), seq: 0 }
    }

    /// The next post, as it is published and as it was signed.
    pub(crate) fn post(&mut self) -> (Bytes, Signed) {
        self.seq += 1;
        let content = Bytes::from_static(&[b'x'; 64]);
        let entry = Entry { kind: EntryKind::Data, content, ..Entry::text("") };
        let post = Post {
            author: self.identity.user_id(),
            channel: CHANNEL,
            stream: 7,
            seq: self.seq,
            time_ms: WALL_MS,
            name: String::new(),
            entries: vec![entry],
        };
        let body = post.encode();
        let signed = Signed { sig: self.identity.sign(&sign::post(&Network::default(), &body)), body };
        (Deliver { channel: CHANNEL, content: Content::Public(signed.clone()) }.encode(), signed)
    }

    /// The frames of one turn.
    pub(crate) fn frames(&mut self) -> Vec<Bytes> {
        let frame = |author: &mut Self| {
            let (deliver, _) = author.post();
            Frame::asking(u32::try_from(author.seq).unwrap(), Kind::Publish { deliver }).encode()
        };
        (0..POSTS).map(|_| frame(self)).collect()
    }
}

/// A node with its clients, and what goes to each.
pub(crate) struct Stage {
    node: Node,
    now: Time,
    author: Author,
    /// By link; the publisher's first.
    ends: Vec<End>,
}

/// One client's link.
struct End {
    sealer: Sealer,
    leaving: BytesMut,
    /// Frames of the session, all of which it acknowledges.
    received: u64,
}

impl Stage {
    fn new() -> Self {
        let mut rng = SeededRng::new([1; 32]);
        let (server, author) = (Identity::from_seed([8; 32]), Author::new());
        let config = Config::default();
        let mut stage = Self {
            node: Node::new(server.server_id(), config, [1; 32]),
            now: Time::from_millis(1_000),
            author,
            ends: Vec::new(),
        };
        stage.node.handle(stage.now, Input::Wall { unix_ms: WALL_MS });
        for link in 0..=SUBSCRIBERS {
            let user = match link {
                0 => Identity::from_seed([9; 32]),
                other => Identity::from_seed([u8::try_from(100 + other).unwrap(); 32]),
            };
            let Established { peer, sealer, .. } = shake_hands(&server, &user, &mut rng);
            stage.ends.push(End { sealer, leaving: BytesMut::new(), received: 0 });
            let (link, remote, observed) =
                (LinkId(link), "mem://here".parse().unwrap(), [127, 0, 0, 1].into());
            let accept = Accept::All;
            stage.node.handle(
                stage.now,
                Input::Opened { link, dial: None, accept, peer, remote, observed, resume: None },
            );
            let join = Kind::Join { channels: vec![CHANNEL], wait_spread: false };
            stage.hear(link, Received::Other(Frame::asking(1, join)));
        }
        stage
    }

    fn hear(&mut self, link: LinkId, frame: Received) {
        self.node.handle(self.now, Input::Frame { link, frame });
        self.gather();
        self.leave(false);
    }

    /// A stage on which what grows with the traffic has grown.
    pub(crate) fn warm() -> Self {
        let mut stage = Self::new();
        for _ in 0..WARM_UP {
            let posts = stage.posts();
            stage.turn(posts, true);
            stage.acknowledge();
        }
        stage
    }

    /// How many messages have left since it was set up.
    pub(crate) fn delivered(&self) -> u64 {
        self.node.stats().delivered
    }

    /// The posts of a turn, as a link's task hands them over.
    pub(crate) fn posts(&mut self) -> Vec<Received> {
        self.now = self.now + std::time::Duration::from_millis(5);
        let checked = |(deliver, signed): (Bytes, Signed)| Received::Publish {
            req: 1,
            post: verify::post(&Network::default(), &signed).unwrap(),
            digest: Digest16::of(&deliver),
            deliver,
        };
        (0..POSTS).map(|_| checked(self.author.post())).collect()
    }

    /// One turn: posts come in and leave for everybody. `seals` is whether as records.
    pub(crate) fn turn(&mut self, posts: Vec<Received>, seals: bool) {
        for frame in posts {
            self.node.handle(self.now, Input::Frame { link: PUBLISHER, frame });
        }
        self.gather();
        self.leave(seals);
    }

    /// Takes what the node wants sent.
    fn gather(&mut self) {
        while let Some(output) = self.node.poll() {
            if let Output::Send { links, frames, .. } = output {
                for link in links.iter() {
                    let end = &mut self.ends[usize::try_from(link.0).unwrap()];
                    for (head, body) in frames.iter() {
                        end.leaving.extend_from_slice(head);
                        end.leaving.extend_from_slice(body);
                        end.received += 1;
                    }
                }
            }
        }
    }

    /// Lets it leave, as one record a link.
    fn leave(&mut self, seals: bool) {
        for (link, end) in (0..).map(LinkId).zip(&mut self.ends) {
            let bytes = end.leaving.len();
            if bytes > 0 {
                if seals {
                    end.sealer.seal(&mut end.leaving).unwrap();
                }
                black_box(&end.leaving).len();
                end.leaving.clear();
                self.node.handle(self.now, Input::Flushed { link, bytes });
            }
        }
    }

    /// Everybody says that everything came.
    pub(crate) fn acknowledge(&mut self) {
        for link in 0..=SUBSCRIBERS {
            let acked = self.ends[usize::try_from(link).unwrap()].received;
            self.hear(LinkId(link), Received::Other(Frame::from(Kind::Ping { nonce: 1, acked })));
        }
    }
}

/// What seals the records of a link to one user.
pub(crate) fn sealer() -> Sealer {
    let [server, user] = [[8; 32], [9; 32]].map(Identity::from_seed);
    shake_hands(&server, &user, &mut SeededRng::new([1; 32])).sealer
}

/// A link between a server and a user, as the server has it.
fn shake_hands(server: &Identity, user: &Identity, rng: &mut SeededRng) -> Established {
    let config = LinkConfig { features: Features::RESUME, ..LinkConfig::default() };
    let key = StaticKey::generate(rng);
    let dialler = Dialler::Client(DeviceId::new([1; 16]));
    let (initiator, hello) = Initiator::start(&config, dialler, None, rng);
    let ours = ServerHello::new(server.server_id());
    let (responder, request) = Responder::read_hello(&config, &key, ours, hello, rng).unwrap();
    let (reply, waiting) = responder.reply(server.sign(&request));
    let waiting = waiting.unwrap();
    let proof = initiator.read_reply(reply).unwrap();
    let signature = user.sign(&proof.request());
    let (auth, _) = proof.finish(user.public(), signature, Credentials::default()).unwrap();
    waiting.read_auth(auth).unwrap().0
}
