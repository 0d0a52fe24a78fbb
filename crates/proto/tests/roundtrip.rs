//! What is written can be read again, and what cannot be read does no harm.

mod generate;

use bytes::{Bytes, BytesMut};
use darkchat_proto::{
    Addr, Auth, Bundle, ChannelName, Content, DecodeError, Deliver, DmContent, Frame, FrameStream, GroupBody,
    GroupControl, Hello, HelloReply, InitPayload, InterestShard, Invite, Kind, Packet, Post, Rekey,
    RespPayload, Route, SelfCopy, ServerAddr, ServerRecord, Signed, Traced, UserName, is_invisible, pad,
    put_prefix,
};
use generate::{
    auth, bundle, deliver, dm_content, frame, group_body, group_control, hello, hello_reply, init_payload,
    invite, packet, post, record, rekey, resp_payload, self_copy, shard, signed, traced,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngAlgorithm;
use unicode_normalization::UnicodeNormalization as _;

/// A run of frames as it stands in the records of a link.
fn run_of(frames: &[Frame]) -> Bytes {
    let mut run = BytesMut::new();
    for frame in frames {
        let (head, body) = frame.encode_split();
        run.extend_from_slice(&head);
        run.extend_from_slice(&body);
    }
    run.freeze()
}

/// Everything that a stream says about `run` when it comes in the pieces between `cuts`.
fn events(run: &Bytes, cuts: &[usize]) -> Vec<Result<Bytes, DecodeError>> {
    let mut borders: Vec<usize> = cuts.to_vec();
    borders.extend([0, run.len()]);
    borders.sort_unstable();
    let mut stream = FrameStream::default();
    let mut events = Vec::new();
    for pair in borders.windows(2) {
        stream.push(run.slice(pair[0]..pair[1]));
        loop {
            match stream.next_frame() {
                Ok(Some(frame)) => events.push(Ok(frame)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(stream.next_frame(), Err(error.clone()), "asked again, it says the same");
                    events.push(Err(error));
                    return events;
                }
            }
        }
    }
    events
}

/// Gives `bytes` to every decoder. What one takes must come back from its own encoding.
fn give_to_all(bytes: &Bytes) {
    macro_rules! check {
        ($($decoder:ty),*) => {$(
            if let Ok(value) = <$decoder>::decode(bytes.clone()) {
                let again = <$decoder>::decode(Bytes::from(value.encode()));
                assert_eq!(again.as_ref(), Ok(&value), "{}", stringify!($decoder));
            }
        )*};
    }
    check!(
        Frame,
        Signed,
        Deliver,
        Post,
        ServerRecord,
        InterestShard,
        Bundle,
        Traced,
        Hello,
        HelloReply,
        Auth,
        GroupBody,
        InitPayload,
        RespPayload,
        DmContent,
        SelfCopy,
        Invite,
        Rekey,
        GroupControl,
        Packet
    );
}

/// Every prefix of `valid`, and every copy with one byte changed in one of four ways.
fn give_mutants_to_all(valid: &Bytes) {
    for len in 0..valid.len() {
        give_to_all(&valid.slice(..len));
    }
    for at in 0..valid.len() {
        for flip in [0x01, 0x08, 0x80, 0xFF] {
            let mut mutant = valid.to_vec();
            mutant[at] ^= flip;
            give_to_all(&mutant.into());
        }
    }
}

fn shares(part: &Bytes, whole: &Bytes) -> bool {
    part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr())
}

/// So many cases, or as many as `PROPTEST_CASES` asks for: 100,000 is the count before a release.
fn cases(count: u32) -> ProptestConfig {
    let config = ProptestConfig {
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    };
    let is_asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_asked { config.cases } else { count }, ..config }
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn a13_frames_come_back_and_encode_to_the_same_bytes(frame in frame()) {
        let bytes = frame.encode();
        prop_assert_eq!(frame.encode(), bytes.clone());
        prop_assert_eq!(Frame::decode(bytes), Ok(frame));
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_frame_in_two_parts_is_its_prefix_and_its_encoding(frame in frame()) {
        let (head, body) = frame.encode_split();
        let whole = frame.encode();
        let mut expected = BytesMut::new();
        put_prefix(whole.len(), &mut expected);
        expected.extend_from_slice(&whole);
        prop_assert_eq!([head, body].concat(), expected);
    }

    #[test]
    fn a_route_in_two_parts_comes_back_without_a_copy(frame in frame()) {
        let (head, body) = Frame::from(frame.kind.clone()).encode_split();
        let again = Route::of_split(&head, body.clone());
        prop_assert!(again.as_ref().is_none_or(|route| route.payload.as_ptr() == body.as_ptr()));
        prop_assert_eq!(again, if let Kind::Route(route) = frame.kind { Some(route) } else { None });
    }

    #[test]
    fn a13_bodies_come_back_and_encode_to_the_same_bytes(
        (signed, deliver, post) in (signed(), deliver(), post()),
        (record, shard, bundle, traced) in (record(), shard(), bundle(), traced()),
    ) {
        prop_assert_eq!(signed.encode(), signed.encode());
        prop_assert_eq!(Signed::decode(signed.encode()), Ok(signed));
        prop_assert_eq!(deliver.encode(), deliver.encode());
        prop_assert_eq!(Deliver::decode(deliver.encode()), Ok(deliver));
        prop_assert_eq!(post.encode(), post.encode());
        prop_assert_eq!(Post::decode(post.encode()), Ok(post));
        prop_assert_eq!(record.encode(), record.encode());
        prop_assert_eq!(ServerRecord::decode(record.encode()), Ok(record));
        prop_assert_eq!(shard.encode(), shard.encode());
        prop_assert_eq!(InterestShard::decode(shard.encode()), Ok(shard));
        prop_assert_eq!(bundle.encode(), bundle.encode());
        prop_assert_eq!(Bundle::decode(bundle.encode()), Ok(bundle));
        prop_assert_eq!(traced.encode(), traced.encode());
        prop_assert_eq!(Traced::decode(traced.encode()), Ok(traced));
    }

    #[test]
    fn a13_what_is_inside_seals_comes_back_and_encodes_to_the_same_bytes(
        (content, copy, body) in (dm_content(), self_copy(), group_body()),
        (init, resp, packet) in (init_payload(), resp_payload(), packet()),
        (invite, rekey, control) in (invite(), rekey(), group_control()),
    ) {
        prop_assert_eq!(content.encode(), content.encode());
        prop_assert_eq!(DmContent::decode_padded(content.encode_padded()), Ok(content.clone()));
        prop_assert_eq!(DmContent::decode(content.encode()), Ok(content));
        prop_assert_eq!(SelfCopy::decode(copy.encode()), Ok(copy));
        prop_assert_eq!(body.encode(), body.encode());
        prop_assert_eq!(GroupBody::decode(body.encode()), Ok(body));
        prop_assert_eq!(InitPayload::decode(init.encode()), Ok(init));
        prop_assert_eq!(RespPayload::decode(resp.encode()), Ok(resp));
        prop_assert_eq!(Packet::decode(packet.encode()), Ok(packet));
        prop_assert_eq!(invite.to_text().parse::<Invite>(), Ok(invite.clone()));
        prop_assert_eq!(Invite::decode(invite.encode()), Ok(invite));
        prop_assert_eq!(Rekey::decode(rekey.encode()), Ok(rekey));
        prop_assert_eq!(GroupControl::decode(control.encode()), Ok(control));
    }

    #[test]
    fn padding_is_taken_off_only_as_it_was_put_on(bytes in vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..300)) {
        let padded = pad::pad(&bytes);
        prop_assert_eq!(pad::unpad(&padded), Some(bytes.as_slice()));
        if let Some(content) = pad::unpad(&bytes) {
            prop_assert_eq!(pad::pad(content), bytes);
        }
    }

    #[test]
    fn a13_payloads_of_the_handshake_come_back(
        hello in hello(), reply in hello_reply(), auth in auth(),
    ) {
        prop_assert_eq!(hello.encode(), hello.encode());
        prop_assert_eq!(Hello::decode(hello.encode().into()), Ok(hello));
        prop_assert_eq!(reply.encode(), reply.encode());
        prop_assert_eq!(HelloReply::decode(reply.encode().into()), Ok(reply));
        prop_assert_eq!(auth.encode(), auth.encode());
        prop_assert_eq!(Auth::decode(auth.encode().into()), Ok(auth));
    }

    #[test]
    fn a3_a_session_gives_the_same_frames_however_it_is_cut(
        frames in vec(frame(), 1..6),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let run = run_of(&frames);
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(run.len() + 1)).collect();
        let came: Vec<Frame> =
            events(&run, &cuts).into_iter().map(|event| Frame::decode(event.unwrap()).unwrap()).collect();
        prop_assert_eq!(came, frames);
    }

    #[test]
    fn a3_any_bytes_give_the_same_events_however_they_are_cut(
        run in vec(prop_oneof![3 => 0..6_u8, 1 => any::<u8>()], 0..120),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let run = Bytes::from(run);
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(run.len() + 1)).collect();
        prop_assert_eq!(events(&run, &cuts), events(&run, &[]));
    }

    #[test]
    fn payloads_share_the_buffer_of_the_frame(frame in frame()) {
        let bytes = frame.encode();
        let parts = match Frame::decode(bytes.clone()).unwrap().kind {
            Kind::Publish { deliver: part } | Kind::SetBundle { bundle: part } => vec![part],
            Kind::Deliver(part) | Kind::Record(part) | Kind::Shard(part) => vec![part],
            Kind::SendDm(dm) => vec![dm.packet],
            Kind::Dm(dm) => vec![dm.packet],
            Kind::Route(route) => vec![route.payload],
            Kind::Found { bundles, .. } => bundles,
            _ => Vec::new(),
        };
        prop_assert!(parts.iter().all(|part| shares(part, &bytes)));
    }

    #[test]
    fn a_relayed_payload_goes_out_as_the_bytes_that_came(frame in frame()) {
        let body = frame.encode_split().1;
        match &frame.kind {
            Kind::Deliver(bytes) | Kind::Record(bytes) | Kind::Shard(bytes) => {
                prop_assert_eq!(body.as_ptr(), bytes.as_ptr());
            }
            Kind::Route(route) => prop_assert_eq!(body.as_ptr(), route.payload.as_ptr()),
            _ => prop_assert!(body.is_empty()),
        }
    }

    #[test]
    fn contents_share_the_buffer_of_the_post(post in post(), deliver in deliver()) {
        let bytes = post.encode();
        for entry in Post::decode(bytes.clone()).unwrap().entries {
            prop_assert!(shares(&entry.content, &bytes));
            prop_assert!(entry.headers.values().all(|value| shares(value, &bytes)));
        }
        let bytes = deliver.encode();
        match Deliver::decode(bytes.clone()).unwrap().content {
            Content::Public(signed) => prop_assert!(shares(&signed.body, &bytes)),
            Content::Sealed(sealed) => prop_assert!(shares(&sealed, &bytes)),
            _ => prop_assert!(false, "only two contents were generated"),
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300)) {
        give_to_all(&bytes.into());
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn no_prefix_of_a_frame_and_no_flipped_byte_makes_a_decoder_panic(frame in frame()) {
        give_mutants_to_all(&frame.encode());
    }
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn no_prefix_of_a_body_and_no_flipped_byte_makes_a_decoder_panic(
        (signed, deliver, post) in (signed(), deliver(), post()),
        (record, shard, bundle, traced) in (record(), shard(), bundle(), traced()),
        (hello, reply, auth) in (hello(), hello_reply(), auth()),
    ) {
        for valid in [signed.encode(), deliver.encode(), post.encode()] {
            give_mutants_to_all(&valid);
        }
        for valid in [record.encode(), shard.encode(), bundle.encode(), traced.encode()] {
            give_mutants_to_all(&valid);
        }
        for valid in [hello.encode(), reply.encode(), auth.encode()] {
            give_mutants_to_all(&valid.into());
        }
    }

    #[test]
    fn no_prefix_of_what_is_inside_seals_and_no_flipped_byte_makes_a_decoder_panic(
        (content, copy, body) in (dm_content(), self_copy(), group_body()),
        (init, packet, control) in (init_payload(), packet(), group_control()),
    ) {
        for valid in [content.encode(), copy.encode(), body.encode(), init.encode(), packet.encode(), control.encode()] {
            give_mutants_to_all(&valid);
        }
    }
}

fn is_clean(name: &str) -> bool {
    !name.chars().any(|character| character.is_control() || is_invisible(character))
}

/// Characters among which case, composition and invisible ones meet more often than by chance.
fn typed() -> impl Strategy<Value = String> {
    let odd = "#Σςσ İıŁ\u{30C}\u{301}\u{307}\u{327}ẞǅKÅΩ\u{200B}\u{200D}\u{202E}\u{FEFF}\u{85}\u{1F}𐐀ＡⅣⓐ"
        .chars()
        .collect::<Vec<char>>();
    let character =
        prop_oneof![proptest::sample::select(odd), any::<char>(), proptest::char::range('A', 'z')];
    vec(character, 0..24).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn a_channel_name_is_its_own_normal_form(typed in typed()) {
        let Ok(name) = typed.parse::<ChannelName>() else { return Ok(()) };
        prop_assert!(is_clean(name.as_str()) && !name.as_str().contains(char::is_whitespace));
        prop_assert!((1..=64).contains(&name.as_str().len()));
        // One `#` is taken off each time, so a name that itself begins with one is only stable with one before it.
        prop_assert_eq!(name.to_string().parse(), Ok(name.clone()));
        if !name.as_str().starts_with('#') {
            prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
        }
    }

    #[test]
    fn a_user_name_is_its_own_normal_form(typed in typed()) {
        let Ok(name) = typed.parse::<UserName>() else { return Ok(()) };
        prop_assert!(is_clean(name.as_str()) && name.as_str().len() <= 48);
        prop_assert_eq!(name.to_string().parse::<UserName>(), Ok(name));
    }

    #[test]
    fn an_address_text_is_its_own_normal_form(
        scheme in prop_oneof![Just(""), Just("tcp://"), Just("ws://"), Just("wss://"), Just("mem://"), Just("a+b://")],
        key in prop_oneof![Just(""), Just("sab2m2jnmrux4hfa3m7iq3qzavuokzd6xq4uowbbvcrgidjdl6ugyogl@")],
        host in prop_oneof![
            any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
            any::<[u8; 16]>().prop_map(|ip| format!("[{}]", std::net::Ipv6Addr::from(ip))),
            any::<[u8; 4]>().prop_map(|ip| format!("[::ffff:{}]", std::net::Ipv4Addr::from(ip))),
            "[A-Za-z0-9._-]{1,20}",
            any::<String>(),
        ],
        port in prop_oneof![Just(String::new()), any::<u32>().prop_map(|port| format!(":{}", port % 70_000))],
        path in prop_oneof![Just(""), Just("/"), Just("/ws"), Just("/x?y")],
    ) {
        let text = format!("{scheme}{key}{host}{port}{path}");
        let Ok(addr) = text.parse::<ServerAddr>() else { return Ok(()) };
        let normal = addr.to_string();
        prop_assert!(is_clean(&normal) && normal.is_ascii());
        prop_assert_eq!(normal.parse(), Ok(addr.clone()));
        prop_assert_eq!(addr.addr.to_string().parse(), Ok(addr.addr.clone()));
        let parts = Addr::new(addr.addr.scheme(), addr.addr.host(), addr.addr.port());
        if matches!(addr.addr.scheme(), "tcp" | "ws" | "wss") {
            prop_assert_eq!(parts.as_ref(), Ok(&addr.addr));
        }
    }
}

/// Whether lower case or composition makes something else of it.
fn changes(character: char) -> bool {
    !character.nfc().eq([character]) || !character.to_lowercase().eq([character])
}

#[test]
fn every_character_that_changes_at_all_changes_once() {
    let planes = ('\0'..'\u{20000}').chain('\u{2F800}'..'\u{2FA20}');
    let mut changing = 0;
    for character in planes.filter(|character| changes(*character)) {
        changing += 1;
        for typed in [
            String::from(character),
            format!("{character}\u{307}"),
            format!("x{character}"),
            format!("{character}x"),
        ] {
            let Ok(name) = typed.parse::<ChannelName>() else { continue };
            assert!(is_clean(name.as_str()), "{typed:?}");
            assert_eq!(name.to_string().parse(), Ok(name), "{typed:?}");
        }
    }
    assert!(changing > 2_000, "the tables hold upper case and compositions: {changing}");
}
