//! Logs go to standard error, or above the operator's prompt while one is shown.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// Prints whole lines above a prompt.
pub(crate) type Above = Box<dyn FnMut(String) + Send>;

/// Where log lines go now. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct LogLines(Arc<Mutex<Option<Above>>>);

impl LogLines {
    /// From now on lines are printed by `above`, or on standard error again.
    pub(crate) fn divert(&self, above: Option<Above>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = above;
    }
}

/// One log line on its way out.
pub(crate) struct Line {
    lines: LogLines,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { lines: self.clone(), text: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    /// A line that cannot be written has nowhere left to complain to.
    fn drop(&mut self) {
        match &mut *self.lines.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(above) => above(String::from_utf8_lossy(&self.text).into_owned()),
            None => drop(io::stderr().write_all(&self.text)),
        }
    }
}

/// Starts logging at this level.
pub(crate) fn start(level: tracing::Level, lines: LogLines) {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(colours)
        .with_writer(lines)
        .init();
}
