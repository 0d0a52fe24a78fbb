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
use tokio::sync::mpsc::Permit;

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

/// Starts a link whose handshake is complete.
///
/// Returns once the loop's queue has taken it, so that handshakes are counted until then.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    link: Link,
    opened: (Established, Option<Resume>),
    origin: Origin,
) {
    let Ok(place) = shared.arrivals.reserve().await else { return };
    begin(shared, place, link, opened, origin);
}

/// Names the link, tells the loop, and starts its tasks.
fn begin(
    shared: &Arc<Shared>,
    place: Permit<'_, Arrival>,
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
    // From here on it is the loop that ends the link, also when the server ends.
    place.send(Arrival::Opened(Box::new(new)));
    // Unless it had looked for the last time while the place was held.
    if shared.ended.is_cancelled() {
        outbox.close();
    }
    let writer = shared.spawn_for_link(write::write(outbox.clone(), shared.clone(), sink, Box::new(sealer)));
    let router = shared.identity.server_id().router();
    let (network, fingerprints) = (shared.link_config.network.clone(), shared.fingerprints.clone());
    let checker = check::Checker::new(network, fingerprints, router, side, meter);
    let reader = read::Reader::new((shared.clone(), outbox), units, opener, checker, writer, present);
    shared.spawn_for_link(Box::new(reader).run());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Loop;
    use crate::{Limits, Profile};
    use darkchat_crypto::Identity;
    use darkchat_node::Config;
    use darkchat_transport::{Memory, Transport as _};
    use futures_util::StreamExt as _;
    use std::time::Duration;
    use tokio::runtime::Handle;

    #[tokio::test(start_paused = true)]
    async fn a_link_that_opens_at_the_moment_in_which_the_server_ends_is_closed() {
        let limits = Limits::of(Profile::Trusted);
        let (shared, arrivals) =
            Shared::new(Identity::generate(), Config::default(), None, Vec::new(), limits, Handle::current());
        let memory = Memory::default();
        let mut listener = memory.listen("mem://hub".parse().unwrap()).await.unwrap();
        let mut theirs = memory.dial(listener.addr.clone()).await.unwrap();
        let mut ours = listener.incoming.next().await.unwrap().unwrap().link.await.unwrap();
        let respond = async {
            let message1 = open::message(&mut ours).await.unwrap();
            open::respond(&shared, &mut ours, Accept::Peers, message1).await.unwrap()
        };
        let (opened, other) = tokio::join!(respond, open::initiate(&shared, &mut theirs, None));
        assert!(other.is_ok());

        let running = Loop::new(shared.clone(), arrivals, Vec::new());
        let place = shared.arrivals.reserve().await.unwrap();
        drop(running);
        begin(&shared, place, ours, opened, Origin::Dialled { dial: DialId(1), is_pinned: false });
        shared.tasks.close();
        let ended = tokio::time::timeout(Duration::from_secs(60), shared.tasks.wait()).await;
        assert!(ended.is_ok(), "{} tasks are left", shared.tasks.len());
        drop(theirs);
    }
}
