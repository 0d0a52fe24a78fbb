//! The one connection: when to dial whom, and whether the link lives. Source: `docs/protocol.md`, sections 3.5 and
//! 5.3.
//!
//! ```text
//! Idle ──▶ Dialling ──▶ Greeting ──▶ Up ──▶ Closing ──▶ Waiting ──▶ Dialling …
//!              └────────────┴─ failed ──────────────────┘└─▶ Ended
//! ```

use super::random::Random;
use super::{DialId, State};
use darkchat_proto::limits::MAX_ELSEWHERE;
use darkchat_proto::{Announced, Code, Goodbye, ServerAddr, ServerId, Time};
use std::time::Duration;

/// From a dial to the server's welcome.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The first wait and the longest (CLIENT_BACKOFF), with their jitter in percent.
const BACKOFF: (Duration, Duration, u32) = (Duration::from_millis(500), Duration::from_secs(30), 50);
/// The longest wait while the server still keeps the session: several tries within its 10 s.
const RESUME_WITHIN: Duration = Duration::from_secs(2);
/// A link that was up for so long begins the back-off anew.
const STABLE: Duration = Duration::from_secs(60);
/// The most that a goodbye's `retry_ms` is obeyed: no server may silence a client for days.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Nothing came for so long: the link is dead (DEAD client).
const DEAD: Duration = Duration::from_secs(75);
/// The time without sending after which a ping goes, if the server announces none (PING client).
const PING: Duration = Duration::from_secs(30);
/// The bounds of what a server may announce for that: neither a flood of pings nor a link that dies of silence.
const PING_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

#[derive(Debug)]
enum Link {
    Idle,
    Waiting {
        until: Time,
    },
    Dialling {
        dial: DialId,
        deadline: Time,
    },
    Greeting {
        server: ServerId,
        deadline: Time,
    },
    Up {
        since: Time,
    },
    /// Told the driver to close; this is the reason.
    Closing {
        why: Code,
        was_up: Option<Time>,
    },
    Ended,
}

/// Addresses, back-off, and the link's signs of life.
#[derive(Debug)]
pub(super) struct Connection {
    link: Link,
    /// The configured servers, and what the last goodbye suggested behind them.
    servers: Vec<ServerAddr>,
    configured: usize,
    current: usize,
    /// Whether no link was ever up: the addresses are then tried without waiting.
    first_round: bool,
    reconnect: bool,
    persist: bool,
    failures: u32,
    /// What the last goodbye asked to wait.
    retry: Duration,
    last_dial: u64,
    heard: Time,
    sent: Time,
    ping: Duration,
    /// The user wants to go, or the server said something that ends it for good.
    ending: bool,
}

/// What to do after a link or a dial ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Dial at once.
    Dial,
    /// Wait so long.
    Wait(Duration),
    /// Nothing more.
    End,
}

impl Connection {
    pub(super) const fn new(servers: Vec<ServerAddr>, reconnect: bool, persist: bool) -> Self {
        Self {
            link: Link::Idle,
            configured: servers.len(),
            servers,
            current: 0,
            first_round: true,
            reconnect,
            persist,
            failures: 0,
            retry: Duration::ZERO,
            last_dial: 0,
            heard: Time::ZERO,
            sent: Time::ZERO,
            ping: PING,
            ending: false,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.link, Link::Idle)
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// The server that we are linked with.
    pub(super) fn server(&self) -> Option<ServerId> {
        self.servers.get(self.current).filter(|_| self.is_up())?.key
    }

    /// Whether nothing is dialled, and something will be.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.link, Link::Waiting { .. })
    }

    pub(super) const fn is_greeting(&self) -> bool {
        matches!(self.link, Link::Greeting { .. })
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self.link, Link::Ended)
    }

    /// Whether a dial or a link is there that the driver still answers for.
    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.link, Link::Idle | Link::Waiting { .. } | Link::Ended)
    }

    /// Begins the next dial. `None` without any address.
    pub(super) fn dial(&mut self, now: Time) -> Option<(DialId, ServerAddr, bool)> {
        let addr = self.servers.get(self.current)?.clone();
        self.last_dial += 1;
        let dial = DialId(self.last_dial);
        self.link = Link::Dialling { dial, deadline: now + CONNECT_TIMEOUT };
        Some((dial, addr, self.current >= self.configured))
    }

    /// A dial's handshake is complete; now the server's welcome is waited for. `false` for another dial than ours.
    pub(super) fn opened(
        &mut self,
        now: Time,
        answered: DialId,
        server: ServerId,
        announced: &Announced,
    ) -> bool {
        let Link::Dialling { dial, deadline } = self.link else { return false };
        if dial != answered {
            return false;
        }
        self.link = Link::Greeting { server, deadline };
        let ping = Duration::from_millis(announced.ping_ms.into());
        self.ping = if ping.is_zero() { PING } else { ping.clamp(PING_BOUNDS.0, PING_BOUNDS.1) };
        self.heard = now;
        self.sent = now;
        true
    }

    /// The server's welcome came. From now on the same key is expected at this address.
    pub(super) fn welcomed(&mut self, now: Time) -> Option<(State, ServerId)> {
        let Link::Greeting { server, .. } = self.link else { return None };
        self.link = Link::Up { since: now };
        self.first_round = false;
        self.retry = Duration::ZERO;
        let addr = self.servers.get_mut(self.current)?;
        addr.key = Some(server);
        Some((State::Connected { addr: addr.clone(), server }, server))
    }

    /// The server said goodbye.
    pub(super) fn goodbye(&mut self, goodbye: &Goodbye) {
        self.retry = Duration::from_millis(goodbye.retry_ms.into()).min(RETRY_MAX);
        let fatal = [Code::Conflict, Code::Blocked, Code::Unauthorized, Code::Version];
        self.ending |= fatal.contains(&goodbye.code);
        self.servers.truncate(self.configured);
        let suggested = goodbye.elsewhere.iter().take(MAX_ELSEWHERE).filter_map(|text| text.parse().ok());
        let keyed = suggested.filter(|addr: &ServerAddr| addr.key.is_some());
        let new: Vec<ServerAddr> = keyed.filter(|addr| !self.servers.contains(addr)).collect();
        self.servers.extend(new);
        self.current = self.current.min(self.servers.len().saturating_sub(1));
    }

    /// The driver was told to end the dial or the link, for this reason. `false` if there is none, or it was told
    /// already.
    pub(super) fn close(&mut self, why: Code) -> bool {
        let was_up = match self.link {
            Link::Up { since, .. } => Some(since),
            Link::Dialling { .. } | Link::Greeting { .. } => None,
            Link::Idle | Link::Waiting { .. } | Link::Closing { .. } | Link::Ended => return false,
        };
        self.link = Link::Closing { why, was_up };
        true
    }

    /// The user wants to go: there will be no other dial.
    pub(super) const fn end(&mut self) {
        self.ending = true;
    }

    /// Nothing will happen any more.
    pub(super) fn ended(&mut self) {
        self.link = Link::Ended;
    }

    /// Whether this dial is the one under way.
    pub(super) fn is_dialling(&self, answered: DialId) -> bool {
        match self.link {
            Link::Dialling { dial, .. } => dial == answered,
            Link::Closing { .. } => answered == DialId(self.last_dial),
            _ => false,
        }
    }

    /// The dial or the link is gone; says why, as the user is told, and what is next. A session that is
    /// `resumable` goes on where it was: the same server is tried first, and soon.
    pub(super) fn lost(
        &mut self,
        now: Time,
        told: Code,
        resumable: bool,
        random: &mut Random,
    ) -> (Code, Next) {
        let (why, was_up) = match self.link {
            Link::Closing { why, was_up } => (why, was_up),
            Link::Up { since, .. } => (told, Some(since)),
            _ => (told, None),
        };
        if was_up.is_some_and(|since| now.saturating_since(since) >= STABLE) {
            self.failures = 0;
        }
        let wrong = was_up.is_none() && matches!(why, Code::Unauthorized | Code::Version);
        let next =
            if self.ending { Next::End } else { self.next_try(wrong, (resumable, was_up.is_some()), random) };
        self.link = match next {
            Next::Wait(span) => Link::Waiting { until: now + span },
            Next::Dial => Link::Idle,
            Next::End => Link::Ended,
        };
        (why, next)
    }

    /// Turns to the next address. One that answered with another key or another protocol is struck off.
    fn next_try(&mut self, strike: bool, (resumable, was_up): (bool, bool), random: &mut Random) -> Next {
        if resumable && was_up {
            // Where it was is where it can go on.
        } else if strike && self.current < self.servers.len() {
            self.servers.remove(self.current);
            if self.current < self.configured {
                self.configured -= 1;
            }
        } else {
            self.current += 1;
        }
        let round = self.current >= self.servers.len();
        if round {
            self.current = 0;
        }
        if self.servers.is_empty() {
            return Next::End;
        }
        if self.first_round && !round {
            return Next::Dial;
        }
        if !(if self.first_round { self.persist } else { self.reconnect }) {
            return Next::End;
        }
        let (first, mut longest, jitter) = BACKOFF;
        if resumable {
            longest = RESUME_WITHIN;
        }
        let span = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        Next::Wait(random.around(span, jitter).max(std::mem::take(&mut self.retry)))
    }

    /// Something came.
    pub(super) const fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// Something was sent.
    pub(super) const fn sent(&mut self, now: Time) {
        self.sent = now;
    }

    /// What the clock makes necessary.
    pub(super) fn due(&self, now: Time) -> Option<Due> {
        match self.link {
            Link::Waiting { until } if until <= now => Some(Due::Dial),
            Link::Dialling { deadline, .. } | Link::Greeting { deadline, .. } if deadline <= now => {
                Some(Due::Dead)
            }
            Link::Up { .. } if self.heard + DEAD <= now => Some(Due::Dead),
            Link::Up { .. } if self.sent + self.ping <= now => Some(Due::Ping),
            _ => None,
        }
    }

    /// When [`due`](Self::due) says something.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.link {
            Link::Waiting { until } => Some(until),
            Link::Dialling { deadline, .. } | Link::Greeting { deadline, .. } => Some(deadline),
            Link::Up { .. } => Some((self.heard + DEAD).min(self.sent + self.ping)),
            Link::Idle | Link::Closing { .. } | Link::Ended => None,
        }
    }
}

/// What the clock makes necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The wait is over.
    Dial,
    /// Nothing came for too long.
    Dead,
    /// Nothing was sent for too long.
    Ping,
}

#[cfg(test)]
mod tests;
