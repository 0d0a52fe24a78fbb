//! B10: what an idle WebSocket takes. In a binary of its own, because it counts what the whole process allocates.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use darkchat_transport::{Link, Listener, Transport};
use darkchat_transport_ws::Ws;
use futures_util::{FutureExt, StreamExt};
use peak_alloc::PeakAlloc;
use std::io::{Read, Write};
use std::net::TcpStream;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Enough to drown what the process needs once, few enough for the usual limit of descriptors.
const LINKS: usize = 300;
/// What the case allows, in bytes: a tenth of what the customary read buffer of 128 KiB would take.
const EACH_MAX: usize = 12 << 10;

#[tokio::test]
async fn b10_an_idle_websocket_takes_at_most_12_kib() {
    let mut listener = Ws::default().listen("ws://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let _first = idle(&mut listener).await;
    let mut links = Vec::with_capacity(LINKS);
    let before = MEMORY.current_usage();
    for _ in 0..LINKS {
        links.push(idle(&mut listener).await);
    }
    let each = (MEMORY.current_usage() - before) / LINKS;
    assert!((1..=EACH_MAX).contains(&each), "{each} bytes each");
}

/// A link that waits for its first unit, and its other end, which allocates nothing.
async fn idle(listener: &mut Listener) -> (Link, TcpStream) {
    let mut stream = TcpStream::connect(listener.addr.socket_addr().unwrap()).unwrap();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
              Sec-WebSocket-Protocol: dchat.1\r\n\r\n",
        )
        .unwrap();
    let mut link = listener.incoming.next().await.unwrap().unwrap().link.await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    assert!(link.units.next().now_or_never().is_none(), "nobody said anything");
    (link, stream)
}
