//! Dialling another server, under a deadline.

use crate::PeerError;
use crate::link::open::{self, OpenError};
use crate::link::{self, Origin};
use crate::shared::{Arrival, Shared};
use crate::shown::Shown;
use darkchat_crypto::{Established, HandshakeError};
use darkchat_node::DialId;
use darkchat_proto::{Code, ServerAddr};
use darkchat_transport::Link;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Time for a connection and its handshake: two lost packets are forgiven, and an operator has an answer in 10 s.
const DIAL_WITHIN: Duration = Duration::from_secs(8);

/// A dial that came to nothing.
#[derive(Debug)]
pub(crate) struct NotDialled {
    pub(crate) dial: DialId,
    pub(crate) error: PeerError,
}

/// What the node learns of a dial that came to nothing.
pub(crate) const fn code(error: &PeerError) -> Code {
    match error {
        PeerError::Handshake { source, .. } => source.code(),
        PeerError::HungUp { .. } => Code::Truncated,
        PeerError::Refused { code, .. } => *code,
        PeerError::Itself { .. } => Code::Conflict,
        _ => Code::Unreachable,
    }
}

/// Dials, makes the handshake and starts the link, or tells the loop why not.
pub(crate) async fn dial(shared: Arc<Shared>, dial: DialId, to: ServerAddr, is_pinned: bool) {
    tracing::debug!(dial = dial.0, addr = %to.addr, "dialling");
    let overdue = || PeerError::Refused { addr: to.addr.clone(), code: Code::Timeout };
    match timeout(DIAL_WITHIN, connect(&shared, &to)).await.unwrap_or_else(|_| Err(overdue())) {
        Ok((link, established)) => {
            link::start(&shared, link, (established, None), Origin::Dialled { dial, is_pinned }).await;
        }
        Err(error) => {
            tracing::debug!(dial = dial.0, error = %Shown(&error), "not dialled");
            shared.tell(Arrival::NotDialled(Box::new(NotDialled { dial, error }))).await;
        }
    }
}

/// Finds out for a neighbour whether it can be dialled there, and makes no link.
pub(crate) async fn probe(shared: Arc<Shared>, dial: DialId, to: ServerAddr) {
    let proven = async {
        let mut link = shared.transport(to.addr.scheme())?.dial(to.addr.clone()).await.ok()?;
        open::ask_key(&shared, &mut link, to.key).await.ok()
    };
    let reachable = matches!(timeout(DIAL_WITHIN, proven).await, Ok(Some(())));
    tracing::debug!(dial = dial.0, addr = %to.addr, reachable, "dialled for a neighbour");
    shared.tell(Arrival::Probed { dial, reachable }).await;
}

async fn connect(shared: &Shared, to: &ServerAddr) -> Result<(Link, Established), PeerError> {
    let addr = || to.addr.clone();
    let transport =
        shared.transport(to.addr.scheme()).ok_or_else(|| PeerError::NoTransport { addr: addr() })?;
    let unreachable = |source| PeerError::Unreachable { addr: addr(), source };
    let mut link = transport.dial(addr()).await.map_err(unreachable)?;
    let established = open::initiate(shared, &mut link, to.key).await.map_err(|error| match error {
        OpenError::Handshake(HandshakeError::WrongServer { found, .. })
            if found == shared.identity.server_id() =>
        {
            PeerError::Itself { addr: addr() }
        }
        OpenError::Handshake(source) => PeerError::Handshake { addr: addr(), source: Box::new(source) },
        OpenError::HungUp => PeerError::HungUp { addr: addr() },
        OpenError::Carrier(source) => PeerError::Unreachable { addr: addr(), source },
    })?;
    Ok((link, established))
}
