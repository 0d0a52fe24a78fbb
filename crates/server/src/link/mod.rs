//! One link: from its finished handshake to its end. Two tasks carry it, one for each direction.

mod blanks;
pub(crate) mod check;
pub(crate) mod open;
mod read;
mod write;

pub(crate) use blanks::Blanks;
pub(crate) use write::{Flushed, Outbox};

use crate::Accept;
use crate::accept::Present;
use crate::shared::{Arrival, Shared};
use darkchat_crypto::{Authenticated, Established};
use darkchat_node::{DialId, Meter};
use darkchat_proto::{Addr, Resume};
use darkchat_transport::Link;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// How a link came about.
#[derive(Debug)]
pub(crate) enum Origin {
    /// They came to us, through a listener that takes these roles.
    Accepted(Accept, Present),
    /// We dialled, perhaps because somebody asked for that very server.
    Dialled { dial: DialId, is_pinned: bool },
}

/// What the loop must know of a link that has just been opened.
#[derive(Debug)]
pub(crate) struct NewLink {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) dial: Option<DialId>,
    pub(crate) accept: Accept,
    pub(crate) peer: Authenticated,
    pub(crate) remote: Addr,
    pub(crate) resume: Option<Resume>,
}

/// The address that the other side is seen from; a carrier without IP is on this machine.
pub(crate) fn observed(remote: &Addr) -> IpAddr {
    remote.ip().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Names a link whose handshake is complete, tells the loop, and starts its tasks.
///
/// Returns once the loop's queue has taken it, so that handshakes are counted until then.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    link: Link,
    (established, resume): (Established, Option<Resume>),
    origin: Origin,
) {
    let Established { peer, sealer, opener, .. } = established;
    let Link { remote, units, sink } = link;
    let outbox = Arc::new(Outbox::new(shared.next_link()));
    let id = outbox.link();
    let (dial, accept, is_pinned, present) = match origin {
        Origin::Accepted(accept, present) => (None, accept, false, Some(present)),
        Origin::Dialled { dial, is_pinned } => (Some(dial), Accept::Peers, is_pinned, None),
    };
    let side = match peer.user() {
        Some(user) => check::Side::Client(user),
        None => check::Side::Peer,
    };
    let meter = match side {
        check::Side::Client(_) => Meter::client(shared.limits.profile),
        check::Side::Peer => Meter::peer(shared.limits.profile, is_pinned),
    };
    tracing::debug!(link = id.0, %remote, ?side, dialled = dial.is_some(), "link opened");
    let new = NewLink { outbox: outbox.clone(), dial, accept, peer, remote, resume };
    let Ok(place) = shared.arrivals.reserve().await else { return };
    // From here on it is the loop that ends the link, also when the server ends.
    place.send(Arrival::Opened(Box::new(new)));
    let writer = shared.spawn_for_link(write::write(outbox.clone(), shared.clone(), sink, Box::new(sealer)));
    let router = shared.identity.server_id().router();
    let (network, fingerprints) = (shared.link_config.network.clone(), shared.fingerprints.clone());
    let checker = check::Checker::new(network, fingerprints, router, side, meter);
    let reader = read::Reader::new((shared.clone(), outbox), units, opener, checker, writer, present);
    shared.spawn_for_link(Box::new(reader).run());
}
