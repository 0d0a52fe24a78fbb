//! The bounds of queues, tables and probes by name, for operators. They are the same under every profile.

use crate::interest::{MAX_TAGS_PER_SERVER, MAX_TAGS_TOTAL};
use crate::link::{QUEUE_AGE, QUEUE_CLIENT, QUEUE_CLIENT_FRAMES, QUEUE_PEER, QUEUE_PEER_FRAMES};
use crate::seen::{SEEN_AGE, SEEN_CAP, SESSION_SEEN};
use crate::session::MAX_CHANNELS;
use crate::trace::{MAX_ASKED, MAX_HOPS, MAX_TRACES};

/// What may wait for a link, what is remembered, and how far a probe goes; sizes in bytes, times in milliseconds.
#[must_use]
pub const fn table_limits() -> [(&'static str, u64); 14] {
    [
        ("client_queue", QUEUE_CLIENT as u64),
        ("client_queue_frames", QUEUE_CLIENT_FRAMES as u64),
        ("peer_queue", QUEUE_PEER as u64),
        ("peer_queue_frames", QUEUE_PEER_FRAMES as u64),
        ("queue_ms", QUEUE_AGE.as_millis() as u64),
        ("client_channels", MAX_CHANNELS as u64),
        // Two generations of so many each.
        ("seen", 2 * SEEN_CAP as u64),
        ("seen_ms", SEEN_AGE.as_millis() as u64),
        ("client_seen", SESSION_SEEN as u64),
        ("tags_of_server", MAX_TAGS_PER_SERVER as u64),
        ("tags", MAX_TAGS_TOTAL as u64),
        ("traces", MAX_TRACES as u64),
        ("trace_servers", MAX_ASKED as u64),
        ("trace_hops", MAX_HOPS as u64),
    ]
}
