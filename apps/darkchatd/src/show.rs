//! What the operator asked for, as lines of words: names before values, `-` where there is none, nothing aligned.

use darkchat_proto::{RecordFlags, ServerId};
use darkchat_server::{Hop, MapRow, NetworkMap, Peer, Trace};
use std::time::Duration;

/// A link with a server.
pub(crate) fn peer(peer: &Peer) -> String {
    let Peer { id, addr, outbound, pinned, up, round_trip, queued, .. } = peer;
    let direction = if *outbound { "out" } else { "in" };
    let why = match (pinned, outbound) {
        (true, _) => "pinned",
        (false, true) => "chosen",
        (false, false) => "inbound",
    };
    let rtt = round_trip.map_or_else(|| "-".to_owned(), millis);
    format!("{id} {direction} {addr} rtt {rtt} up {} queued {queued}B {why}", span(*up))
}

/// The counts of the network, then its servers.
pub(crate) fn map(map: &NetworkMap) -> String {
    let (servers, reachable) = (map.servers.len(), map.reachable());
    let mut lines = vec![format!("servers {servers} reachable {reachable} links {}", map.links)];
    lines.extend(map.servers.iter().map(row));
    lines.join("\n")
}

fn row(row: &MapRow) -> String {
    let MapRow { server, addrs, flags, hops, next, neighbours, tags, .. } = row;
    let addrs: Vec<String> = addrs.iter().map(|addr| addr.to_addr().to_string()).collect();
    let hops = hops.map_or_else(|| "unreachable".to_owned(), |hops| hops.to_string());
    let next = next.as_ref().map_or_else(|| "-".to_owned(), mark);
    let (addrs, flags) = (words(&addrs), words(&flag_words(*flags)));
    format!("{server} {addrs} {flags} hops {hops} via {next} neighbours {neighbours} tags {tags}")
}

fn flag_words(flags: RecordFlags) -> Vec<String> {
    let known = [
        (flags.contains(RecordFlags::DIALABLE), "dialable"),
        (!flags.contains(RecordFlags::TRANSIT), "leaf"),
        (flags.contains(RecordFlags::DRAINING), "draining"),
        (flags.contains(RecordFlags::PEERS_CLOSED), "closed"),
    ];
    known.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word.to_owned()).collect()
}

fn words(list: &[String]) -> String {
    if list.is_empty() { "-".to_owned() } else { list.join(",") }
}

/// What came of a trace: the counts, the hops as a tree is read, and who did not answer.
pub(crate) fn trace(trace: &Trace) -> String {
    let Trace { hops, missing, unasked, .. } = trace;
    let answered = hops.iter().filter(|hop| hop.here).count();
    let servers = answered.saturating_add(missing.len());
    let mut lines = vec![format!("servers {servers} answered {answered} unasked {unasked}")];
    lines.extend(hops.iter().map(hop));
    lines.extend(missing.iter().map(|server| format!("missing {server}")));
    lines.join("\n")
}

fn hop(hop: &Hop) -> String {
    let Hop { server, from, hops, delay, here, .. } = hop;
    let part = if *here { "wants" } else { "transit" };
    format!("hop {hops} {server} from {} delay {} {part}", mark(from), millis(*delay))
}

/// A server for short, where its whole key stands in the same reply: characters 2 to 9 of it.
fn mark(server: &ServerId) -> String {
    server.to_string().chars().skip(1).take(8).collect()
}

/// Milliseconds with one decimal.
fn millis(time: Duration) -> String {
    let tenths = time.as_micros() / 100;
    format!("{}.{}ms", tenths / 10, tenths % 10)
}

/// The two greatest units: `42s`, `3m05s`, `2h07m`, `3d04h`.
fn span(time: Duration) -> String {
    let secs = time.as_secs();
    let (minutes, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", secs % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_one_word_and_never_rounded_up() {
        let spans = [0, 59, 60, 185, 3_599, 3_600, 7_620, 86_399, 86_400, 273_600];
        let shown = spans.map(|secs| span(Duration::from_secs(secs)));
        assert_eq!(
            shown,
            ["0s", "59s", "1m00s", "3m05s", "59m59s", "1h00m", "2h07m", "23h59m", "1d00h", "3d04h"]
        );
        let shown = [0, 99, 100, 12_349, 3_000_000].map(|micros| millis(Duration::from_micros(micros)));
        assert_eq!(shown, ["0.0ms", "0.0ms", "0.1ms", "12.3ms", "3000.0ms"]);
    }

    #[test]
    fn flags_are_the_documented_words() {
        let all = RecordFlags::from_bits(13);
        assert_eq!(words(&flag_words(all)), "dialable,leaf,draining,closed");
        assert_eq!(words(&flag_words(RecordFlags::TRANSIT)), "-");
    }
}
