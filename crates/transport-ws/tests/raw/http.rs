//! Before the upgrade: what is answered, and to whom nothing is.

use super::{ACCEPT, Echo, KEY, Raw, masked, request, within};
use darkchat_transport::Transport;
use darkchat_transport_ws::Ws;
use futures_util::StreamExt;
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn status(echo: &Echo, request: impl AsRef<[u8]>) -> u16 {
    let answer = String::from_utf8(echo.answer(request).await).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    assert_eq!(len, text.len().to_string());
    head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_good_request_is_answered_as_in_the_rfc() {
    let echo = Echo::start(Ws::default()).await;
    let mut raw = echo.call().await;
    raw.say(request("")).await;
    let head = raw.head().await;
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 101 Switching Protocols");
    lines.sort_unstable();
    let accept = format!("Sec-WebSocket-Accept: {ACCEPT}");
    let expected =
        ["", "Connection: Upgrade", &accept, "Sec-WebSocket-Protocol: dchat.1", "Upgrade: websocket"];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn plain_requests_find_nothing() {
    let mut echo = Echo::start(Ws::default()).await;
    for plain in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"]
    {
        assert_eq!(status(&echo, plain).await, 404, "{plain}");
        assert_eq!(echo.end().await, Some(ErrorKind::InvalidData));
    }
    assert_eq!(status(&echo, request("").replace("/ws", "/other")).await, 404);
    let head = String::from_utf8(echo.answer("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await).unwrap();
    assert!(head.starts_with("HTTP/1.1 404 ") && head.ends_with("\r\n\r\n"), "no text after HEAD: {head}");
}

#[tokio::test]
async fn other_methods_are_told_which_ones_there_are() {
    let echo = Echo::start(Ws::default()).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH"] {
        let request = format!("{method} /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        let answer = String::from_utf8(echo.answer(request).await).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, HEAD\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_to_something_else_is_a_bad_request() {
    let echo = Echo::start(Ws::default()).await;
    let bad = [
        request("").replace("dchat.1", "dchat.2"),
        request("").replace("dchat.1", "xdchat.1, chat"),
        request("").replace("Sec-WebSocket-Protocol: dchat.1\r\n", ""),
        request("").replace(KEY, "short"),
        request("").replace("Host: 127.0.0.1:8546\r\n", ""),
        request("Host: other.example\r\n"),
        request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
        request("not a header\r\n"),
        request("").replace("\r\nUpgrade", "\n\nUpgrade"),
    ];
    for request in bad {
        assert_eq!(status(&echo, &request).await, 400, "{request}");
    }
    let version = request("").replace("Version: 13", "Version: 8");
    let answer = String::from_utf8(echo.answer(version).await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 426 ") && answer.contains("\r\nSec-WebSocket-Version: 13\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_subprotocol_is_found_among_others() {
    let echo = Echo::start(Ws::default()).await;
    let lists = [
        request("").replace("dchat.1", "other, dchat.1 ,more"),
        request("Sec-WebSocket-Protocol: dchat.1\r\n").replacen("dchat.1", "other", 1),
        request("")
            .replace("Sec-WebSocket", "SEC-websocket")
            .replace("Upgrade", "UPGRADE")
            .replace("websocket\r", "WebSocket\r"),
    ];
    for request in lists {
        let mut raw = echo.call().await;
        raw.say(&request).await;
        assert!(raw.head().await.contains("\r\nSec-WebSocket-Protocol: dchat.1\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a9_what_is_not_http_is_closed_without_a_byte() {
    let mut echo = Echo::start(Ws::default()).await;
    let strangers: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"EHLO mail.example\r\n",
        b"DCHAT\x01\r\n\x00\x04abcd",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"get /ws http/1.1\r\n\r\n",
        b"GET /ws\r\n\r\n",
        b"\r\n\r\n",
        b"\x00",
    ];
    for stranger in strangers {
        assert_eq!(echo.answer(stranger).await, b"", "{stranger:?}");
        assert_eq!(echo.end().await, Some(ErrorKind::InvalidData));
    }
    let noise: Vec<u8> =
        (0..1024 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8 | 0x80).collect();
    assert_eq!(echo.answer(noise).await, b"");
}

#[tokio::test]
async fn b6_heads_beyond_8_kib_or_124_lines_are_too_large() {
    let echo = Echo::start(Ws::default()).await;
    let start = "GET /ws HTTP/1.1\r\n";
    let cases = [
        format!("{start}X: {}\r\n\r\n", "x".repeat(100 * 1024)),
        format!("{start}{}\r\n", "X: y\r\n".repeat(5_000)),
        format!("{start}{}\r\n", "X: y\r\n".repeat(125)),
        format!("{start}X: {}", "x".repeat(8 * 1024)),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(8 * 1024)),
        format!("{start}X: {}\r\n\r\n", "x".repeat(8 * 1024 + 1 - start.len() - 7)),
    ];
    for (number, request) in cases.iter().enumerate() {
        assert_eq!(status(&echo, request).await, 431, "case {number}");
    }
    let most = format!("{start}X: {}\r\n\r\n", "x".repeat(8 * 1024 - start.len() - 7));
    assert_eq!(most.len(), 8 * 1024);
    assert_eq!(status(&echo, most).await, 404);
}

#[tokio::test]
async fn b6_a_head_may_come_byte_by_byte() {
    let echo = Echo::start(Ws::default()).await;
    let mut raw = echo.call().await;
    for byte in request("").bytes() {
        raw.say([byte]).await;
    }
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn b6_a_caller_that_never_ends_its_head_holds_up_nobody() {
    let echo = Echo::start(Ws::default()).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut raw = echo.call().await;
        raw.say("GET /ws HT").await;
        silent.push(raw);
    }
    echo.upgraded().await;
}

#[tokio::test]
async fn c1_a_set_up_that_is_dropped_hangs_up_without_a_byte() {
    let mut listener = Ws::default().listen("ws://127.0.0.1:0".parse().unwrap()).await.unwrap();
    for words in ["", "GE", "GET /ws HTTP/1.1\r\nHost: a\r\n"] {
        let mut raw = Raw(TcpStream::connect(listener.addr.socket_addr().unwrap()).await.unwrap());
        raw.say(words).await;
        let mut link = within(listener.incoming.next()).await.unwrap().unwrap().link;
        assert!(futures_util::poll!(&mut link).is_pending(), "it waits for more");
        drop(link);
        assert_eq!(raw.rest().await, b"");
    }
}

/// What is handed on is answered with its own first 18 bytes, so that a test sees that none is missing.
fn hands_on() -> Ws {
    Ws::default().otherwise(|mut plain| {
        assert!(plain.remote().is_loopback() && !plain.is_secure());
        tokio::spawn(async move {
            let mut first = [0; 18];
            plain.read_exact(&mut first).await.unwrap();
            plain.write_all(&first).await.unwrap();
        });
    })
}

#[tokio::test]
async fn what_is_no_upgrade_is_handed_on_from_its_first_byte() {
    let mut echo = Echo::start(hands_on()).await;
    for plain in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /ws HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        assert_eq!(echo.answer(plain).await, plain.as_bytes()[..18], "{plain}");
        assert_eq!(echo.end().await, Some(ErrorKind::Other));
    }
    echo.upgraded().await;
}

#[tokio::test]
async fn what_is_not_well_formed_or_too_large_is_not_handed_on() {
    let echo = Echo::start(hands_on()).await;
    assert_eq!(echo.answer(b"\x16\x03\x01").await, b"");
    assert_eq!(status(&echo, request("not a header\r\n")).await, 400);
    assert_eq!(status(&echo, request("").replace("dchat.1", "dchat.2")).await, 400);
    assert_eq!(status(&echo, request(&"X: y\r\n".repeat(5_000))).await, 431);
    let foreign = with_origin(&echo, "http://evil.example", "127.0.0.1:8546").await.rest().await;
    assert!(foreign.starts_with(b"HTTP/1.1 403 "));
}

async fn with_origin(echo: &Echo, origin: &str, host: &str) -> Raw {
    let mut raw = echo.call().await;
    raw.say(request(&format!("Origin: {origin}\r\n")).replace("127.0.0.1:8546", host)).await;
    raw
}

#[tokio::test]
async fn b7_origin_of_another_site_is_refused_before_the_upgrade() {
    let echo = Echo::start(Ws::default().allow_origin("https://good.example".parse().unwrap())).await;
    let cases = [
        ("null", "127.0.0.1:8546"),
        ("https://other.example", "127.0.0.1:8546"),
        ("https://good.example.evil.test", "127.0.0.1:8546"),
        ("https://good.example:444", "127.0.0.1:8546"),
        ("http://good.example", "127.0.0.1:8546"),
        ("http://127.0.0.1:9999", "127.0.0.1:8546"),
        ("http://rebound.example:8546", "rebound.example:8546"),
        ("https://good.example\r\nOrigin: https://good.example", "127.0.0.1:8546"),
    ];
    for (origin, host) in cases {
        let answer = String::from_utf8(with_origin(&echo, origin, host).await.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{origin}: {answer}");
    }
}

#[tokio::test]
async fn b7_listed_origins_and_the_own_page_pass() {
    let ws = Ws::default()
        .allow_origin("https://good.example".parse().unwrap())
        .serve_as("chat.example")
        .require_origin(true);
    let echo = Echo::start(ws).await;
    let cases = [
        ("https://good.example", "127.0.0.1:8546"),
        ("HTTPS://GOOD.EXAMPLE:443", "anything.example"),
        ("http://127.0.0.1:8546", "127.0.0.1:8546"),
        ("http://LOCALHOST:8546", "localhost:8546"),
        ("http://[::1]:8546", "[::1]:8546"),
        ("http://chat.example", "Chat.Example:80"),
    ];
    for (origin, host) in cases {
        let head = with_origin(&echo, origin, host).await.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{origin}: {head}");
    }
}

#[tokio::test]
async fn b7_an_absent_origin_follows_the_option() {
    let echo = Echo::start(Ws::default()).await;
    echo.upgraded().await;
    let strict = Echo::start(Ws::default().require_origin(true)).await;
    assert_eq!(status(&strict, request("")).await, 403);
}

#[tokio::test]
async fn b11_the_first_frame_may_come_with_the_request() {
    let echo = Echo::start(Ws::default()).await;
    for len in [0, 5, 20_000, 65_535] {
        let payload = vec![b'x'; len];
        let mut raw = echo.call().await;
        raw.say([request("").into_bytes(), masked(0x82, &payload), masked(0x82, b"next")].concat()).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(raw.frame().await, (0x82, payload));
        assert_eq!(raw.frame().await, (0x82, b"next".to_vec()));
    }
}
