//! Frames of every kind.

use super::{array, channel, code, device, gossip, ip, number, router, server, some_bytes, text, user};
use bytes::Bytes;
use darkchat_proto::limits::{MAX_ADDR_TEXT, MAX_ELSEWHERE, MAX_TEXT};
use darkchat_proto::{
    Class, DmDeliver, Done, Frame, Goodbye, Have, Kind, Notice, Refusal, Route, RouteHead, SendDm, SessionId,
    Want, Welcome,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A frame of any kind, known or not, with any of the fields around it.
pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![14 => from_client(), 16 => from_server(), 6 => from_anyone(), 18 => from_peer(), 1 => later()];
    (any::<u32>(), any::<u32>(), any::<bool>(), kind).prop_map(|(req, re, critical, kind)| Frame {
        req,
        re,
        critical,
        kind,
    })
}

fn payload() -> impl Strategy<Value = Bytes> {
    some_bytes(200)
}

fn from_client() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (vec(channel(), 0..5), any::<bool>())
            .prop_map(|(channels, wait_spread)| Kind::Join { channels, wait_spread }),
        vec(channel(), 0..5).prop_map(|channels| Kind::Leave { channels }),
        payload().prop_map(|deliver| Kind::Publish { deliver }),
        payload().prop_map(|bundle| Kind::SetBundle { bundle }),
        user().prop_map(|user| Kind::Lookup { user }),
        (user(), device(), server(), payload(), any::<u32>()).prop_map(
            |(user, device, server, packet, attempt)| {
                Kind::SendDm(SendDm { user, device, server, packet, attempt })
            }
        ),
        (number(), code()).prop_map(|(delivery, code)| Kind::DmReject { delivery, code }),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    (
        option::of(array::<16>().prop_map(SessionId::new)),
        option::of(array::<16>()),
        any::<u32>(),
        option::of(ip()),
        any::<bool>(),
        number(),
    )
        .prop_map(|(session, resume_token, resume_ms, observed_ip, resumed, received)| Welcome {
            session,
            resume_token,
            resume_ms,
            observed_ip,
            resumed,
            received,
        })
}

fn notice() -> impl Strategy<Value = Notice> {
    prop_oneof![
        (channel(), number()).prop_map(|(channel, count)| Notice::Dropped { channel, count }),
        Just(Notice::Draining),
        text(MAX_TEXT).prop_map(Notice::Text),
        prop_oneof![4..i32::MAX, i32::MIN..0].prop_map(Notice::Unknown),
    ]
}

fn from_server() -> impl Strategy<Value = Kind> {
    prop_oneof![
        welcome().prop_map(Kind::Welcome),
        (any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(local, servers, spread)| Kind::Ok(Done {
            local,
            servers,
            spread
        })),
        (code(), text(MAX_TEXT), any::<u32>()).prop_map(|(code, text, retry_ms)| Kind::Error(Refusal {
            code,
            text,
            retry_ms
        })),
        payload().prop_map(Kind::Deliver),
        (user(), device(), payload(), number()).prop_map(|(user, device, packet, delivery)| {
            Kind::Dm(DmDeliver { user, device, packet, delivery })
        }),
        (vec(some_bytes(40), 0..4), any::<bool>())
            .prop_map(|(bundles, complete)| Kind::Found { bundles, complete }),
        code().prop_map(Kind::DmStatus),
        notice().prop_map(Kind::Notice),
    ]
}

fn from_anyone() -> impl Strategy<Value = Kind> {
    let elsewhere = vec(text(MAX_ADDR_TEXT), 0..=MAX_ELSEWHERE);
    let goodbye = (code(), text(MAX_TEXT), any::<u32>(), elsewhere)
        .prop_map(|(code, text, retry_ms, elsewhere)| Goodbye { code, text, retry_ms, elsewhere });
    prop_oneof![
        (number(), number()).prop_map(|(nonce, acked)| Kind::Ping { nonce, acked }),
        (number(), number()).prop_map(|(nonce, acked)| Kind::Pong { nonce, acked }),
        goodbye.prop_map(Kind::Goodbye),
    ]
}

fn route() -> impl Strategy<Value = Route> {
    let class = prop_oneof![
        Just(Class::Channel),
        Just(Class::Dm),
        Just(Class::LookupReq),
        Just(Class::LookupRep),
        Just(Class::DmStatus),
        Just(Class::Shard),
        Just(Class::Trace),
        Just(Class::TraceRep)
    ];
    let head = (router(), number(), any::<u32>(), vec(router(), 0..6), class, any::<bool>(), number());
    (head, payload()).prop_map(|((origin, id, ttl, dst, class, want_done, corr), payload)| Route {
        head: RouteHead { origin, id, ttl, dst, class, want_done, corr },
        payload,
    })
}

fn from_peer() -> impl Strategy<Value = Kind> {
    let have = (router(), number(), number(), number()).prop_map(|(router, epoch, seq, shards)| Have {
        router,
        epoch,
        seq,
        shards,
    });
    let want = (router(), any::<bool>(), any::<bool>()).prop_map(|(router, record, shards)| Want {
        router,
        record,
        shards,
    });
    prop_oneof![
        (vec(have, 0..4), any::<bool>()).prop_map(|(known, more)| Kind::Digest { known, more }),
        vec(want, 0..4).prop_map(|want| Kind::Pull { want }),
        payload().prop_map(Kind::Record),
        payload().prop_map(Kind::Shard),
        route().prop_map(Kind::Route),
        number().prop_map(|received| Kind::LinkAck { received }),
        (router(), number()).prop_map(|(origin, id)| Kind::RouteDone { origin, id }),
        (option::of(gossip()), any::<bool>())
            .prop_map(|(addr, reachable)| Kind::DialBack { addr, reachable }),
        any::<u32>().prop_map(|seconds| Kind::Complaint { seconds }),
    ]
}

/// Kinds that this version does not know: the gaps in its numbers, and all above.
fn later() -> impl Strategy<Value = Kind> {
    prop_oneof![17..20_u32, 28..30_u32, 33..40_u32, 49..1_u32 << 29].prop_map(Kind::Unknown)
}
