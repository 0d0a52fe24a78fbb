//! The handshake of a link, on both sides. It knows no clock: whoever runs it drops it when its time is over.

use crate::Accept;
use crate::clock;
use crate::shared::Shared;
use crate::shown::Shown;
use bytes::Bytes;
use darkchat_crypto::{
    Credentials, Dialler, Established, HandshakeError, Initiator, Responder, ServerHello, system,
};
use darkchat_node::{ClientBudgets, PeerBudgets};
use darkchat_proto::limits::MAX_PAYLOAD;
use darkchat_proto::{Announced, Code, Hello, Resume, Role, ServerId};
use darkchat_transport::Link;
use futures_util::{SinkExt as _, StreamExt as _};
use std::io;

/// Time without sending after which a client says that it is there, in milliseconds.
const PING_CLIENT_MS: u32 = 30_000;
/// The same for a peer.
const PING_PEER_MS: u32 = 10_000;
/// Bytes of the ephemeral key that stands before the `Hello` of message 1.
const EPHEMERAL: usize = 32;
/// What we call ourselves when we dial.
const AGENT: &str = concat!("darkchat-server/", env!("CARGO_PKG_VERSION"));

/// Why a link was not opened. The other side gets no byte for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("hung up")]
    HungUp,
    #[error("{0}")]
    Carrier(#[from] io::Error),
}

impl OpenError {
    /// The code under which it is counted.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Handshake(error) => error.code(),
            Self::HungUp => Code::Truncated,
            Self::Carrier(error) if error.kind() == io::ErrorKind::InvalidData => Code::BadFrame,
            Self::Carrier(_) => Code::Truncated,
        }
    }
}

/// The next message of a handshake.
pub(crate) async fn message(link: &mut Link) -> Result<Bytes, OpenError> {
    Ok(link.units.next().await.ok_or(OpenError::HungUp)??)
}

/// Answers a handshake whose first message has come; also what a client gives to go on with an earlier session.
pub(crate) async fn respond(
    shared: &Shared,
    link: &mut Link,
    accept: Accept,
    message1: Bytes,
) -> Result<(Established, Option<Resume>), OpenError> {
    let ours =
        ServerHello { server: shared.identity.server_id(), announced: announced(shared, accept, &message1) };
    let (responder, request) =
        Responder::read_hello(&shared.link_config, &shared.key, ours, message1, &mut system::rng())?;
    let (message2, next) = responder.reply(shared.identity.sign(&request));
    link.sink.send(message2).await?;
    let waiting = next?;
    let (established, Credentials { agent, resume, token: _ }) = waiting.read_auth(message(link).await?)?;
    tracing::debug!(remote = %link.remote, agent = %Shown(agent), "handshake complete");
    Ok((established, resume))
}

/// The numbers that the initiator shall keep to. Its role stands in the clear in message 1.
fn announced(shared: &Shared, accept: Accept, message1: &Bytes) -> Announced {
    let hello = (message1.len() > EPHEMERAL).then(|| Hello::decode(message1.slice(EPHEMERAL..)));
    let is_peer = match hello {
        Some(Ok(hello)) => hello.role == Role::Peer,
        _ => accept == Accept::Peers,
    };
    let number = |rate: u64| u32::try_from(rate).unwrap_or(u32::MAX);
    let common = Announced {
        max_payload: u32::try_from(MAX_PAYLOAD).unwrap_or(u32::MAX),
        time_ms: clock::unix_ms(),
        ..Announced::default()
    };
    let profile = shared.limits.profile;
    if is_peer {
        let PeerBudgets { frames, bytes, .. } = PeerBudgets::of(profile);
        let (frames_per_s, bytes_per_s) = (number(frames.per_s), number(bytes.per_s));
        Announced { ping_ms: PING_PEER_MS, frames_per_s, bytes_per_s, ..common }
    } else {
        let ClientBudgets { frames, bytes, posts, entries, .. } = ClientBudgets::of(profile);
        Announced {
            ping_ms: PING_CLIENT_MS,
            frames_per_s: number(frames.per_s),
            bytes_per_s: number(bytes.per_s),
            posts_per_s: number(posts.per_s),
            entries_per_s: number(entries.per_s),
            ..common
        }
    }
}

/// Lets a server prove its key, and says nothing of ours: no link comes of it.
pub(crate) async fn ask_key(
    shared: &Shared,
    link: &mut Link,
    expect: Option<ServerId>,
) -> Result<(), OpenError> {
    let (initiator, message1) =
        Initiator::start(&shared.link_config, Dialler::Peer, expect, &mut system::rng());
    link.sink.send(message1).await?;
    initiator.read_reply(message(link).await?)?;
    Ok(())
}

/// Makes a handshake with a server, as its peer.
pub(crate) async fn initiate(
    shared: &Shared,
    link: &mut Link,
    expect: Option<ServerId>,
) -> Result<Established, OpenError> {
    let (initiator, message1) =
        Initiator::start(&shared.link_config, Dialler::Peer, expect, &mut system::rng());
    link.sink.send(message1).await?;
    let proof = initiator.read_reply(message(link).await?)?;
    let signature = shared.identity.sign(&proof.request());
    let credentials = Credentials { agent: AGENT.to_owned(), ..Credentials::default() };
    let (message3, established) = proof.finish(shared.identity.public(), signature, credentials)?;
    link.sink.send(message3).await?;
    Ok(established)
}
