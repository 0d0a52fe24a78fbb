//! One reader that stops reading: what the others notice of it, and what it is told.

use super::row;
use crate::bench::median;
use crate::process::{Load, Programs, Server};
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;

/// Readers that read.
const READERS: usize = 50;
/// Long messages fill the queue of a stalled reader at once.
const SIZE: usize = 4_096;
/// Pairs of runs: without the stalled reader, and with it.
const PAIRS: usize = 7;
/// One run, in milliseconds.
const RUN_MS: u32 = 3_000;
/// The least share of the undisturbed rate that must remain.
const LEAST: f64 = 0.9;

pub(crate) fn run(programs: &Programs) -> Result<()> {
    let median = median(ratios(programs)?).unwrap_or_default();
    println!("median ratio {median:.3}, at least {LEAST} asked for");
    ensure!(median >= LEAST, "a stalled reader slows the others: {median:.3} of the undisturbed rate");
    Ok(())
}

/// The rate of the others beside a stalled reader, as a share of that without it, in each pair of runs.
pub(crate) fn ratios(programs: &Programs) -> Result<Vec<f64>> {
    let server = programs.server()?;
    let mut load = programs.load(&server.tcp)?;
    load.ask("publishers 1")?;
    load.ask(&format!("readers {READERS}"))?;
    load.wave(&format!("run {RUN_MS} {SIZE}")).context("warm-up")?;
    println!(
        "{READERS} readers, one publisher, messages of {SIZE} bytes, {RUN_MS} ms a run; deliveries/s to those readers"
    );
    row("pair", &["undisturbed", "one stalled", "ratio"].map(str::to_owned));
    let mut ratios = Vec::new();
    for pair in 1..=PAIRS {
        // Whichever comes first may be lucky, so they take turns.
        let (alone, stalled) = if pair % 2 == 1 {
            let alone = undisturbed(&mut load)?;
            (alone, disturbed(&mut load, &server)?)
        } else {
            let stalled = disturbed(&mut load, &server)?;
            (undisturbed(&mut load)?, stalled)
        };
        let ratio = stalled / alone;
        row(&pair.to_string(), &[format!("{alone:.0}"), format!("{stalled:.0}"), format!("{ratio:.3}")]);
        ratios.push(ratio);
    }
    told(&mut load, &server)?;
    drop(load);
    server.stop()?;
    Ok(ratios)
}

fn undisturbed(load: &mut Load) -> Result<f64> {
    Ok(load.wave(&format!("run {RUN_MS} {SIZE}"))?.rate())
}

/// A run in which a further reader reads nothing from the start. It must really overflow.
fn disturbed(load: &mut Load, server: &Server) -> Result<f64> {
    load.ask("stall")?;
    let wave = load.wave(&format!("run {RUN_MS} {SIZE}"))?;
    server.log_line(&["slow reader"], Duration::from_secs(1)).context("the stalled reader was not slow")?;
    load.ask("unstall")?;
    Ok(wave.rate())
}

/// What the stalled reader itself learns: what it missed once it reads again, and why it is cut at last.
fn told(load: &mut Load, server: &Server) -> Result<()> {
    load.ask(&format!("begin {SIZE}"))?;
    load.ask("stall")?;
    server.log_line(&["slow reader"], Duration::from_secs(20))?;
    let notice = load.ask("resume notice")?;
    let dropped = notice["dropped"].as_u64().with_context(|| format!("no notice: {notice}"))?;
    println!("the stalled reader reads again: Notice(DROPPED, {dropped} posts)");
    server.log_line(&["client down", "SLOW_CONSUMER"], Duration::from_secs(30))?;
    let goodbye = load.ask("resume end")?;
    println!("it stops again for 10 s: Goodbye({}), {}", goodbye["goodbye"], goodbye["text"]);
    ensure!(
        goodbye["goodbye"] == "SLOW_CONSUMER",
        "the stalled reader was not told why it was cut: {goodbye}"
    );
    // The others missed nothing meanwhile.
    load.wave("end")?;
    Ok(())
}
