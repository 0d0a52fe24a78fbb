//! One generation of a private channel, as a member keeps it. Source: `docs/protocol.md`, section 8.1.

use darkchat_crypto::group::{Group, OVERLAP_MS};
use darkchat_proto::{ChannelId, Signed, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How long a generation is read after another one has taken its place: as long as two steps overlap.
const READ_ON_MS: u64 = OVERLAP_MS;
/// How long a rekey is kept for members who were away. It holds the secret of a generation's beginning, so it is kept no
/// longer than a step lasts: whoever takes the device then opens an hour, as without it.
const KEPT_MS: u64 = 3_600_000;
/// How long whoever made a rekey keeps it for those who have not acknowledged it yet: as long as a generation lasts.
pub(super) const KEPT_UNTOLD_MS: u64 = 7 * 86_400_000;

/// A generation: its secret, where it came from, and who is still to be told of it.
pub(super) struct Generation {
    pub(super) group: Group,
    /// The generations that it replaces, as channels: several when branches have come together.
    pub(super) parents: BTreeSet<ChannelId>,
    /// Whom the rekey has removed.
    pub(super) removed: BTreeSet<UserId>,
    /// The signed rekeys that lead here, one a parent. They hold the secret of its beginning.
    pub(super) rekeys: BTreeMap<ChannelId, Signed>,
    /// When it came to be known here, in Unix milliseconds.
    pub(super) since_ms: u64,
    /// Since when another one has its place, in Unix milliseconds.
    pub(super) retired_ms: Option<u64>,
    /// Whether it was found that it is not read any more.
    pub(super) is_closed: bool,
    /// Whether it was found that its secret is too old to be moved on.
    pub(super) is_too_old: bool,
    /// Whom we are still to tell of it, and over which parent; only where we have made the rekey.
    pub(super) untold: BTreeSet<(UserId, ChannelId)>,
    /// Who is new in it, by our own rekey: they are invited instead.
    pub(super) invited: BTreeSet<UserId>,
    /// Whether this program tells others of it, or has told them all: it knows best who is left.
    pub(super) is_teller: bool,
}

impl Generation {
    pub(super) const fn new(group: Group, now_ms: u64) -> Self {
        Self {
            group,
            parents: BTreeSet::new(),
            removed: BTreeSet::new(),
            rekeys: BTreeMap::new(),
            since_ms: now_ms,
            retired_ms: None,
            is_closed: false,
            is_too_old: false,
            untold: BTreeSet::new(),
            invited: BTreeSet::new(),
            is_teller: false,
        }
    }

    /// Whether what comes in it is still looked at.
    pub(super) fn is_read(&self, now_ms: u64) -> bool {
        self.retired_ms.is_none_or(|since| now_ms < since.saturating_add(READ_ON_MS))
    }

    /// When its secret moves on, if it still can.
    pub(super) fn next_step_ms(&self) -> Option<u64> {
        (!self.is_too_old).then(|| self.group.next_step_ms())
    }

    /// When it is not read any more, if that is still to come.
    pub(super) fn read_until_ms(&self) -> Option<u64> {
        self.retired_ms.filter(|_| !self.is_closed).map(|since| since.saturating_add(READ_ON_MS))
    }

    /// Whether somebody is on the signed list; nobody is where there is none or it is not known.
    pub(super) fn lists(&self, user: &UserId) -> bool {
        self.group.members().is_some_and(|mut members| members.any(|member| member == user))
    }

    /// The members, where the list is known.
    pub(super) fn members(&self) -> Option<BTreeSet<UserId>> {
        self.group.members().map(|members| members.copied().collect())
    }

    /// Wipes what was kept for others long enough.
    pub(super) fn forget_rekeys(&mut self, now_ms: u64) {
        let waits = !self.untold.is_empty() || !self.invited.is_empty();
        let kept = if waits { KEPT_UNTOLD_MS } else { KEPT_MS };
        if now_ms.saturating_sub(self.since_ms) >= kept {
            self.rekeys.clear();
            self.untold.clear();
            self.invited.clear();
        }
    }

    /// When [`forget_rekeys`](Self::forget_rekeys) has something to do.
    pub(super) fn forget_at_ms(&self) -> Option<u64> {
        let waits = !self.untold.is_empty() || !self.invited.is_empty();
        let kept = if waits { KEPT_UNTOLD_MS } else { KEPT_MS };
        (waits || !self.rekeys.is_empty()).then(|| self.since_ms.saturating_add(kept))
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("group", &self.group)
            .field("parents", &self.parents)
            .field("retired_ms", &self.retired_ms)
            .finish_non_exhaustive()
    }
}
