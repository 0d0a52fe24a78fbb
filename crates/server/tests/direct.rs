//! Direct messages with real keys, over real servers: nobody between two people reads or invents anything.
#![expect(clippy::panic, clippy::expect_used, reason = "a test that cannot make its input has failed")]

mod common;

use bytes::Bytes;
use common::{Raw, addr, builder, identity, soon, unix_ms, until};
use darkchat_crypto::bundle::{self, Expected, ROTATE_MS};
use darkchat_crypto::direct::{Answering, Callee, Calling};
use darkchat_crypto::ratchet::Ratchet;
use darkchat_crypto::{Identity, StaticKey, Verified, sign, system, verify};
use darkchat_proto::{
    Addr, Bundle, Carried, Class, Code, DeviceId, DmDeliver, Features, Frame, InitPayload, InterestShard,
    Kind, Network, Packet, RecordFlags, Route, RouteHead, SendDm, ServerId, ServerRecord, Signed, Tag, Time,
    UserId,
};
use darkchat_server::{Accept, Server};
use darkchat_transport::{BoxFuture, BoxSink, BoxStream, Incoming, Link, Listener, Memory, Transport};
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::sync::{Arc, Mutex};

/// All that passes on any link, whoever dials.
#[derive(Debug, Clone, Default)]
struct Tapped {
    memory: Memory,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tapped {
    fn tap(&self, link: Link) -> Link {
        let Link { remote, units, sink } = link;
        let (came, goes) = (self.heard.clone(), self.heard.clone());
        let units: BoxStream<io::Result<Bytes>> = Box::pin(units.inspect(move |unit| {
            came.lock().expect("a log").extend(unit.iter().flatten());
        }));
        let sink: BoxSink = Box::pin(sink.with(move |unit: Bytes| {
            goes.lock().expect("a log").extend(&unit);
            std::future::ready(io::Result::Ok(unit))
        }));
        Link { remote, units, sink }
    }

    fn has(&self, needle: &[u8]) -> bool {
        self.heard.lock().expect("a log").windows(needle.len()).any(|bytes| bytes == needle)
    }
}

impl Transport for Tapped {
    fn schemes(&self) -> &'static [&'static str] {
        self.memory.schemes()
    }

    fn dial(&self, addr: Addr) -> BoxFuture<io::Result<Link>> {
        let this = self.clone();
        Box::pin(async move { Ok(this.tap(this.memory.dial(addr).await?)) })
    }

    fn listen(&self, addr: Addr) -> BoxFuture<io::Result<Listener>> {
        let this = self.clone();
        Box::pin(async move {
            let Listener { addr, incoming } = this.memory.listen(addr).await?;
            let incoming = incoming.map(move |incoming| {
                let (this, Incoming { remote, link }) = (this.clone(), incoming?);
                Ok(Incoming { remote, link: Box::pin(async move { Ok(this.tap(link.await?)) }) })
            });
            Ok(Listener { addr, incoming: Box::pin(incoming) })
        })
    }
}

/// Somebody with one device, attached to a server.
struct Person {
    raw: Raw,
    key: StaticKey,
    signed: Signed,
}

impl Person {
    async fn attached(transport: &dyn Transport, at: &Addr) -> Self {
        let mut raw = Raw::client(transport, at).await;
        let key = StaticKey::generate(&mut system::rng());
        let signed = bundle_of(&raw.identity, &raw.identity.user_id(), *key.public(), raw.server);
        let set = raw.ask(Kind::SetBundle { bundle: signed.encode() }).await;
        assert!(matches!(set, Kind::Ok(_)), "{set:?}");
        Self { raw, key, signed }
    }

    /// Asks until somebody is found: interest takes a moment to spread.
    async fn find(&mut self, user: UserId) -> (Verified<Bundle>, Bytes) {
        soon(async {
            loop {
                let found = self.raw.ask(Kind::Lookup { user }).await;
                let Kind::Found { bundles, complete } = found else { panic!("{found:?}") };
                if let Some(signed) = bundles.first() {
                    assert!(complete && bundles.len() == 1);
                    let signed = Signed::decode(signed.clone()).expect("a bundle");
                    let proof = verify::bundle(&Network::default(), &signed).expect("a good signature");
                    assert_eq!(bundle::check(&proof, &Expected::of(user), unix_ms()), Ok(()));
                    return (proof, signed.body);
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
    }

    async fn send(&mut self, to: &Bundle, packet: Bytes) {
        let (user, device, server) = (to.user, to.device, to.server);
        let sent = self.raw.ask(Kind::SendDm(SendDm { user, device, server, packet, attempt: 0 })).await;
        assert_eq!(sent, Kind::DmStatus(Code::Ok));
    }

    async fn receive(&mut self) -> DmDeliver {
        loop {
            let frame = self.raw.next().await.expect("a packet before the end");
            if let Kind::Dm(dm) = frame.kind {
                return dm;
            }
        }
    }

    async fn open(&mut self, ratchet: &mut Ratchet) -> Bytes {
        let Ok(Packet::Message { head, sealed }) = Packet::decode(self.receive().await.packet) else {
            panic!("a message")
        };
        ratchet.open(Time::ZERO, &head, &sealed, &mut system::rng()).expect("it opens")
    }
}

fn bundle_of(signer: &Identity, user: &UserId, dh: [u8; 32], server: ServerId) -> Signed {
    let body = Bundle {
        suite: bundle::SUITE,
        user: *user,
        device: DeviceId::new([1; 16]),
        dh,
        not_before_ms: unix_ms(),
        not_after_ms: unix_ms() + ROTATE_MS,
        server,
        features: Features::NONE,
    }
    .encode();
    Signed { sig: signer.sign(&sign::bundle(&Network::default(), &body)), body }
}

/// Servers that are linked each with the next, and with nobody else: a record names no address in memory.
async fn line(transport: &Tapped, count: usize) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for number in 0..count {
        let name = format!("mem://s{number}").parse().expect("an address");
        let mut builder =
            Server::builder(Identity::generate()).transport(transport.clone()).listen(name, Accept::All);
        if let Some(before) = servers.last() {
            builder = builder.peer(addr(before));
        }
        servers.push(builder.start().await.expect("it starts"));
    }
    servers
}

#[tokio::test]
async fn the_two_ends_of_a_line_of_five_servers_talk_and_nobody_between_them_reads_it() {
    let transport = Tapped::default();
    let servers = line(&transport, 5).await;
    let mut ann = Person::attached(&transport, &addr(&servers[0])).await;
    let mut bob = Person::attached(&transport, &addr(&servers[4])).await;
    let (network, mut rng) = (Network::default(), system::rng());

    let (found, body) = ann.find(bob.raw.user()).await;
    let payload = InitPayload { bundle: ann.signed.clone(), time_ms: unix_ms(), features: Features::NONE };
    let callee = Callee::of(&found, &body);
    let (calling, init) =
        Calling::start(&network, &ann.key, &callee, &payload.encode(), &mut rng).expect("a call");
    ann.send(&found, init).await;

    let came = bob.receive().await.packet;
    let own = Callee::own(bob.raw.user(), DeviceId::new([1; 16]), &bob.key, &bob.signed.body);
    let (answering, payload) =
        Answering::read_init(&network, &bob.key, &own, &came, &mut rng).expect("a call for bob");
    let (caller, _) = answering.caller(&network, &payload, unix_ms()).expect("ann's own bundle");
    assert_eq!(caller.user, ann.raw.user());
    let (half_open, resp) = answering.establish(Features::NONE, Time::ZERO, &mut rng).expect("an answer");
    bob.send(&caller, resp).await;
    let (mut anns, _) =
        calling.establish(&ann.receive().await.packet, Time::ZERO, &mut rng).expect("a session");

    let secret = |number: u32| format!("nobody but the two of us reads this, number {number}");
    ann.send(&found, anns.seal(Time::ZERO, secret(0).as_bytes()).expect("sealed")).await;
    let Ok(Packet::Message { head, sealed }) = Packet::decode(bob.receive().await.packet) else { panic!() };
    let (mut bobs, first) = half_open.open(Time::ZERO, &head, &sealed, &mut rng).expect("the first message");
    assert_eq!(first, secret(0));
    for number in 1..20 {
        bob.send(&caller, bobs.seal(Time::ZERO, secret(2 * number).as_bytes()).expect("sealed")).await;
        assert_eq!(ann.open(&mut anns).await, secret(2 * number));
        ann.send(&found, anns.seal(Time::ZERO, secret(2 * number + 1).as_bytes()).expect("sealed")).await;
        assert_eq!(bob.open(&mut bobs).await, secret(2 * number + 1));
    }
    assert!(!transport.has(b"nobody but the two of us"), "on no link");
    assert!(!transport.has(ann.raw.user().as_bytes()), "and not who is who: names are inside links, too");
    for server in &servers {
        let stats = server.stats().node;
        assert!(stats.closes() && stats.dropped_total() == 0, "{stats:?}");
    }
    // What was handed to somebody who has lost his session is said to have been of no use.
    let packet = anns.seal(Time::ZERO, b"again").expect("sealed");
    let (user, device, server) = (found.user, found.device, found.server);
    ann.raw.send(&Frame::asking(99, Kind::SendDm(SendDm { user, device, server, packet, attempt: 0 }))).await;
    assert_eq!(ann.raw.reply(99).await, Kind::DmStatus(Code::Ok));
    let delivery = bob.receive().await.delivery;
    bob.raw.send(&Frame::from(Kind::DmReject { delivery, code: Code::NoSession })).await;
    assert_eq!(ann.raw.reply(99).await, Kind::DmStatus(Code::NoSession));
}

/// A peer made by hand that says that a user is with it.
async fn claimant(memory: &Memory, hub: &Server, user: UserId) -> Raw {
    let mut peer = Raw::peer(memory, &addr(hub), identity(3)).await;
    let (network, epoch) = (Network::default(), unix_ms());
    let record = ServerRecord {
        server: peer.identity.server_id(),
        epoch,
        seq: 1,
        issued_ms: epoch,
        addrs: Vec::new(),
        flags: RecordFlags::TRANSIT,
        neighbours: vec![hub.id().router()],
        version: 1,
        features: Features::DONE,
    }
    .encode();
    let sig = peer.identity.sign(&sign::record(&network, &record));
    peer.send(&Frame::from(Kind::Record(Signed { body: record, sig }.encode()))).await;
    let tags = vec![Tag::of_inbox(&network, &user)];
    let shard =
        InterestShard { server: peer.identity.server_id(), epoch, seq: 1, bits: 0, shard: 0, tags }.encode();
    let sig = peer.identity.sign(&sign::shard(&network, &shard));
    peer.send(&Frame::from(Kind::Shard(Signed { body: shard, sig }.encode()))).await;
    until(|| hub.stats().node.sizes.tags > 0).await;
    peer
}

#[tokio::test]
async fn of_what_another_server_shows_only_what_the_user_signed_for_it_is_passed_on() {
    let memory = Memory::default();
    let hub = builder(&memory, "hub", Accept::All).start().await.expect("it starts");
    let bob = identity(7);
    let mut peer = claimant(&memory, &hub, bob.user_id()).await;
    let mut ann = Raw::client(&memory, &addr(&hub)).await;
    ann.send(&Frame::asking(50, Kind::Lookup { user: bob.user_id() })).await;
    let asked = loop {
        let frame = soon(peer.next()).await.expect("a question");
        if let Kind::Route(Route { head, payload }) = frame.kind
            && head.class == Class::LookupReq
        {
            assert_eq!(Carried::decode(head.class, payload), Ok(Carried::Lookup(bob.user_id())));
            break head;
        }
    };
    let here = peer.identity.server_id();
    let good = bundle_of(&bob, &bob.user_id(), [5; 32], here);
    let by_another = bundle_of(&identity(8), &bob.user_id(), [6; 32], here);
    let of_another = bundle_of(&identity(8), &identity(8).user_id(), [6; 32], here);
    let elsewhere = bundle_of(&bob, &bob.user_id(), [6; 32], hub.id());
    let mut turned = good.clone();
    let mut body = turned.body.to_vec();
    *body.last_mut().expect("a body") ^= 1;
    turned.body = body.into();
    let bundles = [by_another, of_another, elsewhere, turned, good.clone()].map(|signed| signed.encode());
    let answer = Carried::Found { bundles: bundles.to_vec(), complete: true };
    let head = RouteHead { dst: vec![hub.id().router()], class: answer.class(), ..asked };
    peer.send(&Frame::from(Kind::Route(Route { head, payload: answer.encode() }))).await;
    assert_eq!(ann.reply(50).await, Kind::Found { bundles: vec![good.encode()], complete: true });
    let stats = hub.stats().node;
    assert_eq!((stats.sizes.lookups, stats.sizes.lookup_answers), (0, 1));
}
