//! Packets of direct messages: taken from a client, carried to one server, handed to one device, and answered.
//!
//! What is inside nobody here can read, and on the way not even who sent it. Source: `docs/protocol.md`, 4.2, 5.2, 7.7,
//! 9.6 and 9.7.

use crate::link::Outcome;
use crate::queue::{Counted, Item, OURSELVES, Owed};
use crate::router::Travelling;
use crate::session::Asker;
use crate::{DroppedFor, LinkId, Node, RefusedFor, SendClass};
use bytes::Bytes;
use darkchat_proto::limits::MAX_PACKET;
use darkchat_proto::{
    Carried, Class, Code, DeviceId, Digest16, DmDeliver, Frame, Kind, Packet, RouteHead, RouterId, SendDm,
    Time, UserId,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The other server may take so long to say what became of a packet: more than a re-route, less than the 10 s after
/// which the asker waits no longer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// For so long after a packet its receiver may say that it has no session for it, and its sender is told.
const REJECT_TIME: Duration = Duration::from_secs(30);
/// The most deliveries that can be rejected; beyond it the oldest cannot be any more.
const MAX_DELIVERIES: usize = 4_096;
/// The most packets of ours that can be answered; beyond it the oldest is not waited for any more.
const MAX_SENT: usize = 32_768;
/// The most packets of one session without an answer: what a client may have outstanding (4.2).
const MAX_UNANSWERED: usize = 256;
/// More than any frame with a status takes, in bytes.
const STATUS_ROOM: usize = 256;

/// How it stands with a packet of a client of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has said what became of it.
    Unanswered,
    /// It was handed to its device, which may still reject it.
    Delivered,
    /// There is nothing more to say of it.
    Over,
}

#[derive(Debug)]
struct Sent {
    asker: Asker,
    to: UserId,
    stage: Stage,
    /// On how many ways it is: the end of one says nothing of another.
    ways: u8,
}

/// A packet that was handed to a device here.
#[derive(Debug)]
struct Delivery {
    user: UserId,
    device: DeviceId,
    /// The server that it came from, and its number there; none once it was rejected.
    origin: Option<(RouterId, u64)>,
}

/// The packets that something may still be said of.
#[derive(Debug, Default)]
pub(crate) struct Directs {
    sent: BTreeMap<u64, Sent>,
    /// The same in the order in which they came, and of these the ones not answered too long.
    sent_at: VecDeque<(Time, u64)>,
    unanswered: VecDeque<(Time, u64)>,
    deliveries: BTreeMap<u64, Delivery>,
    delivered_at: VecDeque<(Time, u64)>,
}

/// What became of a client's packet, for its sender.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    asker: Asker,
    to: UserId,
    /// Whether it is the one reply, and not what may follow it.
    is_first: bool,
}

impl Directs {
    /// A packet of a client goes out. What is not waited for any more in its stead.
    fn send(&mut self, now: Time, corr: u64, asker: Asker, to: UserId) -> Option<Answer> {
        let mut given_up = None;
        if self.sent.len() >= MAX_SENT
            && let Some((_, oldest)) = self.sent_at.pop_front()
        {
            self.unanswered.pop_front_if(|(_, corr)| *corr == oldest);
            given_up = self.answer(oldest, Code::Timeout);
            self.sent.remove(&oldest);
        }
        self.sent_at.push_back((now, corr));
        self.unanswered.push_back((now, corr));
        self.sent.insert(corr, Sent { asker, to, stage: Stage::Unanswered, ways: 1 });
        given_up
    }

    /// A packet goes by a second way too.
    fn goes_twice(&mut self, corr: u64) {
        if let Some(sent) = self.sent.get_mut(&corr) {
            sent.ways = 2;
        }
    }

    /// Something is said of a packet. Nobody who asks is told twice, but that what was delivered is of no use.
    fn answer(&mut self, corr: u64, code: Code) -> Option<Answer> {
        let Sent { asker, to, stage, ways } = self.sent.get_mut(&corr)?;
        if matches!(code, Code::Limit | Code::Unreachable) && *ways > 1 {
            *ways = ways.saturating_sub(1);
            return None;
        }
        let is_first = *stage == Stage::Unanswered;
        if !is_first && (*stage, code) != (Stage::Delivered, Code::NoSession) {
            return None;
        }
        *stage = if code == Code::Ok { Stage::Delivered } else { Stage::Over };
        Some(Answer { asker: *asker, to: *to, is_first })
    }

    /// A packet is handed to a device here.
    fn deliver(&mut self, now: Time, delivery: u64, whose: Delivery) {
        if self.deliveries.len() >= MAX_DELIVERIES
            && let Some((_, oldest)) = self.delivered_at.pop_front()
        {
            self.deliveries.remove(&oldest);
        }
        self.delivered_at.push_back((now, delivery));
        self.deliveries.insert(delivery, whose);
    }

    /// A device has no session for what it was handed: where that came from, said once.
    fn reject(&mut self, delivery: u64, user: UserId, device: DeviceId) -> Option<(RouterId, u64)> {
        let delivery = self.deliveries.get_mut(&delivery)?;
        if (delivery.user, delivery.device) != (user, device) {
            return None;
        }
        delivery.origin.take()
    }

    /// The next packet that was not answered in time.
    fn next_late(&mut self, now: Time) -> Option<u64> {
        self.unanswered.pop_front_if(|(at, _)| *at + STATUS_TIMEOUT <= now).map(|(_, corr)| corr)
    }

    /// Forgets what can be neither answered nor rejected any more.
    fn expire(&mut self, now: Time) {
        while let Some((_, corr)) = self.sent_at.pop_front_if(|(at, _)| *at + REJECT_TIME <= now) {
            self.sent.remove(&corr);
        }
        while let Some((_, delivery)) = self.delivered_at.pop_front_if(|(at, _)| *at + REJECT_TIME <= now) {
            self.deliveries.remove(&delivery);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let late = self.unanswered.front().map(|(at, _)| *at + STATUS_TIMEOUT);
        let old = [self.sent_at.front(), self.delivered_at.front()];
        old.into_iter().flatten().map(|(at, _)| *at + REJECT_TIME).chain(late).min()
    }

    /// The packets of clients of ours, and those handed to them.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.sent.len(), self.deliveries.len())
    }
}

impl Node {
    /// A client sends a packet to one device.
    pub(crate) fn send_dm(&mut self, link: LinkId, req: u32, dm: SendDm) {
        let now = self.cx.now;
        let Some(session) = self.sessions.get_mut(link) else { return };
        let (asker, unanswered) = (session.asking(req), session.unanswered);
        let pace = session.pace_packet(now, Packet::is_call(&dm.packet));
        if !self.paced(link, req, pace) {
            return self.cx.stats.refuse(RefusedFor::Rate);
        }
        if unanswered >= MAX_UNANSWERED {
            self.cx.stats.refuse(RefusedFor::Limit);
            return self.refuse(link, req, Code::Limit, 0);
        }
        match self.try_send(link, asker, dm) {
            Ok(()) => self.cx.stats.accept(),
            Err(code) => {
                self.cx.stats.refuse(RefusedFor::of(code));
                self.reply(link, req, Kind::DmStatus(code));
            }
        }
    }

    /// Sends a packet on, and answers as soon as it is known what became of it; or says why it goes nowhere.
    fn try_send(&mut self, link: LinkId, asker: Asker, dm: SendDm) -> Result<(), Code> {
        let SendDm { user, device, server, packet, attempt } = dm;
        if packet.len() > MAX_PACKET {
            return Err(Code::TooLarge);
        }
        let router = server.router();
        if server == self.identity {
            let to = self.sessions.of_device(user, device).ok_or(Code::NotHere)?;
            let corr = self.begin_packet(asker, user);
            let code =
                self.hand_to(to, link, DmDeliver { user, device, packet, delivery: 0 }, (router, corr));
            self.status(corr, code);
            return Ok(());
        }
        let is_it = self.server_of(router) == Some(server);
        let first = if is_it { self.map.next_hop(router, None) } else { None };
        let first = first.ok_or(Code::Unreachable)?;
        let corr = self.begin_packet(asker, user);
        let payload = Carried::Direct(DmDeliver { user, device, packet, delivery: 0 }).encode();
        let mut head = self.new_head(Class::Dm, vec![router], false);
        head.corr = corr;
        let travelling = Travelling { head, payload, source: link, from: None };
        // What seems not to arrive goes by another way as well, if there is one: whoever is on the first may take
        // everything and pass on nothing.
        if attempt > 0 && self.map.next_hop(router, Some(first)) != Some(first) {
            self.directs.goes_twice(corr);
            self.forward(Travelling { from: Some(first), ..travelling.clone() });
        }
        self.forward(travelling);
        Ok(())
    }

    /// The number under which a packet is spoken of between servers; 0 if nobody wants to know.
    fn begin_packet(&mut self, asker: Asker, to: UserId) -> u64 {
        if asker.req == 0 {
            return 0;
        }
        let corr = self.cx.rng.next_u64().max(1);
        let link = self.sessions.of_asker(&asker);
        if let Some(session) = link.and_then(|link| self.sessions.get_mut(link)) {
            session.unanswered = session.unanswered.saturating_add(1);
        }
        if let Some(given_up) = self.directs.send(self.cx.now, corr, asker, to) {
            self.answer_sender(&given_up, Code::Timeout);
        }
        corr
    }

    /// Hands a packet to the session of its device, on its link or for the one that resumes it.
    fn hand_to(&mut self, to: LinkId, source: LinkId, mut dm: DmDeliver, origin: (RouterId, u64)) -> Code {
        let (_, corr) = origin;
        dm.delivery = 0;
        if corr != 0 {
            dm.delivery = self.cx.rng.next_u64().max(1);
            let whose = Delivery { user: dm.user, device: dm.device, origin: Some(origin) };
            self.directs.deliver(self.cx.now, dm.delivery, whose);
        }
        let (head, body) = Frame::from(Kind::Dm(dm)).encode_split();
        let (class, owed, counted) = (SendClass::Direct, Owed::Session, Counted::Yes);
        let item = Item { class, source, owed, counted, ..Item::control(head, body) };
        self.cx.stats.owe(owed.copies());
        if self.send_item(to, item) == Outcome::Taken { Code::Ok } else { Code::NotHere }
    }

    /// A packet came for a device here.
    pub(crate) fn hand_direct(&mut self, link: LinkId, head: &RouteHead, payload: Bytes, digest: Digest16) {
        let Ok(Carried::Direct(dm)) = Carried::decode(Class::Dm, payload) else {
            return self.cx.stats.drop_new(1, DroppedFor::Malformed);
        };
        let Some(to) = self.sessions.of_device(dm.user, dm.device) else {
            self.cx.stats.drop_new(1, DroppedFor::NotHere);
            return self.tell_status(Some(link), (head.origin, head.corr), Code::NotHere);
        };
        // What was sent again by another way may come twice. The number is the sending server's and nobody can guess it,
        // and who repeats it with the same bytes takes nothing away.
        let number = [digest.as_bytes().as_slice(), &head.corr.to_be_bytes()].concat();
        if head.corr != 0 && !self.router.seen.insert(self.cx.now, Digest16::of(&number)) {
            self.cx.stats.drop_new(1, DroppedFor::Duplicate);
            return self.tell_status(Some(link), (head.origin, head.corr), Code::Ok);
        }
        let code = self.hand_to(to, link, dm, (head.origin, head.corr));
        self.tell_status(Some(link), (head.origin, head.corr), code);
    }

    /// A device could not open what it was handed.
    pub(crate) fn reject_dm(&mut self, link: LinkId, delivery: u64, code: Code) {
        let Some(session) = self.sessions.get(link).filter(|_| code == Code::NoSession) else { return };
        let (user, device) = (session.user, session.device);
        if let Some((origin, corr)) = self.directs.reject(delivery, user, device) {
            self.tell_status(None, (origin, corr), Code::NoSession);
        }
    }

    /// A packet or a question goes nowhere: its origin is told.
    pub(crate) fn undeliverable(&mut self, head: &RouteHead) {
        if matches!(head.class, Class::Dm | Class::LookupReq) {
            self.tell_status(None, (head.origin, head.corr), Code::Unreachable);
        }
    }

    /// Says of packets that there was no room for them. Where that has no room itself it is not said, so that no answer
    /// pushes out a packet which would then be answered.
    pub(crate) fn answer_cut(&mut self) {
        for (origin, corr) in std::mem::take(&mut self.cx.cut) {
            if origin == self.identity.router() {
                self.status(corr, Code::Limit);
                continue;
            }
            let link = self.map.next_hop(origin, None).and_then(|next| self.peers.link_of(next));
            if let Some(link) = link.filter(|link| self.links.has_room(*link, STATUS_ROOM)) {
                self.tell_status(Some(link), (origin, corr), Code::Limit);
            }
        }
        // An answer takes memory, if not room in a queue: what gave way to one is not answered, or that would go on.
        self.cx.cut.clear();
    }

    /// Tells the server where a packet or a question began what became of it; `via` is the link that brought it.
    fn tell_status(&mut self, via: Option<LinkId>, (origin, corr): (RouterId, u64), code: Code) {
        if corr == 0 {
            return;
        }
        if origin == self.identity.router() {
            return self.status(corr, code);
        }
        let mut head = self.new_head(Class::DmStatus, vec![origin], false);
        head.corr = corr;
        let payload = Carried::Status(code).encode();
        self.answer_by(via, Travelling { head, payload, source: OURSELVES, from: None });
    }

    /// A server said what became of a packet or a question of ours.
    pub(crate) fn status_came(&mut self, corr: u64, payload: Bytes) {
        match Carried::decode(Class::DmStatus, payload) {
            Ok(Carried::Status(code @ (Code::Ok | Code::NotHere | Code::NoSession | Code::Limit))) => {
                self.status(corr, code)
            }
            Ok(Carried::Status(_)) => self.status(corr, Code::Unreachable),
            _ => {}
        }
    }

    fn status(&mut self, corr: u64, code: Code) {
        if code == Code::Unreachable {
            self.cannot_ask(corr);
        }
        if let Some(answer) = self.directs.answer(corr, code) {
            self.answer_sender(&answer, code);
        }
    }

    fn answer_sender(&mut self, answer: &Answer, code: Code) {
        // A want of room on the way says nothing of where the receiver is.
        if !matches!(code, Code::Ok | Code::Limit) {
            self.lookups.forget(answer.to);
        }
        let Some(link) = self.sessions.of_asker(&answer.asker) else { return };
        if let Some(session) = self.sessions.get_mut(link).filter(|_| answer.is_first) {
            session.unanswered = session.unanswered.saturating_sub(1);
        }
        self.reply(link, answer.asker.req, Kind::DmStatus(code));
    }

    /// Answers for the servers that said nothing in time, and forgets what is long ago.
    pub(crate) fn expire_directs(&mut self) {
        while let Some(corr) = self.directs.next_late(self.cx.now) {
            self.status(corr, Code::Timeout);
        }
        self.directs.expire(self.cx.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::SessionId;

    const TO: UserId = UserId::new([2; 32]);

    fn asker(req: u32) -> Asker {
        let (user, device) = (UserId::new([1; 32]), DeviceId::new([1; 16]));
        Asker { user, device, session: SessionId::new([1; 16]), req }
    }

    fn answer(req: u32, is_first: bool) -> Option<Answer> {
        Some(Answer { asker: asker(req), to: TO, is_first })
    }

    #[test]
    fn one_answer_each_and_after_delivery_one_word_that_it_was_of_no_use() {
        let mut directs = Directs::default();
        for corr in 1..=3 {
            assert_eq!(directs.send(Time::ZERO, corr, asker(corr as u32), TO), None);
        }
        assert_eq!(directs.answer(1, Code::Ok), answer(1, true));
        assert_eq!(directs.answer(1, Code::NotHere), None, "it was delivered");
        assert_eq!(directs.answer(1, Code::NoSession), answer(1, false));
        assert_eq!(directs.answer(1, Code::NoSession), None);
        assert_eq!(directs.answer(2, Code::NotHere), answer(2, true));
        assert_eq!(directs.answer(2, Code::NoSession), None);
        let late = Time::ZERO + STATUS_TIMEOUT;
        assert_eq!(directs.next_late(Time::from_millis(4_999)), None);
        let asked: Vec<u64> = std::iter::from_fn(|| directs.next_late(late)).collect();
        assert_eq!(asked, [1, 2, 3]);
        assert_eq!(directs.answer(1, Code::Timeout), None);
        assert_eq!(directs.answer(3, Code::Timeout), answer(3, true));
        assert_eq!(directs.answer(3, Code::Ok), None, "too late");
        assert_eq!(directs.answer(9, Code::Ok), None);
    }

    #[test]
    fn a_delivery_is_rejected_once_by_its_own_device_within_thirty_seconds() {
        let mut directs = Directs::default();
        let (bob, phone) = (UserId::new([2; 32]), DeviceId::new([3; 16]));
        for delivery in [7, 8] {
            let origin = Some((RouterId(1), delivery));
            directs.deliver(Time::ZERO, delivery, Delivery { user: bob, device: phone, origin });
        }
        assert_eq!(directs.reject(7, bob, DeviceId::new([4; 16])), None);
        assert_eq!(directs.reject(7, TO, DeviceId::new([0; 16])), None);
        assert_eq!(directs.reject(7, bob, phone), Some((RouterId(1), 7)));
        assert_eq!(directs.reject(7, bob, phone), None);
        directs.expire(Time::from_millis(29_999));
        assert_eq!(directs.sizes(), (0, 2));
        directs.expire(Time::ZERO + REJECT_TIME);
        assert_eq!((directs.sizes(), directs.deadline()), ((0, 0), None));
        assert_eq!(directs.reject(8, bob, phone), None);
    }

    #[test]
    fn what_can_be_answered_and_rejected_is_bounded_and_the_oldest_goes() {
        let mut directs = Directs::default();
        let mut given_up = 0;
        for corr in 1..=100_000_u64 {
            given_up +=
                usize::from(directs.send(Time::from_millis(corr / 100), corr, asker(1), TO).is_some());
            let origin = Some((RouterId(1), corr));
            let whose = Delivery { user: TO, device: DeviceId::new([1; 16]), origin };
            directs.deliver(Time::from_millis(corr / 100), corr, whose);
        }
        assert_eq!(directs.sizes(), (MAX_SENT, MAX_DELIVERIES));
        assert_eq!(given_up, 100_000 - MAX_SENT);
        assert_eq!(directs.unanswered.len(), MAX_SENT);
        assert_eq!((directs.sent_at.len(), directs.delivered_at.len()), (MAX_SENT, MAX_DELIVERIES));
        assert_eq!(directs.answer(1, Code::Ok), None);
        assert!(directs.answer(100_000, Code::Ok).is_some());
    }
}
