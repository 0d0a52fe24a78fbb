//! What holds under any input: the invariants of `docs/protocol.md`, section 11.5, over generated runs.
//!
//! The world itself asserts after every step that the accounting closes (13), that no output names a link that is
//! not open (8), that a send window holds, and that a deadline moves on (14).

use super::lookup::{bundle, claim, signed};
use super::objects::{record_of, shard_of};
use super::world::{Client, World, channel, deliver, ms, post, publish, secs, server, user};
use crate::{Accept, Check, Config, Input, LinkId, Received, Sizes, TraceId};
use bytes::Bytes;
use darkchat_crypto::Verified;
use darkchat_proto::{
    Carried, ChannelId, Class, Code, DeviceId, Digest16, DmDeliver, Frame, Goodbye, Have, Kind, Refusal,
    Resume, RouteHead, RouterId, SendDm, ServerId, Signature, Traced, Want,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The channels and servers that generated frames speak of.
const NAMES: [&str; 3] = ["lobby", "cellar", "attic"];
const STRANGERS: u8 = 4;

fn stranger(number: u8) -> ServerId {
    ServerId::new([0xE0 + number; 32])
}

fn any_channel() -> impl Strategy<Value = ChannelId> {
    (0..NAMES.len()).prop_map(|name| channel(NAMES[name]))
}

/// Servers that exist, the one under test among them, and one that does not.
fn any_server() -> impl Strategy<Value = ServerId> {
    (0..=STRANGERS + 1).prop_map(|number| if number > STRANGERS { server(0) } else { stranger(number) })
}

fn any_u64() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_u64, Just(u64::MAX), Just(super::world::WALL), any::<u64>()]
}

fn any_code() -> impl Strategy<Value = Code> {
    (0..23).prop_map(|number| Code::from_number(number).unwrap())
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let client = prop_oneof![
        (vec(any_channel(), 0..4), any::<bool>())
            .prop_map(|(channels, wait_spread)| Kind::Join { channels, wait_spread }),
        vec(any_channel(), 0..4).prop_map(|channels| Kind::Leave { channels }),
        (1..5_u8).prop_map(|number| Kind::Lookup { user: user(number) }),
        (1..5_u8, 1..3_u8, any_server(), 0..90_000_usize, 0..3_u32).prop_map(
            |(number, device, server, len, attempt)| {
                let (user, device) = (user(number), DeviceId::new([device; 16]));
                let packet = vec![u8::try_from(len % 4).unwrap(); len].into();
                Kind::SendDm(SendDm { user, device, server, packet, attempt })
            },
        ),
        (any_u64(), any_code()).prop_map(|(delivery, code)| Kind::DmReject { delivery, code }),
        any_u64().prop_map(|nonce| Kind::Ping { nonce, acked: nonce }),
        any_u64().prop_map(|nonce| Kind::Pong { nonce, acked: nonce }),
        (10..100_u32).prop_map(Kind::Unknown),
    ];
    let row = (any_server(), any_u64(), any_u64(), any_u64()).prop_map(|(id, epoch, seq, shards)| Have {
        router: id.router(),
        epoch,
        seq,
        shards,
    });
    let want = (any_server(), any::<bool>(), any::<bool>()).prop_map(|(id, record, shards)| Want {
        router: id.router(),
        record,
        shards,
    });
    let peer = prop_oneof![
        (vec(row, 0..6), any::<bool>()).prop_map(|(known, more)| Kind::Digest { known, more }),
        vec(want, 0..6).prop_map(|want| Kind::Pull { want }),
        (any_u64(), any_u64()).prop_map(|(origin, id)| Kind::RouteDone { origin: RouterId(origin), id }),
        any_u64().prop_map(|received| Kind::LinkAck { received }),
        any::<u32>().prop_map(|seconds| Kind::Complaint { seconds }),
        Just(Kind::Welcome(darkchat_proto::Welcome::default())),
    ];
    let rare = prop_oneof![
        any_code().prop_map(|code| Kind::Goodbye(Goodbye::new(code))),
        any_code().prop_map(|code| Kind::Error(Refusal { code, text: String::new(), retry_ms: 1 })),
        any_code().prop_map(Kind::DmStatus),
    ];
    prop_oneof![6 => client, 6 => peer, 1 => rare]
}

fn any_received() -> impl Strategy<Value = Received> {
    let said =
        (1..4_u8, any_channel(), 0..20_u64, any::<bool>()).prop_map(|(author, channel, seq, stale)| {
            let time_ms = if stale { 1 } else { super::world::WALL };
            publish(7, post(user(author), channel, seq, time_ms, &format!("{author} {seq}")))
        });
    let record = (any_server(), any_u64(), any_u64(), vec(any_server(), 0..6))
        .prop_map(|(id, epoch, seq, near)| record_of(id, epoch, seq, &near));
    let shard = (any_server(), any_u64(), any_u64(), vec(any_channel(), 0..4))
        .prop_map(|(id, epoch, seq, channels)| shard_of(id, epoch, seq, &channels));
    let claim = (any_server(), 1..4_u8).prop_map(|(id, number)| claim(id, number));
    let set = (1..4_u8, 1..3_u8, any::<bool>()).prop_map(|(number, device, is_here)| {
        let bundle = bundle(user(number), device, server(usize::from(!is_here)));
        let signed = signed(&bundle);
        Received::SetBundle { req: 4, bundle: Verified::unchecked(bundle), signed }
    });
    let class = prop_oneof![
        Just(Class::Channel),
        Just(Class::Dm),
        Just(Class::LookupReq),
        Just(Class::LookupRep),
        Just(Class::DmStatus),
        Just(Class::Shard),
        Just(Class::Trace),
        Just(Class::TraceRep),
    ];
    let check = (0..8).prop_map(|number| if number == 0 { Check::Bad } else { Check::NotChecked });
    let route = (class, any_u64(), 0..40_u32, vec(any_server(), 0..6), any::<bool>(), check, 0..20_u64)
        .prop_map(|(class, id, ttl, dst, want_done, check, seq)| {
            let dst = dst.iter().map(ServerId::router).collect();
            let head = RouteHead { origin: RouterId(id), id, ttl, dst, class, want_done, corr: id };
            let said = post(user(9), channel("lobby"), seq, super::world::WALL, "routed");
            let router = RouterId(id);
            let device = DeviceId::new([1; 16]);
            let bundles =
                (0..12_u8).map(|number| signed(&bundle(user(1 + number % 3), number, stranger(number % 4))));
            let payload = match class {
                Class::Dm if seq > 2 => {
                    let (user, packet) = (user(u8::try_from(seq % 4).unwrap()), deliver(&said));
                    Carried::Direct(DmDeliver { user, device, packet, delivery: seq % 2 }).encode()
                }
                Class::LookupReq if seq > 2 => Carried::Lookup(user(u8::try_from(seq % 4).unwrap())).encode(),
                Class::LookupRep if seq > 2 => {
                    Carried::Found { bundles: bundles.collect(), complete: true }.encode()
                }
                Class::DmStatus if seq > 2 => Carried::Status(Code::NoSession).encode(),
                Class::Trace if seq > 2 => Bytes::new(),
                Class::TraceRep if seq > 2 => Traced { router, from: router, ttl, here: want_done }.encode(),
                _ => deliver(&said),
            };
            let digest = Digest16::of(&payload);
            let channel = (seq % 5 != 0).then_some(said.channel);
            Received::Route { head, payload, digest, check, channel }
        });
    let refused = any_code().prop_map(|code| Received::Refused { req: 3, code, retry_ms: 5 });
    let other = (0..3_u32, any::<bool>(), any_kind())
        .prop_map(|(req, critical, kind)| Received::Other(Frame { req, re: 0, critical, kind }));
    let held = Just(Received::Held { req: 2, retry_ms: 9 });
    prop_oneof![4 => said, 3 => record, 3 => shard, 2 => claim, 2 => set, 6 => route, 1 => refused, 8 => other, 1 => held]
}

/// So many runs, or what `PROPTEST_CASES` says, for a long night.
fn config(cases: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: wanted.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}

/// Something that happens at a server with some links.
#[derive(Debug, Clone)]
enum Deed {
    Login {
        user: u8,
        device: u8,
        accept: Accept,
        /// Gives what goes on with the last session of that device, and lies by so many frames.
        resume: Option<u64>,
    },
    Peer {
        number: u8,
    },
    Dial {
        number: u8,
    },
    Frame {
        link: usize,
        frame: Received,
    },
    Stall {
        link: usize,
        stalled: bool,
    },
    HangUp {
        link: usize,
    },
    Pass {
        ms: u64,
    },
    Wall {
        unix_ms: u64,
    },
    /// Inputs about links, dials and signatures that do not exist.
    Trace {
        channel: ChannelId,
    },
    Disconnect {
        number: u8,
    },
    Nonsense {
        number: u64,
    },
    Drain,
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let accept = (0..8).prop_map(|number| match number {
        0 => Accept::Peers,
        1..4 => Accept::All,
        _ => Accept::Clients,
    });
    prop_oneof![
        4 => (1..4_u8, 1..3_u8, accept, option::of(prop_oneof![8 => Just(0), 1 => 1..9_u64, 1 => any::<u64>()]))
            .prop_map(|(user, device, accept, resume)| Deed::Login { user, device, accept, resume }),
        2 => (0..STRANGERS).prop_map(|number| Deed::Peer { number }),
        1 => (0..STRANGERS).prop_map(|number| Deed::Dial { number }),
        40 => (0..8_usize, any_received()).prop_map(|(link, frame)| Deed::Frame { link, frame }),
        2 => (0..8_usize, any::<bool>()).prop_map(|(link, stalled)| Deed::Stall { link, stalled }),
        2 => (0..8_usize).prop_map(|link| Deed::HangUp { link }),
        6 => prop_oneof![0..200_u64, 1_000..40_000_u64].prop_map(|ms| Deed::Pass { ms }),
        1 => any_u64().prop_map(|unix_ms| Deed::Wall { unix_ms }),
        2 => any_channel().prop_map(|channel| Deed::Trace { channel }),
        1 => (0..STRANGERS).prop_map(|number| Deed::Disconnect { number }),
        1 => any_u64().prop_map(|number| Deed::Nonsense { number }),
        1 => (0..20).prop_map(|dice| if dice == 0 { Deed::Drain } else { Deed::Pass { ms: 1 } }),
    ]
}

/// Does it all; the open links at the end.
fn live(world: &mut World, deeds: &[Deed]) -> Vec<Client> {
    let mut links: Vec<Client> = Vec::new();
    let mut devices: BTreeMap<(u8, u8), Client> = BTreeMap::new();
    for deed in deeds {
        let open = |world: &World, index: usize| {
            let open: Vec<Client> = links.iter().copied().filter(|client| world.is_open(*client)).collect();
            (!open.is_empty()).then(|| open[index % open.len()])
        };
        match deed.clone() {
            Deed::Login { user: number, device, accept, resume } => {
                let last = devices.get(&(number, device)).and_then(|last| world.resume_of(*last));
                let resume = resume
                    .zip(last)
                    .map(|(lie, last)| Resume { received: last.received.wrapping_sub(lie), ..last });
                let client = world.login_with(0, (user(number), device), accept, resume);
                devices.insert((number, device), client);
                links.push(client);
            }
            Deed::Peer { number } => links.push(world.fake_peer(0, stranger(number))),
            Deed::Dial { number } => {
                links.extend(world.try_dial_fake(0, stranger(number)));
                world.give(0, Input::Unpeer(super::world::fake_place()));
            }
            Deed::Frame { link, frame } => {
                if let Some(client) = open(world, link) {
                    world.give(0, Input::Frame { link: client.link, frame });
                }
            }
            Deed::Stall { link, stalled } => {
                if let Some(client) = open(world, link) {
                    world.stall(0, client.link, stalled);
                }
            }
            Deed::HangUp { link } => {
                if let Some(client) = open(world, link) {
                    world.hang_up(client);
                }
            }
            Deed::Pass { ms: span } => world.run_for(ms(span)),
            Deed::Wall { unix_ms } => world.give(0, Input::Wall { unix_ms }),
            Deed::Trace { channel } => {
                let trace = TraceId(world.outputs);
                world.give(0, Input::Trace { trace, channel });
                world.map(0);
            }
            Deed::Disconnect { number } => world.give(0, Input::Disconnect(stranger(number))),
            Deed::Nonsense { number } => {
                let link = LinkId(u64::MAX - number % 7);
                world.give(0, Input::Closed { link, why: Code::Ok });
                world.give(0, Input::Flushed { link, bytes: usize::MAX });
                world.give(0, Input::Frame { link, frame: Received::Held { req: 1, retry_ms: 1 } });
                world.give(0, Input::DialFailed { dial: crate::DialId(number), why: Code::Timeout });
                let signature = Signature::new([1; 64]);
                world.give(0, Input::Signed { sign: crate::SignId(u64::MAX - number % 7), signature });
                world.give(0, Input::Verified { verify: crate::VerifyId(number), bundles: vec![None; 9] });
                world.give(0, Input::Timeout);
            }
            Deed::Drain => world.give(0, Input::Drain),
        }
        assert_bounds(world.stats(0).sizes);
    }
    links.into_iter().filter(|client| world.is_open(*client)).collect()
}

/// Invariant 7, for what these runs can reach; each bound has a test of its own that reaches it.
fn assert_bounds(sizes: Sizes) {
    assert!(sizes.longest_queue <= 8 << 20 && sizes.queued_bytes <= 128 << 20);
    assert!(sizes.sent_packets <= 32_768 && sizes.delivered_packets <= 4_096);
    assert!(sizes.lookups <= 1_024 && sizes.lookup_askers <= 8_192 && sizes.lookup_answers <= 1_024);
    assert!(sizes.servers <= usize::from(STRANGERS) + 2 && sizes.tags <= 3 * (usize::from(STRANGERS) + 2));
    assert!(sizes.channels <= NAMES.len() && sizes.memberships <= sizes.clients * NAMES.len());
    assert!(sizes.pending_done <= 8_192 && sizes.waiting_joins <= 8_192 && sizes.held_records <= 4_096);
    assert!(sizes.seen <= 2 * 131_072 && sizes.away <= sizes.clients && sizes.traces <= 4);
}

proptest! {
    #![proptest_config(config(96))]

    /// Whatever happens, the node stays within its bounds, its accounts close, and in the end nothing is left over.
    #[test]
    fn any_input_leaves_the_node_in_order(deeds in vec(any_deed(), 1..120)) {
        let mut world = World::new(1);
        for client in live(&mut world, &deeds) {
            world.hang_up(client);
        }
        world.run_for(secs(20));
        let stats = world.stats(0);
        let Sizes { clients, peers, channels, memberships, queued_bytes, pending_done, waiting_joins, .. } =
            stats.sizes;
        prop_assert_eq!((stats.pending, clients, peers, channels, memberships), (0, 0, 0, 0, 0));
        prop_assert_eq!((queued_bytes, pending_done, waiting_joins), (0, 0, 0));
        prop_assert_eq!((stats.sizes.away, stats.sizes.traces), (0, 0));
        prop_assert_eq!((stats.sizes.lookups, stats.sizes.lookup_askers, stats.sizes.lookup_answers), (0, 0, 0));
        world.run_for(secs(20));
        let sizes = world.stats(0).sizes;
        prop_assert_eq!((sizes.sent_packets, sizes.delivered_packets), (0, 0));
    }

    /// 12: same seed and same inputs, same outputs.
    #[test]
    fn one_run_is_like_the_other(deeds in vec(any_deed(), 1..60)) {
        let trace = || {
            let mut world = World::new(1);
            world.traced = true;
            live(&mut world, &deeds);
            world.trace
        };
        prop_assert_eq!(trace(), trace());
    }

    /// 1: no post is handed twice to a session, none to one that has not joined; 4: bit for bit as it came.
    #[test]
    fn a_session_gets_each_post_of_its_channels_once(deeds in vec(any_deed(), 1..120)) {
        let mut world = World::new(1);
        let deeds: Vec<Deed> = deeds.into_iter().filter(|deed| !matches!(deed, Deed::Stall { .. })).collect();
        let mut given: BTreeMap<Digest16, Bytes> = BTreeMap::new();
        for deed in &deeds {
            match deed {
                Deed::Frame { frame: Received::Publish { deliver, digest, .. }, .. } => {
                    given.insert(*digest, deliver.clone());
                }
                Deed::Frame { frame: Received::Route { payload, digest, .. }, .. } => {
                    given.insert(*digest, payload.clone());
                }
                _ => {}
            }
        }
        live(&mut world, &deeds);
        let joined: BTreeSet<ChannelId> = deeds.iter().filter_map(|deed| match deed {
            Deed::Frame { frame: Received::Other(Frame { kind: Kind::Join { channels, .. }, .. }), .. } => Some(channels),
            _ => None,
        }).flatten().copied().collect();
        // Two generations of a minute each: what comes again after longer is for the receiver to know.
        let short = world.now.since_start() < secs(60);
        for inbox in world.inboxes(0) {
            let mut seen = BTreeSet::new();
            for frame in inbox {
                let Kind::Deliver(bytes) = &frame.kind else { continue };
                let digest = Digest16::of(bytes);
                prop_assert_eq!(given.get(&digest), Some(bytes));
                let channel = darkchat_proto::Deliver::decode(bytes.clone()).unwrap().channel;
                prop_assert!(joined.contains(&channel));
                prop_assert!(seen.insert(digest) || !short, "twice");
            }
        }
    }
}

/// Links between servers, at least a tree, so that all can be reached.
fn any_mesh() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (2..6_usize).prop_flat_map(|servers| {
        let tree: Vec<_> = (1..servers).map(|to| (0..to, Just(to))).collect();
        (Just(servers), tree, vec((0..servers, 0..servers), 0..4)).prop_map(|(servers, mut links, more)| {
            links.extend(more.into_iter().filter(|(from, to)| from != to));
            (servers, links)
        })
    })
}

proptest! {
    #![proptest_config(config(32))]

    /// 3: on stable links every member gets every post once and in order; 5: no hop runs out, and the copies of a
    /// post are at most the links and destinations; 11: two links between a pair become one.
    #[test]
    fn a_stable_mesh_delivers_everything_once_and_in_order(
        (servers, links) in any_mesh(),
        places in vec((0..6_usize, 0..2_usize), 2..8),
        said in vec(0..8_usize, 1..20),
    ) {
        let mut world = World::new(servers);
        for (from, to) in &links {
            world.peer(*from, *to);
        }
        world.run_for(secs(5));
        let pairs: BTreeSet<(usize, usize)> =
            links.iter().map(|(from, to)| (*from.min(to), *from.max(to))).collect();
        for at in 0..servers {
            let near = pairs.iter().filter(|(one, other)| *one == at || *other == at).count();
            prop_assert_eq!(world.node(at).peers().len(), near, "one link a pair");
            prop_assert_eq!(world.node(at).servers().len(), servers - 1);
        }
        let clients: Vec<(Client, &str)> = (1..)
            .zip(&places)
            .map(|(number, (at, name))| (world.client(at % servers, number), NAMES[*name]))
            .collect();
        for (client, name) in &clients {
            let done = world.join_spread(*client, name);
            prop_assert!(done.spread, "{:?}", done);
            prop_assert_eq!(usize::try_from(done.servers).unwrap(), servers - 1);
        }
        world.routes = vec![0; servers];
        for (number, speaker) in said.iter().enumerate() {
            let (client, name) = clients[speaker % clients.len()];
            world.say(client, name, &format!("{number}"));
        }
        world.run_for(secs(2));
        for (index, (client, name)) in clients.iter().enumerate() {
            let own = |speaker: usize| speaker % clients.len();
            let expected: BTreeSet<String> = said.iter().enumerate()
                .filter(|(_, speaker)| own(**speaker) != index && clients[own(**speaker)].1 == *name)
                .map(|(number, _)| number.to_string())
                .collect();
            let heard = world.heard(*client);
            prop_assert_eq!(&heard.iter().cloned().collect::<BTreeSet<_>>(), &expected);
            prop_assert_eq!(heard.len(), expected.len(), "nothing twice");
            for speaker in 0..clients.len() {
                let from: Vec<usize> = heard.iter().map(|text| text.parse::<usize>().unwrap())
                    .filter(|number| own(said[*number]) == speaker).collect();
                prop_assert!(from.is_sorted(), "in the order of their author");
            }
        }
        let crossings: u64 = world.routes.iter().sum();
        prop_assert!(crossings <= u64::try_from(said.len() * (pairs.len() + servers)).unwrap());
        for at in 0..servers {
            prop_assert_eq!((world.stats(at).pending, world.stats(at).dropped_total()), (0, 0));
        }
    }

    /// After any cuts and new links, the maps and interests of those who can reach each other are equal.
    #[test]
    fn maps_and_interests_become_equal_again(
        (servers, links) in any_mesh(),
        cuts in vec((0..6_usize, 0..6_usize, 0..3_000_u64), 0..6),
    ) {
        let mut world = World::with(servers, &Config::default());
        let clients: Vec<Client> = (0..servers).map(|at| world.client(at, u8::try_from(at).unwrap() + 1)).collect();
        for (from, to) in &links {
            world.peer(*from, *to);
        }
        for (number, (from, to, wait)) in cuts.into_iter().enumerate() {
            world.run_for(ms(wait));
            if from % servers != to % servers {
                world.cut(from % servers, to % servers);
            }
            let client = clients[number % clients.len()];
            if world.is_open(client) {
                world.join(client, NAMES[number % NAMES.len()]);
            }
        }
        for client in &clients {
            world.ask(*client, Received::Other(Frame::from(Kind::Ping { nonce: 1, acked: 0 })));
        }
        world.run_for(secs(50));
        for client in &clients {
            world.ask(*client, Received::Other(Frame::from(Kind::Ping { nonce: 1, acked: 0 })));
        }
        world.run_for(secs(40));
        let tags: BTreeSet<usize> = (0..servers).map(|at| world.stats(at).sizes.tags).collect();
        prop_assert_eq!(tags.len(), 1, "{:?}", tags);
        for at in 0..servers {
            prop_assert_eq!(world.node(at).servers().len(), servers - 1);
        }
    }
}
