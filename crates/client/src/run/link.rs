//! The tasks of one link: dial; then read, open and verify beside write and seal.

use super::dial::{Dialled, Dialler};
use crate::error::ConnectError;
use crate::session::Received;
use crate::state::Note;
use bytes::{Bytes, BytesMut};
use darkchat_crypto::{MAX_RECORD, Opener, Sealer};
use darkchat_proto::{
    Announced, Code, Features, Frame, FrameStream, Goodbye, Kind, Network, Resume, ServerAddr, ServerId,
};
use darkchat_transport::{BoxSink, BoxStream};
use futures_util::{SinkExt as _, StreamExt as _};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Instrument as _;

/// Plaintext that a writer gathers into one record, in bytes (LINK_RECORD fill).
const RECORD_FILL: usize = 16 << 10;
/// Room for the tag at the end of a record, in bytes, so that sealing does not move it.
const TAG: usize = 16;
/// How long our last words may take, and after them, or on a broken link, the server's: one second together (3.5).
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Batches of frames that wait for the session; then reading pauses.
const BATCHES: usize = 16;

/// What a link tells the loop.
pub(super) enum Told {
    Opened { server: ServerId, announced: Announced, features: Features },
    Failed(ConnectError),
    Frames(Vec<Received>),
    Flushed(usize),
    Closed(Code),
    Note(Note),
}

/// What the loop tells a link.
pub(super) enum Write {
    Frame(Bytes),
    Close(Option<Goodbye>),
}

/// A dial or a link. Dropping it ends it at once.
#[derive(Debug)]
pub(super) struct LinkTask {
    pub(super) told: mpsc::Receiver<Told>,
    /// Unbounded, because the session hands out no more than a window (`LINK_WINDOW`).
    pub(super) writes: mpsc::UnboundedSender<Write>,
    pub(super) opened: bool,
    task: EndOnDrop,
}

/// Ends a task when it is dropped.
#[derive(Debug)]
struct EndOnDrop(JoinHandle<()>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LinkTask {
    pub(super) fn start(dialler: Arc<Dialler>, addr: ServerAddr, resume: Option<Resume>) -> Self {
        let (tell, told) = mpsc::channel(BATCHES);
        let (writes, to_write) = mpsc::unbounded_channel();
        let span = tracing::debug_span!("link", %addr);
        let task = tokio::spawn(run(dialler, (addr, resume), tell, to_write).instrument(span));
        Self { told, writes, opened: false, task: EndOnDrop(task) }
    }

    /// What the link tells next. A task that ended without a word counts as a lost link.
    pub(super) async fn next(&mut self) -> Told {
        let _alive = &self.task;
        self.told.recv().await.unwrap_or(Told::Closed(Code::Internal))
    }
}

async fn run(
    dialler: Arc<Dialler>,
    (addr, resume): (ServerAddr, Option<Resume>),
    tell: mpsc::Sender<Told>,
    to_write: mpsc::UnboundedReceiver<Write>,
) {
    // Nobody listens any more if telling fails: then this task is about to be ended.
    let dialled = match dialler.dial(&addr, resume).await {
        Ok(dialled) => dialled,
        Err(error) => return drop(tell.send(Told::Failed(error)).await),
    };
    let Dialled { link, established, server, announced, features, note } = dialled;
    if let Some(note) = note {
        let _ended = tell.send(Told::Note(note)).await;
    }
    let _ended = tell.send(Told::Opened { server, announced, features }).await;
    let network = dialler.link.network.clone();
    let reader =
        Reader { units: link.units, opener: established.opener, stream: FrameStream::default(), network };
    let writer = Writer { sink: link.sink, sealer: established.sealer, to_write, tell: tell.clone() };
    let why = exchange(reader, writer, tell.clone()).await;
    let _ended = tell.send(Told::Closed(why)).await;
}

/// Reads and writes until one side ends it.
async fn exchange(reader: Reader, writer: Writer, tell: mpsc::Sender<Told>) -> Code {
    let mut writing = EndOnDrop(tokio::spawn(writer.run()));
    let mut reading = Box::pin(reader.run(tell));
    tokio::select! {
        why = &mut reading => why,
        // The writer has ended: asked to, or on a broken link that may still bring the server's last words.
        _ = &mut writing.0 => timeout(LAST_WORDS, reading).await.unwrap_or(Code::Truncated),
    }
}

struct Reader {
    units: BoxStream<io::Result<Bytes>>,
    opener: Opener,
    stream: FrameStream,
    network: Network,
}

impl Reader {
    async fn run(mut self, tell: mpsc::Sender<Told>) -> Code {
        while let Some(Ok(unit)) = self.units.next().await {
            let unit = unit.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            let Ok(plain) = self.opener.open(unit) else { return Code::BadFrame };
            let held = plain.len();
            self.stream.push(plain.freeze());
            let (frames, fatal) = self.frames(held);
            if !frames.is_empty() && tell.send(Told::Frames(frames)).await.is_err() {
                return Code::Ok;
            }
            if fatal {
                // The session says goodbye; nothing that follows counts.
                while let Some(Ok(_)) = self.units.next().await {}
                return Code::BadFrame;
            }
        }
        Code::Truncated
    }

    /// The whole frames so far, and whether the last one breaks the protocol.
    fn frames(&mut self, held: usize) -> (Vec<Received>, bool) {
        let mut frames = Vec::new();
        loop {
            let frame = match self.stream.next_frame() {
                Ok(None) => return (frames, false),
                Ok(Some(bytes)) => Frame::decode(bytes),
                Err(error) => Err(error),
            };
            match frame {
                Ok(frame) => frames.push(Received::check(&self.network, own(frame, held))),
                Err(error) => {
                    frames.push(Received::Refused { code: error.code() });
                    return (frames, true);
                }
            }
        }
    }
}

/// A payload outlives its record: it is copied once, unless it fills half of the record's buffer (section 4.5).
fn own(frame: Frame, held: usize) -> Frame {
    let kind = match frame.kind {
        Kind::Deliver(bytes) if bytes.len() < held / 2 => Kind::Deliver(Bytes::copy_from_slice(&bytes)),
        kind => kind,
    };
    Frame { kind, ..frame }
}

struct Writer {
    sink: BoxSink,
    sealer: Sealer,
    to_write: mpsc::UnboundedReceiver<Write>,
    tell: mpsc::Sender<Told>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.to_write.recv().await {
            let mut goodbye = None;
            let mut plain = BytesMut::with_capacity(RECORD_FILL + TAG);
            let (mut next, mut bytes) = (Some(first), 0);
            while let Some(write) = next {
                match write {
                    Write::Frame(frame) => {
                        bytes += frame.len();
                        if !plain.is_empty()
                            && plain.len() + frame.len() > RECORD_FILL
                            && !self.feed(&mut plain).await
                        {
                            return;
                        }
                        plain.extend_from_slice(&frame);
                    }
                    Write::Close(last) => {
                        goodbye = Some(last);
                        break;
                    }
                }
                next = self.to_write.try_recv().ok();
            }
            if let Some(last) = goodbye {
                // Whatever the other side does, the link ends.
                let _late = timeout(LAST_WORDS, self.close(plain, last)).await;
                return;
            }
            if !self.feed(&mut plain).await || self.sink.flush().await.is_err() {
                return;
            }
            if self.tell.send(Told::Flushed(bytes)).await.is_err() {
                return;
            }
        }
    }

    /// Seals what was gathered and hands it to the carrier. `false` if the link is broken.
    async fn feed(&mut self, plain: &mut BytesMut) -> bool {
        while !plain.is_empty() {
            let mut record = plain.split_to(plain.len().min(MAX_RECORD));
            if self.sealer.seal(&mut record).is_err() || self.sink.feed(record.freeze()).await.is_err() {
                return false;
            }
        }
        plain.reserve(RECORD_FILL + TAG);
        true
    }

    async fn close(&mut self, mut plain: BytesMut, goodbye: Option<Goodbye>) {
        if let Some(goodbye) = goodbye {
            plain.extend_from_slice(&Frame::from(Kind::Goodbye(goodbye)).encode_split().0);
        }
        let _broken =
            self.feed(&mut plain).await && poll_fn(|cx| self.sink.poll_close_unpin(cx)).await.is_ok();
    }
}
