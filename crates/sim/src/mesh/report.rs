//! What a run has shown, as one JSON object.

use super::world::Mesh;
use serde::Serialize;
use std::collections::BTreeMap;

/// The result of a run. Times are virtual and in seconds, unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was run: the same world gives the same trace.
    pub world: Mesh,
    /// The messages that were sent.
    pub messages: u64,
    /// The pairs of a message and a member that should hear it: both servers live to the end, on one side of a split.
    pub expected: u64,
    /// Those of them that happened at least once.
    pub delivered: u64,
    /// How often a member heard a message again.
    pub duplicates: u64,
    /// How often a server gave a member an earlier message of an author less than 0.5 s after a later one: the way
    /// changed, and a client still shows them in order.
    pub reordered: u64,
    /// How often it did so later than that, or gave one that nobody sent.
    pub order_violations: u64,
    /// What is missing because a hostile peer kept it.
    pub missing_swallowed: u64,
    /// What is missing because the publisher's server had not heard that the member's wants it: a hostile peer kept that.
    pub missing_unheard: u64,
    /// What else is missing and is neither counted as dropped at a server nor was on a link that ended.
    pub unexplained_losses: u64,
    /// Whether the accounting of every server closes (protocol 13.2).
    pub accounting_closes: bool,
    /// Copies that still wait at the end.
    pub pending: u64,
    /// Frames sent again by another way.
    pub resent: u64,
    /// Copies that were on links when those ended.
    pub destroyed: u64,
    /// Copies that came to hostile peers.
    pub swallowed: u64,
    /// Dropped copies by reason, at all servers.
    pub dropped: BTreeMap<String, u64>,
    /// Closed links by reason, at all servers.
    pub closed: BTreeMap<String, u64>,
    /// The links when the first message was sent.
    pub links: usize,
    /// Frames with a message that crossed a link, by message.
    pub link_crossings_per_message: f64,
    /// The same for the smallest tree of shortest paths found for each message on the true graph.
    pub optimal_crossings: f64,
    /// The longest time from a message to a member.
    pub slowest_s: f64,
    /// Living servers without a way to the others at the end: all their neighbours crashed.
    pub cut_off: u64,
    /// From the last crash, or the end of faults, until all living servers held the same and the truth.
    pub reach_after_kill_s: Option<f64>,
    /// From the moment at which one address was reachable until all servers held the same.
    pub merged_after_split_s: Option<f64>,
    /// From the moment at which a link swallowed everything until both ends had closed it.
    pub hole_noticed_s: Option<f64>,
    /// What is asked for: the greater of 2 s and eight round trips.
    pub hole_limit_s: Option<f64>,
    /// Bytes of control frames that a server sent a second while messages passed, on average.
    pub control_bytes_per_server_s: f64,
    /// The same of the one that sent most.
    pub control_bytes_worst_server_s: f64,
    /// An estimate from the numbers of records, tags and digests that the fullest server holds at the end.
    pub max_state_bytes_per_server: usize,
    /// Frames that crossed links, by what they say.
    pub frames: BTreeMap<String, u64>,
    /// The length of the run.
    pub virtual_s: f64,
    /// What it took, in real seconds; measured by the program, because nothing here has a clock.
    pub wall_s: f64,
    /// The processor time that it took, in seconds, where the system tells.
    pub core_s: Option<f64>,
    /// The part of that after all servers had found each other: from the first message on.
    pub traffic_core_s: Option<f64>,
    /// Equal for equal runs, in every build.
    pub trace_hash: String,
}
