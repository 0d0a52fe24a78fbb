//! Devices of several users, and a server between them that carries, loses, repeats and reorders packets as it is told.

use crate::session::{Config, Event, Failure, Fresh, Input, Output, Received, Session, State, Ticket};
use darkchat_crypto::{Identity, SeededRng};
use darkchat_proto::{
    Announced, Code, ContentId, DeviceId, DmDeliver, Done, Entry, Features, Frame, FrameStream, Kind,
    Network, SendDm, ServerId, Time, UserId, Welcome,
};
use rand_core::Rng as _;
use std::collections::BTreeMap;
use std::time::Duration;

const WALL: u64 = 1_800_000_000_000;
pub(super) const SERVER: ServerId = ServerId::new([7; 32]);
/// From a device to the server, and back.
const WAY: Duration = Duration::from_millis(5);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a direct message was, and who was shown it in which of its lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) who: usize,
    pub(super) life: u32,
    pub(super) id: ContentId,
    pub(super) text: String,
    pub(super) from: UserId,
    pub(super) to: UserId,
}

/// A device and its program.
pub(super) struct Device {
    user: u8,
    pub(super) id: DeviceId,
    pub(super) session: Session,
    pub(super) life: u32,
    pub(super) events: Vec<Event>,
    pub(super) is_up: bool,
    /// Whether the program stands still: its link is there, and nobody reads it.
    is_frozen: bool,
    timer: Option<Time>,
    last_ticket: u64,
    /// Random bytes that the program gives, if it does.
    fresh: Option<SeededRng>,
}

/// What happens to packets between servers, in percent and milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) lost: u64,
    pub(super) twice: u64,
    pub(super) late_ms: u64,
}

enum Happening {
    ToServer(Frame),
    ToDevice(Frame),
}

pub(super) struct World {
    pub(super) now: Time,
    pub(super) devices: Vec<Device>,
    pub(super) faults: Faults,
    /// Packets that were carried, with whom they went to, whether they arrived or not.
    pub(super) recorded: Vec<(usize, Frame)>,
    /// `SendDm.attempt` of each of them, with who sent it.
    pub(super) attempts: Vec<(usize, u32)>,
    pub(super) shown: Vec<Shown>,
    pub(super) acked: Vec<(usize, ContentId)>,
    pub(super) failed: Vec<(usize, ContentId, Failure)>,
    wished: BTreeMap<(usize, Ticket), ContentId>,
    bundles: BTreeMap<(UserId, DeviceId), bytes::Bytes>,
    queue: BTreeMap<(Time, u64), (usize, u32, Happening)>,
    refs: BTreeMap<u64, (usize, u32, u32)>,
    pub(super) rng: SeededRng,
    number: u64,
    /// Lookups that were answered.
    pub(super) lookups: usize,
    /// Whether the server says nothing to lookups.
    pub(super) is_silent: bool,
    /// Whether some server has no room for packets.
    pub(super) is_full: bool,
}

pub(super) fn identity(user: u8) -> Identity {
    Identity::from_seed([user; 32])
}

pub(super) fn user(number: u8) -> UserId {
    identity(number).user_id()
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            now: Time::ZERO,
            devices: Vec::new(),
            faults: Faults::default(),
            recorded: Vec::new(),
            attempts: Vec::new(),
            shown: Vec::new(),
            acked: Vec::new(),
            failed: Vec::new(),
            wished: BTreeMap::new(),
            bundles: BTreeMap::new(),
            queue: BTreeMap::new(),
            refs: BTreeMap::new(),
            rng: SeededRng::new(bytes),
            number: 0,
            lookups: 0,
            is_silent: false,
            is_full: false,
        }
    }

    /// A device of this user, connected.
    pub(super) fn add(&mut self, user: u8) -> usize {
        let at = self.devices.len();
        let id = DeviceId::new([u8::try_from(at).unwrap() + 1; 16]);
        let session = self.program(user, id);
        self.devices.push(Device {
            user,
            id,
            session,
            life: 0,
            events: Vec::new(),
            is_up: false,
            is_frozen: false,
            timer: None,
            last_ticket: 0,
            fresh: None,
        });
        self.start(at);
        at
    }

    fn program(&mut self, user: u8, id: DeviceId) -> Session {
        let servers = vec!["tcp://one:1".parse().unwrap()];
        let config = Config { servers, persist: true, name: "me".parse().unwrap(), ..Config::default() };
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        Session::new(identity(user).user_id(), id, config, seed)
    }

    fn start(&mut self, at: usize) {
        self.give(
            at,
            Input::Wall { unix_ms: WALL + u64::try_from(self.now.since_start().as_millis()).unwrap() },
        );
        self.give(at, Input::Connect);
        self.run(ms(50));
    }

    /// The program ends and starts anew: nothing of its sessions is left.
    pub(super) fn restart(&mut self, at: usize) {
        let (user, id) = (self.devices[at].user, self.devices[at].id);
        let session = self.program(user, id);
        let device = &mut self.devices[at];
        device.session = session;
        device.life += 1;
        device.is_up = false;
        device.timer = None;
        device.events.clear();
        self.wished.retain(|(who, _), _| *who != at);
        self.give(
            at,
            Input::Wall { unix_ms: WALL + u64::try_from(self.now.since_start().as_millis()).unwrap() },
        );
        self.give(at, Input::Connect);
    }

    /// The program ends and does not come back.
    pub(super) fn stop(&mut self, at: usize) {
        let key = (user(self.devices[at].user), self.devices[at].id);
        self.bundles.remove(&key);
        self.devices[at].is_up = false;
        self.devices[at].life += 1;
        self.devices[at].timer = None;
    }

    /// The program stands still, and the server does not know.
    pub(super) fn freeze(&mut self, at: usize) {
        self.devices[at].is_frozen = true;
        self.devices[at].timer = None;
    }

    /// From now on the program gives fresh random bytes that nobody foretells.
    pub(super) fn freshen(&mut self, seed: u8) {
        for (at, device) in self.devices.iter_mut().enumerate() {
            device.fresh = Some(SeededRng::new([seed ^ u8::try_from(at).unwrap(); 32]));
        }
    }

    pub(super) fn give(&mut self, at: usize, input: Input) {
        if input.wants_random()
            && let Some(fresh) = &mut self.devices[at].fresh
        {
            let mut bytes = [0; 32];
            fresh.fill_bytes(&mut bytes);
            self.devices[at].session.handle(self.now, Input::Random(Fresh(bytes)));
        }
        self.devices[at].session.handle(self.now, input);
        while let Some(output) = self.devices[at].session.poll() {
            self.carry_out(at, output);
        }
        self.devices[at].timer = self.devices[at].session.poll_timeout();
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Dial { dial, .. } => {
                self.devices[at].is_up = true;
                let (announced, features) = (Announced::default(), Features::NONE);
                self.devices[at]
                    .session
                    .handle(self.now, Input::Opened { dial, server: SERVER, announced, features });
                self.after(ms(1), at, Happening::ToDevice(Kind::Welcome(Welcome::default()).into()));
            }
            Output::Send { bytes } => {
                let len = bytes.len();
                let mut stream = FrameStream::default();
                stream.push(bytes);
                let frame = Frame::decode(stream.next_frame().unwrap().expect("a frame")).unwrap();
                self.after(WAY, at, Happening::ToServer(frame));
                self.devices[at].session.handle(self.now, Input::Flushed { bytes: len });
            }
            Output::Sign { sign, request } => {
                let signature = identity(self.devices[at].user).sign(&request);
                self.devices[at].session.handle(self.now, Input::Signed { sign, signature });
            }
            Output::Close { .. } => {
                self.devices[at].is_up = false;
                self.devices[at].session.handle(self.now, Input::Closed { why: Code::Ok });
            }
            Output::Event(event) => self.event(at, event),
        }
    }

    fn event(&mut self, at: usize, event: Event) {
        match &event {
            Event::Direct(message) => self.shown.push(Shown {
                who: at,
                life: self.devices[at].life,
                id: message.id,
                text: message.payload.as_text().unwrap_or_default().to_owned(),
                from: message.from,
                to: message.to,
            }),
            Event::DirectAcknowledged { ticket, id } => {
                assert_eq!(self.wished.remove(&(at, *ticket)), Some(*id), "one answer each");
                self.acked.push((at, *id));
            }
            Event::SendFailed { ticket, why } => {
                let id = self.wished.remove(&(at, *ticket)).expect("one answer each");
                self.failed.push((at, id, *why));
            }
            _ => {}
        }
        self.devices[at].events.push(event);
    }

    fn after(&mut self, span: Duration, at: usize, happening: Happening) {
        self.number += 1;
        let life = self.devices[at].life;
        self.queue.insert((self.now + span, self.number), (at, life, happening));
    }

    /// Lets time pass, with all that happens on the way.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timer =
                self.devices.iter().enumerate().filter_map(|(who, device)| Some((device.timer?, who))).min();
            match (queued, timer) {
                (Some(at), timer) if at <= end && timer.is_none_or(|(other, _)| at <= other) => {
                    let ((at, _), (who, life, happening)) = self.queue.pop_first().unwrap();
                    self.now = self.now.max(at);
                    if life == self.devices[who].life && !self.devices[who].is_frozen {
                        match happening {
                            Happening::ToServer(frame) => self.server(who, frame),
                            Happening::ToDevice(frame) if self.devices[who].is_up => self.hear(who, frame),
                            Happening::ToDevice(_) => {}
                        }
                    }
                }
                (_, Some((at, who))) if at <= end => {
                    self.now = self.now.max(at);
                    self.give(who, Input::Timeout);
                    let next = self.devices[who].timer;
                    assert!(next.is_none_or(|next| next > self.now), "a deadline that was met moves on");
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(super) fn hear(&mut self, at: usize, frame: Frame) {
        self.give(at, Input::Frame(Received::check(&Network::default(), frame)));
    }

    /// The server gets a frame.
    fn server(&mut self, from: usize, frame: Frame) {
        let ok = Kind::Ok(Done { spread: true, ..Done::default() });
        let reply = match frame.kind {
            Kind::SetBundle { bundle } => {
                let key = (user(self.devices[from].user), self.devices[from].id);
                self.bundles.insert(key, bundle);
                ok
            }
            Kind::Lookup { .. } if self.is_silent => return,
            Kind::Lookup { user } => {
                self.lookups += 1;
                let bundles = self.bundles.iter().filter(|((of, _), _)| *of == user);
                Kind::Found { bundles: bundles.map(|(_, bundle)| bundle.clone()).collect(), complete: true }
            }
            Kind::SendDm(packet) => Kind::DmStatus(self.carry(from, frame.req, packet)),
            Kind::DmReject { delivery, .. } => {
                if let Some((to, life, re)) = self.refs.get(&delivery).copied()
                    && self.devices[to].life == life
                {
                    self.after(
                        WAY,
                        to,
                        Happening::ToDevice(Frame::replying(re, Kind::DmStatus(Code::NoSession))),
                    );
                }
                return;
            }
            Kind::Ping { nonce, .. } => {
                return self.after(WAY, from, Happening::ToDevice(Kind::Pong { nonce, acked: 0 }.into()));
            }
            _ => ok,
        };
        if frame.req != 0 {
            self.after(WAY, from, Happening::ToDevice(Frame::replying(frame.req, reply)));
        }
    }

    fn carry(&mut self, from: usize, req: u32, packet: SendDm) -> Code {
        let SendDm { user: to, device, packet, attempt, .. } = packet;
        let target =
            self.devices.iter().position(|one| user(one.user) == to && one.id == device && one.is_up);
        let Some(target) = target else { return Code::NotHere };
        if self.is_full {
            self.attempts.push((from, attempt));
            return Code::Limit;
        }
        self.number += 1;
        let delivery = self.number;
        self.refs.insert(delivery, (from, self.devices[from].life, req));
        let frame = Frame::from(Kind::Dm(DmDeliver { user: to, device, packet, delivery }));
        self.recorded.push((target, frame.clone()));
        self.attempts.push((from, attempt));
        let Faults { lost, twice, late_ms } = self.faults;
        let copies = if self.chance(lost) { 0 } else { 1 + u64::from(self.chance(twice)) };
        for _ in 0..copies {
            let late = if late_ms == 0 { 0 } else { self.rng.next_u64() % late_ms };
            self.after(WAY + ms(late), target, Happening::ToDevice(frame.clone()));
        }
        Code::Ok
    }

    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.rng.next_u64() % 100 < percent
    }

    /// Somebody says something to a user.
    pub(super) fn say(&mut self, at: usize, to: u8, text: &str) -> ContentId {
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        self.say_as(at, to, ContentId::new(id), text)
    }

    pub(super) fn say_as(&mut self, at: usize, to: u8, id: ContentId, text: &str) -> ContentId {
        self.devices[at].last_ticket += 1;
        let ticket = Ticket(self.devices[at].last_ticket + u64::from(self.devices[at].life) * 1_000_000);
        self.wished.insert((at, ticket), id);
        self.give(
            at,
            Input::SendDirect { ticket, to: user(to), id, entry: Entry::text(text), reply_to: None },
        );
        id
    }

    /// The texts that a device was shown in all its lives.
    pub(super) fn texts(&self, at: usize) -> Vec<&str> {
        self.shown.iter().filter(|shown| shown.who == at).map(|shown| shown.text.as_str()).collect()
    }

    pub(super) fn is_acked(&self, id: ContentId) -> bool {
        self.acked.iter().any(|(_, acked)| *acked == id)
    }

    /// The link of this device breaks; it makes another.
    pub(super) fn cut(&mut self, at: usize) {
        self.devices[at].is_up = false;
        self.give(at, Input::Closed { why: Code::Truncated });
    }

    /// Whether this device's bundle is with the server.
    pub(super) fn is_connected(&self, at: usize) -> bool {
        self.devices[at].is_up && matches!(self.state(at), Some(State::Connected { .. }))
    }

    pub(super) fn state(&self, at: usize) -> Option<&State> {
        self.devices[at].events.iter().rev().find_map(|event| match event {
            Event::State(state) => Some(state),
            _ => None,
        })
    }
}
