//! A body for the whole node: any facts in any order, told by a script that the input spells.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use darkchat_crypto::{Authenticated, Verified};
use darkchat_node::{
    Accept, Check, Config, DialId, Input, LinkId, Node, Output, Received, SignId, TraceId, VerifyId,
};
use darkchat_proto::limits::MAX_FRAME;
use darkchat_proto::{
    Addr, Bundle, Carried, ChannelId, Class, Code, Content, Deliver, DeviceId, Digest16, DmDeliver, Entry,
    Features, Frame, FrameStream, InterestShard, Kind, Post, RecordFlags, Role, RouteHead, RouterId, SendDm,
    ServerId, ServerRecord, Signature, Signed, Tag, Time, Traced, UserId,
};

/// What may be out with the driver for one link, in bytes: the window of a peer and one frame beyond.
const OUT_MAX: usize = (256 << 10) + MAX_FRAME + 3;
/// One input fans out to the links of this script and to few things more.
const OUTPUTS_MAX: usize = 4_096;
/// The wall clock at the start of each script, in Unix milliseconds.
const WALL_MS: u64 = 1_800_000_000_000;

/// A node gets any facts in any order, and keeps its contract after each.
///
/// It never names a link before it opened or after it closed, writes only whole frames, keeps its windows and its
/// accounts, moves on when its deadline fires, and does the same again when told the same again.
pub fn node_step(data: &[u8]) {
    assert_eq!(run(data), run(data), "one script, two runs");
}

/// Runs the script and returns all that the node wanted.
fn run(data: &[u8]) -> Vec<String> {
    let mut driver = Driver::new();
    let mut script = Script(data);
    while let Some(input) = driver.next_input(&mut script) {
        driver.tell(input);
    }
    driver.trace
}

/// The rest of a script. At its end every number is 0.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn small(&mut self, below: u8) -> u64 {
        u64::from(self.byte() % below.max(1))
    }
}

/// What the driver knows of a link.
struct Known {
    peer: Authenticated,
    /// Sent, and not yet flushed.
    out: usize,
    closing: bool,
}

struct Driver {
    node: Node,
    now: Time,
    links: BTreeMap<LinkId, Known>,
    next_link: u64,
    dials: Vec<DialId>,
    signs: Vec<SignId>,
    verifies: Vec<(VerifyId, Vec<Bytes>)>,
    /// The numbers of questions and packets that left.
    corrs: Vec<u64>,
    trace: Vec<String>,
}

impl Driver {
    fn new() -> Self {
        Self {
            node: Node::new(server(0), Config::default(), [7; 32]),
            now: Time::ZERO,
            links: BTreeMap::new(),
            next_link: 0,
            dials: Vec::new(),
            signs: Vec::new(),
            verifies: Vec::new(),
            corrs: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// Reads one fact from the script; `None` at its end.
    fn next_input(&mut self, script: &mut Script<'_>) -> Option<Input> {
        if script.0.is_empty() {
            return None;
        }
        let input = match script.byte() % 12 {
            0 => {
                let span = u64::from(script.byte()) << script.small(14);
                self.now = self.now + Duration::from_millis(span);
                Input::Timeout
            }
            1 => Input::Wall {
                unix_ms: self.wall().wrapping_add(u64::from(script.byte()) << script.small(40)),
            },
            2 => self.opened(script, false),
            3 => self.opened(script, true),
            4 => {
                let link = self.link(script);
                let bytes = self.links.get(&link).map_or(0, |known| known.out);
                let bytes = if script.small(4) == 0 { usize::from(script.byte()) } else { bytes };
                if let Some(known) = self.links.get_mut(&link) {
                    known.out = known.out.saturating_sub(bytes);
                }
                Input::Flushed { link, bytes }
            }
            5 => {
                let link = self.link(script);
                self.links.remove(&link);
                Input::Closed { link, why: code(script) }
            }
            6 => {
                let sign = self.signs.pop().unwrap_or_else(|| SignId(script.small(8)));
                Input::Signed { sign, signature: Signature::new([script.byte(); 64]) }
            }
            7 => match script.small(64) {
                0 => Input::Unpeer(addr(script)),
                1 => Input::Drain,
                2 => Input::DialFailed { dial: self.dial(script), why: code(script) },
                3 => Input::Disconnect(server(script.byte() % 5)),
                4 => Input::Trace { trace: TraceId(script.small(4)), channel: channel(script) },
                5 => Input::Found(addr(script).into()),
                7..=15 => {
                    let (verify, bundles) =
                        self.verifies.pop().unwrap_or_else(|| (VerifyId(script.small(8)), Vec::new()));
                    let check = |signed| {
                        let body = Signed::decode(signed).ok()?.body;
                        Bundle::decode(body).ok().map(Verified::unchecked)
                    };
                    Input::Verified { verify, bundles: bundles.into_iter().map(check).collect() }
                }
                6 => Input::Probed { dial: self.dial(script), reachable: script.small(2) == 1 },
                _ => Input::Peer(addr(script).into()),
            },
            _ => {
                let link = self.link(script);
                Input::Frame { link, frame: self.received(link, script) }
            }
        };
        Some(input)
    }

    fn wall(&self) -> u64 {
        WALL_MS.saturating_add(u64::try_from(self.now.since_start().as_millis()).unwrap_or(u64::MAX))
    }

    /// One of the links so far, or one that never was.
    fn link(&self, script: &mut Script<'_>) -> LinkId {
        LinkId(script.small(u8::try_from(self.next_link).unwrap_or(u8::MAX).saturating_add(1)))
    }

    fn dial(&mut self, script: &mut Script<'_>) -> DialId {
        self.dials.pop().unwrap_or_else(|| DialId(script.small(8)))
    }

    fn opened(&mut self, script: &mut Script<'_>, peer: bool) -> Input {
        let link = LinkId(self.next_link);
        self.next_link = self.next_link.saturating_add(1);
        let (who, features) = (script.byte() % 5, Features::DONE | Features::TRACE);
        let (role, device) = if peer {
            (Role::Peer, None)
        } else {
            (Role::Client, Some(DeviceId::new([script.byte() % 2; 16])))
        };
        let key = if peer { *server(who).as_bytes() } else { *user(who).as_bytes() };
        let proof = Authenticated::unchecked(key, role, device, features);
        let dial = (peer && script.small(2) == 0).then(|| self.dial(script));
        let accept = match script.small(8) {
            0 => Accept::Clients,
            1 => Accept::Peers,
            _ => Accept::All,
        };
        self.links.insert(link, Known { peer: proof.clone(), out: 0, closing: false });
        let observed = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Input::Opened { link, dial, accept, peer: proof, remote: addr(script), observed, resume: None }
    }

    fn received(&self, link: LinkId, script: &mut Script<'_>) -> Received {
        let author = self.links.get(&link).and_then(|known| known.peer.user()).unwrap_or_else(|| user(0));
        match script.byte() % 12 {
            0 => Received::Refused {
                req: script.byte().into(),
                code: code(script),
                retry_ms: script.byte().into(),
            },
            1 => Received::Held { req: script.byte().into(), retry_ms: script.byte().into() },
            2 | 3 => {
                let (deliver, post) = self.post(author, script);
                let digest = Digest16::of(&deliver);
                Received::Publish {
                    req: script.byte().into(),
                    post: Verified::unchecked(post),
                    deliver,
                    digest,
                }
            }
            4 => {
                let record = self.record(script);
                let signed = signed(record.encode());
                Received::Record { record: Verified::unchecked(record.into()), signed }
            }
            5 => {
                let shard = self.shard(script);
                let signed = signed(shard.encode());
                Received::Shard { shard: Verified::unchecked(shard), signed }
            }
            6 => self.route(author, script),
            7 => {
                let channels = (0..script.small(4)).map(|_| channel(script)).collect();
                let kind = if script.small(3) == 0 {
                    Kind::Leave { channels }
                } else {
                    Kind::Join { channels, wait_spread: script.small(2) == 0 }
                };
                Received::Other(Frame { req: script.byte().into(), re: 0, critical: false, kind })
            }
            8 => {
                let bundle = self.bundle(author, script);
                let signed = signed(bundle.encode());
                Received::SetBundle { req: script.byte().into(), bundle: Verified::unchecked(bundle), signed }
            }
            9 => {
                let kind = self.direct(script);
                Received::Other(Frame { req: script.byte().into(), re: 0, critical: false, kind })
            }
            _ => {
                let len = usize::from(script.byte());
                let frame = Frame::decode(Bytes::copy_from_slice(script.take(len)));
                let refused = |error: darkchat_proto::DecodeError| Received::Refused {
                    req: 0,
                    code: error.code(),
                    retry_ms: 0,
                };
                frame.map_or_else(refused, Received::Other)
            }
        }
    }

    fn post(&self, author: UserId, script: &mut Script<'_>) -> (Bytes, Post) {
        let channel = channel(script);
        let len = usize::from(script.byte()) << script.small(8);
        let post = Post {
            author,
            channel,
            stream: script.small(4).saturating_add(1),
            seq: script.small(32).saturating_add(1),
            time_ms: self.wall().wrapping_add(u64::from(script.byte()) << script.small(14)),
            name: "ann".to_owned(),
            entries: vec![Entry::text("x".repeat(len))],
        };
        let content = Content::Public(Signed { body: post.encode(), sig: Signature::new([0; 64]) });
        (Deliver { channel, content }.encode(), post)
    }

    fn bundle(&self, author: UserId, script: &mut Script<'_>) -> Bundle {
        Bundle {
            suite: 1,
            user: author,
            device: DeviceId::new([script.byte() % 2; 16]),
            dh: [1; 32],
            not_before_ms: self.wall(),
            not_after_ms: self.wall().saturating_add(u64::from(script.byte()) << 20),
            server: server(script.byte() % 2),
            features: Features::NONE,
        }
    }

    /// What a client says about direct messages.
    fn direct(&self, script: &mut Script<'_>) -> Kind {
        match script.small(8) {
            0 | 1 => Kind::Lookup { user: user(script.byte() % 5) },
            2 => Kind::DmReject { delivery: script.small(4), code: code(script) },
            _ => Kind::SendDm(SendDm {
                user: user(script.byte() % 5),
                device: DeviceId::new([script.byte() % 2; 16]),
                server: server(script.byte() % 5),
                packet: vec![script.byte(); usize::from(script.byte()) << script.small(9)].into(),
                attempt: script.byte().into(),
            }),
        }
    }

    /// What a server sends another one about direct messages.
    fn carried(&self, class: Class, script: &mut Script<'_>) -> Option<Bytes> {
        let carried = match class {
            Class::Dm => Carried::Direct(DmDeliver {
                user: user(script.byte() % 5),
                device: DeviceId::new([script.byte() % 2; 16]),
                packet: vec![3; usize::from(script.byte())].into(),
                delivery: script.small(2),
            }),
            Class::LookupReq => Carried::Lookup(user(script.byte() % 5)),
            Class::LookupRep => {
                let bundles = (0..script.small(12)).map(|_| {
                    let bundle = self.bundle(user(script.byte() % 5), script);
                    signed(Bundle { server: server(script.byte() % 5), ..bundle }.encode())
                });
                Carried::Found { bundles: bundles.collect(), complete: true }
            }
            Class::DmStatus => Carried::Status(code(script)),
            _ => return None,
        };
        Some(carried.encode())
    }

    fn record(&self, script: &mut Script<'_>) -> ServerRecord {
        ServerRecord {
            server: server(script.byte() % 5),
            epoch: epoch(script),
            seq: script.small(8),
            issued_ms: self.wall(),
            addrs: Vec::new(),
            flags: RecordFlags::default(),
            neighbours: (0..script.small(5)).map(|_| router(script)).collect(),
            version: 1,
            features: Features::DONE,
        }
    }

    fn shard(&self, script: &mut Script<'_>) -> InterestShard {
        let mut tags: Vec<Tag> = (0..script.small(5)).map(|_| tag(script)).collect();
        tags.sort();
        tags.dedup();
        InterestShard {
            server: server(script.byte() % 5),
            epoch: epoch(script),
            seq: script.small(8),
            bits: 0,
            shard: 0,
            tags,
        }
    }

    fn route(&self, author: UserId, script: &mut Script<'_>) -> Received {
        let (post_bytes, post) = self.post(author, script);
        let class = match script.small(8) {
            0 => Class::Shard,
            1 => Class::Dm,
            2 => Class::LookupReq,
            3 => Class::LookupRep,
            4 => Class::DmStatus,
            6 => Class::Trace,
            7 => Class::TraceRep,
            _ => Class::Channel,
        };
        let head = RouteHead {
            origin: router(script),
            id: script.small(8),
            ttl: script.byte().into(),
            dst: (0..script.small(6)).map(|_| router(script)).collect(),
            class,
            want_done: script.small(2) == 0,
            corr: match script.small(3) {
                2 => self.corrs.last().copied().unwrap_or_default(),
                other => other,
            },
        };
        let payload = match class {
            Class::Trace if head.id > 0 => Bytes::new(),
            Class::TraceRep if head.id > 0 => {
                Traced { router: head.origin, from: router(script), ttl: head.ttl, here: head.want_done }
                    .encode()
            }
            _ if head.id > 0 => self.carried(class, script).unwrap_or(post_bytes),
            _ => post_bytes,
        };
        let check = match script.small(3) {
            0 => Check::NotChecked,
            1 => Check::Good,
            _ => Check::Bad,
        };
        let channel = (class == Class::Channel && script.small(8) > 0).then_some(post.channel);
        Received::Route { head, digest: Digest16::of(&payload), payload, check, channel }
    }

    /// Tells the node and takes all that it wants, checking each.
    fn tell(&mut self, input: Input) {
        let fired =
            matches!(input, Input::Timeout) && self.node.poll_timeout().is_some_and(|at| at <= self.now);
        self.node.handle(self.now, input);
        let mut outputs = 0_usize;
        while let Some(output) = self.node.poll() {
            outputs = outputs.saturating_add(1);
            assert!(outputs <= OUTPUTS_MAX, "one input, {outputs} outputs");
            self.trace.push(format!("{output:?}"));
            self.obey(output);
        }
        if fired {
            assert!(self.node.poll_timeout().is_none_or(|at| at > self.now), "a fired deadline moves on");
        }
        let stats = self.node.stats();
        assert!(stats.closes(), "the accounts do not close: {stats:?}");
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Send { links, frames, .. } => {
                assert!(!links.is_empty() && frames.count() > 0);
                for (head, body) in frames.iter() {
                    if let Some(Frame { kind: Kind::Route(route), .. }) = one_frame(head, body) {
                        self.corrs.push(route.head.corr);
                    }
                }
                for link in links.iter() {
                    let Some(known) = self.links.get_mut(link) else {
                        unreachable!("sent to {link:?}, which is not open")
                    };
                    assert!(!known.closing, "sent to {link:?} after its end");
                    known.out = known.out.saturating_add(frames.bytes());
                    assert!(known.out <= OUT_MAX, "{} bytes are out for {link:?}", known.out);
                }
            }
            Output::Close { link, .. } => {
                let Some(known) = self.links.get_mut(&link) else {
                    unreachable!("closed {link:?}, which is not open")
                };
                assert!(!known.closing, "closed {link:?} twice");
                known.closing = true;
            }
            Output::Check { links, .. } => {
                assert!(links.iter().all(|link| self.links.contains_key(link)));
            }
            Output::Pause { link, .. } => assert!(self.links.contains_key(&link)),
            Output::Dial { dial, .. } | Output::Probe { dial, .. } => self.dials.push(dial),
            Output::Sign { sign, .. } => self.signs.push(sign),
            Output::Verify { verify, bundles } => self.verifies.push((verify, bundles)),
            Output::Event(_) | Output::Traced { .. } => {}
        }
    }
}

fn one_frame(head: &Bytes, body: &Bytes) -> Option<Frame> {
    let mut stream = FrameStream::default();
    stream.push(head.clone());
    stream.push(body.clone());
    let frame = stream.next_frame().ok().flatten().and_then(|frame| Frame::decode(frame).ok());
    assert!(frame.is_some() && stream.is_between_frames(), "sent something that is no frame");
    frame
}

fn user(number: u8) -> UserId {
    UserId::new([number.wrapping_add(1); 32])
}

/// Number 0 is the node itself.
fn server(number: u8) -> ServerId {
    ServerId::new([number.wrapping_add(101); 32])
}

fn router(script: &mut Script<'_>) -> RouterId {
    server(script.byte() % 6).router()
}

fn channel(script: &mut Script<'_>) -> ChannelId {
    ChannelId::new([script.byte() % 4; 32])
}

fn tag(script: &mut Script<'_>) -> Tag {
    let network = Config::default().network;
    match script.small(3) {
        0 => Tag::of_inbox(&network, &user(script.byte() % 5)),
        _ => Tag::of_channel(&network, &channel(script)),
    }
}

fn epoch(script: &mut Script<'_>) -> u64 {
    WALL_MS.saturating_add(script.small(3))
}

fn addr(script: &mut Script<'_>) -> Addr {
    let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, script.byte() % 8));
    Addr::from_socket("tcp", (ip, 30_303).into())
}

fn code(script: &mut Script<'_>) -> Code {
    Code::from_number(i32::from(script.byte() % 23)).unwrap_or(Code::Internal)
}

fn signed(body: Bytes) -> Bytes {
    Signed { body, sig: Signature::new([0; 64]) }.encode()
}
