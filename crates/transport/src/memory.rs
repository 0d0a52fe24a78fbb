//! Links inside one process: for tests, examples, and programs that hold both ends.

use crate::{Addr, BoxFuture, Incoming, Link, Listener, Transport, check_unit, wrong_scheme};
use bytes::Bytes;
use futures_sink::Sink;
use futures_util::{future, stream};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// Units that wait in each direction of a link: at most 1 MiB, and enough for a full burst of small ones.
const UNITS_WAITING: usize = 16;
/// Dials that wait for a listener to take them; one more waits in its own future.
const DIALS_WAITING: usize = 64;

/// A namespace of addresses like `mem://name`. Clones share it; two values made apart cannot reach each other.
///
/// A name may have a port, and on port 0 a free one is chosen. Units are handed over and not copied.
///
/// ```
/// use darkchat_transport::{Memory, Transport};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (here, elsewhere) = (Memory::default(), Memory::default());
/// let listener = here.listen("mem://name".parse()?).await?;
/// assert!(here.clone().dial(listener.addr.clone()).await.is_ok());
/// assert!(elsewhere.dial(listener.addr).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Memory {
    names: Arc<Mutex<BTreeMap<Addr, mpsc::Sender<Incoming>>>>,
}

impl Memory {
    fn names(&self) -> MutexGuard<'_, BTreeMap<Addr, mpsc::Sender<Incoming>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bind(&self, addr: Addr) -> io::Result<Listener> {
        let mut names = self.names();
        names.retain(|_, dials| !dials.is_closed());
        let addr = match addr.port() {
            Some(0) => (1..=u16::MAX).map(|port| addr.with_port(port)).find(|addr| !names.contains_key(addr)),
            _ => Some(addr).filter(|addr| !names.contains_key(addr)),
        };
        let addr = addr.ok_or(io::ErrorKind::AddrInUse)?;
        let (dials, mut waiting) = mpsc::channel(DIALS_WAITING);
        names.insert(addr.clone(), dials);
        let incoming = stream::poll_fn(move |cx| waiting.poll_recv(cx).map(|incoming| incoming.map(Ok)));
        Ok(Listener { addr, incoming: Box::pin(incoming) })
    }
}

impl Transport for Memory {
    fn schemes(&self) -> &'static [&'static str] {
        &["mem"]
    }

    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        let this = self.clone();
        Box::pin(async move {
            if addr.scheme() != "mem" {
                return Err(wrong_scheme(&addr));
            }
            let dials = this.names().get(&addr).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = pair(&addr);
            let incoming = Incoming { remote: addr, link: Box::pin(future::ready(Ok(theirs))) };
            dials.send(incoming).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(ours)
        })
    }

    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        let this = self.clone();
        Box::pin(
            async move { if addr.scheme() == "mem" { this.bind(addr) } else { Err(wrong_scheme(&addr)) } },
        )
    }
}

/// The two ends of a link. Both know the other by the name that was dialled.
fn pair(addr: &Addr) -> (Link, Link) {
    let (to_them, from_us) = mpsc::channel(UNITS_WAITING);
    let (to_us, from_them) = mpsc::channel(UNITS_WAITING);
    (half(addr.clone(), to_them, from_them), half(addr.clone(), to_us, from_us))
}

fn half(remote: Addr, to: mpsc::Sender<Bytes>, mut from: mpsc::Receiver<Bytes>) -> Link {
    let units = stream::poll_fn(move |cx| from.poll_recv(cx).map(|unit| unit.map(Ok)));
    Link { remote, units: Box::pin(units), sink: Box::pin(Handed(PollSender::new(to))) }
}

/// The writing half: a channel that checks the length.
struct Handed(PollSender<Bytes>);

impl Handed {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut PollSender<Bytes>> {
        Pin::new(&mut self.get_mut().0)
    }
}

fn gone<E>(_: E) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl Sink<Bytes> for Handed {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_ready(cx).map_err(gone)
    }

    fn start_send(self: Pin<&mut Self>, unit: Bytes) -> io::Result<()> {
        check_unit(&unit)?;
        self.inner().start_send(unit).map_err(gone)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx).map_err(gone)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_close(cx).map_err(gone)
    }
}
