//! What frames carry, and the payloads of the handshake.

use super::{array, channel, device, features, gossip, number, router, server, some_bytes, text, user};
use bytes::Bytes;
use darkchat_proto::limits::{
    MAX_ADDR_TEXT, MAX_AGENT, MAX_CHANNEL_NAME, MAX_CONTENT_TYPE, MAX_NAME, MAX_SHARD_BITS, MAX_TEXT,
    MAX_TOKEN, SEALED_MIN,
};
use darkchat_proto::{
    Announced, Auth, Bundle, ChannelSecret, Content, ContentId, Deliver, DirectHead, DirectId, DmContent,
    DmKind, Entry, EntryKind, GroupBody, GroupControl, Hello, HelloReply, InitPayload, InitRef,
    InterestShard, Invite, KeyId, MessageId, Network, Packet, Post, PostId, RecordFlags, Rekey, RespPayload,
    Resume, Role, SelfCopy, ServerRecord, Signature, Signed, Tag, Traced,
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

pub(crate) fn group_body() -> impl Strategy<Value = GroupBody> {
    (user(), number(), text(MAX_NAME), number(), number(), vec(entry(), 1..6)).prop_map(
        |(author, time_ms, name, prev_stream, prev_seq, entries)| GroupBody {
            author,
            time_ms,
            name,
            prev_stream,
            prev_seq,
            entries,
        },
    )
}

pub(crate) fn init_payload() -> impl Strategy<Value = InitPayload> {
    (signed(), number(), features()).prop_map(|(bundle, time_ms, features)| InitPayload {
        bundle,
        time_ms,
        features,
    })
}

pub(crate) fn resp_payload() -> impl Strategy<Value = RespPayload> {
    (array::<32>(), features()).prop_map(|(ratchet, features)| RespPayload { ratchet, features })
}

fn dm_kind() -> impl Strategy<Value = DmKind> {
    prop_oneof![
        Just(DmKind::Text),
        Just(DmKind::Data),
        Just(DmKind::Ack),
        Just(DmKind::Confirm),
        Just(DmKind::Typing),
        Just(DmKind::Group),
        Just(DmKind::SelfCopy),
        prop_oneof![8..i32::MAX, i32::MIN..0].prop_map(DmKind::Unknown),
    ]
}

pub(crate) fn dm_content() -> impl Strategy<Value = DmContent> {
    let id = || array::<16>().prop_map(ContentId::new);
    let headers = btree_map(text(MAX_CONTENT_TYPE), some_bytes(20), 0..4);
    let texts = (text(MAX_CONTENT_TYPE), text(MAX_NAME));
    (id(), number(), dm_kind(), some_bytes(300), texts, vec(id(), 0..5), headers, option::of(id())).prop_map(
        |(id, time_ms, kind, body, (content_type, name), acks, headers, reply_to)| DmContent {
            id,
            time_ms,
            kind,
            body,
            content_type,
            name,
            acks,
            headers,
            reply_to,
        },
    )
}

pub(crate) fn self_copy() -> impl Strategy<Value = SelfCopy> {
    (user(), some_bytes(300)).prop_map(|(user, content)| SelfCopy { user, content })
}

pub(crate) fn invite() -> impl Strategy<Value = Invite> {
    let place = (channel(), any::<u32>(), any::<u32>(), number());
    let secret = array::<32>().prop_map(ChannelSecret::new);
    let servers = vec(text(MAX_ADDR_TEXT), 0..=4);
    (place, secret, vec(user(), 1..=8), servers, text(MAX_CHANNEL_NAME), option::of(array::<32>())).prop_map(
        |((channel, generation, step, start_ms), secret, admins, servers, name, members_hash)| Invite {
            network: Network::default(),
            channel,
            generation,
            step,
            secret,
            start_ms,
            admins,
            servers,
            name,
            members_hash,
        },
    )
}

pub(crate) fn rekey() -> impl Strategy<Value = Rekey> {
    (user(), channel(), invite(), vec(user(), 0..9), vec(user(), 0..9), text(MAX_TEXT)).prop_map(
        |(admin, old_channel, next, members, removed, reason)| Rekey {
            admin,
            old_channel,
            next,
            members,
            removed,
            reason,
        },
    )
}

pub(crate) fn group_control() -> impl Strategy<Value = GroupControl> {
    prop_oneof![
        signed().prop_map(GroupControl::Rekey),
        channel().prop_map(GroupControl::Ask),
        invite().prop_map(|invite| GroupControl::Invite(Box::new(invite))),
    ]
}

pub(crate) fn packet() -> impl Strategy<Value = Packet> {
    let head = (array::<8>(), array::<32>(), any::<u32>(), any::<u32>()).prop_map(
        |(session, dh, previous, number)| {
            let session = DirectId::new(session);
            DirectHead { session, dh, previous, number }
        },
    );
    prop_oneof![
        (array::<4>(), some_bytes(200)).prop_map(|(key, noise)| Packet::Init { key: KeyId::new(key), noise }),
        (array::<8>(), some_bytes(200))
            .prop_map(|(init, noise)| Packet::Resp { init: InitRef::new(init), noise }),
        (head, some_bytes(200)).prop_map(|(head, sealed)| Packet::Message { head, sealed }),
    ]
}
