//! What breaks.

use super::engine::{Engine, MILLI};
use super::script::Step;
use super::world::share;
use darkchat_node::Input;
use darkchat_proto::ServerAddr;

/// All that crash do so within this time.
const KILL_WITHIN: u64 = 200 * MILLI;

impl Engine {
    /// Chooses who crashes, and when.
    pub(super) fn kill(&mut self) -> u64 {
        let mut left: Vec<usize> = (0..self.mesh.servers).collect();
        for _ in 0..share(self.mesh.kill, self.mesh.servers) {
            let host = left.swap_remove(self.rng.index(left.len()));
            let at = self.now + self.rng.below(KILL_WITHIN);
            self.at(at, super::engine::Event::Step(Step::Crash(host)));
        }
        self.now + KILL_WITHIN
    }

    /// A process ends, and does not come back.
    pub(super) fn crash(&mut self, host: usize) {
        self.halt(host);
        self.hosts[host].crashed = true;
    }

    /// Nothing passes between the halves any more, and nobody is told.
    pub(super) fn split(&mut self) {
        let half = self.mesh.servers / 2;
        self.split = Some((half, None));
        for end in 0..self.ends.len() {
            if self.apart(self.ends[end].host, self.ends[end ^ 1].host) {
                self.darken(end);
            }
        }
    }

    fn darken(&mut self, end: usize) {
        self.ends[end].dark = true;
        for (_, item) in std::mem::take(&mut self.ends[end].inbox) {
            self.destroy(&item);
        }
    }

    /// One address of the first half is reachable from the second, and one server there is told to dial it.
    pub(super) fn heal(&mut self) {
        let Some((half, _)) = self.split else { return };
        let alive = |host: &usize| self.hosts[*host].node.is_some();
        let to = (0..half).filter(alive).find(|host| self.hosts[*host].dialable);
        let from = (half..self.hosts.len()).find(alive);
        if let (Some(to), Some(from)) = (to, from) {
            self.split = Some((half, Some(to)));
            let addr = ServerAddr { addr: self.hosts[to].address(), key: Some(self.hosts[to].id) };
            self.tell(from, Input::Peer(addr));
        }
    }

    /// The link that carried the most messages swallows everything from now on; its end.
    pub(super) fn open_hole(&mut self) -> Option<usize> {
        let busy = |end: &usize| self.ends[*end].crossings + self.ends[*end ^ 1].crossings;
        let open = |end: &usize| self.ends[*end].open && self.ends[*end ^ 1].open;
        let end = (0..self.ends.len()).step_by(2).filter(open).max_by_key(busy)?;
        self.darken(end);
        self.darken(end + 1);
        Some(end)
    }

    /// Cuts some link, with what is on the way; both ends learn of it.
    pub(super) fn cut(&mut self) {
        let open: Vec<usize> = (0..self.ends.len())
            .step_by(2)
            .filter(|end| self.ends[*end].open && self.ends[*end ^ 1].open && !self.ends[*end].dark)
            .collect();
        let Some(end) = self.rng.pick(&open) else { return };
        for end in [end, end + 1] {
            let lost = std::mem::take(&mut self.ends[end].inbox);
            for (_, item) in &lost {
                self.destroy(item);
            }
        }
        for end in [end, end + 1] {
            self.sever(end);
        }
    }
}
