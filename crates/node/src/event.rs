//! What a node reports: facts for logs, for the operator and for tests.

use crate::LinkId;
use darkchat_proto::{Addr, Code, ServerId, UserId};

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A link with another server is up.
    PeerUp {
        /// Which link.
        link: LinkId,
        /// The proven key.
        peer: ServerId,
        /// Where it is.
        addr: Addr,
        /// Whether we dialled it.
        outbound: bool,
    },
    /// A link with another server is gone.
    PeerDown {
        /// Which link.
        link: LinkId,
        /// The proven key.
        peer: ServerId,
        /// Why.
        why: Code,
    },
    /// A dial came to nothing; it is tried again where the operator asked for it.
    DialFailed {
        /// Where.
        addr: Addr,
        /// Why. `CONFLICT`: it is ourselves.
        why: Code,
    },
    /// A dial ended at a server that we were linked with already; one of the two links goes.
    AlreadyLinked {
        /// Where.
        addr: Addr,
        /// Who is there.
        peer: ServerId,
    },
    /// A user's program is connected.
    ClientUp {
        /// Which link.
        link: LinkId,
        /// The proven key.
        user: UserId,
    },
    /// A user's program is gone.
    ClientDown {
        /// Which link.
        link: LinkId,
        /// The proven key.
        user: UserId,
        /// Why.
        why: Code,
    },
    /// A frame, or a link, was refused.
    Refused {
        /// Which link.
        link: LinkId,
        /// Why.
        code: Code,
    },
    /// A link does not read fast enough: said once an episode, not once a drop.
    Slow {
        /// Which link.
        link: LinkId,
        /// The frames dropped so far.
        dropped: u64,
    },
    /// A server went on with forged posts after it was told: its link ends. Unless the operator named it, it is neither
    /// dialled nor let in for an hour.
    Forger {
        /// Which link.
        link: LinkId,
        /// The proven key.
        peer: ServerId,
    },
    /// Our own key is in use by another process: peering is closed.
    KeyElsewhere,
}
