//! Counters: plain numbers, without names, bodies or keys.

use darkchat_proto::Code;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a server has counted since its start, and what it holds now.
///
/// ```
/// # use darkchat_crypto::Identity;
/// # use darkchat_server::Server;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let server = Server::builder(Identity::generate()).start().await?;
/// let stats = server.stats();
/// assert_eq!((stats.node.delivered, stats.handshakes), (0, 0));
/// assert!(stats.node.closes(), "every copy is accounted for");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// What the node counted: links, frames, copies, refusals and drops.
    pub node: darkchat_node::Stats,
    /// Connections that were closed before their link was up, by reason.
    pub closed_early: BTreeMap<Code, u64>,
    /// Handshakes in progress now.
    pub handshakes: usize,
    /// Tasks now: two for each link, and some for the server itself.
    pub tasks: usize,
    /// Events that listeners missed because they did not read.
    pub events_lost: u64,
}

/// Codes that may be counted; the wire's highest is 22.
const CODES: usize = 32;

/// A counter for each code.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; CODES]);

impl Counts {
    pub(crate) fn add(&self, code: Code) {
        if let Some(count) = self.0.get(usize::from(code.number())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that are not zero.
    pub(crate) fn all(&self) -> BTreeMap<Code, u64> {
        let count =
            |code: Code| self.0.get(usize::from(code.number())).map_or(0, |n| n.load(Ordering::Relaxed));
        Code::all().map(|code| (code, count(code))).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_counter() {
        let counts = Counts::default();
        Code::all().for_each(|code| counts.add(code));
        assert!(Code::all().all(|code| counts.all().get(&code) == Some(&1)));
    }
}
