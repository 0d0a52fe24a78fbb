//! Direct messages: who is called, what was said to whom, and what came. Source: `docs/protocol.md`, section 7.
//!
//! ```text
//! send ─▶ Letter ─▶ Lookup ─▶ Call ─▶ Standing ─▶ MSG … ack ─▶ told
//!                    devices   INIT     ratchet
//! ```
//!
//! A [`Letter`] is one content for all devices of a user; a [`Device`] has the calls and sessions with one of them.
//! After each input whatever became possible is done (`sending`); what arrives changes the state (`receiving`).

mod answers;
mod device;
mod letter;
mod order;
mod outbox;
mod own;
mod peer;
mod rates;
mod receiving;
mod seen;
mod sending;

use super::{Event, Session, SignId, State};
use darkchat_proto::{ContentId, DeviceId, DirectId, InitRef, Signature, Time, UserId};
use device::Device;
use letter::Letter;
pub(super) use letter::Sender;
use own::OwnDevice;
use peer::Peer;
use rates::Rates;
use seen::Seen;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Users of whom something is kept. Who was not heard of for longest, and has nothing under way, gives way.
const PEERS: usize = 1_024;
/// Sessions in all (DM_SESSIONS all). Of more, that which was not heard of for longest goes.
const SESSIONS: usize = 1_024;
/// Answered calls that wait for their first message (DM_HALF_OPEN). Of more, the oldest goes.
const HALF_OPEN: usize = 64;
/// How long a server may say that a packet's session is lost, after it handed the packet over (4.2).
const LATE_STATUS: Duration = Duration::from_secs(30);
/// Packets of which that is remembered: over thirty seconds' worth of the public budget.
const LATE_STATUSES: usize = 1_024;
/// How long the server's answer to our bundle may hold up the news that we are connected.
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);

/// A device of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Party {
    user: UserId,
    device: DeviceId,
}

/// A packet that the server was asked to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parcel {
    to: Party,
    what: Carried,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// INIT.
    Call,
    /// RESP.
    Answer,
    /// A letter, by its number, in a session.
    Letter(u64, DirectId),
    /// Acknowledgements and nothing else, in a session.
    Acks(DirectId),
}

/// Everything about direct messages.
#[derive(Debug)]
pub(super) struct Direct {
    own: OwnDevice,
    /// Whether others are to find this device: from the start, or since something was sent.
    is_reachable: bool,
    /// Our bundle, when the server is to get it.
    to_set: Option<bytes::Bytes>,
    /// The state that is told once direct messages can arrive, and when it is told in any case.
    untold: Option<(State, Time)>,
    peers: BTreeMap<UserId, Peer>,
    /// Those of whose devices something is to be looked up.
    to_look_up: BTreeSet<UserId>,
    letters: BTreeMap<u64, Letter>,
    last_letter: u64,
    /// Devices with something under way.
    active: BTreeSet<Party>,
    /// Whose session it is.
    sessions: BTreeMap<DirectId, Party>,
    /// The ephemeral keys of calls that were answered.
    callers: Seen<[u8; 32]>,
    /// The calls of ours that were answered.
    answers: Seen<InitRef>,
    rates: Rates,
    /// Packets that were handed over, and whose session may yet be said to be lost.
    handed: VecDeque<(Time, u32, Parcel)>,
    /// Something happened that may let more go.
    is_stirred: bool,
    /// When a budget lets more go.
    wake: Option<Time>,
    next: Option<Time>,
}

impl Direct {
    pub(super) fn new(is_reachable: bool) -> Self {
        Self {
            own: OwnDevice::default(),
            is_reachable,
            to_set: None,
            untold: None,
            peers: BTreeMap::new(),
            to_look_up: BTreeSet::new(),
            letters: BTreeMap::new(),
            last_letter: 0,
            active: BTreeSet::new(),
            sessions: BTreeMap::new(),
            callers: Seen::default(),
            answers: Seen::default(),
            rates: Rates::new(0, Time::ZERO),
            handed: VecDeque::new(),
            is_stirred: false,
            wake: None,
            next: None,
        }
    }

    /// Another server's budgets hold.
    pub(super) fn opened(&mut self, posts_per_s: u32, now: Time) {
        self.rates = Rates::new(posts_per_s, now);
    }

    /// Takes a signature, if it is that of our bundle: the server is to get it.
    pub(super) fn signed(&mut self, sign: SignId, signature: Signature) -> bool {
        let bundle = self.own.signed(sign, signature);
        let is_ours = bundle.is_some();
        if is_ours {
            self.to_set = bundle;
            self.stir();
        }
        is_ours
    }

    /// Something happened that may let more go.
    pub(super) const fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// When something is to be done that only time brings.
    pub(super) fn deadline(&self) -> Option<Time> {
        let told = self.untold.as_ref().map(|(_, at)| *at);
        [self.next, told].into_iter().flatten().min()
    }

    /// Whether nothing waits to leave.
    pub(super) fn is_idle(&self) -> bool {
        let mut active = self.active.iter().filter_map(|party| self.device(*party));
        !self.letters.values().any(Letter::is_unsent)
            && active.all(|device| device.acks.is_empty() || device.sessions.is_empty())
    }

    fn device(&self, party: Party) -> Option<&Device> {
        self.peers.get(&party.user)?.devices.get(&party.device)
    }

    fn device_mut(&mut self, party: Party) -> Option<&mut Device> {
        self.peers.get_mut(&party.user)?.devices.get_mut(&party.device)
    }

    /// A device about which something is about to change.
    fn touch(&mut self, party: Party) -> Option<&mut Device> {
        self.active.insert(party);
        self.is_stirred = true;
        self.device_mut(party)
    }

    /// The user's record; made, if there is room for another.
    fn peer(&mut self, now: Time, user: UserId) -> Option<&mut Peer> {
        if !self.peers.contains_key(&user) && self.peers.len() >= PEERS {
            let busy: BTreeSet<UserId> = self.letters.values().map(|letter| letter.to).collect();
            let idle = self.peers.iter().filter(|(user, peer)| !busy.contains(user) && peer.is_idle());
            let oldest = idle.min_by_key(|(_, peer)| peer.used).map(|(user, _)| *user)?;
            self.peers.remove(&oldest);
            self.to_look_up.remove(&oldest);
            self.active.retain(|party| party.user != oldest);
            self.sessions.retain(|_, party| party.user != oldest);
        }
        let peer = self.peers.entry(user).or_default();
        peer.used = now;
        Some(peer)
    }

    /// Remembers whose session it is, and keeps their number within its bounds.
    fn enter_session(&mut self, id: DirectId, party: Party) {
        self.sessions.insert(id, party);
        while self.standing().count() > SESSIONS {
            let others = self.standing().filter(|(_, _, other)| *other != id);
            let Some((_, party, oldest)) = others.min_by_key(|(heard, ..)| *heard) else { return };
            self.sessions.remove(&oldest);
            if let Some(device) = self.device_mut(party) {
                device.sessions.retain(|session| session.ratchet.id() != oldest);
            }
        }
        if self.sessions.len() <= SESSIONS + HALF_OPEN {
            return;
        }
        // Sessions that ended are left in the table until it is full.
        let live = |id: &DirectId, party: &Party, peers: &BTreeMap<UserId, Peer>| {
            peers.get(&party.user).and_then(|peer| peer.devices.get(&party.device)).is_some_and(|device| {
                device.sessions.iter().any(|session| session.ratchet.id() == *id)
                    || device.answered.iter().any(|answered| answered.half.id() == *id)
            })
        };
        let peers = &self.peers;
        self.sessions.retain(|id, party| live(id, party, peers));
    }

    /// All sessions that stand, each with when something of it opened last.
    fn standing(&self) -> impl Iterator<Item = (Time, Party, DirectId)> {
        self.peers.iter().flat_map(|(user, peer)| {
            peer.devices.iter().flat_map(|(device, one)| {
                let party = Party { user: *user, device: *device };
                one.sessions.iter().map(move |session| (session.heard, party, session.ratchet.id()))
            })
        })
    }

    /// Of the answered calls, all but the newest 64 are given up.
    fn bound_answered(&mut self) {
        let answered = |party: &Party, direct: &Self| {
            let device = direct.device(*party);
            device.and_then(|device| device.answered.iter().map(|answered| answered.half.began()).min())
        };
        let count = |direct: &Self| -> usize {
            let devices = direct.active.iter().filter_map(|party| direct.device(*party));
            devices.map(|device| device.answered.len()).sum()
        };
        while count(self) > HALF_OPEN {
            let parties = self.active.iter().filter_map(|party| Some((answered(party, self)?, *party)));
            let Some((_, oldest)) = parties.min() else { return };
            if let Some(device) = self.device_mut(oldest) {
                device.answered.remove(0);
            }
        }
    }

    /// The letter of ours with this content, if it went to this user.
    fn letter_of(&self, user: UserId, id: ContentId) -> Option<u64> {
        let mut letters = self.letters.iter();
        letters.find(|(_, letter)| letter.to == user && letter.content.id == id).map(|(number, _)| *number)
    }

    fn compute_deadline(&self, now: Time, is_up: bool, all_own: Option<Time>) -> Option<Time> {
        let letters = self.letters.values().map(Letter::deadline);
        let devices = self.active.iter().filter_map(|party| self.device(*party)?.deadline(now, is_up));
        let link = [self.wake, all_own].into_iter().flatten().filter(|_| is_up);
        // What is due and could not be done waits for something to happen.
        letters.chain(devices).chain(link).filter(|at| *at > now).min()
    }
}

impl Session {
    /// The server has welcomed us in a session of its own: it needs our bundle. The state is told when it has it.
    pub(super) fn direct_welcomed(&mut self, now: Time, state: State) {
        self.direct.stir();
        if self.direct.is_reachable {
            self.direct.untold = Some((state, now + ANNOUNCE_WAIT));
        } else {
            self.event(Event::State(state));
        }
    }

    /// The server has our bundle, or does not want it.
    pub(super) fn bundle_answered(&mut self) {
        if let Some((state, _)) = self.direct.untold.take() {
            self.event(Event::State(state));
        }
    }

    /// The session of the lost link does not go on: what it was asked is asked again.
    pub(super) fn direct_lost(&mut self) {
        let direct = &mut self.direct;
        direct.own.unset();
        direct.to_set = None;
        direct.untold = None;
        direct.handed.clear();
        direct.stir();
        for (user, peer) in &mut direct.peers {
            if peer.lookup_lost(true) {
                direct.to_look_up.insert(*user);
            }
        }
        for party in direct.active.clone() {
            if let Some(device) = direct.device_mut(party) {
                device.link_lost();
            }
        }
    }

    /// What the clock makes of direct messages.
    pub(super) fn expire_direct(&mut self, now: Time) {
        if self.direct.untold.as_ref().is_some_and(|(_, at)| *at <= now) {
            self.bundle_answered();
        }
        if self.direct.next.is_some_and(|at| at <= now) {
            self.direct.stir();
        }
    }
}

#[cfg(test)]
mod tests;
