//! The writing half of a link: what waits is put into records of up to 32 KiB, sealed in place, and flushed once.

use super::Blanks;
use crate::LinkId;
use crate::limits::CLOSE_WITHIN;
use crate::shared::Shared;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use darkchat_crypto::{SealError, Sealer};
use darkchat_proto::Time;
use darkchat_transport::BoxSink;
use futures_util::SinkExt as _;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Plaintext of one record, in bytes: large enough that sealing and system calls cost little each and that the longest
/// post that clients gather leaves in one, small enough that a busy link holds little.
pub(super) const RECORD_FILL: usize = 32 * 1024;
/// Bytes that Noise adds to a record.
pub(super) const TAG: usize = 16;
/// Runs that are shared with other links, per link. A run of a few bytes may keep a turn's bytes of all links alive,
/// so a reader that is behind gets copies.
const SHARED_RUNS: usize = 8;
/// Bytes from which a run is worth keeping apart; it is then mostly its own.
const LONG_RUN: usize = 4 * 1024;

/// What waits for a link's writer, and what the loop wants of the link's two tasks.
#[derive(Debug)]
pub(crate) struct Outbox {
    link: LinkId,
    waiting: Mutex<Waiting>,
    /// Wakes the writer.
    work: Notify,
    /// Both tasks: send what waits, then end.
    closing: CancellationToken,
    /// Written and not yet told to the loop.
    flushed: AtomicUsize,
    /// One in how many public posts the reader checks.
    check_every: AtomicU32,
    /// Until when the reader rests.
    rest_until: Mutex<Time>,
}

/// Runs of bytes in order.
#[derive(Debug, Default)]
struct Waiting {
    runs: VecDeque<Bytes>,
    /// Copies, behind all of `runs`.
    copied: BytesMut,
}

impl Outbox {
    pub(crate) fn new(link: LinkId) -> Self {
        Self {
            link,
            waiting: Mutex::default(),
            work: Notify::new(),
            closing: CancellationToken::new(),
            flushed: AtomicUsize::new(0),
            check_every: AtomicU32::new(0),
            rest_until: Mutex::new(Time::ZERO),
        }
    }

    pub(crate) const fn link(&self) -> LinkId {
        self.link
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what one turn of the loop has for this link, and wakes the writer.
    pub(crate) fn push(&self, runs: impl Iterator<Item = Bytes>) {
        let mut waiting = self.waiting();
        for run in runs {
            waiting.push(run);
        }
        drop(waiting);
        self.work.notify_one();
    }

    /// Nothing more comes: what waits is written, then the link ends, within 1 s.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.work.notify_one();
    }

    /// Ready when the link is to end.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    pub(crate) fn check_one_in(&self, every: u32) {
        self.check_every.store(every, Ordering::Relaxed);
    }

    pub(crate) fn checked_one_in(&self) -> u32 {
        self.check_every.load(Ordering::Relaxed)
    }

    pub(crate) fn rest_until(&self, until: Time) {
        *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// How long the reader rests.
    pub(crate) fn rest(&self, now: Time) -> Duration {
        self.rest_until.lock().unwrap_or_else(PoisonError::into_inner).saturating_since(now)
    }

    /// Bytes written that the loop has not been told of; from now on it has.
    pub(crate) fn take_flushed(&self) -> usize {
        self.flushed.swap(0, Ordering::AcqRel)
    }

    /// All that waits, if anything does.
    fn take(&self) -> Option<Waiting> {
        let waiting = std::mem::take(&mut *self.waiting());
        (!waiting.is_empty()).then_some(waiting)
    }
}

#[cfg(test)]
impl Outbox {
    /// Takes all that waits.
    pub(crate) fn written(&self) -> Vec<u8> {
        let mut waiting = self.take().unwrap_or_default();
        let mut all = Vec::new();
        while !waiting.is_empty() {
            all.extend_from_slice(&waiting.record(&Blanks::default()));
        }
        all
    }

    pub(crate) fn runs(&self) -> usize {
        self.waiting().runs.len()
    }
}

impl Waiting {
    fn push(&mut self, run: Bytes) {
        // It would never leave: a record takes bytes, and stops when there are enough.
        if run.is_empty() {
            return;
        }
        let is_shared = run.len() >= LONG_RUN || self.runs.len() < SHARED_RUNS;
        if self.copied.is_empty() && is_shared {
            self.runs.push_back(run);
        } else if run.len() >= LONG_RUN {
            self.runs.push_back(self.copied.split().freeze());
            self.runs.push_back(run);
        } else {
            self.copied.put(run);
        }
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.copied.is_empty()
    }

    fn len(&self) -> usize {
        self.runs.iter().map(Bytes::len).sum::<usize>() + self.copied.len()
    }

    /// The plaintext of the next record, with room for its tag.
    fn record(&mut self, blanks: &Blanks) -> BytesMut {
        let len = self.len().min(RECORD_FILL);
        let mut record = blanks.take(len);
        while record.len() < len {
            let room = len - record.len();
            let Some(run) = self.runs.front_mut() else {
                record.put(self.copied.split_to(room));
                break;
            };
            record.put(run.split_to(room.min(run.len())));
            if !run.has_remaining() {
                self.runs.pop_front();
            }
        }
        record
    }
}

/// Links whose writers have written something that the loop has not been told of.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    links: Mutex<Vec<Arc<Outbox>>>,
    /// Wakes the loop.
    work: Notify,
}

impl Flushed {
    fn add(&self, outbox: &Arc<Outbox>, bytes: usize) {
        if outbox.flushed.fetch_add(bytes, Ordering::AcqRel) > 0 {
            return;
        }
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.push(outbox.clone());
        if links.len() == 1 {
            self.work.notify_one();
        }
    }

    /// Ready when there is something to take.
    pub(crate) async fn wait(&self) {
        self.work.notified().await;
    }

    /// Each link once, with the bytes that it has written since.
    pub(crate) fn take(&self) -> impl Iterator<Item = (LinkId, usize)> {
        let links = std::mem::take(&mut *self.links.lock().unwrap_or_else(PoisonError::into_inner));
        links.into_iter().map(|outbox| (outbox.link, outbox.take_flushed())).filter(|(_, bytes)| *bytes > 0)
    }
}

/// Why a writer ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("{0}")]
    Carrier(#[from] io::Error),
    #[error("{0}")]
    Seal(#[from] SealError),
    #[error("the other side does not take what is left")]
    Slow,
}

/// Writes until the link is to end, then what waits, then the end.
///
/// Ok: all was flushed and the sink is closed. The sink is dropped in every case.
pub(crate) async fn write(
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
    mut sink: BoxSink,
    mut sealer: Box<Sealer>,
) -> Result<(), WriteError> {
    let writing = write_all(&outbox, &shared, &mut sink, &mut sealer);
    let overdue = async {
        outbox.closing().await;
        shared.ended.run_until_cancelled(sleep(CLOSE_WITHIN)).await;
    };
    tokio::select! {
        biased;
        done = writing => done?,
        () = overdue => return Err(WriteError::Slow),
    }
    Ok(())
}

async fn write_all(
    outbox: &Arc<Outbox>,
    shared: &Shared,
    sink: &mut BoxSink,
    sealer: &mut Sealer,
) -> Result<(), WriteError> {
    loop {
        // Asked before looking: what is pushed before `close` is seen by the look behind it.
        let is_closing = outbox.is_closing();
        let Some(waiting) = outbox.take() else {
            if is_closing {
                return Ok(sink.close().await?);
            }
            outbox.work.notified().await;
            continue;
        };
        let bytes = waiting.len();
        // Boxed, so that an idle link does not hold the place that records on their way need.
        Box::pin(send(waiting, &shared.blanks, sink, sealer)).await?;
        tracing::trace!(link = outbox.link.0, bytes, "flushed");
        shared.flushed.add(outbox, bytes);
    }
}

/// Seals what waits, record by record, and flushes once.
async fn send(
    mut waiting: Waiting,
    blanks: &Blanks,
    sink: &mut BoxSink,
    sealer: &mut Sealer,
) -> Result<(), WriteError> {
    let mut last = None::<Bytes>;
    while !waiting.is_empty() {
        let mut record = waiting.record(blanks);
        sealer.seal(&mut record)?;
        let record = record.freeze();
        sink.feed(record.clone()).await?;
        if let Some(before) = last.replace(record) {
            blanks.give_back(before);
        }
    }
    sink.flush().await?;
    last.into_iter().for_each(|record| blanks.give_back(record));
    Ok(())
}

#[cfg(test)]
mod tests;
