//! The keys of messages that were stepped over and may still come: so many, and so long.

use super::chain::MessageKey;
use super::{MAX_SKIPPED, SKIPPED_AGE};
use darkchat_proto::{DirectHead, Time};
use std::collections::VecDeque;

/// A key that waits for its message.
struct Waiting {
    dh: [u8; 32],
    number: u32,
    key: MessageKey,
    since: Time,
}

/// Oldest first. A thousand are looked through faster than a message is decrypted.
#[derive(Default)]
pub(super) struct Skipped(VecDeque<Waiting>);

impl Skipped {
    /// The key of this message, if it waits.
    pub(super) fn find(&self, head: &DirectHead, now: Time) -> Option<&MessageKey> {
        let found = self.0.iter().find(|waiting| waiting.is_of(head))?;
        (!found.is_old(now)).then_some(&found.key)
    }

    /// Wipes the key of a message that was opened.
    pub(super) fn spend(&mut self, head: &DirectHead) {
        self.0.retain(|waiting| !waiting.is_of(head));
    }

    /// Keeps keys of the chain under `dh`; the oldest go when there are too many.
    pub(super) fn keep(&mut self, dh: [u8; 32], keys: Vec<(u32, MessageKey)>, now: Time) {
        self.0.extend(keys.into_iter().map(|(number, key)| Waiting { dh, number, key, since: now }));
        let over = self.0.len().saturating_sub(MAX_SKIPPED);
        drop(self.0.drain(..over));
    }

    /// Wipes what has waited too long.
    pub(super) fn expire(&mut self, now: Time) {
        self.0.retain(|waiting| !waiting.is_old(now));
    }

    #[expect(clippy::arithmetic_side_effects, reason = "a time saturates")]
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.0.iter().map(|waiting| waiting.since + SKIPPED_AGE).min()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Heads, secrets and ages, for tests that look at everything.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = ([u8; 32], u32, [u8; 32], Time)> {
        self.0.iter().map(|waiting| (waiting.dh, waiting.number, waiting.key.secret(), waiting.since))
    }
}

impl Waiting {
    fn is_of(&self, head: &DirectHead) -> bool {
        self.number == head.number && self.dh == head.dh
    }

    fn is_old(&self, now: Time) -> bool {
        now.saturating_since(self.since) >= SKIPPED_AGE
    }
}
