//! `darkchat-sim`: worlds of darkchat servers in virtual time, for figures and for long runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use clap::{Parser, Subcommand};
use darkchat_sim::mesh::{self, Mesh};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Worlds of darkchat servers in virtual time.
#[derive(Debug, Parser)]
#[command(name = "darkchat-sim", version)]
struct Args {
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
}

fn main() -> ExitCode {
    match run(Args::parse()) {
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

fn run(args: Args) -> Result<String, Box<dyn std::error::Error>> {
    let Command::Mesh { mut mesh, world, json } = args.command;
    if let Some(path) = world {
        mesh = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    }
    let begun = now();
    let mut report = mesh::run(&mesh);
    report.wall_s = begun.elapsed().as_secs_f64();
    Ok(if json { serde_json::to_string(&report)? } else { serde_json::to_string_pretty(&report)? })
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes is a figure, and no part of the run")]
fn now() -> Instant {
    Instant::now()
}
