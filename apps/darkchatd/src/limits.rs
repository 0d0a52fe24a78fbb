//! `--print-limits`: every limit in force, as `NAME VALUE` lines that tests and operators read.

use crate::http;
use darkchat_proto::limits as wire;
use darkchat_server::{Limits, Profile};
use std::fmt::Write as _;

/// The lines, one limit each; numbers are bytes, counts, or carry their unit in the name.
pub(crate) fn lines(limits: &Limits) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "profile {}", name(limits.profile));
    for (name, value) in wire_limits().into_iter().chain(limits.rows()).chain(http::limits()) {
        let _ = writeln!(out, "{name} {value}");
    }
    out
}

/// What a profile is called on the command line and in the start report.
pub(crate) const fn name(profile: Profile) -> &'static str {
    match profile {
        Profile::Trusted => "trusted",
        Profile::Unmetered => "unmetered",
        _ => "public",
    }
}

fn wire_limits() -> Vec<(&'static str, u64)> {
    let rows = [
        ("max_unit", wire::MAX_UNIT),
        ("max_handshake_unit", wire::MAX_HANDSHAKE_UNIT),
        ("max_frame", wire::MAX_FRAME),
        ("max_deliver", wire::MAX_DELIVER),
        ("max_payload", wire::MAX_PAYLOAD),
        ("max_entries", wire::MAX_ENTRIES),
        ("max_headers", wire::MAX_HEADERS),
        ("max_join", wire::MAX_JOIN),
        ("max_name", wire::MAX_NAME),
        ("max_channel_name", wire::MAX_CHANNEL_NAME),
        ("max_record", wire::MAX_RECORD),
        ("max_dst", wire::MAX_DST),
    ];
    rows.into_iter().map(|(name, value)| (name, u64::try_from(value).unwrap_or(u64::MAX))).collect()
}
