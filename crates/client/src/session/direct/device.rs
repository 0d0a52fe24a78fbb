//! One device of a user: how it is called, and the sessions with it. Source: `docs/protocol.md`, sections 7.3 to 7.7.

use super::order::Order;
use bytes::Bytes;
use darkchat_crypto::direct::{Callee, Calling};
use darkchat_crypto::ratchet::{HalfOpen, Ratchet};
use darkchat_proto::limits::MAX_ACKS;
use darkchat_proto::{ContentId, DirectId, KeyId, ServerId, Time};
use std::time::Duration;

/// Sessions with one device, and answered calls of one device (DM_SESSIONS per device).
const SESSIONS: usize = 4;
/// How long a session receives after another took its place.
const KEEP_OLD: Duration = Duration::from_secs(120);
/// How long an answered call may wait for its first message (DM_HALF_OPEN).
const HALF_OPEN: Duration = Duration::from_secs(30);
/// How long such a call keeps us from calling: a caller whose answers are lost repeats INIT within 8 s.
const HALF_OPEN_WAIT: Duration = Duration::from_secs(10);
/// The waits after which INIT goes again (DM_INIT_RETRY), and after the last of which the call has failed.
const CALL_WAITS: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8), Duration::from_secs(2)];
/// A device that is said to have lost its sessions is called at most once in this time.
const CALL_EVERY: Duration = Duration::from_secs(10);
/// How long a device that was heard of counts as there, though a lookup does not tell of it.
const PRESENT: Duration = Duration::from_secs(30);
/// How long what goes there takes two ways after something had to be repeated: longer than a content is tried (DM_RETRY).
const WARY: Duration = Duration::from_secs(60);
/// How long an acknowledgement may wait for company (DM_ACK).
const ACK_WITHIN: Duration = Duration::from_millis(50);
/// Acknowledgements that wait for a session or for a budget: of more, the oldest are repeated when they are asked for.
const ACKS_WAITING: usize = 8 * MAX_ACKS;

/// A call of ours that is not answered yet.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) calling: Calling,
    /// INIT, which goes again as it is.
    pub(super) packet: Bytes,
    /// The bundle that it was made for.
    pub(super) key: KeyId,
    /// How often it left.
    pub(super) sent: usize,
    /// When it is to leave again.
    pub(super) again: Time,
    /// When it first left.
    pub(super) began: Time,
}

/// A call of theirs that we have answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) half: HalfOpen,
    /// RESP, which a repeated INIT gets again.
    pub(super) resp: Bytes,
    pub(super) ephemeral: [u8; 32],
    /// When its INIT came last.
    pub(super) asked: Time,
}

/// A session that stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) ratchet: Ratchet,
    pub(super) order: Order,
    /// Until when it receives, once another has taken its place.
    pub(super) until: Option<Time>,
    /// When something of it opened last.
    pub(super) heard: Time,
    /// Nothing more is written to it: the other side is said to have lost it, or does not acknowledge.
    pub(super) is_doubtful: bool,
}

impl Standing {
    pub(super) fn new(ratchet: Ratchet, now: Time) -> Self {
        Self { ratchet, order: Order::default(), until: None, heard: now, is_doubtful: false }
    }
}

/// A device of a user.
#[derive(Debug)]
pub(super) struct Device {
    /// Where packets for it go.
    pub(super) server: ServerId,
    /// What it can be called by.
    pub(super) bundle: Option<Callee>,
    /// Whether the last lookup told of it, or it called us since.
    pub(super) is_listed: bool,
    pub(super) call: Option<Call>,
    /// Whether it is to be called.
    pub(super) wants_call: bool,
    /// When it was called last because it was said to have lost its sessions.
    called: Option<Time>,
    pub(super) answered: Vec<Answered>,
    /// The newest last: the one that is written to.
    pub(super) sessions: Vec<Standing>,
    pub(super) acks: Vec<ContentId>,
    ack_by: Option<Time>,
    /// When something of it opened last.
    pub(super) heard: Option<Time>,
    /// When we or it had to repeat something last.
    repeated: Option<Time>,
}

impl Device {
    pub(super) const fn new(server: ServerId) -> Self {
        Self {
            server,
            bundle: None,
            is_listed: false,
            call: None,
            wants_call: false,
            called: None,
            answered: Vec::new(),
            sessions: Vec::new(),
            acks: Vec::new(),
            ack_by: None,
            heard: None,
            repeated: None,
        }
    }

    /// We repeat something, or it does as our answer has not arrived: what leaves from now on goes two ways.
    pub(super) const fn repeated(&mut self, now: Time) {
        self.repeated = Some(now);
    }

    /// `SendDm.attempt` of what leaves now (10.5).
    pub(super) fn attempt(&self, now: Time) -> u32 {
        self.repeated.is_some_and(|at| at + WARY > now).into()
    }

    /// Whether what is sent to the user is sent to this device.
    pub(super) fn is_present(&self, now: Time) -> bool {
        self.is_listed || self.heard.is_some_and(|heard| heard + PRESENT > now)
    }

    /// The session that is written to.
    pub(super) fn writable(&mut self) -> Option<&mut Standing> {
        self.sessions.last_mut().filter(|session| !session.is_doubtful)
    }

    pub(super) fn session(&mut self, id: DirectId) -> Option<&mut Standing> {
        self.sessions.iter_mut().find(|session| session.ratchet.id() == id)
    }

    /// A new session stands: the others receive for a while, and the oldest goes when there are too many.
    pub(super) fn establish(&mut self, now: Time, ratchet: Ratchet) {
        for session in &mut self.sessions {
            session.until.get_or_insert(now + KEEP_OLD);
        }
        self.sessions.push(Standing::new(ratchet, now));
        if self.sessions.len() > SESSIONS {
            self.sessions.remove(0);
        }
        self.wants_call = false;
    }

    /// A call of theirs was answered; the oldest goes when there are too many.
    pub(super) fn answer(&mut self, answered: Answered) {
        self.answered.push(answered);
        if self.answered.len() > SESSIONS {
            self.answered.remove(0);
        }
    }

    /// Whether a call of theirs is so young that ours waits for it (7.6).
    pub(super) fn is_being_called(&self, now: Time) -> bool {
        self.answered.iter().any(|answered| answered.asked + HALF_OPEN_WAIT > now)
    }

    /// The session is said to be lost there. Says whether that is taken for a reason to call: once in 10 s.
    pub(super) fn lose(&mut self, now: Time, id: DirectId) -> bool {
        if self.called.is_some_and(|called| called + CALL_EVERY > now) {
            return false;
        }
        let Some(session) = self.session(id) else { return false };
        session.is_doubtful = true;
        self.called = Some(now);
        self.wants_call = true;
        self.bundle = None;
        true
    }

    /// A call leaves, for the first time or again.
    pub(super) fn call_left(&mut self, now: Time) {
        if let Some(call) = &mut self.call {
            let wait = CALL_WAITS.get(call.sent).copied().unwrap_or_default();
            call.sent += 1;
            call.again = now + wait;
        }
    }

    /// Whether the call has left as often as it may.
    pub(super) fn call_has_failed(&self, now: Time) -> bool {
        self.call.as_ref().is_some_and(|call| call.sent >= CALL_WAITS.len() && call.again <= now)
    }

    /// A content came that is to be acknowledged.
    pub(super) fn acknowledge(&mut self, now: Time, id: ContentId) {
        if !self.acks.contains(&id) {
            self.acks.push(id);
        }
        if self.acks.len() > ACKS_WAITING {
            self.acks.remove(0);
        }
        self.ack_by.get_or_insert(now + ACK_WITHIN);
        if self.acks.len() >= MAX_ACKS {
            self.ack_by = Some(now);
        }
    }

    /// Whether acknowledgements are to leave now, with or without company.
    pub(super) fn acks_are_due(&self, now: Time) -> bool {
        self.ack_by.is_some_and(|by| by <= now)
    }

    /// Those that leave now; more follow.
    pub(super) fn take_acks(&mut self, now: Time) -> Vec<ContentId> {
        let count = self.acks.len().min(MAX_ACKS);
        let taken = self.acks.drain(..count).collect();
        self.ack_by = (!self.acks.is_empty()).then_some(now);
        taken
    }

    /// The link is gone: what was under way on it begins anew on the next.
    pub(super) fn link_lost(&mut self) {
        self.wants_call |= self.call.take().is_some();
    }

    /// Wipes what has no time left.
    pub(super) fn expire(&mut self, now: Time) {
        self.answered.retain(|answered| answered.half.began() + HALF_OPEN > now);
        self.sessions.retain(|session| session.until.is_none_or(|until| until > now));
        for session in &mut self.sessions {
            session.ratchet.expire(now);
        }
    }

    /// When something is to be done that only time brings; `is_up` if there is a link to do it on.
    pub(super) fn deadline(&self, now: Time, is_up: bool) -> Option<Time> {
        let answered = self.answered.iter().flat_map(|answered| {
            let wait = (answered.asked + HALF_OPEN_WAIT > now).then(|| answered.asked + HALF_OPEN_WAIT);
            [Some(answered.half.began() + HALF_OPEN), wait]
        });
        let sessions = self
            .sessions
            .iter()
            .flat_map(|session| [session.until, session.ratchet.next_expiry(), session.order.deadline()]);
        let link = [self.call.as_ref().map(|call| call.again), self.ack_by];
        let all = answered.chain(sessions).chain(link.into_iter().filter(|_| is_up)).flatten();
        // What is due and could not be done waits for something to happen; what is later has its time all the same.
        all.filter(|at| *at > now).min()
    }

    /// Whether nothing is kept of it that anybody could miss.
    pub(super) fn is_idle(&self) -> bool {
        self.call.is_none() && self.answered.is_empty() && self.acks.is_empty() && !self.wants_call
    }
}
