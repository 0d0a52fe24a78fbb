//! The limits in force: what an operator may change, and the table that is printed.

use crate::Profile;
use crate::gate;
use std::time::Duration;

/// Time from accepting a connection to a link that is up; a person who signs by hand needs more.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time from accepting a connection to the first message of its handshake, which needs nobody's thought.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(3);
/// The longest time that a handshake may be given.
pub(crate) const HANDSHAKE_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Time for a link to take what was sent and the goodbye, before it is cut.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Time that [`Server::run_until`](crate::Server::run_until) gives its links to end.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// What an operator may choose, beside the budgets of the profile. Source: `docs/protocol.md`, sections 10 and 12.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain choices, made with `..Limits::of(profile)`")]
pub struct Limits {
    /// The budgets of links, and whether connections are counted by address.
    pub profile: Profile,
    /// The most clients at once.
    pub max_clients: usize,
    /// The most peers at once.
    pub max_peers: usize,
    /// The memory that the server may take, in bytes; what waits to be sent takes at most a quarter of it.
    pub memory_budget: usize,
    /// Time from accepting a connection to a link that is up; at most 300 s.
    pub handshake_timeout: Duration,
}

impl Limits {
    /// The defaults under a profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let node = darkchat_node::Config::default();
        Self {
            profile,
            max_clients: node.max_clients,
            max_peers: node.max_peers,
            memory_budget: node.memory_budget,
            handshake_timeout: HANDSHAKE_TIMEOUT,
        }
    }

    /// Every limit with its name, for people; times in milliseconds, sizes in bytes.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, u64)> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut rows = vec![
            ("clients", count(self.max_clients)),
            ("peers", count(self.max_peers)),
            ("memory", count(self.memory_budget)),
            ("handshake_ms", ms(self.handshake_timeout)),
            ("first_byte_ms", ms(FIRST_BYTE)),
            ("close_ms", ms(CLOSE_WITHIN)),
        ];
        rows.extend(gate::rows(self.profile));
        rows
    }
}
