//! Who comes: listeners, the gate, and handshakes under a deadline.

use crate::Accept;
use crate::gate::Source;
use crate::limits::FIRST_BYTE;
use crate::link::open::{self, OpenError};
use crate::link::{self, Origin, observed};
use crate::shared::Shared;
use crate::shown::Shown;
use darkchat_crypto::Established;
use darkchat_proto::{Addr, Code, Resume};
use darkchat_transport::{Link, Listener};
use futures_util::StreamExt as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long accepting rests after an error of the listener, so that one which stays does not spin.
const REST: Duration = Duration::from_millis(10);

/// Takes who comes until the server stops. An error of the listener does not end it.
pub(crate) async fn accept(shared: Arc<Shared>, mut listener: Listener, accept: Accept) {
    let stopping = shared.stopping.clone();
    tracing::info!(addr = %listener.addr, ?accept, "listening");
    while let Some(Some(incoming)) = stopping.run_until_cancelled(listener.incoming.next()).await {
        match incoming {
            Ok(incoming) => admit(&shared, incoming.remote, accept, incoming.link),
            Err(error) => {
                tracing::warn!(addr = %listener.addr, error = %Shown(error), "cannot accept");
                sleep(REST).await;
            }
        }
    }
    if !shared.stopping.is_cancelled() {
        tracing::error!(addr = %listener.addr, "listener ended");
    }
}

/// Lets one connection in, or drops it before any cryptography.
pub(crate) fn admit<F>(shared: &Arc<Shared>, remote: Addr, accept: Accept, link: F)
where
    F: Future<Output = io::Result<Link>> + Send + 'static,
{
    let source = Source::from(observed(&remote));
    let admitted = shared.gate().admit(shared.clock.now(), source);
    if let Err(code) = admitted {
        tracing::debug!(%remote, why = code.name(), "not let in");
        shared.closed_early.add(code);
        return;
    }
    let place = (Handshaking(shared.clone()), Present { shared: shared.clone(), source });
    shared.spawn(serve(shared.clone(), remote, accept, link, place));
}

/// Counts a handshake until it is dropped.
#[derive(Debug)]
struct Handshaking(Arc<Shared>);

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.gate().settled();
    }
}

/// Counts a connection of its source until it is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    shared: Arc<Shared>,
    source: Source,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.shared.gate().left(self.shared.clock.now(), self.source);
    }
}

/// Makes the handshake of a connection within its time, or drops it without a byte.
async fn serve<F>(
    shared: Arc<Shared>,
    remote: Addr,
    accept: Accept,
    link: F,
    (handshaking, present): (Handshaking, Present),
) where
    F: Future<Output = io::Result<Link>>,
{
    let opening = timeout(shared.limits.handshake_timeout, handshake(&shared, accept, link));
    let Some(opened) = shared.stopping.run_until_cancelled(opening).await else {
        shared.closed_early.add(Code::Shutdown);
        return;
    };
    match opened.unwrap_or(Err(Late::Overdue)) {
        Ok(opened) => {
            let origin = Origin::Accepted(accept, present);
            Box::pin(async {
                let Opened { link, established, resume } = *opened;
                link::start(&shared, link, (established, resume), origin).await;
            })
            .await;
        }
        Err(why) => {
            tracing::debug!(%remote, why = %Shown(&why), "no link");
            shared.closed_early.add(why.code());
        }
    }
    drop(handshaking);
}

/// A connection whose handshake is complete.
struct Opened {
    link: Link,
    established: Established,
    /// What a client gave to go on with an earlier session.
    resume: Option<Resume>,
}

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
enum Late {
    #[error("not up in time")]
    Overdue,
    #[error("{0}")]
    NotOpened(#[from] OpenError),
}

impl Late {
    fn code(&self) -> Code {
        match self {
            Self::Overdue => Code::Timeout,
            Self::NotOpened(error) => error.code(),
        }
    }
}

async fn handshake<F>(shared: &Shared, accept: Accept, link: F) -> Result<Box<Opened>, Late>
where
    F: Future<Output = io::Result<Link>>,
{
    let first = async {
        let mut link = link.await.map_err(OpenError::from)?;
        let message1 = open::message(&mut link).await?;
        Ok::<_, OpenError>((link, message1))
    };
    let (mut link, message1) = timeout(FIRST_BYTE, first).await.map_err(|_| Late::Overdue)??;
    // In a box of its own, so that a stranger who has said nothing yet does not hold room for the cryptography.
    Box::pin(async move {
        let (established, resume) = open::respond(shared, &mut link, accept, message1).await?;
        Ok(Box::new(Opened { link, established, resume }))
    })
    .await
}
