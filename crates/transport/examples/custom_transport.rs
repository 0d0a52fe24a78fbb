//! A transport of one's own in one file: links over Unix domain sockets, `unix://local/run/darkchat.sock`.

use darkchat_transport::{Addr, BoxFuture, Incoming, Link, Listener, Transport, wrong_scheme};
use futures_util::{SinkExt, StreamExt, stream};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};
use tokio::net::{UnixListener, UnixStream};

/// Links over Unix domain sockets. The host of an address says nothing; its path is the socket's.
#[derive(Debug, Default)]
struct Unix;

impl Transport for Unix {
    fn schemes(&self) -> &'static [&'static str] {
        &["unix"]
    }

    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        Box::pin(async move {
            let stream = UnixStream::connect(path(&addr)?).await?;
            Ok(link(addr, stream))
        })
    }

    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        Box::pin(async move {
            let path = path(&addr)?;
            let bound = (Bound { socket: UnixListener::bind(&path)?, path }, addr.clone());
            let incoming = stream::unfold(bound, |(bound, addr)| async move {
                let accepted = bound.socket.accept().await;
                if accepted.is_err() {
                    // Without descriptors the next attempt would fail at once, and the next.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let incoming = accepted.map(|(stream, _)| {
                    let link = link(addr.clone(), stream);
                    Incoming { remote: addr.clone(), link: Box::pin(async { Ok(link) }) }
                });
                Some((incoming, (bound, addr)))
            });
            Ok(Listener { addr, incoming: Box::pin(incoming) })
        })
    }
}

/// A socket whose file goes with it, so that the address is free again.
struct Bound {
    socket: UnixListener,
    path: PathBuf,
}

impl Drop for Bound {
    fn drop(&mut self) {
        // If the file is gone already, so much the better.
        let _ = fs::remove_file(&self.path);
    }
}

fn path(addr: &Addr) -> io::Result<PathBuf> {
    if addr.scheme() == "unix" { Ok(addr.path().into()) } else { Err(wrong_scheme(addr)) }
}

fn link(remote: Addr, stream: UnixStream) -> Link {
    let (read, write) = stream.into_split();
    Link::over_bytes(remote, read, write)
}

/// Sends a unit to ourselves.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut listener = Unix.listen(somewhere().parse()?).await?;
    let mut ours = Unix.dial(listener.addr.clone()).await?;
    let mut theirs = listener.incoming.next().await.ok_or("nobody came")??.link.await?;

    ours.sink.send("hello".into()).await?;
    assert_eq!(theirs.units.next().await.ok_or("nothing came")??, "hello");
    Ok(())
}

fn somewhere() -> String {
    format!("unix://local{}/darkchat-{}.sock", std::env::temp_dir().display(), std::process::id())
}

/// Its whole test.
#[tokio::test]
async fn it_keeps_the_contract() -> Result<(), Box<dyn std::error::Error>> {
    Ok(darkchat_transport::conformance::check(&Unix, somewhere().parse()?).await?)
}
