//! What frames carry, and the payloads of the handshake.

use super::{array, channel, device, features, gossip, number, router, server, some_bytes, text, user};
use bytes::Bytes;
use darkchat_proto::limits::{MAX_AGENT, MAX_CONTENT_TYPE, MAX_NAME, MAX_SHARD_BITS, MAX_TOKEN, SEALED_MIN};
use darkchat_proto::{
    Announced, Auth, Bundle, Content, Deliver, Entry, EntryKind, Hello, HelloReply, InterestShard, MessageId,
    Post, PostId, RecordFlags, Resume, Role, ServerRecord, Signature, Signed, Tag, Traced,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn signature() -> impl Strategy<Value = Signature> {
    array::<64>().prop_map(Signature::new)
}

pub(crate) fn signed() -> impl Strategy<Value = Signed> {
    (some_bytes(300), signature()).prop_map(|(body, sig)| Signed { body, sig })
}

fn sealed() -> impl Strategy<Value = Bytes> {
    (1..=u64::MAX, 1..=u64::MAX, vec(any::<u8>(), SEALED_MIN - 16..400)).prop_map(|(stream, seq, rest)| {
        let (head, tail) = rest.split_at(8);
        [head, &stream.to_be_bytes(), &seq.to_be_bytes(), tail].concat().into()
    })
}

pub(crate) fn deliver() -> impl Strategy<Value = Deliver> {
    let content = prop_oneof![signed().prop_map(Content::Public), sealed().prop_map(Content::Sealed)];
    (channel(), content).prop_map(|(channel, content)| Deliver { channel, content })
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        Just(EntryKind::Text),
        Just(EntryKind::Data),
        Just(EntryKind::Here),
        Just(EntryKind::Part),
        Just(EntryKind::Moved),
        prop_oneof![6..i32::MAX, i32::MIN..0].prop_map(EntryKind::Unknown),
    ];
    let reply_to =
        (array::<16>(), any::<u8>()).prop_map(|(post, index)| MessageId { post: PostId::new(post), index });
    (
        kind,
        some_bytes(80),
        text(MAX_CONTENT_TYPE),
        btree_map(text(MAX_CONTENT_TYPE), some_bytes(20), 0..4),
        option::of(reply_to),
    )
        .prop_map(|(kind, content, content_type, headers, reply_to)| Entry {
            kind,
            content,
            content_type,
            headers,
            reply_to,
        })
}

pub(crate) fn post() -> impl Strategy<Value = Post> {
    let last_start = u64::MAX - 8;
    (user(), channel(), 1..=u64::MAX, 1..=last_start, number(), text(MAX_NAME), vec(entry(), 1..6)).prop_map(
        |(author, channel, stream, seq, time_ms, name, entries)| Post {
            author,
            channel,
            stream,
            seq,
            time_ms,
            name,
            entries,
        },
    )
}

pub(crate) fn record() -> impl Strategy<Value = ServerRecord> {
    let times = (number(), number(), number());
    let flags = any::<u32>().prop_map(RecordFlags::from_bits);
    (server(), times, vec(gossip(), 0..4), flags, vec(router(), 0..9), any::<u32>(), features()).prop_map(
        |(server, (epoch, seq, issued_ms), addrs, flags, neighbours, version, features)| ServerRecord {
            server,
            epoch,
            seq,
            issued_ms,
            addrs,
            flags,
            neighbours,
            version,
            features,
        },
    )
}

pub(crate) fn traced() -> impl Strategy<Value = Traced> {
    (router(), router(), any::<u32>(), any::<bool>()).prop_map(|(router, from, ttl, here)| Traced {
        router,
        from,
        ttl,
        here,
    })
}

pub(crate) fn shard() -> impl Strategy<Value = InterestShard> {
    (server(), number(), number(), 0..=MAX_SHARD_BITS, any::<u64>(), vec(any::<u64>(), 0..20)).prop_map(
        |(server, epoch, seq, bits, place, tags)| {
            // The top bits of every tag are those of `place`; the others are the tag's own.
            let low = u64::MAX.checked_shr(bits).unwrap_or(0);
            let mut tags: Vec<Tag> = tags.into_iter().map(|tag| Tag((place & !low) | (tag & low))).collect();
            tags.sort();
            tags.dedup();
            let shard = InterestShard::of_tag(Tag(place), bits);
            InterestShard { server, epoch, seq, bits, shard, tags }
        },
    )
}

pub(crate) fn bundle() -> impl Strategy<Value = Bundle> {
    (any::<u32>(), user(), device(), array::<32>(), number(), number(), server(), features()).prop_map(
        |(suite, user, device, dh, not_before_ms, not_after_ms, server, features)| Bundle {
            suite,
            user,
            device,
            dh,
            not_before_ms,
            not_after_ms,
            server,
            features,
        },
    )
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let role = prop_oneof![Just(Role::Client), Just(Role::Peer)];
    (vec(any::<u32>(), 0..=8), role, features()).prop_map(|(versions, role, features)| Hello {
        versions,
        role,
        features,
    })
}

fn announced() -> impl Strategy<Value = Announced> {
    (any::<[u32; 6]>(), number()).prop_map(
        |([max_payload, ping_ms, frames_per_s, bytes_per_s, posts_per_s, entries_per_s], time_ms)| {
            Announced { max_payload, ping_ms, time_ms, frames_per_s, bytes_per_s, posts_per_s, entries_per_s }
        },
    )
}

pub(crate) fn hello_reply() -> impl Strategy<Value = HelloReply> {
    let answer = prop_oneof![
        option::of(signature()).prop_map(|sig| (0, sig)),
        (1..=u32::MAX, signature()).prop_map(|(version, sig)| (version, Some(sig))),
    ];
    (answer, vec(any::<u32>(), 0..=8), features(), array::<32>(), announced()).prop_map(
        |((version, sig), versions, features, server, announced)| HelloReply {
            version,
            versions,
            features,
            server,
            sig,
            announced,
        },
    )
}

pub(crate) fn auth() -> impl Strategy<Value = Auth> {
    let resume = (array::<16>(), number()).prop_map(|(token, received)| Resume { token, received });
    (array::<32>(), signature(), option::of(device()), text(MAX_TOKEN), text(MAX_AGENT), option::of(resume))
        .prop_map(|(identity, sig, device, token, agent, resume)| Auth {
            identity,
            sig,
            device,
            token,
            agent,
            resume,
        })
}
