//! `darkchat`: arguments, one command, and exit codes.

mod apart;
mod args;
mod bench;
mod channel;
mod chat;
mod clean;
mod connect;
mod contacts;
mod failure;
mod format;
mod id;
mod keep;
mod manual;
mod people;
mod place;
mod print;
mod recv;
mod send;
mod stack;

use args::{Cli, Color, Command, IdAction};
use failure::Failure;
use std::alloc::System;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use zeroizing_alloc::ZeroAlloc;

/// Wipes whatever is freed. Secrets wipe themselves where they end; moving them, and the buffers in which rekeys and
/// invitations come and go, leaves copies that no destructor knows of.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// How long the end waits for threads, which wipe their stacks. They have nothing else left to do; one that asks for an
/// address cannot be woken.
const LAST_THREADS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let Cli { global, command } = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let command = command.unwrap_or_else(|| Command::Chat(args::Chat::default()));
    if global.verbose {
        log(global.color);
    }
    let json = match &command {
        Command::Chat(_) => false,
        Command::Send(args::Send { json, .. })
        | Command::Recv(args::Recv { json, .. })
        | Command::Id { json, .. } => *json,
        Command::Channel { action } => action.is_json(),
        Command::Bench { work } => work.watch().json,
        Command::Contacts { action } => matches!(action, args::ContactsAction::List { json: true }),
    };
    let done = match command {
        Command::Contacts { action } => contacts::run(&global, &action),
        Command::Id { action, json } => id::run(&global, action.unwrap_or(IdAction::Show), json),
        command => on_runtime(&global, command),
    };
    done.map_or_else(|failure| failure.report(json), |()| ExitCode::SUCCESS)
}

fn on_runtime(global: &args::Global, command: Command) -> Result<(), Failure> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(2).enable_all().on_thread_stop(stack::wipe).build()?;
    let done = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = run(global, command) => done,
            _ = interrupt.recv() => Err(Failure::Signal(SignalKind::interrupt().as_raw_value())),
            _ = terminate.recv() => Err(Failure::Signal(SignalKind::terminate().as_raw_value())),
        }
    });
    runtime.shutdown_timeout(LAST_THREADS);
    stack::wipe();
    done
}

async fn run(global: &args::Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Chat(args) => chat::run(global, args).await,
        Command::Send(args) => send::run(global, &args).await,
        Command::Recv(args) => recv::run(global, &args).await,
        Command::Channel { action } => channel::run(global, &action).await,
        Command::Bench { work } => bench::run(global, &work).await,
        Command::Contacts { .. } | Command::Id { .. } => Ok(()),
    }
}

/// The client's log, on standard error.
fn log(color: Color) {
    let colours = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never,
    };
    let level = tracing::Level::DEBUG;
    tracing_subscriber::fmt().with_max_level(level).with_ansi(colours).with_writer(std::io::stderr).init();
}
