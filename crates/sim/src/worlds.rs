//! Generated worlds: several servers, people in several roles, strangers, and faults; every promise is checked after
//! every step, and a broken one panics.

use crate::{Client, Rng, Server, Signing, World, millis, secs};
use darkchat_node::{Config, Profile};
use std::time::Duration;

const REPLAY: &str = "cargo test -p darkchat-sim --test worlds replay -- --nocapture";
const CHANNELS: [&str; 4] = ["red", "blue", "green", "grey"];
/// From the end of all faults until everybody must be back: back-off is at most 30 s, half as much again, and a dial.
const RECOVERY: u64 = 60;
/// From a healed partition until all servers hold the same, and until each of them has said so.
const AGREEMENT: (u64, u64) = (90, 80);

/// One world in so many has real signatures, about 5 % of them. No multiple of what else a seed decides, so that these
/// worlds are of all kinds.
const REAL: (u64, u64) = (19, 7);
/// One world in so many runs twice, and must end the same; of all kinds as well.
const TWICE: (u64, u64) = (21, 0);

/// How large a generated world is. What else happens in it follows from its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain numbers, made with `..Size::default()`")]
pub struct Size {
    /// The least and the most servers.
    pub servers: (usize, usize),
    /// The people; at least 18.
    pub people: usize,
    /// How long people and faults go on, in virtual time; `None`: about 20 to 50 s.
    pub span: Option<Duration>,
    /// Whether all faults end and everybody must come back; `None`: in worlds with an odd seed.
    pub liveness: Option<bool>,
}

impl Default for Size {
    /// Small enough for thousands in a test run.
    fn default() -> Self {
        Self { servers: (3, 7), people: 20, span: None, liveness: None }
    }
}

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Publisher,
    Listener,
    Churner,
    SlowReader,
}

#[derive(Debug)]
struct Run {
    world: World,
    rng: Rng,
    servers: Vec<Server>,
    people: Vec<(Client, Role)>,
    texts: u64,
    /// Whether signatures are real: without these nobody can talk with somebody alone.
    talks: bool,
    size: Size,
}

/// What a run ends with: equal for equal runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Over everything that happened.
    pub hash: u64,
    /// How much that was.
    pub steps: u64,
    /// How many deliveries were promised, and looked for.
    pub judged: u64,
    /// How many direct messages were told and acknowledged.
    pub talks: usize,
}

/// Runs one world, and one in 21 a second time, silently, which must not end differently.
///
/// # Panics
/// When a promise is broken, as in [`run`], or the second run ends with something else than the first.
#[must_use]
pub fn check(seed: u64, size: Size, aloud: bool) -> Outcome {
    let outcome = run(seed, size, aloud);
    if seed % TWICE.0 == TWICE.1 {
        let again = run(seed, size, false);
        assert!(
            again == outcome,
            "seed {seed} runs differently the second time: {again:?} after {outcome:?}"
        );
    }
    outcome
}

/// Runs one world. Everything about it follows from its seed and size.
///
/// # Panics
/// When a promise is broken; the command that replays the run and its last steps are printed.
#[must_use]
pub fn run(seed: u64, size: Size, aloud: bool) -> Outcome {
    let mut rng = Rng::new(seed ^ 0x00DA_2C0A);
    // Real ones cost much, and without them nobody can talk with somebody alone.
    let signing = if seed % REAL.0 == REAL.1 { Signing::Real } else { Signing::StandIn };
    let mut world = World::new(seed).with_signing(signing).replayed_by(REPLAY);
    // In a quarter of the worlds nobody goes on with the session of a lost link.
    if seed % 8 < 2 {
        world = world.without_resume();
    }
    if aloud {
        world.print_trace();
    }
    let servers = build(&mut world, &mut rng, size);
    let talks = signing == Signing::Real;
    let mut run = Run { world, rng, servers, people: Vec::new(), texts: 0, talks, size };
    run.settle();
    let rounds = 22 + run.rng.below(32);
    let end = size.span.map(|span| run.world.now() + span);
    for round in 0_u64.. {
        if end.map_or(round >= rounds, |end| run.world.now() >= end) {
            break;
        }
        run.round();
    }
    if size.liveness.unwrap_or(seed % 2 == 1) {
        run.recover();
        if seed % 4 < 2 {
            run.agree();
        }
    }
    Outcome {
        hash: run.world.trace_hash(),
        steps: run.world.steps(),
        judged: run.world.judged(),
        talks: run.world.talks().0,
    }
}

/// Some servers: a line, a ring, a full mesh, or a random tree with a few more links.
fn build(world: &mut World, rng: &mut Rng, size: Size) -> Vec<Server> {
    let (least, most) = size.servers;
    let count = least + rng.index(most.saturating_sub(least) + 1);
    let profile = if rng.chance(50) { Profile::Public } else { Profile::Trusted };
    let memory_budget = if rng.chance(15) { 2 << 20 } else { 512 << 20 };
    let servers: Vec<Server> = (0..count)
        .map(|_| {
            let config = Config { profile, memory_budget, ..Config::default() };
            let skew_ms = i64::try_from(rng.below(3_000)).unwrap_or_default();
            world.add_server_with(config, skew_ms)
        })
        .collect();
    let shape = rng.below(4);
    for (number, server) in servers.iter().enumerate().skip(1) {
        let earlier = match shape {
            0 | 1 => number - 1,
            _ => rng.index(number),
        };
        world.link(*server, servers[earlier]);
        if shape == 2 {
            (0..number)
                .filter(|other| *other != earlier)
                .for_each(|other| world.link(*server, servers[other]));
        } else if shape == 3 && rng.chance(40) {
            world.link(servers[rng.index(number)], *server);
        }
    }
    if shape == 1 {
        world.link(servers[0], servers[count - 1]);
    }
    servers
}

impl Run {
    /// People come, join, and have time to be known everywhere.
    fn settle(&mut self) {
        self.world.run_for(secs(2));
        for number in 0..self.size.people {
            let role = match number * 20 / self.size.people {
                0..8 => Role::Publisher,
                8..14 => Role::Listener,
                14..18 => Role::Churner,
                _ => Role::SlowReader,
            };
            let server = self.any_server();
            let client = match number {
                13 => self.world.add_device(self.people[0].0, server),
                17 => self.world.add_device(self.people[15].0, server),
                _ if self.rng.chance(50) => {
                    let second = self.any_server();
                    self.world.add_client_to(&[server, second])
                }
                _ => self.world.add_client(server),
            };
            self.people.push((client, role));
            let (first, others) = (self.rng.index(CHANNELS.len()), 1 + self.rng.index(2));
            for channel in (first..=first + others).map(|channel| CHANNELS[channel % CHANNELS.len()]) {
                self.world.join(client, channel);
            }
        }
        if self.rng.chance(50) {
            let server = self.any_server();
            self.world.add_hostile_peer(server);
            if self.rng.chance(60) {
                let server = self.any_server();
                self.world.add_hostile_client(server);
            }
        }
        self.world.run_for(secs(8));
    }

    fn any_server(&mut self) -> Server {
        self.servers[self.rng.index(self.servers.len())]
    }

    fn two_servers(&mut self) -> (Server, Server) {
        let one = self.rng.index(self.servers.len());
        let two = (one + 1 + self.rng.index(self.servers.len() - 1)) % self.servers.len();
        (self.servers[one], self.servers[two])
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        let filler = if self.rng.chance(5) { self.rng.index(3_000) } else { self.rng.index(40) };
        format!("{} {}", self.texts, "·".repeat(filler))
    }

    /// About a second: people do what is theirs, and now and then something breaks.
    fn round(&mut self) {
        for _ in 0..self.rng.below(6) {
            let (client, role) = self.people[self.rng.index(self.people.len())];
            let channel = CHANNELS[self.rng.index(CHANNELS.len())];
            self.act(client, role, channel);
            if self.talks && self.rng.chance(30) {
                let (other, _) = self.people[self.rng.index(self.people.len())];
                self.tell(client, other);
            }
            let pause = self.rng.between(millis(0), millis(300));
            self.world.run_for(pause);
        }
        if self.rng.chance(9) {
            self.fault();
        }
        let pause = self.rng.between(millis(50), millis(1_500));
        self.world.run_for(pause);
    }

    fn act(&mut self, client: Client, role: Role, channel: &str) {
        match role {
            Role::Publisher => {
                for _ in 0..=self.rng.below(4) {
                    let text = self.text();
                    self.world.send(client, channel, &text);
                }
            }
            Role::Listener => {}
            Role::Churner => match self.rng.below(4) {
                0 => self.world.leave(client, channel),
                1 => self.world.join(client, channel),
                2 => self.world.cut_client(client),
                _ => {
                    let text = self.text();
                    self.world.send(client, channel, &text);
                }
            },
            Role::SlowReader => match self.rng.below(3) {
                0 => self.world.read_fast(client),
                _ => {
                    let rate = 1 << self.rng.below(14);
                    self.world.read_slowly(client, rate);
                }
            },
        }
    }

    /// A text between two, if they are two.
    fn tell(&mut self, from: Client, to: Client) -> Option<String> {
        if self.world.user(from) == self.world.user(to) {
            return None;
        }
        let text = self.text();
        self.world.tell(from, to, &text);
        Some(text)
    }

    fn fault(&mut self) {
        let (one, two) = self.two_servers();
        let span = self.rng.between(millis(100), secs(8));
        match self.rng.below(9) {
            0 => self.world.crash(one),
            1 | 2 => self.servers.clone().into_iter().for_each(|server| self.world.restart(server)),
            3 => self.world.cut(one, two),
            4 => self.world.snap(one, two),
            5 => self.world.stall(one, two, span),
            6 => self.world.pause(one, span),
            7 => {
                let extra = self.rng.between(millis(1), millis(150));
                self.world.delay(one, two, extra);
            }
            _ if self.rng.chance(50) => self.world.heal(),
            _ if self.rng.chance(50) => self.world.silence(one, two),
            _ => {
                let at = self.rng.index(self.servers.len());
                let (left, right) = self.servers.split_at(at);
                self.world.partition(&[left, right]);
            }
        }
    }

    /// All faults end: everybody comes back, and hears everybody.
    fn recover(&mut self) {
        self.world.calm_strangers();
        self.world.heal();
        for server in &self.servers {
            self.world.restart(*server);
        }
        for (client, role) in &self.people {
            if *role == Role::SlowReader {
                self.world.read_fast(*client);
            }
        }
        self.world.run_for(secs(RECOVERY));
        self.world.assert_all_back();
        self.world.assert_all_linked();
        let in_vain = self.world.sent_in_vain();
        self.probe();
        self.probe_talks();
        assert_eq!(self.world.sent_in_vain(), in_vain, "no server is sent what nobody there wants");
        // What waits for a destination that is gone for good, waits ten seconds.
        self.world.assert_drains(secs(15));
    }

    /// Later: all servers hold the same of each other. Said after [`recover`](Self::recover).
    fn agree(&mut self) {
        self.world.run_for(secs(AGREEMENT.0 - RECOVERY));
        let settled = self.world.now();
        self.world.run_for(secs(AGREEMENT.1));
        self.world.assert_agree(settled);
    }

    /// Some tell somebody something, and that one hears it; what was told before is settled, this way or that.
    fn probe_talks(&mut self) {
        if !self.talks {
            return;
        }
        let mut texts = Vec::new();
        for number in 0..8 {
            let (from, _) = self.people[number];
            let (to, _) = self.people[self.people.len() - 1 - number];
            texts.extend(self.tell(from, to));
            self.world.run_for(millis(300));
        }
        self.world.run_for(secs(35));
        for text in texts {
            assert_eq!(self.world.told(&text), Some(Ok(())), "everybody is there");
        }
        assert_eq!(self.world.talks().2, 0, "nothing stays open longer than it is tried");
    }

    /// Everybody says one word in every channel that it is in, and everybody else in it hears that once.
    fn probe(&mut self) {
        let mut words = Vec::new();
        for (client, _) in self.people.clone() {
            for channel in CHANNELS {
                if !self.world.is_in(client, channel) {
                    continue;
                }
                let text = self.text();
                self.world.send(client, channel, &text);
                words.push((client, channel, text));
            }
            self.world.run_for(millis(60));
        }
        self.world.run_for(secs(2));
        for (author, channel, text) in &words {
            for (client, _) in &self.people {
                if client != author && self.world.is_in(*client, channel) {
                    self.world.assert_heard(*client, text);
                }
            }
        }
    }
}
