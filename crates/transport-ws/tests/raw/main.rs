//! A listener as strangers meet it: raw bytes in, raw bytes out. Names begin with the case of the test plan.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod frames;
mod http;
mod other_ends;

use darkchat_transport::Transport;
use darkchat_transport_ws::Ws;
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The key and the answer of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// How a connection ended for the server: the kind of its error, if there was one.
type End = Option<io::ErrorKind>;

/// A listener that sends every unit back.
struct Echo {
    addr: SocketAddr,
    ends: mpsc::UnboundedReceiver<End>,
}

impl Echo {
    async fn start(ws: Ws) -> Self {
        let mut listener = ws.listen("ws://127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (end, ends) = mpsc::unbounded_channel();
        let addr = listener.addr.socket_addr().unwrap();
        tokio::spawn(async move {
            while let Some(incoming) = listener.incoming.next().await {
                let (link, end) = (incoming.unwrap().link, end.clone());
                tokio::spawn(async move { end.send(echo(link).await.err().map(|error| error.kind())) });
            }
        });
        Self { addr, ends }
    }

    async fn call(&self) -> Raw {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw(stream)
    }

    /// A connection that is upgraded.
    async fn upgraded(&self) -> Raw {
        let mut raw = self.call().await;
        raw.say(&request("")).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
        raw
    }

    /// Says something and returns all that is answered until the end.
    async fn answer(&self, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut raw = self.call().await;
        raw.say(request).await;
        raw.rest().await
    }

    async fn end(&mut self) -> End {
        within(self.ends.recv()).await.unwrap()
    }
}

async fn echo(link: darkchat_transport::BoxFuture<io::Result<darkchat_transport::Link>>) -> io::Result<()> {
    let mut link = link.await?;
    while let Some(unit) = link.units.next().await {
        link.sink.send(unit?).await?;
    }
    Ok(())
}

/// A connection without any manners.
struct Raw(TcpStream);

impl Raw {
    /// Writes as much as the other side takes; it may have hung up already.
    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within(self.0.write_all(bytes.as_ref())).await;
    }

    /// All that comes until the end.
    async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match within(self.0.read_to_end(&mut bytes)).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        bytes
    }

    async fn exactly(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        within(self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// The head of an HTTP answer, and nothing behind it.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly(1).await);
        }
        String::from_utf8(head).unwrap()
    }

    /// One frame of a server: first byte and payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let start = self.exactly(2).await;
        let len = match start[1] {
            126 => u16::from_be_bytes(self.exactly(2).await.try_into().unwrap()).into(),
            127 => u64::from_be_bytes(self.exactly(8).await.try_into().unwrap()),
            short => u64::from(short),
        };
        assert_eq!(start[1] & 0x80, 0, "a server never masks");
        (start[0], self.exactly(len.try_into().unwrap()).await)
    }

    /// The code of the close frame that comes next, after which nothing may come.
    async fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x88);
        assert_eq!(self.rest().await, b"", "something came after the close frame");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// A frame with a mask.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5a, 0x00, 0xff, 0x13];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A good request, with more header lines.
fn request(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:8546\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: dchat.1\r\n{more}\r\n"
    )
}

/// Fails instead of hanging. Nothing here depends on how soon something happens.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("it hangs")
}
