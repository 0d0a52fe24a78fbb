//! What idle clients cost a server: memory and processor time of each, by transport.

use super::process::{Memory, Programs, Server};
use super::row;
use anyhow::{Context as _, Result, ensure};
use std::process::Command;
use std::time::Duration;

/// Almost as many as a server takes by default, 10,000: the load needs some beside the idle ones.
const CLIENTS: u64 = 9_900;
/// Descriptors that the server and the load use beside their connections.
const OTHER_FILES: u64 = 100;
/// Time for buffers of the handshakes to go.
const SETTLE: Duration = Duration::from_secs(5);
/// Time over which the processor time of idling is measured: all clients are pinged once in it.
const IDLE: Duration = Duration::from_secs(30);
/// The most memory of the process for a client, in bytes: TCP, WebSocket.
const MOST: [u64; 2] = [8 << 10, 12 << 10];

pub(crate) fn run(programs: &Programs, more: &[&str]) -> Result<()> {
    let wanted: u64 = more.first().map_or(Ok(CLIENTS), |count| count.parse())?;
    let clients = wanted.min(CLIENTS).min(most_files()?.saturating_sub(OTHER_FILES));
    if clients < wanted {
        println!(
            "{clients} clients instead of {wanted}: ulimit -n, or the server's own bound, allows no more"
        );
    }
    println!("{clients} clients, logged in, in one channel; bytes a client, without the kernel's");
    row("", &["RSS", "private", "private at end", "CPU of a core"].map(str::to_owned));
    for (name, most) in ["tcp", "ws"].into_iter().zip(MOST) {
        let server = programs.server()?;
        let addr = if name == "tcp" { server.tcp.clone() } else { server.ws.clone() };
        let each = measure(programs, &server, name, &addr, clients)?;
        server.stop()?;
        ensure!(each <= most, "an idle {name} client costs {each} bytes, more than {most}");
    }
    Ok(())
}

fn measure(programs: &Programs, server: &Server, name: &str, addr: &str, clients: u64) -> Result<u64> {
    let mut load = programs.load(addr)?;
    load.ask("publishers 1")?;
    load.ask("readers 10")?;
    std::thread::sleep(SETTLE);
    let before = server.memory()?;
    load.ask(&format!("readers {clients}"))?;
    std::thread::sleep(SETTLE);
    let (held, cpu) = (server.memory()?, server.cpu()?);
    std::thread::sleep(IDLE);
    let cpu = (server.cpu()? - cpu) / IDLE.as_secs_f64();
    // All of them still are there and hear.
    let wave = load.wave("send 1 64")?;
    ensure!(wave.deliveries == clients + 10, "{} of {clients} clients heard", wave.deliveries);
    drop(load);
    std::thread::sleep(SETTLE);
    let left = server.memory()?;
    let each = |memory: fn(&Memory) -> u64| {
        let kib = memory(&held).saturating_sub(memory(&before));
        (kib * 1_024).checked_div(clients).context("at least one client")
    };
    let (rss, private) = (each(|memory| memory.rss)?, each(|memory| memory.private)?);
    let left = (left.private.saturating_sub(before.private) * 1_024).checked_div(clients).unwrap_or_default();
    let cells = [rss.to_string(), private.to_string(), left.to_string(), format!("{:.2} %", cpu * 100.0)];
    row(name, &cells);
    Ok(private)
}

/// How many files a process may have open here.
fn most_files() -> Result<u64> {
    let out = Command::new("sh").args(["-c", "ulimit -Hn"]).output()?;
    let said = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if said == "unlimited" {
        Ok(u64::MAX)
    } else {
        said.parse().with_context(|| format!("ulimit -Hn: {said}"))
    }
}
