//! What is done to bundles and packets of direct messages, by the server through which both sides talk.
//!
//! The sessions are driven by hand, so that an hour passes at once.

use super::*;
use bytes::Bytes;
use darkchat_client::session::{Config, Event, Failure, Input, Output, Received as Came, Session, Ticket};
use darkchat_crypto::bundle::ROTATE_MS;
use darkchat_crypto::{Identity, sign};
use darkchat_proto::{
    Announced, Bundle, Code, ContentId, DeviceId, DmDeliver, Done, Entry, Features, Frame, FrameStream,
    KeyId, Kind, Network, Packet, SendDm, ServerId, Signed, Time, UserId, Welcome,
};
use std::time::Duration;

const WALL: u64 = 1_800_000_000_000;
const HERE: ServerId = ServerId::new([7; 32]);

/// A person's program.
struct Person {
    identity: Identity,
    session: Session,
    bundle: Option<Bytes>,
    shown: Vec<String>,
    acknowledged: usize,
    failed: Vec<Failure>,
    faults: BTreeMap<Fault, u64>,
}

/// Two people, and the server.
struct Line {
    now: Time,
    people: [Person; 2],
    /// What is given for a lookup of the second one, if it is not the truth.
    lie: Option<Vec<Bytes>>,
    /// How many false bundles were given.
    lies: usize,
    /// Whether packets go on.
    carries: bool,
    /// Every packet, and whom it was for.
    recorded: Vec<(usize, Bytes)>,
    queue: Vec<(usize, Frame)>,
    number: u8,
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}

fn device(who: usize) -> DeviceId {
    DeviceId::new([u8::try_from(who).unwrap() + 1; 16])
}

impl Line {
    fn new() -> Self {
        let people = [0, 1].map(|who: usize| {
            let identity = identity(u8::try_from(who).unwrap() + 20);
            let config = Config {
                servers: vec!["mem://hostile".parse().unwrap()],
                announce: false,
                ..Config::default()
            };
            let session =
                Session::new(identity.user_id(), device(who), config, [who.try_into().unwrap(); 32]);
            let (shown, failed, faults) = (Vec::new(), Vec::new(), BTreeMap::new());
            Person { identity, session, bundle: None, shown, acknowledged: 0, failed, faults }
        });
        let (recorded, queue) = (Vec::new(), Vec::new());
        let mut line =
            Self { now: Time::ZERO, people, lie: None, lies: 0, carries: true, recorded, queue, number: 0 };
        for who in 0..2 {
            line.give(who, Input::Wall { unix_ms: WALL });
            line.give(who, Input::Connect);
        }
        line.run(1_000);
        line
    }

    fn user(&self, who: usize) -> UserId {
        self.people[who].identity.user_id()
    }

    fn give(&mut self, who: usize, input: Input) {
        self.people[who].session.handle(self.now, input);
        while let Some(output) = self.people[who].session.poll() {
            self.carry_out(who, output);
        }
    }

    fn carry_out(&mut self, who: usize, output: Output) {
        match output {
            Output::Dial { dial, .. } => {
                let (announced, features) = (Announced::default(), Features::NONE);
                self.give(who, Input::Opened { dial, server: HERE, announced, features });
                self.queue.push((who, Kind::Welcome(Welcome::default()).into()));
            }
            Output::Send { bytes } => {
                let len = bytes.len();
                let mut stream = FrameStream::default();
                stream.push(bytes);
                let frame = Frame::decode(stream.next_frame().unwrap().unwrap()).unwrap();
                self.give(who, Input::Flushed { bytes: len });
                self.serve(who, frame);
            }
            Output::Sign { sign, request } => {
                let signature = self.people[who].identity.sign(&request);
                self.give(who, Input::Signed { sign, signature });
            }
            Output::Close { .. } => self.give(who, Input::Closed { why: Code::Ok }),
            Output::Event(event) => self.note(who, event),
        }
    }

    fn note(&mut self, who: usize, event: Event) {
        let person = &mut self.people[who];
        match event {
            Event::Direct(message) => person.shown.push(message.payload.as_text().unwrap().to_owned()),
            Event::DirectAcknowledged { .. } => person.acknowledged += 1,
            Event::SendFailed { why, .. } => person.failed.push(why),
            Event::Rejected { fault, count } => *person.faults.entry(fault).or_default() += count,
            _ => {}
        }
    }

    /// The server does what it is asked for, or lies.
    fn serve(&mut self, who: usize, Frame { req, kind, .. }: Frame) {
        let reply = match kind {
            Kind::SetBundle { bundle } => {
                self.people[who].bundle = Some(bundle);
                Kind::Ok(Done::default())
            }
            Kind::Lookup { user } => {
                let whom = (0..2).find(|whom| self.user(*whom) == user);
                let truth = whom.and_then(|whom| self.people[whom].bundle.clone()).into_iter().collect();
                let lie = self.lie.clone().filter(|_| whom == Some(1));
                self.lies += lie.as_ref().map_or(0, Vec::len);
                Kind::Found { bundles: lie.unwrap_or(truth), complete: true }
            }
            Kind::SendDm(SendDm { user, packet, .. }) => {
                if let Some(to) = (0..2).find(|to| self.user(*to) == user) {
                    self.recorded.push((to, packet.clone()));
                    if self.carries {
                        self.hand(to, packet);
                    }
                }
                Kind::DmStatus(Code::Ok)
            }
            Kind::Ping { nonce, acked } => Kind::Pong { nonce, acked },
            _ => return,
        };
        self.queue.push((who, Frame::replying(req, reply)));
    }

    /// The server gives somebody a packet.
    fn hand(&mut self, to: usize, packet: Bytes) {
        let delivery = u64::try_from(self.recorded.len()).unwrap() + 1;
        let dm = DmDeliver { user: self.user(to), device: device(to), packet, delivery };
        self.queue.push((to, Kind::Dm(dm).into()));
    }

    fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            if !self.queue.is_empty() {
                let (who, frame) = self.queue.remove(0);
                let frame = Came::check(&Network::default(), frame);
                self.give(who, Input::Frame(frame));
                continue;
            }
            let due = (0..2).filter_map(|who| Some((self.people[who].session.poll_timeout()?, who))).min();
            let Some((at, who)) = due.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.give(who, Input::Timeout);
        }
        self.now = end;
    }

    /// What somebody was told of faults is this, and nothing else, and as often as was counted.
    fn is_told(&self, who: usize, expected: &[(Fault, u64)]) {
        let Person { session, faults, .. } = &self.people[who];
        assert_eq!(*faults, expected.iter().copied().collect());
        let stats = session.stats();
        let counted = [
            stats.bad_signature,
            stats.malformed,
            stats.stale,
            stats.duplicate,
            stats.late,
            stats.undecryptable,
            stats.bad_bundles,
            stats.misdirected,
            stats.unread_calls,
        ];
        assert_eq!(counted.iter().sum::<u64>(), faults.values().sum(), "{stats:?}");
    }

    /// The first one tells the second one something.
    fn tell(&mut self, text: &str) {
        self.number += 1;
        let (ticket, id) = (Ticket(self.number.into()), ContentId::new([self.number; 16]));
        let (to, entry) = (self.user(1), Entry::text(text));
        self.give(0, Input::SendDirect { ticket, to, id, entry, reply_to: None });
        self.run(1_000);
    }

    fn bundle_of(&self, signer: &Identity, user: UserId, dh: [u8; 32], server: ServerId) -> Bytes {
        let now = WALL + u64::try_from(self.now.since_start().as_millis()).unwrap();
        let body = Bundle {
            suite: 1,
            user,
            device: device(1),
            dh,
            not_before_ms: now,
            not_after_ms: now + ROTATE_MS,
            server,
            features: Features::NONE,
        }
        .encode();
        Signed { sig: signer.sign(&sign::bundle(&Network::default(), &body)), body }.encode()
    }
}

#[test]
fn false_bundles_get_no_word_and_are_named_and_a_withheld_one_is_nobody_there() {
    let mut line = Line::new();
    let (eve, bob) = (identity(66), line.user(1));
    line.lie = Some(Vec::new());
    line.tell("is bob there?");
    assert_eq!(line.people[0].failed, [Failure::NotHere]);
    // An answer is believed for a moment.
    line.run(20_000);
    let lies = vec![
        // In his name by another; of another; a true one with a bit turned.
        line.bundle_of(&eve, bob, [5; 32], HERE),
        line.bundle_of(&eve, eve.user_id(), [5; 32], HERE),
        {
            let mut signed = Signed::decode(line.people[1].bundle.clone().unwrap()).unwrap();
            let mut body = signed.body.to_vec();
            *body.last_mut().unwrap() ^= 1;
            signed.body = body.into();
            signed.encode()
        },
        Bytes::from_static(b"no bundle at all"),
    ];
    let each = lies.len();
    line.lie = Some(lies);
    line.tell("for bob alone");
    line.run(60_000);
    assert!(line.recorded.is_empty(), "nothing was sent to anybody");
    assert!(line.lies >= each);
    line.is_told(0, &[(Fault::FalseBundle, count(line.lies))]);
    let ann = &line.people[0];
    assert_eq!((ann.failed.len(), ann.acknowledged), (2, 0));
    line.lie = None;
    line.run(20_000);
    line.tell("the truth");
    line.run(10_000);
    assert_eq!(line.people[1].shown, ["the truth"]);
}

#[test]
fn altered_repeated_and_redirected_packets_are_shown_to_nobody_and_keep_no_true_one_out() {
    let mut line = Line::new();
    line.tell("one");
    line.run(5_000);
    assert_eq!(line.people[1].shown, ["one"]);
    // A message that the server keeps, and damages at every fortieth bit.
    line.carries = false;
    line.tell("two");
    let (_, kept) = line.recorded.iter().rev().find(|(to, _)| *to == 1).cloned().expect("a message");
    assert!(matches!(Packet::decode(kept.clone()), Ok(Packet::Message { .. })));
    let bits: Vec<usize> = (8..kept.len() * 8).step_by(40).collect();
    for bit in &bits {
        let mut bytes = kept.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        line.hand(1, bytes.into());
    }
    line.hand(0, kept.clone());
    // What is for another device, or another user, as it stands in the frame.
    for (user, device) in [(line.user(0), device(1)), (line.user(1), device(0))] {
        line.queue.push((0, Kind::Dm(DmDeliver { user, device, packet: kept.clone(), delivery: 0 }).into()));
    }
    line.run(2_000);
    assert_eq!(line.people[1].shown, ["one"]);
    assert!(line.people[0].shown.is_empty(), "her own packet, brought back to her");
    line.carries = true;
    line.hand(1, kept);
    line.run(10_000);
    assert_eq!(line.people[1].shown, ["one", "two"]);
    line.is_told(0, &[(Fault::Unopened, 1), (Fault::Misdirected, 2)]);
    line.is_told(1, &[(Fault::Unopened, count(bits.len()))]);
}

#[test]
fn more_calls_than_are_read_are_named_and_a_true_one_comes_through() {
    let mut line = Line::new();
    let call = Packet::Init { key: KeyId::new([9; 4]), noise: vec![9; 96].into() }.encode();
    for _ in 0..1_000 {
        line.hand(1, call.clone());
    }
    line.run(1_000);
    line.is_told(1, &[(Fault::Unopened, 60), (Fault::Flood, 940)]);
    line.tell("a true one");
    line.run(1_000);
    assert_eq!(line.people[1].shown, ["a true one"]);
}

#[test]
fn d7_all_that_was_ever_said_brings_nothing_when_it_comes_again_at_once_after_a_reconnect_and_in_an_hour() {
    let mut line = Line::new();
    for text in ["one", "two", "three"] {
        line.tell(text);
    }
    line.run(10_000);
    assert_eq!(line.people[1].shown, ["one", "two", "three"]);
    let recorded = line.recorded.clone();
    assert!(recorded.iter().any(|(_, packet)| Packet::is_call(packet)), "a call is among them");
    for after in ["at once", "reconnect", "hour"] {
        match after {
            "reconnect" => {
                for who in 0..2 {
                    line.give(who, Input::Closed { why: Code::Truncated });
                }
                line.run(20_000);
            }
            "hour" => line.run(3_600_000),
            _ => {}
        }
        for (to, packet) in &recorded {
            line.hand(*to, packet.clone());
        }
        line.run(20_000);
        assert_eq!(line.people[1].shown, ["one", "two", "three"], "{after}");
        assert!(line.people[0].shown.is_empty(), "{after}");
    }
    // Handshakes are known again for ten minutes; what was said never opens twice.
    for who in 0..2 {
        let to_them = || recorded.iter().filter(|(to, _)| *to == who);
        let messages = to_them().filter(|(_, packet)| packet.first() == Some(&3)).count();
        let handshakes = to_them().count() - messages;
        assert!(messages > 0 && handshakes == 1, "{messages} {handshakes}");
        let unopened = 3 * messages + handshakes;
        line.is_told(who, &[(Fault::Repeated, count(2 * handshakes)), (Fault::Unopened, count(unopened))]);
    }
    line.tell("four");
    line.run(20_000);
    assert_eq!(line.people[1].shown, ["one", "two", "three", "four"], "and they still talk");
}
