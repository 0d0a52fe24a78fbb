//! What changes on both sides while halves are apart: servers that come back elsewhere, and people that move.

use super::engine::{Engine, Event, SECOND, client_link};
use super::host::NEVER;
use super::script::{Play, Step};
use super::world::share;
use darkchat_node::Input;
use darkchat_proto::Code;

/// How long a server that is restarted is away: longer than the wall clock is told, so that one clock goes on.
const AWAY: u64 = 12 * SECOND;
/// From its start until its people are back.
const RETURN: u64 = 2 * SECOND;
/// From one server to another.
const MOVE: u64 = SECOND;
/// Before a change, what is on its way may not arrive; after it everybody has to hear of it.
const BEFORE: u64 = 2 * SECOND;
const AFTER: u64 = 20 * SECOND;
/// Nothing changes in the last part of the time apart, so that what is compared is the healing.
const QUIET: u64 = 40 * SECOND;

impl Play {
    /// Chooses who changes while the halves are apart, and when.
    pub(super) fn plan_churn(&mut self) {
        let engine = &mut self.engine;
        let mesh = engine.mesh.clone();
        let span = (mesh.split * SECOND).saturating_sub(QUIET);
        // Nobody knows the new address of a server, so it comes back only to somebody whom its operator names.
        let can_return = |host: &usize| self.pins[*host].iter().any(|other| !engine.apart(*host, *other));
        let mut servers: Vec<usize> = (0..mesh.servers).filter(can_return).collect();
        let mut members: Vec<usize> = (0..engine.traffic.members.len()).collect();
        let (restarts, moves) = (share(mesh.churn, mesh.servers), share(mesh.churn, members.len()));
        for _ in 0..restarts.min(servers.len()) {
            let host = servers.swap_remove(engine.rng.index(servers.len()));
            let at = engine.now + engine.rng.below(span.max(1));
            engine.at(at, Event::Step(Step::Halt(host)));
        }
        for _ in 0..moves {
            let member = members.swap_remove(engine.rng.index(members.len()));
            let at = engine.now + engine.rng.below(span.max(1));
            engine.at(at, Event::Step(Step::Move(member)));
        }
    }

    /// A server ends, and comes back at another address; whoever dials the old one finds it by the map.
    pub(super) fn halt(&mut self, host: usize) {
        self.seen.note_crash(&self.engine, host);
        let engine = &mut self.engine;
        let now = engine.now;
        engine.halt(host);
        engine.relocate(host);
        engine.at(now + AWAY, Event::Start(host));
        engine.at(now + AWAY + RETURN, Event::Step(Step::Return(host)));
        for member in engine.traffic.members.iter_mut().filter(|member| member.host == host) {
            member.unsettled.push((now.saturating_sub(BEFORE), now + AWAY + RETURN + AFTER));
        }
    }

    /// The people of a server that was restarted are back.
    pub(super) fn come_back(&mut self, host: usize) {
        let members = self.engine.traffic.members.iter().enumerate();
        let back: Vec<usize> =
            members.filter(|(_, member)| member.host == host).map(|(number, _)| number).collect();
        for member in back {
            self.engine.enter(member);
        }
    }

    /// Somebody leaves a server for another one of the same half.
    pub(super) fn move_away(&mut self, member: usize) {
        let engine = &mut self.engine;
        let now = engine.now;
        let (from, channel) = {
            let member = &engine.traffic.members[member];
            (member.host, member.channel)
        };
        let taken: Vec<usize> = engine.traffic.channels[channel]
            .iter()
            .map(|member| engine.traffic.members[*member].host)
            .collect();
        let to: Vec<usize> = (0..engine.mesh.servers)
            .filter(|host| engine.hosts[*host].node.is_some() && !taken.contains(host))
            .filter(|host| !engine.apart(*host, from))
            .collect();
        let Some(to) = engine.rng.pick(&to) else { return };
        engine.tell(from, Input::Closed { link: client_link(member as u64), why: Code::Ok });
        let moved = &mut engine.traffic.members[member];
        moved.host = to;
        moved.unsettled.push((now.saturating_sub(BEFORE), now + MOVE + AFTER));
        engine.at(now + MOVE, Event::Step(Step::Enter(member)));
    }
}

impl Engine {
    /// A process ends; its system says so on each of its links.
    pub(super) fn halt(&mut self, host: usize) {
        let halted = &mut self.hosts[host];
        halted.node = None;
        (halted.timer, halted.reads_at) = (NEVER, NEVER);
        for end in std::mem::take(&mut halted.ends) {
            self.end(end);
        }
    }

    /// From now on a server is somewhere else.
    fn relocate(&mut self, host: usize) {
        let before = self.hosts[host].address();
        self.hosts[host].relocate();
        let now = self.hosts[host].address();
        self.addressed(&before, now, host);
    }
}
