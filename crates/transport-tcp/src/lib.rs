//! darkchat links over TCP: `tcp://host:port`.
//!
//! The side that dials says eight fixed bytes first; then units follow with a length of two bytes before each. Source:
//! `docs/protocol.md`, section 3.1.
//!
//! ```
//! use darkchat_transport::Transport;
//! use darkchat_transport_tcp::Tcp;
//! use futures_util::{SinkExt, StreamExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let mut listener = Tcp::default().listen("tcp://127.0.0.1:0".parse()?).await?;
//! let mut ours = Tcp::default().dial(listener.addr.clone()).await?;
//! let mut theirs = listener.incoming.next().await.expect("listens")?.link.await?;
//!
//! ours.sink.send("hello".into()).await?;
//! assert_eq!(theirs.units.next().await.expect("open")?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use darkchat_transport::stream::farewell;
use darkchat_transport::{Addr, BoxFuture, Incoming, Link, Listener, Transport, is_fleeting, wrong_scheme};
use futures_util::stream;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The one scheme of this transport.
const SCHEME: &str = "tcp";
/// The port of an address that names none: that of clients, `docs/protocol.md`, section 2.
const DEFAULT_PORT: u16 = 8545;
/// What the side that dials says first: `DCHAT`, a version, and a line end that text modes would change.
const MAGIC: [u8; 8] = *b"DCHAT\x01\r\n";
/// How a web browser or a health check begins; it deserves an answer that a person can read.
const HTTP: [u8; 4] = *b"GET ";
/// That answer.
const NOT_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 50\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks the darkchat protocol, not HTTP.\n";
/// How long accepting rests when the system has no descriptor or no memory left, instead of spinning.
const REST: Duration = Duration::from_millis(100);

/// Links over TCP. It has no options.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Tcp {}

impl Transport for Tcp {
    fn schemes(&self) -> &'static [&'static str] {
        &[SCHEME]
    }

    /// Tries each address that a name has, in the order of the resolver, and returns the last error if none answers.
    /// An address without a port means 8545.
    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        Box::pin(async move {
            let mut stream = TcpStream::connect(place(&addr)?).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&MAGIC).await?;
            Ok(link(addr, stream))
        })
    }

    /// Listens on the first address of a name that can be bound. `[::]` takes IPv4 too where the system does so, and
    /// such callers are reported by their IPv4 address.
    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        Box::pin(async move {
            let socket = TcpListener::bind(place(&addr)?).await?;
            let addr = Addr::from_socket(SCHEME, socket.local_addr()?);
            let incoming = stream::unfold(socket, |socket| async move {
                let accepted = socket.accept().await;
                if accepted.as_ref().is_err_and(|error| !is_fleeting(error)) {
                    sleep(REST).await;
                }
                let incoming = accepted.map(|(stream, remote)| {
                    let remote = Addr::from_socket(SCHEME, remote);
                    Incoming { remote: remote.clone(), link: Box::pin(set_up(stream, remote)) }
                });
                Some((incoming, socket))
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

fn link(remote: Addr, stream: TcpStream) -> Link {
    let (read, write) = stream.into_split();
    Link::over_bytes(remote, read, write)
}

/// Reads the magic and not a byte more. Whoever says something else gets no answer, but for HTTP.
async fn set_up(mut stream: TcpStream, remote: Addr) -> io::Result<Link> {
    stream.set_nodelay(true)?;
    let mut said = [0; MAGIC.len()];
    let mut len = 0;
    while len < MAGIC.len() {
        let Some(rest) = said.get_mut(len..) else { break };
        match stream.read(rest).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => len += count,
        }
        let so_far = said.get(..len).unwrap_or(&said);
        if so_far.starts_with(&HTTP) {
            // Whether it arrives is no longer ours to care about.
            let _ = farewell(stream, NOT_HTTP).await;
            return Err(refused("it speaks HTTP"));
        }
        if !MAGIC.starts_with(so_far) && !HTTP.starts_with(so_far) {
            return Err(refused("it does not speak darkchat"));
        }
    }
    Ok(link(remote, stream))
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
