//! Logs go to standard error, or above the operator's prompt while one is shown. A thread of its own writes them, so that
//! whoever logs waits for nobody: not for a terminal that has stopped, and not for a prompt that is busy.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that wait to be written: a mass reconnect of a thousand clients fits, and no line is longer than 1 KiB.
const WAITING: usize = 1_024;
/// How long the end waits for the last lines: what is written to has stopped if they take longer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);
/// What reads the prompt logs each key, to those above it, from the thread that should show it.
const READER: &str = "rustyline";

/// Prints a whole line above a prompt, and says whether it could.
pub(crate) type Above = Box<dyn FnMut(String) -> bool + Send>;

/// Where log lines go now, and those that wait. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct LogLines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// A line has come, or one is written.
    changed: Condvar,
    above: Mutex<Option<Arc<Mutex<Above>>>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    /// Lines that came while there was no room, behind all that wait.
    lost: u64,
    is_writing: bool,
}

impl Queue {
    fn push(&mut self, line: Vec<u8>) {
        if self.waiting.len() >= WAITING {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        if let Some(told) = self.lost() {
            self.waiting.push_back(told);
        }
        self.waiting.push_back(line);
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        self.waiting.pop_front().or_else(|| self.lost())
    }

    /// In the place of the lines that are lost, one that says how many.
    fn lost(&mut self) -> Option<Vec<u8>> {
        let lost = std::mem::take(&mut self.lost);
        let told =
            || format!("darkchatd: {lost} log lines are missing here, they came too fast\n").into_bytes();
        (lost > 0).then(told)
    }

    fn is_done(&self) -> bool {
        !self.is_writing && self.waiting.is_empty() && self.lost == 0
    }
}

impl LogLines {
    /// From now on lines are printed by `above`, or on standard error again. Waits for no line that is on its way.
    pub(crate) fn divert(&self, above: Option<Above>) {
        *self.0.above.lock().unwrap_or_else(PoisonError::into_inner) =
            above.map(|above| Arc::new(Mutex::new(above)));
    }

    /// Waits until all lines are written, or for a second.
    pub(crate) fn finish(&self) {
        let is_open = |queue: &mut Queue| !queue.is_done();
        drop(self.0.changed.wait_timeout_while(self.queue(), WRITTEN_WITHIN, is_open));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Vec<u8>) {
        self.queue().push(line);
        self.0.changed.notify_all();
    }

    /// The next line, when the one before it is written.
    fn next(&self) -> Vec<u8> {
        let mut queue = self.queue();
        queue.is_writing = false;
        loop {
            if let Some(line) = queue.take() {
                queue.is_writing = true;
                return line;
            }
            self.0.changed.notify_all();
            queue = self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A line that cannot be written has nowhere left to complain to.
    fn write(&self, line: &[u8]) {
        let above = self.0.above.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_shown = above.is_some_and(|above| {
            let mut above = above.lock().unwrap_or_else(PoisonError::into_inner);
            above(String::from_utf8_lossy(line).into_owned())
        });
        if !is_shown {
            drop(io::stderr().write_all(line));
        }
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
    fn drop(&mut self) {
        self.lines.push(std::mem::take(&mut self.text));
    }
}

/// Starts logging at this level.
///
/// # Errors
/// There is no thread to be had.
pub(crate) fn start(level: tracing::Level, lines: LogLines) -> io::Result<()> {
    let written = lines.clone();
    let write = move || loop {
        let line = written.next();
        written.write(&line);
    };
    std::thread::Builder::new().name("log".to_owned()).spawn(write)?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let wanted = Targets::new().with_default(level).with_target(READER, LevelFilter::OFF);
    let shown = tracing_subscriber::fmt::layer().with_target(false).with_ansi(colours).with_writer(lines);
    tracing_subscriber::registry().with(wanted).with(shown).init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn say(lines: &LogLines, text: &str) {
        lines.make_writer().write_all(text.as_bytes()).unwrap();
    }

    fn taken(lines: &LogLines) -> Vec<String> {
        let mut queue = lines.queue();
        std::iter::from_fn(|| queue.take()).map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_for_which_there_is_no_room_are_counted_where_they_are_missing() {
        let lines = LogLines::default();
        for number in 0..WAITING + 2 {
            say(&lines, &format!("line {number}"));
        }
        let missing =
            |count: u32| format!("darkchatd: {count} log lines are missing here, they came too fast\n");
        lines.queue().take().unwrap();
        say(&lines, "later");
        say(&lines, "too late");
        let taken = taken(&lines);
        assert_eq!(taken.len(), WAITING + 2, "the bound, and a line for each time that it was reached");
        assert_eq!(
            taken[WAITING - 2..],
            [format!("line {}", WAITING - 1), missing(2), "later".to_owned(), missing(1)]
        );
    }

    #[test]
    fn nobody_waits_for_a_prompt_that_shows_nothing() {
        let lines = LogLines::default();
        let (stuck, wait) = mpsc::channel::<()>();
        let (show, shown) = mpsc::channel();
        lines.divert(Some(Box::new(move |line| {
            show.send(line).unwrap();
            wait.recv().is_ok()
        })));
        let writer = lines.clone();
        std::thread::spawn(move || {
            loop {
                let line = writer.next();
                writer.write(&line);
            }
        });
        say(&lines, "one");
        assert_eq!(shown.recv().unwrap(), "one");
        // All of these would wait for ever.
        say(&lines, "two");
        lines.divert(None);
        assert!(!lines.queue().is_done());
        drop(stuck);
        while !lines.queue().is_done() {
            lines.finish();
        }
        assert!(shown.recv().is_err(), "the second line went to standard error");
    }
}
