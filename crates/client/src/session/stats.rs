//! The counters of a client. Source: `docs/protocol.md`, section 13.2.

/// What became of the entries that arrived: each is counted once under one of these, but for `gap`.
///
/// ```
/// use darkchat_client::Stats;
/// let stats = Stats::default();
/// assert_eq!((stats.shown, stats.gap), (0, 0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Given to the user; `HERE` and `PART` count here too.
    pub shown: u64,
    /// Came before. A call of a direct message that comes again, and an answer to one of ours that does, counts here too.
    pub duplicate: u64,
    /// Came after its gap was reported, or from before the start of its stream.
    pub late: u64,
    /// Stamped more than 300 s from our clock.
    pub stale: u64,
    /// In a post that its author did not sign; such a post counts once.
    pub bad_signature: u64,
    /// In a sealed post that we have no key for, or a packet of a direct message that does not open, or that answers no
    /// call of ours; such a post or packet counts once.
    pub undecryptable: u64,
    /// Without the form of its kind; a post without form counts once.
    pub malformed: u64,
    /// Of a kind that this version does not know.
    pub unknown_kind: u64,
    /// Good, and not wanted: of a blocked key, our own come back, of a channel that is being left or joined, of a secret
    /// of a private channel that is over, of who is no member of it; and a call of who is called by us in the same
    /// moment, if ours goes before. No fault is in that.
    pub ignored: u64,
    /// Of a channel that we have not asked for, or a packet for another device; such a packet counts once.
    pub misdirected: u64,
    /// Calls of direct messages above 20 a second, which are not read, or of more users than are kept.
    pub unread_calls: u64,
    /// Bundles in answers to lookups that are not signed by the user whom we asked for, or do not serve; no entries.
    pub bad_bundles: u64,
    /// Numbers that were missing.
    pub gap: u64,
    /// Given to the user, but dropped because the program did not read; part of no other counter.
    pub unread: u64,
    /// Times that the seen ids were swapped early because they were too many.
    pub seen_early: u64,
}
