//! The systems that are compared: how each is started, loaded, and charged for its processor time.

use super::Effort;
use super::client::{Load, Work};
use super::wire::Wire;
use crate::process::{Program, Programs, Server, cpu_of, measured};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sending before the measurement.
const WARM_UP: Duration = Duration::from_secs(1);

/// A system, or one of our ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    /// Over TCP, posts as the work says.
    Ours,
    /// The same over WebSocket.
    OursWs,
    /// Sealed posts, whose signature no server can check.
    OursSealed,
    Nats,
    Mosquitto,
    Floor,
}

/// What one turn came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Processor time of the servers for a delivered message, in microseconds.
    pub(crate) cpu_us: f64,
    pub(crate) per_s: f64,
    pub(crate) lost: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// The same work for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) work: Work,
    /// What `darkchat bench` is told beside sizes and counts.
    pub(crate) ours: &'static [&'static str],
    /// Publishers on one server, subscribers on another.
    pub(crate) is_mesh: bool,
}

impl System {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursWs => "ours, ws",
            Self::OursSealed => "ours, sealed",
            Self::Nats => "nats-server",
            Self::Mosquitto => "mosquitto",
            Self::Floor => "floor",
        }
    }

    /// Whether it is here.
    pub(crate) fn is_installed(self) -> bool {
        let flag = match self {
            Self::Nats => ("nats-server", "--version"),
            Self::Mosquitto => ("mosquitto", "-h"),
            _ => return true,
        };
        let found = Command::new(flag.0).arg(flag.1).stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok()
    }

    /// One turn, on a fresh server.
    pub(crate) fn turn(self, programs: &Programs, job: Job, effort: Effort) -> Result<Turn> {
        match self {
            Self::Ours | Self::OursWs | Self::OursSealed => self.own_turn(programs, job, effort),
            Self::Nats => rival(&mut nats(job.is_mesh)?, job, effort),
            Self::Mosquitto => rival(&mut mosquitto()?, job, effort),
            Self::Floor => rival(&mut floor()?, job, effort),
        }
    }

    fn own_turn(self, programs: &Programs, job: Job, effort: Effort) -> Result<Turn> {
        let (first, second) = own_servers(programs, job.is_mesh)?;
        let pids = [Some(&first), second.as_ref()].into_iter().flatten().map(|server| server.pid.to_string());
        let pids = pids.collect::<Vec<_>>().join(",");
        let Work { channels, subscribers, size, rate } = job.work;
        let numbers = [subscribers, size, channels].map(|number| number.to_string());
        let duration = format!("{}ms", effort.send.as_millis());
        let warm_up = format!("{}ms", WARM_UP.as_millis());
        let addr = if self == Self::OursWs { &first.ws } else { &first.tcp };
        let mut args = vec![if job.is_mesh { "mesh" } else { "fanout" }];
        if channels > 1 {
            args = vec!["pairs", "--channels", &numbers[2]];
        }
        args.extend(["--server", addr, "--subscribers", &numbers[0], "--size", &numbers[1]]);
        args.extend(["--pid", &pids, "--duration", &duration, "--warm-up", &warm_up]);
        let rate = rate.map(|rate| rate.to_string());
        if let Some(rate) = &rate {
            args.extend(["--rate", rate]);
        }
        if let Some(second) = &second {
            args.extend(["--subscribers-at", &second.tcp]);
        }
        if self == Self::OursSealed {
            args.push("--sealed");
        }
        args.extend(job.ours);
        let figures = programs.bench(&args)?;
        for server in [Some(first), second].into_iter().flatten() {
            server.stop()?;
        }
        let number = |name: &str| figures[name].as_f64().with_context(|| format!("no {name}: {figures}"));
        Ok(Turn {
            cpu_us: number("server_cpu_us_per_delivery")?,
            per_s: number("delivered_per_s")?,
            lost: number("lost")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
        })
    }
}

/// A server of ours without budgets that limit, and a second one that is linked with it.
pub(crate) fn own_servers(programs: &Programs, is_mesh: bool) -> Result<(Server, Option<Server>)> {
    let budget = ["--budget", "unmetered", "--log-level", "warn"];
    let peers = if is_mesh { ["--peer-listen", "0"].as_slice() } else { &["--no-peer-listen"] };
    let first = programs.server_with(&[], &[&budget[..], peers].concat(), "unmetered")?;
    let second = is_mesh.then(|| {
        let flags = [&budget[..], &["--no-peer-listen", "--connect", &first.peers]].concat();
        programs.server_with(&[], &flags, "unmetered")
    });
    Ok((first, second.transpose()?))
}

/// Figures of `darkchat bench` on a fresh server of ours.
pub(crate) fn own(programs: &Programs, work: &str, args: &[&str], ws: bool) -> Result<Value> {
    let (server, _) = own_servers(programs, false)?;
    let (pid, addr) = (server.pid.to_string(), if ws { &server.ws } else { &server.tcp });
    let figures = programs.bench(&[&[work, "--server", addr, "--pid", &pid], args].concat())?;
    server.stop()?;
    Ok(figures)
}

/// Running servers of another system.
struct Rival {
    wire: Wire,
    servers: Vec<Program>,
    publish: SocketAddr,
    subscribe: SocketAddr,
    /// A file that goes with it.
    file: Option<PathBuf>,
}

impl Drop for Rival {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // It lies in the folder for such files.
            let _gone = fs::remove_file(file);
        }
    }
}

fn rival(rival: &mut Rival, job: Job, effort: Effort) -> Result<Turn> {
    let mut load = Load::connect(rival.wire, job.work, rival.publish, rival.subscribe)?;
    load.warm_up(WARM_UP)?;
    let cpu = |rival: &Rival| rival.servers.iter().map(|server| cpu_of(server.pid())).sum::<Result<f64>>();
    let before = cpu(rival)?;
    let sent = load.wave(effort.send)?;
    let cpu = cpu(rival)? - before;
    ensure!(sent.delivered > 0, "nothing was delivered");
    Ok(Turn {
        cpu_us: cpu * 1e6 / sent.delivered as f64,
        per_s: sent.delivered as f64 / sent.seconds,
        lost: sent.lost as f64,
        p50_us: sent.p50.unwrap_or_default(),
        p99_us: sent.p99.unwrap_or_default(),
    })
}

fn nats(is_mesh: bool) -> Result<Rival> {
    let start = |more: &[&str]| {
        let mut command = measured();
        command.arg("nats-server").args(["-a", "127.0.0.1", "-p", "-1"]).args(more);
        Program::start(&mut command)
    };
    let addr = |program: &Program, what: &str| -> Result<SocketAddr> {
        let line = program.says(what)?;
        Ok(line.rsplit(' ').next().context("an address")?.parse()?)
    };
    let clients = "Listening for client connections on";
    if !is_mesh {
        let server = start(&[])?;
        let addr = addr(&server, clients)?;
        return Ok(Rival {
            wire: Wire::Nats,
            servers: vec![server],
            publish: addr,
            subscribe: addr,
            file: None,
        });
    }
    let cluster = ["-cluster", "nats://127.0.0.1:-1", "-cluster_name", "bench"];
    let first = start(&cluster)?;
    let publish = addr(&first, clients)?;
    let routes = format!("nats://{}", addr(&first, "Listening for route connections on")?);
    let second = start(&[&cluster[..], &["-routes", &routes]].concat())?;
    let subscribe = addr(&second, clients)?;
    second.says("Route connection created")?;
    Ok(Rival { wire: Wire::Nats, servers: vec![first, second], publish, subscribe, file: None })
}

fn mosquitto() -> Result<Rival> {
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let file = std::env::temp_dir().join(format!("darkchat-bench-{}.conf", addr.port()));
    let config = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\nlog_type none\n",
        addr.port()
    );
    fs::write(&file, config)?;
    let server = Program::start(measured().args(["mosquitto", "-c"]).arg(&file))?;
    let rival =
        Rival { wire: Wire::Mqtt, servers: vec![server], publish: addr, subscribe: addr, file: Some(file) };
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(addr).is_err() {
        ensure!(Instant::now() < end, "mosquitto does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(rival)
}

fn floor() -> Result<Rival> {
    // This very program, even if it was built anew meanwhile.
    let mut command = Command::new("/proc/self/exe");
    let mut server = Program::start(command.args(["bench", "hub"]))?;
    let line = server.line()?;
    let addr = line.rsplit(' ').next().context("an address")?.parse()?;
    Ok(Rival { wire: Wire::Floor, servers: vec![server], publish: addr, subscribe: addr, file: None })
}
