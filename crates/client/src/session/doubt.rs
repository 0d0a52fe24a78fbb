//! What came and was not believed, told to the user by name. Source: `docs/protocol.md`, sections 6.3 and 13.2.
//!
//! Every fault has its counter. From what the counters say now and said before follow the events, so that nothing can
//! be counted and not told, and however much comes, little is told.

use super::{Event, Session, Stats};
use darkchat_proto::Time;
use std::time::Duration;

/// Faults are told at most so often; what comes meanwhile is told together.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Why something that a server brought is not shown as what it claims to be. The server may be at fault, or one behind
/// it, or whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The author whom it names did not sign it.
    Forged,
    /// It has not the form that it should have, or was signed for another channel.
    Malformed,
    /// It is stamped more than 300 s from our clock: old, and perhaps repeated.
    Stale,
    /// It came before. That happens without anybody's fault when a link between servers breaks, and when somebody does
    /// not wait long enough for an answer.
    Repeated,
    /// It came after its gap was reported.
    Late,
    /// It is sealed, and does not open, or it answers no call of ours.
    Unopened,
    /// It says where a user's device is, and that user did not say so, or it does not serve.
    FalseBundle,
    /// It is for another device, or of a channel that we have not asked for. That happens without anybody's fault for a
    /// moment after a channel was left.
    Misdirected,
    /// It is one call too many: who begins a session of direct messages costs us work, and there is only so much in a
    /// second.
    Flood,
}

impl Fault {
    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Repeated => "repeated",
            Self::Late => "late",
            Self::Unopened => "unopened",
            Self::FalseBundle => "false_bundle",
            Self::Misdirected => "misdirected",
            Self::Flood => "flood",
        }
    }
}

/// The faults, each with its counter.
const fn counts(stats: &Stats) -> [(Fault, u64); 9] {
    [
        (Fault::Forged, stats.bad_signature),
        (Fault::Malformed, stats.malformed),
        (Fault::Stale, stats.stale),
        (Fault::Repeated, stats.duplicate),
        (Fault::Late, stats.late),
        (Fault::Unopened, stats.undecryptable),
        (Fault::FalseBundle, stats.bad_bundles),
        (Fault::Misdirected, stats.misdirected),
        (Fault::Flood, stats.unread_calls),
    ]
}

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    told: Stats,
    /// When something may be told again.
    quiet_until: Time,
    /// Whether something waits for that.
    waits: bool,
}

impl Doubts {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.waits.then_some(self.quiet_until)
    }
}

impl Session {
    /// Tells what was counted since the last time, if it is time.
    pub(super) fn tell_faults(&mut self, now: Time) {
        let (old, new) = (counts(&self.doubts.told), counts(&self.stats));
        let is_more = |((_, old), (_, new)): (&(Fault, u64), &(Fault, u64))| new > old;
        self.doubts.waits = old.iter().zip(&new).any(is_more);
        if !self.doubts.waits || now < self.doubts.quiet_until {
            return;
        }
        self.doubts.told = self.stats;
        self.doubts.waits = false;
        self.doubts.quiet_until = now + TELL_EVERY;
        for ((fault, new), (_, old)) in new.into_iter().zip(old) {
            if let Some(count @ 1..) = new.checked_sub(old) {
                self.event(Event::Rejected { fault, count });
            }
        }
    }
}
