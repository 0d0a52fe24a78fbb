//! Strangers who do not keep to the protocol: a client and a peer that send generated frames, honest ones among them.

use crate::sign::Signer;
use crate::world::{Event, World};
use crate::{Server, Who};
use bytes::{BufMut as _, Bytes, BytesMut};
use darkchat_crypto::sign;
use darkchat_proto::{
    Carrier, ChannelId, Class, Code, Content, Deliver, DeviceId, DmDeliver, Entry, Features, Frame,
    GossipAddr, Have, InterestShard, Kind, Post, RecordFlags, Refusal, Route, RouteHead, RouterId, SendDm,
    ServerId, ServerRecord, Signature, Signed, Tag, UserId, Want, put_prefix,
};
use std::rc::Rc;
use std::time::Duration;

/// How long a stranger waits before the next thing.
const PAUSE: Duration = Duration::from_millis(700);

/// Somebody who does not mean well.
#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) signer: Rc<Signer>,
    /// `Some` if it comes as a client.
    pub(crate) device: Option<DeviceId>,
    pub(crate) connection: Option<usize>,
    pub(crate) is_up: bool,
    /// Whether it reads at all.
    pub(crate) reads: bool,
    server: usize,
    dials: u64,
    sequence: u64,
    stream: u64,
    /// Whether it still does anything.
    active: bool,
}

impl World {
    /// A client of this server that sends generated frames from now on.
    pub fn add_hostile_client(&mut self, server: Server) {
        let device = DeviceId::new(*self.rng.seed().first_chunk().unwrap_or(&[0; 16]));
        self.add_stranger(server, Some(device));
    }

    /// A peer of this server that sends generated frames from now on.
    pub fn add_hostile_peer(&mut self, server: Server) {
        self.add_stranger(server, None);
    }

    /// Strangers stop sending; their connections stay.
    pub fn calm_strangers(&mut self) {
        for stranger in &mut self.strangers {
            stranger.active = false;
            stranger.reads = true;
        }
    }

    fn add_stranger(&mut self, server: Server, device: Option<DeviceId>) {
        let stranger = self.strangers.len();
        let signer = Rc::new(Signer::new(self.rng.seed(), self.signing));
        let (reads, stream) = (self.rng.chance(80), self.rng.next() | 1);
        self.strangers.push(Stranger {
            signer,
            device,
            connection: None,
            is_up: false,
            reads,
            server: server.0,
            dials: 0,
            sequence: 1,
            stream,
            active: true,
        });
        self.after(Duration::ZERO, Event::Mischief { stranger });
    }

    /// A stranger does the next thing, and comes back later.
    pub(crate) fn mischief(&mut self, stranger: usize) {
        let Stranger { active, is_up, connection, server, device, .. } = self.strangers[stranger];
        if !active {
            return;
        }
        self.trace.step(self.now, Who::Hostile(stranger), "mischief", connection, &[]);
        match connection {
            None => {
                let port =
                    if device.is_some() { crate::actors::CLIENT_PORT } else { crate::actors::PEER_PORT };
                let addr = darkchat_proto::ServerAddr { addr: self.addr(server, port), key: None };
                self.strangers[stranger].dials += 1;
                let dial = self.strangers[stranger].dials;
                self.dial(Who::Hostile(stranger), 0, dial, &addr);
            }
            Some(connection) if is_up => {
                let frames = 1 + self.rng.below(6);
                for _ in 0..frames {
                    let run = self.junk(stranger, device.is_some());
                    self.write(connection, 0, run);
                }
            }
            Some(_) => {}
        }
        let pause = self.rng.between(Duration::from_millis(20), PAUSE * 2);
        self.after(pause, Event::Mischief { stranger });
    }

    fn junk(&mut self, stranger: usize, is_client: bool) -> Bytes {
        if self.rng.chance(4) {
            return self.noise();
        }
        let kind = if is_client { self.client_junk(stranger) } else { self.peer_junk(stranger) };
        let mut frame = Frame::from(kind);
        if self.rng.chance(30) {
            frame.req = u32::try_from(self.rng.below(5)).unwrap_or(0);
        }
        let mut whole = BytesMut::from(&frame.encode()[..]);
        if self.rng.chance(5) && !whole.is_empty() {
            let place = self.rng.index(whole.len());
            whole[place] ^= 1 << self.rng.below(8);
        }
        // What a stranger makes is what servers may carry on: they do not check all of it, receivers do.
        if let Ok(Frame { kind: Kind::Route(route), .. }) = Frame::decode(whole.clone().freeze()) {
            self.check.carried(&route.payload, None);
        }
        let mut run = BytesMut::new();
        put_prefix(whole.len(), &mut run);
        run.extend_from_slice(&whole);
        run.freeze()
    }

    /// Bytes that are no frame, or a length that promises one.
    fn noise(&mut self) -> Bytes {
        let len = self.rng.index(80);
        let mut run = BytesMut::new();
        if self.rng.chance(50) {
            put_prefix(len.max(1), &mut run);
        }
        run.put_slice(&self.rng.bytes(len));
        run.freeze()
    }

    fn client_junk(&mut self, stranger: usize) -> Kind {
        let channel = self.some_channel();
        let channels = vec![channel; 1 + self.rng.index(3)];
        match self.rng.below(14) {
            0..=2 => Kind::Join { channels, wait_spread: self.rng.chance(50) },
            3 => Kind::Leave { channels },
            4..=6 => Kind::Publish { deliver: self.own_post(stranger, channel, None) },
            7 => Kind::Publish { deliver: self.replay() },
            8 => {
                let author = self.some_user();
                Kind::Publish { deliver: self.own_post(stranger, channel, author) }
            }
            9 => Kind::Ping { nonce: self.rng.next(), acked: self.rng.next() },
            10 => Kind::Lookup { user: UserId::new(self.rng.seed()) },
            11 => Kind::SendDm(SendDm {
                user: UserId::new(self.rng.seed()),
                device: DeviceId::new([1; 16]),
                server: self.some_server(),
                packet: self.rng.bytes(40).into(),
                attempt: 1,
            }),
            12 => Kind::SetBundle { bundle: self.rng.bytes(60).into() },
            _ => self.other_junk(),
        }
    }

    fn peer_junk(&mut self, stranger: usize) -> Kind {
        match self.rng.below(16) {
            0 | 1 => Kind::Record(self.own_record(stranger)),
            2 => Kind::Shard(self.own_shard(stranger)),
            3 => Kind::Record(self.forged_record()),
            4 => {
                let known = (0..self.rng.index(4)).map(|_| self.some_have()).collect();
                Kind::Digest { known, more: self.rng.chance(20) }
            }
            5 => {
                let router = self.some_router();
                Kind::Pull { want: vec![Want { router, record: true, shards: true }; 1 + self.rng.index(3)] }
            }
            6..=8 => {
                let payload = self.replay();
                self.some_route(Class::Channel, payload)
            }
            9 => {
                let (channel, author) = (self.some_channel(), self.some_user());
                let payload = self.own_post(stranger, channel, author);
                self.some_route(Class::Channel, payload)
            }
            10 => {
                let payload = self.own_shard(stranger);
                self.some_route(Class::Shard, payload)
            }
            11 => {
                let class = self.rng.pick(&[
                    Class::Dm,
                    Class::LookupReq,
                    Class::LookupRep,
                    Class::DmStatus,
                    Class::Trace,
                    Class::TraceRep,
                ]);
                let is_probe = class == Some(Class::Trace) && self.rng.chance(80);
                let payload = if is_probe { Bytes::new() } else { self.rng.bytes(50).into() };
                self.some_route(class.unwrap_or(Class::Dm), payload)
            }
            12 => Kind::LinkAck { received: self.rng.next() >> self.rng.below(64) },
            13 => Kind::RouteDone { origin: self.some_router(), id: self.rng.next() },
            14 => Kind::Complaint { seconds: u32::try_from(self.rng.below(1 << 20)).unwrap_or(0) },
            _ => self.other_junk(),
        }
    }

    fn other_junk(&mut self) -> Kind {
        match self.rng.below(6) {
            0 => Kind::Pong { nonce: self.rng.next(), acked: self.rng.next() },
            1 => Kind::Unknown(200),
            2 => Kind::Error(Refusal { code: Code::Unsupported, text: String::new(), retry_ms: 7 }),
            3 => Kind::DialBack { addr: None, reachable: true },
            4 => Kind::Deliver(self.replay()),
            _ => Kind::Dm(DmDeliver {
                user: UserId::new([3; 32]),
                device: DeviceId::new([3; 16]),
                packet: Bytes::new(),
                delivery: 3,
            }),
        }
    }

    fn some_channel(&mut self) -> ChannelId {
        let known: Vec<ChannelId> = self.users.iter().flat_map(|user| user.wanted.keys().copied()).collect();
        match self.rng.pick(&known) {
            Some(channel) if self.rng.chance(80) => channel,
            _ => ChannelId::new(self.rng.seed()),
        }
    }

    fn some_user(&mut self) -> Option<UserId> {
        let user = self.rng.index(self.users.len());
        self.users.get(user).map(crate::actors::User::id)
    }

    fn some_server(&mut self) -> ServerId {
        let server = self.rng.index(self.hosts.len());
        self.hosts.get(server).map_or_else(|| ServerId::new([4; 32]), crate::actors::Host::id)
    }

    fn some_router(&mut self) -> RouterId {
        if self.rng.chance(80) { self.some_server().router() } else { RouterId(self.rng.next()) }
    }

    fn some_have(&mut self) -> Have {
        let (epoch, seq) = (self.wall_ms() + self.rng.below(1_000_000), self.rng.below(10));
        Have { router: self.some_router(), epoch, seq, shards: self.rng.next() }
    }

    fn some_route(&mut self, class: Class, payload: Bytes) -> Kind {
        let dst = (0..self.rng.index(5)).map(|_| self.some_router()).collect();
        let ttl = self.rng.pick(&[0, 1, 2, 32, 33, u32::MAX]).unwrap_or(1);
        let head = RouteHead {
            origin: self.some_router(),
            id: self.rng.next(),
            ttl,
            dst,
            class,
            want_done: self.rng.chance(30),
            corr: self.rng.next(),
        };
        Kind::Route(Route { head, payload })
    }

    /// A post that was really published, once more.
    fn replay(&mut self) -> Bytes {
        let index = self.rng.index(self.check.posts.len());
        let Some(published) = self.check.posts.nth(index) else { return self.rng.bytes(90).into() };
        let body = published.post.encode();
        let channel = published.post.channel;
        // An author's program signs the same bytes in the same way: this is what anybody may have kept.
        let signer = published.client.map(|client| Rc::clone(&self.users[client].signer));
        let Some(signer) = signer else { return self.rng.bytes(90).into() };
        let sig = signer.sign(&sign::post(&self.network, &body));
        let channel = if self.rng.chance(20) { self.some_channel() } else { channel };
        Deliver { channel, content: Content::Public(Signed { body, sig }) }.encode()
    }

    /// A post with our own signature: in our name it is a real one, in another's it is a forgery.
    fn own_post(&mut self, stranger: usize, channel: ChannelId, author: Option<UserId>) -> Bytes {
        let own = UserId::new(self.strangers[stranger].signer.public());
        let texts = 1 + self.rng.index(3);
        let seq = self.strangers[stranger].sequence;
        self.strangers[stranger].sequence += u64::try_from(texts).unwrap_or(1);
        let post = Post {
            author: author.unwrap_or(own),
            channel,
            stream: self.strangers[stranger].stream,
            seq,
            time_ms: self.wall_ms() + self.rng.below(400_000) - self.rng.below(400_000),
            name: "mallory".to_owned(),
            entries: (0..texts).map(|text| Entry::text(format!("junk {seq} {text}"))).collect(),
        };
        let body = post.encode();
        let signed = self.strangers[stranger].signer.signed(body.clone(), &sign::post(&self.network, &body));
        let Ok(signed) = Signed::decode(signed) else { return Bytes::new() };
        let deliver = Deliver { channel, content: Content::Public(signed) }.encode();
        if author.is_none() {
            self.published(None, &post, &deliver);
        }
        deliver
    }

    fn own_record(&mut self, stranger: usize) -> Bytes {
        let server = ServerId::new(self.strangers[stranger].signer.public());
        let neighbours = (0..self.rng.index(4)).map(|_| self.some_router()).collect();
        let body = ServerRecord {
            server,
            epoch: crate::actors::EPOCH_MS + self.rng.below(3),
            seq: self.rng.below(50),
            issued_ms: self.wall_ms(),
            addrs: (0..self.rng.index(4)).map(|_| self.some_place()).collect(),
            flags: RecordFlags::from_bits(u32::try_from(self.rng.below(16)).unwrap_or(0)),
            neighbours,
            version: 1,
            features: Features::DONE,
        }
        .encode();
        self.strangers[stranger].signer.signed(body.clone(), &sign::record(&self.network, &body))
    }

    /// Where somebody is who never asked to be dialled: on this machine, nearby, anywhere, or one of the servers.
    fn some_place(&mut self) -> GossipAddr {
        let [a, b] = [self.rng.below(256), self.rng.below(256)].map(|part| u8::try_from(part).unwrap_or(0));
        let ip = match self.rng.below(8) {
            0 => [127, 0, 0, 1],
            1 => [10, 0, b, 1],
            2 => [192, 168, a, b],
            3 => [169, 254, a, b],
            4 => [224, 0, 0, b],
            5 => [20 + a % 4, 0, 7, 1],
            _ => [20 + a % 70, b, 9, 1],
        };
        let port = self.rng.pick(&[22, 25, 443, 30_303, 30_303, 30_303]).unwrap_or(30_303);
        GossipAddr { ip: ip.into(), port, carrier: Carrier::Tcp }
    }

    /// The record of an honest server, without its signature.
    fn forged_record(&mut self) -> Bytes {
        let server = self.some_server();
        let body = ServerRecord {
            server,
            epoch: self.wall_ms() + 1_000_000,
            seq: 1,
            issued_ms: self.wall_ms(),
            addrs: Vec::new(),
            flags: RecordFlags::TRANSIT,
            neighbours: Vec::new(),
            version: 1,
            features: Features::NONE,
        }
        .encode();
        Signed { body, sig: Signature::new([5; 64]) }.encode()
    }

    fn own_shard(&mut self, stranger: usize) -> Bytes {
        let server = ServerId::new(self.strangers[stranger].signer.public());
        let channel = self.some_channel();
        let bits = u32::try_from(self.rng.below(3)).unwrap_or(0);
        let tag = Tag::of_channel(&self.network, &channel);
        let body = InterestShard {
            server,
            epoch: crate::actors::EPOCH_MS + self.rng.below(3),
            seq: self.rng.below(50),
            bits,
            shard: InterestShard::of_tag(tag, bits),
            tags: vec![tag],
        }
        .encode();
        self.strangers[stranger].signer.signed(body.clone(), &sign::shard(&self.network, &body))
    }

    /// How many posts were published, those of strangers under their own keys among them.
    #[must_use]
    pub fn published_posts(&self) -> usize {
        self.check.posts.len()
    }
}
