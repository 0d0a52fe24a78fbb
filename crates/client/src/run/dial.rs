//! From an address to a proven link: carrier, handshake, and the key that is expected there.

use crate::error::ConnectError;
use crate::known::{KnownServers, KnownServersError};
use crate::state::Note;
use darkchat_crypto::{
    Credentials, Dialler as Role, Established, HandshakeError, Identity, Initiator, InitiatorProof,
    LinkConfig, system,
};
use darkchat_proto::{Addr, Announced, DeviceId, Features, Resume, ServerAddr, ServerId};
use darkchat_transport::{Link, Transport};
use futures_util::{SinkExt as _, StreamExt as _};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that a dial needs.
#[derive(Debug)]
pub(crate) struct Dialler {
    pub(crate) transports: Vec<Arc<dyn Transport>>,
    pub(crate) link: LinkConfig,
    pub(crate) identity: Arc<Identity>,
    pub(crate) device: DeviceId,
    pub(crate) credentials: Credentials,
    pub(crate) known: Option<KnownServers>,
}

/// A link on which the server has proven its key, and has been sent our proof.
pub(crate) struct Dialled {
    pub(crate) link: Link,
    pub(crate) established: Established,
    pub(crate) server: ServerId,
    pub(crate) announced: Announced,
    pub(crate) features: Features,
    /// If the server was met for the first time.
    pub(crate) note: Option<Note>,
}

/// A link on which the server has proven its key.
pub(crate) struct Greeted {
    pub(crate) link: Link,
    pub(crate) proof: InitiatorProof,
    expected: Expected,
    note: Option<Note>,
}

/// The key that is expected at an address, and where that is written.
struct Expected {
    key: Option<ServerId>,
    written: Option<(PathBuf, usize)>,
}

impl Dialler {
    /// Dials. Takes as long as the other side lets it: the session keeps the time.
    ///
    /// # Cancel safety
    /// Dropping the future ends the link. A first contact may have been written down already.
    pub(crate) async fn dial(
        &self,
        addr: &ServerAddr,
        resume: Option<Resume>,
    ) -> Result<Dialled, ConnectError> {
        let place = &addr.addr;
        let broken = |source| ConnectError::Dial { addr: place.clone(), source };
        let Greeted { mut link, proof, expected, note } = self.greet(addr).await?;
        let (server, announced, features) = (proof.server(), *proof.announced(), proof.features());
        let signature = self.identity.sign(&proof.request());
        let credentials = Credentials { resume, ..self.credentials.clone() };
        let (auth, established) = proof
            .finish(self.identity.public(), signature, credentials)
            .map_err(|error| refine(place, error, &expected))?;
        link.sink.send(auth).await.map_err(broken)?;
        Ok(Dialled { link, established, server, announced, features, note })
    }

    /// Dials up to the point where the server has proven its key and ours is to be shown.
    ///
    /// # Cancel safety
    /// As [`dial`](Self::dial).
    pub(crate) async fn greet(&self, addr: &ServerAddr) -> Result<Greeted, ConnectError> {
        let place = &addr.addr;
        let mut transports = self.transports.iter();
        let transport = transports
            .find(|transport| transport.schemes().contains(&place.scheme()))
            .ok_or_else(|| ConnectError::NoTransport { addr: place.clone() })?;
        let expected = self.expected(addr).await?;
        let broken = |source| ConnectError::Dial { addr: place.clone(), source };
        let mut link = transport.dial(place.clone()).await.map_err(broken)?;
        let role = Role::Client(self.device);
        let (initiator, hello) = Initiator::start(&self.link, role, expected.key, &mut system::rng());
        link.sink.send(hello).await.map_err(broken)?;
        let reply = match link.units.next().await {
            Some(unit) => unit.map_err(broken)?,
            None => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
        };
        let proof = initiator.read_reply(reply).map_err(|error| refine(place, error, &expected))?;
        let note = self.remember(place, &expected, proof.server()).await?;
        Ok(Greeted { link, proof, expected, note })
    }

    /// The key in the address, or else that on file.
    async fn expected(&self, addr: &ServerAddr) -> Result<Expected, ConnectError> {
        let Some(known) = self.known.clone().filter(|_| addr.key.is_none()) else {
            return Ok(Expected { key: addr.key, written: None });
        };
        let place = addr.addr.clone();
        let path = known.path().to_owned();
        let found = blocking(known, move |known| known.find(&place)).await?;
        let (key, line) = found.unzip();
        Ok(Expected { key, written: line.map(|line| (path, line)) })
    }

    /// Writes a first contact down, before our identity is shown.
    async fn remember(
        &self,
        place: &Addr,
        expected: &Expected,
        server: ServerId,
    ) -> Result<Option<Note>, ConnectError> {
        if expected.key.is_some() {
            return Ok(None);
        }
        if let Some(known) = self.known.clone() {
            let place = place.clone();
            blocking(known, move |known| known.remember(&place, server)).await?;
        }
        Ok(Some(Note::FirstContact { addr: place.clone().into(), server }))
    }
}

/// Reads or writes the file where that holds up nobody.
async fn blocking<T: Send + 'static>(
    known: KnownServers,
    work: impl FnOnce(&KnownServers) -> Result<T, KnownServersError> + Send + 'static,
) -> Result<T, KnownServersError> {
    let path = known.path().to_owned();
    let ended = |error| KnownServersError::Io { path, source: io::Error::other(error) };
    tokio::task::spawn_blocking(move || work(&known)).await.map_err(ended)?
}

/// Tells a failed handshake in the words of the user's configuration.
fn refine(addr: &Addr, error: HandshakeError, expected: &Expected) -> ConnectError {
    let addr = addr.clone();
    match (error, &expected.written) {
        (HandshakeError::WrongServer { expected, found }, Some((file, line))) => {
            ConnectError::PinnedServer { addr, expected, found, file: file.clone(), line: *line }
        }
        (HandshakeError::WrongServer { expected, found }, None) => {
            ConnectError::WrongServer { addr, expected, found }
        }
        (HandshakeError::Version { theirs }, _) => ConnectError::Version { addr, theirs },
        (source, _) => ConnectError::Handshake { addr, source },
    }
}
