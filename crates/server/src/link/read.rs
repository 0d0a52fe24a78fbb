//! The reading half of a link, and the one that reports its end: units to records to frames to the loop.

use super::check::{Checked, Checker};
use super::write::{Outbox, WriteError};
use crate::accept::Present;
use crate::limits::CLOSE_WITHIN;
use crate::shared::{Arrival, Shared};
use crate::shown::Shown;
use bytes::{Bytes, BytesMut};
use darkchat_crypto::Opener;
use darkchat_node::Received;
use darkchat_proto::{Code, FrameStream, Time};
use darkchat_transport::BoxStream;
use futures_util::StreamExt as _;
use futures_util::future::join;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Messages of one record that go to the loop together: as many as fill a few records of each receiver.
const GATHERED: usize = 64;
/// How long messages of one record wait for each other. Checking a signature takes some 70 µs: the first one is not
/// to wait for all of them.
const GATHER_WITHIN: Duration = Duration::from_millis(1);

/// Reads one link until its end.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    units: BoxStream<io::Result<Bytes>>,
    opener: Opener,
    frames: FrameStream,
    checker: Checker,
    writer: JoinHandle<Result<(), WriteError>>,
    /// Counts the connection until the end.
    _present: Option<Present>,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The link is gone, or must be gone at once and without a word.
    Gone(Code),
    /// The node ends the link, or will.
    Closing,
}

impl Reader {
    pub(crate) fn new(
        (shared, outbox): (Arc<Shared>, Arc<Outbox>),
        units: BoxStream<io::Result<Bytes>>,
        opener: Opener,
        checker: Checker,
        writer: JoinHandle<Result<(), WriteError>>,
        present: Option<Present>,
    ) -> Self {
        let frames = FrameStream::default();
        Self { shared, outbox, units, opener, frames, checker, writer, _present: present }
    }

    /// Reads until the end, and tells the loop why it came. Nothing of the link is left then.
    ///
    /// Boxed, because a task would keep room for it twice.
    pub(crate) async fn run(mut self: Box<Self>) {
        let why = match self.read().await {
            End::Gone(code) => code,
            End::Closing => Box::pin(self.linger()).await,
        };
        self.writer.abort();
        let link = self.outbox.link();
        tracing::debug!(link = link.0, why = why.name(), "link closed");
        self.shared.tell(Arrival::Closed { link, why }).await;
    }

    async fn read(&mut self) -> End {
        let outbox = self.outbox.clone();
        let mut closing = pin!(outbox.closing());
        loop {
            let unit = tokio::select! {
                biased;
                () = &mut closing => return End::Closing,
                // By itself it only ends when the carrier is broken.
                _ = &mut self.writer => return self.end_of_stream(),
                unit = self.units.next() => unit,
            };
            let read = match unit {
                // Boxed, so that an idle link does not hold the place that a frame on its way needs.
                Some(Ok(unit)) => Box::pin(self.unit(unit)).await,
                Some(Err(error)) => {
                    tracing::debug!(link = outbox.link().0, error = %Shown(error), "link broken");
                    Err(self.end_of_stream())
                }
                None => Err(self.end_of_stream()),
            };
            if let Err(end) = read {
                return end;
            }
        }
    }

    /// An end that was not announced is a loss.
    fn end_of_stream(&self) -> End {
        End::Gone(self.checker.goodbye().unwrap_or(Code::Truncated))
    }

    async fn unit(&mut self, unit: Bytes) -> Result<(), End> {
        let wait = self.checker.unit(self.shared.clock.now(), unit.len());
        self.rest(wait).await?;
        let record = unit.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let plain = self.opener.open(record).map_err(|_| End::Gone(Code::BadFrame))?;
        if plain.is_empty() {
            let wait = self.checker.empty_record(self.shared.clock.now());
            return self.rest(wait).await;
        }
        self.frames.push(plain.freeze());
        let held = self.frames.len();
        let (mut gathered, mut since) = (Vec::new(), Time::ZERO);
        loop {
            let now = self.shared.clock.now();
            let checked = match self.frames.next_frame() {
                Ok(None) => {
                    self.tell(gathered).await;
                    return Ok(());
                }
                Ok(Some(frame)) => self.checker.frame(now, frame, held, self.outbox.checked_one_in()),
                Err(error) => Checked::fatal(0, error.code()),
            };
            let Checked { wait, hand: (first, second), is_fatal } = checked;
            let wait = wait.max(self.outbox.rest(now));
            // What came before goes on before anything waits or is answered.
            let is_message = second.is_none() && is_message(&first);
            let is_late = gathered.len() >= GATHERED || now.saturating_since(since) >= GATHER_WITHIN;
            if !wait.is_zero() || !is_message || is_late {
                self.tell(std::mem::take(&mut gathered)).await;
                since = now;
            }
            self.rest(wait).await?;
            gathered.push(first);
            gathered.extend(second);
            if !is_message {
                self.tell(std::mem::take(&mut gathered)).await;
            }
            if is_fatal {
                return Err(End::Closing);
            }
        }
    }

    /// Tells the loop of frames, in their order.
    async fn tell(&mut self, mut frames: Vec<Received>) {
        let link = self.outbox.link();
        if frames.is_empty() {
            return;
        }
        // A place first: a link that waits for one holds its frames once.
        if let Ok(place) = self.shared.arrivals.reserve().await {
            let only = if frames.len() == 1 { frames.pop() } else { None };
            place.send(match only {
                Some(frame) => Arrival::Frame { link, frame },
                None => Arrival::Messages { link, frames },
            });
        }
    }

    /// Rests, unless the link ends meanwhile.
    async fn rest(&mut self, time: Duration) -> Result<(), End> {
        if self.outbox.is_closing() {
            return Err(End::Closing);
        }
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = sleep(time) => Ok(()),
            () = self.outbox.closing() => Err(End::Closing),
        }
    }

    /// Lets the last words leave. What still comes is thrown away: a socket that is closed with unread bytes resets
    /// the connection, and the reset overtakes the goodbye.
    async fn linger(&mut self) -> Code {
        let Self { shared, outbox, units, writer, .. } = self;
        // The node may still have to say that it ends a link for a fault that it was told of.
        if timeout(CLOSE_WITHIN, outbox.closing()).await.is_err() {
            return Code::Truncated;
        }
        let written = async { matches!(writer.await, Ok(Ok(()))) };
        let drained = async { while let Some(Ok(_)) = units.next().await {} };
        let ending = timeout(CLOSE_WITHIN, join(written, drained));
        match shared.ended.run_until_cancelled(ending).await {
            Some(Ok((true, ()))) => Code::Ok,
            _ => Code::Truncated,
        }
    }
}

/// Whether it is for others, so that the node may handle several at once: nothing waits for its answer but more of them.
const fn is_message(received: &Received) -> bool {
    matches!(received, Received::Publish { .. } | Received::SealedPublish { .. } | Received::Route { .. })
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("link", &self.outbox.link()).finish_non_exhaustive()
    }
}
