//! Another implementation of WebSocket as the other end, so that we do not only understand ourselves.

use super::{Echo, masked, within};
use bytes::Bytes;
use darkchat_transport::{Link, Transport};
use darkchat_transport_ws::Ws;
use futures_util::{SinkExt, StreamExt};
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;

const LENGTHS: [usize; 8] = [0, 1, 125, 126, 1_500, 16_384, 65_534, 65_535];

#[tokio::test]
async fn a_foreign_client_talks_with_our_server() {
    let mut echo = Echo::start(Ws::default()).await;
    let mut request = format!("ws://{}/ws", echo.addr).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("dchat.1"));
    let stream = TcpStream::connect(echo.addr).await.unwrap();
    let (mut client, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    for len in LENGTHS {
        let unit: Vec<u8> = (0..len).map(|at| at as u8).collect();
        client.send(Message::binary(unit.clone())).await.unwrap();
        assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::binary(unit));
    }
    client.close(None).await.unwrap();
    assert!(matches!(within(client.next()).await, Some(Ok(Message::Close(_))) | None));
    assert_eq!(echo.end().await, None);
}

/// A foreign server for one connection, which sends everything back; and our link to it.
async fn foreign_server(agree: Option<&'static str>) -> io::Result<Link> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = format!("ws://{}/ws", listener.local_addr()?).parse().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "the callback's signature is not ours")]
        let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.headers()["Sec-WebSocket-Protocol"], "dchat.1");
            assert!(request.headers()["Host"].to_str().unwrap().starts_with("127.0.0.1:"));
            if let Some(agree) = agree {
                response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(agree));
            }
            Ok(response)
        };
        let mut server = tokio_tungstenite::accept_hdr_async(stream, answer).await.unwrap();
        server.send(Message::Ping("are you there".into())).await.unwrap();
        while let Some(Ok(message)) = server.next().await {
            match message {
                Message::Binary(unit) => server.send(Message::Binary(unit)).await.unwrap(),
                Message::Pong(bytes) => assert_eq!(bytes, "are you there"),
                _ => {}
            }
        }
    });
    Ws::default().dial(addr).await
}

#[tokio::test]
async fn our_client_talks_with_a_foreign_server() {
    let mut link = foreign_server(Some("dchat.1")).await.unwrap();
    for len in LENGTHS {
        let unit: Vec<u8> = (0..len).map(|at| at as u8).collect();
        link.sink.send(unit.clone().into()).await.unwrap();
        assert_eq!(within(link.units.next()).await.unwrap().unwrap(), unit);
    }
    link.sink.close().await.unwrap();
    assert!(within(link.units.next()).await.is_none());
    assert_eq!(link.sink.send("late".into()).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_server_that_agrees_to_something_else_is_not_taken() {
    for agree in [None, Some("dchat.2")] {
        let error = foreign_server(agree).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
}

#[tokio::test]
async fn a_refused_upgrade_tells_its_status() {
    let echo = Echo::start(Ws::default().require_origin(true)).await;
    let error = Ws::default().dial(format!("ws://{}", echo.addr).parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        stream
    };
    let (error, _stream) = within(async { tokio::join!(Ws::default().dial(addr), serve) }).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_socket_upgraded_elsewhere_becomes_a_link() {
    let (near, far) = tokio::io::duplex(1024);
    let mut link = Ws::link(far, "ws://192.0.2.1:5".parse().unwrap());
    assert_eq!(link.remote.to_string(), "ws://192.0.2.1:5/ws");
    let role = tungstenite::protocol::Role::Client;
    let mut client = tokio_tungstenite::WebSocketStream::from_raw_socket(near, role, None).await;
    client.send(Message::binary(&b"unit"[..])).await.unwrap();
    assert_eq!(within(link.units.next()).await.unwrap().unwrap(), "unit");
    link.sink.close().await.unwrap();
    assert!(
        matches!(within(client.next()).await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1000)
    );
    // The other end answers the close while it waits for the end.
    let (end, _) = within(async { tokio::join!(link.units.next(), client.next()) }).await;
    assert!(end.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_halves_wait_for_the_same_socket_without_losing_each_other() {
    let (mut near, far) = tokio::io::duplex(64);
    let link = Ws::link(far, "ws://192.0.2.1:5".parse().unwrap());
    let (mut units, mut sink) = (link.units, link.sink);
    let body = Bytes::from(vec![b'x'; 65_535]);

    // The sender blocks in the middle of a unit, the reader with a pong for which there is no room.
    let mut sender = tokio::spawn(async move { sink.send(body).await.map(|()| sink) });
    let mut reader = tokio::spawn(async move { units.next().await });
    near.write_all(&masked(0x89, b"ping")).await.unwrap();
    assert!(
        timeout(Duration::from_millis(50), async { tokio::join!(&mut sender, &mut reader) }).await.is_err()
    );

    let mut came = vec![0; 4 + 65_535 + 6];
    within(near.read_exact(&mut came)).await.unwrap();
    assert!(came.starts_with(b"\x82\x7e\xff\xff") && came.ends_with(b"x\x8a\x04ping"));
    let _sink = within(sender).await.unwrap().unwrap();
    near.write_all(&masked(0x82, b"unit")).await.unwrap();
    let unit = within(reader).await.unwrap().unwrap().unwrap();
    assert_eq!(unit.try_into_mut().unwrap(), "unit", "units are ours alone, so they can be changed in place");
}
