//! Programs under measurement: how they are built, started, asked, watched in `/proc`, and ended.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longer than any single step takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a server may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// What the kernel counts processor time in: `USER_HZ` is 100 wherever Linux runs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The shell has no other part in it: whatever it starts takes its place.
const MEASURED: &str = "ulimit -n $(ulimit -Hn)
    if command -v setpriv > /dev/null; then set -- setpriv --pdeathsig TERM \"$@\"; fi
    exec \"$@\"";

/// The programs, as released.
pub(crate) struct Programs {
    darkchatd: PathBuf,
    darkchat: PathBuf,
    load: PathBuf,
}

impl Programs {
    /// Builds all in one go, so that what they share is built once.
    pub(crate) fn build(root: &Path) -> Result<Self> {
        let programs = crate::built(
            root,
            &[
                ["build", "--release", "--quiet"].as_slice(),
                &["--package", "darkchatd", "--bin", "darkchatd"],
                &["--package", "darkchat", "--bin", "darkchat"],
                &["--package", "darkchat-client", "--example", "load"],
            ]
            .concat(),
        )?;
        let program = |name: &str| {
            let built = programs.iter().find(|message| message["target"]["name"] == name);
            built.and_then(|message| message["executable"].as_str()).map(PathBuf::from)
        };
        let built = || Some((program("darkchatd")?, program("darkchat")?, program("load")?));
        let (darkchatd, darkchat, load) = built().context("three programs are built")?;
        Ok(Self { darkchatd, darkchat, load })
    }

    /// Starts a server on ports that the system chooses, with a throw-away key.
    pub(crate) fn server(&self) -> Result<Server> {
        self.server_under(&[])
    }

    /// The same, under another program that runs what its arguments end with.
    pub(crate) fn server_under(&self, wrapper: &[&str]) -> Result<Server> {
        self.server_with(wrapper, &["--no-peer-listen"], "trusted")
    }

    /// The same with these flags, of which these limits come.
    pub(crate) fn server_with(&self, wrapper: &[&str], flags: &[&str], limits: &str) -> Result<Server> {
        let mut command = measured();
        command.args(wrapper).arg(&self.darkchatd);
        command.args(["--ephemeral", "--tcp", "0", "--ws", "0", "--prompt", "never"]).args(flags);
        let mut program = Program::start(&mut command)?;
        let (mut tcp, mut ws, mut peers) = (String::new(), String::new(), String::new());
        loop {
            let line = program.line()?;
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["clients", addr] if addr.starts_with("tcp:") => addr.clone_into(&mut tcp),
                ["clients", addr] => addr.clone_into(&mut ws),
                ["peers", addr] => addr.clone_into(&mut peers),
                ["limits", profile] => ensure!(profile == limits, "measured with the limits {profile}"),
                ["ready"] => break,
                _ => {}
            }
        }
        let pid = match wrapper {
            [] => program.child.id(),
            _ => only_child(program.child.id())?,
        };
        Ok(Server { program, pid, tcp, ws, peers })
    }

    /// Runs `darkchat bench`; the object that it prints.
    pub(crate) fn bench(&self, args: &[&str]) -> Result<Value> {
        let out =
            Command::new(&self.darkchat).arg("bench").args(args).args(["--json", "--quiet"]).output()?;
        ensure!(out.status.success(), "bench {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(serde_json::from_slice(&out.stdout)?)
    }

    /// Starts the load beside a server.
    pub(crate) fn load(&self, addr: &str) -> Result<Load> {
        Ok(Load(Program::start(measured().arg(&self.load).arg(addr))?))
    }
}

/// Runs what its arguments say, with as many descriptors as the system allows, and for no longer than this program runs:
/// whoever ends it by a signal is left with no server. Where `setpriv` is not installed, one is left.
pub(crate) fn measured() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", MEASURED, "sh"]);
    command
}

fn only_child(pid: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(children.trim().parse()?)
}

/// A child with its streams; killed when it is dropped, by its own handle.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let out = lines(child.stdout.take().context("a pipe")?);
        let err = lines(child.stderr.take().context("a pipe")?);
        let input = child.stdin.take();
        Ok(Self { child, input, out, err })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard error that holds this text.
    pub(crate) fn says(&self, text: &str) -> Result<String> {
        let end = Instant::now() + STOP_WITHIN;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let line = self.err.recv_timeout(rest).with_context(|| format!("it never said: {text}"))?;
            if line.contains(text) {
                return Ok(line);
            }
        }
    }

    /// The next line of its standard output.
    pub(crate) fn line(&mut self) -> Result<String> {
        match self.out.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let said: Vec<String> = self.err.iter().collect();
                bail!("the program ended: {}", said.join("\n"))
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(std::result::Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A running server.
pub(crate) struct Server {
    program: Program,
    pub(crate) pid: u32,
    pub(crate) tcp: String,
    pub(crate) ws: String,
    /// Where other servers link with it, if they can.
    pub(crate) peers: String,
}

impl Server {
    /// The next line of its log that holds all of these words.
    pub(crate) fn log_line(&self, words: &[&str], within: Duration) -> Result<String> {
        let end = Instant::now() + within;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let line = self.program.err.recv_timeout(rest);
            let line = line.with_context(|| format!("the server's log never said {words:?}"))?;
            if words.iter().all(|word| line.contains(word)) {
                return Ok(line);
            }
        }
    }

    /// Stops it by a signal, and returns all that it wrote and was not read yet. Fails unless it ends with 0.
    pub(crate) fn stop(mut self) -> Result<Vec<String>> {
        let kill = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status()?;
        ensure!(kill.success(), "the server is gone");
        let end = Instant::now() + STOP_WITHIN;
        while Instant::now() < end {
            if let Some(status) = self.program.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(self.program.out.iter().chain(self.program.err.iter()).collect());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not stop within {STOP_WITHIN:?}")
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.pid)
    }
}

/// Processor time of a process so far, in seconds.
pub(crate) fn cpu_of(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, which may hold anything, ends with the last bracket; then the state is the first field.
    let fields = stat.rsplit_once(')').context("a stat line")?.1;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("a field")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    /// Pages that nobody else has: what ending it would give back.
    pub(crate) private: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let kib = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).context("smaps_rollup")
        };
        Ok(Self { rss: kib("Rss:")?, private: kib("Private_Clean:")? + kib("Private_Dirty:")? })
    }

    /// Resident pages, cheap enough to ask for often.
    pub(crate) fn rss_of(pid: u32) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("VmRSS")
    }
}

/// The running load.
pub(crate) struct Load(Program);

impl Load {
    /// Gives a command and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Result<Value> {
        let input = self.0.input.as_mut().context("a pipe")?;
        writeln!(input, "{command}")?;
        let line = self.0.line().with_context(|| command.to_owned())?;
        let answer: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        ensure!(answer.get("error").is_none(), "{line}");
        Ok(answer)
    }

    /// Publishes, and fails if a reader missed anything.
    pub(crate) fn wave(&mut self, command: &str) -> Result<Wave> {
        Wave::of(&self.ask(command)?)
    }
}

/// What a wave of messages came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wave {
    pub(crate) seconds: f64,
    pub(crate) messages: u64,
    pub(crate) posts: u64,
    pub(crate) deliveries: u64,
}

impl Wave {
    fn of(answer: &Value) -> Result<Self> {
        let number = |name: &str| answer[name].as_u64().with_context(|| format!("no {name} in {answer}"));
        ensure!(
            number("missing")? == 0 && number("dropped_posts")? == 0,
            "a reader missed something: {answer}"
        );
        Ok(Self {
            seconds: answer["seconds"].as_f64().context("seconds")?,
            messages: number("messages")?,
            posts: number("posts")?,
            deliveries: number("deliveries")?,
        })
    }

    /// Deliveries a second.
    pub(crate) fn rate(&self) -> f64 {
        self.deliveries as f64 / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the system shows of a process, `None` once it has ended.
    fn state_and_name(pid: u32) -> Option<(char, String)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        Some((rest.chars().next()?, name.to_owned())).filter(|(state, _)| *state != 'Z')
    }

    /// Waits until it holds; a system that is busy needs a while.
    fn becomes(holds: impl Fn() -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while !holds() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        holds()
    }

    #[test]
    fn what_is_measured_ends_with_the_one_who_measures() {
        if !Command::new("setpriv").arg("--version").output().is_ok_and(|out| out.status.success()) {
            println!("setpriv is not installed; a server is left behind");
            return;
        }
        // Whoever measures, until somebody hangs up: it says whom it started.
        let mut command = Command::new("sh");
        command.args(["-c", "\"$@\" & echo $!; read -r _", "sh", "sh", "-c", MEASURED, "sh", "sleep", "600"]);
        let mut measures = Program::start(&mut command).unwrap();
        let pid: u32 = measures.line().unwrap().parse().unwrap();
        assert!(becomes(|| state_and_name(pid).is_some_and(|(_, name)| name == "sleep")), "it runs");
        drop(measures);
        assert!(becomes(|| state_and_name(pid).is_none()), "it has ended");
    }
}
