//! What all concerns of the node share: the time, the counters, the outputs and the randomness.

use crate::rng::Rng;
use crate::{Event, LinkId, Output, Stats};
use darkchat_proto::{Code, Time};
use std::collections::VecDeque;

/// Passed to whoever acts on an input.
#[derive(Debug)]
pub(crate) struct Context {
    /// When the input at hand happened; never goes back.
    pub(crate) now: Time,
    /// What is to be done.
    pub(crate) out: VecDeque<Output>,
    /// What was counted.
    pub(crate) stats: Stats,
    /// The only randomness.
    pub(crate) rng: Rng,
    /// The last wall clock and when it was told.
    wall: Option<(Time, u64)>,
}

impl Context {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            now: Time::ZERO,
            out: VecDeque::new(),
            stats: Stats::default(),
            rng: Rng::new(seed),
            wall: None,
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    pub(crate) fn refused(&mut self, link: LinkId, code: Code) {
        self.event(Event::Refused { link, code });
    }

    pub(crate) const fn set_wall(&mut self, unix_ms: u64) {
        self.wall = Some((self.now, unix_ms));
    }

    /// The wall clock in Unix milliseconds; `None` before the first one was told.
    pub(crate) fn wall_ms(&self) -> Option<u64> {
        let (told, unix_ms) = self.wall?;
        let passed = u64::try_from(self.now.saturating_since(told).as_millis()).unwrap_or(u64::MAX);
        Some(unix_ms.saturating_add(passed))
    }
}
