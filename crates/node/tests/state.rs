//! What a server holds of a thousand others with a hundred channels each, counted by the allocator. In a binary of its
//! own, because it counts what the whole process allocates.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its input has failed")]

use bytes::Bytes;
use darkchat_crypto::{Authenticated, Verified};
use darkchat_node::{Accept, Config, Input, LinkId, Node, Output, Received};
use darkchat_proto::{
    ChannelId, DeviceId, Features, Frame, InterestShard, Kind, RecordFlags, Role, RouterId, ServerAddr,
    ServerId, ServerRecord, Signature, Signed, Tag, Time, Welcome,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const SERVERS: u16 = 1_000;
const CHANNELS: u16 = 100;
/// What all of it may take, in bytes.
const MAX_STATE: usize = 16 << 20;
/// Eight tags a shard on average, as 9.4 has it for a hundred.
const BITS: u32 = 4;

fn server(number: u16) -> ServerId {
    let mut key = [9; 32];
    // Spread, as keys are: the id is a hash in reality.
    key[..8].copy_from_slice(&u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    ServerId::new(key)
}

fn router(number: u16) -> RouterId {
    server(number % SERVERS).router()
}

fn signed(body: Bytes) -> Bytes {
    Signed { body, sig: Signature::new([1; 64]) }.encode()
}

/// Carries out what a node wants, without keeping it.
fn settle(node: &mut Node, now: Time) {
    while let Some(output) = node.poll() {
        match output {
            Output::Sign { sign, .. } => {
                node.handle(now, Input::Signed { sign, signature: Signature::new([1; 64]) });
            }
            Output::Send { links, frames, .. } => {
                for link in links.iter() {
                    node.handle(now, Input::Flushed { link: *link, bytes: frames.bytes() });
                }
            }
            _ => {}
        }
    }
}

fn hear(node: &mut Node, now: Time, link: LinkId, frame: Received) {
    node.handle(now, Input::Frame { link, frame });
    settle(node, now);
}

/// A peer that the operator named: its budget lets everything through at once.
fn named_peer(node: &mut Node, now: Time) -> LinkId {
    let addr: ServerAddr = "tcp://192.0.2.1:30303".parse().unwrap();
    node.handle(now, Input::Peer(addr.clone()));
    let dial = std::iter::from_fn(|| node.poll()).find_map(|output| match output {
        Output::Dial { dial, .. } => Some(dial),
        _ => None,
    });
    let (link, peer) =
        (LinkId(1), Authenticated::unchecked(*server(1).as_bytes(), Role::Peer, None, Features::DONE));
    let (remote, observed) = (addr.addr, [192, 0, 2, 1].into());
    assert!(dial.is_some());
    node.handle(now, Input::Opened { link, dial, accept: Accept::All, peer, remote, observed, resume: None });
    hear(node, now, link, Received::Other(Frame::from(Kind::Welcome(Welcome::default()))));
    link
}

fn join(node: &mut Node, now: Time) {
    let peer = Authenticated::unchecked([5; 32], Role::Client, Some(DeviceId::new([5; 16])), Features::NONE);
    let (link, remote) = (LinkId(2), "mem://ann".parse().unwrap());
    let observed = [127, 0, 0, 1].into();
    node.handle(
        now,
        Input::Opened { link, dial: None, accept: Accept::All, peer, remote, observed, resume: None },
    );
    let channels = (0..CHANNELS)
        .map(|number| {
            let mut id = [3; 32];
            id[..2].copy_from_slice(&number.to_be_bytes());
            ChannelId::new(id)
        })
        .collect();
    hear(node, now, link, Received::Other(Frame::asking(1, Kind::Join { channels, wait_spread: false })));
}

/// The tags of a server: numbers that look like hashes, in ascending order.
fn tags(number: u16) -> Vec<Tag> {
    let mut state = u64::from(number) + 1;
    let mut tags: Vec<Tag> = (0..CHANNELS)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Tag(state ^ (state >> 29))
        })
        .collect();
    tags.sort_unstable();
    tags
}

#[test]
fn a_thousand_servers_with_a_hundred_channels_each_take_less_than_sixteen_mebibytes() {
    let now = Time::from_millis(1_000);
    let before = MEMORY.current_usage();
    let mut node = Node::new(server(0), Config::default(), [1; 32]);
    node.handle(now, Input::Wall { unix_ms: 1_800_000_000_000 });
    settle(&mut node, now);
    let link = named_peer(&mut node, now);
    for number in 1..SERVERS {
        let record = ServerRecord {
            server: server(number),
            epoch: 1,
            seq: 1,
            issued_ms: 1_800_000_000_000,
            addrs: Vec::new(),
            flags: RecordFlags::TRANSIT,
            // Eight neighbours, as everywhere, and so that both name each other.
            neighbours: [1, 7, 50, 200]
                .iter()
                .flat_map(|step| [router(number + step), router(number + SERVERS - step)])
                .collect(),
            version: 1,
            features: Features::DONE,
        };
        let bytes = signed(record.encode());
        let record = Verified::unchecked(record).shared();
        hear(&mut node, now, link, Received::Record { record, signed: bytes });
        let tags = tags(number);
        for shard in 0..1 << BITS {
            let tags =
                tags.iter().copied().filter(|tag| InterestShard::of_tag(*tag, BITS) == shard).collect();
            let seq = u64::from(shard) + 1;
            let shard = InterestShard { server: server(number), epoch: 1, seq, bits: BITS, shard, tags };
            let bytes = signed(shard.encode());
            let shard = Verified::unchecked(shard);
            hear(&mut node, now, link, Received::Shard { shard, signed: bytes });
        }
    }
    join(&mut node, now);
    while let Some(next) = node.poll_timeout().filter(|next| *next < Time::from_millis(10_000)) {
        node.handle(next, Input::Timeout);
        settle(&mut node, next);
    }
    let state = MEMORY.current_usage() - before;
    let sizes = node.stats().sizes;
    // A shard without tags counts as one.
    assert!(
        sizes.servers == SERVERS.into() && sizes.tags >= usize::from(SERVERS) * usize::from(CHANNELS),
        "{sizes:?}"
    );
    println!("{state} bytes for {} servers and {} tags", sizes.servers, sizes.tags);
    assert!(state < MAX_STATE, "{state} bytes");
}
