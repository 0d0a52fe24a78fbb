//! darkchat links over WebSocket: `ws://host:port/ws`, subprotocol `dchat.1`, one binary message a unit. With the
//! feature `tls` also `wss://host:port/ws`, the same inside TLS.
//!
//! Source: `docs/protocol.md`, section 3.1. A listener takes links from programs and from web pages; which pages may
//! open one is decided by the `Origin` that their browser names, before the connection is upgraded:
//!
//! | `Origin` | |
//! |---|---|
//! | absent | passes: not a browser, unless [`Ws::require_origin`] |
//! | a page of this listener's own host and port, by IP address, `localhost` or a [`Ws::serve_as`] name | passes |
//! | in the list of [`Ws::allow_origin`] | passes |
//! | any other, `null` included | 403 |
//!
//! ```
//! use darkchat_transport::Transport;
//! use darkchat_transport_ws::Ws;
//! use futures_util::{SinkExt, StreamExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let ws = Ws::default().allow_origin("https://chat.example".parse()?);
//! let mut listener = ws.listen("ws://127.0.0.1:0".parse()?).await?;
//!
//! let (ours, theirs) = tokio::join!(
//!     Ws::default().dial(listener.addr.clone()),
//!     async { listener.incoming.next().await.expect("listens")?.link.await },
//! );
//! let (mut ours, mut theirs) = (ours?, theirs?);
//! ours.sink.send("hello".into()).await?;
//! assert_eq!(theirs.units.next().await.expect("open")?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # What is ours and what is a library's
//!
//! HTTP heads, accept keys and frame headers are read and written by `tungstenite`. Messages are put together here,
//! because four of our rules cannot be kept above its message interface: it hides continuation frames, so that their
//! number has no bound; it keeps its buffers at their largest size for the life of a connection, where thousands of
//! ours are idle; it shares their memory with the messages that it returns, so that none can be decrypted in place;
//! and it answers pings without counting them.

mod dial;
mod frames;
mod head;
mod origin;
mod plain;
mod socket;
#[cfg(feature = "tls")]
mod tls;
mod upgrade;

pub use origin::{NoOrigin, Origin};
pub use plain::Plain;
#[cfg(feature = "tls")]
pub use tls::{Certificate, TlsError, Trust};

use darkchat_transport::stream::Arrived;
use darkchat_transport::{Addr, BoxFuture, Incoming, Link, Listener, Transport, is_fleeting, wrong_scheme};
use futures_util::stream;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The scheme of a WebSocket on bare TCP.
const SCHEME: &str = "ws";
/// The scheme of one inside TLS.
const SECURE: &str = "wss";
/// The port of an address that names none: `docs/protocol.md`, section 2.
const DEFAULT_PORT: u16 = 8546;
/// The same inside TLS.
const SECURE_PORT: u16 = 443;
/// The one path.
const PATH: &str = "/ws";
/// What both sides agree to speak inside.
const SUBPROTOCOL: &str = "dchat.1";
/// How long accepting rests when the system has no descriptor or no memory left, instead of spinning.
const REST: Duration = Duration::from_millis(100);

/// Links over WebSocket: under `ws`, and with the feature `tls` under `wss`.
#[derive(Debug, Clone, Default)]
pub struct Ws {
    admission: Arc<origin::Admission>,
    elsewhere: Option<plain::Elsewhere>,
    #[cfg(feature = "tls")]
    certificate: Option<Certificate>,
    #[cfg(feature = "tls")]
    believed: tls::Believed,
}

impl Ws {
    /// Also lets pages of this origin in.
    #[must_use]
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        Arc::make_mut(&mut self.admission).allowed.push(origin);
        self
    }

    /// Lets pages in that were served under this host name, such as `chat.example`, and by this listener's own port.
    ///
    /// IP addresses and `localhost` need not be named. Every other name must be, because anybody can let a name of
    /// their own point to this machine and then serve a page that would seem to be ours.
    #[must_use]
    pub fn serve_as(mut self, host: &str) -> Self {
        Arc::make_mut(&mut self.admission).names.push(host.to_ascii_lowercase());
        self
    }

    /// Whether callers that name no origin, which no browser would do, are refused.
    #[must_use]
    pub fn require_origin(mut self, required: bool) -> Self {
        Arc::make_mut(&mut self.admission).required = required;
        self
    }

    /// Gives every well-formed HTTP request that does not ask for a link to `serve`, which may have a page for it,
    /// instead of answering it with 404 or 405. Whoever does not speak HTTP still gets nothing.
    ///
    /// `serve` is called by the task that sets the connection up and must not block. That [`Incoming`] ends with an
    /// error then, because no link comes of it.
    ///
    /// [`Incoming`]: darkchat_transport::Incoming
    #[must_use]
    pub fn otherwise(mut self, serve: impl Fn(Plain) + Send + Sync + 'static) -> Self {
        self.elsewhere = Some(plain::Elsewhere(Arc::new(serve)));
        self
    }

    /// Shows this certificate to those who come to an address under `wss`. Without one none is listened on.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Believes these servers when dialling under `wss`, instead of those that the operating system trusts.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.believed = trust.into();
        self
    }

    /// The server's end of a WebSocket that was upgraded elsewhere, for example by an HTTP server that also has a page
    /// on the same port. Subprotocol and origin are that server's to check.
    #[must_use]
    pub fn link<S>(socket: S, remote: Addr) -> Link
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        socket::link(Box::pin(socket), Arrived::default(), frames::Side::Server, remote)
    }
}

impl Transport for Ws {
    fn schemes(&self) -> &'static [&'static str] {
        if cfg!(feature = "tls") { &[SCHEME, SECURE] } else { &[SCHEME] }
    }

    /// Tries each address that a name has, in the order of the resolver. An address without a port means 8546, under
    /// `wss` 443.
    ///
    /// An HTTP answer other than the upgrade is [`io::ErrorKind::ConnectionRefused`], and its text has the status. A
    /// certificate that is not believed is [`io::ErrorKind::InvalidData`], and its text says why.
    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        #[cfg(feature = "tls")]
        let believed = self.believed.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(place(&addr)?).await?;
            stream.set_nodelay(true)?;
            #[cfg(feature = "tls")]
            if addr.scheme() == SECURE {
                let stream = Box::pin(believed.connect(stream, addr.host())).await?;
                return dial::dial(stream, addr).await;
            }
            dial::dial(stream, addr).await
        })
    }

    /// Listens on the first address of a name that can be bound. `[::]` takes IPv4 too where the system does so, and
    /// such callers are reported by their IPv4 address. An address under `wss` needs a certificate.
    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        let ws = self.clone();
        Box::pin(async move {
            let place = place(&addr)?;
            let secure = addr.scheme() == SECURE;
            if secure && !ws.has_certificate() {
                let text = format!("there is no certificate for the address: {addr}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let scheme = if secure { SECURE } else { SCHEME };
            let socket = TcpListener::bind(place).await?;
            let addr = Addr::from_socket(scheme, socket.local_addr()?);
            let incoming = stream::unfold((socket, ws), move |(socket, ws)| async move {
                let accepted = socket.accept().await;
                if accepted.as_ref().is_err_and(|error| !is_fleeting(error)) {
                    sleep(REST).await;
                }
                let incoming = accepted.map(|(stream, remote)| {
                    let remote = Addr::from_socket(scheme, remote);
                    let link = ws.clone().set_up(stream, remote.clone());
                    Incoming { remote, link: Box::pin(link) }
                });
                Some((incoming, (socket, ws)))
            });
            Ok(Listener { addr, incoming: Box::pin(incoming) })
        })
    }
}

impl Ws {
    const fn has_certificate(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.certificate.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    async fn set_up(self, stream: TcpStream, remote: Addr) -> io::Result<Link> {
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if let (SECURE, Some(certificate)) = (remote.scheme(), &self.certificate) {
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first != [tls::FIRST_BYTE] {
                return upgrade::turn_away(stream).await;
            }
            // In a box that goes before the link, which outlives it by hours.
            let stream = Box::pin(certificate.accept(stream)).await?;
            return upgrade::upgrade(stream, remote, &self).await;
        }
        upgrade::upgrade(stream, remote, &self).await
    }
}

/// Host and port, for the system to resolve.
fn place(addr: &Addr) -> io::Result<(&str, u16)> {
    match addr.scheme() {
        SCHEME => Ok((addr.host(), addr.port().unwrap_or(DEFAULT_PORT))),
        SECURE if cfg!(feature = "tls") => Ok((addr.host(), addr.port().unwrap_or(SECURE_PORT))),
        _ => Err(wrong_scheme(addr)),
    }
}

/// The error for what somebody did who does not keep to the protocol.
fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
