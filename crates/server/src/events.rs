//! What a server reports to whoever listens: bounded, and never waited for.

use crate::Event;
use futures_core::Stream;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Events that wait for one listener: a mass reconnect of a thousand clients fits.
const WAITING: usize = 1_024;

/// The facts that a server reports, from the moment of the call of [`Server::events`](crate::Server::events).
///
/// A listener that does not read loses events, counted by [`lost`](Self::lost); the server never waits for it. The
/// stream ends when the server does.
///
/// ```
/// use darkchat_crypto::Identity;
/// use darkchat_server::Server;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let server = Server::builder(Identity::generate()).start().await?;
/// let mut events = server.events();
/// server.shutdown(Duration::from_secs(1)).await;
/// assert_eq!((events.recv().await, events.lost()), (None, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    lost: Arc<AtomicU64>,
}

impl Events {
    /// Events that this listener has missed because it did not read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The next event; `None` when the server has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the wait.
    pub async fn recv(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(cx)
    }
}

/// Who listens.
#[derive(Debug)]
pub(crate) struct Listeners(Mutex<Option<Vec<Ear>>>);

#[derive(Debug)]
struct Ear {
    events: mpsc::Sender<Event>,
    lost: Arc<AtomicU64>,
}

impl Listeners {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }

    pub(crate) fn listen(&self) -> Events {
        let (sender, events) = mpsc::channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        if let Some(ears) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            ears.push(Ear { events: sender, lost: lost.clone() });
        }
        Events { events, lost }
    }

    /// Tells everyone; returns how many did not hear it.
    pub(crate) fn tell(&self, event: &Event) -> u64 {
        let mut missed = 0;
        if let Some(ears) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            ears.retain(|ear| match ear.events.try_send(event.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    ear.lost.fetch_add(1, Ordering::Relaxed);
                    missed += 1;
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            });
        }
        missed
    }

    /// Ends all streams, also those asked for later.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkId;
    use darkchat_proto::Code;

    fn event(link: u64) -> Event {
        Event::Refused { link: LinkId(link), code: Code::Limit }
    }

    #[tokio::test]
    async fn one_who_does_not_read_loses_events_and_learns_how_many() {
        let listeners = Listeners::new();
        let (mut slow, mut quick) = (listeners.listen(), listeners.listen());
        for number in 0..WAITING as u64 + 3 {
            listeners.tell(&event(number));
            assert_eq!(quick.recv().await, Some(event(number)));
        }
        assert_eq!((slow.lost(), quick.lost()), (3, 0));
        assert_eq!(slow.recv().await, Some(event(0)));
    }

    #[tokio::test]
    async fn the_stream_ends_with_the_server_and_is_over_at_once_behind_it() {
        let listeners = Listeners::new();
        let mut before = listeners.listen();
        listeners.tell(&event(1));
        listeners.end();
        assert_eq!(before.recv().await, Some(event(1)));
        assert_eq!(before.recv().await, None);
        assert_eq!(listeners.listen().recv().await, None);
    }

    #[test]
    fn who_stops_listening_is_forgotten() {
        let listeners = Listeners::new();
        drop(listeners.listen());
        listeners.tell(&event(1));
        assert!(listeners.0.lock().unwrap().as_ref().unwrap().is_empty());
    }
}
