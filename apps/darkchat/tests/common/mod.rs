//! Real programs on loopback: servers and clients as child processes that end with the test.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses a part; a failed step fails the test"
)]

use serde_json::Value;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine, and than any deadline of the protocol: only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder that goes when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("darkchat-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The server program, which another package builds: that in the folder `DARKCHAT_PROGRAMS`, or one that is built now.
pub(crate) fn darkchatd() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(programs) = std::env::var_os("DARKCHAT_PROGRAMS") {
            return Path::new(&programs).join("darkchatd");
        }
        let program = Path::new(env!("CARGO_BIN_EXE_darkchat")).with_file_name("darkchatd");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "darkchatd"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(
            build.status().unwrap().success() && program.exists(),
            "no server program at {}",
            program.display()
        );
        program
    })
}

/// Lines of a child's stream, as they come.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: impl std::io::Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next line; `None` at the end of the stream.
    pub(crate) fn next(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// Lines up to one that holds all of `words`; gives that one.
    pub(crate) fn until(&self, words: &[&str]) -> String {
        let mut seen = Vec::new();
        while let Some(line) = self.next() {
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            seen.push(line);
        }
        panic!("the stream ended without {words:?}: {seen:#?}");
    }

    /// Whether a line that holds this word has come already; the lines up to it are gone then.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.try_iter().any(|line| line.contains(word))
    }

    /// All lines to the end of the stream.
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// A running program.
pub(crate) struct Program {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["DARKCHAT_SERVER", "DARKCHAT_NAME", "DARKCHAT_NETWORK", "DARKCHAT_IDENTITY"] {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let out = Lines::of(child.stdout.take().unwrap());
        let err = Lines::of(child.stderr.take().unwrap());
        Self { child, input, out, err }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        drop(self.input.take());
        self.child.wait().unwrap()
    }

    /// The exit code; fails if a signal ended the program.
    pub(crate) fn code(&mut self) -> i32 {
        self.wait().code().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The three kinds of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Ws,
    Full,
}

/// A server with its own key on ports that the system chose.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) id: String,
    pub(crate) clients: Vec<String>,
    /// Where the page is.
    pub(crate) web: Option<String>,
    pub(crate) peers: String,
}

impl Server {
    pub(crate) fn start(kind: Kind, more: &[&str]) -> Self {
        Self::run(Command::new(darkchatd()), kind, more)
    }

    /// The same in a network namespace.
    pub(crate) fn start_in(namespace: &str, kind: Kind, more: &[&str]) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(darkchatd());
        Self::run(command, kind, more)
    }

    fn run(mut command: Command, kind: Kind, more: &[&str]) -> Self {
        command.args(["--prompt", "always"]);
        if !more.contains(&"--key") {
            command.arg("--ephemeral");
        }
        if !more.iter().any(|flag| ["--peer-listen", "--no-peer-listen"].contains(flag)) {
            command.args(["--peer-listen", "0"]);
        }
        let own_port = more.contains(&"--tcp");
        command.args(match kind {
            Kind::Tcp if own_port => &[][..],
            Kind::Tcp => &["--tcp", "0"],
            Kind::Ws => &["--ws", "0"],
            Kind::Full => &["--tcp", "0", "--ws", "0"],
        });
        let program = Program::start(command.args(more));
        let mut server =
            Self { program, id: String::new(), clients: Vec::new(), web: None, peers: String::new() };
        loop {
            let line =
                server.program.out.next().unwrap_or_else(|| panic!("{:#?}", server.program.err.rest()));
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["id", id] => server.id = id.to_owned(),
                ["clients", addr] => server.clients.push(addr.to_owned()),
                ["web", url] => server.web = Some(url.to_owned()),
                ["peers", addr] => server.peers = addr.to_owned(),
                ["ready"] => return server,
                _ => {}
            }
        }
    }

    /// A client address that begins with this scheme.
    pub(crate) fn addr(&self, scheme: &str) -> &str {
        self.clients.iter().find(|addr| addr.starts_with(scheme)).unwrap()
    }

    /// The first client address.
    pub(crate) fn any(&self) -> &str {
        &self.clients[0]
    }

    /// Says a line at the prompt and gives the lines of the reply.
    pub(crate) fn ask(&mut self, line: &str) -> Vec<String> {
        self.program.say(line);
        let mut reply = Vec::new();
        loop {
            match self.program.out.next().unwrap() {
                line if line.is_empty() => return reply,
                line => reply.push(line),
            }
        }
    }

    /// Waits until there are links with so many other servers.
    pub(crate) fn await_peers(&mut self, count: usize) {
        while self.ask("peers").iter().filter(|line| *line != "(none)").count() < count {
            self.program.err.until(&["peer up"]);
        }
    }

    pub(crate) fn peer_with(&mut self, other: &Self) {
        let reply = self.ask(&format!("connect {}", other.peers));
        assert!(reply[0].contains(&format!("connected {}", other.id)), "{reply:?}");
    }

    /// A raw connection to a client port.
    pub(crate) fn raw(&self, scheme: &str) -> TcpStream {
        let host =
            self.addr(scheme).trim_start_matches(scheme).trim_start_matches("://").trim_end_matches("/ws");
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Somebody with a key and a folder, at one server.
pub(crate) struct Person {
    pub(crate) folder: Folder,
    server: String,
}

impl Person {
    pub(crate) fn new(server: &str) -> Self {
        Self { folder: Folder::new(), server: server.to_owned() }
    }

    pub(crate) fn darkchat(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
        command.args(["--server", &self.server]).args(args).env("DARKCHAT_HOME", self.folder.path());
        for name in ["DARKCHAT_SERVER", "DARKCHAT_NAME", "DARKCHAT_IDENTITY", "DARKCHAT_INVITE"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end, with this on its standard input, and gives what it prints.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> String {
        let mut command = self.darkchat(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    }

    pub(crate) fn listen(&self, channel: &str) -> Program {
        let program = Program::start(&mut self.darkchat(&["recv", "--json", "-c", channel]));
        program.out.until(&["\"joined\"", channel]);
        program
    }

    pub(crate) fn key(&self) -> String {
        self.run(&["id", "new"], "")
    }

    pub(crate) fn kept(&self, name: &str) -> PathBuf {
        self.folder.path().join("channels").join(name)
    }
}

/// The client program with a throw-away key, for whom every server is new.
///
/// A folder that clients share would remember each port with the key of the server that had it, and refuse the next
/// server that gets the same one.
pub(crate) fn client(server: &str) -> Command {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("client-{}-{number}", std::process::id()));
    drop(std::fs::remove_dir_all(&home));
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkchat"));
    command.args(["--ephemeral", "--server", server]).env("DARKCHAT_HOME", home);
    command
}

/// A listener that prints JSON, and that has joined.
pub(crate) fn listen(server: &str, channel: &str, more: &[&str]) -> Program {
    let program = Program::start(client(server).args(["recv", "--json", "-c", channel]).args(more));
    program.out.until(&["\"joined\"", channel]);
    program
}

/// Sends one message as `name`; gives the `sent` line.
pub(crate) fn send(server: &str, channel: &str, name: &str, text: &str) -> Value {
    let out = client(server).args(["send", "--json", "--name", name, "-c", channel, text]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The client program in a network namespace.
pub(crate) fn client_in(namespace: &str, server: &str) -> Command {
    let plain = client(server);
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

/// [`listen`] in a network namespace.
pub(crate) fn listen_in(namespace: &str, server: &str, channel: &str) -> Program {
    let program = Program::start(client_in(namespace, server).args(["recv", "--json", "-c", channel]));
    program.out.until(&["\"joined\"", channel]);
    program
}

/// [`send`] in a network namespace.
pub(crate) fn send_in(namespace: &str, server: &str, channel: &str, text: &str) -> Value {
    try_send_in(namespace, server, channel, text).unwrap_or_else(|error| panic!("{error}"))
}

fn try_send_in(namespace: &str, server: &str, channel: &str, text: &str) -> Result<Value, String> {
    let out = client_in(namespace, server).args(["send", "--json", "-c", channel, text]).output().unwrap();
    let sent = out.status.success().then(|| serde_json::from_slice(&out.stdout).unwrap());
    sent.ok_or_else(|| String::from_utf8_lossy(&out.stderr).into_owned())
}

/// [`reach`] in a network namespace. Servers there have the limits for strangers, and may turn one away who calls again
/// and again.
pub(crate) fn reach_in(namespace: &str, server: &str, channel: &str, servers: u64) {
    until("a message goes to all servers", || {
        try_send_in(namespace, server, channel, "probe")
            .is_ok_and(|sent| sent["servers"].as_u64().unwrap() >= servers)
    });
}

/// The next message that a JSON listener prints.
pub(crate) fn heard(listener: &Program) -> Value {
    let line = listener.out.until(&["\"type\":\"message\""]);
    serde_json::from_str(&line).unwrap()
}

/// Somebody who says numbers, from "number 0" on.
pub(crate) struct Speaker {
    stop: Arc<AtomicBool>,
    said: Receiver<usize>,
    says: JoinHandle<usize>,
}

impl Speaker {
    /// Between two numbers.
    const PAUSE: Duration = Duration::from_millis(20);

    /// `chat` is the command of a chat in one channel, without a terminal.
    pub(crate) fn start(chat: &mut Command) -> Self {
        let mut program = Program::start(chat);
        program.err.until(&["-- joined"]);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, (sender, said)) = (Arc::clone(&stop), channel());
        let says = thread::spawn(move || {
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                program.say(&format!("number {number}"));
                // Not everybody wants to know.
                let _ = sender.send(number);
                number += 1;
                thread::sleep(Self::PAUSE);
            }
            program.say("/quit");
            assert_eq!(program.code(), 0);
            number
        });
        Self { stop, said, says }
    }

    /// Waits until this number has been said.
    pub(crate) fn until(&self, number: usize) {
        while self.said.recv_timeout(PATIENCE).unwrap() < number {}
    }

    /// How many numbers there were.
    pub(crate) fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.says.join().unwrap()
    }
}

/// All that a connection gives until it is closed, or reset.
pub(crate) fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "still open after {PATIENCE:?}");
    }
    all
}

/// The message with this text.
pub(crate) fn heard_text(listener: &Program, text: &str) -> Value {
    let line = listener.out.until(&["\"type\":\"message\"", &Value::from(text).to_string()]);
    serde_json::from_str(&line).unwrap()
}

/// Asks again until it is so: each question waits for an answer of the other program.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
    }
}

/// Sends probes until a message from here goes to this many other servers.
pub(crate) fn reach(server: &str, channel: &str, servers: u64) {
    until("a message goes to all servers", || {
        send(server, channel, "", "probe")["servers"].as_u64().unwrap() >= servers
    });
}

/// The server program without any flags.
pub(crate) fn server() -> Command {
    Command::new(darkchatd())
}
