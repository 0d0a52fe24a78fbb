//! The server's side of the upgrade: one HTTP request is read and answered, and becomes a link or nothing.

use crate::frames::Side;
use crate::head::{self, NoHead};
use crate::origin::Admission;
use crate::plain::Plain;
use crate::{PATH, SECURE, SUBPROTOCOL, Ws, invalid, socket};
use darkchat_transport::stream::{Arrived, farewell};
use darkchat_transport::{Addr, Link};
use std::fmt::Write as _;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response};
use tungstenite::http::HeaderMap;
use tungstenite::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};

/// Letters of the longest method that is answered; the longest registered ones have 16.
const METHOD_MAX: usize = 16;

/// Every answer but the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// Not a well-formed request, or an upgrade to something else than the subprotocol.
    Bad,
    /// A page of another site.
    Forbidden,
    /// There is nothing here but the upgrade.
    NotFound,
    /// The answer to `HEAD`: the same without its text.
    NotFoundHead,
    /// Neither `GET` nor `HEAD`.
    Method,
    /// Another version of WebSocket.
    Version,
    /// More than 8 KiB, or more headers than anybody needs.
    TooLarge,
    /// No TLS where there is nothing else.
    #[cfg(feature = "tls")]
    NotSecure,
}

impl Refusal {
    /// Status, a header of its own, and the text for a person.
    const fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Bad => ("400 Bad Request", "", "This is not a WebSocket upgrade to dchat.1.\n"),
            Self::Forbidden => ("403 Forbidden", "", "This page may not connect here.\n"),
            Self::NotFound => ("404 Not Found", "", "There is only a WebSocket here, at /ws.\n"),
            Self::NotFoundHead => ("404 Not Found", "", ""),
            Self::Method => ("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "Only GET and HEAD.\n"),
            Self::Version => {
                ("426 Upgrade Required", "Sec-WebSocket-Version: 13\r\n", "Only WebSocket version 13.\n")
            }
            Self::TooLarge => ("431 Request Header Fields Too Large", "", "At most 8 KiB of headers.\n"),
            #[cfg(feature = "tls")]
            Self::NotSecure => ("400 Bad Request", "", "This port speaks TLS: https:// and wss://.\n"),
        }
    }

    /// Whether a page on the same port could have an answer.
    const fn is_plain(self) -> bool {
        matches!(self, Self::NotFound | Self::NotFoundHead | Self::Method)
    }

    fn answer(self) -> String {
        let (status, header, text) = self.parts();
        format!(
            "HTTP/1.1 {status}\r\n{header}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
    }
}

/// Turns a fresh connection into a link. Whoever does not speak HTTP is left without an answer.
pub(crate) async fn upgrade<S>(mut stream: S, remote: Addr, ws: &Ws) -> io::Result<Link>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut arrived = Arrived::default();
    let secure = remote.scheme() == SECURE;
    let judged = match head::read(&mut stream, &mut arrived, is_request).await {
        Ok(len) => {
            let head = arrived.bytes().get(..len).unwrap_or_default();
            judge(head, &ws.admission, secure).map(|key| (len, key))
        }
        Err(NoHead::TooLong) => Err(Refusal::TooLarge),
        Err(NoHead::NotHttp) => return Err(invalid("it does not speak HTTP")),
        Err(NoHead::Io(error)) => return Err(error),
    };
    let (len, accept) = match (judged, &ws.elsewhere) {
        (Ok(accepted), _) => accepted,
        (Err(refusal), Some(elsewhere)) if refusal.is_plain() => {
            (elsewhere.0)(Plain::new(remote, secure, arrived, stream));
            return Err(io::Error::other("it asks for a page"));
        }
        (Err(refusal), _) => return refuse(stream, refusal).await,
    };
    stream.write_all(welcome(&accept).as_bytes()).await?;
    stream.flush().await?;
    // What came right behind the request is the link's first bytes.
    arrived.cut(len, 0);
    Ok(socket::link(Box::pin(stream), arrived, Side::Server, remote))
}

async fn refuse<S>(stream: S, refusal: Refusal) -> io::Result<Link>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Whether it arrives is no longer ours to care about.
    let _ = farewell(stream, refusal.answer().as_bytes()).await;
    Err(invalid(format!("its request was answered with: {}", refusal.parts().0)))
}

/// Tells somebody who speaks HTTP where there is only TLS, and nobody else.
#[cfg(feature = "tls")]
pub(crate) async fn turn_away<S>(mut stream: S) -> io::Result<Link>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match head::read(&mut stream, &mut Arrived::default(), is_request).await {
        Ok(_) => refuse(stream, Refusal::NotSecure).await,
        Err(NoHead::TooLong) => refuse(stream, Refusal::TooLarge).await,
        Err(NoHead::NotHttp) => Err(invalid("it speaks neither TLS nor HTTP")),
        Err(NoHead::Io(error)) => Err(error),
    }
}

fn welcome(accept: &str) -> String {
    let mut answer =
        String::from("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    // Writing to a String cannot fail.
    let _ = write!(answer, "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n");
    answer
}

/// Whether these can be the first bytes of a request of HTTP/1.
fn is_request(bytes: &[u8]) -> bool {
    let line = bytes.iter().position(|byte| *byte == b'\n').map(|end| bytes.get(..end).unwrap_or_default());
    let mut words = line.unwrap_or(bytes).splitn(2, |byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let is_method = method.len() <= METHOD_MAX && method.iter().all(u8::is_ascii_uppercase);
    is_method && line.is_none_or(|line| line.ends_with(b" HTTP/1.1\r") || line.ends_with(b" HTTP/1.0\r"))
}

/// What to answer to a whole head: the accept key, or a refusal.
fn judge(head: &[u8], admission: &Admission, secure: bool) -> Result<String, Refusal> {
    let request = match Request::try_parse(head) {
        Ok(Some((len, request))) if len == head.len() => request,
        Err(tungstenite::Error::Capacity(CapacityError::TooManyHeaders)) => return Err(Refusal::TooLarge),
        Err(tungstenite::Error::Protocol(ProtocolError::WrongHttpMethod)) if head.starts_with(b"HEAD ") => {
            return Err(Refusal::NotFoundHead);
        }
        Err(tungstenite::Error::Protocol(ProtocolError::WrongHttpMethod)) => return Err(Refusal::Method),
        // HTTP/1.0 cannot ask for an upgrade.
        Err(tungstenite::Error::Protocol(ProtocolError::WrongHttpVersion)) => return Err(Refusal::NotFound),
        _ => return Err(Refusal::Bad),
    };
    let asks = create_response(&request);
    if request.uri().path() != PATH
        || matches!(
            asks,
            Err(tungstenite::Error::Protocol(
                ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader
            ))
        )
    {
        return Err(Refusal::NotFound);
    }
    let headers = request.headers();
    let host = only(headers, &HOST)?.ok_or(Refusal::Bad)?;
    if !admission.admits(only(headers, &ORIGIN).map_err(|_| Refusal::Forbidden)?, host, secure) {
        return Err(Refusal::Forbidden);
    }
    match asks {
        Ok(_) => {}
        Err(tungstenite::Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader)) => {
            return Err(Refusal::Version);
        }
        Err(_) => return Err(Refusal::Bad),
    }
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if !offers.flat_map(|value| value.split(',')).any(|offer| offer.trim() == SUBPROTOCOL) {
        return Err(Refusal::Bad);
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY)?.ok_or(Refusal::Bad)?;
    Ok(derive_accept_key(key.as_bytes()))
}

/// The value of a header that may be there once.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &tungstenite::http::HeaderName,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Refusal::Bad),
        (Some(_), Some(_)) => Err(Refusal::Bad),
    }
}
