//! A world of nodes in virtual time: links carry frames with a fixed delay, and every step is checked.

use crate::{
    Accept, Check, Config, Event, Input, LinkId, Node, Output, Profile, Received, Stats, Trace, TraceId,
};
use bytes::{Bytes, BytesMut};
use darkchat_crypto::{Authenticated, Verified};
use darkchat_proto::{
    Addr, Bundle, ChannelId, ChannelName, Class, Code, Content, Deliver, DeviceId, Digest16, Done, Entry,
    Features, Frame, FrameStream, Goodbye, InterestShard, Kind, Network, Post, Resume, Role, Route,
    ServerAddr, ServerId, ServerRecord, Signature, Signed, Time, UserId, Welcome,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The delay of every link, one way.
const DELAY: Duration = Duration::from_millis(5);
/// Where the wall clock stands at the start.
pub(crate) const WALL: u64 = 1_700_000_000_000;

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn channel(name: &str) -> ChannelId {
    let name: ChannelName = name.parse().unwrap();
    ChannelId::of(&Network::default(), &name)
}

pub(crate) fn user(number: u8) -> UserId {
    UserId::new([number; 32])
}

/// The key of the server with this number: larger numbers have larger keys.
pub(crate) fn server(number: usize) -> ServerId {
    ServerId::new([u8::try_from(number + 1).unwrap(); 32])
}

/// Where peers of our own making answer.
pub(crate) fn fake_place() -> Addr {
    Addr::new("mem", "fake", None).unwrap()
}

pub(crate) fn place(number: usize) -> Addr {
    Addr::new("mem", &format!("n{number}"), None).unwrap()
}

/// An encoded `Deliver` with one text; the signature is a stand-in.
pub(crate) fn deliver(post: &Post) -> Bytes {
    let signed = Signed { body: post.encode(), sig: Signature::new([7; 64]) };
    Deliver { channel: post.channel, content: Content::Public(signed) }.encode()
}

pub(crate) fn post(author: UserId, channel: ChannelId, seq: u64, time_ms: u64, text: &str) -> Post {
    Post {
        author,
        channel,
        stream: 1,
        seq,
        time_ms,
        name: "someone".into(),
        entries: vec![Entry::text(text)],
    }
}

pub(crate) fn publish(req: u32, post: Post) -> Received {
    let deliver = deliver(&post);
    let digest = Digest16::of(&deliver);
    Received::Publish { req, post: Verified::unchecked(post), deliver, digest }
}

/// The text of a post as a receiver gets it.
pub(crate) fn text_of(deliver: &Bytes) -> String {
    let Content::Public(signed) = Deliver::decode(deliver.clone()).unwrap().content else {
        return String::new();
    };
    let post = Post::decode(signed.body).unwrap();
    String::from_utf8(post.entries[0].content.to_vec()).unwrap()
}

/// What a link's task makes of a frame, with every signature taken as good.
pub(crate) fn receive(frame: Frame) -> Vec<Received> {
    match frame.kind {
        Kind::Record(signed) => {
            let body = Signed::decode(signed.clone()).unwrap().body;
            let record = Verified::unchecked(ServerRecord::decode(body).unwrap()).shared();
            vec![Received::Record { record, signed }]
        }
        Kind::Shard(signed) => vec![shard_of(signed)],
        Kind::Route(Route { head, payload }) => {
            let digest = Digest16::of(&payload);
            let channel = (head.class == Class::Channel).then(|| Deliver::decode(payload.clone()).ok());
            let channel = channel.flatten().map(|deliver| deliver.channel);
            let before = (head.class == Class::Shard).then(|| shard_of(payload.clone()));
            let route = Received::Route { head, payload, digest, check: Check::NotChecked, channel };
            before.into_iter().chain([route]).collect()
        }
        kind => vec![Received::Other(Frame { kind, ..frame })],
    }
}

/// The signature of a bundle that its user did not sign.
pub(crate) const FORGED: Signature = Signature::new([0xBA; 64]);

/// What a driver makes of a bundle: every signature is good but the one that says it is not.
fn check_bundle(signed: Bytes) -> Option<Verified<Bundle>> {
    let signed = Signed::decode(signed).ok().filter(|signed| signed.sig != FORGED)?;
    Bundle::decode(signed.body).ok().map(Verified::unchecked)
}

fn shard_of(signed: Bytes) -> Received {
    let body = Signed::decode(signed.clone()).unwrap().body;
    Received::Shard { shard: Verified::unchecked(InterestShard::decode(body).unwrap()), signed }
}

/// Who is at the far end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    Client,
    Server(usize, LinkId),
}

#[derive(Debug)]
struct End {
    far: Far,
    /// The far end does not read: what is written is not flushed.
    stalled: bool,
    /// What may be written and not flushed, in bytes.
    window: usize,
    /// Written and not flushed, in bytes.
    unflushed: usize,
    /// What the far end, a client, got.
    inbox: Vec<Frame>,
    /// The routes that a peer of our own making counted, if it does; those that it did not read are counted when it does.
    counted: Option<u64>,
    uncounted: u64,
    closed: bool,
}

#[derive(Debug)]
struct Server {
    node: Node,
    ends: BTreeMap<LinkId, End>,
    events: Vec<Event>,
    /// The goodbyes that were sent on links.
    goodbyes: BTreeMap<LinkId, Option<Goodbye>>,
    up: bool,
}

#[derive(Debug)]
enum Step {
    Give(usize, Input),
}

/// A client, connected to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) at: usize,
    pub(crate) link: LinkId,
    pub(crate) user: UserId,
}

/// Nodes, links and the time.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    servers: Vec<Server>,
    steps: BTreeMap<(Time, u64), Step>,
    count: u64,
    next_link: u64,
    next_seq: u64,
    /// How many routes of class CHANNEL left each server.
    pub(crate) routes: Vec<u64>,
    /// Every frame that left a server for a server, for tests that look.
    pub(crate) carried: VecDeque<(usize, Frame)>,
    /// Who answers the next dials to `mem://fake`.
    fakes: VecDeque<ServerId>,
    /// Who answers at an address; nobody at the others.
    pub(crate) answers: BTreeMap<Addr, ServerId>,
    /// Dials to IP addresses hang until they time out.
    pub(crate) swallows: bool,
    /// The dials to IP addresses, and whether the operator wanted them.
    pub(crate) dials: Vec<(Time, ServerAddr, bool)>,
    /// The probes: when, by which server, and where.
    pub(crate) probes: Vec<(Time, usize, ServerAddr)>,
    /// What each server wanted verified, newest last.
    pub(crate) checks: Vec<(usize, Vec<LinkId>, u32)>,
    /// Every output, for comparing runs, if that is wanted.
    pub(crate) trace: Vec<String>,
    pub(crate) traced: bool,
    /// What came of each trace: at which server, and what was found.
    pub(crate) found: Vec<(usize, TraceId, Option<Trace>)>,
    /// What links between servers agree on.
    pub(crate) features: Features,
    /// How many outputs there were.
    pub(crate) outputs: u64,
}

impl World {
    pub(crate) fn new(servers: usize) -> Self {
        Self::with(servers, &Config { profile: Profile::Public, ..Config::default() })
    }

    pub(crate) fn with(servers: usize, config: &Config) -> Self {
        let mut world = Self {
            now: Time::from_millis(1),
            servers: Vec::new(),
            steps: BTreeMap::new(),
            count: 0,
            next_link: 1,
            next_seq: 1,
            routes: vec![0; servers],
            carried: VecDeque::new(),
            fakes: VecDeque::new(),
            answers: BTreeMap::new(),
            swallows: false,
            dials: Vec::new(),
            probes: Vec::new(),
            checks: Vec::new(),
            trace: Vec::new(),
            traced: false,
            found: Vec::new(),
            features: config.features,
            outputs: 0,
        };
        for number in 0..servers {
            let seed = [u8::try_from(number).unwrap(); 32];
            let node = Node::new(server(number), config.clone(), seed);
            let server = Server {
                node,
                ends: BTreeMap::new(),
                events: Vec::new(),
                goodbyes: BTreeMap::new(),
                up: true,
            };
            world.servers.push(server);
            world.give(number, Input::Wall { unix_ms: WALL });
        }
        world
    }

    /// Servers in a line, each linked with the next, and the time that their maps need.
    pub(crate) fn line(servers: usize) -> Self {
        let mut world = Self::new(servers);
        for number in 1..servers {
            world.peer(number - 1, number);
        }
        world.run_for(secs(3));
        world
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        WALL + u64::try_from(self.now.since_start().as_millis()).unwrap()
    }

    pub(crate) fn peer(&mut self, from: usize, to: usize) {
        self.give(from, Input::Peer(ServerAddr::from(place(to))));
    }

    fn later(&mut self, at: Time, step: Step) {
        self.count += 1;
        self.steps.insert((at, self.count), step);
    }

    fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }

    /// Gives an input now, and carries out what follows.
    pub(crate) fn give(&mut self, at: usize, input: Input) {
        if !self.servers[at].up {
            return;
        }
        let now = self.now;
        self.servers[at].node.handle(now, input);
        while let Some(output) = self.servers[at].node.poll() {
            self.carry_out(at, output);
        }
        let stats = self.servers[at].node.stats();
        assert!(stats.closes(), "the accounting closes: {stats:?}");
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        if self.traced {
            self.trace.push(format!("{:?} {at} {output:?}", self.now));
        }
        self.outputs += 1;
        match output {
            Output::Send { links, frames, .. } => {
                assert!(!links.is_empty() && frames.count() > 0);
                for (head, body) in frames.iter() {
                    links.iter().for_each(|link| self.write(at, *link, head, body));
                }
            }
            Output::Dial { dial, addr, pinned } if addr.addr.ip().is_some() => {
                self.dials.push((self.now, addr.clone(), pinned));
                self.dial_ip(at, dial, &addr);
            }
            Output::Dial { dial, addr, pinned: _ } => self.dial(at, dial, &addr),
            Output::Probe { dial, addr } => {
                let reachable = self.answers.get(&addr.addr).copied() == addr.key;
                self.probes.push((self.now, at, addr));
                self.later(self.now + DELAY, Step::Give(at, Input::Probed { dial, reachable }));
            }
            Output::Sign { sign, .. } => {
                let signature = Signature::new([9; 64]);
                self.later(self.now, Step::Give(at, Input::Signed { sign, signature }));
            }
            Output::Verify { verify, bundles } => {
                let bundles = bundles.into_iter().map(check_bundle).collect();
                self.later(self.now, Step::Give(at, Input::Verified { verify, bundles }));
            }
            Output::Close { link, goodbye } => self.close(at, link, goodbye),
            Output::Event(event) => self.servers[at].events.push(event),
            Output::Check { links, every } => self.checks.push((at, links, every)),
            Output::Traced { trace, found } => self.found.push((at, trace, found.map(|found| *found))),
            Output::Pause { .. } => {}
        }
    }

    fn write(&mut self, at: usize, link: LinkId, head: &Bytes, body: &Bytes) {
        let mut whole = BytesMut::from(&head[..]);
        whole.extend_from_slice(body);
        let bytes = whole.len();
        let mut stream = FrameStream::default();
        stream.push(whole.freeze());
        let frame = Frame::decode(stream.next_frame().unwrap().unwrap()).unwrap();
        assert!(stream.is_between_frames(), "one frame an output");
        let arrives = self.now + DELAY;
        let window = self.servers[at].ends.get(&link).map_or(0, |end| end.window);
        let end = self.servers[at].ends.get_mut(&link).expect("an open link");
        assert!(!end.closed, "nothing after the end of a link");
        let far = end.far;
        if end.stalled {
            assert!(end.unflushed == 0 || end.unflushed + bytes <= window, "the send window holds");
            end.unflushed += bytes;
        } else if far == Far::Client {
            end.inbox.push(frame.clone());
        }
        if matches!(frame.kind, Kind::Route(_)) {
            end.uncounted += 1;
        }
        self.count(at, link);
        if !self.servers[at].ends[&link].stalled {
            self.later(self.now, Step::Give(at, Input::Flushed { link, bytes }));
        }
        if let Far::Server(to, their_link) = far {
            if matches!(&frame.kind, Kind::Route(route) if route.head.class == Class::Channel) {
                self.routes[at] += 1;
            }
            self.carried.push_back((at, frame.clone()));
            for frame in receive(frame) {
                self.later(arrives, Step::Give(to, Input::Frame { link: their_link, frame }));
            }
        }
    }

    /// A peer of our own making says how many routes it has read, unless it was told to keep that to itself.
    fn count(&mut self, at: usize, link: LinkId) {
        let Some(end) = self.servers[at].ends.get_mut(&link).filter(|end| !end.stalled) else { return };
        let Some(counted) = &mut end.counted else { return };
        let newly = std::mem::take(&mut end.uncounted);
        if newly > 0 {
            *counted += newly;
            let frame = Received::Other(Frame::from(Kind::LinkAck { received: *counted }));
            self.later(self.now + DELAY, Step::Give(at, Input::Frame { link, frame }));
        }
    }

    /// From now on a peer of our own making does not say what it has read.
    pub(crate) fn count_no_more(&mut self, peer: Client) {
        if let Some(end) = self.servers[peer.at].ends.get_mut(&peer.link) {
            end.counted = None;
        }
    }

    /// Somebody of our own making answers, and welcomes who comes, or nobody does.
    fn dial_ip(&mut self, at: usize, dial: crate::DialId, addr: &ServerAddr) {
        let failed = |why| Step::Give(at, Input::DialFailed { dial, why });
        match self.answers.get(&addr.addr).copied() {
            None if self.swallows => self.later(self.now + secs(8), failed(Code::Timeout)),
            None => self.later(self.now + DELAY, failed(Code::Unreachable)),
            Some(id) if id == server(at) => self.later(self.now + DELAY, failed(Code::Conflict)),
            Some(id) if addr.key.is_some_and(|key| key != id) => {
                self.later(self.now + DELAY, failed(Code::Unauthorized));
            }
            Some(id) => {
                let link = self.open_fake(at, Some(dial), id);
                let frame = Received::Other(Frame::from(Kind::Welcome(Welcome::default())));
                self.later(self.now + DELAY, Step::Give(at, Input::Frame { link, frame }));
            }
        }
    }

    fn dial(&mut self, at: usize, dial: crate::DialId, addr: &ServerAddr) {
        if addr.addr.host() == "fake"
            && let Some(id) = self.fakes.pop_front()
        {
            self.open_fake(at, Some(dial), id);
            return;
        }
        let to = addr.addr.host().strip_prefix('n').and_then(|number| number.parse::<usize>().ok());
        let Some(to) = to.filter(|to| self.servers.get(*to).is_some_and(|server| server.up)) else {
            let why = Code::Unreachable;
            return self.later(self.now + DELAY, Step::Give(at, Input::DialFailed { dial, why }));
        };
        let (ours, theirs) = (self.new_link(), self.new_link());
        let arrives = self.now + DELAY;
        for (here, link, far, dial, whom) in [
            (at, ours, Far::Server(to, theirs), Some(dial), to),
            (to, theirs, Far::Server(at, ours), None, at),
        ] {
            let end = End {
                far,
                stalled: false,
                unflushed: 0,
                window: 256 << 10,
                inbox: Vec::new(),
                counted: None,
                uncounted: 0,
                closed: false,
            };
            self.servers[here].ends.insert(link, end);
            let peer = Authenticated::unchecked(*server(whom).as_bytes(), Role::Peer, None, self.features);
            let opened = Input::Opened {
                link,
                dial,
                accept: Accept::Peers,
                peer,
                remote: place(whom),
                observed: IpAddr::V4(Ipv4Addr::LOCALHOST),
                resume: None,
            };
            self.later(arrives, Step::Give(here, opened));
        }
    }

    fn close(&mut self, at: usize, link: LinkId, goodbye: Option<Goodbye>) {
        let arrives = self.now + DELAY;
        let end = self.servers[at].ends.get_mut(&link).expect("an open link");
        assert!(!end.closed, "one end a link");
        end.closed = true;
        let far = end.far;
        let code = goodbye.as_ref().map_or(Code::Truncated, |goodbye| goodbye.code);
        if let (Far::Client, Some(goodbye)) = (far, &goodbye) {
            end.inbox.push(Frame::from(Kind::Goodbye(goodbye.clone())));
        }
        self.servers[at].goodbyes.insert(link, goodbye.clone());
        self.later(self.now, Step::Give(at, Input::Closed { link, why: Code::Ok }));
        if let Far::Server(to, their_link) = far {
            if let Some(goodbye) = goodbye {
                let frame = Received::Other(Frame::from(Kind::Goodbye(goodbye)));
                self.later(arrives, Step::Give(to, Input::Frame { link: their_link, frame }));
            }
            self.later(arrives, Step::Give(to, Input::Closed { link: their_link, why: code }));
        }
    }

    /// Cuts a link between two servers without a word.
    pub(crate) fn cut(&mut self, one: usize, other: usize) {
        let is_it = |(_, end): &(&LinkId, &End)| {
            matches!(end.far, Far::Server(far, _) if far == other) && !end.closed
        };
        let links: Vec<(LinkId, Far)> =
            self.servers[one].ends.iter().filter(is_it).map(|(link, end)| (*link, end.far)).collect();
        for (link, far) in links {
            let Far::Server(to, theirs) = far else { continue };
            for (at, link) in [(one, link), (to, theirs)] {
                if let Some(end) = self.servers[at].ends.get_mut(&link) {
                    end.closed = true;
                }
                self.give(at, Input::Closed { link, why: Code::Truncated });
            }
        }
    }

    /// The server stops without a word; whoever was linked with it notices.
    pub(crate) fn crash(&mut self, at: usize) {
        for other in 0..self.servers.len() {
            if other != at {
                self.cut(at, other);
            }
        }
        self.servers[at].up = false;
    }

    /// Nobody reads at the far end of these links any more, or somebody does again.
    pub(crate) fn stall(&mut self, at: usize, link: LinkId, stalled: bool) {
        let end = self.servers[at].ends.get_mut(&link).expect("a link");
        end.stalled = stalled;
        let bytes = std::mem::take(&mut end.unflushed);
        if !stalled && bytes > 0 && !end.closed {
            self.give(at, Input::Flushed { link, bytes });
        }
        self.count(at, link);
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let step = self.steps.first_key_value().map(|((at, _), _)| *at);
            let timeout = |server: &Server| server.up.then(|| server.node.poll_timeout()).flatten();
            let timeouts = self.servers.iter().filter_map(timeout).min();
            let Some(next) = [step, timeouts].into_iter().flatten().min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if step == Some(next) {
                if let Some((_, Step::Give(at, input))) = self.steps.pop_first() {
                    let dead = match &input {
                        Input::Frame { link, .. }
                        | Input::Flushed { link, .. }
                        | Input::Opened { link, .. } => {
                            self.servers[at].ends.get(link).is_none_or(|end| end.closed)
                        }
                        _ => false,
                    };
                    if let Input::Opened { dial: Some(dial), .. } = &input
                        && dead
                    {
                        self.give(at, Input::DialFailed { dial: *dial, why: Code::Truncated });
                    } else if !dead {
                        if let Input::Closed { link, .. } = &input
                            && let Some(end) = self.servers[at].ends.get_mut(link)
                        {
                            end.closed = true;
                        }
                        self.give(at, input);
                    }
                }
                continue;
            }
            for at in 0..self.servers.len() {
                let due = timeout(&self.servers[at]).is_some_and(|due| due <= self.now);
                if due {
                    self.give(at, Input::Timeout);
                    let next = self.servers[at].node.poll_timeout();
                    assert!(next.is_none_or(|next| next > self.now), "a deadline moves on: {next:?}");
                }
            }
        }
        self.now = end;
    }

    /// Connects a client's device.
    pub(crate) fn login(&mut self, at: usize, user: UserId, device: u8) -> Client {
        self.login_at(at, user, device, Accept::Clients)
    }

    /// Connects a client's device that cannot resume sessions.
    pub(crate) fn login_at(&mut self, at: usize, user: UserId, device: u8, accept: Accept) -> Client {
        self.open_client(at, (user, device), accept, (Features::NONE, None))
    }

    /// Connects a client's device that can resume sessions, and gives what goes on with an earlier one.
    pub(crate) fn login_with(
        &mut self,
        at: usize,
        who: (UserId, u8),
        accept: Accept,
        resume: Option<Resume>,
    ) -> Client {
        self.open_client(at, who, accept, (Features::RESUME, resume))
    }

    fn open_client(
        &mut self,
        at: usize,
        (user, device): (UserId, u8),
        accept: Accept,
        (features, resume): (Features, Option<Resume>),
    ) -> Client {
        let link = self.new_link();
        let end = End {
            far: Far::Client,
            stalled: false,
            unflushed: 0,
            window: 64 << 10,
            inbox: Vec::new(),
            counted: None,
            uncounted: 0,
            closed: false,
        };
        self.servers[at].ends.insert(link, end);
        let device = DeviceId::new([device; 16]);
        let peer = Authenticated::unchecked(*user.as_bytes(), Role::Client, Some(device), features);
        let observed = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let remote = Addr::new("mem", "client", None).unwrap();
        self.give(at, Input::Opened { link, dial: None, accept, peer, remote, observed, resume });
        self.run_for(ms(1));
        Client { at, link, user }
    }

    /// The welcome of a client.
    pub(crate) fn welcome(&self, client: Client) -> Option<Welcome> {
        self.inbox(client).iter().find_map(|frame| match &frame.kind {
            Kind::Welcome(welcome) => Some(welcome.clone()),
            _ => None,
        })
    }

    /// What goes on with the session of a client that has processed all that it got.
    pub(crate) fn resume_of(&self, client: Client) -> Option<Resume> {
        let token = self.welcome(client)?.resume_token?;
        let counted = self.inbox(client).iter().filter(|frame| frame.kind.counts_from_server()).count();
        Some(Resume { token, received: u64::try_from(counted).unwrap() })
    }

    /// Whether nobody closed this client's link.
    pub(crate) fn is_open(&self, client: Client) -> bool {
        self.servers[client.at].ends.get(&client.link).is_some_and(|end| !end.closed)
    }

    /// What each client and each peer of our own making got.
    pub(crate) fn inboxes(&self, at: usize) -> impl Iterator<Item = &Vec<Frame>> {
        self.servers[at].ends.values().map(|end| &end.inbox)
    }

    /// Makes room for a link that a test opens by itself.
    pub(crate) fn expect_link(&mut self, at: usize, link: LinkId) {
        let end = End {
            far: Far::Client,
            stalled: false,
            unflushed: 0,
            window: 256 << 10,
            inbox: Vec::new(),
            counted: None,
            uncounted: 0,
            closed: false,
        };
        self.servers[at].ends.insert(link, end);
    }

    /// A peer of our own making: what it is sent lands in its inbox, and what it says is ours to choose.
    pub(crate) fn fake_peer(&mut self, at: usize, id: ServerId) -> Client {
        let link = self.open_fake(at, None, id);
        self.run_for(ms(1));
        Client { at, link, user: user(0) }
    }

    /// The same, with these features, and seen there.
    pub(crate) fn fake_peer_with(
        &mut self,
        at: usize,
        id: ServerId,
        features: Features,
        seen: &str,
    ) -> Client {
        let link = self.open_as(at, None, id, features, seen.parse().unwrap());
        self.run_for(ms(1));
        Client { at, link, user: user(0) }
    }

    fn open_fake(&mut self, at: usize, dial: Option<crate::DialId>, id: ServerId) -> LinkId {
        self.open_as(at, dial, id, self.features, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    fn open_as(
        &mut self,
        at: usize,
        dial: Option<crate::DialId>,
        id: ServerId,
        features: Features,
        observed: IpAddr,
    ) -> LinkId {
        let link = self.new_link();
        let end = End {
            far: Far::Client,
            stalled: false,
            unflushed: 0,
            window: 256 << 10,
            inbox: Vec::new(),
            counted: Some(0),
            uncounted: 0,
            closed: false,
        };
        self.servers[at].ends.insert(link, end);
        let peer = Authenticated::unchecked(*id.as_bytes(), Role::Peer, None, features);
        let remote = fake_place();
        self.give(
            at,
            Input::Opened { link, dial, accept: Accept::Peers, peer, remote, observed, resume: None },
        );
        link
    }

    /// The server dials an address where a peer of our own making answers.
    pub(crate) fn dials_fake(&mut self, at: usize, id: ServerId) -> Client {
        self.try_dial_fake(at, id).expect("a dial")
    }

    /// The same, if the server dials at all.
    pub(crate) fn try_dial_fake(&mut self, at: usize, id: ServerId) -> Option<Client> {
        self.fakes = VecDeque::from([id]);
        self.give(at, Input::Peer(ServerAddr::from(fake_place())));
        self.run_for(ms(20));
        let link = self.servers[at].ends.keys().next_back().copied();
        self.fakes.pop_back().is_none().then_some(Client { at, link: link?, user: user(0) })
    }

    pub(crate) fn client(&mut self, at: usize, number: u8) -> Client {
        self.login(at, user(number), 1)
    }

    /// A frame from a client, taken as its link's task would.
    pub(crate) fn ask(&mut self, client: Client, frame: Received) {
        self.give(client.at, Input::Frame { link: client.link, frame });
        self.run_for(ms(1));
    }

    pub(crate) fn join(&mut self, client: Client, name: &str) {
        self.ask(client, join(1, name, false));
    }

    /// Joins, and runs until every server knows.
    pub(crate) fn join_spread(&mut self, client: Client, name: &str) -> Done {
        self.take_inbox(client);
        self.ask(client, join(77, name, true));
        self.run_for(secs(4));
        let inbox = self.take_inbox(client);
        let done = inbox.iter().find_map(|frame| match frame {
            Frame { re: 77, kind: Kind::Ok(done), .. } => Some(*done),
            _ => None,
        });
        done.expect("an answer")
    }

    /// Publishes a text; the answer, if there is one.
    pub(crate) fn say(&mut self, client: Client, name: &str, text: &str) -> Option<Kind> {
        self.next_seq += 1;
        let post = post(client.user, channel(name), self.next_seq, self.wall_ms(), text);
        self.say_post(client, post)
    }

    pub(crate) fn say_post(&mut self, client: Client, post: Post) -> Option<Kind> {
        self.ask(client, publish(9, post));
        self.servers[client.at].ends[&client.link]
            .inbox
            .iter()
            .rev()
            .find(|frame| frame.re == 9)
            .map(|frame| frame.kind.clone())
    }

    pub(crate) fn hang_up(&mut self, client: Client) {
        self.servers[client.at].ends.get_mut(&client.link).expect("a link").closed = true;
        self.give(client.at, Input::Closed { link: client.link, why: Code::Truncated });
    }

    /// The texts that a client got, in order.
    pub(crate) fn heard(&self, client: Client) -> Vec<String> {
        let delivered = |frame: &Frame| match &frame.kind {
            Kind::Deliver(deliver) => Some(text_of(deliver)),
            _ => None,
        };
        self.inbox(client).iter().filter_map(delivered).collect()
    }

    pub(crate) fn inbox(&self, client: Client) -> &[Frame] {
        &self.servers[client.at].ends[&client.link].inbox
    }

    pub(crate) fn take_inbox(&mut self, client: Client) -> Vec<Frame> {
        let end = self.servers[client.at].ends.get_mut(&client.link).expect("a link");
        std::mem::take(&mut end.inbox)
    }

    /// Why the server said goodbye, if it did.
    pub(crate) fn goodbye(&self, client: Client) -> Option<Code> {
        self.goodbye_on(client.at, client.link)
    }

    pub(crate) fn goodbye_on(&self, at: usize, link: LinkId) -> Option<Code> {
        self.servers[at].goodbyes.get(&link)?.as_ref().map(|goodbye| goodbye.code)
    }

    pub(crate) fn map(&mut self, at: usize) -> crate::NetworkMap {
        self.servers[at].node.map()
    }

    pub(crate) fn node(&self, at: usize) -> &Node {
        &self.servers[at].node
    }

    pub(crate) fn stats(&self, at: usize) -> Stats {
        self.servers[at].node.stats()
    }

    pub(crate) fn events(&self, at: usize) -> &[Event] {
        &self.servers[at].events
    }

    /// The servers that this one has links with, with their numbers.
    pub(crate) fn peers(&self, at: usize) -> BTreeSet<usize> {
        let number = |id: ServerId| usize::from(id.as_bytes()[0]) - 1;
        self.servers[at].node.peers().into_iter().map(|row| number(row.server)).collect()
    }

    /// The link with another server.
    pub(crate) fn link_with(&self, at: usize, other: usize) -> LinkId {
        let row = self.servers[at].node.peers().into_iter().find(|row| row.server == server(other));
        row.expect("a link with it").link
    }
}

pub(crate) fn join(req: u32, name: &str, wait_spread: bool) -> Received {
    Received::Other(Frame::asking(req, Kind::Join { channels: vec![channel(name)], wait_spread }))
}
