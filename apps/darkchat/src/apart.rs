//! What may wait for ever happens on a thread apart, so that a signal ends the command meanwhile.

use crate::stack;
use std::io;
use std::thread;
use tokio::sync::oneshot;

/// Does this, such as reading a pipe or a terminal to its end. The thread cannot be woken: it ends with its work, or with
/// the process.
pub(crate) async fn wait_for<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let work = move || {
        // Nobody listens any more when a signal came first.
        drop(tell.send(work()));
        stack::wipe();
    };
    thread::Builder::new().spawn(work)?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("the thread that reads has failed")))
}
