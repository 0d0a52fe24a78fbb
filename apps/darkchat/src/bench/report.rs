//! What a run came to: a table for people, one JSON object for programs.

use super::board::Count;
use super::latency::Quantiles;
use super::process::Taken;
use crate::args::Global;
use crate::failure::Failure;
use crate::print;
use serde::Serialize;

/// The figures of a run; the order of the fields is that of the documentation.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    v: u32,
    r#type: &'static str,
    pub(crate) work: &'static str,
    pub(crate) server: String,
    pub(crate) publishers: u64,
    pub(crate) subscribers: u64,
    pub(crate) channels: u64,
    pub(crate) payload_bytes: usize,
    /// Messages of a post, as they came.
    pub(crate) entries_per_post: Option<f64>,
    pub(crate) rate: Option<u64>,
    pub(crate) sent: u64,
    pub(crate) refused: u64,
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) dropped_posts: u64,
    pub(crate) seconds: f64,
    pub(crate) delivered_per_s: f64,
    pub(crate) server_cpu_s: Option<f64>,
    pub(crate) server_cpu_us_per_delivery: Option<f64>,
    pub(crate) server_rss_kib: Option<u64>,
    /// What each held connection took of that, in bytes.
    pub(crate) server_rss_bytes_per_connection: Option<u64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
}

impl Report {
    pub(crate) fn of(work: &'static str, global: &Global) -> Self {
        let server = global.server.first().map(ToString::to_string).unwrap_or_default();
        Self { v: 1, r#type: "bench", work, server, ..Self::default() }
    }

    /// What was sent, and who has it after so many seconds.
    pub(crate) fn count(&mut self, count: Count, refused: u64, seconds: f64) {
        let Count { sent, expected, delivered, posts, dropped, missing: _ } = count;
        (self.sent, self.refused, self.expected, self.delivered) = (sent, refused, expected, delivered);
        self.lost = expected.saturating_sub(delivered);
        self.dropped_posts = dropped;
        self.entries_per_post = (posts > 0).then(|| rounded(delivered as f64 / posts as f64));
        self.seconds = rounded(seconds);
        self.delivered_per_s = if seconds > 0.0 { (delivered as f64 / seconds).round() } else { 0.0 };
    }

    /// What the servers took for it.
    pub(crate) fn took(&mut self, before: Option<Taken>, after: Option<Taken>) {
        let Some((before, after)) = before.zip(after) else { return };
        let cpu = after.cpu_s - before.cpu_s;
        self.server_cpu_s = Some(rounded(cpu));
        self.server_cpu_us_per_delivery =
            (self.delivered > 0).then(|| rounded(cpu * 1e6 / self.delivered as f64));
        self.server_rss_kib = Some(after.rss_kib);
    }

    pub(crate) fn latency(&mut self, quantiles: Quantiles) {
        let Quantiles { p50_us, p99_us, p999_us, max_us } = quantiles;
        self.p50_us = p50_us.map(rounded);
        self.p99_us = p99_us.map(rounded);
        self.p999_us = p999_us.map(rounded);
        self.max_us = max_us.map(rounded);
    }

    pub(crate) fn print(&self, json: bool) -> Result<(), Failure> {
        let text = if json {
            let mut line = serde_json::to_string(self).map_err(std::io::Error::from)?;
            line.push('\n');
            line
        } else {
            self.table()
        };
        print::out(text.as_bytes())
    }

    /// Rows that mean something for this work, a name and a value each.
    fn table(&self) -> String {
        let some = |value: Option<f64>, unit: &str| value.map(|value| format!("{value:.1} {unit}"));
        let members =
            [(self.publishers, "publishers"), (self.subscribers, "subscribers"), (self.channels, "channels")];
        let members: Vec<_> = members
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, who)| format!("{} {who}", grouped(*count)))
            .collect();
        let rows = [
            ("work", Some(format!("{} at {}", self.work, self.server))),
            ("who", Some(members.join(", "))),
            ("size", (self.payload_bytes > 0).then(|| format!("{} bytes", self.payload_bytes))),
            ("rate", self.rate.map(|rate| format!("{} a second", grouped(rate)))),
            ("per post", self.entries_per_post.map(|count| format!("{count:.1}"))),
            ("sent", Some(format!("{} in {:.2} s", grouped(self.sent), self.seconds))),
            ("refused", (self.refused > 0).then(|| grouped(self.refused))),
            ("delivered", Some(format!("{} of {}", grouped(self.delivered), grouped(self.expected)))),
            ("lost", Some(grouped(self.lost))),
            ("a second", Some(grouped(self.delivered_per_s as u64))),
            ("server CPU", self.server_cpu_s.map(|cpu| format!("{cpu:.2} s"))),
            ("for each", self.server_cpu_us_per_delivery.map(|cpu| format!("{cpu:.3} us"))),
            ("server RSS", self.server_rss_kib.map(|kib| format!("{} KiB", grouped(kib)))),
            (
                "for each",
                self.server_rss_bytes_per_connection.map(|bytes| format!("{} bytes", grouped(bytes))),
            ),
            ("p50", some(self.p50_us, "us")),
            ("p99", some(self.p99_us, "us")),
            ("p99.9", some(self.p999_us, "us")),
            ("max", some(self.max_us, "us")),
        ];
        rows.iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name:<12}{value}\n")))
            .collect()
    }
}

/// Three digits after the point say enough.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_accounts_for_every_message() {
        let mut report = Report::default();
        let count = Count { sent: 10, expected: 1_000, delivered: 990, posts: 330, dropped: 3, missing: 0 };
        report.count(count, 2, 2.0);
        report.took(Some(Taken { cpu_s: 1.0, rss_kib: 5 }), Some(Taken { cpu_s: 1.5, rss_kib: 9_000 }));
        assert_eq!((report.lost, report.delivered_per_s, report.entries_per_post), (10, 495.0, Some(3.0)));
        assert_eq!((report.server_cpu_us_per_delivery, report.server_rss_kib), (Some(505.051), Some(9_000)));
        let table = report.table();
        assert!(table.contains("990 of 1,000") && table.contains("9,000 KiB"), "{table}");
        assert!(!table.contains("p50"), "what is not known is left out: {table}");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
