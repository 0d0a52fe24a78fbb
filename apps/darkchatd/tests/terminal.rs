//! The server at a terminal: a prompt that never stops it, and a terminal that is left as it was found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails fails the test")]

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, tcgetattr};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything here takes on a loaded machine: only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(30);
const PROMPT: &str = "darkchatd> ";

/// A terminal, with us in the place of the person.
struct Terminal {
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// Held open, so that it is there to look at when the program has ended.
    line: OwnedFd,
}

impl Terminal {
    fn open() -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
        let keys = File::from(ours);
        let (show, screen) = channel();
        let mut shown = keys.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(len @ 1..) = shown.read(&mut bytes) {
                if show.send(bytes[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, screen, seen: String::new(), line }
    }

    /// Runs a program here.
    fn run(&self, command: &mut Command) -> Running {
        let line = || self.line.try_clone().unwrap();
        command.stdin(line()).stdout(line()).stderr(line());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DARKCHATD_") {
                command.env_remove(name);
            }
        }
        let mut child = command.env("TERM", "xterm").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (end, ended) = channel();
        std::thread::spawn(move || end.send(child.wait()));
        Running { pid, ended, code: None }
    }

    /// What is shown up to the end of this text, the next time that it comes.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} does not come: {:?}", self.seen),
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\r").as_bytes()).unwrap();
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.line).unwrap()
    }
}

/// A program that ends with the test.
struct Running {
    pid: Pid,
    ended: Receiver<std::io::Result<ExitStatus>>,
    code: Option<i32>,
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// The exit code; fails if a signal ended the program, or nothing.
    fn code(&mut self) -> i32 {
        let status = self.ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it does not end")).unwrap();
        self.code = Some(status.code().unwrap());
        status.code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.code.is_none() {
            let _gone = kill_process(self.pid, Signal::KILL);
        }
    }
}

fn server(more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkchatd"));
    command.args(["--ephemeral", "--tcp", "0", "--no-peer-listen"]).args(more);
    command
}

fn assert_same(before: &Termios, after: &Termios) {
    assert_eq!(before.local_modes, after.local_modes);
    assert_eq!(before.input_modes, after.input_modes);
    assert_eq!(before.output_modes, after.output_modes);
    assert_eq!(before.control_modes, after.control_modes);
}

#[test]
fn log_lines_never_hold_the_prompt_up_nor_the_end() {
    for level in ["info", "debug", "trace"] {
        let mut terminal = Terminal::open();
        let mut server = terminal.run(&mut server(&["--log-level", level]));
        for command in ["peers", "clients", "channels"] {
            terminal.until(PROMPT);
            terminal.say(command);
            terminal.until("(none)");
        }
        terminal.until(PROMPT);
        server.signal(Signal::TERM);
        assert_eq!(server.code(), 0, "{level}");
    }
}

#[test]
fn a_terminal_is_left_as_it_was_found() {
    for ending in ["exit", "TERM", "INT"] {
        let mut terminal = Terminal::open();
        let before = terminal.modes();
        let mut server = terminal.run(&mut server(&[]));
        terminal.until(PROMPT);
        assert!(!terminal.modes().local_modes.contains(LocalModes::ICANON), "the prompt reads single keys");
        match ending {
            "exit" => terminal.say("exit"),
            "TERM" => server.signal(Signal::TERM),
            _ => server.signal(Signal::INT),
        }
        assert_eq!(server.code(), 0, "{ending}");
        assert_same(&before, &terminal.modes());
        // Pastes are marked no longer, and the shell's prompt begins a line.
        terminal.until("\x1b[?2004l");
        terminal.until("\n");
    }
}

#[test]
fn log_lines_stand_above_the_prompt() {
    let mut terminal = Terminal::open();
    let mut server = terminal.run(&mut server(&["--log-level", "debug"]));
    terminal.until("clients  tcp://");
    let place = terminal.until("\r\n");
    terminal.until(PROMPT);
    drop(std::net::TcpStream::connect(place.trim()).unwrap());
    terminal.until("no link");
    terminal.until(PROMPT);
    terminal.say("exit");
    assert_eq!(server.code(), 0);
}

/// Ends what was started by a program that was started here.
struct Ends(Pid);

impl Drop for Ends {
    fn drop(&mut self) {
        let _gone = kill_process(self.0, Signal::KILL);
    }
}

/// A shell's `&`: reading from the terminal, or changing how it reads, would stop the whole server there.
#[test]
fn a_server_in_the_background_has_no_prompt_and_goes_on() {
    let mut terminal = Terminal::open();
    let mut shell = Command::new("setsid");
    shell.args(["--ctty", "--wait", "sh", "-c", "set -m; \"$0\" \"$@\" & echo pid $!; wait $!; exit $?"]);
    let server = server(&[]);
    let mut shell = terminal.run(shell.arg(server.get_program()).args(server.get_args()));
    let mut told = terminal.until("pid ");
    let pid = terminal.until("\n").trim().parse().ok().and_then(Pid::from_raw).unwrap();
    let _server = Ends(pid);
    if !told.contains("ready") {
        told = terminal.until("ready");
    }
    kill_process(pid, Signal::TERM).unwrap();
    told.push_str(&terminal.until("stopping"));
    assert!(!told.contains("commands:") && !told.contains(PROMPT), "{told:?}");
    assert_eq!(shell.code(), 0);
}
