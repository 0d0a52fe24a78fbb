//! The order of a run: everybody comes up, joins, speaks; things break; what came of it is judged.

use super::engine::{Engine, Event, MILLI, SECOND};
use super::graph::{Graph, dialable, pins};
use super::host::Host;
use super::hostile::strangers;
use super::judge::Seen;
use super::report::Report;
use super::world::{Mesh, share};
use crate::rng::Rng;
use darkchat_node::Input;
use darkchat_proto::ServerAddr;

/// All servers start within this time, as after a power cut.
const START_WITHIN: u64 = SECOND / 2;
/// From the joins until somebody speaks: everybody has to know of them.
const SPREAD: u64 = 10 * SECOND;
/// From the last message to the end: everything has arrived, or was given up.
const DRAIN: u64 = 15 * SECOND;
/// How often it is looked whether all agree.
const LOOK_EVERY: u64 = 50 * MILLI;
/// Looked for at most so long.
const LOOK_FOR: u64 = 180 * SECOND;
/// Faults and the kill come after this part of the time, in tenths.
const AFTER: u64 = 3;

/// A step of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Join,
    Go,
    /// The message with this number is sent.
    Publish(usize),
    Kill,
    Crash(usize),
    Hole,
    Split,
    Heal,
    /// While the halves are apart: a server ends, its people are back, somebody moves, and arrives.
    Halt(usize),
    Return(usize),
    Move(usize),
    Enter(usize),
    Cut,
    /// Whether all agree, as they have not since then.
    Look(u64),
    Stop,
}

pub(super) fn run(mesh: &Mesh, stands: &mut dyn FnMut()) -> Report {
    let mut rng = Rng::new(mesh.seed ^ 0x6D65_7368);
    let dialable = dialable(mesh, &mut rng);
    let pins = pins(mesh, &dialable, &mut rng);
    let servers = dialable.iter().enumerate().map(|(number, dialable)| Host::new(number, *dialable));
    let hosts = servers.chain(strangers(mesh)).collect();
    let mut play = Play {
        engine: Engine::new(mesh, hosts),
        pins,
        graph: Graph::new(),
        seen: Seen::default(),
        go: mesh.settle * SECOND + SPREAD,
        stop: mesh.settle * SECOND + SPREAD + mesh.seconds * SECOND,
    };
    play.plan();
    let end = play.go_on(stands);
    play.judge(end)
}

/// A run in progress.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) engine: Engine,
    /// The servers that each one's operator names when it starts, by the addresses that they have then.
    pub(super) pins: Vec<Vec<usize>>,
    /// The true graph when the first message was sent.
    pub(super) graph: Graph,
    pub(super) seen: Seen,
    pub(super) go: u64,
    pub(super) stop: u64,
}

impl Play {
    fn plan(&mut self) {
        let engine = &mut self.engine;
        for host in 0..engine.hosts.len() {
            let at = engine.rng.below(START_WITHIN);
            let is_stranger = engine.hosts[host].stranger.is_some();
            engine.at(at, if is_stranger { Event::Tick(host) } else { Event::Start(host) });
        }
        let mesh = engine.mesh.clone();
        let at = self.go + (self.stop - self.go) / 10 * AFTER;
        let mut step = |at, step| engine.at(at, Event::Step(step));
        step(mesh.settle * SECOND, Step::Join);
        step(self.go, Step::Go);
        step(self.stop, Step::Stop);
        if mesh.kill > 0.0 {
            step(at, Step::Kill);
        }
        if mesh.hole {
            step(at, Step::Hole);
        }
        if mesh.split > 0 {
            step(self.go, Step::Split);
            step(self.go + mesh.split * SECOND, Step::Heal);
        }
    }

    /// Until everything has happened; when that was.
    fn go_on(&mut self, stands: &mut dyn FnMut()) -> u64 {
        let end = self.stop + DRAIN;
        while let Some(event) = self.engine.next(end) {
            match event {
                Event::Step(step) => {
                    if matches!(step, Step::Go) {
                        stands();
                    }
                    self.step(step);
                }
                Event::Start(host) => {
                    self.engine.happen(event);
                    for other in &self.pins[host] {
                        let other = &self.engine.hosts[*other];
                        let addr = ServerAddr { addr: other.address(), key: Some(other.id) };
                        self.engine.tell(host, Input::Peer(addr));
                    }
                }
                event => self.engine.happen(event),
            }
        }
        end
    }

    fn step(&mut self, step: Step) {
        let now = self.engine.now;
        match step {
            Step::Join => {
                self.engine.traffic.watches_records = true;
                self.engine.join_channels();
            }
            Step::Go => self.begin(),
            Step::Publish(number) => self.publish(number),
            Step::Kill => {
                let done = self.engine.kill();
                self.seen.broken_at = Some(done);
                self.engine.at(done, Event::Step(Step::Look(done)));
            }
            Step::Crash(host) => {
                self.seen.note_crash(&self.engine, host);
                self.engine.crash(host);
            }
            Step::Hole => {
                self.seen.hole = self.engine.open_hole().map(|end| (end, now));
                self.seen.note_hole(&self.engine);
                self.engine.at(now + LOOK_EVERY, Event::Step(Step::Look(now)));
            }
            Step::Split => {
                self.engine.split();
                self.plan_churn();
            }
            Step::Halt(host) => self.halt(host),
            Step::Return(host) => self.come_back(host),
            Step::Move(member) => self.move_away(member),
            Step::Enter(member) => self.engine.enter(member),
            Step::Heal => {
                self.engine.heal();
                self.seen.broken_at = Some(now);
                self.engine.at(now, Event::Step(Step::Look(now)));
            }
            Step::Cut => self.cut(),
            Step::Look(since) => self.look(since),
            Step::Stop => {
                self.seen.stop(&self.engine);
                if self.engine.mesh.liveness && self.seen.broken_at.is_none() {
                    self.seen.broken_at = Some(now);
                    self.engine.at(now, Event::Step(Step::Look(now)));
                }
            }
        }
    }

    fn begin(&mut self) {
        self.graph = self.engine.graph();
        self.seen.go(&self.engine);
        if self.engine.mesh.messages > 0 {
            let at = self.engine.now;
            self.engine.at(at, Event::Step(Step::Publish(0)));
        }
        if self.engine.mesh.loss > 0.0 {
            self.cut();
        }
    }

    /// The messages come evenly, each at a random moment of its part of the time.
    fn publish(&mut self, number: usize) {
        self.engine.publish();
        let messages = self.engine.mesh.messages as u64;
        let next = number as u64 + 1;
        if next < messages {
            let part = (self.stop - self.go) / messages;
            let at = self.go + part * next + self.engine.rng.below(part.max(1));
            self.engine.at(at, Event::Step(Step::Publish(number + 1)));
        }
    }

    /// Cuts a link, and comes back for the next as often as the world says.
    fn cut(&mut self) {
        let engine = &mut self.engine;
        let links = engine.hosts.len() * engine.mesh.degree / 2;
        let a_minute = share(engine.mesh.loss, links).max(1) as u64;
        let now = engine.now;
        if now > self.go && (now < self.stop || !engine.mesh.liveness) {
            engine.cut();
        }
        let wait = 60 * SECOND / a_minute;
        let next = now + wait / 2 + engine.rng.below(wait.max(1));
        if next < self.stop || !engine.mesh.liveness {
            engine.at(next, Event::Step(Step::Cut));
        }
    }

    fn look(&mut self, since: u64) {
        let now = self.engine.now;
        let holes = self.seen.look_at_hole(&self.engine);
        let agreed = self.seen.broken_at.is_none() || self.engine.agrees();
        if agreed && self.seen.broken_at.is_some() && self.seen.agreed_at.is_none() {
            self.seen.agreed_at = Some(now);
        }
        if !(agreed && holes) && now < since + LOOK_FOR {
            self.engine.at(now + LOOK_EVERY, Event::Step(Step::Look(since)));
        }
    }
}
