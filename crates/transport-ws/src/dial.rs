//! The client's side of the upgrade.

use crate::frames::Side;
use crate::head::{self, NoHead};
use crate::{SUBPROTOCOL, invalid, place, socket};
use darkchat_transport::stream::Arrived;
use darkchat_transport::{Addr, Link};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tungstenite::handshake::client::{Response, generate_key};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::http::StatusCode;
use tungstenite::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};

/// Asks for the upgrade on a fresh connection.
pub(crate) async fn dial<S>(mut stream: S, addr: Addr) -> io::Result<Link>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let key = generate_key();
    stream.write_all(request(&addr, &key)?.as_bytes()).await?;
    stream.flush().await?;
    let mut arrived = Arrived::default();
    let len = head::read(&mut stream, &mut arrived, is_answer).await.map_err(|none| match none {
        NoHead::NotHttp => invalid("it does not speak HTTP"),
        NoHead::TooLong => invalid("the head of its answer is longer than 8 KiB"),
        NoHead::Io(error) => error,
    })?;
    check(arrived.bytes().get(..len).unwrap_or_default(), &key)?;
    arrived.cut(len, 0);
    Ok(socket::link(Box::pin(stream), arrived, Side::Client, addr))
}

fn request(addr: &Addr, key: &str) -> io::Result<String> {
    let (host, port) = place(addr)?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Ok(format!(
        "GET {} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n",
        addr.path()
    ))
}

/// Whether these can be the first bytes of an answer of HTTP/1.
fn is_answer(bytes: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    bytes.starts_with(START) || START.starts_with(bytes)
}

/// Whether the answer is the upgrade that was asked for. Source: RFC 6455, section 4.1.
fn check(head: &[u8], key: &str) -> io::Result<()> {
    let Ok(Some((_, answer))) = Response::try_parse(head) else {
        return Err(invalid("its answer is not HTTP/1.1"));
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let text = format!("it answered the upgrade with the HTTP status: {}", answer.status());
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
    }
    let value = |name: HeaderName| {
        answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let upgrades = value(UPGRADE).eq_ignore_ascii_case("websocket")
        && value(CONNECTION).split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    if !upgrades || value(SEC_WEBSOCKET_ACCEPT) != derive_accept_key(key.as_bytes()) {
        return Err(invalid("its answer is not that of a WebSocket server"));
    }
    if value(SEC_WEBSOCKET_PROTOCOL) != SUBPROTOCOL || answer.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS)
    {
        return Err(invalid("it agreed to another subprotocol or extension than the one offered: dchat.1"));
    }
    Ok(())
}
