//! A body for direct messages: two devices, and somebody between them.

use crate::handshake::Fixed;
use bytes::Bytes;
use darkchat_crypto::direct::{Answering, Callee, Calling};
use darkchat_crypto::ratchet::{HalfOpen, Ratchet};
use darkchat_crypto::{Identity, StaticKey, Verified, bundle, sign, verify};
use darkchat_proto::{
    Bundle, DeviceId, DirectHead, Features, InitPayload, Network, Packet, ServerId, Signed, Time,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// The clock of both, in Unix milliseconds.
const NOW_MS: u64 = 1_800_000_000_000;
/// What is on its way at most; beyond it the oldest is lost.
const ON_THE_WAY: usize = 48;
/// Handshakes and restarts of one script: each costs a dozen multiplications on the curve.
const CALLS: u32 = 16;
/// The sessions that a device keeps with another.
const SESSIONS: usize = 4;

/// Two devices talk while somebody between them loses, repeats, reorders and damages what they say, and while either
/// restarts.
///
/// D20 of the test plan. What is shown was said by the other side, and is shown once. What does not open changes nothing. In the end the line
/// is good, and then a new handshake heals whatever state they are in.
pub fn dm_session(data: &[u8]) {
    let mut talk = Talk::new();
    let mut steps = data.iter().copied();
    while let Some(step) = steps.next() {
        let (side, pick) = (usize::from(step >> 7), usize::from(step >> 3) & 15);
        match step & 7 {
            0 | 1 => talk.say(side),
            2 | 3 => talk.arrive(side, pick),
            4 => talk.repeat(side, pick),
            5 => talk.lose(side, pick),
            6 => talk.damage(side, pick, steps.next().unwrap_or_default()),
            _ if pick > 12 => talk.restart(side),
            _ if pick > 10 => talk.call(side),
            _ => talk.now = talk.now + Duration::from_secs(1 << pick),
        }
    }
    talk.heal();
}

struct Talk {
    now: Time,
    sides: [Side; 2],
    /// What is on its way to each side.
    lines: [Vec<Bytes>; 2],
    /// The contents that were said to each side, and those that it has seen.
    said: [BTreeSet<Bytes>; 2],
    shown: [BTreeSet<Bytes>; 2],
    rng: Fixed,
    calls: u32,
}

/// A device with its key of the day.
struct Side {
    user: Identity,
    key: StaticKey,
    signed: Signed,
    bundle: Verified<Bundle>,
    calling: Option<Calling>,
    half_open: Vec<HalfOpen>,
    /// The newest last; that one is written to.
    sessions: Vec<Ratchet>,
    /// The calls that were answered.
    answered: BTreeSet<[u8; 32]>,
}

impl Side {
    fn new(number: u8, rng: &mut Fixed) -> Option<Self> {
        let (user, key) = (Identity::from_seed([number; 32]), StaticKey::generate(rng));
        let body = Bundle {
            suite: bundle::SUITE,
            user: user.user_id(),
            device: DeviceId::new([number; 16]),
            dh: *key.public(),
            not_before_ms: NOW_MS,
            not_after_ms: NOW_MS.saturating_add(bundle::ROTATE_MS),
            server: ServerId::new([9; 32]),
            features: Features::NONE,
        }
        .encode();
        let sig = user.sign(&sign::bundle(&Network::default(), &body));
        let signed = Signed { body, sig };
        let bundle = verify::bundle(&Network::default(), &signed).ok()?;
        let (half_open, sessions, answered) = (Vec::new(), Vec::new(), BTreeSet::new());
        Some(Self { user, key, signed, bundle, calling: None, half_open, sessions, answered })
    }

    fn callee(&self) -> Callee {
        Callee::of(&self.bundle, &self.signed.body)
    }

    fn begin(&mut self, session: Ratchet) {
        if self.sessions.len() >= SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
    }

    /// The answer to a call, if it is one for us that was not answered.
    fn answer(&mut self, now: Time, packet: &[u8], rng: &mut Fixed) -> Option<Bytes> {
        let (network, own) = (Network::default(), self.callee());
        let (answering, payload) = Answering::read_init(&network, &self.key, &own, packet, rng).ok()?;
        answering.caller(&network, &payload, NOW_MS).ok()?;
        if !self.answered.insert(answering.caller_ephemeral()) {
            return None;
        }
        let (half_open, packet) = answering.establish(Features::NONE, now, rng).ok()?;
        self.half_open.push(half_open);
        Some(packet)
    }

    fn open(&mut self, now: Time, head: &DirectHead, sealed: &[u8], rng: &mut Fixed) -> Option<Bytes> {
        if let Some(place) = self.half_open.iter().position(|half| half.id() == head.session) {
            let (session, plain) = self.half_open.get(place)?.open(now, head, sealed, rng).ok()?;
            self.half_open.remove(place);
            self.begin(session);
            return Some(plain);
        }
        let session = self.sessions.iter_mut().find(|session| session.id() == head.session)?;
        session.open(now, head, sealed, rng).ok()
    }
}

impl Talk {
    fn new() -> Self {
        let mut rng = Fixed(7);
        let side = |number, rng: &mut Fixed| match Side::new(number, rng) {
            Some(side) => side,
            None => unreachable!("an honest bundle is good"),
        };
        let sides = [side(1, &mut rng), side(2, &mut rng)];
        let (said, shown) = ([BTreeSet::new(), BTreeSet::new()], [BTreeSet::new(), BTreeSet::new()]);
        Self { now: Time::ZERO, sides, lines: [Vec::new(), Vec::new()], said, shown, rng, calls: 0 }
    }

    fn side(&mut self, side: usize) -> &mut Side {
        let [one, other] = &mut self.sides;
        if side == 0 { one } else { other }
    }

    fn line(&mut self, to: usize) -> &mut Vec<Bytes> {
        let [one, other] = &mut self.lines;
        if to == 0 { one } else { other }
    }

    fn send(&mut self, to: usize, packet: Bytes) {
        let line = self.line(to);
        if line.len() >= ON_THE_WAY {
            line.remove(0);
        }
        line.push(packet);
    }

    /// One says something new; without a session it calls.
    fn say(&mut self, side: usize) {
        let to = 1 - side;
        let content =
            Bytes::from(format!("{side} says {}", self.said.iter().map(BTreeSet::len).sum::<usize>()));
        let now = self.now;
        let sealed = self.side(side).sessions.last_mut().map(|session| session.seal(now, &content));
        match sealed {
            Some(Ok(packet)) => {
                if let Some(said) = self.said.get_mut(to) {
                    assert!(said.insert(content), "each content is another");
                }
                self.send(to, packet);
            }
            Some(Err(error)) => unreachable!("a short content is sealed: {error}"),
            None => self.call(side),
        }
    }

    fn call(&mut self, side: usize) {
        if self.calls >= CALLS {
            return;
        }
        self.calls = self.calls.saturating_add(1);
        let callee = self.side(1 - side).callee();
        let mut rng = self.rng.split();
        let own = self.side(side);
        let payload = InitPayload { bundle: own.signed.clone(), time_ms: NOW_MS, features: Features::NONE };
        match Calling::start(&Network::default(), &own.key, &callee, &payload.encode(), &mut rng) {
            Ok((calling, packet)) => {
                own.calling = Some(calling);
                self.send(1 - side, packet);
            }
            Err(error) => unreachable!("an honest key can be called: {error}"),
        }
    }

    fn arrive(&mut self, to: usize, pick: usize) {
        let line = self.line(to);
        if !line.is_empty() {
            let place = pick.min(line.len().saturating_sub(1));
            let packet = line.remove(place);
            self.take(to, &packet);
        }
    }

    /// A device gets a packet. Whether it was of use.
    fn take(&mut self, to: usize, packet: &Bytes) -> bool {
        let (now, mut rng) = (self.now, self.rng.split());
        let side = self.side(to);
        match Packet::decode(packet.clone()) {
            Ok(Packet::Init { .. }) => {
                let Some(answer) = side.answer(now, packet, &mut rng) else { return false };
                self.send(1 - to, answer);
            }
            Ok(Packet::Resp { .. }) => {
                let called =
                    side.calling.as_ref().and_then(|call| call.establish(packet, now, &mut rng).ok());
                let Some((session, _)) = called else { return false };
                side.calling = None;
                side.begin(session);
                // Whoever called says something first, or the other side never knows.
                self.say(to);
            }
            Ok(Packet::Message { head, sealed }) => {
                let Some(content) = side.open(now, &head, &sealed, &mut rng) else { return false };
                assert!(self.said.get(to).is_some_and(|said| said.contains(&content)), "nobody said it");
                let is_new = self.shown.get_mut(to).is_some_and(|shown| shown.insert(content));
                assert!(is_new, "shown twice");
            }
            _ => return false,
        }
        true
    }

    fn repeat(&mut self, to: usize, pick: usize) {
        if let Some(packet) = self.line(to).get(pick).cloned() {
            self.send(to, packet);
        }
    }

    fn lose(&mut self, to: usize, pick: usize) {
        let line = self.line(to);
        if pick < line.len() {
            line.remove(pick);
        }
    }

    /// A damaged copy arrives ahead of the true packet: it is of no use, and does not keep that out.
    fn damage(&mut self, to: usize, pick: usize, how: u8) {
        let Some(packet) = self.line(to).get(pick).cloned() else { return };
        let mut bytes = packet.to_vec();
        let place = usize::from(how >> 3).saturating_mul(bytes.len()) / 32;
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << (how & 7);
        }
        assert!(!self.take(to, &bytes.into()), "a damaged packet was taken");
    }

    fn restart(&mut self, side: usize) {
        if self.calls >= CALLS {
            return;
        }
        self.calls = self.calls.saturating_add(1);
        let (number, mut rng) = (if side == 0 { 1 } else { 2 }, self.rng.split());
        if let Some(new) = Side::new(number, &mut rng) {
            assert_eq!(new.user.user_id(), self.side(side).user.user_id());
            *self.side(side) = new;
        }
    }

    /// A good line from now on: one call, and both hear each other.
    fn heal(&mut self) {
        self.calls = 0;
        self.lines = [Vec::new(), Vec::new()];
        self.call(0);
        for to in [1, 0, 1] {
            self.arrive(to, 0);
        }
        let before = self.shown.iter().map(BTreeSet::len).sum::<usize>();
        for side in [0, 1] {
            self.say(side);
            self.arrive(1 - side, 0);
        }
        assert_eq!(
            self.shown.iter().map(BTreeSet::len).sum::<usize>(),
            before.saturating_add(2),
            "they talk"
        );
    }
}
