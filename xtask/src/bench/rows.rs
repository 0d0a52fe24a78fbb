//! The rows of the table of goals, and how each is measured.

use super::Effort;
use super::client::Work;
use super::goals::{Goal, Line};
use super::systems::{Job, System, Turn, own, own_servers};
use crate::figures::slow_reader;
use crate::process::Programs;
use anyhow::{Context as _, Result};
use serde_json::Value;

/// One row: its name, the work, and its measurement.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) measure: fn(&Programs, Effort) -> Result<Vec<Line>>,
}

/// As many as a server takes by default, without the one that speaks.
const IDLE: &str = "9990";

pub(crate) const ROWS: &[Row] = &[
    Row { name: "fanout-64", what: "1 to 100, 64 B, as fast as possible", measure: fanout_64 },
    Row {
        name: "fanout-64-single",
        what: "1 to 100, 64 B, one message under a signature",
        measure: |programs, effort| {
            let job = Job { ours: &["--entries-per-post", "1"], ..fan(100, 64) };
            let mut systems = RIVALS.to_vec();
            systems.insert(1, System::OursSealed);
            let turns = compare(programs, effort, job, &systems)?;
            Ok(vec![
                cpu(&turns, 2.0),
                Line::ratio(
                    CPU_UNCHECKED,
                    turns.of(|turn| turn.cpu_us),
                    [System::OursSealed, System::Nats],
                    Goal::AtMost(0.6),
                ),
            ])
        },
    },
    Row {
        name: "fanout-1000",
        what: "1 to 1,000, 64 B",
        measure: |programs, effort| one(programs, effort, fan(1_000, 64), 0.25),
    },
    Row {
        name: "fanout-1k",
        what: "1 to 100, 1 KiB",
        measure: |programs, effort| one(programs, effort, fan(100, 1_024), 0.5),
    },
    Row {
        name: "pairs",
        what: "100 channels of 10, 256 B, a publisher in each",
        measure: |programs, effort| {
            let work = Work { channels: 100, subscribers: 10, size: 256, rate: None };
            one(programs, effort, Job { work, ..fan(1, 1) }, 0.6)
        },
    },
    Row { name: "paced", what: "200 a second, 1 to 100, 64 B", measure: paced },
    Row { name: "ws", what: "1 to 100, 64 B, over WebSocket and over TCP", measure: websocket },
    Row { name: "mesh", what: "1 to 100, 64 B, from one server to another", measure: mesh },
    Row {
        name: "idle-tcp",
        what: "idle clients over TCP",
        measure: |programs, _| idle(programs, false, 6.0),
    },
    Row {
        name: "idle-ws",
        what: "idle clients over WebSocket",
        measure: |programs, _| idle(programs, true, 10.0),
    },
    Row { name: "churn", what: "sessions: connect, log in, join, leave", measure: churn },
    Row {
        name: "stalled",
        what: "one reader that stops among others",
        measure: |programs, _| {
            let ratios = slow_reader::ratios(programs)?;
            Ok(vec![Line::own("rate of the others / undisturbed", ratios, Goal::AtLeast(0.9))])
        },
    },
    Row {
        name: "flat-channels",
        what: "1 to 100, 64 B, beside 10,000 channels and beside 10",
        measure: |programs, effort| flat(programs, effort, ["channels 10", "channels 10000"]),
    },
    Row {
        name: "flat-clients",
        what: "1 to 100, 64 B, beside 5,000 idle clients and beside 10",
        measure: |programs, effort| flat(programs, effort, ["readers 10", "readers 5000"]),
    },
];

const RIVALS: [System; 4] = [System::Ours, System::Nats, System::Mosquitto, System::Floor];
const CPU: &str = "server CPU per delivered message (us), ours / nats-server";
const CPU_UNCHECKED: &str = "the same without the signature check: sealed posts / nats-server";

fn fan(subscribers: usize, size: usize) -> Job {
    Job { work: Work { channels: 1, subscribers, size, rate: None }, ours: &[], is_mesh: false }
}

/// What all systems came to, turn by turn.
struct Turns(Vec<(System, Vec<Turn>)>);

impl Turns {
    fn of(&self, figure: fn(&Turn) -> f64) -> Vec<(System, Vec<f64>)> {
        self.0.iter().map(|(system, turns)| (*system, turns.iter().map(figure).collect())).collect()
    }
}

/// The systems take turns, so that what the machine does besides concerns all of them.
fn compare(programs: &Programs, effort: Effort, job: Job, systems: &[System]) -> Result<Turns> {
    let mut all: Vec<(System, Vec<Turn>)> = Vec::new();
    for system in systems {
        if system.is_installed() {
            all.push((*system, Vec::new()));
        } else {
            println!("{} is not installed", system.name());
        }
    }
    for number in 0..effort.turns {
        for (system, turns) in &mut all {
            let turn = system.turn(programs, job, effort);
            let turn = turn.with_context(|| format!("{}, turn {}", system.name(), number + 1))?;
            if turn.lost > 0.0 {
                println!("{}: {:.0} messages were lost", system.name(), turn.lost);
            }
            turns.push(turn);
        }
    }
    Ok(Turns(all))
}

fn cpu(turns: &Turns, most: f64) -> Line {
    Line::ratio(CPU, turns.of(|turn| turn.cpu_us), [System::Ours, System::Nats], Goal::AtMost(most))
}

fn one(programs: &Programs, effort: Effort, job: Job, most: f64) -> Result<Vec<Line>> {
    Ok(vec![cpu(&compare(programs, effort, job, &RIVALS)?, most)])
}

fn fanout_64(programs: &Programs, effort: Effort) -> Result<Vec<Line>> {
    let turns = compare(programs, effort, fan(100, 64), &RIVALS)?;
    let rate = turns.of(|turn| turn.per_s);
    let figure = "delivered messages per second, ours / nats-server";
    Ok(vec![cpu(&turns, 0.3), Line::ratio(figure, rate, [System::Ours, System::Nats], Goal::AtLeast(4.0))])
}

fn paced(programs: &Programs, effort: Effort) -> Result<Vec<Line>> {
    let work = Work { rate: Some(200), ..fan(100, 64).work };
    let turns = compare(programs, effort, Job { work, ..fan(1, 1) }, &RIVALS)?;
    let of = [System::Ours, System::Nats];
    Ok(vec![
        Line::ratio("p50 (us), ours / nats-server", turns.of(|turn| turn.p50_us), of, Goal::AtMost(1.2)),
        Line::ratio("p99 (us), ours / nats-server", turns.of(|turn| turn.p99_us), of, Goal::AtMost(1.2)),
    ])
}

fn websocket(programs: &Programs, effort: Effort) -> Result<Vec<Line>> {
    let turns = compare(programs, effort, fan(100, 64), &[System::Ours, System::OursWs])?;
    let figure = "server CPU per delivered message (us), over WebSocket / over TCP";
    let of = [System::OursWs, System::Ours];
    Ok(vec![Line::ratio(figure, turns.of(|turn| turn.cpu_us), of, Goal::AtMost(1.15))])
}

fn mesh(programs: &Programs, effort: Effort) -> Result<Vec<Line>> {
    let job = Job { is_mesh: true, ..fan(100, 64) };
    let turns = compare(programs, effort, job, &[System::Ours, System::Nats])?;
    let figure = "CPU of both servers per delivered message (us), ours / nats-server's cluster of two";
    let of = [System::Ours, System::Nats];
    Ok(vec![Line::ratio(figure, turns.of(|turn| turn.cpu_us), of, Goal::AtMost(0.4))])
}

fn idle(programs: &Programs, ws: bool, most: f64) -> Result<Vec<Line>> {
    let figures = own(programs, "idle", &["--connections", IDLE, "--duration", "10s"], ws)?;
    let kib = number(&figures, "server_rss_bytes_per_connection")? / 1_024.0;
    println!("CPU of all of them in 10 s: {:.2} s", number(&figures, "server_cpu_s")?);
    Ok(vec![Line::own("resident memory per client (KiB)", vec![kib], Goal::AtMost(most))])
}

fn churn(programs: &Programs, effort: Effort) -> Result<Vec<Line>> {
    let duration = format!("{}ms", effort.send.as_millis());
    let turns: Result<Vec<f64>> = (0..effort.turns)
        .map(|_| {
            let figures = own(programs, "churn", &["--duration", &duration], false)?;
            Ok(1e6 / number(&figures, "server_cpu_us_per_delivery")?)
        })
        .collect();
    Ok(vec![Line::own("sessions per second and core of the server", turns?, Goal::AtLeast(1_000.0))])
}

/// The same work beside few and beside many that have no part in it.
fn flat(programs: &Programs, effort: Effort, beside: [&str; 2]) -> Result<Vec<Line>> {
    let duration = format!("{}ms", effort.send.as_millis());
    let mut ratios = Vec::new();
    for _ in 0..effort.turns {
        let mut cpu = Vec::new();
        for others in beside {
            let (server, _) = own_servers(programs, false)?;
            let mut load = programs.load(&server.tcp)?;
            load.ask("publishers 1")?;
            load.ask(others)?;
            let pid = server.pid.to_string();
            let args = ["fanout", "--server", &server.tcp, "--subscribers", "100", "--pid", &pid];
            let figures = programs.bench(&[&args[..], &["--duration", &duration]].concat())?;
            cpu.push(number(&figures, "server_cpu_us_per_delivery")?);
            drop(load);
            server.stop()?;
        }
        ratios.extend(cpu.first().zip(cpu.last()).map(|(few, many)| many / few));
    }
    Ok(vec![Line::own(
        "server CPU per delivered message, beside many / beside few",
        ratios,
        Goal::AtMost(1.2),
    )])
}

fn number(figures: &Value, name: &str) -> Result<f64> {
    figures[name].as_f64().with_context(|| format!("no {name}: {figures}"))
}
