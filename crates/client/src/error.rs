//! What can go wrong: one enum a verb. Each variant tells its cause, its effect on state, and what to do.

use crate::known::KnownServersError;
use crate::session::{Failure, PrivateError};
use darkchat_crypto::HandshakeError;
use darkchat_proto::{Addr, Code, ServerId};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no connection. Nothing of the client is left running.
///
/// ```
/// use darkchat_client::{Client, ConnectError};
/// # use darkchat_crypto::Identity;
/// # use darkchat_transport::Memory;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let nobody = Client::connect(Memory::default(), "mem://nowhere".parse()?, Identity::generate()).await;
/// assert!(matches!(nobody, Err(ConnectError::Dial { .. })));
/// # Ok::<(), darkchat_proto::ParseError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address was given. Give one.
    #[error("no server address was given")]
    NoAddress,
    /// None of the given transports takes the address's scheme. Nothing was dialled; add the transport.
    #[error("no transport for this address: {addr}")]
    NoTransport {
        /// The address.
        addr: Addr,
    },
    /// Nobody answers there. The source says why; check the address, and that the server runs.
    #[error("cannot reach {addr}")]
    Dial {
        /// The address.
        addr: Addr,
        /// The carrier's reason.
        source: io::Error,
    },
    /// Somebody answers who does not speak as a darkchat server of this network. Our identity was not shown.
    #[error("no darkchat server of this network answers at {addr}")]
    Handshake {
        /// The address.
        addr: Addr,
        /// What was wrong.
        source: HandshakeError,
    },
    /// The server has no protocol version in common with us. Our identity was not shown; use another version.
    #[error("the server at {addr} speaks other versions of the protocol: {theirs:?}")]
    Version {
        /// The address.
        addr: Addr,
        /// The versions that it speaks.
        theirs: Vec<u32>,
    },
    /// Another server answers than the address names: the address is old, or somebody stands between. Our identity
    /// was not shown. Ask the operator for the key, on another way.
    #[error("another server answers at {addr}, expected: {expected}, found: {found}")]
    WrongServer {
        /// The address.
        addr: Addr,
        /// The key that was expected.
        expected: ServerId,
        /// The key that the server named.
        found: ServerId,
    },
    /// Another server answers than at the first contact: the server has a new key, or somebody stands between. Our
    /// identity was not shown. If the operator confirms the new key, on another way, remove the line.
    #[error(
        "another server answers at {addr} than before, known ({}, line {line}): {expected}, found: {found}",
        file.display()
    )]
    PinnedServer {
        /// The address.
        addr: Addr,
        /// The key that is on file.
        expected: ServerId,
        /// The key that the server named.
        found: ServerId,
        /// The file of known servers.
        file: PathBuf,
        /// The line in it, from 1.
        line: usize,
    },
    /// The file of known servers cannot be used. Our identity was not shown; the source says what to repair.
    #[error("cannot use the known servers")]
    KnownServers(#[from] KnownServersError),
    /// The server does not take us. Its code says why.
    #[error("the server refuses the connection ({code}): {text}")]
    Refused {
        /// Why.
        code: Code,
        /// The server's words: clean them before a terminal gets them.
        text: String,
        /// When to try again, if the server says so.
        retry: Option<Duration>,
    },
    /// The link ended before the server's welcome: it did not take our proof, or went away.
    #[error("the link ended before the server's welcome ({code}): {addr}")]
    Lost {
        /// The address.
        addr: Addr,
        /// `TRUNCATED` if the server closed without a word, `TIMEOUT` if it said nothing for 10 s.
        code: Code,
    },
}

impl ConnectError {
    /// The code under which the failed dial is counted.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NoAddress | Self::NoTransport { .. } | Self::Dial { .. } => Code::Unreachable,
            Self::Handshake { source, .. } => source.code(),
            Self::Version { .. } => Code::Version,
            Self::WrongServer { .. } | Self::PinnedServer { .. } => Code::Unauthorized,
            Self::KnownServers(_) => Code::Internal,
            Self::Refused { code, .. } | Self::Lost { code, .. } => *code,
        }
    }
}

/// Why a channel was not joined or left.
///
/// ```
/// use darkchat_client::{Client, JoinError};
/// # use darkchat_crypto::Identity;
/// # use darkchat_server::{Accept, Server};
/// # use darkchat_transport::Memory;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # let memory = Memory::default();
/// # let server = Server::builder(Identity::generate())
/// #     .transport(memory.clone())
/// #     .listen("mem://station".parse()?, Accept::Clients)
/// #     .start()
/// #     .await?;
/// let client = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// let _lobby = client.join("lobby".parse()?).await?;
/// assert!(matches!(client.join("lobby".parse()?).await, Err(JoinError::AlreadyJoined)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The server said no. We are not in the channel; try again after `retry`, if it says so.
    #[error("the server refuses the channel: {code}")]
    Refused {
        /// Why.
        code: Code,
        /// When to try again, if the server says so.
        retry: Option<Duration>,
    },
    /// This client is in the channel already. Nothing was changed; use the [`Channel`](crate::Channel) that it has.
    #[error("this client is in the channel already")]
    AlreadyJoined,
    /// The client is in as many channels as one session may be. Nothing was changed; leave one.
    #[error("too many channels, the most is: {max}")]
    TooMany {
        /// The most that one session may be in.
        max: usize,
    },
    /// It cannot be done with a private channel. We are not in it; the source says what to do.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The server did not answer within 10 s, or the link was down for so long. We are not in the channel.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The client has ended. We are in no channel; connect anew.
    #[error("the client has ended")]
    Closed,
}

/// Why a message was not taken.
///
/// ```
/// use darkchat_client::{Client, SendError, TrySendError};
/// # use darkchat_crypto::Identity;
/// # use darkchat_server::{Accept, Server};
/// # use darkchat_transport::Memory;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # let memory = Memory::default();
/// # let server = Server::builder(Identity::generate())
/// #     .transport(memory.clone())
/// #     .listen("mem://station".parse()?, Accept::Clients)
/// #     .start()
/// #     .await?;
/// let client = Client::connect(memory, "mem://station".parse()?, Identity::generate()).await?;
/// let lobby = client.join("lobby".parse()?).await?;
/// let too_large = vec![0; 65_537];
/// let error = lobby.send(too_large).await;
/// assert_eq!(error, Err(SendError::TooLarge { len: 65_537, max: 65_536 }));
///
/// // Without waiting, there is an end to what can be queued.
/// let queued = (0..10_000).take_while(|_| lobby.try_send("again") != Err(TrySendError::Full)).count();
/// assert!(queued < 10_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Longer than a message may be. Nothing was sent; split it.
    #[error("a message has at most {max} bytes: {len}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most that is taken, in bytes: 65,536 in a channel, or what the server announces if that is less; 57,344
        /// in a direct message.
        max: usize,
    },
    /// A content type or a header name over 64 bytes, more than 16 headers, or more than 1 KiB of them. Nothing was
    /// sent; shorten them.
    #[error("the content type or the headers are too long or too many")]
    BadHeaders,
    /// The server said no, and nobody got it. `STALE`: our clock or the server's is wrong. Others get a gap.
    #[error("the server refuses the message: {code}")]
    Refused {
        /// Why.
        code: Code,
        /// When to try again, if the server says so.
        retry: Option<Duration>,
    },
    /// The recipient is not online. Nothing was sent.
    #[error("the recipient is not online")]
    NotHere,
    /// Nobody answered in time. To a channel: the server did not within 10 s, or the link was down for so long; others
    /// may have got it or not, and those who did not get a gap. To a user: no program of the recipient's acknowledged it
    /// within 30 s or in three tries, or there was no way to send it for so long; the recipient may have got it or not,
    /// and sees no gap.
    #[error("there was no answer in time")]
    TimedOut,
    /// The channel was left, or the client has ended. A message that was on its way may have arrived or not.
    #[error("the channel or the client is closed")]
    Closed,
}

/// Why a message was not queued. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// Too much is queued already. Try again later, or use [`send`](crate::Channel::send), which waits.
    #[error("too much is queued already")]
    Full,
    /// Longer than a message may be; split it.
    #[error("a message has at most {max} bytes: {len}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most that may be, in bytes: 65,536 in a channel, 57,344 in a direct message. A server may announce less
        /// for channels; then a note says that the message was not sent.
        max: usize,
    },
    /// The client has ended.
    #[error("the client is closed")]
    Closed,
}

impl From<Failure> for JoinError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { code, retry } => Self::Refused { code, retry },
            Failure::AlreadyJoined => Self::AlreadyJoined,
            Failure::Full => Self::TooMany { max: crate::session::CHANNELS },
            Failure::TimedOut => Self::TimedOut,
            Failure::TooLarge { .. }
            | Failure::BadHeaders
            | Failure::NotHere
            | Failure::NotJoined
            | Failure::Closed => Self::Closed,
            Failure::Private(why) => Self::Private(why),
        }
    }
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { code, retry } => Self::Refused { code, retry },
            Failure::TooLarge { len, max } => Self::TooLarge { len, max },
            Failure::BadHeaders => Self::BadHeaders,
            Failure::Full => Self::Refused { code: Code::Limit, retry: None },
            Failure::NotHere => Self::NotHere,
            Failure::TimedOut => Self::TimedOut,
            Failure::AlreadyJoined | Failure::NotJoined | Failure::Private(_) | Failure::Closed => {
                Self::Closed
            }
        }
    }
}
