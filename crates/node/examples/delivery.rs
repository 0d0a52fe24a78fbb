//! What one delivered message costs, in parts: fixed input through the real code, for `cargo xtask count` to count.
//!
//! `delivery PART` does the work of one part once, in a function whose name begins with `counted`: one turn of a server
//! that gets 64 posts of one publisher, each with one message of 64 bytes, for 100 subscribers. It prints how many
//! messages that was and on what, and fails where a part did not do its work.
#![expect(clippy::unwrap_used, reason = "a program that cannot make its input has failed")]
#![expect(clippy::print_stdout, reason = "a program that answers")]

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
const SUBSCRIBERS: u64 = 100;
/// Posts of one turn, each with one message.
const POSTS: u64 = 64;
/// Turns before the one that counts, so that what grows with the traffic has grown.
const WARM_UP: u64 = 8;
/// The publisher's link.
const PUBLISHER: LinkId = LinkId(0);
const CHANNEL: ChannelId = ChannelId::new([7; 32]);
const WALL_MS: u64 = 1_800_000_000_000;

fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    let deliveries = match part.as_str() {
        "decode" => decode(),
        "verify" => verify(),
        "route" => Stage::new().turn(false),
        "deliver" => Stage::new().turn(true),
        other => {
            println!("not a part: {other:?}; there are: decode verify route deliver");
            std::process::exit(2);
        }
    };
    println!("messages {deliveries}");
    println!("machine {}", machine());
}

/// The kind of processor, and those of its features that ciphers, curves and copies look for.
fn machine() -> String {
    let mut machine = std::env::consts::ARCH.to_owned();
    #[cfg(target_arch = "x86_64")]
    for (name, is_there) in [
        ("aes", is_x86_feature_detected!("aes")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("sha", is_x86_feature_detected!("sha")),
    ] {
        if is_there {
            machine.push_str(&format!(" {name}"));
        }
    }
    machine
}

/// The posts of a turn are read; one a message.
fn decode() -> u64 {
    let frames = Author::new().turn();
    let posts = counted_decode(&frames);
    assert!(posts.iter().all(|post| post.channel == CHANNEL));
    POSTS
}

#[inline(never)]
fn counted_decode(frames: &[Bytes]) -> Vec<Deliver> {
    let decoded = frames.iter().map(|frame| {
        let Kind::Publish { deliver } = Frame::decode(frame.clone()).unwrap().kind else { unreachable!() };
        Deliver::decode(deliver).unwrap()
    });
    black_box(decoded.collect())
}

/// The signature of one post is checked.
fn verify() -> u64 {
    let mut author = Author::new();
    let (_, signed) = author.post();
    assert!(counted_verify(&signed));
    1
}

#[inline(never)]
fn counted_verify(signed: &Signed) -> bool {
    black_box(verify::post(&Network::default(), signed).is_ok())
}

/// A user who publishes.
struct Author {
    identity: Identity,
    seq: u64,
}

impl Author {
    fn new() -> Self {
        Self { identity: Identity::from_seed([9; 32]), seq: 0 }
    }

    fn post(&mut self) -> (Bytes, Signed) {
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
    fn turn(&mut self) -> Vec<Bytes> {
        let frame = |author: &mut Self| {
            let (deliver, _) = author.post();
            Frame::asking(u32::try_from(author.seq).unwrap(), Kind::Publish { deliver }).encode()
        };
        (0..POSTS).map(|_| frame(self)).collect()
    }
}

/// A node with its clients, and what goes to each.
struct Stage {
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

    /// One turn, after those that warm up; whether what leaves is sealed.
    fn turn(&mut self, seals: bool) -> u64 {
        for _ in 0..WARM_UP {
            let posts = self.posts();
            self.carry(posts, seals);
            self.acknowledge();
        }
        let (posts, before) = (self.posts(), self.node.stats().delivered);
        self.counted_turn(posts, seals);
        let delivered = self.node.stats().delivered - before;
        assert_eq!(delivered, POSTS * SUBSCRIBERS, "everything that was sent has left");
        delivered
    }

    /// The posts of a turn, as a link's task hands them over.
    fn posts(&mut self) -> Vec<Received> {
        self.now = self.now + std::time::Duration::from_millis(5);
        let checked = |(deliver, signed): (Bytes, Signed)| Received::Publish {
            req: 1,
            post: verify::post(&Network::default(), &signed).unwrap(),
            digest: Digest16::of(&deliver),
            deliver,
        };
        (0..POSTS).map(|_| checked(self.author.post())).collect()
    }

    #[inline(never)]
    fn counted_turn(&mut self, posts: Vec<Received>, seals: bool) {
        self.carry(posts, seals);
    }

    fn carry(&mut self, posts: Vec<Received>, seals: bool) {
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
    fn acknowledge(&mut self) {
        for link in 0..=SUBSCRIBERS {
            let acked = self.ends[usize::try_from(link).unwrap()].received;
            self.hear(LinkId(link), Received::Other(Frame::from(Kind::Ping { nonce: 1, acked })));
        }
    }
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
