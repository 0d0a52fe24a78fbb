//! What the server says about lookups and packets. Source: `docs/protocol.md`, sections 5.2, 7.5 and 7.7.

use super::device::Device;
use super::letter::Fate;
use super::{Carried, LATE_STATUS, LATE_STATUSES, Parcel, Party};
use crate::session::joining::RATE_RETRY;
use crate::session::requests::Asked;
use crate::session::{Failure, Session};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_crypto::bundle::{self, Expected, MAX_DEVICES};
use darkchat_crypto::direct::Callee;
use darkchat_proto::{Bundle, Code, DirectId, Refusal, Time, UserId};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

impl Session {
    /// The answer to a lookup; each bundle with its body, and signed by the user whom it names.
    pub(in crate::session) fn found(
        &mut self,
        now: Time,
        re: u32,
        bundles: Vec<(Verified<Bundle>, Bytes)>,
        complete: bool,
    ) {
        let asked = self.requests.answer_to(re, |asked| matches!(asked, Asked::Lookup(_)));
        let Some(Asked::Lookup(user)) = asked else { return };
        let (now_ms, count) = (self.wall.at(now), bundles.len());
        let mut good: Vec<_> = bundles
            .into_iter()
            .filter(|(bundle, _)| bundle::check(bundle, &Expected::of(user), now_ms).is_ok())
            .collect();
        // A server that answers falsely is noticed here.
        let bad = u64::try_from(count.saturating_sub(good.len())).unwrap_or(u64::MAX);
        self.stats.bad_bundles = self.stats.bad_bundles.saturating_add(bad);
        good.retain(|(bundle, _)| user != self.user || bundle.device != self.device);
        good.sort_by_key(|(bundle, _)| Reverse(bundle.not_before_ms));
        let Some(peer) = self.direct.peer(now, user) else { return };
        peer.lookup_answered(now);
        for device in peer.devices.values_mut().filter(|_| complete) {
            device.is_listed = false;
        }
        let mut listed = BTreeSet::new();
        for (bundle, body) in good {
            if listed.len() >= MAX_DEVICES || !listed.insert(bundle.device) {
                continue;
            }
            let device = peer.devices.entry(bundle.device).or_insert_with(|| Device::new(bundle.server));
            let callee = Callee::of(&bundle, &body);
            if device.call.as_ref().is_some_and(|call| call.key != callee.key_id()) {
                // It has another key by now, and does not answer to the old one.
                device.call = None;
                device.wants_call = true;
            }
            device.server = bundle.server;
            device.bundle = Some(callee);
            device.is_listed = true;
        }
        for device in peer.devices.values_mut().filter(|device| !device.is_listed) {
            if complete && device.answered.is_empty() && !device.is_present(now) {
                device.bundle = None;
            }
        }
        peer.bound();
        self.looked_up(now, user);
    }

    /// Letters to this user learn which devices there are.
    fn looked_up(&mut self, now: Time, user: UserId) {
        let direct = &mut self.direct;
        let Some(peer) = direct.peers.get_mut(&user) else { return };
        let mut gone = Vec::new();
        for (id, device) in &mut peer.devices {
            let is_lost = !device.is_listed && device.bundle.is_none() && device.writable().is_none();
            if is_lost && device.call.is_none() && device.answered.is_empty() {
                device.wants_call = false;
                gone.push(*id);
            }
        }
        for letter in direct.letters.values_mut().filter(|letter| letter.to == user) {
            letter.looked = true;
            for device in peer.targets(now).collect::<Vec<_>>() {
                letter.address(now, device);
            }
            for (device, copy) in &mut letter.copies {
                if copy.fate == Fate::Bounced {
                    let is_there = peer.is_target(now, device);
                    copy.fate = if is_there { Fate::Waiting(now) } else { Fate::Lost(Failure::NotHere) };
                }
            }
        }
        direct.active.extend(peer.devices.keys().map(|device| Party { user, device: *device }));
        direct.stir();
        for device in gone {
            self.give_up_waiting(Party { user, device }, None, Failure::NotHere);
        }
    }

    /// No lookup is possible, or not now.
    pub(in crate::session) fn not_found(&mut self, now: Time, user: UserId, refusal: &Refusal) {
        let Some(peer) = self.direct.peers.get_mut(&user) else { return };
        if refusal.code == Code::RateLimited {
            let retry = Duration::from_millis(refusal.retry_ms.into());
            peer.wait_with_lookup(now + if retry.is_zero() { RATE_RETRY } else { retry });
            self.direct.to_look_up.insert(user);
        } else {
            peer.lookup_answered(now);
            let why = Failure::Refused { code: refusal.code, retry: None };
            let letters = self.direct.letters.values_mut().filter(|letter| letter.to == user);
            for letter in letters.filter(|letter| letter.copies.is_empty()) {
                letter.refused = Some(why);
            }
        }
        self.direct.stir();
    }

    /// A lookup had no answer in time: it is asked again, for as long as somebody waits for it.
    pub(in crate::session) fn lookup_expired(&mut self, user: UserId) {
        let is_wanted = self.direct.letters.values().any(|letter| letter.to == user);
        if let Some(peer) = self.direct.peers.get_mut(&user)
            && peer.lookup_lost(is_wanted)
        {
            self.direct.to_look_up.insert(user);
        }
        self.direct.stir();
    }

    /// What became of a packet.
    pub(in crate::session) fn packet_status(&mut self, now: Time, re: u32, code: Code) {
        self.direct.stir();
        let parcel = match self.requests.answer_to(re, |asked| matches!(asked, Asked::Packet(_))) {
            Some(Asked::Packet(parcel)) => parcel,
            _ => match self.handed(now, re) {
                Some(parcel) if code == Code::NoSession => parcel,
                _ => return,
            },
        };
        match code {
            Code::Ok => {
                self.direct.handed.push_back((now, re, parcel));
                if self.direct.handed.len() > LATE_STATUSES {
                    self.direct.handed.pop_front();
                }
                if let Carried::Letter(number, _) = parcel.what {
                    self.letter_handed(number);
                }
            }
            Code::NoSession => match parcel.what {
                Carried::Letter(_, session) | Carried::Acks(session) => {
                    self.session_lost(now, parcel.to, session)
                }
                Carried::Call | Carried::Answer => self.bounced(now, parcel.to),
            },
            Code::NotHere | Code::Unreachable => self.bounced(now, parcel.to),
            Code::TooLarge => self.packet_failed(parcel, Failure::Refused { code, retry: None }),
            Code::Limit => self.packet_cut(now, &parcel),
            // The acknowledgement decides, or its absence.
            _ => {}
        }
    }

    /// Some server had no room for a packet. The first time it goes again soon, by two ways, and then as without an answer.
    fn packet_cut(&mut self, now: Time, parcel: &Parcel) {
        let Carried::Letter(number, _) = parcel.what else { return };
        if let Some(device) = self.direct.touch(parcel.to) {
            device.repeated(now);
        }
        let letter = self.direct.letters.get_mut(&number);
        if let Some(copy) = letter.and_then(|letter| letter.copies.get_mut(&parcel.to.device))
            && matches!(copy.fate, Fate::Sent(..))
            && copy.tries == 1
        {
            copy.fate = Fate::Waiting(now + RATE_RETRY);
        }
    }

    /// The packet that was handed over under this number, if that is not long ago. It is told of once.
    fn handed(&mut self, now: Time, re: u32) -> Option<Parcel> {
        let handed = &mut self.direct.handed;
        while handed.front().is_some_and(|(at, ..)| now.saturating_since(*at) >= LATE_STATUS) {
            handed.pop_front();
        }
        let at = handed.iter().position(|(_, req, _)| *req == re)?;
        handed.remove(at).map(|(.., parcel)| parcel)
    }

    fn letter_handed(&mut self, number: u64) {
        let Some(letter) = self.direct.letters.get_mut(&number) else { return };
        if std::mem::replace(&mut letter.handed, true) {
            return;
        }
        if let super::letter::Sender::User(ticket) = letter.sender {
            let id = letter.content.id;
            self.event(crate::session::Event::DirectHanded { ticket, id });
        }
    }

    /// The server does not carry a packet, or not now.
    pub(in crate::session) fn packet_refused(&mut self, now: Time, parcel: Parcel, refusal: &Refusal) {
        let Refusal { code, retry_ms, .. } = *refusal;
        let retry = Duration::from_millis(retry_ms.into());
        let retry = if retry.is_zero() { RATE_RETRY } else { retry };
        match (code, parcel.what) {
            (Code::RateLimited, Carried::Letter(number, _)) => {
                let letter = self.direct.letters.get_mut(&number);
                if let Some(copy) = letter.and_then(|letter| letter.copies.get_mut(&parcel.to.device))
                    && matches!(copy.fate, Fate::Sent(..))
                {
                    copy.fate = Fate::Waiting(now + retry);
                    copy.tries = copy.tries.saturating_sub(1);
                }
            }
            // What repeats itself is repeated.
            (Code::RateLimited, _) => {}
            (code, _) => self.packet_failed(parcel, Failure::Refused { code, retry: None }),
        }
        self.direct.stir();
    }

    fn packet_failed(&mut self, parcel: Parcel, why: Failure) {
        let Parcel { to, what } = parcel;
        match what {
            Carried::Letter(number, _) => {
                let letter = self.direct.letters.get_mut(&number);
                if let Some(copy) = letter.and_then(|letter| letter.copies.get_mut(&to.device))
                    && copy.fate != Fate::Acked
                {
                    copy.fate = Fate::Lost(why);
                }
            }
            Carried::Call => {
                if let Some(device) = self.direct.touch(to) {
                    device.call = None;
                    device.wants_call = false;
                }
                self.give_up_waiting(to, None, why);
            }
            Carried::Answer | Carried::Acks(_) => {}
        }
        self.direct.stir();
    }

    /// The other device says that it does not have the session. Nobody has signed that: it costs a handshake, and no
    /// session.
    fn session_lost(&mut self, now: Time, party: Party, session: DirectId) {
        let Some(device) = self.direct.touch(party) else { return };
        if !device.lose(now, session) {
            return;
        }
        for letter in self.direct.letters.values_mut().filter(|letter| letter.to == party.user) {
            if let Some(copy) = letter.copies.get_mut(&party.device)
                && matches!(copy.fate, Fate::Sent(_, of) if of == session)
            {
                copy.fate = Fate::Waiting(now);
            }
        }
        self.want_lookup(now, party.user);
    }

    /// The device is not where its bundle says. A lookup tells whether it is elsewhere.
    fn bounced(&mut self, now: Time, party: Party) {
        let Some(device) = self.direct.touch(party) else { return };
        device.is_listed = false;
        device.heard = None;
        device.bundle = None;
        device.call = None;
        device.wants_call = false;
        for letter in self.direct.letters.values_mut().filter(|letter| letter.to == party.user) {
            if let Some(copy) = letter.copies.get_mut(&party.device)
                && matches!(copy.fate, Fate::Waiting(_) | Fate::Sent(..))
            {
                copy.bounce();
            }
        }
        self.want_lookup(now, party.user);
    }
}
