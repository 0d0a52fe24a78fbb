//! The limits in force: what an operator may change, and the table that is printed.

use crate::Profile;
use crate::gate;
use darkchat_node::{ClientBudgets, Neighbours, PeerBudgets};
use std::time::Duration;

/// Time from accepting a connection to a link that is up; a person who signs by hand needs more.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time from accepting a connection to the first message of its handshake, which needs nobody's thought. TLS and the
/// upgrade of a WebSocket are within it: three round trips, for which a second each is enough on any line.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(3);
/// The longest time that a handshake may be given.
pub(crate) const HANDSHAKE_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Time for a link to take what was sent and the goodbye, before it is cut.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Time that [`Server::run_until`](crate::Server::run_until) gives its links to end.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// What an operator may choose, beside the budgets of the profile. Source: `docs/protocol.md`, sections 10 and 12.
///
/// ```
/// use darkchat_server::{Limits, Profile};
/// let small = Limits { max_clients: 100, ..Limits::of(Profile::Public) };
/// assert!(small.rows().contains(&("clients", 100)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain choices, made with `..Limits::of(profile)`")]
pub struct Limits {
    /// The budgets of links, and whether connections are counted by address.
    pub profile: Profile,
    /// The most clients at once.
    pub max_clients: usize,
    /// How many other servers it links with.
    pub neighbours: Neighbours,
    /// The memory that the server may take, in bytes; what waits to be sent takes at most a quarter of it.
    pub memory_budget: usize,
    /// How long a client's session outlives its link, so that the client can go on with it; 0 turns that off.
    pub resume: Duration,
    /// What may wait for a server that there was a way to until just now, in bytes; 0 turns that off.
    pub limbo_bytes: usize,
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
            neighbours: node.neighbours,
            memory_budget: node.memory_budget,
            resume: node.resume,
            limbo_bytes: node.limbo_bytes,
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
            ("peers_min", count(self.neighbours.min)),
            ("peers_target", count(self.neighbours.target)),
            ("peers", count(self.neighbours.max)),
            ("memory", count(self.memory_budget)),
            ("resume_ms", ms(self.resume)),
            ("limbo", count(self.limbo_bytes)),
            ("handshake_ms", ms(self.handshake_timeout)),
            ("first_byte_ms", ms(FIRST_BYTE)),
            ("close_ms", ms(CLOSE_WITHIN)),
        ];
        rows.extend(darkchat_node::dial_limits());
        rows.extend(darkchat_node::table_limits());
        rows.extend(gate::rows(self.profile));
        rows.extend(budgets(self.profile));
        rows
    }
}

/// The budgets of section 10.1, as rate and burst.
fn budgets(profile: Profile) -> Vec<(&'static str, u64)> {
    let (client, peer) = (ClientBudgets::of(profile), PeerBudgets::of(profile));
    let rates = [
        ("client_frames_per_s", "client_frames_burst", client.frames),
        ("client_bytes_per_s", "client_bytes_burst", client.bytes),
        ("client_posts_per_s", "client_posts_burst", client.posts),
        ("client_entries_per_s", "client_entries_burst", client.entries),
        ("client_joins_per_s", "client_joins_burst", client.joins),
        ("client_lookups_per_s", "client_lookups_burst", client.lookups),
        ("client_packets_per_s", "client_packets_burst", client.packets),
        ("client_calls_per_s", "client_calls_burst", client.calls),
        ("peer_frames_per_s", "peer_frames_burst", peer.frames),
        ("peer_bytes_per_s", "peer_bytes_burst", peer.bytes),
        ("peer_destinations_per_s", "peer_destinations_burst", peer.destinations),
        ("peer_records_per_s", "peer_records_burst", peer.records),
        ("peer_probes_per_s", "peer_probes_burst", peer.probes),
        ("peer_shards_per_s", "peer_shards_burst", peer.shards),
        ("peer_answers_per_s", "peer_answers_burst", peer.answers),
        ("peer_rows_per_s", "peer_rows_burst", peer.rows),
        ("peer_lookups_per_s", "peer_lookups_burst", peer.lookups),
    ];
    rates.iter().flat_map(|(rate, burst, of)| [(*rate, of.per_s), (*burst, of.burst)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_limit_has_one_name_and_trust_multiplies_budgets_and_lifts_the_gate() {
        let of = |profile| Limits::of(profile).rows().into_iter().collect::<BTreeMap<_, _>>();
        let (public, trusted) = (of(Profile::Public), of(Profile::Trusted));
        assert_eq!(public.len(), Limits::of(Profile::Public).rows().len());
        assert_eq!((public["client_posts_per_s"], trusted["client_posts_per_s"]), (20, 2_000));
        assert_eq!((public["open"], public["accept_burst"], public["accept_per_s"]), (64, 50, 10));
        assert!(!trusted.contains_key("open"));
        // Of each kind that has a bound, one: queues, tables, what is remembered, probes.
        for name in
            ["client_queue", "client_channels", "limbo", "seen", "tags", "trace_servers", "peer_probes_per_s"]
        {
            assert!(public.contains_key(name), "{name}");
        }
        assert_eq!((public["peer_answers_burst"], public["peer_rows_burst"]), (40_000, 65_536));
    }
}
