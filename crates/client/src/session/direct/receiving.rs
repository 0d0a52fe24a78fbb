//! What comes from other devices: calls, answers, contents. Source: `docs/protocol.md`, sections 7.3 to 7.8.

use super::Party;
use super::device::{Answered, Device};
use super::letter::Fate;
use crate::message::{Content, DirectMessage};
use crate::session::{Event, Session, Trust};
use bytes::Bytes;
use darkchat_crypto::direct::{Answering, Callee, keeps_own_call};
use darkchat_crypto::ratchet::Ratchet;
use darkchat_proto::{
    Code, ContentId, DirectHead, DmContent, DmDeliver, DmKind, Features, Frame, GroupControl, InitRef, KeyId,
    Kind, Packet, SelfCopy, Time, UserId,
};
use std::time::{Duration, UNIX_EPOCH};

impl Session {
    /// A packet for this device. Whatever is wrong with it is the fault of somebody behind the server.
    pub(in crate::session) fn packet(&mut self, now: Time, delivered: DmDeliver) {
        let DmDeliver { user, device, packet, delivery } = delivered;
        if user != self.user || device != self.device {
            self.stats.misdirected += 1;
            return;
        }
        match Packet::decode(packet.clone()) {
            Ok(Packet::Init { key, noise }) => self.called(now, key, &noise, &packet),
            Ok(Packet::Resp { init, .. }) => self.call_answered(now, init, &packet),
            Ok(Packet::Message { head, sealed }) => self.message(now, &head, &sealed, delivery),
            _ => self.stats.malformed += 1,
        }
    }

    /// INIT.
    fn called(&mut self, now: Time, key: KeyId, noise: &[u8], packet: &Bytes) {
        if !self.direct.rates.reads_call(now) {
            self.stats.unread_calls += 1;
            return;
        }
        let ephemeral: Option<&[u8; 32]> = noise.first_chunk();
        if ephemeral.is_some_and(|ephemeral| self.direct.callers.has(now, ephemeral)) {
            return self.called_again(now, ephemeral);
        }
        let Some((own, callee)) = self.direct.own.callee(key) else {
            self.stats.undecryptable += 1;
            return;
        };
        let read = Answering::read_init(&self.network, own, callee, packet, &mut self.secrets);
        let caller = read.and_then(|(answering, payload)| {
            let (bundle, init) = answering.caller(&self.network, &payload, self.wall.at(now))?;
            Ok((answering, Callee::of(&bundle, &init.bundle.body), bundle))
        });
        let Ok((answering, callee, bundle)) = caller else {
            self.stats.undecryptable += 1;
            return;
        };
        let party = Party { user: bundle.user, device: bundle.device };
        let own = Party { user: self.user, device: self.device };
        if party == own || self.contacts.trust(&party.user) == Trust::Blocked {
            self.stats.ignored += 1;
            return;
        }
        let is_calling = self.direct.device(party).is_some_and(|device| device.call.is_some());
        if is_calling && keeps_own_call((&own.user, &own.device), (&party.user, &party.device)) {
            // Both began at once, as happens to honest people (7.6).
            self.stats.ignored += 1;
            return;
        }
        let ephemeral = answering.caller_ephemeral();
        let Ok((half, resp)) = answering.establish(Features::NONE, now, &mut self.secrets) else {
            self.stats.undecryptable += 1;
            return;
        };
        let Some(peer) = self.direct.peer(now, party.user) else {
            self.stats.unread_calls += 1;
            return;
        };
        let device = peer.devices.entry(party.device).or_insert_with(|| Device::new(bundle.server));
        device.server = bundle.server;
        device.bundle = Some(callee);
        device.is_listed = true;
        // What we have for it goes when its first message comes.
        device.call = None;
        device.wants_call = false;
        let id = half.id();
        device.answer(Answered { half, resp: resp.clone(), ephemeral, asked: now });
        peer.bound();
        self.direct.touch(party);
        self.direct.callers.enter(now, ephemeral);
        self.direct.enter_session(id, party);
        self.direct.bound_answered();
        self.send_answer(now, party, resp);
    }

    /// INIT once more: the same answer, as long as its first message has not come.
    fn called_again(&mut self, now: Time, ephemeral: Option<&[u8; 32]>) {
        let direct = &mut self.direct;
        let mut found = None;
        for party in &direct.active {
            let device =
                direct.peers.get_mut(&party.user).and_then(|peer| peer.devices.get_mut(&party.device));
            let Some(device) = device else { continue };
            let mut answered = device.answered.iter_mut();
            if let Some(answered) = answered.find(|answered| Some(&answered.ephemeral) == ephemeral) {
                answered.asked = now;
                found = Some((*party, answered.resp.clone()));
                device.repeated(now);
                break;
            }
        }
        self.stats.duplicate += 1;
        if let Some((party, resp)) = found {
            self.send_answer(now, party, resp);
        }
    }

    /// RESP.
    fn call_answered(&mut self, now: Time, init: InitRef, packet: &Bytes) {
        let direct = &mut self.direct;
        let calls = |party: &&Party| {
            let device = direct.peers.get(&party.user).and_then(|peer| peer.devices.get(&party.device));
            let call = device.and_then(|device| device.call.as_ref());
            call.is_some_and(|call| call.calling.reference() == init)
        };
        let Some(party) = direct.active.iter().find(calls).copied() else {
            let is_repeated = direct.answers.has(now, &init);
            *if is_repeated { &mut self.stats.duplicate } else { &mut self.stats.undecryptable } += 1;
            return;
        };
        let call = direct.device(party).and_then(|device| device.call.as_ref());
        let Some(Ok((ratchet, _))) = call.map(|call| call.calling.establish(packet, now, &mut self.secrets))
        else {
            self.stats.undecryptable += 1;
            return;
        };
        if let Some(device) = self.direct.touch(party) {
            device.call = None;
        }
        self.direct.answers.enter(now, init);
        self.established(now, party, ratchet);
        let mut letters = self.direct.letters.values().filter(|letter| letter.to == party.user);
        let says = letters.any(|letter| {
            letter.copies.get(&party.device).is_some_and(|copy| matches!(copy.fate, Fate::Waiting(_)))
        });
        if !says {
            self.confirm(now, party);
        }
    }

    fn established(&mut self, now: Time, party: Party, ratchet: Ratchet) {
        let id = ratchet.id();
        let Some(peer) = self.direct.peer(now, party.user) else { return };
        let is_new = peer.meet(party.device);
        if let Some(device) = self.direct.touch(party) {
            device.establish(now, ratchet);
            device.heard = Some(now);
        }
        self.direct.enter_session(id, party);
        if is_new {
            self.event(Event::NewDevice { user: party.user, device: party.device });
        }
    }

    /// MSG.
    fn message(&mut self, now: Time, head: &DirectHead, sealed: &[u8], delivery: u64) {
        let party = self.direct.sessions.get(&head.session).copied();
        if party.is_some_and(|party| self.contacts.trust(&party.user) == Trust::Blocked) {
            self.stats.ignored += 1;
            return;
        }
        let opened = party.and_then(|party| Some((party, self.open(now, party, head, sealed)?)));
        let Some((party, opened)) = opened else {
            self.direct.sessions.remove(&head.session);
            if delivery != 0 {
                let code = Code::NoSession;
                self.outbox.reply(&Frame::from(Kind::DmReject { delivery, code }));
            }
            self.stats.undecryptable += 1;
            return;
        };
        let Some(plain) = opened else {
            self.stats.undecryptable += 1;
            return;
        };
        self.read(now, party, head, plain);
    }

    /// Opens a packet of a session of this device's: `None` if there is no such session, and nothing inside if it does
    /// not open.
    fn open(&mut self, now: Time, party: Party, head: &DirectHead, sealed: &[u8]) -> Option<Option<Bytes>> {
        let secrets = &mut self.secrets;
        let peer = self.direct.peers.get_mut(&party.user)?;
        let device = peer.devices.get_mut(&party.device)?;
        if let Some(session) = device.session(head.session) {
            return Some(session.ratchet.open(now, head, sealed, secrets).ok());
        }
        let at = device.answered.iter().position(|answered| answered.half.id() == head.session)?;
        let opened = device.answered.get(at)?.half.open(now, head, sealed, secrets);
        let Ok((ratchet, plain)) = opened else { return Some(None) };
        device.answered.remove(at);
        self.established(now, party, ratchet);
        Some(Some(plain))
    }

    /// A packet of a session opened.
    fn read(&mut self, now: Time, party: Party, head: &DirectHead, plain: Bytes) {
        if let Some(peer) = self.direct.peer(now, party.user) {
            peer.used = now;
        }
        let Some(device) = self.direct.touch(party) else { return };
        device.heard = Some(now);
        let Some(session) = device.session(head.session) else { return };
        session.heard = now;
        let newest = *session.ratchet.theirs();
        let place = session.order.arrive(now, head, &newest);
        let content = DmContent::decode_padded(plain);
        match content {
            Ok(content) => {
                self.acknowledged(now, party, &content.acks);
                if content.kind.is_acknowledged() {
                    self.take(now, party, (head, place), content);
                }
            }
            Err(_) => self.stats.malformed += 1,
        }
        let session = self.direct.device_mut(party).and_then(|device| device.session(head.session));
        let shown = session.map(|session| session.order.release(now)).unwrap_or_default();
        for content in shown {
            self.deliver(now, party, content);
        }
    }

    /// A content that is to be shown in its turn, and acknowledged then; one that came before is acknowledged again.
    fn take(
        &mut self,
        now: Time,
        party: Party,
        (head, place): (&DirectHead, Option<super::order::Place>),
        content: DmContent,
    ) {
        let Some(peer) = self.direct.peers.get_mut(&party.user) else { return };
        let Some(device) = peer.devices.get_mut(&party.device) else { return };
        if peer.seen.has(now, &content.id) {
            self.stats.duplicate += 1;
            device.repeated(now);
            device.acknowledge(now, content.id);
        } else if let (Some(place), Some(session)) = (place, device.session(head.session)) {
            session.order.hold(place, content);
        } else {
            // Without an acknowledgement it comes again, under a number that has its turn.
            self.stats.late += 1;
        }
    }

    /// Acknowledgements of what we said to this user.
    fn acknowledged(&mut self, now: Time, party: Party, acks: &[ContentId]) {
        for id in acks {
            let Some(number) = self.direct.letter_of(party.user, *id) else { continue };
            let Some(letter) = self.direct.letters.get_mut(&number) else { continue };
            let Some(copy) = letter.copies.get_mut(&party.device) else { continue };
            copy.fate = Fate::Acked;
            if !std::mem::replace(&mut letter.acked, true) {
                self.tell_letter(now, number, Ok(()));
            }
        }
        self.bound_acknowledged();
    }

    /// A content whose turn has come: it is shown once, and acknowledged.
    pub(super) fn deliver(&mut self, now: Time, party: Party, content: DmContent) {
        let Some(peer) = self.direct.peers.get_mut(&party.user) else { return };
        let is_new = !peer.seen.has(now, &content.id);
        peer.seen.enter(now, content.id);
        if let Some(device) = self.direct.touch(party) {
            device.acknowledge(now, content.id);
        }
        if !is_new {
            self.stats.duplicate += 1;
            return;
        }
        match content.kind {
            DmKind::Text | DmKind::Data => self.show_direct(party, self.user, content),
            DmKind::SelfCopy if party.user == self.user => self.show_copy(party, content.body),
            DmKind::Confirm => self.stats.shown += 1,
            DmKind::Group => match GroupControl::decode(content.body) {
                Ok(control) => {
                    self.stats.shown += 1;
                    self.control_received(now, party.user, control);
                }
                Err(_) => self.stats.malformed += 1,
            },
            // Nobody sends us copies but we ourselves.
            DmKind::SelfCopy => self.stats.malformed += 1,
            _ => self.stats.unknown_kind += 1,
        }
    }

    /// What another device of ours said to somebody.
    fn show_copy(&mut self, party: Party, body: Bytes) {
        let copied =
            SelfCopy::decode(body).and_then(|copy| Ok((copy.user, DmContent::decode(copy.content)?)));
        match copied {
            Ok((to, content)) if matches!(content.kind, DmKind::Text | DmKind::Data) => {
                self.show_direct(party, to, content);
            }
            _ => self.stats.malformed += 1,
        }
    }

    fn show_direct(&mut self, party: Party, to: UserId, content: DmContent) {
        let trust = self.contacts.trust(&party.user);
        match direct_message(party, (to, trust), content) {
            Some(message) => {
                self.stats.shown += 1;
                self.event(Event::Direct(message));
            }
            None => self.stats.malformed += 1,
        }
    }
}

/// The message of a content; `None` for a text that is none.
fn direct_message(
    Party { user, device }: Party,
    (to, trust): (UserId, Trust),
    content: DmContent,
) -> Option<DirectMessage> {
    let DmContent { id, time_ms, kind, body, content_type, name, acks: _, headers, reply_to } = content;
    let payload = match kind {
        DmKind::Text => Content::Text(String::from_utf8(body.into()).ok()?),
        _ => Content::Data(body),
    };
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(time_ms)).unwrap_or(UNIX_EPOCH);
    let name = name.parse().unwrap_or_default();
    Some(DirectMessage {
        id,
        from: user,
        device,
        to,
        trust,
        name,
        time,
        payload,
        content_type,
        headers,
        reply_to,
    })
}
