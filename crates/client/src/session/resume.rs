//! What of the session outlives a lost link, so that the next one goes on with it. Source: `docs/protocol.md`, 5.4.

use bytes::Bytes;
use darkchat_proto::{Resume, ServerId, Time};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Frames without an acknowledgement, in bytes: as much as may wait to be sent.
const RING_BYTES: usize = 2 << 20;
/// The same in frames: more than the open questions and all that may be unacknowledged between two pings.
const RING_FRAMES: usize = 1_024;
/// A ping tells the server what was processed at least after so many frames, either way.
const ACK_FRAMES: u64 = 64;
/// And when so much waits for an acknowledgement, in bytes.
const ACK_BYTES: usize = 128 << 10;

/// How a session is resumed.
struct Token {
    token: [u8; 16],
    server: ServerId,
    /// How long the server keeps the session after it has lost the link.
    span: Duration,
}

/// Counters and frames that both ends need to agree on after a lost link.
#[derive(Default)]
pub(super) struct Resuming {
    token: Option<Token>,
    /// The frames of the server that were processed.
    received: u64,
    /// How many of them a ping or pong has told.
    told: u64,
    /// Our frames that went out, without an acknowledgement.
    ring: VecDeque<Bytes>,
    bytes: usize,
    /// Our frames before the first one there.
    before: u64,
    /// Our frames that had gone out at the last ping.
    asked: u64,
    /// The link is lost; until when its session may be resumed.
    until: Option<Time>,
    /// Whether the dial under way gives the token.
    offered: bool,
}

impl fmt::Debug for Resuming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, received, told: _, ring, bytes, before, asked: _, until, offered } = self;
        f.debug_struct("Resuming")
            .field("received", received)
            .field("ring", &ring.len())
            .field("bytes", bytes)
            .field("before", before)
            .field("until", until)
            .field("offered", offered)
            .finish_non_exhaustive()
    }
}

impl Resuming {
    /// A session begins, or goes on, with this token for the next time.
    pub(super) fn welcomed(&mut self, token: Option<[u8; 16]>, server: ServerId, span: Duration) {
        self.token = token.filter(|_| !span.is_zero()).map(|token| Token { token, server, span });
        self.until = None;
        self.offered = false;
    }

    /// A frame of the server was processed.
    pub(super) const fn received(&mut self) {
        self.received = self.received.saturating_add(1);
    }

    /// A frame goes out that the server counts.
    pub(super) fn sent(&mut self, frame: &Bytes) {
        if self.token.is_none() {
            return;
        }
        self.bytes = self.bytes.saturating_add(frame.len());
        self.ring.push_back(frame.clone());
        while self.bytes > RING_BYTES || self.ring.len() > RING_FRAMES {
            self.forget();
        }
    }

    /// The server has processed so many of our frames.
    pub(super) fn acked(&mut self, received: u64) {
        while self.before < received && !self.ring.is_empty() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some(frame) = self.ring.pop_front() {
            self.bytes = self.bytes.saturating_sub(frame.len());
            self.before = self.before.saturating_add(1);
        }
    }

    fn count(&self) -> u64 {
        self.before.saturating_add(u64::try_from(self.ring.len()).unwrap_or(u64::MAX))
    }

    /// Whether the server is to hear what was processed, and to say what it has.
    pub(super) fn wants_ping(&self) -> bool {
        let unasked = self.count().saturating_sub(self.asked);
        self.token.is_some()
            && (self.received.saturating_sub(self.told) >= ACK_FRAMES
                || unasked >= ACK_FRAMES
                || (unasked > 0 && self.bytes >= ACK_BYTES))
    }

    /// What a pong says; noted as said.
    pub(super) const fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.received
    }

    /// What a ping says; its pong says what the server has.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked = self.count();
        self.tell()
    }

    /// The link is lost: whether its session is worth keeping. One that was kept already stays kept.
    pub(super) fn lose(&mut self, now: Time) -> bool {
        let Some(token) = &self.token else { return false };
        self.offered = false;
        self.until = Some(self.until.unwrap_or(now + token.span));
        self.until.is_some_and(|until| until > now)
    }

    /// Whether the session waits for a link to go on with.
    pub(super) const fn is_waiting(&self) -> bool {
        self.until.is_some()
    }

    /// Whether a session could be resumed if the link were lost now.
    pub(super) const fn is_possible(&self) -> bool {
        self.token.is_some()
    }

    /// What to give to this server.
    pub(super) fn offer(&mut self, now: Time, server: Option<ServerId>) -> Option<Resume> {
        let token = self.token.as_ref()?;
        self.offered = self.until.is_some_and(|until| until > now) && server == Some(token.server);
        self.offered.then_some(Resume { token: token.token, received: self.received })
    }

    /// When the session is given up.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.until
    }

    /// The server goes on, and has processed so many of our frames: those that go again. `None` if that cannot be.
    pub(super) fn again(&mut self, received: u64) -> Option<Vec<Bytes>> {
        if !self.offered || !(self.before..=self.count()).contains(&received) {
            return None;
        }
        self.acked(received);
        self.bytes = 0;
        (self.told, self.asked) = (self.received, received);
        Some(std::mem::take(&mut self.ring).into())
    }

    /// The session is over.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerId = ServerId::new([9; 32]);

    fn up() -> Resuming {
        let mut resuming = Resuming::default();
        resuming.welcomed(Some([7; 16]), SERVER, Duration::from_secs(10));
        resuming
    }

    fn frame(len: usize) -> Bytes {
        vec![0; len].into()
    }

    #[test]
    fn the_token_goes_to_its_own_server_within_its_time_and_never_into_debug_output() {
        let mut resuming = up();
        assert!(resuming.offer(Time::ZERO, Some(SERVER)).is_none(), "nothing is lost");
        assert!(resuming.lose(Time::ZERO));
        assert!(resuming.offer(Time::from_millis(9_999), Some(SERVER)).is_some());
        assert!(resuming.offer(Time::from_millis(1), Some(ServerId::new([1; 32]))).is_none());
        assert!(resuming.offer(Time::from_millis(1), None).is_none());
        assert!(resuming.offer(Time::from_millis(10_000), Some(SERVER)).is_none());
        assert!(!format!("{resuming:?}").contains("7, 7"));
    }

    #[test]
    fn what_the_server_lacks_goes_again_and_what_is_lost_cannot() {
        let mut resuming = up();
        for _ in 0..10 {
            resuming.sent(&frame(5));
        }
        resuming.acked(4);
        resuming.lose(Time::ZERO);
        assert!(resuming.again(6).is_none(), "it was not offered");
        resuming.offer(Time::ZERO, Some(SERVER));
        assert!(resuming.again(3).is_none() && resuming.again(11).is_none());
        assert_eq!(resuming.again(6).map(|frames| frames.len()), Some(4));
        assert_eq!((resuming.before, resuming.bytes), (6, 0));
    }

    #[test]
    fn frames_without_an_acknowledgement_are_bounded_in_number_and_bytes() {
        let mut resuming = up();
        for _ in 0..5_000 {
            resuming.sent(&frame(1));
        }
        assert_eq!((resuming.ring.len(), resuming.count()), (RING_FRAMES, 5_000));
        for _ in 0..100 {
            resuming.sent(&frame(60_000));
        }
        assert!(resuming.bytes <= RING_BYTES && resuming.count() == 5_100);
    }

    #[test]
    fn a_ping_is_due_after_64_frames_either_way_or_128_kib() {
        let mut resuming = up();
        (0..63).for_each(|_| resuming.received());
        assert!(!resuming.wants_ping());
        resuming.received();
        assert!(resuming.wants_ping());
        assert_eq!(resuming.ask(), 64);
        (0..63).for_each(|_| resuming.sent(&frame(1)));
        assert!(!resuming.wants_ping());
        resuming.sent(&frame(1));
        assert!(resuming.wants_ping());
        resuming.ask();
        resuming.sent(&frame(ACK_BYTES));
        assert!(resuming.wants_ping());
        resuming.ask();
        assert!(!resuming.wants_ping(), "once for what waits");
    }

    #[test]
    fn a_session_that_cannot_be_resumed_keeps_nothing() {
        let mut resuming = Resuming::default();
        resuming.welcomed(None, SERVER, Duration::from_secs(10));
        resuming.sent(&frame(1));
        assert!(resuming.ring.is_empty() && !resuming.lose(Time::ZERO) && !resuming.wants_ping());
    }
}
