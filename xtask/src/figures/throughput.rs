//! Deliveries a second, and what one costs the server, for 1 to 100 subscribers.

use super::process::{Programs, Server};
use super::row;
use anyhow::Result;

/// Content of a message, in bytes.
const SIZE: usize = 64;
/// One run, in milliseconds.
const RUN_MS: u32 = 5_000;
/// Subscribers, each in all channels.
const READERS: [u32; 3] = [1, 10, 100];
/// A publisher alone waits for each answer, so it takes several to load a server with posts of one message.
const SINGLE: u32 = 16;

pub(crate) fn run(programs: &Programs) -> Result<()> {
    println!("messages of {SIZE} bytes, {RUN_MS} ms a run");
    row("", &["deliveries/s", "messages/s", "messages/post", "us/delivery"].map(str::to_owned));
    let server = programs.server()?;
    for readers in READERS {
        measure(programs, &server, &format!("1 -> {readers}, coalescing"), [1, readers], "run")?;
    }
    for readers in READERS {
        let name = format!("{SINGLE} -> {readers}, a post each");
        measure(programs, &server, &name, [SINGLE, readers], "singly")?;
    }
    server.stop()?;
    Ok(())
}

fn measure(programs: &Programs, server: &Server, name: &str, of: [u32; 2], how: &str) -> Result<()> {
    let [publishers, readers] = of;
    let mut load = programs.load(&server.tcp)?;
    load.ask(&format!("publishers {publishers}"))?;
    load.ask(&format!("readers {readers}"))?;
    load.wave(&format!("{how} {} {SIZE}", RUN_MS / 5))?;
    let cpu = server.cpu()?;
    let wave = load.wave(&format!("{how} {RUN_MS} {SIZE}"))?;
    let cpu = server.cpu()? - cpu;
    let cells = [
        format!("{:.0}", wave.rate()),
        format!("{:.0}", wave.messages as f64 / wave.seconds),
        format!("{:.1}", wave.messages as f64 / wave.posts as f64),
        format!("{:.3}", cpu * 1e6 / wave.deliveries as f64),
    ];
    row(name, &cells);
    Ok(())
}
