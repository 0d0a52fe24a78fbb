//! Signals: the first asks the server to stop, a second one ends it at once, a hangup asks it to read files again.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end this program.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// Those that do not.
pub(crate) struct Hangups(Signal);

impl Signals {
    /// From now on the signals do nothing by themselves.
    pub(crate) fn catch() -> io::Result<(Self, Hangups)> {
        let signals =
            Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
        Ok((signals, Hangups(signal(SignalKind::hangup())?)))
    }

    /// The number of the next signal that asks for an end.
    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}

impl Hangups {
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}
