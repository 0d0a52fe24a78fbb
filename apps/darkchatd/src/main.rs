//! `darkchatd`: arguments, one server, and exit codes.

mod args;
mod http;
mod id;
mod lan;
mod limits;
mod log;
mod mdns;
mod prompt;
mod report;
mod show;
mod signals;
mod site;
mod start;
mod terminal;
mod tls;
mod web;

use args::{Cli, Command, IdAction, TlsAction};
use std::io::Write as _;
use std::process::ExitCode;

/// A failure that is none of the others: a key file, a lock.
const FAILED: u8 = 1;
/// An address could not be bound.
const NOT_BOUND: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let done = match cli.command {
        Some(Command::Id { action, options }) => id::run(&action.unwrap_or(IdAction::Show), &options)
            .and_then(|line| printed(&format!("{line}\n"))),
        Some(Command::Tls { action: TlsAction::SelfSigned(wanted) }) => {
            tls::self_signed(&wanted).and_then(|lines| printed(&lines))
        }
        None if cli.run.print_limits => printed(&limits::lines(&start::limits(&cli.run))),
        None => run(cli.run),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            drop(writeln!(std::io::stderr(), "darkchatd: {error:#}"));
            let not_bound = error.downcast_ref::<darkchat_server::StartError>().is_some();
            ExitCode::from(if not_bound { NOT_BOUND } else { FAILED })
        }
    }
}

fn run(run: args::Run) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let logs = log::LogLines::default();
    let served = runtime.block_on(start::serve(run, &logs));
    // The thread that reads standard input cannot be woken; it ends with the process.
    runtime.shutdown_background();
    logs.finish();
    served
}

/// Prints what was asked for, and that is all.
fn printed(text: &str) -> anyhow::Result<ExitCode> {
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
