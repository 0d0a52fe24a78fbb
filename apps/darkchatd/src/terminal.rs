//! The operator's terminal: whether somebody talks to us there, and how it was before the prompt changed it.

use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Duration;

/// Ends what the prompt has begun: marks around what is pasted, and a line that the shell is to leave alone.
const PROMPT_ENDS: &[u8] = b"\x1b[?2004l\n";
/// How long the terminal may take to show that: one that has stopped must not hold up the end.
const SHOWN_WITHIN: Duration = Duration::from_millis(200);

/// Whether standard input and output are a terminal that listens to this program. Where a shell runs it in the
/// background, reading a line would stop all of it.
pub(crate) fn is_ours() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_in_background(io::stdin())
}

/// Only the terminal that controls a program tells which processes it listens to, and stops others.
fn is_in_background(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).is_ok_and(|listened_to| listened_to != getpgrp())
}

/// How the terminal was found. It is put back when this is dropped, because the thread that reads lines cannot be woken
/// to do so.
pub(crate) struct Found(Termios);

impl Found {
    /// `None` if standard input is no terminal.
    pub(crate) fn now() -> Option<Self> {
        tcgetattr(io::stdin()).ok().map(Self)
    }

    /// Puts the terminal back if the prompt is still up.
    pub(crate) fn put_back(&self) {
        let Ok(now) = tcgetattr(io::stdin()) else { return };
        if now.local_modes == self.0.local_modes || is_in_background(io::stdin()) {
            return;
        }
        // Not after what is still to be written: that may be for ever.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let (show, shown) = mpsc::channel();
        let end = move || {
            drop(io::stdout().write_all(PROMPT_ENDS));
            let _late = show.send(());
        };
        if std::thread::Builder::new().spawn(end).is_ok() {
            let _stopped = shown.recv_timeout(SHOWN_WITHIN);
        }
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        self.put_back();
    }
}
