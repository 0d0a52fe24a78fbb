//! Whatever may leave now: our bundle, lookups, calls, letters, acknowledgements. Source: `docs/protocol.md`, sections
//! 7.2, 7.3 and 7.5.

use super::device::Call;
use super::letter::{Fate, Sender};
use super::{Carried, Parcel, Party};
use crate::session::requests::Asked;
use crate::session::{Failure, Output, Session};
use bytes::Bytes;
use darkchat_crypto::direct::Calling;
use darkchat_crypto::sign;
use darkchat_proto::{
    DeviceId, DirectId, DmContent, DmKind, Features, Frame, InitPayload, Kind, SendDm, Time, UserId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Contents to one user that may be on their way behind one that is not acknowledged: its receiver remembers 1,024 ids,
/// and must know a repeat.
const WINDOW: u64 = 512;

/// Whether something left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Yes,
    /// Not now; others may.
    No,
    /// Nothing may leave now.
    Full,
}

impl Session {
    /// Does whatever became possible.
    pub(in crate::session) fn pump_direct(&mut self, now: Time) {
        let woken = self.direct.wake.is_some_and(|at| at <= now);
        if !self.direct.is_stirred && !woken {
            return;
        }
        let is_up = self.connection.is_up();
        self.direct.wake = None;
        // What is done here stirs more; a few rounds come to an end, and what is left follows with the next input.
        for _ in 0..4 {
            self.direct.is_stirred = false;
            self.expire_letters(now);
            self.expire_devices(now);
            if is_up {
                self.renew_bundle(now);
                self.address_letters(now);
                self.look_up(now);
                self.send_letters(now);
                self.call_devices(now);
                self.send_acks(now);
            }
            self.settle_letters(now);
            if !self.direct.is_stirred {
                break;
            }
        }
        let own = self.direct.own.deadline();
        let looks = self.direct.to_look_up.iter();
        let looks =
            looks.filter_map(|user| self.direct.peers.get(user)?.lookup_from()).filter(|at| *at > now).min();
        let own = [own, looks].into_iter().flatten().min();
        self.direct.next = self.direct.compute_deadline(now, is_up, own);
    }

    /// Has our bundle signed for this link, and gives it to the server.
    fn renew_bundle(&mut self, now: Time) {
        let now_ms = self.wall.at(now);
        if self.direct.own.expire(now, now_ms) {
            self.direct.own.unset();
        }
        let Some(server) = self.connection.server() else { return };
        if self.direct.is_reachable && self.direct.own.is_unset() {
            let (sign, own) = (self.signs.next(), Party { user: self.user, device: self.device });
            let body = self.direct.own.prepare(now, now_ms, (own, server), sign, &mut self.secrets);
            self.outputs.push_back(Output::Sign { sign, request: sign::bundle(&self.network, &body) });
        }
        if self.requests.has_room()
            && let Some(bundle) = self.direct.to_set.take()
        {
            let req = self.requests.ask(now, Asked::SetBundle);
            self.write(now, &Frame::asking(req, Kind::SetBundle { bundle }));
        }
    }

    /// Gives letters that have time left to the devices that are known, and looks for others.
    fn address_letters(&mut self, now: Time) {
        let direct = &mut self.direct;
        for letter in direct.letters.values_mut().filter(|letter| letter.only.is_none()) {
            let Some(peer) = direct.peers.get_mut(&letter.to) else { continue };
            if !letter.looked && peer.is_fresh(now) {
                letter.looked = true;
            } else if !letter.looked && peer.want_lookup(now) {
                direct.to_look_up.insert(letter.to);
            }
            for device in peer.targets(now).collect::<Vec<_>>() {
                letter.address(now, device);
            }
        }
    }

    fn look_up(&mut self, now: Time) {
        let due = |session: &Self, user: &UserId| {
            let from = session.direct.peers.get(user).and_then(super::Peer::lookup_from);
            from.is_some_and(|from| from <= now)
        };
        let users: Vec<UserId> =
            self.direct.to_look_up.iter().copied().filter(|user| due(self, user)).collect();
        for user in users {
            if !self.requests.has_room() {
                return;
            }
            if let Err(at) = self.direct.rates.lookup(now) {
                return self.wake_at(at);
            }
            let req = self.requests.ask(now, Asked::Lookup(user));
            self.write(now, &Frame::asking(req, Kind::Lookup { user }));
            self.direct.to_look_up.remove(&user);
            if let Some(peer) = self.direct.peers.get_mut(&user) {
                peer.lookup_asked();
            }
        }
    }

    fn wake_at(&mut self, at: Time) {
        self.direct.wake = Some(self.direct.wake.map_or(at, |other| other.min(at)));
    }

    /// Each letter in its turn; to one device they leave in the order in which they came.
    fn send_letters(&mut self, now: Time) {
        let mut held: BTreeSet<Party> = BTreeSet::new();
        let mut oldest: BTreeMap<UserId, u64> = BTreeMap::new();
        for number in self.direct.letters.keys().copied().collect::<Vec<_>>() {
            let Some(letter) = self.direct.letters.get(&number) else { continue };
            let (user, place) = (letter.to, letter.place);
            let first = *oldest.entry(user).or_insert(place);
            if place.saturating_sub(first) >= WINDOW {
                continue;
            }
            let waiting = letter.copies.iter().filter_map(|(device, copy)| match copy.fate {
                Fate::Waiting(from) => Some((*device, from, copy.tries)),
                _ => None,
            });
            for (device, from, tries) in waiting.collect::<Vec<_>>() {
                let party = Party { user, device };
                if tries == 0 && held.contains(&party) {
                    continue;
                }
                if from > now {
                    self.wake_at(from);
                    held.insert(party);
                    continue;
                }
                match self.send_letter(now, number, party) {
                    Left::Yes => {}
                    Left::No => {
                        held.insert(party);
                    }
                    Left::Full => return,
                }
            }
        }
    }

    fn send_letter(&mut self, now: Time, number: u64, party: Party) -> Left {
        let direct = &mut self.direct;
        let Some(letter) = direct.letters.get_mut(&number) else { return Left::No };
        let peer = direct.peers.get_mut(&party.user);
        let Some(device) = peer.and_then(|peer| peer.devices.get_mut(&party.device)) else {
            if let Some(copy) = letter.copies.get_mut(&party.device) {
                copy.fate = Fate::Lost(Failure::NotHere);
            }
            direct.stir();
            return Left::No;
        };
        let is_busy = device.call.is_some() || device.wants_call || device.is_being_called(now);
        let is_due = device.writable().is_none_or(|session| session.ratchet.is_due(now));
        if is_due && !is_busy {
            device.wants_call = true;
            direct.active.insert(party);
        }
        let acks = device.acks.len();
        let Some(session) = device.writable() else { return Left::No };
        let id = session.ratchet.id();
        let room = letter.len().saturating_add(16 * acks);
        if let Err(left) = self.room(now, room) {
            return left;
        }
        let Some(packet) = self.seal(now, number, party) else { return Left::No };
        let what = Carried::Letter(number, id);
        self.carry(now, Parcel { to: party, what }, packet);
        self.letter_left(now, number, party.device, id);
        Left::Yes
    }

    /// The packet of a letter, with what of this device is to be acknowledged.
    fn seal(&mut self, now: Time, number: u64, party: Party) -> Option<Bytes> {
        let direct = &mut self.direct;
        let letter = direct.letters.get(&number)?;
        let device = direct.peers.get_mut(&party.user)?.devices.get_mut(&party.device)?;
        let acks = device.take_acks(now);
        let content = DmContent { acks: acks.clone(), ..letter.content.clone() };
        let sealed = device.writable()?.ratchet.seal(now, &content.encode_padded());
        if sealed.is_err() {
            // The chain is used up: another session takes what is left.
            for ack in acks {
                device.acknowledge(now, ack);
            }
            if let Some(session) = device.writable() {
                session.is_doubtful = true;
            }
            device.wants_call = true;
            direct.active.insert(party);
        }
        sealed.ok()
    }

    fn letter_left(&mut self, now: Time, number: u64, device: DeviceId, session: DirectId) {
        let Some(letter) = self.direct.letters.get_mut(&number) else { return };
        if let Some(copy) = letter.copies.get_mut(&device) {
            copy.fate = Fate::Sent(now, session);
            copy.tries += 1;
        }
        let is_first = letter.left.is_none();
        letter.left.get_or_insert(now);
        let says = matches!(letter.content.kind, DmKind::Text | DmKind::Data);
        if is_first && says && matches!(letter.sender, Sender::User(_)) {
            let (to, content) = (letter.to, letter.content.encode());
            self.copy_to_own(now, to, content);
        }
    }

    /// Whether a packet of about so many bytes may leave now.
    fn room(&mut self, now: Time, bytes: usize) -> Result<(), Left> {
        if !self.requests.has_room() {
            return Err(Left::Full);
        }
        let at = self.budgets.frame_at(now, bytes.saturating_add(FRAME));
        let packet = if at > now { Err(at) } else { self.direct.rates.packet(now) };
        packet.map_err(|at| {
            self.wake_at(at);
            Left::Full
        })
    }

    /// Gives a packet to the server.
    fn carry(&mut self, now: Time, parcel: Parcel, packet: Bytes) {
        let Party { user, device } = parcel.to;
        let Some(at) = self.direct.device(parcel.to) else { return };
        let (server, attempt) = (at.server, at.attempt(now));
        let req = self.requests.ask(now, Asked::Packet(parcel));
        self.write(now, &Frame::asking(req, Kind::SendDm(SendDm { user, device, server, packet, attempt })));
    }

    /// Answers a call; without room its repeat is answered.
    pub(super) fn send_answer(&mut self, now: Time, party: Party, packet: Bytes) {
        if self.connection.is_up() && self.room(now, packet.len()).is_ok() {
            self.carry(now, Parcel { to: party, what: Carried::Answer }, packet);
        }
    }

    fn call_devices(&mut self, now: Time) {
        for party in self.direct.active.clone() {
            let Some(device) = self.direct.device_mut(party) else {
                self.direct.active.remove(&party);
                continue;
            };
            if device.call_has_failed(now) {
                self.call_failed(now, party);
            } else if device.call.as_ref().is_some_and(|call| call.again <= now) {
                self.call_again(now, party);
            } else if device.call.is_none() && device.wants_call && !device.is_being_called(now) {
                self.call(now, party);
            }
        }
    }

    /// Begins a call, as soon as it is known by what bundle.
    fn call(&mut self, now: Time, party: Party) {
        let direct = &mut self.direct;
        let Some(peer) = direct.peers.get_mut(&party.user) else { return };
        let Some(device) = peer.devices.get_mut(&party.device) else { return };
        let Some(callee) = device.bundle.clone() else {
            if peer.want_lookup(now) {
                direct.to_look_up.insert(party.user);
                direct.stir();
            }
            return;
        };
        let Some((own, bundle)) = direct.own.caller() else { return };
        if !self.requests.has_room() {
            return;
        }
        if let Err(at) = direct.rates.call(now) {
            return self.wake_at(at);
        }
        let payload =
            InitPayload { bundle: bundle.clone(), time_ms: self.wall.at(now), features: Features::NONE };
        let made = Calling::start(&self.network, own, &callee, &payload.encode(), &mut self.secrets);
        match made {
            Ok((calling, packet)) => {
                device.call =
                    Some(Call { calling, packet, key: callee.key_id(), sent: 0, again: now, began: now });
                device.wants_call = false;
                self.call_leaves(now, party);
            }
            // A bundle with a weak key serves nobody.
            Err(_) => self.call_failed(now, party),
        }
    }

    /// INIT once more, while a lookup asks whether the device has another bundle now.
    fn call_again(&mut self, now: Time, party: Party) {
        if !self.requests.has_room() {
            return;
        }
        if let Err(at) = self.direct.rates.call(now) {
            return self.wake_at(at);
        }
        self.want_lookup(now, party.user);
        if let Some(device) = self.direct.device_mut(party) {
            device.repeated(now);
        }
        self.call_leaves(now, party);
    }

    fn call_leaves(&mut self, now: Time, party: Party) {
        let Some(device) = self.direct.device_mut(party) else { return };
        let Some(call) = &device.call else { return };
        let packet = call.packet.clone();
        device.call_left(now);
        self.carry(now, Parcel { to: party, what: Carried::Call }, packet);
    }

    /// Nobody answers: what waits for this device is given up, if there is no session to say it in.
    fn call_failed(&mut self, now: Time, party: Party) {
        let Some(device) = self.direct.touch(party) else { return };
        let began = device.call.take().map_or(now, |call| call.began);
        device.bundle = None;
        device.wants_call = false;
        if device.writable().is_none() {
            // What came while it was called has its own call coming.
            self.give_up_waiting(party, Some(began), Failure::TimedOut);
        }
        self.want_lookup(now, party.user);
    }

    /// What waits for a device that will not come is given up, if it came `until` then.
    pub(super) fn give_up_waiting(&mut self, party: Party, until: Option<Time>, why: Failure) {
        let letters = self.direct.letters.values_mut().filter(|letter| letter.to == party.user);
        for letter in letters.filter(|letter| until.is_none_or(|until| letter.since <= until)) {
            if let Some(copy) = letter.copies.get_mut(&party.device)
                && matches!(copy.fate, Fate::Waiting(_) | Fate::Bounced)
            {
                copy.fate = Fate::Lost(why);
            }
        }
        self.direct.stir();
    }

    pub(super) fn want_lookup(&mut self, now: Time, user: UserId) {
        if let Some(peer) = self.direct.peers.get_mut(&user)
            && peer.want_lookup(now)
        {
            self.direct.to_look_up.insert(user);
            self.direct.stir();
        }
    }

    /// Acknowledgements that found no company in time; all, when the user goes.
    fn send_acks(&mut self, now: Time) {
        let is_leaving = self.leave_by.is_some();
        for party in self.direct.active.clone() {
            while let Some(device) = self.direct.device_mut(party)
                && !device.acks.is_empty()
                && (device.acks_are_due(now) || is_leaving)
                && let Some(session) = device.writable()
            {
                let id = session.ratchet.id();
                if self.room(now, FRAME).is_err() {
                    return;
                }
                let (of, time_ms) = (self.content_id(), self.wall.at(now));
                let Some(device) = self.direct.device_mut(party) else { break };
                let acks = device.take_acks(now);
                let content = DmContent { acks, ..DmContent::new(of, time_ms, DmKind::Ack, Bytes::new()) };
                let Some(session) = device.writable() else { break };
                let Ok(packet) = session.ratchet.seal(now, &content.encode_padded()) else { break };
                self.carry(now, Parcel { to: party, what: Carried::Acks(id) }, packet);
            }
        }
    }

    /// Letters whose acknowledgement is overdue go again: in a new session, if nothing was heard in the one at hand.
    fn expire_letters(&mut self, now: Time) {
        let direct = &mut self.direct;
        let mut overdue = Vec::new();
        for letter in direct.letters.values_mut().filter(|letter| letter.deadline() <= now) {
            let user = letter.to;
            overdue.extend(
                letter.expire(now).into_iter().map(|(device, session, at)| (user, device, session, at)),
            );
        }
        for (user, device, session, at) in overdue {
            self.want_lookup(now, user);
            let Some(device) = self.direct.touch(Party { user, device }) else { continue };
            device.repeated(now);
            if device.heard.is_some_and(|heard| heard >= at) {
                continue;
            }
            if let Some(session) = device.session(session) {
                session.is_doubtful = true;
            }
            // The bundle may be of before a restart: the lookup that is under way tells.
            device.bundle = None;
        }
    }

    fn expire_devices(&mut self, now: Time) {
        let is_up = self.connection.is_up();
        for party in self.direct.active.clone() {
            let Some(device) = self.direct.device_mut(party) else {
                self.direct.active.remove(&party);
                continue;
            };
            device.expire(now);
            let mut shown = Vec::new();
            for session in &mut device.sessions {
                shown.extend(session.order.release(now));
            }
            for content in shown {
                self.deliver(now, party, content);
            }
            let Some(device) = self.direct.device(party) else { continue };
            if device.is_idle() && device.deadline(now, is_up).is_none() {
                self.direct.active.remove(&party);
            }
        }
    }
}

/// What a packet and its frame have around the content, in bytes.
const FRAME: usize = 512;
