//! `darkchat-sim`: worlds of darkchat servers in virtual time, for figures and for long runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use clap::{Args, Parser, Subcommand, ValueEnum};
use darkchat_sim::mesh::{self, Mesh};
use darkchat_sim::worlds::{self, Size};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Worlds of darkchat servers in virtual time.
#[derive(Debug, Parser)]
#[command(name = "darkchat-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Many servers at volume; prints one JSON object, in which `world` repeats the run.
    Mesh {
        #[command(flatten)]
        mesh: Mesh,
        /// Takes the world from this file, a JSON object, and not from the other flags.
        #[arg(long, value_name = "FILE")]
        world: Option<PathBuf>,
        /// Prints the object in one line.
        #[arg(long)]
        json: bool,
    },
    /// Many small worlds with people, strangers and faults, in which every promise is checked after every step.
    Worlds(Worlds),
}

#[derive(Debug, Args)]
struct Worlds {
    /// The seeds, one a world; the end is not among them.
    #[arg(long, default_value = "0..200", value_name = "FROM..TO", value_parser = range)]
    seeds: (u64, u64),
    /// The least and the most servers of a world.
    #[arg(long, default_value = "3..7", value_name = "LEAST..MOST", value_parser = range)]
    servers: (u64, u64),
    /// The people of a world; at least 18.
    #[arg(long, default_value_t = 20)]
    people: usize,
    /// How long people and faults go on, in seconds of virtual time; without it 20 to 50 s.
    #[arg(long)]
    seconds: Option<u64>,
    /// Whether faults last to the end; without it half of the worlds are of each kind.
    #[arg(long)]
    mode: Option<Mode>,
    /// How many worlds run at once; without it one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// Prints every step.
    #[arg(long)]
    aloud: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Faults to the end.
    Safety,
    /// Faults stop, and everything must converge.
    Liveness,
}

/// Two numbers as people write a range.
fn range(text: &str) -> Result<(u64, u64), String> {
    let parse = |part: &str| part.parse().map_err(|_| format!("`{part}` is no number"));
    let (from, to) = text.split_once("..").ok_or("a range has two dots: 0..200")?;
    let (from, to) = (parse(from)?, parse(to)?);
    if from > to { Err("the range is empty".to_owned()) } else { Ok((from, to)) }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Mesh { mesh, world, json } => run_mesh(mesh, world, json),
        Command::Worlds(worlds) => run_worlds(&worlds),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Told = Result<String, Box<dyn std::error::Error>>;

fn run_mesh(mut mesh: Mesh, world: Option<PathBuf>, json: bool) -> Told {
    if let Some(path) = world {
        mesh = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    }
    let begun = now();
    let mut stood = None;
    let mut report = mesh::run_in_parts(&mesh, &mut || stood = core_seconds());
    report.wall_s = begun.elapsed().as_secs_f64();
    report.core_s = core_seconds();
    report.traffic_core_s = report.core_s.zip(stood).map(|(end, stood)| end - stood);
    Ok(if json { serde_json::to_string(&report)? } else { serde_json::to_string_pretty(&report)? })
}

/// The processor time of this thread so far, as Linux counts it in nanoseconds.
fn core_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos).as_secs_f64())
}

/// Runs all seeds on all cores. A world with a broken promise ends its thread and says how to repeat it.
fn run_worlds(args: &Worlds) -> Told {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if args.people < 18 || args.servers.0 == 0 {
        return Err("a world has at least 18 people and one server".into());
    }
    let size = Size {
        servers: (number(args.servers.0), number(args.servers.1)),
        people: args.people,
        span: args.seconds.map(Duration::from_secs),
        liveness: args.mode.map(|mode| mode == Mode::Liveness),
    };
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok().map(NonZero::get));
    let (next, steps, judged) = (AtomicU64::new(args.seeds.0), AtomicU64::new(0), AtomicU64::new(0));
    // A sum, because the worlds end in any order.
    let traces = AtomicU64::new(0);
    let begun = now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.seeds.1 {
                return;
            }
            let replay = Replay { seed, args };
            let outcome = worlds::check(seed, size, args.aloud);
            std::mem::forget(replay);
            steps.fetch_add(outcome.steps, Ordering::Relaxed);
            judged.fetch_add(outcome.judged, Ordering::Relaxed);
            traces.fetch_add(outcome.hash, Ordering::Relaxed);
        }
    };
    let failed = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.unwrap_or(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().err()).count()
    });
    if failed > 0 {
        return Err("a promise was broken".into());
    }
    Ok(format!(
        "{} worlds, {} steps, {} promised deliveries, trace {:016x}, {:.1} s",
        args.seeds.1 - args.seeds.0,
        steps.into_inner(),
        judged.into_inner(),
        traces.into_inner(),
        begun.elapsed().as_secs_f64()
    ))
}

/// Says how to repeat a world, unless it is forgotten first.
struct Replay<'a> {
    seed: u64,
    args: &'a Worlds,
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        let Worlds { servers: (least, most), people, seconds, mode, .. } = self.args;
        let seconds = seconds.map(|seconds| format!(" --seconds {seconds}")).unwrap_or_default();
        let mode = mode.map(|mode| format!(" --mode {mode:?}").to_lowercase()).unwrap_or_default();
        let seed = self.seed;
        eprintln!(
            "--- or, with these sizes:\ncargo run --release -p darkchat-sim -- worlds --seeds {seed}..{} --servers \
             {least}..{most} --people {people}{seconds}{mode} --aloud",
            seed + 1
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes is a figure, and no part of the run")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn all_flags_go_together() {
        Arguments::command().debug_assert();
    }
}
