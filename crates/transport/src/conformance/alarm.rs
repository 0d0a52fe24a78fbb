//! A timer that needs no runtime, so that the checks run on any.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// Ends after `wait`. The clock starts at the first poll; dropping the future ends its thread.
pub(super) async fn after(wait: Duration) {
    let (ring, rung) = oneshot::channel();
    let (_alive, cancelled) = mpsc::channel::<()>();
    thread::spawn(move || {
        if cancelled.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            // Nobody listens if the future was dropped just now, and that is as good.
            let _ = ring.send(());
        }
    });
    let _ = rung.await;
}
