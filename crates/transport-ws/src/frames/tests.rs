//! Frames by hand, as a client would and as it must not send them.

use super::*;
use std::pin::Pin;
use std::task::{Context, Waker};

/// A frame with a mask of zeros, which leaves its payload readable.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// All that a server makes of these bytes.
fn take_all(bytes: &[u8]) -> (Vec<Came>, Result<(), Violation>) {
    let (mut frames, mut arrived, mut came) = (Frames::new(Side::Server), Arrived::from(bytes), Vec::new());
    loop {
        match frames.next(&mut arrived, Instant::now) {
            Ok(Some(one)) => came.push(one),
            Ok(None) => return (came, Ok(())),
            Err(violation) => return (came, Err(violation)),
        }
    }
}

fn code_of(bytes: &[u8]) -> Option<u16> {
    take_all(bytes).1.err().map(|violation| violation.code.into())
}

#[test]
fn messages_pass_whole_and_in_fragments_with_pings_between() {
    let bytes = [
        frame(0x82, b"whole"),
        frame(0x02, b"fr"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, b"agments"),
        frame(0x82, b""),
        frame(0x8a, b"late pong"),
    ];
    let (came, end) = take_all(&bytes.concat());
    let unit = |text: &'static [u8]| Came::Unit(Bytes::from_static(text));
    let ping = Came::Ping(Bytes::from_static(b"ping"));
    assert_eq!(came, [unit(b"whole"), ping, unit(b"fragments"), unit(b""), Came::Pong]);
    assert_eq!(end, Ok(()));
}

#[test]
fn nothing_comes_of_half_a_frame() {
    let whole = frame(0x82, &[7; 300]);
    for len in 0..whole.len() {
        assert_eq!(take_all(&whole[..len]), (vec![], Ok(())), "{len} bytes");
    }
}

#[test]
fn the_same_comes_however_the_bytes_are_cut() {
    let bytes = [
        frame(0x02, &[1; 200]),
        frame(0x89, b"ping"),
        frame(0x80, &[2; 70]),
        frame(0x82, b""),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    let whole = take_all(&bytes);
    for size in 1..50 {
        let (mut frames, mut arrived, mut came) = (Frames::new(Side::Server), Arrived::default(), Vec::new());
        for mut piece in bytes.chunks(size) {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(arrived.poll_read(&mut cx, Pin::new(&mut piece)).is_ready());
            while let Some(one) = frames.next(&mut arrived, Instant::now).unwrap() {
                came.push(one);
            }
        }
        assert_eq!(came, whole.0, "pieces of {size} bytes");
    }
}

#[test]
fn no_bytes_are_a_surprise() {
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let noise: Vec<u8> = (0..40)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        // Most noise is a violation at once; a likely first byte gets further.
        let further = [&[0x82, 0x80 | (noise[0] & 0x0f)], &noise[1..]].concat();
        assert!(take_all(&noise).0.len() + take_all(&further).0.len() < 20);
    }
}

#[test]
fn masks_apply_from_the_first_byte_at_any_length() {
    for len in 0..40 {
        let mut bytes: Vec<_> = (0..len).collect();
        apply_mask(&mut bytes, [1, 2, 3, 4]);
        let expected: Vec<_> = (0..len).map(|at| at ^ (at % 4 + 1)).collect();
        assert_eq!(bytes, expected);
    }
}

#[test]
fn b2_an_unmasked_client_and_a_masking_server_are_violations() {
    assert_eq!(code_of(b"\x82\x01x"), Some(1002));
    let mut client = Frames::new(Side::Client);
    let masked = client.next(&mut Arrived::from(&frame(0x82, b"x")[..]), Instant::now);
    assert_eq!(masked.map_err(|violation| violation.code), Err(CloseCode::Protocol));
}

#[test]
fn b3_a_message_has_at_most_1024_fragments() {
    for len in [0, 1] {
        let payload = vec![b'x'; len];
        let mut most = frame(0x02, &payload);
        most.extend(frame(0x00, &payload).repeat(FRAGMENTS_MAX as usize - 2));
        let allowed = [most.clone(), frame(0x80, &payload)].concat();
        assert_eq!(take_all(&allowed).0, [Came::Unit(vec![b'x'; len * FRAGMENTS_MAX as usize].into())]);
        let more = [most, frame(0x00, &payload), frame(0x00, &payload)].concat();
        assert_eq!(code_of(&more), Some(1009));
    }
}

#[test]
fn b3_fragments_together_keep_to_the_limit_of_a_message() {
    let most = [frame(0x02, &[0; 65_000]), frame(0x80, &[0; 535])].concat();
    assert!(matches!(&take_all(&most).0[..], [Came::Unit(unit)] if unit.len() == MAX_UNIT));
    assert_eq!(code_of(&[frame(0x02, &[0; 65_000]), frame(0x80, &[0; 536])].concat()), Some(1009));
}

#[test]
fn b4_absurd_lengths_are_refused_from_the_header_alone() {
    for len in [u64::MAX, 1 << 63, (1 << 63) - 1, 65_536] {
        let header = [&[0x82, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(code_of(&header), Some(1009), "{len}");
    }
}

#[test]
fn b5_reserved_bits_and_opcodes_are_violations() {
    for first in [0xc2, 0xa2, 0x92, 0xc1, 0xc9, 0x83, 0x87, 0x8b, 0x8f] {
        assert_eq!(code_of(&frame(first, b"x")), Some(1002), "{first:x}");
    }
}

#[test]
fn b8_pings_are_counted_and_time_pays_for_them() {
    let start = Instant::now();
    let mut frames = Frames::new(Side::Server);
    for _ in 0..CONTROLS_BURST {
        assert_eq!(frames.pay(start), Ok(()));
    }
    assert_eq!(frames.pay(start).map_err(|violation| violation.code), Err(CloseCode::Policy));
    assert_eq!(frames.pay(start + CONTROL_EVERY), Ok(()));
    assert!(frames.pay(start + CONTROL_EVERY).is_err());
}

#[test]
fn b9_each_misuse_has_its_close_code() {
    let close = |payload: &[u8]| frame(0x88, payload);
    let cases = [
        (frame(0x81, b"text"), 1003),
        (frame(0x01, b"text"), 1003),
        (frame(0x89, &[0; 126]), 1002),
        (frame(0x09, b"fragmented"), 1002),
        (frame(0x80, b"nothing to continue"), 1002),
        ([frame(0x02, b"begun"), frame(0x82, b"another")].concat(), 1002),
        (close(b"\x03"), 1002),
        (close(&999_u16.to_be_bytes()), 1002),
        (close(&1005_u16.to_be_bytes()), 1002),
        (close(&1006_u16.to_be_bytes()), 1002),
        (close(&1015_u16.to_be_bytes()), 1002),
        (close(&5000_u16.to_be_bytes()), 1002),
        (close(b"\x03\xe8\xff\xfe"), 1007),
    ];
    for (bytes, code) in cases {
        assert_eq!(code_of(&bytes), Some(code), "{bytes:x?}");
    }
    for (payload, code) in [
        (&b""[..], None),
        (b"\x03\xe8bye", Some(CloseCode::Normal)),
        (b"\x0f\xa0", Some(CloseCode::Library(4000))),
    ] {
        assert_eq!(take_all(&close(payload)), (vec![Came::Close(code)], Ok(())));
    }
}
