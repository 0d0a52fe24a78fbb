//! darkchat links over WebSocket: `ws://host:port/ws`, subprotocol `dchat.1`, one binary message a unit.
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
mod socket;
mod upgrade;

pub use origin::{NoOrigin, Origin};

use darkchat_transport::stream::Arrived;
use darkchat_transport::{Addr, BoxFuture, Incoming, Link, Listener, Transport, is_fleeting, wrong_scheme};
use futures_util::stream;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The one scheme of this transport, until it brings TLS.
const SCHEME: &str = "ws";
/// The port of an address that names none: `docs/protocol.md`, section 2.
const DEFAULT_PORT: u16 = 8546;
/// The one path.
const PATH: &str = "/ws";
/// What both sides agree to speak inside.
const SUBPROTOCOL: &str = "dchat.1";
/// How long accepting rests when the system has no descriptor or no memory left, instead of spinning.
const REST: Duration = Duration::from_millis(100);

/// Links over WebSocket. The options are a listener's; dialling has none.
#[derive(Debug, Clone, Default)]
pub struct Ws {
    admission: Arc<origin::Admission>,
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
        &[SCHEME]
    }

    /// Tries each address that a name has, in the order of the resolver. An address without a port means 8546.
    ///
    /// An HTTP answer other than the upgrade is [`io::ErrorKind::ConnectionRefused`], and its text has the status.
    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        Box::pin(async move {
            let stream = TcpStream::connect(place(&addr)?).await?;
            stream.set_nodelay(true)?;
            dial::dial(stream, addr).await
        })
    }

    /// Listens on the first address of a name that can be bound. `[::]` takes IPv4 too where the system does so, and
    /// such callers are reported by their IPv4 address.
    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        let admission = Arc::clone(&self.admission);
        Box::pin(async move {
            let socket = TcpListener::bind(place(&addr)?).await?;
            let addr = Addr::from_socket(SCHEME, socket.local_addr()?);
            let incoming = stream::unfold((socket, admission), |(socket, admission)| async move {
                let accepted = socket.accept().await;
                if accepted.as_ref().is_err_and(|error| !is_fleeting(error)) {
                    sleep(REST).await;
                }
                let incoming = accepted.map(|(stream, remote)| {
                    let remote = Addr::from_socket(SCHEME, remote);
                    let link = set_up(stream, remote.clone(), Arc::clone(&admission));
                    Incoming { remote, link: Box::pin(link) }
                });
                Some((incoming, (socket, admission)))
            });
            Ok(Listener { addr, incoming: Box::pin(incoming) })
        })
    }
}

/// Host and port, for the system to resolve.
fn place(addr: &Addr) -> io::Result<(&str, u16)> {
    if addr.scheme() == SCHEME {
        Ok((addr.host(), addr.port().unwrap_or(DEFAULT_PORT)))
    } else {
        Err(wrong_scheme(addr))
    }
}

async fn set_up(stream: TcpStream, remote: Addr, admission: Arc<origin::Admission>) -> io::Result<Link> {
    stream.set_nodelay(true)?;
    upgrade::upgrade(stream, remote, &admission).await
}

/// The error for what somebody did who does not keep to the protocol.
fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
