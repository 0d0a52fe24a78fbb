//! A session, its clock, and a server that says what the story wants.

use crate::session::{Config, DialId, Event, Input, Output, Received, Session, State, Ticket};
use darkchat_crypto::{Identity, sign};
use darkchat_proto::{
    Announced, ChannelId, ChannelName, Content, Deliver, DeviceId, Done, Entry, EntryKind, Features, Frame,
    FrameStream, Goodbye, Kind, Network, Post, Refusal, ServerId, Signed, Time, UserId, Welcome,
};
use std::time::Duration;

/// The wall clock at the start of every story, in Unix milliseconds.
pub(super) const WALL: u64 = 1_700_000_000_000;

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn user(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(super) fn entry(text: &str) -> Entry {
    Entry::text(text)
}

/// A story: what happened so far, and what of it was not looked at yet.
pub(super) struct Stage {
    pub(super) session: Session,
    pub(super) me: Identity,
    pub(super) now: Time,
    pub(super) frames: Vec<Frame>,
    pub(super) events: Vec<Event>,
    pub(super) dials: Vec<(DialId, String)>,
    pub(super) closes: Vec<Option<Goodbye>>,
    /// Whether what is sent leaves for the network at once.
    pub(super) flushing: bool,
    /// What both ends of the next link know.
    pub(super) features: Features,
    last_ticket: u64,
}

impl Stage {
    /// A session that has done nothing yet; nobody is told that it is in a channel.
    pub(super) fn quiet() -> Self {
        Self::with(Config { announce: false, ..Self::config() })
    }

    pub(super) fn config() -> Config {
        let servers = vec!["tcp://one:1".parse().unwrap(), "tcp://two:2".parse().unwrap()];
        Config { servers, name: "me".parse().unwrap(), reachable: false, ..Config::default() }
    }

    pub(super) fn with(config: Config) -> Self {
        let me = user(200);
        let mut stage = Self {
            session: Session::new(me.user_id(), DeviceId::new([1; 16]), config, [42; 32]),
            me,
            now: Time::ZERO,
            frames: Vec::new(),
            events: Vec::new(),
            dials: Vec::new(),
            closes: Vec::new(),
            flushing: true,
            features: Features::NONE,
            last_ticket: 0,
        };
        stage.give(Input::Wall { unix_ms: WALL });
        stage
    }

    /// A quiet session whose link is up.
    pub(super) fn up() -> Self {
        let mut stage = Self::quiet();
        stage.give(Input::Connect);
        stage.welcome();
        stage.events.clear();
        stage
    }

    /// A quiet session in the channel `lobby`.
    pub(super) fn joined() -> (Self, ChannelId) {
        let mut stage = Self::up();
        let lobby = stage.join("lobby");
        stage.events.clear();
        (stage, lobby)
    }

    /// Gives an input, and carries out what the session wants.
    pub(super) fn give(&mut self, input: Input) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll() {
            match output {
                Output::Dial { dial, addr, .. } => self.dials.push((dial, addr.addr.to_string())),
                Output::Send { bytes } => {
                    let len = bytes.len();
                    let mut stream = FrameStream::default();
                    stream.push(bytes);
                    let frame = stream.next_frame().unwrap().expect("one whole frame");
                    self.frames.push(Frame::decode(frame).unwrap());
                    assert!(stream.is_between_frames());
                    if self.flushing {
                        self.session.handle(self.now, Input::Flushed { bytes: len });
                    }
                }
                Output::Sign { sign, request } => {
                    let signature = self.me.sign(&request);
                    self.session.handle(self.now, Input::Signed { sign, signature });
                }
                Output::Close { goodbye } => self.closes.push(goodbye),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, with every deadline on the way.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.give(Input::Timeout);
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a deadline that was met moves on");
        }
        self.now = end;
    }

    /// Answers the last dial with an open link and a welcome.
    pub(super) fn welcome(&mut self) {
        self.open(Announced::default());
        self.server(Kind::Welcome(Welcome::default()).into());
    }

    /// Answers the last dial with an open link.
    pub(super) fn open(&mut self, announced: Announced) {
        let (dial, _) = self.dials.pop().expect("a dial");
        let (server, features) = (ServerId::new([7; 32]), self.features);
        self.give(Input::Opened { dial, server, announced, features });
    }

    /// The server sends a frame.
    pub(super) fn server(&mut self, frame: Frame) {
        self.give(Input::Frame(Received::check(&Network::default(), frame)));
    }

    /// The server says yes to the request with this number.
    pub(super) fn ok(&mut self, re: u32, done: Done) {
        self.server(Frame::replying(re, Kind::Ok(done)));
    }

    /// The server says no to the request with this number.
    pub(super) fn no(&mut self, re: u32, code: darkchat_proto::Code, retry_ms: u32) {
        self.server(Frame::replying(re, Kind::Error(Refusal { code, text: String::new(), retry_ms })));
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// The user wants to join.
    pub(super) fn wish_join(&mut self, name: &str) -> (Ticket, ChannelId) {
        let (ticket, channel) = (self.ticket(), name.parse::<ChannelName>().unwrap());
        let id = ChannelId::of(&Network::default(), &channel);
        self.give(Input::Join { ticket, channel, name: None });
        (ticket, id)
    }

    /// The user joins and the server agrees.
    pub(super) fn join(&mut self, name: &str) -> ChannelId {
        let (_, id) = self.wish_join(name);
        let req = self.frames.pop().expect("a join").req;
        self.ok(req, Done { spread: true, ..Done::default() });
        id
    }

    /// The user sends a text.
    pub(super) fn send(&mut self, channel: ChannelId, text: &str) -> Ticket {
        let ticket = self.ticket();
        self.give(Input::Send { ticket, channel, entry: entry(text) });
        ticket
    }

    /// Takes the frames that the session has sent.
    pub(super) fn sent(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// Takes the posts that the session has published, each with its number.
    pub(super) fn published(&mut self) -> Vec<(u32, Post)> {
        let network = Network::default();
        let decode = |frame: Frame| {
            let Kind::Publish { deliver } = frame.kind else { return None };
            let Content::Public(signed) = Deliver::decode(deliver).unwrap().content else { panic!("public") };
            Some((frame.req, darkchat_crypto::verify::post(&network, &signed).unwrap().into_inner()))
        };
        self.sent().into_iter().filter_map(decode).collect()
    }

    /// Takes the events.
    pub(super) fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The texts among the events, which stay.
    pub(super) fn texts(&self) -> Vec<String> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Message { message, .. } => message.payload.as_text().map(str::to_owned),
                _ => None,
            })
            .collect()
    }

    /// The last state that was told.
    pub(super) fn state(&self) -> Option<State> {
        self.events.iter().rev().find_map(|event| match event {
            Event::State(state) => Some(state.clone()),
            _ => None,
        })
    }

    /// The link is lost, and the wait for the next try is over.
    pub(super) fn reconnect(&mut self) {
        self.give(Input::Closed { why: darkchat_proto::Code::Truncated });
        let Some(State::Waiting { retry, .. }) = self.state() else { panic!("it tries again") };
        self.pass(retry);
        self.welcome();
    }

    /// Somebody's post arrives.
    pub(super) fn hear(&mut self, channel: ChannelId, from: &Identity, seq: u64, entries: Vec<Entry>) {
        self.server(post(channel, from, seq, WALL, entries));
    }
}

/// A signed post of somebody's first stream.
pub(super) fn post(
    channel: ChannelId,
    from: &Identity,
    seq: u64,
    time_ms: u64,
    entries: Vec<Entry>,
) -> Frame {
    let body = body(channel, from.user_id(), seq, time_ms, entries).encode();
    let sig = from.sign(&sign::post(&Network::default(), &body));
    let deliver = Deliver { channel, content: Content::Public(Signed { body, sig }) };
    Kind::Deliver(deliver.encode()).into()
}

pub(super) fn body(channel: ChannelId, author: UserId, seq: u64, time_ms: u64, entries: Vec<Entry>) -> Post {
    Post { author, channel, stream: 5, seq, time_ms, name: "Ann".to_owned(), entries }
}

/// An announcement.
pub(super) fn mark(kind: EntryKind) -> Entry {
    Entry::new(kind, bytes::Bytes::new())
}
