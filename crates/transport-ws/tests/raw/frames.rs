//! After the upgrade: misuse of the frames.

use super::{Echo, masked, request};
use darkchat_transport_ws::Ws;
use std::io::ErrorKind;

#[tokio::test]
async fn b2_an_unmasked_frame_closes_with_1002() {
    let mut echo = Echo::start(Ws::default()).await;
    let mut raw = echo.upgraded().await;
    raw.say(b"\x82\x05hello").await;
    assert_eq!(raw.close_code().await, 1002);
    assert_eq!(echo.end().await, Some(ErrorKind::InvalidData));
}

#[tokio::test]
async fn b3_a_million_fragments_close_with_1009() {
    let mut echo = Echo::start(Ws::default()).await;
    for payload in [&b""[..], b"x"] {
        let mut raw = echo.upgraded().await;
        raw.say(masked(0x02, payload)).await;
        let many = masked(0x00, payload).repeat(10_000);
        for _ in 0..100 {
            raw.say(&many).await;
        }
        assert_eq!(raw.close_code().await, 1009);
        assert_eq!(echo.end().await, Some(ErrorKind::InvalidData));
    }
}

#[tokio::test]
async fn b4_absurd_lengths_close_with_1009() {
    let echo = Echo::start(Ws::default()).await;
    for len in [u64::MAX, 1 << 63, (1 << 63) - 1, 65_536] {
        let mut raw = echo.upgraded().await;
        raw.say([&[0x82, 0xff][..], &len.to_be_bytes(), b"mask", b"some of it"].concat()).await;
        assert_eq!(raw.close_code().await, 1009, "{len}");
    }
}

#[tokio::test]
async fn b5_compression_is_not_negotiated_and_its_bit_closes_with_1002() {
    let echo = Echo::start(Ws::default()).await;
    let mut raw = echo.call().await;
    raw.say(request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 ") && !head.to_lowercase().contains("extensions"), "{head}");
    raw.say(masked(0xc2, b"\xca\x48\xcd\xc9\xc9\x07\x00")).await;
    assert_eq!(raw.close_code().await, 1002);
}

#[tokio::test]
async fn b8_pings_without_end_are_closed_and_wait_nowhere() {
    let mut echo = Echo::start(Ws::default()).await;
    let mut raw = echo.upgraded().await;
    let pings = masked(0x89, &[b'p'; 125]).repeat(1_000);
    // Nothing is read, so that pongs could only pile up.
    while echo.ends.is_empty() {
        raw.say(&pings).await;
    }
    assert_eq!(echo.end().await, Some(ErrorKind::InvalidData));
}

#[tokio::test]
async fn b8_a_modest_ping_is_answered_with_its_bytes() {
    let echo = Echo::start(Ws::default()).await;
    let mut raw = echo.upgraded().await;
    for len in [0, 1, 125] {
        raw.say(masked(0x89, &vec![b'p'; len])).await;
        assert_eq!(raw.frame().await, (0x8a, vec![b'p'; len]));
    }
    raw.say(masked(0x8a, b"unasked")).await;
    raw.say(masked(0x82, b"unit")).await;
    assert_eq!(raw.frame().await, (0x82, b"unit".to_vec()));
}

#[tokio::test]
async fn every_ping_is_answered_and_before_what_follows_it() {
    let echo = Echo::start(Ws::default()).await;
    let mut raw = echo.upgraded().await;
    let frames = [
        masked(0x02, b"one "),
        masked(0x89, b"first"),
        masked(0x00, b"mess"),
        masked(0x89, b"second"),
        masked(0x80, b"age"),
    ];
    raw.say(frames.concat()).await;
    assert_eq!(raw.frame().await, (0x8a, b"first".to_vec()));
    assert_eq!(raw.frame().await, (0x8a, b"second".to_vec()));
    assert_eq!(raw.frame().await, (0x82, b"one message".to_vec()));
}

#[tokio::test]
async fn b9_misuse_is_told_once_with_its_code() {
    let mut echo = Echo::start(Ws::default()).await;
    let cases: [(&[u8], u16); 7] = [
        (&masked(0x81, b"text"), 1003),
        (&masked(0x88, &1005_u16.to_be_bytes()), 1002),
        (&masked(0x88, &999_u16.to_be_bytes()), 1002),
        (&masked(0x88, b"x"), 1002),
        (&masked(0x89, &[0; 126]), 1002),
        (&masked(0x80, b""), 1002),
        (&masked(0x83, b""), 1002),
    ];
    for (misuse, code) in cases {
        let mut raw = echo.upgraded().await;
        raw.say([misuse, &masked(0x82, b"more"), misuse, &masked(0x89, b"ping")].concat()).await;
        assert_eq!(raw.close_code().await, code, "{misuse:x?}");
        assert_eq!(echo.end().await, Some(ErrorKind::InvalidData));
    }
}

#[tokio::test]
async fn b9_a_close_is_answered_with_its_code_and_what_follows_is_not() {
    let mut echo = Echo::start(Ws::default()).await;
    for (code, end) in [(1000_u16, None), (1001, None), (4000, Some(ErrorKind::ConnectionAborted))] {
        let mut raw = echo.upgraded().await;
        let close = masked(0x88, &[&code.to_be_bytes()[..], b"bye"].concat());
        raw.say([close.clone(), masked(0x82, b"late"), masked(0x89, b"late"), close].concat()).await;
        assert_eq!(raw.close_code().await, code);
        assert_eq!(echo.end().await, end);
    }
    let mut raw = echo.upgraded().await;
    raw.say(masked(0x88, b"")).await;
    assert_eq!(raw.frame().await, (0x88, vec![]));
    assert_eq!(raw.rest().await, b"");
    assert_eq!(echo.end().await, None);
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_an_error() {
    let mut echo = Echo::start(Ws::default()).await;
    let mut raw = echo.upgraded().await;
    raw.say(b"\x82").await;
    drop(raw);
    assert_eq!(echo.end().await, Some(ErrorKind::UnexpectedEof));
}
