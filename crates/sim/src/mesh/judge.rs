//! What a run has shown: who should have heard what, and where the rest went.

use super::engine::{Engine, SECOND};
use super::report::Report;
use super::script::Play;
use darkchat_node::{DroppedFor, Stats};
use std::collections::BTreeMap;

/// What a record in the map, a tag in the index, and a digest of a post take, in bytes; measured by the counted test
/// of the node (`crates/node/tests/state.rs`) and rounded up.
const RECORD_BYTES: usize = 1_000;
const TAG_BYTES: usize = 110;
const SEEN_BYTES: usize = 34;

/// What was noted while the run went on.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The control bytes of each server when the messages began, and when they ended.
    control_before: Vec<u64>,
    control_after: Vec<u64>,
    crossings_before: u64,
    /// When something broke that all are to agree about, and when they did.
    pub(super) broken_at: Option<u64>,
    pub(super) agreed_at: Option<u64>,
    /// The link that swallows, and since when.
    pub(super) hole: Option<(usize, u64)>,
    hole_limit: u64,
    hole_noticed: Option<u64>,
    /// What crashed servers had counted.
    crashed: Vec<Stats>,
}

impl Seen {
    pub(super) fn go(&mut self, engine: &Engine) {
        self.control_before = engine.hosts.iter().map(|host| host.control).collect();
        self.crossings_before = engine.traffic.crossings;
    }

    pub(super) fn stop(&mut self, engine: &Engine) {
        self.control_after = engine.hosts.iter().map(|host| host.control).collect();
    }

    pub(super) fn note_crash(&mut self, engine: &Engine, host: usize) {
        self.crashed.extend(engine.hosts[host].node.as_ref().map(|node| node.stats()));
    }

    pub(super) fn note_hole(&mut self, engine: &Engine) {
        if let Some((end, _)) = self.hole {
            self.hole_limit = (2 * SECOND).max(8 * 2 * engine.ends[end].latency);
        }
    }

    /// Whether the hole was noticed at both ends, or there is none.
    pub(super) fn look_at_hole(&mut self, engine: &Engine) -> bool {
        let Some((end, _)) = self.hole else { return true };
        let noticed = !engine.ends[end].open && !engine.ends[end ^ 1].open;
        if noticed && self.hole_noticed.is_none() {
            self.hole_noticed = Some(engine.now);
        }
        noticed
    }
}

impl Play {
    pub(super) fn judge(&self, end: u64) -> Report {
        let engine = &self.engine;
        let mut report = Report { world: engine.mesh.clone(), ..Report::default() };
        self.count_messages(&mut report);
        self.count_losses(&mut report);
        self.measure(&mut report);
        report.virtual_s = seconds(end);
        report.frames = engine.frames.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
        report.trace_hash = format!("{:016x}", engine.trace.hash());
        report
    }

    fn count_messages(&self, report: &mut Report) {
        let (engine, traffic) = (&self.engine, &self.engine.traffic);
        for (number, message) in traffic.messages.iter().enumerate() {
            let publisher = &traffic.members[message.publisher];
            for (slot, member) in traffic.channels[publisher.channel].iter().enumerate() {
                let heard = traffic.heard(number, slot);
                report.duplicates += u64::from(heard.saturating_sub(1));
                let host = traffic.members[*member].host;
                let settled = [*member, message.publisher]
                    .iter()
                    .all(|member| traffic.members[*member].is_settled(message.at));
                let steady = settled && !engine.hosts[host].crashed && !engine.hosts[publisher.host].crashed;
                if *member != message.publisher && steady && self.joined(message.at, publisher.host, host) {
                    report.expected += 1;
                    report.delivered += u64::from(heard > 0);
                    let pair = (number, engine.hosts[host].router);
                    if heard == 0 && traffic.swallowed.contains(&pair) {
                        report.missing_swallowed += 1;
                    } else if heard == 0 && traffic.unheard.contains(&pair) {
                        report.missing_unheard += 1;
                    }
                }
            }
        }
        report.messages = traffic.messages.len() as u64;
        report.reordered = traffic.reordered;
        report.order_violations = traffic.order_violations;
        report.slowest_s = seconds(traffic.slowest);
    }

    /// Whether there was a way between two servers, as far as the split goes.
    fn joined(&self, at: u64, one: usize, two: usize) -> bool {
        let split = self.engine.mesh.split * SECOND;
        let healed = self.seen.agreed_at.unwrap_or(u64::MAX);
        let is_apart = split > 0 && at + SECOND >= self.go && at < healed;
        !(is_apart && self.engine.apart(one, two))
    }

    fn count_losses(&self, report: &mut Report) {
        let engine = &self.engine;
        let living = engine.hosts.iter().filter_map(|host| host.node.as_ref()).map(|node| node.stats());
        let mut dropped: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut lost = engine.destroyed;
        report.accounting_closes = true;
        for (stats, is_dead) in
            living.map(|stats| (stats, false)).chain(self.seen.crashed.iter().map(|it| (it.clone(), true)))
        {
            report.accounting_closes &= stats.closes();
            for (why, count) in &stats.dropped {
                *dropped.entry(why.name()).or_default() += count;
                if !matches!(why, DroppedFor::Duplicate | DroppedFor::NoMember) {
                    lost += count;
                }
            }
            if is_dead {
                lost += stats.pending;
            } else {
                report.pending += stats.pending;
            }
            report.resent += stats.resent;
            for (code, count) in &stats.closed {
                *report.closed.entry(code.name().to_owned()).or_default() += count;
            }
        }
        report.dropped = dropped.into_iter().map(|(why, count)| (why.to_owned(), count)).collect();
        report.destroyed = engine.destroyed;
        report.swallowed = engine.swallowed;
        let seen = report.delivered + report.missing_swallowed + report.missing_unheard;
        let missing = report.expected - seen;
        report.unexplained_losses = missing.saturating_sub(lost);
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn measure(&self, report: &mut Report) {
        let (engine, seen) = (&self.engine, &self.seen);
        let messages = report.messages.max(1) as f64;
        report.link_crossings_per_message =
            (engine.traffic.crossings - seen.crossings_before) as f64 / messages;
        report.optimal_crossings = engine.optimal_crossings(&self.graph) as f64 / messages;
        let living = engine.hosts.iter().filter(|host| host.node.is_some()).count();
        report.cut_off = living.saturating_sub(engine.joined().len()) as u64;
        report.links = self.graph.iter().map(Vec::len).sum::<usize>() / 2;
        let agreed = seen.broken_at.zip(seen.agreed_at).map(|(from, to)| seconds(to - from));
        if engine.mesh.split > 0 {
            report.merged_after_split_s = agreed;
        } else {
            report.reach_after_kill_s = agreed;
        }
        report.hole_noticed_s = seen.hole.zip(seen.hole_noticed).map(|((_, from), to)| seconds(to - from));
        report.hole_limit_s = seen.hole.map(|_| seconds(seen.hole_limit));
        let sent = seen.control_after.iter().zip(&seen.control_before).map(|(after, before)| after - before);
        let sent: Vec<u64> = sent.collect();
        let per_s = |bytes: u64| bytes as f64 / engine.mesh.seconds.max(1) as f64;
        report.control_bytes_per_server_s = per_s(sent.iter().sum()) / sent.len().max(1) as f64;
        report.control_bytes_worst_server_s = per_s(sent.iter().copied().max().unwrap_or(0));
        let state = |stats: &Stats| {
            let sizes = stats.sizes;
            sizes.servers * RECORD_BYTES
                + sizes.tags * TAG_BYTES
                + sizes.seen * SEEN_BYTES
                + sizes.queued_bytes
        };
        let living = engine.hosts.iter().filter_map(|host| host.node.as_ref());
        report.max_state_bytes_per_server = living.map(|node| state(&node.stats())).max().unwrap_or(0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
